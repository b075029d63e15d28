"""Helpers around models and data, at Keras' addresses."""

from minikeras.utils import data_utils, generic_utils, np_utils
from minikeras.utils.data_utils import (
    GeneratorEnqueuer,
    OrderedEnqueuer,
    Sequence,
    SequenceEnqueuer,
    get_file,
)
from minikeras.utils.generic_utils import (
    CustomObjectScope,
    Progbar,
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    serialize_keras_object,
)
from minikeras.utils.np_utils import normalize, to_categorical

__all__ = [
    "CustomObjectScope",
    "GeneratorEnqueuer",
    "HDF5Matrix",
    "OrderedEnqueuer",
    "Progbar",
    "Sequence",
    "SequenceEnqueuer",
    "custom_object_scope",
    "data_utils",
    "deserialize_keras_object",
    "generic_utils",
    "get_custom_objects",
    "get_file",
    "io_utils",
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


_INSTEAD = {
    "multi_gpu_model": "it computes on the processor, with all its cores",
    "plot_model": "model.summary() shows the layers, their shapes and weights",
}


def __getattr__(name: str) -> object:
    """Import what few scripts need when it is first asked for."""
    import importlib

    if name in ("io_utils", "HDF5Matrix"):
        module = importlib.import_module("minikeras.utils.io_utils")
    elif name in ("layer_utils", "print_summary"):
        module = importlib.import_module("minikeras.utils.layer_utils")
    elif name in _INSTEAD:
        # Not AttributeError, whose text `from minikeras.utils import ...` does not show.
        raise ImportError(f"minikeras has no {name}: {_INSTEAD[name]}.")
    else:
        raise AttributeError(f"module 'minikeras.utils' has no attribute {name!r}")
    return module if name.endswith("_utils") else getattr(module, name)
