"""Metrics, activations, regularizers, constraints and initializers of users' own."""

import functools

import numpy as np
import pytest

import minikeras as keras
from minikeras import backend as K
from minikeras.layers import (
    GRU,
    LSTM,
    Activation,
    Conv1D,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    LocallyConnected1D,
    SeparableConv2D,
    SimpleRNN,
)
from minikeras.models import Sequential
from minikeras.testing import check_gradients
from tests.custom import losses
from tests.custom.checks import check_function, check_in_float64, data, trained

# --- metrics -------------------------------------------------------------------------------------


def classifier():
    """Return a trained network, its input, targets and predictions."""
    np.random.seed(0)
    x, _ = data((4,), samples=50)
    y = keras.utils.to_categorical(x.argmax(axis=-1), 4)
    model = Sequential([Dense(4, activation="softmax", input_shape=(4,))])
    trained(model, x, y, loss="categorical_crossentropy", epochs=3)
    return model, x, y, model.predict(x)


def best(p, k):
    """Return the `k` most probable classes of each sample."""
    return p.argsort(-1)[:, -k:]


METRICS = {
    "mean of predictions": (losses.mean_pred, lambda t, p: p.mean()),
    "precision": (
        losses.precision,
        lambda t, p: (t * p > 0.5).sum() / max((p > 0.5).sum(), 1e-7),
    ),
    "recall": (losses.recall, lambda t, p: (t * p > 0.5).sum() / t.sum()),
    "f1": (
        losses.f1,
        lambda t, p: 2 * (t * p > 0.5).sum() / ((p > 0.5).sum() + t.sum()),
    ),
    "top 2": (
        losses.top_2,
        lambda t, p: np.mean(
            [i in r for i, r in zip(t.argmax(-1), p.argsort(-1)[:, -2:], strict=True)]
        ),
    ),
    "R squared": (
        losses.r_squared,
        lambda t, p: 1 - np.square(t - p).sum() / np.square(t - t.mean()).sum(),
    ),
    "per sample": (losses.hit, lambda t, p: (t.argmax(-1) == p.argmax(-1)).mean()),
    "lambda": (lambda y_true, y_pred: K.max(y_pred) - K.min(y_pred), lambda t, p: np.ptp(p)),
    "in NumPy": (lambda y_true, y_pred: np.std(y_pred), lambda t, p: p.std()),
}


@pytest.mark.parametrize("name", METRICS)
def test_custom_metric(name):
    metric, expected = METRICS[name]
    model, x, y, p = classifier()
    model.compile("sgd", "mse", metrics=[metric])
    _, value = model.evaluate(x, y, batch_size=50, verbose=0)
    assert value == pytest.approx(expected(y, p), abs=1e-5)
    history = model.fit(x, y, verbose=0, validation_data=(x, y)).history
    assert len(history) == 4
    assert all(np.isfinite(values).all() for values in history.values())


def test_a_metric_made_of_a_built_in_one_and_an_argument():
    top_3 = functools.partial(keras.metrics.top_k_categorical_accuracy, k=3)
    top_3.__name__ = "top_3"
    model, x, y, p = classifier()
    model.compile("sgd", "mse", metrics=[top_3, losses.f1, "acc"])
    assert model.metrics_names == ["loss", "top_3", "f1", "acc"]
    expected = np.mean(
        [t in best for t, best in zip(y.argmax(-1), p.argsort(-1)[:, -3:], strict=True)]
    )
    assert model.evaluate(x, y, verbose=0)[1] == pytest.approx(expected)


def test_a_metric_with_a_state():
    """It counts over an epoch, and starts anew for each one and for each validation."""
    metric = losses.TruePositives()
    model = Sequential([Dense(1, activation="sigmoid", input_shape=(4,))])
    model.compile("sgd", "binary_crossentropy", metrics=["acc", metric])
    x, _ = data((4,))
    y = (model.predict(x) > 0.5).astype("float32")  # so every positive is a true one
    model.compile(keras.optimizers.SGD(lr=0.0), "binary_crossentropy", metrics=["acc", metric])

    history = model.fit(
        x, y, batch_size=7, epochs=2, verbose=0, validation_data=(x[:30], y[:30])
    ).history

    assert history["true_positives"] == [y.sum(), y.sum()]
    assert history["val_true_positives"] == [y[:30].sum(), y[:30].sum()]
    assert model.evaluate(x, y, batch_size=8, verbose=0)[2] == y.sum()
    model.test_on_batch(x[:5], y[:5])
    assert model.test_on_batch(x[:5], y[:5])[2] == y.sum() + 2 * y[:5].sum()  # not reset


