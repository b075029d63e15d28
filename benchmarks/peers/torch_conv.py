"""Worker of `conv_ops`: PyTorch's convolutions, as its autograd calls them.

Images and volumes are in PyTorch's `channels_last` formats, its faster ones; sequences, which have
none, in the plain one. Threads are its default. PyTorch can't pad one end of an axis more than the
other, as Keras' `"same"` does with a stride, and pads both ends by the greater number: the output
has the same shape and costs the same.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.conv_cases import FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, Case
from benchmarks.peers.conv_protocol import Passes, serve
from benchmarks.peers.torch_peer import versions

FORMATS = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
}
FORWARDS = {
    "conv": (functional.conv1d, functional.conv2d, functional.conv3d),
    "transposed": (
        functional.conv_transpose1d,
        functional.conv_transpose2d,
        functional.conv_transpose3d,
    ),
}
FORWARDS["depthwise"] = FORWARDS["conv"]


def tensors(case: Case) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return `x`, `kernel`, `bias` and `dy` in PyTorch's order of axes."""
    x, kernel, bias, dy = map(torch.from_numpy, case.arrays())
    x, dy = x.movedim(-1, 1), dy.movedim(-1, 1)
    source = (-2, -1) if case.kind == "depthwise" else (-1, -2)
    kernel = kernel.movedim(source, (0, 1))
    layout = FORMATS[len(case.window)]
    x, kernel, dy = (t.contiguous(memory_format=layout) for t in (x, kernel, dy))
    return x, kernel, bias, dy


def make_passes(case: Case) -> Passes:
    """Return the passes of a case."""
    x, kernel, bias, dy = tensors(case)
    n = len(case.window)
    stride, dilation = [case.stride] * n, [case.dilation] * n
    pads = [after for _, after in case.pads]
    groups = case.x[-1] if case.kind == "depthwise" else 1
    op = FORWARDS[case.kind][n - 1]
    transposed = case.kind == "transposed"

    def forward() -> Tensor:
        if transposed:
            return op(x, kernel, None, stride, pads, extra, groups, dilation)
        return op(x, kernel, bias, stride, pads, dilation, groups)

    extra = [0] * n
    if transposed:  # what PyTorch's own rule for the length leaves out
        extra = [a - b for a, b in zip(case.y[1:-1], forward().shape[2:], strict=True)]

    def backward(*mask: bool) -> tuple[Tensor | None, ...]:
        return torch.ops.aten.convolution_backward(
            dy, x, kernel, list(bias.shape), stride, pads, dilation, transposed, extra, groups, mask
        )

    passes = {
        FORWARD: forward,
        INPUT_GRADIENT: lambda: backward(True, False, False),
        WEIGHT_GRADIENT: lambda: backward(False, True, not transposed),
    }
    assert forward().movedim(1, -1).shape == case.y
    return {name: passes[name] for name in case.passes}


if __name__ == "__main__":
    serve(make_passes, versions, inside=torch.inference_mode)
