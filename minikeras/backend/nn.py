"""`K`: activations, dropout and normalization, over the ops that the layers use."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minikeras.backend.config import floatx
from minikeras.backend.operators import TensorLike, stands_for
from minikeras.backend.random_functions import seeded_generator
from minikeras.backend.tape import composed, differentiable, missing, unbroadcast, value_of
from minikeras.ops import activation as ops
from minikeras.ops import noise
from minikeras.ops import normalization as batch_norm


def as_floats(x: Any) -> np.ndarray:
    """Return an array of floats as it is, and anything else as an array of type `floatx()`.

    Examples
    --------
    >>> as_floats([1, 2]).dtype, as_floats(np.ones(2)).dtype
    (dtype('float32'), dtype('float64'))
    """
    if isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind == "f":
        return np.asarray(x)
    return np.asarray(x, dtype=floatx())


def _apply(op: Callable[..., np.ndarray], x: Any, *args: Any, **options: Any) -> Any:
    x = as_floats(x)
    if x.ndim:
        return op(x, *args, **options)
    # NumPy turns results of rank 0 into scalars, which nothing can be written to.
    return op(x.reshape(1), *args, **options).reshape(())


def _pull(op: Callable[..., np.ndarray], dy: Any, y: Any, *args: Any, **options: Any) -> Any:
    y = as_floats(y)
    if y.ndim:
        return op(dy, y, *args, **options)
    return op(np.reshape(dy, 1), y.reshape(1), *args, **options).reshape(())


def _number(value: Any, argument: str, of: str) -> float:
    """Return an argument that is one number, such as a slope, as a float."""
    if isinstance(value, (float, int)):
        return float(value)
    if np.size(value) != 1:
        raise ValueError(
            f"{argument} of {of} must be a number, got an array of shape {np.shape(value)}. For a "
            "slope for each feature, multiply K.relu(-x) by it, or use the layer PReLU."
        )
    return float(np.asarray(value).reshape(()))


# --- activations ----------------------------------------------------------------------------


def _relu_by_x(
    dy: Any, y: Any, x: Any, alpha: Any = 0.0, max_value: Any = None, threshold: Any = 0.0
) -> Any:
    alpha, top, threshold = _relu_numbers(alpha, max_value, threshold)
    if alpha == 0 and top is None and threshold == 0:
        return _pull(ops.relu_backward, dy, y)
    return _pull(ops.relu_general_backward, dy, x, alpha, top, threshold)


def _relu_by_alpha(
    dy: Any, y: Any, x: Any, alpha: Any = 0.0, max_value: Any = None, threshold: Any = 0.0
) -> Any:
    below = np.minimum(as_floats(x) - _number(threshold, "threshold", "K.relu"), 0)
    return np.sum(dy * below).reshape(np.shape(alpha))


def _relu_numbers(alpha: Any, max_value: Any, threshold: Any) -> tuple[float, float | None, float]:
    return (
        _number(alpha, "alpha", "K.relu"),
        None if max_value is None else _number(max_value, "max_value", "K.relu"),
        _number(threshold, "threshold", "K.relu"),
    )


@differentiable(
    _relu_by_x,
    _relu_by_alpha,
    missing("max_value", "K.relu"),
    missing("threshold", "K.relu"),
)
def relu(x: Any, alpha: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
    """Rectified linear unit; with the default arguments ``max(x, 0)``.

    Parameters
    ----------
    x : array or tensor
    alpha : float
        Slope below the threshold. Default 0.
    max_value : float, optional
        Ceiling of the result. None (default): no ceiling.
    threshold : float
        Up to it the result is ``alpha * (x - threshold)``. Default 0.

    Raises
    ------
    ValueError
        If one of the last three is an array of several numbers.

    Notes
    -----
    At the threshold and at the ceiling themselves the gradient is 0. (TensorFlow counts a ceiling
    other than 6 as inside.)

    Examples
    --------
    >>> relu(np.array([-1.0, 2.0, 9.0]), alpha=0.5, max_value=6.0).tolist()
    [-0.5, 2.0, 6.0]
    """
    alpha, top, threshold = _relu_numbers(alpha, max_value, threshold)
    if alpha == 0 and top is None and threshold == 0:
        return _apply(ops.relu, x)
    return _apply(ops.relu_general, x, alpha, top, threshold)


def _elu_by_x(dy: Any, y: Any, x: Any, alpha: Any = 1.0) -> Any:
    alpha = _number(alpha, "alpha", "K.elu")
    if alpha >= 0:
        return _pull(ops.elu_backward, dy, y, alpha=alpha)
    return dy * np.where(as_floats(x) > 0, 1, y + alpha)


def _elu_by_alpha(dy: Any, y: Any, x: Any, alpha: Any = 1.0) -> Any:
    return np.sum(dy * np.expm1(np.minimum(as_floats(x), 0))).reshape(np.shape(alpha))


@differentiable(_elu_by_x, _elu_by_alpha)
def elu(x: Any, alpha: float = 1.0) -> Any:
    """Exponential linear unit: ``x`` where positive, else ``alpha * (exp(x) - 1)``.

    Parameters
    ----------
    x : array or tensor
    alpha : float
        What the function tends to for large negative ``x``, negated. Default 1.

    Raises
    ------
    ValueError
        If `alpha` is an array of several numbers.

    Examples
    --------
    >>> elu(np.array([1.0, -1000.0]), alpha=0.5).tolist()
    [1.0, -0.5]
    """
    return _apply(ops.elu, x, alpha=_number(alpha, "alpha", "K.elu"))


@differentiable(lambda dy, y, x, axis=-1: ops.softmax_backward(dy, y, axis=axis))
def softmax(x: Any, axis: int = -1) -> Any:
    """Turn scores into probabilities: ``exp(x) / sum(exp(x))``, the sum running over `axis`.

    Parameters
    ----------
    x : array or tensor
        With one axis at least.
    axis : int
        Default -1.

    Raises
    ------
    ValueError
        If there is no such axis.

    Examples
    --------
    >>> softmax(np.zeros((1, 2))).tolist()
    [[0.5, 0.5]]
    """
    x = as_floats(x)
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"K.softmax has no axis {axis} to sum over: x has the shape {x.shape}.")
    return ops.softmax(x, axis=axis)


@differentiable(lambda dy, y, x: _pull(ops.softplus_backward, dy, y))
def softplus(x: Any) -> Any:
    """Smooth rectifier: ``log(1 + exp(x))``, for any size of `x`.

    Examples
    --------
    >>> softplus(np.array([0.0, 1000.0])).round(4).tolist()
    [0.6931, 1000.0]
    """
    return _apply(ops.softplus, x)


@differentiable(lambda dy, y, x: _pull(ops.softsign_backward, dy, y))
def softsign(x: Any) -> Any:
    """Return ``x / (1 + |x|)``.

    Examples
    --------
    >>> softsign(np.array([1.0, -3.0])).tolist()
    [0.5, -0.75]
    """
    return _apply(ops.softsign, x)


@differentiable(lambda dy, y, x: _pull(ops.sigmoid_backward, dy, y))
def sigmoid(x: Any) -> Any:
    """Return ``1 / (1 + exp(-x))``.

    Examples
    --------
    >>> sigmoid(np.array([0.0, -1000.0])).tolist()
    [0.5, 0.0]
    """
    return _apply(ops.sigmoid, x)


@differentiable(lambda dy, y, x: _pull(ops.hard_sigmoid_backward, dy, y))
def hard_sigmoid(x: Any) -> Any:
    """Return ``0.2 * x + 0.5``, cut off at 0 and 1.

    The gradient is 0 where the result is 0 or 1; TensorFlow has 0.2 at ``x = -2.5`` and ``2.5``.

    Examples
    --------
    >>> hard_sigmoid(np.array([0.0, 1.0, 3.0])).tolist()
    [0.5, 0.7, 1.0]
    """
    return _apply(ops.hard_sigmoid, x)


@stands_for(np.tanh)
@differentiable(lambda dy, y, x: _pull(ops.tanh_backward, dy, y))
def tanh(x: Any) -> Any:
    """Return the hyperbolic tangent.

    Examples
    --------
    >>> tanh(np.array([0.0, 1000.0])).tolist()
    [0.0, 1.0]
    """
    return _apply(ops.tanh, x)


# --- dropout --------------------------------------------------------------------------------


@differentiable(
    lambda dy, mask, *args, **kwargs: dy if mask is None else noise.dropout_backward(dy, mask),
    missing("level", "K.dropout"),
    keeps=True,
)
def dropout(
    x: Any, level: float, noise_shape: Sequence[int | None] | None = None, seed: int | None = None
) -> Any:
    """Set entries to zero at random, and multiply the others by ``1 / (1 - level)``.

    It does so in every phase; ``K.in_train_phase`` confines it to training.

    Parameters
    ----------
    x : array or tensor
    level : float
        The probability of zero, from 0 up to but not including 1.
    noise_shape : sequence of int or None, optional
        Shape of the random pattern; it must broadcast to that of `x`: entries along an axis of 1
        share one decision. None entries stand for the size of `x`. Default: the shape of `x`.
    seed : int, optional
        Default: random numbers that follow ``np.random.seed``. With a seed, the same pattern each
        time; in a pass, the next one of a sequence that belongs to the seed.

    Raises
    ------
    ValueError
        If `level` is out of its range or `noise_shape` does not fit.

    Examples
    --------
    >>> sorted(set(dropout(np.ones((4, 4)), 0.5, seed=1).ravel().tolist()))
    [0.0, 2.0]
    """
    x = as_floats(x)
    level = _number(level, "level", "K.dropout")
    if not 0 <= level < 1:
        raise ValueError(
            f"level of K.dropout must be at least 0 and less than 1, got {level}: it is the part "
            "that is set to zero."
        )
    shape = None if noise_shape is None else _noise_shape(noise_shape, x.ndim)
    if level == 0:
        return x, None
    return noise.dropout(x, level, seeded_generator(seed), shape)


def _noise_shape(noise_shape: Sequence[int | None], rank: int) -> tuple[int | None, ...]:
    """Return the shape of a pattern with as many axes as there are, as broadcasting adds them."""
    shape = tuple(None if n is None else operator.index(n) for n in noise_shape)
    return (1,) * (rank - len(shape)) + shape


# --- normalization --------------------------------------------------------------------------


def normalize_batch_in_training(
    x: Any, gamma: Any, beta: Any, reduction_axes: Sequence[int], epsilon: float = 1e-3
) -> tuple[Any, Any, Any]:
    """Normalize by the mean and variance of `x` itself: ``(x - mean) / std * gamma + beta``.

    Parameters
    ----------
    x : array or tensor
    gamma, beta : array or tensor, or None
        Scale and offset: one number for each channel, in any shape, or one for all. None stands
        for 1 and 0.
    reduction_axes : sequence of int
        The axes of which mean and variance are taken; the others are the channels.
    epsilon : float
        ``std = sqrt(variance + epsilon)``. Default 0.001.

    Returns
    -------
    normed : array or tensor, shape of `x`
    mean, variance : array or tensor, shape of the channels
        The variance is the mean of squares. (On TensorFlow's kernel for images, channels last,
        Keras gives ``n / (n - 1)`` times that, and for all other shapes this.)

    Raises
    ------
    ValueError
        If there is nothing to take a mean of, or gamma or beta don't fit.

    Examples
    --------
    >>> x = np.array([[1.0, 10.0], [3.0, 30.0]])
    >>> normed, mean, variance = normalize_batch_in_training(x, None, None, [0], epsilon=0.0)
    >>> normed.tolist(), mean.tolist(), variance.tolist()
    ([[-1.0, -1.0], [1.0, 1.0]], [2.0, 20.0], [1.0, 100.0])
    """
    found = _normalize_in_training(x, gamma, beta, reduction_axes, epsilon)
    return found if isinstance(found, tuple) else tuple(found.parts(3))


@composed
def _normalize_in_training(
    x: Any, gamma: Any, beta: Any, reduction_axes: Sequence[int], epsilon: float
) -> tuple[Any, Any, Any]:
    """Compute the three results at once, and record each of them."""
    inputs = [x, gamma, beta]
    source, scale, offset = _arrays(inputs)
    axes = tuple(operator.index(axis) for axis in reduction_axes)
    kept = _channels_of(source.shape, axes)
    for parameter, name in ((scale, "gamma"), (offset, "beta")):
        if parameter is not None and parameter.size not in (1, np.prod(kept, dtype=int)):
            raise ValueError(
                f"{name} of K.normalize_batch_in_training must hold one number for each channel. "
                f"With x of shape {source.shape} and reduction_axes={list(axes)} the channels have "
                f"the shape {kept}; got {name} of shape {parameter.shape}."
            )
    y, mean, variance, residual = batch_norm.batch_norm_train(source, scale, offset, axes, epsilon)
    return (
        _normalized(inputs, y, residual, isinstance(x, TensorLike)),
        _mean_of(x, mean, axes),
        _variance_of(x, variance, mean, axes),
    )


def _arrays(inputs: list[Any]) -> list[Any]:
    """Return arrays of floats; None stays None."""
    return [None if a is None else as_floats(value_of(a)) for a in inputs]


def _channels_of(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    reduced = {axis % len(shape) for axis in axes}
    return tuple(size for axis, size in enumerate(shape) if axis not in reduced)


def _normalized_by_inputs(
    dy: Any, y: Any, inputs: list[Any], result: Any, residual: Any, need_dx: bool
) -> list[Any]:
    found = batch_norm.batch_norm_train_backward(dy, residual, need_dx)
    return [_shaped_like(d, a) for d, a in zip(found, inputs, strict=True)]


def _shaped_like(gradient: np.ndarray | None, parameter: Any) -> Any:
    """Return the gradient by a parameter of any shape with so many entries, or with one."""
    if gradient is None or parameter is None:
        return None
    if np.size(parameter) != gradient.size:
        gradient = np.sum(gradient)
    return gradient.reshape(np.shape(parameter))


# What has been computed at once is recorded by functions that just hand it on.


@differentiable(_normalized_by_inputs)
def _normalized(inputs: list[Any], result: Any, residual: Any, need_dx: bool) -> Any:
    """Return `result`, which came from ``[x, gamma, beta]``."""
    return result


@differentiable(
    lambda dy, y, x, mean, axes: _repeat(dy, x, axes) / np.asarray(x.size / mean.size, x.dtype)
)
def _mean_of(x: Any, mean: Any, axes: tuple[int, ...]) -> Any:
    """Return `mean`, which is that of `x`."""
    return mean


@differentiable(
    lambda dy, y, x, variance, mean, axes: (
        _repeat(dy, x, axes)
        * (x - _repeat(mean, x, axes))
        * np.asarray(2 * variance.size / x.size, x.dtype)
    )
)
def _variance_of(x: Any, variance: Any, mean: Any, axes: tuple[int, ...]) -> Any:
    """Return `variance`, which is that of `x`."""
    return variance


def _repeat(values: Any, x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Return one number for each channel in the shape of `x`."""
    axes = tuple(sorted(axis % x.ndim for axis in axes))
    return np.broadcast_to(np.expand_dims(values, axes), x.shape)


