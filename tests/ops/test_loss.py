"""Loss ops: derivatives against differences, hand-made values, edges, types, memory layouts."""

import numpy as np
import pytest

from minikeras.ops import activation
from minikeras.ops import loss as ops

# name: how targets and predictions are drawn
LOSSES = {
    "mean_squared_error": ("real", "real"),
    "mean_absolute_error": ("real", "real"),
    "mean_absolute_percentage_error": ("real", "real"),
    "mean_squared_logarithmic_error": ("positive", "positive"),
    "squared_hinge": ("sign", "real"),
    "hinge": ("sign", "real"),
    "categorical_hinge": ("one_hot", "real"),
    "logcosh": ("real", "real"),
    "categorical_crossentropy": ("distribution", "positive"),
    "sparse_categorical_crossentropy": ("label", "probability"),
    "binary_crossentropy": ("bits", "probability"),
    "kullback_leibler_divergence": ("distribution", "probability"),
    "poisson": ("positive", "positive"),
    "cosine_proximity": ("real", "real"),
}
# fused op: loss, activation, targets
FUSED = {
    "softmax_crossentropy_backward": ("categorical_crossentropy", "softmax", "distribution"),
    "sparse_softmax_crossentropy_backward": (
        "sparse_categorical_crossentropy",
        "softmax",
        "label",
    ),
    "sigmoid_crossentropy_backward": ("binary_crossentropy", "sigmoid", "bits"),
}
SHAPES = [(4, 3), (2, 3, 4), (1, 5), (3, 1), (2, 2, 3, 3)]
every = pytest.mark.parametrize("name", LOSSES)
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


def draw(kind, shape, seed):
    rng = np.random.default_rng(seed)
    if kind == "label":
        return rng.integers(0, shape[-1], shape[:-1])
    if kind == "one_hot":
        return np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])]
    return {
        "real": lambda: rng.normal(size=shape),
        "positive": lambda: rng.uniform(0.2, 3.0, shape),
        "probability": lambda: rng.uniform(0.05, 0.95, shape),
        "distribution": lambda: rng.dirichlet(np.ones(shape[-1]), shape[:-1]),
        "sign": lambda: rng.choice([-1.0, 1.0], shape),
        "bits": lambda: rng.integers(0, 2, shape).astype(float),
    }[kind]()


def sample(name, shape=(4, 3), dtype=np.float64):
    """Return dloss, y_true and y_pred."""
    true_kind, pred_kind = LOSSES[name]
    dloss = np.random.default_rng(3).uniform(0.5, 2.0, shape[:-1])
    y_true, y_pred = draw(true_kind, shape, 1), draw(pred_kind, shape, 2)
    if true_kind != "label":
        y_true = y_true.astype(dtype)
    return dloss.astype(dtype), y_true, y_pred.astype(dtype)


def numerical_gradient(function, x, dloss, step=1e-6):
    dx = np.empty_like(x)
    for i in np.ndindex(x.shape):
        ends = []
        for shift in (step, -step):
            moved = x.copy()
            moved[i] += shift
            ends.append(np.sum(dloss * function(moved)))
        dx[i] = (ends[0] - ends[1]) / (2 * step)
    return dx


def pair(name):
    return getattr(ops, name), getattr(ops, f"{name}_backward")


@every
@shapes
def test_derivative(name, shape):
    forward, backward = pair(name)
    dloss, y_true, y_pred = sample(name, shape)
    assert forward(y_true, y_pred).shape == shape[:-1]
    expected = numerical_gradient(lambda p: forward(y_true, p), y_pred, dloss)
    # differences of a percentage of a small target lose more digits
    rtol = 1e-5 if "percentage" in name else 1e-6
    np.testing.assert_allclose(backward(dloss, y_true, y_pred), expected, rtol=rtol, atol=1e-7)


