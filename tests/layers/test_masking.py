"""Masking, and what each layer does with a mask."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikeras import layers
from minikeras.engine import Context, Layer
from minikeras.layers.core import Masking

from .checks import agree, other_layout, run, sample


def padded(shape, value=0.0, seed=1):
    """Return random numbers with `value` in some single entries and at whole steps."""
    random = np.random.RandomState(seed)
    x = random.standard_normal(shape).astype("float32")
    x[random.rand(*shape) < 0.3] = value
    x[random.rand(*shape[:-1]) < 0.5] = value
    x.flags.writeable = False
    return x


# Masking


@pytest.mark.parametrize("shape", [(4, 3), (4, 5, 3), (2, 3, 4, 5), (3, 4, 1), (0, 4, 2)])
@pytest.mark.parametrize("value", [0.0, -1.5, 0.1])
def test_masking(shape, value):
    layer, x = Masking(value), padded(shape, value)
    expected = (x != np.float32(value)).any(axis=-1)
    ctx = Context()
    y, _ = layer.propagate(x, ctx)
    assert ctx.mask.tolist() == layer.compute_mask(x).tolist() == expected.tolist()
    np.testing.assert_array_equal(y, np.where(expected[..., np.newaxis], x, 0))
    assert layer.compute_output_shape(shape) == shape
    output, dx, _ = run(layer, x, dy=np.ones(shape, "float32"))
    assert output.dtype == dx.dtype == np.float32
    np.testing.assert_array_equal(dx, np.broadcast_to(expected[..., np.newaxis], shape))
    agree(run(layer, other_layout(x)) if len(x) > 1 else run(layer, x), run(layer, x))


def test_masking_replaces_a_mask_from_below():
    x, ctx = padded((2, 3, 4)), Context(mask=np.zeros((2, 3), bool))
    Masking().propagate(x, ctx)
    assert ctx.mask.tolist() == (x != 0).any(axis=-1).tolist()


def test_masking_stays_in_its_type():
    for dtype in ("float32", "float64"):
        assert Masking(dtype=dtype)(np.zeros((1, 2, 3))).dtype == dtype


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 3), st.integers(0, 100))
def test_a_step_is_masked_if_all_its_features_are_the_value(batch, steps, features, seed):
    x = np.random.RandomState(seed).randint(0, 2, (batch, steps, features)).astype("float32")
    mask = Masking(1.0).compute_mask(x)
    for i, t in np.ndindex(batch, steps):
        assert mask[i, t] == (set(x[i, t]) != {1.0})


def test_masking_config():
    layer = Masking(mask_value=-1, name="m", input_shape=(3, 4))
    assert layer.get_config() == {
        "name": "m",
        "trainable": True,
        "batch_input_shape": (None, 3, 4),
        "dtype": "float32",
        "mask_value": -1.0,
    }
    assert Masking.from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize("value", [np.nan, np.inf, "0", None])
def test_mask_value_must_be_a_finite_number(value):
    with pytest.raises(ValueError, match=r"\(Masking\): mask_value must be a finite number, got"):
        Masking(value)


def test_masking_needs_features():
    with pytest.raises(ValueError, match=r"\(Masking\): expected min_ndim=2"):
        Masking()(np.ones(3))


# All layers

#: As in Keras 2.2.4: layers that hand a mask on, and layers that decide about it themselves.
HAND_ON = {
    "Activation",
    "ActivityRegularization",
    "AlphaDropout",
    "BatchNormalization",
    "Dense",
    "Dropout",
    "ELU",
    "GaussianDropout",
    "GaussianNoise",
    "InputLayer",
    "LeakyReLU",
    "PReLU",
    "ReLU",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "ThresholdedReLU",
}
DECIDE = {
    "Bidirectional",
    "ConvLSTM2D",
    "ConvRNN2D",
    "CuDNNGRU",
    "CuDNNLSTM",
    "Embedding",
    "GRU",
    "GlobalAveragePooling1D",
    "LSTM",
    "Lambda",
    "Masking",
    "RNN",
    "SimpleRNN",
    "TimeDistributed",
}
#: What is no layer in a stack.
OTHERS = {"Cell", "InputSpec", "Layer", "StackedRNNCells", "Wrapper"}
LAYERS = {cls.__name__: cls for cls in map(layers.__dict__.get, layers.__all__)}


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_each_layer_treats_masks_as_in_keras(name):
    cls = LAYERS[name]
    if not isinstance(cls, type) or name in OTHERS or name.endswith("Cell"):
        return
    decides = cls.compute_mask is not Layer.compute_mask
    assert decides == (name in DECIDE)
    if not decides:
        assert cls.supports_masking == (name in HAND_ON)


DROPPING = [
    (layers.Flatten(), (2, 3, 4)),
    (layers.Reshape((4, 3)), (2, 3, 4)),
    (layers.Permute((2, 1)), (2, 3, 4)),
    (layers.Conv1D(2, 2), (2, 3, 4)),
    (layers.MaxPooling1D(2), (2, 4, 4)),
    (layers.GlobalMaxPooling1D(), (2, 3, 4)),
    (layers.LocallyConnected1D(2, 2), (2, 3, 4)),
    (layers.UpSampling1D(2), (2, 3, 4)),
    (layers.ZeroPadding1D(1), (2, 3, 4)),
    (layers.Cropping1D(1), (2, 3, 4)),
    (layers.RepeatVector(3), (2, 4)),
]


@pytest.mark.parametrize(("layer", "shape"), DROPPING, ids=lambda value: repr(value))
def test_a_layer_that_drops_a_mask_says_so_once(layer, shape, recwarn):
    x, mask = sample(shape), np.ones(shape[:-1], bool)
    layer.ensure_built((None, *shape[1:]))
    y, ctx = layer(x), Context(mask=mask)
    found, _ = layer.propagate(x, ctx)
    assert ctx.mask is None
    np.testing.assert_array_equal(found, y)
    layer(x, mask=mask)
    assert [str(w.message).partition(" does not")[0] for w in recwarn] == [
        f"Layer '{layer.name}' ({type(layer).__name__})"
    ]
