"""How a model is trained, to a file and back: what `compile` got, and the optimizer's state."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from minikeras import losses, metrics, optimizers
from minikeras.saving.guard import dataset_at, group_at, read_numbers
from minikeras.saving.names import Misfit, read_names, read_text
from minikeras.saving.weights import write_arrays
from minikeras.utils.warning import warn

TRAINING_CONFIG = "training_config"
OPTIMIZER_WEIGHTS = "optimizer_weights"
# An attribute that Keras does not look for.
ITERATIONS = "minikeras_iterations"


class OptimizerWeights(NamedTuple):
    """What a file holds of an optimizer's state.

    Parameters
    ----------
    arrays : list of ndarray
        In the order of ``optimizer.weights``.
    iterations : int or None
        The number of steps, where it is not among them.
    """

    arrays: list[np.ndarray]
    iterations: int | None


def write_json(file: Any, key: str, value: Any) -> None:
    """Write what JSON can hold to an attribute, as bytes of any length."""
    import json

    file.attrs[key] = json.dumps(value, default=_plain).encode()


def read_json(file: Any, key: str) -> Any:
    """Return what is written in an attribute in JSON; None if there is no such attribute."""
    import json

    text = read_text(file, key)
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Misfit(f"The attribute '{key}' does not hold JSON. ({error})") from error


def _plain(value: Any) -> Any:
    """Turn what a configuration may hold into what JSON knows: functions and classes by name."""
    if hasattr(value, "get_config") and not isinstance(value, type):
        return {"class_name": type(value).__name__, "config": value.get_config()}
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "__name__"):
        return value.__name__
    raise TypeError(
        f"{value!r} can't be written to a file: it is no number, text, list or dict, and has "
        "neither a get_config() nor a name."
    )


def write_training(model: Any, file: Any) -> None:
    """Write what `compile` got, and the state of the optimizer.

    Parameters
    ----------
    model : Sequential
        Built and compiled.
    file : h5py.Group
    """
    with optimizer_of(model) as optimizer:
        config = {
            "optimizer_config": optimizer,
            "loss": model.loss,
            "metrics": model.metrics,
            "sample_weight_mode": model.sample_weight_mode,
            "loss_weights": model.loss_weights,
            "weighted_metrics": model.weighted_metrics,
        }
        write_json(file, TRAINING_CONFIG, config)
        state = optimizer.weights
        if state:
            group = file.create_group(OPTIMIZER_WEIGHTS)
            write_arrays(group, [(weight.name, weight.value) for weight in state])
        if not optimizer.saves_iterations:
            file.attrs[ITERATIONS] = int(optimizer.iterations)


@contextlib.contextmanager
def optimizer_of(model: Any) -> Iterator[Any]:
    """Give a model's optimizer with the state that belongs to this model.

    An optimizer may serve several models, and its `weights` are then those of the last one.
    """
    state, optimizer = model._ready().state, model.optimizer
    before, optimizer._state = optimizer._state, state
    try:
        yield optimizer
    finally:
        optimizer._state = before


def restore_training(
    model: Any, file: Any, custom_objects: Mapping[str, Any] | None = None
) -> None:
    """Compile a model as it was when it was written, and give the optimizer its state.

    Parameters
    ----------
    model : Sequential
        Built.
    file : h5py.Group
    custom_objects : dict, optional
        Names of classes and functions that are not built in.

    Warns
    -----
    UserWarning
        If the file says nothing about it, or if the optimizer's state does not fit.
    """
    config = read_json(file, TRAINING_CONFIG)
    if config is None:
        warn(
            "The file holds no training configuration: the model was not compiled. Compile it "
            "before training, or pass compile=False to say that it is not needed."
        )
        return
    if not isinstance(config, Mapping) or "optimizer_config" not in config:
        raise Misfit(f"The attribute '{TRAINING_CONFIG}' has no 'optimizer_config'.")
    model.compile(
        optimizer=optimizers.deserialize(config["optimizer_config"], custom_objects),
        loss=_resolved(config.get("loss"), losses.deserialize, custom_objects),
        metrics=_resolved(config.get("metrics"), metrics.deserialize, custom_objects),
        loss_weights=config.get("loss_weights"),
        sample_weight_mode=config.get("sample_weight_mode"),
        weighted_metrics=_resolved(
            config.get("weighted_metrics"), metrics.deserialize, custom_objects
        ),
    )
    try:
        found = read_optimizer(model, file)
        if found is None:
            return
        with optimizer_of(model) as optimizer:
            optimizer.set_weights(found.arrays)
            if found.iterations is not None:
                optimizer.iterations = found.iterations
    except ValueError as error:
        warn(f"The state of the optimizer could not be loaded; it starts anew. ({error})")


def _resolved(
    entry: Any, deserialize: Callable[..., Any], custom_objects: Mapping[str, Any] | None
) -> Any:
    """Replace custom names and configurations by what they stand for; the rest is for `compile`."""
    if isinstance(entry, list):
        return [_resolved(part, deserialize, custom_objects) for part in entry]
    if isinstance(entry, Mapping):
        if isinstance(entry.get("class_name"), str) and "config" in entry:
            return deserialize(entry, custom_objects)
        return {k: _resolved(part, deserialize, custom_objects) for k, part in entry.items()}
    if isinstance(entry, str) and entry in (custom_objects or {}):
        return deserialize(entry, custom_objects)
    return entry


def read_optimizer(model: Any, file: Any) -> OptimizerWeights | None:
    """Read what a file holds of the state of a model's optimizer; None if there is nothing.

    Raises
    ------
    ValueError
        If it does not fit.
    """
    arrays: list[np.ndarray] = []
    with optimizer_of(model) as optimizer:
        own = optimizer.weights
    if OPTIMIZER_WEIGHTS in file:
        group = group_at(file, OPTIMIZER_WEIGHTS)
        names = read_names(group, "weight_names")
        if len(names) != len(own):
            raise Misfit(
                f"{type(optimizer).__name__} keeps {len(own)} arrays for this model, the file "
                f"holds {len(names)}."
            )
        for weight, name in zip(own, names, strict=True):
            arrays.append(read_numbers(dataset_at(group, name), weight.shape, f"'{name}'"))
    elif ITERATIONS not in file.attrs:
        return None
    return OptimizerWeights(arrays, _iterations(file))


def _iterations(file: Any) -> int | None:
    found = file.attrs.get(ITERATIONS)
    if found is None:
        return None
    if not isinstance(found, (int, np.integer)) or found < 0:
        raise Misfit(f"The attribute '{ITERATIONS}' should be a whole number, not {found!r}.")
    return int(found)
