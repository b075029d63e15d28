"""`InputLayer` and `Input`: saying what the first layer of a model receives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minikeras.backend import get_uid
from minikeras.backend.context import Context
from minikeras.engine.base_layer import Layer


class InputLayer(Layer):
    """The entry to a model: states the shape and type of the data and changes nothing.

    Parameters
    ----------
    input_shape : tuple of int or None, optional
        Shape of one sample.
    batch_size : int, optional
        Fixed batch size.
    batch_input_shape : tuple of int or None, optional
        Both in one, in place of the two.
    dtype : str, optional
        Type to which the data are converted. Default: ``K.floatx()``.
    name : str, optional

    Examples
    --------
    >>> from minikeras import Sequential
    >>> from minikeras.layers import Dense, InputLayer
    >>> Sequential([InputLayer(input_shape=(3,)), Dense(2)]).output_shape
    (None, 2)
    """

    supports_masking = True

    def __init__(
        self,
        input_shape: Sequence[int | None] | None = None,
        batch_size: int | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
        dtype: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if input_shape is None and batch_input_shape is None:
            raise ValueError("InputLayer needs an input_shape or a batch_input_shape.")
        if input_shape is not None and batch_input_shape is not None:
            raise ValueError(
                f"InputLayer takes input_shape or batch_input_shape, not both: got {input_shape} "
                f"and {batch_input_shape}."
            )
        super().__init__(
            input_shape=input_shape,
            batch_size=batch_size,
            batch_input_shape=batch_input_shape,
            dtype=dtype,
            name=name,
            **kwargs,
        )
        self.ensure_built(self.batch_input_shape)

    def _automatic_name(self) -> str:
        return f"input_{get_uid('input')}"

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Return `x`."""
        return x, None

    def backward(self, dy: np.ndarray, residual: Any, ctx: Context) -> np.ndarray:
        """Return `dy`."""
        return dy

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            "batch_input_shape": self.batch_input_shape,
            "dtype": self.dtype,
            "name": self.name,
        }


def Input(
    shape: Sequence[int | None] | None = None,
    batch_shape: Sequence[int | None] | None = None,
    name: str | None = None,
    dtype: Any = None,
) -> InputLayer:
    """Return an `InputLayer`, to stand first in a `Sequential`.

    Parameters
    ----------
    shape : tuple of int or None, optional
        Shape of one sample, without the batch axis.
    batch_shape : tuple of int or None, optional
        The same with the batch axis.
    name, dtype : str, optional

    Examples
    --------
    >>> from minikeras import Input, Sequential
    >>> from minikeras.layers import Dense
    >>> Sequential([Input(shape=(3,)), Dense(2)]).input_shape
    (None, 3)
    """
    if shape is None and batch_shape is None:
        raise ValueError("Input needs a shape or a batch_shape.")
    return InputLayer(input_shape=shape, batch_input_shape=batch_shape, name=name, dtype=dtype)
