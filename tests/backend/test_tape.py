import copy
import gc
import weakref

import numpy as np
import pytest

from minikeras import backend as K
from minikeras.backend.backpropagation import backpropagate, hand_over, history, pull_back
from minikeras.backend.context import Context
from minikeras.backend.deferred import Deferred, placeholder
from minikeras.backend.running import inside
from minikeras.backend.tape import (
    Op,
    Tensor,
    composed,
    differentiable,
    missing,
    unbroadcast,
    value_of,
)
from minikeras.backend.variables import Variable
from tests.backend.derivatives import check_derivatives


def leaf(*values):
    return Tensor(np.array(values, "float64"))


def gradient(y, x, seed=None):
    return backpropagate([(y, np.ones_like(y.value) if seed is None else seed)], [x])[0]


@differentiable(lambda dy, y, x: dy)
def same(x):
    """Hand back the very array that came in, and the very gradient."""
    return x


@differentiable(lambda dy, y, x: dy.T)
def turned(x):
    return x.T


# --- graphs -----------------------------------------------------------------------------------


def test_second_use_of_a_value():
    x = leaf(1.0, 2.0, 3.0)
    assert gradient(x * x * x, x).tolist() == [3.0, 12.0, 27.0]
    assert gradient(x + x, x).tolist() == [2.0, 2.0, 2.0]
    assert gradient(x - x, x).tolist() == [0.0, 0.0, 0.0]


def test_one_argument_at_two_places_of_one_call():
    x = leaf(2.0, 3.0)
    assert gradient(K.concatenate([x, x, x * x], 0), x).tolist() == [2.0 + 4.0, 2.0 + 6.0]
    check_derivatives(lambda x: K.dot(x, K.transpose(x)), np.random.randn(2, 3))


def test_diamond():
    x = leaf(2.0)
    a = x * 3.0
    left, right = a * a, K.exp(a)
    y = left * right + a
    # y = 9 x^2 e^(3 x) + 3 x
    e = np.exp(6.0)
    assert gradient(y, x)[0] == pytest.approx(18 * 2 * e + 27 * 4 * e + 3)


def test_a_chain_of_diamonds_is_walked_once_per_node():
    x = leaf(1.0)
    y = x
    for _ in range(60):  # 2**60 paths
        y = (y + y) * 0.5
    assert gradient(y, x).tolist() == [1.0]
    assert len(history([y])[0]) == 120


def test_an_early_node_that_is_used_late():
    x = leaf(3.0)
    early = x * x
    y = early
    for _ in range(5):
        y = y * 1.0
    assert gradient(y * early, x).tolist() == [4 * 27.0]


def test_deep_graph_forward_back_and_deletion():
    x = leaf(1.0, 2.0)
    y = x
    for _ in range(10_000):
        y = y * 1.0
    nodes, leaves = history([y])
    assert len(nodes) == 10_000
    assert leaves == [x] or leaves[0] is x
    assert gradient(y, x).tolist() == [1.0, 1.0]
    first = weakref.ref(nodes[0].values[1]) if isinstance(nodes[0].values[1], np.ndarray) else None
    del nodes
    del y  # no RecursionError, no crash
    assert first is None or first() is None


def test_deep_graph_of_lists():
    x = leaf(1.0)
    y = x
    for _ in range(3000):
        y = K.concatenate([y, x], 0)[:1]
    assert gradient(y, x).tolist() == [1.0]


def test_wide_graph():
    x = leaf(1.0)
    y = K.concatenate([x * float(i) for i in range(2000)], 0)
    assert gradient(y, x).tolist() == [sum(range(2000))]


def test_targets_in_the_middle_and_at_the_end():
    x = leaf(2.0)
    a = x * x
    b = a * 3.0
    found = backpropagate([(b, np.array([1.0]))], [x, a, b])
    assert [g.tolist() for g in found] == [[12.0], [3.0], [1.0]]


def test_the_same_target_twice():
    x = leaf(2.0)
    assert [g.tolist() for g in backpropagate([(x * x, np.ones(1))], [x, x])] == [[4.0], [4.0]]


def test_target_that_is_the_seed_itself():
    x = leaf(2.0)
    assert backpropagate([(x, np.array([5.0]))], [x])[0].tolist() == [5.0]


