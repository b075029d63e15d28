"""`Deferred`: an expression whose value is only known when a `K.function` runs.

It is what a tensor on the tape is, a function and its arguments, before it has been called. A `K`
function that meets one calls nothing and returns another one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minikeras.backend.config import floatx
from minikeras.backend.context import Context
from minikeras.backend.naming import get_uid
from minikeras.backend.operators import TensorLike
from minikeras.backend.random import RandomSource, new_generator
from minikeras.backend.running import current, inside, phase_set_by_user
from minikeras.backend.tape import Tensor, copied

Shape = tuple[int | None, ...]

# What stands for an unknown size where a shape is worked out: for samples, and for other axes.
# Numbers that many others divide, so that an axis may be cut.
SIZES = ((4, 24), (8, 48))
LARGE_SIZES = ((4, 240), (8, 480))


class Deferred(TensorLike):
    """A call that is still to come.

    Parameters
    ----------
    call : callable or None
        What is to be called; None for a placeholder.
    args : tuple
    kwargs : dict
    name : str, optional

    Attributes
    ----------
    shape : tuple of int or None
        With None where it is not known beforehand.
    dtype : numpy.dtype

    Notes
    -----
    The shape is worked out when it is first asked for: the expression is computed twice, on
    arrays of ones in which different numbers stand for each size that is unknown. Where the two
    results agree, the size is known.
    """

    __slots__ = ("_examples", "_keras_history", "args", "call", "kwargs", "name")

    value = None
    __hash__ = object.__hash__
    _keras_history: bool  # only there where a layer has made it, as in Keras

    def __init__(
        self,
        call: Callable[..., Any] | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None = None,
    ) -> None:
        self.call = call
        self.args = copied(args)
        self.kwargs = {key: copied(arg) for key, arg in kwargs.items()}
        self.name = name or getattr(call, "__name__", "tensor")
        self._examples: list[Any] | None = None

    def later(self, call: Callable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Deferred:
        """Return a call that waits for this one."""
        return Deferred(call, args, kwargs)

    def parts(self, count: int) -> list[Deferred]:
        """Return the single results of a call that returns several."""
        return [Deferred(_part, (self, i), {}) for i in range(count)]

    @property
    def examples(self) -> list[Any]:
        """What the expression gives for arrays of ones of two different sizes."""
        if self._examples is None:
            for node in order([self], finished=_has_examples):
                if isinstance(node, Deferred) and node._examples is None:
                    node._examples = [_example(node, k) for k in range(len(SIZES))]
        assert self._examples is not None
        return self._examples

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        """The shape, with None where it depends on what will be fed."""
        first, second = (np.shape(example) for example in self.examples)
        if len(first) != len(second):
            raise ValueError(f"How many axes {self.name!r} has depends on what will be fed.")
        return tuple(a if a == b else None for a, b in zip(first, second, strict=True))

    @property
    def dtype(self) -> np.dtype:
        """The type."""
        return np.asarray(self.examples[0]).dtype

    @property
    def size(self) -> int:
        """How many numbers there are; a ValueError where that is not known."""
        shape = self.shape
        if None in shape:
            raise ValueError(f"The size of {self!r} is only known when a K.function runs.")
        return int(np.prod(shape))  # type: ignore[arg-type]

    def __eq__(self, other: Any) -> Any:
        return np.equal(self, other)

    def __ne__(self, other: Any) -> Any:
        return np.not_equal(self, other)

    def __bool__(self) -> bool:
        raise self._unknown("A condition on it needs K.switch(condition, then, otherwise).")

    def __float__(self) -> float:
        raise self._unknown("Make a number of what the function returns.")

    __int__ = __float__

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise self._unknown("Use functions of K in place of NumPy's.")

    def _unknown(self, advice: str) -> TypeError:
        return TypeError(f"{self!r} has no value before a K.function runs. {advice}")

    def __repr__(self) -> str:
        try:
            about = f"shape {self.shape}, {self.dtype}"
        except Exception:  # an expression that can't be computed must still be shown in messages
            about = "of unknown shape"
        return f"<Deferred '{self.name}', {about}>"


class Placeholder(Deferred):
    """An input that is still to come; see `placeholder`."""

    __slots__ = ("_dtype", "_shape", "_sizes")

    def __init__(self, shape: Shape | None, dtype: Any, name: str, sizes: Any = SIZES) -> None:
        super().__init__(None, (), {}, name)
        self._sizes = sizes
        self._shape = shape
        self._dtype = np.dtype(dtype)

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        """The shape that was stated."""
        if self._shape is None:
            raise ValueError(
                f"Nothing is known about the shape of the placeholder '{self.name}': make it by "
                "K.placeholder(shape=(None, 3)), say, or with ndim=2."
            )
        return self._shape

    @property
    def dtype(self) -> np.dtype:
        """The type that was stated."""
        return self._dtype

    def example(self, which: int) -> np.ndarray:
        """Return an array of ones of the stated shape."""
        samples, others = self._sizes[which]
        shape = tuple(
            size if size is not None else others if i else samples
            for i, size in enumerate(self.shape)
        )
        return np.broadcast_to(np.ones((), self._dtype), shape)

    def __repr__(self) -> str:
        return f"<Placeholder '{self.name}', shape {self._shape}, {self._dtype}>"


def placeholder(
    shape: Sequence[int | None] | None = None,
    ndim: int | None = None,
    dtype: Any = None,
    sparse: bool = False,
    name: str | None = None,
) -> Placeholder:
    """Return an input for expressions that `K.function` will compute.

    Parameters
    ----------
    shape : tuple of int or None, optional
        None stands for any size.
    ndim : int, optional
        How many axes, where no shape is given.
    dtype : str, optional
        Default: ``K.floatx()``.
    sparse : bool
        Only False: there are no sparse tensors here.
    name : str, optional

    Examples
    --------
    >>> from minikeras import backend as K
    >>> x = K.placeholder((None, 3))
    >>> total = K.function([x], [K.sum(x * x, axis=-1)])
    >>> total([np.ones((2, 3))])[0].tolist()
    [3.0, 3.0]
    """
    if sparse:
        raise NotImplementedError("There are no sparse tensors here: leave out sparse=True.")
    if shape is None and ndim is not None:
        shape = (None,) * ndim
    prefix = "placeholder"
    return Placeholder(
        None if shape is None else tuple(shape),
        dtype or floatx(),
        name or f"{prefix}_{get_uid(prefix)}",
    )


def of_layer(x: Deferred) -> Deferred:
    """Mark an expression as the input or output of a layer: what Keras calls a Keras tensor."""
    x._keras_history = True
    return x


def is_placeholder(x: Any) -> bool:
    """Return whether `x` is an input made by `placeholder`.

    Examples
    --------
    >>> is_placeholder(placeholder((2,))), is_placeholder(1.0)
    (True, False)
    """
    return isinstance(x, Placeholder)


class _LearningPhase(Placeholder):
    """The phase as an input; a layer that has kept it gets the phase of the pass."""

    __slots__ = ()

    @property
    def value(self) -> Any:  # type: ignore[override]
        """The phase of the pass, None outside of any."""
        ctx = current()
        return None if ctx is None else np.int32(ctx.training)


#: The phase as an input of `K.function`.
LEARNING_PHASE = _LearningPhase((), "int32", "keras_learning_phase")


def learning_phase() -> Any:
    """Return 1 in training and 0 otherwise, or an input of `K.function` that says so.

    Returns
    -------
    int or Placeholder
        In a pass, and after `set_learning_phase`, a number. Outside of any pass an input: where a
        `K.function` is not fed it, it is 0.

    Examples
    --------
    >>> from minikeras import Sequential, backend as K
    >>> from minikeras.layers import Dropout
    >>> model = Sequential([Dropout(0.5, input_shape=(4,))])
    >>> run = K.function([model.input, K.learning_phase()], [model.output])
    >>> run([np.ones((1, 4)), 0])[0].tolist()
    [[1.0, 1.0, 1.0, 1.0]]
    """
    ctx = current()
    if ctx is not None:
        return int(ctx.training)
    fixed = phase_set_by_user()
    return LEARNING_PHASE if fixed is None else fixed


def _has_examples(node: Any) -> bool:
    return isinstance(node, Deferred) and node._examples is not None


def order(
    outputs: Sequence[Any],
    known: Any = (),
    finished: Callable[[Any], bool] | None = None,
) -> list[Any]:
    """Return what is to be computed for `outputs`, each after what it needs.

    Parameters
    ----------
    outputs : list of TensorLike or other things
    known : container of int
        Ids of what need not be computed.
    finished : callable, optional
        Says of a node whether it need not be computed.
    """
    found: dict[int, Any] = {}
    open_: set[int] = set()
    stack: list[tuple[Any, bool]] = [(item, False) for item in reversed(outputs)]
    while stack:
        item, ready = stack.pop()
        if isinstance(item, (list, tuple)):
            stack.extend((part, False) for part in reversed(item))
        elif ready:
            found[id(item)] = item
        elif isinstance(item, (Deferred, Tensor)) and id(item) not in open_:
            open_.add(id(item))
            stack.append((item, True))
            if id(item) not in known and not (finished and finished(item)):
                kwargs = item.kwargs or {}
                stack.extend((part, False) for part in (*item.args, *kwargs.values()))
    return list(found.values())


def resolve(item: Any, values: dict[int, Any]) -> Any:
    """Put what has been computed in place of deferred tensors, inside of lists, too."""
    if isinstance(item, (list, tuple)):
        return type(item)(resolve(part, values) for part in item)
    return values.get(id(item), item) if isinstance(item, TensorLike) else item


def _part(parts: Sequence[Any], index: int) -> Any:
    return parts[index]


def _example(node: Deferred, which: int) -> Any:
    """Compute a node for ones, from what its arguments give for them."""
    if isinstance(node, Placeholder):
        return node.example(which)
    values: dict[int, Any] = {}
    _find_examples([*node.args, *node.kwargs.values()], which, values)
    args, kwargs = resolve(node.args, values), resolve_dict(node.kwargs, values)
    call: Any = getattr(node.call, "example", node.call)
    random = RandomSource()
    random._generator = new_generator(0)  # not from np.random: a shape must not change a run
    ctx = Context(random=random, records=False)
    ctx.frozen = True
    ctx.memo["example"] = True
    with inside(ctx), np.errstate(all="ignore"):
        result = call(*args, **kwargs)
        # A deferred result is made of what a step function found around it.
        return result.examples[which] if isinstance(result, Deferred) else _ones(result)


def _find_examples(items: Sequence[Any], which: int, values: dict[int, Any]) -> None:
    """Put the examples of deferred tensors, in lists too, into `values`."""
    for item in items:
        if isinstance(item, Deferred):
            example = item.examples[which]
            values[id(item)] = Tensor(example) if isinstance(example, np.ndarray) else example
        elif isinstance(item, (list, tuple)):
            _find_examples(item, which, values)


def resolve_dict(kwargs: dict[str, Any] | None, values: dict[int, Any]) -> dict[str, Any]:
    """Apply `resolve` to keyword arguments."""
    return {key: resolve(item, values) for key, item in (kwargs or {}).items()}


def _ones(result: Any) -> Any:
    """Keep of a result shape and type only, so that it takes no memory."""
    if isinstance(result, (list, tuple)):
        return type(result)(_ones(part) for part in result)
    if isinstance(result, TensorLike):
        result = result.value
    if isinstance(result, np.ndarray) and result.ndim:
        return np.broadcast_to(np.ones((), result.dtype), result.shape)
    return result
