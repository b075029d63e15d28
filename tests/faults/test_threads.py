"""Several threads on one model, and on several models: the same numbers as from one thread."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import minikeras as keras
from minikeras.layers import (
    GRU,
    LSTM,
    Activation,
    BatchNormalization,
    Bidirectional,
    Conv2D,
    ConvLSTM2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling2D,
    Lambda,
    Masking,
    MaxPooling2D,
    TimeDistributed,
)
from minikeras.models import Sequential

THREADS = 8

MODELS = {
    "dense": ((20,), lambda: [Dense(64, activation="relu"), BatchNormalization(), Dense(3)]),
    # Large enough for the threads inside of a computation.
    "wide": ((600,), lambda: [Dense(900, activation="tanh"), Dropout(0.5), Dense(600)]),
    "conv": (
        (12, 12, 3),
        lambda: [Conv2D(8, 3), DepthwiseConv2D(3), MaxPooling2D(), GlobalAveragePooling2D()],
    ),
    "LSTM": ((6, 5), lambda: [Masking(), LSTM(7, return_sequences=True), GRU(4)]),
    "wrappers": (
        (6, 5),
        lambda: [Bidirectional(LSTM(4, return_sequences=True)), TimeDistributed(Dense(2))],
    ),
    "ConvLSTM2D": ((3, 6, 6, 2), lambda: [ConvLSTM2D(3, 3), Flatten(), Activation("softmax")]),
    "Lambda": ((8,), lambda: [Lambda(lambda x: keras.backend.exp(-x)), Dense(2)]),
    "nested": ((8,), lambda: [Sequential([Dense(6), Dropout(0.2)]), Sequential([Dense(2)])]),
}


@pytest.fixture(autouse=True)
def many_switches():
    """Let Python change threads five hundred times as often as it does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def made(name):
    shape, layers = MODELS[name]
    model = Sequential(layers())
    model.build((None, *shape))
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(64, *shape)).astype("float32")
    return model, x


def together(works):
    """Do all the work at once, each in a thread; raise what one of them raises."""
    barrier = threading.Barrier(len(works))

    def start(work):
        barrier.wait(60)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(start, works))


@pytest.mark.parametrize("name", MODELS)
def test_eight_threads_predict_what_one_does(name):
    model, x = made(name)
    # Each has data of its own, in batches of its own size.
    parts = [x[i * 8 : i * 8 + 8] for i in range(THREADS)]
    expected = [model.predict(part, batch_size=i + 1) for i, part in enumerate(parts)]

    def work(i):
        calls = (
            lambda: model.predict(parts[i], batch_size=i + 1),
            lambda: model.predict_on_batch(parts[i]),
        )
        return [calls[n % 2]() for n in range(6)]

    found = together([lambda i=i: work(i) for i in range(THREADS)])

    for i in range(THREADS):
        for n, result in enumerate(found[i]):
            if n % 2 == 0:
                np.testing.assert_array_equal(result, expected[i])
            else:
                np.testing.assert_allclose(result, expected[i], rtol=1e-4, atol=1e-5)


def test_a_model_that_is_not_built_is_built_once():
    for _ in range(20):
        model = Sequential([Dense(5), Dropout(0.5), Dense(2)])
        x = np.ones((3, 4), "float32")

        found = together([lambda m=model: m.predict(x)] * THREADS)  # noqa: B023

        assert len(model.weights) == 4
        for result in found:
            np.testing.assert_array_equal(result, model.predict(x))


def test_the_first_evaluation_may_come_from_many_threads():
    for _ in range(20):
        model, x = made("dense")
        y = np.zeros((64, 3), "float32")

        found = together([lambda m=model: m.evaluate(x, y, verbose=0)] * THREADS)  # noqa: B023

        assert len(set(found)) == 1
        before = model.get_weights()
        model.train_on_batch(x, y)  # what is trained is what predicts
        assert not np.array_equal(before[0], model.get_weights()[0])
        assert model.evaluate(x, y, verbose=0) < found[0]


