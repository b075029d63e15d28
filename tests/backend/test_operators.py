import operator

import numpy as np
import pytest

from minikeras import backend as K
from minikeras.backend.backpropagation import backpropagate
from minikeras.backend.context import Context
from minikeras.backend.operators import TensorLike, stands_for
from minikeras.backend.running import inside
from minikeras.backend.tape import Tensor
from minikeras.backend.variables import Variable
from tests.backend.derivatives import check_derivatives

A = np.array([[0.5, 1.5, -2.5], [2.25, -1.1, 0.75]])
B = np.array([[1.5, -0.5, 2.0], [0.25, 3.0, -1.25]])
ROW = np.array([2.0, -3.0, 0.5])
COLUMN = np.array([[2.0], [-0.5]])


def tensor(*values):
    return Tensor(np.array(values, "float32"))


ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv]


@pytest.mark.parametrize("function", ARITHMETIC)
@pytest.mark.parametrize("other", [B, ROW, COLUMN, np.array(2.5)], ids=["same", "row", "col", "0"])
def test_arithmetic(function, other):
    check_derivatives(function, A, other)
    check_derivatives(function, other, A)


@pytest.mark.parametrize("function", [*ARITHMETIC, operator.floordiv, operator.mod])
@pytest.mark.parametrize("number", [3, 2.5, np.float64(2.5), np.int64(3), True])
def test_numbers_on_both_sides(function, number):
    x = tensor(1.0, -2.0, 4.0)
    for y, expected in (
        (function(x, number), function(x.value, float(number))),
        (function(number, x), function(float(number), x.value)),
    ):
        assert isinstance(y, Tensor)
        assert y.dtype == np.float32
        np.testing.assert_allclose(y.value, expected, rtol=1e-6)


def test_power():
    check_derivatives(operator.pow, np.abs(A), B)
    check_derivatives(lambda x: x**2, A)
    check_derivatives(lambda x: 2.0**x, A)


def test_matmul():
    check_derivatives(operator.matmul, A, B.T.copy())
    x = tensor([1.0, 2.0], [3.0, 4.0])
    assert (np.eye(2) @ x).value.tolist() == x.value.tolist()
    assert (x @ np.eye(2)).dtype == np.float32


def test_signs():
    check_derivatives(operator.neg, A)
    check_derivatives(operator.abs, A)
    check_derivatives(operator.pos, A)


@pytest.mark.parametrize("name", ["lt", "le", "gt", "ge", "eq", "ne"])
def test_comparisons(name):
    function = getattr(operator, name)
    x, other = tensor(1.0, 2.0, 3.0), np.array([2.0, 2.0, 2.0], "float32")
    assert function(x, other).value.tolist() == function(x.value, other).tolist()
    assert function(other, x).value.tolist() == function(other, x.value).tolist()
    assert function(x, 2).value.tolist() == function(x.value, 2).tolist()
    assert function(2, x).value.tolist() == function(2, x.value).tolist()


def test_logic_of_conditions():
    x = tensor(1.0, 2.0, 3.0)
    inner = (x > 1) & (x < 3)
    assert inner.value.tolist() == [False, True, False]
    assert (~inner).value.tolist() == [True, False, True]
    assert ((x < 2) | (x > 2)).value.tolist() == [True, False, True]
    assert ((x < 2) ^ (x < 3)).value.tolist() == [False, True, False]
    assert (np.array([True, True, False]) & (x > 1)).value.tolist() == [False, True, False]


@pytest.mark.parametrize("make", [Tensor, Variable])
def test_arrays_on_the_left_come_to_the_tensor(make):
    x = make(np.ones(3, "float32"))
    for y in (np.arange(3.0) + x, np.arange(3.0) * x, np.float32(2) - x, np.float64(2) / x):
        assert isinstance(y, Tensor)
        assert y.shape == (3,)


@pytest.mark.parametrize(
    "ufunc",
    [np.exp, np.tanh, np.sin, np.cos, np.square, np.negative, np.absolute],
    ids=lambda f: f.__name__,
)
def test_ufuncs(ufunc):
    check_derivatives(ufunc, A)


