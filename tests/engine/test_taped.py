import copy
import gc
import pickle
import threading
import weakref

import numpy as np
import pytest

from minikeras import Sequential, regularizers
from minikeras import backend as K
from minikeras.backend import tape
from minikeras.backend.running import current
from minikeras.backend.tape import Tensor
from minikeras.engine import Layer
from minikeras.layers import (
    GRU,
    LSTM,
    Activation,
    BatchNormalization,
    Bidirectional,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    GlobalAveragePooling1D,
    Masking,
    TimeDistributed,
)
from minikeras.models import clone_model
from minikeras.testing import check_gradients
from minikeras.utils import CustomObjectScope

X = np.random.RandomState(0).standard_normal((4, 3)).astype("float32")
SEQUENCES = np.random.RandomState(1).standard_normal((4, 5, 3)).astype("float32")
IMAGES = np.random.RandomState(2).standard_normal((2, 6, 6, 2)).astype("float32")
Y = np.ones((4, 1), "float32")


class Scaled(Layer):
    """A layer with a weight."""

    def build(self, input_shape):
        self.scale = self.add_weight("scale", (input_shape[-1],), initializer="uniform")
        self.built = True

    def call(self, x):
        return K.tanh(x * self.scale)


class Holding(Layer):
    """A layer that calls other layers, as a function says."""

    def __init__(self, function=None, layers=(), **kwargs):
        super().__init__(**kwargs)
        self.function = function
        self.parts = list(layers)

    def call(self, x):
        return self.function(x, *self.parts)


def held(function, *layers, **kwargs):
    return Holding(function, layers, **kwargs)


def trained(layer, x, steps=1, loss="mse"):
    """Return the losses of a few steps of training a layer towards zero."""
    model = Sequential([layer])
    model.compile("sgd", loss)
    y = np.zeros_like(model.predict(x))
    return [model.train_on_batch(x, y) for _ in range(steps)]


# --- derivatives ------------------------------------------------------------------------------


def test_a_layer_in_K():
    check_gradients(Scaled(), X)
    losses = trained(Scaled(), X, 5)
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "layer",
    [
        held(lambda x, d: d(x) * x, Dense(3)),
        held(lambda x, d: d(d(x)) * d(x), Dense(3, activation="tanh")),
        held(lambda x, s: s(s(x)) + x, Scaled()),
        held(lambda x, b: b(x) * x, BatchNormalization()),
        held(lambda x, d, e: d(x) + e(d(x)), Dropout(0.5), Dense(3)),
        held(lambda x, m: m(x), Sequential([Dense(4, activation="relu"), Scaled(), Dense(2)])),
        held(lambda x, a: a(x) + a(2.0 * x), Activation("softmax")),
        held(lambda x, h: h(x) * 2.0, held(lambda x, d: d(x) + x, Dense(3))),
        Sequential([Scaled(), Sequential([Scaled()]), Dense(2)]),
    ],
    ids=["dense", "twice", "twice in K", "bn", "dropout", "model", "softmax", "nested", "mixed"],
)
def test_layers_called_by_a_layer(layer, training):
    check_gradients(layer, X + np.arange(4)[:, None], training=training)


@pytest.mark.parametrize(
    "layer",
    [
        TimeDistributed(held(lambda x, d: d(x) * x, Dense(3))),
        held(lambda x, t: t(x) + x, TimeDistributed(Dense(3, activation="tanh"))),
        held(lambda x, t: t(x), TimeDistributed(Scaled())),
        held(lambda x, t: t(x) + x, LSTM(3, return_sequences=True)),
        held(lambda x, t: K.max(t(x), axis=1), GRU(3, return_sequences=True)),
        held(lambda x, t: t(x), GlobalAveragePooling1D()),
        Sequential([TimeDistributed(Sequential([Scaled(), Dense(2)]))]),
    ],
    ids=["TD of K", "TD in K", "TD of K in K", "lstm", "gru", "pool", "TD of model"],
)
def test_over_time(layer):
    check_gradients(layer, SEQUENCES)


@pytest.mark.parametrize("merge_mode", ["concat", "sum", "mul", "ave"])
def test_bidirectional_in_a_call(merge_mode):
    layer = held(lambda x, b: b(x) * 2.0, Bidirectional(LSTM(2), merge_mode=merge_mode))
    check_gradients(layer, SEQUENCES)


def test_bidirectional_has_the_phase_of_the_pass():
    layer = held(lambda x, b: b(x), Bidirectional(LSTM(8, dropout=0.5)))
    x = K.variable(SEQUENCES)
    assert not np.array_equal(layer(x, training=True).value, layer(x, training=True).value)
    assert np.array_equal(layer(x).value, layer(x).value)
    check_gradients(layer, SEQUENCES, training=True)


def test_several_outputs_in_a_call():
    def both(x, lstm):
        y, h, c = lstm(x)
        return K.concatenate([K.sum(y, axis=1), h * c])

    check_gradients(held(both, LSTM(2, return_sequences=True, return_state=True)), SEQUENCES)
    check_gradients(held(lambda x, g: g(x)[1], GRU(2, return_state=True)), SEQUENCES)
    check_gradients(held(lambda x, m: m(x)[2], LSTM(2, return_state=True)), SEQUENCES)