@pytest.mark.parametrize("name", FUSED)
@shapes
def test_derivative_with_activation(name, shape):
    loss, function, kind = FUSED[name]
    dloss = np.random.default_rng(3).uniform(0.5, 2.0, shape[:-1])
    y_true, z = draw(kind, shape, 1), draw("real", shape, 2)
    if kind == "distribution":
        y_true *= 1.7  # targets need not sum to 1
    forward, apply = getattr(ops, loss), getattr(activation, function)
    expected = numerical_gradient(lambda v: forward(y_true, apply(v)), z, dloss)
    p = apply(z)
    found = getattr(ops, name)(dloss, y_true, p)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)
    into_p = p.copy()
    assert getattr(ops, name)(dloss, y_true, into_p, out=into_p) is into_p
    np.testing.assert_array_equal(into_p, found)


@pytest.mark.parametrize("name", FUSED)
def test_fused_gradient_does_not_vanish_for_wrong_certainty(name):
    loss, _, kind = FUSED[name]
    y_pred = np.array([[1.0, 0.0]], np.float32)
    y_true = np.array([1]) if kind == "label" else np.array([[0.0, 1.0]], np.float32)
    dloss = np.ones(1, np.float32)
    fused = getattr(ops, name)(dloss, y_true, y_pred)
    np.testing.assert_allclose(fused * (2 if kind == "bits" else 1), [[1, -1]])
    np.testing.assert_array_equal(pair(loss)[1](dloss, y_true, y_pred), [[0, 0]])


@every
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("other", [np.float32, np.float64])
def test_type_is_that_of_the_predictions(name, dtype, other):
    forward, backward = pair(name)
    _, _, y_pred = sample(name, dtype=dtype)
    dloss, y_true, _ = sample(name, dtype=other)
    assert forward(y_true, y_pred).dtype == dtype
    assert backward(dloss, y_true, y_pred).dtype == dtype


@pytest.mark.parametrize("name", FUSED)
def test_type_is_that_of_the_predictions_in_fused_ops(name):
    y_true = draw(FUSED[name][2], (4, 3), 1)
    y_pred = draw("distribution", (4, 3), 2).astype(np.float32)
    assert getattr(ops, name)(np.ones(4), y_true, y_pred).dtype == np.float32


@every
def test_whole_number_and_boolean_targets(name):
    forward, backward = pair(name)
    dloss, _, y_pred = sample(name, dtype=np.float32)
    y_true = np.array([1, 0, 1, 1]) if "sparse" in name else np.eye(4, 3, dtype=int)
    expected = forward(y_true.astype(np.float32), y_pred)
    for dtype in (np.int64, np.uint8, bool):
        np.testing.assert_array_equal(forward(y_true.astype(dtype), y_pred), expected)
        assert backward(dloss, y_true.astype(dtype), y_pred).dtype == np.float32


@every
def test_inputs_stay_and_out_receives_the_result(name):
    forward, backward = pair(name)
    arrays = sample(name, dtype=np.float32)
    before = [a.copy() for a in arrays]
    dloss, y_true, y_pred = arrays
    forward(y_true, y_pred)
    dy = backward(dloss, y_true, y_pred)
    out = np.full_like(y_pred, np.nan)
    assert backward(dloss, y_true, y_pred, out=out) is out
    np.testing.assert_array_equal(out, dy)
    for array, old in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, old)
    assert backward(dloss, y_true, y_pred, out=y_pred) is y_pred
    np.testing.assert_array_equal(y_pred, dy)


@every
def test_any_memory_layout(name):
    forward, backward = pair(name)
    for shape in ((4, 3), (2, 3, 4)):
        dloss, y_true, y_pred = sample(name, shape, np.float32)
        values, dy = forward(y_true, y_pred), backward(dloss, y_true, y_pred)
        for view in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=-1)[..., ::2]):
            arrays = view(dloss), view(y_true), view(y_pred)
            np.testing.assert_allclose(forward(*arrays[1:]), values, rtol=1e-6)
            out = view(np.zeros_like(y_pred))
            assert not out.flags.c_contiguous
            np.testing.assert_allclose(backward(*arrays), dy, rtol=1e-5, atol=1e-7)
            np.testing.assert_allclose(backward(*arrays, out=out), dy, rtol=1e-5, atol=1e-7)
            np.testing.assert_allclose(out, dy, rtol=1e-5, atol=1e-7)


