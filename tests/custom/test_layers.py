"""Layers of users' own: they train, their derivatives are right, and they can be cloned."""

import numpy as np
import pytest

import minikeras as keras
from minikeras import backend as K
from minikeras.engine.topology import Layer
from minikeras.layers import (
    LSTM,
    RNN,
    Bidirectional,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Lambda,
    TimeDistributed,
)
from minikeras.models import Sequential
from minikeras.testing import check_gradients
from tests.custom import library, sequences
from tests.custom.checks import (
    check_custom_layer,
    check_function,
    check_in_float64,
    data,
    trained,
)

RING = np.eye(4) + np.roll(np.eye(4), 1, axis=0) + np.roll(np.eye(4), -1, axis=0)

LAYERS = {
    "dense": (lambda: library.MyDense(3), (4,)),
    "dense, shape inferred": (lambda: library.MyDenseWithoutShape(3), (4,)),
    "antirectifier": (library.Antirectifier, (5,)),
    "prelu": (lambda: library.MyPReLU("one", "non_neg"), (5,)),
    "prelu over steps": (lambda: library.MyPReLU(), (2, 5)),
    "highway": (lambda: library.Highway("tanh"), (4,)),
    "rbf": (lambda: library.RBF(3), (4,)),
    "minibatch discrimination": (lambda: library.MinibatchDiscrimination(3, 2), (4,)),
    "attention pooling": (lambda: sequences.AttentionPooling("l2", "unit_norm"), (5, 4)),
    "self-attention": (lambda: sequences.SelfAttention(3), (4, 5)),
    "mean over time": (sequences.MaskedMean, (4, 5)),
    "position embedding": (sequences.PositionEmbedding, (4, 6)),
    "gated LSTM": (lambda: sequences.GatedLSTM(3), (4, 5)),
    "gated LSTM, all steps": (lambda: sequences.GatedLSTM(3, return_sequences=True), (4, 5)),
    "cosine dense": (lambda: library.CosineDense(3, activation="tanh"), (4,)),
    "residual dense": (lambda: library.ResidualDense(4, activation="tanh"), (4,)),
    "residual convolution": (lambda: library.ResidualConv2D(2, 3), (4, 4, 2)),
    "standardized kernel": (
        lambda: library.StandardizedConv2D(2, 3, activation="tanh", strides=2),
        (5, 5, 2),
    ),
    "bottleneck": (lambda: library.Bottleneck(2, 0.25), (5,)),
    "dropout": (lambda: library.MyDropout(0.3), (6,)),
    "noise": (library.MyNoise, (4,)),
    "batch normalization": (library.MyBatchNorm, (4,)),
    "batch normalization of images": (library.MyBatchNorm, (2, 3, 2)),
    "layer normalization": (library.LayerNorm, (5,)),
    "divergence": (library.DivergenceLayer, (4,)),
    "capsules": (lambda: library.Capsules(3, 2), (4, 5)),
    "graph convolution": (lambda: library.GraphConvolution(3, RING, "tanh"), (4, 3)),
    "spatial softmax": (library.SpatialSoftmax, (3, 4, 2)),
    "local response": (library.LocalResponse, (2, 2, 4)),
    "squeeze and excite": (library.SqueezeExcite, (3, 3, 4)),
}
LAMBDAS = library.lambdas()
CELLS = {
    "one state": lambda: RNN(sequences.MinimalRNNCell(3)),
    "two states": lambda: RNN(sequences.PeepholeCell(3), return_sequences=True),
    "a stack": lambda: RNN([sequences.PeepholeCell(2), sequences.MinimalRNNCell(3)]),
}


@pytest.mark.parametrize("name", LAYERS)
def test_custom_layer(name):
    make, input_shape = LAYERS[name]
    check_custom_layer(make(), input_shape)


@pytest.mark.parametrize("name", LAMBDAS)
def test_lambda(name):
    layer, input_shape = LAMBDAS[name]
    check_custom_layer(layer, input_shape, config=False)


