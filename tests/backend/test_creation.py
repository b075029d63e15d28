import numpy as np
import pytest

from minikeras.backend import Variable, set_floatx
from minikeras.backend.backpropagation import backpropagate
from minikeras.backend.context import Context
from minikeras.backend.creation import (
    arange,
    cast,
    cast_to_floatx,
    constant,
    eye,
    identity,
    ones,
    ones_like,
    print_tensor,
    random_normal_variable,
    random_uniform_variable,
    stop_gradient,
    variable,
    zeros,
    zeros_like,
)
from minikeras.backend.deferred import placeholder
from minikeras.backend.function import function
from minikeras.backend.inspection import shape
from minikeras.backend.running import inside
from minikeras.backend.tape import Tensor

from .derivatives import check_derivatives

X = np.random.RandomState(0).standard_normal((2, 3))


def test_variable():
    source = np.arange(3)
    v = variable(source)
    source[0] = 9
    assert isinstance(v, Variable)
    assert v.dtype == "float32"
    np.testing.assert_array_equal(v.value, [0, 1, 2])
    assert variable(1, dtype="int64").dtype == "int64"
    set_floatx("float64")
    assert variable(1).dtype == "float64"


def test_names_of_variables():
    names = [variable(1.0).name, zeros(2).name, ones(2).name, eye(2).name]
    assert names == ["variable_1", "variable_2", "variable_3", "variable_4"]
    for v in (
        variable(1.0, name="w"),
        zeros((2,), name="w"),
        ones((2,), name="w"),
        eye(2, name="w"),
        random_normal_variable((2,), 0, 1, name="w"),
        random_uniform_variable((2,), 0, 1, name="w"),
    ):
        assert v.name == "w"


def test_variable_has_a_constraint():
    assert variable(1.0, constraint=abs).constraint is abs


def test_variable_of_a_variable_is_a_copy():
    v = variable([1.0, 2.0])
    w = variable(v)
    v.assign([0, 0])
    np.testing.assert_array_equal(w.value, [1, 2])


def test_variable_needs_a_value():
    with pytest.raises(TypeError, match="has none before a K.function runs"):
        variable(placeholder((2,)))

    class Sparse:
        def tocoo(self):
            raise AssertionError

    with pytest.raises(TypeError, match="value.toarray()"):
        variable(Sparse())


def test_constant():
    source = np.arange(3.0)
    c = constant(source, name="c")
    source[0] = 9
    assert type(c) is np.ndarray
    assert c.dtype == "float32"
    np.testing.assert_array_equal(c, [0, 1, 2])
    assert constant(1, "int32").dtype == "int32"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, [[3, 3], [3, 3]]),
        ([1, 2, 3, 4], [[1, 2], [3, 4]]),
        ([[1, 2]], [[1, 2], [2, 2]]),  # as TensorFlow fills
    ],
)
def test_constant_in_a_shape(value, expected):
    np.testing.assert_array_equal(constant(value, shape=(2, 2)), expected)


@pytest.mark.parametrize("value", [[1, 2, 3, 4, 5], []])
def test_constant_that_does_not_fit(value):
    with pytest.raises(ValueError, match=rf"holds {len(value)} numbers, and shape \(2, 2\) takes"):
        constant(value, shape=(2, 2))


def test_constant_of_a_tensor():
    with pytest.raises(TypeError, match="K.stop_gradient"):
        constant(Tensor(np.ones(2)))


def test_zeros_ones_and_eye_are_variables():
    for made, expected in (
        (zeros((2, 3)), np.zeros((2, 3))),
        (ones([2, np.int64(3)]), np.ones((2, 3))),
        (zeros(()), np.zeros(())),
        (ones(np.array([1, 2])), np.ones((1, 2))),
        (eye(3), np.eye(3)),
    ):
        assert isinstance(made, Variable)
        assert made.dtype == "float32"
        np.testing.assert_array_equal(made.value, expected)
    assert zeros(2, dtype="int32").dtype == ones(2, "int32").dtype == eye(2, "int32").dtype
    zeros(2).value[...] = 1  # may be written to


def test_zeros_ones_and_eye_are_arrays_in_a_pass():
    with inside(Context()):
        for made in (zeros((2, 2)), ones((2, 2)), eye(2)):
            assert type(made) is np.ndarray
            assert made.dtype == "float32"


def test_zeros_of_a_shape_that_is_not_known_yet():
    x = placeholder((None, 3))
    made = [zeros((shape(x)[0], 2)), ones(shape(x), "int32"), eye(shape(x)[0])]
    run = function([x], [*made, constant(2.0, shape=(shape(x)[0], 1))])
    a, b, c, d = run([np.zeros((4, 3))])
    np.testing.assert_array_equal(a, np.zeros((4, 2)))
    np.testing.assert_array_equal(b, np.ones((4, 3)))
    assert b.dtype == "int32"
    np.testing.assert_array_equal(c, np.eye(4))
    np.testing.assert_array_equal(d, np.full((4, 1), 2))
    assert made[0].shape == (None, 2)


def test_zeros_of_a_shape_with_a_tensor():
    assert zeros((Tensor(np.array(4)), 2)).shape == (4, 2)


def test_zeros_of_no_shape():
    with pytest.raises(ValueError, match=r"\(None, 3\) has an axis of unknown size.*K.shape"):
        zeros((None, 3))
    with pytest.raises(TypeError):
        zeros((2.5, 3))


