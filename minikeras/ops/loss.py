"""Losses and their derivatives.

Each op is a pair. ``name(y_true, y_pred)`` gives one loss per sample: it reduces the last axis,
so the result has the shape ``y_pred.shape[:-1]``. ``name_backward(dloss, y_true, y_pred, out)``
gives the gradient with respect to `y_pred`, for `dloss` of that shape. `out` receives it and may
be `y_pred`. The result has the type of `y_pred`.

Where a value is clipped before a logarithm, the loss does not change with what lies outside the
limits: the gradient there is 0. At a limit itself it is that of the inside, as in TensorFlow.

The fused ops at the end give the gradient with respect to the logits ``z`` of
``y_pred = softmax(z)`` or ``sigmoid(z)``. It is that of the loss without clipping: it does not
vanish for predictions that are wrong with certainty. The loss itself is the one above.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

_INF = float("inf")
# Of tf.nn.l2_normalize: the least squared norm.
_MIN_SQUARED_NORM = 1e-12


@functools.lru_cache(maxsize=64)
def _constant_vector(size: int, value: float, dtype: Any) -> np.ndarray:
    vector = np.full(size, value, dtype)
    vector.flags.writeable = False
    return vector


# A product with a constant vector is several times faster than a reduction over a narrow axis.
def last_axis_sum(x: np.ndarray, factor: float = 1.0) -> np.ndarray:
    """Return ``factor * x.sum(axis=-1)``."""
    vector = _constant_vector(x.shape[-1], factor, x.dtype)
    if x.ndim < 3:
        return x @ vector
    return (x.reshape(-1, x.shape[-1]) @ vector).reshape(x.shape[:-1])


def last_axis_mean(x: np.ndarray, factor: float = 1.0) -> np.ndarray:
    """Return ``factor * x.mean(axis=-1)``."""
    return last_axis_sum(x, factor / max(1, x.shape[-1]))


def _typed(x: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Return `x` in the type of the predictions."""
    return x if x.dtype == y_pred.dtype else x.astype(y_pred.dtype)


def _scale(dy: np.ndarray, dloss: np.ndarray, factor: float = 1.0) -> np.ndarray:
    """Multiply each sample of `dy`, in place, by `factor` and its part of `dloss`."""
    dy *= (dloss if factor == 1 else dloss * factor)[..., None]
    return dy


def _clip(x: np.ndarray, low: float, high: float = _INF) -> tuple[np.ndarray, np.ndarray]:
    """Return `x` clipped, and where that left it as it was."""
    clipped = x.clip(low, high)
    return clipped, clipped == x


# --- distances ------------------------------------------------------------------------------


