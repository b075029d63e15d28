import inspect
import tracemalloc

import numpy as np
import pytest

from minikeras import backend as K
from minikeras import layers
from minikeras.activations import with_gradient
from minikeras.engine import Context, Workspace
from minikeras.layers import Cell, Dense, Flatten, LSTMCell
from minikeras.layers.convolutional_recurrent import ConvLSTM2D, ConvLSTM2DCell, ConvRNN2D
from minikeras.models import Sequential
from minikeras.ops import blas, conv_lstm, parallel
from minikeras.utils.conv_utils import conv_padding
from minikeras.utils.generic_utils import get_custom_objects
from tests.ops import conv_reference

from .checks import agree, check_layer, dirty_empty, run, sample

FORMATS = ["channels_last", "channels_first"]
SWISH = with_gradient(
    lambda x: x / (1 + np.exp(-x)),
    lambda dy, x: dy * (1 + np.exp(-x) * (1 + x)) / (1 + np.exp(-x)) ** 2,
    needs_input=True,
)


class Book(ConvLSTM2DCell):
    """A cell that goes over a sequence step by step."""

    def step(self, x, states, ctx):
        return super().step(x, states, ctx)


def shaped(shape, data_format):
    """Return a shape that has the channels last as `data_format` says."""
    return shape if data_format == "channels_last" else (*shape[:-3], shape[-1], *shape[-3:-1])


def laid_out(x, data_format):
    return x if data_format == "channels_last" else np.moveaxis(x, -1, -3).copy()


def fill(layer, shape, seed=5):
    """Build a layer and give it random weights, bias included."""
    layer.ensure_built((None, *shape[1:]))
    random = np.random.RandomState(seed)
    layer.set_weights([random.standard_normal(w.shape) / 2 for w in layer.get_weights()])
    return layer


# What every layer does


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: ConvLSTM2D(2, (1, 2)), (2, 3, 1, 3, 2)),
        (lambda: ConvLSTM2D(2, 2, 2, "same", return_sequences=True), (2, 2, 3, 4, 1)),
        (lambda: ConvLSTM2D(1, 2, dilation_rate=(1, 2), go_backwards=True), (2, 2, 2, 3, 2)),
        (lambda: ConvLSTM2D(2, 2, data_format="channels_first"), (2, 2, 1, 3, 2)),
        (
            lambda: ConvLSTM2D(
                2, 3, padding="same", data_format="channels_first", return_sequences=True
            ),
            (2, 2, 1, 1, 3),
        ),
        (lambda: ConvLSTM2D(2, 1, use_bias=False, dropout=0.4), (2, 2, 1, 2, 2)),
        (
            lambda: ConvLSTM2D(
                2,
                2,
                activation="relu",
                recurrent_activation="sigmoid",
                dropout=0.3,
                recurrent_dropout=0.4,
                data_format="channels_first",
            ),
            (2, 2, 1, 2, 3),
        ),
        (
            lambda: ConvLSTM2D(
                2,
                2,
                activation="softmax",
                recurrent_activation=SWISH,
                recurrent_dropout=0.4,
                data_format="channels_first",
                activity_regularizer="l2",
            ),
            (1, 2, 1, 2, 2),
        ),
        (
            lambda: ConvLSTM2D(
                1,
                (1, 2),
                activation=None,
                unit_forget_bias=False,
                kernel_initializer="he_normal",
                recurrent_initializer="glorot_normal",
                bias_initializer="ones",
                kernel_regularizer="l2",
                recurrent_regularizer="l1",
                bias_regularizer="l2",
                activity_regularizer="l1",
                kernel_constraint="max_norm",
                recurrent_constraint="unit_norm",
                bias_constraint="non_neg",
            ),
            (1, 2, 2, 3, 1),
        ),
    ],
)
def test_does_what_every_layer_does(make, shape):
    get_custom_objects()[SWISH.__name__] = SWISH
    check_layer(make(), shape)


