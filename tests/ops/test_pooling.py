import tracemalloc
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikeras.ops import parallel, pooling
from minikeras.utils.conv_utils import conv_output_length, conv_padding


@pytest.fixture
def threads(monkeypatch):
    """Return a function that sets the number of threads for this test."""

    def set_threads(count):
        monkeypatch.setenv("MINIKERAS_NUM_THREADS", str(count))
        monkeypatch.setattr(parallel, "_helpers", None)

    return set_threads


def values(shape, dtype="float64", seed=0, ties=False):
    x = np.random.default_rng(seed).normal(size=shape)
    return (np.maximum(np.round(x), 0) if ties else x).astype(dtype)


def with_gaps(x):
    """Return an equal array whose entries do not lie together, in another order."""
    return np.asfortranarray(np.repeat(x, 2, axis=0))[::2]


def geometry(sizes, window, strides, padding):
    """Return the number of places and the pads along each axis."""
    axes = list(zip(sizes, window, strides, strict=True))
    places = tuple(conv_output_length(n, k, padding, s) for n, k, s in axes)
    return places, [conv_padding(n, k, padding, s) for n, k, s in axes]


def reference(x, dy, window, strides, pads, kind):
    """Pool window by window; return the result, its origin, and the gradient of the input."""
    y, dx = np.zeros_like(dy), np.zeros_like(x)
    index = np.zeros(dy.shape, int)
    for place in np.ndindex(*dy.shape[1:-1]):
        starts = [p * s - before for p, s, (before, _) in zip(place, strides, pads, strict=True)]
        taps = []
        for number, tap in enumerate(np.ndindex(*window)):
            entry = tuple(start + t for start, t in zip(starts, tap, strict=True))
            if all(0 <= i < n for i, n in zip(entry, x.shape[1:-1], strict=True)):
                taps.append((number, (slice(None), *entry)))
        stack = np.stack([x[entry] for _, entry in taps])
        here = (slice(None), *place)
        if kind == "average":
            y[here] = stack.mean(axis=0)
            for _, entry in taps:
                dx[entry] += dy[here] / len(taps)
        else:
            y[here] = stack.max(axis=0)
            first = stack.argmax(axis=0)
            for i, (number, entry) in enumerate(taps):
                dx[entry] += np.where(first == i, dy[here], 0)
                index[here][first == i] = number
    return y, index, dx


def pool(x, dy, window, strides, pads, kind):
    """Do the same with the ops, into memory full of other things."""
    y, dx = np.full_like(dy, np.nan), np.full_like(x, np.nan)
    index = np.full(dy.shape, 7, pooling.index_dtype(window))
    where = {"window": window, "strides": strides, "pads": pads}
    if kind == "average":
        pooling.average_pool(x, **where, out=y)
        pooling.average_pool_backward(dy.copy("K"), **where, dx=dx)
    else:
        pooling.max_pool(x, **where, out=y, index=index)
        alone = pooling.max_pool(x, **where, out=np.full_like(dy, np.nan))
        np.testing.assert_array_equal(alone, y)
        pooling.max_pool_backward(dy.copy("K"), index, **where, dx=dx)
    return y, index, dx


def check(x, window, strides, padding, kind, rtol=1e-12, strided=False):
    places, pads = geometry(x.shape[1:-1], window, strides, padding)
    dy = values((len(x), *places, x.shape[-1]), x.dtype, seed=1)
    arrays = (with_gaps(x), with_gaps(dy)) if strided else (x, dy)
    results = pool(*arrays, window, strides, pads, kind)
    expected = reference(x, dy, window, strides, pads, kind)
    for result, wanted in zip(results, expected, strict=True):
        if kind == "max" or result.dtype.kind == "f":
            np.testing.assert_allclose(result, wanted, rtol=rtol, atol=rtol)
    for result in (results[0], results[2]):
        assert result.dtype == x.dtype


