"""Models from files and from configurations, at Keras' address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minikeras.engine.weights import classes_in
from minikeras.sequential import Sequential
from minikeras.utils.registry import CustomObjectScope

__all__ = ["Sequential", "clone_model", "model_from_config", "model_from_json"]


def model_from_config(
    config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
) -> Sequential:
    """Make a model from ``{'class_name': 'Sequential', 'config': ...}``.

    Parameters
    ----------
    config : dict
    custom_objects : dict, optional
        Name to class or function, for what is not built in.
    """
    if not isinstance(config, Mapping) or "config" not in config:
        raise TypeError(
            "model_from_config takes a dict with the keys 'class_name' and 'config', got "
            f"{type(config).__name__}. For what model.get_config() returns, use "
            "Sequential.from_config."
        )
    found = config.get("class_name", "Sequential")
    if found not in ("Sequential", *(custom_objects or {})):
        raise ValueError(f"Only Sequential models can be made here, not {found!r}.")
    cls = (custom_objects or {}).get(found, Sequential)
    return cls.from_config(config["config"], custom_objects=custom_objects)


def model_from_json(
    json_string: str, custom_objects: Mapping[str, Any] | None = None
) -> Sequential:
    """Make a model from what `Sequential.to_json` returned. See `model_from_config`.

    Examples
    --------
    >>> from minikeras.layers import Dense
    >>> text = Sequential([Dense(2, input_dim=3)]).to_json()
    >>> model_from_json(text).output_shape
    (None, 2)
    """
    import json

    return model_from_config(json.loads(json_string), custom_objects)


def clone_model(model: Sequential) -> Sequential:
    """Return a model of the same configuration with fresh weights.

    Examples
    --------
    >>> from minikeras.layers import Dense
    >>> clone_model(Sequential([Dense(2, input_dim=3)])).count_params()
    8
    """
    clone = type(model)(name=model.name)
    layers: list[Any] = [] if model._input_layer is None else [model._input_layer]
    for layer in layers + model.layers:
        if isinstance(layer, Sequential):
            clone.add(clone_model(layer))
        else:
            with CustomObjectScope(classes_in(layer)):
                clone.add(type(layer).from_config(layer.get_config()))
    return clone
