"""Metrics with and without a state, as a training uses them."""

import numpy as np
import pytest

import minikeras as keras
from minikeras import backend as K
from minikeras.layers import Dense
from minikeras.models import Sequential

X = np.random.default_rng(0).standard_normal((20, 3)).astype("float32")
Y = (X.sum(axis=1, keepdims=True) > 0).astype("float32")


class Largest:
    """The largest error of an epoch; in plain NumPy, as an object of the user's."""

    name = "largest"

    def __init__(self):
        self.resets = 0
        self.value = 0.0

    def reset_states(self):
        self.resets += 1
        self.value = 0.0

    def __call__(self, y_true, y_pred):
        self.value = max(self.value, float(np.abs(y_true - y_pred).max()))
        return self.value


class Later:
    """A metric as later versions of Keras have it."""

    def __init__(self, name="later"):
        self.name = name
        self.total = self.count = 0

    def reset_state(self):
        self.total = self.count = 0

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total += K.sum(K.abs(y_true - y_pred))
        self.count += len(y_true)

    def result(self):
        return self.total / self.count


def model_with(*metrics, **kwargs):
    model = Sequential([Dense(1, activation="sigmoid", input_dim=3)])
    model.compile(keras.optimizers.SGD(lr=0.0), "mse", metrics=list(metrics), **kwargs)
    return model


def errors(model, x=X, y=Y):
    return np.abs(model.predict(x) - y)


def test_the_last_value_of_an_epoch_counts():
    metric = Largest()
    model = model_with("mae", metric)
    held_out = X[:5] * 0.1, Y[:5]

    history = model.fit(X, Y, 6, epochs=3, verbose=0, validation_data=held_out).history

    assert history["largest"] == pytest.approx([errors(model).max()] * 3, rel=1e-6)
    assert history["val_largest"] == pytest.approx([errors(model, *held_out).max()] * 3, rel=1e-6)
    assert metric.resets == 6
    assert model.evaluate(X, Y, batch_size=6, verbose=0)[2] == pytest.approx(errors(model).max())
    assert metric.resets == 7


def test_a_state_is_kept_from_one_call_on_a_batch_to_the_next():
    metric = Largest()
    model = model_with(metric)
    error = errors(model)
    order = np.argsort(error[:, 0])[::-1]

    first = model.test_on_batch(X[order[:2]], Y[order[:2]])[1]
    second = model.train_on_batch(X[order[2:]], Y[order[2:]])[1]

    assert first == second == pytest.approx(error.max())
    assert metric.resets == 0


def test_among_weighted_metrics():
    """One number for a batch is weighted as Keras 2.2 does it: as if each sample had it."""
    model = model_with(weighted_metrics=[Largest()])
    weights = np.linspace(0, 1, 20)
    results = model.evaluate(X, Y, verbose=0, sample_weight=weights)
    assert model.metrics_names == ["loss", "weighted_largest"]
    assert results[1] == pytest.approx(errors(model).max() * weights.mean() / 0.95)


def test_objects_of_later_versions():
    model = model_with(Later())
    assert model.evaluate(X, Y, batch_size=6, verbose=0)[1] == pytest.approx(errors(model).mean())
    assert model.fit(X, Y, 6, 2, verbose=0).history["later"] == pytest.approx(
        [errors(model).mean()] * 2
    )


def test_a_class_stands_for_an_object_of_it():
    model = model_with(Largest)
    assert model.evaluate(X, Y, verbose=0)[1] == pytest.approx(errors(model).max())


def test_the_bar_shows_the_last_value(capsys):
    model = model_with(Largest())
    model.fit(X, Y, 6)
    assert f"largest: {errors(model).max():.4f}" in capsys.readouterr().out
