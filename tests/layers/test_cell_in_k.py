import copy
import pickle

import numpy as np
import pytest

from minikeras import Sequential
from minikeras import backend as K
from minikeras.engine import Layer
from minikeras.layers import (
    GRU,
    LSTM,
    RNN,
    Bidirectional,
    Cell,
    Dense,
    GRUCell,
    LSTMCell,
    Masking,
    SimpleRNNCell,
    StackedRNNCells,
    TimeDistributed,
)
from minikeras.models import clone_model, model_from_json
from minikeras.testing import check_gradients
from minikeras.utils import CustomObjectScope

X = np.random.RandomState(0).standard_normal((4, 5, 3)).astype("float32")
MASK = np.array([[1, 1, 0, 1, 0], [1] * 5, [0] * 5, [0, 1, 1, 1, 1]], bool)


class MinimalCell(Layer):
    """The cell of the Keras documentation, with dropout and a phase."""

    def __init__(self, units, dropout=0.0, **kwargs):
        self.units = units
        self.state_size = units
        self.dropout = dropout
        super().__init__(**kwargs)

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.units), initializer="uniform", name="kernel"
        )
        self.recurrent_kernel = self.add_weight(
            shape=(self.units, self.units), initializer="uniform", name="recurrent_kernel"
        )
        self.built = True

    def call(self, inputs, states, training=None):
        if self.dropout:
            inputs = K.in_train_phase(K.dropout(inputs, self.dropout), inputs, training=training)
        h = K.dot(inputs, self.kernel)
        output = h + K.dot(states[0], self.recurrent_kernel)
        return K.tanh(output), [K.tanh(output)]

    def get_config(self):
        return {**super().get_config(), "units": self.units, "dropout": self.dropout}


class TwoStates(Layer):
    """A cell with two states of different sizes, and an output of a third."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.state_size = (3, 2)
        self.output_size = 4

    def build(self, shape):
        self.w = self.add_weight("w", (shape[-1] + 5, 4))
        self.built = True

    def call(self, x, states):
        a, b = states
        y = K.tanh(K.dot(K.concatenate([x, a, b], axis=-1), self.w))
        return y, [y[:, :3] * a + x[:, :1], K.sigmoid(y[:, 2:]) + b]


class OwnLSTMCell(LSTMCell):
    """A built-in cell with a call of one's own."""

    def call(self, inputs, states, training=None):
        output, states = super().call(inputs * 2.0, states, training=training)
        return K.relu(output), states


class Plain(Cell):
    """A cell by hand."""

    state_size = 3

    def build(self, shape):
        self.keep = self.add_weight("keep", (3,), initializer="ones")
        self.built = True

    def step(self, x, states, ctx):
        y = x + 0.5 * self.keep.value * states[0]
        return y, [y], states[0]

    def step_backward(self, dy, dstates, h, ctx):
        dy = dy + dstates[0]
        ctx.add_gradient(self.keep, (0.5 * dy * h).sum(axis=0))
        return dy, [0.5 * dy * self.keep.value]


class OwnPlain(Plain):
    """In K functions again."""

    def call(self, inputs, states, training=None):
        y, new = super().call(K.tanh(inputs), states)
        return y, [new[0] * 0.9]


CELLS = {
    "in K": lambda: MinimalCell(3),
    "dropout": lambda: MinimalCell(3, dropout=0.4),
    "two states": TwoStates,
    "lstm": lambda: OwnLSTMCell(3),
    "lstm dropout": lambda: OwnLSTMCell(3, dropout=0.3, recurrent_dropout=0.2),
    "by hand, in K": OwnPlain,
    "stacked": lambda: [MinimalCell(2), LSTMCell(3), MinimalCell(4, dropout=0.3)],
    "mixed": lambda: [OwnPlain(), GRUCell(2, dropout=0.2), TwoStates()],
    "stack": lambda: StackedRNNCells([MinimalCell(2), SimpleRNNCell(3)], reverse_state_order=True),
}


