"""`ProjectedCell`: cells whose input is projected for all steps before the time loop."""

from __future__ import annotations

from typing import Any

import numpy as np

from minikeras.engine import Context
from minikeras.layers.cell import States
from minikeras.layers.units_cell import Masks, UnitsCell
from minikeras.ops import recurrent as ops
from minikeras.ops.blas import matmuls


class ProjectedCell(UnitsCell):
    """The base of SimpleRNNCell and GRUCell, which say what is done inside of the loop."""

    roll = 0  # see `minikeras.ops.recurrent`
    _sequence_methods = (*UnitsCell._sequence_methods, "_loop", "_loop_backward")

    def _loop(
        self,
        z: np.ndarray,
        states: States,
        squashes: Any,
        mask: ops.Mask | None,
        dropout: np.ndarray | None,
        ctx: Context,
    ) -> Any:
        """Run the op, and return its trace."""
        raise NotImplementedError

    def _loop_backward(
        self,
        dy: np.ndarray,
        dstates: list[np.ndarray],
        trace: Any,
        squashes: Any,
        mask: ops.Mask | None,
        dropout: np.ndarray | None,
        ctx: Context,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Run the op back; `dstates` are overwritten.

        Return the gradient of `z` and, with the gates in Keras' order, that of the product of
        state and recurrent kernel. Where this is added to `z`, the two are one array.
        """
        raise NotImplementedError

    def _input_bias(self) -> np.ndarray | None:
        """Return what is added to the projected input."""
        return None if self.bias is None else self.bias.value

    def _bias_gradient(self, dz: np.ndarray, dproduct: np.ndarray) -> np.ndarray:
        """Return the gradient of the bias from those of the two products, as matrices."""
        return np.add.reduce(dz, axis=0)

    def _recurrent_products(
        self,
        dproduct: np.ndarray,
        trace: Any,
        rows: ops.Rows,
        dropout: Masks,
        out: np.ndarray,
        ctx: Context,
    ) -> list[Any]:
        """Return the products that compute the gradient of the recurrent kernel."""
        hidden = ops.hidden_rows(trace.h[:-1], rows, dropout, ctx.empty)
        return ops.kernel_gradient(hidden, dproduct, out)

    def _forward(
        self,
        x: np.ndarray,
        states: States,
        squashes: Any,
        mask: np.ndarray | None,
        dropout: tuple[Masks, Masks],
        ctx: Context,
    ) -> tuple[Any, np.ndarray, list[np.ndarray]]:
        inputs, recurrent = dropout
        kernel, bias = self.kernel.value, self._input_bias()
        z = ops.project(x, kernel, bias, self.gates, self.roll, ctx.empty, inputs)
        factors = ops.features_first(recurrent, self.gates, self.roll, ctx.empty)
        steps = None if mask is None else ops.Mask(mask)
        trace = self._loop(z, states, squashes, steps, factors, ctx)
        return (trace, steps, factors), trace.h[1:], [trace.h[-1]]

    def _backward(
        self, dy: np.ndarray, dstates: list[np.ndarray], residual: Any, ctx: Context
    ) -> np.ndarray | None:
        x, squashes, _, (inputs, recurrent), (trace, mask, factors) = residual
        dz, dproduct = self._loop_backward(dy, dstates, trace, squashes, mask, factors, ctx)
        rows = [ops.Rows(x, ctx.empty, m) for m in inputs or [None]]
        self._weight_gradients(dz, dproduct, trace, rows, recurrent, ctx)
        if not ctx.needs_input_gradient:
            return None
        return ops.input_gradient(dz, self.kernel.value, self.roll, ctx.empty, inputs)

    def _weight_gradients(
        self,
        dz: np.ndarray,
        dproduct: np.ndarray,
        trace: Any,
        rows: list[ops.Rows],
        recurrent: Masks,
        ctx: Context,
    ) -> None:
        """Write the gradients of the weights."""
        matrix = inner = ops.unproject(dz, rows[0], self.roll, ctx.empty)
        if dproduct is not dz:
            inner = ops.unproject(dproduct, rows[0], 0, ctx.empty)
        products = []
        dkernel, drecurrent = ctx.gradient(self.kernel), ctx.gradient(self.recurrent_kernel)
        if dkernel is not None:
            products += ops.kernel_gradient([r.matrix for r in rows], matrix, dkernel)
        if drecurrent is not None:
            products += self._recurrent_products(inner, trace, rows[0], recurrent, drecurrent, ctx)
        matmuls(products)
        if self.bias is not None and ctx.wants(self.bias):
            ctx.add_gradient(self.bias, self._bias_gradient(matrix, inner))
