import itertools

import numpy as np
import pytest

from minikeras import backend as K
from minikeras import layers
from minikeras.activations import with_gradient
from minikeras.layers.local import LocallyConnected1D, LocallyConnected2D
from minikeras.models import Sequential
from minikeras.testing import check_gradients
from minikeras.utils.generic_utils import get_custom_objects
from tests.ops import conv_reference

from .checks import check_layer, sample

FORMATS = ["channels_last", "channels_first"]
SWISH = with_gradient(
    lambda x: x / (1 + np.exp(-x)),
    lambda dy, x: dy * (1 + np.exp(-x) * (1 + x)) / (1 + np.exp(-x)) ** 2,
    needs_input=True,
)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: LocallyConnected1D(3, 2), (2, 5, 2)),
        (lambda: LocallyConnected1D(2, 3, 2, activation="tanh"), (3, 7, 1)),
        (lambda: LocallyConnected1D(2, (2,), [3], "VALID", "channels_first"), (2, 2, 6)),
        (
            lambda: LocallyConnected1D(2, 1, activation="softmax", data_format="channels_first"),
            (2, 3, 4),
        ),
        (lambda: LocallyConnected1D(2, 2, activation=SWISH, use_bias=False), (2, 4, 2)),
        (lambda: LocallyConnected2D(2, (2, 3), activation="relu"), (2, 4, 5, 2)),
        (lambda: LocallyConnected2D(2, 3, strides=2, activation="softmax"), (2, 5, 6, 1)),
        (lambda: LocallyConnected2D(2, 2, (1, 2), "valid", "channels_first"), (2, 2, 3, 4)),
        (
            lambda: LocallyConnected2D(
                3, 2, data_format="channels_first", activation=SWISH, activity_regularizer="l2"
            ),
            (2, 1, 3, 3),
        ),
        (
            lambda: LocallyConnected2D(
                2,
                2,
                kernel_initializer="he_normal",
                bias_initializer="ones",
                kernel_regularizer="l2",
                bias_regularizer="l1",
                activity_regularizer="l1",
                kernel_constraint="max_norm",
                bias_constraint="non_neg",
            ),
            (2, 3, 3, 1),
        ),
    ],
)
def test_does_what_every_layer_does(make, shape):
    get_custom_objects()[SWISH.__name__] = SWISH
    check_layer(make(), shape)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("rank", [1, 2])
def test_with_equal_kernels_it_is_a_convolution(rank, data_format):
    cls = {1: LocallyConnected1D, 2: LocallyConnected2D}[rank]
    random = np.random.RandomState(0)
    for sizes, window, stride in itertools.product([(6, 5), (7, 4)], [(1, 1), (2, 3)], [1, 2]):
        sizes, window = sizes[:rank], window[:rank]
        x = sample((2, *sizes, 3), "float64")
        kernel, bias = random.standard_normal((*window, 3, 2)), random.standard_normal(2)
        slide = {"strides": [stride] * rank, "pads": [(0, 0)] * rank, "dilation": [1] * rank}
        expected = np.tanh(conv_reference.conv(x, kernel, bias, **slide))
        if data_format == "channels_first":
            x, expected = np.moveaxis(x, -1, 1), np.moveaxis(expected, -1, 1)
            kernel = np.moveaxis(kernel, -2, 0)
        layer = cls(2, window, stride, "valid", data_format, "tanh", dtype="float64")
        layer.ensure_built(x.shape)
        places = layer.kernel.shape[0]
        everywhere = np.broadcast_to(bias, (places, 2))
        if data_format == "channels_first":
            everywhere = everywhere.T
        layer.set_weights(
            [
                np.broadcast_to(kernel.reshape(-1, 2), layer.kernel.shape),
                everywhere.reshape(layer.bias.shape),
            ]
        )
        np.testing.assert_allclose(layer(x), expected, atol=1e-12)
        check_gradients(layer, x, max_entries=40)


def keras_numbers(layer, shape):
    """Return the output for the weights and the input with which Keras was run."""
    layer.ensure_built((None, *shape))
    layer.set_weights([(np.arange(w.size) % 5 - 1.0).reshape(w.shape) for w in layer.get_weights()])
    x = (np.arange(np.prod(shape)) * 7 % 11 - 3.0).reshape((1, *shape))
    return layer(x)[0]


@pytest.mark.parametrize(
    ("layer", "shape", "numbers"),
    [
        (LocallyConnected1D(2, 3, strides=2), (5, 2), [[13, 24], [12, 31]]),
        (LocallyConnected2D(2, (1, 2)), (2, 3, 2), [[[6, 15], [-6, 9]], [[14, 21], [-1, 11]]]),
        (
            LocallyConnected2D(2, (1, 2), data_format="channels_first"),
            (2, 2, 3),
            [[[24, 4], [3, 16]], [[7, 17], [18, 0]]],
        ),
    ],
)
def test_numbers_of_keras_2_2_4(layer, shape, numbers):
    np.testing.assert_allclose(keras_numbers(layer, shape), numbers, atol=1e-5)


