import hashlib

import numpy as np

from minikeras.datasets import digits


def test_shapes_and_values():
    (x_train, y_train), (x_test, y_test) = digits.load_data()

    assert x_train.shape == (1437, 8, 8)
    assert x_test.shape == (360, 8, 8)
    assert y_train.shape == (1437,)
    assert y_test.shape == (360,)
    assert {a.dtype for a in (x_train, y_train, x_test, y_test)} == {np.dtype("uint8")}
    assert (x_train.min(), x_train.max()) == (0, 16)
    assert np.bincount(y_train).min() > 130
    assert np.bincount(y_test).min() > 30


def test_digits_are_those_of_the_source():
    """The hash is of the 1,797 images and labels in the order of scikit-learn's load_digits()."""
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    digest = hashlib.sha256()
    for array in (x_train, x_test, y_train, y_test):
        digest.update(array.tobytes())

    assert digest.hexdigest() == "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"


def test_each_call_gives_arrays_of_its_own():
    first = digits.load_data()[0][0]
    first[:] = 0

    assert digits.load_data()[0][0].any()


def test_nearest_digit_is_right_as_often_as_the_docstring_says():
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    train, test = (x.reshape(len(x), -1).astype("float64") for x in (x_train, x_test))
    distance = (train**2).sum(axis=1) - 2 * test @ train.T

    assert round((y_train[distance.argmin(axis=1)] == y_test).mean(), 3) == 0.956
