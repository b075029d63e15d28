"""Cases of backend.npz: what layers are made of. Normalization, convolution, pooling, loops."""

from __future__ import annotations

from typing import Any

from .backend_cases import case, distinct, each, given, normal, positive, ties

# --- normalization ---------------------------------------------------------------------------

for gamma, beta in ((positive(4), normal(4)), (None, normal(4)), (positive(4), None), (None, None)):
    case("normalize_batch_in_training", normal(3, 4), gamma, beta, [0])
    case("normalize_batch_in_training", normal(2, 3, 4), gamma, beta, [0, 1], epsilon=0.1)
    case("normalize_batch_in_training", normal(2, 4, 3), gamma, beta, [0, 2])
    case("normalize_batch_in_training", normal(2, 4, 2, 2), gamma, beta, [0, 2, 3])
    # TensorFlow's kernel for these. Its variance has another factor (see README.md), and there are
    # no derivatives of mean and variance.
    arguments = (normal(2, 2, 2, 4), gamma, beta, [0, 1, 2])
    for count, by in ((1, None), (2, ())):
        case(
            "normalize_batch_in_training",
            *arguments,
            call=lambda K, *arguments, n=count: K.normalize_batch_in_training(*arguments)[:n],
            label=f"first {count}",
            by=by,
        )
for x, axis in ((normal(3, 4), -1), (normal(2, 3, 4), -1), (normal(2, 3, 4), 2)):
    for gamma, beta in ((positive(4), normal(4)), (None, normal(4)), (positive(4), None)):
        case("batch_normalization", x, normal(4), positive(4), beta, gamma, axis=axis)
    case("batch_normalization", x, normal(4), positive(4), None, None, axis, 0.1)
wide = (normal(1, 4, 1), positive(1, 4, 1), normal(1, 4, 1), positive(1, 4, 1))
case("batch_normalization", normal(2, 4, 3), *wide, axis=1)
wide = (normal(1, 4, 1, 1), positive(1, 4, 1, 1), normal(1, 4, 1, 1), positive(1, 4, 1, 1))
case("batch_normalization", normal(2, 4, 2, 2), *wide, axis=each(1, -3))
# TensorFlow's kernel for four axes has no gradients by mean and variance.
narrow = (normal(4), positive(4), normal(4), positive(4))
case("batch_normalization", normal(2, 2, 2, 4), *narrow, axis=each(-1, 3), by=(0, 3, 4))
wide = (normal(1, 1, 1, 4), positive(1, 1, 1, 4), normal(1, 1, 1, 4), positive(1, 1, 1, 4))
case("batch_normalization", normal(2, 2, 2, 4), *wide, axis=-1, by=(0, 3, 4), oracle="tf-keras")
case("batch_normalization", normal(2, 2, 2, 4), normal(4), positive(4), None, None, by=(0,))

# --- convolutions ----------------------------------------------------------------------------

