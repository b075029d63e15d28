"""One step of training or testing: forward, loss, backward, update."""

from __future__ import annotations

import _thread
from collections.abc import Callable
from typing import Any

import numpy as np

from minikeras import losses
from minikeras.backend.random import RandomSource
from minikeras.backend.rows import RowGradient
from minikeras.backend.running import fixed_phase, inside
from minikeras.backend.store import WeightStore
from minikeras.backend.tape import Tensor, value_of
from minikeras.backend.variables import Variable
from minikeras.engine import Context, Workspace
from minikeras.loss_in_k import InTermsOfK
from minikeras.ops.blas import one_thread
from minikeras.optimizer_base import Optimizer, OptimizerState
from minikeras.training.measuring import apart, has_state, reset
from minikeras.training.weighting import coefficients


class Step:
    """What `compile` makes of a model, an optimizer, a loss and metrics.

    Parameters
    ----------
    model : Sequential
        Must be built.
    optimizer : Optimizer
    loss : callable
        ``loss(y_true, y_pred)``, one score per sample.
    metric_list, weighted_metric_list : list of (str, callable)
        Names and functions or metric objects; those of the second list count samples by their
        weights and are reported with ``weighted_`` before their name.
    previous : OptimizerState, optional
        What the optimizer kept of the weights before layers were added or taken away.

    Attributes
    ----------
    random : RandomSource
        Random numbers of training passes, to be renewed for each epoch.
    state : OptimizerState
        What the optimizer keeps of the weights.
    signature : tuple
        What the model was made of; another one asks for another step.
    names : list of str
        What `train` and `test` return: ``'loss'`` and the metrics.
    """

    def __init__(
        self,
        model: Any,
        optimizer: Optimizer,
        loss: Callable,
        loss_weight: float,
        metric_list: list[tuple[str, Callable]],
        weighted_metric_list: list[tuple[str, Callable]],
        previous: OptimizerState | None = None,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.loss = losses.pair(loss)
        self.loss_weight = loss_weight
        self.metrics = [(apart(fn), False) for _, fn in metric_list]
        self.metrics += [(apart(fn), True) for _, fn in weighted_metric_list]
        self.names = _numbered(
            ["loss"]
            + [name for name, _ in metric_list]
            + [f"weighted_{name}" for name, _ in weighted_metric_list]
        )
        objects = [fn for _, fn in metric_list + weighted_metric_list]
        self._stateful = {
            name: fn for name, fn in zip(self.names[1:], objects, strict=True) if has_state(fn)
        }
        self.signature = model.signature()
        self.fused_backward = losses.fused_backward(loss, model.fused_activation)
        self.trainable: list[Variable] = model.trainable_weights
        self.store = WeightStore(self.trainable)
        self.regularized = [w for w in model.weights if w.regularizer is not None]
        self.constrained = [w for w in self.trainable if w.constraint is not None]
        self.workspace = Workspace()
        self._training: Any = _thread.RLock()
        self._at_work = False
        self.random = RandomSource()
        self._equal: dict[Any, np.ndarray] = {}
        self.state = optimizer.build(self.store.blocks, previous)

    @property
    def stateful_names(self) -> list[str]:
        """The results that stand for the whole epoch so far, not for one batch."""
        return list(self._stateful)

    def reset_metrics(self) -> None:
        """Let the metrics with a state start a new epoch."""
        for metric in self._stateful.values():
            reset(metric)

    def train(self, x: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> list[float]:
        """Do one gradient update on a batch, and return the loss and the metrics before it."""
        # A lock of the thread's own: Ctrl-C between taking it and giving it back must not lock out
        # the one thread that trains.
        if not self._training.acquire(blocking=False):
            raise RuntimeError(
                f"Model '{self.model.name}' is being trained by another thread at the moment."
            )
        try:
            if self._at_work:
                raise RuntimeError(
                    f"Model '{self.model.name}' is being trained already, further up in this "
                    "thread: a loss or a metric can't train it."
                )
            self._at_work = True
            with one_thread():
                by_rows: dict[Variable, RowGradient] = {}
                results, ctx = self._differentiate(x, y, weights, by_rows)
                # A user's own optimizer may define this for the state alone.
                self.optimizer.apply_gradients(self.state, *([by_rows] if by_rows else []))
                for weight in self.constrained:
                    weight.assign(weight.constraint(weight.value))
            ctx.finish()
        finally:
            self.let_others_train()
        return results

    def let_others_train(self) -> None:
        """Give the model back, also after a Ctrl-C that came between taking it and using it."""
        self._at_work = False
        while self._training._is_owned():
            self._training.release()

    def compute_gradients(
        self,
        x: np.ndarray,
        y: np.ndarray,
        weights: np.ndarray | None,
        row_gradients: dict[Variable, RowGradient] | None = None,
        training: bool = True,
    ) -> list[float]:
        """Write the gradients of a batch to the store, and return the loss and the metrics.

        The states that layers keep do not change. In training, the moving averages of a
        `BatchNormalization` do.

        Parameters
        ----------
        row_gradients : dict, optional
            Where gradients go that have few rows, in place of the store; see
            `Context.add_rows`. Default: all go to the store.
        training : bool
            Whether layers behave as in training. Default True.
        """
        return self._differentiate(x, y, weights, row_gradients, training)[0]

    def _differentiate(
        self,
        x: np.ndarray,
        y: np.ndarray,
        weights: np.ndarray | None,
        row_gradients: dict[Variable, RowGradient] | None,
        training: bool = True,
    ) -> tuple[list[float], Context]:
        """Compute gradients in a pass that is still to be finished."""
        self.store.claim()
        self.workspace.begin(x.shape)
        ctx = Context(
            training=fixed_phase(training),
            gradients=self.store.gradients,
            workspace=self.workspace,
            random=self.random,
            row_gradients=row_gradients,
        )
        y_pred, residual = self.model.propagate(x, ctx)
        score, pull = self._score(x, y, y_pred, ctx)
        loss, share = self._loss(score, y_pred, weights, ctx)
        results = [loss, *self._metrics(y, y_pred, weights, ctx)]
        self._backward(pull, share, residual, ctx)
        return results, ctx

    def test(
        self,
        x: np.ndarray,
        y: np.ndarray,
        weights: np.ndarray | None,
        workspace: Workspace | None = None,
    ) -> list[float]:
        """Return the loss and the metrics of a batch. Several threads may test at once."""
        if workspace is not None:
            workspace.begin(x.shape)
        ctx = Context(fixed_phase(False), workspace=workspace, records=False)
        with one_thread():
            y_pred, _ = self.model.propagate(x, ctx)
            if isinstance(self.loss, InTermsOfK):
                part = ctx.part(mask=ctx.mask)
                part.records = True  # a loss may use K.gradients
                with inside(part):
                    score = self.loss.forward(y, y_pred, lambda: self._feeds(x))
            else:
                score = np.asarray(self.loss.forward(y, y_pred))
            loss, _ = self._loss(score, y_pred, weights, ctx)
            results = [loss, *self._metrics(y, y_pred, weights, ctx)]
        ctx.finish()
        return results

    def _feeds(self, x: np.ndarray) -> dict[int, Any]:
        """Return what stands for ``model.input`` in a loss that uses the output of a layer."""
        return {id(self.model.input): Tensor(x)}

    def _score(
        self, x: np.ndarray, y: np.ndarray, y_pred: np.ndarray, ctx: Context
    ) -> tuple[np.ndarray, Any]:
        """Return the scores of the loss, and how to go back from them.

        The latter is a function of what each score counts for. It gives the gradient of the
        prediction or, with a fused derivative, that before the last activation.
        """
        if isinstance(self.loss, InTermsOfK):
            score, kept = self.loss.record(y, y_pred, ctx, lambda: self._feeds(x))
            return score, lambda share: self.loss.pull(share, kept, ctx)
        out = ctx.empty(y_pred.shape, y_pred.dtype)
        back = self.fused_backward or self.loss.backward
        return np.asarray(self.loss.forward(y, y_pred)), lambda share: back(
            share, y, y_pred, out=out
        )

    def _loss(
        self, score: np.ndarray, y_pred: np.ndarray, weights: np.ndarray | None, ctx: Context
    ) -> tuple[float, np.ndarray]:
        """Return the loss with all penalties, and what each score of the loss counts for in it."""
        share = self._coefficients(score.shape, y_pred.dtype, weights, ctx.mask)
        if self.loss_weight != 1:
            share = share * y_pred.dtype.type(self.loss_weight)
        penalties = ctx.loss + sum(w.regularizer(w.value) for w in self.regularized)
        return _weighted_sum(score, share) + float(penalties), share

    def _metrics(
        self, y: np.ndarray, y_pred: np.ndarray, weights: np.ndarray | None, ctx: Context
    ) -> list[float]:
        """Return the metrics of a prediction."""
        results = []
        for fn, weighted in self.metrics:
            score = np.asarray(value_of(fn(y, y_pred)))
            by = weights if weighted else None
            if score.ndim == 0 and by is None:
                results.append(float(score))
            elif by is None and ctx.mask is None:
                results.append(float(np.add.reduce(score, axis=None)) / score.size)
            else:
                share = self._coefficients(score.shape, y_pred.dtype, by, ctx.mask)
                results.append(_weighted_sum(score, share))
        return results

    def _backward(
        self, pull: Callable[..., Any], share: np.ndarray, residual: Any, ctx: Context
    ) -> None:
        """Write the gradient of every trainable weight."""
        ctx.needs_input_gradient = False
        if self.fused_backward is not None:
            self.model.backward_logits(pull(share), residual, ctx)
        else:
            self.model.backpropagate(pull(share), residual, ctx)
        ctx.finish_gradients()
        for weight in self.regularized:
            if ctx.wants(weight):
                weight.regularizer.add_gradient(weight.value, self.store.gradients[weight])

    def _coefficients(
        self, shape: tuple[int, ...], dtype: Any, weights: Any, mask: Any
    ) -> np.ndarray:
        """Return `coefficients`, remembered for the case in which all samples count the same."""
        if weights is not None or mask is not None:
            return coefficients(shape, dtype, weights, mask)
        found = self._equal.get((shape, dtype))
        if found is None:
            if len(self._equal) > 64:
                self._equal.clear()
            found = coefficients(shape, dtype)
            found.flags.writeable = False  # a loss of the user's gets it, and must not change it
            self._equal[shape, dtype] = found
        return found


def _numbered(names: list[str]) -> list[str]:
    """Tell equal names apart as Keras does: the second gets ``_1`` behind it."""
    found: list[str] = []
    for name in names:
        candidate, number = name, 0
        while candidate in found:
            number += 1
            candidate = f"{name}_{number}"
        found.append(candidate)
    return found


def _weighted_sum(score: np.ndarray, share: np.ndarray) -> float:
    return float(np.dot(score.reshape(-1), share.reshape(-1)))
