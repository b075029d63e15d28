"""The cases of backend.npz: functions of `K`, and what they are called with. Needs no TensorFlow.

`case` is for a function of tensors: its results are compared, and the gradients by its inputs.
`program` is for what has to do with variables, placeholders and `K.function`. More cases are in
backend_layer_cases.py and backend_programs.py.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Array:
    """An array to be made from a seed: its shape, and what its entries are like."""

    shape: tuple[int, ...]
    kind: str
    below: int = 0
    values: Any = None

    def make(self, seed: str) -> np.ndarray:
        """The array."""
        rng = np.random.RandomState(zlib.crc32(seed.encode()))
        if self.kind == "normal":
            return rng.standard_normal(self.shape).astype("float32")
        if self.kind == "positive":
            return rng.uniform(0.3, 2.0, self.shape).astype("float32")
        if self.kind == "distribution":
            x = rng.uniform(0.05, 1.0, self.shape)
            return (x / x.sum(axis=-1, keepdims=True)).astype("float32")
        if self.kind == "probability":
            return rng.uniform(0.05, 0.95, self.shape).astype("float32")
        if self.kind == "ties":
            return rng.randint(-1, 2, self.shape).astype("float32")
        if self.kind == "distinct":
            return (rng.permutation(int(np.prod(self.shape))).reshape(self.shape) / 8).astype("f4")
        if self.kind == "indices":
            return rng.randint(0, self.below, self.shape).astype("int32")
        if self.kind == "flags":
            return rng.uniform(size=self.shape) < 0.5
        return self.values

    def __repr__(self) -> str:
        if self.values is not None and self.values.size <= 8:
            kind = "" if self.values.dtype == np.float32 else f"{self.values.dtype} "
            return f"{kind}[{' '.join(format(float(x), 'g') for x in self.values.ravel())}]"
        kind = "" if self.kind == "normal" else self.kind + " "
        kind += "" if self.values is None else f"{self.values.dtype} "
        return kind + "x".join(map(str, self.shape))


def normal(*shape: int) -> Array:
    """Entries of both signs."""
    return Array(shape, "normal")


def positive(*shape: int) -> Array:
    """Entries between 0.3 and 2."""
    return Array(shape, "positive")


def probability(*shape: int) -> Array:
    """Entries between 0.05 and 0.95."""
    return Array(shape, "probability")


def distribution(*shape: int) -> Array:
    """Entries that add up to 1 along the last axis."""
    return Array(shape, "distribution")


def ties(*shape: int) -> Array:
    """Entries of -1, 0 and 1."""
    return Array(shape, "ties")


def distinct(*shape: int) -> Array:
    """Entries of which no two are near each other."""
    return Array(shape, "distinct")


def indices(below: int, *shape: int) -> Array:
    """Integers."""
    return Array(shape, "indices", below=below)


def flags(*shape: int) -> Array:
    """Booleans."""
    return Array(shape, "flags")


def given(values: Any, dtype: str = "float32") -> Array:
    """These entries."""
    array = np.array(values, dtype)
    return Array(array.shape, "given", values=array)


@dataclass(frozen=True)
class Each:
    """Several values of an argument, for a case with each."""

    values: tuple[Any, ...]


def each(*values: Any) -> Each:
    """Make a case with each of the values."""
    return Each(values)


@dataclass(frozen=True)
class Case:
    """A call of a function.

    `by` are the numbers of the arrays, in the order in which they stand in the arguments, that
    are differentiated by. `call` is called with `K` and the arguments in place of the function.
    `alone` says what has no oracle in 2.2.4: the results are tf-keras'.
    """

    name: str
    function: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    by: tuple[int, ...]
    call: Callable[..., Any] | None = None
    oracle: str = "keras-2.2.4"

    def arrays(self) -> list[np.ndarray]:
        """All arrays among the arguments."""
        leaves = list(arrays_in([self.arguments, self.options]))
        return [leaf.make(f"{self.name}:{i}") for i, leaf in enumerate(leaves)]

    def run(self, K: Any, inputs: list[Any]) -> list[Any]:
        """The results for these inputs, one for each of `arrays`."""
        queue = iter(inputs)
        arguments, options = substituted([self.arguments, self.options], queue)
        if self.call is not None:
            return flattened(self.call(K, *arguments, **options))
        return flattened(getattr(K, self.function)(*arguments, **options))

    def upstream(self, i: int, shape: tuple[int, ...]) -> np.ndarray:
        """The derivative of the loss by result `i`."""
        return np.asarray(normal(*shape).make(f"{self.name}:upstream:{i}"), "float32")


@dataclass(frozen=True)
class Program:
    """Some lines in `K`: takes `K` and arrays, returns a list of arrays and other plain things."""

    name: str
    functions: tuple[str, ...]
    arguments: tuple[Array, ...]
    lines: Callable[..., list[Any]]

    def run(self, K: Any) -> list[Any]:
        """The results."""
        arrays = [array.make(f"{self.name}:{i}") for i, array in enumerate(self.arguments)]
        return self.lines(K, *arrays)


CASES: dict[str, Case] = {}
PROGRAMS: dict[str, Program] = {}


def arrays_in(item: Any) -> Iterator[Array]:
    """The arrays in lists, tuples and dicts."""
    if isinstance(item, Array):
        yield item
    elif isinstance(item, (list, tuple, dict)):
        for part in item.values() if isinstance(item, dict) else item:
            yield from arrays_in(part)


def substituted(item: Any, queue: Iterator[Any]) -> Any:
    """The same with the next input of the queue in place of each array."""
    if isinstance(item, Array):
        return next(queue)
    if isinstance(item, dict):
        return {key: substituted(part, queue) for key, part in item.items()}
    if isinstance(item, (list, tuple)):
        return type(item)([substituted(part, queue) for part in item])
    return item


def flattened(results: Any) -> list[Any]:
    """A flat list of the results of a function."""
    if isinstance(results, (list, tuple)):
        return [part for result in results for part in flattened(result)]
    return [results]


def case(
    function: str,
    *arguments: Any,
    by: tuple[int, ...] | None = None,
    call: Callable[..., Any] | None = None,
    label: str = "",
    oracle: str = "keras-2.2.4",
    **options: Any,
) -> None:
    """Add cases: one for each combination of what is given by `each`.

    By default they are differentiated by all arrays of floats.
    """
    keys = [*range(len(arguments)), *options]
    lists = [
        part.values if isinstance(part, Each) else (part,)
        for part in (*arguments, *options.values())
    ]
    for parts in itertools.product(*lists):
        texts = [
            (f"{key}=" if isinstance(key, str) else "") + str(part).replace(", ", ",")
            for key, part in zip(keys, parts, strict=True)
        ]
        name = " ".join([function, *([label] if label else []), *texts])
        if name in CASES:
            raise ValueError(f"two cases {name!r}")
        leaves = list(arrays_in(parts))
        floats = tuple(i for i, a in enumerate(leaves) if a.make("").dtype == np.float32)
        CASES[name] = Case(
            name,
            function,
            parts[: len(arguments)],
            dict(zip(options, parts[len(arguments) :], strict=True)),
            floats if by is None else by,
            call,
            oracle,
        )


def program(functions: str, *arguments: Array) -> Callable[..., Any]:
    """Add a program that is about these functions."""

    def add(lines: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
        PROGRAMS[lines.__name__] = Program(
            lines.__name__, tuple(functions.split()), arguments, lines
        )
        return lines

    return add


NO: tuple[int, ...] = ()
FORMATS = each("channels_last", "channels_first")

# --- numbers, one by one ---------------------------------------------------------------------

for name in ("square", "abs", "exp", "sign", "sin", "cos", "round", "identity"):
    case(name, each(normal(2, 3), ties(5), normal()))
for name in ("sigmoid", "tanh", "softsign", "softplus"):
    case(name, each(normal(2, 3), given([-90.0, -5.0, 0.0, 5.0, 90.0])))
case("sqrt", each(positive(2, 3), given([-1.0, 4.0])))
case("log", positive(2, 3))
case("round", given([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.49999997]))
case("hard_sigmoid", each(normal(2, 3), given([-2.6, -2.4, 0.0, 2.4, 2.6])))
case("elu", each(normal(2, 3), given([-90.0, -1.0, 0.0, 1.0])), alpha=each(1.0, 0.5))
case("pow", each(normal(2, 3), ties(5)), each(1, 2, 3))
case("pow", positive(2, 3), each(0.5, -2.0, positive(2, 3), normal(3), normal(2, 1)))
case("clip", normal(2, 3), each(-0.5, -1), each(0.5, 1))
case("clip", ties(6), -1.0, 0.0, label="at the ends")
case("clip", normal(5), 0.5, each(-0.5, None), label="no room")
for alpha, top, threshold in (
    (0.0, None, 0.0),
    (0.3, None, 0.0),
    (0.0, 1.0, 0.0),
    (0.0, 6, 0.0),
    (0.3, 1.0, 0.0),
    (0.0, None, 0.5),
    (0.3, None, 0.5),
    (0.3, 1.0, 0.5),
    (0.0, 1.0, -0.5),
    (0.2, 1.5, -0.5),
):
    case("relu", normal(3, 4), alpha=alpha, max_value=top, threshold=threshold)
    kinks = [-1.0, -0.5, 0.5, 0.9, 1.4, 6.0, 7.0] + [0.0] * (threshold >= 0)
    case("relu", given(kinks), alpha=alpha, max_value=top, threshold=threshold)
case("relu", given([0.0, 1.0]), max_value=1.0, threshold=-0.5, label="at the ends")
case("hard_sigmoid", given([-2.5, 2.5]), label="at the ends")
case("cast", given([-1.5, 0.0, 0.5, 2.7]), each("int32", "bool", "float64", "int64"), by=NO)
case("cast", flags(3), each("float32", "int32"))
case("cast", indices(5, 3), dtype="float32")

# --- two of them, with broadcasting ----------------------------------------------------------

PAIRS = (
    (normal(2, 3), normal(2, 3)),
    (normal(2, 3), normal(3)),
    (normal(2, 1), normal(3)),
    (normal(2, 1, 3), normal(4, 1)),
    (ties(3, 4), ties(3, 4)),
    (ties(3, 4), ties(4)),
    (normal(2, 3), 0.5),
)
for name in ("maximum", "minimum"):
    for x, y in PAIRS:
        case(name, x, y)
for name in ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal"):
    case(name, ties(3, 4), each(ties(3, 4), ties(4), ties(3, 1), 0.0), by=NO)
    case(name, indices(3, 6), indices(3, 6))

# --- reductions ------------------------------------------------------------------------------

AXES = each(None, 0, -1, 1, (0, 2), [1, 2], (-1, 0))
for name in ("sum", "mean", "max", "min", "prod", "var", "std", "logsumexp"):
    case(name, normal(2, 3, 4), axis=AXES, keepdims=each(False, True))
for name in ("max", "min", "prod"):
    case(name, ties(3, 4), axis=each(None, 0, 1))
case("logsumexp", given([[200.0, 201.0], [-200.0, -201.0]]), axis=each(None, 0, 1))
case("mean", flags(3, 4), axis=each(None, 1))
case("var", flags(3, 4), axis=each(None, 1))
case("std", flags(3, 4), axis=1)
for name in ("sum", "max", "min", "prod"):
    case(name, indices(5, 3, 4), axis=each(None, 1))
for name in ("any", "all"):
    shapes = each(ties(3, 4), flags(3, 4), flags(2, 1, 2))
    case(name, shapes, axis=each(None, 0, -1, (0, 1)), keepdims=each(False, True), by=NO)
for name in ("argmax", "argmin"):
    case(name, each(normal(3, 4), ties(3, 4), normal(2, 3, 4)), by=NO)
    case(name, normal(2, 3, 4), axis=each(0, 1, -2), by=NO)
for name in ("cumsum", "cumprod"):
    case(name, each(normal(4), normal(2, 3, 4)))
    case(name, normal(2, 3, 4), axis=each(0, 1, -1))
case("softmax", each(normal(2, 3), normal(2, 3, 4), given([[800.0, 0.0, -800.0]])))
case("softmax", normal(2, 3, 4), axis=each(0, 1, -1, -2))
case("l2_normalize", normal(2, 3, 4), axis=each(None, 0, 1, -1, (1, 2)))
case("l2_normalize", given([[0.0, 0.0], [1e-7, 1e-7], [3.0, 4.0]]), axis=-1, by=NO)

# --- products --------------------------------------------------------------------------------

case("dot", normal(2, 3), normal(3, 4))
case("dot", normal(2, 3), normal(4, 3, 5))
case("dot", normal(2, 4, 3), each(normal(3, 5), normal(2, 3, 4), normal(2, 2, 3, 2)))
case("dot", normal(2, 2, 2, 3), normal(3, 2))
case("batch_dot", normal(4, 3), normal(4, 3), axes=each(1, (1, 1), [1, 1], 0))
case("batch_dot", normal(3, 3), normal(3, 3), axes=each(None, (0, 1), (1, 0)))
case("batch_dot", normal(2, 3, 4), normal(2, 4, 5), axes=each(None, (2, 1), [2, 1]))
case("batch_dot", normal(2, 4, 3), normal(2, 4, 5), axes=each(1, (1, 1)))
case("batch_dot", normal(2, 3, 4), normal(2, 5, 4), axes=each(2, (2, 2)))
case("batch_dot", normal(2, 4, 3), normal(2, 5, 4), axes=(1, 2))
case("batch_dot", normal(2, 3), normal(2, 3, 5), axes=each(None, 1, (1, 1)))
case("batch_dot", normal(2, 5), normal(2, 3, 5), axes=(1, 2))
case("batch_dot", normal(2, 3, 5), normal(2, 5), axes=(2, 1))
case("batch_dot", normal(2, 3, 5), normal(2, 3), axes=each(1, (1, 1)))
case("batch_dot", normal(2, 3, 4, 5), normal(2, 3, 5, 2), axes=each(None, (3, 2)))
case("batch_dot", normal(2, 3, 4, 5), normal(2, 3, 2, 5), axes=each(3, (3, 3)))
case("batch_dot", normal(2, 3, 5, 4), normal(2, 3, 5, 2), axes=2)
case("batch_dot", normal(1, 3, 4), normal(1, 4, 2))
case("transpose", each(normal(2, 3), normal(2, 3, 4), normal(3)))
case("bias_add", normal(2, 3), normal(3))
for sizes in ((3,), (3, 2), (3, 2, 2)):
    last, first = normal(2, *sizes, 4), normal(2, 4, *sizes)
    case(
        "bias_add",
        last,
        each(normal(4), normal(*sizes, 4)),
        data_format=each(None, "channels_last"),
    )
    case("bias_add", first, each(normal(4), normal(*sizes, 4)), data_format="channels_first")

# --- shapes ----------------------------------------------------------------------------------

case("reshape", normal(2, 6), each((3, 4), (-1,), (2, -1, 3), [12], (2, 3, 2)))
case("permute_dimensions", normal(2, 3, 4), each((0, 2, 1), [2, 0, 1], (1, 0, 2)))
case("flatten", each(normal(2, 3, 4), normal(3), normal()))
case("batch_flatten", each(normal(2, 3, 4), normal(2, 3), normal(2, 1, 2, 3)))
case("expand_dims", normal(2, 3), axis=each(0, 1, 2, -1, -2))
case("expand_dims", normal(2))
case("squeeze", normal(2, 1, 3, 1), axis=each(1, 3, -1, -3))
case("repeat", normal(2, 3), each(1, 3))
case("repeat_elements", normal(2, 3, 2), each(1, 2, 3), axis=each(0, 1, 2, -1))
case("tile", normal(3), each(2, [2], (3,)))
case("tile", normal(2, 3), each((1, 2), [2, 3]))
case("concatenate", [normal(2, 3), normal(2, 1), normal(2, 2)], axis=each(-1, 1))
case("concatenate", [normal(2, 3), normal(1, 3)], axis=each(0, -2))
case("concatenate", (normal(2, 3, 2), normal(2, 3, 4)))
case("stack", [normal(2, 3), normal(2, 3)], axis=each(0, 1, 2, -1))
case("stack", (normal(3), normal(3), normal(3)))
case("reverse", normal(2, 3, 4), each(0, 1, -1, [0, 2], (1,)))
case("slice", normal(3, 4), each((0, 1), [1, 0]), each((2, 3), [1, -1]))
case("temporal_padding", normal(2, 3, 2))
case("temporal_padding", normal(2, 3, 2), padding=each((0, 2), [2, 1]))
case("spatial_2d_padding", normal(1, 2, 3, 2))
case("spatial_2d_padding", normal(1, 2, 3, 2), padding=((0, 2), (1, 0)), data_format=FORMATS)
case("spatial_3d_padding", normal(1, 2, 2, 2, 2))
pads = ((0, 2), (1, 0), (2, 1))
case("spatial_3d_padding", normal(1, 2, 1, 2, 2), padding=pads, data_format=FORMATS)
scales, kinds = each((2, 3), (1, 2)), each("nearest", "bilinear")
for height, width in ((2, 3), (1, 2)):
    case("resize_images", normal(1, 2, 3, 2), height, width, FORMATS, interpolation=kinds)
case("resize_images", normal(1, 2, 3, 2), 2, 2, "channels_last")
case("resize_volumes", normal(1, 2, 2, 3, 2), 2, 1, 3, FORMATS)
case("gather", normal(4, 3), each(indices(4, 5), indices(4, 2, 3), given([2, 2, 2], "int32")))
case("gather", normal(5), indices(5, 4))
case("gather", normal(3, 2, 2), indices(3, 2))
case("one_hot", each(indices(4, 5), indices(4, 2, 3), given([-1, 0, 3, 4], "int32")), 4)
case("zeros_like", each(normal(2, 3), indices(4, 2)), dtype=each(None, "int32", "float32"))
case("ones_like", each(normal(2, 3), flags(2)), dtype=each(None, "int32", "float32"))
case("arange", each(4, -2, 0), call=lambda K, start: K.arange(start), label="start")
case("arange", 1, each(6, 5), each(1, 2), dtype=each("int32", "float32"))
case("arange", 5, 0, -2)
case("shape", normal(2, 3), call=lambda K, x: [K.shape(x)[0], K.reshape(x, (K.shape(x)[1], -1))])
case("in_top_k", normal(5, 4), indices(4, 5), each(1, 2, 4), by=NO)
tied = given([[1, 2, 2, 0], [2, 2, 2, 2], [0, 0, 1, 0], [3, 1, 1, 1]])
case("in_top_k", tied, given([1, 3, 1, 2], "int32"), each(1, 2, 3), by=NO)

# --- losses ----------------------------------------------------------------------------------

logits = each(False, True)
case("categorical_crossentropy", probability(3, 4), positive(3, 4), by=(0, 1))
case("categorical_crossentropy", distribution(3, 4), normal(3, 4), from_logits=True, by=(1,))
case("categorical_crossentropy", probability(2, 3, 4), positive(2, 3, 4), axis=each(-1, 0, 1, 2))
case("categorical_crossentropy", distribution(2, 3, 4), normal(2, 3, 4), True, by=(1,))
hard = given([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
case("categorical_crossentropy", given([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]), hard, by=NO)
case("binary_crossentropy", given([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]), hard, by=NO)
for targets in (indices(4, 3), indices(4, 3, 1)):
    case("sparse_categorical_crossentropy", targets, probability(3, 4))
    case("sparse_categorical_crossentropy", targets, normal(3, 4), from_logits=True)
case("sparse_categorical_crossentropy", indices(4, 2, 3), probability(2, 3, 4), axis=each(-1, 2))
case("sparse_categorical_crossentropy", indices(3, 2, 4), probability(2, 3, 4), axis=1)
case("sparse_categorical_crossentropy", indices(3, 2, 4), normal(2, 3, 4), True, 1)
case("sparse_categorical_crossentropy", indices(4, 2, 3, 1), normal(2, 3, 4), from_logits=True)
case("sparse_categorical_crossentropy", given([0.0, 3.0, 1.0]), probability(3, 4), by=(1,))
case("binary_crossentropy", probability(3, 4), probability(3, 4))
case("binary_crossentropy", probability(3, 4), normal(3, 4), from_logits=True)
case("binary_crossentropy", probability(2, 3, 1), normal(2, 3, 1), True)

# --- choices ---------------------------------------------------------------------------------

case("switch", each(given(1, "int32"), given(0.0)), normal(2, 3), normal(2, 3), by=(1, 2))
case("switch", each(given(True, "bool"), given(False, "bool")), normal(2, 3), normal(2, 3))
case(
    "switch",
    each(given(True, "bool"), given(False, "bool")),
    normal(2, 3),
    normal(2, 3),
    call=lambda K, c, x, y: K.switch(c, lambda: 2 * x, lambda: K.square(y)),
    label="of functions",
)
case("switch", flags(3, 4), normal(3, 4), normal(3, 4))
case("switch", flags(3), normal(3, 4), normal(3, 4))
case("switch", flags(3, 1), normal(3, 4), normal(3, 4))
case("switch", flags(3, 2), normal(3, 2, 4), normal(3, 2, 4))
case("switch", indices(2, 3, 4), normal(3, 4), normal(3, 4))
case(
    "switch",
    flags(3, 4),
    normal(3, 4),
    normal(3, 4),
    call=lambda K, c, x, y: K.switch(c, lambda: 2 * x, lambda: K.square(y)),
    label="of functions",
)
for name in ("in_train_phase", "in_test_phase"):
    case(name, normal(2), normal(2), training=each(0, 1, True, False))
    case(name, normal(2), normal(2), training=each(given(True, "bool"), given(0, "int32")))
    case(
        name,
        normal(2),
        normal(2),
        training=each(0, 1, given(True, "bool")),
        call=lambda K, x, y, training, name=name: getattr(K, name)(
            lambda: 2 * x, lambda: K.square(y), training
        ),
        label="of functions",
    )
case("stop_gradient", normal(3), call=lambda K, x: x * K.stop_gradient(K.square(x)))
case(
    "stop_gradient",
    [normal(3), normal(3)],
    call=lambda K, xs: [x * y for x, y in zip(xs, K.stop_gradient(xs), strict=True)],
)
case("dropout", normal(2, 3), each(0.0, 0), label="of nothing")
case("dropout", normal(2, 3), 0.0, (2, 1), 7, label="of nothing")
case("is_sparse", normal(3), by=NO)
case("to_dense", normal(3))
case("print_tensor", normal(3), message="golden: ")

# --- operators and indexing on tensors -------------------------------------------------------

case("operators", normal(2, 3), normal(3), call=lambda K, x, y: [x + y, x - y, x * y, -x])
case(
    "operators", normal(2, 3), positive(3), call=lambda K, x, y: [x / y, 2 / y, 1 - x, y**2, abs(x)]
)
case(
    "operators",
    normal(3, 4),
    call=lambda K, x: [x[1], x[:, 1:3], x[..., 0], x[::2, -1], x[1:, None]],
    label="indexing",
)
case("operators", ties(3), ties(3), by=NO, call=lambda K, x, y: [x > y, x >= y, x < y, x <= y])
