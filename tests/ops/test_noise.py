import math

import numpy as np
import pytest

from minikeras.ops import noise
from minikeras.ops.noise import (
    alpha_dropout,
    alpha_dropout_backward,
    dropout,
    dropout_backward,
    dropout_mask,
    gaussian_dropout,
    gaussian_dropout_backward,
    gaussian_noise,
)

MULTIPLICATIVE = [
    (dropout, dropout_backward),
    (gaussian_dropout, gaussian_dropout_backward),
    (alpha_dropout, alpha_dropout_backward),
]
RATES = [0.0, 0.1, 0.25, 0.3, 0.5, 0.8, 0.99]
SHAPES = [(), (1,), (3, 5), (2, 3, 4), (0, 4), (16_384,), (3, 16_385)]


def generator(seed=1):
    return np.random.Generator(np.random.SFC64(seed))


def values(shape, seed=0, dtype="float64"):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def functions(rate=0.3):
    """Each op as a function of x, seed and the keyword arguments."""
    yield "dropout", lambda x, seed=1, **kw: dropout(x, rate, generator(seed), **kw)[0]
    yield (
        "gaussian_dropout",
        lambda x, seed=1, **kw: gaussian_dropout(x, rate, generator(seed), **kw)[0],
    )
    yield "alpha_dropout", lambda x, seed=1, **kw: alpha_dropout(x, rate, generator(seed), **kw)[0]
    yield "gaussian_noise", lambda x, seed=1, **kw: gaussian_noise(x, rate, generator(seed), **kw)


OPS = [pytest.param(function, id=name) for name, function in functions()]


# The mask


@pytest.mark.parametrize("rate", RATES)
def test_mask_values_and_their_frequency(rate):
    mask = dropout_mask(generator(), (500, 2003), rate)
    assert mask.dtype == "float32"
    assert set(np.unique(mask).tolist()) <= {0.0, float(np.float32(1 / (1 - rate)))}
    kept = (mask != 0).mean()
    assert kept == pytest.approx(1 - rate, abs=4.5 * math.sqrt(rate * (1 - rate) / mask.size))


@pytest.mark.parametrize("rate", [0.25, 0.3])
def test_entries_of_a_mask_are_independent(rate):
    kept = dropout_mask(generator(3), (1 << 20,), rate) != 0
    expected = (1 - rate) ** 2
    for lag in [*range(1, 17), 16_384]:
        together = (kept[lag:] & kept[:-lag]).mean()
        assert together == pytest.approx(expected, abs=0.003)


@pytest.mark.parametrize(
    ("rate", "threshold", "dtype"),
    [
        (0, 0, "uint8"),
        (0.25, 64, "uint8"),
        (0.5, 128, "uint8"),
        (np.float32(0.75), 192, "uint8"),
        (0.2, 13107, "uint16"),
        (1e-9, 0, "uint16"),
        (1 - 1e-9, 65535, "uint16"),
    ],
)
def test_threshold(rate, threshold, dtype):
    got = noise._threshold(rate)
    assert got == threshold
    assert got.dtype == dtype


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_mask_into_given_memory(dtype):
    out = np.full((7, 9), np.nan, dtype)
    assert dropout_mask(generator(), (7, 9), 0.3, out=out) is out
    np.testing.assert_allclose(out, dropout_mask(generator(), (7, 9), 0.3), rtol=1e-3)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan")])
def test_bad_rate(rate):
    with pytest.raises(ValueError, match="rate must be at least 0 and less than 1, got"):
        dropout_mask(generator(), (3,), rate)
    for forward, _ in MULTIPLICATIVE:
        with pytest.raises(ValueError, match="rate must be at least 0 and less than 1, got"):
            forward(values((3,)), rate, generator())


