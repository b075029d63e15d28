"""Has real Keras read what minikeras saves, and minikeras what Keras saves.

Optional, as `check_keras_2_2_4`, whose environment it needs:

    golden-env/bin/python -m tests.golden.check_saving_keras            # tf-keras
    golden-env/bin/python -m tests.golden.check_saving_keras keras224   # Keras 2.2.4
    golden-env/bin/python -m tests.golden.check_saving_keras keras224 --write

Each model is trained for two steps, saved, loaded by the other side, and must predict the same
there. Then both sides train one step more on the same batch: the loss before the step and the
predictions after it show whether the state of the optimizer has come along. Of tf-keras' files
only the weights are loaded. Prints a line a model, and whatever differs by more than `TOLERANCE`;
README.md says what is known. With --write it makes the golden files `keras_2_2_4_*.h5`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .check_keras_2_2_4 import distance, import_keras
from .keras_2_2_4 import plain_moving_averages

TOLERANCE = 1e-5
HERE = Path(__file__).parent


def patch_keras_224(keras: Any) -> None:
    """Give Keras 2.2.4 what it knew of h5py 2 and NumPy 1: text attributes are bytes."""
    import h5py

    setattr(np, "string_", np.bytes_)  # noqa: B010
    io_utils = sys.modules["keras.utils.io_utils"]
    original = io_utils.H5Dict.__getitem__

    def getitem(self: Any, key: str) -> Any:
        value = original(self, key)
        if isinstance(value, str):
            return value.encode()
        # An empty list of names: NumPy 2 does not say whether that is true.
        return [] if isinstance(value, np.ndarray) and value.size == 0 else value

    io_utils.H5Dict.__getitem__ = getitem
    attributes = h5py.AttributeManager
    read = attributes.__getitem__

    def as_bytes(self: Any, name: str) -> Any:
        value = read(self, name)
        return value.encode() if isinstance(value, str) else value

    attributes.__getitem__ = as_bytes


def stacks(k: Any) -> dict[str, tuple[Callable[[], list[Any]], tuple[int, ...], int]]:
    """The layers of each model, the shape of its batch, and how many classes it tells apart."""
    L = k.layers
    rnn = {"implementation": 1}
    return {
        "dense": (lambda: [L.Dense(5, activation="relu", input_shape=(4,)), L.Dense(3)], (6, 4), 3),
        "input_layer": (lambda: [L.InputLayer((4,)), L.Dense(3)], (6, 4), 3),
        "batch_norm": (
            # A bias before it would get gradients of rounding errors, which Adam makes large.
            lambda: [
                L.Dense(5, use_bias=False, input_shape=(4,)),
                L.BatchNormalization(),
                L.Dense(3),
            ],
            (6, 4),
            3,
        ),
        "conv": (
            lambda: [
                L.Conv2D(4, (3, 3), activation="relu", input_shape=(6, 6, 2)),
                L.MaxPooling2D(),
                L.Flatten(),
                L.Dense(3, kernel_regularizer="l2"),
            ],
            (4, 6, 6, 2),
            3,
        ),
        "lstm": (
            lambda: [
                L.Bidirectional(
                    L.LSTM(3, return_sequences=True, recurrent_activation="sigmoid", **rnn),
                    input_shape=(5, 2),
                ),
                L.TimeDistributed(L.Dense(4)),
                L.GRU(3, reset_after=False, recurrent_activation="sigmoid", **rnn),
            ],
            (4, 5, 2),
            3,
        ),
        "embedding": (
            lambda: [L.Embedding(7, 3, input_length=5), L.SimpleRNN(4), L.Dense(3)],
            (4, 5),
            3,
        ),
        "nested": (
            lambda: [
                k.models.Sequential(
                    [L.Dense(5, use_bias=False, input_shape=(4,)), L.BatchNormalization()]
                ),
                L.Dense(3),
            ],
            (6, 4),
            3,
        ),
        "stateful": (
            lambda: [
                L.LSTM(
                    3,
                    recurrent_activation="sigmoid",
                    stateful=True,
                    batch_input_shape=(4, 5, 2),
                    **rnn,
                ),
                L.Dense(3),
            ],
            (4, 5, 2),
            3,
        ),
        "frozen": (
            lambda: [L.Dense(5, input_shape=(4,), trainable=False), L.Dense(3)],
            (6, 4),
            3,
        ),
    }


OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"lr": 0.1}),
    "momentum": ("SGD", {"lr": 0.1, "momentum": 0.9, "decay": 0.1, "nesterov": True}),
    "rmsprop": ("RMSprop", {"lr": 0.01}),
    "adagrad": ("Adagrad", {"lr": 0.01}),
    "adadelta": ("Adadelta", {"lr": 1.0}),
    "adam": ("Adam", {"lr": 0.01, "epsilon": 1e-7}),
    "amsgrad": ("Adam", {"lr": 0.01, "epsilon": 1e-7, "amsgrad": True}),
    "adamax": ("Adamax", {"lr": 0.01, "epsilon": 1e-7}),
    "nadam": ("Nadam", {"lr": 0.01, "epsilon": 1e-7}),
    "clipped": ("SGD", {"lr": 0.1, "clipvalue": 0.01}),
}


def make(k: Any, stack: str, optimizer: str) -> tuple[Any, np.ndarray, np.ndarray]:
    """Return a compiled model, and a batch."""
    layers, shape, classes = stacks(k)[stack]
    model = k.models.Sequential(layers())
    name, arguments = OPTIMIZERS[optimizer]
    home = k.optimizers.legacy if k.__name__ == "tf_keras" else k.optimizers
    model.compile(getattr(home, name)(**arguments), "mse", metrics=["mae"])
    rng = np.random.default_rng(1)
    x = rng.integers(0, 7, shape) if stack == "embedding" else rng.normal(size=shape)
    return model, x.astype("float32"), rng.normal(size=(shape[0], classes)).astype("float32")


def compared(model: Any, other: Any, x: np.ndarray) -> float:
    """How far apart two models predict, both without states of earlier batches."""
    predicted = []
    for one in (model, other):
        one.reset_states()
        predicted.append(one.predict(x, batch_size=len(x)))
    return distance(predicted[1], predicted[0])


def crossing(writer: Any, reader: Any, stack: str, optimizer: str, path: str) -> dict[str, float]:
    """Train and save on one side, load and compare on the other."""
    model, x, y = make(writer, stack, optimizer)
    for _ in range(2):
        model.train_on_batch(x, y)
    model.save_weights(path)
    other = make(reader, stack, optimizer)[0]
    other.load_weights(path)
    found = {"predict by weights": compared(model, other, x)}
    model.save(path)
    if writer.__name__ == "tf_keras":  # its configurations are another dialect
        other.load_weights(path)
        return {**found, "predict": compared(model, other, x)}
    other = reader.models.load_model(path)
    found["predict"] = compared(model, other, x)
    for one in (model, other):
        one.reset_states()
    losses = [np.ravel(one.train_on_batch(x, y)) for one in (model, other)]
    found["loss"] = distance(losses[1], losses[0])
    found["predict after a step"] = compared(model, other, x)
    return found


def main() -> None:
    """Print what differs."""
    site = next((a for a in sys.argv[1:] if not a.startswith("-")), None)
    if site:
        real: Any = import_keras(site)
        patch_keras_224(real)
    else:
        os.environ.update(TF_USE_LEGACY_KERAS="1", TF_CPP_MIN_LOG_LEVEL="3")
        import tf_keras as real
    import minikeras

    warnings.simplefilter("ignore")
    if "--write" in sys.argv:
        write_golden(real)
        return
    pairs = [(stack, "adam") for stack in stacks(minikeras)]
    pairs += [("dense", optimizer) for optimizer in OPTIMIZERS]
    averages = plain_moving_averages(real) if site else contextlib.nullcontext()
    with averages, tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.h5")
        for stack, optimizer in dict.fromkeys(pairs):
            for writer, reader in ((minikeras, real), (real, minikeras)):
                name = f"{writer.__name__:9} -> {reader.__name__:9} {stack} {optimizer}"
                try:
                    found = crossing(writer, reader, stack, optimizer, path)
                except Exception as error:
                    print(f"{name}: {type(error).__name__}: {str(error)[:300]}")
                    continue
                wrong = {k: f"{v:.1e}" for k, v in found.items() if not v <= TOLERANCE}
                print(f"{name}: {wrong or 'equal'}")
                if site:
                    real.backend.clear_session()


def write_golden(keras: Any) -> None:
    """Make the golden files, with the predictions that belong to them as an attribute."""
    import h5py

    for stack, optimizer in (("conv", "adam"), ("nested", "momentum")):
        np.random.seed(3)
        with plain_moving_averages(keras):
            model, x, y = make(keras, stack, optimizer)
        for _ in range(2):
            model.train_on_batch(x, y)
        path = HERE / f"keras_2_2_4_{stack}_{optimizer}.h5"
        model.save(str(path))
        predicted = model.predict(x)
        losses = [np.ravel(model.train_on_batch(x, y)) for _ in range(3)]
        with h5py.File(path, "r+") as file:
            expected = file.create_group("expected")
            for name, value in (("x", x), ("y", y), ("predicted", predicted), ("losses", losses)):
                expected[name] = np.asarray(value, np.float32)
        print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