def mean_squared_error(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Return ``mean((p - t)**2)``."""
    error = y_pred - _typed(y_true, y_pred)
    error *= error
    return last_axis_mean(error)


def mean_squared_error_backward(
    dloss: np.ndarray, y_true: np.ndarray, y_pred: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """Return ``dloss * 2 * (p - t) / n``."""
    dy = np.subtract(y_pred, _typed(y_true, y_pred), out=out)
    return _scale(dy, dloss, 2.0 / dy.shape[-1])


def mean_absolute_error(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Return ``mean(|p - t|)``."""
    error = y_pred - _typed(y_true, y_pred)
    return last_axis_mean(np.abs(error, out=error))


def mean_absolute_error_backward(
    dloss: np.ndarray, y_true: np.ndarray, y_pred: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """Return ``dloss * sign(p - t) / n``."""
    dy = np.subtract(y_pred, _typed(y_true, y_pred), out=out)
    return _scale(np.sign(dy, out=dy), dloss, 1.0 / dy.shape[-1])


def mean_absolute_percentage_error(
    y_true: np.ndarray, y_pred: np.ndarray, epsilon: float = 1e-7
) -> np.ndarray:
    """Return ``100 * mean(|t - p| / max(|t|, epsilon))``."""
    y_true = _typed(y_true, y_pred)
    error = np.abs(y_true - y_pred)
    error /= np.abs(y_true).clip(epsilon, _INF)
    return last_axis_mean(error, 100.0)


def mean_absolute_percentage_error_backward(
    dloss: np.ndarray,
    y_true: np.ndarray,
    y_pred: np.ndarray,
    out: np.ndarray | None = None,
    epsilon: float = 1e-7,
) -> np.ndarray:
    """Return ``dloss * 100 * sign(p - t) / max(|t|, epsilon) / n``."""
    y_true = _typed(y_true, y_pred)
    dy = np.subtract(y_pred, y_true, out=out)
    np.sign(dy, out=dy)
    dy /= np.abs(y_true).clip(epsilon, _INF)
    return _scale(dy, dloss, 100.0 / dy.shape[-1])


def mean_squared_logarithmic_error(
    y_true: np.ndarray, y_pred: np.ndarray, epsilon: float = 1e-7
) -> np.ndarray:
    """Return ``mean((log(1 + max(p, epsilon)) - log(1 + max(t, epsilon)))**2)``."""
    error = _logarithmic_error(y_true, y_pred.clip(epsilon, _INF), epsilon)
    error *= error
    return last_axis_mean(error)


def mean_squared_logarithmic_error_backward(
    dloss: np.ndarray,
    y_true: np.ndarray,
    y_pred: np.ndarray,
    out: np.ndarray | None = None,
    epsilon: float = 1e-7,
) -> np.ndarray:
    """Return ``dloss * 2 * (difference of logarithms) / (1 + p) / n``; 0 where p < epsilon."""
    clipped, inside = _clip(y_pred, epsilon)
    error = _logarithmic_error(y_true, clipped, epsilon)
    clipped += 1.0
    error /= clipped
    dy = np.multiply(error, inside, out=out)
    return _scale(dy, dloss, 2.0 / dy.shape[-1])


def _logarithmic_error(y_true: np.ndarray, clipped: np.ndarray, epsilon: float) -> np.ndarray:
    error = np.log1p(clipped)
    error -= np.log1p(_typed(y_true, clipped).clip(epsilon, _INF))
    return error


def logcosh(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Return ``mean(log(cosh(p - t)))``, computed as ``|d| + log(1 + exp(-2 |d|)) - log(2)``."""
    error = y_pred - _typed(y_true, y_pred)
    np.abs(error, out=error)
    rest = error * -2.0
    np.exp(rest, out=rest)
    error += np.log1p(rest, out=rest)
    error -= float(np.log(2.0))
    return last_axis_mean(error)


def logcosh_backward(
    dloss: np.ndarray, y_true: np.ndarray, y_pred: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """Return ``dloss * tanh(p - t) / n``."""
    dy = np.subtract(y_pred, _typed(y_true, y_pred), out=out)
    return _scale(np.tanh(dy, out=dy), dloss, 1.0 / dy.shape[-1])


def poisson(y_true: np.ndarray, y_pred: np.ndarray, epsilon: float = 1e-7) -> np.ndarray:
    """Return ``mean(p - t * log(p + epsilon))``."""
    rest = y_pred + epsilon
    np.log(rest, out=rest)
    rest *= _typed(y_true, y_pred)
    return last_axis_mean(np.subtract(y_pred, rest, out=rest))


def poisson_backward(
    dloss: np.ndarray,
    y_true: np.ndarray,
    y_pred: np.ndarray,
    out: np.ndarray | None = None,
    epsilon: float = 1e-7,
) -> np.ndarray:
    """Return ``dloss * (1 - t / (p + epsilon)) / n``."""
    dy = np.add(y_pred, epsilon, out=out)
    np.divide(_typed(y_true, y_pred), dy, out=dy)
    np.subtract(1.0, dy, out=dy)
    return _scale(dy, dloss, 1.0 / dy.shape[-1])


def _inverse_norm(y: np.ndarray) -> np.ndarray:
    squared = last_axis_sum(y * y)
    return 1.0 / np.sqrt(squared.clip(_MIN_SQUARED_NORM, _INF))


def cosine_proximity(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Return ``-sum(t * p) / (|t| |p|)``: minus the cosine of the angle between them.

    A norm below 1e-6 counts as 1e-6.
    """
    y_true = _typed(y_true, y_pred)
    cosine = last_axis_sum(y_true * y_pred, -1.0)
    cosine *= _inverse_norm(y_true)
    cosine *= _inverse_norm(y_pred)
    return cosine


def cosine_proximity_backward(
    dloss: np.ndarray, y_true: np.ndarray, y_pred: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """Return ``dloss * (p * cosine / |p| - t / |t|) / |p|``.

    The first term is 0 where ``|p|`` is below its least value, 1e-6.
    """
    y_true = _typed(y_true, y_pred)
    by_true = _inverse_norm(y_true)
    squared, inside = _clip(last_axis_sum(y_pred * y_pred), _MIN_SQUARED_NORM)
    by_pred = 1.0 / np.sqrt(squared)
    cosine = last_axis_sum(y_true * y_pred)
    cosine *= by_true * by_pred
    cosine *= inside
    dy = np.multiply(y_pred, (cosine * by_pred)[..., None], out=out)
    dy -= y_true * by_true[..., None]
    return _scale(dy, dloss * by_pred)


# --- margins --------------------------------------------------------------------------------


def _margin(y_true: np.ndarray, y_pred: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    margin = np.multiply(_typed(y_true, y_pred), y_pred, out=out)
    return np.subtract(1.0, margin, out=margin)


def hinge(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Return ``mean(max(1 - t * p, 0))``."""
    margin = _margin(y_true, y_pred)
    return last_axis_mean(margin.clip(0.0, _INF, out=margin))


def hinge_backward(
    dloss: np.ndarray, y_true: np.ndarray, y_pred: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """Return ``-dloss * t / n`` where ``t * p <= 1``, else 0."""
    short = _margin(y_true, y_pred) >= 0.0
    dy = np.multiply(_typed(y_true, y_pred), short, out=out)
    return _scale(dy, dloss, -1.0 / dy.shape[-1])


def squared_hinge(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Return ``mean(max(1 - t * p, 0)**2)``."""
    margin = _margin(y_true, y_pred)
    margin.clip(0.0, _INF, out=margin)
    margin *= margin
    return last_axis_mean(margin)


def squared_hinge_backward(
    dloss: np.ndarray, y_true: np.ndarray, y_pred: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """Return ``-dloss * 2 * t * max(1 - t * p, 0) / n``."""
    dy = _margin(y_true, y_pred, out=out)
    dy.clip(0.0, _INF, out=dy)
    dy *= _typed(y_true, y_pred)
    return _scale(dy, dloss, -2.0 / dy.shape[-1])


def categorical_hinge(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Return ``max(0, 1 + max((1 - t) * p) - sum(t * p))``."""
    right, wrong = _right_and_wrong(_typed(y_true, y_pred), y_pred)
    margin = wrong.max(axis=-1) - last_axis_sum(right) + 1.0
    return margin.clip(0.0, _INF)


def categorical_hinge_backward(
    dloss: np.ndarray, y_true: np.ndarray, y_pred: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """Return ``dloss * ((1 - t) at the highest wrong score - t)`` where the loss is not 0.

    Wrong scores that are highest together share the gradient.
    """
    y_true = _typed(y_true, y_pred)
    right, wrong = _right_and_wrong(y_true, y_pred)
    highest = wrong.max(axis=-1, keepdims=True)
    in_force = highest[..., 0] - last_axis_sum(right) + 1.0 > 0
    at_highest = np.equal(wrong, highest, out=wrong)
    at_highest /= last_axis_sum(at_highest)[..., None]
    at_highest *= 1.0 - y_true
    dy = np.subtract(at_highest, y_true, out=out)
    return _scale(dy, dloss * in_force)


def _right_and_wrong(y_true: np.ndarray, y_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    right = y_true * y_pred
    return right, y_pred - right


# --- probabilities --------------------------------------------------------------------------


def categorical_crossentropy(
    y_true: np.ndarray, y_pred: np.ndarray, epsilon: float = 1e-7
) -> np.ndarray:
    """Return ``-sum(t * log(q))`` with ``q = p / sum(p)``, clipped to [epsilon, 1 - epsilon]."""
    q = y_pred / last_axis_sum(y_pred)[..., None]
    q.clip(epsilon, 1.0 - epsilon, out=q)
    np.log(q, out=q)
    q *= _typed(y_true, y_pred)
    return last_axis_sum(q, -1.0)


def categorical_crossentropy_backward(
    dloss: np.ndarray,
    y_true: np.ndarray,
    y_pred: np.ndarray,
    out: np.ndarray | None = None,
    epsilon: float = 1e-7,
) -> np.ndarray:
    """Return ``dloss * (sum(t) - t / q) / sum(p)``, with 0 for the `t` outside the limits."""
    total = last_axis_sum(y_pred)
    q, inside = _clip(y_pred / total[..., None], epsilon, 1.0 - epsilon)
    counted = _typed(y_true, y_pred) * inside
    sums = last_axis_sum(counted)
    counted /= q
    dy = np.subtract(sums[..., None], counted, out=out)
    return _scale(dy, dloss / total)


def _labels(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Return class numbers of the shape ``y_pred.shape[:-1]``, ready for indexing."""
    labels = y_true.reshape(y_pred.shape[:-1])
    return labels if labels.dtype.kind in "iu" else labels.astype(np.intp)


def _index(labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return what picks the labelled entry of each sample out of ``y_pred``."""
    if labels.ndim == 1:
        return np.arange(len(labels)), labels
    return (*np.indices(labels.shape, sparse=True), labels)


def sparse_categorical_crossentropy(
    y_true: np.ndarray, y_pred: np.ndarray, epsilon: float = 1e-7
) -> np.ndarray:
    """Return ``log(sum(q)) - log(q[label])`` with ``q`` the `p` clipped to [epsilon, 1 - epsilon].

    Labels have the shape ``y_pred.shape[:-1]``, or that with a last axis of length 1. They must
    lie in ``0 ... classes - 1``; that is not checked here.
    """
    q = y_pred.clip(epsilon, 1.0 - epsilon)
    return np.log(last_axis_sum(q) / q[_index(_labels(y_true, y_pred))])


def sparse_categorical_crossentropy_backward(
    dloss: np.ndarray,
    y_true: np.ndarray,
    y_pred: np.ndarray,
    out: np.ndarray | None = None,
    epsilon: float = 1e-7,
) -> np.ndarray:
    """Return ``dloss * (1 / sum(q) - 1 / q[label] at the label)``; 0 outside the limits."""
    at_label = _index(_labels(y_true, y_pred))
    dloss = _typed(dloss, y_pred)
    q, inside = _clip(y_pred, epsilon, 1.0 - epsilon)
    dy = np.multiply(inside, (dloss / last_axis_sum(q))[..., None], out=out)
    dy[at_label] -= dloss / q[at_label] * inside[at_label]
    return dy


def binary_crossentropy(
    y_true: np.ndarray, y_pred: np.ndarray, epsilon: float = 1e-7
) -> np.ndarray:
    """Return ``-mean(t * log(q) + (1 - t) * log(1 - q))``.

    ``q`` is `p` clipped to [epsilon, 1 - epsilon]. Keras turns it into a logit and back; that is
    the same number.
    """
    y_true = _typed(y_true, y_pred)
    q = y_pred.clip(epsilon, 1.0 - epsilon)
    score = np.log(q)
    score *= y_true
    np.log1p(np.negative(q, out=q), out=q)
    q *= 1.0 - y_true
    score += q
    return last_axis_mean(score, -1.0)


def binary_crossentropy_backward(
    dloss: np.ndarray,
    y_true: np.ndarray,
    y_pred: np.ndarray,
    out: np.ndarray | None = None,
    epsilon: float = 1e-7,
) -> np.ndarray:
    """Return ``dloss * (q - t) / (q * (1 - q)) / n``; 0 outside the limits."""
    q, inside = _clip(y_pred, epsilon, 1.0 - epsilon)
    variance = 1.0 - q
    variance *= q
    q -= _typed(y_true, y_pred)
    q *= inside
    dy = np.divide(q, variance, out=out)
    return _scale(dy, dloss, 1.0 / dy.shape[-1])


def kullback_leibler_divergence(
    y_true: np.ndarray, y_pred: np.ndarray, epsilon: float = 1e-7
) -> np.ndarray:
    """Return ``sum(t * log(t / p))``, both clipped to [epsilon, 1]."""
    y_true = _typed(y_true, y_pred).clip(epsilon, 1.0)
    score = y_true / y_pred.clip(epsilon, 1.0)
    np.log(score, out=score)
    score *= y_true
    return last_axis_sum(score)


def kullback_leibler_divergence_backward(
    dloss: np.ndarray,
    y_true: np.ndarray,
    y_pred: np.ndarray,
    out: np.ndarray | None = None,
    epsilon: float = 1e-7,
) -> np.ndarray:
    """Return ``-dloss * t / p``; 0 where `p` lies outside [epsilon, 1]."""
    q, inside = _clip(y_pred, epsilon, 1.0)
    target = _typed(y_true, y_pred).clip(epsilon, 1.0)
    target *= inside
    dy = np.divide(target, q, out=out)
    return _scale(dy, dloss, -1.0)


# --- fused with the last activation ---------------------------------------------------------


def softmax_crossentropy_backward(
    dloss: np.ndarray, y_true: np.ndarray, y_pred: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """Return ``dloss * (p * sum(t) - t)``: `categorical_crossentropy` behind a softmax."""
    y_true = _typed(y_true, y_pred)
    dz = np.multiply(y_pred, last_axis_sum(y_true)[..., None], out=out)
    dz -= y_true
    return _scale(dz, dloss)


def sparse_softmax_crossentropy_backward(
    dloss: np.ndarray, y_true: np.ndarray, y_pred: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """Return ``dloss * (p - 1 at the label)``: the same for labels, without a one-hot array."""
    at_label = _index(_labels(y_true, y_pred))
    dloss = _typed(dloss, y_pred)
    dz = np.multiply(y_pred, dloss[..., None], out=out)
    dz[at_label] -= dloss
    return dz


def sigmoid_crossentropy_backward(
    dloss: np.ndarray, y_true: np.ndarray, y_pred: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """Return ``dloss * (p - t) / n``: `binary_crossentropy` behind a sigmoid."""
    dz = np.subtract(y_pred, _typed(y_true, y_pred), out=out)
    return _scale(dz, dloss, 1.0 / dz.shape[-1])
