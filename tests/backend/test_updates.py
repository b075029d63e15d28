import numpy as np
import pytest

from minikeras.backend import Variable
from minikeras.backend.context import Context
from minikeras.backend.deferred import placeholder
from minikeras.backend.function import function
from minikeras.backend.running import inside
from minikeras.backend.tape import Tensor
from minikeras.backend.updates import (
    Update,
    moving_average_update,
    update,
    update_add,
    update_sub,
)

NEW = np.array([3.0, 5.0])
CASES = [
    (update, (), [3, 5]),
    (update_add, (), [4, 7]),
    (update_sub, (), [-2, -3]),
    (moving_average_update, (0.75,), [1.5, 2.75]),
]


def fresh():
    return Variable(np.array([1.0, 2.0], "float32"), name="total")


@pytest.mark.parametrize(("change", "rest", "expected"), CASES)
@pytest.mark.parametrize("kind", [np.asarray, list, Tensor, Variable])
def test_at_once(change, rest, expected, kind):
    x = fresh()
    value = x.value
    assert change(x, kind(NEW), *rest) is x
    assert x.value is value  # written in place, so that it stays a part of the model's vector
    assert x.dtype == "float32"
    np.testing.assert_allclose(x.value, expected)


@pytest.mark.parametrize(("change", "rest", "expected"), CASES)
@pytest.mark.parametrize("records", [True, False])
def test_not_in_a_pass(change, rest, expected, records):
    x = fresh()
    with inside(Context(records=records)):
        result = change(x, Tensor(NEW), *rest)
    np.testing.assert_array_equal(x.value, [1, 2])
    assert isinstance(result, Update)
    variable, value = result
    assert variable is result.variable is x
    assert not isinstance(value, Tensor)  # nobody goes back through it
    np.testing.assert_allclose(value, expected)
    assert repr(result) == "<Update of 'total'>"


@pytest.mark.parametrize(("change", "rest", "expected"), CASES)
def test_for_a_function(change, rest, expected):
    x, new = fresh(), placeholder((2,))
    result = change(x, new, *rest)
    assert isinstance(result, Update)
    run = function([new], [new * 2], updates=[result])
    np.testing.assert_array_equal(x.value, [1, 2])
    run([NEW])
    np.testing.assert_allclose(x.value, expected)


def test_each_call_of_a_function_adds():
    x, new = fresh(), placeholder((2,))
    run = function([new], [], updates=[update_add(x, new)])
    run([NEW])
    run([NEW])
    np.testing.assert_array_equal(x.value, [7, 12])


@pytest.mark.parametrize(("change", "rest", "expected"), CASES)
@pytest.mark.parametrize("wrong", [1.0, np.ones((2, 1)), np.ones(3), placeholder((None, 2))])
def test_wrong_shapes(change, rest, expected, wrong):
    message = rf"K.{change.__name__}: variable 'total' has shape \(2,\), got a value of shape \("
    with pytest.raises(ValueError, match=message):
        change(fresh(), wrong, *rest)
    with pytest.raises(ValueError, match=message), inside(Context()):
        change(fresh(), wrong, *rest)


def test_an_unknown_size_may_fit():
    assert isinstance(update(fresh(), placeholder((None,))), Update)


@pytest.mark.parametrize(("change", "rest", "expected"), CASES)
def test_only_variables(change, rest, expected):
    with pytest.raises(TypeError, match=f"K.{change.__name__} changes a variable"):
        change(np.zeros(2), NEW, *rest)
