"""Pooling of K: against the layers, derivatives, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minikeras import backend as K
from minikeras import layers
from minikeras.backend.backpropagation import backpropagate
from minikeras.backend.pooling import pool2d, pool3d
from minikeras.backend.tape import Tensor
from tests.backend.derivatives import check_derivatives

LAYERS = {
    ("max", 2): layers.MaxPooling2D,
    ("avg", 2): layers.AveragePooling2D,
    ("max", 3): layers.MaxPooling3D,
    ("avg", 3): layers.AveragePooling3D,
}


def distinct(*shape: int) -> np.ndarray:
    """Entries without ties, in random order."""
    order = np.random.RandomState(0).permutation(int(np.prod(shape)))
    return order.reshape(shape) / 8.0 - 3


@pytest.mark.parametrize("mode", ["max", "avg"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("shape", "pool_size", "strides"),
    [
        ((1, 4, 4, 2), (2, 2), (2, 2)),
        ((2, 5, 4, 2), (2, 3), (1, 2)),
        ((1, 5, 5, 3), 3, 2),
        ((1, 4, 5, 1), (2, 2), (3, 1)),
        ((1, 3, 4, 3, 2), (2, 2, 2), (2, 1, 2)),
    ],
)
def test_pool(
    shape: tuple[int, ...],
    pool_size: Any,
    strides: Any,
    padding: str,
    data_format: str,
    mode: str,
) -> None:
    x = distinct(*shape)
    if data_format == "channels_first":
        x = np.moveaxis(x, -1, 1)
    rank = len(shape) - 2
    pool = pool2d if rank == 2 else pool3d
    args = pool_size, strides, padding, data_format
    y = check_derivatives(lambda x: pool(x, *args, mode), x)
    layer = LAYERS[mode, rank](*args)
    assert_allclose(y, layer(x.astype("float32")), rtol=1e-6)
    assert_array_equal(pool(x.astype("float32"), *args, mode), layer(x.astype("float32")))


def test_defaults() -> None:
    x = distinct(1, 3, 3, 2)
    y = check_derivatives(pool2d, x, pool_size=(2, 2))
    assert_array_equal(y, pool2d(x, (2, 2), (1, 1), "valid", "channels_last", "max"))
    assert pool3d(distinct(1, 3, 3, 3, 2), 2).shape == (1, 2, 2, 2, 2)


def test_image_data_format() -> None:
    x = Tensor(distinct(1, 2, 4, 4))
    K.set_image_data_format("channels_first")
    try:
        y = pool2d(x, (2, 2), (2, 2))
    finally:
        K.set_image_data_format("channels_last")
    assert y.shape == (1, 2, 2, 2)
    (dx,) = backpropagate([(y, np.ones(y.shape))], [x])
    assert dx.shape == x.shape
    assert dx.sum() == 8


@pytest.mark.parametrize("mode", ["max", "avg"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_views_that_repeat_memory(mode: str, data_format: str) -> None:
    x = Tensor(np.broadcast_to(np.arange(5.0), (2, 4, 4, 5)))
    y = pool2d(x, (3, 2), (2, 2), "same", data_format, mode)
    dy = np.broadcast_to(np.float64(2.0), y.shape)
    copy = Tensor(np.ascontiguousarray(x.value))
    expected = pool2d(copy, (3, 2), (2, 2), "same", data_format, mode)
    assert_array_equal(y.value, expected.value)
    found = backpropagate([(y, dy)], [x])[0]
    assert_allclose(found, backpropagate([(expected, dy.copy())], [copy])[0])


def test_the_first_of_equals_gets_the_gradient() -> None:
    x = Tensor(np.ones((1, 2, 2, 1)))
    (dx,) = backpropagate([(pool2d(x, (2, 2)), np.ones((1, 1, 1, 1)))], [x])
    assert dx.ravel().tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pool_mode": "sum"}, "pool_mode of K.pool2d must be 'max' or 'avg', got 'sum'"),
        ({"padding": "causal"}, "padding of K.pool2d must be 'valid' or 'same', got 'causal'"),
        ({"data_format": "last"}, "data_format must be one of"),
        ({"pool_size": (2, 2, 2)}, "pool_size of K.pool2d must be an int or a tuple of 2"),
        ({"pool_size": 0}, "pool_size of K.pool2d must be greater than 0"),
        ({"strides": (0, 1)}, "strides of K.pool2d must be greater than 0"),
        ({"pool_size": 5}, r"window of \(5, 5\) does not fit into \(4, 3\)"),
    ],
)
def test_errors(arguments: dict[str, Any], message: str) -> None:
    for x in (distinct(1, 4, 3, 2), Tensor(distinct(1, 4, 3, 2))):
        with pytest.raises(ValueError, match=message):
            pool2d(**{"x": x, "pool_size": (2, 2), **arguments})


def test_rank() -> None:
    with pytest.raises(ValueError, match=r"K.pool3d needs an x with 5 axes.*\(1, 4, 3, 2\)"):
        pool3d(distinct(1, 4, 3, 2), 2)
