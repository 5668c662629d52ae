"""Seeds and states of the random numbers of Python, numpy and torch."""
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_cpu(*numbers: int) -> None:
    """Seed the random numbers of Python, numpy and torch on the CPU by one or several whole numbers, 0 or more."""
    seed = numbers[0] if len(numbers) == 1 else int(np.random.SeedSequence(numbers).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    # torch.manual_seed takes a millisecond without a GPU: it stores a stack trace for each kind of device.
    torch.default_generator.manual_seed(seed)


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Restore the random states of Python, numpy and torch on the CPU at the end of the context."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        for restore, state in zip((random.setstate, np.random.set_state, torch.set_rng_state), states):
            restore(state)