def test_initial_states_have_gradients():
    def translate(x, encoder, decoder):
        _, h, c = encoder(x)
        return decoder(x, initial_state=[h, c])

    check_gradients(held(translate, LSTM(2, return_state=True), LSTM(2)), SEQUENCES)
    check_gradients(held(lambda x, g: g([x, x[:, 0, :2]]), GRU(2)), SEQUENCES)


def test_initial_states_with_penalty():
    def start(x, lstm):
        return lstm(x, initial_state=[x[:, 0, :2], x[:, 1, :2]])

    model = Sequential([held(start, LSTM(2, activity_regularizer="l2"), input_shape=(5, 3))])
    model.compile("sgd", "mse")
    check_gradients(model, SEQUENCES, np.zeros((4, 2)))


def test_initial_states_of_a_subclass_with_a_call():
    class Louder(LSTM):
        def call(self, x, mask=None, training=None, initial_state=None):
            return 2.0 * super().call(x, mask, training, initial_state)

    layer = held(lambda x, m: m(x, initial_state=[x[:, 0, :2], x[:, 1, :2]]), Louder(2))
    check_gradients(layer, SEQUENCES)


def test_several_inputs():
    class Gate(Layer):
        def build(self, shapes):
            assert [len(s) for s in shapes] == [2, 2]
            self.w = self.add_weight("w", (shapes[0][-1],))
            self.built = True

        def call(self, inputs):
            a, b = inputs
            return a * self.w + K.sigmoid(b)

    check_gradients(held(lambda x, g: g([x, x * x]), Gate()), X)
    assert Gate()([X, X]).shape == X.shape


def test_arrays_give_arrays():
    class Times(Layer):
        def build(self, shape):
            self.w = self.add_weight("w", (3,))
            self.built = True

        def call(self, x, times=1.0):
            x = x[0] + x[1] if isinstance(x, (list, tuple)) else x
            return x * self.w * times

    layer = Times()
    assert type(layer(X)) is np.ndarray
    assert type(layer(X, times=2.0)) is np.ndarray
    assert type(layer([X, X])) is np.ndarray
    assert type(layer(K.variable(X))) is Tensor
    np.testing.assert_allclose(layer(X, times=2.0), 2 * layer(X), rtol=1e-6)
    np.testing.assert_allclose(layer(X.tolist(), times=2.0), 2 * layer(X), rtol=1e-6)


def test_lists_inside_of_a_pass():
    layer = held(lambda x, d: x + d([[1.0, 2.0, 3.0]]), Dense(3))
    assert layer(X).shape == X.shape


# --- built-in layers with a call of one's own -------------------------------------------------


class TwiceDense(Dense):
    def call(self, x):
        return K.relu(super().call(x)) * 2.0


class ResidualConv(Conv2D):
    def call(self, x):
        return K.tanh(super().call(x) + x[:, 1:-1, 1:-1])


class GatedNormalization(BatchNormalization):
    def call(self, x, training=None):
        return super().call(x, training=training) * x


class ScaledEmbedding(Embedding):
    def call(self, x):
        return super().call(x) * 2.0


class SquashedLSTM(LSTM):
    def call(self, x, mask=None, training=None, initial_state=None):
        return K.tanh(super().call(x, mask=mask, training=training, initial_state=initial_state))


class OwnMasking(Masking):
    def call(self, x):
        return super().call(x) * 1.0


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (TwiceDense(3, activation="tanh"), X),
        (ResidualConv(2, 3), IMAGES),
        (GatedNormalization(), X),
        (ScaledEmbedding(5, 3), np.array([[1, 2, 2], [4, 0, 1]])),
        (SquashedLSTM(3), SEQUENCES),
        (SquashedLSTM(3, dropout=0.3, recurrent_dropout=0.2, return_sequences=True), SEQUENCES),
    ],
    ids=lambda a: type(a).__name__,
)
def test_subclasses_of_built_in_layers(layer, x, training):
    check_gradients(layer, x, training=training)


class LouderSteps(TimeDistributed):
    def call(self, x, mask=None, training=None):
        return super().call(x, training=training) * 2.0


class LouderBidirectional(Bidirectional):
    def call(self, x, mask=None, training=None):
        return super().call(x, training=training) * 2.0


@pytest.mark.parametrize("layer", [LouderSteps(Dense(2)), LouderBidirectional(LSTM(2))])
def test_subclasses_of_wrappers(layer):
    check_gradients(layer, SEQUENCES, training=True)


def test_subclasses_of_models():
    class Louder(Sequential):
        def call(self, x):
            return super().call(x) * 2.0

    model = Louder([Dense(2, input_shape=(3,)), Scaled()])
    model.compile("sgd", "mse")
    np.testing.assert_allclose(model.predict(X), 2 * model.layers[1](model.layers[0](X)), rtol=1e-5)
    check_gradients(model, X, X[:, :2])


def test_a_subclass_does_not_fuse_its_activation_with_the_loss():
    class Tempered(Dense):
        def call(self, x):
            return K.softmax(2.0 * super().call(x))

    model = Sequential([Tempered(3, activation="softmax", input_shape=(3,))])
    model.compile("sgd", "categorical_crossentropy")
    check_gradients(model, X, np.eye(3)[[0, 1, 2, 0]])


