import inspect
import itertools

import numpy as np
import pytest

from minikeras import activations
from minikeras import backend as K
from minikeras.engine import Context
from minikeras.layers import separable
from minikeras.layers.separable import DepthwiseConv2D, SeparableConv1D, SeparableConv2D
from minikeras.layers.spatial import split_shape
from minikeras.models import Sequential
from minikeras.testing import check_gradients
from tests.ops import conv_reference as reference

from .checks import check_layer, run, sample
from .test_convolutional import (
    FORMATS,
    PADDINGS,
    SIZES,
    check_derivatives,
    fill,
    keras_numbers,
    laid_out,
    slide_of,
    windows,
)

# What every layer does, with each option


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: DepthwiseConv2D(2, activation="relu"), (2, 3, 4, 2)),
        (lambda: DepthwiseConv2D((3, 2), 2, "same", 3, activation="softmax"), (2, 4, 3, 2)),
        (
            lambda: DepthwiseConv2D(
                2, (1, 2), "same", 2, "channels_first", "tanh", False, activity_regularizer="l2"
            ),
            (2, 2, 3, 4),
        ),
        (
            lambda: DepthwiseConv2D(
                2,
                depthwise_initializer="he_normal",
                bias_initializer="ones",
                depthwise_regularizer="l2",
                bias_regularizer="l1",
                depthwise_constraint="max_norm",
                bias_constraint="non_neg",
                dilation_rate=2,
            ),
            (2, 3, 4, 1),
        ),
        (lambda: SeparableConv1D(3, 2, activation="relu"), (2, 4, 2)),
        (lambda: SeparableConv1D(2, 3, 2, "same", "channels_first", 1, 2, "elu"), (2, 2, 5)),
        (lambda: SeparableConv2D(3, 2, activation="softmax"), (2, 3, 4, 2)),
        (
            lambda: SeparableConv2D(2, (2, 2), 1, "same", "channels_first", 2, 3, "tanh"),
            (2, 2, 3, 2),
        ),
        (
            lambda: SeparableConv2D(
                2,
                2,
                use_bias=True,
                depthwise_initializer="he_normal",
                pointwise_initializer="ones",
                bias_initializer="ones",
                depthwise_regularizer="l2",
                pointwise_regularizer="l1",
                bias_regularizer="l1",
                activity_regularizer="l2",
                depthwise_constraint="max_norm",
                pointwise_constraint="unit_norm",
                bias_constraint="non_neg",
            ),
            (2, 3, 3, 1),
        ),
        (lambda: SeparableConv2D(2, 1, use_bias=False), (2, 2, 2, 1)),
    ],
)
def test_does_what_every_layer_does(make, shape):
    check_layer(make(), shape)


# Values and gradients over a grid


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("multiplier", [1, 3])
def test_depthwise_over_a_grid(multiplier, padding, data_format):
    for sizes, (window, strides, rates) in itertools.product(SIZES[2], windows(2)):
        x = sample((2, *sizes, 2), "float64")
        slide = slide_of(sizes, window, strides, rates, padding)
        layer = DepthwiseConv2D(
            window,
            strides,
            padding,
            multiplier,
            data_format,
            "tanh",
            dilation_rate=rates,
            dtype="float64",
        )
        given = laid_out(x, data_format)
        fill(layer, given.shape)
        expected = np.tanh(reference.depthwise_conv(x, *layer.get_weights(), **slide))
        np.testing.assert_allclose(layer(given), laid_out(expected, data_format), atol=1e-12)
        check_derivatives(layer, given)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("rank", [1, 2])
def test_separable_over_a_grid(rank, padding, data_format):
    cls = {1: SeparableConv1D, 2: SeparableConv2D}[rank]
    for sizes, (window, strides, rates) in itertools.product(SIZES[rank], windows(rank)):
        x = sample((2, *sizes, 2), "float64")
        slide = slide_of(sizes, window, strides, rates, padding)
        layer = cls(3, window, strides, padding, data_format, rates, 2, "tanh", dtype="float64")
        given = laid_out(x, data_format)
        fill(layer, given.shape)
        depthwise, pointwise, bias = layer.get_weights()
        apart = reference.depthwise_conv(x, depthwise, None, **slide)
        expected = np.tanh(apart @ pointwise.reshape(-1, 3) + bias)
        np.testing.assert_allclose(layer(given), laid_out(expected, data_format), atol=1e-12)
        check_derivatives(layer, given)