def test_no_influence_gives_none():
    x, z = leaf(1.0), leaf(1.0)
    assert backpropagate([(x * 2.0, np.ones(1))], [z]) == [None]
    assert backpropagate([], [z]) == [None]


def test_several_seeds_add_up():
    x = leaf(2.0)
    a, b = x * x, x * 5.0
    assert gradient(a, x) + gradient(b, x) == [9.0]
    (found,) = backpropagate([(a, np.ones(1)), (b, np.ones(1)), (a, np.ones(1))], [x])
    assert found.tolist() == [13.0]


def test_branches_that_are_not_needed_are_not_differentiated():
    calls = []

    @differentiable(lambda dy, y, x: calls.append("x") or dy)
    def watched(x):
        return x * 2.0

    x, z = leaf(1.0), leaf(1.0)
    assert backpropagate([(watched(x) + z, np.ones(1))], [z])[0].tolist() == [1.0]
    assert calls == []


def test_history_is_in_order_and_lists_variables_and_given_tensors():
    w, x = Variable(np.ones(1)), leaf(1.0)
    a = w * x
    b = K.concatenate([a, a], 0)
    nodes, leaves = history([b, a])
    assert nodes == sorted(nodes, key=lambda node: node.number)
    assert nodes[0] is a
    assert nodes[-1] is b
    assert {id(leaf) for leaf in leaves} == {id(w), id(x)}


def test_a_plan_can_be_pulled_twice():
    x = leaf(1.0, 2.0)
    y = K.exp(x) * x
    nodes, _ = history([y])
    first = pull_back(nodes, [(y, np.ones(2))], [x])[0]
    np.testing.assert_array_equal(first, pull_back(nodes, [(y, np.ones(2))], [x])[0])


# --- shared memory ----------------------------------------------------------------------------


def test_derivatives_that_return_dy_itself_are_never_added_to_in_place():
    seed = np.array([1.0, 2.0])
    seed.flags.writeable = False
    x = leaf(1.0, 1.0)
    y = same(x) + same(same(x)) + x
    assert gradient(y, x, seed).tolist() == [3.0, 6.0]
    assert seed.tolist() == [1.0, 2.0]


def test_views_as_gradients():
    seed = np.arange(6.0).reshape(2, 3)
    kept = seed.copy()
    x = Tensor(np.ones((3, 2)))
    y = turned(x) + turned(x)
    np.testing.assert_array_equal(gradient(y, x, seed), 2 * kept.T)
    np.testing.assert_array_equal(seed, kept)


def test_two_targets_may_share_a_gradient_but_not_with_sums():
    seed = np.ones(2)
    x, z = leaf(1.0, 1.0), leaf(1.0, 1.0)
    dx, dz = backpropagate([(x + z + x, seed)], [x, z])
    assert dx.tolist() == [2.0, 2.0]
    assert dz.tolist() == [1.0, 1.0]
    assert seed.tolist() == [1.0, 1.0]


def test_a_target_with_another_use_further_back_keeps_its_gradient():
    x = leaf(1.0, 1.0)
    a = same(x)
    b = same(a)
    da, db, dx = backpropagate([(b + a, np.ones(2))], [a, b, x])
    assert (da.tolist(), db.tolist(), dx.tolist()) == ([2.0] * 2, [1.0] * 2, [2.0] * 2)


def test_values_are_never_written_to():
    x = Tensor(np.random.randn(3, 3))
    w = Variable(np.random.randn(3, 3))
    x.value.flags.writeable = w.value.flags.writeable = False
    y = K.relu(K.dot(x, w)) * K.softmax(x) - K.max(x, axis=1, keepdims=True)
    y.value.flags.writeable = False
    for node in history([y])[0]:
        if node.value.base is None:
            node.value.flags.writeable = False
    found = backpropagate([(y, np.ones((3, 3)))], [x, w])
    assert all(g is not None for g in found)


# --- types ------------------------------------------------------------------------------------


