"""Cases of backend.npz: variables, placeholders and `K.function`; and the random functions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .backend_cases import normal, positive, program

# --- programs --------------------------------------------------------------------------------


@program(
    "variable get_value eval int_shape ndim dtype count_params get_variable_shape", normal(2, 3)
)
def variables(K: Any, x: np.ndarray) -> list[Any]:
    v, wide = K.variable(x), K.variable([[1, 2]], dtype="float64", name="wide")
    whole = K.variable([1, 2, 3], "int32")
    facts = [
        (K.int_shape(w), K.ndim(w), K.dtype(w), int(K.count_params(w)), K.get_variable_shape(w))
        for w in (v, wide, whole, K.variable(2.5))
    ]
    return [K.get_value(v), K.eval(v), K.eval(v * 2), K.get_value(wide), K.eval(whole), facts]


@program("set_value batch_get_value batch_set_value", normal(2, 3), normal(2, 3), normal(3))
def setting(K: Any, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> list[Any]:
    v, w = K.variable(x), K.variable(z)
    doubled = v * 2
    K.set_value(v, y)
    found = [K.eval(v), *K.batch_get_value([v, w]), K.batch_get_value([])]
    K.batch_set_value([(v, x + y), (w, 2 * z)])
    K.batch_set_value([])
    return [*found, *K.batch_get_value([w, v]), np.shape(K.eval(doubled))]


@program("constant zeros ones eye arange zeros_like ones_like", normal(2, 3))
def making(K: Any, x: np.ndarray) -> list[Any]:
    made = [
        K.constant(x),
        K.constant(3),
        K.constant([1, 2], dtype="int32"),
        K.constant(1.5, shape=(2, 2)),
        K.zeros((2, 3)),
        K.zeros((2,), dtype="int32", name="none"),
        K.ones((2, 1)),
        K.ones((3,), "float64"),
        K.eye(3),
        K.eye(2, "int32"),
        K.zeros_like(K.variable(x)),
        K.ones_like(K.variable(x), dtype="int32"),
    ]
    return [[K.eval(m), K.dtype(m), list(K.int_shape(m))] for m in made]


@program("placeholder is_placeholder int_shape ndim dtype is_sparse is_keras_tensor")
def placeholders(K: Any) -> list[Any]:
    made = [
        K.placeholder((2, 3)),
        K.placeholder((None, 3)),
        K.placeholder(ndim=3),
        K.placeholder(shape=(None,), dtype="int32", name="indices"),
        K.placeholder(()),
    ]
    facts = [(K.int_shape(p), K.ndim(p), K.dtype(p), bool(K.is_placeholder(p))) for p in made]
    others = [bool(K.is_placeholder(made[0] + 1)), K.is_sparse(made[0])]
    return [facts, others, K.is_keras_tensor(made[0])]


@program("is_keras_tensor is_tensor")
def tensors(K: Any) -> list[Any]:
    refused = False
    try:
        K.is_keras_tensor(np.ones(2))
    except ValueError:
        refused = True
    p = K.placeholder((2,))
    return [refused, [bool(K.is_tensor(x)) for x in (p, p + 1, np.ones(2), 3)]]


@program("function placeholder", normal(2, 3), normal(3), normal(4, 3))
def functions(K: Any, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> list[Any]:
    a, b = K.placeholder((None, 3)), K.placeholder((3,))
    f = K.function([a, b], [K.sum(a * b, axis=-1), K.exp(b), a + 1])
    g = K.function([a], [K.mean(a)])
    return [*f([x, y]), *f([z, y]), *g([z]), *g([x.tolist()])]


@program("function update update_add update_sub", normal(2), normal(2))
def updates(K: Any, x: np.ndarray, y: np.ndarray) -> list[Any]:
    v, w, n = K.variable(x), K.variable(y), K.variable(5.0)
    p = K.placeholder((2,))
    changes = [(v, v * 2 + p), K.update(w, p), K.update_add(n, p[0])]
    f = K.function([p], [v + 0, K.sum(p)], updates=changes)
    found = []
    for _ in range(3):
        found += [*f([y]), K.get_value(v), K.get_value(w), K.get_value(n)]
    K.function([p], [], updates=[K.update_sub(v, p), (n, n + 1)])([x])
    found += [K.get_value(v), K.get_value(n)]
    known = [K.update_sub(v, [1.0, 2.0]), K.update_add(w, [3.0, 4.0]), K.update(n, 7.0)]
    return [*found, *[K.eval(step) for step in known], *K.batch_get_value([v, w, n])]


@program("moving_average_update function", normal(3), normal(3), normal(3))
def moving_average(K: Any, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> list[Any]:
    """2.2.4's answer on TensorFlow forgets `x`; this is what its other backends do."""
    v, p = K.variable(x), K.placeholder((3,))
    f = K.function([p], [p + 0], updates=[K.moving_average_update(v, p, 0.9)])
    f([y])
    once = K.get_value(v)
    f([z])
    return [once, K.get_value(v)]