@pytest.mark.parametrize(
    "layer", [DepthwiseConv2D(2, 2, "same", 2, activation="softmax"), SeparableConv2D(2, (3, 2))]
)
def test_numerical_gradients_entry_by_entry(layer):
    check_gradients(layer, input_shape=(2, 3, 4, 2))


# Numbers of Keras 2.2.4 itself


@pytest.mark.parametrize(
    ("layer", "shape", "numbers"),
    [
        (DepthwiseConv2D(2, depth_multiplier=2), (2, 3, 2), [[[12, 14, 18, 12], [5, -7, -6, 18]]]),
        (
            DepthwiseConv2D((3, 2), strides=2, padding="same"),
            (4, 4, 1),
            [[[-8], [15]], [[5], [11]]],
        ),
        (
            DepthwiseConv2D(2, dilation_rate=2, data_format="channels_first"),
            (1, 3, 4),
            [[[2, -6]]],
        ),
        (
            SeparableConv1D(2, 2, depth_multiplier=2, dilation_rate=2),
            (4, 2),
            [[-4, -3], [-4, -3]],
        ),
        (
            SeparableConv2D(1, 2, depth_multiplier=2, strides=2, padding="same"),
            (3, 3, 2),
            [[[23], [-2]], [[-12], [28]]],
        ),
    ],
)
def test_numbers_of_keras(layer, shape, numbers):
    np.testing.assert_allclose(keras_numbers(layer, shape), numbers, atol=1e-6)


def test_depthwise_keeps_the_channels_apart():
    layer = fill(DepthwiseConv2D(2, depth_multiplier=2, dtype="float64"), (1, 4, 4, 3))
    x = sample((1, 4, 4, 3), "float64")
    changed = x.copy()
    changed[..., 1] += 1
    moved = (layer(x) != layer(changed)).all((0, 1, 2))
    assert moved.tolist() == [False, False, True, True, False, False]


# Weights and configuration


def test_names_and_shapes_of_weights():
    layer = DepthwiseConv2D((2, 4), depth_multiplier=5, data_format="channels_first")
    assert layer.ensure_built((None, 3, 9, 9)) == (None, 15, 8, 6)
    assert [(w.name, w.shape) for w in layer.weights] == [
        (f"{layer.name}/depthwise_kernel:0", (2, 4, 3, 5)),
        (f"{layer.name}/bias:0", (15,)),
    ]
    layer = SeparableConv2D(7, (2, 4), depth_multiplier=5)
    layer.ensure_built((None, 9, 9, 3))
    assert [(w.name, w.shape) for w in layer.weights] == [
        (f"{layer.name}/depthwise_kernel:0", (2, 4, 3, 5)),
        (f"{layer.name}/pointwise_kernel:0", (1, 1, 15, 7)),
        (f"{layer.name}/bias:0", (7,)),
    ]
    layer = SeparableConv1D(7, 2, depth_multiplier=5)
    layer.ensure_built((None, 9, 3))
    assert [w.shape for w in layer.weights] == [(2, 3, 5), (1, 15, 7), (7,)]


SEPARABLE = [
    "filters",
    "kernel_size",
    "strides",
    "padding",
    "data_format",
    "dilation_rate",
    "depth_multiplier",
    "activation",
    "use_bias",
    "depthwise_initializer",
    "pointwise_initializer",
    "bias_initializer",
    "depthwise_regularizer",
    "pointwise_regularizer",
    "bias_regularizer",
    "activity_regularizer",
    "depthwise_constraint",
    "pointwise_constraint",
    "bias_constraint",
]
DEPTHWISE = [
    "kernel_size",
    "strides",
    "padding",
    "depth_multiplier",
    "data_format",
    "activation",
    "use_bias",
    "depthwise_initializer",
    "bias_initializer",
    "depthwise_regularizer",
    "bias_regularizer",
    "activity_regularizer",
    "depthwise_constraint",
    "bias_constraint",
    "dilation_rate",  # in Keras one of the keyword arguments that it hands to Conv2D
]