@every
def test_no_samples(name):
    forward, backward = pair(name)
    dloss, y_true, y_pred = (a[:0] for a in sample(name))
    assert forward(y_true, y_pred).shape == (0,)
    assert backward(dloss, y_true, y_pred).shape == (0, 3)


VALUES = [
    ("mean_squared_error", [[0, 2]], [[1, 5]], 5.0),
    ("mean_absolute_error", [[0, 2]], [[1, 5]], 2.0),
    ("mean_absolute_percentage_error", [[4, 2]], [[3, 3]], 37.5),
    ("mean_squared_logarithmic_error", [[0, 1]], [[0, 3]], np.log(2) ** 2 / 2),
    ("mean_squared_logarithmic_error", [[0, 1]], [[-7, 3]], np.log(2) ** 2 / 2),
    ("squared_hinge", [[1, -1]], [[-1, -3]], 2.0),
    ("hinge", [[1, -1]], [[-1, -3]], 1.0),
    ("hinge", [[0, 1]], [[5, 5]], 0.5),
    ("categorical_hinge", [[0, 1, 0]], [[2, 1.5, 3]], 2.5),
    ("categorical_hinge", [[0, 1, 0]], [[2, 5, 3]], 0.0),
    ("logcosh", [[0, 0]], [[0, 2]], np.log(np.cosh(2)) / 2),
    ("logcosh", [[0.0]], [[-1e4]], 1e4 - np.log(2)),
    ("categorical_crossentropy", [[0, 1, 0]], [[2, 1, 1]], np.log(4)),
    ("sparse_categorical_crossentropy", [1], [[0.5, 0.25, 0.25]], np.log(4)),
    ("sparse_categorical_crossentropy", [1], [[0.9, 0.3, 0.3]], np.log(5)),
    ("binary_crossentropy", [[1, 0]], [[0.5, 0.75]], np.log(8) / 2),
    ("kullback_leibler_divergence", [[0.5, 0.5]], [[0.25, 0.75]], 0.5 * np.log(4 / 3)),
    ("poisson", [[2.0]], [[np.e]], np.e - 2),
    ("cosine_proximity", [[1, 0]], [[3, 4]], -0.6),
    ("cosine_proximity", [[0, 0]], [[3, 4]], 0.0),
    # certainties are cut off at epsilon
    ("categorical_crossentropy", [[0, 1]], [[1, 0]], -np.log(1e-7)),
    ("categorical_crossentropy", [[1, 0]], [[1, 0]], -np.log(1 - 1e-7)),
    ("sparse_categorical_crossentropy", [1], [[1, 0]], -np.log(1e-7)),
    ("binary_crossentropy", [[0, 1]], [[1, 0]], -np.log(1e-7)),
    ("binary_crossentropy", [[1, 0]], [[1, 0]], -np.log(1 - 1e-7)),
    ("kullback_leibler_divergence", [[0, 1]], [[1, 0]], -np.log(1e-7) + 1e-7 * np.log(1e-7)),
    ("poisson", [[1.0]], [[0.0]], -np.log(1e-7)),
    ("mean_absolute_percentage_error", [[0.0]], [[1.0]], 1e9),
]


@pytest.mark.parametrize(("name", "y_true", "y_pred", "expected"), VALUES)
def test_value(name, y_true, y_pred, expected):
    found = pair(name)[0](np.array(y_true), np.array(y_pred, float))
    np.testing.assert_allclose(found, [expected], rtol=1e-6, atol=1e-9)


