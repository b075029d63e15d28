"""Arrays from what the user passes: checks of type, shape and length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minikeras.backend import check_numerics
from minikeras.training.disk import OnDisk, on_disk

Batch = tuple[np.ndarray, "np.ndarray | None", "np.ndarray | None"]


def as_array(data: Any, name: str, key: str | None = None) -> Any:
    """Return `data` as an array of numbers; large data on disk stay there, as `OnDisk`.

    Parameters
    ----------
    data : array_like, list of one array, or dict of one array
        A dict goes by the name of the model's input or output.
    name : str
        The argument's name, for errors.
    key : str, optional
        The name under which a dict holds the array.

    Raises
    ------
    ValueError
        If there is not exactly one array, or it does not hold numbers.
    """
    if not isinstance(data, np.ndarray):
        data = _unwrapped(data, name, key)
        if on_disk(data) and np.prod(data.shape[1:]) > 1:
            return _on_disk(data, name)
    try:
        array = np.asarray(data[:] if on_disk(data) else data)
        if array.dtype == object:  # as pandas makes of columns of different types
            array = array.astype("float64")
    except (ValueError, TypeError) as error:
        rows = data if isinstance(data, (list, tuple)) else ()
        lengths = {len(row) for row in rows if isinstance(row, (list, tuple)) or np.ndim(row)}
        if len(lengths) > 1:
            raise ValueError(
                f"{name} holds samples of different lengths, from {min(lengths)} to "
                f"{max(lengths)}. Make them equal with "
                "minikeras.preprocessing.sequence.pad_sequences."
            ) from error
        raise ValueError(
            f"{name} can't be made into one array of numbers: {error}. Turn text and categories "
            "into numbers first, and make all rows of one length."
        ) from error
    _check_kind(array, name)
    if array.ndim == 0:
        raise ValueError(f"{name} must have one entry per sample, got the scalar {data!r}.")
    if check_numerics() and array.dtype.kind == "f":
        check_finite(array, name)
    return array


def _on_disk(data: Any, name: str) -> OnDisk:
    found = data if isinstance(data, OnDisk) else OnDisk(data)
    _check_kind(found, name)
    return found


def _check_kind(array: Any, name: str) -> None:
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} must hold numbers; got an array of dtype {array.dtype} and shape "
            f"{array.shape}. Turn text into numbers first, with astype if they are written out."
        )


def _unwrapped(data: Any, name: str, key: str | None) -> Any:
    """Return the only entry of a list or dict of arrays; refuse what makes batches itself."""
    if isinstance(data, dict):
        if by_class(data) and "sample_weight" in name:
            raise ValueError(f"{name} is a dict of classes: did you mean class_weight={data}?")
        if list(data) != [key]:
            raise ValueError(
                f"{name} was given as a dict with the keys {list(data)}; this model has one entry "
                f"for it, named '{key}'."
            )
        data = data[key]
    if isinstance(data, (list, tuple)) and data and all(map(_is_array, data)):
        if len(data) > 1:
            raise ValueError(
                f"{name} was given as a list of {len(data)} arrays, but a Sequential model has one "
                "input and one output. Pass one array: np.stack joins samples of one shape, "
                "minikeras.preprocessing.sequence.pad_sequences samples of different lengths."
            )
        data = data[0]
    if is_generator(data):
        raise ValueError(
            f"{name} is a {type(data).__name__}, which makes batches: pass it to fit, evaluate or "
            "predict as x, without y. Here, pass an array."
        )
    return data


def by_class(data: Any) -> bool:
    """Return whether `data` is a dict of classes, and so meant to be `class_weight`."""
    return isinstance(data, dict) and all(isinstance(key, (int, np.integer)) for key in data)


def is_generator(data: Any) -> bool:
    """Return whether `data` makes batches by itself: a generator, or a `Sequence` of batches."""
    return hasattr(data, "__next__") or is_sequence(data)


def is_sequence(data: Any) -> bool:
    """Return whether `data` is a `minikeras.utils.Sequence`, or one of another Keras."""
    return all(hasattr(data, name) for name in ("__getitem__", "__len__", "on_epoch_end"))


def _is_array(data: Any) -> bool:
    """Tell an array from a number in a list of numbers."""
    return len(getattr(data, "shape", ())) > 0


def check_finite(array: np.ndarray, name: str) -> None:
    """Raise ValueError if `array` holds NaN or infinity, telling where."""
    finite = np.isfinite(array)
    if not finite.all():
        bad = np.argwhere(~finite)
        where = tuple(bad[0].tolist())
        raise ValueError(
            f"{name} of shape {array.shape} holds {array[where]} at index {where}, and "
            f"{len(bad)} entries in all that are NaN or infinite. Clean the data first."
        )


def fit_shape(
    array: np.ndarray, expected: Sequence[int | None], name: str, layer: str
) -> np.ndarray:
    """Check an array against a shape, and add a last axis of 1 to a flat array where that fits.

    Parameters
    ----------
    array : ndarray
    expected : tuple of int or None
        With the batch axis, whose size is not checked.
    name : str
        ``'x'`` or ``'y'``.
    layer : str
        The layer that expects it, for errors.

    Raises
    ------
    ValueError
        If the shape does not fit.
    """
    expected = tuple(expected)
    if array.shape[1:] == expected[1:]:
        return array
    if array.ndim == 1 and len(expected) == 2 and expected[1] in (1, None):
        array = array[:, np.newaxis]
    fits = array.ndim == len(expected) and all(
        want in (None, have) for want, have in zip(expected[1:], array.shape[1:], strict=True)
    )
    if not fits:
        raise ValueError(
            f"{name} does not fit layer '{layer}': expected shape {readable_shape(expected)}, got "
            f"{array.shape}.{_shape_hint(array.shape, expected)}"
        )
    return array


def readable_shape(shape: Sequence[int | None]) -> str:
    """Return a shape as errors word it, as ``'(samples, any, 3)'``."""
    sizes = ["samples", *("any" if n is None else str(n) for n in shape[1:])][: len(shape)]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def _shape_hint(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> str:
    """Say what to do, for the mistakes that are made most."""
    if shape == expected[1:]:
        return (
            " If this is a single sample, add the batch axis with x[np.newaxis]; if these are all "
            "samples, leave their number out of input_shape."
        )
    sample = expected[1:]
    if None in sample:
        return ""
    if len(sample) == 1 and np.prod(shape[1:]) == sample[0]:
        return f" Reshape it with x.reshape(len(x), {sample[0]}), or start with a Flatten layer."
    if np.prod(shape[1:]) == np.prod(sample):  # type: ignore[arg-type]
        if len(shape) == len(expected) and sorted(shape[1:]) == sorted(sample):  # type: ignore[type-var]
            return " The axes seem to be in another order: see np.transpose and data_format."
        return f" Reshape it with x.reshape({(-1, *sample)})."
    return ""


def check_lengths(x: np.ndarray, y: np.ndarray, name: str = "") -> None:
    """Raise ValueError unless inputs and targets have the same number of samples.

    Parameters
    ----------
    x, y : ndarray
    name : str
        What stands before their names in the error, as ``'validation '``.
    """
    if len(x) != len(y):
        raise ValueError(
            f"{name}x and {name}y must have the same number of samples: {name}x has {len(x)} "
            f"(shape {x.shape}), {name}y has {len(y)} (shape {y.shape})."
        )
