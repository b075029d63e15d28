"""Models for the tests of callbacks: a real one, and one that only remembers what it is told."""

import io

import numpy as np

from minikeras.layers import Dense
from minikeras.models import Sequential


class Terminal(io.StringIO):
    """What looks like a terminal to those who ask."""

    def isatty(self):
        return True


def small_model(metrics=("mae",), optimizer="sgd"):
    model = Sequential([Dense(1, input_dim=2)])
    model.compile(optimizer, "mse", metrics=list(metrics))
    return model


def small_data():
    x = np.random.default_rng(0).standard_normal((20, 2))
    return x, x[:, 0]


def fit(verbose=0, model=None, epochs=2, **kwargs):
    model = model or small_model()
    x, y = small_data()
    model.fit(x, y, batch_size=5, epochs=epochs, verbose=verbose, **kwargs)
    return model


class Optimizer:
    lr = 0.5


class FakeModel:
    """Its weights are the number of the epoch, so that a restored epoch can be told."""

    def __init__(self):
        self.optimizer = Optimizer()
        self.stop_training = False
        self.epoch = None
        self.restored = []
        self.saved = []

    def get_weights(self):
        return [self.epoch]

    def set_weights(self, weights):
        self.restored += weights

    def save(self, path, overwrite=True):
        self.saved.append(("model", path, overwrite))

    def save_weights(self, path, overwrite=True):
        self.saved.append(("weights", path, overwrite))


def drive(callback, epochs, model=None, promised=()):
    """Call the hooks as `fit` does, with one dict of results for each epoch; return the model."""
    model = model or FakeModel()
    model.stop_training = False
    callback.set_params({"metrics": list(promised)})
    callback.set_model(model)
    callback.on_train_begin({})
    for epoch, logs in enumerate(epochs):
        model.epoch = epoch
        callback.on_epoch_begin(epoch, {})
        callback.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    callback.on_train_end({})
    return model


def losses(*values, name="val_loss"):
    return [{"loss": 1.0, name: value} for value in values]
