"""Keras' enqueuers."""

import itertools
import os
import threading
import time

import numpy as np
import pytest

from minikeras.utils.data_utils import GeneratorEnqueuer, OrderedEnqueuer, SequenceEnqueuer
from minikeras.utils.sequence import Sequence

WAYS = [(0, False), (1, False), (3, False), pytest.param((2, True), id="processes")]


class Passes(Sequence):
    """Items tell their pass and their index."""

    def __init__(self, length=4):
        self.length = length
        self.passes = 0

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return self.passes, index

    def on_epoch_end(self):
        self.passes += 1


def some(enqueuer, count):
    return list(itertools.islice(enqueuer.get(), count))


@pytest.fixture
def threads():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("way", WAYS)
def test_passes_in_order_with_on_epoch_end_between(way, threads):
    enqueuer = OrderedEnqueuer(Passes(), use_multiprocessing=way[1])
    assert not enqueuer.is_running()
    enqueuer.start(workers=way[0], max_queue_size=3)
    assert enqueuer.is_running()
    assert some(enqueuer, 10) == [(i // 4, i % 4) for i in range(10)]
    enqueuer.stop()
    assert not enqueuer.is_running()


def test_shuffled_passes_follow_np_random(threads):
    def shuffled():
        np.random.seed(3)
        enqueuer = OrderedEnqueuer(Passes(20), shuffle=True)
        enqueuer.start(workers=2)
        found = [index for _, index in some(enqueuer, 40)]
        enqueuer.stop()
        return found

    found = shuffled()
    assert sorted(found[:20]) == sorted(found[20:]) == list(range(20))
    assert found[:20] != found[20:]
    assert shuffled() == found


def test_items_that_are_none_are_left_out(threads):
    enqueuer = OrderedEnqueuer([1, None, 2])
    enqueuer.start()
    assert some(enqueuer, 4) == [1, 2, 1, 2]
    enqueuer.stop()


def test_stop_in_between_ends_the_iterator(threads):
    enqueuer = OrderedEnqueuer(Passes())
    enqueuer.start(workers=3)
    for number, _ in enumerate(enqueuer.get()):
        if number == 6:
            enqueuer.stop()
    assert number == 6


def test_it_can_start_again(threads):
    enqueuer = OrderedEnqueuer("abc")
    for _ in range(2):
        enqueuer.start()
        assert some(enqueuer, 2) == ["a", "b"]
        enqueuer.stop()


def test_several_iterators_share_the_stream(threads):
    enqueuer = OrderedEnqueuer("abc")
    enqueuer.start()
    first, second = enqueuer.get(), enqueuer.get()
    assert [next(first), next(second), next(first)] == ["a", "b", "c"]
    first.close()
    assert next(second) == "a"
    enqueuer.stop()


def test_an_exception_stops_it(threads):
    class Failing(Passes):
        def __getitem__(self, index):
            return 1 // (2 - index)

    enqueuer = OrderedEnqueuer(Failing())
    enqueuer.start(workers=2)
    with pytest.raises(ZeroDivisionError):
        some(enqueuer, 4)
    assert not enqueuer.is_running()


def test_stop_waits_no_longer_than_its_timeout(threads):
    go_on = threading.Event()

    class Slow(Passes):
        def __getitem__(self, index):
            if index == 2:
                assert go_on.wait(60)
            return index

    enqueuer = OrderedEnqueuer(Slow())
    enqueuer.start(workers=1)
    assert some(enqueuer, 2) == [0, 1]
    begin = time.monotonic()
    enqueuer.stop(timeout=0.05)
    assert time.monotonic() - begin < 30
    go_on.set()
    enqueuer.stop()  # waits for the other


def test_errors_in_its_use():
    enqueuer = OrderedEnqueuer(Passes(0))
    with pytest.raises(RuntimeError, match="start"):
        enqueuer.get()
    enqueuer.stop()
    enqueuer.start()
    with pytest.raises(RuntimeError, match="running"):
        enqueuer.start()
    with pytest.raises(ValueError, match="Passes has no batches"):
        some(enqueuer, 1)
    with pytest.raises(NotImplementedError):
        SequenceEnqueuer(Passes())._stream()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="moves a generator to a process")
@pytest.mark.parametrize("way", [(0, False), (1, False), (1, True)])
def test_a_generator_to_its_end(way, threads):
    enqueuer = GeneratorEnqueuer(iter("abcd"), use_multiprocessing=way[1])
    enqueuer.start(workers=way[0], max_queue_size=2)
    assert "".join(enqueuer.get()) == "abcd"
    enqueuer.stop()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="moves a generator to a process")
def test_random_seed_seeds_the_process(threads):
    def draws():
        while True:
            yield np.random.rand()

    enqueuer = GeneratorEnqueuer(draws(), use_multiprocessing=True, random_seed=5)
    enqueuer.start()
    found = some(enqueuer, 3)
    enqueuer.stop()
    np.random.seed(5)
    assert found == np.random.rand(3).tolist()


def test_arguments_without_a_use_warn():
    with pytest.warns(DeprecationWarning, match="wait_time"):
        GeneratorEnqueuer(iter("a"), wait_time=0.1)
    with pytest.warns(UserWarning, match="random_seed is for worker processes"):
        GeneratorEnqueuer(iter("a"), random_seed=1)
