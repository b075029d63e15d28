"""What a callback is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Callback:
    """The base class of callbacks: override the hooks you need.

    Attributes
    ----------
    model : Sequential
        The model in training. ``self.model.stop_training = True`` ends the training.
    params : dict
        ``epochs``, ``steps``, ``samples``, ``batch_size``, ``verbose``, ``do_validation`` and
        ``metrics``, the names of the results.
    validation_data : list or None
        ``[x, y, sample_weight]`` of the validation data, the weights being ones if none are
        given.

    Notes
    -----
    `logs` holds the results: after a batch ``batch``, ``size`` and the batch's loss and metrics;
    after an epoch the epoch's means, and ``val_*`` where there are validation data. The batch
    hooks may also be given under their later names `on_train_batch_begin` and
    `on_train_batch_end`.

    Examples
    --------
    >>> class Names(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         print(epoch, sorted(logs))
    >>> Names().on_epoch_end(0, {"loss": 0.5})
    0 ['loss']
    """

    def __init__(self) -> None:
        self.validation_data: Any = None
        self.model: Any = None
        self.params: dict[str, Any] = {}

    def set_params(self, params: dict[str, Any]) -> None:
        """Receive `params`."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Receive the model."""
        self.model = model

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Run before the first epoch."""

    def on_train_end(self, logs: dict | None = None) -> None:
        """Run after the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Run before an epoch, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Run after an epoch and its validation."""

    def on_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Run before a batch, counted from 0 in each epoch."""

    def on_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Run after a batch."""


class LambdaCallback(Callback):
    """A callback made of functions.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end : callable, optional
        Called with ``(epoch, logs)``.
    on_batch_begin, on_batch_end : callable, optional
        Called with ``(batch, logs)``.
    on_train_begin, on_train_end : callable, optional
        Called with ``(logs)``.
    **kwargs
        Any further attributes of the callback.

    Examples
    --------
    >>> callback = LambdaCallback(on_epoch_end=lambda epoch, logs: print("epoch", epoch))
    >>> callback.on_epoch_end(3, {})
    epoch 3
    """

    def __init__(
        self,
        on_epoch_begin: Callable | None = None,
        on_epoch_end: Callable | None = None,
        on_batch_begin: Callable | None = None,
        on_batch_end: Callable | None = None,
        on_train_begin: Callable | None = None,
        on_train_end: Callable | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        given = dict(
            kwargs,
            on_epoch_begin=on_epoch_begin,
            on_epoch_end=on_epoch_end,
            on_batch_begin=on_batch_begin,
            on_batch_end=on_batch_end,
            on_train_begin=on_train_begin,
            on_train_end=on_train_end,
        )
        for name, value in given.items():
            if value is not None:
                setattr(self, name, value)