@pytest.mark.parametrize("name", CELLS)
def test_custom_cell(name):
    model = check_custom_layer(CELLS[name](), (4, 5), config=False)
    clone = Sequential.from_config(
        model.get_config(),
        custom_objects={
            "MinimalRNNCell": sequences.MinimalRNNCell,
            "PeepholeCell": sequences.PeepholeCell,
        },
    )
    clone.set_weights(model.get_weights())
    x, _ = data((4, 5))
    np.testing.assert_array_equal(clone.predict(x), model.predict(x))


def test_time_distributed_custom_layer():
    check_custom_layer(TimeDistributed(library.MyDense(3)), (4, 5), config=False)


@pytest.mark.parametrize("inner", ["layer", "cell"])
def test_custom_layer_in_both_directions(inner):
    with keras.utils.CustomObjectScope({"PeepholeCell": sequences.PeepholeCell}):
        layer = sequences.GatedLSTM(2) if inner == "layer" else RNN(sequences.PeepholeCell(2))
        check_custom_layer(Bidirectional(layer, merge_mode="sum"), (4, 5), config=False)


def test_an_lstm_that_keeps_its_states():
    layer = sequences.GatedLSTM(3, stateful=True)
    model = Sequential([layer])
    model.build((2, 4, 5))
    x, _ = data((4, 5), samples=2)
    first, second = model.predict(x, batch_size=2), model.predict(x, batch_size=2)
    assert np.abs(first - second).max() > 1e-3
    model.reset_states()
    np.testing.assert_array_equal(model.predict(x, batch_size=2), first)


# --- masks ---------------------------------------------------------------------------------------


def words():
    """Return sequences of words, padded in front, and whether word 1 is more frequent than 2."""
    random = np.random.RandomState(5)
    x = random.randint(1, 6, (64, 7))
    for row, gap in zip(x, random.randint(0, 5, 64), strict=True):
        row[:gap] = 0
    y = ((x == 1).sum(axis=1) > (x == 2).sum(axis=1)).astype("float32")
    return x, y


@pytest.mark.parametrize("pooling", [sequences.AttentionPooling, sequences.MaskedMean])
def test_pooling_over_a_masked_sequence(pooling):
    np.random.seed(3)
    model = Sequential(
        [
            Embedding(6, 5, mask_zero=True, input_length=7),
            LSTM(6, return_sequences=True),
            pooling(),
            Dense(1, activation="sigmoid"),
        ]
    )
    x, y = words()
    losses = trained(model, x, y, loss="binary_crossentropy", epochs=25, metrics=["accuracy"])
    assert losses[-1] < 0.5 * losses[0]
    check_in_float64(model, x[:3], y[:3])
    check_function(model, x)


def test_what_is_masked_has_no_say():
    np.random.seed(3)
    layer = sequences.AttentionPooling()
    x, _ = data((4, 3), samples=2)
    mask = np.array([[0, 0, 1, 1], [1, 1, 1, 1]], bool)
    y = layer(x, mask=mask)
    other = x.copy()
    other[0, :2] = 100.0
    np.testing.assert_array_equal(layer(other, mask=mask), y)
    assert np.abs(layer(other) - y)[0].max() > 1


def test_lambda_gets_the_mask_that_it_asks_for():
    def total(x, mask=None):
        return K.sum(x * K.expand_dims(K.cast(mask, K.floatx())), axis=1)

    embedding = Embedding(6, 5, mask_zero=True, input_length=7)
    pool = Lambda(total, output_shape=(5,), mask=lambda inputs, mask: None)
    model = Sequential([embedding, pool])
    x, _ = words()
    table = embedding.get_weights()[0] * (np.arange(6) > 0)[:, None]
    np.testing.assert_allclose(model.predict(x), table[x].sum(axis=1), rtol=1e-5, atol=1e-6)


# --- what differs in training --------------------------------------------------------------------


