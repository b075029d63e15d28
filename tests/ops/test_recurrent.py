"""The ops go over whole sequences. Each cell's `step`, looped over, must give the same."""

import itertools

import numpy as np
import pytest

from minikeras.engine import Context
from minikeras.layers import GRUCell, LSTMCell, SimpleRNNCell
from minikeras.layers.cell import Cell
from minikeras.layers.cudnn_recurrent import CuDNNGRUCell, CuDNNLSTMCell
from minikeras.ops import blas, lstm, parallel

STEPS, BATCH, FEATURES, UNITS = 5, 4, 2, 3

OUTPUTS = ["tanh", "relu", "linear"]
GATES = ["sigmoid", "hard_sigmoid", *OUTPUTS]


def gru_before(units, **arguments):
    return GRUCell(units, reset_after=False, **arguments)


def gru_after(units, **arguments):
    return GRUCell(units, reset_after=True, **arguments)


GATED = {"LSTM": LSTMCell, "GRU": gru_before, "GRU reset after": gru_after}
CUDNN = {"CuDNNLSTM": CuDNNLSTMCell, "CuDNNGRU": CuDNNGRUCell}


class Trial:
    """One cell with fixed dropout, and a sequence, its gradients and a mask to run it on."""

    def __init__(self, make, masked=False, dtype="float64", **arguments):
        random = np.random.RandomState(1)
        self.cell = cell = make(
            UNITS, kernel_initializer="normal", bias_initializer="normal", dtype=dtype, **arguments
        )
        cell.ensure_built((None, FEATURES))
        for weight in cell.weights:
            weight.value[...] = 0.6 * random.standard_normal(weight.shape)
        patterns = cell.dropout_masks((BATCH, FEATURES), Context(training=True))
        cell.dropout_masks = lambda *_: patterns
        count = len(np.atleast_1d(cell.state_size))
        self.x = self.sample(random, STEPS, BATCH, FEATURES)
        self.states = [0.5 * self.sample(random, BATCH, UNITS) for _ in range(count)]
        self.dstates = [self.sample(random, BATCH, UNITS) for _ in range(count)]
        self.dy = self.sample(random, STEPS, BATCH, UNITS)
        self.mask = None
        if masked:  # a wholly masked sample, and wholly masked steps at both ends and inside
            self.mask = random.random_sample((STEPS, BATCH)) < 0.6
            self.mask[:, 1] = False
            self.mask[[0, 2, -1]] = False

    def sample(self, random, *shape):
        array = random.standard_normal(shape).astype(self.cell.dtype)
        array.flags.writeable = False
        return array

    def run(self, run, run_backward, outputs=STEPS, final=True):
        """Return outputs, states and all gradients; memory starts full of NaN."""
        targets = {w: np.full(w.shape, np.nan, w.value.dtype) for w in self.cell.weights}
        ctx = Context(training=True, gradients=targets)
        ctx.empty = lambda shape, dtype: np.full(shape, np.nan, dtype)
        y, states, residual = run(self.cell, self.x, self.states, self.mask, ctx)
        forward = [y.copy(), *(state.copy() for state in states)]
        dstates = [d.copy() for d in self.dstates] if final else None
        dy = self.dy[STEPS - outputs :].copy()
        dx, dstates = run_backward(self.cell, dy, dstates, residual, ctx)
        ctx.finish_gradients()
        for kept, now in zip(forward, [y, *states], strict=True):
            np.testing.assert_array_equal(kept, now)  # the layer above has them as its input
        return [*forward, dx, *dstates, *targets.values()]

    def check(self, outputs=STEPS, final=True):
        kind = type(self.cell)
        found = self.run(kind.run, kind.run_backward, outputs, final)
        expected = self.run(Cell.run, Cell.run_backward, outputs, final)
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == self.cell.dtype
            np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("recurrent_dropout", [0.0, 0.4])
@pytest.mark.parametrize("kind", [*GATED, "SimpleRNN"])
def test_a_sequence_is_its_steps(kind, recurrent_dropout, dropout, masked):
    implementations = [{"implementation": number} for number in (1, 2)]
    for arguments in implementations if kind in GATED else [{}]:
        trial = Trial(
            GATED.get(kind, SimpleRNNCell),
            masked,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            **arguments,
        )
        for outputs, final in itertools.product((STEPS, 2, 1), (True, False)):
            trial.check(outputs, final)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("activation", OUTPUTS)
@pytest.mark.parametrize("kind", GATED)
def test_activations_of_gates(kind, activation, masked):
    for recurrent_activation in GATES:
        Trial(
            GATED[kind],
            masked,
            activation=activation,
            recurrent_activation=recurrent_activation,
            recurrent_dropout=0.3,
        ).check()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("activation", GATES)
