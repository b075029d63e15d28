"""Laying the weights of a model end to end, so that an update is a few passes over one vector.

A model of many layers has many small weights. An optimizer that visits them one by one pays
Python's price for each. Here all weights of one type become views into one vector, and their
gradients views into another: the optimizer, gradient clipping or an exchange between processes
then work on two arrays, whatever the number of layers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from minikeras.backend.variables import Variable
from minikeras.ops.memory import aligned_empty


class WeightBlock:
    """Variables of one type, laid end to end.

    Parameters
    ----------
    variables : iterable of Variable
        All of one dtype, each once.

    Attributes
    ----------
    variables : list of Variable
    values : ndarray, shape (size,)
        All values. Each variable's ``value`` is a view into it.
    gradients : ndarray, shape (size,)
        Room for all gradients, in the same order.

    Examples
    --------
    >>> a, b = Variable(np.ones((2, 2))), Variable(np.zeros(3))
    >>> block = WeightBlock([a, b])
    >>> block.values += 1
    >>> a.value.tolist(), b.value.tolist()
    ([[2.0, 2.0], [2.0, 2.0]], [1.0, 1.0, 1.0])
    """

    def __init__(self, variables: Iterable[Variable]) -> None:
        self.variables = list(variables)
        size = sum(v.size for v in self.variables)
        dtype = self.variables[0].dtype
        self.values = aligned_empty(size, dtype)
        self.gradients = aligned_empty(size, dtype)
        self.gradients.fill(0)
        self._views = self.split(self.values)
        self.claim()

    def __reduce__(self) -> tuple[Any, ...]:
        # Views don't survive pickling or a deep copy: each would come back as an array by itself.
        return type(self), (self.variables,)

    def split(self, vector: np.ndarray) -> list[np.ndarray]:
        """Return the piece of `vector` that belongs to each variable, in the variable's shape."""
        pieces, start = [], 0
        for variable in self.variables:
            stop = start + variable.size
            pieces.append(vector[start:stop].reshape(variable.shape))
            start = stop
        return pieces

    def claim(self) -> None:
        """Make each variable's value a view into `values` again, keeping what it holds.

        A variable can have got another array since the last time: a second model that shares
        the layer has laid it out for itself, or the model has been copied.
        """
        for variable, view in zip(self.variables, self._views, strict=True):
            if variable.value is not view:
                view[...] = variable.value
                variable.value = view


class WeightStore:
    """The trainable weights of a model in one block for each type (nearly always one).

    Parameters
    ----------
    variables : iterable of Variable
        A variable that is named twice counts once.

    Attributes
    ----------
    blocks : list of WeightBlock
    gradients : dict of Variable to ndarray
        Where the gradient of each variable goes.
    """

    def __init__(self, variables: Iterable[Variable]) -> None:
        by_dtype: dict[np.dtype, dict[Variable, None]] = {}
        for variable in variables:
            by_dtype.setdefault(variable.dtype, {})[variable] = None
        self._take([WeightBlock(group) for group in by_dtype.values()])

    def _take(self, blocks: list[WeightBlock]) -> None:
        self.blocks = blocks
        self.gradients: dict[Variable, np.ndarray] = {}
        for block in self.blocks:
            pieces = block.split(block.gradients)
            self.gradients.update(zip(block.variables, pieces, strict=True))

    def __getstate__(self) -> dict[str, list[WeightBlock]]:
        # The blocks themselves: an optimizer that is copied along must find them in the copy.
        return {"blocks": self.blocks}

    def __setstate__(self, state: dict[str, list[WeightBlock]]) -> None:
        self._take(state["blocks"])

    def claim(self) -> None:
        """See `WeightBlock.claim`."""
        for block in self.blocks:
            block.claim()
