"""ConvLSTM2DCell: one time step of ConvLSTM2D, and a whole sequence.

It says twice what it does, as `minikeras.layers.units_cell` explains: `step` by the book, `run`
quickly.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minikeras import activations
from minikeras.backend import Variable
from minikeras.engine import Context
from minikeras.engine.input_spec import Shape
from minikeras.layers.arguments import known_size, positive_int
from minikeras.layers.cell import States
from minikeras.layers.lstm_gates import gates, gates_backward
from minikeras.layers.spatial import (
    data_format_name,
    join_shape,
    padding_name,
    positive_ints,
    refuse_empty,
    spatial_spec,
    split_shape,
    window_output,
)
from minikeras.layers.units_cell import GATES, OUTPUTS, KernelCell, Masks
from minikeras.ops.conv_lstm import GateConv, conv_lstm, conv_lstm_backward
from minikeras.ops.convolution import conv, conv_backward
from minikeras.ops.recurrent import Mask
from minikeras.utils.conv_utils import conv_padding


class ConvLSTM2DCell(KernelCell):
    """One time step of `ConvLSTM2D`, whose arguments it takes.

    Parameters
    ----------
    filters : int
        Channels of the output, greater than 0.
    kernel_size, strides, padding, data_format, dilation_rate, activation, recurrent_activation, \
