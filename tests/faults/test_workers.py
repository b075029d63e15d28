"""Worker processes that die or hang: an error within seconds, and nothing is left behind."""

import ctypes
import faulthandler
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import minikeras as keras
from minikeras.layers import Dense
from minikeras.models import Sequential
from tests.faults.watching import (
    alive,
    belongings,
    children,
    environment,
    needs_fork,
    needs_proc,
    run,
    wait_for,
)

resource = pytest.importorskip("resource")
pytestmark = [needs_proc, needs_fork]

X = np.linspace(-1, 1, 24, dtype="float32").reshape(8, 3)
Y = X[:, :1]
PARENT = os.getpid()


def small():
    model = Sequential([Dense(4, activation="relu", input_dim=3), Dense(1)])
    model.compile("adam", "mse")
    model.predict(X)
    return model


def crash():
    faulthandler.disable()  # nobody wants to read about this one
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.string_at(0)


DEATHS = {
    "killed": (lambda: os.kill(os.getpid(), signal.SIGKILL), "killed by signal SIGKILL"),
    "left": (lambda: os._exit(3), "exit code 3"),
    "crashed": (crash, "killed by signal SIGSEGV"),
}


class Deadly(keras.utils.Sequence):
    """Batches of which one is the death of its worker; the others take their time."""

    def __init__(self, death, at=5, seconds=0.0):
        self.death = death
        self.at = at
        self.seconds = seconds

    def __len__(self):
        return 40

    def __getitem__(self, index):
        assert os.getpid() != PARENT
        if index == self.at:
            self.death()
        time.sleep(self.seconds)
        return X, Y


def deadly_generator(death):
    yield X, Y
    yield X, Y
    death()


PROCESSES = {"workers": 4, "use_multiprocessing": True}
CALLS = {
    "fit": lambda m, d: m.fit(d, epochs=3, verbose=0, **PROCESSES),
    "fit_generator": lambda m, d: m.fit_generator(d, epochs=3, verbose=0, **PROCESSES),
    "validation": lambda m, d: m.fit(X, Y, validation_data=d, verbose=0, **PROCESSES),
    "evaluate_generator": lambda m, d: m.evaluate_generator(d, **PROCESSES),
    "predict_generator": lambda m, d: m.predict_generator(d, **PROCESSES),
}


def assert_usable(model):
    before = model.get_weights()
    model.predict(X)
    model.fit(X, Y, verbose=0)
    assert not np.array_equal(before[0], model.get_weights()[0])


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("how", DEATHS)
def test_a_dead_worker_is_an_error_and_nothing_is_left(call, how):
    death, message = DEATHS[how]
    model = small()
    before = belongings()

    with pytest.raises(RuntimeError, match=rf"Worker process \d .*{message} .*batch 5 of Deadly"):
        CALLS[call](model, Deadly(death))

    assert belongings() == before
    assert_usable(model)


@pytest.mark.parametrize("how", DEATHS)
def test_a_dead_worker_of_a_generator(how):
    death, message = DEATHS[how]
    model = small()
    before = belongings()

    with pytest.raises(RuntimeError, match=f"{message} .*item 2 of deadly_generator"):
        model.fit_generator(
            deadly_generator(death), 10, verbose=0, workers=1, use_multiprocessing=True
        )

    assert belongings() == before
    assert_usable(model)


def test_a_worker_killed_from_outside_in_the_middle_of_a_training():
    model = small()
    before = belongings()
    batches = Deadly(None, at=None, seconds=0.005)
    killed = []

    def kill():
        wait_for(lambda: len(children() - before["children"]) == 4)
        killed.append(max(children() - before["children"]))
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    start = time.monotonic()
    with pytest.raises(RuntimeError, match="killed by signal SIGKILL"):
        model.fit(batches, epochs=1000, verbose=0, **PROCESSES)
    killer.join()

    assert time.monotonic() - start < 60
    assert len(killed) == 1
    assert belongings() == before
    assert_usable(model)


def test_all_workers_killed_while_all_hang():
    model = small()
    before = belongings()
    batches = Deadly(None, at=None, seconds=1000)

    def kill():
        wait_for(lambda: len(children() - before["children"]) == 4)
        for pid in children() - before["children"]:
            os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(RuntimeError, match="killed by signal SIGKILL"):
        model.fit(batches, verbose=0, **PROCESSES)
    killer.join()

    assert belongings() == before


class Odd(Exception):
    pass


