import json
import math

import numpy as np
import pytest

from minikeras import backend as K
from minikeras import initializers
from minikeras.utils.generic_utils import CustomObjectScope

# The names of Keras 2.2.4, all of which are also attributes of the module.
NAMES_OF_2_2 = [
    "Zeros",
    "Ones",
    "Constant",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Orthogonal",
    "Identity",
    "zero",
    "zeros",
    "one",
    "ones",
    "constant",
    "uniform",
    "random_uniform",
    "normal",
    "random_normal",
    "truncated_normal",
    "identity",
    "orthogonal",
    "lecun_uniform",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "lecun_normal",
    "he_uniform",
]
LATER_NAMES = [
    "variance_scaling",
    "LecunUniform",
    "LecunNormal",
    "GlorotUniform",
    "GlorotNormal",
    "HeUniform",
    "HeNormal",
]

RANDOM = [
    initializers.RandomNormal,
    initializers.RandomUniform,
    initializers.TruncatedNormal,
    initializers.VarianceScaling,
    initializers.Orthogonal,
]

# Class, arguments by position, config.
CONFIGS = [
    ("Zeros", (), {}),
    ("Ones", (), {}),
    ("Constant", (3,), {"value": 3}),
    ("RandomNormal", (1.0, 2.0, 3), {"mean": 1.0, "stddev": 2.0, "seed": 3}),
    ("RandomUniform", (1.0, 2.0, 3), {"minval": 1.0, "maxval": 2.0, "seed": 3}),
    ("TruncatedNormal", (1.0, 2.0, 3), {"mean": 1.0, "stddev": 2.0, "seed": 3}),
    (
        "VarianceScaling",
        (2.0, "fan_out", "uniform", 3),
        {"scale": 2.0, "mode": "fan_out", "distribution": "uniform", "seed": 3},
    ),
    ("Orthogonal", (2.0, 3), {"gain": 2.0, "seed": 3}),
    ("Identity", (2.0,), {"gain": 2.0}),
]

DEFAULTS = {
    "Constant": {"value": 0},
    "RandomNormal": {"mean": 0.0, "stddev": 0.05, "seed": None},
    "RandomUniform": {"minval": -0.05, "maxval": 0.05, "seed": None},
    "TruncatedNormal": {"mean": 0.0, "stddev": 0.05, "seed": None},
    "VarianceScaling": {
        "scale": 1.0,
        "mode": "fan_in",
        "distribution": "normal",
        "seed": None,
    },
    "Orthogonal": {"gain": 1.0, "seed": None},
    "Identity": {"gain": 1.0},
}

# Name, variance for a kernel of (300, 500), bound of the absolute values.
SCALED = [
    ("lecun_uniform", 1 / 300, math.sqrt(3 / 300)),
    ("lecun_normal", 1 / 300, 2 * math.sqrt(1 / 300) / 0.8796),
    ("glorot_uniform", 2 / 800, math.sqrt(6 / 800)),
    ("glorot_normal", 2 / 800, 2 * math.sqrt(2 / 800) / 0.8796),
    ("he_uniform", 2 / 300, math.sqrt(6 / 300)),
    ("he_normal", 2 / 300, 2 * math.sqrt(2 / 300) / 0.8796),
]


@pytest.mark.parametrize("name", NAMES_OF_2_2 + LATER_NAMES)
def test_every_name_makes_an_initializer(name):
    initializer = initializers.get(name)
    assert isinstance(initializer, initializers.Initializer)
    assert initializer((4, 4)).shape == (4, 4)
    made_by_attribute = getattr(initializers, name)()
    assert type(made_by_attribute) is type(initializer)
    assert made_by_attribute.get_config() == initializer.get_config()


def test_every_initializer_of_the_module_has_a_name():
    public = {
        name
        for name, value in vars(initializers).items()
        if isinstance(value, type)
        and issubclass(value, initializers.Initializer)
        and not name.startswith("_")
    }
    assert public - {"Initializer"} <= set(NAMES_OF_2_2 + LATER_NAMES)
    assert set(initializers._registry.entries) == set(NAMES_OF_2_2 + LATER_NAMES)


@pytest.mark.parametrize(("name", "arguments", "config"), CONFIGS)
def test_config_round_trip(name, arguments, config):
    initializer = getattr(initializers, name)(*arguments)
    serialized = initializers.serialize(initializer)
    assert serialized == {"class_name": name, "config": config}
    again = initializers.deserialize(json.loads(json.dumps(serialized)))
    assert type(again) is type(initializer)
    np.testing.assert_array_equal(again((6, 6)), initializer((6, 6)))


