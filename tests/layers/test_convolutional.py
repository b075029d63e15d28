import inspect
import itertools

import numpy as np
import pytest

from minikeras import activations, initializers
from minikeras import backend as K
from minikeras.activations import with_gradient
from minikeras.engine import Context
from minikeras.layers import Activation, conv_base, convolutional, spatial
from minikeras.layers.convolutional import (
    AtrousConvolution1D,
    AtrousConvolution2D,
    Conv1D,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    Conv3DTranspose,
    SeparableConv1D,
    SeparableConv2D,
)
from minikeras.models import Sequential
from minikeras.testing import check_gradients
from minikeras.utils.generic_utils import get_custom_objects
from tests.ops import conv_reference as reference

from .checks import check_layer, run, sample

FORMATS = ["channels_last", "channels_first"]
PADDINGS = ["valid", "same"]


def swish(x):
    return x / (1 + np.exp(-x))


def swish_backward(dy, x):
    s = 1 / (1 + np.exp(-x))
    return dy * s * (1 + x * (1 - s))


SWISH = with_gradient(swish, swish_backward, needs_input=True)


def laid_out(x, data_format):
    """Return an array with the channels last as `data_format` says, contiguous."""
    return x if data_format == "channels_last" else np.moveaxis(x, -1, 1).copy()


def fill(layer, input_shape, seed=5):
    """Build a layer in float64 and give it random weights, bias included."""
    layer.ensure_built((None, *input_shape[1:]))
    random = np.random.RandomState(seed)
    layer.set_weights([random.standard_normal(w.shape) for w in layer.get_weights()])
    return layer


def check_derivatives(layer, x):
    """Compare all gradients with central differences along a random direction."""
    y, dx, gradients = run(layer, x)
    dy = sample(y.shape, "float64", seed=2)
    random = np.random.RandomState(6)
    step = 1e-6
    direction = random.standard_normal(x.shape)
    change = (layer(x + step * direction) - layer(x - step * direction)) / (2 * step)
    np.testing.assert_allclose(np.vdot(dx, direction), np.vdot(dy, change), rtol=1e-6, atol=1e-6)
    for weight, gradient in zip(layer.trainable_weights, gradients, strict=True):
        direction = random.standard_normal(weight.shape)
        value = weight.value.copy()
        weight.assign(value + step * direction)
        above = layer(x)
        weight.assign(value - step * direction)
        change = (above - layer(x)) / (2 * step)
        weight.assign(value)
        np.testing.assert_allclose(
            np.vdot(gradient, direction), np.vdot(dy, change), rtol=1e-6, atol=1e-6
        )


