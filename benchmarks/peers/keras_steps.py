"""The prediction of one step after the other by a stateful network, the quickest way each has.

`predict` of tf-keras and Keras 3 takes up to a hundred times as long as the step itself, which says
nothing about recurrent networks. So these peers call a compiled function, as who serves a model
does. Keras 3 on JAX forgets the states of stateful layers between compiled calls; there they
are inputs and outputs of the network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.peers.protocol import Runner
from benchmarks.workloads import Workload

Predict = Callable[[], np.ndarray]


def repeated(predict: Predict) -> Runner:
    """Return the loop of predictions."""

    def run(steps: int) -> int:
        for _ in range(steps):
            predict()
        return steps

    return run


def in_tensorflow(tensorflow: Any, model: Any, row: np.ndarray) -> Predict:
    """Return the prediction by a traced function; the layers keep the states."""
    function = tensorflow.function(lambda x: model(x, training=False))
    traced = function.get_concrete_function(tensorflow.TensorSpec(row.shape, row.dtype))
    return lambda: traced(tensorflow.constant(row)).numpy()


def in_jax(jax: Any, keras: Any, workload: Workload, row: np.ndarray) -> Predict:
    """Return the prediction by a compiled function that takes the states and returns new ones."""
    model, sizes = with_states(keras, workload)
    states = [jax.numpy.zeros((len(row), size), row.dtype) for size in sizes]
    trained = [variable.value for variable in model.trainable_variables]
    others = [variable.value for variable in model.non_trainable_variables]

    @jax.jit
    def compiled(x: Any, states: list[Any]) -> list[Any]:
        return model.stateless_call(trained, others, [x, *states], training=False)[0]

    def predict() -> np.ndarray:
        y, *states[:] = compiled(row, states)
        return np.asarray(y)

    return predict


def with_states(keras: Any, workload: Workload) -> tuple[Any, list[int]]:
    """Return a model of (x, states) with the outputs (y, new states), and the states' sizes."""
    entry = y = keras.Input(shape=workload.inputs.shape)
    before: list[Any] = []
    after: list[Any] = []
    for class_name, config in workload.layers:
        kind = getattr(keras.layers, class_name)
        if not config.get("stateful"):
            y = kind(**config)(y)
            continue
        layer = kind(**{**config, "stateful": False, "return_state": True})
        sizes = np.atleast_1d(layer.cell.state_size).tolist()
        given = [keras.Input(shape=(size,)) for size in sizes]
        y, *new = layer(y, initial_state=given)
        before += given
        after += new
    return keras.Model([entry, *before], [y, *after]), [state.shape[-1] for state in before]