CASES = [
    ((6,), (2,), (2,), "valid"),
    ((7,), (2,), (2,), "valid"),
    ((7,), (2,), (2,), "same"),
    ((9,), (3,), (1,), "same"),
    ((9,), (2,), (4,), "valid"),
    ((3,), (5,), (2,), "same"),
    ((1,), (1,), (1,), "valid"),
    ((6, 4), (2, 2), (2, 2), "valid"),
    ((7, 5), (2, 2), (2, 2), "valid"),
    ((7, 5), (2, 2), (2, 2), "same"),
    ((7, 8), (3, 3), (2, 2), "same"),
    ((8, 7), (3, 3), (2, 2), "valid"),
    ((6, 7), (3, 3), (1, 1), "same"),
    ((9, 6), (3, 2), (3, 2), "valid"),
    ((9, 9), (2, 2), (3, 3), "valid"),
    ((9, 9), (2, 2), (3, 3), "same"),
    ((5, 6), (1, 3), (1, 2), "valid"),
    ((5, 6), (3, 1), (2, 1), "valid"),
    ((5, 6), (1, 1), (2, 2), "valid"),
    ((5, 6), (5, 6), (5, 6), "valid"),
    ((2, 2), (5, 4), (3, 3), "same"),
    ((1, 1), (3, 3), (2, 2), "same"),
    ((4, 6, 4), (2, 2, 2), (2, 2, 2), "valid"),
    ((5, 7, 5), (2, 2, 2), (2, 2, 2), "same"),
    ((5, 4, 6), (3, 2, 3), (2, 1, 2), "same"),
    ((4, 4, 4), (1, 3, 2), (2, 1, 3), "valid"),
]


@pytest.mark.parametrize("block", [1, 300, 1 << 20])
@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_pooling_is_what_loops_give(case, kind, block, monkeypatch):
    monkeypatch.setattr(pooling, "_BLOCK", block)
    sizes, *window = case
    check(values((3, *sizes, 2)), *window, kind)
    check(values((2, *sizes, 1), "float32", ties=True), *window, kind, rtol=2e-6)


@st.composite
def poolings(draw):
    """Return sizes, window, strides and padding that leave at least one place."""
    axes = draw(st.integers(1, 3))
    numbers = st.lists(st.integers(1, 4), min_size=axes, max_size=axes).map(tuple)
    window, strides = draw(numbers), draw(numbers)
    padding = draw(st.sampled_from(["valid", "same"]))
    least = window if padding == "valid" else (1,) * axes
    sizes = tuple(draw(st.integers(n, n + 6)) for n in least)
    return sizes, window, strides, padding


@given(
    poolings(),
    st.sampled_from(["max", "average"]),
    st.sampled_from(["float32", "float64"]),
    st.integers(1, 3),
    st.integers(1, 3),
    st.booleans(),
    st.booleans(),
    st.sampled_from([1, 200, 1 << 20]),
)
def test_any_pooling_is_what_loops_give(case, kind, dtype, batch, channels, ties, strided, block):
    sizes, *window = case
    x = values((batch, *sizes, channels), dtype, ties=ties)
    with mock.patch.object(pooling, "_BLOCK", block):
        check(x, *window, kind, rtol=1e-12 if dtype == "float64" else 3e-6, strided=strided)


@pytest.mark.parametrize("kind", ["max", "average"])
def test_large_arrays(kind):
    for shape, *window in [
        ((5, 40, 50, 32), (2, 2), (2, 2), "valid"),
        ((1, 190, 180, 16), (2, 2), (2, 2), "valid"),
        ((1, 190, 180, 16), (3, 3), (2, 2), "same"),
        ((2, 6001, 64), (3,), (3,), "valid"),
    ]:
        check(values(shape), *window, kind)


def test_windows_of_more_than_256_entries():
    assert pooling.index_dtype((16, 16)) == np.uint8
    assert pooling.index_dtype((17, 16)) == np.uint16
    assert pooling.index_dtype((300, 300)) == np.uint32
    check(values((2, 36, 33, 2)), (17, 16), (17, 16), "valid", "max")
    check(values((2, 20, 21, 2)), (17, 16), (3, 2), "valid", "max")


@pytest.mark.parametrize("kind", ["max", "average"])
def test_strided_results(kind):
    x = values((3, 7, 9, 4))
    places, pads = geometry((7, 9), (3, 2), (2, 2), "same")
    where = {"window": (3, 2), "strides": (2, 2), "pads": pads}
    dy = values((3, *places, 4), seed=1)
    y, index, dx = reference(x, dy, (3, 2), (2, 2), pads, kind)
    out, gradient = with_gaps(np.full_like(y, np.nan)), with_gaps(np.full_like(x, np.nan))
    if kind == "max":
        numbers = with_gaps(np.full(y.shape, 7, np.uint8))
        pooling.max_pool(x, **where, out=out, index=numbers)
        pooling.max_pool_backward(dy, numbers, **where, dx=gradient)
        np.testing.assert_array_equal(numbers, index)
    else:
        pooling.average_pool(x, **where, out=out)
        pooling.average_pool_backward(dy, **where, dx=gradient)
    np.testing.assert_allclose(out, y, rtol=1e-12)
    np.testing.assert_allclose(gradient, dx, rtol=1e-12)


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("case", [CASES[7], CASES[10], CASES[1]], ids=str)
def test_empty_batch(case, kind):
    sizes, window, strides, padding = case
    places, pads = geometry(sizes, window, strides, padding)
    x, dy = np.zeros((0, *sizes, 3)), np.zeros((0, *places, 3))
    y, _, dx = pool(x, dy, window, strides, pads, kind)
    assert (y.shape, dx.shape) == (dy.shape, x.shape)