def same_pads(sizes, window, strides, dilation):
    """Return the zeros that TensorFlow puts around an image, as its documentation says."""
    pads = []
    for n, k, s, d in zip(sizes, window, strides, dilation, strict=True):
        total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        pads.append((total // 2, total - total // 2))
    return pads


def slide_of(sizes, window, strides, dilation, padding):
    pads = [(0, 0)] * len(sizes)
    if padding == "same":
        pads = same_pads(sizes, window, strides, dilation)
    return {"strides": strides, "pads": pads, "dilation": dilation}


# What every layer does, with each option


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: Conv1D(3, 2), (2, 5, 2)),
        (lambda: Conv1D(2, 3, padding="causal", dilation_rate=2, activation="tanh"), (2, 5, 1)),
        (lambda: Conv1D(2, 3, 2, "same", "channels_first", activation="relu"), (3, 2, 6)),
        (lambda: Conv2D(2, (2, 3), activation="relu"), (2, 4, 5, 2)),
        (lambda: Conv2D(2, (3, 3), 2, "same", use_bias=False, activation="softmax"), (2, 5, 4, 1)),
        (lambda: Conv2D(2, 2, data_format="channels_first", activation="elu"), (2, 1, 4, 3)),
        (lambda: Conv2D(9, 3, padding="same", activation="tanh"), (2, 3, 7, 8)),
        (lambda: Conv2D(2, 2, activation=SWISH, activity_regularizer="l2"), (2, 3, 4, 2)),
        (lambda: Conv2D(2, 1, activation=SWISH, data_format="channels_first"), (2, 3, 2, 4)),
        (
            lambda: Conv2D(
                3,
                (2, 2),
                1,
                "same",
                "channels_first",
                1,
                "softmax",
                False,
                activity_regularizer="l1",
            ),
            (2, 2, 3, 4),
        ),
        (
            lambda: Conv2D(
                2,
                2,
                kernel_regularizer="l2",
                bias_regularizer="l1",
                kernel_constraint="max_norm",
                bias_constraint="non_neg",
                kernel_initializer="he_normal",
                bias_initializer="ones",
            ),
            (2, 3, 3, 1),
        ),
        (lambda: Conv3D(2, 2, activation="tanh"), (2, 3, 3, 2, 1)),
        (lambda: Conv3D(2, 2, (1, 2, 1), "same", "channels_first"), (1, 2, 2, 3, 2)),
        (lambda: Conv2DTranspose(2, 3, strides=2, activation="relu"), (2, 2, 3, 2)),
        (lambda: Conv2DTranspose(2, (2, 2), 3, "same", (1, 2), use_bias=False), (2, 2, 2, 1)),
        (
            lambda: Conv2DTranspose(
                2, (2, 2), 2, "same", None, "channels_first", 1, "softmax", False
            ),
            (2, 2, 3, 2),
        ),
        (lambda: Conv2DTranspose(2, 2, dilation_rate=2, activation=SWISH), (2, 3, 2, 2)),
        (lambda: Conv3DTranspose(2, 2, 2, activation="tanh"), (2, 2, 1, 2, 2)),
        (lambda: Conv3DTranspose(1, 3, (1, 2, 1), "same", 0, "channels_first"), (2, 2, 2, 2, 1)),
    ],
)
def test_does_what_every_layer_does(make, shape):
    get_custom_objects()["swish"] = SWISH
    check_layer(make(), shape)


# Values and gradients over a grid


def windows(rank):
    """Yield kernel size, strides and dilation rate."""
    if rank == 1:
        for size, (stride, rate) in itertools.product(
            [1, 2, 3, 4], [(1, 1), (2, 1), (3, 1), (1, 2)]
        ):
            yield (size,), (stride,), (rate,)
    elif rank == 2:
        slides = [((1, 1), (1, 1)), ((2, 2), (1, 1)), ((1, 3), (1, 1)), ((1, 1), (2, 1))]
        for size, (strides, rates) in itertools.product([(1, 1), (2, 3), (3, 3), (1, 4)], slides):
            yield size, strides, rates
    else:
        yield (2, 1, 3), (1, 1, 1), (1, 1, 1)
        yield (2, 3, 2), (2, 1, 2), (1, 1, 1)
        yield (2, 2, 1), (1, 1, 1), (1, 2, 3)


SIZES = {1: [(7,), (8,)], 2: [(5, 8), (6, 7)], 3: [(3, 4, 5)]}
CONVOLUTIONS = {1: Conv1D, 2: Conv2D, 3: Conv3D}


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convolution_over_a_grid(rank, padding, data_format):
    for sizes, (window, strides, rates) in itertools.product(SIZES[rank], windows(rank)):
        x = sample((2, *sizes, 2), "float64")
        slide = slide_of(sizes, window, strides, rates, padding)
        layer = CONVOLUTIONS[rank](
            3, window, strides, padding, data_format, rates, dtype="float64", activation="tanh"
        )
        given = laid_out(x, data_format)
        fill(layer, given.shape)
        expected = np.tanh(reference.conv(x, *layer.get_weights(), **slide))
        np.testing.assert_allclose(layer(given), laid_out(expected, data_format), atol=1e-12)
        check_derivatives(layer, given)


