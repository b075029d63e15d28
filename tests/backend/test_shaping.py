"""Shapes, orders, copies, zeros around: values against NumPy, derivatives against differences."""

import numpy as np
import pytest

from minikeras.backend import config, shaping
from minikeras.backend.backpropagation import backpropagate
from minikeras.backend.tape import Tensor

from .derivatives import check_derivatives


def numbers(*shape):
    return np.random.RandomState(1).standard_normal(shape)


X = numbers(2, 3, 4)


@pytest.mark.parametrize(
    ("function", "x", "args", "expected"),
    [
        (shaping.reshape, X, ((4, -1),), X.reshape(4, 6)),
        (shaping.reshape, X, ([2, 12],), X.reshape(2, 12)),
        (shaping.reshape, X, (-1,), X.ravel()),
        (shaping.flatten, X, (), X.ravel()),
        (shaping.batch_flatten, X, (), X.reshape(2, 12)),
        (shaping.batch_flatten, X[0, 0], (), X[0, 0][:, None]),
        (shaping.expand_dims, X, (), X[..., None]),
        (shaping.expand_dims, X, (1,), X[:, None]),
        (shaping.expand_dims, X, (-2,), X[:, :, None]),
        (shaping.squeeze, X[:, :1], (1,), X[:, 0]),
        (shaping.squeeze, X[:, :, :1], (-1,), X[:, :, 0]),
        (shaping.permute_dimensions, X, ((2, 0, 1),), X.transpose(2, 0, 1)),
        (shaping.permute_dimensions, X, ([0, -1, 1],), X.transpose(0, 2, 1)),
        (shaping.transpose, X, (), X.T),
        (shaping.swapaxes, X, (0, -1), X.swapaxes(0, 2)),
        (shaping.reverse, X, (1,), X[:, ::-1]),
        (shaping.reverse, X, ([0, -1],), X[::-1, :, ::-1]),
        (shaping.broadcast_to, X[:, :1], ((5, 2, 3, 4),), np.stack([X[:, [0, 0, 0]]] * 5)),
        (shaping.repeat_elements, X, (3, 1), np.repeat(X, 3, 1)),
        (shaping.repeat_elements, X, (2, -1), np.repeat(X, 2, 2)),
        (shaping.repeat, X[0], (5,), np.stack([X[0]] * 5, axis=1)),
        (shaping.tile, X, ((2, 1, 3),), np.tile(X, (2, 1, 3))),
        (shaping.tile, X[0, 0], (2,), np.tile(X[0, 0], 2)),
        (shaping.zeros_around, X, (((0, 0), (1, 2), (3, 0)),), np.pad(X, [(0, 0), (1, 2), (3, 0)])),
        (shaping.zeros_around, X, (((2, 1), (0, 0), (0, 1)),), np.pad(X, [(2, 1), (0, 0), (0, 1)])),
        (shaping.temporal_padding, X, (), np.pad(X, [(0, 0), (1, 1), (0, 0)])),
        (shaping.temporal_padding, X, ((0, 2),), np.pad(X, [(0, 0), (0, 2), (0, 0)])),
    ],
)
def test_values_and_derivatives(function, x, args, expected):
    np.testing.assert_array_equal(check_derivatives(function, x, *args, by=[0]), expected)
    np.testing.assert_array_equal(function(x.tolist(), *args), expected)


def test_joining():
    a, b, c = numbers(2, 3), numbers(2, 1), numbers(4, 3)
    np.testing.assert_array_equal(
        check_derivatives(shaping.concatenate, [a, b, a]), np.concatenate([a, b, a], axis=1)
    )
    np.testing.assert_array_equal(
        check_derivatives(shaping.concatenate, [a, c], axis=0), np.concatenate([a, c])
    )
    check_derivatives(shaping.concatenate, [a, c], axis=-2)
    for axis in (0, 1, 2, -1, -2):
        np.testing.assert_array_equal(
            check_derivatives(shaping.stack, [a, 2 * a], axis=axis), np.stack([a, 2 * a], axis)
        )
    check_derivatives(shaping.stack, [np.array(1.0), np.array(2.0)])
    assert shaping.stack((a, a)).shape == (2, 2, 3)


def test_one_tensor_twice_in_a_list():
    x = Tensor(np.ones(2))
    y = shaping.concatenate([x, np.zeros(1), x], axis=0)
    (dx,) = backpropagate([(y, np.array([1.0, 2.0, 3.0, 4.0, 5.0]))], [x])
    assert dx.tolist() == [5.0, 7.0]


def test_arrays_beside_a_tensor_take_its_type():
    x = Tensor(np.ones(2, "float32"))
    for function in (shaping.concatenate, shaping.stack):
        assert function([np.ones(2), x, [1.0, 2.0]]).value.dtype == np.float32


def test_sizes_may_be_tensors():
    n = Tensor(np.array(2))
    x = Tensor(numbers(6))
    y = shaping.reshape(x, (n, 3))
    assert y.shape == (2, 3)
    assert shaping.tile(x, [n]).shape == (12,)
    (dx,) = backpropagate([(shaping.tile(x, [n]), np.ones(12))], [x])
    assert dx.tolist() == [2.0] * 6


