import numpy as np
import pytest

from minikeras.backend import Variable
from minikeras.backend.context import Context
from minikeras.backend.deferred import placeholder
from minikeras.backend.function import function
from minikeras.backend.inspection import (
    count_params,
    dtype,
    get_variable_shape,
    int_shape,
    is_keras_tensor,
    is_sparse,
    is_tensor,
    ndim,
    shape,
    to_dense,
)
from minikeras.backend.running import inside
from minikeras.backend.tape import Tensor

X = np.zeros((2, 3), "float32")
KNOWN = [X, Tensor(X), Variable(X)]


@pytest.mark.parametrize("x", KNOWN)
def test_of_known_values(x):
    for found in (shape(x), int_shape(x), get_variable_shape(x)):
        assert found == (2, 3)
        assert type(found) is tuple
    assert shape(x)[0] == 2
    assert ndim(x) == 2
    assert dtype(x) == "float32"
    assert count_params(x) == 6


def test_of_numbers_and_lists():
    assert shape([[1, 2, 3]]) == int_shape([[1, 2, 3]]) == (1, 3)
    assert int_shape(1.0) == ()
    assert ndim([1, 2]) == 1
    assert ndim(1) == 0
    assert dtype([True]) == "bool"
    assert count_params(1.0) == 1


def test_of_what_is_not_known_yet():
    x = placeholder((None, 3), dtype="float64")
    assert int_shape(x) == (None, 3)
    assert ndim(x) == 2
    assert dtype(x) == "float64"
    run = function([x], [shape(x), shape(x)[0], x * (shape(x)[0] + 1)])
    sizes, samples, product = run([np.ones((4, 3))])
    assert sizes.tolist() == [4, 3]
    assert samples == 4
    assert product[0, 0] == 5
    with pytest.raises(ValueError, match=r"shape \(None, 3\): how many numbers"):
        count_params(x)
    assert count_params(placeholder((2, 3))) == 6


def test_is_tensor():
    assert is_tensor(Tensor(X))
    assert is_tensor(Variable(X))
    assert is_tensor(placeholder((2,)))
    assert not is_tensor(X)
    assert not is_tensor(1.0)
    with inside(Context(records=False)):
        assert is_tensor(X)
        assert not is_tensor(1.0)


def test_is_keras_tensor():
    assert not is_keras_tensor(Tensor(X))
    assert not is_keras_tensor(Variable(X))
    assert not is_keras_tensor(placeholder((2,)))
    with pytest.raises(ValueError, match="asks about a tensor or a variable, got ndarray"):
        is_keras_tensor(X)


def test_nothing_is_sparse():
    x = Tensor(X)
    assert not is_sparse(x)
    assert to_dense(x) is x
