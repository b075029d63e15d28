"""What layers over images, sequences and volumes share: layout, arguments, output sizes.

All ops work on arrays with the channels last. A layer with ``data_format='channels_first'``
gives them a view with the axes moved, and its output is such a view: so between two layers of
that kind nothing is moved in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minikeras.backend import normalize_data_format
from minikeras.engine import InputSpec, Layer
from minikeras.engine.input_spec import Shape
from minikeras.utils.conv_utils import conv_output_length, normalize_tuple

_AXES = {1: ("steps",), 2: ("height", "width"), 3: ("depth", "height", "width")}


def channels_last(x: np.ndarray, data_format: str) -> np.ndarray:
    """Return `x`, laid out as `data_format` says, as a view with the channels last."""
    return x if data_format == "channels_last" else np.moveaxis(x, 1, -1)


def as_laid_out(y: np.ndarray, data_format: str) -> np.ndarray:
    """Return `y`, channels last, as a view laid out as `data_format` says."""
    return y if data_format == "channels_last" else np.moveaxis(y, -1, 1)


def split_shape(shape: Shape, data_format: str) -> tuple[Shape, int | None]:
    """Return the spatial sizes and the number of channels of a shape with batch axis."""
    if data_format == "channels_last":
        return tuple(shape[1:-1]), shape[-1]
    return tuple(shape[2:]), shape[1]


def join_shape(
    batch: int | None, spatial: Sequence[int | None], channels: Any, data_format: str
) -> Shape:
    """Put together what `split_shape` took apart."""
    if data_format == "channels_last":
        return (batch, *spatial, channels)
    return (batch, channels, *spatial)


def spatial_spec(
    rank: int, data_format: str, channels: int | None = None, axes: dict[int, int] | None = None
) -> InputSpec:
    """Return what a layer over `rank` spatial axes demands of its input.

    Parameters
    ----------
    rank : int
    data_format : {'channels_last', 'channels_first'}
    channels : int, optional
        Their number, where it is fixed.
    axes : dict of int to int, optional
        Axis to size, where others are fixed.
    """
    names = list(_AXES[rank])
    axis = -1 if data_format == "channels_last" else 1
    names.insert(len(names) if axis == -1 else 0, "channels")
    fixed = dict(axes or {})
    if channels is not None:
        fixed[axis] = channels
    return InputSpec(ndim=rank + 2, axes=fixed, names=("batch", *names))


def positive_ints(value: Any, n: int, name: str, layer: Layer, minimum: int = 1) -> tuple[int, ...]:
    """Return an int or `n` ints as a tuple, or raise an error with the layer.

    Each of them must be at least `minimum`, by default 1.
    """
    with _naming(layer):
        numbers = normalize_tuple(value, n, name)
        if min(numbers) < minimum:
            least = "greater than 0" if minimum == 1 else f"at least {minimum}"
            raise ValueError(f"{name} must be {least}, got {value!r}.")
    return numbers


def padding_name(value: Any, layer: Layer, allowed: Sequence[str] = ("valid", "same")) -> str:
    """Return the name of a padding in lower case, or raise an error with the layer."""
    with _naming(layer):
        padding = value.lower() if isinstance(value, str) else value
        if padding not in allowed:
            raise ValueError(f"padding must be {' or '.join(map(repr, allowed))}, got {value!r}.")
    return str(padding)


def data_format_name(value: Any, layer: Layer) -> str:
    """Return a data format, by default that of ``K``, or raise an error with the layer."""
    with _naming(layer):
        return normalize_data_format(value)


def window_output(
    layer: Layer,
    input_shape: Shape,
    sizes: Sequence[int | None],
    window: Sequence[int],
    strides: Sequence[int],
    padding: str,
    dilation: Sequence[int] | None = None,
) -> Shape:
    """Return the spatial output sizes of a window that slides over `sizes`.

    Parameters
    ----------
    layer : Layer
        With `data_format`, `padding` and `paddings`.
    input_shape : tuple
        With batch axis and channels; for the error.
    sizes : sequence of int or None
        Spatial sizes of the input.
    window, strides, dilation : sequence of int
    padding : {'valid', 'same', 'causal'}

    Raises
    ------
    ValueError
        If the window fits nowhere.
    """
    dilation = dilation or [1] * len(window)
    axes = zip(sizes, window, strides, dilation, strict=True)
    lengths = tuple(conv_output_length(n, k, padding, s, d) for n, k, s, d in axes)
    refuse_empty(layer, input_shape, sizes)
    if 0 in lengths:
        dilated = tuple((k - 1) * d + 1 for k, d in zip(window, dilation, strict=True))
        spread = f" ({dilated} with its dilation)" if dilated != tuple(window) else ""
        raise ValueError(
            f"{layer._described()}: a window of {tuple(window)}{spread} does not fit into an input "
            f"of shape {tuple(input_shape)} with padding='valid': the output would have the sizes "
            f"{lengths}. {_remedy(layer, input_shape)}"
        )
    return lengths


def _remedy(layer: Any, shape: Shape) -> str:
    """Say what to do about a window that is too large, perhaps since the channels come first."""
    few, many = shape[1] or 0, shape[-1] or 0
    if layer.data_format == "channels_last" and few in (1, 3, 4) and many > 4:
        return (
            f"Do the channels come first in {tuple(shape[1:])}? With data_format='channels_last' "
            "they come last; otherwise say data_format='channels_first'."
        )
    same = "" if layer.padding == "same" or "same" not in layer.paddings else "padding='same', "
    return f"Use {same}a smaller window, or fewer layers that shrink the input before."


def refuse_empty(layer: Layer, input_shape: Shape, sizes: Sequence[int | None]) -> None:
    """Raise an error if one of these sizes of an input is 0."""
    if 0 in sizes:
        raise ValueError(
            f"{layer._described()}: an input of shape {tuple(input_shape)} is empty: its sizes "
            f"{tuple(sizes)} must be greater than 0."
        )


class _naming:
    """Put the layer's name in front of a ValueError that knows the argument only."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if isinstance(error, ValueError):
            raise ValueError(f"{self.layer._described()}: {error}") from None
