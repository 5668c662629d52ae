"""Limits for untrusted pickles: memory, keys, sizes, depth and messages."""
import pickle

import numpy as np
import pytest

from mmseg_mvp.unpickling import limits


def test_budget_has_a_fixed_part_and_a_part_per_byte_of_the_file():
    budget = limits.Budget(10)
    budget.spend(limits.FREE_BYTES + 10 * limits.MAX_GROWTH)
    with pytest.raises(pickle.UnpicklingError, match='too much memory'):
        budget.spend(1)


def test_a_copy_costs_the_entries_and_what_they_contain():
    budget = limits.Budget(0)
    budget.copy(['abc', [1, 2], 5])
    assert limits.FREE_BYTES - budget.left == 3 * 64 + 3 + 2 * 128


@pytest.mark.parametrize('value', ['a' * 1000, b'a', 3, 2 ** 60, (1, 'a'), None, True, frozenset({'a'})])
def test_keys_whose_hash_a_file_can_not_choose(value):
    assert limits.check_key(value) is value


@pytest.mark.parametrize('value', [2 ** 64, (1.5, 2.5), 1j, range(3), np.complex64(1)])
def test_few_keys_whose_hash_a_file_can_choose(value):
    with pytest.raises(pickle.UnpicklingError, match='whose hash a file can choose'):
        limits.check_key(value)
    assert limits.check_keys([value] * 32) and limits.check_keys([value], others=31)
    for keys, others in (([value] * 33, 0), ([value], 32)):
        with pytest.raises(pickle.UnpicklingError, match='may have equal hashes'):
            limits.check_keys(keys, others)


@pytest.mark.parametrize('value', ['x' * (2 ** 16 + 1), 2 ** 1025, tuple(range(17))])
def test_keys_that_are_too_large(value):
    with pytest.raises(pickle.UnpicklingError, match='too large'):
        limits.check_keys([value])


def test_sizes():
    assert limits.check_sizes([0, 2 ** 63 - 1]) == (0, 2 ** 63 - 1)
    for wrong in ([-1], [2 ** 63], [1.], [True], 3, None, [1] * 65):
        with pytest.raises(pickle.UnpicklingError, match='sizes'):
            limits.check_sizes(wrong)


def test_depth():
    value = []
    for _ in range(limits.MAX_DEPTH - 1):
        value = [value, 1]
    limits.check_tree(value, 1000)
    with pytest.raises(pickle.UnpicklingError, match='nested more than 100'):
        limits.check_tree([[value]], 1000)


def test_shared_parts_count_in_each_place():
    value = [1]
    for _ in range(30):
        value = [value, value]
    with pytest.raises(pickle.UnpicklingError, match='copies would fill the memory'):
        limits.check_tree(value, 100)


def test_of_type_needs_the_exact_type():
    assert limits.of_type(3, str, int) == 3
    with pytest.raises(pickle.UnpicklingError, match='a bool instead of a int'):
        limits.of_type(True, int)


def test_short_has_one_printable_line():
    assert limits.short('a\n\tb\x1b[0m') == 'a b[0m'
    assert len(limits.short('x' * 5000)) == 100 and len(limits.short(list(range(10 ** 6)))) <= 100
