"""The loops: over epochs and batches in `fit`, over batches in `evaluate` and `predict`.

They know the data only as sources of batches; see `minikeras.training.sources`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any

import numpy as np

from minikeras import callbacks as cb
from minikeras.backend.running import fixed_phase
from minikeras.callbacks.calling import CallbackList
from minikeras.callbacks.history import names_of_results
from minikeras.engine import Context, Workspace
from minikeras.ops.blas import one_thread, restore
from minikeras.training.arguments import whole
from minikeras.training.data import warn_of_nan
from minikeras.training.step import Step
from minikeras.utils.progress import Bar, say


def fit_loop(
    model: Any,
    step: Step,
    source: Any,
    epochs: int,
    verbose: int,
    callbacks: Iterable[Any],
    validation: Any,
    initial_epoch: int,
    validates: Callable[[int], bool] = lambda epoch: True,
) -> cb.History:
    """Train, and return the history.

    Parameters
    ----------
    model : Sequential
    step : Step
    source, validation : source of batches
        `validation` may be None. Both are closed at the end, whatever happens.
    epochs, initial_epoch : int
        Epochs ``initial_epoch`` to ``epochs - 1`` are run. A callback that has an int
        `resume_epoch` after ``on_train_begin`` may have the training start later.
    verbose : {0, 1, 2}
    callbacks : iterable of Callback
    validates : callable, optional
        Whether an epoch, counted from 0, ends with validation. Default: each.
    """
    history = cb.History()
    progress = _progress(step, source) if verbose else None
    chain = [
        cb.BaseLogger(stateful_metrics=step.stateful_names),
        *([progress] if progress else []),
        *(callback for callback in callbacks if not _runs_last(callback)),
        history,
        *filter(_runs_last, callbacks),
    ]
    params = _params(step, source, epochs, verbose, validation)
    model.history = history
    model.stop_training = warned = False
    try:
        hooks = CallbackList(chain, model=model, params=params)
        held_out = None if validation is None else validation.arrays()
        for callback in callbacks:
            callback.validation_data = held_out
        if verbose and source.samples and validation is not None and validation.samples:
            say(f"Train on {source.samples} samples, validate on {validation.samples} samples")
        hooks("on_train_begin", {})
        resumed = (whole(getattr(callback, "resume_epoch", None)) for callback in callbacks)
        initial_epoch = max(initial_epoch, *(epoch or 0 for epoch in resumed), 0)
        for epoch in range(initial_epoch, epochs):
            hooks("on_epoch_begin", epoch, cb.Logs())
            _train_epoch(model, step, source, hooks)
            logs = cb.Logs()
            if validation is not None and validates(epoch) and not model.stop_training:
                results = evaluate_loop(step, validation, hooks=hooks)
                logs.update(zip(params["metrics"][len(step.names) :], results, strict=True))
            hooks("on_epoch_end", epoch, logs)
            if model.stop_training:
                break
            warned = warned or warn_of_nan(epoch, history.history, source.arrays)
        hooks("on_train_end", {})
    finally:
        # Reached by Ctrl-C too: the history keeps the epochs that were completed.
        restore()
        step.let_others_train()
        source.close()
        if validation is not None:
            validation.close()
        if progress is not None:
            progress.close()
        step.workspace.clear()
    return history


def _runs_last(callback: Any) -> bool:
    return getattr(callback, "runs_last", False)


def _progress(step: Step, source: Any) -> cb.ProgbarLogger:
    count = "samples" if source.samples and not source.repeats else "steps"
    return cb.ProgbarLogger(count, stateful_metrics=step.stateful_names)


def _params(step: Step, source: Any, epochs: int, verbose: int, validation: Any) -> dict[str, Any]:
    """Return what callbacks are told; as in Keras, not more than is needed to count with."""
    by_steps = source.samples is None or source.repeats is not None
    known = {"batch_size": None if by_steps else source.batch_size, "samples": source.samples}
    return {
        **({} if source.samples is None else known),
        "epochs": epochs,
        "steps": source.steps if by_steps else None,
        "verbose": verbose,
        "do_validation": validation is not None,
        "metrics": names_of_results(step.names, validation is not None),
    }


def _train_epoch(model: Any, step: Step, source: Any, hooks: CallbackList) -> None:
    """Train on each batch once."""
    # Who makes batches ahead may draw from np.random: the training's own draw comes before.
    step.random.renew(at_once=source.samples is None)
    step.reset_metrics()
    announces = hooks.defines("on_batch_begin")
    with closing(source.batches()) as batches:
        for index, (x, y, weights) in enumerate(batches):
            size = 1 if source.repeats else len(x)  # as in Keras: what is counted is steps
            if announces:
                hooks("on_batch_begin", index, {"batch": index, "size": size})
            results = step.train(x, y, weights)
            hooks("on_batch_end", index, _logs(step, results, index, size))
            if model.stop_training:
                break


def _logs(step: Step, results: list[float], index: int, size: int) -> cb.Logs:
    """Return what callbacks are told of a batch."""
    logs = cb.Logs(batch=index, size=size)
    logs.update(zip(step.names, results, strict=True))
    return logs


def evaluate_loop(
    step: Step, source: Any, verbose: int = 0, hooks: CallbackList | None = None
) -> list[float]:
    """Return the loss and the metrics over all batches, weighted by their sizes.

    Metrics with a state start anew, and their last value counts.
    """
    call = hooks or _no_hooks
    totals = [0.0] * len(step.names)
    seen = 0
    results = totals
    workspace = Workspace()
    step.reset_metrics()
    call("on_test_begin", {})
    listened_to = hooks is not None and hooks.defines("on_test_batch_begin", "on_test_batch_end")
    with _bar(source, verbose) as bar, closing(source.batches()) as batches:
        for index, (x, y, weights) in enumerate(batches):
            size = len(x)
            if listened_to:
                call("on_test_batch_begin", index, {"batch": index, "size": size})
            results = step.test(x, y, weights, workspace)
            totals = [t + result * size for t, result in zip(totals, results, strict=True)]
            seen += size
            bar.add(size if source.samples else 1, {})
            if listened_to:
                call("on_test_batch_end", index, _logs(step, results, index, size))
    means = [
        last if name in step.stateful_names else total / max(1, seen)
        for name, last, total in zip(step.names, results, totals, strict=True)
    ]
    call("on_test_end", cb.Logs(zip(step.names, means, strict=True)))
    return means


def predict_loop(
    model: Any, source: Any, verbose: int = 0, hooks: CallbackList | None = None
) -> np.ndarray:
    """Return the model's output for all batches, in one array."""
    call = hooks or _no_hooks
    workspace = Workspace()
    parts: list[np.ndarray] = []
    result: np.ndarray | None = None
    done = 0
    call("on_predict_begin", {})
    with _bar(source, verbose) as bar, closing(source.batches()) as batches:
        for index, (x, _, _) in enumerate(batches):
            size = len(x)
            call("on_predict_batch_begin", index, {"batch": index, "size": size})
            workspace.begin(x.shape)
            with one_thread():
                ctx = Context(fixed_phase(False), workspace=workspace, records=False)
                y, _ = model.propagate(x, ctx)
                ctx.finish()
            if source.samples is None:
                parts.append(y.copy())
            else:
                if result is None:
                    total = source.samples * (source.repeats or 1)
                    result = np.empty((total, *y.shape[1:]), y.dtype)
                result[done : done + size] = y
            done += size
            bar.add(size if source.samples else 1, {})
            call("on_predict_batch_end", index, {"batch": index, "size": size})
    call("on_predict_end", {})
    if result is not None:
        return result
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _no_hooks(hook: str, *args: Any) -> None:
    """Stand for the callbacks where there are none."""


class _NoBar:
    """What stands for a progress bar where none is wanted."""

    def __enter__(self) -> _NoBar:
        return self

    def __exit__(self, *exc_info: object) -> None:
        return None

    def add(self, count: int, values: dict[str, float]) -> None:
        """Show nothing."""


def _bar(source: Any, verbose: int) -> Bar | _NoBar:
    if verbose != 1:
        return _NoBar()
    if source.samples is None:
        return Bar(source.steps, "step")
    return Bar(source.samples * (source.repeats or 1))
