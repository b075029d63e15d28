"""Activation functions by name, and their derivatives for the layers that apply them.

A layer asks `forward_backward` for the pair of operations that belongs to a function. Arithmetic
is done in `minikeras.ops.activation`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from minikeras.backend import floatx
from minikeras.ops import activation as ops
from minikeras.utils.registry import Registry

__all__ = [
    "Pair",
    "as_floats",
    "deserialize",
    "elu",
    "exponential",
    "forward_backward",
    "get",
    "hard_sigmoid",
    "linear",
    "relu",
    "selu",
    "serialize",
    "sigmoid",
    "softmax",
    "softplus",
    "softsign",
    "tanh",
    "with_gradient",
]


def softmax(x: ArrayLike, axis: int = -1) -> np.ndarray:
    """Turn scores into probabilities: ``exp(x) / sum(exp(x))``.

    Parameters
    ----------
    x : array (batch, ..., classes)
    axis : int
        The axis over which the result sums to 1. Default -1. (Keras 2.2.4 ignores it for an
        array of rank 2.)

    Returns
    -------
    ndarray
        Of the shape of `x`.

    Raises
    ------
    ValueError
        If `x` has fewer than two axes.

    Examples
    --------
    >>> softmax([[0.0, 0.0]])
    array([[0.5, 0.5]], dtype=float32)
    """
    x = as_floats(x)
    if x.ndim < 2:
        raise ValueError(
            f"Cannot apply softmax to an array of rank {x.ndim}: expected (batch, ..., classes), "
            f"got shape {x.shape}. A single sample is x[None, :]."
        )
    return ops.softmax(x, axis=axis)


def elu(x: ArrayLike, alpha: float = 1.0) -> np.ndarray:
    """Exponential linear unit: ``x`` where positive, else ``alpha * (exp(x) - 1)``.

    Parameters
    ----------
    x : array
    alpha : float
        What the function tends to for large negative ``x``, negated. Default 1.

    References
    ----------
    Clevert et al. 2015, https://arxiv.org/abs/1511.07289

    Examples
    --------
    >>> elu([1.0, 0.0, -1000.0], alpha=0.5)
    array([ 1. ,  0. , -0.5], dtype=float32)
    """
    return _apply(ops.elu, x, alpha=float(alpha))


def selu(x: ArrayLike) -> np.ndarray:
    """Scaled exponential linear unit: ``1.0507 * elu(x, alpha=1.67326)``.

    With the initializer `lecun_normal` and `AlphaDropout`, mean 0 and variance 1 are kept from
    layer to layer.

    References
    ----------
    Klambauer et al. 2017, https://arxiv.org/abs/1706.02515

    Examples
    --------
    >>> selu([1.0, 0.0]).round(4)
    array([1.0507, 0.    ], dtype=float32)
    """
    return _apply(ops.selu, x)


def softplus(x: ArrayLike) -> np.ndarray:
    """Smooth rectifier: ``log(1 + exp(x))``.

    Examples
    --------
    >>> softplus([0.0, 1000.0]).round(4)
    array([6.931e-01, 1.000e+03], dtype=float32)
    """
    return _apply(ops.softplus, x)


def softsign(x: ArrayLike) -> np.ndarray:
    """Return ``x / (1 + |x|)``, between -1 and 1.

    Examples
    --------
    >>> softsign([1.0, -3.0])
    array([ 0.5 , -0.75], dtype=float32)
    """
    return _apply(ops.softsign, x)


def relu(
    x: ArrayLike, alpha: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> np.ndarray:
    """Rectified linear unit; with the default arguments ``max(x, 0)``.

    Parameters
    ----------
    x : array
    alpha : float
        Slope below the threshold. Default 0.
    max_value : float, optional
        Ceiling of the result. None (default): no ceiling.
    threshold : float
        Below it the result is ``alpha * (x - threshold)``. Default 0.

    Examples
    --------
    >>> relu([-2.0, 3.0, 8.0])
    array([0., 3., 8.], dtype=float32)
    >>> relu([-2.0, 3.0, 8.0], alpha=0.5, max_value=6)
    array([-1.,  3.,  6.], dtype=float32)
    """
    if alpha == 0 and max_value is None and threshold == 0:
        return _apply(ops.relu, x)
    ceiling = None if max_value is None else float(max_value)
    return _apply(
        ops.relu_general, x, alpha=float(alpha), max_value=ceiling, threshold=float(threshold)
    )


def tanh(x: ArrayLike) -> np.ndarray:
    """Hyperbolic tangent.

    Examples
    --------
    >>> tanh([0.0, 50.0])
    array([0., 1.], dtype=float32)
    """
    return _apply(ops.tanh, x)


def sigmoid(x: ArrayLike) -> np.ndarray:
    """Logistic function: ``1 / (1 + exp(-x))``.

    Examples
    --------
    >>> sigmoid([0.0, 1000.0])
    array([0.5, 1. ], dtype=float32)
    """
    return _apply(ops.sigmoid, x)


def hard_sigmoid(x: ArrayLike) -> np.ndarray:
    """Piecewise linear sigmoid: ``0.2 * x + 0.5``, cut off at 0 and 1.

    Examples
    --------
    >>> hard_sigmoid([-3.0, 0.0, 1.0])
    array([0. , 0.5, 0.7], dtype=float32)
    """
    return _apply(ops.hard_sigmoid, x)


def exponential(x: ArrayLike) -> np.ndarray:
    """Return ``exp(x)``.

    Examples
    --------
    >>> exponential([0.0])
    array([1.], dtype=float32)
    """
    return _apply(ops.exponential, x)


def linear(x: Any) -> Any:
    """Return `x` itself.

    Examples
    --------
    >>> linear(3.0)
    3.0
    """
    return x


def as_floats(x: ArrayLike) -> np.ndarray:
    """Return an array of floats as it is, and anything else as an array of type `floatx()`."""
    if isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind == "f":
        return np.asarray(x)
    return np.asarray(x, dtype=floatx())


def _apply(op: Callable[..., np.ndarray], x: ArrayLike, **options: Any) -> np.ndarray:
    x = as_floats(x)
    # NumPy turns results of rank 0 into scalars, which nothing can be written to.
    return op(np.atleast_1d(x), **options).reshape(x.shape)


class Pair(NamedTuple):
    """What a layer needs of an activation function.

    Parameters
    ----------
    forward : callable
        ``forward(x, out=None) -> y``; `out` receives the result.
    backward : callable
        ``backward(dy, y, out=None) -> dx``; `out` may be `dy`. With `needs_input`, the second
        argument is `x` and not `y`.
    needs_input : bool
        False (default): `out` of `forward` may be `x`, and a layer keeps `y`. True: a layer
        keeps `x`, so `forward` must not overwrite it.
    """

    forward: Callable[..., np.ndarray]
    backward: Callable[..., np.ndarray]
    needs_input: bool = False


class with_gradient:
    """Make an activation function of your own from a function and its derivative.

    Parameters
    ----------
    forward : callable
        ``forward(x) -> y``, elementwise or not, but of the shape of `x`.
    backward : callable
        ``backward(dy, y) -> dx``: the gradient with respect to `x` from that with respect to
        `y`. With `needs_input` it is called as ``backward(dy, x)``. It must write to neither.
    needs_input : bool
        Whether `backward` wants `x` rather than `y`. A layer then keeps `x` for it. Default
        False.

    Notes
    -----
    The result is a function of the name of `forward`, to be given as ``activation=``. To load a
    saved model, give it in ``custom_objects`` by that name.

    Examples
    --------
    >>> import numpy as np
    >>> def swish(x):
    ...     return x * sigmoid(x)
    >>> def swish_backward(dy, x):
    ...     s = sigmoid(x)
    ...     return dy * s * (1 + x * (1 - s))
    >>> function = with_gradient(swish, swish_backward, needs_input=True)
    >>> function.__name__, function(np.zeros(2))
    ('swish', array([0., 0.]))
    >>> forward_backward(function).backward(np.ones(2), np.zeros(2))
    array([0.5, 0.5])
    """

    def __init__(
        self,
        forward: Callable[[np.ndarray], np.ndarray],
        backward: Callable[[np.ndarray, np.ndarray], np.ndarray],
        needs_input: bool = False,
    ) -> None:
        self.function = forward
        self.derivative = backward
        self.__name__ = getattr(forward, "__name__", type(forward).__name__)
        self.pair = Pair(self._forward, self._backward, needs_input)

    def __call__(self, x: ArrayLike) -> np.ndarray:
        """Return the function's value."""
        return self._forward(as_floats(x))

    def _forward(self, x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        return self._like(x, self.function(x), out, "forward")

    def _backward(
        self, dy: np.ndarray, kept: np.ndarray, out: np.ndarray | None = None
    ) -> np.ndarray:
        return self._like(dy, self.derivative(dy, kept), out, "backward")

    def _like(
        self, given: np.ndarray, result: ArrayLike, out: np.ndarray | None, which: str
    ) -> np.ndarray:
        """Bring the user's result to the type of the argument, and into `out`."""
        result = np.asarray(result)
        if result.shape != given.shape:
            raise ValueError(
                f"The {which} function of activation '{self.__name__}' must return an array of "
                f"the shape {given.shape} of its first argument; it returned {result.shape}."
            )
        if out is None:
            return result.astype(given.dtype, copy=False)
        np.copyto(out, result, casting="same_kind")
        return out


_PAIRS: dict[Callable, Pair] = {
    softmax: Pair(ops.softmax, ops.softmax_backward),
    elu: Pair(ops.elu, ops.elu_backward),
    selu: Pair(ops.selu, ops.selu_backward),
    softplus: Pair(ops.softplus, ops.softplus_backward),
    softsign: Pair(ops.softsign, ops.softsign_backward),
    relu: Pair(ops.relu, ops.relu_backward),
    tanh: Pair(ops.tanh, ops.tanh_backward),
    sigmoid: Pair(ops.sigmoid, ops.sigmoid_backward),
    hard_sigmoid: Pair(ops.hard_sigmoid, ops.hard_sigmoid_backward),
    exponential: Pair(ops.exponential, ops.exponential_backward),
    linear: Pair(ops.linear, ops.linear_backward),
}

_registry = Registry("activation function", {f.__name__: f for f in _PAIRS})


def forward_backward(function: Callable) -> Pair:
    """Return the operations of `function`, with its default arguments, and of its derivative.

    This is the one place where a callable becomes a pair.

    Parameters
    ----------
    function : callable
        A function of this module or one made by `with_gradient`.

    Raises
    ------
    NotImplementedError
        If the derivative of `function` is not known.

    Examples
    --------
    >>> import numpy as np
    >>> pair = forward_backward(tanh)
    >>> y = pair.forward(np.zeros(3))
    >>> pair.backward(np.ones(3), y)
    array([1., 1., 1.])
    """
    pair = getattr(function, "pair", None)
    if not isinstance(pair, Pair):
        pair = _PAIRS.get(function)
    if pair is None:
        name = getattr(function, "__name__", repr(function))
        raise NotImplementedError(
            f"The derivative of the activation function {name} is not known, so a layer cannot "
            f"be trained with it. Give it with minikeras.activations.with_gradient(forward, "
            f"backward). (Advanced activations such as LeakyReLU are layers: add them to the "
            f"model by themselves.) Known: {', '.join(f.__name__ for f in _PAIRS)}."
        )
    return pair


def get(identifier: str | Callable | Mapping | None) -> Callable:
    """Return the activation function that `identifier` names.

    Parameters
    ----------
    identifier : str, callable or None
        A name; a function, which is returned as it is; None means `linear`.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If `identifier` is none of these.

    Examples
    --------
    >>> get("tanh") is tanh, get(None) is linear
    (True, True)
    """
    return linear if identifier is None else _registry.get(identifier)


def serialize(activation: Callable) -> Any:
    """Return the name of an activation function.

    Examples
    --------
    >>> serialize(relu)
    'relu'
    """
    return _registry.serialize(activation)


def deserialize(name: str | Mapping, custom_objects: Mapping[str, Any] | None = None) -> Callable:
    """Return the activation function called `name`.

    Parameters
    ----------
    name : str
    custom_objects : dict, optional
        Names that are known in this call only.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    return _registry.deserialize(name, custom_objects)
