import numpy as np
import pytest

from minikeras import backend
from minikeras.backend import Variable
from minikeras.backend.backpropagation import backpropagate
from minikeras.backend.context import Context
from minikeras.backend.control import (
    foldl,
    foldr,
    in_test_phase,
    in_train_phase,
    map_fn,
    rnn,
    switch,
)
from minikeras.backend.deferred import LEARNING_PHASE, placeholder
from minikeras.backend.function import function, gradients
from minikeras.backend.linalg import dot
from minikeras.backend.running import inside, set_learning_phase
from minikeras.backend.shaping import stack
from minikeras.backend.tape import Tensor

from .derivatives import check_derivatives

RANDOM = np.random.RandomState(0)
A = RANDOM.standard_normal((2, 3))
B = RANDOM.standard_normal((2, 3))


def never():
    raise AssertionError("must not be called")


# --- switch ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("yes", "no"),
    [(True, False), (1, 0), (np.float32(1), np.array(0)), (Tensor(np.array(1)), Variable(0))],
)
def test_a_single_condition_picks(yes, no):
    assert switch(yes, lambda: A, never) is A
    assert switch(no, never, lambda: B) is B
    assert switch(yes, A, B) is A
    assert switch(no, A, B[0]) is not A


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ([1, 0], [[1, 1, 1], [0, 0, 0]]),
        ([[1], [0]], [[1, 1, 1], [0, 0, 0]]),
        ([[1, 0, 1], [0, 1, 0]], [[1, 0, 1], [0, 1, 0]]),
    ],
)
def test_entry_by_entry(condition, expected):
    # What Keras 2.2.4 gives.
    ones, zeros = np.ones((2, 3), "float32"), np.zeros((2, 3), "float32")
    for kind in (list, np.array, lambda c: np.array(c, bool), lambda c: Tensor(np.array(c))):
        found = switch(kind(condition), ones, lambda: zeros)
        assert found.dtype == "float32"
        np.testing.assert_array_equal(getattr(found, "value", found), expected)
    assert type(switch(np.array(condition), ones, 0.0)) is np.ndarray
    assert switch(np.array(condition), ones, 0.0).dtype == "float32"


def test_too_many_axes_of_a_condition():
    with pytest.raises(ValueError, match=r"condition has shape \(2, 1\), more axes.*\(2,\)"):
        switch(np.ones((2, 1)), np.ones(2), np.zeros(2))


@pytest.mark.parametrize("condition", [np.array([1, 0]), np.array([[1, 0, 1], [0, 1, 1]])])
def test_derivatives_of_switch(condition):
    check_derivatives(lambda x, y: switch(condition, x * x, y), A, B)
    check_derivatives(lambda x: switch(condition, x, 0.0), A)
    check_derivatives(lambda x, y: switch(condition, x, y), A, np.array([[1.0], [2.0]]))


def test_a_gradient_goes_to_one_branch_only():
    x, y = Tensor(np.zeros(2)), Tensor(np.zeros(2))
    chosen = switch(np.array([False, True]), x, y)
    dx, dy = backpropagate([(chosen, np.array([np.inf, 1]))], [x, y])
    assert dx.tolist() == [0, 1]  # and not inf * 0
    assert dy.tolist() == [np.inf, 0]


def test_switch_on_what_is_not_known_yet():
    condition, x = placeholder(()), placeholder((2,))
    run = function([condition, x], [switch(condition, lambda: x * 2, lambda: x * 3)])
    assert run([1, [1, 2]])[0].tolist() == [2, 4]
    assert run([0, [1, 2]])[0].tolist() == [3, 6]
    run = function([x], [switch(x > 1, x * 2, np.zeros(2, "float32"))])
    assert run([[1, 2]])[0].tolist() == [0, 4]
    assert function([x], [switch(True, x * 2, never)])([[1, 2]])[0].tolist() == [2, 4]


def test_derivative_of_switch_on_what_is_not_known_yet():
    condition, x = placeholder(()), placeholder((2,))
    y = switch(condition, x * 2, np.zeros((), "float32"))
    run = function([condition, x], gradients(y, [x]))
    assert run([1, [1, 2]])[0].tolist() == [2, 2]
    assert run([0, [1, 2]])[0].tolist() == [0, 0]