# What it computes


def reference(x, weights, filters, mask, slide, window):
    """Return all outputs, channels last, as the formulas say."""
    kernel, recurrent_kernel, bias = weights
    h = c = None
    outputs = []
    for t in range(x.shape[1]):
        z = conv_reference.conv(x[:, t], kernel, bias, **slide)
        if h is None:
            h = c = np.zeros((*z.shape[:-1], filters))
        pads = [conv_padding(n, k, "same", 1) for n, k in zip(h.shape[1:3], window, strict=True)]
        same = {"strides": (1, 1), "pads": pads, "dilation": (1, 1)}
        z = z + conv_reference.conv(h, recurrent_kernel, None, **same)
        i, f, g, o = np.split(z, 4, axis=-1)
        i, f, o = (np.clip(0.2 * gate + 0.5, 0, 1) for gate in (i, f, o))
        counts = mask[:, t, None, None, None]
        c = np.where(counts, f * c + i * np.tanh(g), c)
        h = np.where(counts, o * np.tanh(c), h)
        outputs.append(h)
    return np.stack(outputs, axis=1)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize(
    ("window", "strides", "dilation", "padding"),
    [
        ((3, 3), (1, 1), (1, 1), "same"),
        ((2, 3), (2, 1), (1, 1), "valid"),
        ((2, 2), (1, 3), (1, 1), "same"),
        ((3, 2), (1, 1), (1, 2), "valid"),
        ((2, 2), (1, 1), (2, 2), "same"),
        ((1, 4), (1, 1), (1, 1), "same"),
    ],
)
def test_is_the_formulas(data_format, window, strides, dilation, padding):
    shape, filters = (2, 3, 4, 5, 2), 2
    x = sample(shape, "float64")
    mask = np.array([[True, False, True], [True, True, True]])
    axes = zip(shape[2:4], window, strides, dilation, strict=True)
    pads = [conv_padding(n, k, padding, s, d) for n, k, s, d in axes]
    slide = {"strides": strides, "pads": pads, "dilation": dilation}
    layer = ConvLSTM2D(
        filters,
        window,
        strides,
        padding,
        data_format,
        dilation,
        return_sequences=True,
        dtype="float64",
    )
    x_laid_out = laid_out(x, data_format)
    fill(layer, x_laid_out.shape)
    found = layer(x_laid_out, mask=mask)
    expected = reference(x, layer.get_weights(), filters, mask, slide, window)
    assert found.shape == layer.compute_output_shape(x_laid_out.shape)
    np.testing.assert_allclose(found, laid_out(expected, data_format), atol=1e-12)
    layer.go_backwards = True
    found = layer(x_laid_out, mask=mask)
    backwards = reference(x[:, ::-1], layer.get_weights(), filters, mask[:, ::-1], slide, window)
    np.testing.assert_allclose(found, laid_out(backwards, data_format), atol=1e-12)
    layer.return_sequences = False
    np.testing.assert_array_equal(layer(x_laid_out, mask=mask), found[:, -1])


MASK = np.array([[1, 1, 0], [0, 0, 0], [1, 0, 1]], bool)
LATE = np.array([[0, 1, 1], [0, 1, 0], [0, 0, 1]], bool)  # nobody takes part in the first step


def results(layer, x, mask, masks, return_sequences, seed=2):
    """Return all that comes of a layer whose dropout is given, by way of dirty memory."""
    layer.cell.dropout_masks = lambda shape, ctx: masks
    layer.return_sequences, layer.return_state = return_sequences, True
    gradients = {w: np.full_like(w.value, np.nan) for w in layer.trainable_weights}
    ctx = Context(training=True, gradients=gradients, mask=mask)
    ctx.empty = dirty_empty
    ys, residual = layer.forward(x, ctx)
    ys = [y.copy() for y in ys]
    dys = [sample(y.shape, y.dtype, seed + k) for k, y in enumerate(ys)]
    dx = layer.backward([dy.copy() for dy in dys], residual, ctx)
    ctx.finish_gradients()
    return ys, dys, [dx, *gradients.values()]


