"""The recurrent layers and their cells. That whole sequences are what their steps give is the
business of tests/ops/test_recurrent.py."""

import warnings

import numpy as np
import pytest

from minikeras import activations, optimizers
from minikeras.activations import with_gradient
from minikeras.engine import Context
from minikeras.layers import (
    GRU,
    LSTM,
    RNN,
    Activation,
    Bidirectional,
    Cell,
    CuDNNGRU,
    CuDNNLSTM,
    Dense,
    Embedding,
    GRUCell,
    Layer,
    LSTMCell,
    SimpleRNN,
    SimpleRNNCell,
    StackedRNNCells,
)
from minikeras.models import Sequential
from minikeras.testing import check_gradients

from .checks import check_layer, dirty_empty, run, sample, twin


def gru_after(units, **arguments):
    return GRU(units, reset_after=True, **arguments)


KERAS = {"SimpleRNN": SimpleRNN, "GRU": GRU, "GRU reset after": gru_after, "LSTM": LSTM}
GATED = {name: KERAS[name] for name in KERAS if name != "SimpleRNN"}
CUDNN = {"CuDNNGRU": CuDNNGRU, "CuDNNLSTM": CuDNNLSTM}
ALL = {**KERAS, **CUDNN}
CELLS = {"SimpleRNN": SimpleRNNCell, "GRU": GRUCell, "LSTM": LSTMCell}

all_kinds = pytest.mark.parametrize("kind", ALL)
keras_kinds = pytest.mark.parametrize("kind", KERAS)
gated_kinds = pytest.mark.parametrize("kind", GATED)


def built(layer, x):
    """Return the layer with weights that are not small, so that saturation takes part, too."""
    layer.ensure_built((None, *x.shape[1:]))
    random = np.random.RandomState(5)
    layer.set_weights([0.7 * random.standard_normal(w.shape) for w in layer.get_weights()])
    return layer


def close(one, other, tolerance=1e-6):
    np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


class Masked(Layer):
    """Hands its input on with a mask."""

    def __init__(self, mask, **kwargs):
        super().__init__(**kwargs)
        self.mask = mask

    def forward(self, x, ctx):
        return x, None

    def backward(self, dy, residual, ctx):
        return dy

    def compute_mask(self, inputs, mask=None):
        return self.mask


# What holds for all layers, and derivatives


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"return_sequences": True},
        {"return_sequences": True, "go_backwards": True},
        {"go_backwards": True, "kernel_regularizer": "l2", "activity_regularizer": "l1_l2"},
    ],
    ids=str,
)
@all_kinds
def test_does_what_every_layer_does(kind, arguments):
    layer = check_layer(ALL[kind](2, **arguments), (2, 3, 2))
    steps = (3,) if arguments.get("return_sequences") else ()
    assert layer.output_shape == (None, *steps, 2)


@pytest.mark.parametrize("arguments", [{"use_bias": False}, {"dropout": 0.4}], ids=str)
@keras_kinds
def test_without_bias_and_with_dropout(kind, arguments):
    check_layer(KERAS[kind](2, recurrent_dropout=0.3, unroll=True, **arguments), (2, 3, 2))


@gated_kinds
def test_one_pattern_of_dropout_for_all_gates(kind):
    layer = GATED[kind](2, dropout=0.4, recurrent_dropout=0.3, implementation=2)
    check_layer(layer, (2, 3, 2))


@pytest.mark.parametrize("return_sequences", [False, True])
@keras_kinds
def test_gradients_under_a_mask(kind, return_sequences):
    mask = np.array([[1, 1, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]], bool)
    layer = KERAS[kind](
        2, return_sequences=return_sequences, recurrent_dropout=0.3, go_backwards=return_sequences
    )
    model = Sequential([Masked(mask, input_shape=(4, 2)), layer])
    x = sample((*mask.shape, 2))
    built(model, x)
    for training in (False, True):
        check_gradients(model, x, training=training)


def swish(x):
    return x * activations.sigmoid(x)


def swish_backward(dy, x):
    s = activations.sigmoid(x)
    return dy * s * (1 + x * (1 - s))


FUNCTIONS = [
    *("softmax", "elu", "selu", "softplus", "softsign", "relu"),
    *("tanh", "sigmoid", "hard_sigmoid", "exponential", "linear"),
    with_gradient(swish, swish_backward, needs_input=True),
]


@pytest.mark.parametrize("activation", FUNCTIONS, ids=lambda f: getattr(f, "__name__", f))
@keras_kinds
def test_gradients_with_any_activation(kind, activation):
    x = 0.1 * sample((3, 2, 2))  # small: exponentials of exponentials grow quickly
    gates = {"recurrent_activation": activation} if kind in GATED else {}
    check_gradients(KERAS[kind](2, activation=activation), x)
    check_gradients(KERAS[kind](2, dropout=0.3, activation=activation, **gates), x, training=True)


