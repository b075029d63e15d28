import time

import numpy as np
import pytest

from minikeras import backend as K
from minikeras.backend.context import Context
from minikeras.backend.deferred import (
    LEARNING_PHASE,
    Deferred,
    Placeholder,
    is_placeholder,
    learning_phase,
    order,
    placeholder,
    resolve,
)
from minikeras.backend.running import inside
from minikeras.backend.tape import Tensor
from minikeras.backend.variables import Variable

# --- placeholders -----------------------------------------------------------------------------


def test_placeholder_knows_what_was_stated():
    x = placeholder((None, 3), dtype="float64", name="x")
    assert (x.shape, x.dtype, x.name, x.ndim) == ((None, 3), np.float64, "x", 2)
    assert repr(x) == "<Placeholder 'x', shape (None, 3), float64>"
    assert K.int_shape(x) == (None, 3)
    assert x.value is None
    assert is_placeholder(x)
    assert not is_placeholder(x * 2)
    assert not is_placeholder(np.ones(2))


def test_placeholder_defaults():
    x = placeholder(ndim=2)
    assert x.shape == (None, None)
    assert x.dtype == np.float32
    assert placeholder([2, 3]).shape == (2, 3)
    assert placeholder(()).shape == ()
    assert placeholder().name != placeholder().name
    K.set_floatx("float64")
    assert placeholder((1,)).dtype == np.float64


def test_shape_beats_ndim():
    assert placeholder((2,), ndim=3).shape == (2,)


def test_placeholder_of_unknown_rank():
    x = placeholder(name="anything")
    with pytest.raises(ValueError, match="Nothing is known about the shape of .*'anything'"):
        _ = x.shape
    assert K.function([x], [x * 2])([np.ones((2, 3, 1))])[0].shape == (2, 3, 1)
    assert "anything" in repr(x)
    assert "unknown shape" in repr(x * 2)


def test_sparse_is_refused():
    with pytest.raises(NotImplementedError, match="sparse"):
        placeholder((2,), sparse=True)


# --- shapes and types -------------------------------------------------------------------------


X = (None, None, 6)


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (lambda x: x * 2, (None, None, 6)),
        (lambda x: K.sum(x, axis=-1), (None, None)),
        (lambda x: K.sum(x), ()),
        (lambda x: x[:, 0], (None, 6)),
        (lambda x: x[:, :, :2], (None, None, 2)),
        (lambda x: x[0], (None, 6)),
        (lambda x: K.concatenate([x, x], axis=-1), (None, None, 12)),
        (lambda x: K.concatenate([x, x], axis=1), (None, None, 6)),
        (lambda x: K.permute_dimensions(x, (0, 2, 1)), (None, 6, None)),
        (lambda x: K.expand_dims(x, 1), (None, 1, None, 6)),
        (lambda x: K.reshape(x, (-1, 6)), (None, 6)),
        (lambda x: K.reshape(x, (-1, 3)), (None, 3)),
        (lambda x: K.reshape(x, (K.shape(x)[0], -1)), (None, None)),
        (lambda x: K.batch_flatten(x), (None, None)),
        (lambda x: K.dot(x, np.ones((6, 4))), (None, None, 4)),
        (lambda x: K.batch_dot(x, x, axes=(2, 2)), (None, None, None)),
        (lambda x: K.argmax(x), (None, None)),
        (lambda x: K.repeat_elements(x, 3, axis=2), (None, None, 18)),
        (lambda x: K.zeros_like(x), (None, None, 6)),
        (lambda x: K.shape(x), (3,)),
        (lambda x: K.stack([x, x], axis=0), (2, None, None, 6)),
        (lambda x: x.T, (6, None, None)),
        (lambda x: np.sum(x, axis=2, keepdims=True), (None, None, 1)),
        (lambda x: K.rnn(lambda a, s: (a, []), x, [])[0], (None, 6)),
        (lambda x: K.rnn(lambda a, s: (a, []), x, [])[1], (None, None, 6)),
    ],
)
def test_shapes(function, shape):
    y = function(placeholder(X))
    assert y.shape == shape
    assert y.ndim == len(shape)


