"""`input` and `output` of layers and models, as expressions for `K.function`."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from minikeras.backend.deferred import Deferred, Placeholder, of_layer
from minikeras.backend.tape import Tensor


class Connected:
    """What a layer knows of the models that it is a layer of; a part of `Layer`."""

    name: str
    _described: Callable[[], str]
    _models: tuple[weakref.ref, ...] = ()

    @property
    def input(self) -> Deferred:
        """The layer's input in its model, for `K.function` and `K.gradients`.

        Raises
        ------
        AttributeError
            If the layer is in no model, or in several: see `get_input_at`.
        """
        return self._only("input")[0]

    @property
    def output(self) -> Deferred:
        """The layer's output in its model. See `input`."""
        return self._only("output")[1]

    def get_input_at(self, node_index: int) -> Deferred:
        """Return the layer's input in the model to which it was added first, second, and so on.

        Parameters
        ----------
        node_index : int
            Counted from 0.
        """
        return self._at(node_index, "input")[0]

    def get_output_at(self, node_index: int) -> Deferred:
        """Return the layer's output in one of several models. See `get_input_at`."""
        return self._at(node_index, "output")[1]

    def _places(self) -> list[tuple[Deferred, Deferred]]:
        """Return input and output for each place that the layer has in a living model."""
        places = []
        for reference in self._models:
            model = reference()
            if model is not None:
                places += model._places_of(self)
        return places

    def _only(self, which: str) -> tuple[Deferred, Deferred]:
        places = self._places()
        if len(places) > 1:
            raise AttributeError(
                f"{self._described()} is used {len(places)} times, so layer.{which} could be any "
                f"of them: use get_{which}_at(index)."
            )
        return self._at(0, which)

    def _at(self, index: int, which: str) -> tuple[Deferred, Deferred]:
        places = self._places()
        if not places:
            raise AttributeError(
                f"{self._described()} has no {which}: it is in no model whose input shape is "
                "known. Add it to one, and give the first layer an input_shape."
            )
        if not 0 <= index < len(places):
            raise ValueError(
                f"{self._described()} is used {len(places)} times, there is no place {index}."
            )
        return places[index]

    def _joined(self, model: Any) -> None:
        """Note that the layer has become part of a model."""
        if all(reference() is not model for reference in self._models):
            alive = tuple(r for r in self._models if r() is not None)
            self._models = (*alive, weakref.ref(model))

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the models, which tell their layers of themselves again."""
        state = self.__dict__.copy()
        state.pop("_models", None)
        for name, value in state.items():
            if type(value) is Tensor:  # what a call has left, without the pass it came from
                state[name] = Tensor(value.value)
        return state


class Chain(Connected):
    """A model as an expression of its input; a part of `Sequential`."""

    layers: list[Any]
    built: bool
    _expressions: tuple[tuple, list[Deferred]] | None = None

    @property
    def input(self) -> Deferred:
        """The model's input, for `K.function` and `K.gradients`; AttributeError if not built."""
        return self._chain()[0]

    @property
    def output(self) -> Deferred:
        """The model's output as an expression of its `input`."""
        return self._chain()[-1]

    @property
    def inputs(self) -> list[Deferred]:
        """A list of the one input."""
        return [self.input]

    @property
    def outputs(self) -> list[Deferred]:
        """A list of the one output."""
        return [self.output]

    def _chain(self: Any) -> list[Deferred]:
        """Return the input and the output of each layer, always the same objects."""
        if not self.built:
            raise AttributeError(
                f"Model '{self.name}' has no input and output yet: it has not been built. Give the "
                "first layer an input_shape, or call build((None, ...))."
            )
        made_of = (self._input_shape, *map(id, self.layers))
        if self._expressions is None or self._expressions[0] != made_of:
            dtype = self.input_dtype or self.dtype
            chain = [of_layer(Placeholder(self.input_shape, dtype, self.input_names[0]))]
            for layer in self.layers:
                chain.append(layer(chain[-1]))
            self._expressions = (made_of, chain)
        return self._expressions[1]

    def _places_of(self, layer: Any) -> list[tuple[Deferred, Deferred]]:
        """Return input and output of a layer, for each place where it stands."""
        chain = self._chain() if self.built else []
        return [
            (chain[i], chain[i + 1])
            for i, other in enumerate(self.layers)
            if chain and other is layer
        ]

    def _tell_layers(self) -> None:
        """Have the layers know what they are part of."""
        for layer in self.layers if self.built else ():
            layer._joined(self)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the expressions, which are made again."""
        return {**super().__getstate__(), "_expressions": None}
