"""Whether targets fit a loss and a model's output, and what to do where they do not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from minikeras import losses
from minikeras.training.data import readable_shape


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
    else:
        fits = _fits(shape, output_shape) or _fits((*shape, 1), output_shape)
        wanted = "targets of the output's shape"
    if not fits and len(output_shape) == 3 and len(shape) < 3 and not are_labels:
        hint = (
            "The output has a time axis: leave out return_sequences in the last recurrent layer, "
            "give targets for each step, or add a Flatten layer."
        )
    elif not fits and len(output_shape) > max(2, len(shape)) and not are_labels:
        hint = "The output has more axes than the targets: is a Flatten layer missing?"
    elif not fits and len(output_shape) == 2 and len(shape) == 3:
        hint = "For targets of each step, the last recurrent layer needs return_sequences=True."
    if not fits:
        raise ValueError(
            f"The loss {loss.__name__} expects {wanted}: the {name}targets have shape "
            f"{readable_shape(shape)}, the model's output {readable_shape(output_shape)}. {hint}"
        )


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
    wanted = f"sparse_categorical_crossentropy expects {name}labels from 0 to {top}"
    if not (low >= 0 and high < classes):
        hint = "Give the last layer one unit for each class, or correct the labels."
        if classes == 1:
            hint = "For two classes use loss='binary_crossentropy' with a sigmoid."
        elif low == 1 and high == classes:
            hint = "If they count from 1, subtract 1."
        raise ValueError(f"{wanted}; they range from {low} to {high}. {hint}")
    if labels.dtype.kind == "f" and not np.array_equal(labels, np.floor(labels)):
        broken = labels[labels != np.floor(labels)].flat[0]
        raise ValueError(f"{wanted}; {broken} is not a whole number.")
