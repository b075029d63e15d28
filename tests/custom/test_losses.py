"""Losses of users' own: they train, and their derivatives are right."""

import numpy as np
import pytest

import minikeras as keras
from minikeras import backend as K
from minikeras.layers import Dense, Reshape
from minikeras.models import Sequential
from tests.custom import losses
from tests.custom.checks import check_in_float64, trained

SAMPLES = 32


def inputs(size=6):
    return np.random.RandomState(3).standard_normal((SAMPLES, size)).astype("float32")


def labels(classes=3):
    """Return labels that follow from the inputs."""
    return inputs()[:, :classes].argmax(axis=-1)


def one_hot(classes=3):
    return keras.utils.to_categorical(labels(classes), classes)


def binary(units=3):
    return (inputs()[:, :units] > 0.2).astype("float32")


def numbers(units=3):
    x = inputs()
    return np.stack([x[:, i] * 2 + np.sin(x[:, i + 1]) for i in range(units)], axis=-1)


def with_gaps():
    y = numbers()
    y[::3, 1] = -1.0
    return y


def signs():
    return np.where(inputs()[:, :1] > 0, 1.0, -1.0)


# Each loss with its targets, and with units and activation of the last layer.
LOSSES = {
    "focal": (losses.focal_loss(), binary, 3, "sigmoid"),
    "categorical focal": (losses.categorical_focal_loss(2.0, 0.5), one_hot, 3, "softmax"),
    "weighted crossentropy": (
        losses.weighted_categorical_crossentropy([0.5, 2.0, 1.0]),
        one_hot,
        3,
        "softmax",
    ),
    "smoothed crossentropy": (losses.smoothed_crossentropy, one_hot, 3, "softmax"),
    "sparse": (losses.sparse_loss, labels, 3, "softmax"),
    "dice": (losses.dice_coef_loss, binary, 3, "sigmoid"),
    "jaccard": (losses.jaccard_distance_loss, binary, 3, "sigmoid"),
    "crossentropy and dice": (losses.bce_dice_loss, binary, 3, "sigmoid"),
    "huber": (losses.huber_loss, numbers, 3, None),
    "huber by minimum": (losses.huber_by_minimum, numbers, 3, None),
    "quantile": (losses.quantile(0.9), numbers, 3, None),
    "root of mean square": (losses.root_mean_squared_error, numbers, 3, None),
    "mse and mae": (losses.mse_and_mae, numbers, 3, None),
    "correlation": (losses.correlation_loss, numbers, 3, None),
    "masked": (losses.masked_mse(-1.0), with_gaps, 3, None),
    "smoothness": (losses.smoothness_loss, numbers, 3, None),
    "mixture": (losses.mixture_loss(2), lambda: numbers(1), 6, None),
    "contrastive": (losses.contrastive_loss, lambda: binary(1), 6, None),
    "triplet": (losses.triplet_loss, lambda: np.zeros((SAMPLES, 1)), 6, None),
    "in batch": (losses.in_batch_loss, labels, 4, None),
    "ranking": (losses.ranking_loss, lambda: numbers(1), 1, None),
    "wasserstein": (losses.wasserstein_loss, signs, 1, None),
    "lambda": (lambda y_true, y_pred: K.mean(K.abs(y_true - y_pred) ** 1.5), numbers, 3, None),
    "center": (
        losses.center_loss(K.constant(np.eye(3) * 2)),
        one_hot,
        3,
        None,
    ),
}


def network(units, activation=None):
    np.random.seed(4)
    return Sequential([Dense(8, activation="tanh", input_dim=6), Dense(units, activation)])


@pytest.mark.parametrize("name", LOSSES)
def test_custom_loss(name):
    loss, targets, units, activation = LOSSES[name]
    x, y, model = inputs(), targets(), network(units, activation)
    history = trained(model, x, y, loss=loss)
    assert history[-1] < 0.97 * history[0]
    check_in_float64(model, x[:6], y[:6])
    column = y if y.ndim > 1 else y[:, None]
    p = model.predict(x)
    check_in_float64(loss, column[:6].astype("float64"), p[:6])
    stated = np.mean(K.eval(K.constant(np.asarray(loss(column.astype("float32"), p)))))
    assert model.evaluate(x, y, batch_size=SAMPLES, verbose=0) == pytest.approx(stated, rel=1e-4)


