"""Checks of the arguments of `compile`, `fit` and the others, apart from the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

#: Samples per update where the caller does not say.
DEFAULT_BATCH_SIZE = 32


class Feeding(NamedTuple):
    """How batches are made ahead of the training.

    Parameters
    ----------
    workers : int
        Threads or processes; 0 makes batches when they are needed. Default 1.
    max_queue_size : int
        How many batches may be waiting. Default 10.
    use_multiprocessing : bool
        Whether workers are processes. Default False.
    """

    workers: int = 1
    max_queue_size: int = 10
    use_multiprocessing: bool = False


def read_only(array: Any) -> Any:
    """Return a view that can't be written to; what is no array in memory as it is.

    What a layer spoils would be the user's data.
    """
    if not hasattr(array, "view"):  # None, or data on disk
        return array
    view = array.view()
    view.setflags(write=False)
    return view


def single(value: Any, what: str, output_name: str | None) -> Any:
    """Unwrap a list or dict of one entry, which Keras takes for models of several outputs."""
    if isinstance(value, dict):
        if "class_name" in value:
            return value
        if list(value) != [output_name]:
            raise ValueError(
                f"{what} was given as a dict with the keys {list(value)}, but this model has one "
                f"output, '{output_name}'."
            )
        return value[output_name]
    if isinstance(value, (list, tuple)):
        if len(value) != 1:
            raise ValueError(
                f"{what} was given as a list of {len(value)} entries, but a Sequential model has "
                "one output."
            )
        return value[0]
    return value


def unpack_validation(data: Any) -> tuple[Any, Any, Any]:
    """Return x, y and the weights, None if there are none, of `validation_data`."""
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        raise ValueError(
            "validation_data must be a tuple (x, y) or (x, y, sample_weight), got "
            f"{type(data).__name__}{f' of length {len(data)}' if hasattr(data, '__len__') else ''}."
        )
    return (*data, None)[:3]


def split(arrays: tuple, share: float) -> tuple[tuple, tuple]:
    """Cut the last `share` of the samples off."""
    samples = len(arrays[0])
    if not 0 < share < 1:
        raise ValueError(f"validation_split must be from 0 up to but not including 1, got {share}.")
    cut = int(samples * (1.0 - share))
    if cut in (0, samples):
        raise ValueError(
            f"validation_split={share} of {samples} samples leaves {cut} for training and "
            f"{samples - cut} for validation; both need at least one."
        )
    first = tuple(None if a is None else a[:cut] for a in arrays)
    return first, tuple(None if a is None else a[cut:] for a in arrays)


def check_batch_size(batch_size: Any) -> int:
    """Return `batch_size` as an int."""
    number = whole(batch_size)
    if number is None or number < 1:
        raise ValueError(f"batch_size must be an int greater than 0, got {batch_size!r}.")
    return number


def check_epoch(value: Any, name: str) -> int:
    """Return a number of epochs as an int."""
    number = whole(value)
    if number is None or number < 0:
        raise ValueError(f"{name} must be an int of at least 0, got {value!r}.")
    return number


def check_verbose(verbose: Any, known: tuple[int, ...]) -> None:
    """Raise ValueError unless `verbose` is one of the `known` values."""
    if verbose not in known:
        names = f"{', '.join(map(str, known[:-1]))} or {known[-1]}"
        raise ValueError(f"verbose must be {names}, got {verbose!r}.")


def whole(value: Any) -> int | None:
    """Return a whole number of any type as an int, None for anything else."""
    try:
        number = None if isinstance(value, (bool, str)) else int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number == value else None


def check_callbacks(callbacks: Iterable[Any] | None) -> list[Any]:
    """Return `callbacks` as a list."""
    if hasattr(callbacks, "set_params") or isinstance(callbacks, type):
        raise TypeError(f"callbacks must be a list: callbacks=[{callbacks!r}].")
    return list(callbacks or ())


def check_steps(value: Any, name: str) -> int | None:
    """Return a number of steps as an int, None for None."""
    if value is None:
        return None
    number = whole(value)
    if number is None or number < 1:
        raise ValueError(f"{name} must be an int greater than 0, or None; got {value!r}.")
    return number


def check_feeding(workers: Any, max_queue_size: Any, use_multiprocessing: Any) -> Feeding:
    """Return how batches are made ahead, checked."""
    threads, waiting = whole(workers), whole(max_queue_size)
    if threads is None or threads < 0:
        raise ValueError(f"workers must be an int of at least 0, got {workers!r}.")
    if waiting is None or waiting < 1:
        raise ValueError(f"max_queue_size must be an int greater than 0, got {max_queue_size!r}.")
    return Feeding(threads, waiting, bool(use_multiprocessing))


def later_arguments(where: str, given: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    """Return the values of arguments that came with later versions of Keras.

    Parameters
    ----------
    where : str
        The method's name.
    given : dict
        What its ``**kwargs`` caught.
    **defaults
        The arguments it knows, with their defaults.

    Raises
    ------
    TypeError
        If there is another argument.
    """
    unknown = sorted(set(given) - set(defaults))
    if unknown:
        raise TypeError(f"{where} got unknown arguments: {', '.join(unknown)}.")
    return {**defaults, **given}


def check_frequency(value: Any) -> Callable[[int], bool]:
    """Return whether an epoch, counted from 0, ends with validation.

    Parameters
    ----------
    value : int or collection of int
        Every how many epochs, or after which, counted from 1.
    """
    number = whole(value) if not hasattr(value, "__iter__") else None
    if number is not None and number > 0:
        return lambda epoch: (epoch + 1) % number == 0
    if hasattr(value, "__contains__") and not isinstance(value, str):
        return lambda epoch: epoch + 1 in value
    raise ValueError(
        "validation_freq must be an int greater than 0, or a list of epochs counted from 1; got "
        f"{value!r}."
    )


def loss_factor(loss_weights: Any, output_name: str | None) -> float:
    """Return `loss_weights` of `compile` as one factor."""
    factor = single(loss_weights, "loss_weights", output_name)
    if factor is None:
        return 1.0
    try:
        return float(factor)
    except (TypeError, ValueError):
        raise ValueError(
            f"loss_weights must be a number, or a list or dict of one; got {loss_weights!r}."
        ) from None


def scalar_or_list(results: list[float]) -> float | list[float]:
    """Return the only result by itself, as Keras does where there are no metrics."""
    return results[0] if len(results) == 1 else results
