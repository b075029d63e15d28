"""Ctrl-C at random times: the model stays usable, and nothing is left behind.

The signals are real ones, from another process. When they come is drawn with a seed, in units of
what the call takes on this machine.
"""

import pytest

from tests.faults.watching import needs_proc, run

SCRIPT = """
import os, random, signal, sys, time
import numpy as np
import minikeras as keras
from minikeras.layers import Dense, Dropout
from minikeras.ops import blas
from tests.faults.watching import belongings

# Somebody else sends the signals: a thread that is just being started can't stand one itself.
orders, pacer = os.pipe(), os.fork()
if pacer == 0:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.close(orders[1])
    while order := os.read(orders[0], 100):
        time.sleep(float(order))
        os.kill(os.getppid(), signal.SIGINT)
    os._exit(0)
os.close(orders[0])

os.chdir(sys.argv[2])
KIND, COUNT = sys.argv[1], int(sys.argv[3])
wide = KIND == "large arrays"
WIDTH, SAMPLES = (384, 512) if wide else (16, 64)
X = np.linspace(-1, 1, SAMPLES * 8, dtype="float32").reshape(SAMPLES, 8)
Y = X[:, :1]
EPOCHS = 3

class Batches(keras.utils.Sequence):
    def __len__(self):
        return 20

    def __getitem__(self, index):
        time.sleep(0.0002)
        return X[:8], Y[:8]

def endless():
    while True:
        yield X[:8], Y[:8]

class Count(keras.callbacks.Callback):
    begun = ended = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.begun += 1

    def on_epoch_end(self, epoch, logs=None):
        self.ended += 1

def new_model():
    np.random.seed(0)
    model = keras.Sequential([Dense(WIDTH, activation="relu", input_dim=8), Dropout(0.2),
                              Dense(WIDTH), Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    return model

count = Count()
OPTIONS = {"epochs": EPOCHS, "verbose": 0, "callbacks": [count]}
CALLS = {
    "arrays": lambda: model.fit(X, Y, batch_size=4, validation_split=0.25, **OPTIONS),
    "large arrays": lambda: model.fit(X, Y, batch_size=256, **OPTIONS),
    "generator": lambda: model.fit(endless(), steps_per_epoch=30, **OPTIONS),
    "generator here": lambda: model.fit(endless(), steps_per_epoch=30, workers=0, **OPTIONS),
    "threads": lambda: model.fit(Batches(), workers=3, validation_data=Batches(), **OPTIONS),
    "processes": lambda: model.fit(Batches(), workers=3, use_multiprocessing=True, **OPTIONS),
    "save": lambda: model.save("model.h5"),
    "evaluate": lambda: [model.evaluate(X, Y, batch_size=4, verbose=0) for _ in range(3)],
    "predict": lambda: [model.predict(X) for _ in range(50)],
}
call = CALLS[KIND]

def blas_threads():
    return None if blas._threads._functions is None else blas._threads._functions[0]()

def handle(number, frame):
    global come
    come = True
    raise KeyboardInterrupt

def interrupted(delay):
    # Tell whether Ctrl-C came out of the call.
    global come
    come, count.begun, count.ended = False, 0, 0
    working = True
    try:
        os.write(orders[1], b"%f" % delay)
        call()
        working = False
        while not come:
            time.sleep(0.001)
    except KeyboardInterrupt:
        pass
    return working

model = new_model()
call()
signal.signal(signal.SIGINT, handle)
start = time.perf_counter()
call()
pace = time.perf_counter() - start
model.predict(X)
outside, before, dice, hits = blas_threads(), belongings(), random.Random(1), 0
while hits < COUNT:
    # A signal in a callback of the garbage collector (h5py has many) is lost. So is one too late.
    hit = interrupted(dice.uniform(0, pace))
    hits += hit
    pace *= 1.2 if hit else 0.8  # keep up with what the machine can do meanwhile
    if KIND not in ("save", "evaluate", "predict"):
        history = model.history if count.begun else keras.callbacks.History()  # it had not begun
        done = len(history.epoch)
        assert history.epoch == list(range(done)), history.epoch
        assert all(len(values) == done for values in history.history.values()), history.history
        # Between the last callback and the history, one may be on its way.
        ended = count.ended
        assert ended - 1 <= done <= ended <= count.begun, (done, ended, count.begun)
    if KIND == "save" and os.path.exists("model.h5"):
        keras.models.load_model("model.h5")
        assert os.listdir(".") == ["model.h5"], os.listdir(".")
    assert np.isfinite(model.predict(X)).all()
    assert blas_threads() == outside, (blas_threads(), outside)
    left = belongings()
    assert left == before, (left, before)
    if hits % 5 == 1:
        assert len(model.fit(X, Y, verbose=0).epoch) == 1
call()
print("done")
"""


@needs_proc
@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("arrays", 10),
        ("large arrays", 10),
        ("generator", 10),
        ("generator here", 8),
        ("threads", 10),
        ("processes", 10),
        ("save", 10),
        ("evaluate", 8),
        ("predict", 8),
    ],
)
def test_ctrl_c(kind, count, tmp_path):
    # At the end a call goes through.
    assert run(SCRIPT, kind, tmp_path, count) == "done\n"