class Masked(Layer):
    """Mask steps whatever their values, so that these can be differentiated by."""

    supports_masking = True

    def call(self, x):
        return x * 1.0

    def compute_mask(self, x, mask=None):
        return np.resize(MASK, K.int_shape(x)[:2])


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_derivatives(name, training):
    check_gradients(RNN(CELLS[name]()), X, training=training)


@pytest.mark.parametrize(
    "options",
    [
        {"return_sequences": True},
        {"go_backwards": True},
        {"go_backwards": True, "return_sequences": True},
        {"unroll": True},
    ],
    ids=lambda o: "+".join(o),
)
@pytest.mark.parametrize("name", ["in K", "two states", "stacked"])
def test_options(name, options):
    check_gradients(RNN(CELLS[name](), **options), X, training=True)


class Everything(Layer):
    """Make one output of the output and the states of a recurrent layer."""

    def __init__(self, rnn, **kwargs):
        super().__init__(**kwargs)
        self.rnn = rnn

    def call(self, x):
        y, *states = self.rnn(x)
        return K.concatenate([K.batch_flatten(y), *states])


@pytest.mark.parametrize("name", CELLS)
def test_returned_states(name):
    layer = RNN(CELLS[name](), return_state=True, return_sequences=True)
    check_gradients(Everything(layer), X, training=True)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("name", ["in K", "dropout", "lstm", "by hand, in K", "stacked"])
def test_masks(name, sequences, training):
    if name == "stacked":
        cells = [MinimalCell(3), LSTMCell(3), MinimalCell(3)]
    else:
        cells = CELLS[name]()
    model = Sequential([Masked(), RNN(cells, return_sequences=sequences)])
    check_gradients(model, X, training=training)


def test_masked_steps_keep_the_state():
    layer = RNN(MinimalCell(3), return_sequences=True)
    y = layer(X, mask=MASK)
    np.testing.assert_array_equal(y[0, 2], y[0, 1])
    np.testing.assert_array_equal(y[0, 4], y[0, 3])
    assert not y[2].any()
    np.testing.assert_allclose(y[3, 1:], layer(X[3:, 1:])[0], rtol=1e-5)


def test_a_mask_with_an_output_unlike_the_state():
    with pytest.raises(ValueError, match="masked step repeats the first state"):
        RNN(TwoStates())(X, mask=MASK)


# --- values -----------------------------------------------------------------------------------


