"""Every argument of every public method of `Sequential` acts; each has a test of its own here.

The test of argument `a` of method `m` is ``test_m_a``, so that ``pytest -k fit_shuffle`` runs it.
What a method returns is tested in ``test_m_returns``, the errors in ``test_m_raises_value_error``
and so on; a method without arguments has ``test_m_acts``. The walk below fails if one is missing,
if one is left over, or if a signature is not that of Keras 2.2.4. `docs/methods.md` links here.
"""

import inspect
import io
import json
import os
import re
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

import minikeras as keras
from minikeras import backend as K
from minikeras.callbacks import Callback, History
from minikeras.layers import LSTM, Activation, Conv1D, Dense, Dropout, Flatten, InputLayer, Layer
from minikeras.models import Sequential, load_model
from minikeras.training import api
from minikeras.utils import HDF5Matrix, Sequence

# What there is to test

# The signatures of Keras 2.2.4, written down from its source.
KERAS = {
    "Sequential": "(self, layers=None, name=None)",
    "add": "(self, layer)",
    "pop": "(self)",
    "build": "(self, input_shape=None)",
    "compile": (
        "(self, optimizer, loss=None, metrics=None, loss_weights=None, sample_weight_mode=None, "
        "weighted_metrics=None, target_tensors=None, **kwargs)"
    ),
    "fit": (
        "(self, x=None, y=None, batch_size=None, epochs=1, verbose=1, callbacks=None, "
        "validation_split=0.0, validation_data=None, shuffle=True, class_weight=None, "
        "sample_weight=None, initial_epoch=0, steps_per_epoch=None, validation_steps=None, "
        "**kwargs)"
    ),
    "evaluate": (
        "(self, x=None, y=None, batch_size=None, verbose=1, sample_weight=None, steps=None)"
    ),
    "predict": "(self, x, batch_size=None, verbose=0, steps=None)",
    "train_on_batch": "(self, x, y, sample_weight=None, class_weight=None)",
    "test_on_batch": "(self, x, y, sample_weight=None)",
    "predict_on_batch": "(self, x)",
    "fit_generator": (
        "(self, generator, steps_per_epoch=None, epochs=1, verbose=1, callbacks=None, "
        "validation_data=None, validation_steps=None, class_weight=None, max_queue_size=10, "
        "workers=1, use_multiprocessing=False, shuffle=True, initial_epoch=0)"
    ),
    "evaluate_generator": (
        "(self, generator, steps=None, max_queue_size=10, workers=1, use_multiprocessing=False, "
        "verbose=0)"
    ),
    "predict_generator": (
        "(self, generator, steps=None, max_queue_size=10, workers=1, use_multiprocessing=False, "
        "verbose=0)"
    ),
    "predict_classes": "(self, x, batch_size=32, verbose=0)",
    "predict_proba": "(self, x, batch_size=32, verbose=0)",
    "get_layer": "(self, name=None, index=None)",
    "get_weights": "(self)",
    "set_weights": "(self, weights)",
    "count_params": "(self)",
    "reset_states": "(self)",
    "summary": "(self, line_length=None, positions=None, print_fn=None)",
    "get_config": "(self)",
    "from_config": "(cls, config, custom_objects=None)",
    "to_json": "(self, **kwargs)",
    "save": "(self, filepath, overwrite=True, include_optimizer=True)",
    "save_weights": "(self, filepath, overwrite=True)",
    "load_weights": "(self, filepath, by_name=False, skip_mismatch=False, reshape=False)",
}

# Ours where it is not the same, and why.
OURS = {
    # Arguments of later Keras, by keyword: see LATER.
    "evaluate": KERAS["evaluate"][:-1] + ", **kwargs)",
    "predict": KERAS["predict"][:-1] + ", **kwargs)",
    "fit_generator": KERAS["fit_generator"][:-1] + ", **kwargs)",
    # None is the default of `predict`: 32, or the batch size that the model states.
    "predict_classes": "(self, x, batch_size=None, verbose=0)",
    "predict_proba": "(self, x, batch_size=None, verbose=0)",
}

# Arguments of other versions of Keras that **kwargs takes, with their defaults.
FEEDING = {"workers": 1, "max_queue_size": 10, "use_multiprocessing": False}
LATER = {
    "fit": {"nb_epoch": 1, "validation_freq": 1, "validation_batch_size": None, **FEEDING},
    "fit_generator": {"nb_epoch": 1, "validation_freq": 1, "validation_batch_size": None},
    "evaluate": {"callbacks": None, "return_dict": False, **FEEDING},
    "predict": {"callbacks": None, **FEEDING},
}

# What comes out: the returned value and the errors of each method.
RETURNS, RUNTIME, VALUE, TYPE = (
    "returns",
    "raises_runtime_error",
    "raises_value_error",
    "raises_type_error",
)
OUTCOMES = {
    "Sequential": {TYPE},
    "add": {VALUE, TYPE},
    "pop": {"acts", TYPE},
    "build": {VALUE},
    "compile": {RETURNS, VALUE, TYPE},
    "fit": {RETURNS, RUNTIME, VALUE, TYPE},
    "evaluate": {RETURNS, RUNTIME, VALUE},
    "predict": {RETURNS, VALUE},
    "train_on_batch": {RETURNS, RUNTIME, VALUE},
    "test_on_batch": {RETURNS, RUNTIME, VALUE},
    "predict_on_batch": {RETURNS, VALUE},
    "fit_generator": {RETURNS, RUNTIME, VALUE},
    "evaluate_generator": {RETURNS, RUNTIME, VALUE},
    "predict_generator": {RETURNS, VALUE},
    "predict_classes": {RETURNS},
    "predict_proba": {RETURNS},
    "get_layer": {RETURNS, VALUE},
    "get_weights": {RETURNS},
    "set_weights": {VALUE},
    "count_params": {RETURNS},
    "reset_states": {"acts"},
    "summary": {RETURNS, VALUE},
    "get_config": {RETURNS},
    "from_config": {RETURNS},
    "to_json": {RETURNS},
    "save": {VALUE, "raises_file_exists_error"},
    "save_weights": {VALUE, "raises_file_exists_error"},
    "load_weights": {VALUE, "raises_os_error"},
}

# What a model has as a layer, and what the library itself calls: tested in tests/engine.
OF_A_LAYER = {
    *("add_loss", "add_update", "add_weight", "call", "get_input_at", "get_output_at"),
    *("compute_mask", "compute_output_shape", "ensure_built", "signature", "forward", "backward"),
    *("propagate", "backpropagate", "backward_logits"),
}


def method(name):
    """Return a method as it stands in the class, a classmethod as a function."""
    found = inspect.getattr_static(Sequential, "__init__" if name == "Sequential" else name)
    return getattr(found, "__func__", found)


def parameters(name):
    """Return the parameters of a method without self and without annotations."""
    found = inspect.signature(method(name)).parameters.values()
    return [p.replace(annotation=p.empty) for p in found]


def expected_tests():
    """Return the names of the tests that there must be."""
    names = set()
    for name in KERAS:
        arguments = [p.name for p in parameters(name)[1:]] + list(LATER.get(name, ()))
        names |= {f"test_{name.lower()}_{part}" for part in [*arguments, *OUTCOMES[name]]}
    return names


def public_methods():
    names = {name for name in dir(Sequential) if not name.startswith("_")}
    return {n for n in names if callable(method(n)) and not isinstance(method(n), type)}


@pytest.mark.parametrize("name", KERAS)
def test_signature(name):
    ours = inspect.Signature(parameters(name), __validate_parameters__=False)
    assert str(ours) == OURS.get(name, KERAS[name])


def test_no_method_is_left_out():
    assert public_methods() - OF_A_LAYER == set(KERAS) - {"Sequential"}
    assert set(OUTCOMES) == set(KERAS)


def test_each_argument_has_its_test_and_each_test_its_argument():
    walk = {
        "test_signature",
        "test_no_method_is_left_out",
        "test_each_argument_has_its_test_and_each_test_its_argument",
        "test_arguments_of_other_versions",
    }
    there = re.findall(r"^def (test_\w+)\(", Path(__file__).read_text("utf-8"), re.MULTILINE)

    assert len(there) == len(set(there)), "a test is written twice"
    assert expected_tests() - set(there) == set(), "arguments or outcomes without a test"
    assert set(there) - expected_tests() == walk, "tests of what there is not"


def test_arguments_of_other_versions(monkeypatch):
    known = {}

    def spy(where, given, **defaults):
        known[where] = defaults
        return real(where, given, **defaults)

    real = api.later_arguments
    monkeypatch.setattr(api, "later_arguments", spy)
    model = linear()
    model.fit(X, Y, verbose=0)
    model.evaluate(X, Y, verbose=0, workers=0)
    model.predict(X, workers=0)

    explicit = {p.name for p in parameters("fit_generator")}
    known["fit_generator"] = {k: v for k, v in known["fit"].items() if k not in explicit}
    assert known == LATER


# A model, data, and the same training by hand

RNG = np.random.default_rng(5)
X = RNG.standard_normal((40, 3)).astype("float32")
Y = (X @ RNG.standard_normal((3, 1)) + 0.5).astype("float32")
LABELS = (Y > 0).astype("float32")
WEIGHTS = RNG.random(40).astype("float32") + 0.1
TABLE = {0: 1.0, 1: 3.0}
BY_CLASS = np.where(LABELS[:, 0] > 0, 3.0, 1.0)
ONES = [np.ones((3, 1)), np.zeros(1)]