@pytest.mark.parametrize(("name", "config"), DEFAULTS.items())
def test_defaults_are_those_of_keras(name, config):
    assert initializers.get(name).get_config() == config
    assert list(initializers.get(name).get_config()) == list(config)


@pytest.mark.parametrize(("name", "arguments", "config"), CONFIGS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", None])
def test_dtype_and_shape(name, arguments, config, dtype):
    value = getattr(initializers, name)(*arguments)((4, 8), dtype=dtype)
    assert isinstance(value, np.ndarray)
    assert value.shape == (4, 8)
    assert value.dtype == (dtype or "float32")
    assert value.flags.c_contiguous
    assert value.flags.writeable


@pytest.mark.parametrize("name", ["zeros", "ones", "constant", "random_normal", "random_uniform"])
@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4, 5, 6, 7), [2, 3], (0, 3)])
def test_any_number_of_axes(name, shape):
    assert initializers.get(name)(shape).shape == tuple(shape)


@pytest.mark.parametrize("name", [name for name, _, _ in SCALED])
@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4, 5, 6, 7), (0, 3)])
def test_scaled_initializers_take_any_number_of_axes(name, shape):
    assert initializers.get(name)(shape).shape == shape


def test_without_a_dtype_it_is_floatx():
    K.set_floatx("float64")
    for name, arguments, _ in CONFIGS:
        assert getattr(initializers, name)(*arguments)((2, 4)).dtype == "float64"


def test_zeros_ones_constant():
    assert (initializers.Zeros()((3, 2)) == 0).all()
    assert (initializers.Ones()((3, 2)) == 1).all()
    assert (initializers.Constant(1.5)((3, 2)) == 1.5).all()
    assert initializers.Ones()((2,), "int32").dtype == "int32"


def test_constant_takes_an_array():
    values = np.arange(6.0).reshape(2, 3)
    constant = initializers.Constant(values)
    made = constant((2, 3))
    np.testing.assert_array_equal(made, values)
    made[...] = 0
    assert values[1, 2] == 5
    again = initializers.deserialize(json.loads(json.dumps(initializers.serialize(constant))))
    np.testing.assert_array_equal(again((2, 3)), values)
    assert json.dumps(initializers.Constant(np.float32(2)).get_config()) == '{"value": 2.0}'


def test_constant_of_a_wrong_shape():
    with pytest.raises(ValueError, match=r"Constant has shape \(3,\).* shape \(2, 2\)"):
        initializers.Constant([1, 2, 3])((2, 2))


def test_random_normal_statistics():
    x = initializers.RandomNormal(mean=2.0, stddev=3.0, seed=1)((400, 500), "float64")
    assert x.mean() == pytest.approx(2, abs=0.03)
    assert x.std() == pytest.approx(3, abs=0.03)
    assert (abs(x - 2) > 6).mean() == pytest.approx(0.0455, abs=0.003)


def test_random_uniform_statistics():
    x = initializers.RandomUniform(minval=1.0, maxval=4.0, seed=1)((400, 500))
    assert x.min() >= 1
    assert x.max() <= 4
    assert x.mean() == pytest.approx(2.5, abs=0.01)
    assert x.var() == pytest.approx(9 / 12, abs=0.01)
    counts, _ = np.histogram(x, bins=10, range=(1, 4))
    assert abs(counts - 20_000).max() < 700


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_truncated_normal_statistics(dtype):
    x = initializers.TruncatedNormal(mean=1.0, stddev=0.5, seed=1)((400, 500), dtype)
    assert abs(x - 1).max() <= 1 + 1e-6
    assert abs(x - 1).max() > 0.99
    assert x.mean() == pytest.approx(1, abs=0.005)
    assert x.std() == pytest.approx(0.5 * 0.87962566, abs=0.005)
    # Values beyond the bounds are drawn again, not clipped to them.
    assert (abs(x - 1) > 0.999).mean() < 0.001


@pytest.mark.parametrize(("name", "variance", "bound"), SCALED)
def test_scaled_statistics(name, variance, bound):
    x = getattr(initializers, name)(seed=7)((300, 500))
    assert x.dtype == "float32"
    assert x.mean() == pytest.approx(0, abs=4 * math.sqrt(variance / x.size))
    assert x.var() == pytest.approx(variance, rel=0.02)
    assert bound * 0.99 < abs(x).max() <= bound * (1 + 1e-6)


@pytest.mark.parametrize("distribution", ["normal", "uniform", "untruncated_normal"])
@pytest.mark.parametrize(
    ("mode", "variance"), [("fan_in", 3 / 90), ("fan_out", 3 / 180), ("fan_avg", 3 / 135)]
)
def test_variance_scaling_of_a_convolution_kernel(mode, variance, distribution):
    x = initializers.VarianceScaling(3.0, mode, distribution, seed=5)((3, 3, 10, 20))
    many = [initializers.VarianceScaling(3.0, mode, distribution, seed=s) for s in range(30)]
    values = np.concatenate([one((3, 3, 10, 20)).ravel() for one in many])
    assert values.var() == pytest.approx(variance, rel=0.03)
    assert x.shape == (3, 3, 10, 20)


