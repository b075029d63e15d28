"""Callbacks: code of the user's, and the library's own, that runs at set moments of a training.

A callback knows the model only as `self.model`, so this package stands below the training loop
that calls it.
"""

from minikeras.callbacks.base import Callback, LambdaCallback
from minikeras.callbacks.calling import CallbackList
from minikeras.callbacks.history import BaseLogger, History
from minikeras.callbacks.logs import Logs
from minikeras.callbacks.progress import ProgbarLogger

__all__ = [
    "BaseLogger",
    "Callback",
    "CallbackList",
    "History",
    "LambdaCallback",
    "Logs",
    "ProgbarLogger",
]