def test_numbers_of_later_keras_on_sequences_with_the_channels_first():
    layer = LocallyConnected1D(2, 2, data_format="channels_first")
    np.testing.assert_allclose(keras_numbers(layer, (2, 4)), [[15, 25, 11], [6, 7, 24]], atol=1e-5)


@pytest.mark.parametrize("data_format", FORMATS)
def test_weights(data_format):
    channels_last = data_format == "channels_last"
    layer = LocallyConnected1D(4, 3, data_format=data_format)
    layer.ensure_built((None, 8, 5) if channels_last else (None, 5, 8))
    assert [w.shape for w in layer.weights] == [(6, 15, 4), (6, 4)]
    assert [w.name for w in layer.weights] == [f"{layer.name}/kernel:0", f"{layer.name}/bias:0"]
    layer = LocallyConnected2D(4, (2, 3), (1, 2), data_format=data_format)
    layer.ensure_built((None, 8, 9, 5) if channels_last else (None, 5, 8, 9))
    assert [w.shape for w in layer.weights] == [(28, 30, 4), (7, 4, 4)]
    assert layer.output_shape == ((None, 7, 4, 4) if channels_last else (None, 4, 7, 4))


def test_the_global_data_format_is_for_images_only():
    K.set_image_data_format("channels_first")
    assert LocallyConnected2D(1, 1).data_format == "channels_first"
    assert LocallyConnected1D(1, 1).data_format == "channels_last"
    assert LocallyConnected1D(1, 1, data_format="channels_first").data_format == "channels_first"


def test_config():
    layer = LocallyConnected2D(3, 2, (1, 2), data_format="channels_first", activation="relu")
    config = layer.get_config()
    assert "dilation_rate" not in config
    assert config["kernel_size"] == (2, 2)
    assert config["strides"] == (1, 2)
    assert (config["filters"], config["padding"]) == (3, "valid")
    assert (config["data_format"], config["activation"]) == ("channels_first", "relu")


def test_found_by_name():
    for cls in (LocallyConnected1D, LocallyConnected2D):
        assert getattr(layers, cls.__name__) is cls


@pytest.mark.parametrize("batch", [0, 1])
def test_odd_batches(batch):
    layer = LocallyConnected2D(2, 2)
    assert layer(np.zeros((batch, 3, 3, 1))).shape == (batch, 2, 2, 2)


def test_learns_what_differs_from_place_to_place():
    x = np.random.RandomState(0).standard_normal((256, 6, 1)).astype("float32")
    y = x * np.arange(6, dtype="float32").reshape(6, 1)
    model = Sequential([LocallyConnected1D(1, 1, input_shape=(6, 1))])
    model.compile("adam", "mse")
    model.optimizer.lr = 0.05
    model.fit(x, y, epochs=40, batch_size=32, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0].ravel(), np.arange(6), atol=1e-2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: LocallyConnected2D(2, 3, padding="same"),
            r"'locally_connected2d_1' \(LocallyConnected2D\): padding must be 'valid', got 'same'",
        ),
        (
            lambda: LocallyConnected1D(2, 3, padding="causal"),
            "padding must be 'valid', got 'causal'",
        ),
        (lambda: LocallyConnected1D(0, 3), "filters must be an int greater than 0, got 0"),
        (lambda: LocallyConnected1D(2, (3, 3)), r"kernel_size must be an int or a tuple of 1 int"),
        (lambda: LocallyConnected2D(2, 0), "kernel_size must be greater than 0, got 0"),
        (lambda: LocallyConnected2D(2, 2, (1, 0)), r"strides must be greater than 0, got \(1, 0\)"),
        (lambda: LocallyConnected2D(2, 2, data_format="last"), "data_format must be one of"),
        (
            lambda: LocallyConnected1D(2, 3).ensure_built((None, None, 4)),
            r"needs to know the size of axis 1 of its input; the input shape is \(None, None, 4\)",
        ),
        (
            lambda: LocallyConnected2D(2, 3).ensure_built((None, 5, None, 4)),
            r"needs to know the size of axis 2 of its input",
        ),
        (
            lambda: LocallyConnected2D(2, 3).ensure_built((None, 5, 5, None)),
            r"needs to know the size of axis 3 of its input",
        ),
        (
            lambda: LocallyConnected2D(2, 3, data_format="channels_first").ensure_built(
                (None, None, 5, 5)
            ),
            r"needs to know the size of axis 1 of its input",
        ),
        (
            lambda: LocallyConnected2D(2, (3, 6)).ensure_built((None, 5, 5, 1)),
            r"a window of \(3, 6\) does not fit into an input of shape \(None, 5, 5, 1\)",
        ),
        (
            lambda: LocallyConnected1D(2, 3).ensure_built((None, 5)),
            "expected ndim=3 .* found ndim=2",
        ),
    ],
)
def test_error(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_there_is_no_dilation():
    with pytest.raises(TypeError, match="LocallyConnected2D has no dilation_rate"):
        LocallyConnected2D(2, 2, dilation_rate=2)


def test_another_size_is_an_error_that_says_so():
    layer = LocallyConnected1D(2, 3)
    layer(np.zeros((1, 6, 2)))
    with pytest.raises(ValueError, match="expected axis 1 to have size 6, found 7"):
        layer(np.zeros((1, 7, 2)))