def test_what_a_worker_or_a_callback_raises_leaves_nothing_either():
    model = small()
    before = belongings()

    def odd():
        raise Odd("in a worker")

    for _ in range(3):
        with pytest.raises(Odd, match="in a worker"):
            model.fit(Deadly(odd), verbose=0, **PROCESSES)

        class Stop(keras.callbacks.Callback):
            def on_batch_end(self, batch, logs=None):
                if batch == 2:
                    raise Odd("in a callback")

        with pytest.raises(Odd, match="in a callback"):
            model.fit(Deadly(odd, at=None), verbose=0, callbacks=[Stop()], **PROCESSES)

    assert belongings() == before
    assert_usable(model)


# Scripts, without a main guard, that get their signals from outside.

SCRIPT = """
import multiprocessing, os, signal, sys, time
import numpy as np
import minikeras as keras
from minikeras.layers import Dense
from minikeras.utils import feeding_processes

feeding_processes.GRACE = 0.2  # for the worker that does not listen
X = np.ones((8, 3), "float32")

class Slow(keras.utils.Sequence):
    def __len__(self):
        return 100

    def __getitem__(self, index):
        if index > 8:
            if index % 2:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(1000)
        return X, X[:, :1]

class Tell(keras.callbacks.Callback):
    def on_batch_end(self, batch, logs=None):
        if batch == 7:
            print(*[child.pid for child in multiprocessing.active_children()], flush=True)

model = keras.Sequential([Dense(4, input_dim=3), Dense(1)])
model.compile("adam", "mse")
before = len(os.listdir("/proc/self/fd"))
try:
    model.fit(Slow(), verbose=0, shuffle=False, callbacks=[Tell()], workers=4,
              use_multiprocessing=True)
except KeyboardInterrupt:
    print("interrupted")
assert multiprocessing.active_children() == []
try:
    os.waitpid(-1, os.WNOHANG)
    print("a child is left")
except ChildProcessError:
    print("no child")
print(len(os.listdir("/proc/self/fd")) - before, "files")
print(np.isfinite(model.predict(X)).all(), len(model.fit(X, X[:, :1], verbose=0).epoch))
"""


def started():
    """Start the script in a process group of its own; return it with the numbers of its workers."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    workers = [int(word) for word in process.stdout.readline().split()]
    return process, workers


def test_ctrl_c_ends_workers_that_hang():
    process, workers = started()
    with process:
        assert len(workers) == 4
        os.killpg(process.pid, signal.SIGINT)

        output, errors = process.communicate(timeout=60)

    assert errors == ""
    assert output.split("\n") == ["interrupted", "no child", "0 files", "True 1", ""]
    assert process.returncode == 0
    wait_for(lambda: not any(map(alive, workers)))


def test_workers_end_by_themselves_when_the_parent_is_killed():
    # Also those that hang in the user's own code.
    process, workers = started()
    with process:
        assert len(workers) == 4
        process.kill()
        process.wait(60)
        try:
            wait_for(lambda: not any(map(alive, workers)), 10)
        finally:
            for worker in filter(alive, workers):
                os.kill(worker, signal.SIGKILL)


EXITS = {
    "in a callback": """
        class Leave(keras.callbacks.Callback):
            def on_batch_end(self, batch, logs=None):
                if batch == 3:
                    sys.exit(0)
        model.fit(Batches(), verbose=0, callbacks=[Leave()], **OPTIONS)
    """,
    "an abandoned generator of batches": """
        from minikeras.utils.feeding import Puller, fetched
        batches = fetched(Batches(), range(50), **OPTIONS)
        next(batches), next(batches)
        ring = [fetched(Batches(), range(50), **OPTIONS)]
        ring.append(ring)
        next(ring[0])
        puller = Puller(endless(), **{**OPTIONS, "workers": 1})
        next(puller.take(20))
    """,
    "while another thread trains": """
        def train():
            model.fit(Batches(), epochs=1000, verbose=0, **OPTIONS)
        import threading
        threading.Thread(target=train, daemon=True).start()
        time.sleep(0.2)
    """,
}

EXIT = """
import sys, time
import numpy as np
import minikeras as keras
from minikeras.layers import Dense

OPTIONS = {"workers": 3, "use_multiprocessing": sys.argv[1] == "processes"}
X = np.ones((8, 3), "float32")

class Batches(keras.utils.Sequence):
    def __len__(self):
        return 100

    def __getitem__(self, index):
        time.sleep(0.02)
        return X, X[:, :1]

def endless():
    while True:
        time.sleep(0.02)
        yield X, X[:, :1]

model = keras.Sequential([Dense(4, input_dim=3), Dense(1)])
model.compile("adam", "mse")
"""


@pytest.mark.parametrize("workers", ["threads", "processes"])
@pytest.mark.parametrize("exit", EXITS)
def test_an_interpreter_that_exits_in_the_middle_does_not_hang(exit, workers):
    # The pipe of the output is closed when the last worker is gone, and `run` waits for that.
    assert run(EXIT + textwrap.dedent(EXITS[exit]), workers, timeout=60) == ""
