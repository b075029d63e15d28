"""Gradients that come by their rows change weights as if they had come in full."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest

from minikeras import optimizer_base, optimizer_state
from minikeras.backend.rows import RowGradient
from minikeras.backend.store import WeightStore
from minikeras.backend.variables import Variable
from minikeras.ops import parallel
from minikeras.optimizers import SGD, Adadelta, Adagrad, Adam, Nadam, RMSprop
from tests.test_optimizers import VARIANTS, Halving

each_variant = pytest.mark.parametrize(("cls", "config"), VARIANTS.values(), ids=VARIANTS)


class Twins:
    """Equal weights and optimizers, of which one gets the gradients by rows."""

    def __init__(self, make, dtype="float32", rows=40, width=3):
        start = np.random.default_rng(0)
        shapes = [(5,), (rows, width), (2, 2), (rows,)]
        values = [start.standard_normal(shape) for shape in shapes]
        self.stores, self.optimizers, self.states = [], [], []
        for _ in range(2):
            variables = [
                Variable(value.astype(dtype), name=f"w{i}:0") for i, value in enumerate(values)
            ]
            self.stores.append(WeightStore(variables))
            self.optimizers.append(make())
            self.states.append(self.optimizers[-1].build(self.stores[-1].blocks))
        self.random = np.random.default_rng(1)

    def step(self, touched=6):
        """Do one step, with so many rows of the second and the last weight."""
        whole, by_rows = ([*store.gradients] for store in self.stores)
        given = {}
        for number, (one, other) in enumerate(zip(whole, by_rows, strict=True)):
            gradient = self.random.standard_normal(one.shape).astype(one.dtype)
            if number in (1, 3):
                rows = np.sort(self.random.permutation(len(gradient))[:touched])
                given[other] = RowGradient(rows, gradient[rows])
                given[other].write_to(gradient)
            self.stores[0].gradients[one][...] = gradient
            # What comes by its rows must not be looked for in the store.
            self.stores[1].gradients[other][...] = np.nan if other in given else gradient
        self.optimizers[0].apply_gradients(self.states[0])
        self.optimizers[1].apply_gradients(self.states[1], given)

    def outcomes(self):
        return [
            [*(v.numpy() for v in store.blocks[0].variables), *optimizer.get_weights()]
            for store, optimizer in zip(self.stores, self.optimizers, strict=True)
        ]

    def check(self):
        whole, by_rows = self.outcomes()
        for one, other in zip(whole, by_rows, strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


def with_threads(monkeypatch, threads):
    monkeypatch.setenv("MINIKERAS_NUM_THREADS", str(threads))
    monkeypatch.setattr(parallel, "_helpers", None)


def in_pieces(monkeypatch, threads, piece):
    with_threads(monkeypatch, threads)
    monkeypatch.setattr(optimizer_base, "PIECE", piece)
    monkeypatch.setattr(optimizer_state, "PIECE", piece)
    monkeypatch.setattr(optimizer_state, "ROW_PIECE", 2 * piece)


def without_clipnorm(config):
    """The norm is a sum that is rounded in another order."""
    return {k: v for k, v in config.items() if k != "clipnorm"}


@each_variant
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_equal_bit_for_bit(cls, config, dtype):
    twins = Twins(lambda: cls(**without_clipnorm(config)), dtype)
    for number in range(2 * optimizer_base.FLUSH_EVERY + 2):
        twins.step(touched=number % 9)
        if number in (0, 1, 5):
            twins.check()
    twins.check()


@each_variant
def test_equal_from_any_state_on(cls, config):
    """Also with slots of which some are about to become denormal, in no relation to each other."""
    twins = Twins(lambda: cls(**without_clipnorm(config)))
    random = np.random.default_rng(2)
    for one, other in zip(*(optimizer.weights for optimizer in twins.optimizers), strict=True):
        if one.shape:
            one.value[...] = 10.0 ** random.integers(-37, 0, one.shape)
            other.value[...] = one.value
    for _ in range(optimizer_base.FLUSH_EVERY):
        twins.step(touched=1)  # many rows are never touched until the flush
    twins.check()


@each_variant
@pytest.mark.parametrize("threads", [1, 2])
def test_equal_in_pieces(cls, config, threads, monkeypatch):
    in_pieces(monkeypatch, threads, piece=17)
    monkeypatch.setattr(cls, "threads_from", 0)
    monkeypatch.setattr(optimizer_base, "FLUSH_EVERY", 3)
    twins = Twins(lambda: cls(**without_clipnorm(config)))
    for touched in (6, 3, 20, 21, 40, 0, 1):
        twins.step(touched)
    twins.check()
    pieces = twins.states[1].pieces(frozenset(twins.stores[1].blocks[0].variables[1::2]))
    assert len(pieces) > 6


@each_variant
def test_who_makes_use_of_few_rows(cls, config, monkeypatch):
    twins = Twins(lambda: cls(**config))
    optimizer, found = twins.optimizers[1], []
    monkeypatch.setattr(
        optimizer, "_update_rows", lambda value, gradient, *_: found.append(len(gradient.rows))
    )
    for touched in (20, 21):  # half of the rows, and more
        twins.step(touched)
    assert found == ([] if cls is Nadam else [20, 20])


@pytest.mark.parametrize("cls", [RMSprop, Adagrad, Adadelta])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_equal_where_a_zero_epsilon_makes_nan(cls):
    twins = Twins(lambda: cls(epsilon=0.0))
    twins.step()
    twins.check()
    assert np.isnan(twins.outcomes()[1][1]).any()


@pytest.mark.parametrize("cls", [SGD, RMSprop, Adam])
def test_clipping_by_the_norm_of_all_gradients(cls, monkeypatch):
    in_pieces(monkeypatch, 1, piece=16)
    twins = Twins(lambda: cls(clipnorm=0.5), "float64")
    for _ in range(4):
        twins.step()
        for one, other in zip(*twins.outcomes(), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-13)


class SubclassWithARule(RMSprop):
    """A rule of one's own must see every weight, whatever class it comes from."""

    def update(self, value, gradient, accumulators, scratch, lr, rho, epsilon):
        accumulators += 1
        value -= lr * gradient + 0.1


