"""How much each sample counts: sample weights, class weights and masks in one place.

Keras scores each sample (or each time step), multiplies by the mask and divides by the mask's
mean, multiplies by the weights and divides by the share of weights that are not zero, and takes
the mean. All of that is linear in the scores, so it is kept as one array of coefficients:
``loss = sum(coefficients * scores)``. The same array is the gradient by the scores.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from minikeras.training.data import check_finite
from minikeras.training.disk import loaded


def coefficients(
    shape: tuple[int, ...],
    dtype: Any,
    weights: np.ndarray | None = None,
    mask: np.ndarray | None = None,
) -> np.ndarray:
    """Return what each score counts for in the mean.

    Parameters
    ----------
    shape : tuple of int
        Shape of the scores, ``(batch,)`` or ``(batch, steps, ...)``. A single score for the whole
        batch, of shape ``()``, counts for each sample.
    dtype : dtype
        Of the result.
    weights : ndarray, shape (batch,) or (batch, steps), optional
    mask : ndarray of bool, shape (batch, steps), optional

    Returns
    -------
    ndarray of `shape`
        Without weights and mask: the same number everywhere, summing to 1. Where all weights
        are zero, all zero.

    Examples
    --------
    >>> coefficients((4,), "float64", weights=np.array([1.0, 3.0, 0.0, 0.0])).tolist()
    [0.5, 1.5, 0.0, 0.0]
    """
    rank = max((np.ndim(f) for f in (weights, mask) if f is not None), default=0)
    if rank and not shape:
        given = [np.shape(f) for f in (mask, weights) if f is not None]
        return np.asarray(coefficients(max(given, key=len), dtype, weights, mask).sum())
    if rank > len(shape):
        raise ValueError(
            f"Weights or a mask with {rank} axes can't be applied to scores of shape {shape}: the "
            "loss or metric must return one value for each sample (and time step)."
        )
    result = np.full(shape, 1.0 / max(1, math.prod(shape)), dtype)
    for factor, share in ((mask, _mean), (weights, _share_in_use)):
        if factor is not None:
            factor = np.asarray(factor, dtype)
            mean = share(factor)
            scaled = factor / mean if mean else factor
            result *= scaled.reshape(factor.shape + (1,) * (len(shape) - factor.ndim))
    return result


def _mean(factor: np.ndarray) -> float:
    return float(factor.mean())


def _share_in_use(factor: np.ndarray) -> float:
    return float(np.count_nonzero(factor) / max(1, factor.size))


def standardize_weights(
    y: np.ndarray,
    sample_weight: np.ndarray | None = None,
    class_weight: Mapping[int, float] | None = None,
    mode: str | None = None,
    output_rank: int | None = None,
    name: str = "",
) -> np.ndarray | None:
    """Merge sample weights and class weights into one array, checked against the targets.

    Parameters
    ----------
    y : ndarray, shape (samples, ...)
        Targets. Class weights need labels ``(samples,)`` or ``(samples, 1)``, or one-hot rows.
    sample_weight : ndarray of numbers, optional
        Shape ``(samples,)``, or ``(samples, steps)`` in mode ``'temporal'``.
    class_weight : dict of int to float, optional
        Class index to weight, for every class that occurs.
    mode : {None, 'temporal'}
        `sample_weight_mode` of `compile`.
    output_rank : int, optional
        How many axes the model's output has. Where it has a time axis, targets of shape
        ``(samples, steps)`` are labels of steps. Default: as many as `y`.
    name : str
        What stands before "sample_weight" in errors, as ``'validation '``.

    Returns
    -------
    ndarray or None
        The product of the two; None if neither is given.

    Raises
    ------
    ValueError
        If a shape does not fit, a sample's weight is NaN or infinite, or a class has no weight.
    """
    weights = None
    has_steps = y.ndim > 2 or (y.ndim == 2 and output_rank is not None and output_rank > 2)
    if sample_weight is not None:
        weights = _check_sample_weight(sample_weight, y, mode, has_steps, name)
    if class_weight is not None and not (isinstance(class_weight, Mapping) and not class_weight):
        per_class = _class_weights(y, class_weight, mode == "temporal" or has_steps)
        weights = per_class if weights is None else weights * per_class
    return weights


def _check_sample_weight(
    weights: np.ndarray, y: np.ndarray, mode: str | None, has_steps: bool, name: str
) -> np.ndarray:
    if mode == "temporal":
        if not has_steps:
            raise ValueError(
                "sample_weight_mode='temporal' needs targets with a time axis, of shape (samples, "
                f"steps, ...); got {name}targets of shape {y.shape}."
            )
        wanted, hint = y.shape[:2], ""
        if weights.shape == y.shape[:1]:
            hint = (
                " For one weight per sample, compile without sample_weight_mode, or repeat each: "
                f"np.repeat(sample_weight[:, np.newaxis], {wanted[1]}, axis=1)."
            )
    else:
        wanted, hint = y.shape[:1], ""
        if weights.shape == (*wanted, 1):
            hint = " Write sample_weight[:, 0]."
        elif weights.ndim > 1:
            hint = " For one weight per time step, compile with sample_weight_mode='temporal'."
        elif y.ndim == 2 and weights.shape == y.shape[1:]:
            hint = " For one weight per class, pass class_weight=dict(enumerate(sample_weight))."
    if weights.shape != wanted:
        raise ValueError(
            f"{name}sample_weight must have shape {wanted} for targets of shape {y.shape}, got "
            f"{weights.shape}.{hint}"
        )
    check_finite(weights, f"{name}sample_weight")
    return weights


def _class_weights(y: np.ndarray, table: Mapping[int, float], has_steps: bool) -> np.ndarray:
    if not isinstance(table, Mapping):
        raise TypeError(
            "class_weight must be a dict of class index to weight, such as {0: 1.0, 1: 5.0}; got "
            f"{type(table).__name__}.{_hint_for_no_dict(table)}"
        )
    if has_steps:
        raise ValueError(
            f"class_weight needs targets with one class per sample, got targets of shape "
            f"{y.shape}. Use sample_weight instead."
        )
    classes = _classes(y) if y.ndim == 2 and y.shape[1] > 1 else y.reshape(-1)
    present, inverse = np.unique(classes, return_inverse=True)
    broken = present[present != np.floor(present)]
    if len(broken):
        raise ValueError(
            f"class_weight needs targets that are classes, 0, 1, 2, ...; they hold {broken[0]}. "
            "Use sample_weight instead."
        )
    missing = [int(c) for c in present if int(c) not in table]
    if missing:
        some = f"{', '.join(map(str, missing[:10]))}{', ...' if len(missing) > 10 else ''}"
        raise ValueError(
            f"class_weight has no entry for the classes [{some}] that occur in the targets; it "
            f"has {sorted(table, key=str)}. {_hint_for_keys(table, missing)}"
        )
    try:
        return np.array([float(table[int(c)]) for c in present])[inverse.reshape(-1)]
    except (TypeError, ValueError) as error:
        raise ValueError(f"The weights in class_weight must be numbers; got {table}.") from error


def _hint_for_no_dict(given: Any) -> str:
    """Say how to make the dict that `class_weight` must be of what was given for it."""
    if isinstance(given, str):  # as scikit-learn has it
        return (
            " Weights that balance the classes, for labels y: counts = np.bincount(y); "
            "class_weight = dict(enumerate(len(y) / (len(counts) * counts)))."
        )
    if isinstance(given, (list, tuple, np.ndarray)):
        return " A list of weights becomes one by dict(enumerate(class_weight))."
    return ""


def _hint_for_keys(table: Mapping[Any, Any], missing: list[int]) -> str:
    """Say how to mend a `class_weight` that lacks classes."""
    if all(isinstance(key, str) and key.isdecimal() for key in table):
        return "Its keys are text, but must be ints: {int(k): w for k, w in class_weight.items()}."
    if all(isinstance(key, str) for key in table):
        return "Its keys must be the numbers of the classes, as in the targets, not their names."
    if all(isinstance(key, (tuple, list)) for key in table):
        return "Its keys must be ints: of one-hot rows, the index of the 1."
    if missing == [0] and 0 not in table:
        return "Classes count from 0: give every class a weight; the keys are ints."
    return "Give every class a weight; the keys are ints."


def _classes(y: Any) -> np.ndarray:
    """Return the classes of one-hot rows, which may be on disk: some at a time."""
    blocks = (loaded(y[start : start + 4096]) for start in range(0, len(y), 4096))
    return np.concatenate([block.argmax(axis=1) for block in blocks])