CASES = [
    (mask, dropout, recurrent_dropout)
    for mask in (None, MASK, LATE)
    for dropout, recurrent_dropout in ((0, 0), (0.4, 0), (0, 0.4), (0.4, 0.4))
]


def patterns(layer, shape):
    """Return patterns of dropout for an input of that shape."""
    ctx = Context(training=True)
    return ConvLSTM2DCell.dropout_masks(layer.cell, (shape[0], *shape[2:]), ctx)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize(("mask", "dropout", "recurrent_dropout"), CASES)
def test_the_quick_way_agrees_with_the_steps_and_with_differences(
    data_format, mask, dropout, recurrent_dropout
):
    shape = shaped((3, 3, 3, 4, 2), data_format)
    x = sample(shape, "float64")
    quick, slow = (
        ConvRNN2D(
            cls(2, (2, 3), (1, 2), "same", data_format, dropout=dropout, dtype="float64"),
            dtype="float64",
        )
        for cls in (ConvLSTM2DCell, Book)
    )
    assert quick.cell._runs
    assert not slow.cell._runs
    for layer in (quick, slow):
        fill(layer, shape)
        layer.cell.recurrent_dropout = recurrent_dropout
    masks = patterns(quick, shape)
    assert [m is None for m in masks] == [dropout == 0, recurrent_dropout == 0]
    for return_sequences in (False, True):
        found, dys, gradients = results(quick, x, mask, masks, return_sequences)
        expected, _, expected_gradients = results(slow, x, mask, masks, return_sequences)
        for one, other in zip([*found, *gradients], [*expected, *expected_gradients], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
    check_along_a_direction(quick, x, mask, masks, dys, gradients)


def check_along_a_direction(layer, x, mask, masks, dys, gradients):
    """Compare with central differences: input and weights change all at once."""
    random, step = np.random.RandomState(7), 1e-6
    values = layer.get_weights()
    directions = [random.standard_normal(a.shape) for a in (x, *values)]

    def loss(sign):
        moved = [v + sign * step * d for v, d in zip(values, directions[1:], strict=True)]
        layer.set_weights(moved)
        ys, _, _ = results(layer, x + sign * step * directions[0], mask, masks, True)
        return sum(np.vdot(y, dy) for y, dy in zip(ys, dys, strict=True))

    numeric = (loss(1) - loss(-1)) / (2 * step)
    layer.set_weights(values)
    analytic = sum(np.vdot(g, d) for g, d in zip(gradients, directions, strict=True))
    np.testing.assert_allclose(analytic, numeric, rtol=1e-6)


@pytest.mark.parametrize("activation", ["tanh", "relu", "linear", "elu"])
@pytest.mark.parametrize("recurrent_activation", ["hard_sigmoid", "sigmoid", "tanh", "softmax"])
def test_activations(activation, recurrent_activation):
    x = sample((2, 3, 3, 3, 2), "float64")
    quick, slow = (
        fill(
            ConvRNN2D(
                cls(
                    2,
                    2,
                    activation=activation,
                    recurrent_activation=recurrent_activation,
                    dtype="float64",
                )
            ),
            x.shape,
        )
        for cls in (ConvLSTM2DCell, Book)
    )
    agree(run(quick, x), run(slow, x), rtol=1e-10)


def test_large_images_are_cut_into_blocks(monkeypatch):
    x = sample((2, 3, 9, 8, 2))
    layer = fill(ConvLSTM2D(3, 3, padding="same", recurrent_dropout=0.3), x.shape)
    whole = run(layer, x, training=True)
    monkeypatch.setattr(conv_lstm, "_BLOCK", 100)  # 33 of 144 places
    in_blocks = []
    for threads in ("1", "2"):
        monkeypatch.setenv("MINIKERAS_NUM_THREADS", threads)
        monkeypatch.setattr(parallel, "_helpers", None)
        with blas.one_thread():
            in_blocks.append(run(layer, x, training=True))
    agree(in_blocks[0], whole)
    for one, other in zip(*([*r[:2], *r[2]] for r in in_blocks), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("data_format", FORMATS)
def test_in_a_steady_state_nothing_large_is_allocated(data_format):
    x = sample(shaped((8, 8, 16, 16, 64), data_format))  # 4 MiB
    layer = ConvLSTM2D(4, 1, data_format=data_format, dropout=0.3, recurrent_dropout=0.3)
    layer.ensure_built(x.shape)
    dy = sample(layer.compute_output_shape(x.shape))
    gradients = {w: np.empty_like(w.value) for w in layer.weights}
    workspace = Workspace()
    for _ in range(2):
        tracemalloc.start()
        workspace.begin("train")
        ctx = Context(training=True, gradients=gradients, workspace=workspace)
        layer.backpropagate(dy.copy("K"), layer.propagate(x, ctx)[1], ctx)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < x.nbytes / 2


def test_single_pixels_are_an_lstm():
    x = sample((3, 4, 1, 1, 5), "float64")
    layer = fill(ConvLSTM2D(2, 1, return_sequences=True, dtype="float64"), x.shape)
    twin = layers.LSTM(2, return_sequences=True, dtype="float64")
    twin.ensure_built((None, 4, 5))
    twin.set_weights([w.reshape(w.shape[-2:] if w.ndim > 1 else -1) for w in layer.get_weights()])
    np.testing.assert_allclose(layer(x)[:, :, 0, 0], twin(x[:, :, 0, 0]), atol=1e-12)


# Dropout


@pytest.mark.parametrize("cls", [ConvLSTM2DCell, Book])
@pytest.mark.parametrize("data_format", FORMATS)
def test_each_sequence_has_four_patterns_of_dropout_over_whole_images(cls, data_format):
    layer = ConvRNN2D(cls(2, 2, data_format=data_format, dropout=0.5, recurrent_dropout=0.25))
    x = np.ones(shaped((40, 2, 5, 6, 3), data_format), np.float32)
    layer.ensure_built(x.shape)
    drawn = []

    def draw(shape, ctx):
        drawn.append(ConvLSTM2DCell.dropout_masks(layer.cell, shape, ctx))
        return drawn[-1]

    layer.cell.dropout_masks = draw
    run(layer, x, training=True)
    run(layer, x, training=True, seed=4)
    assert len(drawn) == 2
    state = shaped((40, 4, 5, 2), data_format)
    for rate, shape, masks in zip((0.5, 0.25), (x[:, 0].shape, state), drawn[0], strict=True):
        assert [m.shape for m in masks] == [shape] * 4
        assert {*np.unique(masks)} == {0, np.float32(1 / (1 - rate))}
        assert abs(np.mean([m == 0 for m in masks]) - rate) < 0.02
        assert len({m.tobytes() for m in masks}) == 4
    assert not np.array_equal(drawn[0][0][0], drawn[1][0][0])
    np.testing.assert_array_equal(layer(x), layer(x))


# State


@pytest.mark.parametrize("data_format", FORMATS)
def test_pieces_of_a_sequence_are_the_whole(data_format):
    x = sample(shaped((2, 6, 4, 4, 3), data_format))
    shape = shaped((2, 2, 4, 4, 3), data_format)
    whole = ConvLSTM2D(2, 3, data_format=data_format, return_sequences=True)
    stateful = ConvLSTM2D(
        2, 3, data_format=data_format, return_sequences=True, stateful=True, batch_input_shape=shape
    )
    model = Sequential([stateful])
    stateful.set_weights(fill(whole, x.shape).get_weights())
    assert stateful.states == [None, None]
    parts = [model.predict(x[:, k : k + 2], batch_size=2) for k in (0, 2, 4)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole(x), atol=1e-6)
    h, c = (state.numpy() for state in stateful.states)
    np.testing.assert_array_equal(h, parts[-1][:, -1])
    assert c.shape == h.shape
    model.reset_states()
    first = model.predict(x[:, :2], batch_size=2)
    np.testing.assert_array_equal(first, parts[0])
    stateful.reset_states([h, c])
    again = model.predict(x[:, :2], batch_size=2)
    assert not np.allclose(again, first)
    with pytest.raises(ValueError, match=r"2 states of shapes \(batch, .* got 1 of shapes"):
        stateful.reset_states(h)
    with pytest.raises(ValueError, match="got 2 of shapes"):
        stateful.reset_states([h[..., :1], c[..., :1]])
    with pytest.raises(ValueError, match="got states of 1 sequences; the batch size is 2"):
        stateful.reset_states([h[:1], c[:1]])


def test_gradients_stop_at_the_kept_state():
    x = sample((2, 2, 3, 3, 1), "float64")
    layer = ConvLSTM2D(2, 2, stateful=True, dtype="float64")
    fill(layer, x.shape)
    layer(x)
    state = layer.states
    found = run(layer, x)
    layer.reset_states(state)
    slow = fill(ConvRNN2D(Book(2, 2, dtype="float64"), stateful=True, dtype="float64"), x.shape)
    slow.reset_states(state)
    agree(found, run(slow, x), rtol=1e-10)


def test_a_stateful_layer_must_know_its_sizes():
    with pytest.raises(ValueError, match=r"stateful.*sizes of its images.*\(2, 3, None, 4, 1\)"):
        Sequential([ConvLSTM2D(2, 2, stateful=True, batch_input_shape=(2, 3, None, 4, 1))])


def test_without_state_sizes_may_be_left_open():
    model = Sequential([ConvLSTM2D(2, 2, input_shape=(None, None, None, 1))])
    assert model.output_shape == (None, None, None, 2)
    for shape in [(1, 3, 4, 5, 1), (2, 1, 2, 2, 1)]:
        assert model.predict(np.zeros(shape)).shape == model.layers[0].compute_output_shape(shape)
    assert model.layers[0](np.zeros((0, 3, 4, 5, 1))).shape == (0, 3, 4, 2)


# Outputs


def test_return_state():
    layer = fill(ConvLSTM2D(2, 2, return_state=True), (2, 3, 4, 4, 1))
    x = sample((2, 3, 4, 4, 1))
    y, h, c = layer(x)
    assert layer.compute_output_shape(x.shape) == [(2, 3, 3, 2)] * 3
    np.testing.assert_array_equal(y, h)
    assert c.shape == h.shape
    with pytest.raises(ValueError, match="3 outputs"):
        Sequential([ConvLSTM2D(2, 2, return_state=True, input_shape=(3, 4, 4, 1))])


def test_a_mask_goes_on_with_the_sequence():
    for return_sequences in (False, True):
        layer = ConvLSTM2D(2, 2, return_sequences=return_sequences)
        fill(layer, (3, 3, 3, 3, 1))
        ctx = Context(mask=MASK)
        layer.propagate(sample((3, 3, 3, 3, 1)), ctx)
        assert ctx.mask is (MASK if return_sequences else None)
    with pytest.raises(ValueError, match=r"\(batch, steps\), here \(3, 3\), got \(3, 3, 3\)"):
        layer(sample((3, 3, 3, 3, 1)), mask=np.ones((3, 3, 3)))


def test_it_learns_where_a_dot_moves():
    random = np.random.RandomState(0)
    start, left = random.randint(2, 5, 200), random.rand(200) < 0.5
    x = np.zeros((200, 3, 3, 7, 1), np.float32)
    for t in range(3):
        x[np.arange(200), t, 1, start + np.where(left, -t, t)] = 1
    np.random.seed(1)
    model = Sequential([ConvLSTM2D(4, 3, input_shape=x.shape[1:]), Flatten(), Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy", ["accuracy"])
    model.optimizer.lr = 0.02
    history = model.fit(x, left, epochs=8, verbose=0).history
    assert history["acc"][-1] > 0.95


# Weights and configuration


def test_weights():
    layer = ConvLSTM2D(4, (2, 3), name="movie")
    layer.ensure_built((None, 5, 8, 9, 3))
    assert [w.name for w in layer.weights] == [
        "movie/kernel:0",
        "movie/recurrent_kernel:0",
        "movie/bias:0",
    ]
    assert [w.shape for w in layer.weights] == [(2, 3, 3, 16), (2, 3, 4, 16), (16,)]
    np.testing.assert_array_equal(layer.get_weights()[2], [0] * 4 + [1] * 4 + [0] * 8)
    plain = ConvLSTM2D(1, 1, unit_forget_bias=False, bias_initializer="ones")
    plain.ensure_built((None, 2, 2, 2, 1))
    np.testing.assert_array_equal(plain.get_weights()[2], [1] * 4)
    given = [w + 1 for w in layer.get_weights()]
    twin = ConvLSTM2D(4, (2, 3), weights=given)
    twin.ensure_built((None, 5, 8, 9, 3))
    for one, other in zip(twin.get_weights(), given, strict=True):
        np.testing.assert_array_equal(one, other)


ARGUMENTS = {
    "strides": (1, 1),
    "padding": "valid",
    "data_format": None,
    "dilation_rate": (1, 1),
    "activation": "tanh",
    "recurrent_activation": "hard_sigmoid",
    "use_bias": True,
    "kernel_initializer": "glorot_uniform",
    "recurrent_initializer": "orthogonal",
    "bias_initializer": "zeros",
    "unit_forget_bias": True,
    "kernel_regularizer": None,
    "recurrent_regularizer": None,
    "bias_regularizer": None,
    "activity_regularizer": None,
    "kernel_constraint": None,
    "recurrent_constraint": None,
    "bias_constraint": None,
    "return_sequences": False,
    "go_backwards": False,
    "stateful": False,
    "dropout": 0.0,
    "recurrent_dropout": 0.0,
}


def test_the_signature_is_that_of_keras_2_2_4():
    parameters = inspect.signature(ConvLSTM2D).parameters
    defaults = {name: p.default for name, p in parameters.items()}
    names = ["filters", "kernel_size", *ARGUMENTS]
    assert list(parameters)[: len(names)] == names
    assert {name: defaults[name] for name in ARGUMENTS} == ARGUMENTS
    own = [name for name in names if name in ConvLSTM2DCell.arguments]
    assert list(inspect.signature(ConvLSTM2DCell).parameters)[: len(own)] == own
    cell_only = {"activity_regularizer", "return_sequences", "go_backwards", "stateful"}
    assert {*names} - {*own} == cell_only


def test_config():
    config = ConvLSTM2D(2, 3, strides=2, dropout=0.1, return_sequences=True).get_config()
    assert {*config} == {
        *ARGUMENTS,
        *("filters", "kernel_size", "return_state", "unroll", "name", "trainable"),
    }
    assert (config["kernel_size"], config["strides"]) == ((3, 3), (2, 2))
    assert config["data_format"] == "channels_last"
    assert config["name"] == "conv_lst_m2d_1"
    config = ConvRNN2D(ConvLSTM2DCell(2, 3)).get_config()
    assert config["cell"]["class_name"] == "ConvLSTM2DCell"
    assert {*config["cell"]["config"]} == {*ConvLSTM2DCell.arguments, "name", "trainable"}


def test_arguments_are_those_of_the_cell():
    layer = ConvLSTM2D(2, 3, dropout=0.5)
    assert (layer.filters, layer.kernel_size, layer.dropout) == (2, (3, 3), 0.5)
    layer.recurrent_dropout = 0.25
    assert layer.cell.recurrent_dropout == 0.25


def test_the_global_data_format():
    K.set_image_data_format("channels_first")
    assert ConvLSTM2D(1, 1).data_format == "channels_first"


# A cell of the user's own


class Blur(Cell):
    """Adds the input to a fading picture."""

    state_size = 1

    def state_shapes(self, input_shape):
        return [tuple(input_shape)]

    def step(self, x, states, ctx):
        y = x + states[0] / 2
        return y, [y], None

    def step_backward(self, dy, dstates, residual, ctx):
        total = dy + dstates[0]
        return total, [total / 2]


def test_a_cell_of_ones_own():
    layer = ConvRNN2D(Blur(), return_sequences=True)
    x = np.ones((2, 3, 2, 2, 1))
    assert layer(x)[0, :, 0, 0, 0].tolist() == [1, 1.5, 1.75]
    _, dx, _ = run(layer, sample(x.shape), dy=np.ones(x.shape, np.float32))
    assert dx[0, :, 0, 0, 0].tolist() == [1.75, 1.5, 1]


# What can't be


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 3), "filters must be an int greater than 0, got 0"),
        ((2, (3, 3, 3)), "kernel_size must be an int or a tuple of 2 ints"),
        ((2, 3, 0), "strides must be greater than 0"),
        ((2, 3, 1, "causal"), "padding must be 'valid' or 'same'"),
        ((2, 3, 1, "same", "last"), "data_format"),
        ((2, 3, 2, "same", None, 2), "don't go together"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ConvLSTM2D(*arguments)


def test_wrong_rates_and_names():
    with pytest.raises(ValueError, match="recurrent_dropout must be a number from 0"):
        ConvLSTM2D(2, 3, recurrent_dropout=1)
    with pytest.raises(TypeError, match="'nb_filter' is the Keras 1 name of 'filters'"):
        ConvLSTM2D(2, 3, nb_filter=3)


def test_wrong_shapes():
    with pytest.raises(ValueError, match=r"ndim=5.*batch, steps, height, width, channels"):
        Sequential([ConvLSTM2D(2, 3, input_shape=(4, 4, 1))])
    with pytest.raises(ValueError, match=r"ndim=5.*batch, steps, channels, height, width"):
        Sequential([ConvLSTM2D(2, 3, data_format="channels_first", input_shape=(4, 4, 1))])
    layer = ConvLSTM2D(2, 3)
    with pytest.raises(ValueError, match=r"a window of \(3, 3\) does not fit .* \(None, 2, 5, 1\)"):
        layer.ensure_built((None, 4, 2, 5, 1))
    assert not layer.weights
    with pytest.raises(ValueError, match="needs to know the size of axis -1"):
        layer.ensure_built((None, 4, 5, 5, None))
    with pytest.raises(ValueError, match="has no steps"):
        layer(np.zeros((2, 0, 5, 5, 1)))
    layer.ensure_built((None, 4, 5, 5, 1))
    with pytest.raises(ValueError, match="expected axis 4 to have size 1, found 2"):
        layer.ensure_built((None, 4, 5, 5, 2))


def test_wrong_cells():
    with pytest.raises(TypeError, match="can't be unrolled"):
        ConvLSTM2D(2, 3, unroll=True)
    with pytest.raises(TypeError, match="a single cell, got 2"):
        ConvRNN2D([ConvLSTM2DCell(2, 3), ConvLSTM2DCell(2, 3)])
    with pytest.raises(ValueError, match=r"states are images.*LSTMCell.*\(None, 3\)"):
        ConvRNN2D(LSTMCell(3)).ensure_built((None, 4, 5, 5, 1))
