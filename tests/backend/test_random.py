import numpy as np
import pytest

from minikeras.backend.random import new_generator


def test_a_seed_decides_the_numbers():
    first = new_generator(3).random(5)
    np.random.rand()
    np.testing.assert_array_equal(new_generator(3).random(5), first)
    assert (new_generator(4).random(5) != first).any()


def test_without_a_seed_the_global_one_decides():
    np.random.seed(1)
    first, second = new_generator().random(5), new_generator().random(5)
    assert (first != second).any()
    np.random.seed(1)
    np.testing.assert_array_equal(new_generator().random(5), first)
    np.testing.assert_array_equal(new_generator().random(5), second)


def test_a_seed_leaves_the_global_state_alone():
    np.random.seed(1)
    expected = np.random.rand()
    np.random.seed(1)
    new_generator(5).random(5)
    assert np.random.rand() == expected


def test_the_bit_generator_is_sfc64():
    assert type(new_generator().bit_generator) is np.random.SFC64


@pytest.mark.parametrize("seed", [0, np.int32(7), np.uint64(2**64 - 1), 2**100])
def test_seeds_are_whole_numbers_of_any_type_and_size(seed):
    assert new_generator(seed).random() == new_generator(int(seed)).random()


@pytest.mark.parametrize("seed", [1.5, "1", -1])
def test_what_is_no_seed(seed):
    with pytest.raises(ValueError, match="seed must be a whole number of 0 or more, or None; got"):
        new_generator(seed)
