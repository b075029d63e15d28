import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minikeras.ops import blas, local, parallel
from minikeras.ops.local import local_conv, local_conv_backward

LAYOUTS = {
    "contiguous": lambda a: a,
    "channels first": lambda a: np.moveaxis(np.moveaxis(a, -1, 1).copy(), 1, -1),
    "Fortran": np.asfortranarray,
    "gaps": lambda a: np.repeat(np.repeat(a, 2, -1), 2, 1)[:, ::2, ..., ::2],
}


def values(shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def laid_out(a, layout):
    """Return the same numbers in another memory layout, read-only."""
    other = LAYOUTS[layout](a)
    other.flags.writeable = False
    return other


def places_of(sizes, window, strides):
    axes = zip(sizes, window, strides, strict=True)
    return tuple((n - k) // s + 1 for n, k, s in axes)


def patch(x, place, window, strides):
    """Return the view of what lies under the window at a place, (batch, *window, channels)."""
    axes = zip(place, window, strides, strict=True)
    return x[(slice(None), *(slice(p * s, p * s + k) for p, k, s in axes))]


def reference(x, kernel, bias, window, strides, channels_first):
    """Multiply place by place."""
    x = np.float64(x)
    places = places_of(x.shape[1:-1], window, strides)
    y = np.zeros((len(x), *places, kernel.shape[-1]))
    for number, place in enumerate(np.ndindex(*places)):
        seen = patch(x, place, window, strides)
        if channels_first:
            seen = np.moveaxis(seen, -1, 1)
        entries = seen.reshape(len(x), kernel.shape[1])
        y[(slice(None), *place)] = entries @ kernel[number] + bias[place]
    return y


def reference_backward(dy, x, kernel, window, strides, channels_first):
    x, dy = np.float64(x), np.float64(dy)
    dx, dkernel = np.zeros(x.shape), np.zeros(kernel.shape)
    for number, place in enumerate(np.ndindex(*dy.shape[1:-1])):
        seen = patch(x, place, window, strides)
        upstream = dy[(slice(None), *place)]
        if channels_first:
            seen = np.moveaxis(seen, -1, 1)
        dseen = (upstream @ kernel[number].T).reshape(seen.shape)
        if channels_first:
            dseen = np.moveaxis(dseen, 1, -1)
        patch(dx, place, window, strides)[...] += dseen
        dkernel[number] = seen.reshape(len(x), kernel.shape[1]).T @ upstream
    return {"dx": dx, "dkernel": dkernel, "dbias": dy.sum(0)}


def run(x, kernel, bias, window, strides, channels_first, layout="contiguous"):
    """Return dy, y and the gradients; memory is full of NaN before."""
    how = {"window": window, "strides": strides, "channels_first": channels_first}
    places = places_of(x.shape[1:-1], window, strides)
    y = np.full((len(x), *places, kernel.shape[-1]), np.nan, x.dtype)
    assert local_conv(laid_out(x, layout), kernel, bias, **how, out=y) is y
    dy = values(y.shape, x.dtype, seed=3)
    gradients = {
        "dx": np.full_like(x, np.nan),
        "dkernel": np.full_like(kernel, np.nan),
        "dbias": np.full_like(bias, np.nan),
    }
    local_conv_backward(laid_out(dy, layout), laid_out(x, layout), kernel, **how, **gradients)
    return dy, y, gradients


def make(sizes, window, strides, batch, channels, filters, dtype="float64"):
    places = places_of(sizes, window, strides)
    x = values((batch, *sizes, channels), dtype)
    kernel = values((np.prod(places), np.prod(window) * channels, filters), dtype, seed=1)
    return x, kernel, values((*places, filters), dtype, seed=2), window, strides


def check(problem, channels_first, layout="contiguous"):
    x, kernel, _, window, strides = problem
    dy, y, gradients = run(*problem, channels_first, layout)
    tolerance = {"float32": 1e-5, "float64": 1e-12}[x.dtype.name]
    expected = reference_backward(dy, x, kernel, window, strides, channels_first)
    expected["y"] = reference(*problem, channels_first)
    for what, found in {"y": y, **gradients}.items():
        assert found.dtype == x.dtype
        atol = tolerance * abs(expected[what]).max(initial=1)
        np.testing.assert_allclose(found, expected[what], rtol=0, atol=atol, err_msg=what)


@st.composite
def problems(draw):
    rank = draw(st.integers(1, 3))
    axes = []
    for _ in range(rank):
        window, stride = draw(st.integers(1, 4)), draw(st.integers(1, 5))
        axes.append((window + draw(st.integers(0, 6 if rank < 3 else 2)), window, stride))
    sizes, window, strides = zip(*axes, strict=True)
    batch = draw(st.sampled_from([1, 2, 5, 0]))
    channels, filters = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    dtype = draw(st.sampled_from(["float32", "float64"]))
    return make(sizes, window, strides, batch, channels, filters, dtype)


any_layout = st.sampled_from([*LAYOUTS])


@given(problems(), st.booleans(), any_layout)
def test_place_by_place(problem, channels_first, layout):
    check(problem, channels_first, layout)


def test_place_by_place_in_many_blocks(monkeypatch):
    monkeypatch.setattr(local, "_WORK", 1)

    @settings(max_examples=60)
    @given(problems(), st.booleans(), any_layout, st.integers(1, 100))
    def check_in_blocks(problem, channels_first, layout, size):
        monkeypatch.setattr(local, "_SCRATCH", size)
        check(problem, channels_first, layout)

    check_in_blocks()


@pytest.mark.parametrize("window", [1, 2, 9, 16])
@pytest.mark.parametrize("stride", [1, 2, 3, 20])
def test_every_other_block_has_its_own_input(window, stride, monkeypatch):
    """They are at work at the same time, and add to the same array."""
    monkeypatch.setattr(local, "_WORK", 1)
    products = local._Products(np.empty((24, window, 1)), 2, (window,), (stride,), (24,), False)
    assert products.blocks > 1
    for first in (0, 1):
        end = 0
        for block in range(first, products.blocks, 2):
            parts = products.parts(block)
            assert parts[0].start * stride >= end
            end = (parts[-1].stop - 1) * stride + window


LARGE = {
    "images": make((22, 21), (3, 4), (1, 1), 16, 8, 12, "float32"),
    "strides": make((47, 21), (5, 2), (2, 1), 16, 8, 12, "float32"),
    "sequences": make((300,), (5,), (1,), 32, 16, 16, "float32"),
}


@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize("channels_first", [True, False])
def test_large_ones(name, channels_first):
    with blas.one_thread():
        check(LARGE[name], channels_first)


@pytest.mark.parametrize("name", LARGE)
def test_the_same_bits_however_many_threads_there_are(name, monkeypatch):
    results = []
    for threads in ("1", "2", "4"):
        monkeypatch.setenv("MINIKERAS_NUM_THREADS", threads)
        monkeypatch.setattr(parallel, "_helpers", None)
        with blas.one_thread():
            _, y, gradients = run(*LARGE[name], False)
        results.append([y, *gradients.values()])
    for other in results[1:]:
        for one, found in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, found)


@pytest.mark.parametrize("which", [("dx",), ("dkernel",), ("dbias",), ("dx", "dbias"), ()], ids=str)
def test_the_gradients_that_are_asked_for(which):
    problem = make((6, 5), (2, 3), (1, 1), 3, 2, 4)
    x, kernel, _, window, strides = problem
    dy, _, everything = run(*problem, False)
    targets = {what: np.full_like(everything[what], np.nan) for what in which}
    given_x = x if "dkernel" in which else None
    local_conv_backward(dy, given_x, kernel, window=window, strides=strides, **targets)
    for what in which:
        np.testing.assert_array_equal(targets[what], everything[what], what)


def test_finish_gets_each_part_once():
    problem = make((30, 30), (3, 3), (1, 1), 40, 2, 12, "float32")
    x, kernel, bias, window, strides = problem
    expected = np.maximum(run(*problem, False)[1], 0) + 1
    y = np.full_like(expected, np.nan)
    parts = []

    def finish(part):
        parts.append(part)
        np.maximum(part, 0, out=part)
        part += 1

    local_conv(x, kernel, bias, window=window, strides=strides, out=y, finish=finish)
    np.testing.assert_array_equal(y, expected)
    assert len(parts) > 1
    assert sum(part.size for part in parts) == y.size
    assert all(part.flags.c_contiguous and np.shares_memory(part, y) for part in parts)


def test_without_bias():
    x, kernel, bias, window, strides = make((6,), (3,), (2,), 2, 1, 2)
    y = np.empty((2, 2, 2))
    local_conv(x, kernel, window=window, strides=strides, out=y)
    np.testing.assert_allclose(y, reference(x, kernel, 0 * bias, window, strides, False))


def test_by_hand():
    x = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])[np.newaxis]
    kernel = np.array([[1.0, 0, 0, 1], [0, 1, 1, 0]])[..., np.newaxis]
    y = np.empty((1, 2, 1))
    how = {"window": (2,), "strides": (1,), "out": y}
    # The windows hold 1, 10, 2, 20 and 2, 20, 3, 30.
    assert local_conv(x, kernel, **how).ravel().tolist() == [1 + 20, 20 + 3]
    # With the channels first, they hold 1, 2, 10, 20 and 2, 3, 20, 30.
    local_conv(x, kernel, **how, channels_first=True)
    assert y.ravel().tolist() == [1 + 20, 3 + 20]