PADDING = each("valid", "same")
case("conv1d", normal(2, 6, 2), normal(3, 2, 3))
case("conv1d", normal(2, 6, 2), normal(3, 2, 3), each(1, 2), each("valid", "same", "causal"))
case(
    "conv1d", normal(2, 6, 2), normal(2, 2, 3), 1, each("valid", "same", "causal"), dilation_rate=2
)
case("conv1d", normal(2, 2, 6), normal(3, 2, 3), 2, PADDING, data_format="channels_first")
case("conv2d", normal(1, 5, 4, 2), normal(3, 2, 2, 3))
case("conv2d", normal(1, 5, 4, 2), normal(3, 2, 2, 3), each((1, 1), (2, 2), (2, 1)), PADDING)
case(
    "conv2d",
    normal(1, 5, 4, 2),
    normal(2, 2, 2, 2),
    padding=PADDING,
    dilation_rate=each((2, 2), (2, 1)),
)
case("conv2d", normal(1, 2, 5, 4), normal(3, 2, 2, 3), (1, 2), PADDING, "channels_first")
case("conv3d", normal(1, 3, 4, 3, 2), normal(2, 2, 2, 2, 2))
case("conv3d", normal(1, 3, 4, 3, 1), normal(2, 3, 2, 1, 2), each((1, 1, 1), (2, 1, 2)), PADDING)
case("conv3d", normal(1, 3, 4, 3, 1), normal(2, 2, 2, 1, 2), dilation_rate=(2, 2, 1))
case("conv3d", normal(1, 2, 3, 3, 3), normal(2, 2, 2, 2, 1), (2, 1, 1), PADDING, "channels_first")
kernel = normal(3, 2, 3, 2)
case("conv2d_transpose", normal(1, 3, 2, 2), kernel, (1, 5, 3, 3))
case("conv2d_transpose", normal(1, 3, 2, 2), kernel, (1, 7, 4, 3), (2, 2))
case(
    "conv2d_transpose", normal(1, 3, 2, 2), kernel, each((1, 6, 4, 3), (1, 5, 3, 3)), (2, 2), "same"
)
case("conv2d_transpose", normal(1, 3, 2, 2), kernel, (1, 6, 2, 3), (2, 1), "same")
case(
    "conv2d_transpose",
    normal(1, 2, 3, 2),
    kernel,
    (1, 3, 7, 4),
    (2, 2),
    data_format="channels_first",
)
square = normal(2, 2, 3, 2)
case("conv2d_transpose", normal(1, 3, 2, 2), square, (1, 5, 4, 3), dilation_rate=(2, 2))
case("conv2d_transpose", normal(1, 3, 2, 2), square, (1, 3, 2, 3), (1, 1), "same", None, (2, 2))
case(
    "conv2d_transpose",
    normal(2, 3, 2, 2),
    kernel,
    call=lambda K, x, kernel: K.conv2d_transpose(x, kernel, (K.shape(x)[0], 5, 3, 3)),
    label="of any batch",
)
kernel = normal(2, 2, 2, 2, 1)
case("conv3d_transpose", normal(1, 2, 2, 2, 1), kernel, (1, 3, 3, 3, 2))
case("conv3d_transpose", normal(1, 2, 2, 2, 1), kernel, (1, 4, 2, 4, 2), (2, 1, 2), "same")
case(
    "conv3d_transpose",
    normal(1, 1, 2, 2, 2),
    kernel,
    (1, 2, 4, 4, 4),
    (2, 2, 2),
    data_format="channels_first",
)
points = normal(1, 4, 3)
case("separable_conv1d", normal(2, 6, 2), normal(3, 2, 2), points)
case("separable_conv1d", normal(2, 6, 2), normal(3, 2, 2), points, each(1, 2, (2,)), PADDING)
case("separable_conv1d", normal(2, 6, 2), normal(3, 2, 2), points, dilation_rate=each(2, (2,)))
case("separable_conv1d", normal(2, 2, 6), normal(3, 2, 2), points, data_format="channels_first")
points = normal(1, 1, 4, 3)
case("separable_conv2d", normal(1, 5, 4, 2), normal(3, 2, 2, 2), points)
case(
    "separable_conv2d",
    normal(1, 5, 4, 2),
    normal(3, 2, 2, 2),
    points,
    each((1, 1), (2, 2)),
    PADDING,
)
case("separable_conv2d", normal(1, 5, 4, 2), normal(2, 2, 2, 2), points, dilation_rate=(2, 2))
case(
    "separable_conv2d",
    normal(1, 2, 5, 4),
    normal(3, 2, 2, 2),
    points,
    (1, 1),
    PADDING,
    "channels_first",
)
case("depthwise_conv2d", normal(1, 5, 4, 2), normal(3, 2, 2, 2))
case("depthwise_conv2d", normal(1, 5, 4, 2), normal(3, 2, 2, 2), each((1, 1), (2, 2)), PADDING)
case("depthwise_conv2d", normal(1, 5, 4, 2), normal(2, 2, 2, 1), (1, 1), PADDING, None, (2, 2))
case("depthwise_conv2d", normal(1, 2, 5, 4), normal(3, 2, 2, 2), (2, 2), PADDING, "channels_first")
case("local_conv1d", normal(2, 5, 2), normal(3, 6, 2), (3,), (1,))
case("local_conv1d", normal(2, 5, 2), normal(2, 6, 2), (3,), (2,), data_format="channels_last")
case("local_conv2d", normal(1, 4, 3, 2), normal(6, 8, 2), (2, 2), (1, 1), (3, 2))
case("local_conv2d", normal(1, 4, 3, 2), normal(4, 8, 2), (2, 2), (2, 1), (2, 2), "channels_last")
case("local_conv2d", normal(1, 2, 4, 3), normal(6, 8, 2), (2, 2), (1, 1), (3, 2), "channels_first")
for mode in ("max", "avg"):
    images, volumes = distinct(1, 5, 4, 2), distinct(1, 4, 3, 4, 1)
    case("pool2d", images, (2, 2), pool_mode=mode)
    case("pool2d", images, each((2, 2), (3, 2)), each((2, 2), (1, 2)), PADDING, pool_mode=mode)
    case("pool2d", distinct(1, 2, 5, 4), (2, 2), (2, 2), PADDING, "channels_first", mode)
    case("pool3d", volumes, (2, 2, 2), pool_mode=mode)
    case("pool3d", volumes, (2, 1, 2), (2, 1, 2), PADDING, pool_mode=mode)
    case("pool3d", distinct(1, 1, 4, 3, 4), (2, 2, 2), (2, 1, 2), "valid", "channels_first", mode)