@composed
def batch_normalization(
    x: Any,
    mean: Any,
    var: Any,
    beta: Any,
    gamma: Any,
    axis: int = -1,
    epsilon: float = 1e-3,
) -> Any:
    """Normalize by a given mean and variance: ``(x - mean) / sqrt(var + epsilon) * gamma + beta``.

    Parameters
    ----------
    x : array or tensor
    mean, var : array or tensor
        Of a shape that broadcasts to that of `x`, or one number for each entry along `axis`.
    beta, gamma : array or tensor, or None
        Likewise. None stands for 0 and 1. Mind the order: the offset comes first.
    axis : int
        Where vectors lie along. Default -1. (Keras on TensorFlow looks at it for images with the
        channels last only, and broadcasts otherwise.)
    epsilon : float
        Default 0.001.

    Raises
    ------
    ValueError
        If a shape does not fit that of `x`.

    Examples
    --------
    >>> x, mean, var = np.array([[5.0, 5.0]]), np.array([1.0, 3.0]), np.array([4.0, 1.0])
    >>> batch_normalization(x, mean, var, beta=None, gamma=None, epsilon=0.0).tolist()
    [[2.0, 2.0]]
    """
    shape = np.shape(value_of(x))
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"K.batch_normalization has no axis {axis}: x has the shape {shape}.")
    axis %= len(shape)
    parameters = {"mean": mean, "var": var, "beta": beta, "gamma": gamma}
    one_each = True
    for name, parameter in parameters.items():
        given = np.shape(value_of(parameter))
        if parameter is not None and not _is_along(given, axis, shape):
            one_each = False
            _check_broadcasts(given, shape, name)
    if one_each:
        need_dx = isinstance(x, TensorLike)
        return _normalize_channels([x, mean, var, beta, gamma], axis, epsilon, need_dx)
    placed = (_place(p, axis, shape) for p in parameters.values())
    return _normalize_broadcast(_floats_or_tensor(x), *placed, epsilon)


