"""The workloads, as plain data: a new workload is a new entry in `WORKLOADS` and nothing else.

Every worker imports this module in its own environment, so it may use NumPy only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

Config = Mapping[str, Any]

# The share of a row that comes from its class' pattern; the rest is noise.
PATTERN = 0.3
# The share of rows with the pattern of another row's class.
MISLABELLED = 0.2
# The word of rank r makes up a share of a text like 1 / (r + SHIFT) ** EXPONENT.
ZIPF_SHIFT, ZIPF_EXPONENT = 1.5, 1.05


@dataclass(frozen=True)
class Array:
    """How to make one random array.

    Parameters
    ----------
    kind : str
        `"normal"`, `"uniform"` (0 to 1), `"ink"` (uniform, but four in five are 0, as in MNIST),
        `"binary"` (0 or 1), `"one_hot"` (over the last axis of `shape`), `"integers"` (0 to
        `high - 1`) or `"words"` (1 to `high - 1`, the more frequent the smaller, as Keras numbers
        words).
    shape : tuple of int
        Shape of one row.
    high : int
        End of the range of `"integers"` and `"words"`.

    Notes
    -----
    The words follow Zipf's law as Mandelbrot has it. With `Workload.data` around them, 16 or 32
    rows of 80 hold as many different words as film reviews do: how many rows of an embedding a
    batch touches decides what its gradient and its update cost.
    """

    kind: str
    shape: tuple[int, ...]
    high: int = 0

    @property
    def dtype(self) -> str:
        """The type of the array's numbers."""
        return "int32" if self.kind in ("integers", "words") else "float32"

    def make(self, rows: int, generator: np.random.Generator) -> np.ndarray:
        """Return an array of shape `(rows, *shape)`."""
        shape = (rows, *self.shape)
        if self.kind == "normal":
            return generator.standard_normal(shape, dtype=np.float32)
        if self.kind == "uniform":
            return generator.random(shape, dtype=np.float32)
        if self.kind == "ink":
            ink = generator.random(shape, dtype=np.float32) < 0.2
            return generator.random(shape, dtype=np.float32) * ink
        if self.kind == "binary":
            return generator.integers(0, 2, shape).astype(np.float32)
        if self.kind == "one_hot":
            labels = generator.integers(0, shape[-1], shape[:-1])
            return np.eye(shape[-1], dtype=np.float32)[labels]
        if self.kind == "integers":
            return generator.integers(0, self.high, shape, dtype=np.int32)
        if self.kind == "words":
            shares = 1 / (np.arange(1, self.high) + ZIPF_SHIFT) ** ZIPF_EXPONENT
            up_to = np.cumsum(shares / shares.sum())
            up_to[-1] = 1.0
            ranks = np.searchsorted(up_to, generator.random(shape), side="right")
            return (1 + ranks).astype(np.int32)
        raise ValueError(f"Array: unknown kind {self.kind!r}; its docstring lists them")


