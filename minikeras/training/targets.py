"""Whether targets fit a loss and a model's output, and what to do where they do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minikeras import activations, losses
from minikeras.training.data import readable_shape
from minikeras.utils.warning import warn


def check_targets(
    loss: Callable,
    y_true: np.ndarray | tuple[int, ...],
    output_shape: tuple[int | None, ...],
    name: str = "",
) -> None:
    """Check that targets have the shape that a loss compares with a model's output.

    Only shapes are looked at; for the values of labels see `check_labels`. A loss that is not
    of this module may compare what it likes.

    Parameters
    ----------
    loss : callable
    y_true : ndarray or tuple
        The targets or their shape. ``(samples,)`` passes for ``(samples, 1)``.
    output_shape : tuple
        Shape of the model's output, with None for the batch and for what varies.
    name : str
        What stands before "targets" in the error, as ``'validation '``.

    Raises
    ------
    ValueError
        If they do not fit, with what to do about it.

    Examples
    --------
    >>> check_targets(losses.categorical_crossentropy, (60000,), (None, 10))
    Traceback (most recent call last):
        ...
    ValueError: The loss categorical_crossentropy expects one-hot targets of shape ...
    """
    shape = y_true if isinstance(y_true, tuple) else np.shape(y_true)
    if loss not in losses.FUNCTIONS.values():
        return
    labels_shape, units = output_shape[:-1], output_shape[-1]
    hint = "Change the targets, or the last layers of the model."
    if len(shape) == len(output_shape) == 2:
        hint = f"Change the targets, or give the last layer {shape[1]} units."
    are_labels = _fits(shape, labels_shape) or _fits(shape, (*labels_shape, 1))
    if loss is losses.sparse_categorical_crossentropy:
        fits = are_labels
        wanted = f"integer labels of shape {readable_shape((*labels_shape, 1))}"
        if _fits(shape, output_shape):
            hint = (
                "If they are one-hot, use loss='categorical_crossentropy', or turn them into "
                "labels with y.argmax(axis=-1)."
            )
    elif loss is losses.categorical_crossentropy:
        fits = _fits(shape, output_shape) and units != 1
        wanted = f"one-hot targets of shape {readable_shape(output_shape)}"
        if units == 1:
            hint = (
                "A single unit cannot tell classes apart: use loss='binary_crossentropy' with a "
                "sigmoid for two classes, or one unit for each class."
            )
        elif are_labels:
            hint = (
                "If they are labels, use loss='sparse_categorical_crossentropy', or turn them "
                f"into one-hot rows with minikeras.utils.to_categorical(y, {units})."
            )
        elif len(shape) == 2 and shape[1] == (units or 0) + 1:
            hint = (
                "One column too many: do the labels count from 1? Then write "
                f"to_categorical(y - 1). If they count from 0, give the last layer {shape[1]} "
                "units."
            )
    else:
        fits = _fits(shape, output_shape) or _fits((*shape, 1), output_shape)
        wanted = "targets of the output's shape"
        if are_labels and loss is losses.binary_crossentropy:
            hint = (
                "If they are labels of classes, use loss='sparse_categorical_crossentropy' with a "
                "softmax; for two classes, a last layer Dense(1, activation='sigmoid')."
            )
        elif are_labels:
            hint = (
                "For one number per sample, the last layer needs one unit, Dense(1); for labels "
                "of classes, use loss='sparse_categorical_crossentropy' with a softmax."
            )
    if not fits and len(output_shape) == 3 and len(shape) < 3 and not are_labels:
        hint = (
            "The output has a time axis: leave out return_sequences in the last recurrent layer, "
            "give targets for each step, or add a Flatten layer before the last Dense."
        )
    elif not fits and len(output_shape) > max(2, len(shape)) and not are_labels:
        hint = (
            "The output has more axes than the targets: is a Flatten layer missing before the "
            "last Dense?"
        )
    elif not fits and len(output_shape) == 2 and len(shape) == 3:
        hint = "For targets of each step, the last recurrent layer needs return_sequences=True."
    if not fits:
        before, whose = _placed(name)
        raise ValueError(
            f"{before}The loss {loss.__name__} expects {wanted}: the {whose}targets have shape "
            f"{readable_shape(shape)}, the model's output {readable_shape(output_shape)}. {hint}"
        )


def _placed(name: str) -> tuple[str, str]:
    """Return what of `name` stands before a sentence, and what before the noun in it."""
    return (name, "") if name.endswith(": ") else ("", name)


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    """Compare all axes but the first, which counts samples."""
    sizes = zip(shape[1:], wanted[1:], strict=False)
    return len(shape) == len(wanted) and all(b is None or a == b for a, b in sizes)


def check_labels(y_true: ArrayLike, classes: int, name: str = "") -> None:
    """Check that labels are whole numbers from 0 to ``classes - 1``.

    Parameters
    ----------
    y_true : array of any shape
    classes : int
        The number of units of the model's output.
    name : str
        What stands before "labels" in the error, as ``'validation '``.

    Raises
    ------
    ValueError
        If there is another value among them, with that value.

    Examples
    --------
    >>> check_labels([0, 1, 2], classes=3)
    >>> check_labels([1, 2, 3], classes=3)
    Traceback (most recent call last):
        ...
    ValueError: sparse_categorical_crossentropy expects labels from 0 to 2 ...
    """
    labels = np.asarray(y_true)
    if labels.size == 0:
        return
    low, high = labels.min(), labels.max()
    top = f"{classes - 1} (the output has {classes} unit{'s' * (classes != 1)})"
    before, whose = _placed(name)
    wanted = f"{before}sparse_categorical_crossentropy expects {whose}labels from 0 to {top}"
    if np.isnan(low):
        missing = int(np.isnan(labels).sum())
        raise ValueError(
            f"{wanted}; {missing} of {labels.size} are NaN. Leave those samples out: "
            "known = ~np.isnan(y); x, y = x[known], y[known]."
        )
    if not (low >= 0 and high < classes):
        hint = f"Give the last layer one unit for each class, {high + 1:g}, or correct the labels."
        if classes == 1:
            hint = (
                "For two classes use loss='binary_crossentropy' with a sigmoid; for more, give the "
                "last layer one unit for each class, and a softmax."
            )
        elif low < 0:
            hint = (
                "Classes count from 0: number them with np.unique(y, return_inverse=True)[1], and "
                "give the last layer one unit for each class."
            )
        elif low == 1 and high == classes:
            hint = "If they count from 1, subtract 1: y - 1."
        raise ValueError(f"{wanted}; they range from {low} to {high}. {hint}")
    if labels.dtype.kind == "f" and not np.array_equal(labels, np.floor(labels)):
        broken = labels[labels != np.floor(labels)].flat[0]
        raise ValueError(
            f"{wanted}; {broken} is not a whole number. If the targets are measured values, use "
            "loss='mse' and a last layer Dense(1) without activation."
        )


def check_range(loss: Callable, y_true: Any) -> None:
    """Warn if targets of binary cross-entropy are no probabilities.

    Keras computes on, to a loss that falls below zero without end.

    Parameters
    ----------
    loss : callable
    y_true : ndarray
        Data that stay on disk are not looked at.

    Warns
    -----
    UserWarning
        If there are values below 0 or above 1. The text is the same for all data, so that a run
        over many batches shows it once.

    Examples
    --------
    >>> check_range(losses.binary_crossentropy, np.array([0, 1, 1]))
    """
    if loss is not losses.binary_crossentropy or not isinstance(y_true, np.ndarray):
        return
    if y_true.size == 0 or (y_true.min() >= 0 and y_true.max() <= 1):
        return
    warn(
        "binary_crossentropy expects targets from 0 to 1, but some lie outside, where the loss has "
        "no meaning. For labels 0, 1, 2, ... use loss='sparse_categorical_crossentropy' and a last "
        "layer Dense(number of classes, activation='softmax'); for labels -1 and 1, (y + 1) / 2; "
        "divide images by 255; for measured values, use loss='mse'.",
    )


def check_activation(
    loss: Callable, activation: Callable | None, units: int | None, metrics: Any = None
) -> None:
    """Warn of last activations with which a model learns nothing, or measures something else.

    Parameters
    ----------
    loss : callable
    activation : callable or None
        In which the model ends.
    units : int or None
        Size of the output's last axis.
    metrics : optional
        As `compile` takes them.

    Warns
    -----
    UserWarning
        If a softmax goes over a single unit; or if ``'accuracy'`` would be that of single
        columns, which for more than two classes is far too high.

    Examples
    --------
    >>> check_activation(losses.categorical_crossentropy, activations.softmax, 10, ["accuracy"])
    """
    if activation is not activations.softmax or units is None:
        return
    if units == 1:
        warn(
            "The model ends in a softmax over one unit, which always gives 1: it can't learn. For "
            "two classes use Dense(1, activation='sigmoid') and loss='binary_crossentropy'; for "
            "one number, Dense(1) without activation.",
        )
    listed = metrics if isinstance(metrics, (list, tuple)) else [metrics]
    short = [name for name in listed if isinstance(name, str) and name in ("accuracy", "acc")]
    if short and units > 2 and loss is losses.binary_crossentropy:
        warn(
            f"With loss='binary_crossentropy', metrics=[{short[0]!r}] means binary_accuracy: each "
            f"of the {units} columns counts by itself, and most are right by being 0. For classes "
            "that exclude each other use loss='categorical_crossentropy', or "
            "metrics=['categorical_accuracy'].",
        )


def check_held_out(loss: Callable, y_train: Any, y_held: Any) -> None:
    """Warn if what `validation_split` holds out has a class that is left to no training sample.

    Parameters
    ----------
    loss : callable
        It tells whether a single column holds labels.
    y_train, y_held : ndarray
        Targets: labels, or one-hot rows. Anything else passes, and so do data on disk.

    Warns
    -----
    UserWarning
        With the classes, and what to do.

    Examples
    --------
    >>> sparse = losses.sparse_categorical_crossentropy
    >>> check_held_out(sparse, np.array([0, 1, 0]), np.array([1]))
    """
    held = _classes_in(loss, y_held)
    if held is None:
        return
    # Where some of the samples have all classes, as they mostly do, the others need not be read.
    some = y_train[:: max(1, len(y_train) // 4096)] if isinstance(y_train, np.ndarray) else y_train
    trained = _classes_in(loss, some)
    if trained is not None and np.isin(held, trained).all():
        return
    trained = _classes_in(loss, y_train)
    if trained is None:
        return
    lost = np.setdiff1d(held, trained)
    if len(lost):
        shown = ", ".join(f"{label:g}" for label in lost[:10]) + ", ..." * (len(lost) > 10)
        warn(
            "validation_split holds out the last samples, and among them are all samples of the "
            f"class{'es' * (len(lost) > 1)} {shown}: the model can't learn what it never sees. Are "
            "the data sorted? Shuffle them first: order = np.random.permutation(len(x)); "
            "x, y = x[order], y[order].",
        )


def _classes_in(loss: Callable, y: Any) -> np.ndarray | None:
    """Return the classes that occur in labels or one-hot rows; None for other targets."""
    if not isinstance(y, np.ndarray) or y.ndim not in (1, 2) or y.size == 0:
        return None
    if y.ndim == 2 and y.shape[1] > 1:
        ones = np.count_nonzero(y == 1, axis=1)
        one_hot = np.all((ones == 1) & (np.count_nonzero(y, axis=1) == 1))
        return np.flatnonzero(y.any(axis=0)) if one_hot else None
    if loss is losses.sparse_categorical_crossentropy:
        return np.unique(y)
    if loss is losses.binary_crossentropy and np.all((y == 0) | (y == 1)):
        return np.unique(y)
    return None