def _is_along(given: tuple[int, ...], axis: int, shape: tuple[int, ...]) -> bool:
    """Return whether there is one number for each entry along the axis."""
    full = tuple(size if i == axis else 1 for i, size in enumerate(shape))
    return given in ((shape[axis],), full)


def _check_broadcasts(given: tuple[int, ...], shape: tuple[int, ...], name: str) -> None:
    tail = shape[len(shape) - len(given) :]
    if len(given) > len(shape) or any(n not in (1, m) for n, m in zip(given, tail, strict=False)):
        raise ValueError(
            f"{name} of K.batch_normalization has the shape {given}, which neither broadcasts to "
            f"that of x, {shape}, nor is a vector with one number for each entry along the axis."
        )


def _place(parameter: Any, axis: int, shape: tuple[int, ...]) -> Any:
    """Return a vector with the axes that let it broadcast along `axis`; others as they are."""
    if parameter is None:
        return None
    parameter = _floats_or_tensor(parameter)
    if parameter.shape != (shape[axis],):
        return parameter
    return _reshaped(parameter, (shape[axis],) + (1,) * (len(shape) - 1 - axis))


def _floats_or_tensor(x: Any) -> Any:
    return x if isinstance(x, TensorLike) else as_floats(x)


@differentiable(lambda dy, y, x, shape: dy.reshape(np.shape(x)))
def _reshaped(x: Any, shape: tuple[int, ...]) -> Any:
    return np.reshape(x, shape)


