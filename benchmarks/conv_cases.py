"""The convolutions of `conv_ops`, as plain data: a new one is a new entry in `CASES`.

The workers import this module in their own environments, so it may use NumPy only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT = PASSES = "forward", "input gradient", "weight gradient"


@dataclass(frozen=True)
class Case:
    """One convolution.

    Parameters
    ----------
    name : str
        The name on the command line and in the table.
    x : tuple of int
        The input's shape, `(batch, *sizes, channels)`.
    filters : int
        Channels of the output.
    window : tuple of int
        Sizes of the kernel.
    stride, dilation : int
        The same along all axes.
    padding : str
        `"valid"` or `"same"`.
    kind : str
        `"conv"`, `"depthwise"` or `"transposed"` (which has padding `"same"`).
    first : bool
        Whether it is a network's first layer: training never asks for its input gradient.
    """

    name: str
    x: tuple[int, ...]
    filters: int
    window: tuple[int, ...]
    stride: int = 1
    dilation: int = 1
    padding: str = "valid"
    kind: str = "conv"
    first: bool = False

    @property
    def y(self) -> tuple[int, ...]:
        """The output's shape."""
        if self.kind == "transposed":
            sizes = [size * self.stride for size in self.x[1:-1]]
        else:
            within = self.dilation if self.padding == "valid" else 0
            axes = zip(self.x[1:-1], self.window, strict=True)
            sizes = [-(-(size - (length - 1) * within) // self.stride) for size, length in axes]
        return (self.x[0], *sizes, self.filters)

    @property
    def kernel(self) -> tuple[int, ...]:
        """The kernel's shape, as Keras has it."""
        channels = self.x[-1]
        return (
            *self.window,
            *{
                "conv": (channels, self.filters),
                "depthwise": (channels, 1),
                "transposed": (self.filters, channels),
            }[self.kind],
        )

    @property
    def pads(self) -> list[tuple[int, int]]:
        """Zeros before and after each axis; for a transposed one around its output."""
        if self.padding == "valid":
            return [(0, 0)] * len(self.window)
        large, small = (self.y, self.x) if self.kind == "transposed" else (self.x, self.y)
        axes = zip(large[1:-1], small[1:-1], self.window, strict=True)
        totals = [
            max((places - 1) * self.stride + (size - 1) * self.dilation + 1 - length, 0)
            for length, places, size in axes
        ]
        return [(total // 2, total - total // 2) for total in totals]

    @property
    def flops(self) -> int:
        """Floating-point operations of one pass, those on the padding's zeros included."""
        places = math.prod((self.x if self.kind == "transposed" else self.y)[:-1])
        return 2 * places * math.prod(self.kernel)

    @property
    def passes(self) -> tuple[str, ...]:
        """The passes to measure."""
        return (FORWARD, WEIGHT_GRADIENT) if self.first else PASSES

    def __str__(self) -> str:
        marks = {"stride": self.stride, "dilation": self.dilation}
        extra = "".join(f", {name} {value}" for name, value in marks.items() if value != 1)
        kind = "" if self.kind == "conv" else f" {self.kind}"
        window = "x".join(map(str, self.window))
        return f"{window}{kind}, {self.x} to {self.filters}, {self.padding}{extra}"

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return `x`, `kernel`, `bias` and `dy`: random, float32, the same on every call."""
        generator = np.random.Generator(np.random.SFC64(1337))
        shapes = self.x, self.kernel, (self.filters,), self.y
        x, kernel, bias, dy = (
            generator.standard_normal(shape, dtype=np.float32) for shape in shapes
        )
        return x, kernel, bias, dy


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        # The layers of the three workloads.
        Case("mnist_cnn_1", (128, 28, 28, 1), 32, (3, 3), first=True),
        Case("mnist_cnn_2", (128, 26, 26, 32), 64, (3, 3)),
        Case("vgg_like_1", (32, 100, 100, 3), 32, (3, 3), first=True),
        Case("vgg_like_2", (32, 98, 98, 32), 32, (3, 3)),
        Case("vgg_like_3", (32, 48, 48, 32), 64, (3, 3)),
        Case("vgg_like_4", (32, 46, 46, 64), 64, (3, 3)),
        Case("conv1d_1", (16, 100, 100), 64, (3,), first=True),
        Case("conv1d_2", (16, 98, 64), 64, (3,)),
        Case("conv1d_3", (16, 32, 64), 128, (3,)),
        Case("conv1d_4", (16, 30, 128), 128, (3,)),
        # What other networks are made of.
        Case("pointwise", (32, 28, 28, 128), 128, (1, 1)),
        Case("wide_5x5", (32, 14, 14, 32), 64, (5, 5), padding="same"),
        Case("strided", (32, 56, 56, 64), 128, (3, 3), stride=2, padding="same"),
        Case("dilated", (32, 28, 28, 64), 64, (3, 3), dilation=2, padding="same"),
        Case("conv3d", (8, 16, 16, 16, 16), 32, (3, 3, 3), padding="same"),
        Case("depthwise", (32, 56, 56, 64), 64, (3, 3), padding="same", kind="depthwise"),
        Case("transposed", (32, 28, 28, 128), 64, (3, 3), 2, padding="same", kind="transposed"),
    )
}
