import os
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikeras.ops import parallel
from minikeras.ops.parallel import for_blocks, num_threads


@pytest.fixture
def threads(monkeypatch):
    """Return a function that sets the number of threads for this test."""

    def set_threads(count):
        monkeypatch.setenv("MINIKERAS_NUM_THREADS", str(count))
        monkeypatch.setattr(parallel, "_helpers", None)

    return set_threads


@pytest.mark.parametrize("count", [1, 2, 5])
def test_each_block_is_done_once(threads, count):
    threads(count)

    @given(st.integers(0, 200), st.integers(1, 60))
    def check(size, block):
        done = []
        for_blocks(lambda start, stop, worker: done.append((start, stop)), size, block)
        starts = range(0, size, block)
        assert sorted(done) == [(start, min(start + block, size)) for start in starts]

    check()


def test_workers_have_numbers_of_their_own(threads):
    threads(3)
    assert len(parallel._get_helpers().queues) == 2
    thread_of = {}
    mixed_up = []

    def work(start, stop, worker):
        time.sleep(0.001)
        if thread_of.setdefault(worker, threading.get_ident()) != threading.get_ident():
            mixed_up.append(worker)

    for _ in range(5):
        for_blocks(work, 30, 1)
    assert not mixed_up
    assert thread_of[0] == threading.get_ident()
    assert set(thread_of) == {0, 1, 2}


def test_threads_work_at_the_same_time(threads):
    threads(2)
    meeting = threading.Barrier(2, timeout=30)
    for_blocks(lambda start, stop, worker: meeting.wait(), 2, 1)


def test_one_block_stays_in_the_calling_thread(monkeypatch):
    monkeypatch.setattr(parallel, "_get_helpers", lambda: pytest.fail("needs no helpers"))
    calls = []
    for_blocks(lambda *call: calls.append((*call, threading.get_ident())), 7, 7)
    assert calls == [(0, 7, 0, threading.get_ident())]


def test_one_thread_starts_no_other(threads):
    threads(1)
    before = threading.active_count()
    for_blocks(lambda start, stop, worker: None, 10, 1)
    assert threading.active_count() == before
    assert parallel._get_helpers().queues == []


@pytest.mark.parametrize("bad_block", range(4))
def test_an_error_is_raised_when_all_have_stopped(threads, bad_block):
    threads(2)
    running = [0]
    lock = threading.Lock()

    def work(start, stop, worker):
        with lock:
            running[0] += 1
        try:
            time.sleep(0.005)
            if start == bad_block:
                raise ZeroDivisionError("in block")
        finally:
            with lock:
                running[0] -= 1

    with pytest.raises(ZeroDivisionError, match="in block"):
        for_blocks(work, 4, 1)
    assert running == [0]
    done = []
    for_blocks(lambda start, stop, worker: done.append(start), 4, 1)
    assert sorted(done) == [0, 1, 2, 3]


def test_an_error_ends_the_work(threads):
    threads(2)
    done = []

    def work(start, stop, worker):
        done.append(start)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        for_blocks(work, 1000, 1)
    assert len(done) <= 2


def test_a_helper_that_does_not_wake_up_is_not_waited_for(threads):
    threads(2)
    parallel._get_helpers()
    asleep = parallel._helpers.new_queue()
    parallel._helpers.queues[:] = [asleep]  # nobody listens
    done = []
    for_blocks(lambda start, stop, worker: done.append(start), 5, 1)
    assert done == [0, 1, 2, 3, 4]
    # When it wakes up in the end, there is nothing left to do.
    asleep.get().help(1)
    assert done == [0, 1, 2, 3, 4]


def test_ctrl_c_while_waiting_still_waits():
    class Signals:
        def __init__(self):
            self.calls = 0

        def get(self):
            self.calls += 1
            if self.calls < 3:
                raise KeyboardInterrupt
            job.helping = 0

    signals = Signals()
    job = parallel._Job(lambda start, stop, worker: None, 10, 1, threading.Lock(), signals)
    job.take(joining=True)
    job.wait()
    assert signals.calls == 3
    assert isinstance(job.error, KeyboardInterrupt)
    assert job.take() is None


def test_a_second_call_at_the_same_time_runs_in_its_own_thread(threads):
    threads(2)
    inner = []

    def work(start, stop, worker):
        me = threading.get_ident()
        for_blocks(lambda a, b, w: inner.append((w, threading.get_ident() == me)), 4, 1)

    for_blocks(work, 2, 1)
    assert inner == [(0, True)] * 8


def test_many_callers_at_once(threads):
    threads(2)
    totals = np.zeros(4)

    def train(number):
        for _ in range(50):
            part = np.zeros(6)

            def work(start, stop, worker, part=part):
                part[start:stop] += 1

            for_blocks(work, 6, 2)
            totals[number] += part.sum()

    callers = [threading.Thread(target=train, args=(i,)) for i in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert totals.tolist() == [300.0] * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_gets_threads_of_its_own(threads):
    threads(2)
    parallel._get_helpers()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork beside threads, on purpose
        child = os.fork()
    if child == 0:
        code = 1
        try:
            meeting = threading.Barrier(2, timeout=30)
            for_blocks(lambda start, stop, worker: meeting.wait(), 2, 1)
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_number_of_threads(monkeypatch):
    monkeypatch.setenv("MINIKERAS_NUM_THREADS", "3")
    assert num_threads() == 3
    monkeypatch.setenv("MINIKERAS_NUM_THREADS", "0")
    assert num_threads() == 1
    monkeypatch.delenv("MINIKERAS_NUM_THREADS")
    assert 1 <= num_threads() <= (os.cpu_count() or 1)
    monkeypatch.setenv("MINIKERAS_NUM_THREADS", "two")
    with pytest.raises(ValueError, match=r"MINIKERAS_NUM_THREADS must be a whole number.*'two'"):
        num_threads()


def test_no_threads_on_this_platform(threads, monkeypatch):
    threads(4)

    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    done = []
    for_blocks(lambda start, stop, worker: done.append((start, worker)), 3, 1)
    assert done == [(0, 0), (1, 0), (2, 0)]


def test_threads_are_not_imported_before_they_are_needed():
    source = parallel.__file__
    program = (
        "import sys, runpy; before = set(sys.modules); "
        f"runpy.run_path({source!r}); "
        "assert not {'threading', 'queue'} & (set(sys.modules) - before)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_general_limit_counts_if_ours_is_not_set(monkeypatch):
    monkeypatch.delenv("MINIKERAS_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert num_threads() == 3
    monkeypatch.setenv("MINIKERAS_NUM_THREADS", "2")
    assert num_threads() == 2
