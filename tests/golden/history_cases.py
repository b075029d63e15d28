"""Cases of histories.json: what a run of real Keras reports, to be repeated by minikeras.

A case is a function of a module `keras`, either of the two, and of its data. It returns numbers and
words in dicts and lists. Weights and data are drawn from the case's own seed, so the file holds
answers only. Here: `fit` on arrays. history_use_cases.py has the other methods and generators,
history_callback_cases.py the callbacks. Needs no TensorFlow.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .configs import coarse

STEPS = 5
WORDS = 7


class Data:
    """Random numbers of the case's own, and a folder to write to."""

    def __init__(self, name: str, folder: Path) -> None:
        # RandomState's numbers stay what they are in all versions of NumPy.
        self.random = np.random.RandomState(zlib.crc32(name.encode()))
        self.folder = Path(folder)

    def x(self, samples: int = 30) -> np.ndarray:
        return coarse(self.random.normal(size=(samples, 3)))

    def regression(self, samples: int = 30) -> tuple[np.ndarray, np.ndarray]:
        x = self.x(samples)
        noise = self.random.normal(size=(samples, 1))
        return x, coarse(x.sum(axis=1, keepdims=True) / 2 + noise / 4)

    def binary(self, samples: int = 30) -> tuple[np.ndarray, np.ndarray]:
        x, y = self.regression(samples)
        return x, (y > 0).astype(np.float32)

    def labels(self, samples: int = 30) -> tuple[np.ndarray, np.ndarray]:
        x = self.x(samples)
        return x, (x + self.x(samples) / 4).argmax(axis=1).reshape(-1, 1)

    def one_hot(self, samples: int = 30) -> tuple[np.ndarray, np.ndarray]:
        x, y = self.labels(samples)
        return x, np.eye(3, dtype=np.float32)[y[:, 0]]

    def weights(self, *shape: int) -> np.ndarray:
        """Some are zero, but never all of a batch: every second is one, and the last."""
        weights = self.random.choice([0.0, 0.5, 3.0, 2.0], shape)
        weights[::2] = weights[-1] = 1.0
        return weights

    def words(self, samples: int = 24) -> tuple[np.ndarray, np.ndarray]:
        """Sentences of 2 to 5 words, and a label for each step, one-hot."""
        x = self.random.randint(1, WORDS, (samples, STEPS))
        y = np.eye(3, dtype=np.float32)[(x + x[:, ::-1]) % 3]
        x[np.arange(STEPS) >= self.random.randint(2, STEPS + 1, (samples, 1))] = 0
        return x, y


@dataclass(frozen=True)
class Case:
    """What is run, where; and what Keras is asked in its place, and why."""

    name: str
    run: Callable[[Any, Data], Any]
    oracle: str = "keras"
    instead: Callable[[Any, Data], Any] | None = None
    why: str = ""


CASES: dict[str, Case] = {}


def add(name: str, run: Callable[[Any, Data], Any], **given: Any) -> None:
    if name in CASES:
        raise ValueError(f"the case {name} is there already")
    CASES[name] = Case(name, run, **given)


def case(**given: Any) -> Callable:
    """Let a function be a case. `instead` and `why` mark what 2.2.4 is not followed in."""

    def mark(run: Callable) -> Callable:
        add(run.__name__, run, **given)
        return run

    return mark


# Networks


def network(keras: Any, data: Data, *layers: Any) -> Any:
    """A Sequential with weights of the case's own."""
    model = keras.models.Sequential(list(layers))
    start(model, data)
    return model


def start(model: Any, data: Data) -> None:
    """Draw the weights; scales and variances, that Keras starts with ones, are about 1."""
    model.set_weights(
        [
            data.random.uniform(-0.5, 0.5, w.shape) + float(w.size > 0 and bool((w == 1).all()))
            for w in model.get_weights()
        ]
    )


def dense(
    keras: Any, data: Data, units: int = 1, activation: str | None = None, **last: Any
) -> Any:
    layers = keras.layers
    return network(
        keras,
        data,
        layers.Dense(4, activation="tanh", input_shape=(3,)),
        layers.Dense(units, activation=activation, name="out", **last),
    )


