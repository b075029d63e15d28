import numpy as np
import pytest

from minikeras.ops import global_pooling as pooling


def values(shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def with_gaps(x):
    """Return an equal array whose entries do not lie together, in another order."""
    return np.asfortranarray(np.repeat(x, 2, axis=0))[::2]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [(1,), (7,), (4, 5), (3, 2, 4)], ids=str)
@pytest.mark.parametrize("strided", [False, True])
def test_global_pooling_is_what_numpy_gives(sizes, dtype, strided):
    x, dy = values((3, *sizes, 4), dtype), values((3, 4), dtype, seed=1)
    source = with_gaps(x) if strided else x
    axes = tuple(range(1, x.ndim - 1))
    spread = np.expand_dims(dy, axes)

    y = pooling.global_max(source, np.full_like(dy, np.nan))
    np.testing.assert_array_equal(y, x.max(axis=axes))
    dx = pooling.global_max_backward(dy, source, y, np.full_like(x, np.nan))
    np.testing.assert_array_equal(dx, np.where(x == x.max(axis=axes, keepdims=True), spread, 0))
    assert y.dtype == dx.dtype == dtype

    rtol = 1e-5 if dtype == "float32" else 1e-12
    y = pooling.global_average(source, np.full_like(dy, np.nan))
    np.testing.assert_allclose(y, x.mean(axis=axes), rtol=rtol, atol=rtol)
    dx = pooling.global_average_backward(dy, np.full_like(x, np.nan))
    expected = np.broadcast_to(spread / np.prod(sizes), x.shape)
    np.testing.assert_allclose(dx, expected, rtol=rtol)
    assert y.dtype == dx.dtype == dtype


def test_global_max_shares_the_gradient_among_equal_entries():
    x = np.array([1.0, 3.0, 3.0, 0.0, 3.0]).reshape(1, 5, 1)
    dx = pooling.global_max_backward(
        np.full((1, 1), 6.0), x, np.full((1, 1), 3.0), np.empty_like(x)
    )
    assert dx.ravel().tolist() == [0.0, 2.0, 2.0, 0.0, 2.0]


def test_global_max_of_nan():
    x = np.array([1.0, np.nan]).reshape(1, 2, 1)
    y = pooling.global_max(x, np.empty((1, 1)))
    assert np.isnan(y).all()
    dx = pooling.global_max_backward(np.ones((1, 1)), x, y, np.empty_like(x))
    assert dx.ravel().tolist() == [0.0, 0.0]


def test_weighted_global_average():
    x, dy = values((3, 5, 4)), values((3, 4), seed=1)
    weights = np.random.default_rng(2).dirichlet(np.ones(5), 3)
    y = pooling.global_average(x, np.empty((3, 4)), weights)
    np.testing.assert_allclose(y, np.average(x, axis=1, weights=weights[..., None] * np.ones(4)))
    dx = pooling.global_average_backward(dy, np.empty_like(x), weights)
    np.testing.assert_allclose(dx, np.einsum("bt,bc->btc", weights, dy))
