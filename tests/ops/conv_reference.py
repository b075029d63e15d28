"""Convolution written as its definition says, in float64, to compare the fast ops with.

Axes are those of the ops: ``x (batch, *sizes, channels)``, ``kernel (*window, channels, filters)``
or, depthwise, ``(*window, channels, multiplier)``, ``y (batch, *places, filters)``. Each function
walks over all places of the output and, at each of them, over the taps of the window.

The functions ``*_by_taps`` do the same for all places at once, for arrays too large for loops.
"""

import itertools

import numpy as np

ALL = slice(None)  # all samples


def output_places(sizes, window, strides, pads, dilation):
    """Return how many places the window takes along each axis."""
    axes = zip(sizes, window, strides, pads, dilation, strict=True)
    return tuple((n + a + b - (k - 1) * d - 1) // s + 1 for n, k, s, (a, b), d in axes)


def visits(sizes, window, strides, pads, dilation):
    """Yield each place of the output, each tap, and the place of the input that it reads."""
    places = output_places(sizes, window, strides, pads, dilation)
    for place in itertools.product(*map(range, places)):
        for tap in itertools.product(*map(range, window)):
            axes = zip(place, strides, tap, dilation, pads, strict=True)
            source = tuple(p * s + t * d - before for p, s, t, d, (before, _) in axes)
            if all(0 <= i < n for i, n in zip(source, sizes, strict=True)):  # else it reads a 0
                yield place, tap, source


def conv(x, kernel, bias, strides, pads, dilation):
    x, kernel = np.float64(x), np.float64(kernel)
    sizes, window = x.shape[1:-1], kernel.shape[:-2]
    places = output_places(sizes, window, strides, pads, dilation)
    y = np.zeros((len(x), *places, kernel.shape[-1]))
    for place, tap, source in visits(sizes, window, strides, pads, dilation):
        y[(ALL, *place)] += x[(ALL, *source)] @ kernel[tap]
    return y if bias is None else y + bias


def conv_backward(dy, x, kernel, strides, pads, dilation):
    """Return the gradients by `x`, `kernel` and `bias`."""
    dy, x, kernel = np.float64(dy), np.float64(x), np.float64(kernel)
    dx, dkernel = np.zeros(x.shape), np.zeros(kernel.shape)
    for place, tap, source in visits(x.shape[1:-1], kernel.shape[:-2], strides, pads, dilation):
        dx[(ALL, *source)] += dy[(ALL, *place)] @ kernel[tap].T
        dkernel[tap] += x[(ALL, *source)].T @ dy[(ALL, *place)]
    return dx, dkernel, dy.sum(tuple(range(dy.ndim - 1)))


def depthwise_conv(x, kernel, bias, strides, pads, dilation):
    return conv(x, _full(kernel), bias, strides, pads, dilation)


def depthwise_conv_backward(dy, x, kernel, strides, pads, dilation):
    """Return the gradients by `x`, `kernel` and `bias`."""
    dx, dfull, dbias = conv_backward(dy, x, _full(kernel), strides, pads, dilation)
    dkernel = np.zeros(kernel.shape)
    for c, own in enumerate(_own_filters(kernel)):
        dkernel[..., c, :] = dfull[..., c, own]
    return dx, dkernel, dbias


def _full(kernel):
    """Return the kernel of `conv` that does what a depthwise kernel does: mostly zeros."""
    channels, multiplier = kernel.shape[-2:]
    full = np.zeros((*kernel.shape[:-1], channels * multiplier))
    for c, own in enumerate(_own_filters(kernel)):
        full[..., c, own] = kernel[..., c, :]
    return full


def _own_filters(kernel):
    """Return for each channel which output channels are made from it."""
    channels, multiplier = kernel.shape[-2:]
    return [slice(c * multiplier, (c + 1) * multiplier) for c in range(channels)]


def conv_by_taps(x, kernel, bias, strides, pads, dilation):
    padded = np.pad(np.float64(x), ((0, 0), *pads, (0, 0)))
    places = output_places(x.shape[1:-1], kernel.shape[:-2], strides, pads, dilation)
    y = np.zeros((len(x), *places, kernel.shape[-1]))
    for tap, seen in _what_taps_see(kernel.shape[:-2], places, strides, dilation):
        y += padded[seen] @ np.float64(kernel[tap])
    return y if bias is None else y + bias


def conv_backward_by_taps(dy, x, kernel, strides, pads, dilation):
    """Return the gradients by `x`, `kernel` and `bias`."""
    dy, padded = np.float64(dy), np.pad(np.float64(x), ((0, 0), *pads, (0, 0)))
    dpadded, dkernel = np.zeros(padded.shape), np.zeros(kernel.shape)
    axes = tuple(range(dy.ndim - 1))
    for tap, seen in _what_taps_see(kernel.shape[:-2], dy.shape[1:-1], strides, dilation):
        dpadded[seen] += dy @ np.float64(kernel[tap]).T
        dkernel[tap] = np.tensordot(padded[seen], dy, (axes, axes))
    inside = [slice(a, a + n) for n, (a, _) in zip(x.shape[1:-1], pads, strict=True)]
    return dpadded[(ALL, *inside)], dkernel, dy.sum(axes)


def _what_taps_see(window, places, strides, dilation):
    """Yield each tap with the part of the padded input that it reads, place by place."""
    for tap in itertools.product(*map(range, window)):
        axes = zip(tap, places, strides, dilation, strict=True)
        yield tap, (ALL, *(slice(t * d, t * d + (p - 1) * s + 1, s) for t, p, s, d in axes))
