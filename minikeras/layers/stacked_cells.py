"""`StackedRNNCells`, several cells as one, and what may stand where a cell is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minikeras.engine import Context, Layer
from minikeras.engine.input_spec import Shape
from minikeras.layers.cell import Cell, States, run, run_backward
from minikeras.layers.cell_in_k import CellInK


def state_sizes(cell: Cell) -> Sequence[int]:
    """Return the size of each state of a cell."""
    sizes = cell.state_size
    return sizes if isinstance(sizes, (list, tuple)) else (sizes,)


def as_cell(cell: Any, layer: Layer) -> Cell:
    """Return what a recurrent layer runs for `cell`, be it a list, or written in `K` functions."""
    if isinstance(cell, (list, tuple)):
        return StackedRNNCells(cell)
    if isinstance(cell, Layer) and hasattr(cell, "state_size"):
        if cell._taped:
            return CellInK(cell)
        if isinstance(cell, Cell):
            return cell
    hint = " Did you forget the parentheses?" if isinstance(cell, type) else ""
    raise ValueError(
        f"{layer._described()} takes a cell, such as LSTMCell(32), or a list of cells; got "
        f"{cell!r}. A cell of your own is a Layer with state_size and call(inputs, states), or a "
        f"subclass of minikeras.layers.Cell with state_size and step.{hint}"
    )


class StackedRNNCells(Cell):
    """Several cells as one: each gets the output of the one before.

    Parameters
    ----------
    cells : list of Cell
        From the input to the output.
    reverse_state_order : bool
        Whether the states are listed from the last cell to the first. Default False.
    **kwargs
        See `Layer`.

    Notes
    -----
    At a masked step each cell keeps its states, and the output is what it was before. (Keras 2.2.4
    gives the state of the first cell there, later versions the output before, too.)

    Examples
    --------
    >>> from minikeras.layers import GRUCell, LSTMCell
    >>> StackedRNNCells([LSTMCell(4), GRUCell(3)]).state_size
    (4, 4, 3)
    """

    def __init__(
        self, cells: Sequence[Cell], reverse_state_order: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not cells:
            raise ValueError(f"{self._described()} needs at least one cell.")
        self.cells = [as_cell(cell, self) for cell in cells]
        if not self._dtype_given:
            self.dtype = self.cells[0].dtype
        self.reverse_state_order = bool(reverse_state_order)

    @property
    def state_size(self) -> Any:
        """The sizes of all states."""
        return tuple(self._listed([state_sizes(cell) for cell in self.cells]))

    def _new_sequence(self, ctx: Context) -> None:
        """Forget for each cell. See `Cell._new_sequence`."""
        for cell in self.cells:
            cell._new_sequence(ctx)

    def build(self, input_shape: Shape) -> None:
        """Build cell by cell."""
        for cell in self.cells:
            input_shape = cell.ensure_built(input_shape)
        self.built = True

    def state_shapes(self, input_shape: Shape) -> list[Shape]:
        """Return the shapes of all states."""
        shapes = []
        for cell in self.cells:
            shapes.append(cell.state_shapes(input_shape))
            input_shape = cell.compute_output_shape(input_shape)
        return self._listed(shapes)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return what the last cell returns."""
        for cell in self.cells:
            input_shape = cell.compute_output_shape(input_shape)
        return input_shape

    def _listed(self, parts: list[Any]) -> list[Any]:
        """Put what belongs to the states of each cell into one list."""
        parts = parts[::-1] if self.reverse_state_order else parts
        return [entry for part in parts for entry in part]

    def _dealt(self, states: list[Any]) -> list[list[Any]]:
        """Undo `_listed`."""
        left = iter(states)
        cells = self.cells[::-1] if self.reverse_state_order else self.cells
        parts = [[next(left) for _ in state_sizes(cell)] for cell in cells]
        return parts[::-1] if self.reverse_state_order else parts

    def step(self, x: np.ndarray, states: States, ctx: Context) -> tuple[np.ndarray, States, Any]:
        """Do one step of each cell in turn."""
        found, residuals = [], []
        for cell, own in zip(self.cells, self._dealt(states), strict=True):
            x, new, residual = cell.step(x, own, ctx)
            found.append(new)
            residuals.append(residual)
        return x, self._listed(found), residuals

    def step_backward(
        self, dy: np.ndarray, dstates: States, residual: Any, ctx: Context
    ) -> tuple[np.ndarray, States]:
        """Go back through one step of each cell."""
        parts = self._dealt(dstates)
        for k in range(len(self.cells) - 1, -1, -1):
            dy, parts[k] = self.cells[k].step_backward(dy, parts[k], residual[k], ctx)
        return dy, self._listed(parts)

    def run(
        self, x: np.ndarray, states: States, mask: np.ndarray | None, ctx: Context
    ) -> tuple[np.ndarray, States, Any]:
        """Run each cell over the whole sequence: the next one needs nothing but its outputs."""
        found, residuals = [], []
        for cell, own in zip(self.cells, self._dealt(states), strict=True):
            x, new, residual = run(cell, x, own, mask, ctx)
            found.append(new)
            residuals.append(residual)
        return x, self._listed(found), residuals

    def run_backward(
        self, dy: np.ndarray, dstates: States | None, residual: Any, ctx: Context
    ) -> tuple[np.ndarray | None, States]:
        """Go back cell by cell."""
        parts: list[Any] = [None] * len(self.cells) if dstates is None else self._dealt(dstates)
        wanted = ctx.needs_input_gradient
        dx: np.ndarray | None = dy
        for k in range(len(self.cells) - 1, -1, -1):
            ctx.needs_input_gradient = wanted or k > 0
            dx, parts[k] = run_backward(self.cells[k], dx, parts[k], residual[k], ctx)
        ctx.needs_input_gradient = wanted
        return dx, self._listed(parts)

    # Weights and configuration

    @property  # type: ignore[misc]
    def trainable_weights(self) -> list:
        """Those of the cells, one after the other."""
        return [w for c in self.cells for w in c.trainable_weights] if self.trainable else []

    @property  # type: ignore[misc]
    def non_trainable_weights(self) -> list:
        """Those of the cells; all weights if frozen."""
        fixed = [w for cell in self.cells for w in cell.non_trainable_weights]
        return fixed if self.trainable else [w for c in self.cells for w in c.weights]

    def _ordered_weights(self) -> list:
        return [w for cell in self.cells for w in cell._ordered_weights()]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        given = [cell.layer if isinstance(cell, CellInK) else cell for cell in self.cells]
        cells = [{"class_name": type(c).__name__, "config": c.get_config()} for c in given]
        config = {**super().get_config(), "cells": cells}
        return {**config, "reverse_state_order": True} if self.reverse_state_order else config

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Layer:
        """Make a stack from what `get_config` returned."""
        from minikeras.layers import deserialize

        config = dict(config)
        cells: list[Any] = [deserialize(cell, custom_objects) for cell in config.pop("cells")]
        return cls(cells, **config)