@all_kinds
def test_gradients_of_a_batch_that_goes_on_from_another(kind):
    layer = built(ALL[kind](2, stateful=True), sample((2, 3, 2)))
    layer(sample((2, 3, 2)))
    assert layer.state_batch_size == 2
    check_gradients(layer, sample((2, 3, 2), seed=4), training=True)


@all_kinds
def test_gradients_of_the_final_states(kind):
    x = sample((3, 4, 2), "float64")
    layer = built(ALL[kind](2, return_state=True, dtype="float64"), x)
    random = np.random.RandomState(0)

    def total(x):
        return sum(np.vdot(w, y) for w, y in zip(upstream, layer(x), strict=True))

    upstream = [random.standard_normal(y.shape) for y in layer(x)]
    ctx = Context(training=True)
    _, residual = layer.propagate(x, ctx)
    dx = layer.backpropagate([d.copy() for d in upstream], residual, ctx)
    for place in [(0, 0, 0), (1, 2, 1), (2, 3, 0)]:
        step = np.zeros_like(x)
        step[place] = 1e-6
        numeric = (total(x + step) - total(x - step)) / 2e-6
        np.testing.assert_allclose(dx[place], numeric, rtol=1e-6)


# What a step computes, in plain words


def hard_sigmoid(x):
    return np.clip(0.2 * x + 0.5, 0, 1)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def simple_rnn_by_hand(x, kernel, recurrent, bias):
    h = np.zeros(len(recurrent))
    for row in x:
        h = np.tanh(row @ kernel + h @ recurrent + bias)
    return h


def gru_by_hand(x, kernel, recurrent, bias):
    h = np.zeros(len(recurrent))
    kz, kr, kh = np.split(kernel, 3, axis=1)
    rz, rr, rh = np.split(recurrent, 3, axis=1)
    bz, br, bh = np.split(bias, 3)
    for row in x:
        z = hard_sigmoid(row @ kz + h @ rz + bz)
        r = hard_sigmoid(row @ kr + h @ rr + br)
        h = z * h + (1 - z) * np.tanh(row @ kh + (r * h) @ rh + bh)
    return h


def gru_after_by_hand(x, kernel, recurrent, bias, squash=hard_sigmoid):
    h = np.zeros(len(recurrent))
    for row in x:
        az, ar, ah = np.split(row @ kernel + bias[0], 3)
        pz, pr, ph = np.split(h @ recurrent + bias[1], 3)
        z, r = squash(az + pz), squash(ar + pr)
        h = z * h + (1 - z) * np.tanh(ah + r * ph)
    return h


def lstm_by_hand(x, kernel, recurrent, bias, squash=hard_sigmoid):
    h = c = np.zeros(len(recurrent))
    for row in x:
        i, f, g, o = np.split(row @ kernel + h @ recurrent + bias, 4)
        c = squash(f) * c + squash(i) * np.tanh(g)
        h = squash(o) * np.tanh(c)
    return h


BY_HAND = {
    "SimpleRNN": simple_rnn_by_hand,
    "GRU": gru_by_hand,
    "GRU reset after": gru_after_by_hand,
    "LSTM": lstm_by_hand,
    "CuDNNGRU": lambda x, k, r, b: gru_after_by_hand(x, k, r, b.reshape(2, -1), sigmoid),
    "CuDNNLSTM": lambda x, k, r, b: lstm_by_hand(x, k, r, b.reshape(2, -1).sum(axis=0), sigmoid),
}


@pytest.mark.parametrize("steps", [1, 4])
@all_kinds
def test_by_hand(kind, steps):
    x = sample((2, steps, 3), "float64")
    layer = built(ALL[kind](2, dtype="float64"), x)
    for one, y in zip(x, layer(x), strict=True):
        close(y, BY_HAND[kind](one, *layer.get_weights()), 1e-12)


@keras_kinds
def test_one_step_is_the_same_in_training(kind):
    x = sample((2, 1, 3), "float64")
    layer = built(KERAS[kind](2, dtype="float64"), x)
    close(layer(x), layer(x, training=True), 1e-12)


# Dropout


@keras_kinds
def test_dropout_is_the_same_at_all_steps_and_not_in_two_sequences(kind):
    layer = KERAS[kind](2, dropout=0.5, recurrent_dropout=0.5)
    layer.ensure_built((None, 3, 4))
    inputs, states = layer.cell.dropout_masks((50, 4), Context(training=True))
    assert len(inputs) == len(states) == (1 if kind == "SimpleRNN" else layer.cell.gates)
    for pattern, size in [*((p, 4) for p in inputs), *((p, 2) for p in states)]:
        assert pattern.shape == (50, size)
        assert sorted(np.unique(pattern)) == [0, 2]
    first = layer.cell.dropout_masks((50, 4), Context(training=True))[0][0]
    assert not np.array_equal(first, inputs[0])
    assert layer.cell.dropout_masks((50, 4), Context()) == (None, None)