def test_random_variables():
    v = random_uniform_variable((1000,), 2, 3, seed=1)
    assert v.dtype == "float32"
    assert v.value.min() >= 2
    assert v.value.max() <= 3
    assert abs(v.value.mean() - 2.5) < 0.05
    w = random_normal_variable((1000,), 5, 0.1, dtype="float64", seed=1)
    assert w.dtype == "float64"
    assert abs(w.value.mean() - 5) < 0.02
    assert abs(w.value.std() - 0.1) < 0.01


@pytest.mark.parametrize("make", [random_uniform_variable, random_normal_variable])
def test_seeds_of_random_variables(make):
    def same(first, second):
        return np.array_equal(first.value, second.value)

    assert same(make((5,), 0, 1, seed=1), make((5,), 0, 1, seed=1))
    assert not same(make((5,), 0, 1, seed=1), make((5,), 0, 1, seed=2))
    np.random.seed(3)
    first = make((5,), 0, 1)
    assert not same(first, make((5,), 0, 1))
    np.random.seed(3)
    assert same(first, make((5,), 0, 1))


@pytest.mark.parametrize(("like", "value"), [(zeros_like, 0), (ones_like, 1)])
def test_like_another(like, value):
    x = np.full((2, 3), 7, "float32")
    made = like(x, name="z")
    assert made.dtype == "float32"
    np.testing.assert_array_equal(made, np.full((2, 3), value))
    assert like(x, dtype="int32").dtype == "int32"
    tensor = like(Tensor(x))
    assert isinstance(tensor, Tensor)
    np.testing.assert_array_equal(tensor.value, made)
    assert backpropagate([(tensor, np.ones((2, 3)))], [tensor.args[0]]) == [None]
    later = function([p := placeholder((None, 3))], [like(p)])
    np.testing.assert_array_equal(later([x])[0], made)


def test_identity():
    check_derivatives(identity, X)
    v = variable([1.0])
    before = identity(v, name="before")
    v.assign([2.0])
    assert before.value == 1


@pytest.mark.parametrize(
    ("args", "expected", "dtype"),
    [
        ((3,), [0, 1, 2], "int32"),
        ((-3,), [], "int32"),
        ((2, 4), [2, 3], "int32"),
        ((5, 0, -2), [5, 3, 1], "int32"),
        ((0, 1, 0.25), [0, 0.25, 0.5, 0.75], "float32"),
        ((3.0,), [0, 1, 2], "float32"),
        ((3, None, 1, "float64"), [0, 1, 2], "float64"),
        ((3, None, 2, "int64"), [0, 2], "int64"),
        ((0, 2, 0.5, "int64"), [0, 0, 1, 1], "int64"),
    ],
)
def test_arange(args, expected, dtype):
    made = arange(*args)
    np.testing.assert_array_equal(made, expected)
    assert made.dtype == dtype


def test_arange_of_a_tensor():
    assert arange(Tensor(np.array(3))).value.tolist() == [0, 1, 2]
    x = placeholder((None, 2))
    assert function([x], [arange(shape(x)[0])])([np.zeros((3, 2))])[0].tolist() == [0, 1, 2]


def test_cast():
    assert cast([1.7, -1.7], "int32").tolist() == [1, -1]
    assert cast(np.array([True, False]), "float32").tolist() == [1, 0]
    assert cast(2, "float32").dtype == "float32"
    x = X.astype("float32")
    assert cast(x, "float32") is x
    assert cast(Tensor(X), dtype="float32").dtype == "float32"
    assert cast_to_floatx(X).dtype == "float32"
    assert cast_to_floatx([1, 2]).dtype == "float32"


def test_derivative_of_cast():
    check_derivatives(lambda x: cast(cast(x, "float64"), x.dtype), X)
    x = Tensor(X.astype("float32"))
    y = cast(x, "float64")
    (dx,) = backpropagate([(y, np.ones((2, 3)))], [x])
    assert dx.dtype == "float32"
    np.testing.assert_array_equal(dx, 1)


@pytest.mark.parametrize(("before", "after"), [("float32", "int32"), ("int32", "float32")])
def test_no_derivative_through_whole_numbers(before, after):
    x = Tensor(np.ones(2, before))
    y = cast(x, after)
    assert backpropagate([(y, np.ones(2, after))], [x]) == [None]


def test_stop_gradient():
    x = Tensor(X)
    y = x * stop_gradient(x)
    (dx,) = backpropagate([(y, np.ones((2, 3)))], [x])
    np.testing.assert_array_equal(dx, X)
    assert stop_gradient(X) is X


def test_stop_gradient_of_a_list():
    a, b = Tensor(X), placeholder((2, 3))
    first, second = stop_gradient([a, b])
    assert backpropagate([(first, X)], [a]) == [None]
    np.testing.assert_array_equal(function([b], [second])([X])[0], X.astype("float32"))


def test_print_tensor(capsys):
    x = np.array([1.0, 2.0])
    assert print_tensor(x, "x is: ") is x
    assert capsys.readouterr().out == "x is: [1. 2.]\n"
    p = placeholder((2,))
    run = function([p], [print_tensor(p, message="later ")])
    assert capsys.readouterr().out == ""
    run([x])
    assert capsys.readouterr().out == "later [1. 2.]\n"
    check_derivatives(print_tensor, X)
