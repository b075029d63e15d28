"""`Context`: what one pass through a network carries from layer to layer.

A layer keeps nothing between its forward and its backward pass, so several threads can use one
model at the same time. What is neither input nor weight travels in the context: whether this is
training, where the gradients go, memory to write into, random numbers, the mask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minikeras.backend.config import check_numerics
from minikeras.backend.random import RandomSource
from minikeras.backend.rows import RowGradient
from minikeras.backend.variables import Variable

_NO_GRADIENTS: Mapping[Variable, np.ndarray] = {}

# Gradients by rows are kept as such from so many weights on. Below, the whole is as quick.
ROWS_FROM = 1 << 18


class Workspace:
    """Memory for the arrays of a pass, used again by the next pass of the same kind.

    A pass over the same layers asks for the same arrays in the same order. So the n-th request
    gets the array of the n-th request of the last time, without a search, if shape and type
    still agree. In a steady state nothing is allocated.

    The arrays belong to the pass: whoever keeps one for longer must copy it.

    Examples
    --------
    >>> workspace = Workspace()
    >>> workspace.begin("train")
    >>> first = workspace.empty((2, 3), np.float32)
    >>> workspace.begin("train")
    >>> workspace.empty((2, 3), np.float32) is first
    True
    """

    #: Kinds of pass whose memory is kept, such as those over a full batch and the last one.
    MAX_PLANS = 4

    def __init__(self) -> None:
        self._plans: dict[Any, list[np.ndarray]] = {}
        self._plan: list[np.ndarray] = []
        self._next = 0

    def begin(self, kind: Any) -> None:
        """Start a pass. Passes of the same `kind` (hashable) share memory with each other."""
        plan = self._plans.get(kind)
        if plan is None:
            if len(self._plans) == self.MAX_PLANS:
                del self._plans[next(iter(self._plans))]
            plan = self._plans[kind] = []
        self._plan = plan
        self._next = 0

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return an array with arbitrary content, like `numpy.empty`."""
        index = self._next
        self._next = index + 1
        plan = self._plan
        if index < len(plan):
            array = plan[index]
            if array.shape == shape and array.dtype == dtype:
                return array
            del plan[index:]
        array = np.empty(shape, dtype)
        plan.append(array)
        return array

    def clear(self) -> None:
        """Give all memory back."""
        self._plans.clear()
        self._plan = []