# What all have in common


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_shape_type_and_input(op, shape, dtype):
    x = values(shape, dtype=dtype)
    before = x.copy()
    y = op(x)
    assert y.shape == shape
    assert y.dtype == dtype
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("op", OPS)
def test_the_generator_decides(op):
    x = values((40, 50))
    np.testing.assert_array_equal(op(x, seed=5), op(x, seed=5))
    assert (op(x, seed=5) != op(x, seed=6)).any()


@pytest.mark.parametrize("op", OPS)
def test_out(op):
    x = values((300, 70))
    expected = op(x)
    out = np.full_like(x, np.nan)
    assert op(x, out=out) is out
    np.testing.assert_array_equal(out, expected)
    assert op(x, out=x) is x
    np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("view", [lambda x: x.T, lambda x: x[:, ::2], lambda x: x[::-1]])
def test_input_that_is_not_contiguous(op, view):
    x = view(values((80, 90)))
    before = x.copy()
    np.testing.assert_array_equal(op(x), op(np.ascontiguousarray(x)))
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("op", OPS[:2] + OPS[3:])
def test_out_must_be_contiguous(op):
    with pytest.raises(ValueError, match="must be contiguous"):
        op(values((4, 6)), out=np.empty((6, 4)).T)


@pytest.mark.parametrize("op", OPS[:3])
def test_memory_comes_from_empty(op):
    asked = []

    def empty(shape, dtype):
        asked.append((shape, np.dtype(dtype).name))
        return np.full(shape, np.nan, dtype)

    x = values((5, 6), dtype="float32")
    np.testing.assert_array_equal(op(x, empty=empty), op(x))
    assert asked == [((5, 6), "float32")] * 2


@pytest.mark.parametrize(("forward", "backward"), MULTIPLICATIVE)
def test_gradient_against_central_differences(forward, backward):
    x, dy = values((4, 5)), values((4, 5), seed=1)
    _, mask = forward(x, 0.3, generator())
    dx = backward(dy, mask)
    numerical = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        step = np.zeros_like(x)
        step[index] = 1e-6
        high, low = (forward(x + s, 0.3, generator())[0] for s in (step, -step))
        numerical[index] = (dy * (high - low)).sum() / 2e-6
    np.testing.assert_allclose(dx, numerical, atol=1e-8)


@pytest.mark.parametrize(("forward", "backward"), MULTIPLICATIVE)
def test_backward_into_given_memory(forward, backward):
    x, dy = values((4, 5)), values((4, 5), seed=1)
    _, mask = forward(x, 0.3, generator())
    kept = mask.copy()
    expected = backward(dy, mask)
    assert backward(dy, mask, out=dy) is dy
    np.testing.assert_array_equal(dy, expected)
    np.testing.assert_array_equal(mask, kept)


def test_gradient_of_gaussian_noise_is_one():
    x, step = values((4, 5)), np.full((4, 5), 0.5)
    high, low = gaussian_noise(x + step, 1.0, generator()), gaussian_noise(x, 1.0, generator())
    np.testing.assert_allclose(high - low, step)


# One by one


def reference_dropout(x, rate, mask):
    return np.where(mask != 0, x / (1 - rate), 0)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("shape", SHAPES)
def test_dropout_against_the_plain_version(rate, shape):
    x = values(shape)
    y, mask = dropout(x, rate, generator())
    np.testing.assert_allclose(y, reference_dropout(x, rate, mask))
    np.testing.assert_array_equal(mask, dropout_mask(generator(), shape, rate, np.empty(shape)))


def test_dropout_at_rate_zero_is_the_input():
    x = values((30, 40))
    np.testing.assert_array_equal(dropout(x, 0.0, generator())[0], x)
    np.testing.assert_array_equal(gaussian_dropout(x, 0.0, generator())[0], x)
    np.testing.assert_allclose(alpha_dropout(x, 0.0, generator())[0], x, atol=1e-12)