use_bias, kernel_initializer, recurrent_initializer, bias_initializer, unit_forget_bias, \
kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint, \
recurrent_constraint, bias_constraint, dropout, recurrent_dropout
        See `ConvLSTM2D`.
    **kwargs
        See `Layer`.

    Examples
    --------
    >>> from minikeras.layers import ConvRNN2D
    >>> ConvRNN2D(ConvLSTM2DCell(4, 3, padding="same"))(np.zeros((2, 5, 8, 9, 3))).shape
    (2, 8, 9, 4)
    """

    paddings = ("valid", "same")

    arguments = (
        "filters",
        "kernel_size",
        "strides",
        "padding",
        "data_format",
        "dilation_rate",
        *KernelCell.arguments,
        "recurrent_activation",
        "unit_forget_bias",
    )

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        activation: Any = "tanh",
        recurrent_activation: Any = "hard_sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            kernel_regularizer,
            recurrent_regularizer,
            bias_regularizer,
            kernel_constraint,
            recurrent_constraint,
            bias_constraint,
            dropout,
            recurrent_dropout,
            **kwargs,
        )
        self.filters = positive_int(filters, "filters", self)
        self.kernel_size = positive_ints(kernel_size, 2, "kernel_size", self)
        self.strides = positive_ints(strides, 2, "strides", self)
        self.padding = padding_name(padding, self, self.paddings)
        self.data_format = data_format_name(data_format, self)
        self.dilation_rate = positive_ints(dilation_rate, 2, "dilation_rate", self)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                f"{self._described()}: strides {self.strides} and dilation_rate "
                f"{self.dilation_rate} don't go together: as in Keras, one of the two must be 1 "
                "along both axes."
            )
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = bool(unit_forget_bias)
        self.state_size = (self.filters, self.filters)
        self.input_spec = spatial_spec(2, self.data_format)

    def build(self, input_shape: Shape) -> None:
        """Make kernel, recurrent kernel and bias, with ones for the forget gate on request."""
        channels = known_size(input_shape, -1 if self.data_format == "channels_last" else 1, self)
        refuse_empty(self, input_shape, [channels])
        self.state_shapes(input_shape)  # if the window does not fit, there are no weights yet
        width = 4 * self.filters
        window = self.kernel_size
        self._make_weights((*window, channels, width), (*window, self.filters, width), (width,))
        if self.bias is not None and self.unit_forget_bias:
            self.bias.value[self.filters : 2 * self.filters] = 1
        self.input_spec = spatial_spec(2, self.data_format, channels)
        self.built = True

    def state_shapes(self, input_shape: Shape) -> list[Shape]:
        """Return the shapes of the two states. See `Cell.state_shapes`."""
        sizes, _ = split_shape(input_shape, self.data_format)
        window, strides, dilation = self.kernel_size, self.strides, self.dilation_rate
        places = window_output(self, input_shape, sizes, window, strides, self.padding, dilation)
        return [join_shape(None, places, self.filters, self.data_format)] * 2

    def _slides(self, input_shape: Shape) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return how the window moves over the input of a step, and how over a state.

        Over a state it moves one by one, with zeros around, so that the state keeps its size.
        """
        sizes, _ = split_shape(input_shape, self.data_format)
        places, _ = split_shape(self.state_shapes(input_shape)[0], self.data_format)
        window, strides, dilation = self.kernel_size, self.strides, self.dilation_rate
        return (
            _slide(sizes, window, strides, self.padding, dilation),
            _slide(places, window, (1, 1), "same", (1, 1)),
        )

    def _patterns(self) -> int:
        return 4

    # One step by the book

    def step(self, x: np.ndarray, states: States, ctx: Context) -> tuple[np.ndarray, States, Any]:
        """Do one time step. See `Cell.step`."""
        h, c = states
        masks, recurrent_masks = self._masks(x, ctx)
        slides = self._slides(x.shape)
        places = self._channels_last(h).shape[:-1]
        z = self._convolve(x, self.kernel, slides[0], masks, places)
        z += self._convolve(h, self.recurrent_kernel, slides[1], recurrent_masks, places)
        if self.bias is not None:
            z += self.bias.value
        parts = list(map(self._laid_out, np.split(z, 4, axis=-1)))
        new_h, new_c, kept = gates(parts, c, self.activation, self.recurrent_activation)
        return new_h, [new_h, new_c], (x, h, kept, masks, recurrent_masks, slides)

    def step_backward(
        self, dy: np.ndarray, dstates: States, residual: Any, ctx: Context
    ) -> tuple[np.ndarray, States]:
        """Go back through one time step. See `Cell.step_backward`."""
        x, h, kept, masks, recurrent_masks, slides = residual
        dh, dc = dstates
        parts, dc = gates_backward(dh + dy, dc, kept, self.activation, self.recurrent_activation)
        dz = np.concatenate([self._channels_last(part) for part in parts], axis=-1)
        if self.bias is not None:
            ctx.add_gradient(self.bias, dz.sum(axis=(0, 1, 2)))
        dh = self._convolve_backward(dz, h, self.recurrent_kernel, slides[1], recurrent_masks, ctx)
        return self._convolve_backward(dz, x, self.kernel, slides[0], masks, ctx), [dh, dc]

    def _convolve(
        self, x: np.ndarray, weight: Variable, slide: dict[str, Any], masks: Masks, places: Shape
    ) -> np.ndarray:
        """Convolve for all gates, each with its own dropout if there is any; channels last."""
        found = []
        for kernel, inputs in self._gate_parts(x, weight, masks):
            z = np.empty((*places, kernel.shape[-1]), x.dtype)
            found.append(conv(inputs, kernel, **slide, out=z))
        return np.concatenate(found, axis=-1)

    def _convolve_backward(
        self,
        dz: np.ndarray,
        x: np.ndarray,
        weight: Variable,
        slide: dict[str, Any],
        masks: Masks,
        ctx: Context,
    ) -> np.ndarray:
        """Write the gradient of the kernel, and return that of `x`."""
        parts = self._gate_parts(x, weight, masks)
        total, dkernels = np.zeros(x.shape, x.dtype), []
        for k, (kernel, inputs) in enumerate(parts):
            part = np.ascontiguousarray(np.split(dz, len(parts), axis=-1)[k])
            dx, dkernel = np.empty(inputs.shape, x.dtype), np.empty(kernel.shape, x.dtype)
            conv_backward(part, inputs, kernel, **slide, dx=dx, dkernel=dkernel)
            dx = self._laid_out(dx)
            total += dx if masks is None else dx * masks[k]
            dkernels.append(dkernel)
        ctx.add_gradient(weight, np.concatenate(dkernels, axis=-1))
        return total

    def _gate_parts(
        self, x: np.ndarray, weight: Variable, masks: Masks
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return pairs of kernel and input, channels last: one, or one for each gate."""
        if masks is None:
            return [(weight.value, self._channels_last(x))]
        kernels = np.split(weight.value, len(masks), axis=-1)
        inputs = [self._channels_last(x * m) for m in masks]
        return list(zip(kernels, inputs, strict=True))

    # A whole sequence

    def run(
        self, x: np.ndarray, states: States, mask: np.ndarray | None, ctx: Context
    ) -> tuple[np.ndarray, States, Any]:
        """Run over all steps. See `Cell.run`."""
        squash = OUTPUTS.get(self.activation)
        recurrent_squash = GATES.get(self.recurrent_activation)
        if squash is None or recurrent_squash is None:
            y, states, residual = super().run(x, states, mask, ctx)
            return y, states, (None, residual)
        steps, batch = x.shape[:2]
        h, c = map(self._channels_last, states)
        convs = self._gate_convs(x.shape[1:], ctx)
        images = _as_images(self._channels_last(x, axis=2), ctx)
        z = ctx.empty((steps * batch, *h.shape[1:-1], 4 * self.filters), x.dtype)
        convs[0].outputs(images, None if self.bias is None else self.bias.value, z)
        z = z.reshape(steps, batch, *z.shape[1:])
        masked = None if mask is None else Mask(mask)
        trace = conv_lstm(z, convs[1], h, c, squash, recurrent_squash, masked, ctx.empty)
        final = [self._laid_out(state[-1]) for state in (trace.h, trace.c)]
        residual = (images, convs, trace, squash, recurrent_squash, masked)
        return self._laid_out(trace.h[1:], axis=2), final, (residual, None)

    def _gate_convs(self, input_shape: tuple[int, ...], ctx: Context) -> tuple[GateConv, GateConv]:
        """Return the convolutions of input and state, with new patterns of dropout."""
        inputs, recurrent = (
            None if masks is None else [self._channels_last(m) for m in masks]
            for masks in self.dropout_masks(input_shape, ctx)
        )
        slide, recurrent_slide = self._slides(input_shape)
        return (
            GateConv(self.kernel.value, slide, inputs, ctx.empty),
            GateConv(self.recurrent_kernel.value, recurrent_slide, recurrent, ctx.empty),
        )

    def run_backward(
        self, dy: np.ndarray, dstates: States | None, residual: Any, ctx: Context
    ) -> tuple[np.ndarray | None, States]:
        """Run back through all steps. See `Cell.run_backward`."""
        whole, plain = residual
        if whole is None:
            return super().run_backward(dy, dstates, plain, ctx)
        images, (input_conv, recurrent_conv), trace, squash, inner, mask = whole
        dh, dc = (ctx.empty(trace.h.shape[1:], dy.dtype) for _ in range(2))
        for k, gradient in enumerate((dh, dc)):
            gradient[...] = 0 if dstates is None else self._channels_last(dstates[k])
        dy = self._channels_last(dy, axis=2)
        dz = conv_lstm_backward(dy, dh, dc, trace, recurrent_conv, squash, inner, mask, ctx.empty)
        sequence = dz.shape[:2]
        dz, before = (array.reshape(-1, *array.shape[2:]) for array in (dz, trace.h[:-1]))
        dbias = None if self.bias is None else ctx.gradient(self.bias)
        input_conv.kernel_gradient(dz, images, ctx.gradient(self.kernel), dbias)
        recurrent_conv.kernel_gradient(dz, before, ctx.gradient(self.recurrent_kernel))
        dx = None
        if ctx.needs_input_gradient:
            dx = ctx.empty(images.shape, dz.dtype)
            input_conv.input_gradient(dz, dx)
            dx = self._laid_out(dx.reshape(*sequence, *dx.shape[1:]), axis=2)
        return dx, [self._laid_out(dh), self._laid_out(dc)]

    # Layout

    def _channels_last(self, x: np.ndarray, axis: int = 1) -> np.ndarray:
        """View an array of the layer's layout with the channels last; `axis` is their place."""
        return x if self.data_format == "channels_last" else np.moveaxis(x, axis, -1)

    def _laid_out(self, y: np.ndarray, axis: int = 1) -> np.ndarray:
        """View an array with the channels last in the layer's layout."""
        return y if self.data_format == "channels_last" else np.moveaxis(y, -1, axis)


def _slide(
    sizes: Shape,
    window: tuple[int, ...],
    strides: tuple[int, ...],
    padding: str,
    dilation: tuple[int, ...],
) -> dict[str, Any]:
    """Return the arguments that tell an op how the window moves over these sizes."""
    axes = zip(sizes, window, strides, dilation, strict=True)
    pads = [conv_padding(n, k, padding, s, d) for n, k, s, d in axes]  # type: ignore[arg-type]
    return {"strides": strides, "pads": pads, "dilation": dilation}


def _as_images(x: np.ndarray, ctx: Context) -> np.ndarray:
    """Return ``(steps, batch, *map)`` as ``(steps * batch, *map)``, copied only if need be."""
    steps, batch = x.shape[:2]
    if min(steps, batch) > 1 and x.strides[0] != batch * x.strides[1]:
        copy = ctx.empty(x.shape, x.dtype)
        np.copyto(copy, x)
        x = copy
    return x.reshape(steps * batch, *x.shape[2:])