def test_gradients_have_the_type_of_their_tensor():
    x = Tensor(np.ones(2, "float32"))
    y = K.cast(x, "float64") * np.array([2.0, 3.0])
    assert y.dtype == np.float64
    found = gradient(y, x)
    assert found.dtype == np.float32
    assert found.tolist() == [2.0, 3.0]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_numbers_take_the_type_of_the_tensor(dtype):
    x = Tensor(np.ones(2, dtype))
    for y in (x * 2, 2.5 * x, x + np.ones(2), np.ones(2) - x, x * np.arange(2), x / np.float64(3)):
        assert y.dtype == dtype


def test_lists_of_numbers_in_arithmetic():
    x = Tensor(np.ones(2, "float32"))
    numbers = [2.0, 3.0]
    y = x * numbers
    assert y.dtype == np.float32
    assert gradient(y, x).tolist() == [2.0, 3.0]
    assert (numbers + x).value.tolist() == [3.0, 4.0]


def test_two_types_of_tensor_follow_numpy():
    y = Tensor(np.ones(2, "float32")) * Tensor(np.ones(2, "float64"))
    assert y.dtype == np.float64


def test_whole_numbers_become_floats_beside_a_tensor_of_floats():
    y = Tensor(np.ones(2, "float32")) * Tensor(np.arange(2))
    assert y.dtype.kind == "f"


def test_booleans_stay_booleans_beside_a_tensor():
    x = Tensor(np.ones(2, "float32"))
    y = x * np.array([True, False])
    assert y.value.tolist() == [1.0, 0.0]
    assert y.dtype == np.float32


# --- functions with derivatives ---------------------------------------------------------------


def test_plain_arrays_give_plain_results():
    assert type(same(np.ones(2))) is np.ndarray
    x = [1.0, 2.0]
    assert same(x) is x


def test_keeps():
    @differentiable(lambda dy, kept, x: dy * kept, keeps=True)
    def triple(x):
        return 3 * x, 3.0

    assert triple(2.0) == 6.0
    x = leaf(2.0)
    y = triple(x)
    assert y.value.tolist() == [6.0]
    assert gradient(y, x).tolist() == [3.0]


def test_none_for_an_argument_without_derivative_stops():
    @differentiable(lambda dy, y, x, scale: dy * scale, None)
    def scaled(x, scale):
        return x * scale

    x, scale = leaf(2.0), leaf(3.0)
    found = backpropagate([(scaled(x, scale), np.ones(1))], [x, scale])
    assert found[0].tolist() == [3.0]
    assert found[1] is None


def test_fewer_derivatives_than_arguments():
    @differentiable(lambda dy, y, x, *rest: dy)
    def first(x, *rest):
        return x * 1.0

    x, z = leaf(1.0), leaf(1.0)
    assert backpropagate([(first(x, z, z), np.ones(1))], [z]) == [None]


def test_a_derivative_may_give_none():
    @differentiable(lambda dy, y, x: None)
    def rounded(x):
        return np.round(x)

    x = leaf(1.0)
    assert gradient(rounded(x) + x, x).tolist() == [1.0]
    assert gradient(rounded(x), x) is None


def test_missing_derivative():
    @differentiable(lambda dy, y, x, z: dy, missing("z", "K.f"))
    def f(x, z):
        return x + z

    x, z = leaf(1.0), leaf(1.0)
    assert gradient(f(x, z), x).tolist() == [1.0]
    with pytest.raises(NotImplementedError, match=r"derivative of K\.f by z .*stop_gradient\(z\)"):
        gradient(f(x, z), z)
    assert gradient(f(x, K.stop_gradient(z)), x).tolist() == [1.0]


def test_tensors_given_by_name_are_found():
    @differentiable(
        lambda dy, y, x, scale=1.0, shift=0.0: dy * scale,
        lambda dy, y, x, scale=1.0, shift=0.0: np.array([np.sum(dy * x)]),
        lambda dy, y, x, scale=1.0, shift=0.0: dy,
    )
    def affine(x, scale=1.0, shift=0.0):
        return x * scale + shift

    x, scale, shift = leaf(2.0), leaf(3.0), leaf(4.0)
    y = affine(x, shift=shift, scale=scale)
    assert [g.tolist() for g in backpropagate([(y, np.ones(1))], [x, scale, shift])] == [
        [3.0],
        [2.0],
        [1.0],
    ]
    y = affine(shift=shift, x=1.0)
    assert gradient(y, shift).tolist() == [1.0]