@pytest.mark.parametrize("forward", [dropout, alpha_dropout])
@pytest.mark.parametrize(
    ("noise_shape", "mask_shape"),
    [
        (None, (6, 5, 8)),
        ((None, None, None), (6, 5, 8)),
        ((6, 5, 8), (6, 5, 8)),
        ((None, 1, 8), (6, 1, 8)),
        ([6, 1, None], (6, 1, 8)),
        ((1, 1, 1), (1, 1, 1)),
        ((1, 5, 1), (1, 5, 1)),
    ],
)
def test_noise_shape(forward, noise_shape, mask_shape):
    x = values((6, 5, 8))
    y, mask = forward(x, 0.5, generator(2), noise_shape)
    assert mask.shape == mask_shape
    dropped = np.broadcast_to(mask == 0, x.shape)
    if forward is dropout:
        np.testing.assert_allclose(y, np.where(dropped, 0, 2 * x))
    else:
        assert len(np.unique(y[dropped].round(12))) <= 1
        assert len(np.unique(y[~dropped])) == (~dropped).sum()
    assert dropout_backward(x, mask).shape == x.shape


@pytest.mark.parametrize("forward", [dropout, alpha_dropout])
@pytest.mark.parametrize("noise_shape", [(6, 2), (6,), (6, 5, 1), (1, 1, 6, 5), ()])
def test_noise_shape_that_does_not_fit(forward, noise_shape):
    with pytest.raises(ValueError, match=r"noise_shape .* does not fit an input of shape \(6, 5\)"):
        forward(values((6, 5)), 0.5, generator(), noise_shape)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gaussian_noise_statistics(dtype):
    x = np.full((400, 500), 3.0, dtype)
    y = gaussian_noise(x, 0.5, generator())
    assert y.mean() == pytest.approx(3, abs=0.005)
    assert y.std() == pytest.approx(0.5, abs=0.005)
    assert (abs(y - 3) > 1).mean() == pytest.approx(0.0455, abs=0.003)
    assert len(np.unique(y.ravel()[:1000])) > 990


def test_gaussian_noise_of_stddev_zero():
    x = values((3, 4))
    np.testing.assert_array_equal(gaussian_noise(x, 0.0, generator()), x)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_gaussian_dropout_statistics(rate):
    x = np.full((400, 500), 2.0, "float32")
    y, mask = gaussian_dropout(x, rate, generator())
    stddev = math.sqrt(rate / (1 - rate))
    assert mask.mean() == pytest.approx(1, abs=0.012 * stddev)
    assert mask.std() == pytest.approx(stddev, rel=0.01)
    np.testing.assert_array_equal(y, 2 * mask)


def reference_alpha_dropout(x, rate, kept):
    """Klambauer et al. (2017), written out."""
    alpha, scale = 1.6732632423543772, 1.0507009873554805
    saturation = -alpha * scale
    a = ((1 - rate) * (1 + rate * saturation**2)) ** -0.5
    b = -a * saturation * rate
    return a * np.where(kept, x, saturation) + b


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_alpha_dropout_against_the_plain_version(rate, dtype):
    x = values((60, 70), dtype=dtype)
    y, mask = alpha_dropout(x, rate, generator())
    expected = reference_alpha_dropout(x, rate, mask != 0)
    np.testing.assert_allclose(y, expected, atol=1e-5 if dtype == "float32" else 1e-12)
    assert (mask != 0).mean() == pytest.approx(1 - rate, abs=0.03)


@pytest.mark.parametrize("rate", [0.05, 0.25, 0.6])
def test_alpha_dropout_keeps_mean_and_variance(rate):
    y, _ = alpha_dropout(values((600, 500), dtype="float32"), rate, generator())
    assert y.mean() == pytest.approx(0, abs=0.01)
    assert y.var() == pytest.approx(1, abs=0.02)


def test_temporaries_are_small():
    import tracemalloc

    x = values((1000, 1000), dtype="float32")
    memory = [np.empty_like(x), np.empty_like(x)]
    tracemalloc.start()
    dropout(x, 0.3, generator(), out=memory[0], empty=lambda shape, dtype: memory[1])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000