def test_the_averages_of_a_custom_batch_normalization_move_as_the_built_in_ones():
    x, y = data((4,))
    averages = []
    for layer in (library.MyBatchNorm(0.8), keras.layers.BatchNormalization(momentum=0.8)):
        model = Sequential([layer, Dense(2, kernel_initializer="ones")])
        model.build((None, 4))
        model.compile("sgd", "mse")
        history = model.fit(x, y, epochs=3, batch_size=16, verbose=0, shuffle=False).history
        frozen = layer.get_weights()
        model.evaluate(x, y, verbose=0)
        model.predict(x)
        for before, after in zip(frozen, layer.get_weights(), strict=True):
            np.testing.assert_array_equal(before, after)
        averages.append([*frozen, history["loss"], model.predict(x)])
    for mine, built_in in zip(*averages, strict=True):
        # Which variance is kept, with n or n - 1, is Keras' business, and differs by 1/16.
        np.testing.assert_allclose(mine, built_in, rtol=0.08, atol=0.01)


def test_custom_dropout_drops_in_training_only():
    layer = library.MyDropout(0.5)
    model = Sequential([layer])
    model.build((None, 1000))
    x = np.ones((2, 1000), "float32")
    np.testing.assert_array_equal(model.predict(x), x)
    run = K.function([model.input, K.learning_phase()], [model.output])
    dropped = run([x, 1])[0]
    assert set(np.unique(dropped)) == {0.0, 2.0}
    assert 0.4 < (dropped == 0).mean() < 0.6
    assert not np.array_equal(run([x, 1])[0], dropped)
    np.testing.assert_array_equal(layer(x, training=False), x)
    assert (layer(x, training=True) == 0).any()


def autoencoder():
    """Return a variational autoencoder as a Sequential."""
    return Sequential(
        [
            Dense(8, activation="tanh", input_shape=(6,)),
            Dense(4),
            library.DivergenceLayer(name="code"),
            Lambda(library.sampling, output_shape=(2,), arguments={"size": 2}),
            Dense(8, activation="tanh"),
            Dense(6),
        ]
    )


def test_variational_autoencoder():
    np.random.seed(2)
    model = autoencoder()
    x, _ = data((6,))
    losses = trained(model, x, x, epochs=40)
    assert losses[-1] < 0.9 * losses[0]
    check_in_float64(model, x[:5], x[:5])
    check_gradients(library.DivergenceLayer(), input_shape=(3, 4), training=True)
    # The divergence counts: it is what the loss exceeds the error by.
    code = K.function([model.input], [model.get_layer("code").input])([x])[0]
    mu, log_var = code[:, :2], code[:, 2:]
    divergence = -0.5 * (1 + log_var - mu**2 - np.exp(log_var)).sum(axis=-1).mean()
    model.compile("sgd", lambda y_true, y_pred: 0.0 * K.sum(y_pred))
    assert model.evaluate(x, x, batch_size=32, verbose=0) == pytest.approx(0.01 * divergence, 1e-4)


# --- layers that hold layers ---------------------------------------------------------------------


class Attributes(Layer):
    """Layers as attributes and in a list, without a word about their weights."""

    def __init__(self, depth=2, **kwargs):
        super().__init__(**kwargs)
        self.depth = depth
        self.first = Dense(4, activation="tanh", kernel_regularizer="l2")
        self.others = [Dense(4, activation="tanh") for _ in range(depth)]
        self.norm = library.MyBatchNorm()
        self.drop = Dropout(0.2)

    def call(self, x, training=None):
        x = self.first(x)
        for layer in self.others:
            x = x + layer(x)
        return self.drop(self.norm(x, training=training))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 4)

    def get_config(self):
        return {**super().get_config(), "depth": self.depth}


def test_layers_as_attributes():
    model = check_custom_layer(Attributes(), (5,))
    layer = model.layers[1]
    assert len(layer.trainable_weights) == 2 + 2 * 2 + 2
    assert len(layer.non_trainable_weights) == 2
    assert np.abs(layer.norm.get_weights()[2]).max() > 0  # its averages have moved
    layer.trainable = False
    assert layer.trainable_weights == []