@gated_kinds
def test_with_implementation_2_all_gates_have_one_pattern(kind):
    layer = GATED[kind](2, dropout=0.5, recurrent_dropout=0.5, implementation=2)
    layer.ensure_built((None, 3, 4))
    inputs, states = layer.cell.dropout_masks((5, 4), Context(training=True))
    assert len(inputs) == len(states) == 1


def test_a_gru_of_implementation_2_mixes_the_dropped_state():
    """As in Keras 2.2.4; the update gate is open here, so that the state is all there is."""
    weights = [np.zeros((1, 6)), np.zeros((2, 6)), np.array([9.0, 9, 0, 0, 0, 0])]
    states = np.ones((200, 2), "float32")
    results = []
    for implementation in (1, 2):
        layer = GRU(2, recurrent_dropout=0.5, implementation=implementation, stateful=True)
        layer.ensure_built((None, 1, 1))
        layer.set_weights(weights)
        layer.reset_states(states)
        results.append(layer(np.zeros((200, 1, 1)), training=True))
    np.testing.assert_array_equal(results[0], states)
    assert sorted(np.unique(results[1])) == [0, 2]


@keras_kinds
def test_no_dropout_in_prediction(kind):
    x = sample((2, 3, 4))
    layer = built(KERAS[kind](2, dropout=0.5, recurrent_dropout=0.5), x)
    plain = built(KERAS[kind](2), x)
    np.testing.assert_array_equal(layer(x), plain(x))
    assert not np.allclose(layer(x, training=True), plain(x))


# Directions, masks and states


@all_kinds
def test_backwards_is_forwards_on_the_reversed_input(kind):
    x = sample((2, 5, 3))
    layer = built(ALL[kind](2, return_sequences=True), x)
    other = twin(layer, go_backwards=True)
    built(other, x)
    np.testing.assert_array_equal(other(x[:, ::-1]), layer(x))


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("front", [False, True])
@keras_kinds
def test_masked_samples_are_shorter_sequences(kind, front, go_backwards):
    lengths = [4, 2, 0, 3]
    x = sample((4, 4, 3))
    layer = built(KERAS[kind](2, go_backwards=go_backwards, return_state=True), x)
    mask = np.array([[k < length for k in range(4)] for length in lengths])
    mask = mask[:, ::-1] if front else mask
    y, *states = layer(x, mask=mask)
    assert not np.any([y[2], *(state[2] for state in states)])
    for i in (0, 1, 3):
        alone = layer(x[i : i + 1, mask[i]])
        for one, other in zip([y, *states], alone, strict=True):
            close(one[i : i + 1], other)


@keras_kinds
def test_masked_steps_repeat_the_output_before(kind):
    x = sample((1, 5, 3))
    layer = built(KERAS[kind](2, return_sequences=True), x)
    y = layer(x, mask=[[False, True, False, False, True]])[0]
    assert not y[0].any()
    np.testing.assert_array_equal(y[2], y[1])
    np.testing.assert_array_equal(y[3], y[1])
    close(y[[1, 4]], layer(x[:, [1, 4]])[0])


@keras_kinds
def test_the_mask_goes_on_with_the_steps(kind):
    mask = np.array([[True, False, True]])
    for layer in (KERAS[kind](2), KERAS[kind](2, return_sequences=True)):
        ctx = Context(mask=mask)
        layer.ensure_built((None, 3, 2))
        layer.propagate(np.zeros((1, 3, 2), "float32"), ctx)
        assert ctx.mask is (mask if layer.return_sequences else None)
    assert KERAS[kind](2, return_state=True).compute_mask(None, mask)[0] is None


def test_a_mask_of_another_length():
    layer = LSTM(2, name="lstm")
    with pytest.raises(ValueError, match=r"'lstm' .*mask .* \(2, 3\), got \(2, 4\)"):
        layer(np.zeros((2, 3, 4)), mask=np.zeros((2, 4)))


@pytest.mark.parametrize("cuts", [(2, 5), (1, 2, 3, 4, 5, 6)], ids=str)
@all_kinds
def test_a_sequence_in_pieces_is_the_whole(kind, cuts):
    x = sample((3, 7, 2), "float64")
    whole_mask = np.random.RandomState(3).random_sample((3, 7)) < 0.6
    layer = built(ALL[kind](2, stateful=True, return_sequences=True, dtype="float64"), x)
    for mask in (None,) if kind in CUDNN else (None, whole_mask):
        layer.reset_states()
        assert layer.state_batch_size is None
        whole, states = layer(x, mask=mask), layer.states
        layer.reset_states()
        xs = np.split(x, cuts, axis=1)
        masks = [None] * len(xs) if mask is None else np.split(mask, cuts, axis=1)
        pieces = [layer(a, mask=m) for a, m in zip(xs, masks, strict=True)]
        close(np.concatenate(pieces, axis=1), whole, 1e-12)
        for one, other in zip(layer.states, states, strict=True):
            close(one, other, 1e-12)


