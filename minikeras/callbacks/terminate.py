"""Stopping when the numbers have gone out of range."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minikeras.callbacks.base import Callback
from minikeras.utils.progress import say


class TerminateOnNaN(Callback):
    """Stops the training after the first batch whose loss is NaN or infinite.

    It says which batch, and the first layer, counted from the input, that has weights which are
    no longer finite.

    Examples
    --------
    >>> import numpy as np
    >>> from minikeras import Sequential
    >>> from minikeras.layers import Dense
    >>> model = Sequential([Dense(1, input_dim=2, name="only")])
    >>> model.compile("sgd", "mse")
    >>> x = np.full((4, 2), np.nan)
    >>> _ = model.fit(x, np.zeros(4), batch_size=1, verbose=0, callbacks=[TerminateOnNaN()])
    Batch 0: Invalid loss, terminating training
    The loss is nan. The first weights that are not finite: only/kernel:0 of layer 'only'.
    """

    def on_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Look at the loss."""
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        say(f"Batch {batch}: Invalid loss, terminating training")
        found = _first_not_finite(self.model)
        if found is None:
            say(f"The loss is {loss}. All weights are finite.")
        else:
            say(
                f"The loss is {loss}. The first weights that are not finite: {found[1]} of layer "
                f"{found[0]!r}."
            )
        self.model.stop_training = True


def _first_not_finite(model: Any) -> tuple[str, str] | None:
    """Return the names of the first layer, and its first weight, with a NaN or an infinity."""
    for layer in model.layers:
        found = _first_not_finite(layer) if hasattr(layer, "layers") else None
        if found is not None:
            return found
        for weight in layer.weights:
            if not np.isfinite(weight.numpy()).all():
                return layer.name, weight.name
    return None
