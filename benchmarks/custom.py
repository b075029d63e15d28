"""What is one's own costs: `python -m benchmarks.custom [--rounds N]` prints Markdown tables.

- Training steps of two networks with a custom mean squared error, and with custom Dense layers,
  against the same networks made of what is built in.
- The tape: a chain of small operations forward and back, less the same in bare NumPy.
- `K` functions on plain arrays against the bare NumPy call.

Both sides of a comparison take turns in one process, and the result is the median of the ratios,
or of the differences, of single rounds. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.driver import progress
from benchmarks.peers.keras_like import make_layers, make_runner
from benchmarks.report import Ratio, markdown_table, short
from benchmarks.workloads import MLP_SMALL, MNIST_MLP, Workload
from minikeras import activations, optimizers
from minikeras import backend as K
from minikeras.backend.backpropagation import backpropagate
from minikeras.backend.tape import Tensor
from minikeras.layers import Dense, Dropout, Layer
from minikeras.models import Sequential
from minikeras.ops.dense import dense, dense_backward

Turn = Callable[[], object]
Series = dict[str, list[float]]

NETWORKS = (MLP_SMALL, MNIST_MLP)
# Training steps of a turn, at least: whole epochs are run.
STEPS = 100
# Operations of a chain, and how long one turn of calls of microseconds lasts.
LINKS = 50
TURN_SECONDS = 0.005

# --- losses and layers of one's own ---------------------------------------------------------


def custom_mse(y_true: Any, y_pred: Any) -> Any:
    """Return the mean squared error in `K`."""
    return K.mean(K.square(y_pred - y_true), axis=-1)


class DenseInK(Layer):
    """A Dense layer in `K` functions."""

    def __init__(self, units: int, activation: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.activation = activations.get(activation)

    def build(self, input_shape: Any) -> None:
        """Make kernel and bias."""
        self.kernel = self.add_weight("kernel", (input_shape[-1], self.units))
        self.bias = self.add_weight("bias", (self.units,), initializer="zeros")
        self.built = True

    def call(self, x: Any) -> Any:  # type: ignore[override]
        """Compute the output."""
        return self.activation(K.bias_add(K.dot(x, self.kernel), self.bias))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Replace the last axis by `units`."""
        return (*input_shape[:-1], self.units)


class DenseByHand(DenseInK):
    """A Dense layer in NumPy, as its author might write it, with ReLU or softmax."""

    def forward(self, x: np.ndarray, ctx: Any) -> Any:
        """Compute the output."""
        z = x @ self.kernel.value + self.bias.value
        if self.activation is activations.relu:
            y = np.maximum(z, 0)
        else:
            y = np.exp(z - z.max(axis=-1, keepdims=True))
            y /= y.sum(axis=-1, keepdims=True)
        return y, (x, y)

    def backward(self, dy: np.ndarray, residual: Any, ctx: Any) -> np.ndarray:
        """Compute the gradients."""
        x, y = residual
        if self.activation is activations.relu:
            dz = dy * (y > 0)
        else:
            dz = y * (dy - (dy * y).sum(axis=-1, keepdims=True))
        ctx.add_gradient(self.kernel, x.T @ dz)
        ctx.add_gradient(self.bias, dz.sum(axis=0))
        return dz @ self.kernel.value.T


class DenseOfOps(DenseInK):
    """A Dense layer of the forward/backward pairs of `minikeras.ops`, in the pass' memory."""

    def forward(self, x: np.ndarray, ctx: Any) -> Any:
        """Compute the output."""
        z = ctx.empty(self.compute_output_shape(x.shape), x.dtype)
        dense(x, self.kernel.value, self.bias.value, out=z)
        y = activations.forward_backward(self.activation).forward(z, out=z)
        return y, (x, y)

    def backward(self, dy: np.ndarray, residual: Any, ctx: Any) -> np.ndarray | None:
        """Compute the gradients."""
        x, y = residual
        dz = activations.forward_backward(self.activation).backward(dy, y, out=dy)
        dx = ctx.empty(x.shape, x.dtype) if ctx.needs_input_gradient else None
        dkernel, dbias = ctx.gradient(self.kernel), ctx.gradient(self.bias)
        dense_backward(dz, x, self.kernel.value, dx=dx, dkernel=dkernel, dbias=dbias)
        return dx