def test_causal_over_a_grid():
    for steps, (window, strides, rates) in itertools.product([6, 7], windows(1)):
        x = sample((2, steps, 2), "float64")
        layer = Conv1D(3, window, strides, "causal", dilation_rate=rates, dtype="float64")
        fill(layer, x.shape)
        zeros = (window[0] - 1) * rates[0]
        slide = {"strides": strides, "pads": [(zeros, 0)], "dilation": rates}
        expected = reference.conv(x, *layer.get_weights(), **slide)
        np.testing.assert_allclose(layer(x), expected, atol=1e-12)
        check_derivatives(layer, x)


def test_causal_sees_nothing_later():
    layer = fill(Conv1D(2, 3, padding="causal", dilation_rate=2, dtype="float64"), (1, 9, 1))
    x = sample((1, 9, 1), "float64")
    changed = x.copy()
    changed[:, 5:] += 1
    before, after = layer(x), layer(changed)
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert (before[:, 5] != after[:, 5]).all()


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("rank", [2, 3])
def test_transposed_over_a_grid(rank, padding, data_format):
    """It is the input gradient of a convolution from its output to its input."""
    cls = {2: Conv2DTranspose, 3: Conv3DTranspose}[rank]
    for sizes, (window, strides, rates) in itertools.product(SIZES[rank], windows(rank)):
        if cls is Conv3DTranspose and max(rates) > 1:
            continue
        options = {"dilation_rate": rates} if cls is Conv2DTranspose else {}
        x = sample((2, *sizes, 2), "float64")
        given = laid_out(x, data_format)
        options.update(data_format=data_format, activation="tanh", dtype="float64")
        layer = cls(3, window, strides, padding, **options)
        fill(layer, given.shape)
        kernel, bias = layer.get_weights()
        places, _ = spatial.split_shape(layer.output_shape, data_format)
        slide = slide_of(places, window, strides, rates, padding)
        wide = np.zeros((2, *places, 3))
        dwide, _, _ = reference.conv_backward(x, wide, kernel, **slide)
        expected = laid_out(np.tanh(dwide + bias), data_format)
        np.testing.assert_allclose(layer(given), expected, atol=1e-12)
        check_derivatives(layer, given)


def test_output_padding_over_a_grid():
    for window, stride, padding in itertools.product([1, 2, 3, 5], [1, 2, 3], PADDINGS):
        for extra in range(stride):
            if padding == "same" and window % 2 == 0 and extra == 0:
                continue  # refused: see below
            x = sample((1, 3, 4, 2), "float64")
            layer = Conv2DTranspose(2, (window, window), stride, padding, extra, dtype="float64")
            fill(layer, x.shape)
            crop = window // 2 if padding == "same" else 0
            longer = [(n - 1) * stride + window - 2 * crop + extra for n in (3, 4)]
            assert layer(x).shape == (1, *longer, 2)
            check_derivatives(layer, x)


@pytest.mark.parametrize("cls", [Conv2D, Conv2DTranspose])
def test_numerical_gradients_entry_by_entry(cls):
    layer = cls(2, (2, 3), 2, "same", activation="softmax")
    check_gradients(layer, input_shape=(2, 3, 4, 2))


# Numbers of Keras 2.2.4 itself


def keras_numbers(layer, shape):
    """Return the output for the weights and the input with which Keras was run."""
    layer.ensure_built((None, *shape))
    layer.set_weights([(np.arange(w.size) % 5 - 1.0).reshape(w.shape) for w in layer.get_weights()])
    x = (np.arange(np.prod(shape)) * 7 % 11 - 3.0).reshape((1, *shape))
    return layer(x)[0]


