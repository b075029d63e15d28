"""A gradient that is zero but for a few rows, as where a batch uses little of a large table."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class RowGradient(NamedTuple):
    """The gradient of a variable by the rows, along its first axis, that are not zero.

    Parameters
    ----------
    rows : ndarray of int, shape (k,)
        Their numbers: each once, in ascending order.
    values : ndarray, shape (k, ...)
        Their gradients.

    Examples
    --------
    >>> gradient = RowGradient(np.array([1, 3]), np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> gradient.write_to(np.full((4, 2), 9.0)).tolist()
    [[0.0, 0.0], [1.0, 2.0], [0.0, 0.0], [3.0, 4.0]]
    >>> gradient.between(2, 4)
    RowGradient(rows=array([1]), values=array([[3., 4.]]))
    """

    rows: np.ndarray
    values: np.ndarray

    def write_to(self, target: np.ndarray) -> np.ndarray:
        """Write the whole gradient, with its zeros, to `target`, and return that."""
        target.fill(0)
        target[self.rows] = self.values
        return target

    def between(self, start: int, stop: int) -> RowGradient:
        """Return the part for the rows from `start` up to `stop`, counted from `start`."""
        first, last = np.searchsorted(self.rows, (start, stop))
        return RowGradient(self.rows[first:last] - start, self.values[first:last])
