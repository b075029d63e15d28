"""Calling the hooks of several callbacks in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from minikeras.callbacks.base import HOOKS, LATER_NAMES, Callback


def _with_logs(hook: str) -> Callable[..., None]:
    """Return the method that calls `hook(logs)` of all."""

    def call(self: Any, logs: dict | None = None) -> None:
        self(hook, {} if logs is None else logs)

    call.__name__, call.__doc__ = hook, f"Call `{hook}` of every callback that defines it."
    return call


def _with_number(hook: str) -> Callable[..., None]:
    """Return the method that calls `hook(number, logs)` of all, for an epoch or a batch."""

    def call(self: Any, number: int, logs: dict | None = None) -> None:
        self(hook, number, {} if logs is None else logs)

    call.__name__, call.__doc__ = hook, f"Call `{hook}` of every callback that defines it."
    return call


class CallbackList:
    """Calls a hook of several callbacks in turn, and only of those that define it.

    Parameters
    ----------
    callbacks : iterable of Callback, optional
        A callback need not be derived from `Callback`: it has `set_params`, `set_model`, and any
        of the hooks.
    model : Sequential, optional
    params : dict, optional
        What `set_model` and `set_params` would tell the callbacks, told at once.

    Raises
    ------
    TypeError
        If one of `callbacks` is no callback, or a class.

    Notes
    -----
    Keras 2.2 takes a `queue_length` in second place, for warnings on slow callbacks. There are
    none here.

    Examples
    --------
    >>> from minikeras.callbacks import LambdaCallback
    >>> hooks = CallbackList([LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs))])
    >>> hooks.on_epoch_end(0, {"loss": 0.5})
    0 {'loss': 0.5}
    >>> hooks("on_epoch_end", 1, {"loss": 0.25})
    1 {'loss': 0.25}
    """

    def __init__(
        self,
        callbacks: Iterable[Any] | None = None,
        *,
        model: Any = None,
        params: dict[str, Any] | None = None,
    ) -> None:
        self.callbacks = list(callbacks or ())
        for callback in self.callbacks:
            _check_callback(callback)
            if hasattr(callback, "set_callbacks"):
                callback.set_callbacks(self.callbacks)
        if params is not None:
            self.set_params(params)
        if model is not None:
            self.set_model(model)
        self._find_hooks()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.callbacks)

    def append(self, callback: Any) -> None:
        """Add a callback behind the others."""
        _check_callback(callback)
        self.callbacks.append(callback)
        self._find_hooks()

    def set_params(self, params: dict[str, Any]) -> None:
        """Tell all callbacks the parameters of the training."""
        for callback in self.callbacks:
            callback.set_params(params)

    def set_model(self, model: Any) -> None:
        """Tell all callbacks the model."""
        for callback in self.callbacks:
            callback.set_model(model)

    def __call__(self, hook: str, *args: Any) -> None:
        """Call `hook`, by its name in Keras 2.2, of every callback that defines it."""
        for call in self._hooks[hook]:
            call(*args)
        if hook in _BEGINNINGS and any(map(_has_own_hooks, self.callbacks)):
            # Given there, as functions in its attributes: tqdm's does so in each epoch.
            self._find_hooks()

    def defines(self, *hooks: str) -> bool:
        """Return whether any callback defines one of `hooks`, given by their names in Keras 2.2."""
        return any(self._hooks[hook] for hook in hooks)

    def _find_hooks(self) -> None:
        self._hooks = {name: self._defined(name) for name in HOOKS}

    def _defined(self, name: str) -> list[Callable]:
        spellings = (LATER_NAMES[name], name) if name in LATER_NAMES else (name,)
        found = []
        for callback in self.callbacks:
            for spelling in spellings:
                hook = getattr(callback, spelling, None)
                inherited = getattr(Callback, spelling)
                if hook is not None and getattr(hook, "__func__", hook) is not inherited:
                    found.append(hook)
                    break
        return found

    on_train_begin = _with_logs("on_train_begin")
    on_train_end = _with_logs("on_train_end")
    on_epoch_begin = _with_number("on_epoch_begin")
    on_epoch_end = _with_number("on_epoch_end")
    on_batch_begin = on_train_batch_begin = _with_number("on_batch_begin")
    on_batch_end = on_train_batch_end = _with_number("on_batch_end")
    on_test_begin = _with_logs("on_test_begin")
    on_test_end = _with_logs("on_test_end")
    on_test_batch_begin = _with_number("on_test_batch_begin")
    on_test_batch_end = _with_number("on_test_batch_end")
    on_predict_begin = _with_logs("on_predict_begin")
    on_predict_end = _with_logs("on_predict_end")
    on_predict_batch_begin = _with_number("on_predict_batch_begin")
    on_predict_batch_end = _with_number("on_predict_batch_end")


_BEGINNINGS = frozenset({"on_train_begin", "on_epoch_begin", "on_test_begin", "on_predict_begin"})


def _has_own_hooks(callback: Any) -> bool:
    """Return whether a callback has hooks that its class does not have."""
    return any(name.startswith("on_") for name in getattr(callback, "__dict__", ()))


def _check_callback(callback: Any) -> None:
    if isinstance(callback, type):
        raise TypeError(
            f"callbacks holds the class {callback.__name__}: did you forget the parentheses?"
        )
    if not (hasattr(callback, "set_params") and hasattr(callback, "set_model")):
        raise TypeError(
            f"callbacks holds {callback!r}, which is no callback: derive its class from "
            "minikeras.callbacks.Callback, or use LambdaCallback for functions."
        )
