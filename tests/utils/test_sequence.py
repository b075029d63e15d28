"""The base class of numbered batches."""

import pytest

from minikeras.utils.data_utils import Sequence as AtKerasAddress
from minikeras.utils.sequence import Sequence


class Squares(Sequence):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return index**2


def test_iterates_over_one_epoch_and_can_do_so_again():
    squares = Squares()
    assert list(squares) == list(squares) == [0, 1, 4, 9]


def test_iterators_are_independent():
    squares = Squares()
    assert list(zip(squares, squares, strict=True)) == [(0, 0), (1, 1), (4, 4), (9, 9)]


def test_on_epoch_end_does_nothing_by_default():
    assert Squares().on_epoch_end() is None


def test_what_a_subclass_has_to_write_is_said():
    class Empty(Sequence):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty needs a method __getitem__\(self, index"):
        Empty()[0]
    with pytest.raises(NotImplementedError, match=r"Empty needs a method __len__"):
        len(Empty())


def test_stands_at_keras_address():
    assert AtKerasAddress is Sequence