@pytest.mark.parametrize(
    ("layer", "shape", "numbers"),
    [
        (
            Conv1D(2, 3, padding="causal", dilation_rate=2),
            (5, 2),
            [[-11, -9], [-8, 0], [-3, 16], [9, 25], [6, -2]],
        ),
        (Conv1D(1, 4, strides=2, padding="same"), (7, 1), [[3], [8], [3], [0]]),
        (
            Conv2D(1, 2, strides=2, padding="same"),
            (5, 4, 1),
            [[[3], [9]], [[5], [11]], [[0], [-3]]],
        ),
        (
            Conv2D(2, (2, 3), padding="same", data_format="channels_first"),
            (1, 2, 3),
            [[[19, 13, -7], [15, -8, -5]], [[11, 24, 0], [11, 7, -2]]],
        ),
        (
            Conv2D(2, 1, activation="softmax", data_format="channels_first"),
            (1, 2, 2),
            [[[0.999089, 0.000911], [0.999089, 0.000911]], [[0.5, 0.5], [0.5, 0.5]]],
        ),
        (Conv3D(1, 2, dilation_rate=(1, 2, 1)), (2, 3, 3, 1), [[[[25], [5]]]]),
        (
            Conv2DTranspose(1, 3, strides=2, padding="same"),
            (2, 2, 2),
            [
                [[2], [4], [-14], [13]],
                [[3], [5], [9], [20]],
                [[1], [-13], [21], [2]],
                [[-2], [2], [-2], [17]],
            ],
        ),
        (
            Conv2DTranspose(1, 2, strides=3),
            (2, 1, 1),
            [
                [[2], [-1], [-1]],
                [[-4], [-7], [-1]],
                [[-1], [-1], [-1]],
                [[-5], [-1], [-1]],
                [[3], [7], [-1]],
                [[-1], [-1], [-1]],
            ],
        ),
        (
            Conv2DTranspose(1, (3, 2), strides=2, output_padding=1),
            (2, 1, 1),
            [
                [[2], [-1], [-1]],
                [[-4], [-7], [-1]],
                [[-14], [2], [-1]],
                [[3], [7], [-1]],
                [[11], [-5], [-1]],
                [[-1], [-1], [-1]],
            ],
        ),
        (
            Conv2DTranspose(1, 3, strides=2, padding="same", output_padding=0),
            (2, 2, 1),
            [[[-10], [10], [11]], [[-4], [-14], [3]], [[-1], [13], [20]]],
        ),
        (
            Conv2DTranspose(1, 2, dilation_rate=2, padding="same"),
            (3, 3, 1),
            [[[-4], [0], [-1]], [[1], [-5], [7]], [[2], [12], [5]]],
        ),
        (
            Conv3DTranspose(1, 2, strides=(1, 2, 1), data_format="channels_first"),
            (1, 1, 2, 2),
            [
                [
                    [[2, -5, -1], [-4, -3, 7], [-1, -8, -1], [-1, 6, 13]],
                    [[-10, 14, -5], [-1, -4, 3], [-1, 20, -8], [-1, -1, 6]],
                ]
            ],
        ),
    ],
)
def test_numbers_of_keras(layer, shape, numbers):
    np.testing.assert_allclose(keras_numbers(layer, shape), numbers, atol=1e-6)


# Weights, configuration, names


@pytest.mark.parametrize(
    ("layer", "shape", "kernel"),
    [
        (Conv1D(7, 2), (None, 9, 3), (2, 3, 7)),
        (Conv1D(7, 2, data_format="channels_first"), (None, 3, 9), (2, 3, 7)),
        (Conv2D(7, (2, 4)), (None, 9, 9, 3), (2, 4, 3, 7)),
        (Conv3D(7, (2, 4, 5)), (None, 9, 9, 9, 3), (2, 4, 5, 3, 7)),
        (Conv2DTranspose(7, (2, 4)), (None, 9, 9, 3), (2, 4, 7, 3)),
        (Conv3DTranspose(7, (2, 4, 5)), (None, 9, 9, 9, 3), (2, 4, 5, 7, 3)),
    ],
)
def test_names_and_shapes_of_weights(layer, shape, kernel):
    layer.ensure_built(shape)
    assert [(w.name, w.shape) for w in layer.weights] == [
        (f"{layer.name}/kernel:0", kernel),
        (f"{layer.name}/bias:0", (7,)),
    ]


