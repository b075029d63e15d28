"""Asks tf-keras: builds a network from a golden config, trains it five steps, records all.

Configs are written as Keras 2.2.4 has them. What tf-keras spells or does differently is
translated here, and only here.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from . import tf_keras_layers
from .configs import Config, Layers, layer

STEPS = 5
BATCH = 8
Arrays = dict[str, np.ndarray]

SGD = layer("SGD", lr=0.1)
# Names that tf-keras dropped.
TF_KERAS_LOSS = {"cosine_proximity": "cosine_similarity", "logcosh": "log_cosh"}


def distance(actual: Any, expected: Any) -> float:
    """Largest difference, relative to the largest expected magnitude."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    if actual.shape != expected.shape:
        return float("inf")
    scale = np.abs(expected).max(initial=0.0)
    gap = np.abs(actual - expected).max(initial=0.0)
    return float(gap / scale) if scale > 0 else float(gap)


def distances(actual: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """The largest `distance` over two lists of arrays."""
    if len(actual) != len(expected):
        return float("inf")
    return max((distance(a, b) for a, b in zip(actual, expected, strict=True)), default=0.0)


def build_model(layers: Layers, batch: int = BATCH) -> Any:
    """Make the tf-keras Sequential that a golden config describes."""
    model = tf_keras.Sequential()
    for entry in layers:
        model.add(_build_layer(entry, batch))
    return model


def _build_layer(entry: Config, batch: int) -> Any:
    name, config = entry["class_name"], copy.deepcopy(entry["config"])
    if name == "Sequential":
        return build_model(config["layers"], batch)
    # tf-keras divides the activity penalty by the batch size, 2.2.4 does not.
    if name == "ActivityRegularization":
        config = {
            key: value * batch if key in ("l1", "l2") else value for key, value in config.items()
        }
    if config.get("activity_regularizer"):
        penalty = config["activity_regularizer"]["config"]
        config["activity_regularizer"]["config"] = {k: v * batch for k, v in penalty.items()}
    built = tf_keras_layers.build(name, config)
    if name == "BatchNormalization" and not built.trainable:
        # A frozen layer goes on normalising by the batch in 2.2.4; tf-keras' would not.
        built._USE_V2_BEHAVIOR, built.fused = False, False
    return built


def build_optimizer(optimizer: Config) -> Any:
    """Make the legacy tf-keras optimizer nearest to a 2.2.4 optimizer config."""
    config = dict(optimizer["config"])
    config["learning_rate"] = config.pop("lr")
    if "clipnorm" in config:
        config["global_clipnorm"] = config.pop("clipnorm")
    if optimizer["class_name"] == "Adagrad":
        config["initial_accumulator_value"] = 0.0
    return getattr(tf_keras.optimizers.legacy, optimizer["class_name"])(**config)


def variables_of(model: Any) -> list[Any]:
    """Variables in the order of 2.2.4's get_weights(): by layer, trainable ones first.

    tf-keras differs for a nested model, whose variables it gives layer by layer.
    """
    return [v for part in model.layers for v in part.trainable_weights + part.non_trainable_weights]


def get_weights(model: Any) -> list[np.ndarray]:
    """Copies of all weights, in 2.2.4's order."""
    return [v.numpy() for v in variables_of(model)]


def set_weights(model: Any, weights: list[np.ndarray]) -> None:
    """Set all weights, given in 2.2.4's order."""
    for variable, value in zip(variables_of(model), weights, strict=True):
        variable.assign(value)


def random_weights(model: Any, rng: np.random.Generator) -> list[np.ndarray]:
    """Random values that suit each weight's role, none at a special point."""
    weights = []
    for variable in variables_of(model):
        role, shape = variable.name.split("/")[-1].split(":")[0], tuple(variable.shape)
        if role in ("gamma", "moving_variance"):
            value = rng.uniform(0.6, 1.5, shape)
        elif role == "alpha":
            value = rng.uniform(0.1, 0.6, shape)
        elif role.endswith("kernel") and len(shape) > 2:
            value = rng.normal(0.0, _fan_in(variable.name, shape) ** -0.5, shape)
        else:
            value = rng.normal(0.0, 0.5 if role == "kernel" else 0.3, shape)
        weights.append(value.astype(np.float32))
    return weights


def _fan_in(name: str, shape: tuple[int, ...]) -> int:
    """About how many products with a kernel's entries are summed in one output."""
    if "locally_connected" in name:
        return shape[1]
    return math.prod(shape[:-2] if "depthwise_kernel" in name else shape[:-1])


def scaled_weight(sample_weight: np.ndarray | None) -> np.ndarray | None:
    """What to hand to tf-keras so that it divides by the share of weights that are not zero."""
    if sample_weight is None:
        return None
    return sample_weight / np.mean(sample_weight != 0).astype(np.float32)


def train(
    model: Any,
    optimizer: Any,
    loss: str | Callable[..., Any],
    x: np.ndarray,
    y: np.ndarray,
    sample_weight: np.ndarray | None = None,
    before_step: Callable[[], None] | None = None,
) -> np.ndarray:
    """Train on one batch `STEPS` times; return the loss reported by each step."""
    name = TF_KERAS_LOSS.get(loss, loss) if isinstance(loss, str) else loss
    model.compile(optimizer, name, run_eagerly=True)
    losses = []
    for _ in range(STEPS):
        if before_step:
            before_step()
        losses.append(model.train_on_batch(x, y, scaled_weight(sample_weight)))
    return np.array(losses, np.float32)


def case_arrays(name: str, parts: dict[str, Any]) -> Arrays:
    """Flatten one case: lists become `key/0`, `key/1`, ...; text and configs become strings."""
    arrays: Arrays = {}
    for key, value in parts.items():
        if value is None:
            continue
        if key in ("config", "optimizer", "kwargs"):
            arrays[f"{name}/{key}"] = np.array(json.dumps(value))
        elif isinstance(value, list):
            arrays.update({f"{name}/{key}/{i}": part for i, part in enumerate(value)})
        else:
            arrays[f"{name}/{key}"] = np.asarray(value)
    for key, array in arrays.items():
        if array.dtype == np.float64:
            arrays[key] = array.astype(np.float32)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise AssertionError(f"{key} is not finite")
    return arrays


def predict(model: Any, x: np.ndarray, training: bool = False) -> np.ndarray:
    """The network's output in either phase."""
    return np.array(model(tf.constant(x), training=training))
