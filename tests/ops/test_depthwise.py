"""The fast depthwise convolution against the plain one of conv_reference.py."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minikeras.ops import depthwise, parallel
from minikeras.ops.depthwise import depthwise_conv, depthwise_conv_backward

from . import conv_reference as reference

LAYOUTS = {
    "contiguous": lambda a: a,
    "channels first": lambda a: np.moveaxis(np.moveaxis(a, -1, 1).copy(), 1, -1),
    "Fortran": np.asfortranarray,
    "gaps": lambda a: np.repeat(np.repeat(a, 2, -1), 2, 1)[:, ::2, ..., ::2],
    "backwards": lambda a: a[::-1, ..., ::-1].copy()[::-1, ..., ::-1],
}


def values(shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def laid_out(a, layout):
    """Return the same numbers in another memory layout, read-only."""
    other = LAYOUTS[layout](a)
    np.testing.assert_array_equal(other, a)
    other.flags.writeable = False
    return other


def agree(found, expected, what):
    """Assert equality up to rounding, which goes by the largest entry."""
    assert found.shape == expected.shape, what
    tolerance = {"float32": 1e-5, "float64": 1e-13}[found.dtype.name]
    atol = tolerance * np.abs(expected).max(initial=1e-3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol, err_msg=what)


def run(x, kernel, bias, slide, layout="contiguous"):
    """Return dy, and output and gradients by the ops; memory is full of NaN before."""
    places = reference.output_places(x.shape[1:-1], kernel.shape[:-2], **slide)
    filters = kernel.shape[-2] * kernel.shape[-1]
    y = np.full((len(x), *places, filters), np.nan, x.dtype)
    assert depthwise_conv(laid_out(x, layout), kernel, bias, **slide, out=y) is y
    dy = values(y.shape, x.dtype, seed=3)
    dx, dkernel, dbias = (np.full(s, np.nan, x.dtype) for s in (x.shape, kernel.shape, filters))
    depthwise_conv_backward(
        laid_out(dy, layout),
        laid_out(x, layout),
        kernel,
        **slide,
        dx=dx,
        dkernel=dkernel,
        dbias=dbias,
    )
    return dy, {"y": y, "dx": dx, "dkernel": dkernel, "dbias": dbias}


@st.composite
def problems(draw):
    """Draw shapes of x and kernel, and how the window slides."""
    rank = draw(st.integers(1, 3))
    axes = []
    for axis in range(rank):
        window, stride, dilation = (draw(st.integers(1, 4)) for _ in range(3))
        pads = tuple(draw(st.sampled_from([0, 1, 2, 3, 9])) for _ in range(2))
        least = max(1, (window - 1) * dilation + 1 - sum(pads))
        size = least + draw(st.integers(0, 8 if axis == rank - 1 else 3))
        axes.append((size, window, stride, pads, dilation))
    sizes, window, strides, pads, dilation = zip(*axes, strict=True)
    channels, multiplier = draw(st.integers(1, 4)), draw(st.sampled_from([1, 1, 2, 3]))
    x_shape = (draw(st.sampled_from([1, 2, 5, 0])), *sizes, channels)
    slide = {"strides": strides, "pads": pads, "dilation": dilation}
    return x_shape, (*window, channels, multiplier), slide


def check_against_loops(problem, dtype, layout, with_bias=True):
    x_shape, kernel_shape, slide = problem
    x, kernel = values(x_shape, dtype), values(kernel_shape, dtype, seed=1)
    bias = values(kernel_shape[-2] * kernel_shape[-1], dtype, seed=2) if with_bias else None
    dy, found = run(x, kernel, bias, slide, layout)
    agree(found["y"], reference.depthwise_conv(x, kernel, bias, **slide), "y")
    gradients = reference.depthwise_conv_backward(dy, x, kernel, **slide)
    for what, expected in zip(("dx", "dkernel", "dbias"), gradients, strict=True):
        agree(found[what], expected, what)


any_dtype, any_layout = st.sampled_from(["float32", "float64"]), st.sampled_from([*LAYOUTS])


@given(problems(), any_dtype, any_layout, st.booleans())
def test_against_loops(problem, dtype, layout, with_bias):
    check_against_loops(problem, dtype, layout, with_bias)


def test_against_loops_in_small_blocks_and_short_runs(monkeypatch):
    @settings(max_examples=100)
    @given(problems(), any_layout, st.integers(1, 200), st.integers(1, 30), st.integers(1, 5))
    def check(problem, layout, block, run, sums):
        monkeypatch.setattr(depthwise, "_SMALLEST", block)
        monkeypatch.setattr(depthwise, "_LARGEST", block)
        monkeypatch.setattr(depthwise, "_RUN", run)
        monkeypatch.setattr(depthwise, "_SUMS", sums)
        check_against_loops(problem, "float64", layout)

    check()


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("rank", [1, 2])
def test_blocks_that_see_nothing_but_zeros(rank, stride, monkeypatch):
    monkeypatch.setattr(depthwise, "_SMALLEST", 1)
    monkeypatch.setattr(depthwise, "_LARGEST", 1)
    slide = slide_evenly(rank, stride, pads=(9, 9))
    problem = (2, *(4, 3)[:rank], 2), (*(2, 2)[:rank], 2, 1), slide
    check_against_loops(problem, "float64", "contiguous")


def slide_evenly(rank, stride=1, pads=(1, 1), dilation=1):
    return {"strides": (stride,) * rank, "pads": (pads,) * rank, "dilation": (dilation,) * rank}


# Large enough for several blocks, runs of several widths, and a rest of each.
LARGE = {
    "images": ((3, 57, 53, 31), (3, 3, 31, 1), slide_evenly(2)),
    "images, stride 2": ((6, 57, 53, 31), (3, 3, 31, 1), slide_evenly(2, 2, (0, 1))),
    "a large image": ((1, 301, 151, 12), (3, 3, 12, 2), slide_evenly(2, dilation=2)),
    "sequences": ((40, 301, 40), (5, 40, 1), slide_evenly(1, pads=(4, 0))),
    "a long sequence, stride 2": ((1, 20_001, 24), (4, 24, 1), slide_evenly(1, 2, (1, 1))),
    "many channels": ((2, 6, 9, 8200), (2, 2, 8200, 1), slide_evenly(2, pads=(0, 0))),
    "volumes": ((2, 18, 19, 20, 33), (2, 3, 3, 33, 1), slide_evenly(3)),
}


def plain(x, kernel, bias, slide, dy):
    """The same as the loops, for all places at once."""
    window, (channels, multiplier) = kernel.shape[:-2], kernel.shape[-2:]
    places = tuple(range(dy.ndim - 1))
    x, dy, kernel = np.float64(x), np.float64(dy), np.float64(kernel)
    padded = np.pad(x, ((0, 0), *slide["pads"], (0, 0)))
    split = dy.reshape(*dy.shape[:-1], channels, multiplier)
    y, dpadded, dkernel = np.zeros(split.shape), np.zeros(padded.shape), np.zeros(kernel.shape)
    for tap in np.ndindex(*window):
        axes = zip(tap, slide["dilation"], dy.shape[1:-1], slide["strides"], strict=True)
        seen = (slice(None), *(slice(t * d, t * d + (p - 1) * s + 1, s) for t, d, p, s in axes))
        y += padded[seen][..., np.newaxis] * kernel[tap]
        dpadded[seen] += (split * kernel[tap]).sum(-1)
        dkernel[tap] = (padded[seen][..., np.newaxis] * split).sum(axis=places)
    around = zip(x.shape[1:-1], slide["pads"], strict=True)
    dx = dpadded[(slice(None), *(slice(before, before + n) for n, (before, _) in around))]
    dbias = dy.sum(axis=places)
    return {"y": y.reshape(dy.shape) + bias, "dx": dx, "dkernel": dkernel, "dbias": dbias}


def large(name, dtype="float32"):
    x_shape, kernel_shape, slide = LARGE[name]
    bias = values(kernel_shape[-2] * kernel_shape[-1], dtype, seed=2)
    return values(x_shape, dtype), values(kernel_shape, dtype, seed=1), bias, slide


@pytest.mark.parametrize("name", LARGE)
def test_large_ones_against_sums_over_taps(name):
    x, kernel, bias, slide = large(name)
    dy, found = run(x, kernel, bias, slide, [*LAYOUTS][len(name) % len(LAYOUTS)])
    for what, expected in plain(x, kernel, bias, slide, dy).items():
        agree(found[what], expected, what)


@pytest.mark.parametrize("name", ["images", "images, stride 2", "sequences"])
def test_the_same_bits_however_many_threads_there_are(name, monkeypatch):
    x, kernel, bias, slide = large(name)
    results = []
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("MINIKERAS_NUM_THREADS", threads)
        monkeypatch.setattr(parallel, "_helpers", None)
        results.append(run(x, kernel, bias, slide)[1])
    for other in results[1:]:
        for what, found in results[0].items():
            np.testing.assert_array_equal(other[what], found, what)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("which", [("dx",), ("dkernel",), ("dbias",), ("dx", "dbias"), ()], ids=str)
def test_the_gradients_that_are_asked_for(which, stride):
    slide = slide_evenly(2, stride)
    x, kernel, bias = values((3, 7, 8, 5)), values((3, 2, 5, 2), seed=1), values(10, seed=2)
    dy, everything = run(x, kernel, bias, slide)
    targets = {what: np.full_like(everything[what], np.nan) for what in which}
    given_x = x if "dkernel" in which else None
    depthwise_conv_backward(dy, given_x, kernel, **slide, **targets)
    for what in which:
        np.testing.assert_array_equal(targets[what], everything[what], what)


@pytest.mark.parametrize("name", ["images", "images, stride 2", "sequences", "volumes"])
def test_finish_gets_each_part_once(name):
    x, kernel, bias, slide = large(name)
    expected = np.maximum(run(x, kernel, bias, slide)[1]["y"], 0) + 1
    y = np.full_like(expected, np.nan)
    parts = []

    def finish(part):
        parts.append(part)
        np.maximum(part, 0, out=part)
        part += 1

    depthwise_conv(x, kernel, bias, **slide, out=y, finish=finish)
    np.testing.assert_array_equal(y, expected)
    assert len(parts) > 1
    assert sum(part.size for part in parts) == y.size
    assert all(part.flags.c_contiguous and np.shares_memory(part, y) for part in parts)


def test_by_hand():
    x = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])[np.newaxis]
    kernel = np.array([[[1.0, -1.0], [2.0, 0.0]], [[0.5, 0.0], [0.0, 3.0]]])
    y = np.empty((1, 2, 4))
    slide = {"strides": (2,), "pads": ((0, 1),), "dilation": (1,)}
    depthwise_conv(x, kernel, np.array([0.0, 0, 0, 7]), **slide, out=y)
    # Filters 0 and 1 see channel 0 alone, filters 2 and 3 channel 1.
    assert y.tolist() == [[[1 + 1.0, -1.0, 20.0, 60 + 7.0], [4.0, -4.0, 80.0, 7.0]]]


def test_zeros_around_are_zeros_whatever_scratch_memory_held():
    slide = slide_evenly(2, pads=(2, 2))
    kernel = np.ones((3, 3, 4, 1), "float32")
    depthwise_conv(
        np.full((2, 5, 5, 4), np.nan, "float32"),
        kernel,
        **slide,
        out=np.empty((2, 7, 7, 4), "float32"),
    )
    y = np.empty((2, 7, 7, 4), "float32")
    depthwise_conv(np.ones((2, 5, 5, 4), "float32"), kernel, **slide, out=y)
    np.testing.assert_array_equal(y[:, 0, :, 0], [[1, 2, 3, 3, 3, 2, 1]] * 2)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_steady_state_allocates_nothing_large(stride, monkeypatch):
    monkeypatch.setenv("MINIKERAS_NUM_THREADS", "1")
    monkeypatch.setattr(parallel, "_helpers", None)
    slide = slide_evenly(2, stride)
    x, kernel = values((16, 40, 40, 64)), values((3, 3, 64, 1), seed=1)
    dy, targets = run(x, kernel, None, slide)
    y = targets.pop("y")
    tracemalloc.start()
    depthwise_conv(x, kernel, **slide, out=y)
    depthwise_conv_backward(dy, x, kernel, **slide, **targets)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < x.nbytes / 8