def test_batch_normalization_in_a_call_learns_its_averages():
    model = Sequential([GatedNormalization(input_shape=(3,)), Dense(1)])
    model.compile("sgd", "mse")
    model.predict(X)
    model.evaluate(X, Y, verbose=0)
    assert not model.layers[0].moving_mean.value.any()
    model.train_on_batch(X, Y)
    np.testing.assert_allclose(model.layers[0].moving_mean.value, 0.01 * X.mean(axis=0), rtol=1e-4)


def test_training_forced_on_in_a_call_changes_nothing_outside_of_training():
    model = Sequential(
        [held(lambda x, b: b(x, training=True), BatchNormalization(), input_shape=(3,)), Dense(1)]
    )
    model.compile("sgd", "mse")
    mean = model.layers[0].parts[0].moving_mean
    assert not mean.value.any()  # finding the shape has not changed it
    model.predict(X)
    model.evaluate(X, Y, verbose=0)
    assert not mean.value.any()
    model.train_on_batch(X, Y)
    assert mean.value.any()


def test_frozen_layers_freeze_what_they_hold():
    layer = held(lambda x, b: b(x), BatchNormalization(), input_shape=(3,), trainable=False)
    model = Sequential([layer, Dense(1)])
    model.compile("sgd", "mse")
    before = layer.get_weights()
    model.train_on_batch(X + 5, Y)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_freezing_ends_with_the_layer():
    inner = held(lambda x, b: b(x), BatchNormalization(), trainable=False)
    outer = held(lambda x, i, b: b(i(x)), inner, BatchNormalization(), input_shape=(3,))
    frozen = held(lambda x, b: b(x), BatchNormalization(), trainable=False)
    model = Sequential([outer, frozen, BatchNormalization(), Dense(1)])
    model.compile("sgd", "mse")
    model.train_on_batch(X + 5, Y)
    averages = [inner.parts[0], frozen.parts[0], outer.parts[1], model.layers[2]]
    assert [layer.moving_mean.value.any() for layer in averages] == [False, False, True, True]


# --- training, mask and phase -----------------------------------------------------------------


class Phase(Layer):
    """Say what the phase is."""

    def call(self, x, training=None):
        return 0.0 * x + (1.0 if training else 0.0) + 10.0 * K.learning_phase()


def test_the_phase_in_nested_calls():
    layer = held(lambda x, p: K.stack([p(x), p(x, training=True), p(x, training=False)]), Phase())
    outer = held(lambda x, h: K.mean(h(x), axis=(1, 2)) + 0.0 * x[:3, 0], layer)
    x = np.ones((3, 3))
    assert outer(x).tolist() == [0.0, 11.0, 0.0]
    assert outer(x, training=True).tolist() == [11.0, 11.0, 0.0]
    assert outer(K.variable(x), training=True).value.tolist() == [11.0, 11.0, 0.0]
    assert current() is None


def test_call_without_training_still_has_a_phase():
    class Noisy(Layer):
        def call(self, x):
            return K.in_train_phase(x + 1.0, x)

    assert Noisy()(np.zeros((1, 1))).item() == 0.0
    assert Noisy()(np.zeros((1, 1)), training=True).item() == 1.0


def test_keyword_only_and_defaulted_arguments():
    class Odd(Layer):
        def call(self, x, *, training=False, mask=None, gain=2.0):
            assert mask is None
            return x * (gain if not training else 3.0)

    assert Odd()(np.ones((1, 1))).item() == 2.0
    assert Odd()(np.ones((1, 1)), training=True).item() == 3.0
    assert Odd()(np.ones((1, 1)), gain=5.0).item() == 5.0
    with pytest.raises(TypeError, match="unknown"):
        Odd()(np.ones((1, 1)), unknown=1)


MASK = np.array([[1, 1, 0, 1, 0], [1] * 5, [0, 0, 0, 0, 1], [0, 1, 1, 1, 1]], bool)
MASKED = np.where(MASK[..., None], SEQUENCES, 0).astype("float32")


class Aware(Layer):
    """Hand the mask that `call` gets to an LSTM, or have the LSTM find it."""

    supports_masking = True

    def __init__(self, explicit, **kwargs):
        super().__init__(**kwargs)
        self.explicit = explicit
        self.lstm = LSTM(2)

    def call(self, x, mask=None):
        return self.lstm(x, mask=mask) if self.explicit else self.lstm(x)

    def compute_mask(self, x, mask=None):
        return None


def same_with_mask(model, reference, lstm):
    """Check a model on masked steps against an LSTM by itself, in all the ways to run it."""
    model.compile("sgd", "mse")
    expected = lstm(MASKED, mask=MASK)
    np.testing.assert_allclose(model.predict(MASKED), expected, rtol=1e-5, atol=1e-6)
    run = K.function([model.input], [model.output])
    np.testing.assert_allclose(run([MASKED])[0], expected, rtol=1e-5, atol=1e-6)
    eager = model(K.variable(MASKED))
    np.testing.assert_allclose(eager.value, expected, rtol=1e-5, atol=1e-6)
    loss = model.evaluate(MASKED, expected + reference, verbose=0)
    assert loss == pytest.approx(1.0, rel=1e-4)
    assert model.train_on_batch(MASKED, expected + reference) == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize("explicit", [True, False])
