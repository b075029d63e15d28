"""Small helpers on NumPy arrays: one-hot labels and vectors of length one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike


def to_categorical(
    y: ArrayLike, num_classes: int | None = None, dtype: DTypeLike = "float32"
) -> np.ndarray:
    """Turn class numbers into one-hot vectors.

    This is the form of targets that `categorical_crossentropy` takes. For
    `sparse_categorical_crossentropy`, leave the class numbers as they are.

    Parameters
    ----------
    y : array of int, shape `(...)` or `(..., 1)`
        Class numbers from 0 to `num_classes - 1`. Floats and booleans are taken if
        their values are whole numbers. If there is more than one axis, a last axis
        of length 1 is dropped.
    num_classes : int, optional
        Number of classes. Default (None or 0): the largest class number plus 1.
    dtype : dtype, default "float32"
        Type of the result.

    Returns
    -------
    array, shape `(..., num_classes)`
        1 at each sample's class, 0 elsewhere.

    Raises
    ------
    TypeError
        If the labels are not numbers.
    ValueError
        If a label is negative, not below `num_classes`, or not a whole number; if
        `num_classes` is negative; or if it is not given and there are no labels.

    Notes
    -----
    Keras 2.2.4 counts a negative label from the last class and cuts fractions off;
    here both are errors, for they hide wrong labels.

    Examples
    --------
    >>> to_categorical([0, 2], num_classes=3)
    array([[1., 0., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    labels = _whole_numbers(y)
    shape = labels.shape
    if len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    labels = labels.ravel()
    if not num_classes:
        if labels.size == 0:
            raise ValueError(
                "to_categorical got no labels, so it cannot tell how many classes there are: "
                "give num_classes."
            )
        num_classes = int(labels.max()) + 1
    elif num_classes < 0:
        raise ValueError(f"num_classes must be positive, got {num_classes}.")
    _check_range(labels, num_classes)
    categorical = np.zeros((labels.size, num_classes), dtype)
    categorical[np.arange(labels.size), labels] = 1
    return categorical.reshape(*shape, num_classes)


def _whole_numbers(y: ArrayLike) -> np.ndarray:
    """Return labels as integers; refuse what is not a whole number."""
    labels = np.asarray(y)
    if labels.size == 0 and labels.dtype.kind == "f":  # an empty list has no type of its own
        return labels.astype(np.intp)
    if labels.dtype.kind not in "biuf":
        raise TypeError(
            f"to_categorical takes whole numbers as labels, got dtype {labels.dtype}. "
            "Number the classes first, for instance with np.unique(y, return_inverse=True)."
        )
    if labels.dtype.kind == "f":
        wrong = labels != np.floor(labels)  # true for NaN as well
        wrong |= np.abs(labels) > 2**53  # infinity, and where floats have no units any more
        if wrong.any():
            raise ValueError(
                "to_categorical takes whole numbers as labels, "
                f"got {labels[wrong].flat[0]} among them. Are these targets of a regression?"
            )
    return labels.astype(np.intp)


def _check_range(labels: np.ndarray, num_classes: int) -> None:
    wrong = labels[(labels < 0) | (labels >= num_classes)]
    if wrong.size:
        raise ValueError(
            f"to_categorical takes labels from 0 to {num_classes - 1} (num_classes is "
            f"{num_classes}), got {wrong[0]} among them. "
            "If the classes are numbered from 1, subtract 1 first."
        )


def normalize(x: ArrayLike, axis: int = -1, order: float = 2) -> np.ndarray:
    """Scale vectors to length 1: `x / norm(x)`.

    Parameters
    ----------
    x : array of numbers
        The vectors lie along `axis`. A vector of zeros stays as it is.
    axis : int, default -1
        Axis along which the norm is taken.
    order : float, default 2
        Order of the norm as in `numpy.linalg.norm`: 2 is Euclidean, 1 the sum of
        absolute values, `np.inf` the largest.

    Returns
    -------
    array, shape of `x`
        In the type of `x` if it is floating, else float64. As in Keras, a single
        vector of shape `(n,)` comes back as `(1, n)`.

    Examples
    --------
    >>> normalize([[3.0, 4.0], [0.0, 0.0]])
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    x = np.asarray(x)
    norm = np.atleast_1d(np.linalg.norm(x, order, axis))
    norm[norm == 0] = 1
    return x / np.expand_dims(norm, axis)
