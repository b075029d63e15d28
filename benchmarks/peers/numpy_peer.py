"""Worker: the bare NumPy expression of `predict`, the floor nothing in NumPy can go under."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.peers.protocol import Runner, Unsupported, numpy_versions, serve
from benchmarks.workloads import Workload

Op = Callable[[np.ndarray], np.ndarray]


def softmax(x: np.ndarray) -> np.ndarray:
    """Return the softmax of `x`, shape `(batch, classes)`."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


ACTIVATIONS: dict[str, Op] = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softmax": softmax,
}


def dense(width: int, units: int, generator: np.random.Generator) -> Op:
    """Return `x @ kernel + bias` with random weights."""
    kernel = generator.standard_normal((width, units), dtype=np.float32) / np.float32(width**0.5)
    bias = np.zeros(units, np.float32)
    return lambda x: x @ kernel + bias


def lstm_step(width: int, units: int, generator: np.random.Generator) -> Op:
    """Return one step of an LSTM with random weights that goes on with its own state."""
    rows = width + units
    weights = generator.standard_normal((rows, 4 * units), dtype=np.float32) / np.float32(rows**0.5)
    kernel, recurrent_kernel = weights[:width], weights[width:]
    bias = np.zeros(4 * units, np.float32)
    h = c = np.zeros((1, units), np.float32)

    def step(x: np.ndarray) -> np.ndarray:
        nonlocal h, c
        z = x[:, 0] @ kernel + h @ recurrent_kernel + bias
        gates = 1 / (1 + np.exp(-z[:, : 3 * units]))
        i, f, o = gates[:, :units], gates[:, units : 2 * units], gates[:, 2 * units :]
        c = f * c + i * np.tanh(z[:, 3 * units :])
        h = o * np.tanh(c)
        return h

    return step


def expression(workload: Workload) -> list[Op]:
    """Return the operations of a network's forward pass, in order."""
    generator = np.random.default_rng(workload.seed)
    width = workload.inputs.shape[-1]
    ops: list[Op] = []
    for class_name, config in workload.layers:
        if class_name == "Dropout":
            continue
        if class_name == "Dense":
            ops.append(dense(width, config["units"], generator))
            width = config["units"]
        elif class_name == "LSTM" and config.get("stateful") and workload.inputs.shape[0] == 1:
            ops.append(lstm_step(width, config["units"], generator))
            width = config["units"]
        elif class_name != "Activation":
            raise Unsupported(f"no bare expression for {class_name}")
        activation = config.get("activation", "linear")
        if activation != "linear":
            ops.append(ACTIVATIONS[activation])
    return ops


def prepare(workload: Workload, x: np.ndarray, y: np.ndarray) -> Runner:
    """Return the runner of a workload."""
    if workload.kind != "predict":
        raise Unsupported(f"no bare expression for {workload.kind}")
    ops = expression(workload)
    row = x[: workload.batch_size]

    def run(steps: int) -> int:
        for _ in range(steps):
            y = row
            for op in ops:
                y = op(y)
        return steps

    return run


if __name__ == "__main__":
    serve(prepare, numpy_versions)