def test_a_layer_that_holds_a_model():
    class Twice(Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.model = Sequential([Dense(5, activation="tanh", input_shape=(5,)), Dense(5)])

        def call(self, x):
            return self.model(self.model(x))

    check_custom_layer(Twice(), (5,), config=False)


def test_a_layer_of_another_model_is_shared():
    shared = library.Highway()
    x, y = data((4,))
    first = Sequential([shared, Dense(2)])
    first.build((None, 4))
    second = Sequential([Dense(4, input_shape=(4,)), shared, Dense(2)])
    trained(first, x, y)
    kept = shared.get_weights()
    shared.trainable = False
    trained(second, x, y)
    for before, after in zip(kept, shared.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


# --- habits --------------------------------------------------------------------------------------


def test_variables_made_by_hand_are_weights():
    class Scale(Layer):
        def build(self, input_shape):
            self.g = K.variable(np.ones((input_shape[-1],)), name=f"{self.name}_g")
            self.b = K.zeros((input_shape[-1],), name=f"{self.name}_b")
            self.trainable_weights = [self.g, self.b]
            super().build(input_shape)

        def call(self, x):
            return x * self.g + self.b

    check_custom_layer(Scale(), (4,))


def test_a_gradient_that_is_turned_around():
    """What the forward pass computes and what is differentiated may differ on purpose."""
    turn = Lambda(lambda x: 3.0 * K.stop_gradient(x) - 2.0 * x)
    model = Sequential([turn, Dense(1, kernel_initializer="ones")])
    model.build((None, 2))
    x = np.array([[1.0, 2.0]], "float32")
    np.testing.assert_allclose(turn(x), x)
    slope = K.function([model.input], K.gradients(model.output, [model.input]))
    assert slope([x])[0].tolist() == [[-2.0, -2.0]]


def test_a_penalty_on_weights_added_when_they_are_made():
    class Orthogonal(library.MyDense):
        def build(self, input_shape):
            super().build(input_shape)
            product = K.dot(K.transpose(self.kernel), self.kernel)
            self.add_loss(K.sum(K.square(product - K.eye(self.output_dim))))

    model = Sequential([Orthogonal(3, input_shape=(4,))])
    x, _ = data((4,))
    losses = trained(model, x, np.zeros((len(x), 3)), epochs=40)
    kernel = model.get_weights()[0]
    assert losses[0] > np.square(kernel.T @ kernel - np.eye(3)).sum()
    check_in_float64(model, x[:4], np.zeros((4, 3)))


def test_custom_objects():
    model = Sequential([library.MyDense(3, input_shape=(4,)), library.Antirectifier()])
    x, _ = data((4,))
    objects = {"MyDense": library.MyDense, "Antirectifier": library.Antirectifier}
    with keras.utils.CustomObjectScope(objects):
        clone = Sequential.from_config(model.get_config())
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone.predict(x), model.predict(x))
    with pytest.raises(ValueError, match="MyDense"):
        Sequential.from_config(model.get_config())


def test_the_summary_counts_weights_of_custom_layers(capsys):
    Sequential([library.MyDense(3, input_shape=(4,)), library.Antirectifier()]).summary()
    printed = capsys.readouterr().out
    assert "my_dense" in printed
    assert "(None, 6)" in printed
    assert "Total params: 12" in printed


def test_flatten_after_a_layer_whose_shape_is_inferred():
    model = Sequential([Lambda(lambda x: K.expand_dims(x, -1), input_shape=(4,)), Flatten()])
    assert model.output_shape == (None, 4)


# --- what does not work yet ----------------------------------------------------------------------


class Centre(Layer):
    def call(self, inputs):
        inputs -= K.mean(inputs, axis=1, keepdims=True)
        return inputs

    def compute_output_shape(self, input_shape):
        return input_shape


def test_a_layer_that_uses_operators_in_place_leaves_its_input_alone():
    x = np.arange(6, dtype="float32").reshape(2, 3)
    Centre()(x)
    assert x.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]


