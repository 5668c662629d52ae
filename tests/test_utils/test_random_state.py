"""Seeds and states of random numbers."""
import random

import numpy as np
import torch

from mmseg_mvp.utils.random_state import kept_random_state, seed_cpu


def draws():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_all_generators_are_seeded():
    seed_cpu(3)
    first = draws()
    assert first == (random.Random(3).random(), np.random.RandomState(3).rand(),
                     torch.rand(1, generator=torch.Generator().manual_seed(3)).item())


def test_several_numbers_are_one_seed():
    found = set()
    for numbers in ((0, 1, 2), (0, 2, 1), (1, 2), (0, 1, 3)):
        seed_cpu(*numbers)
        found.add(draws())
        seed_cpu(*numbers)
        assert draws() in found
    assert len(found) == 4


def test_states_are_restored_also_after_an_error():
    seed_cpu(0)
    expected = draws()
    seed_cpu(0)
    try:
        with kept_random_state():
            seed_cpu(7)
            draws()
            raise ValueError
    except ValueError:
        assert draws() == expected