@dataclass(frozen=True)
class Workload:
    """One network, its data, and what is done with it.

    Parameters
    ----------
    name, title : str
        The name on the command line; one line for the report.
    layers : tuple of (class name, config)
        As in Keras 2.2, without the input shape, which is that of `inputs`.
    inputs, targets : Array
        Makers of the data.
    optimizer : (class name, config)
        As in Keras 2.2 (`lr`, `decay`); the peers translate it.
    loss, metrics
        As given to `compile`.
    kind : str
        `"fit"`: training steps through `fit`; `"predict"`: calls of `predict` on one batch, or of
        whatever is quickest in a peer if the network is stateful.
    batch_size : int
        Rows in a step, or in a call of `predict`.
    rows : int
        Rows of training data; whole epochs are run.
    steps : int
        Training steps in one turn (rounded up to whole epochs). `predict` fills a fixed time.
    seed : int
        Seed of the data.
    """

    name: str
    title: str
    layers: tuple[tuple[str, Config], ...]
    inputs: Array
    targets: Array
    optimizer: tuple[str, Config]
    loss: str
    metrics: tuple[str, ...] = ()
    kind: str = "fit"
    batch_size: int = 128
    rows: int = 12800
    steps: int = 200
    seed: int = field(default=1337)

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs `(rows, ...)` and targets `(rows, ...)`, the same on every call.

        Rows with equal targets share a pattern, so there is something to learn; some rows have
        another's pattern, so it is never learned wholly. On pure noise units die, on too easy
        data gradients vanish; either way the optimizers' accumulators decay into denormal numbers
        and after some hundred steps one measures those (PyTorch's RMSprop: ten times slower).
        """
        generator = np.random.Generator(np.random.SFC64(self.seed))
        x = self.inputs.make(self.rows, generator)
        y = self.targets.make(self.rows, generator)
        classes, labels = np.unique(y.reshape(self.rows, -1), axis=0, return_inverse=True)
        wrong = generator.random(self.rows) < MISLABELLED
        labels = np.where(wrong, generator.permutation(labels.reshape(-1)), labels.reshape(-1))
        patterns = self.inputs.make(len(classes), generator)
        known = generator.random(x.shape, dtype=np.float32) < PATTERN
        return np.where(known, patterns[labels], x), y

    @property
    def stateful(self) -> bool:
        """Whether a layer keeps its state from one batch to the next."""
        return any(config.get("stateful") for _, config in self.layers)

    @property
    def epoch_steps(self) -> int:
        """Training steps in one epoch."""
        return -(-self.rows // self.batch_size)


def predict_row(workload: Workload) -> Workload:
    """Return the workload that asks the same network for the prediction of one row."""
    return replace(
        workload,
        name=f"{workload.name}_predict_row",
        title=f"predict of one row, {workload.name}",
        kind="predict",
        batch_size=1,
        rows=1,
    )


MLP_SMALL = Workload(
    name="mlp_small",
    title="training step, MLP 20-64-64-10, dropout, SGD with Nesterov momentum, batch 128",
    layers=(
        ("Dense", {"units": 64, "activation": "relu"}),
        ("Dropout", {"rate": 0.5}),
        ("Dense", {"units": 64, "activation": "relu"}),
        ("Dropout", {"rate": 0.5}),
        ("Dense", {"units": 10, "activation": "softmax"}),
    ),
    inputs=Array("uniform", (20,)),
    targets=Array("one_hot", (10,)),
    optimizer=("SGD", {"lr": 0.01, "decay": 1e-6, "momentum": 0.9, "nesterov": True}),
    loss="categorical_crossentropy",
    metrics=("accuracy",),
    rows=5120,
    steps=400,
)

MNIST_MLP = Workload(
    name="mnist_mlp",
    title="training step, MLP 784-512-512-10, dropout, RMSprop, batch 128",
    layers=(
        ("Dense", {"units": 512, "activation": "relu"}),
        ("Dropout", {"rate": 0.2}),
        ("Dense", {"units": 512, "activation": "relu"}),
        ("Dropout", {"rate": 0.2}),
        ("Dense", {"units": 10, "activation": "softmax"}),
    ),
    inputs=Array("ink", (784,)),
    targets=Array("one_hot", (10,)),
    optimizer=("RMSprop", {"lr": 0.001}),
    loss="categorical_crossentropy",
    metrics=("accuracy",),
)

# Keras' own example, as it was in Keras 2.2.
MNIST_CNN = Workload(
    name="mnist_cnn",
    title="training step, CNN 28x28x1, conv 32-64, pool, dense 128-10, Adadelta, batch 128",
    layers=(
        ("Conv2D", {"filters": 32, "kernel_size": 3, "activation": "relu"}),
        ("Conv2D", {"filters": 64, "kernel_size": 3, "activation": "relu"}),
        ("MaxPooling2D", {"pool_size": 2}),
        ("Dropout", {"rate": 0.25}),
        ("Flatten", {}),
        ("Dense", {"units": 128, "activation": "relu"}),
        ("Dropout", {"rate": 0.5}),
        ("Dense", {"units": 10, "activation": "softmax"}),
    ),
    inputs=Array("ink", (28, 28, 1)),
    targets=Array("one_hot", (10,)),
    optimizer=("Adadelta", {"lr": 1.0, "rho": 0.95}),
    loss="categorical_crossentropy",
    metrics=("accuracy",),
    rows=1536,
    steps=12,
)

VGG_LIKE = Workload(
    name="vgg_like",
    title="training step, VGG-like, 100x100x3, conv 32-32-64-64, dense 256-10, SGD, batch 32",
    layers=(
        ("Conv2D", {"filters": 32, "kernel_size": 3, "activation": "relu"}),
        ("Conv2D", {"filters": 32, "kernel_size": 3, "activation": "relu"}),
        ("MaxPooling2D", {"pool_size": 2}),
        ("Dropout", {"rate": 0.25}),
        ("Conv2D", {"filters": 64, "kernel_size": 3, "activation": "relu"}),
        ("Conv2D", {"filters": 64, "kernel_size": 3, "activation": "relu"}),
        ("MaxPooling2D", {"pool_size": 2}),
        ("Dropout", {"rate": 0.25}),
        ("Flatten", {}),
        ("Dense", {"units": 256, "activation": "relu"}),
        ("Dropout", {"rate": 0.5}),
        ("Dense", {"units": 10, "activation": "softmax"}),
    ),
    inputs=Array("uniform", (100, 100, 3)),
    targets=Array("one_hot", (10,)),
    optimizer=("SGD", {"lr": 0.01, "decay": 1e-6, "momentum": 0.9, "nesterov": True}),
    loss="categorical_crossentropy",
    metrics=("accuracy",),
    batch_size=32,
    rows=128,
    steps=4,
)

CONV1D = Workload(
    name="conv1d",
    title="training step, Conv1D 64-64-128-128 over 100 steps of 100, RMSprop, batch 16",
    layers=(
        ("Conv1D", {"filters": 64, "kernel_size": 3, "activation": "relu"}),
        ("Conv1D", {"filters": 64, "kernel_size": 3, "activation": "relu"}),
        ("MaxPooling1D", {"pool_size": 3}),
        ("Conv1D", {"filters": 128, "kernel_size": 3, "activation": "relu"}),
        ("Conv1D", {"filters": 128, "kernel_size": 3, "activation": "relu"}),
        ("GlobalAveragePooling1D", {}),
        ("Dropout", {"rate": 0.5}),
        ("Dense", {"units": 1, "activation": "sigmoid"}),
    ),
    inputs=Array("normal", (100, 100)),
    targets=Array("binary", (1,)),
    optimizer=("RMSprop", {"lr": 0.001}),
    loss="binary_crossentropy",
    metrics=("accuracy",),
    batch_size=16,
    rows=1280,
    steps=80,
)

# Keras' default, 'hard_sigmoid', is not everybody's; with this all compute the same.
GATES: Config = {"recurrent_activation": "sigmoid"}

EMBEDDING_LSTM = Workload(
    name="embedding_lstm",
    title="training step, Embedding 20000x256, LSTM 128 over 80 words, RMSprop, batch 16",
    layers=(
        ("Embedding", {"input_dim": 20000, "output_dim": 256}),
        ("LSTM", {"units": 128, **GATES}),
        ("Dropout", {"rate": 0.5}),
        ("Dense", {"units": 1, "activation": "sigmoid"}),
    ),
    inputs=Array("words", (80,), high=20000),
    targets=Array("binary", (1,)),
    optimizer=("RMSprop", {"lr": 0.001}),
    loss="binary_crossentropy",
    metrics=("accuracy",),
    batch_size=16,
    rows=640,
    steps=40,
)

EMBEDDING_LSTM_32 = replace(
    EMBEDDING_LSTM,
    name="embedding_lstm_32",
    title=EMBEDDING_LSTM.title.replace("batch 16", "batch 32"),
    batch_size=32,
    steps=20,
)

STACKED_LSTM = Workload(
    name="stacked_lstm",
    title="training step, LSTM 32-32-32 over 8 steps of 16, dense 10, RMSprop, batch 64",
    layers=(
        ("LSTM", {"units": 32, "return_sequences": True, **GATES}),
        ("LSTM", {"units": 32, "return_sequences": True, **GATES}),
        ("LSTM", {"units": 32, **GATES}),
        ("Dense", {"units": 10, "activation": "softmax"}),
    ),
    inputs=Array("normal", (8, 16)),
    targets=Array("one_hot", (10,)),
    optimizer=("RMSprop", {"lr": 0.001}),
    loss="categorical_crossentropy",
    metrics=("accuracy",),
    batch_size=64,
    rows=6400,
)

STATEFUL_STEP = Workload(
    name="stateful_step",
    title="predict of one step of one sequence, stateful LSTM 128 over 64, dense 1",
    layers=(
        ("LSTM", {"units": 128, "stateful": True, **GATES}),
        ("Dense", {"units": 1}),
    ),
    inputs=Array("normal", (1, 64)),
    targets=Array("normal", (1,)),
    optimizer=("RMSprop", {"lr": 0.001}),
    loss="mse",
    kind="predict",
    batch_size=1,
    rows=1,
)

WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        MLP_SMALL,
        MNIST_MLP,
        MNIST_CNN,
        VGG_LIKE,
        CONV1D,
        EMBEDDING_LSTM,
        EMBEDDING_LSTM_32,
        STACKED_LSTM,
        predict_row(MLP_SMALL),
        predict_row(MNIST_MLP),
        predict_row(MNIST_CNN),
        STATEFUL_STEP,
    )
}
