import copy
import pickle

import numpy as np
import pytest

from minikeras import backend as K
from minikeras.backend import Variable
from minikeras.optimizers import SGD


def test_attributes():
    v = Variable(np.ones((2, 3), "float32"), name="dense_1/kernel:0")
    assert v.shape == (2, 3)
    assert v.dtype == "float32"
    assert v.size == 6
    assert v.name == "dense_1/kernel:0"
    assert v.trainable
    assert v.regularizer is None
    assert v.constraint is None
    assert repr(v) == "<Variable 'dense_1/kernel:0' shape=(2, 3) dtype=float32>"


def test_rules_are_kept():
    v = Variable(1.0, trainable=False, regularizer=abs, constraint=np.abs)
    assert v.shape == ()
    assert (v.trainable, v.regularizer, v.constraint) == (False, abs, np.abs)


def test_assign_writes_in_place_and_keeps_the_type():
    block = np.zeros(10, "float32")
    v = Variable(np.zeros((2, 2), "float32"))
    v.value = block[3:7].reshape(2, 2)
    v.assign([[1, 2], [3, 4]])
    np.testing.assert_array_equal(block[3:7], [1, 2, 3, 4])
    assert v.dtype == "float32"


@pytest.mark.parametrize("value", [np.zeros((3, 2)), np.zeros(6), 0.0, np.zeros((1, 3))])
def test_assign_does_not_broadcast(value):
    v = Variable(np.ones((2, 3)), name="kernel")
    with pytest.raises(ValueError, match=r"Variable 'kernel' has shape \(2, 3\); it can't take"):
        v.assign(value)
    np.testing.assert_array_equal(v.value, 1)


def test_as_an_array():
    v = Variable(np.arange(3.0))
    np.testing.assert_array_equal(np.asarray(v), [0, 1, 2])
    assert np.asarray(v, dtype="float32").dtype == "float32"
    assert np.shares_memory(np.asarray(v), v.value)
    assert not np.shares_memory(np.array(v, copy=True), v.value)
    np.testing.assert_array_equal(np.exp(v), np.exp(v.value))


def test_numpy_is_a_copy():
    v = Variable(np.zeros(3))
    v.numpy()[...] = 1
    np.testing.assert_array_equal(v.value, 0)


def test_a_variable_is_itself_only():
    a, b = Variable(np.zeros(3)), Variable(np.zeros(3))
    assert a != b
    assert len({a, b, a}) == 2


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))])
def test_copies(clone):
    v = Variable(np.arange(4.0), name="w", trainable=False, constraint=np.abs)
    twin = clone(v)
    assert (twin.name, twin.trainable, twin.constraint) == ("w", False, np.abs)
    twin.assign(np.zeros(4))
    np.testing.assert_array_equal(v.value, np.arange(4.0))


def test_no_attribute_by_mistake():
    with pytest.raises(AttributeError):
        Variable(np.zeros(3)).values = 1


def test_k_functions_get_and_set_values():
    optimizer = SGD(lr=0.1)
    weight = Variable(np.zeros(2), name="w")

    K.set_value(optimizer.lr, 0.5)
    K.batch_set_value([(weight, [1, 2])])

    assert float(optimizer.lr) == K.get_value(optimizer.lr) == 0.5
    assert K.batch_get_value([weight])[0].tolist() == [1, 2]
    K.get_value(weight)[0] = 9
    assert weight.value[0] == 1


def test_missing_k_functions_say_what_to_do():
    with pytest.raises(AttributeError, match=r"K\.get_session is not there: there are no sessions"):
        K.get_session()
    with pytest.raises(AttributeError, match="Did you mean 'mean'"):
        K.maen(1)
    assert not hasattr(K, "__wrapped__")


def test_arithmetic_with_a_scalar_leaves_float32_alone():
    lr = SGD(lr=0.1).lr

    assert type(lr * 2) is float
    assert (np.ones(2, "float32") * (lr / 2)).dtype == np.float32