# --- phases ---------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, 1, np.bool_(True), np.array(1)])
def test_phases_by_an_argument(training):
    assert in_train_phase(lambda: 1.0, never, training) == 1
    assert in_test_phase(never, lambda: 2.0, training=training) == 2
    assert in_train_phase(never, 2.0, training=1 - int(training)) == 2
    assert in_test_phase(1.0, never, 1 - int(training)) == 1


def test_phases_of_a_pass():
    for training in (True, False):
        with inside(Context(training=training)):
            assert in_train_phase(1.0, 2.0) == (1 if training else 2)
            assert in_test_phase(1.0, 2.0) == (2 if training else 1)


def test_a_phase_that_is_fixed():
    set_learning_phase(1)
    assert in_train_phase(1.0, 2.0) == 1
    set_learning_phase(0)
    assert in_train_phase(1.0, 2.0) == 2
    backend.clear_session()


def test_a_phase_that_is_not_known_yet():
    x = placeholder((2,))
    run = function([x, LEARNING_PHASE], [in_train_phase(lambda: x * 2, x), in_test_phase(x, x * 3)])
    assert [y.tolist() for y in run([[1, 2], 1])] == [[2, 4], [3, 6]]
    assert [y.tolist() for y in run([[1, 2], 0])] == [[1, 2], [1, 2]]


# --- rnn ------------------------------------------------------------------------------------

STEPS = np.arange(12.0, dtype="float32").reshape(2, 3, 2)
MASK = np.array([[0, 1, 0], [1, 0, 1]])


def total(x, states):
    """The state is not the output, which shows what a mask puts where."""
    assert isinstance(states, tuple)
    state = x + states[0]
    return state * 2, [state]


# From Keras 2.2.4, with its symbolic loop.
RNN_CASES = [
    (
        {},
        [[[0, 2], [4, 8], [12, 18]], [[12, 14], [28, 32], [48, 54]]],
        [[6, 9], [24, 27]],
        0.0,
    ),
    (
        {"mask": MASK},
        [[[1, 1], [6, 8], [3, 4]], [[14, 16], [7, 8], [34, 38]]],
        [[3, 4], [17, 19]],
        1.0,
    ),
    (
        {"mask": MASK[..., None], "go_backwards": True},
        [[[1, 1], [6, 8], [3, 4]], [[22, 24], [11, 12], [34, 38]]],
        [[3, 4], [17, 19]],
        1.0,
    ),
]


@pytest.mark.parametrize(("options", "expected", "state", "start"), RNN_CASES)
@pytest.mark.parametrize("more", [{}, {"unroll": True}, {"input_length": 3}])
def test_rnn_as_in_keras(options, expected, state, start, more):
    initial = np.full((2, 2), start, "float32")
    last, outputs, states = rnn(total, STEPS, [initial], **options, **more)
    np.testing.assert_array_equal(outputs, expected)
    np.testing.assert_array_equal(last, outputs[:, -1])
    assert isinstance(states, list)
    np.testing.assert_array_equal(states[0], state)
    assert type(outputs) is np.ndarray
    assert outputs.dtype == "float32"


def test_a_mask_goes_backwards_with_the_steps():
    mask = np.array([[0, 1, 1], [1, 1, 1]])
    _, outputs, states = rnn(total, STEPS, [np.zeros((2, 2))], go_backwards=True, mask=mask)
    np.testing.assert_array_equal(outputs[0], [[8, 10], [12, 16], [6, 8]])
    np.testing.assert_array_equal(states[0], [[6, 8], [24, 27]])


@pytest.mark.parametrize(("options", "expected", "state", "start"), RNN_CASES)
def test_rnn_of_what_is_not_known_yet(options, expected, state, start):
    x, initial = placeholder((None, 3, 2)), placeholder((None, 2))
    last, outputs, states = rnn(total, x, [initial], **options, unroll=True)
    assert len(states) == 1
    run = function([x, initial], [last, outputs, *states])
    found = run([STEPS, np.full((2, 2), start)])
    np.testing.assert_array_equal(found[0], np.array(expected)[:, -1])
    np.testing.assert_array_equal(found[1], expected)
    np.testing.assert_array_equal(found[2], state)


