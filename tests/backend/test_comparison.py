"""Comparisons and logic: values, types, operators."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minikeras.backend import comparison as C
from minikeras.backend.backpropagation import backpropagate
from minikeras.backend.tape import Tensor
from minikeras.backend.variables import Variable

X = np.array([[1.0, 2.0, 3.0], [0.0, -1.0, np.nan]], "float32")
Y = np.array([2.0, 2.0, 0.0], "float32")

TWO = [
    (C.equal, np.equal),
    (C.not_equal, np.not_equal),
    (C.greater, np.greater),
    (C.greater_equal, np.greater_equal),
    (C.less, np.less),
    (C.less_equal, np.less_equal),
    (C.logical_and, np.logical_and),
    (C.logical_or, np.logical_or),
    (C.logical_xor, np.logical_xor),
]
ONE = [
    (C.logical_not, np.logical_not),
    (C.isfinite, np.isfinite),
    (C.isinf, np.isinf),
    (C.isnan, np.isnan),
]


@pytest.mark.parametrize(("function", "ufunc"), TWO)
def test_of_two(function, ufunc):
    for x, y in ((X, Y), (Y, X), (X, 2), (2.0, X), (X[:, :1], Y)):
        expected = ufunc(x, y)
        plain = function(x, y)
        assert isinstance(plain, np.ndarray)
        assert plain.dtype == bool
        assert_array_equal(plain, expected)
        a, b = (Tensor(v) if isinstance(v, np.ndarray) else v for v in (x, y))
        for found in (function(a, b), ufunc(a, b)):
            assert found.op.name == function.__name__
            assert_array_equal(found.value, expected)


@pytest.mark.parametrize(("function", "ufunc"), ONE)
def test_of_one(function, ufunc):
    x = np.array([0.0, 2.0, -np.inf, np.nan], "float32")
    assert_array_equal(function(x), ufunc(x))
    for found in (function(Tensor(x)), ufunc(Variable(x, name="v"))):
        assert found.op.name == function.__name__
        assert found.dtype == bool
        assert_array_equal(found.value, ufunc(x))


def test_operators():
    x = Tensor(X)
    for found, expected in [
        (x == Y, X == Y),
        (x != Y, X != Y),
        (x > 1, X > 1),
        (1 >= x, X <= 1),  # noqa: SIM300
        (x < Y, X < Y),
        (Y <= x, Y <= X),  # noqa: SIM300
        ((x > 0) & (x < 3), (X > 0) & (X < 3)),
        ((X > 0) & (x < 3), (X > 0) & (X < 3)),
        ((x > 2) | (X < 1), (X > 2) | (X < 1)),
        ((X > 2) | (x < 1), (X > 2) | (X < 1)),
        ((X > 0) ^ (x < 3), (X > 0) ^ (X < 3)),
        (~(x > 1), ~(X > 1)),
    ]:
        assert isinstance(found, Tensor)
        assert found.dtype == bool
        assert_array_equal(found.value, expected)


def test_bits_of_integers():
    x = np.array([6, 3])
    assert np.bitwise_and(x, Tensor(np.array([3, 1]))).value.tolist() == [2, 1]
    assert np.bitwise_or(Tensor(x), 8).value.tolist() == [14, 11]
    assert np.bitwise_xor(Tensor(x), 1).value.tolist() == [7, 2]
    assert np.invert(Tensor(x)).value.tolist() == [-7, -4]


@pytest.mark.parametrize(("function", "ufunc"), TWO[:6])
def test_a_constant_takes_the_type_of_the_tensor(function, ufunc):
    x = np.array([0.1, 0.3], "float32")
    tenths = np.array([0.1, 0.3])
    assert_array_equal(function(Tensor(x), tenths).value, ufunc(x, x))
    assert_array_equal(function(tenths, Tensor(x)).value, ufunc(x, x))


def test_no_derivative_comes_through():
    x = Tensor(X)
    y = (x > 1) * x
    with np.errstate(invalid="ignore"):
        (dx,) = backpropagate([(y, np.ones_like(X))], [x])
    assert dx.tolist() == [[0, 1, 1], [0, 0, 0]]
    assert backpropagate([(C.equal(x, Y), np.ones_like(X))], [x]) == [None]


@pytest.mark.parametrize(("function", "ufunc"), TWO)
def test_shapes_that_do_not_fit(function, ufunc):
    with pytest.raises(ValueError, match=r"\(2,\) \(3,\)"):
        function(Tensor(np.ones(2)), np.ones(3))
