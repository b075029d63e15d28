"""Whole models against real Keras: prediction, five losses, and the weights after five steps.

The numbers are in tests/golden, with the script that made them.
"""

import numpy as np
import pytest

import minikeras.backend as K
from minikeras import layers, optimizers
from minikeras.layers import Layer, deserialize
from minikeras.models import Sequential
from tests.golden.reader import Case, iter_cases

CASES = [
    pytest.param(case, id=f"{path}-{case}")
    for path in ("layers", "convolution", "recurrent", "optimizers", "losses")
    for case in iter_cases(path + ".npz")
]


# Not to be used as they are.
BASES = {"InputLayer", "Layer", "Wrapper", "Cell", "ConvRNN2D"}
# tests/test_recurrent_parity.py has them.
CHECKED_ELSEWHERE = {"CuDNNGRU", "CuDNNLSTM", "ConvLSTM2DCell", "Lambda"}


def make_model(case: Case) -> Sequential:
    K.set_image_data_format(case.image_data_format)
    model = Sequential([deserialize(layer) for layer in case.layers])
    if case.loss is not None:
        model.compile(
            optimizers.deserialize(case.optimizer),
            case.loss,
            sample_weight_mode=case.sample_weight_mode,
        )
    model.set_weights(case.weights0)
    return model


def assert_close(found, expected, what):
    """Agree to 1e-5 of the largest entry, which is what float32 leaves after five steps."""
    np.testing.assert_allclose(
        found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max(initial=1e-3), err_msg=what
    )


def class_names(config) -> set[str]:
    """All class names in a configuration, those of wrapped layers and cells too."""
    if not isinstance(config, list | dict):
        return set()
    parts = config if isinstance(config, list) else config.values()
    own = {config["class_name"]} if "class_name" in config else set()
    return own.union(*map(class_names, parts))


def test_every_layer_is_in_a_case():
    named = class_names([case.values[0].layers for case in CASES])
    found = {name: getattr(layers, name) for name in layers.__all__}
    names = {n for n, kind in found.items() if isinstance(kind, type) and issubclass(kind, Layer)}
    assert names - named - BASES == CHECKED_ELSEWHERE & names


@pytest.mark.parametrize("case", CASES)
def test_prediction(case):
    assert_close(make_model(case).predict(case.x), case.output, "prediction")


@pytest.mark.parametrize("case", [c for c in CASES if "output_training" in c.values[0].extra])
def test_prediction_in_the_training_phase(case):
    model = make_model(case)
    assert_close(model(case.x, training=True), case.extra["output_training"], "prediction")


def trained(case: Case) -> bool:
    """Leave out saturated outputs, which have a test of their own below."""
    return case.loss is not None and not case.name.startswith("saturated")


@pytest.mark.parametrize("case", [c for c in CASES if trained(c.values[0])])
def test_five_training_steps(case):
    model = make_model(case)
    losses = [
        model.train_on_batch(case.x, case.y, sample_weight=case.sample_weight) for _ in range(5)
    ]
    assert_close(losses, case.losses, "losses")
    for found, expected in zip(model.get_weights(), case.weights5, strict=True):
        assert_close(found, expected, "weights")
    for found, expected in zip(model.optimizer.get_weights(), case.slots, strict=False):
        assert_close(found, expected, "optimizer's state")
    if "output5" in case.extra:
        assert_close(model.predict(case.x), case.extra["output5"], "prediction after training")


@pytest.mark.parametrize("case", [c for c in CASES if c.values[0].name.startswith("saturated")])
def test_a_saturated_output_starts_from_the_same_loss_and_learns_faster(case):
    """Keras 2.2.4 has no gradient where it clips a probability; here there is one, as later.

    The value is the same, but for what float32 leaves of the distance between 1 and 0.9999999.
    """
    model = make_model(case)
    losses = [model.train_on_batch(case.x, case.y) for _ in range(5)]

    assert losses[0] == pytest.approx(case.losses[0], rel=2e-3)
    assert losses[-1] < case.losses[-1]
