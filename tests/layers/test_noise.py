import numpy as np
import pytest

from minikeras.engine import Context
from minikeras.layers import AlphaDropout, GaussianDropout, GaussianNoise

from .checks import check_layer, run, sample

SHAPES = [(4, 5), (2, 3, 4), (2, 3, 2, 2)]
LAYERS = [GaussianNoise, GaussianDropout, AlphaDropout]
MANY = (400, 500)


@pytest.mark.parametrize("amount", [0, 0.3, 0.5])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("cls", LAYERS)
def test_does_what_every_layer_does(cls, amount, shape):
    check_layer(cls(amount), shape)


@pytest.mark.parametrize("noise_shape", [(None, 1, 4), (1, 3, None), [None, None, 1]])
def test_alpha_dropout_noise_shape_does_what_every_layer_does(noise_shape):
    check_layer(AlphaDropout(0.4, noise_shape=noise_shape), (2, 3, 4))


@pytest.mark.parametrize("amount", [0, 0.5])
@pytest.mark.parametrize("cls", LAYERS)
def test_does_nothing_outside_training(cls, amount):
    x = sample((4, 5))
    y, dx, _ = run(cls(amount), x, dy=x, training=False)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(dx, x)


@pytest.mark.parametrize("cls", LAYERS)
def test_zero_does_nothing_in_training(cls):
    x = sample((4, 5))
    y, dx, _ = run(cls(0), x, dy=x, training=True)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(dx, x)


@pytest.mark.parametrize("cls", LAYERS)
def test_numpys_seed_repeats_a_run(cls):
    layer, x = cls(0.5), sample((10, 10))
    runs = []
    for _ in range(2):
        np.random.seed(5)
        runs.append([layer(x, training=True) for _ in range(2)])
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0][0], runs[0][1])


@pytest.mark.parametrize("cls", LAYERS)
def test_hands_the_mask_on(cls):
    mask = np.ones((2, 3), bool)
    ctx = Context(training=True, mask=mask)
    cls(0.5).propagate(np.ones((2, 3, 4), "float32"), ctx)
    assert ctx.mask is mask


# GaussianNoise


@pytest.mark.parametrize("stddev", [0.1, 2.0])
def test_gaussian_noise_has_its_moments(stddev):
    x = sample(MANY)
    y, dx, _ = run(GaussianNoise(stddev), x, dy=x, training=True)
    noise = (y - x) / stddev
    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 1) < 0.01
    assert abs((noise > 1).mean() - 0.1587) < 0.005
    assert abs(np.corrcoef(noise.ravel(), x.ravel())[0, 1]) < 0.01
    np.testing.assert_array_equal(dx, x)


# GaussianDropout


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_gaussian_dropout_has_its_moments(rate):
    factors, dx, _ = run(GaussianDropout(rate), np.ones(MANY), dy=np.ones(MANY), training=True)
    stddev = np.sqrt(rate / (1 - rate))
    assert abs(factors.mean() - 1) < 0.01 * stddev
    assert abs(factors.std() - stddev) < 0.01 * stddev
    np.testing.assert_array_equal(dx, factors)


def test_gaussian_dropout_multiplies():
    x, dy = sample((20, 20)), sample((20, 20), seed=2)
    y, dx, _ = run(GaussianDropout(0.5), x, dy=dy, training=True)
    np.testing.assert_allclose(y / x, dx / dy, rtol=1e-4)


# AlphaDropout


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5])
def test_alpha_dropout_keeps_mean_and_variance(rate):
    y = run(AlphaDropout(rate), sample(MANY), training=True)[0]
    assert abs(y.mean()) < 0.02
    assert abs(y.var() - 1) < 0.03


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5])
def test_alpha_dropout_formula(rate):
    """What is dropped becomes a * s + b, the rest a * x + b."""
    s = -1.7580993408473766
    a = ((1 - rate) * (1 + rate * s**2)) ** -0.5
    b = -a * rate * s
    x = sample(MANY)
    y, dx, _ = run(AlphaDropout(rate), x, dy=np.ones_like(x), training=True)
    kept = dx != 0
    assert abs(kept.mean() - (1 - rate)) < 0.01
    np.testing.assert_allclose(y[~kept], a * s + b, rtol=1e-5)
    np.testing.assert_allclose(y[kept], (a * x + b)[kept], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(dx[kept], a, rtol=1e-6)


def test_alpha_dropout_noise_shape_shares_decisions():
    y = AlphaDropout(0.5, noise_shape=(None, 1, 6))(np.ones((4, 5, 6)), training=True)
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1], y.shape))
    assert len(np.unique(y)) == 2


def test_alpha_dropout_keeps_its_seed():
    x = sample((10, 10))
    first, second = AlphaDropout(0.5, seed=3), AlphaDropout(0.5, seed=3)
    for _ in range(2):
        np.testing.assert_array_equal(first(x, training=True), second(x, training=True))
    assert first.get_config()["seed"] == 3


# Errors


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianNoise(-1), r"'gaussian_noise_1' \(GaussianNoise\): stddev must be at lea"),
        (lambda: GaussianNoise(None), "stddev must be a finite number, got None"),
        (lambda: GaussianNoise(float("inf")), "stddev must be a finite number, got inf"),
        (lambda: GaussianDropout(1.0), r"\(GaussianDropout\): rate must be a number from 0"),
        (lambda: AlphaDropout(1.5), r"\(AlphaDropout\): rate must be a number from 0 .* got 1\.5"),
        (lambda: AlphaDropout(0.5, seed=0.5), r"seed must be None or an int .* got 0\.5"),
    ],
)
def test_bad_argument(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_alpha_dropout_noise_shape_must_fit_the_input():
    with pytest.raises(ValueError, match="expected ndim=2"):
        AlphaDropout(0.5, noise_shape=(None, 1))(np.ones((2, 3, 4)))
