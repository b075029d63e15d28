"""`K`: settings, automatic names, random numbers and variables."""

from minikeras.backend.config import (
    check_numerics,
    epsilon,
    floatx,
    image_data_format,
    normalize_data_format,
    set_check_numerics,
    set_epsilon,
    set_floatx,
    set_image_data_format,
)
from minikeras.backend.naming import clear_session, get_uid, reset_uids
from minikeras.backend.variable import Variable

__all__ = [
    "Variable",
    "check_numerics",
    "clear_session",
    "epsilon",
    "floatx",
    "get_uid",
    "image_data_format",
    "normalize_data_format",
    "reset_uids",
    "set_check_numerics",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
]
