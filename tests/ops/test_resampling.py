import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikeras.ops import resampling
from minikeras.ops.resampling import (
    crop,
    pad,
    upsample,
    upsample_backward,
    upsample_linear,
    upsample_linear_backward,
)

DTYPES = ["float16", "float32", "float64"]
UPSAMPLINGS = [(upsample, upsample_backward), (upsample_linear, upsample_linear_backward)]


def numbers(shape, dtype="float64", seed=0):
    """Whole numbers: sums of a few of them are exact."""
    x = np.random.default_rng(seed).integers(-9, 10, shape).astype(dtype)
    x.flags.writeable = False
    return x


def dirty(shape, dtype):
    return np.full(shape, np.nan, dtype)


def laid_out(x, layout):
    """Return an equal array in another memory layout."""
    if layout == "channels first":
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, -1, 1)), 1, -1)
    if layout == "gaps":
        return np.repeat(x, 2, axis=-1)[..., ::2]
    return x


def larger(shape, factors):
    sizes = [n * f for n, f in zip(shape[1:-1], factors, strict=True)]
    return (shape[0], *sizes, shape[-1])


# Plain implementations


def slow_upsample(x, factors):
    for axis, factor in enumerate(factors, 1):
        x = np.repeat(x, factor, axis)
    return x