def test_masks_reach_a_call(explicit):
    layer = Aware(explicit)
    same_with_mask(Sequential([Masking(input_shape=(5, 3)), layer]), 1.0, layer.lstm)


@pytest.mark.parametrize("explicit", [True, False])
def test_masks_reach_a_call_within_a_call(explicit):
    layer = Aware(explicit)
    outer = held(lambda x, a: a(x), layer)
    outer.supports_masking = True
    outer.compute_mask = lambda x, mask=None: None
    same_with_mask(Sequential([Masking(input_shape=(5, 3)), outer]), 1.0, layer.lstm)


@pytest.mark.parametrize("explicit", [True, False])
def test_masks_travel_from_layer_to_layer_in_a_call(explicit):
    layer = Aware(explicit)
    outer = held(lambda x, m, a: a(m(x)), Masking(), layer, input_shape=(5, 3))
    same_with_mask(Sequential([outer]), 1.0, layer.lstm)


def test_masks_travel_through_a_model_in_a_call():
    layer = Aware(True)
    inner = Sequential([Masking(), TimeDistributed(Activation("linear")), layer])
    same_with_mask(
        Sequential([held(lambda x, m: m(x), inner, input_shape=(5, 3))]), 1.0, layer.lstm
    )


def test_masks_of_a_subclass_of_masking():
    layer = Aware(True)
    same_with_mask(Sequential([OwnMasking(input_shape=(5, 3)), layer]), 1.0, layer.lstm)
    outer = held(lambda x, m, a: a(m(x)), OwnMasking(), layer, input_shape=(5, 3))
    same_with_mask(Sequential([outer]), 1.0, layer.lstm)


def test_masks_of_a_subclass_of_embedding():
    lstm = LSTM(2)
    model = Sequential([ScaledEmbedding(5, 3, mask_zero=True), lstm])
    long, short = np.array([[1, 2, 0, 0]]), np.array([[1, 2]])
    np.testing.assert_allclose(model.predict(long), model.predict(short), rtol=1e-6)


def test_a_mask_of_floats():
    class Marks(Layer):
        supports_masking = True

        def call(self, x):
            return x * 1.0

        def compute_mask(self, x, mask=None):
            return K.cast(K.any(K.not_equal(x, 0.0), axis=-1), "float32")

    layer = Aware(True)
    outer = held(lambda x, m, a: a(m(x)), Marks(), layer, input_shape=(5, 3))
    same_with_mask(Sequential([outer]), 1.0, layer.lstm)


def test_masks_of_several_inputs():
    class Joined(Layer):
        supports_masking = True

        def call(self, inputs, mask=None):
            return K.concatenate(inputs)

        def compute_mask(self, inputs, mask=None):
            return None if mask is None else mask[0]

    lstm = LSTM(2)
    layer = held(lambda x, m, j, a: a(j([m(x), x])), Masking(), Joined(), lstm)
    expected = lstm(np.concatenate([MASKED, MASKED], axis=-1), mask=MASK)
    np.testing.assert_allclose(layer(MASKED), expected, rtol=1e-5, atol=1e-6)


def test_a_layer_that_ends_the_mask_says_so_once():
    layer = held(lambda x, d: d(x), Dense(3))
    model = Sequential([Masking(input_shape=(5, 3)), layer])
    with pytest.warns(UserWarning, match="does not support masking"):
        model.predict(MASKED)


def test_a_given_mask_beats_the_one_that_travels():
    lstm = LSTM(2)
    layer = held(lambda x, m, a: a(m(x), mask=np.ones(K.int_shape(x)[:2], bool)), Masking(), lstm)
    np.testing.assert_allclose(layer(MASKED), lstm(MASKED), rtol=1e-6)


# --- what a call may return -------------------------------------------------------------------


def test_call_may_return_its_input():
    class Nothing(Layer):
        def call(self, x):
            return x

    model = Sequential([Dense(3, input_shape=(3,)), Nothing(), Nothing(), Dense(1)])
    model.compile("sgd", "mse")
    check_gradients(model, X, Y)
    given = X.copy()
    out = Sequential([Nothing(input_shape=(3,))]).predict(given)
    out += 1
    np.testing.assert_array_equal(given, X)


def test_call_may_return_a_constant_or_a_variable():
    class Constant(Layer):
        def call(self, x):
            return np.ones(K.int_shape(x), "float32")

    class Table(Layer):
        def build(self, shape):
            self.w = self.add_weight("w", (4, 3))
            self.built = True

        def call(self, x):
            return self.w

        def compute_output_shape(self, shape):
            return (4, 3)

    model = Sequential([Dense(3, input_shape=(3,)), Constant(), Dense(1)])
    model.compile("sgd", "mse")
    before = model.layers[0].get_weights()[0]
    model.train_on_batch(X, Y)
    np.testing.assert_array_equal(model.layers[0].get_weights()[0], before)

    model = Sequential([Table(batch_input_shape=(4, 3)), Dense(1)])
    model.compile("sgd", "mse")
    check_gradients(model, X, Y)
    before = model.layers[0].get_weights()[0]
    model.train_on_batch(X, Y)
    assert not np.array_equal(model.layers[0].get_weights()[0], before)


