"""Masks on their way through whole models, into losses and metrics."""

import warnings

import numpy as np
import pytest

from minikeras import Sequential, models
from minikeras.layers import (
    Activation,
    BatchNormalization,
    Conv1D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling1D,
)
from minikeras.layers.core import Masking
from minikeras.layers.wrappers import Bidirectional, TimeDistributed
from minikeras.testing import check_gradients
from minikeras.utils.generic_utils import custom_object_scope

from .layers.tiny_recurrent import Tiny

MASK = np.array([[1, 1, 0, 0], [1, 0, 1, 1], [1, 1, 1, 1]], bool)


def data():
    """Return inputs with padding, and targets, from the same numbers that Keras was given."""
    random = np.random.RandomState(0)
    x = random.randn(3, 4, 2)
    x[~MASK] = 0
    return x, random.randn(3, 4, 2)


def masked_model(*others, **compiling):
    model = Sequential([Masking(input_shape=(4, 2)), *others])
    model.compile("sgd", **{"loss": "mse", **compiling})
    return model


def test_loss_and_metrics_as_in_keras():
    # Printed by Keras 2.2.4 for this model and these data.
    x, y = data()
    for dense in (TimeDistributed(Dense(2)), Dense(2)):
        model = masked_model(dense, metrics=["mae"], weighted_metrics=["mae"])
        model.set_weights([np.arange(4.0).reshape(2, 2), np.array([0.5, -1])])
        found = model.test_on_batch(x, y)
        np.testing.assert_allclose(found, [8.058025, 2.189463, 2.189463], rtol=1e-6)
        found = model.test_on_batch(x, y, sample_weight=np.array([1.0, 0, 2]))
        np.testing.assert_allclose(found, [14.853602, 2.189463, 3.8533962], rtol=1e-6)


def test_masked_steps_have_no_part_in_loss_and_gradient():
    x, y = data()
    model = masked_model(TimeDistributed(Dense(3, activation="tanh")), Dense(2))
    before = model.get_weights()
    losses = []
    for value in (0.0, 100.0):
        model.set_weights(before)
        targets = y.copy()
        targets[~MASK] = value
        losses.append((model.train_on_batch(x, targets), *model.get_weights()))
    for first, second in zip(*losses, strict=True):
        np.testing.assert_array_equal(first, second)
    prediction = model.predict(x)
    changed = y.copy()
    changed[0, 0] += 1
    assert model.test_on_batch(x, changed) != model.test_on_batch(x, y)
    assert prediction.shape == (3, 4, 2)


def test_the_loss_is_the_mean_over_steps_that_count():
    x, y = data()
    model = masked_model(Dense(2, activation="tanh"), metrics=["mae"])
    gap = (model.predict(x) - y)[MASK]
    expected = [np.square(gap).mean(), np.abs(gap).mean()]
    np.testing.assert_allclose(model.test_on_batch(x, y), expected, rtol=1e-5)
    check_gradients(model, x, y)


@pytest.mark.parametrize("last", ["softmax", None])
def test_labels_of_steps_with_and_without_fusing(last):
    x, _ = data()
    labels = np.random.RandomState(1).randint(0, 3, (3, 4, 1))
    model = masked_model(
        TimeDistributed(Dense(3, activation=last)),
        *([] if last else [Activation("softmax")]),
        loss="sparse_categorical_crossentropy",
        metrics=["acc"],
        sample_weight_mode="temporal",
    )
    p = model.predict(x)
    picked = np.take_along_axis(p, labels, axis=-1)[..., 0]
    loss, accuracy = model.test_on_batch(x, labels)
    assert loss == pytest.approx(-np.log(picked)[MASK].mean(), rel=1e-5)
    assert accuracy == pytest.approx((p.argmax(-1) == labels[..., 0])[MASK].mean())
    weights = np.random.RandomState(2).rand(3, 4)
    weights[0, 0] = 0
    check_gradients(model, x, labels, weights)
    expected = -(np.log(picked) * weights)[MASK].sum() / MASK.sum() / (weights != 0).mean()
    assert model.test_on_batch(x, labels, weights)[0] == pytest.approx(expected, rel=1e-5)