def tagger(keras: Any, data: Data, activation: str = "softmax", mask: bool = True) -> Any:
    """A label for each word; steps of padding are masked."""
    layers = keras.layers
    return network(
        keras,
        data,
        layers.Embedding(WORDS, 4, mask_zero=mask, input_length=STEPS),
        layers.LSTM(3, return_sequences=True),
        layers.TimeDistributed(layers.Dense(3, activation=activation), name="out"),
    )


def sgd(keras: Any, lr: float = 0.1) -> Any:
    return keras.optimizers.SGD(lr)


# What is reported


def digest(weights: Sequence[np.ndarray]) -> list[float]:
    """One number for each array, in which every entry counts."""
    return [float(np.dot(np.cos(np.arange(w.size)), w.ravel().astype("float64"))) for w in weights]


def told(model: Any, history: Any) -> dict[str, Any]:
    """All that a training leaves behind."""
    return {
        "epoch": history.epoch,
        "history": dict(history.history),
        "weights": digest(model.get_weights()),
    }


def fit(model: Any, *arrays: Any, epochs: int = 3, batch_size: int | None = 8, **given: Any) -> Any:
    """Train quietly, in the natural order."""
    given = {"verbose": 0, "shuffle": False, **given}
    return told(model, model.fit(*arrays, epochs=epochs, batch_size=batch_size, **given))


# Tasks and optimizers

TASKS: dict[str, tuple[Any, ...]] = {  # data, loss, units, activation, metrics
    "regression": (Data.regression, "mse", 1, None, ["mae", "logcosh"]),
    "binary": (Data.binary, "binary_crossentropy", 1, "sigmoid", ["accuracy", "mse"]),
    "categorical": (Data.one_hot, "categorical_crossentropy", 3, "softmax", ["acc", "ce"]),
    "sparse": (Data.labels, "sparse_categorical_crossentropy", 3, "softmax", ["accuracy"]),
}
OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda keras: keras.optimizers.SGD(0.1, momentum=0.9, decay=0.05),
    "nesterov": lambda keras: keras.optimizers.SGD(0.1, momentum=0.5, nesterov=True),
    "adam": lambda keras: keras.optimizers.Adam(0.02, decay=0.01),
    "rmsprop": lambda keras: keras.optimizers.RMSprop(0.01),
}


def add_task(task: str, optimizer: str) -> None:
    make, loss, units, activation, metrics = TASKS[task]

    def run(keras: Any, data: Data) -> Any:
        model = dense(keras, data, units, activation)
        model.compile(OPTIMIZERS[optimizer](keras), loss, metrics=metrics)
        # 30 samples: the last batch of 8 is short, and so is the one of the validation data.
        return fit(model, *make(data), validation_data=make(data, 21))

    add(f"{task}_{optimizer}", run)


for task in TASKS:
    for optimizer in OPTIMIZERS:
        add_task(task, optimizer)


# Batches and order


def add_fit(name: str, samples: int = 30, before: Callable | None = None, **given: Any) -> None:
    """A classifier that is trained with given arguments of `fit`."""

    def run(keras: Any, data: Data) -> Any:
        model = dense(keras, data, 3, "softmax")
        model.compile(sgd(keras), "categorical_crossentropy", metrics=["accuracy"])
        x, y = data.one_hot(samples)
        if before:
            before()
        return fit(model, x, y, **given)

    add(name, run)


def seed() -> None:
    np.random.seed(7)


add_fit("default_batch_size", samples=70, batch_size=None)
add_fit("batch_larger_than_data", batch_size=100)
add_fit("batch_of_one", samples=20, batch_size=1, epochs=2)
add_fit("last_batch_of_one", samples=21, batch_size=4)
add_fit("validation_split", validation_split=0.3)
add_fit("initial_epoch", initial_epoch=2, epochs=4)
add_fit("initial_epoch_past_the_end", initial_epoch=3, epochs=3)
# One epoch: minikeras draws each epoch's order from the natural one, Keras from the last one.
add_fit("shuffled", before=seed, shuffle=True, epochs=1)
add_fit("shuffled_split", before=seed, shuffle=True, epochs=1, validation_split=0.3)
add_fit("shuffled_batches", samples=32, before=seed, shuffle="batch", epochs=1)
add_fit("shuffled_batches_and_a_rest", before=seed, shuffle="batch", epochs=1)


