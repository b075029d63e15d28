"""layers.npz: every layer in a small network, five steps of SGD under mean squared error."""

from __future__ import annotations

from typing import Any

import numpy as np
import tf_keras

from . import oracle
from .batch_norm_2_2_4 import MovingStatistics
from .configs import Config, random_for
from .layer_cases import CASES
from .oracle import Arrays


class NormalizationWatch:
    """Feeds each BatchNormalization's input, step by step, to its `MovingStatistics`."""

    def __init__(self, model: Any, x: np.ndarray) -> None:
        self.model, self.x = model, x
        parts = [inner for part in model.layers for inner in getattr(part, "layers", [part])]
        kind = tf_keras.layers.BatchNormalization
        self.statistics = {p: MovingStatistics(p) for p in parts if isinstance(p, kind)}

    def before_step(self) -> None:
        """Run the network in the training phase without keeping what it does to its state."""
        weights = oracle.get_weights(self.model)
        calls = {}
        for part in self.statistics:
            calls[part] = part.call
            part.call = self._watched(part, part.call)
        oracle.predict(self.model, self.x, training=True)
        for part, call in calls.items():
            part.call = call
        oracle.set_weights(self.model, weights)

    def _watched(self, part: Any, call: Any) -> Any:
        def watched(inputs: Any, **kwargs: Any) -> Any:
            self.statistics[part].see(np.array(inputs))
            return call(inputs, **kwargs)

        return watched

    def finish(self) -> tuple[list[np.ndarray], Arrays]:
        """Put the 2.2.4 statistics in the model; return its weights, and TensorFlow's variant."""
        variables = oracle.variables_of(self.model)
        variant: Arrays = {}
        for part, statistics in self.statistics.items():
            pairs = zip(
                (part.moving_mean, part.moving_variance),
                statistics.plain,
                statistics.tensorflow,
                strict=True,
            )
            for variable, plain, tensorflow in pairs:
                index = next(i for i, v in enumerate(variables) if v is variable)
                variable.assign(plain.astype(np.float32))
                variant[f"weights5_tensorflow/{index}"] = tensorflow
        return oracle.get_weights(self.model), variant


def network_case(name: str) -> Arrays:
    """One network: its output and, unless it is for inference only, five steps."""
    layers = CASES[name]
    rng = random_for(name)
    first = layers[0]["config"]
    shape = (
        first["layers"][0]["config"]["input_shape"] if "layers" in first else (first["input_shape"])
    )
    x = rng.normal(size=(oracle.BATCH, *shape)).astype(np.float32)
    model = oracle.build_model(layers)
    start = oracle.random_weights(model, rng)
    oracle.set_weights(model, start)
    output = oracle.predict(model, x)
    parts: dict[str, Any] = {"config": layers, "x": x, "weights0": start, "output": output}
    if name.startswith("inference"):
        return oracle.case_arrays(name, parts)
    y = rng.normal(size=output.shape).astype(np.float32)
    return oracle.case_arrays(name, parts | record(model, x, y))


def record(
    model: Any,
    x: np.ndarray,
    y: np.ndarray,
    loss: str = "mean_squared_error",
    optimizer: Config = oracle.SGD,
) -> dict[str, Any]:
    """Train a network five steps, and return the parts of its case that come of it."""
    parts: dict[str, Any] = {}
    watch = NormalizationWatch(model, x)
    if watch.statistics:
        start = oracle.get_weights(model)
        parts["output_training"] = oracle.predict(model, x, training=True)
        oracle.set_weights(model, start)
    losses = oracle.train(
        model, oracle.build_optimizer(optimizer), loss, x, y, before_step=watch.before_step
    )
    weights, variant = watch.finish()
    parts |= {"y": y, "losses": losses, "weights5": weights, **variant}
    if watch.statistics:
        parts["output5"] = oracle.predict(model, x)
    return parts


def generate(report: list[str]) -> Arrays:
    """All cases."""
    arrays = oracle.case_arrays("common", {"loss": "mean_squared_error", "optimizer": oracle.SGD})
    for name in CASES:
        arrays.update(network_case(name))
    return arrays
