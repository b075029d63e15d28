"""Keras' `utils.generic_utils`: custom objects, serialization and small helpers."""

from __future__ import annotations

from typing import Any

from minikeras.utils.progress import Progbar
from minikeras.utils.registry import (
    CustomObjectScope,
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    has_arg,
    serialize_keras_object,
)

__all__ = [
    "CustomObjectScope",
    "Progbar",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "has_arg",
    "serialize_keras_object",
    "to_list",
    "to_snake_case",
]


def to_list(x: Any, allow_tuple: bool = False) -> list:
    """Return `x` if it is a list, else a list that holds it.

    Parameters
    ----------
    x : object
    allow_tuple : bool
        Whether a tuple turns into the list of its members. Default False.
    """
    if isinstance(x, list):
        return x
    if allow_tuple and isinstance(x, tuple):
        return list(x)
    return [x]


def to_snake_case(name: str) -> str:
    """Turn a class name into the prefix of automatic names.

    Examples
    --------
    >>> to_snake_case("SpatialDropout1D"), to_snake_case("PReLU"), to_snake_case("ELU")
    ('spatial_dropout1d', 'p_re_lu', 'elu')
    """
    import re

    words = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    words = re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()
    # A leading underscore marks a private class; Keras marks those names as private, too.
    return "private" + words if words.startswith("_") else words
