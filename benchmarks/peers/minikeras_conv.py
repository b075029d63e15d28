"""Worker of `conv_ops`: minikeras' ops, with one BLAS thread as inside a training pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.conv_cases import FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, Case
from benchmarks.peers.conv_protocol import Passes, serve
from benchmarks.peers.minikeras_peer import versions
from minikeras.ops.blas import one_thread
from minikeras.ops.convolution import conv, conv_backward
from minikeras.ops.depthwise import depthwise_conv, depthwise_conv_backward

Arrays = Sequence[np.ndarray]


def make_passes(case: Case) -> Passes:
    """Return the passes of a case, their results in memory made beforehand."""
    x, kernel, bias, dy = inputs = case.arrays()
    return passes_into(case, inputs, [np.empty_like(a) for a in (dy, x, kernel, bias)])


def passes_into(case: Case, inputs: Arrays, results: Arrays) -> Passes:
    """Return the passes of a case on `x, kernel, bias, dy`, into `y, dx, dkernel, dbias`."""
    x, kernel, bias, dy = inputs
    y, dx, dkernel, dbias = results
    n = len(case.window)
    how: dict[str, Any] = {
        "strides": (case.stride,) * n,
        "pads": case.pads,
        "dilation": (case.dilation,) * n,
    }
    if case.kind == "transposed":
        passes = {
            FORWARD: lambda: conv_backward(x, None, kernel, dx=y, **how),
            INPUT_GRADIENT: lambda: conv(dy, kernel, out=dx, **how),
            WEIGHT_GRADIENT: lambda: conv_backward(x, dy, kernel, dkernel=dkernel, **how),
        }
    else:
        ops = {
            "conv": (conv, conv_backward),
            "depthwise": (depthwise_conv, depthwise_conv_backward),
        }
        forward, backward = ops[case.kind]
        passes = {
            FORWARD: lambda: forward(x, kernel, bias, out=y, **how),
            INPUT_GRADIENT: lambda: backward(dy, x, kernel, dx=dx, **how),
            WEIGHT_GRADIENT: lambda: backward(dy, x, kernel, dkernel=dkernel, dbias=dbias, **how),
        }
    return {name: passes[name] for name in case.passes}


if __name__ == "__main__":
    serve(make_passes, versions, inside=one_thread)
