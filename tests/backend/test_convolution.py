"""Convolutions of K: against the layers and loops, derivatives, errors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minikeras import backend as K
from minikeras import layers
from minikeras.backend import convolution as C
from minikeras.backend.backpropagation import backpropagate
from minikeras.backend.deferred import placeholder
from minikeras.backend.pooling import pool2d
from minikeras.backend.tape import Tensor
from minikeras.backend.variables import Variable
from tests.backend.derivatives import check_derivatives

RANDOM = np.random.RandomState(0)
FORMATS = ["channels_last", "channels_first"]
CONV = {1: C.conv1d, 2: C.conv2d, 3: C.conv3d}
LAYER = {1: layers.Conv1D, 2: layers.Conv2D, 3: layers.Conv3D}


def normal(*shape: int) -> np.ndarray:
    return np.random.RandomState(len(shape)).standard_normal(shape)


def laid_out(x: np.ndarray, data_format: str) -> np.ndarray:
    return x if data_format == "channels_last" else np.ascontiguousarray(np.moveaxis(x, -1, 1))


def by_layer(layer: Any, x: np.ndarray, *weights: np.ndarray) -> np.ndarray:
    """What a layer without bias makes of x."""
    layer.build(x.shape)
    layer.set_weights(list(weights))
    return layer(x.astype("float32"))


def by_loops(x: np.ndarray, kernel: np.ndarray, strides: tuple, dilation: tuple) -> np.ndarray:
    """A convolution by the book, without padding."""
    window, rank = kernel.shape[:-2], kernel.ndim - 2
    reach = [(k - 1) * d + 1 for k, d in zip(window, dilation, strict=True)]
    places = [(n - r) // s + 1 for n, r, s in zip(x.shape[1:], reach, strides, strict=False)]
    y = np.zeros((len(x), *places, kernel.shape[-1]))
    for place in np.ndindex(*places):
        for tap in np.ndindex(*window):
            at = [place[i] * strides[i] + tap[i] * dilation[i] for i in range(rank)]
            y[(slice(None), *place)] += x[(slice(None), *at)] @ kernel[tap]
    return y


# --- plain ----------------------------------------------------------------------------------

CASES = [
    ((2, 6, 2), (3,), 1, 1, ["valid", "same"]),
    ((1, 5, 2), (2,), 2, 1, ["valid", "same"]),
    ((1, 7, 1), (2,), 1, 3, ["valid", "same"]),
    ((1, 5, 4, 2), (3, 2), (1, 1), (1, 1), ["valid", "same"]),
    ((2, 4, 5, 1), (2, 3), (2, 1), (1, 1), ["valid", "same"]),
    ((1, 6, 5, 2), (2, 2), (1, 1), (2, 3), ["valid", "same"]),
    ((1, 3, 4, 3, 1), (2, 2, 3), (1, 2, 1), (1, 1, 1), ["valid", "same"]),
    ((1, 3, 4, 3, 1), (2, 2, 2), (1, 1, 1), (2, 1, 2), ["valid"]),
]
EACH = [(*case, padding) for *case, paddings in CASES for padding in paddings]


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize(("shape", "window", "strides", "dilation", "padding"), EACH)
def test_conv(
    shape: tuple, window: tuple, strides: Any, dilation: Any, padding: str, data_format: str
) -> None:
    rank = len(window)
    x, kernel = (
        laid_out(normal(*shape), data_format),
        RANDOM.standard_normal((*window, shape[-1], 3)),
    )
    args = strides, padding, data_format, dilation
    y = check_derivatives(lambda x, kernel: CONV[rank](x, kernel, *args), x, kernel)
    layer = LAYER[rank](3, window, *args, use_bias=False)
    assert_allclose(y, by_layer(layer, x, kernel), atol=1e-5)
    if padding == "valid" and data_format == "channels_last":
        ones = tuple(np.atleast_1d(strides)), tuple(np.atleast_1d(dilation))
        assert_allclose(y, by_loops(x, kernel, *ones))


@pytest.mark.parametrize(("strides", "dilation"), [(1, 1), (2, 1), (1, 2)])
def test_causal(strides: int, dilation: int) -> None:
    x, kernel = normal(2, 6, 2), normal(3, 2, 2)
    y = check_derivatives(
        C.conv1d, x, kernel, strides=strides, padding="causal", dilation_rate=dilation
    )
    padded = np.pad(x, ((0, 0), (2 * dilation, 0), (0, 0)))
    assert_allclose(y, by_loops(padded, kernel, (strides,), (dilation,)))
    with pytest.raises(ValueError, match="'causal' of K.conv1d needs data_format='channels_last'"):
        C.conv1d(x, kernel, padding="causal", data_format="channels_first")


def test_image_data_format_of_the_call() -> None:
    """A setting that changes before the way back does not count."""
    x, kernel = Tensor(normal(1, 2, 4, 4)), normal(2, 2, 2, 3)
    K.set_image_data_format("channels_first")
    try:
        y = C.conv2d(x, kernel)
    finally:
        K.set_image_data_format("channels_last")
    assert_array_equal(y.value, C.conv2d(x.value, kernel, data_format="channels_first"))
    assert backpropagate([(y, np.ones(y.shape))], [x])[0].shape == x.shape


def test_large_and_on_threads() -> None:
    """Sizes at which the ops take other ways, and views that repeat memory."""
    x = np.broadcast_to(normal(1, 40, 40, 8).astype("float32"), (8, 40, 40, 8))
    kernel = normal(3, 3, 8, 16).astype("float32")
    leaves = Tensor(x), Tensor(kernel)
    y = C.conv2d(*leaves, padding="same")
    part = by_loops(np.pad(x[:1, :5], ((0, 0), (1, 0), (1, 1), (0, 0))), kernel, (1, 1), (1, 1))
    assert_allclose(y.value[:1, :4], part, rtol=1e-3, atol=1e-3)
    dy = np.broadcast_to(np.float32(1), y.shape)
    dx, dkernel = backpropagate([(y, dy)], leaves)
    assert_allclose(dx[0, 5, 5], kernel.sum((0, 1, 3)), rtol=1e-4, atol=1e-4)
    assert_allclose(
        dkernel[1, 1], np.repeat(x.sum((0, 1, 2))[:, None], 16, 1), rtol=1e-3, atol=0.05
    )


def test_only_what_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def backward(*args: Any, **options: Any) -> None:
        asked.extend(key for key in ("dx", "dkernel") if options.get(key) is not None)
        original(*args, **options)

    original = C.ops.conv_backward
    monkeypatch.setattr(C, "_CONVOLUTION", (C.ops.conv, backward))
    kernel = Variable(normal(2, 1, 1))
    y = C.conv1d(normal(1, 4, 1), kernel)
    backpropagate([(y, np.ones(y.shape))], [kernel])
    assert asked == ["dkernel"]


def test_deferred() -> None:
    x, kernel = placeholder((None, 6, 5, 2)), Variable(normal(2, 2, 2, 3).astype("float32"))
    y = C.conv2d(x, kernel, strides=2)
    turned = C.conv2d_transpose(y, kernel, (None, 6, 5, 2), 2, "valid")
    mixed = C.separable_conv2d(x, kernel, normal(1, 1, 6, 4))
    pooled = pool2d(x, (2, 2))
    shapes = [tuple(a.shape) for a in (y, turned, mixed, pooled)]
    assert shapes == [(None, 3, 2, 3), (None, 6, 5, 2), (None, 5, 4, 4), (None, 5, 4, 2)]


def test_types() -> None:
    kernel = Variable(normal(2, 2, 3).astype("float32"))
    for x in (normal(1, 4, 2), np.ones((1, 4, 2), int), [[[1, 2]] * 4]):
        assert C.conv1d(x, kernel).dtype == np.float32
    assert C.conv1d([[[1, 2]] * 4], [[[1.0], [1.0]]]).dtype == np.float32
    mixed = Tensor(normal(1, 4, 2))
    y = C.conv1d(mixed, kernel)
    dx, dkernel = backpropagate([(y, np.ones(y.shape))], [mixed, kernel])
    assert (dx.dtype, dkernel.dtype) == (np.float64, np.float32)


# --- transposed -----------------------------------------------------------------------------


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize(
    ("sizes", "window", "strides", "padding", "dilation", "output"),
    [
        ((3, 2), (3, 2), (1, 1), "valid", (1, 1), (5, 3)),
        ((3, 2), (2, 2), (2, 2), "same", (1, 1), (6, 4)),
        ((3, 2), (3, 3), (2, 2), "same", (1, 1), (5, 4)),
        ((3, 2), (3, 2), (2, 3), "valid", (1, 1), (8, 7)),
        ((3, 2), (2, 2), (1, 1), "valid", (2, 1), (5, 3)),
        ((3, 4), (2, 3), (1, 1), "same", (2, 2), (3, 4)),
        ((2, 3, 2), (2, 2, 1), (1, 2, 1), "valid", None, (3, 6, 2)),
        ((2, 3, 2), (2, 3, 2), (2, 1, 1), "same", None, (4, 3, 2)),
    ],
)
def test_transposed(
    sizes: tuple,
    window: tuple,
    strides: tuple,
    padding: str,
    dilation: Any,
    output: tuple,
    data_format: str,
) -> None:
    rank = len(window)
    x, kernel = laid_out(normal(2, *sizes, 2), data_format), RANDOM.standard_normal((*window, 3, 2))
    shape = (2, *output, 3) if data_format == "channels_last" else (2, 3, *output)
    args = (strides, padding, data_format, *([] if dilation is None else [dilation]))
    function = {2: C.conv2d_transpose, 3: C.conv3d_transpose}[rank]
    y = check_derivatives(lambda x, kernel: function(x, kernel, shape, *args), x, kernel)
    assert y.shape == shape
    assert_array_equal(function(x, kernel, (None, *shape[1:]), *args), y)
    # It is the gradient of a convolution.
    source = Tensor(np.zeros(shape))
    turned = CONV[rank](source, kernel, *args)
    assert_allclose(y, backpropagate([(turned, x)], [source])[0], atol=1e-12)
    layer = {2: layers.Conv2DTranspose, 3: layers.Conv3DTranspose}[rank](
        3, window, strides, padding, data_format=data_format, use_bias=False
    )
    if dilation in (None, (1, 1)) and layer.compute_output_shape(x.shape) == shape:
        assert_allclose(y, by_layer(layer, x, kernel), atol=1e-5)


def test_output_shape_of_other_kinds() -> None:
    x, kernel = normal(1, 2, 2, 1), Variable(normal(2, 2, 3, 1).astype("float32"))
    expected = C.conv2d_transpose(x, kernel, (1, 3, 3, 3)).value
    batch = Tensor(np.array(1))
    for shape in ([1, 3, 3, 3], np.array([1, 3, 3, 3]), (batch, 3, 3, 3)):
        assert_array_equal(C.conv2d_transpose(x, kernel, shape).value, expected)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 3), "output_shape of K.conv2d_transpose must have 4 entries"),
        ((1, 3, None, 3), "only the batch size may be None"),
        ((2, 3, 3, 3), "as many samples"),
        ((1, 4, 3, 3), r"leads to the sizes \(3, 2\), where x has \(2, 2\)"),
        ((1, 3, 3, 2), "and 3 channels"),
    ],
)
def test_output_shape_errors(shape: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        C.conv2d_transpose(normal(1, 2, 2, 1), normal(2, 2, 3, 1), shape)


# --- separable ------------------------------------------------------------------------------


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("strides", "dilation"), [((1, 1), (1, 1)), ((2, 2), (1, 1)), ((1, 2), (1, 1)), (1, (2, 1))]
)
def test_separable_2d(strides: Any, dilation: Any, padding: str, data_format: str) -> None:
    x, kernel, matrix = (
        laid_out(normal(1, 5, 4, 2), data_format),
        normal(3, 2, 2, 2),
        normal(1, 1, 4, 3),
    )
    args = strides, padding, data_format, dilation
    y = check_derivatives(lambda x, kernel: C.depthwise_conv2d(x, kernel, *args), x, kernel)
    layer = layers.DepthwiseConv2D(
        (3, 2), strides, padding, 2, data_format, use_bias=False, dilation_rate=dilation
    )
    assert_allclose(y, by_layer(layer, x, kernel), atol=1e-5)
    y = check_derivatives(lambda *arrays: C.separable_conv2d(*arrays, *args), x, kernel, matrix)
    layer = layers.SeparableConv2D(3, (3, 2), *args, depth_multiplier=2, use_bias=False)
    assert_allclose(y, by_layer(layer, x, kernel, matrix), atol=1e-5)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("strides", "dilation"), [(1, 1), (2, 1), ((1,), (2,))])
def test_separable_1d(strides: Any, dilation: Any, padding: str, data_format: str) -> None:
    x, kernel, matrix = laid_out(normal(2, 6, 2), data_format), normal(2, 2, 2), normal(1, 4, 3)
    args = strides, padding, data_format, dilation
    y = check_derivatives(lambda *arrays: C.separable_conv1d(*arrays, *args), x, kernel, matrix)
    layer = layers.SeparableConv1D(3, 2, *args, depth_multiplier=2, use_bias=False)
    assert_allclose(y, by_layer(layer, x, kernel, matrix), atol=1e-5)


# --- without sharing ------------------------------------------------------------------------


@pytest.mark.parametrize("data_format", [None, *FORMATS])
@pytest.mark.parametrize(("window", "strides"), [(2, 1), ((3,), (2,)), (1, 3)])
def test_local_1d(window: Any, strides: Any, data_format: str | None) -> None:
    x = laid_out(normal(2, 6, 2), data_format or "channels_last")
    layer = layers.LocallyConnected1D(3, window, strides, data_format=data_format, use_bias=False)
    size, stride = np.ravel(window)[0], np.ravel(strides)[0]
    kernel = RANDOM.standard_normal(((6 - size) // stride + 1, 2 * size, 3))
    y = check_derivatives(
        lambda x, kernel: C.local_conv1d(x, kernel, window, strides, data_format), x, kernel
    )
    assert_allclose(y, by_layer(layer, x, kernel), atol=1e-5)


@pytest.mark.parametrize("data_format", [None, *FORMATS])
@pytest.mark.parametrize(
    ("window", "strides", "places"), [((2, 2), (1, 1), (4, 3)), ((3, 2), (2, 1), (2, 3))]
)
def test_local_2d(window: Any, strides: Any, places: Any, data_format: str | None) -> None:
    x = laid_out(normal(1, 5, 4, 2), data_format or "channels_last")
    kernel = RANDOM.standard_normal((np.prod(places), 2 * np.prod(window), 3))
    y = check_derivatives(
        lambda x, kernel: C.local_conv2d(x, kernel, window, strides, places, data_format), x, kernel
    )
    layer = layers.LocallyConnected2D(3, window, strides, data_format=data_format, use_bias=False)
    assert_allclose(y, by_layer(layer, x, kernel), atol=1e-5)


def test_local_with_fewer_places() -> None:
    """As in Keras, the kernel and the output shape say how many places there are."""
    x, kernel = normal(1, 6, 2), normal(3, 4, 2)
    y = check_derivatives(C.local_conv1d, x, kernel, kernel_size=2, strides=1)
    rows = [x[:, i : i + 2].reshape(1, 4) @ kernel[i] for i in range(3)]
    assert_allclose(y, np.stack(rows, axis=1))
    y = C.local_conv2d(normal(1, 4, 4, 1), normal(2, 4, 3), (2, 2), (1, 1), (1, 2))
    assert y.shape == (1, 1, 2, 3)


# --- errors ---------------------------------------------------------------------------------

X, KERNEL = normal(1, 4, 3, 2), normal(2, 2, 2, 3)
LOCAL = (normal(1, 4, 4, 1), normal(9, 4, 3), (2, 2), (1, 1))
WRONG: list[tuple[Callable, str]] = [
    (lambda: C.conv2d(X, KERNEL, padding="causal"), "padding of K.conv2d must be 'valid' or"),
    (
        lambda: C.conv1d(X[0], KERNEL[0], padding="full"),
        "'valid' or 'same' or 'causal', got 'full'",
    ),
    (lambda: C.separable_conv1d(X[0], KERNEL[0], KERNEL[0], padding="causal"), "separable_conv1d"),
    (lambda: C.conv2d(X, KERNEL, data_format="NHWC"), "data_format must be one of"),
    (lambda: C.conv2d(X, KERNEL, (1, 1, 1)), "strides of K.conv2d must be an int or a tuple of 2"),
    (lambda: C.conv2d(X, KERNEL, 0), "strides of K.conv2d must be greater than 0"),
    (lambda: C.conv2d(X, KERNEL, dilation_rate=1.5), "dilation_rate of K.conv2d must be an int"),
    (lambda: C.conv2d(X, KERNEL, 2, dilation_rate=2), "don't go together"),
    (lambda: C.conv2d(X, normal(4, 4, 2, 1)), r"window of \(4, 4\) does not fit into \(4, 3\)"),
    (lambda: C.conv2d(X, KERNEL, dilation_rate=(1, 3)), r"with dilation \(1, 3\) does not fit"),
    (lambda: C.conv2d(X, normal(2, 2, 3, 2)), r"kernel of shape \(2, 2, 3, 2\).*2 channels"),
    (lambda: C.conv2d(X, KERNEL[0]), "it needs 4 axes"),
    (lambda: C.conv2d(X[0], KERNEL), r"needs an x with 4 axes.*\(4, 3, 2\)"),
    (lambda: C.separable_conv2d(X, KERNEL, normal(2, 1, 6, 2)), r"pointwise_kernel .* \(1, 1\)"),
    (lambda: C.separable_conv2d(X, KERNEL, normal(1, 1, 5, 2)), "6 channels"),
    (lambda: C.local_conv2d(*LOCAL, (3, 4)), r"has \(3, 3\) places"),
    (lambda: C.local_conv2d(*LOCAL, (3, 2)), r"needs a kernel of shape \(6, 4\)"),
    (lambda: C.local_conv2d(*LOCAL, (3, 3), "first"), "data_format must be one of"),
    (lambda: C.local_conv1d(X[0], normal(2, 5, 1), 2, 1), r"kernel of shape \(2, 4\)"),
    (lambda: C.local_conv1d(X[0], normal(2, 4, 1), 0, 1), "kernel_size of K.local_conv1d"),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_errors(number: int) -> None:
    call, message = WRONG[number]
    with pytest.raises(ValueError, match=message):
        call()


def test_empty_batch() -> None:
    for data_format, strides in itertools.product(FORMATS, (1, 2)):
        x = Tensor(np.zeros((0, 4, 4, 4)))
        kernel = Tensor(normal(2, 2, 4, 3))
        y = C.conv2d(x, kernel, strides, "same", data_format)
        dx, dkernel = backpropagate([(y, np.ones(y.shape))], [x, kernel])
        assert dx.shape == x.shape
        assert not dkernel.any()