@pytest.mark.parametrize("result", [None, "text", {"y": 1}], ids=["None", "str", "dict"])
def test_call_that_returns_no_array_names_its_layer(result):
    layer = held(lambda x: result, name="wrong")
    with pytest.raises((TypeError, ValueError), match=r"'wrong' \(Holding\).*call"):
        Sequential([layer]).predict(X)
    layer = held(lambda x: result, name="wrong", input_shape=(3,))
    with pytest.raises((TypeError, ValueError), match=r"'wrong' \(Holding\).*call"):
        Sequential([layer, Dense(1)])


def test_call_that_forgets_to_return_with_its_own_output_shape():
    class Forgets(Layer):
        def call(self, x):
            K.tanh(x)

        def compute_output_shape(self, shape):
            return shape

    with pytest.raises(TypeError, match="call must return a tensor or an array.*None"):
        Forgets()(X)


def test_wrong_promised_shape():
    class Liar(Layer):
        def call(self, x):
            return x[:, :2]

        def compute_output_shape(self, shape):
            return shape

    with pytest.raises(ValueError, match=r"into \(4, 2\), but compute_output_shape promises"):
        Liar()(X)


def test_call_and_forward_in_one_class_are_refused():
    with pytest.raises(TypeError, match="Both defines both call and forward"):
        type("Both", (Layer,), {"call": lambda s, x: x, "forward": lambda s, x, c: (x, None)})


def test_the_newer_of_call_and_forward_counts():
    class InK(Dense):
        def call(self, x):
            return 0.0 * super().call(x)

    class ByHandAgain(InK):
        def forward(self, x, ctx):
            return x[:, :1], None

        def backward(self, dy, residual, ctx):
            raise NotImplementedError

    assert not InK(1)(X).any()
    np.testing.assert_array_equal(ByHandAgain(1)(X), X[:, :1])

    class Mixin:
        def call(self, x):
            return -x

    class Mixed(Mixin, Activation):
        pass

    np.testing.assert_array_equal(Mixed("relu")(X), -X)


# --- in place ---------------------------------------------------------------------------------


def test_augmented_assignment_in_a_call():
    class Affine(Layer):
        def build(self, shape):
            self.w = self.add_weight("w", (3, 3))
            self.b = self.add_weight("b", (3,), initializer="uniform")
            self.built = True

        def call(self, x):
            y = K.dot(x, self.w)
            y += self.b
            y *= 2.0
            return y

    check_gradients(Affine(), X)
    layer = Affine()
    expected = 2 * (layer(X) / 2)
    model = Sequential([layer])
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-6)
    assert model(K.variable(X)).shape == X.shape


def test_augmented_assignment_never_changes_the_input():
    class Aliased(Layer):
        def call(self, x):
            y = x
            y *= 2.0
            return x + y

        def compute_output_shape(self, shape):
            return shape

    given = X.copy()
    model = Sequential([Activation("linear"), Aliased()])
    np.testing.assert_allclose(model.predict(given), 3 * X, rtol=1e-6)
    np.testing.assert_allclose(K.eval(model(K.variable(given))), 3 * X, rtol=1e-6)
    np.testing.assert_allclose(K.function([model.input], [model.output])([X])[0], 3 * X, rtol=1e-6)
    np.testing.assert_array_equal(given, X)


def test_a_loss_in_place_changes_nothing_for_the_metrics():
    def doubling(y_true, y_pred):
        y_pred *= 2.0
        return K.mean(K.square(y_pred - y_true), axis=-1)

    model = Sequential([Dense(1, input_shape=(3,))])
    model.compile("sgd", doubling, metrics=["mse"])
    tested = model.evaluate(X, Y, verbose=0)
    assert model.train_on_batch(X, Y) == pytest.approx(tested, rel=1e-5)


def test_gradients_in_a_call():
    """Where nothing is recorded there are none, and that is said."""

    class Slope(Layer):
        def call(self, x):
            (g,) = K.gradients(K.sum(x * x * x), [x])
            return K.stop_gradient(g)

        def compute_output_shape(self, shape):
            return shape

    np.testing.assert_allclose(Slope()(K.variable(X)).value, 3 * X**2, rtol=1e-5)
    with pytest.raises(
        RuntimeError, match=r"K\.gradients was called in a pass that does not go back"
    ):
        Sequential([Slope()]).predict(X)
    assert current() is None


def test_assigning_items_is_refused_in_training():
    class Writes(Layer):
        def call(self, x):
            x[:, 0] = 0.0
            return x

        def compute_output_shape(self, shape):
            return shape

    with pytest.raises(TypeError, match="item assignment"):
        trained_on(Writes())


def trained_on(layer):
    model = Sequential([layer])
    model.compile("sgd", "mse")
    return model.train_on_batch(X, X)


@pytest.mark.parametrize(
    "function",
    [lambda x: np.asarray(x) * 2, lambda x: float(x[0, 0]) * x, lambda x: np.sort(x)],
    ids=["asarray", "float", "sort"],
)
def test_losing_the_derivative_is_an_error_in_training(function):
    with pytest.raises((TypeError, ValueError), match="lose the derivative|can't be applied"):
        trained_on(held(function))
    assert current() is None


