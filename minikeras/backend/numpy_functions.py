"""NumPy functions and methods on tensors, by the `K` functions of the same meaning.

Their arguments differ from those of `K` in names, order and defaults. What an argument that is not
here would do, no derivative knows: a TypeError says so.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minikeras.backend import creation, elementwise, linalg, reductions, shaping
from minikeras.backend.indexing import getitem
from minikeras.backend.operators import TensorLike, stands_for
from minikeras.backend.tape import composed, differentiable, unbroadcast

# What arguments that are refused may be: without them, NumPy does the same.
_HARMLESS = {"ddof": 0, "correction": 0, "where": True, "order": "C", "mode": "raise"}


def _refuse(of: str, options: dict[str, Any], more: Sequence[Any] = ()) -> None:
    """Raise a TypeError if an argument is there that would change the result."""
    if any(value is not None for value in more):
        raise TypeError(
            f"{of} of a tensor can't take the further arguments {more!r}: its derivative is not "
            "known. Leave them out, or name them to learn which one it is."
        )
    for name, value in options.items():
        harmless = _HARMLESS.get(name)
        if value is not None and not (np.ndim(value) == 0 and value == harmless):
            raise TypeError(
                f"{of} of a tensor can't take {name}={value!r}: its derivative is not known. "
                "Leave it out."
            )


# --- along axes -----------------------------------------------------------------------------


def _register_reduction(function: Callable[..., Any], *others: Any) -> None:
    """Let a function of `reductions` stand for NumPy's function and the method of that name."""
    of = f"np.{function.__name__}"

    @stands_for(function.__name__, *others)
    def adaptor(
        a: Any, axis: Any = None, *more: Any, keepdims: bool = False, **options: Any
    ) -> Any:
        _refuse(of, options, more)
        return function(a, axis=axis, keepdims=keepdims)


_register_reduction(reductions.sum, np.sum)
_register_reduction(reductions.mean, np.mean)
_register_reduction(reductions.prod, np.prod)
_register_reduction(reductions.var, np.var)
_register_reduction(reductions.std, np.std)
_register_reduction(reductions.max, np.max, np.amax)
_register_reduction(reductions.min, np.min, np.amin)
_register_reduction(reductions.any, np.any)
_register_reduction(reductions.all, np.all)


def _register_along(function: Callable[..., Any], *others: Any) -> None:
    """Do so for one that goes along a single axis or, in NumPy, through all entries."""
    of = f"np.{function.__name__}"

    @stands_for(function.__name__, *others)
    def adaptor(
        a: Any, axis: Any = None, *more: Any, keepdims: bool = False, **options: Any
    ) -> Any:
        _refuse(of, options, more)
        if axis is not None:
            y = function(a, axis=axis)
            return shaping.expand_dims(y, axis) if keepdims else y
        y = function(shaping.flatten(a), axis=0)
        return shaping.reshape(y, (1,) * a.ndim) if keepdims else y


_register_along(reductions.argmax, np.argmax)
_register_along(reductions.argmin, np.argmin)
_register_along(reductions.cumsum, np.cumsum)
_register_along(reductions.cumprod, np.cumprod)


@stands_for(np.linalg.norm)
def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    axes = x.ndim if axis is None else np.size(axis)
    if ord not in (None, *(("fro",) if axes == 2 else (2,) if axes == 1 else ())):
        raise TypeError(
            f"np.linalg.norm of a tensor with ord={ord!r} over {axes} axes has no derivative "
            "here: the root of the sum of squares has one."
        )
    squares = reductions.sum(elementwise.square(x), axis=axis, keepdims=keepdims)
    return elementwise.square_root(squares)


# --- number by number -----------------------------------------------------------------------


@stands_for("clip", np.clip)
def _clip(a: Any, a_min: Any = None, a_max: Any = None, *more: Any, **options: Any) -> Any:
    a_min, a_max = options.pop("min", a_min), options.pop("max", a_max)
    _refuse("np.clip", options, more)
    low = -np.inf if a_min is None else a_min
    return elementwise.clip(a, low, np.inf if a_max is None else a_max)


@stands_for("round", np.round, np.around)
def _round(a: Any, decimals: int = 0, *more: Any, **options: Any) -> Any:
    _refuse("np.round", options, more)
    scale = 10.0**decimals
    return elementwise.round(a) if decimals == 0 else elementwise.round(a * scale) / scale


@stands_for(np.where)
@differentiable(
    None,
    lambda dy, z, condition, x, y: unbroadcast(np.where(condition, dy, 0), x),
    lambda dy, z, condition, x, y: unbroadcast(np.where(condition, 0, dy), y),
    one_type=True,
)
def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """Return numbers of `x` where `condition` is true, and those of `y` elsewhere.

    All three are broadcast as in NumPy; `switch` does it in Keras' way.

    Examples
    --------
    >>> where(np.array([True, False]), np.array([1.0, 2.0]), 0.0).tolist()
    [1.0, 0.0]
    """
    if x is None or y is None:
        raise TypeError("np.where of a tensor takes three arguments: condition, x and y.")
    return np.where(condition, x, y)


