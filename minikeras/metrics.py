"""Metrics by name: accuracies, and every loss.

A metric is a function ``metric(y_true, y_pred)`` that gives one value per sample, of shape
``y_pred.shape[:-1]``, or one number for the batch. Values per sample are averaged by the training
step, with sample weights for `weighted_metrics`. An object with the methods
``__call__(y_true, y_pred)`` and ``reset_states()`` is a metric over a whole epoch; it is reported
by its attribute ``name``.

``'accuracy'`` and ``'crossentropy'`` stand for different functions, depending on the loss and the
model's output: see `resolve`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minikeras import losses
from minikeras.activations import as_floats
from minikeras.losses import (
    KLD,
    MAE,
    MAPE,
    MSE,
    MSLE,
    binary_crossentropy,
    categorical_crossentropy,
    categorical_hinge,
    cosine,
    cosine_proximity,
    hinge,
    kld,
    kullback_leibler_divergence,
    logcosh,
    mae,
    mape,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    mse,
    msle,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from minikeras.ops.loss import last_axis_mean
from minikeras.utils.registry import Registry

__all__ = [
    "KLD",
    "MAE",
    "MAPE",
    "MSE",
    "MSLE",
    "binary_accuracy",
    "binary_crossentropy",
    "categorical_accuracy",
    "categorical_crossentropy",
    "categorical_hinge",
    "cosine",
    "cosine_proximity",
    "deserialize",
    "get",
    "hinge",
    "kld",
    "kullback_leibler_divergence",
    "logcosh",
    "mae",
    "mape",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "metric_name",
    "mse",
    "msle",
    "poisson",
    "resolve",
    "serialize",
    "sparse_categorical_accuracy",
    "sparse_categorical_crossentropy",
    "sparse_top_k_categorical_accuracy",
    "squared_hinge",
    "top_k_categorical_accuracy",
]


def binary_accuracy(y_true: ArrayLike, y_pred: ArrayLike, threshold: float = 0.5) -> np.ndarray:
    """Return the share of units whose prediction, made 0 or 1, equals the target.

    Parameters
    ----------
    y_true : array (batch, ..., units)
        0 or 1.
    y_pred : array (batch, ..., units)
        Probabilities.
    threshold : float
        A prediction above it counts as 1. At the default, 0.5, predictions are rounded, which is
        the same for probabilities and makes sense of whole numbers beyond 1, too.

    Returns
    -------
    ndarray (batch, ...)

    Examples
    --------
    >>> binary_accuracy([[0, 1, 1, 1]], [[0.2, 0.9, 0.6, 0.4]])
    array([0.75], dtype=float32)
    """
    y_pred = as_floats(y_pred)
    y_true = np.asarray(y_true)
    if y_pred.shape == (*y_true.shape, 1):
        y_true = y_true[..., np.newaxis]  # else (batch,) and (batch, 1) make (batch, batch)
    decided = np.rint(y_pred) if threshold == 0.5 else y_pred > threshold
    return last_axis_mean((y_true == decided).astype(y_pred.dtype))


def categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return 1 where the highest prediction is at the highest target, else 0.

    Of equal predictions the first counts.

    Parameters
    ----------
    y_true : array (batch, ..., classes)
        One-hot rows.
    y_pred : array (batch, ..., classes)

    Returns
    -------
    ndarray (batch, ...)

    Examples
    --------
    >>> categorical_accuracy([[0, 1], [0, 1]], [[0.4, 0.6], [0.7, 0.3]])
    array([1., 0.], dtype=float32)
    """
    y_pred = as_floats(y_pred)
    hit = np.asarray(y_true).argmax(axis=-1) == y_pred.argmax(axis=-1)
    return np.asarray(hit, y_pred.dtype)


