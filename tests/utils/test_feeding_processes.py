"""Worker processes: what happens when one is killed, or the parent; other ways to start them."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from minikeras.utils import feeding_processes
from minikeras.utils.feeding import Puller, fetched

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="these tests fork")


class Numbers:
    def __init__(self, act=None):
        self.act = act or {}

    def __getitem__(self, index):
        if index in self.act:
            self.act[index]()
        return index


def kill_me():
    os.kill(os.getpid(), signal.SIGKILL)


def gone(pid):
    """Whether a process has ended, be it that nobody has asked for its exit code yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for(true):
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("death", "how"),
    [
        (kill_me, "was killed by signal SIGKILL"),
        (lambda: os._exit(3), "ended with exit code 3"),
        (lambda: os._exit(0), "ended with exit code 0"),
        (lambda: os.kill(os.getpid(), signal.SIGUSR1), "was killed by signal SIGUSR1"),
    ],
)
def test_a_killed_worker_is_noticed(death, how):
    dying = Numbers({9: death})
    with pytest.raises(RuntimeError, match=rf"{how} while it was making batch 9 of Numbers"):
        list(fetched(dying, range(50), 4, use_multiprocessing=True))
    assert multiprocessing.active_children() == []


def test_the_message_says_what_to_do():
    with pytest.raises(RuntimeError, match=r"Worker process 1 .*memory.*use_multiprocessing=False"):
        list(fetched(Numbers({0: kill_me}), range(5), 1, use_multiprocessing=True))


def test_it_is_noticed_while_the_consumer_waits_for_another_worker():
    dying = Numbers({0: lambda: time.sleep(60), 1: kill_me})
    begin = time.monotonic()
    with pytest.raises(RuntimeError, match="batch 1 of Numbers"):
        list(fetched(dying, range(5), 2, use_multiprocessing=True))
    assert time.monotonic() - begin < 30


def test_one_that_is_killed_while_it_waits():
    batches = fetched(Numbers(), range(5), 1, 1, use_multiprocessing=True)
    next(batches)
    (worker,) = multiprocessing.active_children()
    time.sleep(0.05)  # it makes batch 1 and waits
    worker.kill()
    worker.join()
    with pytest.raises(RuntimeError, match="SIGKILL while it was waiting for work on Numbers"):
        list(batches)


def test_one_that_is_killed_while_it_sends():
    batches = fetched([bytes(10**7)] * 9, range(9), 2, use_multiprocessing=True)
    next(batches)
    workers = multiprocessing.active_children()
    time.sleep(0.05)  # both have filled their pipes
    workers[0].kill()
    with pytest.raises(RuntimeError, match="SIGKILL"):
        list(batches)


def test_a_killed_worker_of_a_generator():
    def dying():
        yield 1
        yield 2
        kill_me()

    with Puller(dying(), 1, use_multiprocessing=True) as puller:
        with pytest.raises(RuntimeError, match="SIGKILL while it was making item 2 of dying"):
            list(puller.take(9))
        with pytest.raises(RuntimeError, match="SIGKILL"):
            list(puller.take(9))
    assert multiprocessing.active_children() == []


def test_workers_that_refuse_to_end_are_killed(monkeypatch, tmp_path):
    monkeypatch.setattr(feeding_processes, "GRACE", 0.05)

    def stubborn():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        (tmp_path / "ready").touch()
        time.sleep(60)

    batches = fetched(Numbers({1: stubborn}), range(9), 1, use_multiprocessing=True)
    next(batches)
    wait_for((tmp_path / "ready").exists)
    begin = time.monotonic()
    batches.close()
    assert time.monotonic() - begin < 30
    assert multiprocessing.active_children() == []


def test_handlers_of_the_parent_do_not_run_in_workers(monkeypatch):
    monkeypatch.setattr(feeding_processes, "GRACE", 1000)
    called = []
    old = signal.signal(signal.SIGTERM, lambda *_: called.append(1))
    try:
        batches = fetched(Numbers({1: lambda: time.sleep(60)}), range(9), 1, 10, True)
        next(batches)
        begin = time.monotonic()
        batches.close()
        assert time.monotonic() - begin < 30
    finally:
        signal.signal(signal.SIGTERM, old)


def test_workers_ignore_ctrl_c():
    class Pids:
        def __getitem__(self, index):
            os.kill(os.getpid(), signal.SIGINT)
            return os.getpid()

    assert len(set(fetched(Pids(), range(6), 2, use_multiprocessing=True))) == 2


def test_ctrl_c_is_not_blocked_afterwards():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    list(fetched(Numbers(), range(6), 2, use_multiprocessing=True))
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_two_passes_at_a_time_and_closed_in_any_order():
    first = fetched(Numbers(), range(9), 2, use_multiprocessing=True)
    second = fetched(Numbers(), range(9), 2, use_multiprocessing=True)
    assert [next(first), next(second), next(first)] == [0, 0, 1]
    first.close()
    assert list(second) == list(range(1, 9))


def test_from_a_thread():
    found = []
    thread = threading.Thread(
        target=lambda: found.extend(fetched(Numbers(), range(9), 2, use_multiprocessing=True))
    )
    thread.start()
    thread.join()
    assert found == list(range(9))