def test_a_first_layer_that_uses_operators_in_place_predicts():
    model = Sequential([Centre(input_shape=(3,))])
    model.predict(np.ones((2, 3), "float32"))


def test_the_shape_of_a_function_that_uses_operators_in_place_is_found():
    assert Lambda(library.antirectify).compute_output_shape((None, 3)) == (None, 6)


@pytest.mark.parametrize("part", ["all", "view"])
def test_operators_in_place_do_the_same_in_training_and_in_predict(part):
    def add_centred(x):
        z = x if part == "all" else x[:, :3]
        z -= K.mean(z, axis=1, keepdims=True)
        return x[:, :3] + z[:, :3]

    identity = Dense(4, kernel_initializer="identity", input_shape=(4,))
    model = Sequential([identity, Lambda(add_centred, output_shape=(3,))])
    model.compile("sgd", "mse")
    x, _ = data((4,))
    assert model.train_on_batch(x, model.predict(x)) == pytest.approx(0.0, abs=1e-10)


def test_layers_that_are_built_when_they_are_called_are_trained():
    model = Sequential([Attributes(input_shape=(5,)), Dense(2)])
    x, y = data((5,))
    before = model.layers[0].get_weights()
    trained(model, x, y)
    after = model.layers[0].get_weights()
    assert len(before) == 2 + 2 * 2 + 4
    assert all(np.abs(a - b).max() > 0 for a, b in zip(before, after, strict=True))


def test_operators_in_place_in_a_layer_that_another_one_calls():
    class Residual(Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.inner = Centre()

        def call(self, x):
            return x + self.inner(x)

        def compute_output_shape(self, input_shape):
            return input_shape

    identity = Dense(4, kernel_initializer="identity", input_shape=(4,))
    model = Sequential([identity, Residual()])
    model.compile("sgd", "mse")
    x, _ = data((4,))
    assert model.train_on_batch(x, model.predict(x)) == pytest.approx(0.0, abs=1e-10)


@pytest.mark.parametrize("name", ["attention pooling", "bottleneck"])
def test_the_gradient_check_of_a_layer_that_asks_for_floatx(name):
    make, input_shape = LAYERS[name]
    check_gradients(make(), input_shape=(3, *input_shape))


def test_an_output_shape_that_says_none_for_the_batch():
    class Fixed(library.MyDense):
        def compute_output_shape(self, input_shape):
            return (None, self.output_dim)

    model = Sequential([Fixed(3, input_shape=(4,)), Dense(1)])
    assert K.int_shape(model.output) == (None, 1)


# --- what does not work yet ----------------------------------------------------------------------


def test_a_kernel_tied_to_that_of_another_layer_when_it_is_built():
    class Tied(Dense):
        def __init__(self, units, tied_to, **kwargs):
            self.tied_to = tied_to
            super().__init__(units, **kwargs)

        def build(self, input_shape):
            self.kernel = K.transpose(self.tied_to.kernel)
            self.bias = self.add_weight("bias", (self.units,), initializer="zeros")
            self.built = True

        def call(self, x):
            return self.activation(K.bias_add(K.dot(x, self.kernel), self.bias))

    encoder = Dense(3, activation="tanh", input_shape=(4,))
    with pytest.raises(TypeError, match=r"build sets self\.kernel .* compute it in call"):
        Sequential([encoder, Tied(4, encoder)])


def test_add_weight_with_the_shape_first():
    class Old(library.MyDense):
        def build(self, input_shape):
            shape = (input_shape[-1], self.output_dim)
            self.kernel = self.add_weight(shape, initializer="uniform", name=f"{self.name}_W")
            self.built = True

    check_custom_layer(Old(3), (4,))


def test_input_spec_as_a_list():
    class Specified(library.MyDense):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.input_spec = [keras.engine.InputSpec(ndim=2)]

    check_custom_layer(Specified(3), (4,))
    with pytest.raises(ValueError, match="incompatible"):
        Sequential([Specified(3, input_shape=(4, 5))])
