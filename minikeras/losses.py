"""Losses by name, and their derivatives.

A loss is a function ``loss(y_true, y_pred)`` that gives one value per sample: of shape
``(batch,)`` for outputs of shape ``(batch, units)``, of shape ``(batch, steps)`` for outputs of
shape ``(batch, steps, units)``. The training step weighs and averages these values. It asks
`pair` for the derivative. A function of your own is written in terms of `K`, and may return an
array of any other shape, too, or one number for the batch. Arithmetic is done in
`minikeras.ops.loss`.

In the formulas below ``t`` is `y_true`, ``p`` is `y_pred`, and sums and means run over the last
axis. ``epsilon`` is `minikeras.backend.epsilon()`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from minikeras import activations
from minikeras.activations import as_floats
from minikeras.backend.config import epsilon
from minikeras.backend.tape import differentiable, missing, unbroadcast
from minikeras.loss_in_k import InTermsOfK
from minikeras.ops import loss as ops
from minikeras.utils.registry import Registry


def _on_tape(loss: Callable[..., Any]) -> Callable[..., Any]:
    """Let a loss of this module be a part of a loss in terms of `K`."""
    name = loss.__name__

    def by_target(dy: Any, y: Any, y_true: Any, y_pred: Any) -> Any:
        derivative = _BY_TARGET.get(FUNCTIONS[name], missing("y_true", name))
        t, p = _arrays(y_true, y_pred)
        return unbroadcast(derivative(dy, t, p), t).reshape(np.shape(y_true))

    are_labels = name == "sparse_categorical_crossentropy"
    return differentiable(
        None if are_labels else by_target,
        lambda dy, y, y_true, y_pred: _PAIRS[FUNCTIONS[name]].backward(dy, y_true, y_pred),
    )(loss)


@_on_tape
def mean_squared_error(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return ``mean((p - t)**2)``. Also called ``'mse'`` and ``'MSE'``.

    Parameters
    ----------
    y_true, y_pred : array (batch, ..., units)

    Returns
    -------
    ndarray (batch, ...)

    Examples
    --------
    >>> mean_squared_error([[0.0, 1.0]], [[2.0, 1.0]])
    array([2.], dtype=float32)
    """
    return ops.mean_squared_error(*_arrays(y_true, y_pred))