def test_the_loss_as_a_metric():
    model, x, y, _ = classifier()
    loss = losses.focal_loss()
    model.compile("sgd", loss, metrics=[loss, losses.dice_coef])
    value, *others = model.evaluate(x, y, batch_size=50, verbose=0)
    assert others[0] == pytest.approx(value, rel=1e-5)
    assert model.metrics_names == ["loss", "focal_loss_fixed", "dice_coef"]


def test_a_metric_of_an_intermediate_layer():
    x, y = data((4,))
    model = Sequential([Dense(3, activation="relu", input_shape=(4,), name="hidden"), Dense(2)])

    def activity(y_true, y_pred):
        return K.mean(model.get_layer("hidden").output)

    model.compile("sgd", "mse", metrics=[activity])
    with pytest.raises(TypeError, match=r"activity returned <Deferred.*layer\.output"):
        model.evaluate(x, y, batch_size=32, verbose=0)


# --- activations ---------------------------------------------------------------------------------

ACTIVATIONS = {
    "swish": losses.swish,
    "mish": losses.mish,
    "gelu": losses.gelu,
    "shrink": losses.hard_shrink,
    "lambda": lambda x: K.sin(x) + 0.1 * x,
    "partly a built-in one": lambda x: keras.activations.relu(x, alpha=0.1, max_value=1.5),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_custom_activation(name):
    activation = ACTIVATIONS[name]
    np.random.seed(2)
    check_gradients(activation, np.linspace(-2.1, 2.0, 30))
    for layer, input_shape in [
        (Dense(4, activation=activation), (5,)),
        (Activation(activation), (5,)),
        (LSTM(3, activation=activation), (3, 4)),
        (GRU(3, activation=activation, recurrent_activation="sigmoid"), (3, 4)),
        (SimpleRNN(3, activation=activation), (3, 4)),
    ]:
        check_layer(layer, input_shape)


def check_layer(layer, input_shape):
    check_in_float64(layer, input_shape=(2, *input_shape))
    x, y = data(input_shape)
    model = Sequential([Dense(input_shape[-1], input_shape=input_shape), layer])
    if len(model.output_shape) > 2:
        model.add(Flatten())
    model.add(Dense(2))
    trained(model, x, y, epochs=4)
    check_function(model, x)


@pytest.mark.parametrize(
    ("layer", "input_shape"),
    [
        (lambda f: Conv1D(3, 2, activation=f), (4, 3)),
        (lambda f: Conv2D(2, 2, activation=f), (3, 3, 2)),
        (lambda f: Conv3D(2, 2, activation=f), (2, 3, 3, 2)),
        (lambda f: Conv2DTranspose(2, 2, activation=f), (2, 2, 2)),
        (lambda f: SeparableConv2D(2, 2, activation=f), (3, 3, 2)),
        (lambda f: DepthwiseConv2D(2, activation=f), (3, 3, 2)),
        (lambda f: LocallyConnected1D(2, 2, activation=f), (4, 2)),
    ],
)
def test_custom_activation_of_convolutions(layer, input_shape):
    check_layer(layer(losses.swish), input_shape)


def test_the_gates_of_an_lstm_by_a_function():
    check_in_float64(
        LSTM(3, recurrent_activation=lambda x: 0.5 * K.softsign(x) + 0.5), input_shape=(2, 3, 4)
    )


def test_an_activation_by_a_name_of_ones_own():
    keras.utils.get_custom_objects().update({"swish": losses.swish})
    try:
        model = Sequential([Dense(3, activation="swish", input_shape=(4,))])
        clone = Sequential.from_config(model.get_config())
    finally:
        del keras.utils.get_custom_objects()["swish"]
    clone.set_weights(model.get_weights())
    x, _ = data((4,))
    z = x @ model.get_weights()[0]
    np.testing.assert_allclose(clone.predict(x), z / (1 + np.exp(-z)), rtol=1e-5, atol=1e-6)


def test_an_activation_of_several_axes():
    """Softmax over the first axis but the batch."""

    def softmax_over_steps(x):
        return K.softmax(x, axis=1)

    # Without a bias: whatever is added to all steps has no effect, so its derivative is zero.
    layer = Dense(2, activation=softmax_over_steps, use_bias=False)
    check_in_float64(layer, input_shape=(2, 3, 4))
    x, _ = data((3, 4))
    np.testing.assert_allclose(layer(x).sum(axis=1), 1, rtol=1e-5)


# --- regularizers --------------------------------------------------------------------------------

REGULARIZERS = {
    "l1": (losses.l1_reg, lambda w: 0.01 * np.abs(w).sum()),
    "orthogonal": (
        losses.orthogonal,
        lambda w: 0.05 * np.square(w.T @ w - np.eye(w.shape[1])).sum(),
    ),
    "class": (
        losses.GroupLasso(0.02),
        lambda w: 0.02 * np.sqrt(np.square(w).sum(axis=-1) + 1e-7).sum(),
    ),
    "lambda": (lambda w: 0.1 * K.max(K.abs(w)), lambda w: 0.1 * np.abs(w).max()),
}


@pytest.mark.parametrize("name", REGULARIZERS)
def test_custom_regularizer(name):
    regularizer, expected = REGULARIZERS[name]
    np.random.seed(2)
    check_gradients(
        Sequential([Dense(3, kernel_regularizer=regularizer, input_dim=4)]), np.ones((2, 4))
    )
    x, y = data((4,))
    model = Sequential([Dense(2, kernel_regularizer=regularizer, input_shape=(4,))])
    model.compile("sgd", "mse")
    kernel = model.get_weights()[0]
    error = np.square(model.predict(x) - y).mean()
    loss = model.evaluate(x, y, batch_size=32, verbose=0)
    assert loss - error == pytest.approx(expected(kernel), rel=1e-3)
    check_in_float64(model, x[:5], y[:5])
    trained(model, x, y)


def test_regularizers_of_other_layers():
    for layer, input_shape in [
        (Conv2D(2, 2, kernel_regularizer=losses.orthogonal), (3, 3, 1)),
        (LSTM(2, recurrent_regularizer=losses.orthogonal, bias_regularizer=losses.l1_reg), (3, 2)),
    ]:
        x, y = data(input_shape, samples=6)
        after = [Flatten()] if len(input_shape) == 3 else []
        model = Sequential([layer, *after, Dense(2)])
        model.build((None, *input_shape))
        model.compile("sgd", "mse")
        check_in_float64(model, x, y)


@pytest.mark.parametrize("regularizer", [losses.KLSparsity(), losses.l1_reg])
def test_activity_regularizer(regularizer):
    np.random.seed(2)
    x, y = data((4,))
    hidden = Dense(5, activation="sigmoid", activity_regularizer=regularizer, input_shape=(4,))
    model = Sequential([hidden, Dense(2)])
    model.compile("sgd", "mse")
    error = np.square(model.predict(x) - y).mean()
    penalty = float(regularizer(hidden(x)))
    assert model.evaluate(x, y, 32, verbose=0) == pytest.approx(error + penalty, rel=1e-4)
    check_in_float64(model, x[:5], y[:5])
    trained(model, x, y)


def test_regularizers_by_name():
    objects = {"GroupLasso": losses.GroupLasso, "l1_reg": losses.l1_reg}
    layer = Dense(3, kernel_regularizer=losses.GroupLasso(0.5), bias_regularizer=losses.l1_reg)
    with keras.utils.CustomObjectScope(objects):
        clone = Dense.from_config(layer.get_config())
    assert clone.get_config() == layer.get_config()
    assert float(clone.kernel_regularizer.factor) == 0.5


# --- constraints and initializers ----------------------------------------------------------------


def test_custom_constraints():
    x, y = data((3,))
    model = Sequential(
        [
            Dense(3, kernel_constraint=losses.WeightClip(0.05), input_shape=(3,)),
            Dense(3, kernel_constraint=losses.UnitRows(), bias_constraint=K.relu),
            Dense(3, kernel_constraint=losses.no_diagonal),
            Dense(2, kernel_constraint=lambda w: w * K.cast(K.greater_equal(w, 0.0), K.floatx())),
        ]
    )
    trained(model, x, y, epochs=3)
    clipped, _, unit, bias, hollow, _, positive, _ = model.get_weights()
    assert np.abs(clipped).max() == np.float32(0.05)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-4)
    assert bias.min() >= 0
    assert not np.diag(hollow).any()
    assert positive.min() == 0
    assert {w.dtype for w in model.get_weights()} == {np.dtype("float32")}


