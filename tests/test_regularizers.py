import json

import numpy as np
import pytest

from minikeras import regularizers
from minikeras.regularizers import L1L2, Regularizer

FACTORS = [(0.0, 0.0), (0.3, 0.0), (0.0, 0.2), (0.3, 0.2)]


class Cubes(Regularizer):
    def __call__(self, x):
        return float((x**3).sum())

    def add_gradient(self, x, gradient):
        gradient += 3 * x**2


def values(shape, seed=0, dtype="float64"):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@pytest.mark.parametrize(("l1", "l2"), FACTORS)
@pytest.mark.parametrize("shape", [(), (7,), (4, 5), (2, 3, 4), (0, 3), (3, 70_001)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_penalty(l1, l2, shape, dtype):
    x = values(shape, dtype=dtype)
    penalty = L1L2(l1, l2)(x)
    wide = x.astype("float64")
    assert isinstance(penalty, float)
    expected = l1 * np.abs(wide).sum() + l2 * (wide**2).sum()
    assert penalty == pytest.approx(expected, rel=1e-6 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize(("l1", "l2"), FACTORS)
@pytest.mark.parametrize("shape", [(), (7,), (4, 5), (2, 3, 4), (0, 3)])
def test_gradient_against_central_differences(l1, l2, shape):
    x = values(shape)
    regularizer = L1L2(l1, l2)
    gradient = np.zeros(shape)
    regularizer.add_gradient(x, gradient)
    numerical = np.zeros(shape)
    for index in np.ndindex(*shape):
        step = np.zeros(shape)
        step[index] = 1e-6
        numerical[index] = (regularizer(x + step) - regularizer(x - step)) / 2e-6
    np.testing.assert_allclose(gradient, numerical, atol=1e-7)


@pytest.mark.parametrize(("l1", "l2"), FACTORS)
@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 200_000])
def test_gradient_of_large_arrays(l1, l2, size):
    x = values(size, dtype="float32")
    gradient = values(size, seed=1, dtype="float32")
    expected = gradient + l1 * np.sign(x) + 2 * l2 * x
    L1L2(l1, l2).add_gradient(x, gradient)
    assert gradient.dtype == "float32"
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)


def test_gradient_is_added_in_place_to_a_view():
    block = np.ones(10)
    gradient = block[2:8].reshape(2, 3)
    x = values((2, 3))
    before = x.copy()
    L1L2(0.1, 0.2).add_gradient(x, gradient)
    np.testing.assert_allclose(block[2:8], 1 + (0.1 * np.sign(x) + 0.4 * x).ravel())
    np.testing.assert_array_equal(block[[0, 1, 8, 9]], 1)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("shape", [(6, 8), (600, 400)])
def test_arrays_that_are_not_contiguous(shape):
    x = values(shape[::-1]).T
    gradient = np.zeros((shape[0], 2 * shape[1]))[:, ::2]
    L1L2(0.1, 0.2).add_gradient(x, gradient)
    np.testing.assert_allclose(gradient, 0.1 * np.sign(x) + 0.4 * x)
    expected = 0.1 * np.abs(x).sum() + 0.2 * (x**2).sum()
    assert L1L2(0.1, 0.2)(x) == pytest.approx(expected)


def test_the_derivative_at_zero_is_zero():
    gradient = np.zeros(2)
    L1L2(l1=1.0).add_gradient(np.array([0.0, -0.0]), gradient)
    np.testing.assert_array_equal(gradient, 0)


def test_functions():
    assert regularizers.l1().get_config() == {"l1": 0.01, "l2": 0.0}
    assert regularizers.l2().get_config() == {"l1": 0.0, "l2": 0.01}
    assert regularizers.l1_l2().get_config() == {"l1": 0.01, "l2": 0.01}
    assert regularizers.l1(0.5).get_config() == {"l1": 0.5, "l2": 0.0}
    assert regularizers.l1(l=0.5).get_config() == {"l1": 0.5, "l2": 0.0}
    assert regularizers.l2(l=0.5).get_config() == {"l1": 0.0, "l2": 0.5}
    assert regularizers.l1_l2(l1=0.1, l2=0.2).get_config() == {"l1": 0.1, "l2": 0.2}


