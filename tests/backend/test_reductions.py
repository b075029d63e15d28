"""Reductions: values and derivatives along all kinds of axes, zeros, ties, types and errors."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minikeras.backend import reductions as R
from minikeras.backend.backpropagation import backpropagate
from minikeras.backend.tape import Tensor
from tests.backend.derivatives import check_derivatives

INF, NAN = np.inf, np.nan
X = np.random.RandomState(0).permutation(24).reshape(2, 3, 4) / 7 - 1.3


def logsumexp(x, axis=None, keepdims=False):
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


SMOOTH = [
    (R.sum, np.sum),
    (R.prod, np.prod),
    (R.mean, np.mean),
    (R.var, np.var),
    (R.std, np.std),
    (R.max, np.max),
    (R.min, np.min),
    (R.logsumexp, logsumexp),
]
LOGIC = [(R.any, np.any), (R.all, np.all)]
AXES = [None, 0, 1, 2, -1, -3, (0, 2), [1, -1], (-1, 0), [2, 1, 0], range(1, 3), np.int64(1)]
ids = [f.__name__ for f, _ in SMOOTH]


def numpys(axis):
    return tuple(axis) if isinstance(axis, (list, range)) else axis


def gradient(function, x, dy=None, **kwargs):
    leaf = Tensor(np.array(x, "float32"))
    y = function(leaf, **kwargs)
    dy = np.ones(y.shape, "float32") if dy is None else np.array(dy, "float32")
    (dx,) = backpropagate([(y, dy)], [leaf])
    return None if dx is None else dx.tolist()


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", AXES, ids=str)
@pytest.mark.parametrize(("function", "reference"), SMOOTH, ids=ids)
def test_along_axes(function, reference, axis, keepdims):
    y = check_derivatives(function, X, axis=axis, keepdims=keepdims)
    expected = reference(X, axis=numpys(axis), keepdims=keepdims)
    assert np.shape(y) == expected.shape
    assert_allclose(y, expected, rtol=1e-13)


@pytest.mark.parametrize("axis", [(), []], ids=str)
@pytest.mark.parametrize("function", [R.sum, R.prod, R.mean, R.max, R.min, R.logsumexp])
def test_along_no_axis(function, axis):
    assert_allclose(check_derivatives(function, X[0], axis=axis), X[0], rtol=1e-13)


@pytest.mark.parametrize(("function", "reference"), SMOOTH, ids=ids)
def test_one_axis_and_none(function, reference):
    for x in (X[0, 0], X[0, 0, 0], X[:1, :1, 0]):
        y = check_derivatives(function, np.asarray(x))
        assert_allclose(y, reference(x), rtol=1e-13, atol=1e-15)
    assert_allclose(check_derivatives(function, X[0, 0], axis=-1), reference(X[0, 0]), rtol=1e-13)


def test_defaults_and_positions():
    assert_array_equal(R.sum(X, 1, True), np.sum(X, 1, keepdims=True))
    assert_array_equal(R.max(Tensor(X), 1, True).value, np.max(X, 1, keepdims=True))
    assert R.mean(X).shape == ()


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2])
@pytest.mark.parametrize(
    ("function", "reference"), [(R.cumsum, np.cumsum), (R.cumprod, np.cumprod)], ids=["sum", "prod"]
)
def test_cumulative(function, reference, axis):
    assert_allclose(check_derivatives(function, X, axis=axis), reference(X, axis), rtol=1e-13)


def test_cumulative_along_the_first_axis_by_default():
    assert_array_equal(R.cumsum(X), np.cumsum(X, 0))
    assert_array_equal(R.cumprod(X), np.cumprod(X, 0))
    with pytest.raises(ValueError, match="axes"):
        R.cumsum(X, axis=None)


ZEROS = np.array([[1.0, 0.0, 2.0, -3.0], [0.0, 0.5, 0.0, 2.0], [1.5, 2.0, -1.0, 0.0]])


@pytest.mark.parametrize("axis", [None, 0, 1, (1, 0)], ids=str)
def test_product_with_zeros(axis):
    check_derivatives(R.prod, ZEROS, axis=axis)


@pytest.mark.parametrize("axis", [0, 1])
def test_cumulative_product_with_zeros(axis):
    check_derivatives(R.cumprod, ZEROS, axis=axis)


@pytest.mark.parametrize("size", [0, 1, 2])
def test_few_numbers(size):
    x = np.arange(2.0 * size).reshape(2, size) + 1
    for function in (R.prod, R.sum, R.cumprod, R.cumsum):
        if size:
            check_derivatives(function, x, axis=1)
        else:
            assert gradient(function, x, axis=1) == [[], []]


def test_extremes_share_ties():
    assert gradient(R.max, [[1, 2, 2], [3, 3, 3]], [6, 6], axis=1) == [[0, 3, 3], [2, 2, 2]]
    assert gradient(R.min, [[1, 2, 1], [0, 3, 3]], [6, 6], axis=1) == [[3, 0, 3], [6, 0, 0]]
    assert gradient(R.max, [[1, 2], [2, 0]]) == [[0, 0.5], [0.5, 0]]
    assert gradient(R.min, [-INF, -INF], axis=0) == [0.5, 0.5]
    assert gradient(R.max, [[1, 2], [2, 2]], [[6]], axis=[0, 1], keepdims=True) == [[0, 2], [2, 2]]


def test_standard_deviation_of_equal_numbers():
    assert gradient(R.std, [[1, 1], [1, 2]], axis=1) == [[0, 0], [-0.5, 0.5]]


def test_logsumexp_far_out():
    x = np.array([[1000.0, 1000.0], [-1000.0, -1000.0]])
    assert_allclose(check_derivatives(R.logsumexp, x, axis=1), x[:, 0] + np.log(2))
    x = [[-INF, -INF], [-INF, 1], [1, 1]]
    assert_allclose(R.logsumexp(np.array(x), axis=1), [-INF, 1, 1 + np.log(2)])
    assert_allclose(gradient(R.logsumexp, x, axis=1), [[0, 0], [0, 1], [0.5, 0.5]], rtol=1e-6)
    assert R.logsumexp(np.array([INF, 1.0])) == INF


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", AXES, ids=str)
@pytest.mark.parametrize(("function", "reference"), LOGIC)
def test_logic(function, reference, axis, keepdims):
    for x in (ZEROS[:, None] != 0, ZEROS[:, None], ZEROS[:, None].astype(int)):
        expected = reference(x, axis=numpys(axis), keepdims=keepdims)
        assert_array_equal(function(x, axis, keepdims), expected)
        found = function(Tensor(x), axis=axis, keepdims=keepdims)
        assert found.dtype == bool
        assert_array_equal(found.value, expected)


@pytest.mark.parametrize("axis", [0, 1, -1, -3, None])
def test_positions_of_extremes(axis):
    ties = np.round(X)
    for function, reference in ((R.argmax, np.argmax), (R.argmin, np.argmin)):
        assert_array_equal(function(ties, axis=axis), reference(ties, axis=axis))
        found = function(Tensor(ties), axis)
        assert found.dtype == np.int64
        assert_array_equal(found.value, reference(ties, axis=axis))
    assert_array_equal(R.argmax(X), np.argmax(X, -1))
    assert_array_equal(R.argmin(X), np.argmin(X, -1))


@pytest.mark.parametrize("function", [R.argmax, R.argmin, R.any, R.all])
def test_no_derivative(function):
    assert gradient(function, X, axis=1) is None


@pytest.mark.parametrize("function", [R.mean, R.var, R.std, R.logsumexp])
@pytest.mark.parametrize("dtype", [bool, "int32", "int64", "uint8"])
def test_integers_give_floats(function, dtype):
    x = np.array([[1, 0], [1, 1], [1, 0]], dtype)
    for y in (function(x), function(Tensor(x)).value, function(x, axis=0)):
        assert y.dtype == np.float32
    assert_allclose(function(x, axis=0), function(x.astype("float64"), axis=0), rtol=1e-6)


@pytest.mark.parametrize(("function", "reference"), SMOOTH, ids=ids)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_keep_their_type(function, reference, dtype):
    x = X.astype(dtype)
    for axis in (None, 1, (0, 1)):
        assert function(x, axis=axis).dtype == dtype
        assert function(Tensor(x), axis=axis).dtype == dtype


def test_mean_of_many_halves():
    assert R.mean(np.full(100_000, 2.0, "float16")) == 2


def test_lists():
    assert R.sum([1.0, 2.0]) == 3
    assert R.mean([[1.0, 2.0], [3.0, 5.0]], axis=1).tolist() == [1.5, 4]
    assert R.max([3, 1]) == 3
    assert R.any([0, 1])
    assert R.argmax([3, 1]) == 0
    assert R.cumsum([1, 2]).tolist() == [1, 3]


@pytest.mark.parametrize("function", [f for f, _ in SMOOTH] + [R.cumsum, R.cumprod])
def test_a_list_of_tensors_is_stacked(function):
    parts = [np.array([0.5, 0.25, -1.0]), np.array([0.75, 0.1, 2.0])]
    check_derivatives(function, parts, axis=0)


@pytest.mark.parametrize("function", [f for f, _ in SMOOTH + LOGIC] + [R.argmax, R.cumsum])
def test_no_such_axis(function):
    for x in (X, Tensor(X)):
        with pytest.raises(ValueError, match="axis 3 is out of bounds for array of dimension 3"):
            function(x, axis=3)


def test_the_same_axis_twice():
    with pytest.raises(ValueError, match="duplicate"):
        R.sum(X, axis=[0, -3])


@pytest.mark.parametrize("function", [R.max, R.min])
def test_extremes_of_nothing(function):
    with pytest.raises(ValueError, match="zero-size"):
        function(Tensor(np.zeros((0, 3))), axis=0)


def test_a_gradient_may_be_multiplied_by_matrices_at_full_speed():
    """No view with strides of 0, for which NumPy's products have only a slow way."""
    x = Tensor(X)
    for function in (R.sum, R.mean):
        (dx,) = backpropagate([(function(x, axis=1), np.ones((2, 4)))], [x])
        assert dx.flags.c_contiguous
