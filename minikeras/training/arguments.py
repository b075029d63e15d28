"""Checks of the arguments of `compile`, `fit` and the others, apart from the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

#: Samples per update where the caller does not say.
DEFAULT_BATCH_SIZE = 32


class Feeding(NamedTuple):
    """How batches are made ahead of the training.

    Parameters
    ----------
    workers : int
        Threads or processes; 0 makes batches when they are needed. Default 1.
    max_queue_size : int
        How many batches may be waiting; 0: any number. Default 10.
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
        length = f" of length {len(data)}" if isinstance(data, (tuple, list)) else ""
        hint = ""
        if isinstance(data, float):
            hint = f" To hold a part of the training data out, there is validation_split={data}."
        elif callable(data):
            hint = " Did you forget the parentheses?"
        elif length in ("", " of length 1"):
            hint = " The targets are needed, too: validation_data=(x_test, y_test)."
        raise ValueError(
            "validation_data must be a tuple (x, y) or (x, y, sample_weight), got "
            f"{type(data).__name__}{length}.{hint}"
        )
    return (*data, None)[:3]


def split(arrays: tuple, share: float) -> tuple[tuple, tuple]:
    """Cut the last `share` of the samples off."""
    samples = len(arrays[0])
    number = share if isinstance(share, (int, float, np.number)) else -1
    if not 0 < number < 1:
        hint = ""
        if isinstance(share, (tuple, list)):
            hint = " For data of your own, there is validation_data=(x, y)."
        elif 1 < number < 100:
            hint = f" For {number} %, write validation_split={float(number) / 100:g}."
        raise ValueError(
            f"validation_split must be from 0 up to but not including 1, got {shown(share)}.{hint}"
        )
    cut = int(samples * (1.0 - share))
    if cut in (0, samples):
        raise ValueError(
            f"validation_split={share} of {samples} samples leaves {cut} for training and "
            f"{samples - cut} for validation; both need at least one. Give more samples, another "
            "validation_split, or validation_data=(x, y)."
        )
    first = tuple(None if a is None else a[:cut] for a in arrays)
    return first, tuple(None if a is None else a[cut:] for a in arrays)


def check_batch_size(batch_size: Any, name: str = "batch_size") -> int:
    """Return `batch_size` as an int."""
    number = whole(batch_size)
    if number is None or number < 1:
        hint = _hint_for_int(batch_size)
        if hasattr(batch_size, "__len__") and not isinstance(batch_size, str):
            hint = " (predict and evaluate get their data as x, y: is there one argument too many?)"
        raise ValueError(f"{name} must be an int greater than 0, got {shown(batch_size)}.{hint}")
    return number


def check_epoch(value: Any, name: str) -> int:
    """Return a number of epochs as an int."""
    number = whole(value)
    if number is None or number < 0:
        raise ValueError(
            f"{name} must be an int of at least 0, got {shown(value)}.{_hint_for_int(value)}"
        )
    return number


def shown(value: Any) -> str:
    """Return how errors show the value of an argument: what is long by its kind alone."""
    if hasattr(value, "shape") and value.shape:
        return f"an array of shape {value.shape}"
    text = repr(value)
    return text if len(text) < 100 else f"a {type(value).__name__}, {text[:60]}..."


def _hint_for_int(value: Any) -> str:
    """Say how to make an int of what was given for one."""
    if isinstance(value, str) and value.strip().isdecimal():
        return f" Write {value.strip()} without quotes, or int(...)."
    if isinstance(value, (float, np.floating)) and np.isfinite(value):
        return " Divide with // to get an int, or round with int(...)."
    return ""


def check_verbose(verbose: Any, known: tuple[int, ...]) -> None:
    """Raise ValueError unless `verbose` is one of the `known` values."""
    is_data = hasattr(verbose, "__len__") and not isinstance(verbose, str)
    if is_data or verbose not in known:
        names = f"{', '.join(map(str, known[:-1]))} or {known[-1]}"
        hint = ""
        if is_data:
            hint = " Pass arguments after the data by their names, as validation_data=(x, y)."
        raise ValueError(f"verbose must be {names}, got {shown(verbose)}.{hint}")


def whole(value: Any) -> int | None:
    """Return a whole number of any type as an int, None for anything else."""
    try:
        number = None if isinstance(value, (bool, str)) else int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number == value else None