def test_later_spellings():
    assert regularizers.l1(l1=0.5).get_config() == {"l1": 0.5, "l2": 0.0}
    assert regularizers.l2(l2=0.5).get_config() == {"l1": 0.0, "l2": 0.5}
    made = regularizers.get({"class_name": "L2", "config": {"l2": 0.25}})
    assert made.get_config() == {"l1": 0.0, "l2": 0.25}
    made = regularizers.get({"class_name": "L1", "config": {"l1": 0.25}})
    assert made.get_config() == {"l1": 0.25, "l2": 0.0}


@pytest.mark.parametrize("name", ["l1", "l2", "l1_l2", "L1L2", "L1", "L2"])
def test_every_name(name):
    by_name = regularizers.get(name)
    assert isinstance(by_name, L1L2)
    attribute = getattr(regularizers, name)
    assert regularizers.get(attribute).get_config() == by_name.get_config()
    assert attribute().get_config() == by_name.get_config()


def test_all_names_are_in_the_table():
    assert set(regularizers._registry.entries) == {"l1", "l2", "l1_l2", "L1L2", "L1", "L2"}


def test_config_round_trip():
    config = regularizers.serialize(L1L2(0.1, 0.2))
    assert config == {"class_name": "L1L2", "config": {"l1": 0.1, "l2": 0.2}}
    again = regularizers.deserialize(json.loads(json.dumps(config)))
    assert regularizers.serialize(again) == config
    assert json.dumps(L1L2(np.float32(0.5), 1).get_config()) == '{"l1": 0.5, "l2": 1.0}'


def test_none_is_no_regularizer():
    assert regularizers.get(None) is None
    assert regularizers.serialize(None) is None


def test_instances_and_classes_of_ones_own():
    cubes = Cubes()
    assert regularizers.get(cubes) is cubes
    assert isinstance(regularizers.get(Cubes), Cubes)
    config = regularizers.serialize(cubes)
    assert config == {"class_name": "Cubes", "config": {}}
    assert isinstance(regularizers.deserialize(config, {"Cubes": Cubes}), Cubes)


def test_a_class_that_only_looks_like_a_regularizer_will_do():
    class Duck:
        def __call__(self, x):
            return 0.0

        def add_gradient(self, x, gradient):
            gradient += 1

    duck = Duck()
    assert regularizers.get(duck) is duck


@pytest.mark.parametrize("by_name", [False, True])
def test_a_function(by_name):
    def squares(x):
        return (x**2).sum()

    found = regularizers.get(squares)
    if by_name:
        found = regularizers.deserialize("squares", {"squares": squares})
    x, gradient = np.array([1.0, -3.0]), np.ones(2)
    assert found(x) == 10
    found.add_gradient(x, gradient)
    assert gradient.tolist() == [3, -5]
    assert regularizers.serialize(found) == "squares"
    with pytest.raises(ValueError, match=r"<lambda> must return a single number.*\(2,\).*K\.sum"):
        regularizers.get(lambda x: x * x).add_gradient(x, gradient)
    with pytest.raises(TypeError, match="derivative of the regularizer <lambda> is not known"):
        regularizers.get(lambda x: 1.0).add_gradient(x, gradient)


def test_a_subclass_without_a_derivative():
    class Squares(Regularizer):
        def __call__(self, x):
            return float((x**2).sum())

    with pytest.raises(TypeError, match=r"float\(\) of it would lose the derivative"):
        regularizers.get(Squares()).add_gradient(np.ones(2), np.zeros(2))


def test_a_subclass_without_a_penalty():
    class Empty(Regularizer):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty .* define __call__\(self, x\)"):
        Empty()(np.ones(2))


def test_unknown_name():
    with pytest.raises(ValueError, match=r"Unknown regularizer 'l3'\. Did you mean"):
        regularizers.get("l3")


def test_what_get_can_not_take():
    with pytest.raises(TypeError, match=r"Could not take 0.01 as regularizer"):
        regularizers.get(0.01)
