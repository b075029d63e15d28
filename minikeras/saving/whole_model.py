"""A whole model in an HDF5 file: its layers, its weights, how it is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from minikeras.saving import KERAS_VERSION
from minikeras.saving.guard import group_at
from minikeras.saving.names import Misfit
from minikeras.saving.training import read_json, restore_training, write_json, write_training
from minikeras.saving.weights import BACKEND, assign, by_order, layers_of, write_layers

MODEL_CONFIG = "model_config"


def write_model(model: Any, file: Any, include_optimizer: bool = True) -> None:
    """Write a model to an empty group. See `minikeras.models.save_model`.

    Parameters
    ----------
    model : Sequential
    file : h5py.Group
    include_optimizer : bool
        Whether to write how it is trained, too, if it is compiled.
    """
    layers = layers_of(model)
    if len(layers) < len(model.layers):
        raise ValueError(
            f"Model '{model.name}' uses a layer twice, which its configuration can't tell. Save "
            "the weights alone, with save_weights, and make the model in Python."
        )
    # The shape is for a model whose layers state none.
    config = {**model.get_config(), "build_input_shape": model.input_shape}
    file.attrs["keras_version"] = KERAS_VERSION.encode()
    file.attrs["backend"] = BACKEND.encode()
    write_json(file, MODEL_CONFIG, {"class_name": type(model).__name__, "config": config})
    write_layers(file.create_group("model_weights"), layers)
    if include_optimizer and model.optimizer is not None:
        write_training(model, file)


def read_model(
    file: Any,
    make: Callable[[Any, Any], Any],
    custom_objects: Mapping[str, Any] | None,
    compile: bool,
) -> Any:
    """Return the model that a file holds. See `minikeras.models.load_model`.

    Parameters
    ----------
    file : h5py.Group
    make : callable
        Makes a model of a configuration and custom objects.
    custom_objects : dict or None
    compile : bool
    """
    config = read_json(file, MODEL_CONFIG)
    if config is None:
        if "layer_names" in file.attrs or "layer_names0" in file.attrs:
            raise Misfit(
                "It holds weights alone, and not the layers that they belong to. Make the model "
                "in Python, and call model.load_weights."
            )
        raise Misfit(f"It holds no model of Keras: there is no '{MODEL_CONFIG}'.")
    model = _explained(lambda: make(config, custom_objects))
    if not model.built:
        raise Misfit(
            "It does not say what shape of input the model takes: Keras 2 leaves that out where an "
            "InputLayer or the first data told it. Make the model in Python, and call "
            "model.load_weights on this file."
        )
    assign(by_order(group_at(file, "model_weights"), layers_of(model)))
    if compile:
        _explained(lambda: restore_training(model, file, custom_objects), "compile=False")
    return model


def _explained(make: Callable[[], Any], way_out: str = "") -> Any:
    """Say, where a name is unknown, how it is made known."""
    try:
        return make()
    except Misfit:
        raise
    except (ValueError, TypeError, KeyError) as error:
        hint = ""
        if "Unknown" in str(error):
            hint = " Pass what is your own as custom_objects={'name': class_or_function}."
        if way_out:
            hint += f" Or load the model with {way_out} and compile it yourself."
        raise Misfit(f"{error}{hint}") from error
