"""Arithmetic and functions of single numbers: values, derivatives, kinks and types."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minikeras.backend import elementwise as E
from minikeras.backend.backpropagation import backpropagate
from minikeras.backend.tape import Tensor
from minikeras.backend.variables import Variable
from tests.backend.derivatives import check_derivatives

INF, NAN = np.inf, np.nan
MIXED = np.array([[-1.7, -0.6, 0.4], [1.2, 2.3, -0.2]])
POSITIVE = np.array([[0.3, 0.8, 1.4], [2.2, 0.05, 5.0]])
OTHER = np.array([[-0.9, 1.6, -2.1], [0.7, -1.3, 1.1]])

UNARY = [
    (E.negative, np.negative, MIXED),
    (E.positive, np.positive, MIXED),
    (E.square, np.square, MIXED),
    (E.sqrt, np.sqrt, POSITIVE),
    (E.square_root, np.sqrt, POSITIVE),
    (E.exp, np.exp, MIXED),
    (E.expm1, np.expm1, MIXED),
    (E.log, np.log, POSITIVE),
    (E.log1p, np.log1p, MIXED[0, 1:]),
    (E.sin, np.sin, MIXED),
    (E.cos, np.cos, MIXED),
    (E.tan, np.tan, MIXED / 2),
    (E.arctan, np.arctan, MIXED),
    (E.sinh, np.sinh, MIXED),
    (E.cosh, np.cosh, MIXED),
    (E.abs, np.abs, MIXED),
    (E.sign, np.sign, MIXED),
]
STEPS = [(E.round, np.rint), (E.floor, np.floor), (E.ceil, np.ceil)]
BINARY = [
    (E.add, np.add),
    (E.subtract, np.subtract),
    (E.multiply, np.multiply),
    (E.divide, np.divide),
    (E.maximum, np.maximum),
    (E.minimum, np.minimum),
    (E.remainder, np.remainder),
]
SHAPES = [
    ((2, 3), (2, 3)),
    ((3, 1), (4,)),
    ((4,), (3, 1)),
    ((2, 3), ()),
    ((), (2, 3)),
    ((1, 1, 2), (3, 2)),
    ((), ()),
]


def name_of(value):
    return getattr(value, "__name__", None)


def gradients(function, *args):
    """The gradients, in float32, of the sum of what a function of 1-D arrays gives."""
    leaves = [Tensor(np.array(a, "float32")) for a in args]
    with np.errstate(all="ignore"):
        y = function(*leaves)
        found = backpropagate([(y, np.ones(y.shape, "float32"))], leaves)
    return [None if g is None else g.tolist() for g in found]


@pytest.mark.parametrize(("function", "reference", "x"), UNARY, ids=name_of)
def test_of_one_number(function, reference, x):
    for array in (x, x[..., :1], x.flat[0]):
        y = check_derivatives(function, np.asarray(array))
        assert_array_equal(y, reference(array))


@pytest.mark.parametrize(("function", "reference"), STEPS, ids=name_of)
def test_steps_have_no_derivative(function, reference):
    x = np.array([0.5, 1.5, -0.5, -1.2, 2.0], "float32")
    assert_array_equal(function(x), reference(x))
    y = function(Tensor(x))
    assert_array_equal(y.value, reference(x))
    assert y.dtype == np.float32
    assert gradients(function, x) == [None]


def test_floor_divide_has_no_derivative():
    assert E.floor_divide([7.0, -7.0], 2).tolist() == [3.0, -4.0]
    assert gradients(E.floor_divide, [7.0], [2.0]) == [None, None]


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize(("function", "reference"), BINARY, ids=name_of)
def test_of_two_numbers(function, reference, shapes):
    random = np.random.RandomState(1)
    # Far from jumps and from ties.
    x = random.uniform(5.2, 5.8, shapes[0])
    y = np.where(random.uniform(size=shapes[1]) < 0.5, 2.2, -7.3)
    value = check_derivatives(function, x, y)
    assert_array_equal(value, reference(x, y))
    assert_array_equal(check_derivatives(function, y, x), reference(y, x))


@pytest.mark.parametrize(("function", "reference"), BINARY, ids=name_of)
def test_with_a_plain_number(function, reference):
    assert_array_equal(check_derivatives(function, OTHER, 3), reference(OTHER, 3))
    assert_array_equal(check_derivatives(function, 3, OTHER), reference(3, OTHER))


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_power(shapes):
    random = np.random.RandomState(2)
    x, y = random.uniform(0.5, 2, shapes[0]), random.uniform(-2, 2, shapes[1])
    assert_allclose(check_derivatives(E.power, x, y), np.power(x, y), rtol=1e-15)


@pytest.mark.parametrize("a", [0, 1, 2, 3, -1, -2, 2.0, np.array([0.0, 1.0, 2.0])], ids=str)
def test_power_of_negative_numbers(a):
    value = check_derivatives(E.pow, MIXED, a, by=[0])
    assert_allclose(value, np.power(MIXED, a, dtype="float64"), rtol=1e-15)


@pytest.mark.parametrize("a", [0.5, -0.5, 1.7])
def test_power_with_a_fraction(a):
    assert_allclose(check_derivatives(E.pow, POSITIVE, a), np.power(POSITIVE, a), rtol=1e-15)


@pytest.mark.parametrize("base", [2, 2.0, np.array([0.5, 2.0, 3.0])], ids=str)
def test_power_by_the_exponent(base):
    assert_allclose(check_derivatives(E.power, base, MIXED), np.power(base, MIXED), rtol=1e-15)


def test_power_where_the_base_is_not_positive():
    x = [0.0, 0.0, 0.0, -2.0, -2.0, -2.0]
    y = [1.0, 2.0, 0.5, 0.0, 2.0, 3.0]
    assert gradients(E.power, x, y) == [[1, 0, INF, 0, -4, 12], [0] * 6]
    # Keras: nan
    assert gradients(E.power, [0.0], [0.0]) == [[0], [0]]
    assert gradients(lambda x: E.power(x, 0), [0.0]) == [[0]]
    # A constant base that is 0 or negative.
    assert gradients(lambda y: E.power(0, y), [2.0]) == [[0]]
    assert gradients(lambda y: E.power(-2.0, y), [2.0]) == [[0]]


@pytest.mark.parametrize(
    ("function", "args", "expected"),
    [
        # What Keras 2.2.4 gives on TensorFlow.
        (E.maximum, ([1, 2, 3], [1, 3, 2]), [[1, 0, 1], [0, 1, 0]]),
        (E.minimum, ([1, 2, 3], [1, 3, 2]), [[1, 1, 0], [0, 0, 1]]),
        (E.abs, ([-1, 0, 1],), [[-1, 0, 1]]),
        (E.sign, ([-1, 0, 1],), [[0, 0, 0]]),
        (E.sqrt, ([-1, 0, 4, NAN],), [[0, INF, 0.25, 0]]),
        (E.log, ([0, -1, 2],), [[INF, -1, 0.5]]),
        (E.divide, ([1, 1], [0, 2]), [[INF, 0.5], [-INF, -0.25]]),
        (E.remainder, ([7, -7, 7], [2, 2, -2]), [[1, 1, 1], [-3, 4, 4]]),
        (
            E.clip,
            ([-1, 0, 0.5, 1, 2, NAN], [0] * 6, [1] * 6),
            [[0, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0]],
        ),
    ],
    ids=name_of,
)
def test_derivatives_at_kinks(function, args, expected):
    assert gradients(function, *args) == expected


def test_square_roots_of_negative_numbers():
    x = np.array([-1.0, 4.0])
    assert E.sqrt(x).tolist() == [0, 2]
    assert E.sqrt(Tensor(x)).value.tolist() == [0, 2]
    with np.errstate(invalid="ignore"):
        assert_array_equal(np.sqrt(Tensor(x)).value, [NAN, 2])
    # Without a warning of 1 / 0.
    leaf = Tensor(x)
    assert backpropagate([(E.sqrt(leaf), np.ones(2))], [leaf])[0].tolist() == [0, 0.25]


@pytest.mark.parametrize(
    "limits",
    [
        (-1, 1),
        (-1.0, None),
        (None, 1.0),
        (0, 0),
        (np.array([-1.0, 0, 1]), np.array([[2.0], [0.5]])),
    ],
    ids=str,
)
def test_clip(limits):
    with np.errstate(invalid="ignore"):
        value = check_derivatives(E.clip, MIXED, *limits)
    low, high = (-INF if limits[0] is None else limits[0], INF if limits[1] is None else limits[1])
    assert_array_equal(value, np.maximum(np.minimum(MIXED, high), low))


@pytest.mark.parametrize("shapes", [((2, 3), (3,), (2, 1)), ((3,), (2, 1), ()), ((), (2,), (3, 1))])
def test_clip_broadcasts(shapes):
    random = np.random.RandomState(3)
    x, low, high = (random.standard_normal(shape) for shape in shapes)
    # Some of the upper limits lie below the lower ones.
    check_derivatives(E.clip, x, low - 0.3, high)


def test_clip_with_the_upper_limit_below_the_lower():
    assert E.clip(np.array([-1.0, 0.5, 2.0]), 1, 0).tolist() == [1, 1, 1]
    x, low, high = [-1, 0.5, 2], [1] * 3, [0] * 3
    assert gradients(E.clip, x, low, high) == [[0] * 3, [1] * 3, [0] * 3]
    # The share of what is equal to the limit stays its own.
    assert gradients(E.clip, [1], [1], [0]) == [[1], [0], [0]]


def test_clip_without_limits():
    assert E.clip(np.array([-9.0, 9.0]), None, None).tolist() == [-9, 9]
    assert gradients(lambda x: E.clip(x, None, None), [-9, 9]) == [[1, 1]]


ALL = [f for f, _, _ in UNARY] + [f for f, _ in STEPS + BINARY] + [E.power, E.floor_divide]


@pytest.mark.parametrize("function", ALL, ids=name_of)
def test_lists_and_numbers(function):
    two = function in [f for f, _ in BINARY] or function in (E.power, E.floor_divide)
    args = ([0.5, 0.25], 0.75) if two else ([0.5, 0.25],)
    y = function(*args)
    assert isinstance(y, np.ndarray)
    assert_array_equal(y, function(*(np.array(a) for a in args)))


@pytest.mark.parametrize("function", [f for f, _, _ in UNARY], ids=name_of)
def test_a_list_of_tensors_is_stacked(function):
    parts = [np.array([0.5, 0.25]), np.array([0.75, 0.1])]
    check_derivatives(function, parts)


@pytest.mark.parametrize(
    ("ufunc", "function", "args"),
    [(r, f, 1) for f, r, _ in UNARY if f is not E.sqrt]
    + [(r, f, 1) for f, r in STEPS]
    + [(r, f, 2) for f, r in BINARY]
    + [(np.power, E.power, 2), (np.floor_divide, E.floor_divide, 2)],
)
def test_numpy_functions_of_tensors(ufunc, function, args):
    arrays = [np.array([0.5, 0.25], "float32"), np.array([0.75, 2.0], "float32")][:args]
    y = ufunc(*(Tensor(a) for a in arrays))
    assert y.op.name == function.__name__
    assert_array_equal(y.value, ufunc(*arrays))
    # An array on the left, and a variable.
    assert ufunc(*arrays[: args - 1], Variable(arrays[-1], name="v")).op is y.op


def test_operators():
    x, y = Tensor(MIXED), Tensor(OTHER)
    pairs = [
        (x + y, MIXED + OTHER),
        (x - 2, MIXED - 2),
        (2 - x, 2 - MIXED),
        (x * OTHER, MIXED * OTHER),
        (OTHER / x, OTHER / MIXED),
        (x // 2, MIXED // 2),
        (7 % y, 7 % OTHER),
        (x**2, MIXED**2),
        (2**x, 2**MIXED),
        (-x, -MIXED),
        (+x, MIXED),
        (abs(x), abs(MIXED)),
    ]
    for found, expected in pairs:
        assert isinstance(found, Tensor)
        assert_array_equal(found.value, expected)


@pytest.mark.parametrize("function", [f for f, _ in BINARY] + [E.power], ids=name_of)
@pytest.mark.parametrize(
    "other", [2, 2.5, np.float64(2.5), np.full(3, 2.5), np.full(3, 2)], ids=repr
)
def test_a_constant_takes_the_type_of_the_tensor(function, other):
    x = Tensor(np.array([1.0, 1.5, 2.0], "float32"))
    for y in (function(x, other), function(other, x)):
        assert y.dtype == np.float32
        (dx,) = backpropagate([(y, np.ones(3, "float32"))], [x])
        assert dx.dtype == np.float32


def test_clip_takes_the_type_of_the_tensor():
    x = Tensor(np.array([1.0, 1.5], "float32"))
    assert E.clip(x, np.float64(0), np.full(2, 1.2)).dtype == np.float32


@pytest.mark.parametrize("function", [f for f, _ in BINARY] + [E.power], ids=name_of)
def test_shapes_that_do_not_fit(function):
    with pytest.raises(ValueError, match=r"\(2,\) \(3,\)"):
        function(Tensor(np.ones(2)), np.ones(3))
