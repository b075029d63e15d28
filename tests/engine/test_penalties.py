import copy
import pickle

import numpy as np
import pytest

from minikeras import Sequential, regularizers
from minikeras import backend as K
from minikeras.engine import Layer
from minikeras.layers import (
    GRU,
    LSTM,
    RNN,
    Activation,
    Bidirectional,
    Dense,
    Embedding,
    Flatten,
    StackedRNNCells,
    TimeDistributed,
)
from minikeras.testing import check_gradients

X = np.random.RandomState(0).standard_normal((4, 3)).astype("float32")
SEQUENCES = np.random.RandomState(1).standard_normal((4, 5, 3)).astype("float32")
LABELS = np.eye(3, dtype="float32")[[0, 1, 2, 0]]


class Sparse(Layer):
    """A penalty on the input, in call."""

    def build(self, shape):
        self.w = self.add_weight("w", (shape[-1],), initializer="ones")
        self.built = True

    def call(self, x):
        self.add_loss(0.1 * K.sum(K.square(x * self.w)), inputs=x)
        return x * self.w


class Penalised(Layer):
    """A penalty on a weight, in build; `how` says in what form."""

    def __init__(self, how="expression", **kwargs):
        super().__init__(**kwargs)
        self.how = how

    def build(self, shape):
        self.w = self.add_weight("w", (shape[-1],), initializer="ones")
        if self.how == "expression":
            self.add_loss(2.0 * K.sum(K.square(self.w)))
        elif self.how == "function":
            self.add_loss(lambda: 2.0 * K.sum(K.square(self.w)))
        elif self.how == "vector":
            self.add_loss([2.0 * K.square(self.w)])
        self.built = True

    def call(self, x):
        return x * self.w


class ByHand(Layer):
    """The same by hand."""

    def build(self, shape):
        self.w = self.add_weight("w", (shape[-1],), initializer="ones")
        self.add_loss(2.0 * K.sum(K.square(self.w)))
        self.built = True

    def forward(self, x, ctx):
        return x * self.w.value, x

    def backward(self, dy, x, ctx):
        ctx.add_gradient(self.w, (dy * x).reshape(-1, x.shape[-1]).sum(axis=0))
        return dy * self.w.value


class Outer(Layer):
    """Call another layer, so many times."""

    def __init__(self, inner, times=1, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner
        self.times = times

    def call(self, x):
        for _ in range(self.times):
            x = self.inner(x)
        return x


def compiled(*layers, loss="mse"):
    model = Sequential(list(layers))
    model.compile("sgd", loss)
    return model


def penalty_of(*layers, x=X):
    """Return what is added to a loss of zero, in evaluate and in training."""
    model = compiled(*layers)
    y = model.predict(x)
    tested = model.evaluate(x, y, verbose=0)
    trained = model.train_on_batch(x, y)
    assert trained == pytest.approx(tested, rel=1e-5)
    return tested


# --- in call ----------------------------------------------------------------------------------


def test_a_penalty_in_call():
    model = compiled(Sparse(input_shape=(3,)), Dense(3))
    check_gradients(model, X, X)
    layer = Sparse(input_shape=(3,))
    assert penalty_of(layer) > 0


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [
        (lambda x: K.sum(x) * 0.0 + 3.0, 3.0),
        (lambda x: [K.constant(1.0), 2.0, K.sum(x) * 0.0], 3.0),
        (lambda x: x[0] * 0.0 + 1.0, 3.0),
        (lambda x: 3, 3.0),
        (lambda x: np.float64(3), 3.0),
        (lambda x: lambda: 3.0, 3.0),
        (lambda x: [], 0.0),
        (lambda x: None, 0.0),
    ],
    ids=["tensor", "list", "vector", "int", "numpy", "function", "empty", "None"],
)
def test_forms_of_a_penalty_in_call(penalty, expected):
    class Adds(Layer):
        def call(self, x):
            self.add_loss(penalty(x))
            return x

    assert penalty_of(Adds(input_shape=(3,))) == pytest.approx(expected)


