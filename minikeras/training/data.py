"""Arrays from what the user passes: checks of type, shape and length."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from minikeras.backend import check_numerics
from minikeras.training.disk import OnDisk, on_disk
from minikeras.utils.warning import warn

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
        raise ValueError(_why_no_array(data, name, error)) from error
    _check_kind(array, name)
    if array.ndim == 0:
        raise ValueError(f"{name} must have one entry per sample, got the scalar {data!r}.")
    if check_numerics() and array.dtype.kind == "f":
        check_finite(array, name)
    return array


def _why_no_array(data: Any, name: str, error: Exception) -> str:
    """Word the error for data of which no array of numbers can be made."""
    if isinstance(data, (list, tuple)) or getattr(data, "ndim", 0) == 1:
        lengths = {len(row) for row in data if isinstance(row, (list, tuple)) or np.ndim(row)}
        if len(lengths) > 1:
            return (
                f"{name} holds samples of different lengths, from {min(lengths)} to "
                f"{max(lengths)}. Make them equal: "
                f"minikeras.preprocessing.sequence.pad_sequences({_argument(name)})."
            )
    text = f"{name} can't be made into one array of numbers: {error}."
    columns = getattr(data, "columns", None)
    if columns is not None and hasattr(data, "dtypes"):
        kinds = zip(columns, data.dtypes, strict=True)
        others = [str(column) for column, kind in kinds if getattr(kind, "kind", "O") not in "biuf"]
        if not others:
            return f"{text} Are values missing? Drop those rows, or fill them: {name}.fillna(0)."
        return (
            f"{text} Its columns {others} hold no numbers: leave them out, or turn categories into "
            "columns of 0 and 1 with pandas.get_dummies."
        )
    return f"{text} Turn text and categories into numbers first, and make all rows of one length."


def _argument(name: str) -> str:
    """Return the name of an argument without what errors put in front: ``'x'``."""
    return name.split()[-1]


def _on_disk(data: Any, name: str) -> OnDisk:
    found = data if isinstance(data, OnDisk) else OnDisk(data)
    _check_kind(found, name)
    return found


def _check_kind(array: Any, name: str) -> None:
    kind, shape, short = array.dtype.kind, array.shape, _argument(name)
    if kind in "biuf":
        return
    if kind in "US" and not shape:
        raise ValueError(
            f"{name} is the text {str(array)!r}, not data. Is it the name of a file? Load that "
            "first, with np.load or np.loadtxt, say."
        )
    first = (
        f" such as {array.flat[0]!s:.40}" if isinstance(array, np.ndarray) and array.size else ""
    )
    hint = ""
    if kind in "US":
        hint = (
            f" Numbers that are written out become numbers by {short}.astype('float32'); names of "
            f"classes by np.unique({short}, return_inverse=True)[1], which counts them from 0; "
            "words by a dict of word to number."
        )
    elif kind in "mM":
        hint = (
            f" Measure times from a first one: ({short} - {short}.min()) / np.timedelta64(1, 'D')."
        )
    elif kind == "c":
        hint = f" Take {short}.real and {short}.imag, or np.abs({short})."
    raise ValueError(
        f"{name} must hold numbers; got an array of dtype {array.dtype} and shape {shape}{first}."
        f"{hint}"
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
            shapes = {tuple(array.shape) for array in data}
            join, short = "np.array", _argument(name)
            if len(shapes) > 1 and len({shape[1:] for shape in shapes}) == 1:
                join = "minikeras.preprocessing.sequence.pad_sequences"
            raise ValueError(
                f"{name} was given as a list of {len(data)} arrays, which means as many inputs or "
                "outputs, but a Sequential model has one of each. If they are the samples, make "
                f"one array of them: {join}({short})."
            )
        data = data[0]
    if _uncalled(data):
        raise ValueError(_forgotten_parentheses(data, name))
    if is_generator(data):
        raise ValueError(
            f"{name} is a {type(data).__name__}, which makes batches: pass it to fit, evaluate or "
            "predict as x, without y. Here, pass an array."
        )
    return data


def _uncalled(data: Any) -> bool:
    """Return whether `data` is a function or class, which may make data when it is called."""
    return isinstance(data, type) or (callable(data) and not hasattr(data, "shape"))


def _forgotten_parentheses(data: Any, name: str) -> str:
    called = getattr(data, "__name__", type(data).__name__)
    what = "class" if isinstance(data, type) else "function"
    return f"{name} is the {what} {called}, not data: did you forget the parentheses? {called}()"


def by_class(data: Any) -> bool:
    """Return whether `data` is a dict of classes, and so meant to be `class_weight`."""
    return isinstance(data, dict) and all(isinstance(key, (int, np.integer)) for key in data)


def is_generator(data: Any) -> bool:
    """Return whether `data` makes batches by itself: a generator, or a `Sequence` of batches."""
    return not isinstance(data, np.ndarray) and (hasattr(data, "__next__") or is_sequence(data))


def is_sequence(data: Any) -> bool:
    """Return whether `data` is a `minikeras.utils.Sequence`, or one of another Keras."""
    return not isinstance(data, type) and all(
        hasattr(data, name) for name in ("__getitem__", "__len__", "on_epoch_end")
    )


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


def warn_of_nan(
    epoch: int, history: Mapping[str, Sequence[float]], arrays: Callable[[], Any]
) -> bool:
    """Warn if the loss of the last epoch is NaN, and return whether it is.

    Parameters
    ----------
    epoch : int
        Counted from 0.
    history : dict of str to list of float
        Name of a result to its values, an epoch each.
    arrays : callable
        Returns the training data as a list of arrays, None where they are not at hand.

    Warns
    -----
    UserWarning
        With the entry of the data that is to blame, if there is one, and what to do.

    Examples
    --------
    >>> warn_of_nan(0, {"loss": [0.5]}, lambda: None)
    False
    """
    losses = history.get("loss")
    if not losses or not np.isnan(losses[-1]):
        return False
    cause = (
        "Often the learning rate is too large: try a smaller one, or clipnorm=1 in the optimizer"
    )
    for name, array in zip(("x", "y", "sample_weight"), arrays() or (), strict=False):
        if isinstance(array, np.ndarray) and array.dtype.kind == "f":
            try:
                check_finite(array, name)
            except ValueError as error:
                cause = str(error).removesuffix(".")
                break
    warn(
        f"The loss of epoch {epoch + 1} is NaN, and the weights are spoilt. {cause}. "
        "The callback TerminateOnNaN stops at once where this happens; "
        "minikeras.backend.set_check_numerics(True) names the layer.",
    )
    return True


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
    sample, given = expected[1:], shape[1:]
    size = None if None in sample else int(np.prod(sample))  # type: ignore[arg-type]
    if _same(shape, sample):
        shown = f": input_shape={given}" if given else ""
        steps = ""
        if len(sample) == 2 and sample[0] is None:
            steps = " if each row is a sequence of one step, add that axis with x[:, np.newaxis];"
        return (
            f" If this is a single sample, add the batch axis with x[np.newaxis];{steps} if these "
            f"are all samples, leave their number out of input_shape{shown}."
        )
    if len(given) == 1 and shape[:1] == sample:
        return " The samples go along the first axis: is x.T what you want?"
    if len(sample) == len(given) + 1 and _same(given, sample[1:]):
        return (
            f" If the {sample[0] or None} in input_shape is the number of samples, leave it out: "
            f"input_shape={given}. If it counts time steps, give x an axis for them: "
            "x.reshape((samples, steps, features))."
        )
    if len(sample) == 2 and len(given) == 1 and size != np.prod(given):
        return (
            " The axis of the time steps is missing: x has to be of shape (samples, steps, "
            "features). x[:, np.newaxis] makes each row a sequence of one step, x[..., np.newaxis] "
            "each number a step."
        )
    if size is not None and np.prod(shape) == size:
        return f" If this is a single sample, write x.reshape({(1, *sample)})."
    if size is not None and np.prod(given) == size:
        if len(given) == len(sample) and sorted(given) == sorted(sample):  # type: ignore[type-var]
            return f" The axes are in another order{_transposed(given, sample)}"
        if len(sample) == 1:
            return f" Reshape it with x.reshape(len(x), {size}), or start with a Flatten layer."
        return f" Reshape it with x.reshape({(-1, *sample)})."
    return (
        f" One of the two is wrong: for these data, the first layer needs input_shape={given}. Or "
        "are x and y exchanged?"
    )


def _same(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    """Return whether two shapes agree, where None agrees with any size."""
    sizes = zip(shape, wanted, strict=False)
    return len(shape) == len(wanted) and all(b is None or a == b for a, b in sizes)


def _transposed(given: tuple[int, ...], sample: tuple[int | None, ...]) -> str:
    """Say how to bring axes into order, where the first one is last or the last one first."""
    fix = ": see np.transpose"
    if sample == (*given[1:], given[0]):
        fix = ": x = np.moveaxis(x, 1, -1) puts the first one last"
    elif sample == (given[-1], *given[:-1]):
        fix = ": x = np.moveaxis(x, -1, 1) puts the last one first"
    channels = " (and data_format, for where the channels are)" if len(given) > 2 else ""
    return f"{fix}. Or, if x is right, write input_shape={given}{channels}."


def check_lengths(x: np.ndarray, y: np.ndarray, name: str = "") -> None:
    """Raise ValueError unless inputs and targets have the same number of samples.

    Parameters
    ----------
    x, y : ndarray
    name : str
        What stands before their names in the error, as ``'validation '``.
    """
    if len(x) == len(y):
        return
    again = "" if name.endswith(": ") else name
    hint = ""
    if x.ndim == 1 and y.ndim <= 1:
        hint = (
            " If this is one sample, each needs a batch axis in front: x[np.newaxis], "
            "y[np.newaxis]."
        )
    elif x.ndim == 2 and x.shape[1] == len(y):
        hint = " The samples go along the first axis: is x.T what you want?"
    elif x.ndim > 1 and x.shape[1:] == y.shape[1:]:
        hint = (
            " Samples of both have the same shape: are both inputs? scikit-learn's "
            "train_test_split returns x_train, x_test, y_train, y_test, in this order."
        )
    raise ValueError(
        f"{name}x and {name}y must have the same number of samples: {again}x has {len(x)} "
        f"(shape {x.shape}), {again}y has {len(y)} (shape {y.shape}).{hint}"
    )


def missing_data(x: Any, y: Any, name: str = "") -> str:
    """Word the error for `x` or `y` that is None.

    Parameters
    ----------
    x, y : array_like or None
        One of them is None.
    name : str
        What stands before their names in the error, as ``'validation '``.

    Examples
    --------
    >>> missing_data(np.zeros((5, 2)), None)
    'y is None: pass the targets, an array of shape (samples, ...), after the inputs.'
    """
    if x is None:
        return f"{name}x is None: pass an array of shape (samples, ...)."
    if _uncalled(x):
        return _forgotten_parentheses(x, f"{name}x")
    if isinstance(x, (tuple, list)) and len(x) in (2, 3) and all(map(_is_array, x)):
        return (
            f"{name}y is None, and {name}x a {type(x).__name__} of {len(x)} arrays: pass inputs "
            "and targets apart, as in fit(x, y)."
        )
    return f"{name}y is None: pass the targets, an array of shape (samples, ...), after the inputs."


def batch_count(sequence: Any) -> int:
    """Return how many batches a `Sequence` has.

    Raises
    ------
    ValueError
        If it has none.
    TypeError
        If its ``len`` is no int.
    """
    name = type(sequence).__name__
    try:
        batches = len(sequence)
    except TypeError as error:
        raise TypeError(
            f"{name}.__len__ must return how many batches there are, as an int: {error}. A "
            "division that rounds up is -(-samples // batch_size)."
        ) from error
    if not batches:
        raise ValueError(
            f"{name} has no batches: its len() is 0. Are there fewer samples than batch_size? "
            "A division that rounds up is -(-samples // batch_size)."
        )
    return batches
