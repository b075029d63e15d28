"""`K`: the cross-entropies, of probabilities or of logits, with a score for each sample or entry.

The losses of `minikeras.losses` have their names, but not their arguments.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minikeras.backend.config import epsilon
from minikeras.backend.nn import as_floats
from minikeras.backend.tape import differentiable, unbroadcast
from minikeras.ops import activation, loss


def _by_target(
    dy: Any, y: Any, target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Any:
    output = _classes_last(output, axis, "categorical_crossentropy")
    if from_logits:
        log_p = _log_softmax(output)
    else:
        limit = epsilon()
        log_p = np.log((output / _sum(output)).clip(limit, 1 - limit))
    return unbroadcast(np.moveaxis(-np.expand_dims(dy, -1) * log_p, -1, axis), target)


def _by_output(
    dy: Any, y: Any, target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Any:
    target, output = _aligned(target, output, axis)
    dy = np.asarray(dy)
    if from_logits:
        p = activation.softmax(output)
        found = loss.softmax_crossentropy_backward(dy, target, p, out=p)
    else:
        found = loss.categorical_crossentropy_backward(dy, target, output, epsilon=epsilon())
    return np.moveaxis(found, -1, axis)


@differentiable(_by_target, _by_output)
def categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Any:
    """Return ``-sum(target * log(p))``, the sum running over the classes.

    Parameters
    ----------
    target : array or tensor
        Probabilities of the classes. Of the shape of `output`, or broadcast to it.
    output : array or tensor
        Probabilities, which are scaled so that their sum is 1, and clipped to
        ``[K.epsilon(), 1 - K.epsilon()]``; the gradient is 0 where they are clipped.
    from_logits : bool
        Whether `output` is logits: ``p = softmax(output)``, without clipping. Default False.
    axis : int
        The axis of the classes, -1 (default) or at least 0. (Keras ignores it for logits.)

    Returns
    -------
    array or tensor, shape of `output` without `axis`

    Raises
    ------
    ValueError
        If there is no such axis, or the shapes don't fit.

    Notes
    -----
    The gradient by logits is ``p * sum(target) - target``. TensorFlow leaves out the sum, which is
    right only where it is 1.

    Examples
    --------
    >>> categorical_crossentropy(np.array([[0.0, 1.0]]), np.array([[1.0, 1.0]])).round(4).tolist()
    [0.6931]
    """
    target, output = _aligned(target, output, axis)
    if from_logits:
        return _negated_sum(target, _log_softmax(output))
    return loss.categorical_crossentropy(target, output, epsilon())


def _sparse_by_output(
    dy: Any, y: Any, target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Any:
    output = _classes_last(output, axis, "sparse_categorical_crossentropy")
    labels = _labels(target, output.shape)
    dy = np.reshape(dy, output.shape[:-1])
    if from_logits:
        p = activation.softmax(output)
        found = loss.sparse_softmax_crossentropy_backward(dy, labels, p, out=p)
    else:
        found = loss.sparse_categorical_crossentropy_backward(dy, labels, output, epsilon=epsilon())
    return np.moveaxis(found, -1, axis)


@differentiable(None, _sparse_by_output)
def sparse_categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Any:
    """Return ``-log(p)`` of the classes that `target` names.

    Parameters
    ----------
    target : array or tensor
        Class numbers, of integers or floats: one for each sample, in any shape.
    output : array or tensor
        Probabilities. They are clipped to ``[K.epsilon(), 1 - K.epsilon()]``, with a gradient of
        0 where they are, and then scaled so that their sum is 1.
    from_logits : bool
        Whether `output` is logits: ``p = softmax(output)``, without clipping. Default False.
    axis : int
        The axis of the classes, -1 (default) or at least 0.

    Returns
    -------
    array or tensor, shape of `output` without `axis`
        Of one axis at least.

    Raises
    ------
    ValueError
        If there is no such axis, there are more or fewer labels than samples, or one of them is
        no class.

    Examples
    --------
    >>> p = np.array([[0.5, 0.5], [0.25, 0.75]])
    >>> sparse_categorical_crossentropy(np.array([0, 1]), p).round(4).tolist()
    [0.6931, 0.2877]
    """
    output = _classes_last(output, axis, "sparse_categorical_crossentropy")
    labels = _labels(target, output.shape)
    if from_logits:
        log_p = _log_softmax(output)
        y = -np.take_along_axis(log_p, labels[..., None], axis=-1)[..., 0]
    else:
        y = loss.sparse_categorical_crossentropy(labels, output, epsilon())
    return np.atleast_1d(y)


def _binary_by_target(dy: Any, y: Any, target: Any, output: Any, from_logits: bool = False) -> Any:
    output = as_floats(output)
    if from_logits:
        return unbroadcast(-dy * output, target)
    q = output.clip(epsilon(), 1 - epsilon())
    return unbroadcast(dy * (np.log1p(-q) - np.log(q)), target)


def _binary_by_output(dy: Any, y: Any, target: Any, output: Any, from_logits: bool = False) -> Any:
    output = as_floats(output)
    target = _broadcast(target, output, "binary_crossentropy")
    dy, target, output = np.asarray(dy), target[..., None], output[..., None]
    if from_logits:
        found = loss.sigmoid_crossentropy_backward(dy, target, activation.sigmoid(output))
    else:
        found = loss.binary_crossentropy_backward(dy, target, output, epsilon=epsilon())
    return found[..., 0]


@differentiable(_binary_by_target, _binary_by_output)
def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    """Return ``-(target * log(p) + (1 - target) * log(1 - p))``, entry by entry, without a mean.

    Parameters
    ----------
    target : array or tensor
        Of the shape of `output`, or broadcast to it.
    output : array or tensor
        Probabilities. They are clipped to ``[K.epsilon(), 1 - K.epsilon()]``; the gradient is 0
        where they are.
    from_logits : bool
        Whether `output` is logits: ``p = sigmoid(output)``, without clipping. Default False.

    Returns
    -------
    array or tensor, shape of `output`

    Raises
    ------
    ValueError
        If the shapes don't fit.

    Examples
    --------
    >>> binary_crossentropy(np.array([1.0, 0.0]), np.array([0.5, 0.25])).round(4).tolist()
    [0.6931, 0.2877]
    """
    output = as_floats(output)
    target = _broadcast(target, output, "binary_crossentropy")
    if not from_logits:  # each entry is a sample of one, whose mean it is
        return loss.binary_crossentropy(target[..., None], output[..., None], epsilon())
    # In this order: for a large logit and a target of 1 the small rest is all there is.
    y = np.maximum(output, 0) - target * output
    return y + np.log1p(np.exp(-np.abs(output)))


def _aligned(target: Any, output: Any, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return both in one shape and type, with the classes last."""
    name = "categorical_crossentropy"
    last = _classes_last(output, axis, name)
    target = _broadcast(target, as_floats(output), name)
    return _to_last(target, axis), last