@pytest.mark.parametrize(
    ("layer", "arguments"),
    [
        (DepthwiseConv2D(3), DEPTHWISE),
        (SeparableConv1D(2, 3), SEPARABLE),
        (SeparableConv2D(2, 3), SEPARABLE),
    ],
)
def test_arguments_are_those_of_keras_in_its_order(layer, arguments):
    assert [*inspect.signature(type(layer)).parameters] == [*arguments, "kwargs"]
    assert set(layer.get_config()) == {"name", "trainable", *arguments}
    assert layer.get_config()["dilation_rate"] == (1,) * layer.rank


def test_each_option_is_kept_and_reaches_its_weight():
    options = {
        f"{weight}_{kind}": value
        for weight, value_of in {
            "depthwise": ("ones", "l1", "non_neg"),
            "pointwise": ("zeros", "l2", "unit_norm"),
            "bias": ("ones", "l1_l2", "max_norm"),
        }.items()
        for kind, value in zip(("initializer", "regularizer", "constraint"), value_of, strict=True)
    }
    layer = SeparableConv1D(2, 3, activity_regularizer="l1", **options)
    layer.ensure_built((None, 4, 3))
    config = layer.get_config()
    for weight, name in zip(layer.weights, ("depthwise", "pointwise", "bias"), strict=True):
        assert (weight.value == (name != "pointwise")).all()
        for kind in ("regularizer", "constraint"):
            option = getattr(layer, f"{name}_{kind}")
            assert getattr(weight, kind) is option
            assert config[f"{name}_{kind}"]["class_name"] == type(option).__name__
    assert type(layer.depthwise_constraint).__name__ == "NonNeg"
    assert type(layer.pointwise_constraint).__name__ == "UnitNorm"
    assert type(layer.bias_constraint).__name__ == "MaxNorm"
    l1 = [float(getattr(layer, f"{n}_regularizer").l1) for n in ("depthwise", "pointwise", "bias")]
    assert np.round(l1, 6).tolist() == [0.01, 0, 0.01]
    assert config["activity_regularizer"]["config"]["l1"] > 0


def test_the_global_data_format_is_that_of_images_only():
    K.set_image_data_format("channels_first")
    assert DepthwiseConv2D(3).data_format == "channels_first"
    assert SeparableConv2D(2, 3).data_format == "channels_first"
    assert SeparableConv1D(2, 3).data_format == "channels_last"


# In models


@pytest.mark.parametrize("data_format", FORMATS)
def test_images_of_any_size(data_format):
    shape = (None, None, 2) if data_format == "channels_last" else (2, None, None)
    model = Sequential(
        [
            DepthwiseConv2D(3, 2, "same", 2, data_format, input_shape=shape),
            SeparableConv2D(3, 2, data_format=data_format, name="last"),
        ]
    )
    assert split_shape(model.output_shape, data_format) == ((None, None), 3)
    x = laid_out(sample((2, 8, 6, 2)), data_format)
    assert model.predict(x).shape == laid_out(np.zeros((2, 3, 2, 3)), data_format).shape
    with pytest.raises(ValueError, match=r"'last' \(SeparableConv2D\): a window of \(2, 2\) does"):
        model.predict(laid_out(sample((1, 2, 8, 2)), data_format))


def test_an_empty_batch():
    for layer in (DepthwiseConv2D(2, activation="relu"), SeparableConv2D(3, 2)):
        y, dx, gradients = run(fill(layer, (0, 4, 4, 2)), np.zeros((0, 4, 4, 2), "float32"))
        assert y.shape == layer.compute_output_shape((0, 4, 4, 2))
        assert dx.shape == (0, 4, 4, 2)
        assert not any(gradient.any() for gradient in gradients)


