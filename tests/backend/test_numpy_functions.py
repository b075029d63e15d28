"""NumPy functions and methods on tensors: values against NumPy's own, and derivatives."""

import numpy as np
import pytest

from minikeras.backend import numpy_functions
from minikeras.backend.backpropagation import backpropagate
from minikeras.backend.tape import Tensor
from minikeras.backend.variables import Variable

from .derivatives import check_derivatives

RANDOM = np.random.RandomState(1)
X = RANDOM.standard_normal((2, 3, 4))
Y = RANDOM.standard_normal((2, 3, 4))
CONDITION = RANDOM.standard_normal((3, 4)) > 0


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "name", ["sum", "mean", "prod", "var", "std", "max", "min", "amax", "amin"]
)
@pytest.mark.parametrize(
    "options", [{}, {"axis": 1}, {"axis": (0, -1)}, {"axis": -1, "keepdims": True}], ids=str
)
def test_reductions(name, options):
    function = getattr(np, name)
    check_derivatives(lambda x: apart(function, x, **options), X)
    close(function(Tensor(X), **options).value, function(X, **options))
    if hasattr(np.ndarray, name):
        close(getattr(Tensor(X), name)(**options).value, function(X, **options))
        close(getattr(Tensor(X), name)(1, None, None).value, function(X, 1))


def apart(function, x, *args, **options):
    """Apply a function that is summed in another order for tensors than by NumPy."""
    y = function(x, *args, **options)
    return y if isinstance(y, Tensor) else function(Tensor(x), *args, **options).value


@pytest.mark.parametrize("axis", [None, 0, -1])
def test_along_one_axis_or_through_all(axis):
    for name in ("cumsum", "cumprod"):
        function = getattr(np, name)
        close(check_derivatives(function, X[0], axis=axis), function(X[0], axis))
        close(getattr(Tensor(X), name)(axis).value, function(X, axis))
    for name in ("argmax", "argmin"):
        function = getattr(np, name)
        y = function(Tensor(X), axis)
        np.testing.assert_array_equal(y.value, function(X, axis))
        np.testing.assert_array_equal(getattr(Tensor(X), name)(axis).value, y.value)
        y = function(Tensor(X), axis, keepdims=True)
        np.testing.assert_array_equal(y.value, function(X, axis, keepdims=True))


def test_any_and_all():
    for name in ("any", "all"):
        function = getattr(np, name)
        for options in ({}, {"axis": 0}, {"axis": (0, 1), "keepdims": True}):
            expected = function(CONDITION, **options)
            np.testing.assert_array_equal(function(Tensor(CONDITION), **options), expected)
            np.testing.assert_array_equal(getattr(Tensor(CONDITION), name)(**options), expected)


@pytest.mark.parametrize(
    ("name", "arrays", "options"),
    [
        ("reshape", (X,), {"shape": (6, -1)}),
        ("ravel", (X,), {}),
        ("expand_dims", (X,), {"axis": (0, 2)}),
        ("squeeze", (X[:1, :, :1],), {}),
        ("squeeze", (X[:1, :, :1],), {"axis": 0}),
        ("transpose", (X,), {}),
        ("transpose", (X,), {"axes": (1, 2, 0)}),
        ("swapaxes", (X,), {"axis1": 0, "axis2": -1}),
        ("moveaxis", (X,), {"source": 0, "destination": -1}),
        ("moveaxis", (X,), {"source": (0, 2), "destination": (1, 0)}),
        ("flip", (X,), {}),
        ("flip", (X,), {"axis": (0, -1)}),
        ("broadcast_to", (X[:, :1],), {"shape": (2, 2, 3, 4)}),
        ("pad", (X,), {"pad_width": 1}),
        ("pad", (X,), {"pad_width": (1, 2), "mode": "constant", "constant_values": 0}),
        ("pad", (X,), {"pad_width": ((0, 1), (2, 0), (1, 1))}),
        ("repeat", (X,), {"repeats": 2}),
        ("repeat", (X,), {"repeats": 2, "axis": 1}),
        ("repeat", (X,), {"repeats": [0, 2, 1], "axis": -2}),
        ("tile", (X,), {"reps": 2}),
        ("tile", (X,), {"reps": (2, 1)}),
        ("tile", (X[0],), {"reps": (2, 1, 3)}),
        ("take", (X,), {"indices": [0, 5, 5]}),
        ("take", (X,), {"indices": [[0, 2], [2, 2]], "axis": -1}),
        ("take", (X,), {"indices": 1, "axis": 0}),
        ("round", (X,), {}),
        ("around", (X,), {"decimals": 1}),
        ("clip", (X,), {"a_min": -0.5, "a_max": 0.5}),
        ("clip", (X,), {"a_min": None, "a_max": 0.5}),
        ("clip", (X,), {"min": 0.25}),
        ("concatenate", ([X, Y],), {}),
        ("concatenate", ([X, Y],), {"axis": -1}),
        ("concatenate", ([X, Y],), {"axis": None}),
        ("stack", ([X, Y],), {}),
        ("stack", ([X, Y],), {"axis": -1}),
        ("vstack", ([X[0], Y[0, :1], Y[0, 0]],), {}),
        ("hstack", ([X[0], Y[0]],), {}),
        ("hstack", ([X[0, 0], Y[0, 1]],), {}),
        ("outer", (X[0], Y[0, 0]), {}),
        ("copy", (X,), {}),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value) * isinstance(value, dict),
)
def test_shapes_and_parts(name, arrays, options):
    function = getattr(np, name)
    close(check_derivatives(function, *arrays, **options), function(*arrays, **options))