@all_kinds
def test_states_that_are_returned_can_be_put_back(kind):
    x = sample((3, 6, 2))
    layer = built(ALL[kind](2, return_state=True, stateful=True), x)
    y, *states = layer(x)
    np.testing.assert_array_equal(y, states[0])
    assert layer.compute_output_shape((3, 6, 2)) == [y.shape, *(s.shape for s in states)]
    layer.reset_states()
    _, *half = layer(x[:, :3])
    layer(sample((3, 6, 2), seed=8))
    layer.reset_states(half if len(half) > 1 else half[0])
    close(layer(x[:, 3:])[0], y)


@all_kinds
def test_initial_states_are_given_with_the_input(kind):
    x = sample((3, 6, 2))
    layer = built(ALL[kind](2, return_state=True), x)
    y, *states = layer(x)
    _, *half = layer(x[:, :3])
    for again in (layer(x[:, 3:], initial_state=half), layer([x[:, 3:], *half])):
        for one, other in zip([y, *states], again, strict=True):
            close(one, other)
    close(layer(x)[0], y)


@all_kinds
def test_initial_states_that_are_given_outweigh_those_that_are_kept(kind):
    x = sample((3, 6, 2))
    layer = built(ALL[kind](2, stateful=True), x)
    y, states = layer(x), layer.states
    zeros = [np.zeros((3, 2)) for _ in states]
    np.testing.assert_array_equal(layer(x, initial_state=zeros), y)
    for one, other in zip(layer.states, states, strict=True):
        np.testing.assert_array_equal(one, other)


@all_kinds
def test_states_on_their_own(kind):
    layer = ALL[kind](2, stateful=True)
    count = 2 if "LSTM" in kind else 1
    assert layer.states == [None] * count
    layer(sample((3, 4, 2)))
    before = [state.numpy() for state in layer.states]
    layer.states[0].numpy()[...] = 7
    np.testing.assert_array_equal(layer.states, before)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda layer: layer(np.zeros((4, 3, 5))), ValueError, r"3 sequences, .* a batch of 4"),
        (
            lambda layer: layer.reset_states(np.zeros((3, 2))),
            ValueError,
            r"'lstm' .*expects 2 states of shapes \(batch, 2\), \(batch, 2\); got 1 .* \(3, 2\)",
        ),
        (
            lambda layer: layer.reset_states([np.zeros((3, 2)), np.zeros((3, 4))]),
            ValueError,
            r"got 2 of shapes \(3, 2\), \(3, 4\)",
        ),
        (
            lambda layer: layer.reset_states([np.zeros((3, 2)), np.zeros((4, 2))]),
            ValueError,
            r"got 2 of shapes \(3, 2\), \(4, 2\)",
        ),
        (lambda layer: LSTM(2).reset_states(), AttributeError, "without stateful=True"),
        (
            lambda layer: layer(np.zeros((3, 4, 5)), initial_state=np.zeros((3, 2))),
            ValueError,
            "initial_state expects 2 states",
        ),
        (
            lambda layer: layer(np.zeros((3, 4, 5)), initial_state=[np.zeros((4, 2))] * 2),
            ValueError,
            r"states of 4 sequences, .* \(3, 4, 5\) has 3",
        ),
        (lambda layer: layer(np.zeros((3, 0, 5))), ValueError, "has no steps"),
        (lambda layer: layer(np.zeros((3, 2, 6))), ValueError, "'lstm'"),
        (lambda layer: layer(np.zeros((3, 5))), ValueError, "'lstm'"),
    ],
)
def test_errors_about_states_and_shapes(make, error, message):
    layer = LSTM(2, stateful=True, name="lstm")
    layer(np.zeros((3, 4, 5)))
    with pytest.raises(error, match=message):
        make(layer)


# Weights and configurations

SHAPES = {
    "SimpleRNN": [(3, 2), (2, 2), (2,)],
    "GRU": [(3, 6), (2, 6), (6,)],
    "GRU reset after": [(3, 6), (2, 6), (2, 6)],
    "LSTM": [(3, 8), (2, 8), (8,)],
    "CuDNNGRU": [(3, 6), (2, 6), (12,)],
    "CuDNNLSTM": [(3, 8), (2, 8), (16,)],
}