def test_custom_initializers():
    model = Sequential(
        [
            Dense(3, kernel_initializer=losses.my_init, input_shape=(4,)),
            Dense(
                3, kernel_initializer=losses.Ramp(0.5), bias_initializer=lambda shape: K.ones(shape)
            ),
            Dense(2, kernel_initializer=lambda shape, dtype=None: K.eye(3)[:, :2]),
            Dense(2, kernel_initializer=lambda shape, name=None: np.full(shape, 0.25)),
        ]
    )
    drawn, _, ramp, ones, cut, _, quarters, _ = model.get_weights()
    assert 0.1 < drawn.std() < 3
    np.testing.assert_allclose(ramp, 0.5 * np.arange(9).reshape(3, 3))
    np.testing.assert_array_equal(ones, 1)
    np.testing.assert_array_equal(cut, np.eye(3)[:, :2])
    np.testing.assert_array_equal(quarters, 0.25)
    assert {w.dtype for w in model.get_weights()} == {np.dtype("float32")}
    x, y = data((4,))
    trained(model, x, y, epochs=2)


def test_custom_optimizer_settings_as_variables():
    """The learning rate is a variable that K changes, in a callback of one's own, too."""

    class Halve(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            K.set_value(self.model.optimizer.lr, K.get_value(self.model.optimizer.lr) / 2)

    x, y = data((4,))
    model = Sequential([Dense(2, input_shape=(4,))])
    model.compile(keras.optimizers.SGD(lr=0.4), "mse")
    model.fit(x, y, epochs=3, verbose=0, callbacks=[Halve()])
    assert float(K.get_value(model.optimizer.lr)) == pytest.approx(0.05)
    assert float(K.eval(model.optimizer.lr)) == pytest.approx(0.05)


# --- operators in place, derivatives that are zero ---------------------------------------------


def test_an_activation_that_uses_operators_in_place():
    def activation(x):
        x *= 2.0
        return K.sin(x)

    check_in_float64(Dense(3, activation=activation), input_shape=(2, 4))


def test_a_regularizer_that_uses_operators_in_place():
    def near_one(w):
        w -= 1.0
        return 0.1 * K.sum(K.square(w))

    model = Sequential([Dense(3, kernel_regularizer=near_one, input_shape=(4,))])
    model.compile("sgd", "mse")
    before = model.get_weights()[0]
    x, _ = data((4,))
    model.evaluate(x, np.zeros((len(x), 3)), verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], before)


