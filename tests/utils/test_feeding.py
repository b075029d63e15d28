"""Items made ahead: what holds for the calling thread, for threads and for processes alike."""

import gc
import multiprocessing
import os
import random
import signal
import threading
import time
import traceback

import numpy as np
import pytest

from minikeras.utils import feeding_items
from minikeras.utils.feeding import Puller, fetched

# (workers, use_multiprocessing)
WAYS = [(0, False), (1, False), (4, False), (1, True), (4, True)]
AHEAD = [way for way in WAYS if way[0]]
PULLING = [(0, False), (1, False), (1, True)]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="these tests fork")


def what_is_there():
    """Threads, processes, open files and shared memory."""
    folders = [path for path in ("/proc/self/fd", "/dev/shm") if os.path.isdir(path)]
    return (
        set(threading.enumerate()),
        set(multiprocessing.active_children()),
        [sorted(os.listdir(path)) for path in folders],
    )


@pytest.fixture(autouse=True)
def nothing_left_behind():
    list(fetched(range(2), range(2), 1))  # what is loaded at first use is no leak
    before = what_is_there()
    yield
    if what_is_there() != before:
        gc.collect()  # pytest holds on to exceptions, and they to the frames of the test
    assert what_is_there() == before


class Numbers:
    """Items are their indices; some have something else to do first."""

    def __init__(self, act=None):
        self.act = act or {}

    def __getitem__(self, index):
        if index in self.act:
            self.act[index]()
        return index


class Dice:
    """Items that draw from everything there is to draw from."""

    def __getitem__(self, index):
        return index, np.random.rand(3).tolist(), np.random.randn(), random.random()


class OddOne(Exception):
    """An exception that pickle can write but not read."""

    def __init__(self, first, second):
        super().__init__(f"{first}, {second}")


def fail(error):
    raise error


def items(sequence, indices, way, **options):
    workers, processes = way
    return fetched(sequence, indices, workers, use_multiprocessing=processes, **options)


def states():
    return str(np.random.get_state()[1:]), random.getstate()


# Order.


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("count", [0, 1, 3, 40])
def test_each_item_once_and_in_order(way, count):
    order = np.random.permutation(count)
    slow = Numbers({0: lambda: time.sleep(0.02), 5: lambda: time.sleep(0.02)})
    assert list(items(slow, order, way, max_queue_size=3)) == order.tolist()


@pytest.mark.parametrize("way", WAYS)
def test_indices_may_repeat_and_come_from_an_iterator(way):
    assert list(items(Numbers(), iter([1, 1, 0, 1]), way)) == [1, 1, 0, 1]


@pytest.mark.parametrize("way", WAYS)
def test_nothing_happens_before_the_first_item_is_asked_for(way):
    generator = items(Numbers({0: lambda: fail(AssertionError)}), [0, 1], way)
    generator.close()


@pytest.mark.parametrize("way", AHEAD)
@pytest.mark.parametrize("limit", [1, 3, 6])
def test_works_ahead_as_far_as_the_limit_and_no_further(way, limit, tmp_path):
    class Traces:
        def __getitem__(self, index):
            (tmp_path / str(index)).touch()
            return index

    def made():
        return len(list(tmp_path.iterdir()))

    ahead = max(limit, way[0])
    for consumed, item in enumerate(items(Traces(), range(20), way, max_queue_size=limit), 1):
        assert item == consumed - 1
        if consumed in (1, 2, 9, 20):
            expected = min(20, consumed + ahead)
            if consumed == 1 and not way[1]:
                expected = 1  # the first item is made alone; threads start afterwards
            wait_for(lambda expected=expected: made() >= expected)
            time.sleep(0.02)
            assert made() == expected


@pytest.mark.parametrize("processes", [False, True])
def test_zero_means_no_limit(processes, tmp_path):
    class Traces:
        def __getitem__(self, index):
            (tmp_path / str(index)).touch()

    with_all = fetched(Traces(), range(200), 1, 0, processes)
    next(with_all)
    next(with_all)
    wait_for(lambda: len(list(tmp_path.iterdir())) >= (50 if processes else 200))
    assert sum(1 for _ in with_all) == 198


def test_workers_work_side_by_side():
    meeting = threading.Barrier(3, timeout=20)
    together = Numbers(dict.fromkeys([1, 2, 3], meeting.wait))
    assert list(fetched(together, range(4), 3)) == [0, 1, 2, 3]


