"""Which source of batches stands for what the user passes to `fit`, `evaluate` and `predict`."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from minikeras.training.arguments import Feeding, split, unpack_validation
from minikeras.training.data import Batch, batch_count, is_generator, is_sequence
from minikeras.training.inputs import (
    converted,
    standardize,
    standardize_x,
    target_dtype,
    unpack,
    unpack_x,
)
from minikeras.training.sources import ArraySource, GeneratorSource, SequenceSource
from minikeras.training.stateful import check_batch, check_epochs
from minikeras.training.targets import check_held_out, check_range
from minikeras.utils.feeding_items import kept_random_states
from minikeras.utils.warning import warn

Source = ArraySource | GeneratorSource | SequenceSource


def array_source(
    model: Any,
    arrays: tuple,
    batch_size: int | Callable[[], int],
    shuffle: bool | str = False,
    repeats: int | None = None,
) -> ArraySource:
    """Return batches of standardized arrays; with `repeats`, all of them in one batch, so often."""
    x, y, weights = arrays
    y_dtype = None if y is None else target_dtype(model)
    if repeats:
        batch_size, shuffle = max(1, len(x)), False
    return ArraySource(
        x, y, weights, batch_size, shuffle or False, model.input_dtype, y_dtype, repeats
    )


def array_sources(
    model: Any,
    arrays: tuple,
    validation_data: Any,
    validation_split: float,
    batch_size: int,
    shuffle: bool | str,
    steps: int | None,
    validation_steps: int | None,
    validation_batch_size: int | None,
    feeding: Feeding,
    epochs: int,
) -> tuple[ArraySource, Source | None]:
    """Return the sources of `fit` on arrays: of training, and of validation or None."""
    check_range(model._loss_function, arrays[1])
    held_out = None
    samples = {"x": len(arrays[0])}
    if validation_data is not None and not is_generator(validation_data):
        held_out = standardize(model, *unpack_validation(validation_data), name="validation ")
        samples["validation x"] = len(held_out[0])
    elif validation_data is None and validation_split:
        arrays, held_out = split(arrays, validation_split)
        check_held_out(model._loss_function, arrays[1], held_out[1])
        split_up = f"what validation_split={validation_split} "
        samples = {f"{split_up}leaves": len(arrays[0]), f"{split_up}holds out": len(held_out[0])}
    if validation_batch_size and (held_out is None or steps):
        warn("validation_batch_size has no effect: it is for validation arrays, cut into batches.")
    if steps:
        check_batch(model, len(arrays[0]))
    else:
        check_epochs(model, batch_size, samples, shuffle)
        if model.stateful and validation_batch_size not in (None, batch_size):
            raise ValueError(
                f"Model '{model.name}' is stateful: training (batch_size={batch_size}) and "
                f"validation (validation_batch_size={validation_batch_size}) share its states, so "
                "their batches must have one size."
            )
    source = array_source(model, arrays, batch_size, shuffle, steps)
    if held_out is not None:
        repeats = (validation_steps or 1) if steps else None
        size = validation_batch_size or batch_size
        return source, array_source(model, held_out, size, repeats=repeats)
    if validation_data is not None:
        held = validation_batches(model, validation_data, validation_steps, feeding, epochs)
        return source, held
    return source, None


def batch_source(
    model: Any,
    data: Any,
    steps: int | None,
    steps_name: str,
    feeding: Feeding,
    epochs: int = 1,
    shuffle: bool = False,
    class_weight: dict | None = None,
    restarts: bool = False,
    only_x: bool = False,
) -> GeneratorSource | SequenceSource:
    """Return the batches that a generator or a `Sequence` makes, each of them checked.

    Parameters
    ----------
    model : Sequential
    data : iterator or Sequence
    steps : int or None
        Batches in an epoch. None: as many as a Sequence has.
    steps_name : str
        What the caller knows `steps` by, for errors.
    feeding : Feeding
    epochs : int
    shuffle, restarts : bool
        See `SequenceSource`.
    class_weight : dict, optional
    only_x : bool
        Whether nothing but inputs is wanted, for `predict`.
    """
    if not model.built:
        data = _built_by(model, data)
    prepare = functools.partial(_only_x if only_x else _prepare, model, class_weight)
    if is_sequence(data):
        batches = batch_count(data)
        return SequenceSource(data, prepare, steps or batches, shuffle, feeding, restarts)
    if steps is None:
        raise ValueError(
            f"{steps_name} is needed with a generator: nobody knows how many batches it has. (A "
            "minikeras.utils.Sequence has a len.)"
        )
    return GeneratorSource(data, prepare, steps, epochs, feeding)


def validation_batches(
    model: Any, data: Any, steps: int | None, feeding: Feeding, epochs: int
) -> GeneratorSource | SequenceSource:
    """Return the source of validation data that a generator or `Sequence` makes."""
    return batch_source(
        model, data, steps, "validation_steps", feeding, epochs=epochs, restarts=True
    )


def validation_beside(
    source: Source,
    model: Any,
    data: Any,
    steps: int | None,
    batch_size: int | None,
    feeding: Feeding,
    epochs: int,
) -> Source | None:
    """Return the source of validation data, or None, where `source` is a generator or `Sequence`.

    Arrays are cut into batches of `batch_size` or, by default, of the size that the training has.
    """
    if data is None:
        return None
    if is_generator(data):
        if batch_size:
            warn("validation_batch_size has no effect: a generator decides by itself.")
        return validation_batches(model, data, steps, feeding, epochs)
    if steps is not None:
        warn("validation_steps has no effect on arrays: all of validation_data are used.")
    arrays = standardize(model, *unpack_validation(data), name="validation ")
    return array_source(model, arrays, batch_size or (lambda: source.largest))


def _built_by(model: Any, data: Any) -> Any:
    """Build a model for the inputs of the first batch; return the data, with it in its place."""
    if is_sequence(data):
        batch_count(data)
        with kept_random_states():
            standardize_x(model, _inputs_of(data[0]), "batch 0: x")
        return data
    for first in _items(data):
        standardize_x(model, _inputs_of(first), "batch 0: x")
        return itertools.chain([first], _items(data))
    raise ValueError("The generator has no batch at all: its first next() is its end.")


def _items(iterator: Any) -> Iterator[Any]:
    """Yield what an iterator gives, which need not have more than ``__next__``."""
    while True:
        try:
            item = next(iterator)
        except StopIteration:
            return
        yield item


def _inputs_of(item: Any) -> Any:
    return item[0] if isinstance(item, (tuple, list)) and item else item


def _prepare(model: Any, class_weight: dict | None, item: Any, where: str) -> Batch:
    x, y, weights = unpack(item, where)
    arrays = standardize(model, x, y, weights, class_weight, name=f"{where}: ")
    check_batch(model, len(arrays[0]))
    return converted(model, arrays)


def _only_x(model: Any, class_weight: dict | None, item: Any, where: str) -> Batch:
    x = standardize_x(model, unpack_x(item, where), f"{where}: x")
    check_batch(model, len(x))
    return converted(model, (x, None, None))
