"""Activation ops: derivatives against differences, `out`, memory layouts, types, far-out values."""

import numpy as np
import pytest

from minikeras.ops import activation as ops

# name: options. The derivative of each follows from the output.
SIMPLE = [
    ("linear", {}),
    ("relu", {}),
    ("tanh", {}),
    ("sigmoid", {}),
    ("hard_sigmoid", {}),
    ("exponential", {}),
    ("softplus", {}),
    ("softsign", {}),
    ("elu", {}),
    ("elu", {"alpha": 0.5}),
    ("elu", {"alpha": 2.0}),
    ("elu", {"alpha": 0.0}),
    ("selu", {}),
    ("softmax", {}),
    ("softmax", {"axis": 1}),
    ("softmax", {"axis": 0}),
]
# name: arguments between x and out. The derivative needs the input.
GENERAL = [
    ("leaky_relu", (0.3,)),
    ("leaky_relu", (1.5,)),
    ("leaky_relu", (-0.2,)),
    ("relu_general", (0.0, None, 0.0)),
    ("relu_general", (0.1, None, 0.0)),
    ("relu_general", (0.0, 1.5, 0.0)),
    ("relu_general", (0.2, 1.5, 0.6)),
    ("relu_general", (0.2, 1.5, -0.6)),
    ("relu_general", (0.2, None, 0.6)),
    ("relu_general", (0.0, None, -0.6)),
    ("thresholded_relu", (0.8,)),
]
SHAPES = [(4, 5), (2, 3, 4), (1, 3), (3, 1), (2, 40)]
KINKS = (0.0, 0.6, -0.6, 0.8, 1.5, 2.5, -2.5)


def name_of(case):
    name, options = case
    values = options.items() if isinstance(options, dict) else options
    return "-".join([name, *(str(v) for v in values)])


simple = pytest.mark.parametrize(("name", "options"), SIMPLE, ids=map(name_of, SIMPLE))
general = pytest.mark.parametrize(("name", "arguments"), GENERAL, ids=map(name_of, GENERAL))
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


def pair(name):
    return getattr(ops, name), getattr(ops, f"{name}_backward")


def away_from_kinks(shape, seed=0):
    """Random numbers, none closer than 0.01 to a point where some function has a corner."""
    x = np.random.default_rng(seed).normal(scale=1.5, size=shape)
    for kink in KINKS:
        x[np.abs(x - kink) < 0.01] += 0.03
    return x


def numerical_gradient(function, x, dy, step=1e-6):
    """Central differences of sum(dy * function(x))."""
    dx = np.empty_like(x)
    for i in np.ndindex(x.shape):
        ends = []
        for shift in (step, -step):
            moved = x.copy()
            moved[i] += shift
            ends.append(np.sum(dy * function(moved)))
        dx[i] = (ends[0] - ends[1]) / (2 * step)
    return dx


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


@simple
@shapes
def test_derivative_from_output(name, options, shape):
    forward, backward = pair(name)
    x, dy = away_from_kinks(shape), away_from_kinks(shape, seed=1)
    y = forward(x, **options)
    close(backward(dy, y, **options), numerical_gradient(lambda v: forward(v, **options), x, dy))


@general
@shapes
def test_derivative_from_input(name, arguments, shape):
    forward, backward = pair(name)
    x, dy = away_from_kinks(shape), away_from_kinks(shape, seed=1)
    expected = numerical_gradient(lambda v: forward(v, *arguments), x, dy)
    close(backward(dy, x, *arguments), expected)


@pytest.mark.parametrize(
    ("shape", "alpha_shape"),
    [((4, 5), (5,)), ((4, 5), (1,)), ((2, 3, 4), (3, 4)), ((2, 3, 4), (1, 4)), ((1, 3, 4), (3, 1))],
)
def test_derivatives_of_prelu(shape, alpha_shape):
    x, dy = away_from_kinks(shape), away_from_kinks(shape, seed=1)
    alpha = np.random.default_rng(2).normal(size=alpha_shape)
    dx, dalpha = ops.prelu_backward(dy, x, alpha)
    close(dx, numerical_gradient(lambda v: ops.prelu(v, alpha), x, dy))
    assert dalpha.shape == alpha_shape
    close(dalpha, numerical_gradient(lambda v: ops.prelu(x, v), alpha, dy))


