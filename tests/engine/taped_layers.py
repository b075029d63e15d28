"""Layers in terms of `K` that several tests here use."""

import numpy as np

from minikeras import Sequential
from minikeras import backend as K
from minikeras.engine import Layer

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


class Phase(Layer):
    """Say what the phase is."""

    def call(self, x, training=None):
        return 0.0 * x + (1.0 if training else 0.0) + 10.0 * K.learning_phase()