PADDING_2D = ((1, 2), (0, 3))
PADDING_3D = ((1, 2), (0, 3), (1, 0))


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first", None])
def test_zeros_around_images_and_volumes(data_format):
    first = data_format == "channels_first"
    for function, padding, shape in (
        (shaping.spatial_2d_padding, PADDING_2D, (2, 2, 3, 2)),
        (shaping.spatial_3d_padding, PADDING_3D, (1, 2, 2, 1, 2)),
    ):
        x = numbers(*shape)
        pads = [(0, 0), (0, 0), *padding] if first else [(0, 0), *padding, (0, 0)]
        y = check_derivatives(function, x, padding, by=[0], data_format=data_format)
        np.testing.assert_array_equal(y, np.pad(x, pads))
    assert shaping.spatial_2d_padding(x[0], data_format="channels_last").shape == (2, 4, 3, 2)
    assert shaping.spatial_3d_padding(x).shape == (1, 4, 4, 3, 2)


def test_the_layout_that_is_set_counts():
    config.set_image_data_format("channels_first")
    try:
        assert shaping.spatial_2d_padding(np.ones((1, 2, 3, 4))).shape == (1, 2, 5, 6)
    finally:
        config.set_image_data_format("channels_last")


def moved(x, data_format):
    return np.moveaxis(x, -1, 1) if data_format == "channels_first" else x


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_resizing(data_format):
    x = numbers(2, 2, 3, 2)
    y = check_derivatives(shaping.resize_images, moved(x, data_format), 2, 3, data_format, by=[0])
    np.testing.assert_array_equal(y, moved(x.repeat(2, 1).repeat(3, 2), data_format))
    y = check_derivatives(
        shaping.resize_images, moved(x, data_format), 2, 3, data_format, "bilinear", by=[0]
    )
    np.testing.assert_allclose(y, moved(bilinear(x, 2, 3), data_format))
    x = numbers(1, 2, 1, 2, 2)
    y = check_derivatives(
        shaping.resize_volumes, moved(x, data_format), 2, 1, 3, data_format, by=[0]
    )
    np.testing.assert_array_equal(y, moved(x.repeat(2, 1).repeat(3, 3), data_format))


def bilinear(x, *factors):
    """Interpolation at the places ``i / factor``, by the book."""
    for axis, factor in enumerate(factors, 1):
        size = x.shape[axis]
        place = np.arange(size * factor) / factor
        low = place.astype(int)
        high = np.minimum(low + 1, size - 1)
        shape = [1] * x.ndim
        shape[axis] = -1
        part = (place - low).reshape(shape)
        x = x.take(low, axis) * (1 - part) + x.take(high, axis) * part
    return x


def test_integers_can_be_repeated_and_padded():
    x = np.arange(4, dtype="int32").reshape(1, 2, 2, 1)
    y = shaping.resize_images(x, 2, 1, "channels_last")
    assert y.dtype == np.int32
    assert y.ravel().tolist() == [0, 1, 0, 1, 2, 3, 2, 3]
    assert shaping.spatial_2d_padding(x).dtype == np.int32


def test_what_is_plain_stays_plain_and_keeps_its_type():
    x = numbers(1, 2, 3, 2).astype("float32")
    for y in (
        shaping.reshape(x, (-1,)),
        shaping.concatenate([x, x]),
        shaping.tile(x, (1, 2, 1, 1)),
        shaping.resize_images(x, 2, 2, "channels_last", "bilinear"),
        shaping.spatial_2d_padding(x),
    ):
        assert type(y) is np.ndarray
        assert y.dtype == np.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: shaping.reshape(X, (5, 5)), r"size 24 into shape \(5,5\)"),
        (lambda: shaping.squeeze(X, 1), r"axis 1 of shape \(2, 3, 4\)"),
        (lambda: shaping.repeat(X, 2), r"\(batch, features\), got one of shape \(2, 3, 4\)"),
        (lambda: shaping.tile(X, (2, 2)), r"3 for an array of shape \(2, 3, 4\), got \(2, 2\)"),
        (lambda: shaping.temporal_padding(X[0]), r"3 axes.* shape \(3, 4\)"),
        (lambda: shaping.temporal_padding(X, (1, -1)), r"pairs .*\(1, -1\)"),
        (lambda: shaping.temporal_padding(X, (1, 1, 1)), r"pairs .*\(1, 1, 1\)"),
        (lambda: shaping.spatial_2d_padding(X), r"4 axes.* shape \(2, 3, 4\)"),
        (lambda: shaping.spatial_2d_padding(X, PADDING_3D), "must be 2 pairs"),
        (lambda: shaping.spatial_3d_padding(X, PADDING_2D), "must be 3 pairs"),
        (lambda: shaping.spatial_2d_padding(X[None], data_format="last"), "data_format"),
        (lambda: shaping.resize_images(X, 2, 2, "channels_last"), r"4 axes.* shape \(2, 3, 4\)"),
        (lambda: shaping.resize_images(X[None], 0, 2, "channels_last"), r"got \(0, 2\)"),
        (lambda: shaping.resize_images(X[None], 2, 2, "last"), "data_format must be"),
        (lambda: shaping.resize_images(X[None], 2, 2, "channels_last", "cubic"), "'cubic'"),
        (lambda: shaping.resize_volumes(X, 2, 2, 2, "channels_last"), r"5 axes"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_joining_takes_lists_only():
    for function in (shaping.concatenate, shaping.stack):
        with pytest.raises(TypeError, match=f"K.{function.__name__} takes a list"):
            function(X)