def _classes_last(output: Any, axis: int, name: str) -> np.ndarray:
    output = as_floats(output)
    if (axis != -1 and not 0 <= axis < output.ndim) or not output.ndim:
        raise ValueError(
            f"axis of K.{name} must be -1 or one of the axes of the output, which has the shape "
            f"{output.shape}; got {axis}."
        )
    return _to_last(output, axis)


def _to_last(x: np.ndarray, axis: int) -> np.ndarray:
    # np.moveaxis takes as long as a small loss.
    return x if axis in (-1, x.ndim - 1) else np.moveaxis(x, axis, -1)


def _broadcast(target: Any, output: np.ndarray, name: str) -> np.ndarray:
    """Return the target in the shape and type of the output."""
    target = np.asarray(target)
    if target.dtype != output.dtype:
        target = target.astype(output.dtype)
    if target.shape == output.shape:
        return target
    try:
        return np.broadcast_to(target, output.shape)
    except ValueError:
        raise ValueError(
            f"target and output of K.{name} must have the same shape, got {target.shape} and "
            f"{output.shape}."
        ) from None


def _labels(target: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return class numbers, one for each sample of an output of this shape."""
    labels = np.asarray(target)
    if labels.dtype.kind not in "iu":
        labels = labels.astype(np.int64)
    if labels.size != np.prod(shape[:-1], dtype=int):
        raise ValueError(
            "K.sparse_categorical_crossentropy needs one class number for each sample: the output "
            f"has the shape {shape}, classes last, and target the shape {labels.shape}."
        )
    if labels.size and not 0 <= labels.min() <= labels.max() < shape[-1]:
        raise ValueError(
            f"Class numbers must lie in 0 ... {shape[-1] - 1}, since the output has {shape[-1]} "
            f"classes; target has numbers from {labels.min()} to {labels.max()}."
        )
    return labels.reshape(shape[:-1])


def _sum(x: np.ndarray) -> np.ndarray:
    return np.asarray(loss.last_axis_sum(x))[..., None]


def _negated_sum(x: np.ndarray, y: np.ndarray) -> Any:
    return loss.last_axis_sum(x * y, -1.0)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return ``log(softmax(logits))`` along the last axis, for logits of any size."""
    shifted = logits - np.max(logits, axis=-1, keepdims=True)
    return shifted - np.log(_sum(np.exp(shifted)))