def test_epsilon_is_an_argument():
    y_true, y_pred = np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]])
    for name in ("categorical_crossentropy", "binary_crossentropy"):
        found = pair(name)[0](y_true, y_pred, epsilon=0.01)
        np.testing.assert_allclose(found, [-np.log(0.01)])
        assert not pair(name)[1](np.ones(1), y_true, y_pred, epsilon=0.01).any()


@pytest.mark.parametrize("shape", [(2, 3), (6,), (2, 3, 1)])
@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.float32])
def test_labels_of_several_shapes(shape, dtype):
    y_pred = draw("probability", (2, 3, 4), 0)
    labels = np.arange(6) % 4
    forward, backward = pair("sparse_categorical_crossentropy")
    reference = labels.reshape(2, 3)
    y_true = labels.reshape(shape).astype(dtype)
    dloss = np.ones((2, 3))
    np.testing.assert_array_equal(forward(y_true, y_pred), forward(reference, y_pred))
    np.testing.assert_array_equal(
        backward(dloss, y_true, y_pred), backward(dloss, reference, y_pred)
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradient_at_the_limits_is_that_of_the_inside(dtype):
    dloss, y_true = np.ones(1, dtype), np.array([[1.0]], dtype)
    for limit in (1e-7, 1 - 1e-7):
        y_pred = np.array([[limit]], dtype)
        assert pair("binary_crossentropy")[1](dloss, y_true, y_pred)[0, 0] < -0.9
    beyond = np.array([[0.9e-7]], dtype)
    assert pair("binary_crossentropy")[1](dloss, y_true, beyond)[0, 0] == 0


def test_gradient_at_a_tie_of_wrong_scores_is_shared():
    _, backward = pair("categorical_hinge")
    dy = backward(np.ones(1), np.array([[1.0, 0, 0]]), np.array([[0.0, 2, 2]]))
    np.testing.assert_allclose(dy, [[-1, 0.5, 0.5]])


def test_gradient_at_no_error_is_zero():
    y = np.array([[1.0, 2.0]])
    for name in ("mean_absolute_error", "mean_absolute_percentage_error", "logcosh"):
        assert not pair(name)[1](np.ones(1), y, y).any()


def test_cosine_of_a_vector_near_zero_is_finite():
    y_true, y_pred = np.array([[1.0, 0.0]], np.float32), np.zeros((1, 2), np.float32)
    forward, backward = pair("cosine_proximity")
    assert forward(y_true, y_pred) == 0
    np.testing.assert_allclose(backward(np.ones(1), y_true, y_pred), [[-1e6, 0]], rtol=1e-6)


def test_derivative_of_the_cosine_of_a_short_vector():
    """Below a norm of 1e-6 the norm counts as constant."""
    forward, backward = pair("cosine_proximity")
    y_true, y_pred = np.array([[1.0, 2.0]]), np.array([[5e-7, 3e-7]])
    expected = numerical_gradient(lambda p: forward(y_true, p), y_pred, np.ones(1), step=1e-9)
    np.testing.assert_allclose(backward(np.ones(1), y_true, y_pred), expected, rtol=1e-6)


@every
def test_far_out_predictions_give_no_warning(name):
    forward, backward = pair(name)
    y_pred = np.array([[1e4, 5e3, 0.0]], np.float32)
    y_true = np.array([1]) if "sparse" in name else np.array([[0, 1, 0]], np.float32)
    assert np.isfinite(forward(y_true, y_pred)).all()
    assert np.isfinite(backward(np.ones(1, np.float32), y_true, y_pred)).all()


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (4,)])
def test_sum_and_mean_over_the_last_axis(shape):
    x = draw("real", shape, 0)
    np.testing.assert_allclose(ops.last_axis_sum(x, 2.0), 2 * x.sum(axis=-1))
    np.testing.assert_allclose(ops.last_axis_mean(x, -1.0), -x.mean(axis=-1))
    turned = np.asfortranarray(x)
    np.testing.assert_allclose(ops.last_axis_sum(turned), x.sum(axis=-1))