@stands_for("astype")
def _astype(a: Any, dtype: Any, copy: bool = True) -> Any:
    # A tensor is never written to, so it does not matter whether it is a copy.
    return creation.cast(a, dtype)


@stands_for(np.zeros_like)
def _zeros_like(a: Any, dtype: Any = None, *more: Any, **options: Any) -> Any:
    _refuse("np.zeros_like", options, more)
    return creation.zeros_like(a, dtype)


@stands_for(np.ones_like)
def _ones_like(a: Any, dtype: Any = None, *more: Any, **options: Any) -> Any:
    _refuse("np.ones_like", options, more)
    return creation.ones_like(a, dtype)


@stands_for(np.full_like)
def _full_like(a: Any, fill_value: Any, dtype: Any = None, *more: Any, **options: Any) -> Any:
    _refuse("np.full_like", options, more)
    return creation.ones_like(a, dtype) * fill_value


# --- shapes ---------------------------------------------------------------------------------


@stands_for(np.shape)
def _shape(a: TensorLike) -> tuple[int, ...]:
    return a.shape


@stands_for(np.ndim)
def _ndim(a: TensorLike) -> int:
    return a.ndim


@stands_for(np.size)
def _size(a: TensorLike, axis: Any = None) -> int:
    return a.size if axis is None else math.prod(a.shape[i] for i in _as_axes(axis))


def _as_axes(axis: Any) -> tuple[int, ...]:
    return (axis,) if np.ndim(axis) == 0 else tuple(axis)


@stands_for(np.reshape)
def _reshape(a: Any, shape: Any, order: str = "C", **options: Any) -> Any:
    _refuse("np.reshape", {"order": order, **options})
    return shaping.reshape(a, shape)


@stands_for("reshape")
def _reshape_method(a: Any, *shape: Any, **options: Any) -> Any:
    _refuse("reshape", options)
    return shaping.reshape(a, shape[0] if len(shape) == 1 else shape)


@stands_for("flatten", np.ravel)
def _ravel(a: Any, order: str = "C") -> Any:
    _refuse("np.ravel", {"order": order})
    return shaping.flatten(a)


@stands_for(np.expand_dims)
def _expand_dims(a: Any, axis: Any) -> Any:
    return shaping.expand_dims(a, axis)


@stands_for("squeeze", np.squeeze)
def _squeeze(a: Any, axis: Any = None) -> Any:
    if axis is None:
        axis = tuple(i for i, size in enumerate(a.shape) if size == 1)
    return shaping.squeeze(a, axis)


@stands_for(np.transpose)
def _transpose(a: Any, axes: Any = None) -> Any:
    return shaping.transpose(a) if axes is None else shaping.permute_dimensions(a, axes)


@stands_for("transpose")
def _transpose_method(a: Any, *axes: Any) -> Any:
    return _transpose(a, axes[0] if len(axes) == 1 and np.ndim(axes[0]) != 0 else axes or None)


@stands_for("swapaxes", np.swapaxes)
def _swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    return shaping.swapaxes(a, axis1, axis2)


@stands_for(np.moveaxis)
def _moveaxis(a: Any, source: Any, destination: Any) -> Any:
    # An array whose sizes are the numbers of its axes shows where they go.
    numbered = np.empty(tuple(range(a.ndim)))
    return shaping.permute_dimensions(a, np.moveaxis(numbered, source, destination).shape)


@stands_for(np.flip)
def _flip(m: Any, axis: Any = None) -> Any:
    return shaping.reverse(m, tuple(range(m.ndim)) if axis is None else axis)


@stands_for(np.broadcast_to)
def _broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    _refuse("np.broadcast_to", {"subok": subok or None})
    return shaping.broadcast_to(array, shape)


@stands_for(np.pad)
def _pad(array: Any, pad_width: Any, mode: str = "constant", **options: Any) -> Any:
    value = options.pop("constant_values", 0)
    if mode != "constant" or np.ndim(value) or value != 0:
        raise TypeError(
            "np.pad of a tensor puts zeros around it only: mode='constant' and constant_values=0, "
            f"got mode={mode!r} and constant_values={value!r}."
        )
    _refuse("np.pad", options)
    pads = np.broadcast_to(np.asarray(pad_width, np.intp), (array.ndim, 2))
    return shaping.zeros_around(array, tuple(map(tuple, pads.tolist())))


# --- copies, parts, several arrays ----------------------------------------------------------


@stands_for("repeat", np.repeat)
def _repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    if axis is None:
        a, axis = shaping.flatten(a), 0
    if np.ndim(repeats) == 0:
        return shaping.repeat_elements(a, operator.index(repeats), axis)
    return _take(a, np.repeat(np.arange(a.shape[axis]), repeats), axis)