# --- nothing recorded, nothing kept -----------------------------------------------------------


def test_nothing_is_recorded_where_nobody_goes_back(monkeypatch):
    layer = held(lambda x, d, s: s(d(x)) * x + K.mean(x), Dense(3), Scaled())
    model = Sequential([layer, Sequential([Scaled()]), Dense(1)])
    model.compile("sgd", lambda t, p: K.mean(K.square(t - p), -1), metrics=[lambda t, p: K.mean(p)])
    model.predict(X)
    made = []
    init = Tensor.__init__

    def counting(self, *args, **kwargs):
        init(self, *args, **kwargs)
        if self.op is not None:  # what a layer is given is a tensor without a past
            made.append(self)

    monkeypatch.setattr(tape.Tensor, "__init__", counting)
    model.predict(X)
    model.evaluate(X, Y, verbose=0)
    layer(X)
    assert not made
    model.train_on_batch(X, Y)
    assert made


def test_a_step_leaves_no_cycles_behind():
    layer = held(
        lambda x, d, m, b: d(K.tanh(b(m(x))) * 2.0),
        Dense(3, activation="tanh", activity_regularizer="l2"),
        LSTM(3, dropout=0.5),
        BatchNormalization(),
        input_shape=(5, 3),
    )
    model = Sequential([layer, Scaled(), Dense(1)])
    model.compile("sgd", lambda t, p: K.mean(K.square(t - p), -1))
    model.train_on_batch(SEQUENCES, Y)
    gc.collect()
    gc.disable()
    try:
        gc.set_debug(gc.DEBUG_SAVEALL)
        model.train_on_batch(SEQUENCES, Y)
        gc.collect()
        found = [type(item).__name__ for item in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert found == []


def test_the_arrays_of_a_step_are_freed_at_once():
    class Marked(np.ndarray):
        pass

    kept = []

    def watched(x):
        array = np.ones(K.int_shape(x), "float32").view(Marked)
        kept.append(weakref.ref(array))
        return x * array

    model = Sequential([held(watched, input_shape=(3,)), Dense(1)])
    model.compile("sgd", "mse")
    gc.disable()
    try:
        model.train_on_batch(X, Y)
        assert kept
        assert kept[-1]() is None
    finally:
        gc.enable()


def test_a_model_is_freed():
    model = Sequential([held(lambda x, d: d(x), Dense(3), input_shape=(3,)), Dense(1)])
    model.compile("sgd", "mse")
    model.train_on_batch(X, Y)
    K.function([model.input], [model.output])([X])
    reference = weakref.ref(model.layers[0])
    del model
    gc.collect()
    assert reference() is None


def test_call_runs_once_a_step_however_deep():
    calls = []

    class Counting(Layer):
        def call(self, x):
            calls.append(1)
            return x * 2.0

    layer = held(lambda x, a: a(x), held(lambda x, b: b(x), held(lambda x, c: c(x), Counting())))
    model = Sequential([layer, Dense(1)])
    model.compile("sgd", "mse")
    model.train_on_batch(X, Y)
    run = K.function([model.input], [model.output])
    run([X])
    for step in (
        lambda: model.train_on_batch(X, Y),
        lambda: model.predict_on_batch(X),
        lambda: run([X]),
    ):
        calls.clear()
        step()
        assert len(calls) == 1


# --- errors and threads -----------------------------------------------------------------------


def test_an_error_in_a_call_leaves_the_thread_clean():
    def fragile(x, d):
        y = d(x)
        if K.int_shape(x)[0] == 3:
            raise RuntimeError("boom")
        return y

    outer = held(lambda x, h: h(x, training=True), held(fragile, Dense(3)), input_shape=(3,))
    model = Sequential([outer])
    model.compile("sgd", "mse")
    run = K.function([model.input], [model.output])
    bad = X[:3]
    for step in (
        lambda: model.train_on_batch(bad, bad),
        lambda: model.evaluate(bad, bad, verbose=0),
        lambda: model.predict(bad),
        lambda: outer(bad),
        lambda: outer(K.variable(bad)),
        lambda: run([bad]),
    ):
        with pytest.raises(RuntimeError, match="boom"):
            step()
        assert current() is None
    assert model.train_on_batch(X, X) > 0


def test_an_error_in_a_loss_leaves_the_thread_clean():
    def loss(t, p):
        raise RuntimeError("boom")

    model = Sequential([Scaled(input_shape=(3,))])
    model.compile("sgd", loss)
    for step in (model.train_on_batch, model.test_on_batch):
        with pytest.raises(RuntimeError, match="boom"):
            step(X, X)
        assert current() is None


def test_eight_threads_predict():
    layer = held(lambda x, d, s: s(d(x)) * x, Dense(3), Scaled(), input_shape=(3,))
    model = Sequential([layer, Dense(2)])
    inputs = [X + i for i in range(8)]
    expected = [model.predict(x) for x in inputs]
    found, errors = [None] * 8, []

    def work(i):
        try:
            for _ in range(5):
                found[i] = model.predict(inputs[i])
            assert current() is None
        except BaseException as error:
            errors.append(error)

    run_threads(work, 8)
    assert not errors
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_threads_in_different_phases_while_one_trains():
    phases = held(lambda x, p: p(x), Phase(), input_shape=(3,))
    shared = Sequential([phases])
    trained_model = Sequential([held(lambda x, p, d: p(x) + d(x), Phase(), Dense(3))])
    trained_model.compile("sgd", "mse")
    trained_model.train_on_batch(X, X)
    errors = []

    def work(i):
        try:
            for _ in range(20):
                if i == 0:
                    trained_model.train_on_batch(X, X)
                elif i == 1:
                    assert (phases(X, training=True) == 11).all()
                else:
                    assert (shared.predict(X) == 0).all()
        except BaseException as error:
            errors.append(error)

    run_threads(work, 4)
    assert not errors


def test_threads_build_a_layer_once():
    layer = held(lambda x, d: d(x), Dense(3))
    run_threads(lambda i: layer(X), 8)
    assert len(layer.weights) == 2


def run_threads(work, count):
    threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# --- types ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_layers_of_each_float_type(dtype):
    model = Sequential([Scaled(input_shape=(3,), dtype=dtype)])
    model.compile("sgd", "mse")
    model.train_on_batch(X, X)
    assert model.predict(X).dtype == dtype
    assert model.layers[0].scale.dtype == dtype
    assert model(K.variable(X)).dtype == dtype


def test_layers_of_different_types_in_one_call():
    layer = held(lambda x, d: d(x), Dense(3, dtype="float64"), input_shape=(3,))
    model = Sequential([layer, Dense(1)])
    model.compile("sgd", "mse")
    assert model.train_on_batch(X, Y) > 0
    assert model.predict(X).dtype == np.float32


def test_constants_of_float64_do_not_change_the_type():
    seen = []

    class Shifted(Layer):
        def call(self, x):
            y = x * np.array([1.0, 2.0, 3.0]) + np.float64(2)
            seen.append(y.dtype)
            return y

    model = Sequential([Shifted(input_shape=(3,))])
    model.compile("sgd", "mse")
    assert model.predict(X).dtype == np.float32
    model.train_on_batch(X, X)
    assert set(seen) == {np.dtype("float32")}


def test_whole_numbers_as_input():
    class Lookup(Layer):
        def build(self, shape):
            self.table = self.add_weight("table", (5, 2), dtype="float32")
            self.built = True

        def call(self, x):
            return K.gather(self.table, x)

    indices = np.array([[1, 2, 2], [4, 0, 1]])
    layer = Lookup(dtype="int32")
    assert layer(indices).dtype == np.float32
    check_gradients(layer, indices)
    model = Sequential([Lookup(input_shape=(3,), dtype="int32"), GlobalAveragePooling1D()])
    model.compile("sgd", "mse")
    before = model.get_weights()[0]
    model.train_on_batch(indices, np.ones((2, 2)))
    changed = (model.get_weights()[0] != before).any(axis=1)
    assert changed.tolist() == [True, True, True, False, True]


# --- shapes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "given", "expected"),
    [
        (lambda x: K.sum(x, axis=-1), (None, None, 6), (None, None)),
        (lambda x: K.permute_dimensions(x, (0, 2, 1)), (None, None, 6), (None, 6, None)),
        (lambda x: K.reshape(x, (-1, 2, 3)), (None, 6), (None, 2, 3)),
        (lambda x: K.batch_flatten(x), (None, 2, 3), (None, 6)),
        (lambda x: K.batch_flatten(x), (None, None, 3), (None, None)),
        (lambda x: x[:, ::2], (None, 7), (None, 4)),
        (lambda x: x[:, ::2], (None, None), (None, None)),
        (lambda x: K.concatenate([x, x], 1), (7, 3), (7, 6)),
    ],
)
def test_inferred_shapes(function, given, expected):
    assert held(function).compute_output_shape(given) == expected