def test_plain_keywords_reach_the_derivative():
    @differentiable(lambda dy, y, x, power=1: power * dy * x ** (power - 1))
    def raised(x, power=1):
        return x**power

    x = leaf(2.0)
    assert gradient(raised(x, power=3), x).tolist() == [12.0]


def test_list_arguments_with_some_constants():
    x = leaf(1.0, 2.0)
    y = K.concatenate([np.zeros(1), x, np.zeros(2)], 0)
    assert gradient(y, x, np.arange(5.0)).tolist() == [1.0, 2.0]
    z = K.stack((x, x * 2.0), axis=1)
    assert gradient(z, x).tolist() == [3.0, 3.0]


def test_composed_runs_at_once_on_what_is_known_and_waits_otherwise():
    seen = []

    @composed
    def doubled(x, times=1):
        seen.append(K.int_shape(x))
        return x * 2.0

    assert doubled(np.ones(2)).tolist() == [2.0, 2.0]
    assert isinstance(doubled(leaf(1.0)), Tensor)
    assert isinstance(doubled(placeholder((2,))), Deferred)
    assert isinstance(doubled(1.0, times=placeholder((2,))), Deferred)
    assert seen == [(2,), (1,)]


def test_names_and_docs_are_those_of_the_function():
    assert same.__name__ == "same"
    assert same.__doc__.startswith("Hand back")
    assert same(leaf(1.0)).op.name == "same"
    assert isinstance(same(leaf(1.0)).op, Op)


def test_wrong_arguments_name_the_function():
    with pytest.raises(TypeError, match="same"):
        same(leaf(1.0), 2)
    with pytest.raises(TypeError, match="other"):
        same(leaf(1.0), other=leaf(1.0))


def test_value_of():
    x = np.ones(2)
    assert value_of(x) is x
    assert value_of(Tensor(x)) is x
    assert value_of(Variable(x)) is x
    assert value_of(None) is None


@pytest.mark.parametrize(
    ("shape", "full"),
    [((), (2, 3)), ((1,), (2, 3)), ((3,), (2, 3)), ((2, 1), (2, 3)), ((1, 1), (4, 1, 3))],
)
def test_unbroadcast(shape, full):
    dy = np.random.randn(*full)
    x = np.zeros(shape)
    found = unbroadcast(dy, x)
    assert found.shape == shape
    weights = np.random.randn(*shape)
    assert np.vdot(found, weights) == pytest.approx(
        np.vdot(dy, np.broadcast_to(weights, full)), rel=1e-12
    )


def test_unbroadcast_without_entries_and_unchanged():
    dy = np.ones((0, 3))
    assert unbroadcast(dy, np.zeros((1, 3))).tolist() == [[0.0, 0.0, 0.0]]
    assert unbroadcast(dy, np.zeros((0, 3))) is dy
    assert unbroadcast(np.ones((2, 3)), 1.0).shape == ()


# --- memory -----------------------------------------------------------------------------------


class Marked(np.ndarray):
    """An array that a weak reference can be held to."""


def test_a_pass_is_freed_without_the_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        x = Tensor(np.ones((3, 3)))
        array = np.ones((3, 3)).view(Marked)
        reference = weakref.ref(array)
        y = K.dot(K.exp(x * array), K.relu(x)) + x[0]
        found = backpropagate([(y, np.ones((3, 3)))], [x])
        del y, array
        assert reference() is None
        assert found[0].shape == (3, 3)
    finally:
        gc.enable()


def test_gradients_going_back_are_freed_on_the_way():
    """Of a long chain, no more than a few gradients are alive at a time."""
    alive, most = [], [0]

    def derivative(dy, y, x):
        fresh = (dy * 1.0).view(Marked)
        alive.append(weakref.ref(fresh))
        most[0] = max(most[0], sum(r() is not None for r in alive))
        return fresh

    step = differentiable(derivative)(lambda x: x * 1.0)
    x = leaf(1.0)
    y = x
    for _ in range(50):
        y = step(y)
    gradient(y, x)
    assert most[0] <= 3