def test_as_the_last_layer_of_a_model():
    model = Sequential([SeparableConv1D(3, 2, activation="softmax", input_shape=(4, 2))])
    model.compile("sgd", "categorical_crossentropy")
    assert model.layers[0].fused_activation is activations.softmax
    check_gradients(model, sample((2, 4, 2)), np.eye(3)[np.array([[0, 1, 2], [2, 2, 0]])])


@pytest.mark.parametrize("which", ["depthwise_kernel", "pointwise_kernel", "bias"])
def test_gradients_that_nobody_wants_are_not_computed(which, monkeypatch):
    layer = fill(SeparableConv1D(2, 2), (1, 3, 2))
    x = sample((1, 3, 2))
    expected = dict(zip(layer.weights, run(layer, x)[2], strict=True))
    calls = []
    original = separable.depthwise_conv_backward

    def spy(*args, **options):
        calls.append(options["dx"] is not None)
        original(*args, **options)

    monkeypatch.setattr(separable, "depthwise_conv_backward", spy)
    weight = getattr(layer, which)
    target = np.zeros_like(weight.value)
    ctx = Context(gradients={weight: target})
    ctx.needs_input_gradient = False
    y, residual = layer.propagate(x, ctx)
    assert layer.backpropagate(sample(y.shape, seed=2).copy(), residual, ctx) is None
    np.testing.assert_allclose(target, expected[weight], rtol=1e-5, atol=1e-6)
    assert calls == ([False] if which == "depthwise_kernel" else [])


# Errors


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: SeparableConv2D(0, 3),
            r"\(SeparableConv2D\): filters must be an int greater than 0, got 0",
        ),
        (lambda: DepthwiseConv2D(0), r"\(DepthwiseConv2D\): kernel_size must be greater than 0"),
        (lambda: DepthwiseConv2D(3, depth_multiplier=0), "depth_multiplier must be an int greater"),
        (lambda: SeparableConv1D(3, 3, padding="causal"), "'valid' or 'same', got 'causal'"),
        (lambda: SeparableConv1D(3, (3, 3)), r"kernel_size must be .* 1 ints, got \(3, 3\)"),
        (lambda: DepthwiseConv2D(3, padding="causal"), "'valid' or 'same', got 'causal'"),
        (
            lambda: DepthwiseConv2D(3, 2, dilation_rate=2),
            r"strides \(2, 2\) and dilation_rate \(2, 2\) don't go together",
        ),
        (lambda: SeparableConv1D(3, 3, 2, dilation_rate=2), "don't go together"),
        (lambda: SeparableConv2D(3, 3, (1, 2), dilation_rate=(2, 1)), "don't go together"),
    ],
)
def test_wrong_argument(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (DepthwiseConv2D(3), (None, 9, 9), "expected ndim=4 .* found ndim=3"),
        (DepthwiseConv2D(3), (None, 9, 9, None), r"size of axis -1 .* \(None, 9, 9, None\)"),
        (DepthwiseConv2D(3), (None, 2, 9, 4), r"a window of \(3, 3\) does not fit into an input"),
        (SeparableConv1D(3, 3, dilation_rate=2), (None, 4, 2), r"\(\(5,\) with its dilation\)"),
        (SeparableConv2D(3, 3), (None, 0, 4, 4), r"\(None, 0, 4, 4\) is empty"),
    ],
)
def test_wrong_input_at_build(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer.ensure_built(shape)
    assert not layer.built
    assert layer.weights == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: DepthwiseConv2D(3, kernel_initializer="ones"),
        lambda: DepthwiseConv2D(3, filters=2),
        lambda: SeparableConv1D(3, 3, kernel_initializer="ones"),
        lambda: SeparableConv2D(3, 3, kernel_regularizer="l2"),
    ],
)
def test_arguments_that_keras_takes_and_ignores(make):
    with pytest.raises(TypeError, match="Unknown argument of .*: '(kernel|filters)"):
        make()
