import copy
import inspect
import pickle
import threading
import tracemalloc

import numpy as np
import pytest

import minikeras.backend as K
from minikeras import optimizer_base, optimizer_state, optimizers
from minikeras.backend.store import WeightBlock, WeightStore
from minikeras.backend.variables import Scalar, Variable
from minikeras.ops import parallel
from minikeras.optimizers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    Hyperparameter,
    Nadam,
    Optimizer,
    RMSprop,
)
from minikeras.utils.registry import CustomObjectScope
from tests.golden.optimizers_2_2_4 import RULES
from tests.golden.reader import iter_cases

CLASSES = [SGD, RMSprop, Adagrad, Adadelta, Adam, Adamax, Nadam]

# Each class with every argument away from its default.
VARIANTS = {
    "sgd": (SGD, {}),
    "sgd_momentum": (SGD, {"lr": 0.02, "momentum": 0.8, "decay": 0.1}),
    "sgd_nesterov": (SGD, {"lr": 0.02, "momentum": 0.8, "decay": 0.1, "nesterov": True}),
    "sgd_clip": (SGD, {"clipnorm": 2.0, "clipvalue": 0.05}),
    "rmsprop": (RMSprop, {"lr": 0.02, "rho": 0.8, "epsilon": 1e-3, "decay": 0.1}),
    "adagrad": (Adagrad, {"lr": 0.02, "epsilon": 1e-3, "decay": 0.1}),
    "adadelta": (Adadelta, {"lr": 0.7, "rho": 0.8, "epsilon": 1e-3, "decay": 0.1}),
    "adadelta_lr_1": (Adadelta, {}),
    "adam": (
        Adam,
        {"lr": 0.02, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3, "decay": 0.1},
    ),
    "adam_amsgrad": (
        Adam,
        {"lr": 0.02, "beta_1": 0.8, "beta_2": 0.7, "epsilon": 1e-3, "decay": 0.1, "amsgrad": True},
    ),
    "adamax": (
        Adamax,
        {"lr": 0.02, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3, "decay": 0.1},
    ),
    "nadam": (
        Nadam,
        {"lr": 0.02, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3, "schedule_decay": 0.1},
    ),
}
each_variant = pytest.mark.parametrize(("cls", "config"), VARIANTS.values(), ids=VARIANTS)
each_class = pytest.mark.parametrize("cls", CLASSES)


def block_of(*values, dtype="float64"):
    return WeightBlock([Variable(np.array(v, dtype), name=f"w{i}:0") for i, v in enumerate(values)])


def start(optimizer, *values, dtype="float64"):
    """Build the optimizer on some weights and return their block."""
    block = block_of(*values, dtype=dtype)
    optimizer.build([block])
    return block


def step(optimizer, block, gradient):
    block.gradients[:] = gradient
    optimizer.apply_gradients()
    return block.values.copy()