@case()
def validation_with_weights(keras: Any, data: Data) -> Any:
    model = dense(keras, data)
    model.compile(sgd(keras), "mse", metrics=["mae"], weighted_metrics=["mae"])
    x, y = data.regression(21)
    return fit(model, *data.regression(), validation_data=(x, y, data.weights(21)))


@case()
def arrays_in_lists_and_dicts(keras: Any, data: Data) -> Any:
    model = network(keras, data, keras.layers.Dense(2, input_shape=(3,), name="out"))
    model.compile(sgd(keras), "mse")
    x, y = data.x(), data.x()[:, :2]
    found = [fit(model, [x], [y], validation_data=([x], [y]))]
    # A Sequential calls its input after its first layer.
    named = ({"out_input": x}, {"out": y})
    found.append(fit(model, *named, sample_weight={"out": data.weights(30)}))
    found.append(model.evaluate({"out_input": x}, [y], verbose=0))
    return found


@case()
def targets_of_one_axis(keras: Any, data: Data) -> Any:
    model = dense(keras, data)
    model.compile(sgd(keras), "mse", metrics=["mae"])
    x, y = data.regression()
    return fit(model, x, y[:, 0], validation_data=(x, y[:, 0] / 2))


@case()
def one_fit_after_the_other(keras: Any, data: Data) -> Any:
    model = dense(keras, data)
    model.compile(keras.optimizers.Adam(0.05, decay=0.1), "mse")
    x, y = data.regression()
    return [fit(model, x, y), fit(model, x, -y), fit(model, x, y, batch_size=7)]


# Weights


def add_weighted(
    name: str, task: str, weigh: Callable[[Data, np.ndarray], dict], **fits: Any
) -> None:
    """Weights in training; metrics that heed them, and the same metrics that do not."""
    make, loss, units, activation, metrics = TASKS[task]

    def run(keras: Any, data: Data) -> Any:
        model = dense(keras, data, units, activation)
        model.compile(sgd(keras), loss, metrics=metrics, weighted_metrics=metrics)
        x, y = make(data)
        return fit(model, x, y, **weigh(data, y), **fits)

    add(name, run)


def sample_weights(data: Data, y: np.ndarray) -> dict[str, Any]:
    return {"sample_weight": data.weights(len(y))}


def class_weights(data: Data, y: np.ndarray) -> dict[str, Any]:
    return {"class_weight": {0: 0.5, 1: 2.0, 2: 1.0}}


for task in TASKS:
    add_weighted(f"sample_weight_{task}", task, sample_weights)
    if task != "regression":
        add_weighted(f"class_weight_{task}", task, class_weights)
add_weighted("sample_weight_split", "binary", sample_weights, validation_split=0.3)
add_weighted("class_weight_split", "categorical", class_weights, validation_split=0.3)


def product(keras: Any, data: Data) -> Any:
    """The two kinds of weights as one."""
    model = dense(keras, data, 3, "softmax")
    model.compile(sgd(keras), "categorical_crossentropy", weighted_metrics=["acc"])
    x, y = data.one_hot()
    return fit(model, x, y, sample_weight=data.weights(30) * (y @ [0.5, 2.0, 1.0]))


@case(instead=product, why="2.2.4 ignores class_weight where there is sample_weight, and warns")
def class_weight_and_sample_weight(keras: Any, data: Data) -> Any:
    model = dense(keras, data, 3, "softmax")
    model.compile(sgd(keras), "categorical_crossentropy", weighted_metrics=["acc"])
    x, y = data.one_hot()
    return fit(model, x, y, sample_weight=data.weights(30), class_weight={0: 0.5, 1: 2.0, 2: 1.0})


# Steps and masks


def add_tagger(name: str, mode: str | None, weighted: bool, mask: bool, task: str) -> None:
    loss = "categorical_crossentropy" if task == "softmax" else "mse"

    def run(keras: Any, data: Data) -> Any:
        model = tagger(keras, data, activation=task, mask=mask)
        metrics = ["acc", "mae"]
        model.compile(
            sgd(keras, 0.5), loss, metrics, sample_weight_mode=mode, weighted_metrics=metrics
        )
        shape = (24, STEPS) if mode else (24,)
        given = {"sample_weight": data.weights(*shape)} if weighted else {}
        x, y = data.words()
        held_out = (x[:7], y[7:14], data.weights(*shape)[:7]) if weighted else (x[:7], y[7:14])
        return fit(model, x, y, epochs=2, batch_size=5, validation_data=held_out, **given)

    add(name, run)


