"""Activation functions and their derivatives.

Each op is a pair: ``y = name(x, out)`` and ``dx = name_backward(dy, y, out)``. The derivatives
of the first group need only the output `y`, so a layer may overwrite its pre-activation. Those
of the second group (`leaky_relu` and what follows it) need the input: ``(dy, x, ...)``.

`out` receives the result and may be the first argument itself. No other argument is written.
The type of the result is that of the first argument, which is an array of floats.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from minikeras.ops.parallel import for_blocks

# The constants of self-normalising networks (Klambauer et al. 2017, https://arxiv.org/abs/1706.02515).
SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805

# Elements of a block: large enough to be worth a thread, small enough for scratch to stay in cache.
_BLOCK = 1 << 18
# Up to this many classes, softmax reduces faster with the classes on the first axis.
_NARROW = 32
_INF = float("inf")

Op = TypeVar("Op", bound=Callable[..., Any])


def blockwise(op: Op) -> Op:
    """Let an elementwise op work on a large array block by block, on several threads.

    Arrays of the first argument's shape are cut, other arguments go to each block as they are.
    The op must have a parameter `out`.
    """
    position = op.__code__.co_varnames.index("out")

    @functools.wraps(op)
    def in_blocks(*args: Any, **options: Any) -> np.ndarray:
        first = args[0]
        if first.size <= _BLOCK:
            return op(*args, **options)
        out = args[position] if len(args) > position else options.pop("out", None)
        if out is None:
            out = np.empty_like(first)
        whole = [isinstance(a, np.ndarray) and a.shape == first.shape for a in args[:position]]
        arrays = [a for a, is_cut in zip(args, whole, strict=False) if is_cut]
        flat = all(a.flags.c_contiguous for a in (*arrays, out))

        def rows(a: np.ndarray) -> np.ndarray:
            return a.reshape(-1) if flat else a

        inputs = [rows(a) if cut else a for a, cut in zip(args, whole, strict=False)]
        target = rows(out)

        def work(start: int, stop: int, worker: int) -> None:
            part = [a[start:stop] if cut else a for a, cut in zip(inputs, whole, strict=True)]
            op(*part, out=target[start:stop], **options)

        for_blocks(work, len(target), max(1, _BLOCK * len(target) // out.size))
        return out

    return in_blocks  # type: ignore[return-value]


# --- derivative from the output -------------------------------------------------------------


def linear(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return `x` itself, or a copy of it in `out`."""
    if out is None or out is x:
        return x
    np.copyto(out, x)
    return out