@all_kinds
def test_weights(kind):
    layer = ALL[kind](2, name="a")
    layer.ensure_built((None, 4, 3))
    names = [weight.name for weight in layer.weights]
    assert names == ["a/kernel:0", "a/recurrent_kernel:0", "a/bias:0"]
    kernel, recurrent_kernel, bias = layer.get_weights()
    assert [w.shape for w in (kernel, recurrent_kernel, bias)] == SHAPES[kind]
    close(recurrent_kernel @ recurrent_kernel.T, np.eye(2), 1e-5)
    ones = {"LSTM": slice(2, 4), "CuDNNLSTM": slice(10, 12)}.get(kind, slice(0))
    expected = np.zeros_like(bias)
    expected[ones] = 1
    np.testing.assert_array_equal(bias, expected)
    layer.trainable = False
    assert (len(layer.trainable_weights), len(layer.non_trainable_weights)) == (0, 3)


@pytest.mark.parametrize("kind", ["LSTM", "CuDNNLSTM"])
def test_unit_forget_bias(kind):
    layer = ALL[kind](2, unit_forget_bias=False, bias_initializer="ones")
    layer.ensure_built((None, 4, 3))
    assert layer.get_weights()[2].all()
    layer = ALL[kind](2, unit_forget_bias=False)
    layer.ensure_built((None, 4, 3))
    assert not layer.get_weights()[2].any()
    if kind == "LSTM":
        assert len(built(LSTM(2, use_bias=False), np.zeros((1, 4, 3))).weights) == 2


LAYER_KEYS = {"name", "trainable"}
RNN_KEYS = {"return_sequences", "return_state", "go_backwards", "stateful"}
WEIGHT_KEYS = {
    f"{weight}_{what}"
    for weight in ("kernel", "recurrent", "bias")
    for what in ("initializer", "regularizer", "constraint")
} | {"units"}
CELL_KEYS = WEIGHT_KEYS | {"activation", "use_bias", "dropout", "recurrent_dropout"}
GATE_KEYS = CELL_KEYS | {"recurrent_activation", "implementation"}
KEYS = {
    "SimpleRNN": CELL_KEYS,
    "GRU": GATE_KEYS | {"reset_after"},
    "LSTM": GATE_KEYS | {"unit_forget_bias"},
    "CuDNNGRU": WEIGHT_KEYS,
    "CuDNNLSTM": WEIGHT_KEYS | {"unit_forget_bias"},
}


@pytest.mark.parametrize("kind", KEYS)
def test_the_keys_of_a_configuration_are_those_of_keras(kind):
    unroll = {"unroll"} if kind in KERAS else set()
    wanted = LAYER_KEYS | RNN_KEYS | unroll | KEYS[kind] | {"activity_regularizer"}
    assert set(ALL[kind](2).get_config()) == wanted
    if kind in CELLS:
        assert set(CELLS[kind](2).get_config()) == LAYER_KEYS | KEYS[kind]


def test_defaults_are_those_of_keras_2_2():
    for kind in ("GRU", "LSTM"):
        config = ALL[kind](2).get_config()
        assert config["recurrent_activation"] == "hard_sigmoid"
        assert config["implementation"] == 1
    assert GRU(2).get_config()["reset_after"] is False


@pytest.mark.parametrize("kind", CELLS)
def test_a_cell_goes_through_its_configuration(kind):
    cell = CELLS[kind](3, activation="relu", dropout=0.25, bias_regularizer="l2", name="c")
    layer = twin(RNN([cell, CELLS[kind](2)], go_backwards=True))
    assert layer.cell.cells[0].get_config() == cell.get_config()
    assert layer.go_backwards
    alone = twin(RNN(cell))
    assert type(alone.cell) is CELLS[kind]
    assert alone.cell.get_config() == cell.get_config()