@_on_tape
def mean_absolute_error(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return ``mean(|p - t|)``. Also called ``'mae'`` and ``'MAE'``.

    Examples
    --------
    >>> mean_absolute_error([[0.0, 1.0]], [[2.0, 1.0]])
    array([1.], dtype=float32)
    """
    return ops.mean_absolute_error(*_arrays(y_true, y_pred))


@_on_tape
def mean_absolute_percentage_error(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return ``100 * mean(|t - p| / max(|t|, epsilon))``. Also called ``'mape'`` and ``'MAPE'``.

    Examples
    --------
    >>> mean_absolute_percentage_error([[2.0, 4.0]], [[1.0, 4.0]])
    array([25.], dtype=float32)
    """
    return ops.mean_absolute_percentage_error(*_arrays(y_true, y_pred), epsilon=epsilon())


@_on_tape
def mean_squared_logarithmic_error(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return the mean of ``(log(1 + p) - log(1 + t))**2``. Also called ``'msle'`` and ``'MSLE'``.

    `p` and `t` are first raised to at least epsilon; below it the loss has no gradient.

    Examples
    --------
    >>> mean_squared_logarithmic_error([[0.0]], [[1.0]]).round(4)
    array([0.4805], dtype=float32)
    """
    return ops.mean_squared_logarithmic_error(*_arrays(y_true, y_pred), epsilon=epsilon())


@_on_tape
def squared_hinge(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return ``mean(max(1 - t * p, 0)**2)``, for targets -1 and 1.

    Targets 0 and 1 are not converted (later Keras does so).

    Examples
    --------
    >>> squared_hinge([[-1.0, 1.0]], [[1.0, 1.0]])
    array([2.], dtype=float32)
    """
    return ops.squared_hinge(*_arrays(y_true, y_pred))


@_on_tape
def hinge(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return ``mean(max(1 - t * p, 0))``, for targets -1 and 1.

    Targets 0 and 1 are not converted (later Keras does so).

    Examples
    --------
    >>> hinge([[-1.0, 1.0]], [[1.0, 1.0]])
    array([1.], dtype=float32)
    """
    return ops.hinge(*_arrays(y_true, y_pred))


@_on_tape
def categorical_hinge(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return ``max(0, 1 + max((1 - t) * p) - sum(t * p))``, for one-hot targets.

    Examples
    --------
    >>> categorical_hinge([[0.0, 1.0]], [[0.5, 1.0]])
    array([0.5], dtype=float32)
    """
    return ops.categorical_hinge(*_arrays(y_true, y_pred))


@_on_tape
def logcosh(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return ``mean(log(cosh(p - t)))``.

    About half the square of small errors, and the absolute value of large ones less log(2).

    Examples
    --------
    >>> logcosh([[0.0]], [[1000.0]]).round(3)
    array([999.307], dtype=float32)
    """
    return ops.logcosh(*_arrays(y_true, y_pred))


@_on_tape
def categorical_crossentropy(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return ``-sum(t * log(q))`` with ``q = p / sum(p)``, clipped to [epsilon, 1 - epsilon].

    Parameters
    ----------
    y_true : array (batch, ..., classes)
        One-hot rows, or probabilities.
    y_pred : array (batch, ..., classes)
        Probabilities. Rows that do not sum to 1 are scaled to do so.

    Returns
    -------
    ndarray (batch, ...)

    Notes
    -----
    Outside the limits of the clipping the loss has no gradient. Behind a layer with softmax,
    training uses the gradient with respect to the softmax's input instead, which is that of the
    loss without clipping (as in later Keras); the value stays the one above.

    Examples
    --------
    >>> categorical_crossentropy([[0.0, 1.0]], [[0.5, 0.5]]).round(4)
    array([0.6931], dtype=float32)
    """
    return ops.categorical_crossentropy(*_arrays(y_true, y_pred), epsilon=epsilon())


@_on_tape
def sparse_categorical_crossentropy(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return ``-log(q[label] / sum(q))`` with ``q`` the `p` clipped to [epsilon, 1 - epsilon].

    About gradients, see `categorical_crossentropy`.

    Parameters
    ----------
    y_true : array (batch, ...) or (batch, ..., 1)
        Labels from 0 to classes - 1.
    y_pred : array (batch, ..., classes)
        Probabilities.

    Examples
    --------
    >>> sparse_categorical_crossentropy([1], [[0.5, 0.5]]).round(4)
    array([0.6931], dtype=float32)
    """
    y_pred = as_floats(y_pred)
    y_true = np.asarray(y_true)
    return ops.sparse_categorical_crossentropy(y_true, y_pred, epsilon=epsilon())


@_on_tape
def binary_crossentropy(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return ``-mean(t * log(q) + (1 - t) * log(1 - q))``.

    ``q`` is `p` clipped to [epsilon, 1 - epsilon]. About gradients, see
    `categorical_crossentropy`: the same holds behind a sigmoid.

    Parameters
    ----------
    y_true : array (batch, ..., units)
        0 or 1, or probabilities. Each unit is a question of its own.
    y_pred : array (batch, ..., units)
        Probabilities.

    Examples
    --------
    >>> binary_crossentropy([[1.0]], [[0.5]]).round(4)
    array([0.6931], dtype=float32)
    """
    return ops.binary_crossentropy(*_arrays(y_true, y_pred), epsilon=epsilon())


@_on_tape
def kullback_leibler_divergence(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return ``sum(t * log(t / p))``, both clipped to [epsilon, 1]. Also ``'kld'`` and ``'KLD'``.

    Below epsilon and above 1 the loss has no gradient.

    Examples
    --------
    >>> kullback_leibler_divergence([[0.5, 0.5]], [[0.5, 0.5]])
    array([0.], dtype=float32)
    """
    return ops.kullback_leibler_divergence(*_arrays(y_true, y_pred), epsilon=epsilon())


@_on_tape
def poisson(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return ``mean(p - t * log(p + epsilon))``, for counts `t` and rates `p`.

    Examples
    --------
    >>> poisson([[3.0]], [[1.0]]).round(4)
    array([1.], dtype=float32)
    """
    return ops.poisson(*_arrays(y_true, y_pred), epsilon=epsilon())


@_on_tape
def cosine_proximity(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return minus the cosine of the angle between `y_true` and `y_pred`. Also ``'cosine'``.

    Examples
    --------
    >>> cosine_proximity([[1.0, 0.0]], [[3.0, 4.0]]).round(4)
    array([-0.6], dtype=float32)
    """
    return ops.cosine_proximity(*_arrays(y_true, y_pred))


mse = MSE = mean_squared_error
mae = MAE = mean_absolute_error
mape = MAPE = mean_absolute_percentage_error
msle = MSLE = mean_squared_logarithmic_error
kld = KLD = kullback_leibler_divergence
cosine = cosine_proximity


def _arrays(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    y_pred = as_floats(y_pred)
    y_true = np.asarray(y_true)
    if y_true.shape != y_pred.shape and y_pred.shape == (*y_true.shape, 1):
        y_true = y_true[..., np.newaxis]  # else (batch,) and (batch, 1) make (batch, batch)
    return y_true, y_pred


class LossPair(NamedTuple):
    """A loss and its derivative.

    Parameters
    ----------
    forward : callable
        ``forward(y_true, y_pred) -> values``, one per sample or of any other shape.
    backward : callable
        ``backward(dloss, y_true, y_pred, out=None) -> dy_pred``, for `dloss` of the shape of the
        values. `out` receives the result.
    """

    forward: Callable[..., Any]
    backward: Callable[..., np.ndarray]


def _bind(op: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """Give a backward op the conversions of the public functions, and epsilon if it needs one."""
    uses_epsilon = "epsilon" in op.__code__.co_varnames

    def backward(
        dloss: np.ndarray, y_true: ArrayLike, y_pred: ArrayLike, out: np.ndarray | None = None
    ) -> np.ndarray:
        y_true, y_pred = _arrays(y_true, y_pred)
        if uses_epsilon:
            return op(dloss, y_true, y_pred, out=out, epsilon=epsilon())
        return op(dloss, y_true, y_pred, out=out)

    return backward


_BACKWARD: dict[Callable, Callable[..., np.ndarray]] = {
    mean_squared_error: ops.mean_squared_error_backward,
    mean_absolute_error: ops.mean_absolute_error_backward,
    mean_absolute_percentage_error: ops.mean_absolute_percentage_error_backward,
    mean_squared_logarithmic_error: ops.mean_squared_logarithmic_error_backward,
    squared_hinge: ops.squared_hinge_backward,
    hinge: ops.hinge_backward,
    categorical_hinge: ops.categorical_hinge_backward,
    logcosh: ops.logcosh_backward,
    categorical_crossentropy: ops.categorical_crossentropy_backward,
    sparse_categorical_crossentropy: ops.sparse_categorical_crossentropy_backward,
    binary_crossentropy: ops.binary_crossentropy_backward,
    kullback_leibler_divergence: ops.kullback_leibler_divergence_backward,
    poisson: ops.poisson_backward,
    cosine_proximity: ops.cosine_proximity_backward,
}


def _minus(loss: Callable[..., Any]) -> Callable[..., Any]:
    """Return the derivative by `y_true` of a loss of the difference."""
    return lambda dy, t, p: -_PAIRS[loss].backward(dy, t, p)


def _crossentropy_by_target(dy: Any, t: Any, p: Any) -> Any:
    q = np.clip(p / p.sum(axis=-1, keepdims=True), epsilon(), 1 - epsilon())
    return -dy[..., np.newaxis] * np.log(q)


def _binary_crossentropy_by_target(dy: Any, t: Any, p: Any) -> Any:
    q = np.clip(p, epsilon(), 1 - epsilon())
    return dy[..., np.newaxis] * (np.log(1 - q) - np.log(q)) / p.shape[-1]


# The derivatives by the targets, for losses between two things that a network makes.
_BY_TARGET: dict[Callable, Callable[..., Any]] = {
    mean_squared_error: _minus(mean_squared_error),
    mean_absolute_error: _minus(mean_absolute_error),
    logcosh: _minus(logcosh),
    cosine_proximity: lambda dy, t, p: _PAIRS[cosine_proximity].backward(dy, p, t),
    categorical_crossentropy: _crossentropy_by_target,
    binary_crossentropy: _binary_crossentropy_by_target,
}
_PAIRS: dict[Callable, LossPair] = {f: LossPair(f, _bind(op)) for f, op in _BACKWARD.items()}

_FUSED: dict[tuple[Callable, Callable], Callable[..., np.ndarray]] = {
    (categorical_crossentropy, activations.softmax): ops.softmax_crossentropy_backward,
    (sparse_categorical_crossentropy, activations.softmax): (
        ops.sparse_softmax_crossentropy_backward
    ),
    (binary_crossentropy, activations.sigmoid): ops.sigmoid_crossentropy_backward,
}

ALIASES = {
    **dict.fromkeys(("mse", "MSE"), "mean_squared_error"),
    **dict.fromkeys(("mae", "MAE"), "mean_absolute_error"),
    **dict.fromkeys(("mape", "MAPE"), "mean_absolute_percentage_error"),
    **dict.fromkeys(("msle", "MSLE"), "mean_squared_logarithmic_error"),
    **dict.fromkeys(("kld", "KLD"), "kullback_leibler_divergence"),
    "cosine": "cosine_proximity",
}
FUNCTIONS = {f.__name__: f for f in _PAIRS}
_registry = Registry("loss", FUNCTIONS, ALIASES)


class with_gradient:
    """Make a loss of your own from a function and its derivative.

    Parameters
    ----------
    function : callable
        ``function(y_true, y_pred)``: one value per sample, or an array of any other shape, or
        one number for the batch. The training step takes the mean.
    backward : callable
        ``backward(dloss, y_true, y_pred)``: the gradient of ``sum(dloss * values)`` with respect
        to `y_pred`, and of its shape. It must write to none of the three.

    Notes
    -----
    The result is a loss of the name of `function`, to be given as ``loss=``. To load a saved
    model, give it in ``custom_objects`` by that name.

    Examples
    --------
    >>> import numpy as np
    >>> def fourth_power(y_true, y_pred):
    ...     return ((y_pred - y_true) ** 4).mean(axis=-1)
    >>> def fourth_power_backward(dloss, y_true, y_pred):
    ...     return dloss[..., None] * 4 * (y_pred - y_true) ** 3 / y_pred.shape[-1]
    >>> loss = with_gradient(fourth_power, fourth_power_backward)
    >>> loss.__name__, loss(np.zeros((1, 2)), np.ones((1, 2)))
    ('fourth_power', array([1.]))
    >>> pair(loss).backward(np.ones(1), np.zeros((1, 2)), np.ones((1, 2)))
    array([[2., 2.]])
    """

    def __init__(self, function: Callable[..., Any], backward: Callable[..., Any]) -> None:
        self.function = function
        self.derivative = backward
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self.pair = LossPair(function, self._backward)

    def __call__(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss."""
        return _with_gradient(y_true, y_pred, self)

    def _backward(
        self, dloss: Any, y_true: Any, y_pred: np.ndarray, out: np.ndarray | None = None
    ) -> np.ndarray:
        dy = np.asarray(self.derivative(dloss, y_true, y_pred))
        if dy.shape != y_pred.shape:
            raise ValueError(
                f"The backward function of loss '{self.__name__}' must return an array of the "
                f"shape {y_pred.shape} of y_pred; it returned {dy.shape}."
            )
        if out is None:
            return dy.astype(y_pred.dtype, copy=False)
        np.copyto(out, dy, casting="same_kind")
        return out


@differentiable(
    missing("y_true", "a loss made by with_gradient"),
    lambda dy, y, y_true, y_pred, loss: loss.pair.backward(dy, y_true, y_pred),
)
def _with_gradient(y_true: Any, y_pred: Any, loss: with_gradient) -> Any:
    return loss.function(y_true, y_pred)


def pair(loss: Callable) -> LossPair | InTermsOfK:
    """Return `loss` together with its derivative.

    This is the one place where a callable becomes a pair.

    Parameters
    ----------
    loss : callable
        A function of this module, one made by `with_gradient`, or one in terms of `K`.

    Examples
    --------
    >>> import numpy as np
    >>> square = pair(mean_squared_error)
    >>> y_true, y_pred = np.array([[1.0, 2.0]]), np.array([[1.0, 5.0]])
    >>> square.forward(y_true, y_pred), square.backward(np.ones(1), y_true, y_pred)
    (array([4.5]), array([[0., 3.]]))
    """
    found = getattr(loss, "pair", None)
    if isinstance(found, LossPair):
        return found
    found = _PAIRS.get(loss)
    return InTermsOfK(loss) if found is None else found


def fused_backward(loss: Callable, activation: Callable | None) -> Callable[..., np.ndarray] | None:
    """Return the derivative of a loss and the activation before it in one step, if there is one.

    Parameters
    ----------
    loss : callable
    activation : callable or None
        What makes `y_pred` from the logits.

    Returns
    -------
    callable or None
        ``backward(dloss, y_true, y_pred, out=None) -> dlogits``, for `dloss` of shape
        ``(batch, ...)`` and arrays of shape ``(batch, ..., units)``.

    Examples
    --------
    >>> import numpy as np
    >>> backward = fused_backward(binary_crossentropy, activations.sigmoid)
    >>> backward(np.ones(1), np.array([[1.0]]), np.array([[0.25]]))
    array([[-0.75]])
    >>> fused_backward(binary_crossentropy, activations.softmax) is None
    True
    """
    return None if activation is None else _FUSED.get((loss, activation))


_FOR_CLASSES = (
    "for two classes and one unit use loss='binary_crossentropy', for one-hot targets "
    "'categorical_crossentropy', for integer labels 'sparse_categorical_crossentropy'."
)
_NO_LOSSES = {
    "accuracy": f"a metric: metrics=['accuracy']. As loss, {_FOR_CLASSES}",
    "acc": f"a metric: metrics=['acc']. As loss, {_FOR_CLASSES}",
    "softmax": f"an activation: Dense(units, activation='softmax'). As loss, {_FOR_CLASSES}",
    "sigmoid": f"an activation: Dense(units, activation='sigmoid'). As loss, {_FOR_CLASSES}",
}


def get(identifier: str | Callable | Mapping | None) -> Any:
    """Return the loss that `identifier` names.

    Parameters
    ----------
    identifier : str, callable or None
        A name; a function, which is returned as it is; None, for which None is returned.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If `identifier` is none of these.

    Examples
    --------
    >>> get("mse") is mean_squared_error
    True
    """
    if hasattr(identifier, "apply_gradients"):
        raise TypeError(
            f"{identifier!r} is an optimizer, no loss: compile takes the optimizer first, then the "
            "loss."
        )
    shape = getattr(identifier, "shape", None)
    if shape is not None:
        raise TypeError(
            f"A loss is a name or a function; got an array of shape {shape}. Pass the "
            "function itself, such as losses.mean_squared_error, without calling it."
        )
    if identifier is None:
        return None
    try:
        return _registry.get(identifier)
    except ValueError as error:
        if not isinstance(identifier, str) or identifier not in _NO_LOSSES:
            raise
        raise ValueError(f"{identifier!r} is no loss, but {_NO_LOSSES[identifier]}") from error


def serialize(loss: Callable) -> Any:
    """Return the name of a loss.

    Examples
    --------
    >>> serialize(mse)
    'mean_squared_error'
    """
    return _registry.serialize(loss)


def deserialize(name: str | Mapping, custom_objects: Mapping[str, Any] | None = None) -> Callable:
    """Return the loss called `name`.

    Parameters
    ----------
    name : str
    custom_objects : dict, optional
        Names that are known in this call only.
    """
    return _registry.deserialize(name, custom_objects)