def run(optimizer, block, steps, seed=0):
    """Do some steps with random gradients, different for each weight and each step."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        step(optimizer, block, rng.normal(size=block.values.size) * np.exp(rng.normal()))
    return block.values.copy()


# The numbers.


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (SGD(lr=0.1), [0.95, 0.9]),
        # lr: 0.1, then 0.1 / 2
        (SGD(lr=0.1, decay=1.0), [0.95, 0.925]),
        # v: -0.05, then -0.025 - 0.05
        (SGD(lr=0.1, momentum=0.5), [0.95, 0.875]),
        # steps: -0.025 - 0.05, then -0.0375 - 0.05
        (SGD(lr=0.1, momentum=0.5, nesterov=True), [0.925, 0.8375]),
        (SGD(lr=0.1, nesterov=True), [0.95, 0.9]),
        # a = 0.25 * 0.25, its root 0.25
        (RMSprop(lr=0.1, rho=0.75, epsilon=0.25), [1 - 0.05 / 0.5]),
        # a = 0.25, its root 0.5; then 0.5
        (Adagrad(lr=0.1, epsilon=0.5), [0.95, 0.95 - 0.05 / (0.5**0.5 + 0.5)]),
        # a + epsilon = 0.0625 + 0.1875, its root 0.5; d = 0
        (Adadelta(rho=0.75, epsilon=0.1875), [1 - 0.5 * 0.1875**0.5 / 0.5]),
        (Adadelta(lr=0.1, rho=0.75, epsilon=0.1875), [1 - 0.1 * 0.1875**0.5]),
        # m = 0.25, v = 0.0625, lr_t = 0.1 * 0.5 / 0.5
        (Adam(lr=0.1, beta_1=0.5, beta_2=0.75, epsilon=0.25), [0.95]),
        # m = 0.25, u = 0.5, lr_t = 0.1 / 0.5
        (Adamax(lr=0.1, beta_1=0.5, beta_2=0.75, epsilon=0.5), [0.95]),
        # c = 0.25; n = 0.75 * 0.5 / 0.75 + 0.25 * 0.25 / (1 - 0.0625); v / 0.25 = 0.25
        (
            Nadam(lr=0.1, beta_1=0.5, beta_2=0.75, epsilon=0.5, schedule_decay=0.0),
            [1 - 0.1 * (0.5 + 0.0625 / 0.9375)],
        ),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, Optimizer) else "",
)
def test_by_hand(optimizer, expected):
    block = start(optimizer, 1.0)
    got = [step(optimizer, block, 0.5).item() for _ in expected]
    assert got == pytest.approx(expected, rel=1e-14)


def test_amsgrad_by_hand():
    optimizer = Adam(lr=0.1, beta_1=0.5, beta_2=0.75, epsilon=0.25, amsgrad=True)
    block = start(optimizer, 1.0)
    assert step(optimizer, block, 0.5).item() == pytest.approx(0.95, rel=1e-14)
    # m = 0.125, v = 0.046875, but vhat stays 0.0625; lr_t = 0.1 * sqrt(1 - 0.75**2) / 0.75
    lr_t = 0.1 * 0.4375**0.5 / 0.75
    assert step(optimizer, block, 0.0).item() == pytest.approx(0.95 - lr_t * 0.25, rel=1e-14)


@each_variant
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 2e-6)])
def test_many_steps_follow_the_formula_of_keras_2_2_4(cls, config, dtype, tolerance):
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=shape).astype(dtype) for shape in [(7, 5), (5,), (1, 3, 2)]]
    optimizer = cls(**config)
    block = start(optimizer, *weights, dtype=dtype)
    defaults = {"lr": float(cls().lr)}
    rule = RULES[cls.__name__]([w.astype("float64") for w in weights], {**defaults, **config})
    expected = [w.astype("float64") for w in weights]
    for _ in range(70):  # past the steps that look for denormal numbers
        gradients = [rng.normal(size=w.shape).astype(dtype) for w in weights]
        step(optimizer, block, np.concatenate([g.ravel() for g in gradients]))
        expected = rule.step(expected, [g.astype("float64") for g in gradients])
    for variable, wanted in zip(block.variables, expected, strict=True):
        assert variable.dtype == dtype
        np.testing.assert_allclose(variable.value, wanted, rtol=tolerance, atol=tolerance)
    assert_state(optimizer, rule.get_weights(), dtype, 10 * tolerance)


def assert_state(optimizer, expected, dtype, tolerance):
    """Compare `get_weights` with another's, in order, shape and type."""
    state = optimizer.get_weights()
    assert [a.shape for a in state] == [np.shape(a) for a in expected]
    first = 0
    if optimizer.saves_iterations:
        assert state[0].dtype == np.int64
        assert state[0] == expected[0]
        first = 1
    for got, wanted in zip(state[first:], expected[first:], strict=True):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("case", list(iter_cases("optimizers.npz")), ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_golden(case, dtype):
    """Five steps of a small network that real Keras trained; see tests/golden."""
    optimizer = optimizers.deserialize(case.optimizer)
    x, y = case.x.astype(dtype), case.y.astype(dtype)
    block = start(optimizer, *case.weights0, dtype=dtype)
    for _ in range(5):
        kernel1, bias1, kernel2, bias2 = (v.value for v in block.variables)
        hidden = np.tanh(x @ kernel1 + bias1)
        error = hidden @ kernel2 + bias2 - y
        d_output = 2 * error / error.size
        d_hidden = (d_output @ kernel2.T) * (1 - hidden**2)
        gradients = [x.T @ d_hidden, d_hidden.sum(0), hidden.T @ d_output, d_output.sum(0)]
        step(optimizer, block, np.concatenate([g.ravel() for g in gradients]))
    for variable, wanted in zip(block.variables, case.weights5, strict=True):
        np.testing.assert_allclose(variable.value, wanted, rtol=2e-5, atol=2e-6)
    # A squared gradient near zero doubles the relative error of the gradient, in float32.
    assert_state(optimizer, case.slots, dtype, 5e-5)


@each_variant
def test_blocks_do_not_mix(cls, config):
    """Blocks of several types and lengths come out as if each were alone."""
    config = {k: v for k, v in config.items() if k != "clipnorm"}
    kinds = [("float32", 3), ("float64", 50), ("float16", 7), ("float32", 40)]

    def train(which):
        optimizer = cls(**config)
        blocks = [block_of(np.ones(size), dtype=dtype) for dtype, size in which]
        optimizer.build(blocks)
        for _ in range(40):
            for block in blocks:
                block.gradients[:] = np.linspace(-1, 1, block.values.size)
            optimizer.apply_gradients()
        return [block.values for block in blocks]

    for values, (dtype, size) in zip(train(kinds), kinds, strict=True):
        (alone,) = train([(dtype, size)])
        assert values.dtype == dtype
        assert np.array_equal(values, alone)


# Clipping.


def test_clipnorm_takes_the_norm_of_all_gradients_together():
    optimizer = SGD(lr=1.0, clipnorm=2.0)
    block = start(optimizer, [0.0, 0.0], [[0.0]])
    # The norm is 10: all shrink to a fifth, also the vector of length 6.
    np.testing.assert_allclose(step(optimizer, block, [6.0, 0.0, 8.0]), [-1.2, 0.0, -1.6])


def test_clipnorm_spans_weights_of_different_types():
    optimizer = SGD(lr=1.0, clipnorm=2.0)
    blocks = [block_of([0.0], dtype="float32"), block_of([0.0], dtype="float64")]
    optimizer.build(blocks)
    blocks[0].gradients[:], blocks[1].gradients[:] = 6.0, 8.0
    optimizer.apply_gradients()
    assert [b.values.item() for b in blocks] == pytest.approx([-1.2, -1.6])


@pytest.mark.parametrize("bounds", [{"clipnorm": 10.0}, {"clipnorm": 0.0}, {"clipvalue": 0.0}])
def test_short_gradients_and_zero_bounds_are_left_alone(bounds):
    optimizer = SGD(lr=1.0, **bounds)
    block = start(optimizer, [0.0, 0.0])
    assert step(optimizer, block, [6.0, 8.0]).tolist() == [-6.0, -8.0]


def test_clipvalue_limits_each_entry():
    optimizer = SGD(lr=1.0, clipvalue=0.5)
    block = start(optimizer, [0.0, 0.0, 0.0])
    assert step(optimizer, block, [-3.0, 0.25, 7.0]).tolist() == [0.5, -0.25, -0.5]


def test_clipvalue_comes_after_clipnorm():
    optimizer = SGD(lr=1.0, clipnorm=2.0, clipvalue=1.5)
    block = start(optimizer, [0.0, 0.0])
    np.testing.assert_allclose(step(optimizer, block, [6.0, 8.0]), [-1.2, -1.5])


# Pieces and threads.


def run_with(monkeypatch, cls, config, threads, piece=optimizer_state.PIECE):
    monkeypatch.setenv("MINIKERAS_NUM_THREADS", str(threads))
    monkeypatch.setattr(parallel, "_helpers", None)
    monkeypatch.setattr(optimizer_state, "PIECE", piece)
    monkeypatch.setattr(cls, "threads_from", 0)
    optimizer = cls(**config)
    block = start(optimizer, np.linspace(-1, 1, 5003), dtype="float32")
    values = run(optimizer, block, 35)
    return [values, *optimizer.get_weights()], len(optimizer._state.pieces())


@each_variant
def test_pieces_do_not_change_the_result(cls, config, monkeypatch):
    # The norm is a sum; how it is rounded depends on the pieces, whose length is fixed.
    config = {k: v for k, v in config.items() if k != "clipnorm"}
    expected, count = run_with(monkeypatch, cls, config, threads=1)
    assert count == 1
    for piece in (17, 1000, 3000):
        got, count = run_with(monkeypatch, cls, config, threads=1, piece=piece)
        assert count > 1
        assert all(map(np.array_equal, got, expected))


@each_variant
def test_threads_do_not_change_the_result(cls, config, monkeypatch):
    expected, _ = run_with(monkeypatch, cls, config, threads=1, piece=500)
    for threads in (2, 3):
        got, _ = run_with(monkeypatch, cls, config, threads, piece=500)
        assert all(map(np.array_equal, got, expected))


@pytest.mark.parametrize(("threads_from", "workers"), [(5000, {0, 1}), (5001, {0})])
def test_few_weights_stay_in_one_thread(threads_from, workers, monkeypatch):
    monkeypatch.setenv("MINIKERAS_NUM_THREADS", "2")
    monkeypatch.setattr(parallel, "_helpers", None)
    monkeypatch.setattr(optimizer_state, "PIECE", 500)
    monkeypatch.setattr(Halving, "threads_from", threads_from)
    meeting = threading.Barrier(len(workers), timeout=30)
    optimizer = Halving()
    block = start(optimizer, np.ones(5000))
    monkeypatch.setattr(optimizer, "update", lambda *args: meeting.wait())
    step(optimizer, block, 1.0)
    assert {worker for worker, *_ in optimizer._scratch} == workers


@pytest.mark.parametrize("size", [0, 1, 100, 294_911, 294_912, 670_000, 8_000_000, 8_000_001])
def test_pieces_are_equal_aligned_and_even_in_number(size):
    length = optimizer_state._piece_length(size, optimizer_state.PIECE)
    pieces = [min(length, size - start) for start in range(0, size, length)]
    assert sum(pieces) == size
    assert length % 16 == 0
    assert len(pieces) < 2 or len(pieces) % 2 == 0
    assert max(pieces, default=0) <= 1.5 * optimizer_state.PIECE
    assert not pieces or max(pieces) - min(pieces) < 16 * len(pieces)


@each_variant
def test_a_step_allocates_nothing(cls, config):
    optimizer = cls(**config)
    block = start(optimizer, np.ones(100_000), dtype="float32")
    for _ in range(2):
        step(optimizer, block, 0.5)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in range(optimizer_base.FLUSH_EVERY):
            block.gradients.fill(0.5)
            optimizer.apply_gradients()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A vector has 400 kB. NumPy's buffer for a cast, once every 32 steps, has 32 kB or so.
    assert peak - before < 100_000


# Denormal numbers.


def denormals(optimizer):
    arrays = [a for a in optimizer.get_weights() if a.ndim and a.size > 1]
    return sum(int(((a != 0) & (np.abs(a) < np.finfo(a.dtype).tiny)).sum()) for a in arrays)


DECAYING = {
    "sgd": (SGD, {"momentum": 0.9}),
    "sgd_fast": (SGD, {"momentum": 0.66}),
    "rmsprop": (RMSprop, {}),
    "adadelta": (Adadelta, {}),
    "adam": (Adam, {"beta_2": 0.98}),
    "adamax": (Adamax, {"beta_2": 0.98}),
    "nadam": (Nadam, {"beta_2": 0.98}),
}


@pytest.mark.parametrize(("cls", "config"), DECAYING.values(), ids=DECAYING)
def test_slots_never_become_denormal(cls, config):
    optimizer = cls(**config)
    block = start(optimizer, np.ones(100), dtype="float32")
    run(optimizer, block, 3)
    for number in range(5000):
        block.gradients.fill(0)
        optimizer.apply_gradients()
        if number % 5 == 0:  # at all distances from the step that looks for them
            assert denormals(optimizer) == 0
    assert not any(a.any() for a in optimizer.get_weights() if a.ndim)
    np.testing.assert_array_less(0, block.values)


@pytest.mark.parametrize(("cls", "config"), DECAYING.values(), ids=DECAYING)
def test_without_the_flush_they_would(cls, config, monkeypatch):
    monkeypatch.setattr(optimizer_base, "FLUSH_EVERY", 10**9)
    optimizer = cls(**config)
    block = start(optimizer, np.ones(100), dtype="float32")
    run(optimizer, block, 3)
    for _ in range(5000):
        block.gradients.fill(0)
        optimizer.apply_gradients()
    assert denormals(optimizer) > 0


@pytest.mark.parametrize(("dtype", "floor"), [("float32", 1e-32), ("float64", 1e-302)])
def test_what_the_flush_takes_and_leaves(dtype, floor):
    tiny, small = 0.9 * floor, 1.1 * floor
    values = np.array([tiny, -tiny, small, -small, 0, 1, np.inf, -np.inf, np.nan], dtype)
    vector = values.copy()
    optimizer_base._flush(vector, np.empty_like(vector))
    expected = values * [0, 0, 1, 1, 1, 1, 1, 1, 1]
    assert vector.dtype == dtype
    np.testing.assert_array_equal(vector, expected.astype(dtype))


# The learning rate and its like.


def test_lr_is_one_number_by_two_names():
    optimizer = SGD(learning_rate=0.5)
    assert float(optimizer.lr) == 0.5
    optimizer.learning_rate = 0.25
    assert float(optimizer.lr) == 0.25
    assert optimizer.learning_rate is optimizer.lr
    assert "learning_rate" not in optimizer.get_config()


@pytest.mark.parametrize("arguments", [((0.1,), {}), ((), {"lr": 0.1})])
def test_lr_given_twice(arguments):
    args, kwargs = arguments
    with pytest.raises(TypeError, match="Adam: 'lr' and 'learning_rate' are two names of one"):
        Adam(*args, learning_rate=0.2, **kwargs)


def test_lr_may_change_between_steps():
    optimizer = SGD(lr=1.0)
    block = start(optimizer, 0.0)
    assert step(optimizer, block, 1.0) == -1
    optimizer.lr = 0.5
    assert step(optimizer, block, 1.0) == -1.5
    optimizer.lr.assign(0.25)  # what K.set_value does
    assert step(optimizer, block, 1.0) == -1.75
    optimizer.lr *= 2
    assert step(optimizer, block, 1.0) == -2.25


def test_other_numbers_may_change_too():
    optimizer = SGD(lr=1.0)
    block = start(optimizer, 0.0)
    step(optimizer, block, 1.0)
    optimizer.momentum.assign(0.5)
    assert step(optimizer, block, 1.0) == -2.5
    optimizer.decay = 0.5
    optimizer.iterations = 0
    optimizer.momentum = 0
    assert step(optimizer, block, 1.0) == -3.5
    assert step(optimizer, block, 1.0) == pytest.approx(-3.5 - 1 / 1.5)


def test_lr_reads_as_a_number():
    optimizer = SGD(lr=0.1)
    lr = optimizer.lr
    assert isinstance(lr, Variable)
    assert isinstance(lr.numpy(), float)  # what K.get_value returns
    assert lr == 0.1
    assert lr < 0.2
    assert lr * 2 == 0.2
    assert 1 - lr == 0.9
    assert lr / (1.0 + optimizer.decay * optimizer.iterations) == 0.1
    assert f"{lr:.3f} {lr}" == "0.100 0.1"
    assert f"{float(lr):g}" == "0.1"
    assert round(lr, 1) == 0.1
    assert repr(lr) == "<Scalar 'SGD/lr:0' = 0.1>"
    assert np.asarray(lr).shape == ()
    # A new number, as with any float: the optimizer must not change behind one's back.
    lr *= 5
    assert lr == 0.5
    assert float(optimizer.lr) == 0.1


def test_lr_leaves_the_type_of_arrays_alone():
    ones = np.ones(3, "float32")
    assert (SGD().lr * ones).dtype == "float32"
    out = np.zeros(3, "float32")
    assert np.multiply(SGD(lr=0.5).lr, ones, out=out) is out
    assert out.tolist() == [0.5] * 3


def test_iterations_count_steps_and_read_as_an_integer():
    optimizer = SGD()
    block = start(optimizer, 1.0)
    run(optimizer, block, 3)
    assert isinstance(optimizer.iterations, Scalar)
    assert optimizer.iterations == 3
    assert list(range(optimizer.iterations)) == [0, 1, 2]
    assert f"{optimizer.iterations:03d}" == "003"
    assert int(optimizer.iterations) + 1 == 4
    assert optimizer.iterations
    assert {optimizer.iterations.dtype.name} == {"int64"}


def test_epsilon_is_that_of_the_backend_when_the_optimizer_is_made():
    K.set_epsilon(1e-3)
    optimizer = Adam()
    K.set_epsilon(1e-7)
    assert optimizer.epsilon == 1e-3
    assert Adam(epsilon=0.0).epsilon == 0.0


# Names and configs.


def test_every_public_class_is_in_the_registry():
    public = {
        name: value
        for name, value in vars(optimizers).items()
        if inspect.isclass(value) and issubclass(value, Optimizer) and value is not Optimizer
    }
    assert set(public.values()) == set(CLASSES)
    assert set(public) <= set(optimizers.__all__)
    for name, cls in public.items():
        assert type(optimizers.get(name)) is cls
        assert public[cls.__name__.lower()] is cls


@each_class
def test_each_way_to_name_an_optimizer(cls):
    name = cls.__name__
    config = {"class_name": name, "config": cls(lr=0.25).get_config()}
    for identifier in (name, name.lower(), name.upper(), cls):
        assert type(optimizers.get(identifier)) is cls
    for identifier in (config, {**config, "class_name": name.lower()}):
        assert float(optimizers.get(identifier).lr) == 0.25
    optimizer = cls()
    assert optimizers.get(optimizer) is optimizer


def test_configs_have_the_keys_and_defaults_of_keras_2_2_4():
    adam = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
    expected = {
        SGD: {"lr": 0.01, "momentum": 0.0, "decay": 0.0, "nesterov": False},
        RMSprop: {"lr": 0.001, "rho": 0.9, "decay": 0.0, "epsilon": 1e-7},
        Adagrad: {"lr": 0.01, "decay": 0.0, "epsilon": 1e-7},
        Adadelta: {"lr": 1.0, "rho": 0.95, "decay": 0.0, "epsilon": 1e-7},
        Adam: {"lr": 0.001, "decay": 0.0, "amsgrad": False, **adam},
        Adamax: {"lr": 0.002, "decay": 0.0, **adam},
        Nadam: {"lr": 0.002, "schedule_decay": 0.004, **adam},
    }
    assert {cls: cls().get_config() for cls in CLASSES} == expected


def test_positional_arguments_are_in_keras_order():
    order = {
        SGD: ["lr", "momentum", "decay", "nesterov"],
        RMSprop: ["lr", "rho", "epsilon", "decay"],
        Adagrad: ["lr", "epsilon", "decay"],
        Adadelta: ["lr", "rho", "epsilon", "decay"],
        Adam: ["lr", "beta_1", "beta_2", "epsilon", "decay", "amsgrad"],
        Adamax: ["lr", "beta_1", "beta_2", "epsilon", "decay"],
        Nadam: ["lr", "beta_1", "beta_2", "epsilon", "schedule_decay"],
    }
    assert {cls: [*inspect.signature(cls).parameters][:-1] for cls in CLASSES} == order


@each_variant
def test_config_round_trip(cls, config):
    optimizer = cls(**config)
    optimizer.lr = 0.125
    found = optimizer.get_config()
    assert {type(value) for value in found.values()} <= {float, bool}
    assert found == {**cls().get_config(), **config, "lr": 0.125}
    again = optimizers.deserialize(optimizers.serialize(optimizer))
    assert type(again) is cls
    assert again.get_config() == found
    assert cls.from_config(found).get_config() == found


class Halving(Optimizer):
    """Nothing but `update`: the least that a user's optimizer needs."""

    slots = ("steps",)

    def update(self, value, gradient, steps, scratch, lr):
        np.multiply(value, lr, out=scratch)
        value -= scratch
        steps += 1


class Forgetful(Optimizer):
    pass


class Late(Optimizer):
    rate = Hyperparameter()

    def __init__(self):
        self.rate.assign(1.0)


def test_a_users_optimizer():
    optimizer = Halving(lr=0.5, clipvalue=1.0)
    block = start(optimizer, [8.0, -4.0])
    for _ in range(2):
        step(optimizer, block, 0.0)
    assert block.values.tolist() == [2.0, -1.0]
    iterations, steps = optimizer.get_weights()
    assert iterations == 2
    assert steps.tolist() == [2.0, 2.0]
    assert optimizer.get_config() == {"lr": 0.5, "decay": 0.0, "clipvalue": 1.0}


def test_a_users_optimizer_by_name():
    config = optimizers.serialize(Halving(lr=0.5))
    assert config["class_name"] == "Halving"
    assert type(optimizers.deserialize(config, custom_objects={"Halving": Halving})) is Halving
    with CustomObjectScope({"Halving": Halving, "adam": Forgetful}):
        assert type(optimizers.get("Halving")) is Halving
        assert type(optimizers.get("adam")) is Forgetful
        assert type(optimizers.get("Adam")) is Adam
    with pytest.raises(ValueError, match="Unknown optimizer 'Halving'"):
        optimizers.get("Halving")


# State.


def test_order_of_weights_is_that_of_keras_2_2_4():
    shapes = {"w0:0": (2, 3), "w1:0": (3,)}
    slots = {
        SGD: ["iterations", "moments"],
        RMSprop: ["accumulators"],
        Adagrad: ["accumulators"],
        Adadelta: ["accumulators", "delta_accumulators"],
        Adam: ["iterations", "ms", "vs", "vhats"],
        Adamax: ["iterations", "ms", "us"],
        Nadam: ["iterations", "ms", "vs"],
    }
    for cls, names in slots.items():
        optimizer = cls()
        start(optimizer, *map(np.zeros, shapes.values()))
        expected = []
        for name in names:
            if name == "iterations":
                expected.append((f"{cls.__name__}/iterations:0", ()))
            else:
                expected += [
                    (f"{cls.__name__}/w{i}/{name}:0", (1,) if name == "vhats" else shape)
                    for i, shape in enumerate(shapes.values())
                ]
        assert [(w.name, w.shape) for w in optimizer.weights] == expected
        assert [a.shape for a in optimizer.get_weights()] == [shape for _, shape in expected]


def test_amsgrad_has_full_vhats():
    optimizer = Adam(amsgrad=True)
    start(optimizer, np.zeros((2, 3)), np.zeros(3))
    assert [w.shape for w in optimizer.weights] == [(), *[(2, 3), (3,)] * 3]


@each_variant
def test_training_goes_on_from_saved_weights(cls, config):
    whole = cls(**config)
    block = start(whole, np.ones((2, 3)), np.ones(3))
    run(whole, block, 5)
    again = cls(**config)
    other = start(again, *(v.value for v in block.variables))
    again.set_weights(whole.get_weights())
    if not cls.saves_iterations:  # as in Keras, which saves none for these
        again.iterations = 5
    assert all(map(np.array_equal, again.get_weights(), whole.get_weights()))
    assert np.array_equal(run(again, other, 5, seed=1), run(whole, block, 5, seed=1))


def test_get_weights_returns_copies_and_weights_are_the_state_itself():
    optimizer = SGD(momentum=0.5)
    block = start(optimizer, [1.0, 2.0])
    step(optimizer, block, 1.0)
    optimizer.get_weights()[1][:] = 7
    assert optimizer.get_weights()[1].tolist() == [-0.01, -0.01]
    optimizer.weights[1].assign([7, 8])
    assert optimizer.get_weights()[1].tolist() == [7, 8]


@pytest.mark.parametrize(
    ("position", "array", "message"),
    [
        (None, None, "Adam has 7 weights, but set_weights got a list of 6."),
        (2, np.zeros(4), r"Adam: array 2 is for 'Adam/w1/ms:0' of shape \(3,\), but has shape \(4"),
        (5, np.zeros((2, 3)), r"'Adam/w0/vhats:0' of shape \(1,\)"),
        (0, np.array(-1), "Adam: iterations must be at least 0"),
        (0, np.array(2.5), "Adam: iterations must be a whole number"),
        (3, [["a"] * 3] * 2, "could not convert"),
    ],
)
def test_set_weights_changes_all_or_nothing(position, array, message):
    optimizer = Adam()
    block = start(optimizer, np.ones((2, 3)), np.ones(3))
    run(optimizer, block, 2)
    before = optimizer.get_weights()
    arrays = [a + 1 for a in before]
    if position is None:
        del arrays[-1]
    else:
        arrays[position] = array
    with pytest.raises(ValueError, match=message):
        optimizer.set_weights(arrays)
    assert all(map(np.array_equal, optimizer.get_weights(), before))


def test_before_build():
    optimizer = Adam()
    assert optimizer.weights == []
    assert optimizer.get_weights() == []
    with pytest.raises(ValueError, match=r"has 0 weights.*gets them when.*compiled"):
        optimizer.set_weights([np.array(1)])
    with pytest.raises(RuntimeError, match="Adam has no weights to change yet: compile a model"):
        optimizer.apply_gradients()


def test_build_again_starts_afresh_but_counts_on():
    optimizer = SGD(lr=1.0, momentum=0.5, decay=1.0)
    step(optimizer, start(optimizer, [1.0, 1.0]), 1.0)
    block = start(optimizer, [0.0, 0.0, 0.0], dtype="float32")
    assert [a.tolist() for a in optimizer.get_weights()] == [1, [0, 0, 0]]
    assert step(optimizer, block, 1.0).tolist() == [-0.5] * 3


def test_no_weights_at_all():
    optimizer = SGD(clipnorm=1.0)
    optimizer.build([])
    optimizer.apply_gradients()
    assert optimizer.iterations == 1
    assert len(optimizer.get_weights()) == 1


def test_nadams_momentum_schedule_follows_iterations():
    optimizer = Nadam()
    optimizer.build([])
    for _ in range(20):
        optimizer.apply_gradients()
    at_20 = optimizer.step_constants(0.1, 21)
    fresh = Nadam()
    assert fresh.step_constants(0.1, 21) == pytest.approx(at_20, rel=1e-14)
    assert fresh.step_constants(0.1, 1) == Nadam().step_constants(0.1, 1)
    # Long before the millionth step the product is nothing beside 1.
    now, following = fresh._momentum(10**6), fresh._momentum(10**6 + 1)
    by_gradient, by_mean, *_ = fresh.step_constants(1.0, 10**6)
    assert (by_gradient, by_mean) == pytest.approx((1 - now, following), rel=1e-14)


def test_nadam_in_float16_does_not_divide_by_zero():
    optimizer = Nadam()
    block = start(optimizer, np.ones(3), dtype="float16")
    for _ in range(5):
        values = step(optimizer, block, [0.0, 1e-3, 0.5])
    assert np.isfinite(values).all()
    assert values[0] == 1.0

    optimizer = Nadam()
    precise = start(optimizer, np.ones(1))
    for _ in range(5):
        expected = step(optimizer, precise, 0.5)
    assert values[2] == pytest.approx(expected[0], abs=2e-3)


@each_variant
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copied_model_trains_on_by_itself(cls, config, copied):
    optimizer = cls(**config)
    store = WeightStore([Variable(np.ones((2, 3), "float32")), Variable(np.ones(3, "float32"))])
    optimizer.build(store.blocks)
    run(optimizer, store.blocks[0], 3)
    # As a model holds them.
    theirs = copied({"optimizer": optimizer, "store": store})
    before = store.blocks[0].values.copy()
    their_block = theirs["store"].blocks[0]
    their_values = run(theirs["optimizer"], their_block, 3, seed=1)
    assert np.array_equal(store.blocks[0].values, before)
    assert np.array_equal(run(optimizer, store.blocks[0], 3, seed=1), their_values)
    assert theirs["optimizer"].get_config() == optimizer.get_config()
    assert theirs["optimizer"].lr is not optimizer.lr


# Errors.


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: SGD(lr=-0.1), ValueError, "SGD: lr must be at least 0 and finite, got -0.1"),
        (lambda: SGD(lr=float("nan")), ValueError, "SGD: lr must be at least 0 and finite"),
        (lambda: SGD(lr=float("inf")), ValueError, "SGD: lr must be at least 0 and finite"),
        (lambda: SGD(lr="0.1"), TypeError, "SGD: lr must be a number, got '0.1'"),
        (lambda: SGD(lr=None), TypeError, "SGD: lr must be a number, got None"),
        (lambda: SGD(lr=[0.1, 0.2]), TypeError, r"SGD: lr must be a number, got \[0.1, 0.2\]"),
        (lambda: SGD(learning_rate=-1), ValueError, "SGD: lr must be at least 0"),
        (lambda: SGD(decay=-1), ValueError, "SGD: decay must be at least 0"),
        (lambda: SGD(momentum=1.5), ValueError, "SGD: momentum must be at least 0 and at most 1"),
        (lambda: RMSprop(rho=1), ValueError, "RMSprop: rho must be at least 0 and below 1, got 1"),
        (lambda: RMSprop(epsilon=-1), ValueError, "RMSprop: epsilon must be at least 0"),
        (lambda: Adadelta(rho=-0.1), ValueError, "Adadelta: rho must be at least 0 and below 1"),
        (lambda: Adam(beta_1=1.0), ValueError, "Adam: beta_1 must be at least 0 and below 1"),
        (lambda: Adamax(beta_2=1.0), ValueError, "Adamax: beta_2 must be at least 0 and below 1"),
        (lambda: Nadam(schedule_decay=-1), ValueError, "Nadam: schedule_decay must be at least 0"),
        (lambda: Nadam(decay=0.1), TypeError, "Nadam takes no 'decay', only 'schedule_decay'"),
        (lambda: SGD(clipnorm=-1), ValueError, "SGD: clipnorm must be at least 0"),
        (lambda: SGD(clipvalue=-1), ValueError, "SGD: clipvalue must be at least 0"),
        (lambda: Adam(beta1=0.5), TypeError, "Unknown argument of Adam 'beta1'. .* 'beta_1'"),
        (lambda: SGD(clip_norm=1), TypeError, "Unknown argument of SGD .* mean 'clipnorm'"),
        (lambda: optimizers.get("adm"), ValueError, "Unknown optimizer 'adm'. .* 'Adam'"),
        (lambda: optimizers.get(3), TypeError, "Could not take 3 as optimizer"),
        (lambda: optimizers.get({"name": "sgd"}), ValueError, "keys 'class_name'.* and 'config'"),
        (lambda: Late(), AttributeError, r"Late has no 'rate' yet: call super\(\).__init__"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_bad_numbers_are_refused_later_too():
    optimizer = Adam()
    for name, bad in {"lr": -1, "learning_rate": -1, "beta_1": 1, "iterations": 0.5}.items():
        before = optimizer.get_config()
        with pytest.raises(ValueError, match="Adam: "):
            setattr(optimizer, name, bad)
        assert optimizer.get_config() == before


def test_an_optimizer_without_update():
    optimizer = Forgetful()
    block = start(optimizer, 1.0)
    with pytest.raises(NotImplementedError, match=r"Forgetful must define update\(self, value"):
        step(optimizer, block, 1.0)
    assert optimizer.iterations == 0