def linear(*compile_args, **compile_kwargs):
    """Return a model with known weights, compiled with SGD at a learning rate of 0.1."""
    model = Sequential([Dense(1, input_dim=3, kernel_initializer="ones", name="out")])
    arguments = dict(zip(("optimizer", "loss"), compile_args, strict=False))
    model.compile(
        **{"optimizer": keras.optimizers.SGD(0.1), "loss": "mse", **arguments, **compile_kwargs}
    )
    return model


def error_of(weights, x, y, counts=None):
    """Return the loss of the model in plain NumPy, weighted as Keras does."""
    counts = np.ones(len(x)) if counts is None else counts
    scores = ((x @ weights[0] + weights[1] - y) ** 2).mean(axis=-1)
    return pytest.approx((scores * counts).sum() / np.count_nonzero(counts), rel=1e-5)


def by_hand(batches, lr=0.1):
    """Train the model in plain NumPy; return the loss before each update, and the weights."""
    kernel, bias = (w.copy() for w in ONES)
    losses = []
    for x, y, *weights in batches:
        error = x @ kernel + bias - y
        counts = weights[0] if weights else np.ones(len(x))
        counts = (counts / np.count_nonzero(counts))[:, np.newaxis]
        losses.append((counts * error**2).sum())
        kernel = kernel - lr * 2 * x.T @ (counts * error)
        bias = bias - lr * 2 * (counts * error).sum(axis=0)
    return losses, [kernel, bias]


def cut(*arrays, size=6):
    """Return batches, as tuples of arrays."""
    starts = range(0, len(arrays[0]), size)
    return [tuple(a[start : start + size] for a in arrays) for start in starts]


def mean_loss(losses, batches):
    return pytest.approx(np.average(losses, weights=[len(b[0]) for b in batches]), rel=1e-5)


def same(model, weights):
    ours = model.get_weights()
    return all(np.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(ours, weights, strict=True))


class Watch(Callback):
    """Takes note of the batches, by kind, and of the epochs."""

    def __init__(self):
        super().__init__()
        self.train, self.test, self.predict, self.epochs = [], [], [], []

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append((epoch, sorted(logs)))

    def on_batch_end(self, batch, logs=None):
        self.train.append(logs["size"])

    def on_test_batch_end(self, batch, logs=None):
        self.test.append(logs["size"])

    def on_predict_batch_end(self, batch, logs=None):
        self.predict.append(logs["size"])


class Batches(Sequence):
    """Batches of arrays; remembers which were made, and by whom."""

    def __init__(self, *arrays, size=6):
        self.batches = cut(*arrays, size=size)
        self.made, self.threads, self.ended = [], set(), 0

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        self.made.append(index)
        self.threads.add(threading.get_ident())
        return self.batches[index]

    def on_epoch_end(self):
        self.ended += 1

    def forever(self):
        """Make a generator of the same."""
        while True:
            for index in range(len(self)):
                yield self[index]


