"""convolution.npz: networks with convolution, pooling, padding and resampling layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import tf_keras

from . import convolution_cases, convolution_networks, oracle
from .configs import coarse, random_for
from .convolution_networks import OPTIONS
from .generate_layers import record
from .oracle import Arrays
from .reader import pack

CASES = {**convolution_cases.CASES, **convolution_networks.CASES}
# Gradients of shared weights under a mean are small. So is what they show at a small rate.
RATES = (0.5, 0.1, 0.02)


def trained(model: Any, start: list[np.ndarray], given: dict[str, Any]) -> dict[str, Any]:
    """What five steps make, at the largest rate at which each of them makes the loss smaller."""
    for rate in RATES:
        parts = {"optimizer": {"class_name": "SGD", "config": {"lr": rate}}, **given}
        oracle.set_weights(model, start)
        parts |= record(model, **parts)
        if "optimizer" in given or (np.diff(parts["losses"]) < 0).all():
            return parts
    raise AssertionError(f"No rate suits: {parts['losses']}.")


def network_case(name: str) -> Arrays:
    """One network and its five steps."""
    layers, options = CASES[name], OPTIONS.get(name, {})
    rng = random_for(name)
    tf_keras.backend.set_image_data_format(options.get("image_data_format", "channels_last"))
    model = oracle.build_model(layers)
    start = oracle.random_weights(model, rng)
    x = rng.normal(size=(oracle.BATCH, *layers[0]["config"]["input_shape"]))
    # For maxima over volumes values must not lie close: TensorFlow derives by all within 1e-5.
    x = coarse(x, 1024 if "max_pooling3d" in name else 8)
    if name.startswith("large"):
        start = [coarse(weight, 256) for weight in start]
    if name in convolution_cases.TIES:
        x, start = np.sign(x), [np.sign(weight) for weight in start]
    oracle.set_weights(model, start)
    output = oracle.predict(model, x)
    parts: dict[str, Any] = {"config": layers, "x": x, "weights0": start, "output": output}
    if "image_data_format" in options:
        parts["image_data_format"] = options["image_data_format"]
    if not name.startswith("inference"):
        y = coarse(rng.normal(size=output.shape))
        if options.get("one_hot"):
            y = np.eye(y.shape[1], dtype=np.float32)[y.argmax(axis=1)]
        given = {key: options[key] for key in ("loss", "optimizer") if key in options}
        parts |= trained(model, start, {"x": x, "y": y, **given})
    tf_keras.backend.set_image_data_format("channels_last")
    return oracle.case_arrays(name, parts)


def generate(report: list[str]) -> Arrays:
    """All cases."""
    arrays = oracle.case_arrays("common", {"loss": "mean_squared_error"})
    for name in CASES:
        arrays.update(network_case(name))
    return pack(arrays)