def test_the_shape_of_an_rnn_that_is_not_known_yet():
    x = placeholder((None, None, 2))
    last, outputs, _ = rnn(lambda x, _: (x * 2, []), x, [])
    assert last.shape == (None, 2)
    assert outputs.shape == (None, None, 2)


def test_rnn_without_states():
    _, outputs, states = rnn(lambda x, states: (x * 2, []), STEPS, [])
    np.testing.assert_array_equal(outputs, STEPS * 2)
    assert states == []


def test_constants_follow_the_states():
    def step(x, states):
        first, second, scale, offset = states
        output = x * scale + offset
        return output, [second, first + 1]

    start = [np.zeros((2, 2)), np.ones((2, 2))]
    _, outputs, states = rnn(step, STEPS, start, constants=[3.0, np.ones(2)])
    np.testing.assert_array_equal(outputs, STEPS * 3 + 1)
    np.testing.assert_array_equal(states[0], np.full((2, 2), 2))
    np.testing.assert_array_equal(states[1], np.full((2, 2), 2))


def test_rnn_over_images_with_a_mask():
    images = RANDOM.standard_normal((2, 3, 4, 4, 1))
    start = np.zeros((2, 4, 4, 1))
    _, outputs, _ = rnn(lambda x, s: (x + s[0], [x + s[0]]), images, [start], mask=MASK)
    np.testing.assert_allclose(outputs[0, 2], images[0, 1])
    np.testing.assert_allclose(outputs[1, 2], images[1, 0] + images[1, 2])


def cell(x, states):
    """An output that is its first state, a second state, and a kernel as a constant."""
    previous, speed, kernel = states
    speed = speed * 0.5 + x
    output = dot(previous, kernel) * previous + speed
    return output, [output, speed]


@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("which", [0, 1, 2, 3])
def test_derivatives_of_rnn(mask, go_backwards, which):
    def f(x, previous, speed, kernel):
        last, outputs, states = rnn(
            cell, x, [previous, speed], go_backwards, mask=mask, constants=[kernel]
        )
        return [last, outputs, *states][which]

    x = RANDOM.standard_normal((2, 3, 2)) * 0.5
    start = RANDOM.standard_normal((2, 2, 2)) * 0.5
    check_derivatives(f, x, start[0], start[1], RANDOM.standard_normal((2, 2)) * 0.5)


def test_the_gradient_of_a_long_sequence_is_not_summed_step_by_step():
    x = Tensor(np.ones((2, 500, 3)))
    last, outputs, _ = rnn(lambda x, s: (x * 2, []), x, [])
    (dx,) = backpropagate([(outputs, np.ones((2, 500, 3)))], [x])
    np.testing.assert_array_equal(dx, 2)
    (dx,) = backpropagate([(last, np.ones((2, 3)))], [x])
    assert dx.sum() == 12


def test_rnn_with_a_variable():
    scale = Variable(np.array(3.0), name="scale")
    _, outputs, _ = rnn(lambda x, s: (x * scale, []), STEPS.astype("float64"), [])
    (gradient,) = backpropagate([(outputs, np.ones((2, 3, 2)))], [scale])
    assert gradient == STEPS.sum()


def test_rnn_in_a_pass_that_does_not_go_back():
    scale = Variable(np.array(3.0, "float32"))
    with inside(Context(records=False)):
        _, outputs, _ = rnn(lambda x, s: (x * scale, []), Tensor(STEPS), [])
    np.testing.assert_array_equal(outputs.value, 3 * STEPS)
    assert outputs.op is None
    assert outputs.args == ()


