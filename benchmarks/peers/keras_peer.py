"""Worker: tf-keras when TF_USE_LEGACY_KERAS is set, otherwise Keras 3 on its KERAS_BACKEND."""

from __future__ import annotations

import importlib
import os
from typing import Any

import numpy as np

from benchmarks.peers.keras_like import batch_input_shape, make_layers, make_runner
from benchmarks.peers.keras_steps import in_jax, in_tensorflow, repeated
from benchmarks.peers.protocol import Runner, numpy_versions, serve
from benchmarks.workloads import Workload

LEGACY = os.environ.get("TF_USE_LEGACY_KERAS") == "1"
ENGINE = "tensorflow" if LEGACY else os.environ["KERAS_BACKEND"]

keras: Any = importlib.import_module("tf_keras" if LEGACY else "keras")
engine: Any = importlib.import_module(ENGINE)


def make_optimizer(workload: Workload) -> Any:
    """Return the workload's optimizer, Keras 2.2's `lr` and `decay` said the newer way."""
    class_name, config = workload.optimizer
    arguments = dict(config)
    if "lr" in arguments:
        arguments["learning_rate"] = arguments.pop("lr")
    decay = arguments.pop("decay", 0.0)
    if decay:
        arguments["learning_rate"] = keras.optimizers.schedules.InverseTimeDecay(
            arguments["learning_rate"], decay_steps=1, decay_rate=decay
        )
    return getattr(keras.optimizers, class_name)(**arguments)


def prepare(workload: Workload, x: np.ndarray, y: np.ndarray) -> Runner:
    """Return the runner of a workload."""
    steps = workload.kind == "predict" and workload.stateful
    row = x[: workload.batch_size]
    if steps and ENGINE == "jax":
        return repeated(in_jax(engine, keras, workload, row))
    batch, *shape = batch_input_shape(workload)
    entry = keras.Input(shape=tuple(shape), batch_size=batch, dtype=workload.inputs.dtype)
    model = keras.Sequential([entry, *make_layers(keras, workload)])
    if steps:
        return repeated(in_tensorflow(engine, model, row))
    model.compile(
        loss=workload.loss, optimizer=make_optimizer(workload), metrics=list(workload.metrics)
    )
    return make_runner(model, workload, x, y)


def versions() -> dict[str, str]:
    """Return what is measured here."""
    numpy = numpy_versions()["numpy"]
    return {keras.__name__: keras.__version__, ENGINE: engine.__version__, "numpy": numpy}


if __name__ == "__main__":
    serve(prepare, versions)
