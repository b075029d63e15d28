"""activations.npz: every activation function with its derivative."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from . import oracle
from .configs import random_for
from .oracle import Arrays

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "linear": ("linear", {}),
    "relu": ("relu", {}),
    "relu_alpha": ("relu", {"alpha": 0.2}),
    "relu_max_value": ("relu", {"max_value": 2.0}),
    "relu_max_value_6": ("relu", {"max_value": 6.0}),
    "relu_threshold": ("relu", {"threshold": 0.7}),
    "relu_alpha_max_value_threshold": ("relu", {"alpha": 0.3, "max_value": 4.0, "threshold": 0.7}),
    "relu_alpha_max_value": ("relu", {"alpha": 0.1, "max_value": 3.0}),
    "elu": ("elu", {"alpha": 1.0}),
    "elu_alpha": ("elu", {"alpha": 0.5}),
    "selu": ("selu", {}),
    "tanh": ("tanh", {}),
    "sigmoid": ("sigmoid", {}),
    "hard_sigmoid": ("hard_sigmoid", {}),
    "softplus": ("softplus", {}),
    "softsign": ("softsign", {}),
    "exponential": ("exponential", {}),
    "softmax": ("softmax", {}),
    "softmax_3d": ("softmax", {}),
    "softmax_axis": ("softmax", {"axis": 1}),
}
# Zero, tiny, near the kinks, far out.
VALUES = [
    0.0,
    1e-30,
    -1e-30,
    1e-6,
    -1e-6,
    1e-3,
    -1e-3,
    0.3,
    -0.3,
    0.69,
    0.71,
    1.0,
    -1.0,
    2.4,
    -2.4,
    2.6,
    -2.6,
    3.5,
    5.5,
    -5.5,
    7.0,
    -12.0,
    20.0,
    -20.0,
    60.0,
    -60.0,
]


def inputs(name: str, rng: np.random.Generator) -> np.ndarray:
    """Rows of special and of random values; for softmax, rows of very different spread."""
    if name.startswith("softmax"):
        x = rng.normal(size=(6, 4)) * np.array([[0.0], [1e-4], [1.0], [5.0], [40.0], [300.0]])
        return (x.reshape(2, 3, 4) if name != "softmax" else x).astype(np.float32)
    return np.concatenate([VALUES, 3 * rng.normal(size=10)]).reshape(4, 9).astype(np.float32)


def selu_2_2_4(x: Any) -> Any:
    """2.2.4 builds selu from elu, so that the slope at 0 is the left-hand one."""
    return 1.0507009873554805 * tf_keras.activations.elu(x, 1.6732632423543772)


def evaluate(
    function: Any, kwargs: dict[str, Any], x: np.ndarray, dy: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The function's values, and `dy` carried back to `x`."""
    variable = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        y = function(variable, **kwargs)
    return np.array(y), np.array(tape.gradient(y, variable, tf.constant(dy)))


def generate(report: list[str]) -> Arrays:
    """All cases."""
    arrays: Arrays = {}
    for name, (function, kwargs) in CASES.items():
        rng = random_for(name)
        x = inputs(name, rng)
        dy = rng.normal(size=x.shape).astype(np.float32)
        y, dx = evaluate(tf_keras.activations.get(function), kwargs, x, dy)
        if function == "selu":
            theirs, (y, dx) = (y, dx), evaluate(selu_2_2_4, kwargs, x, dy)
            if oracle.distance(theirs[0], y) > 1e-6:
                raise AssertionError("selu differs by more than its slope at 0")
            report.append(f"activations/{name}: slope differs at and just below 0; 2.2.4's stored")
        arrays.update(
            oracle.case_arrays(
                name,
                {
                    "function": function,
                    "kwargs": kwargs,
                    "x": x,
                    "dy": dy,
                    "y": y,
                    "dx": dx,
                },
            )
        )
    return arrays