def test_nothing_is_recorded_where_nobody_goes_back():
    w = Variable(np.ones(2))
    with inside(Context(records=False)):
        y = K.exp(w * 2.0) + w[0]
    assert value_of(y).tolist() == pytest.approx([np.exp(2.0) + 1] * 2)
    assert history([y])[0] == []


# --- what a tensor is -------------------------------------------------------------------------


def test_repr_shows_shape_type_and_value():
    y = leaf(1.0, 2.0) * 3.0
    assert repr(y) == "<Tensor of multiply, shape (2,), float64: [3. 6.]>"
    assert repr(leaf(1.0)).startswith("<Tensor, shape (1,)")


def test_no_other_attributes():
    with pytest.raises(AttributeError):
        leaf(1.0).something = 1


def test_hash_by_identity():
    x, y = leaf(1.0), leaf(1.0)
    assert len({x, y, x}) == 2


def test_deepcopy_is_apart():
    x = leaf(1.0)
    y = copy.deepcopy(x * 2.0)
    assert gradient(y, y.args[0]).tolist() == [2.0]
    y.args[0].value[...] = 7
    assert x.value.tolist() == [1.0]


# --- to the variables of a pass ---------------------------------------------------------------


def test_hand_over_writes_wanted_gradients_and_returns_those_of_inputs():
    w, frozen, x, z = Variable(np.ones(2)), Variable(np.ones(2)), leaf(1.0, 2.0), leaf(1.0, 1.0)
    target = np.full(2, np.nan)
    ctx = Context(gradients={w: target})
    dx, dz = hand_over([(x * w * frozen, np.array([1.0, 10.0]))], [x, z], ctx)
    ctx.finish_gradients()
    assert target.tolist() == [1.0, 20.0]
    assert dx.tolist() == [1.0, 10.0]
    assert dz is None
    assert dx.flags.writeable


def test_hand_over_gives_writable_gradients():
    x = leaf(1.0, 2.0)
    y = K.sum(x)
    (dx,) = hand_over([(y, np.ones_like(y.value))], [x], Context())
    dx += 1.0
    assert dx.tolist() == [2.0, 2.0]


def test_hand_over_copies_what_a_derivative_has_broadcast():
    spread = differentiable(lambda dy, y, x: np.broadcast_to(dy, x.shape))(lambda x: x.sum())
    x = leaf(1.0, 2.0)
    y = spread(x)
    (dx,) = hand_over([(y, np.ones_like(y.value))], [x], Context())
    dx += 1.0
    assert dx.tolist() == [2.0, 2.0]


def test_hand_over_twice_adds_up():
    w, x = Variable(np.ones(1)), leaf(3.0)
    target = np.zeros(1)
    ctx = Context(gradients={w: target})
    for _ in range(3):
        hand_over([(x * w, np.ones(1))], [], ctx)
    ctx.finish_gradients()
    assert target.tolist() == [9.0]


def test_hand_over_of_a_variable_itself():
    w, target = Variable(np.ones(2)), np.zeros(2)
    ctx = Context(gradients={w: target})
    hand_over([(w, np.array([3.0, 4.0]))], [], ctx)
    ctx.finish_gradients()
    assert target.tolist() == [3.0, 4.0]


def test_a_list_that_goes_on_growing():
    x = Tensor(np.array([[1.0, 2.0]]))
    features = [x]
    for _ in range(3):
        features.append(K.tanh(K.concatenate(features)))
    y = K.concatenate(features)
    (found,) = backpropagate([(y, np.ones(y.shape))], [x])

    def by_hand(value):
        parts = [value]
        for _ in range(3):
            parts.append(np.tanh(np.concatenate(parts, axis=-1)))
        return np.concatenate(parts, axis=-1).sum()

    step = 1e-6
    numeric = [
        (by_hand(x.value + step * e) - by_hand(x.value - step * e)) / (2 * step) for e in np.eye(2)
    ]
    np.testing.assert_allclose(found[0], numeric, rtol=1e-6)


def test_a_list_that_is_changed_after_use():
    a, b = Tensor(np.ones(2)), Tensor(np.ones(2))
    states = [a]
    y = K.stack(states)
    states[0] = b
    found = backpropagate([(y, np.ones((1, 2)))], [a, b])
    assert found[0].tolist() == [1, 1]
    assert found[1] is None