COMMON = [
    "filters",
    "kernel_size",
    "strides",
    "padding",
    "data_format",
    "dilation_rate",
    "activation",
    "use_bias",
    "kernel_initializer",
    "bias_initializer",
    "kernel_regularizer",
    "bias_regularizer",
    "activity_regularizer",
    "kernel_constraint",
    "bias_constraint",
]


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (Conv1D, COMMON),
        (Conv2D, COMMON),
        (Conv3D, COMMON),
        (Conv2DTranspose, [*COMMON[:4], "output_padding", *COMMON[4:]]),
        (Conv3DTranspose, [*COMMON[:4], "output_padding", "data_format", *COMMON[6:]]),
    ],
)
def test_arguments_are_those_of_keras_in_its_order(cls, arguments):
    assert [*inspect.signature(cls).parameters] == [*arguments, "kwargs"]
    assert set(cls(2, 3).get_config()) == {"name", "trainable", *arguments}


def test_configuration_of_defaults():
    config = Conv2D(2, 3).get_config()
    assert config["kernel_size"] == (3, 3)
    assert config["strides"] == config["dilation_rate"] == (1, 1)
    assert (config["padding"], config["data_format"]) == ("valid", "channels_last")
    assert (config["activation"], config["use_bias"]) == ("linear", True)
    assert Conv2DTranspose(2, 3).get_config()["output_padding"] is None


@pytest.mark.parametrize("cls", [Conv2D, Conv2DTranspose, Conv3DTranspose])
def test_each_option_is_kept_and_reaches_its_weight(cls):
    layer = cls(
        2,
        1,
        kernel_initializer="ones",
        bias_initializer="zeros",
        kernel_regularizer="l1",
        bias_regularizer="l2",
        activity_regularizer="l1_l2",
        kernel_constraint="non_neg",
        bias_constraint="unit_norm",
    )
    layer.ensure_built((None, *(4,) * layer.rank, 3))
    config = layer.get_config()
    for weight, name in zip(layer.weights, ("kernel", "bias"), strict=True):
        assert (weight.value == (name == "kernel")).all()
        for kind in ("regularizer", "constraint"):
            option = getattr(layer, f"{name}_{kind}")
            assert getattr(weight, kind) is option
            assert config[f"{name}_{kind}"]["class_name"] == type(option).__name__
    assert type(layer.kernel_constraint).__name__ == "NonNeg"
    assert type(layer.bias_constraint).__name__ == "UnitNorm"
    assert float(layer.kernel_regularizer.l1) > 0
    assert float(layer.bias_regularizer.l2) > 0
    assert config["activity_regularizer"]["config"]["l2"] > 0


def test_the_global_data_format_is_that_of_images_only():
    K.set_image_data_format("channels_first")
    assert Conv2D(2, 3).data_format == "channels_first"
    assert Conv3DTranspose(2, 3).data_format == "channels_first"
    assert Conv1D(2, 3).data_format == SeparableConv1D(2, 3).data_format == "channels_last"
    assert Conv1D(2, 3, data_format=None).data_format == "channels_first"


def test_initializers_know_how_many_inputs_an_output_has():
    limit = 0.1
    assert np.sqrt(6 / (30 * 6 + 70 * 6)) == limit
    layer = Conv2D(70, (2, 3))
    layer.ensure_built((None, 5, 5, 30))
    kernel = layer.get_weights()[0]
    assert 0.095 < np.abs(kernel).max() <= limit
    assert isinstance(layer.kernel_initializer, initializers.VarianceScaling)


def test_other_names():
    for name, cls in {
        "Convolution1D": Conv1D,
        "Convolution2D": Conv2D,
        "Convolution3D": Conv3D,
        "Convolution2DTranspose": Conv2DTranspose,
        "Deconv2D": Conv2DTranspose,
        "Deconvolution2D": Conv2DTranspose,
        "Deconv3D": Conv3DTranspose,
        "Deconvolution3D": Conv3DTranspose,
        "SeparableConvolution1D": SeparableConv1D,
        "SeparableConvolution2D": SeparableConv2D,
        "AtrousConv1D": AtrousConvolution1D,
        "AtrousConv2D": AtrousConvolution2D,
    }.items():
        assert getattr(convolutional, name) is cls
    assert all(hasattr(convolutional, name) for name in convolutional.__all__)
    assert issubclass(Conv2DTranspose, Conv2D)
    assert issubclass(Conv3DTranspose, Conv3D)


