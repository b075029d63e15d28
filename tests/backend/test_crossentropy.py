"""The cross-entropies of K: values by the book, derivatives, clipping, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minikeras import losses
from minikeras.backend.backpropagation import backpropagate
from minikeras.backend.crossentropy import (
    binary_crossentropy,
    categorical_crossentropy,
    sparse_categorical_crossentropy,
)
from minikeras.backend.tape import Tensor
from tests.backend.derivatives import check_derivatives

RANDOM = np.random.RandomState(0)
P = RANDOM.uniform(0.1, 0.9, (2, 3, 4))
T = RANDOM.uniform(0.1, 0.9, (2, 3, 4))
Z = RANDOM.standard_normal((2, 3, 4)) * 2


def log_softmax(z: np.ndarray, axis: int) -> np.ndarray:
    return z - np.log(np.exp(z).sum(axis=axis, keepdims=True))


def gradient(y: Any, x: Tensor) -> np.ndarray:
    (found,) = backpropagate([(y, np.ones(y.shape))], [x])
    assert found is not None
    return found


@pytest.mark.parametrize("axis", [-1, 0, 1, 2])
def test_categorical(axis: int) -> None:
    y = check_derivatives(categorical_crossentropy, T, P, axis=axis)
    q = P / P.sum(axis=axis, keepdims=True)
    assert_allclose(y, -(T * np.log(q)).sum(axis=axis))
    y = check_derivatives(categorical_crossentropy, T, Z, from_logits=True, axis=axis)
    assert_allclose(y, -(T * log_softmax(Z, axis)).sum(axis=axis))


@pytest.mark.parametrize("from_logits", [False, True])
def test_one_sample_and_broadcast_targets(from_logits: bool) -> None:
    y = check_derivatives(categorical_crossentropy, T[0, 0], P[0, 0], from_logits=from_logits)
    assert np.shape(y) == ()
    y = check_derivatives(categorical_crossentropy, T[0, 0], P, from_logits=from_logits)
    full = np.broadcast_to(T[0, 0], P.shape)
    assert_allclose(y, categorical_crossentropy(full, P, from_logits))
    check_derivatives(binary_crossentropy, T[0, :, :1], P, from_logits=from_logits)


def test_like_the_losses() -> None:
    t, p = T.astype("float32"), P.astype("float32")
    assert_array_equal(categorical_crossentropy(t, p), losses.categorical_crossentropy(t, p))
    labels = np.array([[0, 1, 2], [3, 0, 1]])
    expected = losses.sparse_categorical_crossentropy(labels, p)
    assert_array_equal(sparse_categorical_crossentropy(labels, p), expected)
    mean = binary_crossentropy(t, p).mean(axis=-1)
    assert_allclose(mean, losses.binary_crossentropy(t, p), rtol=1e-6)


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize(
    ("shape", "labels", "axis", "result"),
    [
        ((3, 4), [0, 3, 1], -1, (3,)),
        ((3, 4), [[0], [3], [1]], 1, (3,)),
        ((3, 4), [[0, 1], [2, 2]], 0, (4,)),
        ((2, 3, 4), [[0, 1, 2], [3, 0, 1]], 2, (2, 3)),
        ((2, 3, 4), [[0, 1, 2, 2], [2, 2, 0, 1]], 1, (2, 4)),
        ((2, 3, 4), [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1], 0, (3, 4)),
        ((4,), [2], -1, (1,)),
        ((4,), 2, 0, (1,)),
    ],
)
def test_sparse(
    shape: tuple[int, ...], labels: Any, axis: int, result: tuple[int, ...], from_logits: bool
) -> None:
    output = (Z if from_logits else P).ravel()[: int(np.prod(shape))].reshape(shape)

    def function(output: Any) -> Any:
        return sparse_categorical_crossentropy(np.array(labels), output, from_logits, axis)

    y = check_derivatives(function, output)
    assert y.shape == result
    last = np.moveaxis(output if from_logits else np.log(output), axis, -1)
    rows = log_softmax(last.reshape(-1, last.shape[-1]), -1)
    assert_allclose(y.ravel(), -rows[np.arange(len(rows)), np.ravel(labels)])


def test_sparse_targets_of_floats_and_tensors() -> None:
    p = Tensor(P[0])
    expected = sparse_categorical_crossentropy(np.array([0, 3, 1]), P[0])
    for target in ([0.0, 3.0, 1.0], Tensor(np.array([[0.0], [3.0], [1.0]], "float32"))):
        y = sparse_categorical_crossentropy(target, p)
        assert_array_equal(y.value, expected)
        assert gradient(y, p).shape == (3, 4)


def test_binary() -> None:
    y = check_derivatives(binary_crossentropy, T, P)
    assert_allclose(y, -(T * np.log(P) + (1 - T) * np.log(1 - P)))
    y = check_derivatives(binary_crossentropy, T, Z, from_logits=True)
    p = 1 / (1 + np.exp(-Z))
    assert_allclose(y, -(T * np.log(p) + (1 - T) * np.log(1 - p)))
    for from_logits in (False, True):
        check_derivatives(binary_crossentropy, np.array(1.0), np.array(0.3), from_logits)


def test_probabilities_are_clipped() -> None:
    edge, limit = np.array([[0.0, 1.0]]), -np.log(1e-7)
    p = Tensor(edge)
    for target in (edge[:, ::-1], np.array([[1.0, 0.0]])):
        y = categorical_crossentropy(target, p)
        assert_allclose(y.value, [limit])
        assert_array_equal(gradient(y, p), [[0, 0]])
        y = binary_crossentropy(target, p)
        assert_allclose(y.value, [[limit, limit]], rtol=1e-6)
        assert_array_equal(gradient(y, p), [[0, 0]])
    y = sparse_categorical_crossentropy([0], p)
    assert_allclose(y.value, [limit])
    assert_array_equal(gradient(y, p), [[0, 0]])
    t = Tensor(np.array([[0.0, 1.0]]))
    assert_allclose(gradient(categorical_crossentropy(t, edge), t), [[limit, 1e-7]], rtol=1e-6)
    assert_allclose(gradient(binary_crossentropy(t, edge), t), [[limit, -limit]], rtol=1e-6)


def test_large_logits() -> None:
    z = Tensor(np.array([[1000.0, -1000.0]]))
    y = categorical_crossentropy(np.array([[0.0, 1.0]]), z, from_logits=True)
    assert_array_equal(y.value, [2000.0])
    assert_array_equal(gradient(y, z), [[1, -1]])
    y = sparse_categorical_crossentropy([1], z, from_logits=True)
    assert_array_equal(y.value, [2000.0])
    assert_array_equal(gradient(y, z), [[1, -1]])
    y = binary_crossentropy(np.array([[0.0, 1.0]]), z, from_logits=True)
    assert_array_equal(y.value, [[1000.0, 1000.0]])
    assert_array_equal(gradient(y, z), [[1, -1]])
    # What is left of a certain and right answer.
    assert_allclose(
        binary_crossentropy(np.array([1.0, 0.0]), np.array([40.0, -40.0]), from_logits=True),
        np.exp(-40.0),
    )


def test_lists_and_types() -> None:
    assert categorical_crossentropy([[0, 1]], [[0.5, 0.5]]).dtype == np.float32
    assert binary_crossentropy([0, 1], [0.5, 0.5]).dtype == np.float32
    p = Tensor(P.astype("float32"))
    for function in (categorical_crossentropy, binary_crossentropy):
        for from_logits in (False, True):
            y = function(T, p, from_logits)
            assert y.dtype == np.float32
            assert gradient(y, p).dtype == np.float32


@pytest.mark.parametrize("axis", [-2, 3])
def test_wrong_axis(axis: int) -> None:
    message = rf"axis .* must be -1 or one of the axes .* \(2, 3, 4\); got {axis}"
    with pytest.raises(ValueError, match=message):
        categorical_crossentropy(T, P, axis=axis)
    with pytest.raises(ValueError, match=message):
        sparse_categorical_crossentropy(np.zeros((2, 3), int), P, axis=axis)


def test_wrong_targets() -> None:
    for function in (categorical_crossentropy, binary_crossentropy):
        with pytest.raises(ValueError, match=r"same shape, got \(3, 3\) and \(2, 3, 4\)"):
            function(np.ones((3, 3)), P)
    with pytest.raises(ValueError, match=r"one class number for each sample.*\(3, 4\).*\(2,\)"):
        sparse_categorical_crossentropy([0, 1], P[0])
    for wrong in (-1, 4):
        with pytest.raises(ValueError, match=r"must lie in 0 ... 3.*from"):
            sparse_categorical_crossentropy([0, wrong, 2], P[0])