@pytest.mark.parametrize("count", [2, 3, 4, 6, 8, 12])
def test_unknown_axes_may_be_cut(count):
    assert K.reshape(placeholder((None, None, 1)), (-1, count)).shape == (None, count)


def test_types():
    x = placeholder((2,))
    assert (x > 0).dtype == bool
    assert K.argmax(x).dtype.kind == "i"
    assert K.cast(x, "float64").dtype == np.float64
    assert (x * 2).dtype == np.float32


def test_constants_take_the_type_of_what_is_fed():
    x = placeholder((2,))
    y = x * np.array([2.0, 3.0])
    assert y.dtype == np.float32
    assert K.function([x], [y])([[1.0, 1.0]])[0].dtype == np.float32


def test_size():
    assert (placeholder((2, 3)) * 2).size == 6
    with pytest.raises(ValueError, match="only known when a K.function runs"):
        _ = (placeholder((None, 3)) * 2).size


def test_rank_that_depends_on_what_is_fed():
    x = placeholder((None, 3))
    y = Deferred(lambda a: a if len(a) > 4 else a[0], (x,), {}, "odd")
    with pytest.raises(ValueError, match="How many axes 'odd' has depends"):
        _ = y.shape


def test_expressions_with_variables_and_tensors():
    w = K.variable(np.ones((3, 4)))
    y = K.dot(placeholder((None, 3)), w * 2.0)
    assert y.shape == (None, 4)
    assert (w + placeholder((3, 4))).shape == (3, 4)


def test_shapes_are_found_without_using_random_numbers():
    np.random.seed(5)
    expected = np.random.random(3)
    np.random.seed(5)
    x = placeholder((None, 3))
    assert (x + K.random_normal(K.shape(x))).shape == (None, 3)
    assert K.dropout(x, 0.5).shape == (None, 3)
    np.testing.assert_array_equal(np.random.random(3), expected)


def test_shapes_are_found_without_warnings(recwarn):
    x = placeholder((None, 3))
    assert K.log(x - 1.0).shape == (None, 3)
    assert (x / (x - 1.0)).shape == (None, 3)
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


def test_examples_take_no_memory():
    x = placeholder((None, 200, 200))
    y = K.concatenate([x, x]) * 1.0
    assert y.examples[0].strides == (0, 0, 0)


def test_an_expression_that_cannot_be_computed_shows_itself():
    y = K.dot(placeholder((None, 3)), np.ones((4, 2)))
    with pytest.raises(ValueError, match="shape"):
        _ = y.shape
    assert repr(y) == "<Deferred 'dot', of unknown shape>"


def test_long_expressions():
    x = placeholder((None, 3))
    y = x
    for _ in range(3000):
        y = y + 1.0
    start = time.process_time()
    assert y.shape == (None, 3)
    assert K.function([x], [y])([np.zeros((1, 3))])[0].tolist() == [[3000.0] * 3]
    assert time.process_time() - start < 3


def test_long_expressions_are_deleted_without_recursion():
    y = placeholder((2,))
    for _ in range(10_000):
        y = y * 1.0
    del y


# --- no value ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("use", "advice"),
    [
        (lambda x: bool(x > 0), r"K\.switch"),
        (lambda x: 1 if x[0, 0] > 0 else 2, r"K\.switch"),
        (lambda x: float(x[0, 0]), "Make a number of what the function returns"),
        (lambda x: int(x[0, 0]), "Make a number"),
        (lambda x: np.asarray(x), r"functions of K in place of NumPy's"),
        (lambda x: np.array([1.0]).__array__() + np.array(x), "functions of K"),
    ],
)
def test_what_needs_a_value_is_refused(use, advice):
    x = placeholder((None, 3), name="x")
    with pytest.raises(TypeError, match=f"has no value before a K.function runs.*{advice}"):
        use(x)


