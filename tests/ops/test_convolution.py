"""The fast convolutions against the plain ones of conv_reference.py."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minikeras.ops import blas, convolution, gathering, parallel, windows
from minikeras.ops.convolution import conv, conv_backward

from . import conv_reference as reference

DTYPES = ["float32", "float64"]


def values(shape, dtype, seed):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def agree(found, expected, what):
    """Assert equality up to rounding, which goes by the largest entry."""
    assert found.shape == expected.shape, what
    tolerance = {"float32": 2e-5, "float64": 1e-12}[found.dtype.name]
    atol = tolerance * np.abs(expected).max(initial=1e-3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol, err_msg=what)


# What an array may look like in memory, with the same numbers in it.
LAYOUTS = {
    "contiguous": lambda a: a,
    "channels first": lambda a: np.moveaxis(np.moveaxis(a, -1, 1).copy(), 1, -1),
    "Fortran": np.asfortranarray,
    "gaps": lambda a: np.repeat(np.repeat(a, 2, -1), 2, 1)[:, ::2, ..., ::2],
    "backwards": lambda a: a[::-1, ..., ::-1].copy()[::-1, ..., ::-1],
}


def laid_out(a, layout):
    """Return the same numbers in another memory layout, read-only."""
    other = LAYOUTS[layout](a)
    np.testing.assert_array_equal(other, a)
    other.flags.writeable = False
    return other


def run(x, kernel, bias, slide, layout="contiguous", dy_seed=3):
    """Return output and gradients by the ops; memory is full of NaN before."""
    places = reference.output_places(x.shape[1:-1], kernel.shape[:-2], **slide)
    y = np.full((len(x), *places, kernel.shape[-1]), np.nan, x.dtype)
    result = conv(laid_out(x, layout), kernel, bias, **slide, out=y)
    assert result is y
    dy = values(y.shape, x.dtype, dy_seed)
    gradients = [np.full_like(a, np.nan) for a in (x, kernel, np.empty(kernel.shape[-1], x.dtype))]
    dx, dkernel, dbias = gradients
    conv_backward(
        laid_out(dy, layout),
        laid_out(x, layout),
        kernel,
        **slide,
        dx=dx,
        dkernel=dkernel,
        dbias=dbias,
    )
    return dy, [y, *gradients]


def check(results, expected):
    for name, found, wanted in zip(("y", "dx", "dkernel", "dbias"), results, expected, strict=True):
        agree(found, wanted, name)


@st.composite
def problems(draw):
    """Draw a rank, shapes and the way in which the window slides."""
    rank = draw(st.integers(1, 3))
    axes = []
    for axis in range(rank):
        last = axis == rank - 1
        window = draw(st.integers(1, 5 if last else 3))
        stride, dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (3, 1), (1, 2), (2, 3)]))
        pads = draw(st.integers(0, 3)), draw(st.integers(0, 3))
        least = max(1, (window - 1) * dilation + 1 - sum(pads))
        axes.append(
            (least + draw(st.integers(0, 16 if last else 4)), window, stride, pads, dilation)
        )
    sizes, window, strides, pads, dilation = zip(*axes, strict=True)
    batch = draw(st.sampled_from([0, 1, 2, 5]))
    channels, filters = (draw(st.sampled_from([1, 3, 8, 11])) for _ in range(2))
    slide = {"strides": strides, "pads": pads, "dilation": dilation}
    return (batch, *sizes, channels), (*window, channels, filters), slide


def check_against_loops(problem, dtype, layout, with_bias):
    x_shape, kernel_shape, slide = problem
    x, kernel = values(x_shape, dtype, 0), values(kernel_shape, dtype, 1)
    bias = values(kernel_shape[-1], dtype, 2) if with_bias else None
    dy, results = run(x, kernel, bias, slide, layout)
    expected = [
        reference.conv(x, kernel, bias, **slide),
        *reference.conv_backward(dy, x, kernel, **slide),
    ]
    check(results, expected)
    return x, kernel, bias, slide, dy, expected


any_dtype, any_layout = st.sampled_from(DTYPES), st.sampled_from([*LAYOUTS])


@given(problems(), any_dtype, any_layout, st.booleans())
def test_small_ones_against_loops(problem, dtype, layout, with_bias):
    check_against_loops(problem, dtype, layout, with_bias)


def test_small_ones_in_many_blocks(monkeypatch):
    """As large ones are cut, with a rest here and there."""
    monkeypatch.setattr(windows, "_LEAST_WORK", ((8, 100), (1, 0)))
    monkeypatch.setattr(convolution, "MUCH_WORK", 100)
    monkeypatch.setattr(windows, "FEW_PLACES", 1)

    @settings(max_examples=40)
    @given(problems(), any_dtype, any_layout, st.integers(5, 400))
    def check_in_blocks(problem, dtype, layout, block):
        monkeypatch.setattr(windows, "BLOCK", block)
        monkeypatch.setattr(gathering, "BLOCK", block)
        windows.blocks.cache_clear()
        check_against_loops(problem, dtype, layout, with_bias=True)

    check_in_blocks()
    windows.blocks.cache_clear()


@settings(max_examples=15)
@given(problems())
def test_the_two_references_agree(problem):
    x, kernel, bias, slide, dy, expected = check_against_loops(problem, "float64", "Fortran", True)
    by_taps = [
        reference.conv_by_taps(x, kernel, bias, **slide),
        *reference.conv_backward_by_taps(dy, x, kernel, **slide),
    ]
    check(by_taps, expected)


@settings(max_examples=20)
@given(problems(), any_dtype)
def test_each_gradient_alone(problem, dtype):
    """What is not asked for is not needed either, and changes nothing but rounding."""
    x_shape, kernel_shape, slide = problem
    x, kernel = values(x_shape, dtype, 0), values(kernel_shape, dtype, 1)
    dy, (_, *together) = run(x, kernel, None, slide)
    for name, wanted in zip(("dx", "dkernel", "dbias"), together, strict=True):
        alone = np.full_like(wanted, np.nan)
        read = x if name == "dkernel" else None
        conv_backward(dy, read, kernel, **slide, **{name: alone})
        agree(alone, np.float64(wanted), name)
    conv_backward(dy, None, kernel, **slide)


@settings(max_examples=20)
@given(problems(), any_dtype, st.booleans())
def test_finish_sees_each_entry_once(problem, dtype, with_bias):
    x_shape, kernel_shape, slide = problem
    x, kernel = values(x_shape, dtype, 0), values(kernel_shape, dtype, 1)
    bias = values(kernel_shape[-1], dtype, 2) if with_bias else None
    plain = reference.conv(x, kernel, bias, **slide)
    y = np.full(plain.shape, np.nan, dtype)

    def finish(part):
        assert part.flags.c_contiguous
        assert part.shape[-1] == kernel_shape[-1]
        part *= part
        part += 1.0

    conv(x, kernel, bias, **slide, out=y, finish=finish)
    agree(y, plain**2 + 1, "y")


@settings(max_examples=20)
@given(problems(), any_dtype, any_layout)
def test_as_a_transposed_convolution(problem, dtype, layout):
    """Its input is `dy`, and read-only; its output is `dx`, parts of which no window may reach."""
    x_shape, kernel_shape, slide = problem
    kernel = values(kernel_shape, dtype, 1)
    places = reference.output_places(x_shape[1:-1], kernel_shape[:-2], **slide)
    dy = values((x_shape[0], *places, kernel_shape[-1]), dtype, 0)
    y = np.full(x_shape, np.nan, dtype)
    conv_backward(laid_out(dy, layout), None, kernel, **slide, dx=y)
    agree(y, reference.conv_backward(dy, np.zeros(x_shape), kernel, **slide)[0], "y")


# Each of these may take another way through the op.
SAME, NONE = (1, 1), (0, 0)
LARGE = {
    # x, kernel, strides, pads, dilation
    "mnist, first": ((16, 28, 28, 1), (3, 3, 1, 32), 1, NONE, 1),
    "mnist, second": ((16, 26, 26, 32), (3, 3, 32, 64), 1, NONE, 1),
    "colours": ((1, 100, 99, 3), (3, 3, 3, 32), 1, NONE, 1),
    "large image": ((1, 98, 97, 32), (3, 3, 32, 32), 1, NONE, 1),
    "large image, same": ((2, 46, 46, 32), (3, 3, 32, 48), 1, SAME, 1),
    "same, one sided": ((3, 41, 40, 16), (3, 3, 16, 16), 1, (0, 2), 1),
    "same, uneven": ((3, 31, 33, 16), (4, 4, 16, 24), 1, (1, 2), 1),
    "many channels": ((3, 9, 10, 256), (3, 3, 256, 192), 1, SAME, 1),
    "one filter": ((4, 40, 40, 16), (3, 3, 16, 1), 1, SAME, 1),
    "one channel": ((8, 64, 64, 1), (5, 5, 1, 8), 1, NONE, 1),
    "few channels": ((8, 33, 31, 5), (3, 3, 5, 7), 1, SAME, 1),
    "strides": ((4, 57, 56, 16), (3, 3, 16, 32), 2, (0, 1), 1),
    "strides, large window": ((2, 96, 96, 3), (7, 7, 3, 32), 2, (2, 3), 1),
    "strides, gaps": ((4, 40, 41, 8), (2, 2, 8, 16), 3, NONE, 1),
    "dilation": ((4, 40, 41, 16), (3, 3, 16, 16), 1, (2, 2), 2),
    "1x1": ((4, 30, 31, 64), (1, 1, 64, 96), 1, NONE, 1),
    "1x1, batch of one": ((1, 14, 14, 256), (1, 1, 256, 64), 1, NONE, 1),
    "1x1, strides": ((4, 30, 31, 64), (1, 1, 64, 96), 2, NONE, 1),
    "1x1, pads": ((4, 30, 31, 16), (1, 1, 16, 32), 1, SAME, 1),
    "as large as the image": ((64, 7, 7, 32), (7, 7, 32, 10), 1, NONE, 1),
    "window 1x3": ((4, 60, 61, 16), (1, 3, 16, 16), 1, NONE, 1),
    "window 3x1": ((4, 60, 61, 16), (3, 1, 16, 16), 1, NONE, 1),
    "sequences": ((16, 100, 100), (3, 100, 64), 1, NONE, 1),
    "sequences, causal": ((16, 150, 32), (3, 32, 64), 1, (4, 0), 2),
    "long sequence": ((1, 5001, 4), (9, 4, 16), 1, (4, 4), 1),
    "sequences, strides": ((8, 400, 16), (5, 16, 32), 4, NONE, 1),
    "volumes": ((2, 16, 17, 18, 8), (3, 3, 3, 8, 16), 1, SAME, 1),
    "volumes, strides": ((2, 17, 17, 18, 4), (3, 2, 3, 4, 16), 2, NONE, 1),
}


def large(name, dtype="float32"):
    x_shape, kernel_shape, stride, pads, dilation = LARGE[name]
    rank = len(x_shape) - 2
    slide = {"strides": (stride,) * rank, "pads": (pads,) * rank, "dilation": (dilation,) * rank}
    bias = values(kernel_shape[-1], dtype, 2)
    return values(x_shape, dtype, 0), values(kernel_shape, dtype, 1), bias, slide


@pytest.mark.parametrize("name", LARGE)
def test_large_ones_against_sums_over_taps(name):
    x, kernel, bias, slide = large(name)
    layout = [*LAYOUTS][len(name) % len(LAYOUTS)]
    with blas.one_thread():
        dy, results = run(x, kernel, bias, slide, layout)
    expected = [
        reference.conv_by_taps(x, kernel, bias, **slide),
        *reference.conv_backward_by_taps(dy, x, kernel, **slide),
    ]
    check(results, expected)


@pytest.mark.parametrize("name", ["mnist, first", "large image, same", "1x1", "strides"])
def test_large_ones_in_float64(name):
    x, kernel, bias, slide = large(name, "float64")
    with blas.one_thread():
        dy, results = run(x, kernel, bias, slide)
    expected = [
        reference.conv_by_taps(x, kernel, bias, **slide),
        *reference.conv_backward_by_taps(dy, x, kernel, **slide),
    ]
    check(results, expected)


@pytest.mark.parametrize("name", LARGE)
def test_the_same_bits_however_many_threads_there_are(name, monkeypatch):
    x, kernel, bias, slide = large(name)
    monkeypatch.setattr(convolution, "MUCH_WORK", 0)
    monkeypatch.setattr(windows, "_LEAST_WORK", ((8, 0),))
    windows.blocks.cache_clear()
    results = []
    for threads in ("1", "2"):
        monkeypatch.setenv("MINIKERAS_NUM_THREADS", threads)
        monkeypatch.setattr(parallel, "_helpers", None)
        with blas.one_thread():
            results.append(run(x, kernel, bias, slide)[1])
    windows.blocks.cache_clear()
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["mnist, first", "1x1", "sequences", "volumes"])
def test_a_sample_does_not_depend_on_the_others(name):
    x, kernel, bias, slide = large(name)
    together = run(x, kernel, bias, slide)[1][0]
    agree(run(x[1:2], kernel, bias, slide)[1][0], np.float64(together[1:2]), "y")


def test_by_hand():
    x = np.array([1.0, 2.0, 4.0, 8.0]).reshape(1, 4, 1)
    kernel = np.array([1.0, 10.0, 100.0]).reshape(3, 1, 1)
    slide = {"strides": (1,), "pads": ((0, 0),), "dilation": (1,)}
    y = conv(x, kernel, np.array([0.5]), **slide, out=np.empty((1, 2, 1)))
    assert y.ravel().tolist() == [421.5, 842.5]
    dx, dkernel, dbias = np.empty((1, 4, 1)), np.empty((3, 1, 1)), np.empty(1)
    dy = np.array([1.0, 2.0]).reshape(1, 2, 1)
    conv_backward(dy, x, kernel, **slide, dx=dx, dkernel=dkernel, dbias=dbias)
    assert dx.ravel().tolist() == [1.0, 12.0, 120.0, 200.0]
    assert dkernel.ravel().tolist() == [5.0, 10.0, 20.0]
    assert dbias.tolist() == [3.0]


def test_the_larger_half_of_the_padding_may_come_last():
    x = np.array([1.0, 2.0, 4.0, 8.0]).reshape(1, 4, 1)
    kernel = np.array([1.0, 10.0, 100.0]).reshape(3, 1, 1)
    slide = {"strides": (2,), "pads": ((0, 1),), "dilation": (1,)}
    y = conv(x, kernel, **slide, out=np.empty((1, 2, 1)))
    assert y.ravel().tolist() == [421.0, 84.0]


# Which way is chosen. Each of these was many times slower than need be, the wrong way.


def ways(monkeypatch, x_shape, window, filters, strides=(1, 1)):
    """Return what the gradient by the input is made of, and the height of the runs."""
    x = np.zeros(x_shape, "float32")
    places = tuple((n - k) // s + 1 for n, k, s in zip(x_shape[1:], window, strides, strict=False))
    kernel = np.zeros((*window, x_shape[-1], filters), "float32")
    slide = {"strides": strides, "pads": ((0, 0), (0, 0)), "dilation": (1, 1)}
    calls = []
    monkeypatch.setattr(convolution, "scatter", lambda *arguments: calls.append("scatter"))
    dy = np.zeros((x_shape[0], *places, filters), "float32")
    conv_backward(dy, None, kernel, **slide, dx=np.empty_like(x))
    windows_over = windows.Windows.over(places, window, *slide.values())
    found = convolution._method(windows_over, len(x), x_shape[-1], filters, x.dtype)
    return "scattered" if calls else "turned", type(found).__name__, getattr(found, "height", 0)


def test_the_way_follows_from_the_shapes(monkeypatch):
    usual = ways(monkeypatch, (32, 46, 46, 64), (3, 3), 64)
    assert usual == ("turned", "Filtering", 0)
    window_as_large_as_the_image = ways(monkeypatch, (32, 7, 7, 16), (7, 7), 8)
    assert window_as_large_as_the_image == ("scattered", "Gathering", 1)
    few_places_and_a_large_kernel = ways(monkeypatch, (1, 8, 8, 256), (3, 3), 64)
    assert few_places_and_a_large_kernel == ("scattered", "Gathering", 1)
    strided = ways(monkeypatch, (32, 46, 46, 16), (3, 3), 16, (2, 2))
    assert strided == ("scattered", "Gathering", 1)
    long_window = ways(monkeypatch, (32, 46, 46, 16), (3, 7), 16)
    assert long_window == ("turned", "Gathering", 7)


def test_a_large_sample_needs_little_scratch_memory():
    """One with a single row is cut along its columns, and a strided one is scattered in parts."""
    for shape, window, strides in (
        ((1, 2, 60_000, 16), (2, 3), (1, 1)),
        ((1, 300, 300, 16), (3, 3), (2, 2)),
    ):
        rng = np.random.default_rng(1)
        x, kernel = rng.standard_normal(shape, "float32"), np.ones((*window, 16, 16), "float32")
        places = tuple(
            (n - k) // s + 1 for n, k, s in zip(shape[1:], window, strides, strict=False)
        )
        slide = {"strides": strides, "pads": ((0, 0), (0, 0)), "dilation": (1, 1)}
        y, dx, dkernel = (
            np.empty((1, *places, 16), "float32"),
            np.empty_like(x),
            np.empty_like(kernel),
        )
        tracemalloc.start()
        conv(x, kernel, out=y, **slide)
        conv_backward(y, x, kernel, dx=dx, dkernel=dkernel, **slide)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 16 * 2**20
        expected = reference.conv_by_taps(x, kernel, None, **slide)
        np.testing.assert_allclose(y, expected, atol=1e-4)
