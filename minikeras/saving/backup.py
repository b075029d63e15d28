"""A model in the middle of its training, in one file: what `BackupAndRestore` writes and reads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from minikeras.engine.weights import all_layers
from minikeras.optimizer_base import Hyperparameter
from minikeras.saving.guard import dataset_at, group_at, read_numbers
from minikeras.saving.names import Misfit, read_text
from minikeras.saving.places import opened, write_to
from minikeras.saving.training import (
    optimizer_of,
    read_json,
    read_optimizer,
    write_json,
)
from minikeras.saving.weights import assign, by_order, layers_of
from minikeras.saving.whole_model import write_model

STATE = "minikeras_backup"
STATES = "minikeras_kept_states"
ARRAYS = "minikeras_backup_arrays"
# What stands in the state for an array, together with its number.
ARRAY = "minikeras array number"


def write_backup(model: Any, path: str | os.PathLike, state: Mapping[str, Any]) -> None:
    """Write a model and where its training stands, in one atomic write.

    Parameters
    ----------
    model : Sequential
        Built and compiled.
    path : str or PathLike
        The file is what `save_model` writes, with `state` and the states that stateful layers
        keep besides, so `load_model` can read it, too.
    state : dict
        What JSON can hold, and arrays.

    Raises
    ------
    RuntimeError
        If the model is not compiled.
    TypeError
        If JSON can't hold `state`.

    Examples
    --------
    >>> import tempfile
    >>> from minikeras import Sequential
    >>> from minikeras.layers import Dense
    >>> model = Sequential([Dense(1, input_dim=2)])
    >>> model.compile("adam", "mse")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_backup(model, folder + "/backup.h5", {"epoch": 3})
    ...     read_backup(model, folder + "/backup.h5")
    {'epoch': 3}
    """
    _need_compiled(model)

    def fill(file: Any) -> None:
        write_model(model, file, include_optimizer=True)
        arrays: list[np.ndarray] = []
        write_json(file, STATE, _without_arrays(dict(state), arrays))
        group = file.create_group(ARRAYS)
        for number, array in enumerate(arrays):
            group.create_dataset(str(number), data=array)
        group = file.create_group(STATES)
        for number, layer in enumerate(_stateful(model)):
            kept = group.create_group(str(number))
            for index, variable in enumerate(layer.states):
                if variable is not None:
                    kept.create_dataset(str(index), data=variable.value)

    write_to(path, fill)


def read_backup(model: Any, path: str | os.PathLike) -> dict[str, Any]:
    """Set a compiled model to what `write_backup` wrote.

    Set are the weights, what the optimizer keeps of them, its `iterations`, its learning rate and
    the other numbers that may change in a training, and the states that stateful layers keep.
    Everything is read and checked before anything is set.

    Parameters
    ----------
    model : Sequential
        Of the same layers and the same optimizer as the one that was written.
    path : str or PathLike

    Returns
    -------
    dict
        The `state` that was written.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no backup, or one of another model.
    """
    _need_compiled(model)
    with opened(path) as file:
        if read_text(file, STATE) is None:
            raise Misfit("This is no backup: it was not written by BackupAndRestore.")
        state = _with_arrays(read_json(file, STATE), group_at(file, ARRAYS))
        weights = by_order(group_at(file, "model_weights"), layers_of(model))
        numbers = _hyperparameters(model, file)
        found = read_optimizer(model, file)
        if found is None:
            raise Misfit("It holds no state of an optimizer.")
        kept = _kept_states(model, file)
    with optimizer_of(model) as optimizer:
        optimizer.set_weights(found.arrays)
        for name, value in numbers.items():
            setattr(optimizer, name, value)
        if found.iterations is not None:
            optimizer.iterations = found.iterations
    assign(weights)
    for layer, arrays in kept:
        layer.reset_states()
        if arrays:
            layer._keep(arrays)
    return state


def _without_arrays(value: Any, arrays: list[np.ndarray]) -> Any:
    """Return `value` with a number for each array in it; the arrays are added to the list."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf":
            raise TypeError(f"A backup takes arrays of numbers, not of dtype {value.dtype}.")
        arrays.append(value)
        return {ARRAY: len(arrays) - 1}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"A backup takes dicts whose keys are text, not {value!r}.")
        return {key: _without_arrays(part, arrays) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_arrays(part, arrays) for part in value]
    return value


def _with_arrays(value: Any, group: Any) -> Any:
    """Put the arrays back into what `_without_arrays` returned."""
    if isinstance(value, dict):
        if list(value) == [ARRAY]:
            dataset = dataset_at(group, str(value[ARRAY]))
            return read_numbers(dataset, dataset.shape, dataset.name)
        return {key: _with_arrays(part, group) for key, part in value.items()}
    if isinstance(value, list):
        return [_with_arrays(part, group) for part in value]
    return value


def _need_compiled(model: Any) -> None:
    if model.optimizer is None:
        raise RuntimeError("Only a compiled model has a training to back up: call compile first.")


def _hyperparameters(model: Any, file: Any) -> dict[str, float]:
    """Return the optimizer's numbers that may change while it trains, such as `lr`."""
    config = (read_json(file, "training_config") or {}).get("optimizer_config", {})
    own = type(model.optimizer).__name__
    if config.get("class_name") != own:
        raise Misfit(
            f"This is the backup of a training with {config.get('class_name')}, but the model is "
            f"compiled with {own}. Remove the file to start anew."
        )
    values = config.get("config", {})
    return {
        name: values[name]
        for name in values
        if isinstance(getattr(type(model.optimizer), name, None), Hyperparameter)
    }


def _stateful(model: Any) -> list[Any]:
    """Return the layers that keep states themselves, in an order that follows from the model."""
    return [layer for layer in all_layers(model) if hasattr(layer, "_keep") and layer.stateful]


def _kept_states(model: Any, file: Any) -> list[tuple[Any, list[np.ndarray]]]:
    layers, group = _stateful(model), group_at(file, STATES)
    if len(group) != len(layers):
        raise Misfit(f"It holds the states of {len(group)} layers, the model has {len(layers)}.")
    found = []
    for number, layer in enumerate(layers):
        kept = group_at(group, str(number))
        if len(kept) not in (0, len(layer.states)):
            raise Misfit(
                f"It holds {len(kept)} states of layer '{layer.name}', which has "
                f"{len(layer.states)}."
            )
        arrays = []
        for index in range(len(kept)):
            dataset = dataset_at(kept, str(index))
            arrays.append(read_numbers(dataset, dataset.shape, dataset.name).astype(layer.dtype))
        found.append((layer, arrays))
    return found
