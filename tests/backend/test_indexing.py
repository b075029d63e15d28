"""Indices, rows, classes: values against NumPy, derivatives against differences."""

import numpy as np
import pytest

from minikeras.backend import indexing
from minikeras.backend.backpropagation import backpropagate
from minikeras.backend.deferred import placeholder
from minikeras.backend.function import function
from minikeras.backend.tape import Tensor
from minikeras.backend.variables import Variable

from .derivatives import check_derivatives

X = np.random.RandomState(1).standard_normal((3, 4, 2))
MASK = X > 0
ROWS = np.array([2, 0, 2, -1, 2, 2, 2])


@pytest.mark.parametrize(
    "index",
    [
        0,
        -1,
        np.int64(1),
        slice(1, None),
        slice(None, None, -2),
        slice(1, 1),
        Ellipsis,
        None,
        (0, 1),
        (0, 1, 1),
        (slice(None), 1),
        (Ellipsis, -1),
        (slice(None), None, slice(1, 3)),
        (Ellipsis, None, 0),
        ROWS,
        ROWS.astype("int8"),
        [0, 0, 1],
        [],
        np.array([[0, 1], [1, 1]]),
        np.array(1),
        (ROWS, 1),
        (slice(None), [1, 1, 0]),
        (Ellipsis, [1, 1]),
        ([0, 0, 1], [1, 1, 2]),
        ([0, 0, 1], slice(None), [1, 1, 0]),
        (np.array([[0], [0]]), [1, 1, 3]),
        ([0, 0], None, [1, 1]),
        MASK,
        MASK[:, 0, 0],
        (slice(None), MASK[0, :, 0]),
        (MASK[:, 0, 0], 0),
        ([True, False, True], [0, 0]),
        np.zeros(3, bool),
    ],
    ids=str,
)
def test_getitem(index):
    y = check_derivatives(lambda x: x[index], X)
    np.testing.assert_array_equal(indexing.getitem(X, index), y)


def test_getitem_of_a_vector():
    for index in (1, [1, 1, 2], slice(0, 2), np.array([True, False, True])):
        check_derivatives(lambda x, index=index: x[index], X[:, 0, 0])


def test_tensors_and_variables_as_indices():
    n, rows = Tensor(np.array(1)), Tensor(np.array([0, 0, 2]))
    x = Variable(X.copy())
    for index, plain in (
        (n, 1),
        (slice(None, n), slice(None, 1)),
        ((slice(None), slice(n, None, 2)), (slice(None), slice(1, None, 2))),
        (rows, [0, 0, 2]),
        ((slice(None, n + 1), n), (slice(None, 2), 1)),
        ([n, n], [1, 1]),
    ):
        y = x[index]
        np.testing.assert_array_equal(y.value, X[plain])
        (dx,) = backpropagate([(y, np.ones(y.shape))], [x])
        expected = np.zeros(X.shape)
        np.add.at(expected, plain, 1)
        np.testing.assert_array_equal(dx, expected)


def test_small_integers_name_rows_of_long_tables():
    x = Tensor(np.ones((200, 1)))
    y = x[np.array([-1, 100, -1], "int8")]
    (dx,) = backpropagate([(y, np.ones((3, 1)))], [x])
    assert np.flatnonzero(dx).tolist() == [100, 199]
    assert dx[199, 0] == 2


def test_what_is_still_to_come():
    x, n = placeholder((None, 3)), placeholder((), dtype="int32")
    outputs = [x[:n], x[n, 1:], x[:, None], indexing.slice(x, [0, n], [-1, 1])]
    assert [y.shape for y in outputs[1:3]] == [(2,), (None, 1, 3)]
    found = function([x, n], outputs)([X[:, :3, 0], 2])
    for y, index in zip(
        found, (np.s_[:2], np.s_[2, 1:], np.s_[:, None], np.s_[:, 2:3]), strict=True
    ):
        np.testing.assert_allclose(y, X[:, :3, 0][index])


def test_iteration_and_unpacking():
    x = Tensor(X[0])
    a, b, c, d = x
    np.testing.assert_array_equal(d.value, X[0, 3])
    (dx,) = backpropagate([(a * c + b, np.ones(2))], [x])
    np.testing.assert_allclose(dx, [X[0, 2], [1, 1], X[0, 0], [0, 0]])


def test_out_of_range():
    with pytest.raises(IndexError, match="index 5 is out of bounds"):
        Tensor(X)[5]
    with pytest.raises(IndexError, match="integer"):
        Tensor(X)[np.array([0.5])]


