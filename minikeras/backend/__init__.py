"""`K`: settings, automatic names, random numbers and variables."""

from minikeras.backend.config import (
    check_numerics,
    epsilon,
    floatx,
    image_data_format,
    image_dim_ordering,
    normalize_data_format,
    set_check_numerics,
    set_epsilon,
    set_floatx,
    set_image_data_format,
    set_image_dim_ordering,
)
from minikeras.backend.naming import clear_session, get_uid, reset_uids
from minikeras.backend.variables import (
    Variable,
    batch_get_value,
    batch_set_value,
    get_value,
    set_value,
)

__all__ = [
    "Variable",
    "batch_get_value",
    "batch_set_value",
    "check_numerics",
    "clear_session",
    "epsilon",
    "floatx",
    "get_uid",
    "get_value",
    "image_data_format",
    "image_dim_ordering",
    "normalize_data_format",
    "reset_uids",
    "set_check_numerics",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "set_image_dim_ordering",
    "set_value",
]


def __getattr__(name: str) -> object:
    """Say that a function of Keras' `K` is missing, and what to use until it is there."""
    if name.startswith("_"):
        raise AttributeError(f"module 'minikeras.backend' has no attribute {name!r}")
    raise AttributeError(
        f"K.{name} is not there yet: K has settings, names and variables so far. Metrics, "
        "initializers and constraints are given NumPy arrays and can use NumPy; a layer or a loss "
        "of your own needs a derivative written by hand (see minikeras.engine.Layer and "
        "minikeras.losses.with_gradient)."
    )