def test_inferred_shapes_of_deep_pooling():
    def pooled(x):
        for _ in range(5):
            x = K.pool2d(x, (2, 2), strides=(2, 2))
        return x

    assert held(pooled).compute_output_shape((None, None, None, 3)) == (None, None, None, 3)


def test_inferred_shapes_of_several_outputs():
    layer = held(lambda x: [x, K.sum(x, axis=-1)])
    assert layer.compute_output_shape((None, 3)) == [(None, 3), (None,)]
    y, total = layer(X)
    assert (y.shape, total.shape) == ((4, 3), (4,))


def test_a_shape_that_cannot_be_inferred():
    layer = held(lambda x: K.dot(x, np.ones((7, 2))), name="product")
    with pytest.raises(ValueError, match=r"'product'.* \(None, 3\).*Define compute_output_shape"):
        layer.compute_output_shape((None, 3))


def test_finding_shapes_uses_no_random_numbers_and_fixes_no_weights():
    np.random.seed(1)
    first = held(lambda x, d: d(x), Dense(3))
    first.ensure_built((None, 3))
    np.random.seed(1)
    plain = Dense(3)
    plain.ensure_built((None, 3))
    np.testing.assert_array_equal(first.get_weights()[0], plain.get_weights()[0])
    np.random.seed(1)
    first.compute_output_shape((None, 3))
    expected = np.random.RandomState(1).random_sample()
    assert np.random.random_sample() == expected