LAYERS = {"Dense": Dense, "in K": DenseInK, "by hand": DenseByHand, "of ops": DenseOfOps}
LOSSES = {"mse": "mse", "in K": custom_mse}


def network(workload: Workload, dense_layer: Any, loss: Any) -> Sequential:
    """Return the compiled model of a workload, always with the same weights."""
    library = SimpleNamespace(layers=SimpleNamespace(Dense=dense_layer, Dropout=Dropout))
    np.random.seed(workload.seed)
    model = Sequential(make_layers(library, workload, input_shape=workload.inputs.shape))
    name, config = workload.optimizer
    model.compile(getattr(optimizers, name)(**config), loss, metrics=list(workload.metrics))
    return model


def training(workload: Workload) -> tuple[dict[str, Turn], dict[str, Turn]]:
    """Return turns of training, by loss and by kind of Dense layer; the built-in ones first."""
    x, y = workload.data()

    def turn(dense_layer: Any, loss: Any) -> Turn:
        run = make_runner(network(workload, dense_layer, loss), workload, x, y)
        return lambda: run(STEPS)

    by_loss = {name: turn(Dense, loss) for name, loss in LOSSES.items()}
    by_layer = {name: turn(layer, workload.loss) for name, layer in LAYERS.items()}
    return by_loss, by_layer


# --- chains on the tape, and calls on plain arrays ------------------------------------------

SMALL = np.linspace(0.1, 0.9, 8, dtype="float32")
ONES = np.ones_like(SMALL)


