"""`CellInK`, which runs a cell that is written in `K` functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minikeras.backend.backpropagation import hand_over, or_zeros
from minikeras.backend.operators import TensorLike
from minikeras.backend.running import inside
from minikeras.backend.tape import Tensor, value_of
from minikeras.engine import Context, taped
from minikeras.engine.input_spec import Shape
from minikeras.layers.cell import Cell, States


def _outline(result: Any) -> str:
    """Describe what a call has returned without its numbers."""
    if isinstance(result, (list, tuple)):
        return f"({', '.join(map(_outline, result))})"
    shape = getattr(result, "shape", None)
    return repr(result) if shape is None else f"an array of shape {shape}"


class CellInK(Cell):
    """Runs a cell that is written in `K` functions; what `RNN` makes of one.

    Parameters
    ----------
    layer : Layer
        With `state_size` and ``call(inputs, states)``.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__(name=layer.name, dtype=layer.dtype)
        self.layer = layer

    @property
    def state_size(self) -> Any:
        """That of the cell."""
        return self.layer.state_size

    @property
    def output_size(self) -> Any:  # type: ignore[override]
        """That of the cell."""
        return getattr(self.layer, "output_size", None)

    def build(self, input_shape: Shape) -> None:
        """Build the cell."""
        layer = self.layer
        if not layer.built:
            layer.build(input_shape)
            layer.built = True
        self._penalties = layer._penalties
        if any(not part.built for part in layer._parts()):
            shapes: list[Any] = [input_shape, *self.state_shapes(input_shape)]
            x, *states = (np.ones((2, *shape[1:]), self.dtype) for shape in shapes)
            ctx = Context(records=False)
            ctx.frozen = True
            self.step(x, states, ctx)
        self.built = True

    def _new_sequence(self, ctx: Context) -> None:
        if isinstance(self.layer, Cell):
            self.layer._new_sequence(ctx)

    def step(self, x: np.ndarray, states: States, ctx: Context) -> tuple[np.ndarray, States, Any]:
        """Run the `call` of the cell on the tape."""
        inputs = [Tensor(a) for a in (x, *states)]
        named = taped.call_arguments(self.layer, ctx.training, None)
        outer, ctx.losses = ctx.losses, []
        frozen, ctx.frozen = ctx.frozen, ctx.frozen or not self.layer.trainable
        try:
            with inside(ctx):
                y, new = self._checked(self.layer.call(inputs[0], inputs[1:], **named), states)
            losses = ctx.losses
        finally:
            ctx.losses, ctx.frozen = outer, frozen
        ctx.loss += sum(float(value_of(loss)) for loss in losses)
        outputs = [y, *new]
        arrays = [np.asarray(value_of(output), x.dtype) for output in outputs]
        return arrays[0], arrays[1:], (inputs, outputs, losses) if ctx.records else None

    def _checked(self, result: Any, states: States) -> tuple[Any, Sequence[Any]]:
        """Return the output and the new states, if that is what the cell gave."""
        if isinstance(result, (list, tuple)) and len(result) == 2:
            y, new = result
            shapes = [state.shape for state in states]
            fits = isinstance(new, (list, tuple)) and shapes == [np.shape(value_of(s)) for s in new]
            if fits and np.ndim(value_of(y)):
                return y, new
        raise ValueError(
            f"{self.layer._described()}: call(inputs, states) must return the output and a list of "
            f"the new states, of the shapes {[state.shape for state in states]}; got "
            f"{_outline(result)}."
        )

    def step_backward(
        self, dy: np.ndarray, dstates: States, residual: Any, ctx: Context
    ) -> tuple[np.ndarray, States]:
        """Go back through what `step` has recorded."""
        inputs, outputs, losses = residual
        seeds = list(zip(outputs, [dy, *dstates], strict=True))
        seeds += [(loss, np.ones_like(value_of(loss))) for loss in losses]
        seeds = [(tensor, seed) for tensor, seed in seeds if isinstance(tensor, TensorLike)]
        dx, *dstates = map(or_zeros, hand_over(seeds, inputs, ctx), inputs)
        return dx, dstates

    @property  # type: ignore[misc]
    def trainable_weights(self) -> list:
        """Those of the cell."""
        return self.layer.trainable_weights

    @property  # type: ignore[misc]
    def non_trainable_weights(self) -> list:
        """Those of the cell."""
        return self.layer.non_trainable_weights

    def _ordered_weights(self) -> list:
        return self.layer._ordered_weights()
