"""Calling the hooks of several callbacks in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from minikeras.callbacks.base import Callback

_HOOKS = (
    "on_train_begin",
    "on_train_end",
    "on_epoch_begin",
    "on_epoch_end",
    "on_batch_begin",
    "on_batch_end",
)


class CallbackList:
    """Calls a hook of several callbacks in turn, and only of those that define it.

    Parameters
    ----------
    callbacks : list of Callback
    model : Sequential
    params : dict
    """

    def __init__(self, callbacks: Iterable[Any], model: Any, params: dict[str, Any]) -> None:
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            _check_callback(callback)
            callback.set_params(params)
            callback.set_model(model)
        self._hooks = {name: self._defined(name) for name in _HOOKS}

    def _defined(self, name: str) -> list[Callable]:
        later = name.replace("on_batch", "on_train_batch")
        found = []
        for callback in self.callbacks:
            for spelling in dict.fromkeys((later, name)):
                hook = getattr(callback, spelling, None)
                inherited = getattr(Callback, spelling, None)
                if hook is not None and getattr(hook, "__func__", hook) is not inherited:
                    found.append(hook)
                    break
        return found

    def __call__(self, hook: str, *args: Any) -> None:
        """Call `hook` of every callback that defines it."""
        for call in self._hooks[hook]:
            call(*args)
        if hook == "on_train_begin":
            # There a callback may give itself further hooks, as functions in its attributes.
            self._hooks = {name: self._defined(name) for name in _HOOKS}


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