@pytest.mark.parametrize(("name", "variance", "bound"), SCALED)
def test_the_seed_is_handed_on(name, variance, bound):
    make = getattr(initializers, name)
    assert make(3).get_config()["seed"] == make(seed=3).get_config()["seed"] == 3


def test_a_fan_counts_as_one_at_least():
    assert initializers.lecun_normal(seed=1)((1, 50_000)).var() == pytest.approx(1, rel=0.02)
    assert initializers.VarianceScaling()((0, 3)).shape == (0, 3)


def test_untruncated_normal_has_tails():
    x = initializers.VarianceScaling(distribution="untruncated_normal", seed=1)((100, 1000))
    assert (abs(x) > 0.2).mean() == pytest.approx(0.0455, abs=0.004)


def test_later_names_of_arguments_are_stored_as_those_of_2_2():
    made = initializers.VarianceScaling(mode="FAN_AVG", distribution="Truncated_Normal")
    assert made.get_config()["mode"] == "fan_avg"
    assert made.get_config()["distribution"] == "normal"


@pytest.mark.parametrize(
    ("shape", "fans"),
    [
        ((7, 5), (7, 5)),
        ((3, 7, 5), (21, 15)),
        ((3, 4, 7, 5), (84, 60)),
        ((2, 3, 4, 7, 5), (168, 120)),
        ((3, 3, 8, 1), (72, 9)),  # depthwise
        ((9,), (3, 3)),
        ((), (1, 1)),
        ((2, 2, 1, 1, 1, 1), (2, 2)),
    ],
)
def test_compute_fans(shape, fans):
    assert initializers._compute_fans(shape) == fans


def test_compute_fans_channels_first():
    assert initializers._compute_fans((5, 7, 3, 4), "channels_first") == (84, 60)
    with pytest.raises(ValueError, match=r"data_format must be .* got 'channels'"):
        initializers._compute_fans((5, 7, 3, 4), "channels")