for hidden in ("", "masked_"):
    add_tagger(f"{hidden}steps", None, False, bool(hidden), "softmax")
    add_tagger(f"{hidden}steps_temporal", "temporal", False, bool(hidden), "softmax")
    add_tagger(f"{hidden}steps_temporal_weights", "temporal", True, bool(hidden), "softmax")
    add_tagger(f"{hidden}steps_weights", None, True, bool(hidden), "softmax")
add_tagger("masked_steps_regression", None, False, True, "linear")
add_tagger("masked_steps_regression_weights", "temporal", True, True, "linear")


@case()
def masked_sentences(keras: Any, data: Data) -> Any:
    """The mask ends in the LSTM."""
    layers = keras.layers
    model = network(
        keras,
        data,
        layers.Embedding(WORDS, 4, mask_zero=True, input_length=STEPS),
        layers.LSTM(3),
        layers.Dense(3, activation="softmax"),
    )
    model.compile(keras.optimizers.Adam(0.05), "categorical_crossentropy", metrics=["acc"])
    x, y = data.words()
    return fit(model, x, y[:, 0], sample_weight=data.weights(24), validation_split=0.25)


@case()
def masked_custom_metrics(keras: Any, data: Data) -> Any:
    K = keras.backend

    def mean_output(y_true: Any, y_pred: Any) -> Any:
        return K.mean(y_pred)

    def largest(y_true: Any, y_pred: Any) -> Any:
        return K.max(K.abs(y_true - y_pred), axis=-1)

    model = tagger(keras, data)
    metrics = [mean_output, largest]
    model.compile(sgd(keras), "mse", metrics=metrics, weighted_metrics=metrics)
    return fit(model, *data.words(), batch_size=7, sample_weight=data.weights(24))


# What compile takes


def add_compiled(name: str, task: str = "regression", **given: Any) -> None:
    """Compiled with given arguments; values that are functions are asked with `keras`."""
    make, loss, units, activation, _ = TASKS[task]

    def run(keras: Any, data: Data) -> Any:
        model = dense(keras, data, units, activation, kernel_regularizer=keras.regularizers.l2(0.1))
        arguments = {"loss": loss}
        arguments.update({k: v(keras) if callable(v) else v for k, v in given.items()})
        model.compile(sgd(keras), **arguments)
        x, y = make(data)
        found = fit(model, x, y, validation_split=0.3, sample_weight=data.weights(len(x)))
        evaluated = model.evaluate(x, y, verbose=0)
        return [model.metrics_names, found, evaluated]

    add(name, run)


add_compiled("loss_weights_list", loss_weights=[0.3], metrics=["mse"])
add_compiled("loss_weights_dict", loss_weights={"out": 3.0}, weighted_metrics=["mse"])
add_compiled("loss_in_a_list", loss=["mae"])
add_compiled("loss_in_a_dict", loss={"out": "mae"}, metrics=["mae"])
add_compiled("loss_function", loss=lambda keras: keras.losses.mean_squared_error)
add_compiled("metrics_twice", metrics=["mse", "mse", "mae", "mse"])
add_compiled("metrics_twice_weighted", metrics=["mse"], weighted_metrics=["mse", "mse"])
add_compiled("metrics_dict", metrics={"out": ["mae", "mse"]}, weighted_metrics={"out": "mae"})
add_compiled("metrics_dict_of_one", metrics={"out": "mae"})
add_compiled("metrics_functions", metrics=lambda keras: [keras.metrics.mae, keras.losses.logcosh])
add_compiled("metrics_by_many_names", metrics=["MSE", "mean_absolute_error", "msle", "cosine"])
add_compiled("metrics_of_labels", "sparse", metrics=["acc", "accuracy", "ce"])
add_compiled(
    "metrics_of_classes",
    "categorical",
    metrics=["accuracy", "crossentropy", "top_k_categorical_accuracy", "binary_accuracy"],
)
add_compiled("metrics_of_two_classes", "binary", metrics=["ce", "acc", "hinge"])
add_compiled("metrics_of_sparse_top_k", "sparse", metrics=["sparse_top_k_categorical_accuracy"])