def train(model, x, epochs=3):
    shape = model.predict(x[:1]).shape
    y = np.zeros((len(x), *shape[1:]), "float32")
    np.random.seed(1)
    return model.fit(x, y, epochs=epochs, batch_size=16, verbose=0, shuffle=False)


@pytest.mark.parametrize("name", ["dense", "wide", "conv", "LSTM"])
def test_while_another_model_is_trained(name):
    model, x = made(name)
    expected = model.predict(x)
    alone, other = made("dense"), made("dense")
    other[0].set_weights(alone[0].get_weights())
    train(*alone)

    found = together([lambda: train(*other), *[lambda: model.predict(x)] * (THREADS - 1)])

    for result in found[1:]:
        np.testing.assert_array_equal(result, expected)
    for a, b in zip(alone[0].get_weights(), other[0].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["dense", "wide", "LSTM"])
def test_while_the_model_itself_is_trained(name):
    # Predictions may be those of weights in the middle of a change. The training is not disturbed.
    (alone, x), (model, _) = made(name), made(name)
    model.set_weights(alone.get_weights())
    for dropout in [layer for m in (alone, model) for layer in m.layers if "dropout" in layer.name]:
        dropout.rate = 0.0
    train(alone, x)
    stop = threading.Event()

    def predict():
        count = 0
        while not stop.is_set():
            assert np.isfinite(model.predict(x)).all()
            count += 1
        return count

    def fit():
        try:
            train(model, x)
        finally:
            stop.set()

    together([fit, *[predict] * 4])

    for a, b in zip(alone.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_each_thread_trains_a_model_of_its_own():
    models = [made("dense") for _ in range(2 * THREADS)]
    for model, _ in models:
        model.set_weights(models[0][0].get_weights())
    expected = [train(*models[0]).history["loss"], models[0][0].get_weights()]

    histories = together([lambda m=model, x=x: train(m, x) for model, x in models[1:]])

    for (model, _), history in zip(models[1:], histories, strict=True):
        assert history.history["loss"] == expected[0]
        for a, b in zip(model.get_weights(), expected[1], strict=True):
            np.testing.assert_array_equal(a, b)


def test_two_threads_that_train_one_model_are_one_with_an_error():
    model, x = made("wide")
    y = np.zeros((64, 600), "float32")
    errors = []

    def work():
        try:
            for _ in range(30):
                model.train_on_batch(x, y)
        except RuntimeError as error:
            errors.append(str(error))

    together([work] * 4)

    assert errors
    assert all("being trained by another thread" in error for error in errors)
    model.train_on_batch(x, y)  # nothing is left of it


def test_a_stateful_model_stays_whole():
    # Whose states come next is a matter of timing; but they are those of one call or another.
    model = Sequential([LSTM(4, stateful=True, batch_input_shape=(2, 3, 5)), Dense(2)])
    x = np.random.default_rng(0).normal(size=(2, 3, 5)).astype("float32")
    first = model.predict(x)

    results = together([lambda: [model.predict(x) for _ in range(5)]] * THREADS)

    assert np.isfinite(results).all()
    assert np.abs(results).max() < 100
    model.reset_states()
    np.testing.assert_array_equal(model.predict(x), first)


def test_many_threads_save_at_once(tmp_path):
    model, x = made("dense")
    path = tmp_path / "model.h5"

    together([lambda: [model.save(path) for _ in range(4)]] * 4)

    assert [p.name for p in tmp_path.iterdir()] == ["model.h5"]
    np.testing.assert_array_equal(keras.models.load_model(path).predict(x), model.predict(x))


def test_embedding_rows_are_looked_up_by_many():
    model = Sequential([Embedding(50, 4, input_length=6), Flatten(), Dense(2)])
    x = np.random.default_rng(0).integers(0, 50, (32, 6))
    expected = model.predict(x)

    for result in together([lambda: model.predict(x)] * THREADS):
        np.testing.assert_array_equal(result, expected)
