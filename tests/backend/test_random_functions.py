import numpy as np
import pytest

from minikeras.backend import Variable, random_functions, set_floatx
from minikeras.backend.context import Context
from minikeras.backend.creation import cast
from minikeras.backend.deferred import placeholder
from minikeras.backend.function import function
from minikeras.backend.inspection import shape
from minikeras.backend.random_functions import (
    random_binomial,
    random_normal,
    random_uniform,
    restart_seeds,
    truncated_normal,
)
from minikeras.backend.running import inside
from minikeras.backend.tape import Tensor

from .derivatives import check_derivatives

ALL = [
    random_normal,
    truncated_normal,
    random_uniform,
    lambda *a, **k: random_binomial(*a, 0.5, **k),
]


@pytest.fixture(autouse=True)
def fresh_seeds():
    restart_seeds()
    yield
    restart_seeds()


@pytest.mark.parametrize("draw", ALL)
def test_shape_and_type(draw):
    assert type(draw((2, 3))) is np.ndarray
    assert draw((2, 3)).shape == (2, 3)
    assert draw([4]).shape == (4,)
    assert draw(()).shape == ()
    assert draw((2,)).dtype == "float32"
    for dtype in ("float16", "float32", "float64"):
        assert draw((2,), dtype=dtype).dtype == dtype
    set_floatx("float64")
    assert draw((2,)).dtype == "float64"


def test_normal():
    x = random_normal((20000,), mean=3.0, stddev=0.5, seed=1)
    assert abs(x.mean() - 3) < 0.02
    assert abs(x.std() - 0.5) < 0.01
    assert abs(x - 3).max() > 1


def test_truncated_normal():
    x = truncated_normal((20000,), mean=3.0, stddev=0.5, seed=1)
    assert abs(x.mean() - 3) < 0.02
    assert abs(x.std() - 0.5 * 0.8796) < 0.01
    assert 0.99 < abs(x - 3).max() <= 1


def test_uniform():
    x = random_uniform((20000,), -1.0, 3.0, seed=1)
    assert x.min() >= -1
    assert x.max() <= 3
    assert abs(x.mean() - 1) < 0.03
    assert abs(np.histogram(x, 4, (-1, 3))[0] - 5000).max() < 200


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
def test_uniform_whole_numbers(dtype):
    x = random_uniform((1000,), 2, 5, dtype=dtype, seed=1)
    assert x.dtype == dtype
    assert set(x.tolist()) == {2, 3, 4}


def test_uniform_whole_numbers_between_bounds_that_make_no_sense():
    with pytest.raises(ValueError, match="0.5 is no whole number"):
        random_uniform((2,), 0.5, 3, dtype="int32")
    with pytest.raises(ValueError, match="no int32 is at least 3 and below 3"):
        random_uniform((2,), 3, 3, dtype="int32")


def test_binomial():
    x = random_binomial((20000,), p=0.3, seed=1)
    assert set(x.tolist()) == {0.0, 1.0}
    assert abs(x.mean() - 0.3) < 0.01
    assert not random_binomial((100,)).any()
    assert random_binomial((2,), 1.0, dtype="int32").dtype == "int32"


@pytest.mark.parametrize("draw", [random_normal, truncated_normal])
def test_floats_only(draw):
    with pytest.raises(ValueError, match=f"K.{draw.__name__} gives floats, not int32"):
        draw((2,), dtype="int32")


def test_uniform_of_no_number():
    with pytest.raises(ValueError, match="K.random_uniform gives floats, not bool"):
        random_uniform((2,), dtype="bool")


def test_unknown_sizes():
    with pytest.raises(ValueError, match=r"\(None, 2\) has an axis of unknown size"):
        random_normal((None, 2))


@pytest.mark.parametrize("draw", ALL)
def test_repeats(draw):
    np.random.seed(5)
    first = draw((8,))
    assert not np.array_equal(first, draw((8,)))
    np.random.seed(5)
    np.testing.assert_array_equal(first, draw((8,)))
    np.testing.assert_array_equal(draw((8,), seed=1), draw((8,), seed=1))
    assert not np.array_equal(draw((8,), seed=1), draw((8,), seed=2))


@pytest.mark.parametrize("draw", ALL)
def test_a_seed_in_a_pass_goes_on(draw):
    def run():
        with inside(Context()):
            return draw((8,), seed=1)

    first, second = run(), run()
    np.testing.assert_array_equal(first, draw((8,), seed=1))
    assert not np.array_equal(first, second)
    restart_seeds()
    np.testing.assert_array_equal(first, run())
    np.testing.assert_array_equal(second, run())


def test_the_memory_of_seeds_is_bounded():
    with inside(Context()):
        for seed in range(1100):
            random_binomial((1,), seed=seed)
    assert len(random_functions._turns) == 1024


def test_a_pass_draws_from_its_own_numbers():
    np.random.seed(5)
    ctx = Context()
    with inside(ctx):
        found = random_normal((4,))
    np.random.seed(5)
    np.testing.assert_array_equal(found, Context().generator.standard_normal(4, "float32"))


MEAN = np.array([10.0, 20.0, 30.0])


@pytest.mark.parametrize("draw", [random_normal, truncated_normal, random_uniform])
def test_derivatives(draw):
    def f(first, second):
        # Always the same noise: a seed gives other numbers in float32.
        return cast(draw((2, 3), first, second, dtype="float64", seed=3), first.dtype)

    y = check_derivatives(f, MEAN, np.array([[1.0], [2.0]]))
    assert y.shape == (2, 3)


@pytest.mark.parametrize("draw", [random_normal, truncated_normal, random_uniform])
@pytest.mark.parametrize("kind", [np.asarray, list, Tensor, Variable])
def test_parameters_of_another_type(draw, kind):
    assert draw((2, 3), kind(MEAN), kind(MEAN)).dtype == "float32"
    assert draw((2, 3), MEAN[0], MEAN[1]).dtype == "float32"


def test_parameters_of_binomial_and_whole_numbers_may_be_tensors():
    p = Tensor(np.array([0.0, 1.0]))
    assert random_binomial((3, 2), p).value.tolist() == [[0, 1]] * 3
    high = Tensor(np.array([1, 2]))
    assert (random_uniform((50, 2), 0, high, dtype="int32").value.max(axis=0) == [0, 1]).all()


@pytest.mark.parametrize("draw", ALL)
def test_of_a_shape_that_is_not_known_yet(draw):
    x = placeholder((None, 3))
    noise = draw((shape(x)[0], 2))
    assert noise.shape == (None, 2)
    run = function([x], [noise])
    np.random.seed(5)
    first = run([np.zeros((4, 3))])[0]
    assert first.shape == (4, 2)
    assert not np.array_equal(first, run([np.zeros((4, 3))])[0])
    np.random.seed(5)
    np.testing.assert_array_equal(first, run([np.zeros((4, 3))])[0])
