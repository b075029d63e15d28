"""Printing what a model is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

_LINE_LENGTH = 65
_POSITIONS = (0.45, 0.85, 1.0)


def print_summary(
    model: Any,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    print_fn: Callable[[str], Any] | None = None,
) -> None:
    """Print the layers of a model in Keras' layout. A cell that is too long is wrapped, not cut.

    Parameters
    ----------
    model : Sequential
        Must be built.
    line_length : int, optional
        Width of the table in characters. Default 65.
    positions : list of float, optional
        Where each of the three columns ends: parts of the width if the last is at most 1, else
        characters. Default ``[0.45, 0.85, 1.0]``.
    print_fn : callable, optional
        Called with each line. Default `print`.

    Raises
    ------
    ValueError
        If there are not three growing positions.

    Examples
    --------
    >>> from minikeras import Sequential
    >>> from minikeras.layers import Dense
    >>> print_summary(Sequential([Dense(2, input_dim=3, name="d")]), line_length=40)
    ________________________________________
    Layer (type)      Output Shape    Param
                                      #
    ========================================
    d (Dense)         (None, 2)       8
    ========================================
    Total params: 8
    Trainable params: 8
    Non-trainable params: 0
    ________________________________________
    """
    width = line_length or _LINE_LENGTH
    ends = _column_ends(width, positions)
    out = print_fn or print

    out("_" * width)
    _print_row(["Layer (type)", "Output Shape", "Param #"], ends, out)
    out("=" * width)
    for number, layer in enumerate(model.layers, start=1):
        row = [
            f"{layer.name} ({type(layer).__name__})",
            str(layer.output_shape),
            str(layer.count_params()),
        ]
        _print_row(row, ends, out)
        out(("=" if number == len(model.layers) else "_") * width)
    trainable = sum(weight.size for weight in model.trainable_weights)
    total = model.count_params()
    out(f"Total params: {total:,}")
    out(f"Trainable params: {trainable:,}")
    out(f"Non-trainable params: {total - trainable:,}")
    out("_" * width)


def _column_ends(width: int, positions: Sequence[float] | None) -> list[int]:
    wanted = list(positions or _POSITIONS)
    scale = width if wanted[-1] <= 1 else 1
    ends = [int(scale * end) for end in wanted]
    if len(ends) != 3 or not 0 < ends[0] < ends[1] < ends[2]:
        raise ValueError(
            f"positions must hold the growing ends of 3 columns, got {positions} for a width of "
            f"{width}."
        )
    return ends


def _print_row(cells: Sequence[str], ends: Sequence[int], out: Callable[[str], Any]) -> None:
    """Print one row in as many lines as its longest cell needs."""
    starts = [0, *ends[:-1]]
    wrapped = [
        _wrap(cell, max(1, end - start - 1))
        for cell, start, end in zip(cells, starts, ends, strict=True)
    ]
    for number in range(max(map(len, wrapped))):
        line = ""
        for pieces, start in zip(wrapped, starts, strict=True):
            line = line.ljust(start) + (pieces[number] if number < len(pieces) else "")
        out(line.rstrip())


def _wrap(text: str, width: int) -> list[str]:
    """Break `text` at spaces where possible, and inside a word where it must be."""
    import textwrap

    return textwrap.wrap(text, width) or [""]
