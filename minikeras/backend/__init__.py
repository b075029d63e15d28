"""`K`: settings, variables, and the functions that layers and losses of one's own are written in.

Given plain arrays, a function returns a plain array. Given a `Tensor` or a `Variable` it returns a
`Tensor`, which remembers how it was computed (`minikeras.backend.tape`). Given what is still to
come, such as a `placeholder` or ``model.input``, it returns what a `K.function` will compute
(`minikeras.backend.deferred`).
"""

from minikeras.backend import numpy_functions as _numpy_functions  # noqa: F401 - registers itself
from minikeras.backend.comparison import (
    equal,
    greater,
    greater_equal,
    less,
    less_equal,
    not_equal,
)
from minikeras.backend.config import (
    check_numerics,
    epsilon,
    floatx,
    image_data_format,
    image_dim_ordering,
    normalize_data_format,
    set_check_numerics,
    set_epsilon,
    set_floatx,
    set_image_data_format,
    set_image_dim_ordering,
)
from minikeras.backend.control import (
    foldl,
    foldr,
    in_test_phase,
    in_train_phase,
    map_fn,
    rnn,
    switch,
)
from minikeras.backend.convolution import (
    conv1d,
    conv2d,
    conv2d_transpose,
    conv3d,
    conv3d_transpose,
    depthwise_conv2d,
    local_conv1d,
    local_conv2d,
    separable_conv1d,
    separable_conv2d,
)
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
from minikeras.backend.crossentropy import (
    binary_crossentropy,
    categorical_crossentropy,
    sparse_categorical_crossentropy,
)
from minikeras.backend.deferred import (
    is_placeholder,
    learning_phase,
    placeholder,
)
from minikeras.backend.elementwise import (
    abs,
    clip,
    cos,
    exp,
    log,
    maximum,
    minimum,
    pow,
    round,
    sign,
    sin,
    sqrt,
    square,
)
from minikeras.backend.function import (
    eval,
    function,
    gradients,
)
from minikeras.backend.indexing import (
    gather,
    in_top_k,
    one_hot,
    slice,
)
from minikeras.backend.inspection import (
    count_params,
    dtype,
    get_variable_shape,
    int_shape,
    is_keras_tensor,
    is_sparse,
    is_tensor,
    ndim,
    shape,
    to_dense,
)
from minikeras.backend.linalg import (
    batch_dot,
    bias_add,
    dot,
    l2_normalize,
)
from minikeras.backend.naming import (
    get_uid,
    name_scope,
    reset_uids,
)
from minikeras.backend.nn import (
    batch_normalization,
    dropout,
    elu,
    hard_sigmoid,
    normalize_batch_in_training,
    relu,
    sigmoid,
    softmax,
    softplus,
    softsign,
    tanh,
)
from minikeras.backend.pooling import (
    pool2d,
    pool3d,
)
from minikeras.backend.random_functions import (
    random_binomial,
    random_normal,
    random_uniform,
    truncated_normal,
)
from minikeras.backend.reductions import (
    all,
    any,
    argmax,
    argmin,
    cumprod,
    cumsum,
    logsumexp,
    max,
    mean,
    min,
    prod,
    std,
    sum,
    var,
)
from minikeras.backend.running import (
    set_learning_phase,
)
from minikeras.backend.session import clear_session
from minikeras.backend.shaping import (
    batch_flatten,
    concatenate,
    expand_dims,
    flatten,
    permute_dimensions,
    repeat,
    repeat_elements,
    reshape,
    resize_images,
    resize_volumes,
    reverse,
    spatial_2d_padding,
    spatial_3d_padding,
    squeeze,
    stack,
    temporal_padding,
    tile,
    transpose,
)
from minikeras.backend.tape import (
    Tensor,
)
from minikeras.backend.updates import (
    moving_average_update,
    update,
    update_add,
    update_sub,
)
from minikeras.backend.variables import (
    Variable,
    batch_get_value,
    batch_set_value,
    get_value,
    set_value,
)