class Context:
    """One pass through a network, forward and, if gradients are asked for, backward.

    Parameters
    ----------
    training : bool
        Whether layers behave as in training (dropout drops, batch statistics are used).
    gradients : dict of Variable to ndarray, optional
        Which variables' gradients are wanted, and where each goes. Default: none.
    workspace : Workspace, optional
        Where arrays come from. Default: fresh memory for each.
    mask : ndarray, optional
        Boolean, ``(batch, steps)``: which time steps count. Layers replace it as it travels.
    random : RandomSource, optional
        Where random numbers come from. Default: a generator for this pass alone.
    row_gradients : dict of Variable to RowGradient, optional
        Where gradients may go that have few rows, in place of the array in `gradients`: see
        `add_rows`. Default: every gradient is written out in full.
    records : bool
        Whether there will be a backward pass. Where there will not, what is written in `K`
        functions keeps nothing for it. Default True.

    Attributes
    ----------
    training, mask, records
        As above.
    needs_input_gradient : bool
        In a backward pass: whether the layer at work must return the gradient of its input.
    frozen : bool
        Whether the layers at work belong to a model with ``trainable = False``, and so leave
        their statistics alone. Containers set it.
    loss : float
        Sum of the penalties that layers have added.
    empty : callable
        ``empty(shape, dtype)`` gives an array with arbitrary content that is valid until the
        pass is over.
    losses : list of Tensor or None
        Penalties that a layer written in `K` functions has added, while one is at work.
    memo : dict
        What a layer makes once in a pass, such as a pattern of dropout that is the same at all
        time steps, under a key of its own.
    check_numerics : bool
        Whether to look for NaN and infinity on the way.

    Examples
    --------
    >>> weight = Variable(np.zeros(2))
    >>> ctx = Context(training=True, gradients={weight: np.empty(2)})
    >>> ctx.gradient(weight).shape
    (2,)
    >>> Context().gradient(weight) is None
    True
    """

    __slots__ = (
        "_at_end",
        "_extra",
        "_gradients",
        "_random",
        "_row_gradients",
        "_written",
        "check_numerics",
        "empty",
        "frozen",
        "loss",
        "losses",
        "mask",
        "memo",
        "needs_input_gradient",
        "records",
        "training",
    )

    def __init__(
        self,
        training: bool = False,
        gradients: Mapping[Variable, np.ndarray] | None = None,
        workspace: Workspace | None = None,
        mask: np.ndarray | None = None,
        random: RandomSource | None = None,
        row_gradients: dict[Variable, RowGradient] | None = None,
        records: bool = True,
    ) -> None:
        self.training = training
        self.mask = mask
        self.records = records
        self.needs_input_gradient = True
        self.frozen = False
        self.loss = 0.0
        self.losses: list[Any] | None = None
        self.memo: dict[Any, Any] = {}
        self._at_end: list[Callable[[], None]] = []
        self.check_numerics = check_numerics()
        self.empty: Callable[..., np.ndarray] = workspace.empty if workspace else np.empty
        self._gradients = _NO_GRADIENTS if gradients is None else gradients
        self._written: set[Variable] = set()
        self._extra: dict[Variable, np.ndarray] = {}
        self._row_gradients = row_gradients
        self._random = RandomSource() if random is None else random

    @property
    def generator(self) -> np.random.Generator:
        """Random numbers for this pass, governed by ``np.random.seed``."""
        return self._random.generator

    def part(
        self,
        gradients: Mapping[Variable, np.ndarray] | None = None,
        training: bool | None = None,
        mask: np.ndarray | None = None,
    ) -> Context:
        """Return a context for a part of this pass that has gradients, phase or mask of its own.

        Parameters
        ----------
        gradients : dict of Variable to ndarray, optional
            As for `Context`. Default: none.
        training : bool, optional
            Default: as in the whole pass.
        mask : ndarray, optional
            Default: none.
        """
        training = self.training if training is None else training
        part = Context(training, gradients, mask=mask, random=self._random, records=self.records)
        # A part that is in training by itself, in a pass that is not, changes nothing.
        part.frozen = self.frozen or (training and not self.training)
        part.memo = self.memo
        part.empty = self.empty
        part._at_end = self._at_end
        return part

    def leave_all_as_it_is(self) -> None:
        """Have layers change neither averages nor states: this computes something again."""
        self.frozen = True
        self._at_end = []

    def at_end(self, action: Callable[[], None]) -> None:
        """Have something done when the whole pass has succeeded, such as keeping new states."""
        self._at_end.append(action)

    def finish(self) -> None:
        """Do what layers have left for the end of the pass."""
        for action in self._at_end:
            action()
        self._at_end.clear()

    def add_loss(self, value: float) -> None:
        """Add a penalty to the loss of this pass."""
        self.loss += value

    def wants(self, variable: Variable) -> bool:
        """Return whether anybody wants the gradient of `variable`."""
        return variable in self._gradients

    def want_also(self, gradients: Mapping[Variable, np.ndarray]) -> None:
        """Want the gradients of further variables, which go to the given arrays."""
        self._gradients = {**self._gradients, **gradients}

    def gradient(self, variable: Variable) -> np.ndarray | None:
        """Return the array into which to write the gradient of `variable`, None if unwanted.

        The caller overwrites all of it, before anybody asks for the same variable again. Where a
        variable is used several times in one pass, all callers but the first get one array in
        turn: what the last one wrote is added to the rest when the next one asks, and at the end.
        """
        target = self._gradients.get(variable)
        if target is None or variable not in self._written:
            self._written.add(variable)
            return target
        self._write_rows(variable)
        extra = self._extra.get(variable)
        if extra is None:
            extra = self._extra[variable] = self.empty(target.shape, target.dtype)
        else:
            target += extra
        return extra

    def add_gradient(self, variable: Variable, value: np.ndarray) -> None:
        """Write `value` as the gradient of `variable`, if it is wanted.

        This is the simple way. ``out=ctx.gradient(variable)`` saves a copy of a large gradient.

        Raises
        ------
        ValueError
            If the shapes differ.
        """
        target = self.gradient(variable)
        if target is not None:
            if np.shape(value) != target.shape:
                raise ValueError(
                    f"The gradient of '{variable.name}' must have its shape {target.shape}, got "
                    f"{np.shape(value)}."
                )
            target[...] = value

    def add_rows(self, variable: Variable, rows: np.ndarray, values: np.ndarray) -> None:
        """Hand over a gradient of `variable` that is zero but for some rows, if it is wanted.

        Where the pass allows it, it stays in this form, and the optimizer need not look at the
        other rows. Else it is written out.

        Parameters
        ----------
        variable : Variable
        rows : ndarray of int, shape (k,)
            The numbers of these rows along the first axis: each once, in ascending order.
        values : ndarray, shape (k, ...)
            Their gradients. They are used up: the memory must stay valid until the weights have
            changed, as that of `empty` does.
        """
        target = self._gradients.get(variable)
        if target is None:
            return
        if variable in self._written:
            self._write_rows(variable)
            target[rows] += values
            return
        self._written.add(variable)
        gradient = RowGradient(rows, values)
        # A regularizer's gradient has all rows.
        if self._row_gradients is None or variable.regularizer or target.size < ROWS_FROM:
            gradient.write_to(target)
        else:
            self._row_gradients[variable] = gradient

    def _write_rows(self, variable: Variable) -> None:
        """Write out a gradient that was kept by its rows, since another is to be added."""
        kept = self._row_gradients.pop(variable, None) if self._row_gradients else None
        if kept is not None:
            kept.write_to(self._gradients[variable])

    def finish_gradients(self) -> None:
        """Complete the gradients after the backward pass.

        Adds the contributions of layers used more than once, and zeroes what nobody wrote.
        """
        for variable, extra in self._extra.items():
            target = self._gradients[variable]
            target += extra
        self._extra.clear()
        if not self._gradients.keys() <= self._written:
            for variable, target in self._gradients.items():
                if variable not in self._written:
                    target[...] = 0