def test_get_value_is_refused():
    with pytest.raises(TypeError, match=r"no value yet.*K\.eval"):
        K.get_value(placeholder((2,)))


def test_length_and_iteration():
    x = placeholder((2, None))
    first, second = x
    assert first.shape == second.shape == (None,)
    assert len(x) == 2
    with pytest.raises(TypeError, match="first axis is unknown"):
        len(placeholder((None, 2)))


def test_comparison_gives_an_expression():
    x = placeholder((2,))
    run = K.function([x], [x == 1.0, x != 1.0])
    assert [y.tolist() for y in run([[1.0, 2.0]])] == [[True, False], [False, True]]
    assert len({x, x * 1.0}) == 2


def test_unknown_numpy_functions():
    with pytest.raises(TypeError, match=r"np\.sort can't be applied to a tensor"):
        np.sort(placeholder((2,)))


# --- the phase --------------------------------------------------------------------------------


def test_learning_phase():
    assert learning_phase() is LEARNING_PHASE
    assert LEARNING_PHASE.shape == ()
    for training in (True, False):
        with inside(Context(training=training)):
            assert learning_phase() == int(training)
            assert type(learning_phase()) is int
    K.set_learning_phase(1)
    assert learning_phase() == 1


def test_in_train_phase_waits_for_the_phase():
    x = placeholder((None, 2))
    y = K.in_train_phase(lambda: x * 2.0, x)
    assert y.shape == (None, 2)
    run = K.function([x, learning_phase()], [y])
    assert run([np.ones((1, 2)), 1])[0].tolist() == [[2.0, 2.0]]
    assert run([np.ones((1, 2)), 0])[0].tolist() == [[1.0, 1.0]]
    assert run([np.ones((1, 2)), True])[0].tolist() == [[2.0, 2.0]]
    assert K.function([x], [y])([np.ones((1, 2))])[0].tolist() == [[1.0, 1.0]]


# --- order and resolve ------------------------------------------------------------------------


def test_order_puts_each_node_behind_its_arguments_once():
    x = placeholder((2,))
    a = x * 2.0
    b = a + a
    c = K.concatenate([b, a, x], 0)
    found = order([c, b])
    assert [id(n) for n in found] == [id(n) for n in (x, a, b, c)]
    assert [id(n) for n in order([c], known={id(b), id(a)})][-1] == id(c)
    assert id(x) in {id(n) for n in order([c], known={id(b), id(a)})}
    assert order([3, None, np.ones(2)]) == []


def test_order_finds_keyword_arguments_and_tensors():
    w = Variable(np.ones(2))
    eager = w * 3.0
    x = placeholder((2,))
    y = Deferred(lambda a, b: a + b, (eager,), {"b": x})
    assert {id(n) for n in order([y])} == {id(y), id(x), id(eager)}


def test_resolve_looks_into_lists():
    x, w = placeholder((2,)), Variable(np.ones(2))
    values = {id(x): 5}
    assert resolve([x, (x, 1), "a", None], values) == [5, (5, 1), "a", None]
    assert resolve(w, values) is w


def test_results_on_the_way_of_rank_zero():
    x = placeholder(())
    run = K.function([x], [x * 2.0, K.switch(x > 1.0, x, -x)])
    assert [float(y) for y in run([3.0])] == [6.0, 3.0]
    assert [float(y) for y in run([0.5])] == [1.0, -0.5]


def test_placeholder_has_its_own_class():
    x = placeholder((2,))
    assert isinstance(x, Placeholder)
    assert isinstance(x * 1.0, Deferred)
    assert not isinstance(x, Tensor)


def test_a_list_of_expressions_that_goes_on_growing():
    x = K.placeholder((None, 2))
    features = [x]
    for _ in range(2):
        features.append(K.concatenate(features))
    run = K.function([x], [K.concatenate(features)])
    assert run([np.ones((3, 2))])[0].shape == (3, 8)