# Equal entries, NaN, infinity


def test_of_equal_entries_the_first_row_by_row_gets_the_gradient():
    x = np.array([[0.0, 5.0], [5.0, 5.0]]).reshape(1, 2, 2, 1)
    y, index, dx = pool(x, np.ones((1, 1, 1, 1)), (2, 2), (2, 2), [(0, 0)] * 2, "max")
    assert (y.item(), index.item()) == (5.0, 1)
    assert dx.ravel().tolist() == [0.0, 1.0, 0.0, 0.0]


def test_zeros_of_both_signs_are_equal():
    x = np.array([-0.0, 0.0, 0.0, -0.0]).reshape(1, 4, 1)
    _, index, _ = pool(x, np.ones((1, 2, 1)), (2,), (2,), [(0, 0)], "max")
    assert index.ravel().tolist() == [0, 0]


@pytest.mark.parametrize("strides", [(2,), (1,)])
def test_nan_reaches_the_result_and_its_gradient_goes_to_the_last_place(strides):
    x = np.array([np.nan, 1.0, 4.0, 3.0]).reshape(1, 4, 1)
    places, pads = geometry((4,), (2,), strides, "valid")
    dy = np.arange(1.0, 1 + places[0]).reshape(1, -1, 1)
    y, _, dx = pool(x, dy, (2,), strides, pads, "max")
    assert np.isnan(y.ravel()).tolist() == [True] + [False] * (places[0] - 1)
    assert y.ravel()[-1] == 4.0
    assert dx.ravel().tolist() == ([0, 1, 2, 0] if strides == (2,) else [0, 1, 5, 0])


@pytest.mark.parametrize("size", [4, 5])
def test_a_window_of_minus_infinity_hands_its_gradient_to_its_first_place(size):
    x = np.full((1, size, 1), -np.inf)
    places, pads = geometry((size,), (3,), (2,), "same")
    y, index, dx = pool(x, np.ones((1, *places, 1)), (3,), (2,), pads, "max")
    assert (y == -np.inf).all()
    assert (index == 0).all()
    assert dx.ravel().tolist() == ([1, 0, 1, 0] if size == 4 else [0, 1, 0, 1, 0])


def test_average_of_infinity_is_infinite_in_its_window_only():
    x = np.array([np.inf, 1.0, 4.0, 3.0]).reshape(1, 4, 1)
    y, _, _ = pool(x, np.ones((1, 2, 1)), (2,), (2,), [(0, 0)], "average")
    assert y.ravel().tolist() == [np.inf, 3.5]


# Threads and memory


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("window", [((2, 2), (2, 2)), ((3, 3), (2, 2))], ids=str)
@pytest.mark.parametrize("batch", [1, 9])
def test_results_do_not_depend_on_the_number_of_threads(threads, kind, window, batch, monkeypatch):
    monkeypatch.setattr(pooling, "_BLOCK", 4000)
    x = values((batch, 31, 33, 5), "float32")
    places, pads = geometry((31, 33), *window, "same")
    dy = values((batch, *places, 5), "float32", seed=1)
    results = []
    for count in (1, 2, 5):
        threads(count)
        results.append(pool(x, dy, *window, pads, kind))
    for other in results[1:]:
        for first, second in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("window", [((2, 2), (2, 2)), ((3, 3), (2, 2))], ids=str)
def test_nothing_large_is_allocated_the_second_time(threads, window):
    threads(1)
    x = values((16, 64, 64, 16), "float32")
    places, pads = geometry((64, 64), *window, "same")
    where = {"window": window[0], "strides": window[1], "pads": pads}
    y, index = np.empty((16, *places, 16), "float32"), np.empty((16, *places, 16), np.uint8)
    dx = np.empty_like(x)

    def step():
        pooling.max_pool(x, **where, out=y, index=index)
        pooling.max_pool_backward(y, index, **where, dx=dx)
        pooling.average_pool(x, **where, out=y)
        pooling.average_pool_backward(y, **where, dx=dx)

    step()
    tracemalloc.start()
    step()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000
