import numpy as np
import pytest

from minikeras import Sequential
from minikeras import backend as K
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
    Wrapper,
)
from minikeras.testing import check_gradients

from .taped_layers import IMAGES, SEQUENCES, Phase, Scaled, X, Y, held, trained

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


def test_a_learning_phase_that_a_layer_has_kept():
    class Keeps(Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.phase = K.learning_phase()

        def call(self, x):
            return K.switch(self.phase, 2 * x, x)

    model = Sequential([Keeps(input_shape=(3,))])
    np.testing.assert_array_equal(model.predict(X), X)
    run = K.function([model.input, K.learning_phase()], [model.output])
    np.testing.assert_array_equal(run([X, 1])[0], 2 * X)
    model.compile("sgd", "mse")
    assert model.train_on_batch(X, 2 * X) == 0


def test_a_weight_exchanged_for_a_tensor():
    """As weight normalization is written, in a subclass and around another layer."""

    class Normalized(Dense):
        def call(self, x):
            kernel = self.kernel
            self.kernel = kernel / K.sqrt(K.sum(K.square(kernel)))
            try:
                return super().call(x)
            finally:
                self.kernel = kernel

    class Gained(Wrapper):
        def build(self, input_shape):
            self.layer.ensure_built(input_shape)
            self.gain = self.add_weight("gain", (self.layer.units,), initializer="ones")
            super().build()

        def call(self, x):
            v = self.layer.kernel
            self.layer.kernel = self.gain * v / K.sqrt(K.sum(K.square(v), axis=0))
            try:
                return self.layer.call(x)
            finally:
                self.layer.kernel = v

        def compute_output_shape(self, input_shape):
            return self.layer.compute_output_shape(input_shape)

    check_gradients(Normalized(3, activation="tanh"), input_shape=(4, 5))
    check_gradients(Gained(Dense(3)), input_shape=(4, 5))


def test_an_activation_that_uses_a_weight_and_the_phase():
    class Swish(Layer):
        def build(self, input_shape):
            self.beta = self.add_weight("beta", (1,), initializer="ones")
            self.activation = Activation(lambda z: z * K.sigmoid(self.beta * z))
            self.built = True

        def call(self, x):
            return self.activation(x)

    check_gradients(Swish(), input_shape=(4, 5))
    doubled = Activation(lambda x: K.in_train_phase(2 * x, x))
    model = Sequential([Activation("linear", input_shape=(3,)), doubled])
    model.compile("sgd", "mse")
    assert model.train_on_batch(X, 2 * X) == 0
    assert model.test_on_batch(X, X) == 0
    extra = K.variable(1.0, name="extra")
    with pytest.warns(UserWarning, match="uses extra, which get no gradient"):
        check_gradients(Dense(2, activation=lambda z: z * extra), input_shape=(2, 3))


def test_add_weight_in_a_pass_is_refused():
    class Grows(Layer):
        def call(self, x):
            self.w = self.add_weight("w", (3,), initializer="ones")
            return x * self.w

        def compute_output_shape(self, input_shape):
            return input_shape

    with pytest.raises(RuntimeError, match=r"add_weight .* in build"):
        Sequential([Grows(input_shape=(3,))]).predict(X)