def test_values_by_hand():
    cell = MinimalCell(3)
    layer = RNN(cell, return_sequences=True, return_state=True)
    y, state = layer(X)
    h = np.zeros((4, 3), "float32")
    for t in range(5):
        h = np.tanh(X[:, t] @ cell.kernel.value + h @ cell.recurrent_kernel.value)
        np.testing.assert_allclose(y[:, t], h, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(state, y[:, -1])
    backwards = RNN(cell, return_sequences=True, go_backwards=True)
    np.testing.assert_allclose(backwards(X[:, ::-1]), y, rtol=1e-6)


def test_a_cell_like_a_built_in_one():
    """An LSTM cell whose call adds nothing gives what the op for whole sequences gives."""

    class Same(LSTMCell):
        def call(self, inputs, states, training=None):
            return super().call(inputs, states, training=training)

    own, built_in = RNN(Same(4)), LSTM(4)
    own(X), built_in(X)
    built_in.set_weights(own.get_weights())
    np.testing.assert_allclose(own(X), built_in(X), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(own(X, mask=MASK), built_in(X, mask=MASK), rtol=1e-5, atol=1e-6)


def test_initial_states():
    layer = RNN(MinimalCell(3))
    states = np.ones((4, 3), "float32")
    started = layer(X, initial_state=states)
    assert not np.allclose(started, layer(X))
    np.testing.assert_array_equal(layer([X, states]), started)

    class Starts(Layer):
        def __init__(self, rnn, **kwargs):
            super().__init__(**kwargs)
            self.rnn = rnn

        def call(self, x):
            return self.rnn(x, initial_state=[x[:, 0] * 2.0])

    np.testing.assert_allclose(
        Starts(layer)(X), layer(X, initial_state=2 * X[:, 0]), rtol=1e-5, atol=1e-6
    )
    check_gradients(Starts(RNN(MinimalCell(3))), X)
    check_gradients(Starts(RNN([MinimalCell(3)], go_backwards=True)), X)


def test_dropout_in_both_phases():
    layer = RNN(MinimalCell(3, dropout=0.5))
    np.testing.assert_array_equal(layer(X), layer(X))
    assert not np.array_equal(layer(X, training=True), layer(X, training=True))
    layer = RNN(OwnLSTMCell(8, dropout=0.5))
    np.testing.assert_array_equal(layer(X), layer(X))
    assert not np.array_equal(layer(X, training=True), layer(X, training=True))


def test_the_dropout_of_a_built_in_cell_is_the_same_at_all_steps():
    class Watched(SimpleRNNCell):
        def call(self, inputs, states, training=None):
            y, new = super().call(inputs, states, training=training)
            return y, [0.0 * new[0]]

    layer = RNN(Watched(6, dropout=0.5), return_sequences=True)
    y = layer(np.ones((2, 5, 4)), training=True)
    for t in range(1, 5):
        np.testing.assert_array_equal(y[:, t], y[:, 0])


def test_stateful():
    layer = RNN(MinimalCell(3), stateful=True, batch_input_shape=(4, 5, 3))
    model = Sequential([layer])
    first = model.predict(X)
    second = model.predict(X)
    assert not np.array_equal(first, second)
    stateless = RNN(layer.cell)
    np.testing.assert_allclose(stateless(np.concatenate([X, X], axis=1)), second, rtol=1e-5)
    np.testing.assert_array_equal(K.get_value(layer.states[0]), second)
    K.function([model.input], [model.output])([X])
    np.testing.assert_array_equal(K.get_value(layer.states[0]), second)
    model.reset_states()
    np.testing.assert_array_equal(model.predict(X), first)
    model.compile("sgd", "mse")
    model.reset_states()
    model.train_on_batch(X, first)
    assert layer.states[0] is not None


# --- in other layers --------------------------------------------------------------------------


@pytest.mark.parametrize("merge_mode", ["concat", "sum", "mul"])
@pytest.mark.parametrize("sequences", [False, True])
def test_bidirectional(merge_mode, sequences):
    with CustomObjectScope({"MinimalCell": MinimalCell}):
        layer = Bidirectional(
            RNN(MinimalCell(3), return_sequences=sequences), merge_mode=merge_mode
        )
    check_gradients(layer, X)
    check_gradients(Sequential([Masked(), layer]), X)
    layer(X)
    assert len(layer.weights) == 4


def test_over_time_and_in_models():
    layer = TimeDistributed(RNN(MinimalCell(3)))
    check_gradients(layer, np.stack([X, X[::-1]], axis=1))
    model = Sequential(
        [
            RNN(MinimalCell(3), return_sequences=True, input_shape=(5, 3)),
            Sequential([RNN(TwoStates(), return_sequences=True), GRU(3)]),
            Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    check_gradients(model, X, X[:, 0, :1])


def test_in_a_call_and_in_a_function():
    class Reads(Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.rnn = RNN(MinimalCell(3), return_sequences=True, return_state=True)

        def call(self, x):
            y, h = self.rnn(x)
            return K.max(y, axis=1) * h

    check_gradients(Reads(), X)
    model = Sequential([Masking(input_shape=(5, 3)), RNN(MinimalCell(3))])
    x = np.where(MASK[..., None], X, 0)
    run = K.function([model.input], [model.output, *K.gradients(model.output, model.input)])
    y, dx = run([x])
    np.testing.assert_allclose(y, model.predict(x), rtol=1e-5, atol=1e-6)
    assert not dx[~MASK].any()


def test_layers_in_a_cell():
    class Deep(Layer):
        state_size = 3

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.first = Dense(4, activation="tanh")
            self.second = Dense(3, kernel_regularizer="l2")

        def call(self, x, states):
            h = self.second(self.first(K.concatenate([x, states[0]])))
            return h, [h]

    layer = RNN(Deep(), input_shape=(5, 3))
    check_gradients(layer, X)
    model = Sequential([layer])
    model.compile("sgd", "mse")
    assert len(model.trainable_weights) == 4
    check_gradients(model, X, X[:, 0])
    before = model.get_weights()
    model.train_on_batch(X, X[:, 0])
    assert all(not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_a_cell_on_a_cell():
    """A cell that calls another cell."""

    class Residual(Layer):
        def __init__(self, inner, **kwargs):
            super().__init__(**kwargs)
            self.inner = inner
            self.state_size = inner.state_size

        def build(self, shape):
            self.inner.build(shape)
            self.built = True

        def call(self, inputs, states, training=None):
            y, states = self.inner.call(inputs, states)
            return y + inputs, states

    for inner in (MinimalCell(3), GRUCell(3), LSTMCell(3), Plain()):
        layer = RNN(Residual(inner))
        check_gradients(layer, X)
        layer(X)
        assert layer.weights == inner.weights


# --- weights, types and configuration ---------------------------------------------------------


def test_weights():
    cell = MinimalCell(3)
    layer = RNN(cell, name="recurrent")
    layer(X)
    assert layer.cell is cell
    assert layer.weights == [cell.kernel, cell.recurrent_kernel]
    assert [w.name for w in layer.weights] == [
        "recurrent/kernel:0",
        "recurrent/recurrent_kernel:0",
    ]
    values = [np.zeros((3, 3)), np.ones((3, 3))]
    layer.set_weights(values)
    for got, wanted in zip(layer.get_weights(), values, strict=True):
        np.testing.assert_array_equal(got, wanted)
    cell.trainable = False
    assert layer.trainable_weights == []
    assert len(layer.weights) == 2
    assert layer.count_params() == 18


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_types(dtype):
    layer = RNN(MinimalCell(3, dtype=dtype))
    assert layer(X).dtype == dtype
    model = Sequential([layer])
    model.compile("sgd", "mse")
    model.train_on_batch(X, X[:, 0])
    assert model.predict(X).dtype == dtype
    with pytest.raises(ValueError, match="Give the cell the dtype"):
        RNN(MinimalCell(3), dtype=dtype)


def test_configuration():
    model = Sequential([RNN([MinimalCell(2), LSTMCell(3)], input_shape=(5, 3)), Dense(1)])
    text = model.to_json()
    loaded = model_from_json(text, custom_objects={"MinimalCell": MinimalCell})
    with CustomObjectScope({"MinimalCell": MinimalCell}):
        clone = clone_model(model)
    for other in (loaded, clone):
        other.set_weights(model.get_weights())
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
    with pytest.raises(ValueError, match="MinimalCell"):
        model_from_json(text)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies(copied):
    model = Sequential([RNN([MinimalCell(2), TwoStates()], input_shape=(5, 3))])
    model.compile("sgd", "mse")
    model.train_on_batch(X, X[:, 0, [0, 1, 2, 0]])
    other = copied(model)
    before = model.predict(X)
    np.testing.assert_array_equal(other.predict(X), before)
    other.train_on_batch(X, X[:, 0, [0, 1, 2, 0]])
    np.testing.assert_array_equal(model.predict(X), before)
    assert not np.array_equal(other.predict(X), before)


# --- errors -----------------------------------------------------------------------------------


class Returns(Layer):
    """A cell that returns what it is told to."""

    state_size = 3

    def __init__(self, result, **kwargs):
        super().__init__(**kwargs)
        self.result = result

    def call(self, x, states):
        return self.result(x, states)


@pytest.mark.parametrize(
    "result",
    [
        lambda x, s: x,
        lambda x, s: None,
        lambda x, s: (x, x),
        lambda x, s: (x, []),
        lambda x, s: (x, [x, x]),
        lambda x, s: (x, [x[:, :2]]),
        lambda x, s: (x, [None]),
    ],
    ids=["output", "None", "no list", "none of it", "too many", "smaller", "list of None"],
)
def test_wrong_results_name_the_cell(result):
    model = Sequential([RNN(Returns(result, name="odd"), input_shape=(5, 3))])
    model.compile("sgd", "mse")
    for step in (lambda: model.predict(X), lambda: model.train_on_batch(X, X[:, 0])):
        with pytest.raises((TypeError, ValueError), match="'odd'.*call"):
            step()


def test_a_tuple_of_states_will_do():
    np.testing.assert_allclose(RNN(Returns(lambda x, s: (x, (x,))))(X), X[:, -1], rtol=1e-6)


def test_what_is_no_cell():
    with pytest.raises(ValueError, match="takes a cell"):
        RNN(Dense(3))
    with pytest.raises(ValueError, match="Did you forget the parentheses"):
        RNN(MinimalCell)
    with pytest.raises(ValueError, match="constants are not supported"):
        RNN(MinimalCell(3))(X, constants=[X])


def test_an_error_in_a_cell_leaves_the_thread_clean():
    from minikeras.backend.running import current

    def fail(x, states):
        raise RuntimeError("boom")

    model = Sequential([RNN(Returns(fail), input_shape=(5, 3))])
    model.compile("sgd", "mse")
    for step in (lambda: model.predict(X), lambda: model.train_on_batch(X, X[:, 0])):
        with pytest.raises(RuntimeError, match="boom"):
            step()
        assert current() is None


def test_nothing_is_recorded_in_predict(monkeypatch):
    from minikeras.backend.tape import Tensor

    model = Sequential([RNN([MinimalCell(2), OwnLSTMCell(3)], input_shape=(5, 3))])
    model.compile("sgd", "mse")
    model.predict(X)
    made = []
    init = Tensor.__init__

    def counting(self, *args, **kwargs):
        init(self, *args, **kwargs)
        if self.op is not None:
            made.append(self)

    monkeypatch.setattr(Tensor, "__init__", counting)
    model.predict(X)
    model.evaluate(X, X[:, 0], verbose=0)
    assert not made


class Recurrent(Layer):
    """A plain cell in K that counts its steps."""

    def __init__(self, units, **kwargs):
        self.state_size = units
        super().__init__(**kwargs)

    def build(self, input_shape):
        self.kernel = self.add_weight("kernel", (input_shape[-1], self.state_size))
        self.recurrent = self.add_weight("recurrent", (self.state_size, self.state_size))
        self.count = self.add_weight("count", (), initializer="zeros", trainable=False)
        self.built = True

    def call(self, inputs, states):
        self.add_update(K.update_add(self.count, 1.0))
        h = K.tanh(K.dot(inputs, self.kernel) + K.dot(states[0], self.recurrent))
        return h, [h]


def test_going_back_after_new_states_have_been_kept():
    layer = RNN(Recurrent(3), stateful=True, batch_input_shape=(4, 5, 3))
    layer(X)
    y = layer(K.variable(X))
    before = [g.value.copy() for g in K.gradients(K.sum(K.square(y)), layer.trainable_weights)]
    layer(3 * X)
    after = [g.value for g in K.gradients(K.sum(K.square(y)), layer.trainable_weights)]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_frozen_layer_leaves_the_statistics_of_its_cell_alone():
    layer = RNN(Recurrent(3), input_shape=(5, 3))
    model = Sequential([layer])
    model.compile("sgd", "mse")
    model.train_on_batch(X, X[:, 0])
    assert float(layer.cell.count) == 1
    layer.trainable = False
    model.compile("sgd", "mse")
    model.train_on_batch(X, X[:, 0])
    assert float(layer.cell.count) == 1