@program("learning_phase in_train_phase in_test_phase function", normal(2, 3))
def phases(K: Any, x: np.ndarray) -> list[Any]:
    p = K.placeholder((None, 3))
    outputs = [
        K.in_train_phase(p * 2, p),
        K.in_test_phase(lambda: p + 1, lambda: p - 1),
        K.in_train_phase(K.dropout(p, 0.0), lambda: K.zeros_like(p)),
        K.switch(K.learning_phase(), p * 3, p * 4),
    ]
    f = K.function([p, K.learning_phase()], outputs)
    bare = K.function([p], outputs)
    outside = K.eval(K.in_train_phase(K.constant(x), K.constant(2 * x)))
    return [f([x, 0]), f([x, 1]), f([x, True]), bare([x]), outside]


@program("set_learning_phase learning_phase in_train_phase", normal(2))
def fixed_phase(K: Any, x: np.ndarray) -> list[Any]:
    found: list[Any] = []
    for phase in (1, 0):
        K.set_learning_phase(phase)
        found += [K.learning_phase(), K.eval(K.in_train_phase(K.constant(x), K.constant(2 * x)))]
    K.clear_session()
    return found


@program("gradients function stop_gradient", normal(2, 3), normal(3, 2), normal(2))
def derivatives(K: Any, x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> list[Any]:
    p, w, b = K.placeholder((None, 3)), K.variable(kernel), K.variable(bias)
    y = K.tanh(K.dot(p, w) + b)
    scores = y[:, 0]
    loss = K.mean(K.square(y)) + 0.1 * K.sum(K.abs(w))
    by_all = K.gradients(loss, [p, w, b, y])
    saliency = K.gradients(scores, [p])[0]
    held = K.gradients(K.sum(y * K.stop_gradient(y)), [w, b])
    f = K.function([p], [loss, *by_all, saliency, *held])
    return [*f([x]), K.gradients(K.sum(w), [b])[0] is None]


@program("gradients function update", normal(4), normal(4))
def descent(K: Any, x: np.ndarray, target: np.ndarray) -> list[Any]:
    v, t = K.variable(x), K.placeholder((4,))
    loss = K.sum(K.square(v - t))
    gradient = K.gradients(loss, [v])[0]
    f = K.function([t], [loss], updates=[K.update(v, v - 0.1 * gradient)])
    return [*[f([target])[0] for _ in range(3)], K.get_value(v)]


@program("gradients function l2_normalize", normal(2, 4), normal(4, 3))
def ascent(K: Any, x: np.ndarray, kernel: np.ndarray) -> list[Any]:
    """The gradient of a score by the input, followed uphill."""
    p, w = K.placeholder((None, 4)), K.variable(kernel)
    score = K.mean(K.softmax(K.dot(p, w))[:, 1])
    gradient = K.gradients(score, p)[0]
    gradient /= K.sqrt(K.mean(K.square(gradient))) + 1e-5
    f = K.function([p], [score, gradient])
    found = []
    for _ in range(3):
        value, step = f([x])
        x = x + 0.5 * step
        found.append(value)
    return [*found, x]


@program("epsilon set_epsilon floatx set_floatx cast_to_floatx", positive(2))
def settings(K: Any, x: np.ndarray) -> list[Any]:
    found: list[Any] = [K.epsilon(), K.floatx(), K.cast_to_floatx([1, 2])]
    K.set_epsilon(1e-3)
    found.append(K.eval(K.categorical_crossentropy(K.constant([0.0, 1.0]), K.constant([1.0, 0.0]))))
    K.set_epsilon(1e-7)
    K.set_floatx("float64")
    found += [K.cast_to_floatx(x), K.dtype(K.variable(x)), K.eval(K.ones((2,)))]
    K.set_floatx("float32")
    return found


@program(
    "image_data_format set_image_data_format normalize_data_format image_dim_ordering"
    " set_image_dim_ordering",
    normal(1, 2, 3, 2),
    normal(2),
)
def image_formats(K: Any, x: np.ndarray, bias: np.ndarray) -> list[Any]:
    found: list[Any] = [K.image_data_format(), K.normalize_data_format("Channels_First")]
    K.set_image_data_format("channels_first")
    found += [K.image_data_format(), K.normalize_data_format(None)]
    found.append(K.eval(K.bias_add(K.spatial_2d_padding(K.constant(x)), K.constant(bias))))
    found.append(K.eval(K.pool2d(K.constant(x), (2, 2))))
    K.set_image_data_format("channels_last")
    return found


# --- random functions ------------------------------------------------------------------------


@dataclass(frozen=True)
class Random:
    """A random function: its arguments, and the moments and bounds of what it gives."""

    function: str
    arguments: dict[str, Any]
    mean: float
    deviation: float
    low: float = -np.inf
    high: float = np.inf
    dtype: str = "float32"
    inputs: tuple[Any, ...] = field(default=())

    def check(self, found: Any) -> None:
        """Raise AssertionError where the numbers are not what they should be."""
        shape = self.arguments.get("shape") or self.inputs[0].shape
        assert found.shape == shape, (found.shape, shape)
        assert str(found.dtype) == self.dtype, found.dtype
        assert found.min() >= self.low - 1e-6
        assert found.max() <= self.high + 1e-6
        error = self.deviation / found.size**0.5
        assert abs(found.mean() - self.mean) <= 5 * error + 1e-6, found.mean()
        assert abs(found.std() - self.deviation) <= 5 * error + 1e-6, found.std()


SHAPE = (100, 40)
# The deviation of a normal distribution that is cut at two deviations.
CUT = 0.8796256610342398
RANDOM = (
    Random("random_normal", {"shape": SHAPE}, 0, 1),
    Random("random_normal", {"shape": SHAPE, "mean": 3.0, "stddev": 0.5, "seed": 7}, 3, 0.5),
    Random("random_normal", {"shape": SHAPE, "dtype": "float64"}, 0, 1, dtype="float64"),
    Random("random_uniform", {"shape": SHAPE}, 0.5, 12**-0.5, 0, 1),
    Random("random_uniform", {"shape": SHAPE, "minval": -2.0, "maxval": 4.0}, 1, 3**0.5, -2, 4),
    Random("random_uniform", {"shape": SHAPE, "dtype": "float64"}, 0.5, 12**-0.5, 0, 1, "float64"),
    Random("random_binomial", {"shape": SHAPE, "p": 0.3}, 0.3, 0.21**0.5, 0, 1),
    Random("random_binomial", {"shape": SHAPE}, 0, 0, 0, 0),
    Random("random_binomial", {"shape": SHAPE, "p": 1.0, "seed": 3}, 1, 0, 1, 1),
    Random("truncated_normal", {"shape": SHAPE}, 0, CUT, -2, 2),
    Random("truncated_normal", {"shape": SHAPE, "mean": 1.0, "stddev": 2.0}, 1, 2 * CUT, -3, 5),
    Random(
        "random_uniform_variable", {"shape": SHAPE, "low": -1.0, "high": 3.0}, 1, 4 / 12**0.5, -1, 3
    ),
    Random("random_normal_variable", {"shape": SHAPE, "mean": 2.0, "scale": 3.0}, 2, 3),
    Random("dropout", {"level": 0.5}, 1, 1, 0, 2, inputs=(np.ones(SHAPE, "float32"),)),
    Random("dropout", {"level": 0.2, "seed": 5}, 1, 0.5, 0, 1.25, inputs=(np.ones(SHAPE, "f4"),)),
    Random(
        "dropout",
        {"level": 0.5, "noise_shape": (4000, 1)},
        1,
        1,
        0,
        2,
        inputs=(np.ones((4000, 2), "float32"),),
    ),
)