@pytest.mark.parametrize("ufunc", [np.maximum, np.minimum, np.add, np.multiply, np.subtract])
def test_ufuncs_of_two(ufunc):
    check_derivatives(ufunc, A, B)
    check_derivatives(ufunc, A, ROW)


METHODS = {
    "sum": (lambda x: x.sum(), lambda x: x.sum(axis=1), lambda x: x.sum(0, keepdims=True)),
    "mean": (lambda x: x.mean(), lambda x: x.mean(axis=-1)),
    "prod": (lambda x: x.prod(axis=1),),
    "max": (lambda x: x.max(axis=1), lambda x: x.max()),
    "min": (lambda x: x.min(axis=0),),
    "std": (lambda x: x.std(axis=1),),
    "var": (lambda x: x.var(axis=0),),
    "reshape": (lambda x: x.reshape(3, 2), lambda x: x.reshape((-1,)), lambda x: x.reshape(6)),
    "transpose": (lambda x: x.transpose(), lambda x: x.transpose(1, 0), lambda x: x.T),
    "swapaxes": (lambda x: x.swapaxes(0, 1),),
    "flatten": (lambda x: x.flatten(),),
    "squeeze": (lambda x: x.reshape(2, 1, 3).squeeze(1),),
    "clip": (lambda x: x.clip(-1, 1),),
    "cumsum": (lambda x: x.cumsum(axis=1), lambda x: x.cumsum()),
    "cumprod": (lambda x: x.cumprod(axis=0),),
    "repeat": (lambda x: x.repeat(2, axis=0),),
    "dot": (lambda x: x.dot(B.T.copy()),),
    "getitem": (
        lambda x: x[0],
        lambda x: x[:, 1:],
        lambda x: x[..., -1],
        lambda x: x[np.newaxis, :, ::2],
        lambda x: x[:, [0, 0, 2]],
        lambda x: x[[True, False]],
        lambda x: x[::-1],
    ),
}


@pytest.mark.parametrize("name", METHODS)
def test_methods(name):
    for function in METHODS[name]:
        check_derivatives(function, A)


def test_methods_without_derivative():
    x = tensor(1.0, 3.0, 2.0)
    assert int(x.argmax()) == 1
    assert int(x.argmin()) == 0
    assert bool((x > 0).all())
    assert not bool((x > 3).any())
    assert x.round().value.tolist() == [1.0, 3.0, 2.0]
    assert x.astype("float64").dtype == np.float64
    assert Tensor.sum.__name__ == "sum"
    assert "derivative" in Tensor.sum.__doc__


def test_iteration_and_unpacking():
    x = Tensor(A.copy())
    first, second = x
    assert len(x) == 2
    found = backpropagate([(first * second, np.ones(3))], [x])[0]
    np.testing.assert_array_equal(found, A[::-1])


def test_a_number_has_no_length():
    with pytest.raises(TypeError, match="has no length"):
        len(Tensor(np.array(1.0)))
    with pytest.raises(TypeError, match="has no length"):
        list(Tensor(np.array(1.0)))


@pytest.mark.parametrize("make", [Tensor, Variable])
def test_what_is_known_of_a_value(make):
    x = make(np.zeros((2, 3), "float32"))
    assert (x.shape, x.ndim, x.size, x.dtype.name) == ((2, 3), 2, 6, "float32")
    assert x.get_shape() == (2, 3)
    assert (np.shape(x), np.ndim(x), np.size(x)) == ((2, 3), 2, 6)


# --- what can't be done -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda x: np.cbrt(x), "np.cbrt"),
        (lambda x: np.linalg.inv(x), "np.inv"),
        (lambda x: np.sort(x), "np.sort"),
        (lambda x: np.median(x), "np.median"),
        (lambda x: np.add.reduce(x), "np.add.reduce"),
        (lambda x: np.multiply.outer(x, x), "np.multiply.outer"),
        (lambda x: np.add(x, 1, dtype="float64"), r"np\.add with dtype="),
        (lambda x: np.exp(x, where=x.value > 0), r"np\.exp with where="),
        (lambda x: np.hypot(x, 1.0), "np.hypot"),
    ],
)
@pytest.mark.parametrize("make", [Tensor, Variable])
def test_unknown_functions_are_named(call, name, make):
    with pytest.raises(TypeError, match=f"{name}.* can't be applied to a tensor.*function of K"):
        call(make(np.eye(2)))


