"""From what the user passes to batches: checks of shape and type, and sources of batches.

A source of batches has `samples`, `steps`, `batch_size` and `batches()`, which yields
``(x, y, weights)`` for one epoch. The loops know nothing else about the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minikeras.backend import check_numerics
from minikeras.training.arguments import read_only

Batch = tuple[np.ndarray, "np.ndarray | None", "np.ndarray | None"]


def as_array(data: Any, name: str, key: str | None = None) -> np.ndarray:
    """Return `data` as an array of numbers.

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
    try:
        array = np.asarray(data)
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
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} must hold numbers; got an array of dtype {array.dtype} and shape "
            f"{array.shape}. Turn text into numbers first, with astype if they are written out."
        )
    if array.ndim == 0:
        raise ValueError(f"{name} must have one entry per sample, got the scalar {data!r}.")
    if check_numerics() and array.dtype.kind == "f":
        check_finite(array, name)
    return array


def _unwrapped(data: Any, name: str, key: str | None) -> Any:
    """Return the only entry of a list or dict of arrays; refuse what makes batches itself."""
    if isinstance(data, dict):
        if all(isinstance(k, int) for k in data) and "sample_weight" in name:
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
    if hasattr(data, "__next__") or (
        hasattr(data, "__getitem__") and hasattr(data, "on_epoch_end")
    ):
        raise ValueError(
            f"{name} is a {type(data).__name__}: generators and Sequences are not supported yet. "
            "Pass arrays, or call train_on_batch in a loop of your own."
        )
    return data


def _is_array(data: Any) -> bool:
    """Tell an array from a number in a list of numbers."""
    return hasattr(data, "shape") and np.ndim(data) > 0


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


class ArraySource:
    """Batches of arrays that are in memory.

    Parameters
    ----------
    x, y, weights : ndarray or None
        One entry per sample each.
    x_dtype, y_dtype : dtype or None
        To what a batch is converted; None leaves it as it is. Converting batch by batch keeps a
        large array of bytes from being blown up to four times its size.
    batch_size : int
        The last batch may be smaller.
    shuffle : bool or 'batch'
        Whether samples, or whole batches, come in a new random order each epoch.

    Notes
    -----
    A batch is memory of the source, or a part of the user's own arrays: it can't be written to,
    and is valid until the next one is asked for. The order of an
    epoch is drawn as in Keras by ``np.random.shuffle``, but starts from the natural one each time,
    so that training on in a second `fit` equals a longer first one.

    Examples
    --------
    >>> source = ArraySource(np.arange(5), None, None, batch_size=2)
    >>> [x.tolist() for x, y, weights in source.batches()]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        x: np.ndarray,
        y: np.ndarray | None,
        weights: np.ndarray | None,
        batch_size: int,
        shuffle: bool | str = False,
        x_dtype: Any = None,
        y_dtype: Any = None,
    ) -> None:
        self.samples = len(x)
        self.batch_size = batch_size
        self._rows = max(1, min(batch_size, self.samples))
        self.steps = -(-self.samples // self._rows)
        self.shuffle = shuffle
        self._order = np.arange(self.samples) if shuffle else None
        self._columns = [
            None if array is None else _Column(array, dtype, self._rows)
            for array, dtype in ((x, x_dtype), (y, y_dtype), (weights, None))
        ]

    def arrays(self) -> list[np.ndarray]:
        """Return inputs, targets and weights (ones if there are none), for callbacks to read."""
        x, y, weights = (None if c is None else c.array for c in self._columns)
        assert x is not None
        assert y is not None
        return [x, y, np.ones(len(x), "float32") if weights is None else weights]

    def batches(self) -> Iterator[Batch]:
        """Yield the batches of one epoch."""
        if self._order is not None:
            self._reorder()
        for start in range(0, self.samples, self._rows):
            stop = min(start + self._rows, self.samples)
            rows = slice(start, stop) if self._order is None else self._order[start:stop]
            count = stop - start
            x, y, weights = (None if c is None else c.take(rows, count) for c in self._columns)
            assert x is not None
            yield x, y, weights

    def _reorder(self) -> None:
        assert self._order is not None
        self._order[:] = np.arange(self.samples)
        if self.shuffle != "batch":
            np.random.shuffle(self._order)
            return
        whole = self.samples - self.samples % self._rows
        np.random.shuffle(self._order[:whole].reshape(-1, self._rows))


class _Column:
    """One array of a source, and the memory that its batches are copied into."""

    def __init__(self, array: np.ndarray, dtype: Any, batch_size: int) -> None:
        # np.take would copy a whole array that is not contiguous, at every batch.
        self.array = read_only(np.ascontiguousarray(array))
        self.convert = dtype is not None and self.array.dtype != dtype
        shape = (batch_size, *array.shape[1:])
        self.taken = np.empty(shape, array.dtype)
        self.converted = np.empty(shape, dtype) if self.convert else self.taken

    def take(self, rows: Any, count: int) -> np.ndarray:
        if isinstance(rows, slice):
            batch = self.array[rows]
        else:
            # mode='clip' lets NumPy write straight to `out`; all indices are in range.
            batch = np.take(self.array, rows, axis=0, out=self.taken[:count], mode="clip")
        if self.convert:
            self.converted[:count] = batch
            batch = self.converted[:count]
        return read_only(batch)
