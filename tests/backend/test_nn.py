"""Activations, dropout and normalization of K: values, derivatives, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minikeras import activations
from minikeras.backend import nn
from minikeras.backend.backpropagation import backpropagate
from minikeras.backend.deferred import placeholder
from minikeras.backend.tape import Tensor
from minikeras.layers import BatchNormalization, Dropout
from tests.backend.derivatives import check_derivatives

X = np.array([[-7.3, -2.4, -1.1, -0.2], [0.3, 0.9, 2.6, 8.2]])
SMALL = np.random.RandomState(1).standard_normal((3, 4))


def gradient(y: Any, x: Tensor) -> np.ndarray:
    (found,) = backpropagate([(y, np.ones(y.shape))], [x])
    assert found is not None
    return found


# --- activations ----------------------------------------------------------------------------

PLAIN = ["softplus", "softsign", "sigmoid", "hard_sigmoid", "tanh", "relu", "elu", "softmax"]


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("x", [X, X[0], SMALL.reshape(1, 3, 2, 2)], ids=["2d", "1d", "4d"])
def test_activations(name: str, x: np.ndarray) -> None:
    y = check_derivatives(getattr(nn, name), x)
    rows = y if y.ndim > 1 else y[None]
    assert_array_equal(rows, getattr(activations, name)(x if x.ndim > 1 else x[None]))


@pytest.mark.parametrize("name", PLAIN[:-1])
def test_activation_of_one_number(name: str) -> None:
    y = check_derivatives(getattr(nn, name), np.array(0.7))
    assert np.shape(y) == ()
    assert getattr(nn, name)(0.7) == pytest.approx(y, rel=1e-6)


@pytest.mark.parametrize("name", PLAIN)
def test_activation_of_a_list(name: str) -> None:
    assert getattr(nn, name)([[1, 2]]).dtype == np.float32


@pytest.mark.parametrize("name", PLAIN)
def test_activation_on_threads(name: str) -> None:
    """Large arrays are cut into blocks, also where they or the gradient are views."""
    function, x = getattr(nn, name), np.random.RandomState(2).standard_normal((900, 800)).T
    leaf = Tensor(x)
    y = function(leaf)
    dy = np.broadcast_to(np.arange(1.0, 901), (800, 900))
    found = backpropagate([(y, dy)], [leaf])[0]
    part = Tensor(x[:2].copy())
    expected = backpropagate([(function(part), dy[:2].copy())], [part])[0]
    assert_allclose(found[:2], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.7, -0.5])
@pytest.mark.parametrize("max_value", [None, 1.5, 6.0])
@pytest.mark.parametrize("threshold", [0.0, 0.5, -0.7])
def test_relu(alpha: float, max_value: float | None, threshold: float) -> None:
    options: dict[str, Any] = {"max_value": max_value, "threshold": threshold}
    y = check_derivatives(nn.relu, X, np.array(alpha), **options)
    passed = np.where(threshold < X, X, 0)
    if max_value is not None:
        passed = passed.clip(0, max_value)
    assert_allclose(y, passed + alpha * np.minimum(X - threshold, 0), rtol=1e-12)


def test_slopes_and_other_numbers() -> None:
    check_derivatives(nn.relu, X, np.array([0.25]))
    check_derivatives(nn.elu, X, np.array(0.5))
    check_derivatives(nn.elu, X, np.array([-0.5]))
    assert_allclose(nn.elu(X, -0.5), np.where(X > 0, X, -0.5 * np.expm1(X)))
    with pytest.raises(ValueError, match=r"alpha of K.relu must be a number.*\(4,\)"):
        nn.relu(X, np.ones(4))
    with pytest.raises(ValueError, match="alpha of K.elu must be a number"):
        nn.elu(X, np.ones(4))
    ceiling = Tensor(np.array(1.0))
    with pytest.raises(NotImplementedError, match="K.relu by max_value"):
        gradient(nn.relu(X, 0.0, ceiling), ceiling)


def test_relu_at_its_kink() -> None:
    x = Tensor(np.zeros(3))
    assert_array_equal(gradient(nn.relu(x), x), np.zeros(3))


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_softmax_axis(axis: int) -> None:
    x = SMALL.reshape(2, 3, 2)
    y = check_derivatives(nn.softmax, x, axis=axis)
    assert_allclose(y, np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True))


@pytest.mark.parametrize(("x", "axis"), [(SMALL, 2), (SMALL, -3), (np.array(1.0), -1)])
def test_softmax_without_that_axis(x: np.ndarray, axis: int) -> None:
    with pytest.raises(ValueError, match=f"no axis {axis}"):
        nn.softmax(x, axis)


def test_extreme_inputs() -> None:
    x = np.array([-1e4, 0.0, 1e4])
    assert_array_equal(nn.sigmoid(x), [0, 0.5, 1])
    assert_allclose(nn.softplus(x), [0, np.log(2), 1e4])
    assert_array_equal(nn.softmax(x), [0, 0, 1])
    assert nn.sigmoid(np.array([-40.0])) == pytest.approx(np.exp(-40.0))


def test_numpy_tanh_of_a_tensor() -> None:
    x = Tensor(SMALL)
    assert_allclose(gradient(np.tanh(x), x), 1 - np.tanh(SMALL) ** 2)


# --- dropout --------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.0, 0.25, 0.3])
@pytest.mark.parametrize("noise_shape", [None, (3, 1, 2), (None, 1, None), (1, 2), (2,)])
def test_dropout(level: float, noise_shape: Any) -> None:
    x = np.random.RandomState(0).uniform(1, 2, (3, 4, 2))
    y = check_derivatives(nn.dropout, x, by=(0,), level=level, noise_shape=noise_shape, seed=3)
    factors = (y / x).round(12)
    assert set(factors.ravel().tolist()) <= {0.0, round(1 / (1 - level), 12)}
    if noise_shape is not None:
        full = (1,) * (3 - len(noise_shape)) + tuple(noise_shape)
        for axis, size in enumerate(full):
            if size == 1:
                assert_array_equal(factors, np.broadcast_to(factors.take([0], axis), x.shape))


def test_dropout_random_numbers() -> None:
    x = np.ones((200, 50), "float32")
    first, second = nn.dropout(x, 0.4), nn.dropout(x, 0.4)
    assert first.dtype == np.float32
    assert (first != second).any()
    assert abs((first == 0).mean() - 0.4) < 0.03
    np.random.seed(5)
    again = nn.dropout(x, 0.4)
    np.random.seed(5)
    assert_array_equal(nn.dropout(x, 0.4), again)
    assert_array_equal(nn.dropout(x, 0.4, seed=2), nn.dropout(x, 0.4, seed=2))
    layer = Dropout(0.4, seed=2)
    assert_array_equal(nn.dropout(x, 0.4, seed=2), layer(x, training=True))


def test_dropout_of_one_number() -> None:
    assert nn.dropout(np.array(3.0), 0.5, seed=1) in (0.0, 6.0)


@pytest.mark.parametrize("level", [-0.1, 1.0, 2])
def test_dropout_level(level: float) -> None:
    with pytest.raises(ValueError, match="level of K.dropout must be at least 0 and less than 1"):
        nn.dropout(SMALL, level)


def test_dropout_arguments() -> None:
    with pytest.raises(ValueError, match=r"noise_shape \(2, 4\) does not fit .* \(3, 4\)"):
        nn.dropout(SMALL, 0.5, noise_shape=(2, 4))
    with pytest.raises(ValueError, match="noise_shape"):
        nn.dropout(SMALL, 0.5, noise_shape=(1, 3, 4))
    with pytest.raises(ValueError, match="seed"):
        nn.dropout(SMALL, 0.5, seed=-1)
    level = Tensor(np.array(0.5))
    with pytest.raises(NotImplementedError, match="K.dropout by level"):
        gradient(nn.dropout(SMALL, level), level)


# --- normalization by the batch -------------------------------------------------------------

SHAPES = [
    ((6, 3), [0]),
    ((2, 4, 3), [0, 1]),
    ((2, 3, 4), (0, -1)),
    ((2, 2, 3, 2), [0, 2, 3]),
    ((2, 2, 2, 3), [0, 1, 2]),
    ((2, 3, 2, 3), [0, 2]),
    ((2, 3), [1]),
]


@pytest.mark.parametrize(("shape", "axes"), SHAPES)
@pytest.mark.parametrize("epsilon", [1e-3, 0.2])
def test_normalize_batch_in_training(shape: tuple[int, ...], axes: Any, epsilon: float) -> None:
    random = np.random.RandomState(0)
    x = random.uniform(-2, 3, shape)
    axes_ = tuple(axis % x.ndim for axis in axes)
    channels = tuple(n for i, n in enumerate(shape) if i not in axes_)
    gamma, beta = random.uniform(0.5, 2, (2, *channels))
    both = check_derivatives(
        lambda x, gamma, beta: nn.normalize_batch_in_training(x, gamma, beta, axes, epsilon)[0],
        x,
        gamma,
        beta,
    )

    def statistics(which: int) -> Any:
        return lambda x: nn.normalize_batch_in_training(x, None, None, axes, epsilon)[which]

    normed = check_derivatives(statistics(0), x)
    mean, variance = (check_derivatives(statistics(i), x) for i in (1, 2))
    assert_allclose(mean, x.mean(axes_))
    assert_allclose(variance, x.var(axes_))
    wide = [np.expand_dims(a, axes_) for a in (mean, variance, gamma, beta)]
    assert_allclose(normed, (x - wide[0]) / np.sqrt(wide[1] + epsilon), atol=1e-12)
    assert_allclose(both, normed * wide[2] + wide[3], atol=1e-12)


def test_normalize_all_three_at_once() -> None:
    def total(x: Any) -> Any:
        normed, mean, variance = nn.normalize_batch_in_training(x, None, None, [0])
        return normed * mean + variance * normed

    check_derivatives(total, SMALL)


@pytest.mark.parametrize("shape", [(), (1,), (1, 3), (3, 1)])
def test_normalize_with_gamma_of_any_shape(shape: tuple[int, ...]) -> None:
    gamma = np.full(shape, 1.5)
    check_derivatives(
        lambda x, gamma: nn.normalize_batch_in_training(x, gamma, None, [0])[0],
        SMALL[:, :3],
        gamma,
    )


def test_normalize_gradient_by_gamma_alone() -> None:
    gamma = Tensor(np.ones(4))
    normed, mean, variance = nn.normalize_batch_in_training(SMALL, gamma, None, [0])
    assert isinstance(mean, np.ndarray)
    assert isinstance(variance, np.ndarray)
    assert_allclose(gradient(normed * normed, gamma), (2 * normed.value**2).sum(0))


def test_normalize_like_the_layer() -> None:
    layer = BatchNormalization(epsilon=0.01)
    x = SMALL.astype("float32")
    expected = layer(x, training=True)
    ones, zeros = np.ones(4, "float32"), np.zeros(4, "float32")
    normed = nn.normalize_batch_in_training(x, ones, zeros, [0], 0.01)[0]
    assert_array_equal(normed, expected)


def test_normalize_deferred() -> None:
    x = placeholder((None, 5, 3))
    normed, mean, variance = nn.normalize_batch_in_training(x, None, None, [0, 1])
    assert (normed.shape, mean.shape, variance.shape) == ((None, 5, 3), (3,), (3,))
    assert nn.batch_normalization(normed, mean, variance, None, None).shape == (None, 5, 3)
    assert nn.dropout(nn.relu(x), 0.5).shape == (None, 5, 3)


def test_normalize_errors() -> None:
    with pytest.raises(ValueError, match=r"gamma .* one number for each channel.*\(4,\).*\(3,\)"):
        nn.normalize_batch_in_training(SMALL, np.ones(3), None, [0])
    with pytest.raises(ValueError, match="nothing to normalize"):
        nn.normalize_batch_in_training(np.ones((0, 3)), None, None, [0])


# --- normalization by what is given ---------------------------------------------------------

GIVEN = [
    ((3, 4), (4,), -1),
    ((3, 4), (1, 4), 1),
    ((2, 3, 4), (4,), 2),
    ((2, 4, 3), (1, 4, 1), 1),
    ((2, 4, 3), (4,), 1),
    ((2, 4, 2, 2), (4,), -3),
    ((2, 2, 2, 4), (1, 1, 1, 4), 3),
    ((3, 4), (3, 1), -1),  # each sample by itself
    ((3, 4), (), -1),
    ((2, 3, 4), (2, 1, 4), -1),
    ((3, 3), (3, 3), -1),
]


def parameters(shape: tuple[int, ...]) -> list[np.ndarray]:
    random = np.random.RandomState(3)
    return [np.asarray(random.uniform(0.5, 2, shape)) for _ in range(4)]


@pytest.mark.parametrize(("shape", "given", "axis"), GIVEN)
def test_batch_normalization(shape: tuple[int, ...], given: tuple[int, ...], axis: int) -> None:
    x = np.random.RandomState(0).standard_normal(shape)
    mean, var, beta, gamma = parameters(given)
    y = check_derivatives(nn.batch_normalization, x, mean, var, beta, gamma, axis=axis, epsilon=0.1)
    if given == (shape[axis],):
        wide = [1] * len(shape)
        wide[axis] = -1
        mean, var, beta, gamma = (a.reshape(wide) for a in (mean, var, beta, gamma))
    assert_allclose(y, (x - mean) / np.sqrt(var + 0.1) * gamma + beta, rtol=1e-10)


@pytest.mark.parametrize("given", [(4,), (3, 1)])
def test_batch_normalization_without_beta_or_gamma(given: tuple[int, ...]) -> None:
    mean, var, beta, gamma = parameters(given)
    inverse = 1 / np.sqrt(var + 1e-3)

    def function(x: Any, mean: Any, var: Any) -> Any:
        return nn.batch_normalization(x, mean, var, None, None)

    assert_allclose(check_derivatives(function, SMALL, mean, var), (SMALL - mean) * inverse)
    y = check_derivatives(
        lambda x, beta: nn.batch_normalization(x, mean, var, beta, None), SMALL, beta
    )
    assert_allclose(y, (SMALL - mean) * inverse + beta)
    y = check_derivatives(
        lambda x, gamma: nn.batch_normalization(x, mean, var, None, gamma), SMALL, gamma
    )
    assert_allclose(y, (SMALL - mean) * inverse * gamma)


def test_batch_normalization_of_mixed_shapes_and_types() -> None:
    mean, var, beta, gamma = parameters((4,))
    check_derivatives(
        nn.batch_normalization, SMALL, mean[:1], var.reshape(1, 4), beta, np.array(0.7)
    )
    x = Tensor(SMALL.astype("float32"))
    for scale in (gamma, gamma[:1], 2, [1, 2, 3, 4]):
        y = nn.batch_normalization(x, mean, var, 0, scale)
        assert y.dtype == np.float32
        assert gradient(y, x).dtype == np.float32


def test_batch_normalization_keeps_precision() -> None:
    """A mean that is large beside the deviation costs nothing."""
    x = np.float64([[1e6], [1e6 + 1]])
    y = nn.batch_normalization(x, np.float64([1e6]), np.float64([1.0]), None, None, epsilon=0)
    assert_array_equal(y, [[0], [1]])


def test_batch_normalization_errors() -> None:
    with pytest.raises(ValueError, match=r"var of K.batch_normalization has the shape \(3,\)"):
        nn.batch_normalization(SMALL, np.ones(4), np.ones(3), None, None)
    with pytest.raises(ValueError, match="mean of K.batch_normalization"):
        nn.batch_normalization(SMALL, np.ones((1, 3, 4)), np.ones(4), None, None)
    with pytest.raises(ValueError, match="no axis 2"):
        nn.batch_normalization(SMALL, np.ones(4), np.ones(4), None, None, axis=2)
