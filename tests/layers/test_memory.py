"""In a steady state, a training step allocates no array of the size of the data."""

import tracemalloc

import numpy as np
import pytest

from minikeras import layers
from minikeras.engine import Context, Workspace
from minikeras.models import Sequential

IMAGES = (64, 64, 64, 8)  # 8 MiB in float32
LIMIT = 5 * 2**20  # intermediate results for blocks of up to 1 MiB, in each of two threads

LAYERS = {
    "Activation relu": lambda: layers.Activation("relu"),
    "Activation softmax": lambda: layers.Activation("softmax"),
    "Activation tanh": lambda: layers.Activation("tanh"),
    "AlphaDropout": lambda: layers.AlphaDropout(0.1),
    "BatchNormalization": lambda: layers.BatchNormalization(),
    "BatchNormalization axis 1": lambda: layers.BatchNormalization(axis=1),
    "Dense": lambda: layers.Dense(8, activation="relu"),
    "Dense selu": lambda: layers.Dense(8, activation="selu"),
    "Dropout": lambda: layers.Dropout(0.3),
    "ELU": lambda: layers.ELU(),
    "Flatten": lambda: layers.Flatten(),
    "Flatten channels_first": lambda: layers.Flatten("channels_first"),
    "GaussianDropout": lambda: layers.GaussianDropout(0.3),
    "GaussianNoise": lambda: layers.GaussianNoise(0.3),
    "LeakyReLU": lambda: layers.LeakyReLU(),
    "PReLU": lambda: layers.PReLU(shared_axes=[1, 2]),
    "Permute": lambda: layers.Permute((3, 1, 2)),
    "ReLU": lambda: layers.ReLU(6.0, 0.1, 0.5),
    "Reshape": lambda: layers.Reshape((64, -1)),
    "Softmax axis 1": lambda: layers.Softmax(1),
    "SpatialDropout2D": lambda: layers.SpatialDropout2D(0.3),
    "ThresholdedReLU": lambda: layers.ThresholdedReLU(),
    "nested": lambda: Sequential([layers.Activation("tanh"), layers.Dropout(0.2)]),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_steady_step_allocates_less_than_its_data(name):
    layer = LAYERS[name]()
    layer.ensure_built((None, *IMAGES[1:]))
    x = np.random.default_rng(0).standard_normal(IMAGES, "float32")
    targets = {weight: np.empty_like(weight.value) for weight in layer.trainable_weights}
    workspace = Workspace()

    def step():
        workspace.begin("train")
        ctx = Context(training=True, gradients=targets, workspace=workspace)
        y, residual = layer.propagate(x, ctx)
        dy = ctx.empty(y.shape, y.dtype)
        dy.fill(0.5)
        layer.backpropagate(dy, residual, ctx)

    for _ in range(2):
        step()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        step()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak - before < LIMIT