def own_functions(keras: Any) -> list[Callable]:
    """A number for the batch, one for each sample, one for each entry; and a name used twice."""
    K = keras.backend

    def mean_output(y_true: Any, y_pred: Any) -> Any:
        return K.mean(y_pred)

    def distance(y_true: Any, y_pred: Any) -> Any:
        return K.sqrt(K.sum(K.square(y_true - y_pred), axis=-1) + 1e-6)

    def entries(y_true: Any, y_pred: Any) -> Any:
        return y_true * y_pred

    return [mean_output, distance, entries, distance]


add_compiled("own_metrics", "categorical", metrics=own_functions)
add_compiled("own_weighted_metrics", "categorical", weighted_metrics=own_functions)
add_compiled("own_loss", loss=lambda keras: own_functions(keras)[1], metrics=["mae"])


# Penalties and other layers


def add_layers(name: str, make: Callable[[Any], list], **compiled: Any) -> None:
    """A regression with given layers, with short last batches."""

    def run(keras: Any, data: Data) -> Any:
        model = network(keras, data, *make(keras))
        model.compile(sgd(keras, 0.02), "mse", metrics=["mae"], **compiled)
        x, y = data.regression()
        x = x.reshape((-1, *model.input_shape[1:]))
        y = y[: len(x)]
        found = fit(model, x, y, batch_size=4, validation_split=0.3)
        return [found, model.evaluate(x, y, batch_size=7, verbose=0)]

    add(name, run)


def drawn_to_zero(keras: Any) -> Any:
    """A layer with a penalty on its input, and one on its weight."""
    K = keras.backend

    class DrawnToZero(keras.layers.Layer):
        def build(self, input_shape: Any) -> None:
            self.scale = self.add_weight(name="scale", shape=(3,), initializer="ones")
            self.add_loss(0.1 * K.sum(K.square(self.scale)))
            super().build(input_shape)

        def call(self, x: Any) -> Any:
            self.add_loss(0.05 * K.mean(K.abs(x)), inputs=x)
            return x * self.scale

    return DrawnToZero(input_shape=(3,))


add_layers(
    "penalties_of_weights",
    lambda keras: [
        keras.layers.Dense(4, input_shape=(3,), kernel_regularizer=keras.regularizers.l1(0.02)),
        keras.layers.Dense(
            1,
            kernel_regularizer=keras.regularizers.l1_l2(0.01, 0.05),
            bias_regularizer=keras.regularizers.l2(0.1),
        ),
    ],
)
add_layers(
    "penalties_of_outputs",
    lambda keras: [
        keras.layers.Dense(
            4, input_shape=(3,), activity_regularizer=keras.regularizers.l1_l2(0.01, 0.02)
        ),
        keras.layers.ActivityRegularization(l2=0.02),
        keras.layers.Dense(1),
    ],
)
add_layers(
    "penalties_by_loss_weight",
    lambda keras: [
        keras.layers.Dense(
            1,
            input_shape=(3,),
            activity_regularizer=keras.regularizers.l2(0.02),
            kernel_regularizer=keras.regularizers.l2(0.05),
        )
    ],
    loss_weights=[0.5],
)
add_layers(
    "penalties_added_by_a_layer", lambda keras: [drawn_to_zero(keras), keras.layers.Dense(1)]
)
add_layers(
    "batch_normalization",
    lambda keras: [
        keras.layers.Dense(4, input_shape=(3,)),
        keras.layers.BatchNormalization(momentum=0.9),
        keras.layers.Activation("relu"),
        keras.layers.Dense(1),
    ],
)
add_layers(
    "convolution",
    lambda keras: [
        keras.layers.Conv1D(3, 2, activation="tanh", input_shape=(6, 1)),
        keras.layers.MaxPooling1D(2),
        keras.layers.Flatten(),
        keras.layers.Dense(1, kernel_constraint=keras.constraints.max_norm(0.5)),
    ],
)
add_layers(
    "frozen_layer",
    lambda keras: [
        keras.layers.Dense(4, input_shape=(3,), trainable=False, kernel_regularizer="l2"),
        keras.layers.Dense(1),
    ],
)