def test_activations_of_a_simple_rnn(activation, masked):
    Trial(SimpleRNNCell, masked, activation=activation, recurrent_dropout=0.3).check()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", [*GATED, "SimpleRNN"])
def test_without_bias(kind, masked):
    Trial(GATED.get(kind, SimpleRNNCell), masked, use_bias=False).check()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("implementation", [1, 2])
@pytest.mark.parametrize("step", [1, 200])
def test_an_lstm_in_blocks_of_samples(step, implementation, dropout, masked, monkeypatch):
    monkeypatch.setattr(lstm, "_STEP", step)
    monkeypatch.setattr(lstm, "_SEQUENCE", 1)
    assert len(lstm._blocks(STEPS, BATCH, UNITS + FEATURES + 1, UNITS)) > 1
    arguments = {"dropout": dropout, "recurrent_dropout": dropout}
    trial = Trial(LSTMCell, masked, implementation=implementation, **arguments)
    for outputs, final in itertools.product((STEPS, 2, 1), (True, False)):
        trial.check(outputs, final)


def test_blocks_of_samples():
    def widths(*shape):
        return [block.stop - block.start for block in lstm._blocks(*shape)]

    assert widths(8, 64, 65, 32) == [64]  # the seed's stacked layers: too small
    assert widths(80, 16, 385, 128) == [8, 8]
    assert widths(80, 33, 385, 128) == [17, 16]
    assert widths(80, 256, 385, 128) == [64, 64, 64, 64]
    assert widths(1, 1, 5000, 5000) == [1]


@pytest.mark.parametrize("kind", CUDNN)
def test_cudnn(kind):
    Trial(CUDNN[kind]).check()


@pytest.mark.parametrize("kind", [*GATED, "SimpleRNN"])
def test_float32_stays_float32(kind):
    trial = Trial(
        GATED.get(kind, SimpleRNNCell), True, "float32", dropout=0.3, recurrent_dropout=0.3
    )
    found = trial.run(type(trial.cell).run, type(trial.cell).run_backward)
    assert {array.dtype.name for array in found} == {"float32"}


@pytest.mark.parametrize("kind", [*GATED, "SimpleRNN"])
def test_any_strides(kind):
    trial = Trial(GATED.get(kind, SimpleRNNCell), True, recurrent_dropout=0.3)
    run = type(trial.cell).run, type(trial.cell).run_backward
    expected = trial.run(*run)
    trial.x = np.asfortranarray(trial.x[::-1])[::-1]
    trial.dy = np.ascontiguousarray(trial.dy.swapaxes(0, 1)).swapaxes(0, 1)
    trial.mask = np.asfortranarray(trial.mask)
    trial.states = [np.asfortranarray(state) for state in trial.states]
    for one, other in zip(expected, trial.run(*run), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [*GATED, "SimpleRNN"])
def test_the_gradients_that_are_asked_for(kind):
    trial = Trial(GATED.get(kind, SimpleRNNCell))
    cell = trial.cell
    everything = trial.run(type(cell).run, type(cell).run_backward)[-3:]
    for weight, expected in zip(cell.weights, everything, strict=True):
        target = np.full_like(expected, np.nan)
        ctx = Context(training=True, gradients={weight: target})
        ctx.needs_input_gradient = False
        _, _, residual = cell.run(trial.x, trial.states, None, ctx)
        dstates = [d.copy() for d in trial.dstates]
        dx, _ = cell.run_backward(trial.dy.copy(), dstates, residual, ctx)
        assert dx is None
        np.testing.assert_array_equal(target, expected)


@pytest.mark.parametrize("kind", [*GATED, "SimpleRNN"])
def test_the_same_bits_however_many_threads_there_are(kind, monkeypatch):
    steps, batch, features, units = 24, 48, 240, 64  # enough for several threads: see below
    cell = GATED.get(kind, SimpleRNNCell)(units, dtype="float32")
    cell.ensure_built((None, features))
    random = np.random.RandomState(2)
    x = random.standard_normal((steps, batch, features)).astype("float32")
    dy = random.standard_normal((steps, batch, units)).astype("float32")
    assert steps * batch * features * units > blas._SMALL
    assert len(lstm._blocks(steps, batch, units + features + 1, units)) > 1
    results = []
    for threads in ("1", "2", "4"):
        monkeypatch.setenv("MINIKERAS_NUM_THREADS", threads)
        monkeypatch.setattr(parallel, "_helpers", None)
        targets = {w: np.empty_like(w.value) for w in cell.weights}
        ctx = Context(training=True, gradients=targets)
        states = [np.zeros((batch, units), "float32") for _ in np.atleast_1d(cell.state_size)]
        with blas.one_thread():
            y, _, residual = cell.run(x, states, None, ctx)
            dx, dstates = cell.run_backward(dy.copy(), None, residual, ctx)
        results.append([y, dx, *dstates, *targets.values()])
    for other in results[1:]:
        for one, found in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, found)
