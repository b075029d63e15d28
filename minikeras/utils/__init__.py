"""Helpers around models and data, at Keras' addresses."""

from minikeras.utils import data_utils, generic_utils, np_utils
from minikeras.utils.data_utils import get_file
from minikeras.utils.sequence import Sequence
from minikeras.utils.generic_utils import (
    CustomObjectScope,
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    serialize_keras_object,
)
from minikeras.utils.np_utils import normalize, to_categorical

__all__ = [
    "CustomObjectScope",
    "Sequence",
    "custom_object_scope",
    "data_utils",
    "deserialize_keras_object",
    "generic_utils",
    "get_custom_objects",
    "get_file",
    "layer_utils",
    "normalize",
    "np_utils",
    "print_summary",
    "serialize_keras_object",
    "set_random_seed",
    "to_categorical",
]


def set_random_seed(seed: int) -> None:
    """Make everything random repeat: ``np.random.seed(seed)`` and Python's ``random.seed``.

    Parameters
    ----------
    seed : int
        From 0 to 2**32 - 1.
    """
    import random

    import numpy as np

    random.seed(seed)
    np.random.seed(seed)


def __getattr__(name: str) -> object:
    """Import the printing of summaries when it is first asked for."""
    if name in ("layer_utils", "print_summary"):
        import importlib

        module = importlib.import_module("minikeras.utils.layer_utils")
        return module if name == "layer_utils" else module.print_summary
    raise AttributeError(f"module 'minikeras.utils' has no attribute {name!r}")