def test_the_atrous_layers_of_keras_1():
    with pytest.warns(UserWarning, match="AtrousConvolution1D is the Keras 1 name of Conv1D"):
        layer = AtrousConvolution1D(2, 3, atrous_rate=2, padding="same")
    assert type(layer) is Conv1D
    assert (layer.dilation_rate, layer.padding) == ((2,), "same")
    with pytest.warns(UserWarning, match="AtrousConvolution2D is the Keras 1 name of Conv2D"):
        layer = AtrousConvolution2D(2, 3, atrous_rate=(1, 2))
    assert type(layer) is Conv2D
    assert layer.dilation_rate == (1, 2)


# Sizes that are not known


@pytest.mark.parametrize("data_format", FORMATS)
def test_images_of_any_size(data_format):
    shape = (None, None, 2) if data_format == "channels_last" else (2, None, None)
    model = Sequential(
        [
            Conv2D(3, 3, padding="same", strides=2, data_format=data_format, input_shape=shape),
            Conv2DTranspose(2, 4, strides=2, padding="same", data_format=data_format),
            Conv2D(1, 3, data_format=data_format, name="last"),
        ]
    )
    unknown = (None, None, None, 1) if data_format == "channels_last" else (None, 1, None, None)
    assert model.output_shape == unknown
    model.compile("sgd", "mse")
    for sizes in [(8, 6), (4, 10)]:
        x = laid_out(sample((2, *sizes, 2)), data_format)
        y = model.predict(x)
        assert y.shape == laid_out(np.zeros((2, sizes[0] - 2, sizes[1] - 2, 1)), data_format).shape
        assert np.isfinite(model.train_on_batch(x, y + 1))
    with pytest.raises(ValueError, match=r"'last' \(Conv2D\): a window of \(3, 3\) does not fit"):
        model.predict(laid_out(sample((1, 2, 2, 2)), data_format))


def test_sequences_of_any_length():
    model = Sequential([Conv1D(3, 4, strides=2, input_shape=(None, 2))])
    assert model.output_shape == (None, None, 3)
    assert model.predict(sample((1, 9, 2))).shape == (1, 3, 3)


def test_an_empty_batch():
    for layer in (Conv2D(3, 2, activation="relu"), Conv2DTranspose(3, 2, activation="softmax")):
        y, dx, (dkernel, dbias) = run(fill(layer, (0, 4, 4, 2)), np.zeros((0, 4, 4, 2), "float32"))
        assert y.shape == layer.compute_output_shape((0, 4, 4, 2))
        assert dx.shape == (0, 4, 4, 2)
        assert not dkernel.any()
        assert not dbias.any()


# Activations


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("cls", [Conv2D, Conv2DTranspose])
@pytest.mark.parametrize("name", ["relu", "softmax", "linear", "swish"])
def test_activation_is_that_of_a_layer_of_its_own(name, cls, data_format):
    function = SWISH if name == "swish" else activations.get(name)
    x = sample((2, 3, 4, 5))
    joined = fill(cls(4, 2, activation=function, data_format=data_format), x.shape)
    plain = fill(cls(4, 2, data_format=data_format), x.shape)
    after = Activation(function)
    y, dx, gradients = run(joined, x)
    between = plain(x)
    expected, dbetween, _ = run(after, between)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    _, expected_dx, expected_gradients = run(plain, x, dbetween)
    np.testing.assert_allclose(dx, expected_dx, rtol=1e-4, atol=1e-5)
    for found, wanted in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_elementwise_activation_is_applied_block_by_block(monkeypatch):
    finishes = []

    def spy(x, kernel, bias, finish, **options):
        finishes.append(finish)
        return options["out"].fill(0)

    monkeypatch.setattr(conv_base, "conv", spy)
    for options in (
        {"activation": "relu"},
        {"activation": "relu", "data_format": "channels_first"},
        {"activation": "softmax"},
        {"activation": "softmax", "data_format": "channels_first"},
        {"activation": SWISH},
        {},
    ):
        Conv2D(2, 1, **options)(np.zeros((1, 2, 2, 2)))
    assert [finish is None for finish in finishes] == [False, False, False, True, True, True]


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "mse"])
def test_as_the_last_layer_of_a_model(loss):
    model = Sequential([Conv1D(3, 2, activation="softmax", input_shape=(4, 2))])
    model.compile("sgd", loss)
    assert model.layers[0].fused_activation is activations.softmax
    x, y = sample((2, 4, 2)), np.eye(3)[np.array([[0, 1, 2], [2, 2, 0]])]
    check_gradients(model, x, y)


