"""Asks Keras 2.2.4: builds networks from golden configs, gives them weights and data, and patches.

`check_keras_2_2_4.import_keras` must have run before: it says how 2.2.4 comes to life.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .configs import Config, coarse

Arrays = dict[str, np.ndarray]


def build(keras: Any, layers: list[Config]) -> Any:
    """The Sequential of a config list."""
    built = [keras.layers.deserialize(entry) for entry in copy.deepcopy(layers)]
    for layer in built:
        if isinstance(layer, keras.layers.Bidirectional):
            # Its constructor sets this and then forgets it: predictions would carry no state.
            layer.stateful = layer.layer.stateful
    return keras.models.Sequential(built)


def random_weights(model: Any, rng: np.random.Generator) -> list[np.ndarray]:
    """Random values for a layer or network that suit each weight's role, in get_weights() order."""
    values = []
    for weight in [w for part in getattr(model, "layers", [model]) for w in part.weights]:
        role = weight.name.split("/")[-1].split(":")[0].rstrip("_0123456789")
        shape = tuple(weight.shape.as_list())
        if role in ("gamma", "moving_variance"):
            value = rng.uniform(0.6, 1.5, shape)
        elif role == "alpha":
            value = rng.uniform(0.1, 0.6, shape)
        elif role.endswith("kernel") and len(shape) > 2:
            value = rng.normal(0.0, math.prod(shape[:-1]) ** -0.5, shape)
        elif role.endswith(("kernel", "embeddings")):
            value = rng.normal(0.0, 0.6, shape)
        else:
            value = rng.normal(0.0, 0.3, shape)
        values.append(coarse(value, 128))
    return values


@contextmanager
def plain_moving_averages(keras: Any) -> Iterator[None]:
    """The moving average that 2.2.4 documents, and that its other backends have.

    What the TensorFlow backend does forgets the starting value: see README.md.
    """
    K = keras.backend
    original = K.moving_average_update

    def plain(x: Any, value: Any, momentum: float) -> Any:
        return K.update(x, x * momentum + value * (1 - momentum))

    K.moving_average_update = plain
    try:
        yield
    finally:
        K.moving_average_update = original


@contextmanager
def fixed_dropout(keras: Any, rng: np.random.Generator, batch: int) -> Iterator[list[np.ndarray]]:
    """Replace random dropout by fixed masks; gives the list of the masks, in the order asked for.

    A mask holds 0 and 1 / (1 - rate), as it is multiplied.
    """
    K = keras.backend
    original = K.dropout
    masks: list[np.ndarray] = []

    def dropout(x: Any, level: float, noise_shape: Any = None, seed: Any = None) -> Any:
        shape = (batch, *x.shape.as_list()[1:])
        kept = rng.uniform(size=shape) >= level
        masks.append((kept / np.float32(1 - level)).astype(np.float32))
        return x * K.constant(masks[-1])

    K.dropout = dropout
    try:
        yield masks
    finally:
        K.dropout = original


def case_arrays(name: str, parts: dict[str, Any]) -> Arrays:
    """Flatten one case: lists of arrays become `key/0`, `key/1`, ...; configs become text."""
    arrays: Arrays = {}
    for key, value in parts.items():
        if isinstance(value, dict | str) or key in ("config", "network", "events"):
            text = value if isinstance(value, str) else json.dumps(value)
            arrays[f"{name}/{key}"] = np.array(text)
        elif isinstance(value, list):
            arrays.update(
                {f"{name}/{key}/{i}": np.asarray(v, np.float32) for i, v in enumerate(value)}
            )
        elif value is not None:
            arrays[f"{name}/{key}"] = np.asarray(value, np.float32)
    for key, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise AssertionError(f"{key} is not finite")
    return arrays