@pytest.mark.parametrize(
    ("call", "by"),
    [
        (lambda x, y: np.where(CONDITION, x, y), None),
        (lambda x, y: np.where(CONDITION, x[0], y), None),
        (lambda x, y: np.where(CONDITION, x, 0.0), [0]),
        (lambda x, y: np.where(x > 0, x, y), None),
        (lambda x, y: np.full_like(x, 2.0) * x, [0]),
        (lambda x, y: np.split(x, 2, axis=-1)[1], [0]),
        (lambda x, y: np.split(x, [1, 3], axis=2)[0], [0]),
        (lambda x, y: np.split(x, [1, 3], axis=2)[1], [0]),
        (lambda x, y: np.split(x, [1, 3], axis=2)[2], [0]),
        (lambda x, y: x.reshape(4, 6), [0]),
        (lambda x, y: x.reshape((-1, 6)), [0]),
        (lambda x, y: x.reshape(-1), [0]),
        (lambda x, y: x.flatten(), [0]),
        (lambda x, y: x.transpose(), [0]),
        (lambda x, y: x.T, [0]),
        (lambda x, y: x.transpose(2, 0, 1), [0]),
        (lambda x, y: x.transpose((2, 0, 1)), [0]),
        (lambda x, y: x[0, 0].transpose(0), [0]),
        (lambda x, y: x.swapaxes(0, 1), [0]),
        (lambda x, y: x[:1].squeeze(), [0]),
        (lambda x, y: x[:1].squeeze(0), [0]),
        (lambda x, y: x.repeat(2, axis=1), [0]),
        (lambda x, y: x.clip(-0.5, 0.5), [0]),
        (lambda x, y: x.astype(x.dtype) * y, None),
        (lambda x, y: np.zeros_like(x) + np.ones_like(y) * x, [0]),
    ],
)
def test_expressions(call, by):
    close(check_derivatives(call, X, Y, by=by), call(X, Y))


@pytest.mark.parametrize(
    ("call", "shapes"),
    [
        (np.dot, [(2, 3), (3, 4)]),
        (np.dot, [(2, 2, 3), (2, 3, 2)]),
        (np.dot, [(3,), (3,)]),
        (np.dot, [(), (2, 2)]),
        (lambda x, y: method_dot(x, y), [(2, 3), (3, 4)]),
        (np.tensordot, [(2, 2, 3), (2, 3, 4)]),
        (lambda x, y: np.tensordot(x, y, 1), [(2, 3), (3, 4)]),
        (lambda x, y: np.tensordot(x, y, 0), [(2, 3), (2,)]),
        (lambda x, y: np.tensordot(x, y, (1, -1)), [(2, 3), (4, 3)]),
        (lambda x, y: np.tensordot(x, y, ((0, 2), (2, 1))), [(2, 2, 3), (4, 3, 2)]),
        (lambda x, y: np.einsum("bij,bkj->bik", x, y, optimize=True), [(2, 3, 4), (2, 2, 4)]),
    ],
)
def test_products(call, shapes):
    x, y = (RANDOM.standard_normal(shape) for shape in shapes)
    close(check_derivatives(lambda x, y: plainly(call, x, y), x, y), call(x, y))


def method_dot(x, y):
    """Return ``x.dot(y)``; an array's own method knows nothing of tensors."""
    return (x if isinstance(x, Tensor) else Tensor(x)).dot(y)


def plainly(call, x, y):
    """Apply a product that NumPy computes in another order for arrays."""
    if isinstance(x, Tensor) or isinstance(y, Tensor):
        return call(x, y)
    return call(Tensor(x), y).value


@pytest.mark.parametrize(
    "options",
    [{}, {"axis": 1}, {"axis": 1, "ord": 2, "keepdims": True}, {"axis": (0, 1), "ord": "fro"}],
    ids=str,
)
def test_norm(options):
    y = check_derivatives(lambda x: apart(np.linalg.norm, x, **options), X)
    close(y, np.linalg.norm(X, **options))


def test_what_says_something_about_a_tensor():
    x = Variable(X)
    assert np.shape(x) == (2, 3, 4)
    assert np.ndim(x) == 3
    assert np.size(x) == 24
    assert np.size(x, 1) == 3
    assert np.size(x, (0, 1)) == 6


