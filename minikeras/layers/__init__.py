"""All layers, and finding a layer by its name.

The table at the end is the list of what a configuration can name. A class of a floor above,
such as `Sequential`, is put in with `register`; a layer of your own goes by ``custom_objects``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minikeras.engine import Input, InputLayer, InputSpec, Layer
from minikeras.layers.advanced_activations import (
    ELU,
    LeakyReLU,
    PReLU,
    ReLU,
    Softmax,
    ThresholdedReLU,
)
from minikeras.layers.core import (
    Activation,
    ActivityRegularization,
    Dense,
    Dropout,
    Flatten,
    Permute,
    RepeatVector,
    Reshape,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from minikeras.layers.noise import AlphaDropout, GaussianDropout, GaussianNoise
from minikeras.layers.normalization import BatchNormalization
from minikeras.utils.registry import Registry

__all__ = [
    "ELU",
    "Activation",
    "ActivityRegularization",
    "AlphaDropout",
    "BatchNormalization",
    "Dense",
    "Dropout",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "Input",
    "InputLayer",
    "InputSpec",
    "Layer",
    "LeakyReLU",
    "PReLU",
    "Permute",
    "ReLU",
    "RepeatVector",
    "Reshape",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "ThresholdedReLU",
    "deserialize",
    "register",
    "serialize",
]

_registry = Registry(
    "layer",
    {
        "Activation": Activation,
        "ActivityRegularization": ActivityRegularization,
        "AlphaDropout": AlphaDropout,
        "BatchNormalization": BatchNormalization,
        "Dense": Dense,
        "Dropout": Dropout,
        "ELU": ELU,
        "Flatten": Flatten,
        "GaussianDropout": GaussianDropout,
        "GaussianNoise": GaussianNoise,
        "InputLayer": InputLayer,
        "LeakyReLU": LeakyReLU,
        "PReLU": PReLU,
        "Permute": Permute,
        "ReLU": ReLU,
        "RepeatVector": RepeatVector,
        "Reshape": Reshape,
        "Softmax": Softmax,
        "SpatialDropout1D": SpatialDropout1D,
        "SpatialDropout2D": SpatialDropout2D,
        "SpatialDropout3D": SpatialDropout3D,
        "ThresholdedReLU": ThresholdedReLU,
    },
    base=Layer,
)


def register(cls: type[Layer]) -> type[Layer]:
    """Make a class of a floor above known to `deserialize` by its name.

    Imports only point down, so `Sequential`, which is a layer too, comes here by itself.

    Parameters
    ----------
    cls : type
        A subclass of `Layer`.

    Returns
    -------
    type
        `cls`, so that this also works as a decorator.
    """
    _registry.entries[cls.__name__] = cls
    return cls


def serialize(layer: Layer) -> dict[str, Any]:
    """Return the class name and the configuration of a layer, without its weights.

    Examples
    --------
    >>> serialize(ReLU(6.0, name="clipped"))["class_name"]
    'ReLU'
    """
    return _registry.serialize(layer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Layer:
    """Make a layer from what `serialize` returned.

    Parameters
    ----------
    config : dict
        ``{'class_name': name, 'config': {...}}``.
    custom_objects : dict, optional
        Name to class, for layers that are not built in. They are known in this call only.

    Returns
    -------
    Layer
        With fresh weights.

    Raises
    ------
    ValueError
        If `config` is no such dict, or the name is unknown.
    TypeError
        If the name stands for something that is not a layer.

    Examples
    --------
    >>> deserialize({"class_name": "Dense", "config": {"units": 3}}).units
    3
    """
    if isinstance(config, str):
        raise ValueError(
            f"A layer is made from a dict with the keys 'class_name' and 'config', not from the "
            f"name {config!r} alone."
        )
    layer: Layer = _registry.deserialize(config, custom_objects)
    return layer