def test_processes_work_side_by_side(tmp_path):
    def meet():
        (tmp_path / str(os.getpid())).touch()
        wait_for(lambda: len(list(tmp_path.iterdir())) == 3)

    together = Numbers(dict.fromkeys([0, 1, 2], meet))
    assert list(fetched(together, range(3), 3, use_multiprocessing=True)) == [0, 1, 2]


@pytest.mark.parametrize("way", WAYS)
def test_each_pass_sees_what_has_changed_since_the_last(way):
    changing = [1, 2]
    assert list(items(changing, [0, 1], way)) == [1, 2]
    changing[0] = 5
    assert list(items(changing, [0, 1], way)) == [5, 2]


def test_batches_of_processes_can_be_written_to():
    batches = fetched([(np.zeros(3), np.ones(2))], [0], use_multiprocessing=True)
    x, _ = next(batches)
    x += 1
    batches.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": -1}, "workers must be 0 .* or more, got -1"),
        ({"seed": -1}, "seed must be from 0"),
        ({"seed": 2**32}, "seed must be from 0"),
    ],
)
def test_wrong_arguments_are_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        fetched(Numbers(), [0], **options)


# Leaving.


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("leave", ["close", "break", "throw", "forget"])
def test_leaves_nothing_behind(way, leave):
    generator = items(Numbers(), range(100), way)
    assert [next(generator), next(generator)] == [0, 1]
    if leave == "close":
        generator.close()
    elif leave == "break":
        for _ in generator:
            break
    elif leave == "throw":
        with pytest.raises(ZeroDivisionError):
            generator.throw(ZeroDivisionError())
    del generator