def test_gradients_that_nobody_wants_are_not_computed(monkeypatch):
    asked = []

    def spy(dy, x, kernel, dx=None, dkernel=None, dbias=None, **slide):
        asked.append([a is not None for a in (dx, dkernel, dbias)])

    monkeypatch.setattr(conv_base, "conv_backward", spy)
    layer = Conv2D(2, 1)
    layer.ensure_built((None, 2, 2, 2))
    x = sample((1, 2, 2, 2))
    ctx = Context(gradients={layer.bias: np.zeros(2, "float32")})
    ctx.needs_input_gradient = False
    y, residual = layer.propagate(x, ctx)
    assert layer.backpropagate(np.ones_like(y), residual, ctx) is None
    assert asked == [[False, False, True]]


@pytest.mark.parametrize("which", ["nothing", "kernel", "bias"])
def test_a_transposed_convolution_computes_what_is_wanted(which):
    layer = fill(Conv2DTranspose(2, 2), (1, 2, 2, 2))
    x = sample((1, 2, 2, 2))
    _, _, (dkernel, dbias) = run(layer, x)
    expected = {"kernel": dkernel, "bias": dbias}
    targets = {} if which == "nothing" else {getattr(layer, which): np.zeros_like(expected[which])}
    ctx = Context(gradients=targets)
    ctx.needs_input_gradient = False
    y, residual = layer.propagate(x, ctx)
    dy = sample(y.shape, seed=2).copy()
    assert layer.backpropagate(dy, residual, ctx) is None
    for gradient in targets.values():
        np.testing.assert_array_equal(gradient, expected[which])


def test_a_mask_ends_here():
    layer = Conv1D(2, 2)
    layer.ensure_built((None, 3, 2))
    with pytest.warns(UserWarning, match="does not support masking"):
        layer.propagate(sample((1, 3, 2)), Context(mask=np.ones((1, 3), bool)))