case("pool2d", ties(1, 4, 4, 2), (2, 2), (2, 2))

# --- loops -----------------------------------------------------------------------------------


def simple_rnn(K: Any, x: Any, h: Any, kernel: Any, **options: Any) -> Any:
    """One state, which is the output."""

    def step(inputs: Any, states: Any) -> Any:
        h, kernel = states
        y = K.tanh(K.dot(inputs, kernel) + h)
        return y, [y]

    return K.rnn(step, x, [h], constants=[kernel], **options)


def two_states(K: Any, x: Any, h: Any, c: Any, kernel: Any, factor: Any, **options: Any) -> Any:
    """Two states and two constants; the output is none of them."""

    def step(inputs: Any, states: Any) -> Any:
        h, c, kernel, factor = states
        c = K.tanh(K.dot(inputs, kernel) + c)
        h = K.sigmoid(h) * c * factor
        return h + inputs, [h, c]

    return K.rnn(step, x, [h, c], constants=[kernel, factor], **options)


def no_state(K: Any, x: Any, **options: Any) -> Any:
    """A function of each step by itself."""
    return K.rnn(lambda inputs, states: (K.square(inputs), []), x, [], **options)


RNN = (normal(3, 4, 2), normal(3, 2), normal(2, 2))
for unroll in (False, True):
    backwards = each(False, True)
    case("rnn", *RNN, call=simple_rnn, label="simple", go_backwards=backwards, unroll=unroll)
    for mask in (
        given([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 1]], "bool"),
        given([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 1, 1]], "float32"),
        given([[[1], [0], [1], [0]], [[1], [1], [0], [0]], [[1], [1], [1], [1]]], "int32"),
    ):
        case("rnn", *RNN, call=simple_rnn, label="simple", unroll=unroll, mask=mask, by=(0, 1, 2))
    mask = given([[1, 1, 1, 1], [0, 0, 1, 1], [1, 0, 0, 1]], "bool")
    case("rnn", *RNN, call=simple_rnn, label="simple", unroll=unroll, mask=mask, go_backwards=True)
    two = (normal(3, 4, 2), normal(3, 2), normal(3, 2), normal(2, 2), normal(3, 2))
    case("rnn", *two, call=two_states, label="two states", unroll=unroll)
    case("rnn", normal(2, 3, 2), call=no_state, label="no state", unroll=unroll)
case(
    "rnn", *RNN, call=simple_rnn, label="first steps masked", mask=given([[0, 0, 1, 1]] * 3, "bool")
)
case("rnn", *RNN, call=simple_rnn, label="simple", input_length=4)
# With `unroll` 2.2.4 has another answer here: see README.md.
mask = given([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 1]], "bool")
case("rnn", *two, call=two_states, label="two states", mask=mask)
case("rnn", normal(2, 3, 2, 2), call=no_state, label="no state")

case("map_fn", normal(3, 2), call=lambda K, x: K.map_fn(lambda row: K.sum(K.square(row)), x))
case(
    "map_fn",
    normal(3, 2),
    by=(),
    call=lambda K, x: K.map_fn(lambda row: K.argmax(row), x, dtype="int64"),
    label="with another type",
)
case(
    "map_fn",
    normal(3, 2),
    normal(2),
    call=lambda K, x, y: K.map_fn(lambda row: row * y, x),
    label="of what a function captures",
)
case("foldl", normal(4, 2), call=lambda K, x: K.foldl(lambda acc, row: K.tanh(acc) + row, x))
case("foldr", normal(4, 2), call=lambda K, x: K.foldr(lambda acc, row: K.tanh(acc) + row, x))
for name in ("foldl", "foldr"):
    case(
        name,
        normal(4, 2),
        normal(2),
        call=lambda K, x, start, name=name: getattr(K, name)(
            lambda acc, row: acc * 0.5 + K.sin(row), x, initializer=start
        ),
        label="from a start",
    )