def sines_on_tape() -> Any:
    """Return the derivative of cos(sin(cos(sin(...)))) by way of the tape."""
    x = y = Tensor(SMALL)
    for _ in range(LINKS // 2):
        y = K.cos(K.sin(y))
    return backpropagate([(y, ONES)], [x])


def sines_in_numpy() -> Any:
    """Return the same, written out."""
    values = [SMALL]
    for _ in range(LINKS // 2):
        values.append(np.sin(values[-1]))
        values.append(np.cos(values[-1]))
    dy = ONES
    for i in range(LINKS - 1, 0, -2):
        dy = -dy * np.sin(values[i])
        dy = dy * np.cos(values[i - 1])
    return [dy]


def products_on_tape() -> Any:
    """Return the derivatives of x * w * w * ... by x and w by way of the tape."""
    x, w = y, _ = Tensor(SMALL), Tensor(SMALL)
    for _ in range(LINKS):
        y = y * w
    return backpropagate([(y, ONES)], [x, w])


def products_in_numpy() -> Any:
    """Return the same, written out."""
    values = [SMALL]
    for _ in range(LINKS):
        values.append(values[-1] * SMALL)
    dy, dw = ONES, np.zeros_like(SMALL)
    for y in reversed(values[:-1]):
        dw = dw + dy * y
        dy = dy * SMALL
    return [dy, dw]


CHAINS = {
    "K.sin, K.cos": (sines_on_tape, sines_in_numpy),
    "x * w, with both gradients": (products_on_tape, products_in_numpy),
}

X, Y = np.random.default_rng(0).random((2, 8, 8), dtype=np.float32)
PLAIN: dict[str, tuple[Turn, Turn]] = {
    "exp(x)": (lambda: K.exp(X), lambda: np.exp(X)),
    "square(x)": (lambda: K.square(X), lambda: np.square(X)),
    "maximum(x, y)": (lambda: K.maximum(X, Y), lambda: np.maximum(X, Y)),
    "sum(x, axis=-1)": (lambda: K.sum(X, axis=-1), lambda: np.sum(X, axis=-1)),
    "mean(x, axis=-1)": (lambda: K.mean(X, axis=-1), lambda: np.mean(X, axis=-1)),
    "reshape(x, (-1,))": (lambda: K.reshape(X, (-1,)), lambda: np.reshape(X, (-1,))),
    "concatenate([x, y])": (lambda: K.concatenate([X, Y]), lambda: np.concatenate([X, Y], -1)),
    "dot(x, y)": (lambda: K.dot(X, Y), lambda: np.dot(X, Y)),
}

# --- measuring ------------------------------------------------------------------------------


def alternate(turns: Mapping[str, Turn], rounds: int, what: str = "") -> Series:
    """Return the seconds of each turn; in each round all have one, in an order that rotates."""
    for turn in turns.values():
        turn()  # to warm up
    names = list(turns)
    seconds: Series = {name: [] for name in names}
    for number in range(rounds):
        progress(f"{what}: round {number + 1}/{rounds}")
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            start = perf_counter()
            turns[name]()
            seconds[name].append(perf_counter() - start)
    progress("")
    return seconds


def microseconds(pair: Sequence[Turn], rounds: int, what: str) -> tuple[float, float, float]:
    """Return the medians of two calls, and that of the difference in single rounds."""
    start = perf_counter()
    pair[0]()
    count = max(1, round(TURN_SECONDS / (perf_counter() - start)))

    def repeated(call: Turn) -> Turn:
        def turn() -> None:
            for _ in range(count):
                call()

        return turn

    found = alternate({str(i): repeated(call) for i, call in enumerate(pair)}, rounds, what)
    first, second = ([1e6 * s / count for s in series] for series in found.values())
    difference = median(a - b for a, b in zip(first, second, strict=True))
    return median(first), median(second), difference


def ratios(seconds: Series) -> dict[str, Ratio]:
    """Return the time of each series over that of the first one: the median of the rounds."""
    (_, base), *others = seconds.items()
    found = {}
    for name, series in others:
        rounds = [own / other for own, other in zip(series, base, strict=True)]
        found[name] = Ratio(median(rounds), min(rounds), max(rounds))
    return found


# --- the report -----------------------------------------------------------------------------


def training_table(rounds: int) -> str:
    """Measure training steps, and return their table."""
    layers = [name for name in LAYERS if name != "Dense"]
    head = ["training step, built in = 1", "mse in K", *(f"Dense {name}" for name in layers)]
    rows = [head]
    for workload in NETWORKS:
        found: list[str] = []
        for turns in training(workload):
            found += map(str, ratios(alternate(turns, rounds, workload.name)).values())
        rows.append([f"`{workload.name}`", *found])
    return markdown_table(rows)


def tape_table(rounds: int) -> str:
    """Measure the chains, and return their table."""
    rows = [[f"operation, forward and back, {LINKS} in a row", "tape, us", "NumPy, us", "more, us"]]
    for name, pair in CHAINS.items():
        found = microseconds(pair, rounds, name)
        rows.append([f"`{name}`", *(short(us / LINKS) for us in found)])
    return markdown_table(rows)


def plain_table(rounds: int) -> str:
    """Measure calls on plain arrays, and return their table."""
    rows = [["on arrays of 8 x 8", "K, us", "NumPy, us", "more, us"]]
    for name, pair in PLAIN.items():
        rows.append([f"`{name}`", *map(short, microseconds(pair, rounds, name))])
    return markdown_table(rows)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.custom", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="turns of each side (15)")
    rounds = parser.parse_args(arguments).rounds
    if rounds < 1:
        parser.error("--rounds must be at least 1")
    print(*(f"- {fact}" for fact in [*machine.describe(), f"{rounds} rounds"]), sep="\n")
    for table in (training_table, tape_table, plain_table):
        print("", table(rounds), sep="\n", flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