class SubclassWithASchedule(RMSprop):
    def step_constants(self, lr, t):
        lr, rho, epsilon = super().step_constants(lr, t)
        return lr * t, rho / t, epsilon


class SubclassOfAdam(Adam):
    def update(self, *args):
        super().update(*args)
        args[0][...] -= 0.1


@pytest.mark.parametrize("cls", [Halving, SubclassWithARule, SubclassWithASchedule, SubclassOfAdam])
def test_optimizers_of_the_users(cls):
    twins = Twins(cls)
    for _ in range(4):
        twins.step()
    twins.check()


def test_momentum_that_comes_and_goes():
    twins = Twins(lambda: SGD(lr=0.1))
    for momentum in (0.0, 0.5, 0.0, 0.0, 0.9):
        for optimizer in twins.optimizers:
            optimizer.momentum = momentum
        for _ in range(2):
            twins.step()
    twins.check()


def test_some_steps_by_rows_and_others_not():
    twins = Twins(RMSprop)
    for number in range(6):
        twins.step()
        if number % 2:
            for store, optimizer in zip(twins.stores, twins.optimizers, strict=True):
                store.blocks[0].gradients.fill(0.5)
                optimizer.apply_gradients()
    twins.check()


def test_order_of_weights_does_not_depend_on_how_gradients_come():
    twins = Twins(Adam)
    twins.step()
    names = [[w.name for w in optimizer.weights] for optimizer in twins.optimizers]
    assert names[0] == names[1]
    assert [name.split("/")[1] for name in names[1][1:5]] == ["w0", "w1", "w2", "w3"]


def test_training_goes_on_from_saved_weights():
    twins = Twins(Adam)
    twins.step()
    saved = twins.optimizers[1].get_weights()
    for optimizer, state in zip(twins.optimizers, twins.states, strict=True):
        optimizer.set_weights([np.zeros_like(w) for w in saved])
        optimizer.set_weights(saved)
        assert optimizer._state is state
    twins.step()
    twins.check()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_stands_by_itself(copied):
    twins = Twins(RMSprop)
    twins.step()
    before = twins.outcomes()[1]
    theirs = copied(twins)
    for store in theirs.stores:
        store.claim()
    theirs.step()
    theirs.check()
    for one, other in zip(before, twins.outcomes()[1], strict=True):
        np.testing.assert_array_equal(one, other)
    twins.step()
    twins.check()


@pytest.mark.parametrize("cls", [SGD, RMSprop, Adagrad, Adadelta, Adam])
def test_a_step_allocates_nothing_large(cls, monkeypatch):
    with_threads(monkeypatch, 1)  # a second one has memory of its own, from its first piece on
    table = Variable(np.zeros((20_000, 100), "float32"))
    store, optimizer = WeightStore([table]), cls()
    state = optimizer.build(store.blocks)
    values = np.ones((1000, 100), "float32")
    random = np.random.default_rng(0)

    def steps(counts):
        for count in counts:
            rows = np.sort(random.permutation(20_000)[:count])
            optimizer.apply_gradients(state, {table: RowGradient(rows, values[:count])})

    steps([1000] * 3)
    tracemalloc.start()
    try:
        steps([900, 10, 950, *[1] * optimizer_base.FLUSH_EVERY])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 400_000  # random.permutation takes 160 kB, the table 8 MB, 950 rows 380 kB