def calls():
    """Yield an id, a forward call of (x, out) and a backward call of (dy, x, y, out)."""
    for case in SIMPLE:
        forward, backward = pair(case[0])
        yield (
            name_of(case),
            lambda x, out, f=forward, o=case[1]: f(x, out, **o),
            lambda dy, x, y, out, b=backward, o=case[1]: b(dy, y, out, **o),
        )
    for case in GENERAL:
        forward, backward = pair(case[0])
        yield (
            name_of(case),
            lambda x, out, f=forward, a=case[1]: f(x, *a, out),
            lambda dy, x, y, out, b=backward, a=case[1]: b(dy, x, *a, out),
        )
    yield (
        "prelu",
        lambda x, out: ops.prelu(x, np.full(5, 0.2, x.dtype), out),
        lambda dy, x, y, out: ops.prelu_backward(dy, x, np.full(5, 0.2, x.dtype), out)[0],
    )


PARAMS = [pytest.param(forward, backward, id=name) for name, forward, backward in calls()]
every = pytest.mark.parametrize(("forward", "backward"), PARAMS)
# A softmax over the samples has nothing to normalise when there are none.
of_each_sample = pytest.mark.parametrize(
    ("forward", "backward"), [p for p in PARAMS if "('axis', 0)" not in p.id]
)


def arrays(dtype=np.float32, shape=(4, 5)):
    return away_from_kinks(shape).astype(dtype), away_from_kinks(shape, seed=1).astype(dtype)


@every
def test_out_receives_the_result_and_inputs_stay(forward, backward):
    x, dy = arrays()
    x0, dy0 = x.copy(), dy.copy()
    y = forward(x, None)
    out = np.full_like(x, np.nan)
    assert forward(x, out) is out
    np.testing.assert_array_equal(out, y)
    y0 = y.copy()
    dx = backward(dy, x, y, None)
    out = np.full_like(x, np.nan)
    assert backward(dy, x, y, out) is out
    np.testing.assert_array_equal(out, dx)
    for array, before in ((x, x0), (dy, dy0), (y, y0)):
        np.testing.assert_array_equal(array, before)


@every
def test_out_may_be_the_first_argument(forward, backward):
    x, dy = arrays()
    y = forward(x, None)
    dx = backward(dy, x, y, None).copy()
    in_place = x.copy()
    assert forward(in_place, in_place) is in_place
    np.testing.assert_array_equal(in_place, y)
    assert backward(dy, x, y, dy) is dy
    np.testing.assert_array_equal(dy, dx)


@every
def test_any_memory_layout(forward, backward):
    x, dy = arrays()
    y = forward(x, None)
    dx = backward(dy, x, y, None)
    for view in (lambda a: np.asfortranarray(a), lambda a: np.repeat(a, 2, axis=1)[:, ::2]):
        out = view(np.zeros_like(x))
        assert not out.flags.c_contiguous
        np.testing.assert_allclose(forward(view(x), None), y, rtol=1e-6)
        np.testing.assert_allclose(forward(view(x), out), y, rtol=1e-6)
        found = backward(view(dy), view(x), view(y), view(np.zeros_like(x)))
        np.testing.assert_allclose(found, dx, rtol=1e-5, atol=1e-7)


@every
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_type_is_kept(forward, backward, dtype):
    x, dy = arrays(dtype)
    y = forward(x, None)
    assert y.dtype == dtype
    assert backward(dy, x, y, None).dtype == dtype


@of_each_sample
def test_no_samples(forward, backward):
    x = np.zeros((0, 5), np.float32)
    y = forward(x, None)
    assert y.shape == backward(x, x, y, None).shape == (0, 5)


@every
def test_far_out_values_give_no_warning(forward, backward):
    x = np.array([[1e4, -1e4, 100.0, -100.0, 0.0]], np.float32)
    y = forward(x, None)
    assert not np.isnan(y).any()
    dx = backward(np.ones_like(x), x, np.where(np.isinf(y), 1e4, y).astype(np.float32), None)
    assert np.isfinite(dx).all()


