"""`RNN`, which runs a cell over the time steps of a sequence, and stacks of cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minikeras import regularizers
from minikeras.backend.creation import cast
from minikeras.backend.operators import TensorLike
from minikeras.backend.running import current
from minikeras.backend.variables import Variable
from minikeras.engine import Context, InputSpec, Layer, taped
from minikeras.engine.input_spec import Shape
from minikeras.engine.weights import unique
from minikeras.layers.arguments import known_size
from minikeras.layers.cell import States, run, run_backward
from minikeras.layers.cell_in_k import CellInK
from minikeras.layers.stacked_cells import StackedRNNCells, as_cell, state_sizes


class RNN(Layer):
    """Run a cell over the time steps of a sequence.

    Parameters
    ----------
    cell : Cell or list of Cell
        What is done at each step. A list is stacked: each cell gets the output of the one before
        (`StackedRNNCells`).
    return_sequences : bool
        Whether to return the outputs of all steps, not only the last one. Default False.
    return_state : bool
        Whether to return the final states as well. Default False. The layer then has several
        outputs: it can be called on an array, but not be part of a Sequential.
    go_backwards : bool
        Whether to go from the last step to the first. The outputs are in the order in which
        they are computed. Default False.
    stateful : bool
        Whether the final states of a batch are the initial ones of the next: sample `i` of a
        batch follows sample `i` of the batch before, until `reset_states`. Default False.
    unroll : bool
        A matter of speed in Keras. Accepted; there is no graph to unroll here.
    **kwargs
        See `Layer`. ``input_dim=m, input_length=n`` stands for ``input_shape=(n, m)``, and without
        `input_length` for ``(None, m)``.

    Attributes
    ----------
    states : list of Variable or None
        Kept states of a stateful layer; None where the next batch starts from zero.

    Notes
    -----
    Input ``(batch, steps, features)``, output ``(batch, units)`` or, with `return_sequences`,
    ``(batch, steps, units)``. Samples may have a mask ``(batch, steps)``: at a masked step the
    states stay what they are, and the output is that of the step before.

    As in Keras, gradients stop at the initial states of a batch.

    Examples
    --------
    >>> from minikeras.layers import LSTMCell
    >>> layer = RNN([LSTMCell(4), LSTMCell(2)], return_sequences=True)
    >>> layer(np.zeros((3, 5, 6))).shape
    (3, 5, 2)
    """

    supports_masking = True

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        **kwargs: Any,
    ) -> None:
        if kwargs.get("input_dim") is not None and kwargs.get("input_shape") is None:
            kwargs["input_shape"] = (kwargs.get("input_length"), kwargs["input_dim"])
        super().__init__(**kwargs)
        self._cell = as_cell(cell, self)
        if not self._dtype_given:
            self.dtype = self._cell.dtype
        elif self.dtype != self._cell.dtype:
            raise ValueError(
                f"{self._described()} was given dtype='{self.dtype}', but computes with the type "
                f"of its cell, '{self._cell.dtype}'. Give the cell the dtype."
            )
        self.return_sequences = bool(return_sequences)
        self.return_state = bool(return_state)
        self.go_backwards = bool(go_backwards)
        self.stateful = bool(stateful)
        self.unroll = bool(unroll)
        self._states: States | None = None
        self.input_spec = InputSpec(ndim=3, names=("batch", "steps", "features"))

    @property
    def cell(self) -> Any:
        """What is done at each step, as it was given."""
        return self._cell.layer if isinstance(self._cell, CellInK) else self._cell

    def build(self, input_shape: Shape) -> None:
        """Make the weights of the cell."""
        cell, was_built = self._cell, self._cell.built
        cell.ensure_built(_step_shape(input_shape))
        if not was_built and not isinstance(cell, StackedRNNCells):
            for weight in cell.weights:
                weight.name = weight.name.replace(cell.name, self.name, 1)
        for part in cell.cells if isinstance(cell, StackedRNNCells) else [cell]:
            self._penalties += part._penalties
        axes = {} if input_shape[-1] is None else {-1: input_shape[-1]}
        self.input_spec = InputSpec(ndim=3, axes=axes, names=("batch", "steps", "features"))
        self.built = True

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[Any, Any]:
        """Run the cell over all steps."""
        if x.shape[1] == 0:
            raise ValueError(f"{self._described()}: the input of shape {x.shape} has no steps.")
        x = x.astype(self.dtype, copy=False)
        steps, mask = x.swapaxes(0, 1), self._mask(x, ctx)
        if self.go_backwards:
            steps, mask = steps[::-1], None if mask is None else mask[::-1]
        self._cell._new_sequence(ctx)
        states = self._initial_states(x, ctx)
        frozen, ctx.frozen = ctx.frozen, ctx.frozen or not self.trainable
        y, states, residual = run(self._cell, steps, states, mask, ctx)
        ctx.frozen = frozen
        if self.stateful:
            # Not before the whole pass has succeeded: a batch that fails leaves no trace. Copies,
            # since a layer above may overwrite what is its input, against the rules.
            kept = [state.copy() for state in states]
            ctx.at_end(lambda: self._keep(kept))
        output = y.swapaxes(0, 1) if self.return_sequences else y[-1]
        return [output, *states] if self.return_state else output, residual

    def backward(self, dy: Any, residual: Any, ctx: Context) -> np.ndarray | None:
        """Go back through all steps."""
        return self._backward_all(dy, residual, ctx)[0]

    def _backward_all(self, dy: Any, residual: Any, ctx: Context) -> list[Any]:
        """Go back through all steps, also to the initial states."""
        dstates = None
        if self.return_state:
            dy, *dstates = dy
        dys = dy.swapaxes(0, 1) if self.return_sequences else dy[np.newaxis]
        dx, dstates = run_backward(self._cell, dys, dstates, residual, ctx)
        if dx is None:
            return [None, *dstates]
        return [(dx[::-1] if self.go_backwards else dx).swapaxes(0, 1), *dstates]

    def _mask(self, x: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Return the mask by steps, None if all steps of all samples count."""
        mask = ctx.mask
        if mask is None:
            return None
        if mask.shape != x.shape[:2]:
            raise ValueError(
                f"{self._described()}: the mask must have the shape (batch, steps), here "
                f"{x.shape[:2]}, got {mask.shape}."
            )
        return None if mask.all() else mask.T

    # States

    def call(  # type: ignore[override]
        self,
        inputs: Any,
        mask: Any = None,
        training: Any = None,
        initial_state: Any = None,
        constants: None = None,
    ) -> Any:
        """Run the layer on the tape; what a subclass extends. See `Layer.call` and `__call__`."""
        refuse_constants(constants, self)
        if initial_state is None:
            return super().call(inputs, training, mask)
        return self._from_states(inputs, initial_state, training, mask)

    def _from_states(self, inputs: Any, initial_state: Any, training: Any, mask: Any) -> Any:
        """Run the layer on the tape from given states, with a way back to them."""
        if isinstance(inputs, TensorLike) and inputs.value is None:
            raise NotImplementedError(
                f"{self._described()}: initial_state can't be given in an expression for "
                "K.function. Call the layer in the `call` of a layer of your own."
            )
        given = list(initial_state) if isinstance(initial_state, (list, tuple)) else [initial_state]
        mask = getattr(inputs, "mask", None) if mask is None else mask

        def run(arrays: list[Any], ctx: Context) -> tuple[Any, Any]:
            ctx.memo.update(self.starting_from(arrays[1:], arrays[0]))
            y, residual = self.forward(arrays[0], ctx)
            ctx.mask = self.compute_mask(arrays[0], ctx.mask)
            return y, residual

        given = [cast(inputs, self.dtype), *given]
        return taped.record_all(self, given, run, self._backward_all, training, mask)

    def __call__(  # type: ignore[override]
        self,
        inputs: Any,
        initial_state: Any = None,
        constants: None = None,
        *,
        training: Any = None,
        mask: np.ndarray | None = None,
    ) -> Any:
        """Apply the layer to an array or a tensor. See `Layer`.

        Parameters
        ----------
        inputs : array_like or TensorLike, shape (batch, steps, features)
            Or a list of that and the initial states.
        initial_state : array, tensor or list of these, shape (batch, size), optional
            One for each state of the cell. Default: what the layer keeps, or zeros.
        constants : None
            Not supported: give the cell what it needs as an attribute.
        training : bool, optional
            Default: as in the pass at hand, and outside of any pass no.
        mask : array_like of bool, shape (batch, steps), optional
        """
        refuse_constants(constants, self)
        inputs, initial_state = split_states(inputs, initial_state)
        if current() is not None or isinstance(inputs, TensorLike):
            if initial_state is None:
                return self._call(inputs, training, mask, {})
            if self._taped:
                return self._call(inputs, training, mask, {}, {"initial_state": initial_state})
            self.ensure_built((None, *inputs.shape[1:]))
            y = self._from_states(inputs, initial_state, training, mask)
            taped.add_own_losses(self, y)
            return y
        memo = self.starting_from(initial_state, inputs)
        return own_copies(self._call(inputs, training, mask, memo))

    def starting_from(self, states: Any, x: Any) -> dict[Any, Any]:
        """Return what makes a pass over `x` start from given states; see ``Context.memo``."""
        if states is None:
            return {}
        shape = np.shape(x)
        self.ensure_built((None, *shape[1:]))
        arrays = self._checked_states(states, "initial_state", _step_shape(shape))
        if len(arrays[0]) != shape[0]:
            raise ValueError(
                f"{self._described()}: initial_state holds states of {len(arrays[0])} sequences, "
                f"but the input of shape {shape} has {shape[0]}."
            )
        return {(self, "initial_state"): arrays}

    def _initial_states(self, x: np.ndarray, ctx: Context) -> States:
        given = ctx.memo.pop((self, "initial_state"), None)
        if given is not None:
            return given
        if self.stateful and self._states is not None:
            if len(self._states[0]) != len(x):
                raise ValueError(
                    f"{self._described()} is stateful and holds the states of "
                    f"{len(self._states[0])} sequences, but got a batch of {len(x)}. Pass batches "
                    "of one size, or call reset_states() to start new sequences."
                )
            # Copies: the way back may need them after the new states have been kept.
            return [state.astype(x.dtype) for state in self._states]
        shapes = self._cell.state_shapes(_step_shape(x.shape))
        states = [ctx.empty((len(x), *shape[1:]), x.dtype) for shape in shapes]
        for state in states:
            state.fill(0)
        return states

    def _keep(self, states: States) -> None:
        """Keep states, in the same arrays as before where the sizes allow."""
        kept = self._states
        if kept is None or [k.shape for k in kept] != [s.shape for s in states]:
            self._states = states
            return
        for target, state in zip(kept, states, strict=True):
            np.copyto(target, state)

    @property
    def states(self) -> list[Variable | None]:
        """The kept states, for ``K.get_value`` and ``K.set_value``; None where nothing is kept."""
        if self._states is None:
            return [None] * len(state_sizes(self._cell))
        names = [f"{self.name}/state_{k}:0" for k in range(len(self._states))]
        pairs = zip(self._states, names, strict=True)
        return [Variable(state, name, trainable=False) for state, name in pairs]

    @states.setter
    def states(self, states: Any) -> None:
        self.reset_states(states)

    @property
    def state_batch_size(self) -> int | None:
        """How many sequences the kept states are of; None if nothing is kept."""
        return None if self._states is None else len(self._states[0])

    def reset_states(self, states: Any = None) -> None:
        """Let the next batch start from zero, or from given states.

        Parameters
        ----------
        states : ndarray or list of ndarray, optional
            Initial states of shape ``(batch, size)``, one for each state of the cell.

        Raises
        ------
        AttributeError
            If the layer is not stateful.
        ValueError
            If the states do not fit.
        """
        if not self.stateful:
            raise AttributeError(
                f"{self._described()} keeps no states: it was made without stateful=True."
            )
        if states is None or (isinstance(states, (list, tuple)) and not any_given(states)):
            self._states = None
            return
        shape = self.input_shape
        arrays = self._checked_states(states, "reset_states", _step_shape(shape))
        if shape[0] not in (None, len(arrays[0])):
            raise ValueError(
                f"{self._described()}: reset_states got states of {len(arrays[0])} sequences; the "
                f"batch size is {shape[0]}."
            )
        self._states = arrays

    def _checked_states(self, states: Any, where: str, step_shape: Shape) -> States:
        given = list(states) if isinstance(states, (list, tuple)) else [states]
        shapes = self._cell.state_shapes(step_shape)
        arrays = [np.array(state, self.dtype) for state in given]
        found = [array.shape for array in arrays]
        batch = {size[0] if size else 0 for size in found}
        fits = len(found) == len(shapes) and all(
            have[1:] == want[1:] for have, want in zip(found, shapes, strict=True)
        )
        if not fits or len(batch) > 1:
            wanted = ", ".join(str(("batch", *size[1:])).replace("'", "") for size in shapes)
            raise ValueError(
                f"{self._described()}: {where} expects {len(shapes)} states of shapes {wanted}; "
                f"got {len(found)} of shapes {', '.join(map(str, found))}."
            )
        return arrays

    # Shapes

    def compute_output_shape(self, input_shape: Shape) -> Any:
        """Return the shape of the output, with `return_state` as a list with those of states."""
        batch, steps = input_shape[:2]
        step_shape = _step_shape(input_shape)
        output = self._cell.compute_output_shape(step_shape)[1:]
        shape = (batch, steps, *output) if self.return_sequences else (batch, *output)
        if not self.return_state:
            return shape
        return [shape, *((batch, *s[1:]) for s in self._cell.state_shapes(step_shape))]

    def compute_mask(self, inputs: Any, mask: np.ndarray | None = None) -> Any:
        """Return the mask if the output has steps."""
        found = mask if self.return_sequences else None
        if not self.return_state:
            return found
        return [found, *[None] * len(state_sizes(self._cell))]

    # Weights and configuration

    @property  # type: ignore[misc]
    def trainable_weights(self) -> list:
        """Those of the cell, then those of a subclass; none if the layer is frozen."""
        cell = self._cell.trainable_weights if self.trainable else []
        return unique([*cell, *super().trainable_weights])

    @property  # type: ignore[misc]
    def non_trainable_weights(self) -> list:
        """Those of the cell, then those of a subclass; all weights if the layer is frozen."""
        cell = self._cell.non_trainable_weights if self.trainable else self._cell.weights
        return unique([*cell, *super().non_trainable_weights])

    def _ordered_weights(self) -> list:
        return unique([*self._cell._ordered_weights(), *super()._ordered_weights()])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            **self._own_config(),
            "cell": {"class_name": type(self.cell).__name__, "config": self.cell.get_config()},
        }

    def _own_config(self) -> dict[str, Any]:
        names = ("return_sequences", "return_state", "go_backwards", "stateful", "unroll")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Layer:
        """Make a layer from what `get_config` returned."""
        from minikeras.layers import deserialize

        config = dict(config)
        return cls(deserialize(config.pop("cell"), custom_objects), **config)