class WithArray:
    """Something like a table of pandas: it holds an array, and is none."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.array, dtype)


def forms(array, name):
    """Return the same data in all forms that stand for an array."""
    return [array, array.tolist(), [array], {name: array}, WithArray(array)]


def on_disk(folder, **arrays):
    with h5py.File(folder / "data.h5", "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return [HDF5Matrix(folder / "data.h5", name) for name in arrays]


def not_compiled():
    return Sequential([Dense(1, input_dim=3)])


def stateful():
    model = Sequential([LSTM(2, stateful=True, batch_input_shape=(4, 5, 1)), Dense(1)])
    model.compile("sgd", "mse")
    return model


# What all methods that take generators have in common. `run(model, data, **arguments)` runs one.


def check_workers(run):
    """`workers` is the number of threads that make batches; the result is the same."""
    results, threads = [], []
    for workers in (0, 1, 3):
        data = Batches(X, Y, size=4)
        results.append(run(linear(), data, workers=workers))
        threads.append(len(data.threads - {threading.get_ident()}))
    assert threads == [0, 1, 3]
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])
    with pytest.raises(ValueError, match="workers must be an int of at least 0, got -1"):
        run(linear(), Batches(X, Y), workers=-1)


class AheadOf(Layer):
    """Passes data through, and waits until so many batches have been made ahead."""

    def __init__(self, data, size):
        super().__init__()
        self.data, self.size, self.used = data, size, 0

    def forward(self, x, ctx):
        self.used += 1
        wanted = min(self.used + self.size, len(self.data)) if self.used > 1 else 1
        end = time.monotonic() + 10
        while len(self.data.made) < wanted and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(0.002)  # for one too many to show
        self.data.ahead.append(len(self.data.made) - self.used)
        return x, None

    def backward(self, dy, residual, ctx):
        return dy


def check_max_queue_size(run):
    """So many batches are made ahead of the one in use, and no more."""
    for size in (1, 4):
        data, model = Batches(X, Y, size=4), linear()
        data.ahead = []
        model.add(AheadOf(data, size))
        run(model, data, max_queue_size=size)
        assert max(data.ahead) == size
    data, model = Batches(X, Y, size=4), linear()
    data.ahead = []
    model.add(AheadOf(data, len(data) - 1))
    run(model, data, max_queue_size=0)  # any number
    with pytest.raises(ValueError, match="max_queue_size must be an int of at least 0"):
        run(linear(), Batches(X, Y), max_queue_size=-1)


def check_use_multiprocessing(run):
    """Processes make the batches: this one sees nothing of it but the same result."""
    if not hasattr(os, "fork"):
        pytest.skip("without fork, processes start slowly; see tests/utils")
    here, there = Batches(X, Y), Batches(X, Y)
    result = run(linear(), here, use_multiprocessing=False)
    assert np.array_equal(run(linear(), there, use_multiprocessing=True), result)
    assert sorted(here.made) == list(range(7))
    assert there.made == []


def fitted(method_name):
    def run(model, data, **kwargs):
        history = getattr(model, method_name)(data, verbose=0, shuffle=False, **kwargs)
        return history.history["loss"]

    return run


def evaluated(model, data, **kwargs):
    return model.evaluate(data, verbose=0, **kwargs)


def evaluated_generator(model, data, **kwargs):
    return model.evaluate_generator(data, **kwargs)


def predicted(model, data, **kwargs):
    return model.predict(data, **kwargs)


def predicted_generator(model, data, **kwargs):
    return model.predict_generator(data, **kwargs)


NOT_PAIRS = [
    (lambda: iter([X]), r"batch 0 of the generator must be a tuple \(inputs, targets\)"),
    (lambda: iter([(X, Y, WEIGHTS, X)]), "got tuple of length 4"),
    (lambda: iter([(X[:, :2], Y)]), "batch 0 of the generator: x does not fit layer 'out'"),
    (lambda: iter([(X, Y[:5])]), "must have the same number of samples"),
    (lambda: Batches(X[:0], Y[:0]), "Batches has no batches: its len"),
    (lambda: X, "takes a generator .* got ndarray. For arrays, there is"),
]

BAD_X = [
    (X[:, :2], r"x does not fit layer 'out': expected shape \(samples, 3\), got \(40, 2\)"),
    ([X, X], "x was given as a list of 2 arrays"),
    ({"in": X}, "x was given as a dict with the keys .'in'.; .* named 'out_input'"),
    ([["a", "b", "c"]], "x must hold numbers"),
    ([[1, 2, 3], [1, 2]], "x holds samples of different lengths, from 2 to 3"),
    (None, "x is None"),
]
BAD_XY = [(x, Y, message) for x, message in BAD_X] + [
    (X[0], Y[:3], r"add the batch axis with x\[np.newaxis\]"),
    (X, Y[:39], "must have the same number of samples: x has 40 .*, y has 39"),
    (X, np.zeros((40, 2)), r"targets have shape \(samples, 2\), the model.s output \(samples, 1\)"),
    (X, None, "y is None"),
]


# Sequential


def test_sequential_layers():
    assert [layer.units for layer in Sequential([Dense(4, input_dim=3), Dense(2)]).layers] == [4, 2]
    assert Sequential().layers == []


def test_sequential_name():
    assert Sequential(name="mine").name == "mine"
    assert Sequential().name == "sequential_1"


def test_sequential_raises_type_error():
    with pytest.raises(TypeError, match="Sequential takes a list of layers"):
        Sequential(Dense(2))


def test_add_layer():
    model = linear()
    model.add(Activation("relu"))
    assert len(model.layers) == 2
    assert np.array_equal(model.predict(X), np.maximum(linear().predict(X), 0))

    model = Sequential()
    model.add(InputLayer((3,)))
    model.add(Dense(2))
    assert model.input_shape == (None, 3)


def test_add_raises_value_error():
    with pytest.raises(ValueError, match="The name 'out' is used twice"):
        linear().add(Dense(1, name="out"))
    with pytest.raises(ValueError, match="InputLayer; it can only be the first layer"):
        linear().add(InputLayer((3,)))
    with pytest.raises(ValueError, match="flatten"):
        Sequential([Dense(2, input_dim=3)]).add(LSTM(2, name="flatten"))


@pytest.mark.parametrize("thing", [Dense, "dense", 3, None])
def test_add_raises_type_error(thing):
    with pytest.raises(TypeError, match="add takes a layer"):
        linear().add(thing)


def test_pop_acts():
    model = linear()
    model.add(Activation("relu"))
    model.pop()
    assert [layer.name for layer in model.layers] == ["out"]
    assert np.array_equal(model.predict(X), linear().predict(X))
    assert model.test_on_batch(X, Y) == linear().test_on_batch(X, Y)


def test_pop_raises_type_error():
    with pytest.raises(TypeError, match="There are no layers in the model"):
        Sequential().pop()


def test_build_input_shape():
    for size in (3, 5):
        model = Sequential([Dense(2)])
        model.build((None, size))
        assert model.input_shape == (None, size)
        assert model.get_weights()[0].shape == (size, 2)
    known = Sequential([Dense(2, input_dim=4)])
    known.build()
    assert known.input_shape == (None, 4)


def test_build_raises_value_error():
    with pytest.raises(ValueError, match="The input shape of model .* is unknown"):
        Sequential([Dense(2)]).build()


# compile


def test_compile_optimizer():
    x, y = X[:4], Y[:4]
    for optimizer, lr in [
        ("sgd", 0.01),
        (keras.optimizers.SGD(0.5), 0.5),
        ({"class_name": "SGD", "config": {"lr": 0.25}}, 0.25),
    ]:
        model = linear(optimizer)
        model.train_on_batch(x, y)
        assert same(model, by_hand([(x, y)], lr)[1])
    model = linear(keras.optimizers.Adam(0.5))
    model.train_on_batch(x, y)  # Adam's first step is as long as lr, whatever the gradient
    steps = [before - after for before, after in zip(ONES, by_hand([(x, y)])[1], strict=True)]
    for weight, start, step in zip(model.get_weights(), ONES, steps, strict=True):
        assert np.allclose(weight, start - 0.5 * np.sign(step), atol=1e-3)


def test_compile_loss():
    error = np.abs(X @ ONES[0] - Y)
    squared, absolute = (error**2).mean(), error.mean()
    fourth = (error**4).mean()
    for loss, value in [
        ("mse", squared),
        ("mae", absolute),
        (keras.losses.mean_absolute_error, absolute),
        (["mae"], absolute),
        ({"out": "mae"}, absolute),
        (lambda y_true, y_pred: K.mean(K.pow(y_true - y_pred, 4), axis=-1), fourth),
    ]:
        assert linear("sgd", loss).test_on_batch(X, Y) == pytest.approx(value, rel=1e-5)
    model = linear(loss="mae")
    model.train_on_batch(X, Y)  # and it is what the update follows
    signs = np.sign(X @ ONES[0] - Y)
    assert same(model, [ONES[0] - 0.1 * X.T @ signs / 40, -0.1 * signs.mean(axis=0)])


def test_compile_metrics():
    def largest(y_true, y_pred):
        return K.max(y_pred)

    error = np.abs(X @ ONES[0] - Y)
    for metrics in (["mae", largest], {"out": ["mae", largest]}, [["mae", largest]]):
        model = linear(metrics=metrics)
        assert model.metrics_names == ["loss", "mean_absolute_error", "largest"]
        assert model.test_on_batch(X, Y) == pytest.approx(
            [(error**2).mean(), error.mean(), (X @ ONES[0]).max()], rel=1e-5
        )
    assert linear().metrics_names == ["loss"]
    accuracy = linear("sgd", "binary_crossentropy", metrics=["accuracy"])
    right = (np.round(X @ ONES[0]) == LABELS).mean()
    assert accuracy.metrics_names == ["loss", "acc"]
    assert accuracy.test_on_batch(X, LABELS)[1] == pytest.approx(right)


def test_compile_loss_weights():
    for factor in (3.0, [3.0], {"out": 3.0}):
        model = linear(loss_weights=factor)
        losses, weights = by_hand([(X, Y)], lr=0.3)  # a threefold loss has a threefold gradient
        assert model.train_on_batch(X, Y) == pytest.approx(3 * losses[0], rel=1e-5)
        assert same(model, weights)


def sequence_model(mode):
    model = Sequential([Dense(1, input_shape=(5, 3), kernel_initializer="ones", name="out")])
    model.compile("sgd", "mse", sample_weight_mode=mode)
    return model


def test_compile_sample_weight_mode():
    x, y = X[:20].reshape(4, 5, 3), Y[:20].reshape(4, 5, 1)
    scores = ((x @ ONES[0] - y) ** 2)[..., 0]
    by_step = WEIGHTS[:20].reshape(4, 5)
    for mode in ("temporal", ["temporal"], {"out": "temporal"}):
        loss = sequence_model(mode).test_on_batch(x, y, by_step)
        assert loss == pytest.approx((scores * by_step).mean(), rel=1e-5)
    loss = sequence_model(None).test_on_batch(x, y, by_step[:, 0])
    assert loss == pytest.approx((scores.mean(axis=1) * by_step[:, 0]).mean(), rel=1e-5)
    with pytest.raises(ValueError, match=r"sample_weight must have shape \(4,\).*temporal"):
        sequence_model(None).test_on_batch(x, y, by_step)


def test_compile_weighted_metrics():
    error = np.abs(X @ ONES[0] - Y)[:, 0]
    plain, weighted = error.mean(), (error * WEIGHTS).mean()
    model = linear(metrics=["mae"], weighted_metrics=["mae"])
    assert model.metrics_names == ["loss", "mean_absolute_error", "weighted_mean_absolute_error"]
    results = model.test_on_batch(X, Y, WEIGHTS)
    assert results[1:] == pytest.approx([plain, weighted], rel=1e-5)


def test_compile_target_tensors():
    targets = K.variable(Y)
    for form in (targets, [targets], {"out": targets}):
        model = linear(target_tensors=form)
        assert model.evaluate(X, verbose=0) == linear().evaluate(X, Y, verbose=0)
        model.fit(X, batch_size=10, shuffle=False, verbose=0)
        assert same(model, by_hand(cut(X, Y, size=10))[1])
    placeholder = linear(target_tensors=K.placeholder((None, 1)))
    assert placeholder.test_on_batch(X, Y) == linear().test_on_batch(X, Y)
    with pytest.raises(ValueError, match="y is None"):
        placeholder.evaluate(X, verbose=0)


def test_compile_kwargs():
    with pytest.raises(TypeError, match=r"compile got unknown arguments: feed_dict"):
        linear(feed_dict={})


def test_compile_returns():
    assert not_compiled().compile("sgd", "mse") is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"optimizer": "sdg"}, "sdg"),
        ({"loss": "mes"}, "mes"),
        ({"loss": None}, "compile needs a loss"),
        ({"loss": "adam"}, "'adam' is the name of an optimizer"),
        ({"loss": ["mse", "mae"]}, "loss was given as a list of 2 entries"),
        ({"loss": {"in": "mse"}}, "loss was given as a dict with the keys .'in'., .* 'out'"),
        ({"metrics": ["acuracy"]}, "acuracy"),
        ({"metrics": {"in": "mae"}}, "metrics names the outputs .'in'."),
        ({"weighted_metrics": ["mea"]}, "mea"),
        ({"loss_weights": "a lot"}, "loss_weights must be a number"),
        ({"loss_weights": [1.0, 2.0]}, "loss_weights was given as a list of 2"),
        ({"sample_weight_mode": "time"}, "sample_weight_mode must be None or 'temporal'"),
        ({"optimizer": 3}, "Could not take 3 as optimizer"),
        ({"loss": 3}, "Could not take 3 as loss"),
        ({"metrics": [3]}, "Could not take 3 as metric"),
        ({"target_tensors": "y"}, "target_tensors must be a K.placeholder"),
    ],
)
def test_compile_raises_value_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        linear(**arguments)


def test_compile_raises_type_error():
    with pytest.raises(TypeError, match="compile got unknown arguments"):
        linear(lr=0.1)


# fit


def test_fit_x(tmp_path):
    losses, weights = by_hand(cut(X, Y, size=10))
    (matrix,) = on_disk(tmp_path, x=X)
    for x in [*forms(X, "out_input"), matrix]:
        model = linear()
        history = model.fit(x, Y, 10, shuffle=False, verbose=0)
        assert history.history["loss"] == [pytest.approx(np.mean(losses), rel=1e-5)]
        assert same(model, weights)
    for data in (Batches(X, Y, size=10), Batches(X, Y, size=10).forever()):
        model = linear()
        model.fit(data, steps_per_epoch=4, shuffle=False, verbose=0)
        assert same(model, weights)


def test_fit_y(tmp_path):
    (matrix,) = on_disk(tmp_path, y=Y)
    for y in [*forms(Y, "out"), matrix, Y[:, 0]]:
        model = linear()
        model.fit(X, y, 10, shuffle=False, verbose=0)
        assert same(model, by_hand(cut(X, Y, size=10))[1])
    other = linear()
    other.fit(X, -Y, 10, shuffle=False, verbose=0)
    assert same(other, by_hand(cut(X, -Y, size=10))[1])


def test_fit_batch_size():
    for given, sizes in [(None, [32, 8]), (15, [15, 15, 10]), (100, [40])]:
        model, watch = linear(), Watch()
        model.fit(X, Y, given, shuffle=False, verbose=0, callbacks=[watch])
        assert watch.train == sizes
        assert same(model, by_hand(cut(X, Y, size=sizes[0]))[1])


def test_fit_epochs():
    model = linear()
    history = model.fit(X, Y, 20, epochs=3, shuffle=False, verbose=0)
    losses, weights = by_hand(cut(X, Y, size=20) * 3)
    assert history.epoch == [0, 1, 2]
    assert history.history["loss"] == pytest.approx(np.reshape(losses, (3, 2)).mean(1), rel=1e-5)
    assert same(model, weights)


def check_verbose_of_training(method_name, capsys, counted):
    def output(verbose):
        data = (X, Y) if method_name == "fit" else (Batches(X, Y),)
        getattr(linear(), method_name)(*data, epochs=2, verbose=verbose)
        return capsys.readouterr().out

    assert output(0) == ""
    bars = output(1)
    assert [line for line in bars.splitlines() if line.startswith("Epoch")] == [
        "Epoch 1/2",
        "Epoch 2/2",
    ]
    assert bars.count(f"{counted} [====") == 2
    assert "loss: " in bars
    lines = output(2)
    assert len(re.findall(r"^ - \d+s - loss: \d", lines, re.MULTILINE)) == 2
    assert "[" not in lines


def test_fit_verbose(capsys):
    check_verbose_of_training("fit", capsys, "40/40")


def test_fit_callbacks():
    watch = Watch()
    linear().fit(X, Y, 20, epochs=2, verbose=0, callbacks=[watch])
    assert watch.epochs == [(0, ["loss"]), (1, ["loss"])]
    assert watch.train == [20] * 4


def test_fit_validation_split():
    for share, left in [(0.25, 30), (0.5, 20)]:
        model = linear()
        history = model.fit(X, Y, 10, validation_split=share, shuffle=False, verbose=0)
        _, weights = by_hand(cut(X[:left], Y[:left], size=10))
        assert same(model, weights)
        assert history.history["val_loss"] == [error_of(weights, X[left:], Y[left:])]
    assert "val_loss" not in linear().fit(X, Y, verbose=0).history


def test_fit_validation_data():
    x, y, counts = X[:10], Y[:10], WEIGHTS[:10]
    for data, weights in [
        ((x, y), None),
        ([x, y], None),
        ((x, y, counts), counts),
        (Batches(x, y, size=5), None),
    ]:
        model = linear()
        history = model.fit(
            X, Y, 20, shuffle=False, verbose=0, validation_data=data, validation_split=0.5
        )
        _, expected = by_hand(cut(X, Y, size=20))  # on all of them: it wins over validation_split
        assert same(model, expected)
        assert history.history["val_loss"] == [error_of(expected, x, y, weights)]


def orders(epochs=3, **kwargs):
    """Return the order in which `fit` uses the samples 0 to 39 in each epoch."""
    seen = []

    def watch(y_true, y_pred):
        seen.extend(int(number) for number in y_true[:, 0])
        return 0.0

    model = linear(metrics=[watch], optimizer=keras.optimizers.SGD(0.0))
    model.fit(X, np.arange(40), epochs=epochs, verbose=0, **kwargs)
    return np.reshape(seen, (epochs, -1)).tolist()


def test_fit_shuffle():
    natural = list(range(40))
    assert orders(shuffle=False) == [natural] * 3

    shuffled = orders(shuffle=True)
    assert [sorted(order) for order in shuffled] == [natural] * 3
    assert len({tuple(order) for order in [*shuffled, natural]}) == 4

    batches = [cut(np.array(order), size=6) for order in orders(shuffle="batch", batch_size=6)]
    assert all(np.all(np.diff(batch[0]) == 1) for order in batches for batch in order)
    firsts = [[int(batch[0][0]) for batch in order] for order in batches]
    assert [sorted(first) for first in firsts] == [natural[::6]] * 3
    assert [first[-1] for first in firsts] == [36] * 3  # the short batch stays the last one
    assert len({tuple(first) for first in [*firsts, natural[::6]]}) == 4


def test_fit_class_weight():
    for table in (TABLE, {"out": TABLE}):
        model = linear()
        history = model.fit(X, LABELS, 10, shuffle=False, verbose=0, class_weight=table)
        losses, weights = by_hand(cut(X, LABELS, BY_CLASS, size=10))
        assert same(model, weights)
        assert history.history["loss"] == [pytest.approx(np.mean(losses), rel=1e-5)]


def test_fit_sample_weight():
    for given in forms(WEIGHTS, "out"):
        model = linear()
        model.fit(X, Y, 10, shuffle=False, verbose=0, sample_weight=given)
        assert same(model, by_hand(cut(X, Y, WEIGHTS, size=10))[1])
    both = linear()
    both.fit(X, LABELS, 10, shuffle=False, verbose=0, sample_weight=WEIGHTS, class_weight=TABLE)
    assert same(both, by_hand(cut(X, LABELS, WEIGHTS * BY_CLASS, size=10))[1])
    x, y, by_step = X[:20].reshape(4, 5, 3), Y[:20].reshape(4, 5, 1), WEIGHTS[:20].reshape(4, 5)
    history = sequence_model("temporal").fit(x, y, verbose=0, sample_weight=by_step)
    scores = ((x @ ONES[0] - y) ** 2)[..., 0]
    assert history.history["loss"] == [pytest.approx((scores * by_step).mean(), rel=1e-5)]


def test_fit_initial_epoch():
    model = linear()
    history = model.fit(X, Y, 40, epochs=5, initial_epoch=3, verbose=0)
    assert history.epoch == [3, 4]
    assert same(model, by_hand([(X, Y)] * 2)[1])


def test_fit_steps_per_epoch():
    model = linear()
    losses, weights = by_hand([(X, Y)] * 6)
    history = model.fit(X, Y, epochs=2, steps_per_epoch=3, verbose=0)
    assert history.history["loss"] == pytest.approx(np.reshape(losses, (2, 3)).mean(1), rel=1e-5)
    assert same(model, weights)

    model = linear()
    model.fit(Batches(X, Y, size=10), steps_per_epoch=3, epochs=2, shuffle=False, verbose=0)
    assert same(model, by_hand((cut(X, Y, size=10) * 2)[:6])[1])


def test_fit_validation_steps():
    def tested(validation_data, **kwargs):
        watch = Watch()
        linear().fit(X, Y, verbose=0, validation_data=validation_data, callbacks=[watch], **kwargs)
        return watch.test

    assert tested((X, Y), steps_per_epoch=1, validation_steps=3) == [40] * 3
    assert tested((X, Y), steps_per_epoch=1) == [40]
    assert tested(Batches(X, Y), validation_steps=3) == [6] * 3
    assert tested(Batches(X, Y)) == [6] * 6 + [4]
    assert tested(Batches(X, Y).forever(), validation_steps=2) == [6, 6]


def test_fit_kwargs():
    with pytest.raises(TypeError, match="fit got unknown arguments: batchsize"):
        linear().fit(X, Y, batchsize=3)


def check_nb_epoch(run):
    with pytest.warns(UserWarning, match="nb_epoch is the name of Keras 1: it is epochs now"):
        assert run(nb_epoch=3).epoch == [0, 1, 2]


def test_fit_nb_epoch():
    check_nb_epoch(lambda **kwargs: linear().fit(X, Y, verbose=0, **kwargs))


def check_validation_freq(run):
    for frequency, expected in [(1, [0, 1, 2, 3, 4]), (2, [1, 3]), ([1, 5], [0, 4])]:
        watch = Watch()
        run(epochs=5, validation_data=(X, Y), validation_freq=frequency, callbacks=[watch])
        assert [epoch for epoch, logs in watch.epochs if "val_loss" in logs] == expected


def check_validation_batch_size(run):
    for size, sizes in ((None, [20, 10]), (15, [15, 15])):
        seen = []

        class Sizes(Callback):
            def on_test_batch_end(self, batch, logs=None, seen=seen):
                seen.append(logs["size"])

        held = X[:30], Y[:30]
        run(validation_data=held, validation_batch_size=size, callbacks=[Sizes()])
        assert seen == sizes


def test_fit_validation_batch_size():
    check_validation_batch_size(lambda **kwargs: linear().fit(X, Y, 20, verbose=0, **kwargs))


def test_fit_validation_freq():
    check_validation_freq(lambda **kwargs: linear().fit(X, Y, verbose=0, **kwargs))


def test_fit_workers():
    check_workers(fitted("fit"))


def test_fit_max_queue_size():
    check_max_queue_size(fitted("fit"))


def test_fit_use_multiprocessing():
    check_use_multiprocessing(fitted("fit"))


def check_history(model, history):
    assert isinstance(history, History)
    assert history is model.history
    assert history.epoch == [0, 1]
    assert list(history.history) == [
        *("val_loss", "val_mean_absolute_error", "loss", "mean_absolute_error")
    ]
    assert {len(values) for values in history.history.values()} == {2}
    assert json.loads(json.dumps(history.history)) == history.history


def test_fit_returns():
    model = linear(metrics=["mae"])
    check_history(model, model.fit(X, Y, epochs=2, verbose=0, validation_data=(X, Y)))


def test_fit_raises_runtime_error():
    with pytest.raises(RuntimeError, match="must be compiled before fit is used"):
        not_compiled().fit(X, Y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"x": x, "y": y}, message) for x, y, message in BAD_XY]
    + [
        ({"batch_size": 0}, "batch_size must be an int greater than 0, got 0"),
        ({"epochs": -1}, "epochs must be an int of at least 0, got -1"),
        ({"initial_epoch": 0.5}, "initial_epoch must be an int of at least 0, got 0.5"),
        ({"verbose": 3}, "verbose must be 0, 1 or 2, got 3"),
        ({"validation_split": 1.5}, "validation_split must be from 0 .* got 1.5"),
        ({"validation_data": X}, r"validation_data must be a tuple \(x, y\)"),
        ({"validation_data": (X, Y[:3])}, "validation x and validation y must have the same"),
        ({"shuffle": "batches"}, "shuffle must be True, False or 'batch', got 'batches'"),
        ({"sample_weight": WEIGHTS[:5]}, r"sample_weight must have shape \(40,\)"),
        ({"y": LABELS, "class_weight": {0: 1.0}}, "class_weight has no entry for the classes .1."),
        ({"steps_per_epoch": 0}, "steps_per_epoch must be an int greater than 0"),
        ({"steps_per_epoch": 2, "batch_size": 5}, "does not go together with batch_size=5"),
        ({"validation_steps": 2}, "validation_steps goes together with steps_per_epoch"),
        ({"workers": -1}, "workers must be an int of at least 0"),
        ({"validation_freq": 0}, "validation_freq must be an int greater than 0"),
        ({"x": Batches(X, Y)}, "y can't be given together with a Batches as x"),
    ],
)
def test_fit_raises_value_error(arguments, message):
    model = linear()
    with pytest.raises(ValueError, match=message):
        model.fit(**{"x": X, "y": Y, "verbose": 0, **arguments})
    assert same(model, ONES)


def test_fit_raises_type_error():
    with pytest.raises(TypeError, match="callbacks must be a list"):
        linear().fit(X, Y, callbacks=Watch())
    with pytest.raises(TypeError, match="class_weight must be a dict"):
        linear().fit(X, LABELS, class_weight=[1.0, 3.0])


# evaluate


def test_evaluate_x(tmp_path):
    (matrix,) = on_disk(tmp_path, x=X)
    expected = error_of(ONES, X, Y)
    for x in [*forms(X, "out_input"), matrix]:
        assert linear().evaluate(x, Y, verbose=0) == expected
    assert linear().evaluate(-X, Y, verbose=0) == error_of(ONES, -X, Y)
    assert linear().evaluate(Batches(X, Y), verbose=0) == expected
    assert linear().evaluate(Batches(X, Y).forever(), steps=7, verbose=0) == expected


def test_evaluate_y(tmp_path):
    (matrix,) = on_disk(tmp_path, y=Y)
    for y in [*forms(Y, "out"), matrix, Y[:, 0]]:
        assert linear().evaluate(X, y, verbose=0) == error_of(ONES, X, Y)
    assert linear().evaluate(X, -Y, verbose=0) == error_of(ONES, X, -Y)


def test_evaluate_batch_size():
    for given, sizes in [(None, [32, 8]), (15, [15, 15, 10])]:
        watch = Watch()
        loss = linear().evaluate(X, Y, batch_size=given, verbose=0, callbacks=[watch])
        assert watch.test == sizes
        assert loss == error_of(ONES, X, Y)


def test_evaluate_verbose(capsys):
    linear().evaluate(X, Y, verbose=0)
    assert capsys.readouterr().out == ""
    linear().evaluate(X, Y)
    assert "40/40 [====" in capsys.readouterr().out


def test_evaluate_sample_weight():
    for given in forms(WEIGHTS, "out"):
        loss = linear().evaluate(X, Y, batch_size=40, verbose=0, sample_weight=given)
        assert loss == error_of(ONES, X, Y, WEIGHTS)


def test_evaluate_steps():
    watch = Watch()
    assert linear().evaluate(X, Y, steps=3, verbose=0, callbacks=[watch]) == error_of(ONES, X, Y)
    assert watch.test == [40] * 3
    assert linear().evaluate(Batches(X, Y), steps=2, verbose=0) == error_of(ONES, X[:12], Y[:12])


def test_evaluate_kwargs():
    with pytest.raises(TypeError, match="evaluate got unknown arguments: batchsize"):
        linear().evaluate(X, Y, batchsize=3)


def test_evaluate_callbacks():
    watch = Watch()
    linear().evaluate(X, Y, 20, verbose=0, callbacks=[watch])
    assert (watch.train, watch.test) == ([], [20, 20])
    assert watch.model is not None


def test_evaluate_workers():
    check_workers(evaluated)


def test_evaluate_return_dict():
    model = linear(metrics=["mae"])
    results = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert results == dict(zip(model.metrics_names, model.evaluate(X, Y, verbose=0), strict=True))


def test_evaluate_max_queue_size():
    check_max_queue_size(evaluated)


def test_evaluate_use_multiprocessing():
    check_use_multiprocessing(evaluated)


def check_results(run):
    """The loss alone is a float; with metrics there is a list in the order of metrics_names."""
    loss = run(linear())
    assert type(loss) is float
    several = linear(metrics=["mae"])
    results = run(several)
    assert [type(result) for result in results] == [float, float]
    assert dict(zip(several.metrics_names, results, strict=True)) == {
        "loss": pytest.approx(loss),
        "mean_absolute_error": pytest.approx(np.abs(X @ ONES[0] - Y).mean(), rel=1e-5),
    }


def test_evaluate_returns():
    check_results(lambda model: model.evaluate(X, Y, verbose=0))


def test_evaluate_raises_runtime_error():
    with pytest.raises(RuntimeError, match="must be compiled before evaluate is used"):
        not_compiled().evaluate(X, Y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"x": x, "y": y}, message) for x, y, message in BAD_XY]
    + [
        ({"batch_size": -1}, "batch_size must be an int greater than 0, got -1"),
        ({"verbose": 3}, "verbose must be 0, 1 or 2, got 3"),
        ({"sample_weight": WEIGHTS[:5]}, r"sample_weight must have shape \(40,\)"),
        ({"steps": 0}, "steps must be an int greater than 0"),
        ({"steps": 2, "batch_size": 5}, "does not go together with batch_size=5"),
        ({"x": Batches(X, Y)}, "y can't be given together with a Batches as x"),
        ({"x": Batches(X, Y).forever(), "y": None}, "steps is needed with a generator"),
    ],
)
def test_evaluate_raises_value_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        linear().evaluate(**{"x": X, "y": Y, "verbose": 0, **arguments})


# predict


def test_predict_x(tmp_path):
    (matrix,) = on_disk(tmp_path, x=X)
    for x in [*forms(X, "out_input"), matrix, Batches(X, Y)]:
        assert np.allclose(linear().predict(x), X @ ONES[0], rtol=1e-5)
    assert np.allclose(linear().predict(-X), -X @ ONES[0], rtol=1e-5)


def test_predict_batch_size():
    for given, sizes in [(None, [32, 8]), (15, [15, 15, 10])]:
        watch = Watch()
        y = linear().predict(X, batch_size=given, callbacks=[watch])
        assert watch.predict == sizes
        assert np.allclose(y, X @ ONES[0], rtol=1e-5)


def test_predict_verbose(capsys):
    linear().predict(X)
    assert capsys.readouterr().out == ""
    linear().predict(X, verbose=1)
    assert "40/40 [====" in capsys.readouterr().out


def test_predict_steps():
    once = linear().predict(X)
    assert np.array_equal(linear().predict(X, steps=2), np.concatenate([once, once]))
    assert linear().predict(Batches(X), steps=2).shape == (12, 1)


def test_predict_kwargs():
    with pytest.raises(TypeError, match="predict got unknown arguments: batchsize"):
        linear().predict(X, batchsize=3)


def test_predict_callbacks():
    watch = Watch()
    linear().predict(X, 20, callbacks=[watch])
    assert (watch.train, watch.test, watch.predict) == ([], [], [20, 20])


def test_predict_workers():
    check_workers(predicted)


def test_predict_max_queue_size():
    check_max_queue_size(predicted)


def test_predict_use_multiprocessing():
    check_use_multiprocessing(predicted)


def test_predict_returns():
    y = not_compiled().predict(X)  # needs no compile
    assert isinstance(y, np.ndarray)
    assert (y.shape, y.dtype) == ((40, 1), "float32")
    y[:] = 0  # it belongs to the caller


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"x": x}, message) for x, message in BAD_X]
    + [
        ({"batch_size": 0}, "batch_size must be an int greater than 0, got 0"),
        ({"verbose": 3}, "verbose must be 0, 1 or 2, got 3"),
        ({"steps": -1}, "steps must be an int greater than 0"),
        ({"steps": 2, "batch_size": 5}, "does not go together with batch_size=5"),
        ({"x": Batches(X), "batch_size": 5}, "batch_size can't be given together with a Batches"),
    ],
)
def test_predict_raises_value_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        linear().predict(**{"x": X, **arguments})
    with pytest.raises(ValueError, match="6 samples make 1 batch of batch_size=4, with 2 samples"):
        stateful().predict(np.zeros((6, 5, 1)), batch_size=4)


# One batch


def test_train_on_batch_x():
    losses, weights = by_hand([(X, Y)])
    for x in forms(X, "out_input"):
        model = linear()
        assert model.train_on_batch(x, Y) == pytest.approx(losses[0], rel=1e-5)
        assert same(model, weights)


def test_train_on_batch_y():
    for y, targets in [*((form, Y) for form in forms(Y, "out")), (-Y, -Y)]:
        model = linear()
        model.train_on_batch(X, y)
        assert same(model, by_hand([(X, targets)])[1])


def test_train_on_batch_sample_weight():
    for given in forms(WEIGHTS, "out"):
        model = linear()
        model.train_on_batch(X, Y, sample_weight=given)
        assert same(model, by_hand([(X, Y, WEIGHTS)])[1])
    both = linear()
    both.train_on_batch(X, LABELS, WEIGHTS, TABLE)
    assert same(both, by_hand([(X, LABELS, WEIGHTS * BY_CLASS)])[1])


def test_train_on_batch_class_weight():
    for given in [{"class_weight": TABLE}, {"sample_weight": TABLE}]:  # a dict is known for it
        model = linear()
        model.train_on_batch(X, LABELS, **given)
        assert same(model, by_hand([(X, LABELS, BY_CLASS)])[1])


def test_train_on_batch_returns():
    check_results(lambda model: model.train_on_batch(X, Y))


def test_train_on_batch_raises_runtime_error():
    with pytest.raises(RuntimeError, match="must be compiled before train_on_batch is used"):
        not_compiled().train_on_batch(X, Y)


@pytest.mark.parametrize(("x", "y", "message"), BAD_XY)
def test_train_on_batch_raises_value_error(x, y, message):
    model = linear()
    with pytest.raises(ValueError, match=message):
        model.train_on_batch(x, y)
    with pytest.raises(ValueError, match=r"sample_weight must have shape \(40,\)"):
        model.train_on_batch(X, Y, WEIGHTS[:5])
    assert same(model, ONES)


def test_test_on_batch_x():
    for x in forms(X, "out_input"):
        assert linear().test_on_batch(x, Y) == error_of(ONES, X, Y)
    assert linear().test_on_batch(-X, Y) == error_of(ONES, -X, Y)


def test_test_on_batch_y():
    for y in forms(Y, "out"):
        assert linear().test_on_batch(X, y) == error_of(ONES, X, Y)
    assert linear().test_on_batch(X, -Y) == error_of(ONES, X, -Y)


def test_test_on_batch_sample_weight():
    for given in forms(WEIGHTS, "out"):
        assert linear().test_on_batch(X, Y, given) == error_of(ONES, X, Y, WEIGHTS)


def test_test_on_batch_returns():
    check_results(lambda model: model.test_on_batch(X, Y))
    model = linear()
    model.test_on_batch(X, Y)
    assert same(model, ONES)  # nothing is trained


def test_test_on_batch_raises_runtime_error():
    with pytest.raises(RuntimeError, match="must be compiled before test_on_batch is used"):
        not_compiled().test_on_batch(X, Y)


@pytest.mark.parametrize(("x", "y", "message"), BAD_XY)
def test_test_on_batch_raises_value_error(x, y, message):
    with pytest.raises(ValueError, match=message):
        linear().test_on_batch(x, y)


def test_predict_on_batch_x():
    for x in forms(X, "out_input"):
        assert np.allclose(linear().predict_on_batch(x), X @ ONES[0], rtol=1e-5)
    assert np.allclose(linear().predict_on_batch(-X), -X @ ONES[0], rtol=1e-5)


def test_predict_on_batch_returns():
    dropping = Sequential([Dropout(0.5, input_shape=(3,))])
    y = dropping.predict_on_batch(X)  # of a prediction, and not of a step of training
    assert isinstance(y, np.ndarray)
    assert np.array_equal(y, X)
    assert not np.shares_memory(y, X)


@pytest.mark.parametrize(("x", "message"), BAD_X)
def test_predict_on_batch_raises_value_error(x, message):
    with pytest.raises(ValueError, match=message):
        linear().predict_on_batch(x)
    model = stateful()
    model.predict_on_batch(np.zeros((4, 5, 1)))
    with pytest.raises(ValueError, match="keeps the states of 4 sequences"):
        model.predict_on_batch(np.zeros((3, 5, 1)))


# fit_generator


def test_fit_generator_generator():
    for arrays in [(X, Y), (X, Y, WEIGHTS)]:
        losses, weights = by_hand(cut(*arrays))
        for data in (Batches(*arrays), Batches(*arrays).forever()):
            model = linear()
            history = model.fit_generator(data, 7, verbose=0, shuffle=False)
            assert history.history["loss"] == [mean_loss(losses, cut(X))]
            assert same(model, weights)


def test_fit_generator_steps_per_epoch():
    model, data = linear(), Batches(X, Y)
    model.fit_generator(data, steps_per_epoch=4, epochs=2, verbose=0, shuffle=False)
    assert data.made == [0, 1, 2, 3, 4, 5, 6, 0]  # it goes on where it was
    assert same(model, by_hand((cut(X, Y) * 2)[:8])[1])
    whole = Batches(X, Y)
    linear().fit_generator(whole, verbose=0)
    assert (sorted(whole.made), whole.ended) == ([0, 1, 2, 3, 4, 5, 6], 1)


def test_fit_generator_epochs():
    model = linear()
    history = model.fit_generator(Batches(X, Y), epochs=3, verbose=0, shuffle=False)
    assert history.epoch == [0, 1, 2]
    assert same(model, by_hand(cut(X, Y) * 3)[1])


def test_fit_generator_verbose(capsys):
    check_verbose_of_training("fit_generator", capsys, "7/7")


def test_fit_generator_callbacks():
    watch = Watch()
    linear().fit_generator(Batches(X, Y), verbose=0, shuffle=False, callbacks=[watch])
    assert watch.epochs == [(0, ["loss"])]
    assert watch.train == [6] * 6 + [4]


def test_fit_generator_validation_data():
    _, weights = by_hand(cut(X, Y))
    x, y, counts = X[:10], Y[:10], WEIGHTS[:10]
    for data, given in [
        ((x, y), None),
        ((x, y, counts), counts),
        (Batches(x, y, counts, size=10), counts),
        (Batches(x, y, size=10).forever(), None),
    ]:
        steps = None if isinstance(data, tuple) else 1
        batch = Batches(X, Y, size=6)
        history = linear().fit_generator(
            batch, verbose=0, shuffle=False, validation_data=data, validation_steps=steps
        )
        if given is None or steps:
            assert history.history["val_loss"] == [error_of(weights, x, y, given)]
        else:  # arrays are cut into batches as large as those of the training
            parts = [error_of(weights, *part).expected for part in cut(x, y, counts)]
            assert history.history["val_loss"] == [mean_loss(parts, cut(x))]


def test_fit_generator_validation_steps():
    held_out, watch = Batches(X, Y, size=5), Watch()
    linear().fit_generator(
        Batches(X, Y),
        epochs=2,
        verbose=0,
        validation_data=held_out,
        validation_steps=3,
        callbacks=[watch],
    )
    assert watch.test == [5] * 6
    assert sorted(held_out.made) == [0, 0, 1, 1, 2, 2]  # each validation starts over
    with pytest.warns(UserWarning, match="validation_steps has no effect on arrays"):
        linear().fit_generator(Batches(X, Y), verbose=0, validation_data=(X, Y), validation_steps=1)


def test_fit_generator_class_weight():
    model = linear()
    model.fit_generator(Batches(X, LABELS), verbose=0, shuffle=False, class_weight=TABLE)
    assert same(model, by_hand(cut(X, LABELS, BY_CLASS))[1])


def test_fit_generator_max_queue_size():
    check_max_queue_size(fitted("fit_generator"))


def test_fit_generator_workers():
    check_workers(fitted("fit_generator"))


def test_fit_generator_use_multiprocessing():
    check_use_multiprocessing(fitted("fit_generator"))


def test_fit_generator_shuffle():
    def passes(shuffle):
        data = Batches(X, Y)
        linear().fit_generator(data, epochs=3, verbose=0, shuffle=shuffle, workers=0)
        return np.reshape(data.made, (3, 7)).tolist()

    natural = list(range(7))
    assert passes(False) == [natural] * 3
    shuffled = passes(True)
    assert [sorted(order) for order in shuffled] == [natural] * 3
    assert len({tuple(order) for order in [*shuffled, natural]}) == 4


def test_fit_generator_initial_epoch():
    model = linear()
    history = model.fit_generator(
        Batches(X, Y), epochs=4, initial_epoch=2, verbose=0, shuffle=False
    )
    assert history.epoch == [2, 3]
    assert same(model, by_hand(cut(X, Y) * 2)[1])


def test_fit_generator_kwargs():
    with pytest.raises(TypeError, match="got unknown arguments: pickle_safe"):
        linear().fit_generator(Batches(X, Y), pickle_safe=True)


def test_fit_generator_nb_epoch():
    check_nb_epoch(lambda **kwargs: linear().fit_generator(Batches(X, Y), verbose=0, **kwargs))


def test_fit_generator_validation_batch_size():
    check_validation_batch_size(
        lambda **kwargs: linear().fit_generator(Batches(X, Y, size=20), verbose=0, **kwargs)
    )


def test_fit_generator_validation_freq():
    check_validation_freq(
        lambda **kwargs: linear().fit_generator(Batches(X, Y), verbose=0, **kwargs)
    )


def test_fit_generator_returns():
    model = linear(metrics=["mae"])
    check_history(
        model, model.fit_generator(Batches(X, Y), epochs=2, verbose=0, validation_data=(X, Y))
    )


def test_fit_generator_raises_runtime_error():
    with pytest.raises(RuntimeError, match="must be compiled before fit"):
        not_compiled().fit_generator(Batches(X, Y))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        *NOT_PAIRS,
        (lambda: iter([(X, Y)]), "ended after 1 batches, but 2 are needed"),
    ],
)
def test_fit_generator_raises_value_error(make, message):
    with pytest.raises(ValueError, match=message):
        linear().fit_generator(make(), steps_per_epoch=2, verbose=0)
    with pytest.raises(ValueError, match="steps_per_epoch is needed with a generator"):
        linear().fit_generator(Batches(X, Y).forever())


# evaluate_generator and predict_generator


def test_evaluate_generator_generator():
    assert linear().evaluate_generator(Batches(X, Y)) == error_of(ONES, X, Y)
    assert linear().evaluate_generator(Batches(X, Y).forever(), 7) == error_of(ONES, X, Y)
    weighted = linear().evaluate_generator(Batches(X, Y, WEIGHTS, size=40))
    assert weighted == error_of(ONES, X, Y, WEIGHTS)


def test_evaluate_generator_steps():
    data = Batches(X, Y)
    assert linear().evaluate_generator(data, steps=2) == error_of(ONES, X[:12], Y[:12])
    assert data.made == [0, 1]


def test_evaluate_generator_max_queue_size():
    check_max_queue_size(evaluated_generator)


def test_evaluate_generator_workers():
    check_workers(evaluated_generator)


def test_evaluate_generator_use_multiprocessing():
    check_use_multiprocessing(evaluated_generator)


def test_evaluate_generator_verbose(capsys):
    linear().evaluate_generator(Batches(X, Y))
    assert capsys.readouterr().out == ""
    linear().evaluate_generator(Batches(X, Y), verbose=1)
    assert "7/7 [====" in capsys.readouterr().out


def test_evaluate_generator_returns():
    check_results(lambda model: model.evaluate_generator(Batches(X, Y)))


def test_evaluate_generator_raises_runtime_error():
    with pytest.raises(RuntimeError, match="must be compiled before evaluate"):
        not_compiled().evaluate_generator(Batches(X, Y))


@pytest.mark.parametrize(("make", "message"), NOT_PAIRS)
def test_evaluate_generator_raises_value_error(make, message):
    with pytest.raises(ValueError, match=message):
        linear().evaluate_generator(make(), steps=1)
    with pytest.raises(ValueError, match="steps is needed with a generator"):
        linear().evaluate_generator(Batches(X, Y).forever())


def test_predict_generator_generator():
    class Inputs(Batches):
        def __getitem__(self, index):
            return super().__getitem__(index)[0]

    for data in (Inputs(X), Batches(X), Batches(X, Y), Batches(X, Y, WEIGHTS)):
        y = linear().predict_generator(data)
        assert np.allclose(y, X @ ONES[0], rtol=1e-5)
    y = linear().predict_generator(Batches(X).forever(), 7)
    assert np.allclose(y, X @ ONES[0], rtol=1e-5)


def test_predict_generator_steps():
    assert np.array_equal(linear().predict_generator(Batches(X), steps=2), linear().predict(X[:12]))


def test_predict_generator_max_queue_size():
    check_max_queue_size(predicted_generator)


def test_predict_generator_workers():
    check_workers(predicted_generator)


def test_predict_generator_use_multiprocessing():
    check_use_multiprocessing(predicted_generator)


def test_predict_generator_verbose(capsys):
    linear().predict_generator(Batches(X))
    assert capsys.readouterr().out == ""
    linear().predict_generator(Batches(X), verbose=1)
    assert "7/7 [====" in capsys.readouterr().out


def test_predict_generator_returns():
    y = not_compiled().predict_generator(Batches(X))
    assert isinstance(y, np.ndarray)
    assert y.shape == (40, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: iter([(X, Y, WEIGHTS, X)]), "must be an array of inputs or a tuple"),
        (lambda: iter([X[:, :2]]), "batch 0 of the generator: x does not fit layer"),
        (lambda: iter(()), "ended after 0 batches, but 1 are needed"),
        *NOT_PAIRS[-2:],
    ],
)
def test_predict_generator_raises_value_error(make, message):
    with pytest.raises(ValueError, match=message):
        linear().predict_generator(make(), steps=1)
    with pytest.raises(ValueError, match="steps is needed with a generator"):
        linear().predict_generator(Batches(X).forever())


# Classes and probabilities


def classifier():
    model = Sequential([Dense(3, activation="softmax", input_dim=3, kernel_initializer="identity")])
    model.compile("sgd", "categorical_crossentropy")
    return model


def sizes_of_prediction(call, monkeypatch):
    """Return the batch size that reaches `predict`."""
    sizes = []
    real = Sequential.predict

    def spy(self, x, batch_size=None, verbose=0, **kwargs):
        watch = Watch()
        y = real(self, x, batch_size=batch_size, verbose=verbose, callbacks=[watch], **kwargs)
        sizes.extend(watch.predict)
        return y

    with monkeypatch.context() as patch:
        patch.setattr(Sequential, "predict", spy)
        call()
    return sizes


def test_predict_classes_x():
    assert np.array_equal(classifier().predict_classes(X), X.argmax(axis=1))
    assert np.array_equal(classifier().predict_classes(-X), X.argmin(axis=1))


def test_predict_classes_batch_size(monkeypatch):
    for given, sizes in [(None, [32, 8]), (15, [15, 15, 10])]:
        assert sizes == sizes_of_prediction(
            lambda given=given: classifier().predict_classes(X, batch_size=given), monkeypatch
        )


def test_predict_classes_verbose(capsys):
    classifier().predict_classes(X)
    assert capsys.readouterr().out == ""
    classifier().predict_classes(X, verbose=1)
    assert "40/40 [====" in capsys.readouterr().out


def test_predict_classes_returns():
    classes = classifier().predict_classes(X)
    assert (classes.shape, classes.dtype.kind) == ((40,), "i")
    binary = linear().predict_classes(X)  # a single output: whether it exceeds a half
    assert (binary.shape, binary.dtype.kind) == ((40, 1), "i")
    assert np.array_equal(binary, X @ ONES[0] > 0.5)


def test_predict_proba_x():
    shares = np.exp(X) / np.exp(X).sum(axis=1, keepdims=True)
    assert np.allclose(classifier().predict_proba(X), shares, rtol=1e-5)


def test_predict_proba_batch_size(monkeypatch):
    for given, sizes in [(None, [32, 8]), (15, [15, 15, 10])]:
        assert sizes == sizes_of_prediction(
            lambda given=given: classifier().predict_proba(X, batch_size=given), monkeypatch
        )


def test_predict_proba_verbose(capsys):
    classifier().predict_proba(X)
    assert capsys.readouterr().out == ""
    classifier().predict_proba(X, verbose=1)
    assert "40/40 [====" in capsys.readouterr().out


def test_predict_proba_returns():
    assert np.array_equal(classifier().predict_proba(X), classifier().predict(X))


# Layers, weights, states


def two_layers():
    return Sequential([Dense(2, input_dim=3, name="first"), Dense(1, name="second")])


def test_get_layer_name():
    model = two_layers()
    assert model.get_layer("first") is model.layers[0]
    assert model.get_layer(name="second") is model.layers[1]


def test_get_layer_index():
    model = two_layers()
    assert [model.get_layer(index=i) for i in (0, 1, -1)] == [model.layers[i] for i in (0, 1, -1)]
    assert model.get_layer("first", 1) is model.layers[1]  # the index decides


def test_get_layer_returns():
    assert isinstance(two_layers().get_layer(index=0), Dense)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "frist"}, "frist.*first"),
        ({"index": 2}, "There is no layer 2: the model has 2 layers"),
        ({"index": -3}, "There is no layer -3"),
        ({"index": "first"}, "index must be an int, got 'first'. A name goes by name="),
        ({"index": 0.5}, "index must be an int"),
        ({"name": 0}, r"By its place: get_layer\(index=0\)"),
        ({}, "get_layer needs a name or an index"),
    ],
)
def test_get_layer_raises_value_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        two_layers().get_layer(**arguments)


def test_get_weights_returns():
    model = linear()
    kernel, bias = model.get_weights()
    assert np.array_equal(kernel, ONES[0])
    assert np.array_equal(bias, ONES[1])
    kernel[:] = 5  # a copy
    assert same(model, ONES)


def test_set_weights_weights():
    model = linear()
    model.set_weights([np.full((3, 1), 2.0), [0.5]])
    assert np.allclose(model.predict(X), 2 * X.sum(axis=1, keepdims=True) + 0.5, rtol=1e-5)


@pytest.mark.parametrize("weights", [[], ONES[:1], [np.ones((2, 1)), np.zeros(1)]])
def test_set_weights_raises_value_error(weights):
    model = linear()
    with pytest.raises(ValueError, match="weight"):
        model.set_weights(weights)
    assert same(model, ONES)


def test_count_params_returns():
    assert two_layers().count_params() == 3 * 2 + 2 + 2 + 1


def test_reset_states_acts():
    model, x = stateful(), np.ones((4, 5, 1))
    first, second = model.predict(x), model.predict(x)
    assert not np.array_equal(first, second)
    model.reset_states()
    assert np.array_equal(model.predict(x), first)


# Text and configuration


def test_summary_line_length(capsys):
    for given, length in [(None, 65), (90, 90)]:
        two_layers().summary(line_length=given)
        assert capsys.readouterr().out.splitlines()[0] == "_" * length


def test_summary_positions(capsys):
    def start_of_second_column(**kwargs):
        two_layers().summary(**kwargs)
        return capsys.readouterr().out.splitlines()[1].index("Output Shape")

    assert start_of_second_column(line_length=100) == 45
    assert start_of_second_column(line_length=100, positions=[0.3, 0.7, 1.0]) == 30
    assert start_of_second_column(positions=[20, 40, 60]) == 20


def test_summary_print_fn(capsys):
    lines = []
    two_layers().summary(print_fn=lines.append)
    assert "Total params: 11" in lines
    assert capsys.readouterr().out == ""


def test_summary_returns(capsys):
    assert two_layers().summary() is None
    assert "first (Dense)" in capsys.readouterr().out


def test_summary_raises_value_error():
    with pytest.raises(ValueError, match="The model has not been built"):
        Sequential([Dense(2)]).summary()


def test_get_config_returns():
    config = two_layers().get_config()
    assert [entry["config"]["name"] for entry in config["layers"]] == ["first", "second"]
    assert [entry["class_name"] for entry in config["layers"]] == ["Dense", "Dense"]


class Doubled(Layer):
    def call(self, x):
        return 2 * x


def test_from_config_config():
    for config in (two_layers().get_config(), two_layers().get_config()["layers"]):
        again = Sequential.from_config(config)
        assert [layer.name for layer in again.layers] == ["first", "second"]
        assert again.input_shape == (None, 3)


def test_from_config_custom_objects():
    config = Sequential([Doubled(input_shape=(3,))]).get_config()
    again = Sequential.from_config(config, custom_objects={"Doubled": Doubled})
    assert np.array_equal(again.predict(X), 2 * X)
    with pytest.raises(ValueError, match="Doubled"):
        Sequential.from_config(config)


def test_from_config_returns():
    model = two_layers()
    again = type(model).from_config(model.get_config())
    assert type(again) is Sequential
    assert again.name == model.name
    assert not np.array_equal(again.get_weights()[0], model.get_weights()[0])  # weights are new


def test_to_json_kwargs():
    assert "\n" not in two_layers().to_json()
    assert two_layers().to_json(indent=2).startswith('{\n  "class_name"')


def test_to_json_returns():
    content = json.loads(two_layers().to_json())
    assert content["class_name"] == "Sequential"
    assert content["config"]["layers"][0]["config"]["units"] == 2


# Files


def test_save_filepath(tmp_path):
    model = linear()
    model.fit(X, Y, verbose=0)
    memory = io.BytesIO()
    model.save(str(tmp_path / "text.h5"))
    model.save(tmp_path / "path.h5")
    model.save(memory)
    memory.seek(0)
    for place in (tmp_path / "text.h5", str(tmp_path / "path.h5"), memory):
        again = load_model(place)
        assert np.array_equal(again.predict(X), model.predict(X))
        assert again.test_on_batch(X, Y) == model.test_on_batch(X, Y)


class Terminal(io.StringIO):
    """A terminal at which somebody answers."""

    def isatty(self):
        return True


def check_overwrite(save, path, monkeypatch):
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", Terminal("n\ny\n"))
        save(path, overwrite=False)
        assert path.read_bytes() == b"old"
        save(path, overwrite=False)
        assert path.read_bytes() != b"old"
    path.write_bytes(b"old")
    save(path)
    assert path.read_bytes() != b"old"


def check_file_exists_error(save, path, monkeypatch):
    path.write_bytes(b"old")
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))  # nobody to ask
    with pytest.raises(FileExistsError, match="exists already. Pass overwrite=True"):
        save(path, overwrite=False)
    assert path.read_bytes() == b"old"


def test_save_overwrite(tmp_path, monkeypatch):
    check_overwrite(linear().save, tmp_path / "model.h5", monkeypatch)


def test_save_include_optimizer(tmp_path):
    model = linear(keras.optimizers.Adam(0.1))
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "with.h5")
    model.save(tmp_path / "without.h5", include_optimizer=False)

    again = load_model(tmp_path / "with.h5")
    again.train_on_batch(X, Y)
    model.train_on_batch(X, Y)
    assert np.array_equal(again.predict(X), model.predict(X))
    with pytest.warns(UserWarning, match="compile"):
        without = load_model(tmp_path / "without.h5")
    assert without.optimizer is None


def test_save_raises_value_error(tmp_path):
    with pytest.raises(ValueError, match="has no weights yet: its input shape is not known"):
        Sequential([Dense(2)]).save(tmp_path / "model.h5")
    assert list(tmp_path.iterdir()) == []


def test_save_raises_file_exists_error(tmp_path, monkeypatch):
    check_file_exists_error(linear().save, tmp_path / "model.h5", monkeypatch)


def test_save_weights_filepath(tmp_path):
    model, again = two_layers(), two_layers()
    memory = io.BytesIO()
    model.save_weights(tmp_path / "weights.h5")
    model.save_weights(memory)
    memory.seek(0)
    for place in (tmp_path / "weights.h5", memory):
        again.set_weights([0 * w for w in again.get_weights()])
        again.load_weights(place)
        assert same(again, model.get_weights())


def test_save_weights_overwrite(tmp_path, monkeypatch):
    check_overwrite(linear().save_weights, tmp_path / "weights.h5", monkeypatch)


def test_save_weights_raises_value_error(tmp_path):
    with pytest.raises(ValueError, match="has no weights yet: its input shape is not known"):
        Sequential([Dense(2)]).save_weights(tmp_path / "weights.h5")


def test_save_weights_raises_file_exists_error(tmp_path, monkeypatch):
    check_file_exists_error(linear().save_weights, tmp_path / "weights.h5", monkeypatch)


def test_load_weights_filepath(tmp_path):
    for number in (2.0, 3.0):
        model = linear()
        model.set_weights([np.full((3, 1), number), [number]])
        model.save_weights(tmp_path / f"{number}.h5")
        model.save(tmp_path / f"{number} whole.h5")
    for number in (2.0, 3.0):
        for name in (f"{number}.h5", f"{number} whole.h5"):
            model = linear()
            model.load_weights(tmp_path / name)
            assert same(model, [np.full((3, 1), number), [number]])


def test_load_weights_by_name(tmp_path):
    source = two_layers()
    source.save_weights(tmp_path / "weights.h5")
    other = Sequential([Dense(2, input_dim=3, name="second"), Dense(1, name="new")])
    with pytest.raises(ValueError, match="second"):  # by name, the shapes don't fit
        other.load_weights(tmp_path / "weights.h5", by_name=True)
    other.load_weights(tmp_path / "weights.h5")  # by order, they do
    assert same(other, source.get_weights())

    half = Sequential([Dense(2, input_dim=3, name="first"), Dense(1, name="new")])
    before = half.get_weights()
    half.load_weights(tmp_path / "weights.h5", by_name=True)
    assert same(half, source.get_weights()[:2] + before[2:])


def test_load_weights_skip_mismatch(tmp_path):
    source = two_layers()
    source.save_weights(tmp_path / "weights.h5")
    wide = Sequential([Dense(2, input_dim=3, name="first"), Dense(5, name="second")])
    before = wide.get_weights()
    with pytest.raises(ValueError, match="second"):
        wide.load_weights(tmp_path / "weights.h5", by_name=True)
    assert same(wide, before)
    with pytest.warns(UserWarning, match="second"):
        wide.load_weights(tmp_path / "weights.h5", by_name=True, skip_mismatch=True)
    assert same(wide, source.get_weights()[:2] + before[2:])


def test_load_weights_reshape(tmp_path):
    narrow = Sequential([Conv1D(2, 3, input_shape=(8, 4), name="conv"), Flatten()])
    narrow.save_weights(tmp_path / "weights.h5")
    wide = Sequential([Conv1D(2, 4, input_shape=(8, 3), name="conv"), Flatten()])
    with pytest.raises(ValueError, match="shape"):
        wide.load_weights(tmp_path / "weights.h5")
    wide.load_weights(tmp_path / "weights.h5", reshape=True)
    assert np.array_equal(wide.get_weights()[0].ravel(), narrow.get_weights()[0].ravel())


def test_load_weights_raises_value_error(tmp_path):
    two_layers().save_weights(tmp_path / "weights.h5")
    model = linear()
    with pytest.raises(ValueError, match="weights.h5"):
        model.load_weights(tmp_path / "weights.h5")
    assert same(model, ONES)


def test_load_weights_raises_os_error(tmp_path):
    (tmp_path / "text.h5").write_text("no HDF5", "utf-8")
    with pytest.raises(FileNotFoundError):
        linear().load_weights(tmp_path / "missing.h5")
    with pytest.raises(OSError, match="not an HDF5 file"):
        linear().load_weights(tmp_path / "text.h5")