@stands_for(np.tile)
def _tile(A: Any, reps: Any) -> Any:
    counts = (reps,) if np.ndim(reps) == 0 else tuple(reps)
    ndim = max(A.ndim, len(counts))
    wide = shaping.reshape(A, (1,) * (ndim - A.ndim) + A.shape) if ndim > A.ndim else A
    return shaping.tile(wide, (1,) * (ndim - len(counts)) + counts)


@stands_for(np.take)
def _take(a: Any, indices: Any, axis: Any = None, *more: Any, **options: Any) -> Any:
    _refuse("np.take", options, more)
    if axis is None:
        return getitem(shaping.flatten(a), indices)
    return getitem(a, (*(slice(None),) * (axis % a.ndim), indices))


@stands_for(np.split)
def _split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    size = ary.shape[axis]
    if np.ndim(indices_or_sections) == 0:
        pieces = operator.index(indices_or_sections)
        if size is None or size % pieces:
            raise ValueError(f"np.split: axis {axis} of size {size} has no {pieces} equal parts.")
        edges = [size // pieces * i for i in range(1, pieces)]
    else:
        edges = list(indices_or_sections)
    lead = (slice(None),) * (axis % ary.ndim)
    return [
        getitem(ary, (*lead, slice(start, stop)))
        for start, stop in zip([0, *edges], [*edges, None], strict=True)
    ]


@stands_for(np.concatenate)
def _concatenate(arrays: Any, axis: Any = 0, *more: Any, **options: Any) -> Any:
    _refuse("np.concatenate", _without_casting(options), more)
    if axis is None:
        return shaping.concatenate([shaping.flatten(x) for x in arrays], 0)
    return shaping.concatenate(list(arrays), axis)


@stands_for(np.stack)
def _stack(arrays: Any, axis: int = 0, *more: Any, **options: Any) -> Any:
    _refuse("np.stack", _without_casting(options), more)
    return shaping.stack(list(arrays), axis)


@stands_for(np.vstack)
def _vstack(tup: Any, **options: Any) -> Any:
    _refuse("np.vstack", _without_casting(options))
    rows = [x if np.ndim(x) > 1 else shaping.reshape(x, (1, -1)) for x in tup]
    return shaping.concatenate(rows, 0)


@stands_for(np.hstack)
def _hstack(tup: Any, **options: Any) -> Any:
    _refuse("np.hstack", _without_casting(options))
    arrays = [x if np.ndim(x) else shaping.reshape(x, (1,)) for x in tup]
    return shaping.concatenate(arrays, 0 if np.ndim(arrays[0]) == 1 else 1)


def _without_casting(options: dict[str, Any]) -> dict[str, Any]:
    """Leave out an argument that says something about `dtype` only, which is refused."""
    return {key: value for key, value in options.items() if key != "casting"}


# --- products -------------------------------------------------------------------------------


@stands_for("dot", np.dot)
def _dot(a: Any, b: Any, out: Any = None) -> Any:
    _refuse("np.dot", {"out": out})
    return a * b if np.ndim(a) == 0 or np.ndim(b) == 0 else linalg.dot(a, b)


@stands_for(np.outer)
def _outer(a: Any, b: Any, out: Any = None) -> Any:
    _refuse("np.outer", {"out": out})
    return shaping.reshape(a, (-1, 1)) * shaping.reshape(b, (1, -1))


@stands_for(np.tensordot)
@composed
def _tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    if np.ndim(axes) == 0:
        of_a: Sequence[int] = range(np.ndim(a) - axes, np.ndim(a))
        of_b: Sequence[int] = range(axes)
    else:
        of_a = [axis % np.ndim(a) for axis in _as_axes(axes[0])]
        of_b = [axis % np.ndim(b) for axis in _as_axes(axes[1])]
    rest_a = [axis for axis in range(np.ndim(a)) if axis not in of_a]
    rest_b = [axis for axis in range(np.ndim(b)) if axis not in of_b]
    summed = [np.shape(a)[axis] for axis in of_a]
    if summed != [np.shape(b)[axis] for axis in of_b]:
        raise ValueError(
            f"np.tensordot can't sum over axes {list(of_a)} of shape {np.shape(a)} and axes "
            f"{list(of_b)} of shape {np.shape(b)}: they must have equal sizes."
        )
    left = shaping.permute_dimensions(a, (*rest_a, *of_a))
    right = shaping.permute_dimensions(b, (*of_b, *rest_b))
    count = math.prod(summed)
    product = linalg.dot(
        shaping.reshape(left, (math.prod(left.shape[: len(rest_a)]), count)),
        shaping.reshape(right, (count, math.prod(right.shape[len(of_b) :]))),
    )
    return shaping.reshape(product, (*left.shape[: len(rest_a)], *right.shape[len(of_b) :]))


@stands_for(np.einsum)
def _einsum(subscripts: Any, *operands: Any, optimize: Any = False, **options: Any) -> Any:
    _refuse("np.einsum", options)
    if not isinstance(subscripts, str):
        raise TypeError("np.einsum of tensors takes letters first, such as 'ij,jk->ik'.")
    return linalg.einsum(subscripts, list(operands))
