"""What a callback is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: The moments at which callbacks are called, by the names of Keras 2.2 where it has them.
HOOKS = (
    "on_train_begin",
    "on_train_end",
    "on_epoch_begin",
    "on_epoch_end",
    "on_batch_begin",
    "on_batch_end",
    "on_test_begin",
    "on_test_end",
    "on_test_batch_begin",
    "on_test_batch_end",
    "on_predict_begin",
    "on_predict_end",
    "on_predict_batch_begin",
    "on_predict_batch_end",
)

#: The later names of hooks that Keras 2.2 has under another.
LATER_NAMES = {"on_batch_begin": "on_train_batch_begin", "on_batch_end": "on_train_batch_end"}


class Callback:
    """The base class of callbacks: override the hooks you need.

    Attributes
    ----------
    model : Sequential
        The model at work. ``self.model.stop_training = True`` ends the training after the batch
        or epoch.
    params : dict
        ``epochs``, ``steps``, ``samples``, ``batch_size``, ``verbose``, ``do_validation`` and
        ``metrics``, the names of the results; what a generator can't tell is not there.
    validation_data : list or None
        ``[x, y, sample_weight]`` of the validation data, the weights being ones if none are
        given.

    Notes
    -----
    `logs` holds the results: after a batch ``batch``, ``size`` and the batch's loss and metrics;
    after an epoch the epoch's means, and ``val_*`` where there are validation data. What a
    callback adds to an epoch's logs, those after it see, and the history keeps.

    The hooks of testing and predicting are those of later Keras. `on_test_begin` and so on are
    also called when `fit` validates. The hooks of a training's batches have a later name each:
    `on_batch_end` is also `on_train_batch_end`. If a class defines both, only the later one is
    called, as in later Keras.

    Examples
    --------
    >>> class Names(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         print(epoch, sorted(logs))
    >>> Names().on_epoch_end(0, {"loss": 0.5})
    0 ['loss']
    """

    # For classes whose __init__ does not call this one's, as tqdm's does not.
    validation_data: Any = None
    model: Any = None

    #: Names of attributes that tell where the callback stands: see `get_state`.
    STATE: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.validation_data = None
        self.model = None
        self.params: dict[str, Any] = {}

    def set_params(self, params: dict[str, Any]) -> None:
        """Receive `params`."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Receive the model."""
        self.model = model

    def get_state(self) -> dict[str, Any]:
        """Return where the callback stands between two epochs, for `BackupAndRestore` to keep.

        Numbers, text, arrays of numbers, and lists and dicts of these. The keys of dicts are text;
        tuples come back as lists. By default the attributes that `STATE`, a tuple, names.
        """
        return {name: getattr(self, name) for name in self.STATE}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` returned; called after `on_train_begin`."""
        for name, value in state.items():
            setattr(self, name, value)

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Run before the first epoch."""

    def on_train_end(self, logs: dict | None = None) -> None:
        """Run after the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Run before an epoch, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Run after an epoch and its validation."""

    def on_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Run before a batch of training, counted from 0 in each epoch."""

    def on_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Run after a batch of training."""

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Do what `on_batch_begin` does, of which this is the later name."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Do what `on_batch_end` does, of which this is the later name."""
        self.on_batch_end(batch, logs)

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Run before `evaluate`, and before the validation in `fit`."""

    def on_test_end(self, logs: dict | None = None) -> None:
        """Run after `evaluate`, and after the validation in `fit`."""

    def on_test_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Run before a batch of `evaluate` or of validation, counted from 0."""

    def on_test_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Run after a batch of `evaluate` or of validation."""

    def on_predict_begin(self, logs: dict | None = None) -> None:
        """Run before `predict`."""

    def on_predict_end(self, logs: dict | None = None) -> None:
        """Run after `predict`."""

    def on_predict_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Run before a batch of `predict`, counted from 0."""

    def on_predict_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Run after a batch of `predict`."""


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
        Functions for any other hook of `Callback`, such as ``on_test_end``; and any further
        attributes of the callback.

    Raises
    ------
    TypeError
        If what is given for a hook can't be called, or ``on_...`` is the name of no hook.

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
            if name.startswith("on_"):
                if value is None:
                    continue
                _check_hook(name, value)
            setattr(self, name, value)


def _check_hook(name: str, value: Any) -> None:
    if name not in HOOKS and name not in LATER_NAMES.values():
        known = ", ".join((*HOOKS, *LATER_NAMES.values()))
        raise TypeError(f"LambdaCallback: there is no hook {name!r}. Hooks: {known}.")
    if not callable(value):
        raise TypeError(f"LambdaCallback: {name} must be a function, got {value!r}.")
