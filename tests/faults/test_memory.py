"""Thousands of calls leave memory flat, and leave no objects, threads or files behind."""

import contextlib
import gc
import os
import sys

import numpy as np
import pytest

import minikeras as keras
from minikeras import backend as K
from minikeras.layers import GRU, LSTM, BatchNormalization, Conv1D, Dense, Dropout, Flatten
from minikeras.models import Sequential
from tests.faults.watching import belongings, kept_by, needs_proc

# A single object that each call forgets would be at least 32 bytes a call, or one object a call.
# (Python 3.10 makes tables for a function at its 1024th call, a few hundred bytes each.)
BYTES = 2048 if sys.version_info >= (3, 11) else 65536
BYTES_A_CALL = 8
OBJECTS = 20

X = np.linspace(-1, 1, 24, dtype="float32").reshape(8, 3)
Y = X[:, :1]


def small(optimizer="adam"):
    model = Sequential(
        [
            Dense(4, activation="relu", input_dim=3),
            BatchNormalization(),
            Dropout(0.5),
            Dense(1, kernel_regularizer="l2"),
        ]
    )
    model.compile(optimizer, "mse", metrics=["mae"])
    return model


class Batches(keras.utils.Sequence):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return X + index, Y


def endless():
    while True:
        yield X, Y


def assert_flat(call, times, warm_up=20):
    size, objects = kept_by(call, times, warm_up)
    assert size < BYTES + BYTES_A_CALL * times
    assert abs(objects) < OBJECTS


CALLS = {
    "predict one batch": (500, lambda m: m.predict(X)),
    "predict batches": (300, lambda m: m.predict(X, batch_size=3)),
    "predict ever other sizes": (300, lambda m: m.predict(X[: np.random.randint(1, 9)])),
    "predict with steps": (200, lambda m: m.predict(X, steps=2)),
    "predict_on_batch": (500, lambda m: m.predict_on_batch(X)),
    "predict_classes": (300, lambda m: m.predict_classes(X)),
    "evaluate": (200, lambda m: m.evaluate(X, Y, verbose=0)),
    "test_on_batch": (300, lambda m: m.test_on_batch(X, Y)),
    "train_on_batch": (150, lambda m: m.train_on_batch(X, Y)),
    "train ever other sizes": (20, lambda m: _train_some(m)),
    "fit": (40, lambda m: m.fit(X, Y, verbose=0, batch_size=4, validation_split=0.25)),
    "predict a Sequence": (100, lambda m: m.predict(Batches(), workers=0)),
    "predict a Sequence, threads": (60, lambda m: m.predict(Batches(), workers=2)),
    "fit a Sequence": (30, lambda m: m.fit(Batches(), verbose=0, workers=2)),
    "fit a generator": (40, lambda m: m.fit(endless(), steps_per_epoch=2, verbose=0)),
    "weights": (200, lambda m: m.set_weights(m.get_weights())),
    "a wrong call": (200, lambda m: _fails(m.predict, X[:, :2])),
    "a wrong training": (100, lambda m: _fails(m.fit, X, Y[:3], verbose=0)),
}


def _train_some(model):
    for count in range(1, 9):
        model.train_on_batch(X[:count], Y[:count])


def _fails(method, *args, **kwargs):
    with pytest.raises(ValueError, match="shape|samples"):
        method(*args, **kwargs)


@needs_proc
@pytest.mark.parametrize("name", CALLS)
def test_calls_leave_memory_flat(name):
    times, call = CALLS[name]
    model = small()
    call(model)
    before = belongings()

    assert_flat(lambda: call(model), times)

    assert belongings() == before


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@needs_proc
def test_ten_thousand_predictions():
    # What tracemalloc does not see, memory of libraries, shows in the size of the process.
    model = small()
    for _ in range(100):
        model.predict(X)
    gc.collect()
    before, objects, start = belongings(), len(gc.get_objects()), resident()

    for _ in range(10_000):
        model.predict(X)

    grown = resident() - start
    gc.collect()
    assert grown < 4 * 2**20  # 400 bytes a call
    assert abs(len(gc.get_objects()) - objects) < OBJECTS
    assert belongings() == before


@contextlib.contextmanager
def without_collector():
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [LSTM(3, input_shape=(5, 2)), Dense(1)],
        lambda: [GRU(3, stateful=True, batch_input_shape=(4, 5, 2)), Dense(1)],
        lambda: [Conv1D(3, 2, input_shape=(5, 2)), Flatten(), Dropout(0.5), Dense(1)],
    ],
    ids=["LSTM", "stateful GRU", "Conv1D"],
)
def test_batches_make_no_cycles_for_the_collector(layers):
    # Where the collector has nothing to do, memory does not wait for it either.
    model = Sequential(layers())
    model.compile("rmsprop", "mse")
    x, y = np.ones((4, 5, 2), "float32"), np.ones((4, 1), "float32")

    def call():
        model.predict(x)
        model.train_on_batch(x, y)
        model.test_on_batch(x, y)

    for _ in range(10):
        call()
    with without_collector():
        for _ in range(100):
            call()
        assert gc.collect() == 0


def test_saving_and_loading_leave_memory_flat(tmp_path):
    model = small()
    path = tmp_path / "model.h5"

    def call():
        model.save(path)
        model.load_weights(path)
        keras.models.load_model(path)
        K.clear_session()

    assert_flat(call, 12, warm_up=3)


@needs_proc
def test_new_models_leave_memory_flat():
    before = belongings()

    def call():
        small(keras.optimizers.Adam(clipnorm=1.0)).fit(X, Y, verbose=0)
        K.clear_session()

    assert_flat(call, 300)
    assert belongings() == before


def test_automatic_names_are_all_that_new_models_leave():
    # Without clear_session: a counter for each kind of layer, and nothing for each model.
    assert_flat(lambda: small().fit(X, Y, verbose=0), 60)


def test_a_model_is_freed_with_its_last_name():
    import weakref

    model = small()
    model.fit(Batches(), workers=2, verbose=0, callbacks=[keras.callbacks.EarlyStopping("loss")])
    model.predict(X)
    arrays = [weakref.ref(weight.value.base) for weight in model.trainable_weights]
    gone = weakref.ref(model)
    assert all(array() is not None for array in arrays)

    del model
    gc.collect()

    assert gone() is None
    assert all(array() is None for array in arrays)


def test_the_measure_sees_a_small_leak():
    leak = []

    times = BYTES // 4
    size, objects = kept_by(lambda: leak.append(object()), times, warm_up=0)
    assert size > BYTES + BYTES_A_CALL * times

    size, objects = kept_by(lambda: leak.append([]), 50)
    assert objects > OBJECTS
    assert sys.getrefcount(leak) < 10


def test_the_measure_sees_a_cycle():
    def cycle():
        ring = []
        ring.append(ring)

    with without_collector():
        cycle()
        assert gc.collect() == 1