def linear_backward(dy: np.ndarray, y: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return `dy` itself, or a copy of it in `out`."""
    return linear(dy, out)


# NumPy's maximum(array, number) is three times slower than clip, hence clip with an infinite end.
@blockwise
def relu(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return ``max(x, 0)``."""
    return x.clip(0.0, _INF, out=out)


@blockwise
def relu_backward(dy: np.ndarray, y: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return ``dy`` where ``y > 0``, else 0."""
    return np.multiply(dy, y > 0, out=out)


@blockwise
def tanh(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return the hyperbolic tangent."""
    return np.tanh(x, out=out)


@blockwise
def tanh_backward(dy: np.ndarray, y: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return ``dy * (1 - y**2)``."""
    slope = y * y
    np.subtract(1.0, slope, out=slope)
    return np.multiply(dy, slope, out=out)


@blockwise
def sigmoid(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return ``1 / (1 + exp(-x))``, accurate also where the result is tiny."""
    y = np.negative(x, out=out)
    with np.errstate(over="ignore"):  # exp(1000) is infinite, and 1 / infinity the right 0
        np.exp(y, out=y)
    y += 1.0
    return np.divide(1.0, y, out=y)


@blockwise
def sigmoid_backward(dy: np.ndarray, y: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return ``dy * y * (1 - y)``."""
    slope = 1.0 - y
    slope *= y
    return np.multiply(dy, slope, out=out)


@blockwise
def hard_sigmoid(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return ``0.2 * x + 0.5``, cut off at 0 and 1."""
    y = np.multiply(x, 0.2, out=out)
    y += 0.5
    return y.clip(0.0, 1.0, out=y)


@blockwise
def hard_sigmoid_backward(
    dy: np.ndarray, y: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """Return ``0.2 * dy`` where ``0 < y < 1``, else 0."""
    inside = y > 0
    inside &= y < 1
    dx = np.multiply(dy, inside, out=out)
    dx *= 0.2
    return dx


@blockwise
def exponential(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return ``exp(x)``, infinite where that is too large for the type."""
    with np.errstate(over="ignore"):
        return np.exp(x, out=out)


@blockwise
def exponential_backward(
    dy: np.ndarray, y: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """Return ``dy * y``."""
    return np.multiply(dy, y, out=out)


@blockwise
def softplus(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return ``log(1 + exp(x))``, computed as ``max(x, 0) + log(1 + exp(-|x|))``."""
    rest = np.abs(x)
    np.negative(rest, out=rest)
    np.exp(rest, out=rest)
    np.log1p(rest, out=rest)
    y = x.clip(0.0, _INF, out=out)
    y += rest
    return y


@blockwise
def softplus_backward(dy: np.ndarray, y: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return ``dy * (1 - exp(-y))``."""
    slope = np.negative(y)
    np.expm1(slope, out=slope)
    dx = np.multiply(dy, slope, out=out)
    return np.negative(dx, out=dx)


@blockwise
def softsign(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return ``x / (1 + |x|)``."""
    scale = np.abs(x)
    scale += 1.0
    return np.divide(x, scale, out=out)


@blockwise
def softsign_backward(dy: np.ndarray, y: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return ``dy * (1 - |y|)**2``."""
    slope = np.abs(y)
    np.subtract(1.0, slope, out=slope)
    slope *= slope
    return np.multiply(dy, slope, out=out)


@blockwise
def elu(x: np.ndarray, out: np.ndarray | None = None, *, alpha: float = 1.0) -> np.ndarray:
    """Return ``x`` where positive, else ``alpha * (exp(x) - 1)``."""
    negative = x.clip(-_INF, 0.0)
    np.expm1(negative, out=negative)
    if alpha != 1:
        negative *= alpha
    y = x.clip(0.0, _INF, out=out)
    y += negative
    return y


@blockwise
def elu_backward(
    dy: np.ndarray, y: np.ndarray, out: np.ndarray | None = None, *, alpha: float = 1.0
) -> np.ndarray:
    """Return ``dy`` where ``y > 0``, else ``dy * (y + alpha)``; `alpha` may not be negative."""
    if alpha < 0:
        raise ValueError(
            f"elu has no derivative from its output for a negative alpha, got alpha={alpha}."
        )
    return _elu_backward(dy, y, out, alpha, 1.0)


@blockwise
def selu(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return ``SELU_SCALE * elu(x, alpha=SELU_ALPHA)``."""
    negative = x.clip(-_INF, 0.0)
    np.expm1(negative, out=negative)
    negative *= SELU_ALPHA
    y = x.clip(0.0, _INF, out=out)
    y += negative
    y *= SELU_SCALE
    return y


@blockwise
def selu_backward(dy: np.ndarray, y: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return ``dy * SELU_SCALE`` where ``y > 0``, else ``dy * (y + SELU_SCALE * SELU_ALPHA)``."""
    return _elu_backward(dy, y, out, SELU_SCALE * SELU_ALPHA, SELU_SCALE)


def _elu_backward(
    dy: np.ndarray, y: np.ndarray, out: np.ndarray | None, at_zero: float, positive: float
) -> np.ndarray:
    """Return dy times the slope: `positive` where y > 0, else `y + at_zero`."""
    slope = y.clip(-_INF, 0.0)
    slope += at_zero
    if positive != at_zero:
        slope += np.multiply(y > 0, y.dtype.type(positive - at_zero))
    return np.multiply(dy, slope, out=out)


def softmax(x: np.ndarray, out: np.ndarray | None = None, *, axis: int = -1) -> np.ndarray:
    """Return ``exp(x) / sum(exp(x))``, the sum running over `axis`.

    Parameters
    ----------
    x : ndarray
        Of any rank but 0.
    out : ndarray, optional
        Receives the result; may be `x`.
    axis : int
        The axis of the classes. Default -1.
    """
    if axis not in (-1, x.ndim - 1):
        y = np.subtract(x, np.maximum.reduce(x, axis=axis, keepdims=True), out=out)
        np.exp(y, out=y)
        y /= np.add.reduce(y, axis=axis, keepdims=True)
        return y
    y = out if out is not None and out.flags.c_contiguous else np.empty(x.shape, x.dtype)
    classes = x.shape[-1]
    rows, results = x.reshape(-1, classes), y.reshape(-1, classes)
    softmax_rows = _softmax_narrow if classes <= _NARROW else _softmax_wide
    block = max(1, _BLOCK // 2 // classes)
    if len(rows) <= block:
        softmax_rows(rows, results)
    else:
        for_blocks(lambda i, j, worker: softmax_rows(rows[i:j], results[i:j]), len(rows), block)
    if out is None or out is y:
        return y
    np.copyto(out, y)
    return out


def _softmax_wide(x: np.ndarray, out: np.ndarray) -> None:
    np.subtract(x, np.maximum.reduce(x, axis=1, keepdims=True), out=out)
    np.exp(out, out=out)
    out /= np.add.reduce(out, axis=1, keepdims=True)


def _softmax_narrow(x: np.ndarray, out: np.ndarray) -> None:
    """Do the same with classes first: reducing over a short last axis is slow in NumPy."""
    y = x.T.copy()
    y -= np.maximum.reduce(y, axis=0)
    np.exp(y, out=y)
    np.divide(y, np.add.reduce(y, axis=0), out=out.T)


def softmax_backward(
    dy: np.ndarray, y: np.ndarray, out: np.ndarray | None = None, *, axis: int = -1
) -> np.ndarray:
    """Return ``(dy - sum(dy * y)) * y``, the sum running over `axis`."""
    # NumPy's types do not know the argument `axis` yet.
    total = np.expand_dims(np.vecdot(dy, y, axis=axis), axis)  # type: ignore[call-overload]
    dx = np.subtract(dy, total, out=out)
    dx *= y
    return dx


# --- derivative from the input --------------------------------------------------------------


@blockwise
def leaky_relu(x: np.ndarray, alpha: float = 0.3, out: np.ndarray | None = None) -> np.ndarray:
    """Return ``x`` where positive, else ``alpha * x``."""
    scaled = x * alpha
    return (np.maximum if alpha <= 1 else np.minimum)(x, scaled, out=out)


@blockwise
def leaky_relu_backward(
    dy: np.ndarray, x: np.ndarray, alpha: float = 0.3, out: np.ndarray | None = None
) -> np.ndarray:
    """Return ``dy`` where ``x > 0``, else ``alpha * dy``."""
    slope = np.multiply(x > 0, x.dtype.type(1.0 - alpha))
    slope += alpha
    return np.multiply(dy, slope, out=out)


@blockwise
def relu_general(
    x: np.ndarray,
    alpha: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return the rectifier with a slope below its threshold, a threshold and a ceiling.

    The result is ``x`` where ``x > threshold``, ``max_value`` where that is less, and
    ``alpha * (x - threshold)`` elsewhere. With a ceiling, a negative threshold lets no negative
    ``x`` through: Keras clips to ``[0, max_value]``.
    """
    if max_value is None and threshold == 0:
        return leaky_relu(x, alpha, out=out) if alpha else relu(x, out=out)
    if alpha:
        below = np.subtract(x, threshold)
        below.clip(-_INF, 0.0, out=below)
        below *= alpha
    top = _INF if max_value is None else max_value
    if threshold:
        y = np.multiply(x, x > threshold, out=out)
        if max_value is not None:
            y.clip(0.0, top, out=y)
    else:
        y = x.clip(0.0, top, out=out)
    if alpha:
        y += below
    return y


@blockwise
def relu_general_backward(
    dy: np.ndarray,
    x: np.ndarray,
    alpha: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return ``dy`` where `relu_general` passes ``x`` on, ``alpha * dy`` below the threshold.

    It is 0 at the threshold and from the ceiling on. Without threshold and ceiling this is
    `leaky_relu_backward`.
    """
    if max_value is None and threshold == 0:
        return leaky_relu_backward(dy, x, alpha, out=out)
    passes = x > threshold
    if max_value is not None:
        passes &= x < max_value
        if threshold < 0:
            passes &= x > 0
    if not alpha:
        return np.multiply(dy, passes, out=out)
    below = np.multiply(dy, x < threshold)
    below *= alpha
    dx = np.multiply(dy, passes, out=out)
    dx += below
    return dx


@blockwise
def thresholded_relu(
    x: np.ndarray, theta: float = 1.0, out: np.ndarray | None = None
) -> np.ndarray:
    """Return ``x`` where ``x > theta``, else 0."""
    return np.multiply(x, x > theta, out=out)


@blockwise
def thresholded_relu_backward(
    dy: np.ndarray, x: np.ndarray, theta: float = 1.0, out: np.ndarray | None = None
) -> np.ndarray:
    """Return ``dy`` where ``x > theta``, else 0."""
    return np.multiply(dy, x > theta, out=out)


def prelu(x: np.ndarray, alpha: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return ``x`` where positive, else ``alpha * x``, with one slope for each feature.

    Parameters
    ----------
    x : ndarray (batch, ...)
    alpha : ndarray (...)
        As many axes as `x` has behind the batch; an axis of length 1 is shared.
    out : ndarray, optional
        Receives the result; may be `x`.
    """
    y = np.empty(x.shape, x.dtype) if out is None else out

    def work(start: int, stop: int, worker: int) -> None:
        negative = x[start:stop].clip(-_INF, 0.0)
        negative *= alpha
        part = x[start:stop].clip(0.0, _INF, out=y[start:stop])
        part += negative

    for_blocks(work, len(x), _samples_per_block(x))
    return y


def prelu_backward(
    dy: np.ndarray,
    x: np.ndarray,
    alpha: np.ndarray,
    out: np.ndarray | None = None,
    need_dalpha: bool = True,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the gradients with respect to `x` and, if needed, `alpha`, both of their shapes.

    `out` receives the first and may be `dy`.
    """
    dx = np.empty(x.shape, x.dtype) if out is None else out
    block = _samples_per_block(x)
    sums: list[np.ndarray | None] = [None] * -(-len(x) // block)
    shared = tuple(i for i, size in enumerate(alpha.shape) if size == 1)

    def work(start: int, stop: int, worker: int) -> None:
        part, dpart = x[start:stop], dy[start:stop]
        if need_dalpha:
            negative = part.clip(-_INF, 0.0)
            negative *= dpart
            sums[start // block] = _batch_sum(negative).sum(axis=shared, keepdims=True)
        slope = np.multiply(part < 0, alpha, dtype=x.dtype)
        slope += part > 0
        np.multiply(dpart, slope, out=dx[start:stop])

    for_blocks(work, len(x), block)
    dalpha = np.zeros(alpha.shape, x.dtype) if need_dalpha else None
    for piece in sums:
        if dalpha is not None and piece is not None:
            dalpha += piece
    return dx, dalpha


def _samples_per_block(x: np.ndarray) -> int:
    return max(1, _BLOCK * len(x) // max(1, x.size))


def _batch_sum(x: np.ndarray) -> np.ndarray:
    """Sum over the batch by a product with ones: faster where there are few features."""
    ones = np.ones(len(x), x.dtype)
    return (ones @ x.reshape(len(x), math.prod(x.shape[1:]))).reshape(x.shape[1:])