def test_a_penalty_is_a_part_of_each_pass_alone():
    model = compiled(Sparse(input_shape=(3,)))
    y = model.predict(X)
    first = [model.evaluate(X, y, verbose=0) for _ in range(3)]
    assert len(set(first)) == 1
    assert model.evaluate(0 * X, 0 * y, verbose=0) == 0.0


def test_a_penalty_on_an_output_that_nobody_uses():
    class Aside(Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = Dense(2)

        def call(self, x):
            self.add_loss(K.sum(K.square(self.dense(x))))
            return x

    check_gradients(compiled(Aside(input_shape=(3,)), Dense(1)), X, X[:, :1])


@pytest.mark.parametrize(
    "layer",
    [
        lambda: Outer(Sparse()),
        lambda: Outer(Sparse(), 3),
        lambda: Outer(Outer(Sparse())),
        lambda: Outer(Sequential([Sparse(), Dense(3)])),
        lambda: Sequential([Sparse(), Outer(Sparse())]),
    ],
    ids=["inline", "thrice", "deeper", "model", "mixed"],
)
def test_penalties_of_layers_within_layers(layer):
    model = compiled(Activation("linear", input_shape=(3,)), layer(), Dense(1))
    check_gradients(model, X, X[:, :1])


def test_penalties_over_time():
    check_gradients(compiled(TimeDistributed(Sparse(), input_shape=(5, 3))), SEQUENCES, SEQUENCES)
    layer = Outer(TimeDistributed(Sparse()), input_shape=(5, 3))
    check_gradients(compiled(layer), SEQUENCES, SEQUENCES)


# --- in build and in the constructor ----------------------------------------------------------


@pytest.mark.parametrize("how", ["expression", "function", "vector"])
def test_a_penalty_in_build(how):
    assert penalty_of(Penalised(how, input_shape=(3,))) == pytest.approx(6.0)
    check_gradients(compiled(Penalised(how, input_shape=(3,)), Dense(1)), X, X[:, :1])


def test_a_penalty_in_build_by_hand():
    assert penalty_of(ByHand(input_shape=(3,))) == pytest.approx(6.0)
    check_gradients(compiled(ByHand(input_shape=(3,)), Dense(1)), X, X[:, :1])


def test_a_penalty_follows_the_weight():
    layer = Penalised(input_shape=(3,))
    model = compiled(layer)
    layer.set_weights([np.zeros(3)])
    assert model.evaluate(X, 0 * X, verbose=0) == 0.0


def test_a_penalty_in_the_constructor():
    class Early(Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.factor = K.variable(3.0)
            self.add_loss(K.square(self.factor))
            self.add_loss(1.0)
            self.add_loss(lambda: K.sum(self.w))

        def build(self, shape):
            self.w = self.add_weight("w", (2,), initializer="ones")
            self.built = True

        def call(self, x):
            return x

    assert penalty_of(Early(input_shape=(3,))) == pytest.approx(12.0)


def test_a_penalty_that_is_nothing_of_the_kind():
    for wrong in ("text", np.ones(3), K.placeholder((2,))):
        with pytest.raises(TypeError, match="expression of weights, or a function"):
            Dense(1).add_loss(wrong)


def test_nothing_and_none_are_no_penalties():
    layer = Dense(1)
    layer.add_loss([])
    layer.add_loss(None)
    assert layer._penalties == ()


@pytest.mark.parametrize("make", [Penalised, ByHand], ids=["in K", "by hand"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda inner: Outer(inner),
        lambda inner: Outer(Outer(inner)),
        lambda inner: Outer(Sequential([inner])),
        lambda inner: Sequential([inner]),
        lambda inner: Sequential([Outer(inner)]),
    ],
    ids=["inline", "deeper", "model inline", "model", "both"],
)
def test_penalties_in_build_of_layers_within_layers(make, wrap):
    layers = [Activation("linear", input_shape=(3,)), wrap(make())]
    assert penalty_of(*layers) == pytest.approx(6.0)
    layers = [Activation("linear", input_shape=(3,)), wrap(make()), Dense(1)]
    check_gradients(compiled(*layers), X, X[:, :1])


@pytest.mark.parametrize("make", [Penalised, ByHand], ids=["in K", "by hand"])
def test_penalties_in_build_over_time(make):
    x = SEQUENCES
    assert penalty_of(TimeDistributed(make(), input_shape=(5, 3)), x=x) == pytest.approx(6.0)
    layer = Outer(TimeDistributed(make()), input_shape=(5, 3))
    assert penalty_of(layer, x=x) == pytest.approx(6.0)


@pytest.mark.parametrize("make", [Penalised, ByHand], ids=["in K", "by hand"])
def test_a_penalty_on_weights_counts_once_however_often_the_layer_is_used(make):
    layer = make(input_shape=(3,))
    assert penalty_of(layer, layer) == pytest.approx(6.0)
    assert penalty_of(Outer(make(), 3, input_shape=(3,))) == pytest.approx(6.0)


def test_a_penalty_of_a_frozen_layer_counts_and_changes_nothing():
    layer = Penalised(input_shape=(3,), trainable=False)
    assert penalty_of(layer) == pytest.approx(6.0)
    np.testing.assert_array_equal(layer.w.value, np.ones(3))


def test_a_penalty_beside_a_fused_loss():
    class Guarded(Dense):
        def build(self, shape):
            super().build(shape)
            self.add_loss(lambda: 0.1 * K.sum(K.square(self.kernel)))

    model = compiled(Guarded(3, activation="softmax", input_shape=(3,)))
    model.compile("sgd", "categorical_crossentropy")
    check_gradients(model, X, LABELS)


def test_a_penalty_from_outside():
    model = Sequential([Dense(3, activation="softmax", input_shape=(3,))])
    layer = model.layers[0]
    layer.add_loss(0.1 * K.sum(K.square(layer.kernel)))
    model.compile("sgd", "categorical_crossentropy")
    check_gradients(model, X, LABELS)


def test_a_penalty_on_a_model():
    model = Sequential([Dense(3, activation="softmax", input_shape=(3,))])
    model.compile("sgd", "categorical_crossentropy")
    before = model.evaluate(X, LABELS, verbose=0)
    model.add_loss(0.1 * K.sum(K.square(model.layers[0].kernel)))
    model.compile("sgd", "categorical_crossentropy")
    assert model.evaluate(X, LABELS, verbose=0) > before
    check_gradients(model, X, LABELS)


class Keeping(Layer):
    """A recurrent cell with penalties of both kinds."""

    state_size = 3

    def build(self, shape):
        self.keep = self.add_weight("keep", (3,), initializer="ones")
        self.add_loss(2.0 * K.sum(K.square(self.keep)))
        self.built = True

    def call(self, x, states):
        h = 0.3 * K.tanh(x + self.keep * states[0])
        self.add_loss(0.1 * K.sum(K.square(h)))
        return h, [h]


@pytest.mark.parametrize(
    "cell", [Keeping, lambda: [Keeping()], lambda: StackedRNNCells([Keeping()])]
)
def test_penalties_of_cells(cell):
    layer = RNN(cell(), input_shape=(5, 3), return_sequences=True)
    outputs = layer(SEQUENCES)
    expected = 6.0 + 0.1 * np.square(outputs).sum()
    assert penalty_of(layer, x=SEQUENCES) == pytest.approx(expected, rel=1e-4)
    model = compiled(RNN(cell(), input_shape=(5, 3)))
    check_gradients(model, SEQUENCES, SEQUENCES[:, 0])


def test_penalties_of_cells_in_a_call():
    layer = Outer(RNN(Keeping()), input_shape=(5, 3))
    check_gradients(compiled(layer), SEQUENCES, SEQUENCES[:, 0])
    assert penalty_of(layer, x=SEQUENCES) > 6.0


# --- regularizers and constraints -------------------------------------------------------------


@pytest.mark.parametrize("regularizer", ["l2", "l1", lambda w: 0.1 * K.sum(K.pow(w, 4))])
def test_regularizers_of_weights_in_layers_within_layers(regularizer):
    inner = Dense(3, kernel_regularizer=regularizer)
    check_gradients(compiled(Outer(inner, input_shape=(3,)), Dense(1)), X, X[:, :1])
    inner = Dense(3, kernel_regularizer=regularizer, kernel_initializer="ones", use_bias=False)
    expected = float(regularizers.get(regularizer)(np.ones((3, 3))))
    assert penalty_of(Outer(inner, 2, input_shape=(3,))) == pytest.approx(expected, rel=1e-3)


def test_regularizers_of_ones_own_weights():
    class Own(Layer):
        def build(self, shape):
            self.w = self.add_weight("w", (3,), initializer="uniform", regularizer="l2")
            self.built = True

        def call(self, x):
            return x * self.w

    check_gradients(compiled(Outer(Own(), input_shape=(3,)), Dense(1)), X, X[:, :1])


def test_constraints_in_layers_within_layers():
    inner = Dense(3, kernel_constraint="nonneg", bias_constraint=lambda w: w * 0.0)
    model = compiled(Outer(inner, input_shape=(3,)))
    for _ in range(3):
        model.train_on_batch(X, X + 1)
    assert (inner.kernel.value >= 0).all()
    assert not inner.bias.value.any()


class Active(Layer):
    """A layer with an activity regularizer."""

    def __init__(self, activity_regularizer=None, **kwargs):
        super().__init__(**kwargs)
        self.activity_regularizer = regularizers.get(activity_regularizer)

    def call(self, x):
        return K.tanh(2.0 * x)


@pytest.mark.parametrize("regularizer", ["l2", lambda y: 0.01 * K.sum(K.pow(y, 4))])
def test_activity_regularizers(regularizer):
    expected = float(regularizers.get(regularizer)(np.tanh(2 * X)))
    for wrap in (lambda a: a, Outer, lambda a: Outer(Outer(a)), lambda a: Outer(Sequential([a]))):
        layers = [Activation("linear", input_shape=(3,)), wrap(Active(regularizer))]
        assert penalty_of(*layers) == pytest.approx(expected, rel=1e-4)
        check_gradients(compiled(Dense(3, input_shape=(3,)), wrap(Active(regularizer))), X, X)


@pytest.mark.parametrize(
    "inner",
    [
        lambda: Dense(3, activation="tanh", activity_regularizer="l2"),
        lambda: Sequential([Dense(3, activity_regularizer="l1"), Active("l2")]),
    ],
)
def test_activity_regularizers_of_built_in_layers_in_a_call(inner):
    check_gradients(compiled(Outer(inner(), input_shape=(3,)), Dense(1)), X, X[:, :1])
    check_gradients(compiled(Outer(inner(), 2, input_shape=(3,)), Dense(1)), X, X[:, :1])


def test_activity_regularizers_of_recurrent_layers_in_a_call():
    for inner in (
        LSTM(2, activity_regularizer="l2", return_sequences=True),
        Bidirectional(LSTM(2, activity_regularizer="l2", return_sequences=True)),
        TimeDistributed(Dense(2, activity_regularizer="l2")),
    ):
        model = compiled(Outer(inner, input_shape=(5, 3)), Flatten(), Dense(1))
        check_gradients(model, SEQUENCES, X[:, :1])


def test_penalties_where_the_phase_is_overridden():
    class Trains(Layer):
        def __init__(self, inner, **kwargs):
            super().__init__(**kwargs)
            self.inner = inner

        def call(self, x):
            return self.inner(x, training=True)

    for inner in (Outer(Dense(3, activity_regularizer="l2")), Active("l2"), Sparse(), Penalised()):
        assert penalty_of(Trains(inner, input_shape=(3,))) > 0
        check_gradients(compiled(Trains(inner, input_shape=(3,)), Dense(1)), X, X[:, :1])


def test_penalties_below_an_embedding():
    model = compiled(Embedding(5, 2, input_length=3), Outer(Sparse()), Flatten(), Dense(1))
    check_gradients(model, np.array([[1, 2, 2], [4, 0, 1]]), np.ones((2, 1)))


class Aside(Layer):
    """Call a layer, and use the result or not."""

    def __init__(self, inner, use, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner
        self.use = use

    def call(self, x):
        return x + self.use(self.inner(x))


@pytest.mark.parametrize(
    "use", [lambda y: 0.0 * K.stop_gradient(y), lambda y: 0.0], ids=["stopped", "unused"]
)
@pytest.mark.parametrize(
    "inner",
    [
        Penalised,
        lambda: Active("l2"),
        ByHand,
        lambda: Dense(3, activity_regularizer="l2"),
    ],
    ids=["in K", "activity in K", "by hand", "activity by hand"],
)
def test_penalties_have_gradients_where_the_output_has_none(inner, use):
    layer = Aside(inner(), use)
    check_gradients(compiled(Dense(3, input_shape=(3,)), layer, Dense(1)), X, X[:, :1])


class Starts(Layer):
    """Call a recurrent layer from states that depend on the input."""

    def __init__(self, rnn, **kwargs):
        super().__init__(**kwargs)
        self.rnn = rnn

    def build(self, shape):
        self.rnn.build(shape)
        self.rnn.add_loss(lambda: K.sum(K.square(self.rnn.weights[0])))
        self.built = True

    def call(self, x):
        return self.rnn(x, initial_state=x[:, 0])


def test_penalties_of_a_recurrent_layer_with_initial_state():
    layer = Starts(RNN(Keeping()), input_shape=(5, 3))
    assert penalty_of(layer, x=SEQUENCES) > 9.0
    layer = Starts(GRU(3), input_shape=(5, 3))
    model = compiled(layer)
    expected = np.square(layer.rnn.weights[0].value).sum()
    y = model.predict(SEQUENCES)
    assert model.evaluate(SEQUENCES, y, verbose=0) == pytest.approx(expected, rel=1e-4)


def test_no_penalty_stays_behind_from_a_call_outside_of_a_pass():
    layer = GRU(3, activity_regularizer="l2")
    for _ in range(3):
        layer(K.variable(SEQUENCES), initial_state=X)
        layer(K.variable(SEQUENCES))
    assert layer._penalties == ()
    layer = Sparse()
    layer(K.variable(X))
    assert layer._penalties == ()


def test_a_weight_or_a_number_as_a_penalty():
    class Adds(Layer):
        def build(self, shape):
            self.w = self.add_weight("w", (), initializer="ones")
            self.add_loss(self.w)
            self.add_loss(np.float32(2.0))
            self.built = True

        def call(self, x):
            return x

    layer = Adds(input_shape=(3,))
    assert penalty_of(layer) == pytest.approx(3.0)
    assert float(layer.w.value) == pytest.approx(0.99)


# --- losses of a layer ------------------------------------------------------------------------


def test_losses_of_a_layer_for_a_loop_by_hand():
    layer = Outer(Sequential([Penalised(), Dense(3, kernel_regularizer="l2")]))
    layer(X)
    total = sum(float(K.eval(loss)) for loss in layer.losses)
    kernel = layer.inner.layers[1].kernel.value
    assert total == pytest.approx(6.0 + 0.01 * np.square(kernel).sum(), rel=1e-5)
    assert Dense(1).losses == []


# --- updates ----------------------------------------------------------------------------------


class Counts(Layer):
    """Count the steps of training, and keep an average of the input."""

    def __init__(self, how="list", **kwargs):
        super().__init__(**kwargs)
        self.how = how

    def build(self, shape):
        self.steps = self.add_weight("steps", (), initializer="zeros", trainable=False)
        self.mean = self.add_weight("mean", (3,), initializer="zeros", trainable=False)
        self.built = True

    def call(self, x):
        count = K.update_add(self.steps, 1)
        average = K.moving_average_update(self.mean, K.mean(x, axis=0), 0.5)
        if self.how == "list":
            self.add_update([count, average], x)
        elif self.how == "single":
            self.add_update(count)
            self.add_update((self.mean, 0.5 * self.mean + 0.5 * K.mean(x, axis=0)), inputs=x)
        return x - self.mean


@pytest.mark.parametrize("how", ["list", "single"])
@pytest.mark.parametrize("wrap", [lambda c: c, Outer, lambda c: Outer(Sequential([c]))])
def test_updates_happen_in_training_alone(how, wrap):
    counts = Counts(how)
    model = compiled(Activation("linear", input_shape=(3,)), wrap(counts), Dense(1))
    model.predict(X)
    model.evaluate(X, X[:, :1], verbose=0)
    K.function([model.input, K.learning_phase()], [model.output])([X, 1])
    assert float(counts.steps.value) == 0
    model.train_on_batch(X, X[:, :1])
    np.testing.assert_allclose(counts.mean.value, 0.5 * X.mean(axis=0), rtol=1e-5)
    model.train_on_batch(X, X[:, :1])
    assert float(counts.steps.value) == 2
    np.testing.assert_allclose(counts.mean.value, 0.75 * X.mean(axis=0), rtol=1e-5)


def test_updates_come_after_the_pass():
    counts = Counts(input_shape=(3,))
    model = compiled(counts)
    assert model.train_on_batch(X, X) == 0.0  # the average was still zero
    assert model.train_on_batch(X, X) > 0


def test_a_frozen_layer_updates_nothing():
    for model in (
        compiled(Counts(input_shape=(3,), trainable=False), Dense(1)),
        compiled(Outer(Counts(), input_shape=(3,), trainable=False), Dense(1)),
    ):
        model.train_on_batch(X, X[:, :1])
        assert not any(w.any() for w in model.layers[0].get_weights())
    inner = Sequential([Counts(input_shape=(3,))])
    inner.trainable = False
    compiled(inner, Dense(1)).train_on_batch(X, X[:, :1])
    assert not any(w.any() for w in inner.get_weights())


def test_a_step_that_fails_updates_nothing():
    counts = Counts(input_shape=(3,))

    def fail(x):
        if K.int_shape(x)[0] == 4:
            raise RuntimeError("boom")
        return x

    class Fails(Layer):
        def call(self, x):
            return fail(x)

        def compute_output_shape(self, shape):
            return shape

    model = compiled(counts, Fails())
    with pytest.raises(RuntimeError):
        model.train_on_batch(X, X)
    assert float(counts.steps.value) == 0


def test_wrong_updates():
    class Wrong(Layer):
        def __init__(self, update, **kwargs):
            super().__init__(**kwargs)
            self.update = update

        def call(self, x):
            self.add_update(self.update)
            return x

        def compute_output_shape(self, shape):
            return shape

    for wrong in ([3], [(np.ones(1), 2)], [K.variable(1.0)]):
        with pytest.raises(TypeError, match="an update is a pair"):
            Wrong(wrong)(X)
    for nothing in ([], None):
        assert Wrong(nothing)(X).shape == X.shape
    with pytest.raises(RuntimeError, match="add_update belongs into call"):
        Dense(1).add_update([])


# --- copies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [Penalised, ByHand], ids=["in K", "by hand"])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_have_penalties_of_their_own(make, copied):
    model = compiled(make(input_shape=(3,)))
    other = copied(model)
    other.set_weights([np.zeros(3)])
    assert other.evaluate(X, 0 * X, verbose=0) == 0.0
    assert model.layers[0].w.value.tolist() == [1.0, 1.0, 1.0]
    check_gradients(other, X, X)


def test_a_copy_of_a_penalty_that_is_a_function_of_the_layer():
    model = compiled(Penalised("function", input_shape=(3,)))
    other = copy.deepcopy(model)
    other.set_weights([np.zeros(3)])
    # As documented: a function holds on to the layer that it was made for; an expression does not.
    assert other.evaluate(X, 0 * X, verbose=0) > 0.0