# Errors


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv2D(0, 3), r"'conv2d_1' \(Conv2D\): filters must be an int greater than 0"),
        (lambda: Conv2D(1.5, 3), r"filters must be an int greater than 0, got 1\.5"),
        (lambda: Conv2D(3, 0), r"\(Conv2D\): kernel_size must be greater than 0, got 0"),
        (lambda: Conv2D(3, (3,)), r"kernel_size must be an int or a tuple of 2 ints, got \(3,\)"),
        (lambda: Conv1D(3, 3, strides=-1), "strides must be greater than 0, got -1"),
        (lambda: Conv3D(3, 3, dilation_rate=(1, 0, 1)), "dilation_rate must be greater than 0"),
        (lambda: Conv2D(3, 3, padding="full"), "padding must be 'valid' or 'same', got 'full'"),
        (lambda: Conv2D(3, 3, padding="causal"), "must be 'valid' or 'same', got 'causal'"),
        (lambda: Conv2DTranspose(3, 3, padding="causal"), "'valid' or 'same', got 'causal'"),
        (lambda: Conv2D(3, 3, data_format="NCHW"), "data_format must be one of"),
        (
            lambda: Conv1D(3, 3, padding="causal", data_format="channels_first"),
            r"\(Conv1D\): padding='causal' needs data_format='channels_last', got 'channels_first'",
        ),
        (
            lambda: Conv2D(3, 3, strides=(2, 1), dilation_rate=(1, 2)),
            r"strides \(2, 1\) and dilation_rate \(1, 2\) don't go together",
        ),
        (lambda: Conv1D(3, 3, 2, dilation_rate=2), r"strides \(2,\) and dilation_rate \(2,\)"),
        (lambda: Conv2DTranspose(3, 3, strides=2, dilation_rate=2), "don't go together"),
        (
            lambda: Conv2DTranspose(3, 3, strides=(2, 3), output_padding=2),
            r"less than strides along each axis, got output_padding=\(2, 2\) and strides=\(2, 3\)",
        ),
        (lambda: Conv2DTranspose(3, 3, output_padding=0.5), "output_padding must be an int or a"),
        (lambda: Conv2DTranspose(3, 3, output_padding=-1), "output_padding must be at least 0"),
        (lambda: Conv3DTranspose(3, 3, output_padding=1), r"output_padding=\(1, 1, 1\)"),
        (lambda: Conv2D(3, 3, activation="rel"), "Unknown activation function"),
    ],
)
def test_wrong_argument(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (Conv2D(3, 3), (None, 9, 9), "expected ndim=4 .* found ndim=3"),
        (Conv2D(3, 3), (None, 9, 9, None), r"size of axis -1 .* \(None, 9, 9, None\)"),
        (
            Conv2D(3, 3, data_format="channels_first"),
            (None, None, 9, 9),
            r"size of axis 1 .* \(None, None, 9, 9\)",
        ),
        (
            Conv2D(3, 3, name="a"),
            (None, 2, 9, 4),
            r"'a' \(Conv2D\): a window of \(3, 3\) does not fit into an input of shape "
            r"\(None, 2, 9, 4\) with padding='valid': the output would have the sizes \(0, 7\)",
        ),
        (
            Conv2D(3, 3, dilation_rate=(2, 1)),
            (None, 4, 9, 4),
            r"a window of \(3, 3\) \(\(5, 3\) with its dilation\) does not fit into",
        ),
        (Conv1D(3, 3, padding="same"), (None, 0, 4), r"\(None, 0, 4\) is empty"),
        (Conv2DTranspose(3, 3), (None, 0, 4, 4), r"\(None, 0, 4, 4\) is empty"),
        (
            Conv2DTranspose(3, 2, strides=2, padding="same", output_padding=0, name="up"),
            (None, 5, None, 4),
            r"'up' \(Conv2DTranspose\): an input of shape \(None, 5, None, 4\), with "
            r"kernel_size=\(2, 2\), strides=\(2, 2\), padding='same' and output_padding=\(0, 0\), "
            r"would give an output of the sizes \(8, None\); but a convolution turns these into "
            r"\(4, None\) and not into \(5, None\). Leave output_padding out",
        ),
        (
            Conv3DTranspose(3, 2, padding="same", output_padding=0),
            (None, 2, 2, 1, 4),
            r"output of the sizes \(1, 1, 0\)",
        ),
    ],
)
def test_wrong_input_at_build(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer.ensure_built(shape)
    assert not layer.built
    assert layer.weights == []


def test_other_channels_than_those_it_was_built_with():
    layer = Conv2D(3, 3, data_format="channels_first")
    layer.ensure_built((None, 2, 5, 5))
    with pytest.raises(ValueError, match="expected axis 1 to have size 2, found 3"):
        layer(np.zeros((1, 3, 5, 5)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Conv2D(3, 3, border_mode="same"),
            "'border_mode' is the Keras 1 name of 'padding'",
        ),
        (lambda: Conv2D(3, 3, stride=2), "Unknown argument of Conv2D: 'stride'"),
        (lambda: Conv3DTranspose(3, 3, dilation_rate=2), "Conv3DTranspose has no dilation_rate"),
    ],
)
def test_unknown_argument(make, message):
    with pytest.raises(TypeError, match=message):
        make()