def test_sublayers_have_weights_of_their_own():
    a, b = (held(lambda x, d: d(x), Dense(3)) for _ in range(2))
    assert not np.array_equal(a(X), b(X))


def test_the_layer_inside_is_built_outside_of_the_pass():
    class Makes(Layer):
        def build(self, shape):
            self.zeros = K.zeros((3,))
            self.other = K.ones((3,))
            K.update(self.other, K.zeros((3,)))
            self.built = True

        def call(self, x):
            return x + self.zeros + self.other

    inner = Makes()
    np.testing.assert_allclose(held(lambda x, m: m(x), inner)(X), X)
    assert isinstance(inner.zeros, K.Variable)


# --- copies -----------------------------------------------------------------------------------


class Deep(Layer):
    """As in the guides: layers in attributes, a shape of its own, a configuration."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.first = Dense(units, activation="relu", kernel_regularizer=regularizers.l2(0.1))
        self.second = Scaled()

    def call(self, x, training=None):
        return self.second(K.dropout(self.first(x), 0.5) if training else self.first(x))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def test_sublayers_of_a_layer_with_its_own_output_shape_are_trained():
    model = Sequential([Deep(4, input_shape=(3,)), Dense(1)])
    model.compile("sgd", "mse")
    assert len(model.trainable_weights) == 5
    before = model.get_weights()
    for _ in range(3):
        model.train_on_batch(X, Y)
    after = model.get_weights()
    assert len(before) == len(after) == 5
    assert all(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))


class Block(Layer):
    """A layer in K without a build of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = Dense(3)

    def call(self, x):
        return self.dense(x)

    def compute_output_shape(self, shape):
        return shape


class Around(Block):
    """Build what is in it by hand, as layers for Keras 2 do."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = Block()

    def build(self, shape):
        self.dense.build(shape)
        self.built = True


class OnlyInTraining(Block):
    def call(self, x, training=None):
        return self.dense(x) if training else x


@pytest.mark.parametrize("make", [Around, OnlyInTraining])
def test_parts_that_are_hard_to_find_are_trained(make):
    model = Sequential([make(input_shape=(3,))])
    model.compile("sgd", "mse")
    for _ in range(2):
        before = model.get_weights()
        model.train_on_batch(X, X + 1)
    assert len(before) == 2
    assert all(not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("built", [True, False])
def test_copies(copied, built):
    layers = [Deep(4, **({"input_shape": (3,)} if built else {})), Dense(1)]
    model = Sequential(layers)
    model.compile("sgd", "mse")
    if built:
        model.train_on_batch(X, Y)
        _ = model.output
    other = copied(model)
    if not built:
        model.predict(X)
        other.predict(X)
        other.set_weights(model.get_weights())
    np.testing.assert_array_equal(model.predict(X), other.predict(X))
    before = model.predict(X)
    for _ in range(2):
        other.train_on_batch(X, Y)
    np.testing.assert_array_equal(model.predict(X), before)
    assert not np.array_equal(other.predict(X), before)
    np.testing.assert_allclose(
        K.function([other.input], [other.output])([X])[0], other.predict(X), rtol=1e-5
    )


def test_clone_and_json():
    from minikeras.models import model_from_json

    model = Sequential([Deep(4, input_shape=(3,)), Dense(1)])
    clone = clone_model(model)
    loaded = model_from_json(model.to_json(), {"Deep": Deep})
    for other in (clone, loaded):
        assert not np.array_equal(other.predict(X), model.predict(X))
        other.set_weights(model.get_weights())
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
    with CustomObjectScope({"Deep": Deep}):
        assert clone_model(Sequential([TimeDistributed(Deep(2), input_shape=(5, 3))])).built


# --- outside of any pass ----------------------------------------------------------------------


def test_layers_on_variables():
    layer = held(lambda x, d, s: s(d(x)), Dense(3), Scaled())
    x = K.variable(X)
    y = layer(x)
    np.testing.assert_allclose(y.value, layer(X), rtol=1e-5)
    found = K.gradients(K.sum(y * y), [x, *layer.trainable_weights])
    assert [g.shape for g in found] == [x.shape, *(w.shape for w in layer.trainable_weights)]
    assert current() is None


def test_updates_in_a_loop_by_hand():
    class Counts(Layer):
        def build(self, shape):
            self.n = self.add_weight("n", (), initializer="zeros", trainable=False)
            self.built = True

        def call(self, x):
            self.add_update(K.update_add(self.n, 1.0))
            return x * 1.0

    layer = Counts()
    layer(K.variable(X))
    assert float(layer.n.value) == 0.0
    layer(K.variable(X), training=True)
    assert float(layer.n.value) == 1.0


def test_a_layer_is_not_called_on_a_layer():
    with pytest.raises(TypeError, match="was called on"):
        Scaled()(Dense(3))


def test_a_layer_by_hand_takes_one_tensor():
    with pytest.raises(TypeError, match="takes one input, got a list of 2"):
        Dense(3)([K.variable(X), K.variable(X)])
    with pytest.raises(TypeError, match="takes no argument scale"):
        Dense(3)(X, scale=2)