def test_more_jobs_than_a_pipe_holds_do_not_stop_the_consumer(tmp_path):
    go_on = tmp_path / "go on"
    waiting = Numbers({1: lambda: wait_for(go_on.exists)})
    batches = fetched(waiting, range(50_000), 1, 0, use_multiprocessing=True)
    assert next(batches) == 0
    go_on.touch()
    assert next(batches) == 1
    batches.close()


def test_more_items_than_a_pipe_holds_do_not_stop_the_worker():
    class Large:
        def __getitem__(self, index):
            return bytes([index % 256]) * 100_000

    batches = fetched(Large(), range(300), 1, 300, use_multiprocessing=True)
    assert [batch[-1] for batch in batches] == [index % 256 for index in range(300)]


def test_a_worker_process_has_no_workers_of_its_own():
    class Nested:
        def __getitem__(self, index):
            return list(fetched(Numbers(), range(3), 1, use_multiprocessing=True))

    with pytest.raises(RuntimeError, match="can't have worker processes of its own"):
        list(fetched(Nested(), range(3), 1, use_multiprocessing=True))


def spawning():
    return multiprocessing.get_context("spawn")


def test_where_there_is_no_fork_processes_are_spawned(monkeypatch):
    monkeypatch.setattr(feeding_processes, "_context", spawning)
    batches = fetched(range(10, 20), range(6), 2, use_multiprocessing=True)
    assert list(batches) == [10, 11, 12, 13, 14, 15]


def test_what_cannot_be_pickled_cannot_be_spawned(monkeypatch):
    monkeypatch.setattr(feeding_processes, "_context", spawning)
    local = Numbers({0: lambda: None})
    with pytest.raises(RuntimeError, match="Numbers could not be sent .*use_multiprocessing=False"):
        list(fetched(local, range(6), 2, use_multiprocessing=True))
    assert multiprocessing.active_children() == []


# Scripts of their own.


def run(script):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        # Output must be buffered for these tests.
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


ORPHANS = """
import multiprocessing, os, signal, time
from minikeras.utils import feeding_processes
from minikeras.utils.feeding import Puller, fetched

class Deaf(set):  # looks empty to who wants to close what is in there
    def __iter__(self):
        return iter(())

if {way!r} == "pipe":
    feeding_processes._end_without = lambda parent: None
else:
    feeding_processes._ends = Deaf()

class Slow:
    def __getitem__(self, index):
        time.sleep(0.1 * (index % 2))
        return bytes(10 ** 6)

def letters():
    while True:
        yield "a"

puller = Puller(letters(), 1, use_multiprocessing=True)
next(puller.take(3))
batches = fetched(Slow(), range(100), 3, use_multiprocessing=True)
next(batches)
print(*[child.pid for child in multiprocessing.active_children()], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for processes in /proc")
@pytest.mark.parametrize("way", ["pipe", "parent"])
def test_workers_end_when_the_parent_is_killed(way):
    # Each of the two ways to notice it is enough. The workers have the pipe of the output open,
    # so this returns when they are gone.
    done = run(ORPHANS.format(way=way))
    assert done.returncode == -signal.SIGKILL
    assert done.stderr == ""
    pids = done.stdout.split()
    assert len(pids) == 4
    wait_for(lambda: all(gone(pid) for pid in pids))


SCRIPT = """
import atexit, os, sys
from minikeras.utils.feeding import fetched

atexit.register(print, "exit handler")
sys.stdout.write("once ")  # stays in the buffer

class Here:  # defined in a script without a main guard
    def __init__(self):
        self.function = lambda index: index  # can't be pickled
    def __getitem__(self, index):
        return self.function(index)

print(list(fetched(Here(), range(5), 2, use_multiprocessing=True)))
"""


def test_scripts_need_no_main_guard_and_no_pickle():
    done = run(SCRIPT)
    assert done.stderr == ""
    assert done.stdout == "once [0, 1, 2, 3, 4]\nexit handler\n"


ABANDONED = """
from minikeras.utils.feeding import Puller, fetched

class Printing:
    def __getitem__(self, index):
        if index == 0:
            print("from worker", index)
        return index

batches = fetched(Printing(), range(50), 2, use_multiprocessing=True)
next(batches), next(batches), next(batches)
# Not of this module, which could not be cleaned up while its function runs in a thread.
elsewhere = {}
exec('''
import time
class Waiting:
    def __getitem__(self, index):
        if index == 2:
            time.sleep(300)
        return index
''', elsewhere)
threads = fetched(elsewhere.pop("Waiting")(), range(50), 2)
next(threads), next(threads)
puller = Puller(iter(range(9)))
next(puller.take(3))
print("end")
"""


def test_a_script_that_ends_in_between_ends():
    done = run(ABANDONED)
    assert done.stderr == ""
    assert done.stdout.split("\n") == ["from worker 0", "end", ""]
    assert done.returncode == 0


def test_what_was_forgotten_may_be_ended_while_a_process_starts():
    """By the garbage collector, which comes when it likes: it must not wait for a lock of ours."""
    script = """
import gc, os
import multiprocessing.process
from minikeras.utils.feeding import fetched

def forget():
    forgotten = fetched("abcdef", range(6), workers=1, use_multiprocessing=True)
    next(forgotten)
    cycle = [forgotten]
    cycle.append(cycle)

gc.disable()
forget()
os.register_at_fork(before=gc.collect)
print(list(fetched("abc", range(3), workers=1, use_multiprocessing=True)))
"""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("['a', 'b', 'c']\n", "")
