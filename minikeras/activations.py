"""Activation functions by name, and their derivatives for the layers that apply them.

A layer asks `forward_backward` for the pair of operations that belongs to a function. Arithmetic
is done in `minikeras.ops.activation`. A function of your own is written in terms of `K`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from minikeras.backend import nn
from minikeras.backend.backpropagation import backpropagate, warn_of_variables
from minikeras.backend.context import Context
from minikeras.backend.nn import as_floats
from minikeras.backend.operators import TensorLike
from minikeras.backend.running import inside
from minikeras.backend.tape import Tensor, differentiable, value_of
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


def softmax(x: Any, axis: int = -1) -> Any:
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
    x = x if isinstance(x, TensorLike) else as_floats(x)
    if x.ndim < 2:
        raise ValueError(
            f"Cannot apply softmax to an array of rank {x.ndim}: expected (batch, ..., classes), "
            f"got shape {x.shape}. A single sample is x[None, :]."
        )
    return nn.softmax(x, axis=axis)


def elu(x: Any, alpha: float = 1.0) -> Any:
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
    return nn.elu(x, alpha)


def selu(x: Any) -> Any:
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
    return _applied(x, _PAIRS[selu])


def softplus(x: Any) -> Any:
    """Smooth rectifier: ``log(1 + exp(x))``.

    Examples
    --------
    >>> softplus([0.0, 1000.0]).round(4)
    array([6.931e-01, 1.000e+03], dtype=float32)
    """
    return nn.softplus(x)


def softsign(x: Any) -> Any:
    """Return ``x / (1 + |x|)``, between -1 and 1.

    Examples
    --------
    >>> softsign([1.0, -3.0])
    array([ 0.5 , -0.75], dtype=float32)
    """
    return nn.softsign(x)


def relu(x: Any, alpha: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
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
    return nn.relu(x, alpha, max_value, threshold)


def tanh(x: Any) -> Any:
    """Hyperbolic tangent.

    Examples
    --------
    >>> tanh([0.0, 50.0])
    array([0., 1.], dtype=float32)
    """
    return nn.tanh(x)


def sigmoid(x: Any) -> Any:
    """Logistic function: ``1 / (1 + exp(-x))``.

    Examples
    --------
    >>> sigmoid([0.0, 1000.0])
    array([0.5, 1. ], dtype=float32)
    """
    return nn.sigmoid(x)


def hard_sigmoid(x: Any) -> Any:
    """Piecewise linear sigmoid: ``0.2 * x + 0.5``, cut off at 0 and 1.

    Examples
    --------
    >>> hard_sigmoid([-3.0, 0.0, 1.0])
    array([0. , 0.5, 0.7], dtype=float32)
    """
    return nn.hard_sigmoid(x)


def exponential(x: Any) -> Any:
    """Return ``exp(x)``.

    Examples
    --------
    >>> exponential([0.0])
    array([1.], dtype=float32)
    """
    return _applied(x, _PAIRS[exponential])


def linear(x: Any) -> Any:
    """Return `x` itself.

    Examples
    --------
    >>> linear(3.0)
    3.0
    """
    return x


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


# In it nothing is recorded.
_NO_PASS = Context(records=False)


@differentiable(lambda dy, kept, x, pair: pair.backward(dy, kept), keeps=True)
def _applied(x: Any, pair: Pair) -> Any:
    """Apply the forward op of a pair, on the tape with its backward op."""
    x = as_floats(x)
    # NumPy turns results of rank 0 into scalars, which nothing can be written to.
    y = pair.forward(np.atleast_1d(x)).reshape(x.shape)
    return y, x if pair.needs_input else y


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

    def __call__(self, x: Any) -> Any:
        """Return the function's value."""
        return _applied(x, self.pair)

    def _forward(self, x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        return self._like(x, self.function(x), out, "forward")

    def _backward(
        self, dy: np.ndarray, kept: np.ndarray, out: np.ndarray | None = None
    ) -> np.ndarray:
        return self._like(dy, self.derivative(dy, kept), out, "backward")

    def _like(
        self, given: np.ndarray, result: Any, out: np.ndarray | None, which: str
    ) -> np.ndarray:
        """Bring the user's result to the type of the argument, and into `out`."""
        result = np.asarray(value_of(result))
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

FUNCTIONS = {f.__name__: f for f in _PAIRS}
_registry = Registry("activation function", FUNCTIONS)


def forward_backward(function: Callable) -> Pair:
    """Return the operations of `function`, with its default arguments, and of its derivative.

    This is the one place where a callable becomes a pair.

    Parameters
    ----------
    function : callable
        A function of this module, one made by `with_gradient`, or one in terms of `K`. The last
        is computed again on the way back.

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
        own = _InTermsOfK(function)
        pair = with_gradient(own.forward, own.backward, needs_input=True).pair
    return pair


class _InTermsOfK:
    """An activation function in terms of `K`, and its derivative."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def forward(self, x: np.ndarray) -> Any:
        """Compute the function, of a tensor so that nothing is changed in place."""
        with inside(_NO_PASS):
            y = value_of(self.function(Tensor(x)))
        if y is None:
            name = getattr(self.function, "__name__", repr(self.function))
            raise TypeError(f"The activation function {name} returned None: is a return missing?")
        return y

    def backward(self, dy: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Compute the function again, on the tape, and go back."""
        inner = Tensor(x)
        with inside(Context()):
            y = self.function(inner)
        if not isinstance(y, Tensor):
            name = getattr(self.function, "__name__", repr(self.function))
            raise TypeError(
                f"The derivative of the activation function {name} is not known: it returned "
                f"{type(y).__name__}, which does not remember how it was computed. Write it in "
                "functions of K or operators, or give its derivative with "
                "minikeras.activations.with_gradient(forward, backward)."
            )
        warn_of_variables(y, f"The activation function {getattr(self.function, '__name__', '')}")
        (dx,) = backpropagate([(y, dy)], [inner])
        return np.zeros_like(x) if dx is None else dx


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