def test_the_gradient_check_where_a_bias_has_no_effect():
    layer = Dense(2, activation=lambda x: K.softmax(x, axis=1))
    check_in_float64(layer, input_shape=(2, 3, 4))


# --- a training loop by hand ---------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
def test_a_training_function_of_ones_own(optimizer):
    """`get_updates`, as agents that learn by reinforcement use it; the same as train_on_batch."""
    x, y = data((4,))
    own, usual = (Sequential([Dense(3, activation="tanh", input_dim=4), Dense(2)]) for _ in "ab")
    usual.set_weights(own.get_weights())
    usual.compile(optimizer, "mse")
    y = np.random.RandomState(0).standard_normal((len(x), 2)).astype("float32")
    targets = K.placeholder((None, 2))
    loss = K.mean(K.square(own.output - targets))
    updates = keras.optimizers.get(optimizer).get_updates(params=own.trainable_weights, loss=loss)
    step = K.function([own.input, targets], [loss], updates=updates)
    for _ in range(4):
        assert step([x, y])[0] == pytest.approx(usual.train_on_batch(x, y), rel=1e-5)
    for a, b in zip(own.get_weights(), usual.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_training_function_of_what_the_loss_does_not_depend_on():
    w = K.variable([1.0], name="w")
    with pytest.raises(ValueError, match="does not depend on other"):
        keras.optimizers.SGD().get_updates(K.sum(w), [w, K.variable([1.0], name="other")])