def _channels_by_inputs(
    dy: Any, y: Any, inputs: list[Any], axis: int, epsilon: float, need_dx: bool
) -> list[Any]:
    """Return all five gradients: those by mean and variance follow from those of beta and gamma."""
    x, mean, var, _, gamma = _arrays(inputs)
    axes = _all_but(axis, x)
    dx, dgamma, dbeta = batch_norm.batch_norm_inference_backward(
        dy, x, gamma, mean, var, axes, epsilon, need_dx
    )
    inverse = 1 / np.sqrt(var.reshape(-1) + epsilon)
    scale = inverse if gamma is None else inverse * gamma.reshape(-1)
    found = [dx, -scale * dbeta, -0.5 * scale * inverse * dgamma, dbeta, dgamma]
    return [_shaped_like(d, a) for d, a in zip(found, inputs, strict=True)]


@differentiable(_channels_by_inputs)
def _normalize_channels(inputs: list[Any], axis: int, epsilon: float, need_dx: bool) -> Any:
    """Normalize by one mean, variance, offset and scale for each entry along the axis."""
    x, mean, var, beta, gamma = _arrays(inputs)
    return batch_norm.batch_norm_inference(x, gamma, beta, mean, var, _all_but(axis, x), epsilon)


def _all_but(axis: int, x: Any) -> tuple[int, ...]:
    return tuple(i for i in range(x.ndim) if i != axis)


