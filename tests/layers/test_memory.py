"""In a steady state, a training step allocates no array of the size of the data."""

import tracemalloc

import numpy as np
import pytest

from minikeras import layers
from minikeras.engine import Context, Workspace
from minikeras.models import Sequential
from minikeras.ops.blas import one_thread

IMAGES = (64, 64, 64, 8)  # 8 MiB in float32
LIMIT = 5 * 2**20  # intermediate results for blocks of up to 1 MiB, in each of two threads

SEQUENCES = (128, 128, 100)  # 6 MiB: batch, steps, features

RECURRENT = {
    "Bidirectional": lambda: layers.Bidirectional(
        layers.LSTM(100, return_sequences=True), merge_mode="sum"
    ),
    "GRU": lambda: layers.GRU(100, return_sequences=True),
    "GRU reset_after": lambda: layers.GRU(100, reset_after=True, return_sequences=True),
    "LSTM": lambda: layers.LSTM(100, return_sequences=True),
    "LSTM dropout": lambda: layers.LSTM(
        100, return_sequences=True, dropout=0.2, recurrent_dropout=0.2
    ),
    "RNN of cells": lambda: layers.RNN(
        [layers.LSTMCell(100), layers.GRUCell(100)], return_sequences=True
    ),
    "SimpleRNN": lambda: layers.SimpleRNN(100, return_sequences=True),
    "TimeDistributed": lambda: layers.TimeDistributed(layers.Dense(100)),
}
LAYERS = {
    **RECURRENT,
    "Activation relu": lambda: layers.Activation("relu"),
    "Activation softmax": lambda: layers.Activation("softmax"),
    "Activation tanh": lambda: layers.Activation("tanh"),
    "AlphaDropout": lambda: layers.AlphaDropout(0.1),
    "AveragePooling2D": lambda: layers.AveragePooling2D(),
    "BatchNormalization": lambda: layers.BatchNormalization(),
    "BatchNormalization axis 1": lambda: layers.BatchNormalization(axis=1),
    "Conv2D": lambda: layers.Conv2D(8, 3, activation="relu"),
    "Conv2D same strided": lambda: layers.Conv2D(8, 3, strides=(1, 2), padding="same"),
    "Conv2DTranspose": lambda: layers.Conv2DTranspose(8, 3, strides=2, padding="same"),
    "Cropping2D": lambda: layers.Cropping2D(1),
    "Dense": lambda: layers.Dense(8, activation="relu"),
    "Dense selu": lambda: layers.Dense(8, activation="selu"),
    "DepthwiseConv2D": lambda: layers.DepthwiseConv2D(3),
    "Dropout": lambda: layers.Dropout(0.3),
    "ELU": lambda: layers.ELU(),
    "Flatten": lambda: layers.Flatten(),
    "Flatten channels_first": lambda: layers.Flatten("channels_first"),
    "GaussianDropout": lambda: layers.GaussianDropout(0.3),
    "GaussianNoise": lambda: layers.GaussianNoise(0.3),
    "GlobalAveragePooling2D": lambda: layers.GlobalAveragePooling2D(),
    "GlobalMaxPooling2D": lambda: layers.GlobalMaxPooling2D(),
    "LeakyReLU": lambda: layers.LeakyReLU(),
    "LocallyConnected2D": lambda: layers.LocallyConnected2D(8, 3),
    "MaxPooling2D": lambda: layers.MaxPooling2D(),
    "MaxPooling2D overlapping": lambda: layers.MaxPooling2D(3, strides=2, padding="same"),
    "PReLU": lambda: layers.PReLU(shared_axes=[1, 2]),
    "Permute": lambda: layers.Permute((3, 1, 2)),
    "ReLU": lambda: layers.ReLU(6.0, 0.1, 0.5),
    "Reshape": lambda: layers.Reshape((64, -1)),
    "SeparableConv2D": lambda: layers.SeparableConv2D(8, 3),
    "Softmax axis 1": lambda: layers.Softmax(1),
    "SpatialDropout2D": lambda: layers.SpatialDropout2D(0.3),
    "ThresholdedReLU": lambda: layers.ThresholdedReLU(),
    "UpSampling2D": lambda: layers.UpSampling2D(),
    "UpSampling2D bilinear": lambda: layers.UpSampling2D(interpolation="bilinear"),
    "ZeroPadding2D": lambda: layers.ZeroPadding2D(1),
    "nested": lambda: Sequential([layers.Activation("tanh"), layers.Dropout(0.2)]),
}

# How many images make input and output large enough to be seen, where one is a part of the other.
SAMPLES = {
    "AveragePooling2D": 192,
    "Conv2D same strided": 96,
    "Conv2DTranspose": 48,
    "MaxPooling2D": 192,
    "MaxPooling2D overlapping": 192,
}

# These ask for no memory, or for hardly any, in the forward pass; the first two not at all.
VIEWS = ("Flatten", "Reshape")
SMALL_OUTPUT = (*VIEWS, "Cropping2D", "GlobalAveragePooling2D", "GlobalMaxPooling2D")


class Trial:
    """Passes through a layer, forward and backward, on a batch of images or sequences."""

    def __init__(self, name):
        images = (SAMPLES.get(name, IMAGES[0]), *IMAGES[1:])
        shape = SEQUENCES if name in RECURRENT else images
        self.layer = LAYERS[name]()
        self.layer.ensure_built((None, *shape[1:]))
        self.x = np.random.default_rng(0).standard_normal(shape, "float32")
        self.dy = np.empty(self.layer.compute_output_shape(shape), "float32")
        self.targets = {w: np.empty_like(w.value) for w in self.layer.trainable_weights}

    def step(self, workspace=None):
        """Return the most memory that the forward pass and the whole step have allocated."""
        ctx = Context(training=True, gradients=self.targets, workspace=workspace)
        self.dy.fill(0.5)
        tracemalloc.start()
        try:
            with one_thread():
                _, residual = self.layer.propagate(self.x, ctx)
                forward = tracemalloc.get_traced_memory()[1]
                self.layer.backpropagate(self.dy, residual, ctx)
            return forward, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("name", LAYERS)
def test_a_steady_step_allocates_less_than_its_data(name):
    trial, workspace = Trial(name), Workspace()
    for _ in range(3):
        workspace.begin("train")
        _, most = trial.step(workspace)
    assert most < LIMIT


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in VIEWS])
def test_the_limit_is_low_enough_to_see_what_a_step_asks_for(name):
    """Without a workspace each request allocates."""
    forward, both = Trial(name).step()
    assert both > LIMIT
    assert forward > LIMIT or name in SMALL_OUTPUT