def slow_upsample_linear(x, factors):
    """Along each axis, every output entry as a weighted mean of the two around its place."""
    for axis, factor in enumerate(factors, 1):
        size = x.shape[axis]
        weights = np.zeros((size * factor, size))
        for place in range(size * factor):
            part = place % factor / factor
            weights[place, place // factor] += 1 - part
            weights[place, min(place // factor + 1, size - 1)] += part
        x = np.moveaxis(np.tensordot(weights, x, (1, axis)), 0, axis)
    return x


def matrix(forward, shape, factors):
    """The linear map `forward` as a matrix, column by column."""
    columns = []
    for index in range(int(np.prod(shape))):
        unit = np.zeros(shape)
        unit.flat[index] = 1
        columns.append(forward(unit, factors).ravel())
    return np.stack(columns, axis=1)


@st.composite
def cases(draw):
    """An input, and three small numbers for each of its spatial axes."""
    rank = draw(st.integers(1, 3))
    sizes = draw(st.tuples(*[st.integers(1, 4)] * rank))
    shape = (draw(st.integers(0, 3)), *sizes, draw(st.sampled_from([1, 2, 3, 8, 9])))
    x = numbers(shape, draw(st.sampled_from(DTYPES)), seed=draw(st.integers(0, 99)))
    return x, draw(st.lists(st.integers(1, 4), min_size=rank, max_size=rank))


LAYOUTS = st.sampled_from(["plain", "channels first", "gaps"])


# Padding and cropping


@given(cases(), LAYOUTS, st.data())
def test_pad_agrees_with_numpy(case, layout, data):
    x, _ = case
    pads = [data.draw(st.tuples(*[st.integers(0, 3)] * 2)) for _ in x.shape[1:-1]]
    expected = np.pad(x, [(0, 0), *pads, (0, 0)])
    out = dirty(expected.shape, x.dtype)
    y = pad(laid_out(x, layout), pads, out)
    assert y is out
    np.testing.assert_array_equal(y, expected)


@given(cases(), st.data())
def test_crop_undoes_pad_without_a_copy(case, data):
    x, _ = case
    pads = [data.draw(st.tuples(*[st.integers(0, 3)] * 2)) for _ in x.shape[1:-1]]
    padded = np.pad(x, [(0, 0), *pads, (0, 0)])
    inside = crop(padded, pads)
    np.testing.assert_array_equal(inside, x)
    assert not x.size or np.shares_memory(inside, padded)


def test_pad_with_blocks_of_samples(monkeypatch):
    x = numbers((7, 5, 4, 3))
    expected = np.pad(x, [(0, 0), (1, 2), (0, 3), (0, 0)])
    monkeypatch.setattr(resampling, "_BLOCK", 400)  # 8 * 7 * 3 entries a sample: two a block
    y = pad(x, [(1, 2), (0, 3)], dirty(expected.shape, x.dtype))
    np.testing.assert_array_equal(y, expected)


# Upsampling


@given(cases(), LAYOUTS)
def test_upsample_agrees_with_repeat(case, layout):
    x, factors = case
    expected = slow_upsample(x, factors)
    out = dirty(expected.shape, x.dtype)
    y = upsample(laid_out(x, layout), factors, out)
    assert y is out
    np.testing.assert_array_equal(y, expected)


@given(cases(), LAYOUTS)
def test_upsample_linear_agrees_with_weighted_means(case, layout):
    x, factors = case
    out = dirty(larger(x.shape, factors), x.dtype)
    y = upsample_linear(laid_out(x, layout), factors, out)
    assert y is out
    tolerance = 20 * np.finfo(x.dtype).eps
    np.testing.assert_allclose(y, slow_upsample_linear(x, factors), atol=9 * tolerance)


@pytest.mark.parametrize("channels", [2, 8])
@pytest.mark.parametrize("factors", [(1,), (3,), (2, 1), (1, 4), (2, 3), (1, 2, 3)])
@pytest.mark.parametrize(
    ("backward", "slow"),
    [(upsample_backward, slow_upsample), (upsample_linear_backward, slow_upsample_linear)],
    ids=["nearest", "linear"],
)
def test_backward_is_the_transposed_map(backward, slow, factors, channels):
    shape = (1, *(3, 2, 2)[: len(factors)], channels)
    dy = numbers(larger(shape, factors))
    dx = backward(dy, factors, dirty(shape, dy.dtype))
    expected = matrix(slow, shape, factors).T @ dy.ravel()
    np.testing.assert_allclose(dx.ravel(), expected, atol=1e-12)


@given(cases(), LAYOUTS)
def test_upsample_backward_sums_over_the_copies(case, layout):
    x, factors = case
    dy = numbers(larger(x.shape, factors), x.dtype)
    blocks = np.split(dy, len(dy)) if len(dy) else []
    expected = np.zeros(x.shape)
    for sample, block in enumerate(blocks):
        for place in np.ndindex(*dy.shape[1:-1]):
            at = tuple(p // f for p, f in zip(place, factors, strict=True))
            expected[(sample, *at)] += block[(0, *place)]
    dx = upsample_backward(laid_out(dy, layout), factors, dirty(x.shape, x.dtype))
    np.testing.assert_array_equal(dx, expected)


@given(cases(), LAYOUTS)
def test_upsample_linear_backward_is_adjoint(case, layout):
    x, factors = case
    x = x.astype("float64")
    dy = numbers(larger(x.shape, factors), seed=5)
    y = upsample_linear(x, factors, dirty(dy.shape, dy.dtype))
    dx = upsample_linear_backward(laid_out(dy, layout), factors, dirty(x.shape, x.dtype))
    assert np.vdot(dx, x) == pytest.approx(np.vdot(dy, y), rel=1e-12, abs=1e-9)


@pytest.mark.parametrize(("forward", "backward"), UPSAMPLINGS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_scratch_changes_no_bit_and_dy_stays_unless_it_is_the_scratch(forward, backward, dtype):
    dy = np.random.default_rng(2).standard_normal((3, 6, 4, 5)).astype(dtype)
    kept = dy.copy()
    dx = backward(dy, (3, 2), dirty((3, 2, 2, 5), dtype))
    other = backward(dy, (3, 2), dirty(dx.shape, dtype), scratch=dirty(dy.shape, dtype))
    np.testing.assert_array_equal(dy, kept)
    in_place = backward(dy, (3, 2), dirty(dx.shape, dtype), scratch=dy)
    for result in (other, in_place):
        assert result.tobytes() == dx.tobytes()


@pytest.mark.parametrize(("forward", "backward"), UPSAMPLINGS)
@pytest.mark.parametrize("channels", [2, 9])
def test_blocks_change_no_bit(forward, backward, channels, monkeypatch):
    random = np.random.default_rng(3)
    x = random.standard_normal((7, 4, 3, channels), "float32")
    dy = random.standard_normal((7, 8, 9, channels), "float32")

    def results():
        y = forward(x, (2, 3), dirty(dy.shape, "float32"))
        dx = backward(dy, (2, 3), dirty(x.shape, "float32"))
        return y.tobytes(), dx.tobytes()

    whole = results()
    for block in (1, 3 * dy[0].size):
        monkeypatch.setattr(resampling, "_BLOCK", block)
        assert results() == whole


def test_interpolation_keeps_a_constant_and_a_slope():
    flat = np.full((1, 3, 4, 2), 0.1, "float32")
    y = upsample_linear(flat, (3, 5), dirty((1, 9, 20, 2), "float32"))
    np.testing.assert_array_equal(y, np.float32(0.1))
    slope = upsample_linear(np.arange(3.0).reshape(1, 3, 1), (4,), dirty((1, 12, 1), "float64"))
    np.testing.assert_array_equal(slope.ravel()[:9], np.arange(9) / 4)
    np.testing.assert_array_equal(slope.ravel()[9:], 2)


@pytest.mark.parametrize("channels", [1, 8])
def test_a_bad_entry_spreads_to_its_neighbourhood_only(channels):
    x = np.zeros((2, 4, 5, channels))
    x[0, 1, 2, 0] = np.nan
    near = np.isnan(upsample(x, (2, 3), dirty((2, 8, 15, channels), x.dtype)))
    wide = np.isnan(upsample_linear(x, (2, 3), dirty((2, 8, 15, channels), x.dtype)))
    assert np.argwhere(near[0, ..., 0]).tolist() == [[r, c] for r in (2, 3) for c in (6, 7, 8)]
    rows, columns = np.nonzero(wide[0, ..., 0])
    assert set(rows) == {1, 2, 3}
    assert set(columns) == {4, 5, 6, 7, 8}
    for bad in (near, wide):
        assert not bad[1].any()
        assert not bad[..., 1:].any()
