"""What an optimizer keeps of a model's weights, and the pieces in which it works on all of it.

The vectors of a model (see `minikeras.backend.store`) are cut into pieces that fit the
processor's cache. A variable whose gradient comes by its rows is cut between rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minikeras.backend.rows import RowGradient
from minikeras.backend.store import WeightBlock
from minikeras.backend.variables import Variable
from minikeras.ops.memory import aligned_empty

# How many weights one piece has, about. A step makes a dozen passes over a piece, and between two
# of them a thread needs the interpreter lock: in much smaller pieces two threads wait for each
# other all the time. In much larger ones the arrays no longer stay in cache between the passes.
PIECE = 196608

# Where a gradient has few rows, these are brought together before they are worked on. That pays
# for more rows than there are in one piece.
ROW_PIECE = 4 * PIECE


class RowRange(NamedTuple):
    """Which rows of which variable a piece holds."""

    variable: Variable
    start: int
    stop: int


class Piece(NamedTuple):
    """A part of the weights, and what belongs to it.

    Parameters
    ----------
    value : ndarray, shape (n,)
    gradient : ndarray, shape (n,), or RowRange
        A range stands for the gradient's rows that fall into it.
    slots : list of ndarray, shape (n,)
    """

    value: np.ndarray
    gradient: np.ndarray | RowRange
    slots: list[np.ndarray]


class OptimizerState:
    """The weights of a model together with what an optimizer keeps of each.

    Parameters
    ----------
    blocks : sequence of WeightBlock
    slots : tuple of str
        Names of what is kept.
    previous : OptimizerState, optional
        Where to take over the slots of weights that are in both.

    Attributes
    ----------
    size : int
        How many weights there are.
    """

    def __init__(
        self,
        blocks: Sequence[WeightBlock],
        slots: tuple[str, ...],
        previous: OptimizerState | None = None,
    ) -> None:
        self._blocks = list(blocks)
        self._vectors = [[_zeros_like(b.values) for _ in slots] for b in self._blocks]
        self.size = sum(b.values.size for b in self._blocks)
        self._pieces: dict[frozenset[Variable], list[Piece]] = {}
        before = previous.slots_by_variable() if previous is not None else {}
        for variable, views in self.slots_by_variable().items():
            for view, old in zip(views, before.get(variable, ()), strict=False):
                view[...] = old

    def slots_by_variable(self) -> dict[Variable, list[np.ndarray]]:
        """Return what is kept for each weight, as views in the order of the slots."""
        found: dict[Variable, list[np.ndarray]] = {}
        for block, vectors in zip(self._blocks, self._vectors, strict=True):
            per_slot = [block.split(vector) for vector in vectors]
            for variable, *views in zip(block.variables, *per_slot, strict=True):
                found[variable] = views
        return found

    def gradients_by_variable(self) -> dict[Variable, np.ndarray]:
        """Return where the gradient of each weight lies."""
        found: dict[Variable, np.ndarray] = {}
        for block in self._blocks:
            found.update(zip(block.variables, block.split(block.gradients), strict=True))
        return found

    def pieces(self, by_rows: frozenset[Variable] = frozenset()) -> list[Piece]:
        """Return values, gradients and slots cut into pieces; cut once and kept.

        Parameters
        ----------
        by_rows : frozenset of Variable
            The variables whose gradients come by their rows. Default: none.
        """
        if by_rows not in self._pieces:
            self._pieces.clear()  # one way to cut is all that a training needs
            self._pieces[by_rows] = [
                Piece(
                    block.values[start:stop],
                    block.gradients[start:stop] if rows is None else rows,
                    [vector[start:stop] for vector in vectors],
                )
                for block, vectors in zip(self._blocks, self._vectors, strict=True)
                for start, stop, rows in _cuts(block.variables, by_rows)
            ]
        return self._pieces[by_rows]

    def __getstate__(self) -> dict[str, Any]:
        # The pieces are views: a copy must cut its own.
        return {**self.__dict__, "_pieces": {}}


def all_gradients(
    pieces: Sequence[Piece], row_gradients: Mapping[Variable, RowGradient]
) -> list[np.ndarray]:
    """Return every gradient that is not known to be zero, in vectors of a piece's length."""
    found = [piece.gradient for piece in pieces if isinstance(piece.gradient, np.ndarray)]
    for _, values in row_gradients.values():
        vector = values.reshape(-1)
        found += [vector[i : i + PIECE] for i in range(0, len(vector), PIECE)]
    return found


def _cuts(
    variables: Sequence[Variable], by_rows: frozenset[Variable]
) -> Iterator[tuple[int, int, RowRange | None]]:
    """Yield where each piece of a block starts and stops, and which rows it holds, if any."""
    start = stop = 0
    for variable in variables:
        if variable in by_rows:
            yield from _equal_cuts(start, stop)
            yield from _row_cuts(stop, variable)
            start = stop + variable.size
        stop += variable.size
    yield from _equal_cuts(start, stop)


def _equal_cuts(start: int, stop: int) -> Iterator[tuple[int, int, None]]:
    length = _piece_length(stop - start, PIECE)
    for first in range(start, stop, length):
        yield first, min(first + length, stop), None


def _row_cuts(start: int, variable: Variable) -> Iterator[tuple[int, int, RowRange]]:
    count, width = len(variable.value), variable.size // len(variable.value)
    height = -(-_piece_length(variable.size, ROW_PIECE) // width)
    for first in range(0, count, height):
        last = min(first + height, count)
        yield start + first * width, start + last * width, RowRange(variable, first, last)


def _piece_length(size: int, piece: int) -> int:
    """Return how long the pieces of a vector are: equal, and one or an even number of them.

    It depends on the size only, and not on the number of threads.
    """
    # A second thread is worth its wake-up call from about 300 thousand weights on.
    count = 1 if size < 1.5 * piece else 2 * max(1, round(size / (2 * piece)))
    # A multiple of 16 lets each piece start at a cache line, as the whole vector does.
    return max(16, -(-size // (16 * count)) * 16)


def _zeros_like(vector: np.ndarray) -> np.ndarray:
    zeros = aligned_empty(vector.size, vector.dtype)
    zeros.fill(0)
    return zeros
