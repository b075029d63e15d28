"""`InputSpec`: what a layer demands of its input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

#: With the batch axis in front; None entries are unknown.
Shape = tuple[int | None, ...]


class InputSpec:
    """Rank, shape and axis sizes that a layer demands of its input.

    Parameters
    ----------
    dtype : str, optional
        Kept for information.
    shape : tuple, optional
        Expected shape with the batch axis; None entries are free.
    ndim, max_ndim, min_ndim : int, optional
        Expected, largest and smallest number of axes, batch axis included.
    axes : dict of int to int, optional
        Axis to expected size.
    names : tuple of str, optional
        What the axes are, such as ``('batch', 'steps', 'channels')``, for error messages.
    """

    def __init__(
        self,
        dtype: Any = None,
        shape: Sequence[int | None] | None = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: dict[int, int] | None = None,
        names: Sequence[str] = (),
    ) -> None:
        self.dtype = dtype
        self.shape = None if shape is None else tuple(shape)
        self.ndim = len(self.shape) if self.shape is not None else ndim
        self.max_ndim = max_ndim
        self.min_ndim = min_ndim
        self.axes = axes or {}
        self.names = tuple(names)

    def problem(self, shape: Shape) -> str | None:
        """Return what is wrong with an input of `shape`, None if it fits."""
        rank = len(shape)
        if self.ndim is not None and rank != self.ndim:
            return f"expected ndim={self.ndim} (with the batch axis), found ndim={rank}"
        if self.max_ndim is not None and rank > self.max_ndim:
            return f"expected max_ndim={self.max_ndim} (with the batch axis), found ndim={rank}"
        if self.min_ndim is not None and rank < self.min_ndim:
            return f"expected min_ndim={self.min_ndim} (with the batch axis), found ndim={rank}"
        wanted = dict(self.axes)
        if self.shape is not None:
            wanted.update({axis: size for axis, size in enumerate(self.shape) if size is not None})
        for axis, size in wanted.items():
            if not -rank <= axis < rank:
                return f"expected an axis {axis} of size {size}, found ndim={rank}"
            if shape[axis] not in (size, None):
                return f"expected axis {axis} to have size {size}, found {shape[axis]}"
        return None

    def advice(self, shape: Shape) -> str:
        """Return what to do about an input of the wrong number of axes, where that is known."""
        missing = len(self.names) - len(shape)
        if not self.names or not missing:
            return ""
        text = f" Expected ({', '.join(self.names)})."
        if missing == 1 and len(shape) > 2 and "steps" in self.names:
            text += f" The steps are missing: write input_shape={(None, *shape[1:])}, say."
        elif missing == 1 and "channels" in self.names:
            sample = list(shape[1:])
            sample.insert(self.names.index("channels") - 1, 1)
            text += (
                f" A single channel is an axis, too: write input_shape={tuple(sample)} for that."
            )
        elif missing == 1 and "features" in self.names:
            text += " As a first layer it takes input_shape=(steps, features)."
        if missing == 1 and len(shape) == 2 and "steps" in self.names:
            text += " A recurrent layer below it needs return_sequences=True."
        if missing > 1 and "channels" in self.names:
            text += (
                " Flatten and Dense come after such layers, not before. As a first layer it takes "
                f"input_shape=({', '.join(self.names[1:])})."
            )
        if missing == -1:
            text += " input_shape is the shape of one sample, without the batch axis"
            text += f": write input_shape={shape[2:]}." if shape[1] is not None else "."
            if "features" in self.names:
                text += (
                    " Layers for images below go into TimeDistributed, TimeDistributed(Flatten()) "
                    "as the last."
                )
        return text

    def __repr__(self) -> str:
        given = {key: value for key, value in vars(self).items() if value not in (None, {}, ())}
        return f"InputSpec({', '.join(f'{key}={value}' for key, value in given.items())})"