def check_callbacks(callbacks: Iterable[Any] | None) -> list[Any]:
    """Return `callbacks` as a list."""
    if callbacks is None:
        return []
    if hasattr(callbacks, "set_params") or isinstance(callbacks, type):
        cls = callbacks if isinstance(callbacks, type) else type(callbacks)
        raise TypeError(
            f"callbacks must be a list: callbacks=[{cls.__name__}(...)]; got {callbacks!r}."
        )
    if isinstance(callbacks, (str, dict)) or not hasattr(callbacks, "__iter__"):
        raise TypeError(
            "callbacks must be a list of callbacks, such as [EarlyStopping('val_loss')]; got "
            f"{callbacks!r}."
        )
    found = list(callbacks)
    for entry in found:
        if isinstance(entry, (list, tuple)):
            raise TypeError(f"callbacks holds a list, {entry!r}: put its entries there themselves.")
    return found


def check_steps(value: Any, name: str) -> int | None:
    """Return a number of steps as an int, None for None."""
    if value is None:
        return None
    number = whole(value)
    if number is None or number < 1:
        hint = _hint_for_int(value)
        if number == 0:
            hint = (
                " Are there fewer samples than batch_size? A division that rounds up is "
                "-(-samples // batch_size)."
            )
        raise ValueError(
            f"{name} must be an int greater than 0, or None; got {shown(value)}.{hint}"
        )
    return number


def check_feeding(workers: Any, max_queue_size: Any, use_multiprocessing: Any) -> Feeding:
    """Return how batches are made ahead, checked."""
    threads, waiting = whole(workers), whole(max_queue_size)
    if threads is None or threads < 0:
        raise ValueError(f"workers must be an int of at least 0, got {workers!r}.")
    if waiting is None or waiting < 0:
        raise ValueError(
            f"max_queue_size must be an int of at least 0 (any number), got {max_queue_size!r}."
        )
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
        raise TypeError(unknown_arguments(where, unknown))
    return {**defaults, **given}


#: The arguments of the methods that train and use a model, to find the closest one.
METHOD_ARGUMENTS = (
    "x",
    "y",
    "batch_size",
    "epochs",
    "verbose",
    "callbacks",
    "validation_split",
    "validation_data",
    "shuffle",
    "class_weight",
    "sample_weight",
    "initial_epoch",
    "steps_per_epoch",
    "validation_steps",
    "validation_freq",
    "steps",
    "generator",
    "workers",
    "max_queue_size",
    "use_multiprocessing",
    "optimizer",
    "loss",
    "metrics",
    "loss_weights",
    "sample_weight_mode",
    "weighted_metrics",
    "target_tensors",
)

#: Arguments of older versions of Keras, and what stands for them.
OLD_ARGUMENTS = {
    "nb_epoch": "epochs",
    "samples_per_epoch": "steps_per_epoch, which counts batches: samples // batch_size",
    "nb_val_samples": "validation_steps, which counts batches: samples // batch_size",
    "val_samples": "steps, which counts batches: samples // batch_size",
    "max_q_size": "max_queue_size",
    "nb_worker": "workers",
    "pickle_safe": "use_multiprocessing",
    "show_accuracy": "metrics=['accuracy'] in compile",
    "class_mode": "the loss itself: 'binary_crossentropy' or 'categorical_crossentropy'",
    "lr": "an optimizer of that learning rate: compile(optimizer=Adam(lr=...), ...)",
    "learning_rate": "an optimizer of that learning rate: compile(optimizer=Adam(lr=...), ...)",
}


def unknown_arguments(where: str, names: Iterable[str]) -> str:
    """Word the error for arguments that a method does not have.

    Parameters
    ----------
    where : str
        The method's name.
    names : iterable of str
        The arguments.

    Examples
    --------
    >>> unknown_arguments("fit", ["epoch"])
    "fit got unknown arguments: epoch. Did you mean 'epochs'?"
    """
    import difflib

    names = list(names)
    text = f"{where} got unknown arguments: {', '.join(names)}."
    for name in names:
        close = difflib.get_close_matches(name, METHOD_ARGUMENTS, n=1, cutoff=0.75)
        if name in OLD_ARGUMENTS:
            text += f" In place of {name!r} there is now {OLD_ARGUMENTS[name]}."
        elif close:
            text += f" Did you mean {close[0]!r}?"
    return text


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
