"""The keyword arguments that all layers share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from minikeras.engine.input_spec import Shape
from minikeras.utils.registry import unknown_name_message

_KEYWORDS = (
    "name",
    "trainable",
    "dtype",
    "input_shape",
    "batch_input_shape",
    "batch_size",
    "input_dim",
    "input_length",
    "input_dtype",
    "weights",
)

# A name that has become several is looked up in the layer at hand.
_KERAS_1_NAMES = {
    "output_dim": "units",
    "init": "kernel_initializer embeddings_initializer",
    "inner_init": "recurrent_initializer",
    "W_regularizer": "kernel_regularizer embeddings_regularizer",
    "U_regularizer": "recurrent_regularizer",
    "b_regularizer": "bias_regularizer",
    "W_constraint": "kernel_constraint embeddings_constraint",
    "U_constraint": "recurrent_constraint",
    "dropout_W": "dropout",
    "dropout_U": "recurrent_dropout",
    "forget_bias_init": "unit_forget_bias",
    "consume_less": "implementation",
    "b_constraint": "bias_constraint",
    "bias": "use_bias",
    "p": "rate",
    "sigma": "stddev",
    "nb_filter": "filters",
    "border_mode": "padding",
    "subsample": "strides",
    "inner_activation": "recurrent_activation",
    "dim_ordering": "data_format",
    "pool_length": "pool_size",
    "filter_length": "kernel_size",
    "subsample_length": "strides",
    "atrous_rate": "dilation_rate",
    "length": "size",
    "nb_row": "kernel_size",
    "nb_col": "kernel_size",
}


def check_keywords(cls: type, keywords: Iterable[str]) -> None:
    """Raise TypeError, with the closest known one, for a keyword that no layer has."""
    for key in keywords:
        if key not in _KEYWORDS:
            raise TypeError(_unknown_keyword(cls, key))


def check_old_names(cls: type, keywords: Iterable[str]) -> None:
    """Raise TypeError for an argument by its Keras 1 name, before Python misses the new one.

    Only classes of the library are looked at: others may know the name.
    """
    for key in keywords:
        if key in _KERAS_1_NAMES and cls.__module__.startswith("minikeras."):
            message = _unknown_keyword(cls, key)
            if "Keras 1" in message:
                raise TypeError(message)


def _unknown_keyword(cls: type, key: str) -> str:
    """Word the error for an argument that a layer does not have."""
    import inspect

    known = {*_KEYWORDS}
    for base in cls.__mro__[:-1]:
        known.update(inspect.signature(base.__init__).parameters)  # type: ignore[misc]
    known -= {"self", "args", "kwargs"}
    for renamed in _KERAS_1_NAMES.get(key, "").split():
        if renamed in known and key not in known:
            return f"{cls.__name__}: '{key}' is the Keras 1 name of '{renamed}'."
    return unknown_name_message(f"argument of {cls.__name__}:", key, known)


def stated_input_shape(kwargs: dict[str, Any]) -> Shape | None:
    """Read the batch input shape off a layer's keyword arguments, in whichever way it is given."""
    if kwargs.get("batch_input_shape") is not None:
        return tuple(kwargs["batch_input_shape"])
    shape = kwargs.get("input_shape")
    if shape is None and kwargs.get("input_dim") is not None:
        dim = kwargs["input_dim"]
        if isinstance(dim, (bool, float, str, tuple, list)) or dim < 1:
            hint = f" A tuple is for input_shape={dim}." if isinstance(dim, tuple) else ""
            raise ValueError(f"input_dim must be an int greater than 0, got {dim!r}.{hint}")
        shape = (kwargs["input_length"], dim) if kwargs.get("input_length") else (dim,)
    if shape is None:
        return None
    if np.ndim(shape) == 0 and not isinstance(shape, str):
        raise TypeError(f"input_shape must be a tuple, such as ({shape},), not the int {shape}.")
    if isinstance(shape, str) or not all(n is None or _is_size(n) for n in shape):
        hint = ""
        if hasattr(shape, "shape"):
            hint = f" Not the data, but their shape without the samples: {np.shape(shape)[1:]}."
        elif not isinstance(shape, str) and any(isinstance(n, float) for n in shape):
            hint = " Divide with // to get an int."
        raise TypeError(
            f"input_shape must be a tuple of ints (or None), such as (784,); got "
            f"{f'an array of shape {shape.shape}' if hasattr(shape, 'shape') else repr(shape)}."
            f"{hint}"
        )
    return (kwargs.get("batch_size"), *shape)


def _is_size(n: Any) -> bool:
    return isinstance(n, (int, np.integer)) and not isinstance(n, bool)
