"""The weights of a layer: making, listing, reading and setting them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from minikeras import constraints, initializers, regularizers
from minikeras.backend.running import current
from minikeras.backend.variables import Variable
from minikeras.utils.registry import has_arg


def _shape_may_come_first(add_weight: Callable[..., Variable]) -> Callable[..., Variable]:
    """Take ``add_weight(shape, name=...)``, the order of Keras 1, which Keras 2.2 takes, too."""

    @functools.wraps(add_weight)
    def in_either_order(self: Any, *args: Any, **kwargs: Any) -> Variable:
        if args and isinstance(args[0], (tuple, list)):
            kwargs["shape"], args = args[0], args[1:]
            if args:
                raise TypeError("add_weight: after a shape in front, give the rest by name.")
        return add_weight(self, *args, **kwargs)

    return in_either_order


class HasWeights:
    """What a layer can do with its weights; a part of `Layer`."""

    name: str
    dtype: str
    trainable: bool
    built: bool
    _described: Callable[[], str]
    _trainable_weights: list[Variable]
    _non_trainable_weights: list[Variable]

    @_shape_may_come_first
    def add_weight(
        self,
        name: str | None = None,
        shape: Sequence[int] | None = None,
        dtype: Any = None,
        initializer: Any = None,
        regularizer: Any = None,
        trainable: bool = True,
        constraint: Any = None,
    ) -> Variable:
        """Make a weight of this layer; to be called in `build`.

        Parameters
        ----------
        name : str, optional
            Its name within the layer. Default: ``'weight'``.
        shape : tuple of int, optional
            Default: a scalar.
        dtype : str, optional
            Default: the layer's.
        initializer : str, dict or callable, optional
            Default: ``'glorot_uniform'``.
        regularizer, constraint : str, dict or callable, optional
        trainable : bool
            Whether the optimizer may change it. Default True.

        Returns
        -------
        Variable
            Its ``value`` is the array.
        """
        ctx = current()
        if ctx is not None and "example" not in ctx.memo:
            raise RuntimeError(
                f"{self._described()}: add_weight was called while the layer computes, so each "
                "pass would make another weight. Make weights in build(self, input_shape)."
            )
        dtype = np.dtype(dtype or self.dtype).name
        initializer = initializers.get("glorot_uniform" if initializer is None else initializer)
        full_name = f"{self.name}/{name or 'weight'}:0"
        weight = Variable(
            _initial_value(initializer, tuple(shape or ()), dtype, full_name),
            name=full_name,
            trainable=trainable,
            regularizer=regularizers.get(regularizer),
            constraint=constraints.get(constraint),
        )
        (self._trainable_weights if trainable else self._non_trainable_weights).append(weight)
        return weight

    def _parts(self) -> list[Any]:
        """Return the layers that this one calls, which count as parts of it."""
        return []

    def _family(self, frozen: bool = False) -> Iterator[tuple[Any, bool]]:
        """Go through this layer, its parts and theirs, each once, and say which are frozen."""
        seen: set[int] = set()
        waiting: list[tuple[Any, bool]] = [(self, frozen)]
        while waiting:
            layer, frozen = waiting.pop()
            if id(layer) not in seen:
                seen.add(id(layer))
                frozen = frozen or not layer.trainable
                yield layer, frozen
                if layer is self or _lists_its_own(layer):
                    waiting += [(part, frozen) for part in reversed(layer._parts())]

    def _weights_listed(self, trainable: bool) -> list[Variable]:
        found: list[Variable] = []
        for layer, frozen in self._family():
            if layer is self or _lists_its_own(layer):
                own, others = layer._trainable_weights, layer._non_trainable_weights
            else:
                own, others = layer.trainable_weights, layer.non_trainable_weights
            if trainable:
                found += [] if frozen else own
            else:
                found += [*own, *others] if frozen else others
        return unique(found)

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that training changes: none if the layer is frozen.

        Those of layers that are attributes of a layer with a `call` come after its own. The list
        may be set, as layers written for Keras 2 do.
        """
        return _Appendable(self._weights_listed(True), self._trainable_weights)

    @trainable_weights.setter
    def trainable_weights(self, weights: list[Variable]) -> None:
        self._trainable_weights = list(weights)

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The weights that training leaves alone: all of them if the layer is frozen."""
        return _Appendable(self._weights_listed(False), self._non_trainable_weights)

    @non_trainable_weights.setter
    def non_trainable_weights(self, weights: list[Variable]) -> None:
        self._non_trainable_weights = list(weights)

    @property
    def weights(self) -> list[Variable]:
        """All weights: first the layer's own, trainable ones first, then those of its parts."""
        if self._parts():
            return self._ordered_weights()
        return self.trainable_weights + self.non_trainable_weights

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of the values of all weights: first trainable ones, then the others."""
        return [weight.value.copy() for weight in self._ordered_weights()]

    def _ordered_weights(self) -> list[Variable]:
        """Return the weights in the order of `get_weights`, which is that of saved files.

        It stays the same when layers are frozen.
        """
        found: list[Variable] = []
        for layer, _ in self._family():
            if layer is self or _lists_its_own(layer):
                found += layer._trainable_weights + layer._non_trainable_weights
            else:
                found += layer._ordered_weights()
        return unique(found)

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set all weights. Nothing is changed if any of them does not fit.

        Parameters
        ----------
        weights : list of array_like
            As `get_weights` returns them.

        Raises
        ------
        ValueError
            If their number or a shape is wrong.
        """
        own = self._ordered_weights()
        if isinstance(weights, np.ndarray) and len(weights) != len(own):
            raise TypeError(
                f"{self._described()}: weights are given as a list of arrays, [matrix] if there is "
                f"only one; got an array of shape {weights.shape}."
            )
        arrays = [np.asarray(value) for value in weights]
        if len(arrays) != len(own):
            wanted = ", ".join(f"{w.name} {w.shape}" for w in own) or "none"
            state = "" if self.built else " (it has not been built yet)"
            raise ValueError(
                f"Layer '{self.name}'{state} has {len(own)} weights, but set_weights was given "
                f"{len(arrays)}. Its weights: {wanted}."
            )
        for weight, array in zip(own, arrays, strict=True):
            if weight.shape != array.shape:
                raise ValueError(
                    f"Weight '{weight.name}' has shape {weight.shape}, but set_weights was given "
                    f"an array of shape {array.shape} for it."
                )
        for weight, array in zip(own, arrays, strict=True):
            weight.assign(array)

    def count_params(self) -> int:
        """Return how many numbers the weights hold.

        Raises
        ------
        RuntimeError
            If the layer has not been built.
        """
        if not self.built:
            raise RuntimeError(
                f"The weights of layer '{self.name}' can't be counted: it has not been built. "
                "Give the first layer an input_shape, or call model.build(input_shape)."
            )
        return sum(weight.size for weight in self.weights)