@every
def test_blocks_give_the_same_bits(forward, backward, monkeypatch):
    x, dy = arrays(shape=(40, 5))
    y = forward(x, None)
    dx = backward(dy, x, y, None)
    monkeypatch.setattr(ops, "_BLOCK", 32)
    np.testing.assert_array_equal(forward(x, None), y)
    np.testing.assert_array_equal(forward(x, np.empty_like(x)), y)
    np.testing.assert_array_equal(backward(dy, x, y, None), dx)
    in_place = dy.copy()
    np.testing.assert_array_equal(backward(in_place, x, y, in_place), dx)
    turned = np.asfortranarray(x)
    np.testing.assert_allclose(forward(turned, turned), y, rtol=1e-6)


def test_values():
    x = np.array([[-2.0, -0.5, 0.0, 1.0, 3.0]])
    close(ops.relu(x), [[0, 0, 0, 1, 3]])
    close(ops.hard_sigmoid(x), [[0.1, 0.4, 0.5, 0.7, 1.0]])
    close(ops.hard_sigmoid(np.array([-2.6, 2.6])), [0, 1])
    close(ops.softsign(x), [[-2 / 3, -1 / 3, 0, 0.5, 0.75]])
    close(ops.sigmoid(x), 1 / (1 + np.exp(-x)))
    close(ops.softplus(x), np.log(1 + np.exp(x)))
    close(ops.elu(x, alpha=2.0), [[2 * np.expm1(-2), 2 * np.expm1(-0.5), 0, 1, 3]])
    close(ops.selu(np.array([1.0, -1.0])), [1.0507009873554805, -1.1113307378125625])
    close(ops.exponential(np.array([0.0, 1.0])), [1, np.e])
    close(ops.softmax(np.log([[1.0, 2.0, 5.0]])), [[0.125, 0.25, 0.625]])
    close(ops.leaky_relu(x, 0.1), [[-0.2, -0.05, 0, 1, 3]])
    close(ops.leaky_relu(x, 2.0), [[-4, -1, 0, 1, 3]])
    close(ops.thresholded_relu(x, 1.0), [[0, 0, 0, 0, 3]])
    close(ops.prelu(x, np.array([1.0, 2.0, 3.0, 4.0, 5.0])), [[-2, -1, 0, 1, 3]])


def test_values_of_relu_general():
    x = np.array([-2.0, -0.5, 0.5, 1.0, 3.0, 9.0])
    close(ops.relu_general(x, 0.1, 6.0, 1.0), [-0.3, -0.15, -0.05, 0, 3, 6])
    close(ops.relu_general(x, 0.0, None, -1.0), [0, -0.5, 0.5, 1, 3, 9])
    close(ops.relu_general(x, 0.0, 6.0, -1.0), [0, 0, 0.5, 1, 3, 6])


def test_small_probabilities_are_accurate():
    x = np.array([-80.0, -40.0, -17.0, -8.0], np.float32)
    np.testing.assert_allclose(ops.sigmoid(x), np.exp(x.astype(float)), rtol=4e-4)
    np.testing.assert_allclose(ops.softplus(x), np.exp(x.astype(float)), rtol=4e-4)


def test_exponential_of_too_large_a_number_is_infinite():
    assert np.isinf(ops.exponential(np.array([1e4], np.float32)))


def test_softmax_rows_sum_to_one():
    for shape in ((3, 5), (3, 200), (2, 3, 7), (5,)):
        y = ops.softmax(away_from_kinks(shape).astype(np.float32) * 50)
        np.testing.assert_allclose(y.sum(axis=-1), 1.0, rtol=1e-6)


def test_softmax_narrow_and_wide_agree(monkeypatch):
    x = away_from_kinks((50, 10))
    narrow = ops.softmax(x)
    monkeypatch.setattr(ops, "_NARROW", 0)
    close(ops.softmax(x), narrow)


def test_linear_copies_nothing_without_out():
    x = np.ones(3)
    assert ops.linear(x) is x
    assert ops.linear_backward(x, x) is x


@pytest.mark.parametrize("name", ["relu", "sigmoid", "softplus", "softmax"])
def test_nan_is_not_hidden(name):
    x = np.array([[1.0, np.nan, 2.0]], np.float32)
    assert np.isnan(getattr(ops, name)(x)[0, 1])


def test_elu_backward_refuses_negative_alpha():
    with pytest.raises(ValueError, match=r"negative alpha, got alpha=-1"):
        ops.elu_backward(np.ones(2), np.ones(2), alpha=-1.0)
