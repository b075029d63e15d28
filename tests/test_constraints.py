import json

import numpy as np
import pytest

from minikeras import backend as K
from minikeras import constraints

NAMES = [
    "MaxNorm",
    "NonNeg",
    "UnitNorm",
    "MinMaxNorm",
    "max_norm",
    "non_neg",
    "unit_norm",
    "min_max_norm",
    "maxnorm",
    "nonneg",
    "unitnorm",
]

CONFIGS = [
    ("MaxNorm", {"max_value": 3, "axis": 1}),
    ("NonNeg", {}),
    ("UnitNorm", {"axis": [0, 1]}),
    ("MinMaxNorm", {"min_value": 0.5, "max_value": 1.5, "rate": 0.5, "axis": 1}),
]

DEFAULTS = {
    "MaxNorm": {"max_value": 2, "axis": 0},
    "NonNeg": {},
    "UnitNorm": {"axis": 0},
    "MinMaxNorm": {"min_value": 0.0, "max_value": 1.0, "rate": 1.0, "axis": 0},
}


def kernel(shape=(6, 4), dtype="float64", scale=1.0):
    return (scale * np.random.default_rng(0).normal(size=shape)).astype(dtype)


def norms(w, axis=0):
    return np.sqrt((w**2).sum(axis=axis, keepdims=True))


def test_max_norm():
    w = kernel()
    w[:, 0] *= 0.01
    got = constraints.MaxNorm(max_value=1.0)(w)
    np.testing.assert_allclose(got[:, 0], w[:, 0], rtol=1e-5)
    np.testing.assert_allclose(norms(got)[0, 1:], 1, rtol=1e-6)
    np.testing.assert_allclose(got, w * np.minimum(norms(w), 1) / (norms(w) + 1e-7), rtol=1e-12)


def test_unit_norm():
    w = kernel()
    got = constraints.UnitNorm()(w)
    np.testing.assert_allclose(got, w / (norms(w) + 1e-7), rtol=1e-12)
    np.testing.assert_allclose(norms(got), 1, rtol=1e-6)


def test_min_max_norm():
    w = kernel() / norms(kernel()) * np.array([0.2, 0.8, 1.0, 5.0])
    got = constraints.MinMaxNorm(min_value=0.5, max_value=2.0)(w)
    np.testing.assert_allclose(norms(got)[0], [0.5, 0.8, 1.0, 2.0], rtol=1e-5)


def test_min_max_norm_goes_part_of_the_way():
    w = kernel() / norms(kernel()) * np.array([0.2, 0.8, 1.0, 5.0])
    got = constraints.MinMaxNorm(min_value=0.5, max_value=2.0, rate=0.25)(w)
    expected = [0.75 * 0.2 + 0.25 * 0.5, 0.8, 1.0, 0.75 * 5.0 + 0.25 * 2.0]
    np.testing.assert_allclose(norms(got)[0], expected, rtol=1e-5)


def test_non_neg():
    got = constraints.NonNeg()(np.array([-1.0, -0.0, 0.0, 2.0]))
    np.testing.assert_array_equal(got, [0, 0, 0, 2])
    assert not np.signbit(got[0])


@pytest.mark.parametrize("make", [constraints.MaxNorm, constraints.UnitNorm])
@pytest.mark.parametrize("axis", [0, 1, -1, [0, 1, 2], (0, 1), None])
def test_axis(make, axis):
    w = kernel((3, 3, 2, 5), scale=10.0)
    got = make(1.0, axis=axis)(w) if make is constraints.MaxNorm else make(axis=axis)(w)
    axes = tuple(axis) if isinstance(axis, list) else axis
    np.testing.assert_allclose(norms(got, axes), 1, rtol=1e-6)


@pytest.mark.parametrize("name", DEFAULTS)
def test_zero_weights_stay_zero(name):
    np.testing.assert_array_equal(constraints.get(name)(np.zeros((3, 2))), 0)


def test_epsilon_is_that_of_the_backend():
    K.set_epsilon(1.0)
    np.testing.assert_allclose(constraints.UnitNorm()(np.array([[3.0]])), 0.75)
    np.testing.assert_allclose(constraints.MaxNorm(2)(np.array([[3.0]])), 1.5)
    np.testing.assert_allclose(constraints.MinMaxNorm()(np.array([[3.0]])), 0.75)


@pytest.mark.parametrize("name", DEFAULTS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_type_is_kept_and_the_input_left_alone(name, dtype):
    w = kernel(dtype=dtype, scale=3.0)
    before = w.copy()
    got = constraints.get(name)(w)
    assert got.dtype == dtype
    assert got.shape == w.shape
    assert not np.shares_memory(got, w)
    np.testing.assert_array_equal(w, before)


def test_numpy_scalars_as_limits_do_not_widen():
    w = kernel(dtype="float32")
    assert constraints.MaxNorm(np.float64(1.0))(w).dtype == "float32"
    limits = np.float64(0.5), np.float64(1.0), np.float64(0.5)
    assert constraints.MinMaxNorm(*limits)(w).dtype == "float32"


@pytest.mark.parametrize("name", NAMES)
def test_every_name(name):
    by_name = constraints.get(name)
    assert isinstance(by_name, constraints.Constraint)
    assert type(by_name) is getattr(constraints, name)


def test_all_names_are_in_the_table():
    assert set(constraints._registry.entries) == set(NAMES)
    classes = {
        name
        for name, value in vars(constraints).items()
        if isinstance(value, type) and issubclass(value, constraints.Constraint)
    }
    assert classes - {"Constraint"} == set(NAMES)


@pytest.mark.parametrize(("name", "config"), CONFIGS)
def test_config_round_trip(name, config):
    made = getattr(constraints, name)(**config)
    serialized = constraints.serialize(made)
    assert serialized == {"class_name": name, "config": config}
    again = constraints.deserialize(json.loads(json.dumps(serialized)))
    np.testing.assert_array_equal(again(kernel()), made(kernel()))


@pytest.mark.parametrize(("name", "config"), DEFAULTS.items())
def test_defaults_are_those_of_keras(name, config):
    assert constraints.get(name).get_config() == config


def test_none_is_no_constraint():
    assert constraints.get(None) is None
    assert constraints.serialize(None) is None


def test_instances_classes_and_functions():
    def halve(w):
        return w / 2

    instance = constraints.NonNeg()
    assert constraints.get(instance) is instance
    assert isinstance(constraints.get(constraints.NonNeg), constraints.NonNeg)
    assert constraints.get(halve) is halve
    assert constraints.deserialize(constraints.serialize(halve), {"halve": halve}) is halve


def test_the_base_class_says_what_is_missing():
    class Empty(constraints.Constraint):
        pass

    assert Empty().get_config() == {}
    with pytest.raises(NotImplementedError, match=r"Empty .* define __call__\(self, w\)"):
        Empty()(np.ones(2))


def test_unknown_name():
    with pytest.raises(ValueError, match=r"Unknown constraint 'maxnrm'\. Did you mean 'maxnorm'"):
        constraints.get("maxnrm")


def test_what_get_can_not_take():
    with pytest.raises(TypeError, match="Could not take 2 as constraint"):
        constraints.get(2)
