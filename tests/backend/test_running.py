import threading

import numpy as np
import pytest

from minikeras import backend as K
from minikeras.backend.context import Context
from minikeras.backend.running import (
    current,
    fixed_phase,
    forget_phase,
    generator,
    inside,
    phase_set_by_user,
    records,
    set_learning_phase,
)
from minikeras.engine import Layer
from minikeras.models import Sequential


def test_no_pass_at_first():
    assert current() is None
    assert records()


def test_passes_nest_and_end():
    outer, inner = Context(), Context(records=False)
    with inside(outer):
        assert current() is outer
        assert records()
        with inside(inner):
            assert current() is inner
            assert not records()
        with inside(None):
            assert current() is None
            assert records()
        assert current() is outer
    assert current() is None


def test_an_exception_leaves_the_pass():
    def fail():
        with inside(Context()), inside(Context(records=False)):
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError):
        fail()
    assert current() is None
    with inside(outer := Context()):
        with pytest.raises(RuntimeError):
            fail()
        assert current() is outer


def test_the_same_pass_may_be_entered_twice():
    ctx = Context()
    with inside(ctx), inside(ctx):
        assert current() is ctx
    assert current() is None


def test_threads_have_passes_of_their_own():
    seen, both = {}, threading.Barrier(2)

    def work(name, training):
        ctx = Context(training=training, records=training)
        with inside(ctx):
            both.wait(5)
            seen[name] = current() is ctx, records(), K.learning_phase()
            both.wait(5)

    threads = [
        threading.Thread(target=work, args=("train", True)),
        threading.Thread(target=work, args=("test", False)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {"train": (True, True, 1), "test": (True, False, 0)}
    assert current() is None


def test_a_new_thread_is_in_no_pass():
    seen = []
    with inside(Context()):
        thread = threading.Thread(target=lambda: seen.append(current()))
        thread.start()
        thread.join()
    assert seen == [None]


# --- random numbers ---------------------------------------------------------------------------


def test_random_numbers_follow_the_seed_outside_of_a_pass():
    np.random.seed(3)
    first = generator().random(3)
    np.random.seed(3)
    np.testing.assert_array_equal(generator().random(3), first)
    assert not np.array_equal(generator().random(3), first)


def test_random_numbers_of_a_pass_are_the_contexts():
    ctx = Context()
    with inside(ctx):
        assert generator() is ctx.generator
        assert generator() is generator()


# --- the phase --------------------------------------------------------------------------------


class Phase(Layer):
    """Add the phase to the input."""

    def call(self, x, training=None):
        return x + float(training) + 10.0 * K.learning_phase()


def test_a_fixed_phase_holds_for_all_passes():
    model = Sequential([Phase(input_shape=(1,))])
    x = np.zeros((1, 1))
    assert model.predict(x).item() == 0.0
    set_learning_phase(1)
    assert (phase_set_by_user(), fixed_phase(False)) == (1, True)
    assert model.predict(x).item() == 11.0
    set_learning_phase(0)
    assert fixed_phase(True) is False
    model.compile("sgd", "mse")
    assert model.train_on_batch(x, x) == 0.0
    forget_phase()
    assert (phase_set_by_user(), fixed_phase(True), fixed_phase(False)) == (None, True, False)
    assert model.train_on_batch(x, x) == 121.0


def test_bool_is_a_phase():
    set_learning_phase(True)
    assert phase_set_by_user() == 1
    assert K.learning_phase() == 1


@pytest.mark.parametrize("value", [2, -1, "train", None, 0.5])
def test_other_phases_are_refused(value):
    with pytest.raises(ValueError, match=r"0 \(test\) or 1 \(training\), got"):
        set_learning_phase(value)
    assert phase_set_by_user() is None


def test_explicit_training_beats_the_fixed_phase_for_arrays():
    set_learning_phase(0)
    assert Phase()(np.zeros((1, 1)), training=True).item() == 11.0


def test_explicit_training_beats_the_fixed_phase_for_tensors():
    set_learning_phase(0)
    assert Phase()(K.variable(np.zeros((1, 1))), training=True).value.item() == 11.0