def test_a_mask_through_a_stack_of_everything():
    x, _ = data()
    model = masked_model(
        BatchNormalization(),
        TimeDistributed(Dense(3)),
        Dropout(0.5),
        Bidirectional(Tiny(return_sequences=True), merge_mode="mul"),
        Bidirectional(Tiny()),
        Dense(1),
    )
    long = np.concatenate([x, np.zeros((3, 3, 2))], axis=1)
    longer = Sequential([Masking(input_shape=(7, 2)), *model.layers[1:]])
    np.testing.assert_allclose(longer.predict(long), model.predict(x), rtol=1e-6)
    y = np.ones((3, 1))
    history = model.fit(x, y, epochs=3, verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_padding_in_front_counts_as_little_as_padding_behind():
    x, _ = data()
    model = masked_model(GlobalAveragePooling1D(), Dense(1))
    ahead = Sequential([Masking(input_shape=(6, 2)), *model.layers[1:]])
    longer = np.concatenate([np.zeros((3, 2, 2)), x], axis=1)
    np.testing.assert_allclose(ahead.predict(longer), model.predict(x), rtol=1e-5)


def test_a_batch_without_a_step_that_counts():
    model = masked_model(TimeDistributed(Dense(2)), metrics=["mae"])
    before = model.get_weights()
    x, y = np.zeros((3, 4, 2)), np.ones((3, 4, 2))
    assert model.train_on_batch(x, y) == [0.0, 0.0]
    for first, second in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_masked_features_instead_of_steps():
    x = np.array([[1.0, 2.0], [0.0, 0.0], [3.0, 0.0]])
    model = Sequential([Masking(input_shape=(2,)), Dense(1)])
    model.compile("sgd", "mse")
    y = np.ones((3, 1))
    expected = np.square(model.predict(x) - 1)[[0, 2]].mean()
    assert model.test_on_batch(x, y) == pytest.approx(expected)


def test_words_in_sentences():
    x = np.random.RandomState(0).randn(2, 3, 4, 5)
    x[0, 1, 2:] = x[1, 2] = 0
    model = Sequential()
    model.add(TimeDistributed(Masking(), input_shape=(3, 4, 5)))
    model.add(TimeDistributed(Tiny()))
    model.add(Tiny())
    model.add(Dense(1))
    expected = [
        model.layers[2](model.layers[1](s[None], mask=m[None]), mask=m.any(axis=1)[None])[0]
        for s, m in zip(x, (x != 0).any(axis=-1), strict=True)
    ]
    found = model.predict(x)
    np.testing.assert_allclose(found, model.layers[3](np.array(expected)), rtol=1e-5)


# The end of a mask


def test_a_mask_ends_with_one_warning_in_a_whole_training(recwarn):
    x, _ = data()
    model = masked_model(Conv1D(2, 1, name="conv"), Flatten(), Dense(1))
    y = np.ones((3, 1))
    model.fit(x, y, epochs=3, verbose=0)
    model.predict(x)
    (message,) = [str(w.message) for w in recwarn]
    assert "Layer 'conv' (Conv1D) does not support masking" in message
    assert "the mask of shape (3, 4) ends here" in message
    assert "steps that were masked count again from here on" in message
    plain = Sequential(model.layers[1:])
    np.testing.assert_allclose(plain.predict(x), model.predict(x), rtol=1e-6)


def test_each_layer_warns_for_itself_and_a_clone_does_anew():
    x, _ = data()
    model = masked_model(Flatten(), Dense(1))
    for again in (model, models.clone_model(model), masked_model(Flatten(), Dense(1))):
        with pytest.warns(UserWarning, match="does not support masking"):
            again.predict(x)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            again.predict(x)


def test_a_mask_that_does_not_fit_the_scores_is_an_error():
    def total(y_true, y_pred):
        return np.square(y_true - y_pred).mean(axis=(1, 2))

    x, y = data()
    model = masked_model(Dense(2), metrics=[total])
    message = r"2 axes can't be applied to scores of shape \(3,\).* one value for each sample"
    with pytest.raises(ValueError, match=message):
        model.test_on_batch(x, y)


def test_masks_come_back_from_json():
    x, y = data()
    with custom_object_scope(
        {"Masking": Masking, "TimeDistributed": TimeDistributed, "Bidirectional": Bidirectional}
    ):
        model = masked_model(TimeDistributed(Dense(2)))
        again = models.model_from_json(model.to_json())
    again.compile("sgd", "mse")
    again.set_weights(model.get_weights())
    assert again.test_on_batch(x, y) == model.test_on_batch(x, y)
