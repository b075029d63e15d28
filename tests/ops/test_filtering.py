"""Convolution with fewer multiplications: exact transforms, small errors, no stray reads."""

import numpy as np
import pytest

from minikeras.ops import memory
from minikeras.ops.convolution import conv, conv_backward
from minikeras.ops.filtering import TILE, Filtering, transforms
from minikeras.ops.windows import Windows
from tests.ops.conv_reference import conv as loops


@pytest.mark.parametrize("taps", [2, 3, 4, 5])
def test_transforms_give_a_correlation(taps):
    to_tile, to_kernel, from_tile = transforms(taps, "float64")
    rng = np.random.default_rng(taps)
    x, w = rng.standard_normal(TILE), rng.standard_normal(taps)
    y = from_tile @ ((to_kernel @ w) * (to_tile @ x))
    np.testing.assert_allclose(y, np.correlate(x, w, "valid"), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("taps", [2, 3, 4, 5])
def test_rounding_stays_near_that_of_a_plain_sum(taps):
    rng = np.random.default_rng(taps)
    x = rng.standard_normal((2, 24, 25, 32))
    kernel = rng.standard_normal((3, taps, 32, 16)) / 10
    options = {"strides": (1, 1), "pads": ((0, 0), (0, 0)), "dilation": (1, 1)}
    places = (22, 26 - taps)
    windows = Windows.over(places, (3, taps), *options.values())
    assert Filtering.pays(windows, 2, 32, 16, np.dtype("float32"))
    y = conv(x, kernel, out=np.empty((2, *places, 16)), **options)
    single = conv(
        x.astype("float32"),
        kernel.astype("float32"),
        out=np.empty(y.shape, "float32"),
        **options,
    )
    assert np.abs(single - y).max() < 4e-6 * np.abs(y).max()


@pytest.mark.parametrize("pads", [((0, 0), (0, 0)), ((1, 1), (2, 0))])
@pytest.mark.parametrize("window", [(3, 3), (2, 5), (1, 1)])
@pytest.mark.parametrize("channels", [3, 8])
def test_nothing_is_read_before_it_is_written(window, pads, channels):
    """Scratch memory keeps what other ops have left in it; here that is NaN."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((3, 9, 15, channels))
    kernel = rng.standard_normal((*window, channels, 9))
    places = tuple(n + sum(p) - k + 1 for n, p, k in zip(x.shape[1:], pads, window, strict=False))
    options = {"strides": (1, 1), "pads": pads, "dilation": (1, 1)}
    for name in ("padded", "rows", "tiles", "products", "kernel_part", "kernel_totals"):
        memory.scratch(name, (100_000,), "float64").fill(np.nan)
    y = np.full((3, *places, 9), np.nan)
    conv(x, kernel, out=y, **options)
    np.testing.assert_allclose(y, loops(x, kernel, None, **options), atol=1e-12)
    dx, dkernel = np.full_like(x, np.nan), np.full_like(kernel, np.nan)
    for name in ("padded", "rows", "tiles", "products", "kernel_part", "kernel_totals"):
        memory.scratch(name, (100_000,), "float64").fill(np.nan)
    conv_backward(y, x, kernel, dx=dx, dkernel=dkernel, **options)
    assert np.isfinite(dx).all()
    assert np.isfinite(dkernel).all()