def test_types():
    x = Tensor(X.astype("float32"))
    for y in (
        np.full_like(x, 2.0),
        np.where(CONDITION, x, 0.0),
        np.where(CONDITION, x, Y),
        np.ones_like(x),
        np.linalg.norm(x),
        np.round(x, 1),
        np.clip(x, 0, None),
        x.astype("float64").astype(np.float32, copy=False),
    ):
        assert y.value.dtype == np.float32
    assert np.zeros_like(x, "int32").value.dtype == np.int32
    assert x.astype("float64").value.dtype == np.float64


def test_a_gradient_passes_through_a_change_of_type():
    x = Tensor(X.astype("float32"))
    (dx,) = backpropagate([(x.astype("float64"), Y)], [x])
    assert dx.dtype == np.float32
    close(dx, Y.astype("float32"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: np.sum(x, dtype="float64"), "np.sum .* dtype='float64'"),
        (lambda x: np.sum(x, 0, "float64"), r"np.sum .* \('float64',\)"),
        (lambda x: np.mean(x, out=np.zeros(())), "np.mean .* out="),
        (lambda x: np.cumsum(x, 0, None, X), "np.cumsum .* further arguments"),
        (lambda x: np.max(x, initial=3.0), "np.max .* initial=3.0"),
        (lambda x: np.max(x, initial=0), "np.max .* initial=0"),
        (lambda x: np.sum(x, where=CONDITION), "np.sum .* where="),
        (lambda x: np.var(x, ddof=1), "np.var .* ddof=1"),
        (lambda x: x.std(ddof=1), "np.std .* ddof=1"),
        (lambda x: np.cumsum(x, 0, dtype="float32"), "np.cumsum .* dtype="),
        (lambda x: np.reshape(x, (6, 4), order="F"), "np.reshape .* order='F'"),
        (lambda x: x.reshape(6, 4, order="F"), "reshape .* order='F'"),
        (lambda x: x.flatten("F"), "order='F'"),
        (lambda x: np.zeros_like(x, shape=(2,)), r"np.zeros_like .* shape=\(2,\)"),
        (lambda x: np.ones_like(x, order="F"), "np.ones_like .* order='F'"),
        (lambda x: np.full_like(x, 1.0, shape=(2,)), "np.full_like .* shape="),
        (lambda x: np.clip(x, 0, 1, out=X), "np.clip .* out="),
        (lambda x: np.round(x, 1, X), "np.round .* further arguments"),
        (lambda x: np.take(x, 1, mode="wrap"), "np.take .* mode='wrap'"),
        (lambda x: np.pad(x, 1, mode="edge"), "mode='edge'"),
        (lambda x: np.pad(x, 1, constant_values=1), "constant_values=1"),
        (lambda x: np.broadcast_to(x, (2, 2, 3, 4), subok=True), "subok=True"),
        (lambda x: np.concatenate([x], out=X), "np.concatenate .* out="),
        (lambda x: np.stack([x], dtype="float32"), "np.stack .* dtype="),
        (lambda x: np.vstack([x], dtype="float32"), "np.vstack .* dtype="),
        (lambda x: np.hstack([x], dtype="float32"), "np.hstack .* dtype="),
        (lambda x: np.dot(x, X.T, out=X), "np.dot .* out="),
        (lambda x: np.outer(x, X, out=X), "np.outer .* out="),
        (lambda x: np.einsum("ijk->i", x, out=X), "np.einsum .* out="),
        (lambda x: np.einsum(x, [0, 1, 2]), "letters first"),
        (lambda x: np.linalg.norm(x, 1, axis=0), "ord=1 over 1 axes"),
        (lambda x: np.linalg.norm(x, 2, axis=(0, 1)), "ord=2 over 2 axes"),
        (lambda x: np.median(x), "np.median"),
        (lambda x: np.where(x > 0), "np.where .* three arguments"),
    ],
)
def test_what_no_derivative_knows_is_refused(call, message):
    with pytest.raises(TypeError, match=message):
        call(Tensor(X))


def test_arguments_that_say_nothing_new_are_taken():
    x = Tensor(X)
    close(np.sum(x, 0, None, None, where=True).value, X.sum(0))
    close(np.var(x, ddof=0).value, X.var())
    assert np.reshape(x, (6, 4), order="C").shape == (6, 4)
    assert np.concatenate([x, x], casting="same_kind").shape == (4, 3, 4)


def test_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match="axis 0 of size 2 has no 3 equal parts"):
        np.split(Tensor(X), 3)
    with pytest.raises(ValueError, match=r"\(2, 3, 4\) and axes \[0, 1\] of shape \(2, 3, 4\)"):
        np.tensordot(Tensor(X), X)


def test_where_on_plain_arrays():
    assert type(numpy_functions.where(CONDITION, X, Y)) is np.ndarray
