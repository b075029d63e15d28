"""Metrics as a training step uses them: by name, apart from the pass, with or without a state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minikeras import metrics
from minikeras.backend.running import inside
from minikeras.backend.tape import value_of
from minikeras.engine import Context


def resolve_metrics(
    identifiers: Any, loss: Callable, output_shape: tuple[int | None, ...], output_name: str | None
) -> list[tuple[str, Any]]:
    """Turn the `metrics` argument of `compile` into names and functions or objects.

    Parameters
    ----------
    identifiers : str, callable, list, dict or None
        Names, functions or metric objects; a dict goes by the name of the output layer.
    """
    if identifiers is None:
        return []
    if isinstance(identifiers, dict):
        unknown = [key for key in identifiers if key != output_name]
        if unknown:
            raise ValueError(
                f"metrics names the outputs {unknown}, but this model's only output is "
                f"'{output_name}'."
            )
        identifiers = identifiers.get(output_name, [])
    if not isinstance(identifiers, (list, tuple)):
        identifiers = [identifiers]
    if len(identifiers) == 1 and isinstance(identifiers[0], (list, tuple)):
        identifiers = identifiers[0]
    found = []
    for identifier in identifiers:
        later = hasattr(identifier, "update_state") and not isinstance(identifier, type)
        fn = identifier if later else metrics.resolve(identifier, loss, output_shape)
        found.append((metrics.metric_name(identifier, fn), fn))
    return found


def has_state(metric: Any) -> bool:
    """Return whether a metric is an object that counts over a whole epoch."""
    return hasattr(metric, "reset_states") or hasattr(metric, "reset_state")


def reset(metric: Any) -> None:
    """Let a metric with a state start anew."""
    (getattr(metric, "reset_states", None) or metric.reset_state)()


def apart(metric: Any) -> Callable[[np.ndarray, np.ndarray], Any]:
    """Return what calls a metric of the user's apart from the pass; the library's own as it is.

    The metric gets a copy of the prediction, whose memory the next pass reuses, and nothing is
    recorded. What a metric with a state updates by `add_update` is updated at once. Objects as
    later versions of Keras have them are called by ``update_state`` and ``result``.
    """
    if getattr(metric, "__module__", "").startswith("minikeras."):
        return metric
    call = metric
    if hasattr(metric, "update_state"):

        def call(y_true: np.ndarray, y_pred: np.ndarray) -> Any:
            metric.update_state(y_true, y_pred)
            return metric.result()

    def measured(y_true: np.ndarray, y_pred: np.ndarray) -> Any:
        ctx = Context(training=has_state(metric), records=False)
        with inside(ctx):
            result = call(y_true, y_pred.copy())
        ctx.finish()
        if value_of(result) is None:
            name = getattr(metric, "__name__", type(metric).__name__)
            raise TypeError(
                f"The metric {name} returned {result!r}: is a return missing, or does it use "
                "layer.output? A metric gets arrays of y_true and y_pred."
            )
        return result

    return measured