def sparse_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return 1 where the highest prediction is at the label, else 0.

    Parameters
    ----------
    y_true : array (batch, ...) or (batch, ..., 1)
        Labels from 0 to classes - 1.
    y_pred : array (batch, ..., classes)

    Returns
    -------
    ndarray (batch, ...)

    Examples
    --------
    >>> sparse_categorical_accuracy([1, 1], [[0.4, 0.6], [0.7, 0.3]])
    array([1., 0.], dtype=float32)
    """
    y_pred = as_floats(y_pred)
    hit = np.asarray(y_true).reshape(y_pred.shape[:-1]) == y_pred.argmax(axis=-1)
    return np.asarray(hit, y_pred.dtype)


def top_k_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike, k: int = 5) -> np.ndarray:
    """Return 1 where the target is among the `k` highest predictions, else 0.

    Equal predictions at the border all count as among the highest. A sample with a prediction
    that is not finite counts as missed. (Keras returns the mean over the batch; this function
    gives one value per sample, so that weights apply.)

    Parameters
    ----------
    y_true : array (batch, ..., classes)
        One-hot rows.
    y_pred : array (batch, ..., classes)
    k : int
        Default 5.

    Returns
    -------
    ndarray (batch, ...)

    Examples
    --------
    >>> top_k_categorical_accuracy([[1, 0, 0], [0, 1, 0]], [[0.3, 0.6, 0.1], [0.5, 0.2, 0.3]], k=2)
    array([1., 0.], dtype=float32)
    """
    return _in_top_k(np.asarray(y_true).argmax(axis=-1), as_floats(y_pred), k)


def sparse_top_k_categorical_accuracy(
    y_true: ArrayLike, y_pred: ArrayLike, k: int = 5
) -> np.ndarray:
    """Return 1 where the label is among the `k` highest predictions, else 0.

    As `top_k_categorical_accuracy`, for labels of shape (batch, ...) or (batch, ..., 1).

    Examples
    --------
    >>> sparse_top_k_categorical_accuracy([0, 1], [[0.3, 0.6, 0.1], [0.5, 0.2, 0.3]], k=2)
    array([1., 0.], dtype=float32)
    """
    y_pred = as_floats(y_pred)
    labels = np.asarray(y_true).reshape(y_pred.shape[:-1]).astype(np.intp)
    return _in_top_k(labels, y_pred, k)


def _in_top_k(labels: np.ndarray, y_pred: np.ndarray, k: int) -> np.ndarray:
    own = np.take_along_axis(y_pred, labels[..., np.newaxis], axis=-1)
    hit = np.count_nonzero(y_pred > own, axis=-1) < k
    hit &= np.isfinite(y_pred).all(axis=-1)
    return np.asarray(hit, y_pred.dtype)


_ACCURACIES = (
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    top_k_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
)
# What stands for one of three functions, and the short name under which it is reported.
_SHORT_NAMES = {"accuracy": "acc", "acc": "acc", "crossentropy": "ce", "ce": "ce"}
_registry = Registry(
    "metric",
    {**{f.__name__: f for f in _ACCURACIES}, **losses.FUNCTIONS},
    losses.ALIASES,
    other_names=_SHORT_NAMES,
)
_BY_KIND = {
    "acc": (binary_accuracy, sparse_categorical_accuracy, categorical_accuracy),
    "ce": (binary_crossentropy, sparse_categorical_crossentropy, categorical_crossentropy),
}


def get(identifier: str | Callable | Mapping) -> Any:
    """Return the metric that `identifier` names.

    Parameters
    ----------
    identifier : str, callable or dict
        A name; a function or an object with ``__call__`` and ``reset_states``, which is returned
        as it is; a config.

    Raises
    ------
    ValueError
        If the name is unknown, or stands for different functions (`resolve` knows which).
    TypeError
        If `identifier` is none of these.

    Examples
    --------
    >>> get("mae") is losses.mean_absolute_error
    True
    """
    short = _SHORT_NAMES.get(identifier) if isinstance(identifier, str) else None
    if short is not None:
        names = ", ".join(f"'{f.__name__}'" for f in _BY_KIND[short])
        raise ValueError(
            f"The metric '{identifier}' has a meaning only together with a loss, as in "
            f"model.compile. Here, name one of {names}."
        )
    return _registry.get(identifier)


def resolve(identifier: Any, loss: Callable, output_shape: tuple[int | None, ...]) -> Any:
    """Return the metric that `identifier` names for a model of this loss and output.

    Parameters
    ----------
    identifier : str, callable or dict
        ``'accuracy'`` and ``'acc'``, ``'crossentropy'`` and ``'ce'`` give the binary function
        for the loss `binary_crossentropy` or a last axis of length 1, the sparse one for the
        loss `sparse_categorical_crossentropy`, else the categorical one. Anything else is left
        to `get`.
    loss : callable
    output_shape : tuple

    Examples
    --------
    >>> resolve("accuracy", losses.categorical_crossentropy, (None, 10)).__name__
    'categorical_accuracy'
    """
    short = _SHORT_NAMES.get(identifier) if isinstance(identifier, str) else None
    if short is None:
        return get(identifier)
    binary, sparse, categorical = _BY_KIND[short]
    if output_shape[-1] == 1 or loss is binary_crossentropy:
        return binary
    return sparse if loss is sparse_categorical_crossentropy else categorical


def metric_name(identifier: Any, metric: Any) -> str:
    """Return the name under which a metric is reported.

    Parameters
    ----------
    identifier : str, callable or dict
        What the user gave: ``'accuracy'`` is reported as ``'acc'``, ``'crossentropy'`` as
        ``'ce'``.
    metric : callable
        What `resolve` made of it; reported by its attribute ``name``, or else ``__name__``.

    Raises
    ------
    ValueError
        If the metric has neither.

    Examples
    --------
    >>> metric_name("acc", categorical_accuracy), metric_name("mse", mean_squared_error)
    ('acc', 'mean_squared_error')
    """
    short = _SHORT_NAMES.get(identifier) if isinstance(identifier, str) else None
    name = short or getattr(metric, "name", None) or getattr(metric, "__name__", None)
    if name is None:
        raise ValueError(
            f"The metric {metric!r} has no name to be reported under: give it one, "
            f"metric.__name__ = 'my_metric'."
        )
    return name


def serialize(metric: Any) -> Any:
    """Return the name of a metric, or the config of a metric object.

    Examples
    --------
    >>> serialize(categorical_accuracy)
    'categorical_accuracy'
    """
    return _registry.serialize(metric)


def deserialize(config: str | Mapping, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Return the metric of this name or config.

    Parameters
    ----------
    config : str or dict
    custom_objects : dict, optional
        Names that are known in this call only.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    return _registry.deserialize(config, custom_objects)