class UnitsRNN(RNN):
    """An RNN over a cell of one kind: SimpleRNN, GRU or LSTM. Its configuration is flat."""

    cell: Any
    cell_class: Any

    def build(self, input_shape: Shape) -> None:
        """Make the weights of the cell."""
        known_size(input_shape, -1, self)
        super().build(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **Layer.get_config(self),
            **self._own_config(),
            **self.cell.own_config(),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Layer:
        """Make a layer from what `get_config` returned."""
        return cls(**config)


def split_states(inputs: Any, initial_state: Any) -> tuple[Any, Any]:
    """Take the initial states out of a list ``[x, *states]``."""
    several = isinstance(inputs, (list, tuple)) and len(inputs) > 1
    if not several or not all(isinstance(array, (np.ndarray, TensorLike)) for array in inputs):
        return inputs, initial_state
    if len(inputs[0].shape) <= len(inputs[1].shape):  # a list of samples
        return inputs, initial_state
    if initial_state is not None:
        raise ValueError("The initial states were given twice: in a list with the input.")
    return inputs[0], list(inputs[1:])


def own_copies(result: Any) -> Any:
    """Copy outputs: they may share memory with each other, and with what a pass has kept."""
    return [np.array(y) for y in result] if type(result) is list else np.array(result)


def any_given(states: Sequence[Any]) -> bool:
    """Return whether a list of states holds anything but None."""
    return any(state is not None for state in states)


def refuse_constants(constants: Any, layer: Layer) -> None:
    """Raise ValueError if `constants` are given."""
    if constants is not None:
        raise ValueError(
            f"{layer._described()}: constants are not supported. Give the cell what it needs as "
            "an attribute."
        )


def _step_shape(input_shape: Shape) -> Shape:
    return (input_shape[0], *input_shape[2:])