def test_errors_of_rnn():
    start = [np.zeros((2, 2))]
    with pytest.raises(ValueError, match=r"at least three; got the shape \(2, 3\)"):
        rnn(total, STEPS[..., 0], start)
    with pytest.raises(ValueError, match=r"expected 4 time steps, got inputs of shape \(2, 3, 2\)"):
        rnn(total, STEPS, start, input_length=4)
    with pytest.raises(ValueError, match=r"at least one time step, got .*\(2, 0, 2\)"):
        rnn(total, STEPS[:, :0], start)
    with pytest.raises(ValueError, match=r"known number of time steps.*\(None, None, 2\)"):
        rnn(total, placeholder((None, None, 2)), start, unroll=True)
    with pytest.raises(ValueError, match="a mask needs at least one state"):
        rnn(lambda x, s: (x, []), STEPS, [], mask=MASK)
    with pytest.raises(ValueError, match=r"must have shape \(2, 3\) or \(2, 3, 1\), got \(2, 2\)"):
        rnn(total, STEPS, start, mask=MASK[:, :2])
    with pytest.raises(ValueError, match="1 initial states, and step_function returned 2"):
        rnn(lambda x, s: (x, [x, x]), STEPS, start)
    with pytest.raises(ValueError, match=r"the output of shape \(2, 1\) is replaced by a state"):
        rnn(lambda x, s: (x[:, :1], s), STEPS, start, mask=MASK)


# --- map_fn, foldl, foldr -------------------------------------------------------------------


def test_map_fn():
    np.testing.assert_array_equal(map_fn(lambda row: row[0], A, name="first"), A[:, 0])
    assert map_fn(lambda row: row, A, dtype="float32").dtype == "float32"
    assert map_fn(lambda x: x * 2, [1, 2]).tolist() == [2, 4]
    check_derivatives(lambda x: map_fn(lambda row: row * row[0], x), A)


def test_map_fn_over_several_arrays():
    scale = np.array([1.0, 2.0])
    check_derivatives(lambda x, s: map_fn(lambda t: t[0] * t[1], (x, s)), A, scale)
    twice, thrice = map_fn(lambda x: (x * 2, x * 3), A, dtype=("float32", "float64"))
    assert twice.dtype == "float32"
    np.testing.assert_array_equal(thrice, A * 3)
    with pytest.raises(ValueError, match=r"equal length, got the shapes \[\(2, 3\), \(3,\)\]"):
        map_fn(lambda t: t[0], (A, np.zeros(3)))


@pytest.mark.parametrize(
    ("fold", "initializer", "expected"),
    [(foldl, None, 4), (foldl, 2.0, 8), (foldr, None, 4), (foldr, 2.0, 8)],
)
def test_folds(fold, initializer, expected):
    # fold(lambda a, x: a * x - 1, ...) in Keras 2.2.4: foldr(..., initializer=2.) gives 8.
    values = np.array([1.0, 2.0, 3.0])
    if fold is foldl:
        values = values[::-1]
    found = fold(lambda a, x: a * x - 1, values, initializer=initializer, name="fold")
    assert found == expected


@pytest.mark.parametrize("fold", [foldl, foldr])
def test_derivatives_of_folds(fold):
    check_derivatives(lambda x: fold(lambda a, b: a * b + b, x), A)
    check_derivatives(lambda x, start: fold(lambda a, b: a * b - a, x, start), A, B[0])


@pytest.mark.parametrize("over", [map_fn, foldl, foldr])
def test_nothing_to_go_over(over):
    name = over.__name__
    with pytest.raises(ValueError, match=rf"K.{name} needs at least one item, got shape \(0, 2\)"):
        over(never, np.zeros((0, 2)))
    with pytest.raises(ValueError, match=f"K.{name} needs an axis to go along, got the number 1"):
        over(never, 1.0)


def test_over_what_is_not_known_yet():
    x = placeholder((None, 3))
    outputs = [
        map_fn(lambda row: row * 2, x),
        foldl(lambda a, row: a + row, x),
        foldr(lambda a, row: a - row, x),
        map_fn(lambda i: x[i] * 2, np.arange(2)),
    ]
    first, second, third, fourth = function([x], outputs)([A])
    a = A.astype("float32")
    np.testing.assert_array_equal(first, a * 2)
    np.testing.assert_allclose(second, a.sum(axis=0), rtol=1e-6)
    np.testing.assert_allclose(third, a[1] - a[0], rtol=1e-6)
    np.testing.assert_array_equal(fourth, a * 2)


def test_items_beside_other_uses_of_a_value():
    check_derivatives(lambda x: map_fn(lambda row: row * 2, x) + x * stack([x[0], x[1]]), A)
