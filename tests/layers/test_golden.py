"""Outputs, losses and weights agree with Keras 2.2.4; ../golden/README.md says how it was asked."""

import numpy as np
import pytest

from minikeras import optimizers
from minikeras.models import Sequential

from ..golden.reader import iter_cases

CASES = list(iter_cases("layers.npz"))
STEPS = 5


def assert_close(actual, expected):
    """Compare to 1e-5, relative to the largest entry of the array where an entry is small."""
    scale = float(np.abs(expected).max(initial=0.0))
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * scale)


def model_of(case):
    model = Sequential.from_config(case.layers)
    model.build((None, *case.x.shape[1:]))
    model.set_weights(case.weights0)
    return model


def test_there_are_cases_for_every_layer():
    from .test_registry import ARGUMENTS

    cases = [*CASES, *iter_cases("convolution.npz")]
    named = {entry["class_name"] for case in cases for entry in case.layers}
    assert set(ARGUMENTS) - named == {"InputLayer"}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_output(case):
    model = model_of(case)
    assert_close(model.predict(case.x), case.output)
    for given, kept in zip(case.weights0, model.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, given)


@pytest.mark.parametrize("case", [c for c in CASES if "output_training" in c.extra], ids=str)
def test_output_in_training(case):
    assert_close(model_of(case)(case.x, training=True), case.extra["output_training"])


@pytest.mark.parametrize("case", [case for case in CASES if case.y is not None], ids=str)
def test_training(case):
    model = model_of(case)
    model.compile(optimizers.deserialize(case.optimizer), case.loss)
    losses = [model.train_on_batch(case.x, case.y) for _ in range(STEPS)]
    assert_close(losses, case.losses)
    weights = model.get_weights()
    assert len(weights) == len(case.weights5)
    for actual, expected in zip(weights, case.weights5, strict=True):
        assert_close(actual, expected)
    if "output5" in case.extra:
        assert_close(model.predict(case.x), case.extra["output5"])
