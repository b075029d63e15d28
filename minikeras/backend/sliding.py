"""How a window slides over images, for `K`: layout, sizes and arguments by Keras' names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minikeras.backend.config import normalize_data_format
from minikeras.backend.nn import as_floats
from minikeras.utils.conv_utils import conv_output_length, conv_padding, normalize_tuple


def channels_last(x: np.ndarray, data_format: str) -> np.ndarray:
    """Return `x`, laid out as `data_format` says, as a view with the channels last."""
    return x if data_format == "channels_last" else np.moveaxis(x, 1, -1)


def as_laid_out(y: np.ndarray, data_format: str) -> np.ndarray:
    """Return `y`, channels last, as a view laid out as `data_format` says."""
    return y if data_format == "channels_last" else np.moveaxis(y, -1, 1)


def slide(
    name: str,
    sizes: Sequence[int],
    window: Sequence[int],
    strides: Any,
    padding: Any,
    dilation: Any = 1,
    paddings: Sequence[str] = ("valid", "same"),
) -> tuple[dict[str, Any], tuple[int, ...]]:
    """Return how a window slides over these sizes, in the words of the ops, and its places.

    Raises
    ------
    ValueError
        If one of the arguments is not what it must be, or the window does not fit; `name` is the
        function's name, for the message.
    """
    rank = len(window)
    strides = positive_ints(strides, rank, "strides", name)
    dilation = positive_ints(dilation, rank, "dilation_rate", name)
    if max(strides) > 1 and max(dilation) > 1:
        raise ValueError(
            f"strides {strides} and dilation_rate {dilation} of K.{name} don't go together: as in "
            "Keras, one of the two must be 1 along all axes."
        )
    kind = padding.lower() if isinstance(padding, str) else padding
    if kind not in paddings:
        raise ValueError(
            f"padding of K.{name} must be {' or '.join(map(repr, paddings))}, got {padding!r}."
        )
    axes = list(zip(sizes, window, strides, dilation, strict=True))
    places: Any = tuple(conv_output_length(n, k, kind, s, d) for n, k, s, d in axes)
    if 0 in places:
        spread = f" with dilation {dilation}" if max(dilation) > 1 else ""
        raise ValueError(
            f"K.{name}: a window of {tuple(window)}{spread} does not fit into {tuple(sizes)} with "
            f"padding {kind!r}: the result would have the sizes {places}."
        )
    pads = tuple(conv_padding(n, k, kind, s, d) for n, k, s, d in axes)
    return {"strides": strides, "pads": pads, "dilation": dilation}, places


def positive_ints(value: Any, n: int, argument: str, name: str) -> tuple[int, ...]:
    """Return an int or `n` ints as a tuple; a ValueError names the argument and the function."""
    numbers = normalize_tuple(value, n, f"{argument} of K.{name}")
    if min(numbers) < 1:
        raise ValueError(f"{argument} of K.{name} must be greater than 0, got {value!r}.")
    return numbers


def source_of(name: str, x: Any, rank: int, data_format: Any) -> tuple[np.ndarray, str]:
    """Return `x` as a view with the channels last, and the name of its layout.

    Raises
    ------
    ValueError
        If `x` does not have `rank` spatial axes, or there is no such layout.
    """
    data_format = normalize_data_format(data_format)
    x = as_floats(x)
    if x.ndim != rank + 2:
        raise ValueError(
            f"K.{name} needs an x with {rank + 2} axes, those of the batch and the channels "
            f"included, got the shape {x.shape}."
        )
    return channels_last(x, data_format), data_format
