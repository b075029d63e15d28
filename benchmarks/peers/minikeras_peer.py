"""Worker: minikeras."""

from __future__ import annotations

import numpy as np

import minikeras as keras
from benchmarks.peers.keras_like import batch_input_shape, make_layers, make_runner
from benchmarks.peers.protocol import Runner, numpy_versions, serve
from benchmarks.workloads import Workload
from minikeras.models import Sequential


def build(workload: Workload) -> Sequential:
    """Return the compiled model of a workload."""
    shape = batch_input_shape(workload)
    model = Sequential(make_layers(keras, workload, batch_input_shape=shape))
    class_name, config = workload.optimizer
    optimizer = getattr(keras.optimizers, class_name)(**config)
    model.compile(loss=workload.loss, optimizer=optimizer, metrics=list(workload.metrics))
    return model


def prepare(workload: Workload, x: np.ndarray, y: np.ndarray) -> Runner:
    """Return the runner of a workload."""
    return make_runner(build(workload), workload, x, y)


def versions() -> dict[str, str]:
    """Return what is measured here."""
    return {"minikeras": keras.__version__, **numpy_versions()}


if __name__ == "__main__":
    serve(prepare, versions)