__all__ = [
    "Tensor",
    "Variable",
    "abs",
    "all",
    "any",
    "arange",
    "argmax",
    "argmin",
    "backend",
    "batch_dot",
    "batch_flatten",
    "batch_get_value",
    "batch_normalization",
    "batch_set_value",
    "bias_add",
    "binary_crossentropy",
    "cast",
    "cast_to_floatx",
    "categorical_crossentropy",
    "check_numerics",
    "clear_session",
    "clip",
    "concatenate",
    "constant",
    "conv1d",
    "conv2d",
    "conv2d_transpose",
    "conv3d",
    "conv3d_transpose",
    "cos",
    "count_params",
    "cumprod",
    "cumsum",
    "depthwise_conv2d",
    "dot",
    "dropout",
    "dtype",
    "elu",
    "epsilon",
    "equal",
    "eval",
    "exp",
    "expand_dims",
    "eye",
    "flatten",
    "floatx",
    "foldl",
    "foldr",
    "function",
    "gather",
    "get_uid",
    "get_value",
    "get_variable_shape",
    "gradients",
    "greater",
    "greater_equal",
    "hard_sigmoid",
    "identity",
    "image_data_format",
    "image_dim_ordering",
    "in_test_phase",
    "in_top_k",
    "in_train_phase",
    "int_shape",
    "is_keras_tensor",
    "is_placeholder",
    "is_sparse",
    "is_tensor",
    "l2_normalize",
    "learning_phase",
    "less",
    "less_equal",
    "local_conv1d",
    "local_conv2d",
    "log",
    "logsumexp",
    "map_fn",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "moving_average_update",
    "name_scope",
    "ndim",
    "normalize_batch_in_training",
    "normalize_data_format",
    "not_equal",
    "one_hot",
    "ones",
    "ones_like",
    "permute_dimensions",
    "placeholder",
    "pool2d",
    "pool3d",
    "pow",
    "print_tensor",
    "prod",
    "random_binomial",
    "random_normal",
    "random_normal_variable",
    "random_uniform",
    "random_uniform_variable",
    "relu",
    "repeat",
    "repeat_elements",
    "reset_uids",
    "reshape",
    "resize_images",
    "resize_volumes",
    "reverse",
    "rnn",
    "round",
    "separable_conv1d",
    "separable_conv2d",
    "set_check_numerics",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "set_image_dim_ordering",
    "set_learning_phase",
    "set_value",
    "shape",
    "sigmoid",
    "sign",
    "sin",
    "slice",
    "softmax",
    "softplus",
    "softsign",
    "sparse_categorical_crossentropy",
    "spatial_2d_padding",
    "spatial_3d_padding",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "stop_gradient",
    "sum",
    "switch",
    "tanh",
    "temporal_padding",
    "tile",
    "to_dense",
    "transpose",
    "truncated_normal",
    "update",
    "update_add",
    "update_sub",
    "var",
    "variable",
    "zeros",
    "zeros_like",
]

_SESSIONS = "there are no sessions and no graph here: what is computed is computed at once"
_NOT_THERE = {
    **dict.fromkeys(("get_session", "set_session", "manual_variable_initialization"), _SESSIONS),
    **dict.fromkeys(
        ("ctc_batch_cost", "ctc_decode", "ctc_label_dense_to_sparse"),
        "connectionist temporal classification is not a part of this library",
    ),
}


def __getattr__(name: str) -> object:
    """Say why a function of Keras' `K` is missing, or which one may be meant."""
    if name.startswith("_"):
        raise AttributeError(f"module 'minikeras.backend' has no attribute {name!r}")
    if name in _NOT_THERE:
        raise AttributeError(f"K.{name} is not there: {_NOT_THERE[name]}.")
    from minikeras.utils.registry import unknown_name_message

    raise AttributeError(unknown_name_message("function of K:", name, __all__))


def backend() -> str:
    """Return what computes: ``'numpy'``."""
    return "numpy"
