"""The loops: over epochs and batches in `fit`, over batches in `evaluate` and `predict`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from minikeras import callbacks as cb
from minikeras.backend.running import fixed_phase
from minikeras.callbacks.history import names_of_results
from minikeras.engine import Context, Workspace
from minikeras.ops.blas import one_thread, restore
from minikeras.training.step import Step
from minikeras.utils.progress import Bar


def fit_loop(
    model: Any,
    step: Step,
    source: Any,
    epochs: int,
    verbose: int,
    callbacks: Iterable[Any],
    validation: Any,
    initial_epoch: int,
) -> cb.History:
    """Train, and return the history.

    Parameters
    ----------
    model : Sequential
    step : Step
    source, validation : source of batches
        See `minikeras.training.data`; `validation` may be None.
    epochs, initial_epoch : int
        Epochs ``initial_epoch`` to ``epochs - 1`` are run.
    verbose : {0, 1, 2}
    callbacks : iterable of Callback
    """
    history = cb.History()
    progress = cb.ProgbarLogger() if verbose else None
    chain = [cb.BaseLogger(), *([progress] if progress else []), *callbacks, history]
    params = {
        "batch_size": source.batch_size,
        "epochs": epochs,
        "steps": source.steps,
        "samples": source.samples,
        "verbose": verbose,
        "do_validation": validation is not None,
        "metrics": names_of_results(step.names, validation is not None),
    }
    hooks = cb.CallbackList(chain, model, params)
    for callback in chain:
        callback.validation_data = None if validation is None else validation.arrays()
    model.history = history
    model.stop_training = False
    if verbose:
        held_out = f", validate on {validation.samples} samples" if validation is not None else ""
        print(f"Train on {source.samples} samples{held_out}")
    try:
        hooks("on_train_begin", {})
        for epoch in range(initial_epoch, epochs):
            hooks("on_epoch_begin", epoch, cb.Logs())
            _train_epoch(model, step, source, hooks)
            logs = cb.Logs()
            if validation is not None and not model.stop_training:
                results = evaluate_loop(step, validation)
                logs.update(zip(params["metrics"][len(step.names) :], results, strict=True))
            hooks("on_epoch_end", epoch, logs)
            if model.stop_training:
                break
        hooks("on_train_end", {})
    finally:
        # Reached by Ctrl-C too: the history keeps the epochs that were completed.
        restore()
        if progress is not None:
            progress.close()
        step.workspace.clear()
    return history


def _train_epoch(model: Any, step: Step, source: Any, hooks: cb.CallbackList) -> None:
    """Train on each batch once."""
    step.random.renew()
    for index, (x, y, weights) in enumerate(source.batches()):
        size = len(x)
        hooks("on_batch_begin", index, {"batch": index, "size": size})
        results = step.train(x, y, weights)
        logs = cb.Logs(zip(step.names, results, strict=True), batch=index, size=size)
        hooks("on_batch_end", index, logs)
        if model.stop_training:
            break


def evaluate_loop(step: Step, source: Any, verbose: int = 0) -> list[float]:
    """Return the loss and the metrics over all batches, weighted by their sizes."""
    totals = [0.0] * len(step.names)
    workspace = Workspace()
    with _bar(source, verbose) as bar:
        for x, y, weights in source.batches():
            results = step.test(x, y, weights, workspace)
            totals = [t + result * len(x) for t, result in zip(totals, results, strict=True)]
            bar.add(len(x), {})
    return [total / max(1, source.samples) for total in totals]


def predict_loop(model: Any, source: Any, verbose: int = 0) -> np.ndarray:
    """Return the model's output for all batches, in one array."""
    workspace = Workspace()
    result: np.ndarray | None = None
    done = 0
    with _bar(source, verbose) as bar:
        for x, _, _ in source.batches():
            workspace.begin(x.shape)
            with one_thread():
                ctx = Context(fixed_phase(False), workspace=workspace, records=False)
                y, _ = model.propagate(x, ctx)
                ctx.finish()
            if result is None:
                result = np.empty((source.samples, *y.shape[1:]), y.dtype)
            result[done : done + len(x)] = y
            done += len(x)
            bar.add(len(x), {})
    assert result is not None
    return result


class _NoBar:
    """What stands for a progress bar where none is wanted."""

    def __enter__(self) -> _NoBar:
        return self

    def __exit__(self, *exc_info: object) -> None:
        return None

    def add(self, count: int, values: dict[str, float]) -> None:
        """Show nothing."""


def _bar(source: Any, verbose: int) -> Bar | _NoBar:
    return Bar(source.samples) if verbose else _NoBar()