@pytest.mark.parametrize("shape", [(8, 8), (8, 5), (5, 8), (2, 3, 4), (2, 2, 3, 20), (1, 4)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_orthogonal(shape, dtype):
    x = initializers.Orthogonal(gain=2.0, seed=3)(shape, dtype)
    assert x.shape == shape
    matrix = x.reshape(-1, shape[-1]) / 2
    rows, columns = matrix.shape
    gram = matrix.T @ matrix if rows >= columns else matrix @ matrix.T
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-5 if dtype == "float32" else 1e-12)


def test_orthogonal_has_no_preferred_direction():
    make = [initializers.Orthogonal(seed=seed) for seed in range(400)]
    matrices = np.array([one((3, 3), "float64") for one in make])
    np.testing.assert_allclose(matrices.mean(axis=0), 0, atol=0.1)
    np.testing.assert_allclose((matrices**2).mean(axis=0), 1 / 3, atol=0.06)
    assert (np.linalg.det(matrices) > 0).mean() == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("shape", [(), (4,)])
def test_orthogonal_needs_two_axes(shape):
    with pytest.raises(ValueError, match="Orthogonal can only fill a weight of two or more axes"):
        initializers.Orthogonal()(shape)


def test_identity():
    np.testing.assert_array_equal(initializers.Identity(2.0)((3, 3)), 2 * np.eye(3))
    np.testing.assert_array_equal(initializers.Identity()((4, 2)), np.vstack([np.eye(2)] * 2))
    np.testing.assert_array_equal(initializers.Identity()((2, 6)), np.hstack([np.eye(2)] * 3))


@pytest.mark.parametrize("shape", [(3,), (2, 2, 2), ()])
def test_identity_needs_a_matrix(shape):
    with pytest.raises(ValueError, match="Identity can only fill a matrix, not"):
        initializers.Identity()(shape)


@pytest.mark.parametrize("shape", [(2, 3), (6, 4), (0, 2)])
def test_identity_needs_sides_that_fit(shape):
    with pytest.raises(ValueError, match="one side must be a multiple of the other"):
        initializers.Identity()(shape)


@pytest.mark.parametrize("initializer", RANDOM)
def test_a_seed_gives_the_same_values_at_each_call(initializer):
    one = initializer(seed=11)
    first = one((5, 6))
    np.random.rand(3)
    np.testing.assert_array_equal(one((5, 6)), first)
    np.testing.assert_array_equal(initializer(seed=11)((5, 6)), first)
    assert (initializer(seed=12)((5, 6)) != first).any()


@pytest.mark.parametrize("initializer", RANDOM)
def test_without_a_seed_the_global_one_decides(initializer):
    one = initializer()
    np.random.seed(4)
    first, second = one((5, 6)), one((5, 6))
    assert (first != second).any()
    np.random.seed(4)
    np.testing.assert_array_equal(initializer()((5, 6)), first)
    np.testing.assert_array_equal(one((5, 6)), second)


def test_a_seed_leaves_the_global_state_alone():
    np.random.seed(1)
    expected = np.random.rand()
    np.random.seed(1)
    initializers.Orthogonal(seed=3)((4, 4))
    initializers.glorot_uniform(seed=3)((4, 4))
    assert np.random.rand() == expected


@pytest.mark.parametrize("scale", [0, -1.0, float("nan")])
def test_bad_scale(scale):
    with pytest.raises(ValueError, match="scale of VarianceScaling must be greater than 0, got"):
        initializers.VarianceScaling(scale=scale)


def test_bad_mode_and_distribution():
    with pytest.raises(ValueError, match=r"mode .* must be one of 'fan_in', .* got 'fan_sum'"):
        initializers.VarianceScaling(mode="fan_sum")
    with pytest.raises(ValueError, match=r"distribution .* must be one of .* got 'poisson'"):
        initializers.VarianceScaling(distribution="poisson")
    with pytest.raises(ValueError, match=r"mode .* must be one of .* got None"):
        initializers.VarianceScaling(mode=None)


@pytest.mark.parametrize("initializer", RANDOM)
def test_random_values_need_a_float_type(initializer):
    with pytest.raises(ValueError, match=f"{initializer.__name__} makes floating-point .* int32"):
        initializer()((3, 3), dtype="int32")


def test_unknown_name():
    with pytest.raises(ValueError, match=r"'glorot_unifrm'\. Did you mean 'glorot_uniform'"):
        initializers.get("glorot_unifrm")
    with pytest.raises(ValueError, match="Unknown initializer 'os'"):
        initializers.deserialize({"class_name": "os", "config": {}})


@pytest.mark.parametrize("identifier", [None, 3, ["zeros"]])
def test_what_get_can_not_take(identifier):
    with pytest.raises(TypeError, match=r"Could not take .* as initializer"):
        initializers.get(identifier)


def test_get_takes_instances_classes_functions_and_configs():
    instance = initializers.Ones()
    assert initializers.get(instance) is instance
    assert isinstance(initializers.get(initializers.Ones), initializers.Ones)
    assert initializers.get(initializers.he_normal).get_config()["scale"] == 2.0
    made = initializers.get({"class_name": "he_uniform", "config": {"seed": 3}})
    assert made.get_config() == initializers.he_uniform(seed=3).get_config()


def test_get_takes_a_function():
    def twos(shape, dtype=None):
        return np.full(shape, 2.0, dtype)

    assert initializers.get(twos) is twos
    assert initializers.serialize(twos) == "twos"
    with CustomObjectScope({"twos": twos}):
        assert initializers.get("twos") is twos
    assert initializers.deserialize("twos", custom_objects={"twos": twos}) is twos


def test_a_subclass_round_trips_with_custom_objects():
    class Sevens(initializers.Initializer):
        def __init__(self, dtype="float32"):
            self.own = dtype

        def __call__(self, shape, dtype=None):
            return np.full(shape, 7, self.own)

        def get_config(self):
            return {"dtype": self.own}

    config = initializers.serialize(Sevens("float64"))
    again = initializers.deserialize(config, custom_objects={"Sevens": Sevens})
    assert again((2,)).dtype == "float64"


@pytest.mark.parametrize("name", ["GlorotUniform", "HeNormal", "VarianceScaling", "Orthogonal"])
def test_configs_of_tf_keras_1_hold_a_dtype(name):
    config = {"class_name": name, "config": {"seed": 5, "dtype": "float64"}}
    made = initializers.get(config)
    assert made((2, 2)).dtype == "float32"
    assert made.get_config()["seed"] == 5
    assert config["config"]["dtype"] == "float64"


def test_a_config_that_is_none():
    with pytest.raises(ValueError, match="A config of initializer is a name or a dict"):
        initializers.get({"class_name": "Zeros", "config": 3})
    with pytest.raises(ValueError, match="A config of initializer is a name or a dict"):
        initializers.deserialize({"name": "Zeros"})


def test_the_base_class_says_what_is_missing():
    class Empty(initializers.Initializer):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty .* define __call__\(self, shape"):
        Empty()((2,))