def _scale(var: Any, gamma: Any, epsilon: float) -> Any:
    inverse = 1 / np.sqrt(var + epsilon)
    return inverse if gamma is None else inverse * gamma


@differentiable(
    lambda dy, y, x, mean, var, beta, gamma, epsilon: dy * _scale(var, gamma, epsilon),
    lambda dy, y, x, mean, var, beta, gamma, epsilon: unbroadcast(
        -dy * _scale(var, gamma, epsilon), mean
    ),
    lambda dy, y, x, mean, var, beta, gamma, epsilon: unbroadcast(
        dy * (x - mean) * (_scale(var, gamma, epsilon) * (-0.5 / (var + epsilon))), var
    ),
    lambda dy, y, x, mean, var, beta, gamma, epsilon: unbroadcast(dy, beta),
    lambda dy, y, x, mean, var, beta, gamma, epsilon: unbroadcast(
        dy * (x - mean) * _scale(var, None, epsilon), gamma
    ),
    one_type=True,
)
def _normalize_broadcast(x: Any, mean: Any, var: Any, beta: Any, gamma: Any, epsilon: float) -> Any:
    """Normalize by statistics of any shape that broadcasts to that of `x`."""
    y = (x - mean) * _scale(var, gamma, epsilon)
    return y if beta is None else y + beta