class _Appendable(list[Variable]):
    """A list of weights; what is appended becomes a weight of the layer, as in Keras 2."""

    def __init__(self, weights: Iterable[Variable], own: list[Variable]) -> None:
        super().__init__(weights)
        self._own = own

    def append(self, weight: Variable) -> None:
        """Add a weight to the layer."""
        self.extend([weight])

    def extend(self, weights: Iterable[Variable]) -> None:
        """Add weights to the layer."""
        weights = list(weights)
        self._own += weights
        super().extend(weights)

    def __iadd__(self, weights: Any) -> Any:  # type: ignore[misc]
        return [*self, *weights]  # which is then set


def _lists_its_own(layer: Any) -> bool:
    """Return whether a layer says by `_parts` what it is made of; containers list themselves."""
    return type(layer).trainable_weights is HasWeights.trainable_weights


def unique(weights: Iterable[Variable]) -> list[Variable]:
    """Drop repetitions: a part may be used twice."""
    return list(dict.fromkeys(weights))


def _initial_value(initializer: Any, shape: tuple[int, ...], dtype: str, name: str) -> np.ndarray:
    """Call an initializer, be it a function of the shape alone, and check what it returns."""
    takes_dtype = isinstance(initializer, initializers.Initializer) or has_arg(
        initializer, "dtype", accept_all=True
    )
    value = np.array(initializer(shape, dtype=dtype) if takes_dtype else initializer(shape), dtype)
    if value.shape != shape:
        raise ValueError(
            f"The initializer of '{name}' returned an array of shape {value.shape}; the weight has "
            f"shape {shape}."
        )
    return value


def layers_in(value: Any) -> Iterator[Any]:
    """Find the layers in dicts and lists, nested ones too."""
    if isinstance(value, HasWeights):
        yield value
    elif isinstance(value, (dict, list, tuple)):
        # A copy: another thread may set an attribute meanwhile.
        for entry in list(value.values() if isinstance(value, dict) else value):
            yield from layers_in(entry)


def all_layers(layer: Any) -> list[Any]:
    """Return a layer and those that it holds, and they hold, each once."""
    found: dict[int, Any] = {}
    waiting = [layer]
    while waiting:
        one = waiting.pop()
        if id(one) not in found:
            found[id(one)] = one
            waiting += layers_in(vars(one))
    return list(found.values())


def classes_in(layer: Any) -> dict[str, type]:
    """Return the classes of a layer and of those in it, by name, to make a copy of it."""
    return {type(one).__name__: type(one) for one in all_layers(layer)}
