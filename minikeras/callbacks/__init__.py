"""Callbacks: code of the user's, and the library's own, that runs at set moments of a training.

A callback knows the model only as `self.model`, so this package stands below the training loop
that calls it.
"""

from typing import TYPE_CHECKING

from minikeras.callbacks.backup import BackupAndRestore
from minikeras.callbacks.base import Callback, LambdaCallback
from minikeras.callbacks.calling import CallbackList
from minikeras.callbacks.checkpoint import ModelCheckpoint
from minikeras.callbacks.csv_logger import CSVLogger
from minikeras.callbacks.early_stopping import EarlyStopping
from minikeras.callbacks.history import BaseLogger, History
from minikeras.callbacks.learning_rate import LearningRateScheduler, ReduceLROnPlateau
from minikeras.callbacks.logs import Logs
from minikeras.callbacks.progress import ProgbarLogger
from minikeras.callbacks.remote import RemoteMonitor
from minikeras.callbacks.terminate import TerminateOnNaN

if TYPE_CHECKING:
    from minikeras.callbacks.tensorboard import TensorBoard

__all__ = [
    "BackupAndRestore",
    "BaseLogger",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "Logs",
    "ModelCheckpoint",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "RemoteMonitor",
    "TensorBoard",
    "TerminateOnNaN",
]


def __getattr__(name: str) -> object:
    """Import the largest callback when it is first asked for."""
    if name == "TensorBoard":
        from minikeras.callbacks.tensorboard import TensorBoard

        return TensorBoard
    raise AttributeError(f"module 'minikeras.callbacks' has no attribute {name!r}")