@pytest.mark.parametrize(
    ("start", "size", "index"),
    [
        ([1, 0, 1], [2, 3, 1], np.s_[1:, :3, 1:]),
        ((0, 1, 0), (-1, 2, -1), np.s_[:, 1:3]),
        (np.array([3, 0, 0]), np.array([0, 1, 1]), np.s_[3:, :1, :1]),
        ((0, Tensor(np.array(1)), 0), (1, Tensor(np.array(2)), -1), np.s_[:1, 1:3]),
    ],
    ids=["plain", "to the end", "empty", "tensors"],
)
def test_slice(start, size, index):
    x = Tensor(X)
    y = indexing.slice(x, start, size)
    np.testing.assert_array_equal(y.value, X[index])
    (dx,) = backpropagate([(y, np.ones(y.shape))], [x])
    expected = np.zeros(X.shape)
    expected[index] = 1
    np.testing.assert_array_equal(dx, expected)


def test_derivative_of_slice():
    check_derivatives(indexing.slice, X, [1, 0, 1], [2, 3, -1], by=[0])


@pytest.mark.parametrize(
    ("start", "size"),
    [([0], [1]), ([0, 0, 0], [4, 1, 1]), ([0, -1, 0], [1, 1, 1]), ([2, 0, 0], [1, -2, 1])],
)
def test_slice_outside(start, size):
    with pytest.raises(ValueError, match=r"K.slice: .*\(3, 4, 2\)"):
        indexing.slice(X, start, size)


@pytest.mark.parametrize(
    "indices",
    [
        np.array([2, 0, 2, 1, 2, 2, 2]),
        np.array([[0, 1], [1, 1]], "int32"),
        np.array([[0.0, 1.0], [1.0, 1.0]], "float32"),
        np.array(2),
        np.zeros((2, 0), int),
    ],
    ids=["rows", "matrix", "floats", "single", "none"],
)
def test_gather(indices):
    rows = indices.astype(int)
    for table in (X, X[:, :, 0], X[:, 0, 0]):
        y = check_derivatives(indexing.gather, table, indices, by=[0])
        np.testing.assert_array_equal(y, table[rows])
    table = Variable(X.astype("float32"))
    assert indexing.gather(table, Tensor(indices)).value.dtype == np.float32


def test_gather_from_empty_rows():
    assert indexing.gather(np.ones((3, 0)), [0, 1]).shape == (2, 0)
    x = Tensor(np.ones((3, 0)))
    y = indexing.gather(x, [0, 0])
    assert backpropagate([(y, np.ones((2, 0)))], [x])[0].shape == (3, 0)


def test_gather_refuses_what_names_no_row():
    with pytest.raises(ValueError, match="from 0 to 2 for 3 rows, got 0 to 3"):
        indexing.gather(X, [0, 3])
    with pytest.raises(ValueError, match="got -1 to 0"):
        indexing.gather(Tensor(X), [-1, 0])
    with pytest.raises(ValueError, match="whole numbers"):
        indexing.gather(X, [0.5])


def test_one_hot():
    indices = np.array([[0, 2], [-1, 3]])
    expected = [[[1, 0, 0], [0, 0, 1]], [[0, 0, 0], [0, 0, 0]]]
    y = indexing.one_hot(indices, 3)
    assert y.dtype == np.float32
    assert y.tolist() == expected
    assert indexing.one_hot(indices.astype("float32"), 3).tolist() == expected
    assert indexing.one_hot(Tensor(indices), 3).value.tolist() == expected


def test_in_top_k():
    predictions = np.array(
        [
            [0.1, 0.5, 0.5, 0.2],
            [np.nan, 1.0, 2.0, 3.0],
            [3.0, 2.0, 1.0, np.inf],
            [0.0, 0.0, 0.0, 0.0],
            [1.0, 2.0, 3.0, 4.0],
        ]
    )

    def found(target, k):
        return indexing.in_top_k(predictions, np.full(5, target), k).astype(int).tolist()

    assert found(1, 1) == [1, 0, 0, 1, 0]
    assert found(2, 1) == [1, 0, 0, 1, 0]
    assert found(3, 2) == [0, 0, 0, 1, 1]
    assert found(3, 3) == [1, 0, 0, 1, 1]
    assert found(0, 4) == [1, 0, 0, 1, 1]
    assert found(0, 0) == [0, 0, 0, 0, 0]
    assert found(-1, 4) == found(4, 4) == [0, 0, 0, 0, 0]
    y = indexing.in_top_k(Tensor(predictions), np.full(5, 1.0, "float32"), 1)
    assert y.value.tolist() == [True, False, False, True, False]


def test_in_top_k_refuses_other_shapes():
    with pytest.raises(ValueError, match=r"got \(2, 3\) and \(2, 1\)"):
        indexing.in_top_k(np.ones((2, 3)), np.ones((2, 1)), 1)
