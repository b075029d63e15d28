"""`add_loss` and `add_update`: what a layer adds to the loss, and what it changes in training."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from minikeras.backend.backpropagation import hand_over
from minikeras.backend.context import Context
from minikeras.backend.function import recompute
from minikeras.backend.operators import TensorLike
from minikeras.backend.running import current, inside
from minikeras.backend.tape import Tensor, value_of
from minikeras.backend.updates import is_update
from minikeras.backend.variables import Variable
from minikeras.engine.weights import all_layers
from minikeras.regularizers import penalty


class HasPenalties:
    """What a layer adds to the loss of its own accord; a part of `Layer`."""

    trainable: bool
    _described: Callable[[], str]
    #: Functions of the weights that were added outside of `call`.
    _penalties: tuple[Callable[[], Any], ...] = ()

    def add_loss(self, losses: Any, inputs: Any = None) -> None:
        """Add penalties to the loss.

        In `call`, tensors that depend on the input, anew in each pass. In `build` or the
        constructor, functions without arguments that give a penalty, or expressions of weights;
        they hold for all passes.

        Parameters
        ----------
        losses : TensorLike, number, callable or list of these
            If a tensor is no single number, the sum of its entries counts. Prefer an expression to
            a function that holds on to the layer: a copy of the layer would penalise the weights
            of the original.
        inputs : object, optional
            What the losses depend on. Accepted, as in Keras; the tape knows it.

        Examples
        --------
        >>> from minikeras import backend as K
        >>> from minikeras.engine import Layer
        >>> class Sparse(Layer):
        ...     def call(self, x):
        ...         self.add_loss(0.01 * K.sum(K.abs(x)))
        ...         return x
        """
        del inputs
        if losses is None:
            return
        ctx = current()
        for loss in losses if isinstance(losses, (list, tuple)) else [losses]:
            if ctx is None:
                self._penalties += (_as_function(loss, self),)
            elif ctx.losses is not None:
                ctx.losses.append(_total(loss() if callable(loss) else loss))

    @property
    def losses(self: Any) -> list[Any]:
        """The penalties on weights, as expressions of them, for a training loop of one's own."""
        regularized = [w for w in self.weights if w.regularizer is not None]
        return [
            *(penalty(weight, weight.regularizer) for weight in regularized),
            *(function() for layer in all_layers(self) for function in layer._penalties),
        ]

    def _compute_penalties(self, ctx: Context) -> list[Any]:
        """Compute the penalties that hold for all passes, once in each."""
        if (self, "penalties") in ctx.memo:  # a layer that is used twice has one set of weights
            return []
        ctx.memo[self, "penalties"] = True
        with inside(ctx):
            return [_total(function()) for function in self._penalties]

    def _begin_penalties(self, ctx: Context) -> list[Any]:
        """Add the penalties that hold for all passes to the loss."""
        losses = self._compute_penalties(ctx)
        ctx.loss += sum(float(value_of(loss)) for loss in losses)
        return losses

    def _end_penalties(self, losses: list[Any], ctx: Context) -> None:
        """Hand over their gradients."""
        tensors = [loss for loss in losses if isinstance(loss, TensorLike)]
        seeds = [(loss, np.ones_like(loss.value)) for loss in tensors]
        hand_over(seeds, [], ctx)

    def add_update(self, updates: Any, inputs: Any = None) -> None:
        """Have variables changed after each step of training; to be called in `call`.

        A frozen layer leaves them as they are, and so do `evaluate` and `predict`.

        Parameters
        ----------
        updates : Update, (Variable, value) or list of these
            What `K.update`, `K.moving_average_update` and their kin return.
        inputs : object, optional
            What the updates depend on. Accepted, as in Keras, and not needed.

        Raises
        ------
        RuntimeError
            If there is no pass: use `K.set_value` to change a variable at once.
        """
        del inputs
        if updates is None:
            return
        ctx = current()
        if ctx is None:
            raise RuntimeError(
                f"{self._described()}: add_update belongs into call. To change a variable at once "
                "use K.set_value."
            )
        for update in [updates] if is_update(updates) else updates:
            if not is_update(update):
                raise TypeError(
                    f"{self._described()}: an update is a pair (variable, new value), or what "
                    f"K.update returns in a call; got {update!r}."
                )
            variable, new = update
            if ctx.training and self.trainable and not ctx.frozen:
                kept = np.array(value_of(new))
                ctx.at_end(lambda variable=variable, kept=kept: variable.assign(kept))


def _total(loss: Any) -> Any:
    """Return a penalty as a single number."""
    return loss.sum() if getattr(loss, "ndim", 0) else loss


def _as_function(loss: Any, layer: Any) -> Callable[[], Any]:
    """Return what computes a penalty anew in each pass."""
    if callable(loss):
        return loss
    if isinstance(loss, Tensor):
        return functools.partial(recompute, loss)
    if isinstance(loss, Variable):
        return lambda: loss + 0
    if isinstance(loss, (int, float, np.number)):
        return lambda: loss
    raise TypeError(
        f"{layer._described()}: a loss that is added outside of call must be an expression of "
        f"weights, or a function without arguments; got {loss!r}."
    )