@all_kinds
def test_arguments_of_the_cell_are_the_layers_too(kind):
    layer = ALL[kind](2, kernel_constraint="non_neg")
    assert layer.units == 2
    assert layer.kernel_constraint is layer.cell.kernel_constraint is not None
    layer.kernel_constraint = None
    assert layer.cell.kernel_constraint is None


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: LSTM(0), ValueError, "units must be an int greater than 0, got 0"),
        (lambda: GRU(2.5), ValueError, r"units must be .*got 2\.5"),
        (lambda: SimpleRNN(2, dropout=1), ValueError, "dropout must be .*not including 1, got 1"),
        (lambda: GRU(2, recurrent_dropout=-1), ValueError, "recurrent_dropout must be"),
        (lambda: GRU(2, implementation=3), ValueError, "implementation must be 1 or 2, got 3"),
        (lambda: GRU(2, activation="no"), ValueError, "no"),
        (lambda: CuDNNLSTM(2, dropout=0.5), TypeError, "dropout"),
        (lambda: CuDNNGRU(2, activation="relu"), TypeError, "activation"),
        (lambda: GRU(2).ensure_built((None, 3, None)), ValueError, "needs to know the size"),
        (lambda: RNN(GRUCell), ValueError, "forget the parentheses"),
        (lambda: RNN(Dense(2)), ValueError, "takes a cell"),
        (lambda: RNN([]), ValueError, "at least one cell"),
    ],
)
def test_errors_of_constructors(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_old_arguments():
    assert GRU(2, implementation=0).implementation == 1
    with pytest.warns(UserWarning, match="implementation has no effect"):
        layer = SimpleRNN(2, implementation=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SimpleRNN.from_config({**layer.get_config(), "implementation": 0})


# cuDNN's names


@pytest.mark.parametrize("kind", CUDNN)
def test_a_mask_ends_at_cudnn_with_a_warning(kind):
    x = sample((2, 3, 2))
    layer = built(CUDNN[kind](2, return_sequences=True), x)
    ctx = Context(mask=np.zeros((2, 3), bool))
    with pytest.warns(UserWarning, match="does not support masking: the mask .* ends here"):
        y, _ = layer.propagate(x, ctx)
    assert ctx.mask is None
    np.testing.assert_array_equal(y, layer(x))


# Cells, and stacks of them


@pytest.mark.parametrize("arguments", [{}, {"return_sequences": True, "go_backwards": True}])
@pytest.mark.parametrize("kind", CELLS)
def test_a_cell_in_an_rnn_is_the_layer(kind, arguments):
    x = sample((2, 4, 3))
    layer = built(ALL[kind](2, dropout=0.3, **arguments), x)
    other = built(RNN(CELLS[kind](2, dropout=0.3), **arguments), x)
    same(run(layer, x, training=True), run(other, x, training=True))


def same(one, other):
    for a, b in zip([*one[:2], *one[2]], [*other[:2], *other[2]], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("masked", [False, True])
def test_cells_in_a_list_are_layers_one_after_the_other(masked):
    mask = np.random.RandomState(0).random_sample((3, 4)) < (0.6 if masked else 2)
    mask[:, -1] = True
    x = sample((3, 4, 2))
    layers = [SimpleRNN(2, return_sequences=True), LSTM(2, return_sequences=True), GRU(2)]
    start = Masked(mask, input_shape=(4, 2))
    model = built(Sequential([start, *layers]), x)
    stack = RNN([SimpleRNNCell(2), LSTMCell(2), GRUCell(2)])
    other = built(Sequential([twin_of(start), stack]), x)
    same(run(model, x, training=True), run(other, x, training=True))
    check_gradients(other, x)
    assert other.count_params() == model.count_params()


def twin_of(start):
    return Masked(start.mask, input_shape=(4, 2))


def test_states_of_a_stack_are_those_of_the_first_cell_first():
    stack = RNN([LSTMCell(4), GRUCell(3)], return_state=True, stateful=True)
    x = sample((2, 6, 5))
    y, *states = stack(x)
    assert stack.cell.state_size == (4, 4, 3)
    assert [state.shape for state in states] == [(2, 4), (2, 4), (2, 3)]
    np.testing.assert_array_equal(y, states[-1])
    stack.reset_states()
    stack(x[:, :2])
    close(stack(x[:, 2:])[0], y)


def test_a_stack_is_a_cell():
    inner = StackedRNNCells([GRUCell(3), SimpleRNNCell(2)])
    x = sample((2, 4, 3))
    layer = built(RNN([inner, LSTMCell(2)]), x)
    flat = built(RNN([GRUCell(3), SimpleRNNCell(2), LSTMCell(2)]), x)
    np.testing.assert_array_equal(layer(x), flat(x))
    check_gradients(layer, x)


class Leaky(Cell):
    """Adds its inputs up, each state being `keep` times the one before plus the input."""

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.state_size = size

    def build(self, input_shape):
        self.keep = self.add_weight("keep", (self.state_size,), initializer="ones")
        self.built = True

    def step(self, x, states, ctx):
        (h,) = states
        y = x + self.keep.value * h
        return y, [y], h

    def step_backward(self, dy, dstates, h, ctx):
        dy = dy + dstates[0]
        ctx.add_gradient(self.keep, (dy * h).sum(axis=0))
        return dy, [dy * self.keep.value]

    def get_config(self):
        return {**super().get_config(), "size": self.state_size}


def test_a_cell_of_the_users_own():
    assert RNN(Leaky(3))(np.ones((2, 5, 3))).tolist() == [[5.0] * 3] * 2
    for arguments in ({}, {"return_sequences": True, "go_backwards": True}):
        check_gradients(RNN(Leaky(2), **arguments), input_shape=(2, 4, 2))
    mask = np.array([[1, 0, 1], [0, 0, 0]], bool)
    stack = RNN([Leaky(2), GRUCell(2), Leaky(2)])
    check_gradients(Sequential([Masked(mask, input_shape=(3, 2)), stack]), sample((2, 3, 2)))


def test_a_cell_of_the_users_own_is_trained():
    model = Sequential([RNN(Leaky(1, name="leaky"), input_shape=(4, 1), name="rnn")])
    x = np.random.RandomState(0).standard_normal((64, 4, 1))
    y = x[:, :, 0] @ [0.125, 0.25, 0.5, 1]
    model.compile("adam", "mse")
    model.optimizer.lr = 0.05
    model.fit(x, y, epochs=20, batch_size=16, verbose=0)
    close(model.get_weights()[0], 0.5, 0.02)
    assert [w.name for w in model.weights] == ["rnn/keep:0"]


def test_a_cell_with_its_own_step_is_not_passed_over():
    class Doubled(LSTMCell):
        def step(self, x, states, ctx):
            y, states, residual = super().step(x, states, ctx)
            return 2 * y, states, residual

    x = sample((2, 4, 3))
    layer, plain = built(RNN(Doubled(2)), x), built(LSTM(2), x)
    close(layer(x), 2 * plain(x))
    close(layer(x, training=True), 2 * plain(x))
    model = built(RNN([Doubled(2)]), x)
    close(model(x), 2 * plain(x))


def test_a_cell_without_a_backward_pass_says_so():
    class Forward(Cell):
        state_size = 2

        def step(self, x, states, ctx):
            return x, states, None

    layer = RNN(Forward(name="ahead"))
    x = sample((1, 2, 2))
    np.testing.assert_array_equal(layer(x), x[:, -1])
    with pytest.raises(NotImplementedError, match="'ahead' .*can't be trained"):
        run(layer, x)
    with pytest.raises(NotImplementedError, match=r"Define step\(self, x, states, ctx\)"):
        RNN(type("Empty", (Cell,), {"state_size": 2})())(x)


@keras_kinds
def test_memory_need_not_be_clean(kind):
    x = sample((2, 3, 2))
    layer = built(KERAS[kind](2, return_sequences=True, stateful=True), x)
    ctx = Context()
    ctx.empty = dirty_empty
    y = layer.propagate(x, ctx)[0]
    layer.reset_states()
    np.testing.assert_array_equal(y, layer(x))


@keras_kinds
def test_learns(kind):
    """Which of two numbers came first? A network without memory can't tell."""
    random = np.random.RandomState(0)
    x = random.standard_normal((256, 6, 2))
    y = (x[:, 0, 0] > 0).astype("float32")
    model = Sequential([KERAS[kind](8, input_shape=(6, 2)), Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    model.optimizer.lr = 0.02
    history = model.fit(x, y, epochs=25, batch_size=32, verbose=0)
    assert history.history["acc"][-1] > 0.9


# What a new user met


def test_input_dim_alone_leaves_the_steps_open():
    assert Sequential([LSTM(4, input_dim=3)]).input_shape == (None, None, 3)
    assert Sequential([LSTM(4, input_dim=3, input_length=5)]).input_shape == (None, 5, 3)


def test_kept_states_can_be_read_and_set_by_the_backend():
    import minikeras.backend as K

    layer = LSTM(2, stateful=True)
    x = np.ones((3, 4, 5))
    first = layer(x)
    np.testing.assert_array_equal(K.get_value(layer.states[0]), first)
    for state in layer.states:
        K.set_value(state, np.zeros((3, 2)))
    np.testing.assert_array_equal(layer(x), first)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sequential([LSTMCell(4)]).predict(np.ones((2, 3))), r"RNN\(LSTMCell"),
        (lambda: Sequential([LSTM(4, input_shape=(5, 3)), LSTM(2)]), "return_sequences=True"),
        (lambda: Sequential([LSTM(4, input_shape=(5, None))]), r"'lstm_1' \(LSTM\).*axis -1"),
    ],
)
def test_words_of_errors(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


# What two hostile reviews found


def test_the_second_argument_of_a_call_is_the_initial_state():
    layer, x = LSTM(4, dropout=0.5), np.ones((2, 5, 3))
    states = [np.full((2, 4), 0.5), np.full((2, 4), -0.5)]
    layer(x)
    np.testing.assert_array_equal(layer(x, states), layer(x, initial_state=states))
    both = Bidirectional(LSTM(4))
    np.testing.assert_array_equal(both(x, states * 2), both(x, initial_state=states * 2))
    with pytest.raises(ValueError, match="must be a list"):
        Bidirectional(GRU(4))(x, initial_state=states[0])


def test_outputs_of_a_call_share_no_memory():
    y, h, c = LSTM(4, return_sequences=True, return_state=True)(np.ones((2, 5, 3)))
    assert y.base is None
    y[...] = 0
    assert h.all()
    assert c.all()


@pytest.mark.parametrize("how", ["predict", "train_on_batch", "test_on_batch"])
def test_a_batch_that_fails_leaves_the_states_alone(how):
    class Fuse(Activation):
        blown = False

        def forward(self, x, ctx):
            if self.blown:
                raise KeyboardInterrupt
            return super().forward(x, ctx)

    fuse = Fuse("linear")
    lstm = LSTM(2, stateful=True, batch_input_shape=(1, 3, 1))
    model = Sequential([lstm, fuse, Dense(1)])
    model.compile("sgd", "mse")
    x, y = np.ones((1, 3, 1)), np.ones((1, 1))
    model.predict(x)
    before = [state.numpy() for state in lstm.states]
    fuse.blown = True
    with pytest.raises(KeyboardInterrupt):
        getattr(model, how)(*((x,) if how == "predict" else (x, y)))
    np.testing.assert_array_equal([state.numpy() for state in lstm.states], before)


def test_a_layer_that_is_stateful_no_more_starts_from_zero():
    layer, x = LSTM(4, stateful=True), np.ones((2, 5, 3))
    first = layer(x)
    layer(x)
    layer.stateful = False
    np.testing.assert_array_equal(layer(x), first)


def test_a_kept_state_stays_one_variable():
    layer, x = LSTM(4, stateful=True), np.ones((2, 5, 3))
    layer(x)
    state = layer.states[0]
    second = layer(x)
    np.testing.assert_array_equal(state.numpy(), second)
    layer.reset_states(layer.states)
    layer.reset_states([None, None])
    assert layer.states == [None, None]


def test_the_type_is_that_of_the_layer_for_any_number_of_steps():
    model = Sequential([Dense(3, dtype="float64", input_shape=(None, 3)), LSTM(4)])
    for steps in (1, 5):
        assert model.predict(np.ones((2, steps, 3))).dtype == np.float32
    assert LSTM(4, input_dtype="float64")(np.ones((2, 5, 3))).dtype == np.float64


def test_a_cell_that_is_built_checks_its_input():
    cell = LSTMCell(4)
    RNN(cell)(np.ones((2, 5, 3)))
    with pytest.raises(ValueError, match="to have size 3, found 7"):
        Sequential([RNN(cell, input_shape=(5, 7))])


def test_a_stack_draws_dropout_for_each_sequence():
    cells = [LSTMCell(3, activation="softsign", recurrent_dropout=0.5) for _ in range(2)]
    layer, x = RNN(cells), np.ones((2, 5, 3), "float32")
    layer(x)
    ctx = Context(training=True)
    layer.forward(np.repeat(x, 3, axis=0), ctx)
    assert layer.forward(x, ctx)[0].shape == (2, 3)


@pytest.mark.parametrize(
    ("make", "new"),
    [
        (lambda: LSTM(3, U_regularizer="l2"), "recurrent_regularizer"),
        (lambda: LSTM(3, dropout_U=0.1), "recurrent_dropout"),
        (lambda: Embedding(9, 2, init="uniform"), "embeddings_initializer"),
        (lambda: Dense(3, init="uniform"), "kernel_initializer"),
    ],
)
def test_names_of_keras_1(make, new):
    with pytest.raises(TypeError, match=f"Keras 1 name of '{new}'"):
        make()


def test_a_list_of_input_and_kept_states():
    x, layer = np.ones((6, 5, 3)), LSTM(4, stateful=True)
    layer(x)
    other = LSTM(4)
    np.testing.assert_array_equal(other([x, *layer.states]), other(x, layer.states))


def test_a_layer_above_that_spoils_its_input_leaves_the_states_alone():
    class Spoils(Activation):
        def forward(self, x, ctx):
            x *= 2
            return x, None

    lstm = LSTM(4, stateful=True, batch_input_shape=(6, 5, 3))
    x = np.ones((6, 5, 3))
    first = LSTM(4)
    first(x)
    model = Sequential([lstm, Spoils("linear")])
    first.set_weights(lstm.get_weights())
    model.predict(x)
    np.testing.assert_array_equal(lstm.states[0].numpy(), first(x))


def test_an_update_that_fails_leaves_the_states_alone():
    class Fails(optimizers.SGD):
        def apply_gradients(self, *state):
            raise KeyboardInterrupt

    lstm = LSTM(4, stateful=True, batch_input_shape=(6, 5, 3))
    model = Sequential([lstm])
    model.compile(Fails(), "mse")
    x = np.ones((6, 5, 3))
    model.predict(x)
    before = lstm.states[0].numpy()
    with pytest.raises(KeyboardInterrupt):
        model.train_on_batch(x, np.zeros((6, 4)))
    np.testing.assert_array_equal(lstm.states[0].numpy(), before)
