"""What every library with Keras' API shares: layers by name, `fit` and `predict` by public path."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.peers.protocol import Runner, Unsupported
from benchmarks.workloads import Workload


def make_layers(keras: Any, workload: Workload, **first: Any) -> list[Any]:
    """Return the layers of a workload; `first` is added to the first one's arguments."""
    layers = []
    for class_name, config in workload.layers:
        if not hasattr(keras.layers, class_name):
            raise Unsupported(f"no layer {class_name}")
        layers.append(getattr(keras.layers, class_name)(**config, **first))
        first = {}
    return layers


def batch_input_shape(workload: Workload) -> tuple[int | None, ...]:
    """Return the input's shape with its batch axis: fixed only when a layer keeps state."""
    return (workload.batch_size if workload.stateful else None, *workload.inputs.shape)


def make_runner(model: Any, workload: Workload, x: np.ndarray, y: np.ndarray) -> Runner:
    """Return the function that runs a compiled model through `fit` or `predict`."""

    def fit(steps: int) -> int:
        epochs = -(-steps // workload.epoch_steps)
        model.fit(x, y, batch_size=workload.batch_size, epochs=epochs, verbose=0)
        return epochs * workload.epoch_steps

    row = x[: workload.batch_size]

    def predict(steps: int) -> int:
        for _ in range(steps):
            model.predict(row, batch_size=workload.batch_size, verbose=0)
        return steps

    return fit if workload.kind == "fit" else predict
