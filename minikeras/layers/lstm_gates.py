"""The gates of one LSTM step by the book, for LSTMCell and ConvLSTM2DCell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minikeras.layers.units_cell import apply, unapply


def gates(
    z: Sequence[np.ndarray], c: np.ndarray, activation: Callable, recurrent_activation: Callable
) -> tuple[np.ndarray, np.ndarray, Any]:
    """Compute the new states from the sums that reach the gates.

    Parameters
    ----------
    z : four ndarrays of one shape
        Of the gates i, f, g and o.
    c : ndarray
        The old state.
    activation, recurrent_activation : callable

    Returns
    -------
    h, c : ndarray
        The new states.
    residual : object
        For `gates_backward`.
    """
    zi, zf, zg, zo = z
    i, kept_i = apply(recurrent_activation, zi)
    f, kept_f = apply(recurrent_activation, zf)
    g, kept_g = apply(activation, zg)
    o, kept_o = apply(recurrent_activation, zo)
    new_c = f * c + i * g
    y, kept_y = apply(activation, new_c)
    return o * y, new_c, (c, i, f, g, o, y, kept_i, kept_f, kept_g, kept_o, kept_y)


def gates_backward(
    dh: np.ndarray,
    dc: np.ndarray,
    residual: Any,
    activation: Callable,
    recurrent_activation: Callable,
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the gradients of what `gates` got: the four of `z`, and that of the old `c`.

    Parameters
    ----------
    dh, dc : ndarray
        Gradients of the new states.
    residual, activation, recurrent_activation
        Of `gates`.
    """
    c, i, f, g, o, y, kept_i, kept_f, kept_g, kept_o, kept_y = residual
    dc = dc + unapply(activation, dh * o, kept_y)
    dz = [
        unapply(recurrent_activation, dc * g, kept_i),
        unapply(recurrent_activation, dc * c, kept_f),
        unapply(activation, dc * i, kept_g),
        unapply(recurrent_activation, dh * y, kept_o),
    ]
    return dz, dc * f