@pytest.mark.parametrize("name", ["huber", "weighted crossentropy", "in batch", "dice"])
def test_sample_weights(name):
    """They weigh values per sample, and one number for the batch by what they sum up to."""
    loss, targets, units, activation = LOSSES[name]
    x, y, model = inputs(), targets(), network(units, activation)
    weights = np.linspace(0.0, 2.0, SAMPLES)
    model.compile("sgd", loss)
    column = y if y.ndim > 1 else y[:, None]
    scores = np.asarray(loss(column.astype("float32"), model.predict(x)))
    expected = (scores * weights).mean() / (weights > 0).mean()
    assert model.test_on_batch(x, y, sample_weight=weights) == pytest.approx(expected, rel=1e-4)
    check_in_float64(model, x[:6], y[:6], weights[:6])


def test_loss_over_images():
    np.random.seed(4)
    model = Sequential([Dense(16, input_dim=6, activation="sigmoid"), Reshape((4, 4, 1))])
    y = (np.random.RandomState(1).uniform(size=(SAMPLES, 4, 4, 1)) > 0.5).astype("float32")
    for loss in (losses.dice_coef_loss, losses.bce_dice_loss, losses.jaccard_distance_loss):
        trained(model, inputs(), y, loss=loss)
        check_in_float64(model, inputs()[:4], y[:4])


# --- losses that close over something ------------------------------------------------------------


def test_a_variable_in_a_loss_may_change_between_steps():
    alpha = K.variable(1.0)
    model = network(3)
    model.compile("sgd", lambda y_true, y_pred: alpha * K.mean(K.square(y_true - y_pred), -1))
    first = model.test_on_batch(inputs(), numbers())
    K.set_value(alpha, 3.0)
    assert model.test_on_batch(inputs(), numbers()) == pytest.approx(3 * first, rel=1e-5)
    kept = K.get_value(alpha)
    model.train_on_batch(inputs(), numbers())
    assert K.get_value(alpha) == kept


