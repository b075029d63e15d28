import re

import numpy as np
import pytest

from minikeras import activations
from minikeras import backend as K
from minikeras.activations import with_gradient
from minikeras.layers import (
    Conv1D,
    Conv2D,
    Conv3D,
    Layer,
    LocallyConnected2D,
    MaxPooling2D,
    UpSampling2D,
)
from minikeras.layers.conv_base import row_activation
from minikeras.layers.spatial import (
    as_laid_out,
    channels_last,
    data_format_name,
    join_shape,
    padding_name,
    positive_ints,
    split_shape,
    window_output,
)

FORMATS = ["channels_last", "channels_first"]


class Own(Layer):
    data_format = "channels_last"
    padding, paddings = "valid", ("valid", "same")


@pytest.fixture
def layer():
    return Own(name="mine")


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_layouts_are_views_and_lead_back(data_format, rank):
    x = np.zeros((2, 3, 4, 5, 6)[: rank + 2])
    moved = channels_last(x, data_format)
    assert moved.base is x or moved is x
    assert as_laid_out(moved, data_format).shape == x.shape
    sizes, channels = split_shape(x.shape, data_format)
    assert moved.shape == (2, *sizes, channels)
    assert join_shape(2, sizes, channels, data_format) == x.shape


def test_channels_first_puts_them_last():
    assert channels_last(np.zeros((2, 3, 4, 5)), "channels_first").shape == (2, 4, 5, 3)
    assert as_laid_out(np.zeros((2, 4, 5, 3)), "channels_first").shape == (2, 3, 4, 5)
    assert split_shape((None, 3, 4, None), "channels_first") == ((4, None), 3)
    assert split_shape((None, 4, None, 3), "channels_last") == ((4, None), 3)


def test_arguments(layer):
    assert positive_ints(3, 2, "strides", layer) == (3, 3)
    assert positive_ints([1, 2], 2, "strides", layer) == (1, 2)
    assert positive_ints(0, 2, "output_padding", layer, minimum=0) == (0, 0)
    assert padding_name("SAME", layer) == "same"
    assert padding_name("causal", layer, ("valid", "causal")) == "causal"
    assert data_format_name("Channels_First", layer) == "channels_first"
    K.set_image_data_format("channels_first")
    assert data_format_name(None, layer) == "channels_first"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: positive_ints(0, 2, "strides", a), "strides must be greater than 0, got 0"),
        (lambda a: positive_ints((1, -1), 2, "strides", a), "greater than 0, got (1, -1)"),
        (lambda a: positive_ints(-1, 1, "out", a, minimum=0), "out must be at least 0, got -1"),
        (lambda a: positive_ints(1.5, 2, "strides", a), "an int or a tuple of 2 ints, got 1.5"),
        (lambda a: padding_name("causal", a), "padding must be 'valid' or 'same', got 'causal'"),
        (lambda a: padding_name("sme", a), "padding must be 'valid' or 'same', got 'sme'"),
        (lambda a: data_format_name("last", a), "data_format must be one of"),
    ],
)
def test_errors_name_layer_and_value(call, message, layer):
    with pytest.raises(ValueError, match=r"^Layer 'mine' \(Own\): .*" + re.escape(message)):
        call(layer)


def test_window_output(layer):
    shape = (None, 7, None, 3)
    assert window_output(layer, shape, shape[1:3], (3, 2), (2, 1), "valid") == (3, None)
    assert window_output(layer, shape, shape[1:3], (3, 2), (2, 1), "same") == (4, None)
    assert window_output(layer, shape, (7, 7), (3, 2), (1, 1), "valid", (3, 2)) == (1, 5)


def test_window_that_does_not_fit(layer):
    message = (
        "Layer 'mine' (Own): a window of (3, 3) does not fit into an input of shape "
        "(None, 7, 2, 3) with padding='valid': the output would have the sizes (5, 0). Use "
        "padding='same', a smaller window, or fewer layers that shrink the input before."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        window_output(layer, (None, 7, 2, 3), (7, 2), (3, 3), (1, 1), "valid")
    with pytest.raises(ValueError, match=r"a window of \(3,\) \(\(5,\) with its dilation\)"):
        window_output(layer, (None, 4, 3), (4,), (3,), (1,), "valid", (2,))


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_an_empty_input_is_refused(layer, padding):
    message = r"an input of shape \(None, 0, 3\) is empty: its sizes \(0,\) must be greater than 0"
    with pytest.raises(ValueError, match=message):
        window_output(layer, (None, 0, 3), (0,), (1,), (1,), padding)


# row_activation


@pytest.mark.parametrize("name", ["relu", "tanh", "selu", "softplus", "hard_sigmoid", "softmax"])
def test_row_activation_works_in_place_on_any_part(name):
    function = activations.get(name)
    y = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    expected = function(y)
    finish = row_activation(function, "channels_last")
    for part in y.reshape(-1, 5)[:7], y.reshape(-1, 5)[7:]:
        finish(part)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize(
    ("function", "data_format"),
    [
        (activations.linear, "channels_last"),
        (activations.softmax, "channels_first"),
        (with_gradient(np.tanh, lambda dy, y: dy * (1 - y * y)), "channels_last"),
    ],
)
def test_no_row_activation(function, data_format):
    assert row_activation(function, data_format) is None


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (
            Conv2D(4, 3),
            (None, 28, 28),
            r"\(batch, height, width, channels\)\. A single .*\(28, 28, 1\)",
        ),
        (MaxPooling2D(data_format="channels_first"), (None, 8, 8), r"input_shape=\(1, 8, 8\)"),
        (Conv1D(4, 3), (None, 64), r"\(batch, steps, channels\)\. .* input_shape=\(64, 1\)"),
        (Conv2D(4, 3), (None, None, 28, 28, 1), "without the batch axis"),
        (Conv3D(4, 3), (None, 28, 28), r"Expected \(batch, depth, height, width, channels\)\."),
        (Conv2D(4, 3), (None, 1, 28, 28), "channels come first in .* data_format='channels_first'"),
        (Conv2D(4, 5), (None, 4, 4, 4), "Use padding='same', a smaller window"),
        (LocallyConnected2D(4, 5), (None, 4, 4, 4), "Use a smaller window"),
        (UpSampling2D(), (None, 0, 4, 1), r"is empty: its sizes \(0, 4\)"),
        (Conv2D(4, 2), (None, 4, 4, 0), r"is empty: its sizes \(0,\)"),
    ],
)
def test_errors_about_the_input_tell_what_to_do(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer.ensure_built(shape)