@pytest.mark.parametrize("way", WAYS)
def test_ctrl_c_gets_through(way):
    pause = Numbers({3: lambda: time.sleep(0.4)})
    timer = threading.Timer(0.15, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        list(items(pause, range(6), way))
    timer.join()


def test_leaving_threads_waits_for_the_items_in_the_making_only():
    made = []

    def slow():
        time.sleep(0.05)
        made.append(1)

    generator = fetched(Numbers(dict.fromkeys(range(1, 50), slow)), range(50), 2, 40)
    next(generator)
    next(generator)
    generator.close()
    assert len(made) <= 4


def test_without_threads_on_the_platform_items_are_made_here(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert list(fetched(Numbers(), range(5), 2)) == [0, 1, 2, 3, 4]
    with Puller(iter("abc")) as puller:
        assert list(puller.take(2)) == ["a", "b"]


# Exceptions.


def notes_of(error):
    return " ".join(error.__notes__)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at", [0, 1, 5])
def test_an_exception_comes_out_as_itself_after_the_items_before(way, at):
    received = []
    with pytest.raises(KeyError) as caught:
        received.extend(items(Numbers({at: lambda: fail(KeyError("lost"))}), range(9), way))
    assert received == list(range(at))
    assert caught.value.args == ("lost",)
    assert f"batch {at} of Numbers" in notes_of(caught.value)
    shown = "".join(traceback.format_exception(caught.value))
    assert "in fail" in shown
    assert f"batch {at} of Numbers" in shown
    if way[1]:
        assert "made in worker process" in notes_of(caught.value)
    elif way[0] and at:
        assert "made in worker thread" in notes_of(caught.value)


@pytest.mark.parametrize("workers", [0, 2])
def test_in_threads_it_is_the_same_object(workers):
    error = ValueError("this one")
    with pytest.raises(ValueError, match="this one") as caught:
        list(fetched(Numbers({3: lambda: fail(error)}), range(9), workers))
    assert caught.value is error


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at", [0, 3])
def test_stop_iteration_does_not_end_the_epoch(way, at):
    with pytest.raises(RuntimeError, match=rf"__getitem__\({at}\) raised StopIteration"):
        list(items(Numbers({at: lambda: next(iter([]))}), range(9), way))


@pytest.mark.parametrize("way", WAYS)
def test_system_exit_comes_out_too(way):
    with pytest.raises(SystemExit, match="enough"):
        list(items(Numbers({3: lambda: fail(SystemExit("enough"))}), range(9), way))


def test_an_exception_that_cannot_be_pickled_still_arrives():
    class Local(Exception):
        pass

    failing = Numbers({3: lambda: fail(Local("cannot travel"))})
    with pytest.raises(RuntimeError, match="Local: cannot travel") as caught:
        list(fetched(failing, range(9), 2, use_multiprocessing=True))
    assert "in fail" in str(caught.value)
    assert "batch 3 of Numbers" in notes_of(caught.value)


def test_an_exception_that_cannot_be_read_still_arrives():
    failing = Numbers({3: lambda: fail(OddOne("one", "two"))})
    with pytest.raises(RuntimeError, match="OddOne: one, two"):
        list(fetched(failing, range(9), 2, use_multiprocessing=True))


def test_an_exception_that_cannot_be_shown_still_arrives():
    class Mute(Exception):
        def __str__(self):
            raise ValueError

    with pytest.raises(RuntimeError, match="Mute"):
        list(fetched(Numbers({0: lambda: fail(Mute())}), [0], use_multiprocessing=True))


def test_an_item_that_cannot_be_pickled_is_an_error_with_its_index():
    with pytest.raises(Exception, match="pickle") as caught:
        list(fetched({5: lambda: 0}, [5], use_multiprocessing=True))
    assert "batch 5 of dict, made in worker process 1" in notes_of(caught.value)


def test_before_python_3_11_the_note_is_seen_as_a_cause():
    class Old(Exception):
        add_note = property()  # hasattr says no

    first, error = KeyError("first"), Old("second")
    error.__context__ = first
    feeding_items.annotate(error, "batch 3 of Numbers")
    assert error.__notes__ == ["batch 3 of Numbers"]
    assert str(error.__cause__) == "batch 3 of Numbers"
    assert error.__cause__.__cause__ is first


# Random numbers.


@pytest.mark.parametrize("way", WAYS)
def test_random_items_do_not_depend_on_who_makes_them(way):
    expected = list(fetched(Dice(), range(12), 0, seed=7))
    assert len({str(item) for item in expected}) == 12
    random.seed(1)
    before = states()
    found = []
    for item in items(Dice(), range(12), way, seed=7):
        assert states() == before
        found.append(item)
    assert found == expected


def test_what_counts_is_the_position_and_the_seed():
    def draws(indices, seed):
        return [item[1:] for item in fetched(Dice(), indices, 0, seed=seed)]

    assert draws([3, 4], 7) == draws([8, 3], 7)
    assert draws([3, 4], 7) != draws([3, 4], 8)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("draw", [np.random.rand, np.random.randn, random.random, None])
def test_one_kind_of_draw_is_enough_to_be_seen(way, draw):
    drawn = draw or (lambda: np.random.randint(0, 2**32, 624, np.uint32)[5])  # one whole block

    class Draws:
        def __getitem__(self, index):
            return drawn()

    assert list(items(Draws(), range(5), way)) == list(fetched(Draws(), range(5), 0))
    assert len(set(items(Draws(), range(5), way))) == 5


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("draw", [np.random.rand, random.random])
@pytest.mark.parametrize("drawing", [{4, 5, 6}, {9}, {1, 20}])
def test_one_that_draws_late_and_seldom_is_found_out(drawing, draw, way):
    class Late:
        def __getitem__(self, index):
            return draw() if index in drawing else 0

    expected = list(fetched(Late(), range(30), 2, 4, True, seed=3))
    before = states()

    assert list(items(Late(), range(30), way, seed=3)) == expected
    assert states() == before


@pytest.mark.parametrize("workers", [0, 3])
def test_a_consumer_that_draws_disturbs_nobody(workers):
    np.random.seed(5)
    drawn = []
    for item in fetched(Numbers(), range(30), workers):
        assert item == len(drawn)
        drawn.append(np.random.rand())
    np.random.seed(5)
    assert drawn == [np.random.rand() for _ in range(30)]


@pytest.mark.parametrize("way", WAYS)
def test_with_another_bit_generator_in_np_random(way):
    old = np.random.get_bit_generator()
    try:
        np.random.set_bit_generator(np.random.PCG64(5))
        expected = list(fetched(Dice(), range(4), 0, seed=7))
        assert list(items(Dice(), range(4), way, seed=7)) == expected
        assert list(items(Numbers(), range(4), way)) == [0, 1, 2, 3]
    finally:
        np.random.set_bit_generator(old)


# Generators.


def letters():
    yield from "abcdefghij"


@pytest.mark.parametrize("way", PULLING)
def test_takes_what_is_asked_for_and_no_more(way):
    with Puller(letters(), way[0], 4, way[1]) as puller:
        assert "".join(puller.take(3)) == "abc"
        assert "".join(puller.take(0)) == ""
        assert "".join(puller.take(5)) == "defgh"
        assert "".join(puller.take(9)) == "ij"
        assert "".join(puller.take(9)) == ""


@pytest.mark.parametrize("workers", [0, 1])
def test_the_position_of_the_generator_does_not_depend_on_workers(workers):
    def draws():
        while True:
            yield np.random.rand()

    generator = draws()
    np.random.seed(3)
    with Puller(generator, workers) as puller:
        taken = list(puller.take(5))
        taken.append(np.random.rand())
        taken.extend(puller.take(2))
    taken.append(next(generator))
    np.random.seed(3)
    assert taken == [np.random.rand() for _ in range(9)]


def test_the_generator_of_this_process_stays_where_it_is():
    generator = letters()
    with Puller(generator, 1, use_multiprocessing=True) as puller:
        assert "".join(puller.take(3)) == "abc"
    assert next(generator) == "a"


@pytest.mark.parametrize("way", PULLING)
def test_items_that_were_not_used_come_first_the_next_time(way):
    with Puller(letters(), way[0], 4, way[1]) as puller:
        for letter in puller.take(8):
            if letter == "b":
                break
        assert "".join(puller.take(3)) == "cde"


@pytest.mark.parametrize("way", PULLING)
def test_an_exception_of_a_generator_names_the_item(way):
    def failing():
        yield 1
        yield 2
        raise KeyError("three")

    received = []
    with Puller(failing(), way[0], 4, way[1]) as puller:
        with pytest.raises(KeyError, match="three") as caught:
            received.extend(puller.take(8))
        assert received == [1, 2]
        assert list(puller.take(2)) == []
    assert "item 2 of failing" in notes_of(caught.value)
    assert "in failing" in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("way", PULLING)
def test_ctrl_c_gets_through_to_a_generator_too(way):
    def slow():
        yield 1
        time.sleep(0.4)
        yield 2

    timer = threading.Timer(0.15, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt), Puller(slow(), way[0], 4, way[1]) as puller:
        list(puller.take(2))
    timer.join()


def test_a_worker_lives_until_close():
    seen = []

    def where():
        while True:
            yield os.getpid()

    with Puller(where(), 1, use_multiprocessing=True) as puller:
        for _ in range(3):
            seen.extend(puller.take(2))
    assert len(set(seen)) == 1
    assert seen[0] != os.getpid()


def test_several_threads_are_one():
    def slowly():
        for number in range(20):
            time.sleep(0.001)
            yield number

    with Puller(slowly(), 5) as puller:
        assert list(puller.take(20)) == list(range(20))


def test_several_processes_are_one_with_a_warning():
    with pytest.warns(UserWarning, match="'letters' runs in one, not in workers=3"):
        puller = Puller(letters(), 3, use_multiprocessing=True)
    with puller:
        assert "".join(puller.take(20)) == "abcdefghij"


def test_without_fork_a_generator_cannot_be_moved(monkeypatch):
    monkeypatch.delattr(os, "fork")
    with pytest.raises(ValueError, match="no fork. Use use_multiprocessing=False"):
        Puller(letters(), 1, use_multiprocessing=True)


def test_a_closed_puller_says_so():
    puller = Puller(letters())
    puller.close()
    puller.close()
    with pytest.raises(RuntimeError, match="closed"):
        puller.take(1)


def test_a_forgotten_puller_ends_its_thread():
    puller = Puller(letters())
    list(puller.take(1))
    thread = puller._lines[0].thread
    del puller
    gc.collect()
    thread.join(20)
    assert not thread.is_alive()


def wait_for(true):
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.mark.parametrize("way", WAYS)
def test_a_normal_number_that_lay_in_store_is_noticed(way):
    class Late:
        def __getitem__(self, index):
            return np.random.randn() if index == 5 else 0.0

    np.random.seed(0)
    np.random.randn()  # the second of the pair is kept for the next call
    before = states()
    found = list(items(Late(), range(12), way, seed=7))
    assert found == list(fetched(Late(), range(12), 2, 4, True, seed=7))
    assert states() == before


@pytest.mark.parametrize("way", WAYS)
def test_an_error_that_depends_on_a_late_draw_is_the_same_for_all(way):
    class Late:
        def __init__(self, limit):
            self.limit = limit

        def __getitem__(self, index):
            if index == 5 and np.random.rand() > self.limit:
                raise LookupError
            return index

    np.random.seed(0)  # the first number from here is more than 0.5
    before = states()
    assert list(items(Late(0.5), range(8), way, seed=7)) == [*range(8)]
    with pytest.raises(LookupError):
        list(items(Late(-1), range(8), way, seed=7))
    assert states() == before
