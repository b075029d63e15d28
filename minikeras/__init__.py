"""Keras 2's Sequential API in pure NumPy.

Write ``import minikeras as keras``, or run a Keras script as it is with
``python -m minikeras script.py``.
"""

from minikeras import (
    activations,
    backend,
    callbacks,
    constraints,
    engine,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    regularizers,
    utils,
)
from minikeras.engine import Input
from minikeras.models import Sequential

__version__ = "0.1.0.dev0"

__all__ = [
    "Input",
    "Sequential",
    "__version__",
    "activations",
    "backend",
    "callbacks",
    "constraints",
    "datasets",
    "engine",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "objectives",
    "optimizers",
    "preprocessing",
    "regularizers",
    "testing",
    "utils",
]

_LAZY = ("datasets", "objectives", "preprocessing", "testing")


def __getattr__(name: str) -> object:
    """Import the modules that few scripts need when they are first asked for."""
    if name in _LAZY:
        import importlib

        return importlib.import_module(f"minikeras.{name}")
    if name == "Model":
        return models.Model  # which says what there is instead
    raise AttributeError(f"module 'minikeras' has no attribute {name!r}")
