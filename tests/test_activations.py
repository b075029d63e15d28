"""Activation functions by name: the registry, pairs, and agreement with Keras."""

import pickle

import numpy as np
import pytest

import minikeras.backend as K
from minikeras import activations
from minikeras.ops import activation as ops
from minikeras.testing import check_gradients
from minikeras.utils.registry import CustomObjectScope
from tests.golden.reader import iter_functions

NAMES = [
    "elu",
    "exponential",
    "hard_sigmoid",
    "linear",
    "relu",
    "selu",
    "sigmoid",
    "softmax",
    "softplus",
    "softsign",
    "tanh",
]
every = pytest.mark.parametrize("name", NAMES)


def swish(x):
    return x * activations.sigmoid(x)


def swish_backward(dy, x):
    s = activations.sigmoid(x)
    return dy * s * (1 + x * (1 - s))


def cube(x):
    return x**3


def cube_backward(dy, y):
    return dy * 3 * np.cbrt(y) ** 2


@every
def test_by_name_by_function_and_back(name):
    function = activations.get(name)
    assert function is getattr(activations, name)
    assert activations.get(function) is function
    assert activations.deserialize(name) is function
    assert activations.serialize(function) == name


def test_the_registry_is_complete():
    assert sorted(activations._registry.entries) == NAMES


def test_none_is_linear():
    assert activations.get(None) is activations.linear


def test_unknown_name_gets_the_closest():
    with pytest.raises(ValueError, match=r"Unknown activation function 'rleu'.*'relu'"):
        activations.get("rleu")


def test_get_refuses_what_is_no_function():
    with pytest.raises(TypeError, match="activation function"):
        activations.get(3)


def test_custom_objects():
    assert activations.deserialize("cube", {"cube": cube}) is cube
    with CustomObjectScope({"cube": cube}):
        assert activations.get("cube") is cube


@every
def test_lists_and_whole_numbers_become_floatx(name):
    function = activations.get(name)
    if name == "linear":
        assert function([1, 2]) == [1, 2]
        return
    for x in ([[1, -2]], np.array([[1, -2]]), [[1.0, -2.0]]):
        assert function(x).dtype == np.float32
    K.set_floatx("float64")
    assert function([[1, -2]]).dtype == np.float64


@every
def test_arrays_keep_their_type_and_values(name):
    x = np.linspace(-3, 3, 12, dtype=np.float64).reshape(3, 4)
    before = x.copy()
    assert activations.get(name)(x).dtype == np.float64
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"softmax"}))
def test_single_numbers(name):
    y = activations.get(name)(np.float32(0.5))
    assert np.shape(y) == ()
    expected = activations.get(name)(np.array([0.5], np.float32))[0]
    assert y == expected


def test_softmax_needs_two_axes():
    with pytest.raises(ValueError, match=r"Cannot apply softmax to an array of rank 1.*\(3,\)"):
        activations.softmax(np.ones(3))


def test_softmax_along_the_first_axis():
    y = activations.softmax(np.zeros((4, 2)), axis=0)
    np.testing.assert_allclose(y, 0.25)


@every
def test_pair_is_that_of_the_function(name):
    function = activations.get(name)
    pair = activations.forward_backward(function)
    assert not pair.needs_input
    x = np.random.normal(size=(3, 4)).astype(np.float32)
    out = x.copy()
    y = pair.forward(out, out)
    assert y is out
    np.testing.assert_array_equal(y, function(x))
    dy = np.random.normal(size=(3, 4)).astype(np.float32)
    expected = getattr(ops, f"{name}_backward")(dy, y).copy()
    assert pair.backward(dy, y, out=dy) is dy
    np.testing.assert_array_equal(dy, expected)


@pytest.mark.parametrize("function", [cube, lambda x: x, np.tanh])
def test_functions_in_terms_of_k_and_numpy(function):
    check_gradients(function, np.random.normal(size=(3, 4)))


def test_no_derivative_of_what_is_no_tensor():
    pair = activations.forward_backward(lambda x: x.value * 2 if hasattr(x, "value") else x * 2)
    np.testing.assert_array_equal(pair.forward(np.ones((1, 2))), [[2, 2]])
    with pytest.raises(TypeError, match=r"function <lambda> is not known.*with_gradient"):
        pair.backward(np.ones((1, 2)), np.ones((1, 2)))


def test_own_function_of_its_output():
    function = activations.with_gradient(cube, cube_backward)
    assert activations.get(function) is function
    assert activations.serialize(function) == "cube"
    pair = activations.forward_backward(function)
    assert not pair.needs_input
    x = np.array([[-2.0, 1.0, 3.0]])
    y = pair.forward(x.copy(), out=np.empty_like(x))
    np.testing.assert_allclose(y, [[-8, 1, 27]])
    np.testing.assert_allclose(function(x), y)
    dy = np.ones_like(x)
    assert pair.backward(dy, y, out=dy) is dy
    np.testing.assert_allclose(dy, [[12, 3, 27]])


def test_own_function_of_its_input():
    pair = activations.forward_backward(
        activations.with_gradient(swish, swish_backward, needs_input=True)
    )
    assert pair.needs_input
    x, step = np.linspace(-3, 3, 7), 1e-6
    expected = (swish(x + step) - swish(x - step)) / (2 * step)
    np.testing.assert_allclose(pair.backward(np.ones(7), x), expected, rtol=1e-8)


def test_own_function_keeps_float32():
    double = np.float64(2.0)
    function = activations.with_gradient(lambda x: x * double, lambda dy, y: dy * double)
    x = np.ones((2, 2), np.float32)
    pair = activations.forward_backward(function)
    for result in (function(x), pair.forward(x), pair.forward(x, x.copy()), pair.backward(x, x)):
        assert result.dtype == np.float32
        np.testing.assert_array_equal(result, 2)


@pytest.mark.parametrize("which", ["forward", "backward"])
def test_own_function_of_wrong_shape(which):
    pair = activations.with_gradient(lambda x: x.sum(), lambda dy, y: dy.sum()).pair
    with pytest.raises(ValueError, match=rf"The {which} function of activation '<lambda>'.*\(2,\)"):
        pair.forward(np.ones(2)) if which == "forward" else pair.backward(np.ones(2), np.ones(2))


def test_own_function_can_be_pickled():
    function = pickle.loads(pickle.dumps(activations.with_gradient(cube, cube_backward)))
    assert activations.forward_backward(function).forward(np.full(1, 2.0)) == 8


@pytest.mark.parametrize("case", list(iter_functions("activations.npz")), ids=str)
def test_agrees_with_keras(case):
    x, dy = case.arrays["x"], case.arrays["dy"]
    function = activations.get(case.function)
    y = function(x, **case.kwargs)
    if case.function == "relu" and case.kwargs:
        dx = ops.relu_general_backward(dy, x, **case.kwargs)
    else:
        dx = getattr(ops, f"{case.function}_backward")(dy, y, **case.kwargs)
    for found, expected in ((y, case.arrays["y"]), (dx, case.arrays["dx"])):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