def test_out_is_refused_and_nothing_written():
    x, out = tensor(1.0, 2.0), np.zeros(2, "float32")
    with pytest.raises(TypeError, match="np.add with out="):
        np.add(x, 1, out=out)
    with pytest.raises(TypeError, match="out"):
        np.sum(x, out=out)
    with pytest.raises(TypeError, match="np.multiply with out="):
        out *= x
    assert out.tolist() == [0.0, 0.0]


def test_items_cannot_be_assigned():
    x = tensor(1.0, 2.0)
    with pytest.raises(TypeError, match="item assignment"):
        x[0] = 3.0
    with pytest.raises(TypeError, match="item assignment"):
        Variable(np.ones(2))[0] = 3.0


def test_augmented_assignment_makes_a_new_tensor():
    x = tensor(1.0, 2.0)
    y = x
    y += 1.0
    y *= 2.0
    assert y.value.tolist() == [4.0, 6.0]
    assert x.value.tolist() == [1.0, 2.0]


def test_a_variable_is_added_in_place_where_nothing_is_recorded():
    w = Variable(np.ones(2, "float32"))
    with inside(Context(records=False)):
        y = w * 2.0
        y += w
    assert np.asarray(y).tolist() == [3.0, 3.0]


# --- leaving the tape -------------------------------------------------------------------------


@pytest.mark.parametrize("make", [Tensor, Variable])
@pytest.mark.parametrize(
    "leave", [np.asarray, np.array, float, lambda x: x.__array__()], ids=["as", "array", "f", "_"]
)
def test_values_do_not_leave_a_pass_without_a_word(make, leave):
    x = make(np.ones(()))
    assert float(leave(x)) == 1.0
    with inside(Context()), pytest.raises(TypeError, match="would lose the derivative"):
        leave(x)
    with inside(Context(records=False)):
        assert float(leave(x)) == 1.0


def test_numbers_without_derivative_may_leave():
    with inside(Context()):
        assert np.asarray(Tensor(np.arange(2))).tolist() == [0, 1]
        assert np.asarray(Tensor(np.ones(2)) > 0).tolist() == [True, True]
        assert int(Tensor(np.array(3))) == 3
        assert bool(Tensor(np.array(0.5)) > 0)


def test_array_protocol():
    x = Tensor(np.ones(2, "float32"))
    assert np.asarray(x, "float64").dtype == np.float64
    assert np.array(x) is not x.value
    np.array(x)[0] = 5
    assert x.value.tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match="copy"):
        np.asarray(x, "float64", copy=False)


def test_a_condition_on_several_entries_is_ambiguous():
    with pytest.raises(TypeError, match=r"tensor of shape \(2,\) has no single answer.*K\.switch"):
        bool(tensor(1.0, 2.0) > 1)


# --- registering ------------------------------------------------------------------------------


def test_stands_for_returns_the_function(monkeypatch):
    from minikeras.backend import operators

    monkeypatch.setattr(operators, "_FUNCTIONS", dict(operators._FUNCTIONS))

    @stands_for(np.cbrt, "tilt")
    def tilt(x):
        return "tilted"

    assert np.cbrt(tensor(1.0)) == "tilted"
    assert tilt(1) == "tilted"


def test_every_method_and_operator_is_registered():
    from minikeras.backend.operators import _FUNCTIONS

    wanted = {f for f in _FUNCTIONS if isinstance(f, str)}
    for name in ("getitem", "sum", "mean", "reshape", "transpose", "astype", "clip", "dot"):
        assert name in wanted
        assert name == "getitem" or callable(getattr(TensorLike, name))


def test_variables_take_part():
    w = K.variable([1.0, 2.0])
    y = (w * 2).sum() + np.exp(w)[0]
    assert backpropagate([(y, np.ones_like(y.value))], [w])[0].tolist() == pytest.approx(
        [2 + np.exp(1.0), 2.0], rel=1e-6
    )