def test_a_loss_over_the_weights_of_a_layer():
    model = network(3)
    kernel = model.layers[0].kernel
    model.compile("sgd", losses.with_penalty_on(model.layers[0]))
    total = model.test_on_batch(inputs(), numbers())
    model.compile("sgd", "mse")
    plain = model.test_on_batch(inputs(), numbers())
    penalty = 0.1 * np.square(kernel.value).sum()
    assert total == pytest.approx(plain + penalty, rel=1e-5)
    # It is the same as a regularizer, also in the gradients.
    results = []
    for regularizer, loss in (("l2", "mse"), (None, None)):
        np.random.seed(4)
        penalty = keras.regularizers.l2(0.1) if regularizer else None
        model = Sequential(
            [Dense(8, activation="tanh", input_dim=6, kernel_regularizer=penalty), Dense(3)]
        )
        model.compile("sgd", loss or losses.with_penalty_on(model.layers[0]))
        model.fit(inputs(), numbers(), epochs=3, verbose=0, shuffle=False)
        results.append(model.get_weights())
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_perceptual_loss_through_a_frozen_model():
    np.random.seed(9)
    features = Sequential([Dense(5, activation="tanh", input_dim=3), Dense(4)])
    before = features.get_weights()
    model = network(3)
    loss = losses.perceptual_loss(features)
    history = trained(model, inputs(), numbers(), loss=loss)
    assert history[-1] < 0.8 * history[0]
    for old, new in zip(before, features.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    # A step is that of the two models as one, of which the second is frozen.
    start, target = model.get_weights(), features.predict(numbers())
    model.compile("sgd", loss)
    model.train_on_batch(inputs(), numbers())
    stepped = model.get_weights()
    model.set_weights(start)
    whole = Sequential([*model.layers, *features.layers])
    whole.compile("sgd", "mse")
    whole.train_on_batch(inputs(), target)
    for one, other in zip(stepped, model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_loss_through_an_intermediate_layer_of_a_frozen_model():
    features = Sequential([Dense(5, activation="tanh", input_dim=3, name="seen"), Dense(4)])
    seen = Sequential(features.layers[:1])
    seen.trainable = False

    def loss(y_true, y_pred):
        return K.mean(K.square(seen(y_true) - seen(y_pred)), axis=-1)

    trained(network(3), inputs(), numbers(), loss=loss)


def test_the_derivative_of_a_network_by_its_weights_through_a_loss():
    model = network(3, "softmax")
    y_true = K.placeholder((None, 3))
    loss = K.mean(losses.focal_loss()(y_true, model.output))
    gradients = K.gradients(loss, model.trainable_weights)
    run = K.function([model.input, y_true], [loss, *gradients])
    value, *found = run([inputs(), one_hot()])
    model.compile(keras.optimizers.SGD(1.0), losses.focal_loss())
    before = model.get_weights()
    assert model.train_on_batch(inputs(), one_hot()) == pytest.approx(value, rel=1e-5)
    for old, new, gradient in zip(before, model.get_weights(), found, strict=True):
        np.testing.assert_allclose(old - new, gradient, rtol=1e-3, atol=1e-6)


def test_a_custom_training_function():
    """`K.function` with updates that the optimizer gives: a training loop of one's own."""
    model = network(3, "softmax")
    y_true = K.placeholder((None, 3))
    loss = K.mean(K.categorical_crossentropy(y_true, model.output))
    gradients = K.gradients(loss, model.trainable_weights)
    updates = [
        K.update_sub(w, 0.5 * g) for w, g in zip(model.trainable_weights, gradients, strict=True)
    ]
    train = K.function([model.input, y_true], [loss], updates=updates)
    values = [float(train([inputs(), one_hot()])[0]) for _ in range(20)]
    assert values[-1] < 0.5 * values[0]


# --- what is wrong is said -----------------------------------------------------------------------


def test_a_loss_that_leaves_the_tape():
    def loss(y_true, y_pred):
        return np.mean(np.square(y_true - K.get_value(y_pred)))

    model = network(3)
    model.compile("sgd", loss)
    with pytest.raises(TypeError, match="y_pred|K\\."):
        model.train_on_batch(inputs(), numbers())


def test_a_loss_that_returns_nothing():
    def loss(y_true, y_pred):
        K.mean(K.square(y_true - y_pred))

    model = network(3)
    model.compile("sgd", loss)
    with pytest.raises(TypeError, match="loss returned NoneType"):
        model.train_on_batch(inputs(), numbers())


# --- what does not work yet ----------------------------------------------------------------------


def test_a_loss_that_uses_operators_in_place_leaves_the_prediction_to_the_metrics():
    def loss(y_true, y_pred):
        y_pred /= K.sum(y_pred, axis=-1, keepdims=True)
        return -K.sum(y_true * K.log(y_pred), axis=-1)

    def total(y_true, y_pred):
        return K.mean(K.sum(y_pred, axis=-1))

    model = network(3, "sigmoid")
    model.compile("sgd", loss, metrics=[total])
    x, y = inputs(), one_hot()
    assert model.test_on_batch(x, y)[1] == pytest.approx(model.predict(x).sum(-1).mean(), rel=1e-4)


def test_a_loss_that_uses_operators_in_place_on_the_targets():
    """Targets are arrays, of the user's own, and can't be written to."""

    def loss(y_true, y_pred):
        y_true *= 2.0
        return K.mean(K.square(y_true - y_pred), axis=-1)

    model = network(3)
    model.compile("sgd", loss)
    with pytest.raises(ValueError, match="read-only"):
        model.train_on_batch(inputs(), numbers().astype("float32"))


def test_contractive_autoencoder():
    """The loss holds the output of an intermediate layer and the layer's weights."""
    np.random.seed(4)
    model = Sequential([Dense(4, activation="sigmoid", input_dim=6, name="encoded"), Dense(6)])

    def contractive_loss(y_true, y_pred):
        mse = K.mean(K.square(y_true - y_pred), axis=1)
        W = K.transpose(model.get_layer("encoded").kernel)
        h = model.get_layer("encoded").output
        dh = h * (1 - h)
        return mse + 0.1 * K.sum(dh**2 * K.sum(W**2, axis=1), axis=1)

    trained(model, inputs(), inputs(), loss=contractive_loss)


def test_the_output_of_a_layer_in_a_loss_moves_no_averages():
    """The layer is computed a second time, which must leave no trace."""
    normalization = keras.layers.BatchNormalization(momentum=0.5, input_shape=(6,))
    model = Sequential([normalization, Dense(3)])

    def loss(y_true, y_pred):
        return K.mean(K.square(y_true - y_pred)) + 0.1 * K.mean(K.abs(normalization.output))

    model.compile("sgd", loss)
    x = inputs()
    model.train_on_batch(x, numbers())
    moving_mean = normalization.get_weights()[2]
    np.testing.assert_allclose(moving_mean, 0.5 * x.mean(axis=0), rtol=1e-4, atol=1e-6)
