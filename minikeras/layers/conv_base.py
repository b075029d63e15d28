"""What all convolutional layers share, and those with one kernel, plain or transposed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minikeras import activations, constraints, initializers, regularizers
from minikeras.engine import Context, Layer
from minikeras.engine.input_spec import Shape
from minikeras.layers.arguments import known_size, positive_int
from minikeras.layers.spatial import (
    as_laid_out,
    channels_last,
    data_format_name,
    join_shape,
    padding_name,
    positive_ints,
    refuse_empty,
    spatial_spec,
    split_shape,
    window_output,
)
from minikeras.ops.convolution import conv, conv_backward
from minikeras.ops.parallel import for_blocks
from minikeras.ops.windows import add_bias, sum_places
from minikeras.utils.conv_utils import conv_output_length, conv_padding, deconv_length

# Entries of an output to which bias and activation are applied at a time, on one thread.
_BLOCK = 1 << 16


def row_activation(function: Callable, data_format: str) -> Callable[[np.ndarray], object] | None:
    """Return what applies an activation, in place, to some of the places of an output.

    So an op can finish each block while it is in the cache. Each place is a row of channels, in
    which the functions of `minikeras.activations` have all they need; but softmax works along the
    last axis, which is not that of the channels with ``data_format='channels_first'``.

    Parameters
    ----------
    function : callable
        An activation.
    data_format : {'channels_last', 'channels_first'}

    Returns
    -------
    callable or None
        None if the function is to be applied to the whole output as it is laid out: a function
        of the user's own may look at all of it, and there is nothing to do for `linear`.

    Examples
    --------
    >>> y = np.array([[-1.0, 2.0]])
    >>> row_activation(activations.relu, "channels_last")(y)
    array([[0., 2.]])
    """
    own = function not in activations.FUNCTIONS.values()
    across = function is activations.softmax and data_format == "channels_first"
    if own or across or function is activations.linear:
        return None
    pair = activations.forward_backward(function)
    return lambda part: pair.forward(part, out=part)


class BaseConv(Layer):
    """What all convolutional layers share: a window, a bias and an activation.

    A subclass makes its kernels in `_make_kernels`, says in `compute_output_shape` how large the
    output is, and computes in `_convolve` and `_convolve_backward`, which see arrays with the
    channels last whatever the layer's `data_format`.

    Parameters
    ----------
    kernel_size, strides, dilation_rate : int or tuple of int
        One number for each of the `rank` spatial axes, or one for all.
    padding : str
        One of the class' `paddings`.
    data_format : {'channels_last', 'channels_first'}, optional
        Default: ``K.image_data_format()``.
    activation, use_bias, bias_initializer, bias_regularizer, activity_regularizer, bias_constraint
        As in `Dense`.
    **kwargs
        See `Layer`.
    """

    rank: int
    paddings: tuple[str, ...] = ("valid", "same")

    def __init__(
        self,
        kernel_size: Any,
        strides: Any,
        padding: str,
        data_format: str | None,
        dilation_rate: Any,
        activation: Any,
        use_bias: bool,
        bias_initializer: Any,
        bias_regularizer: Any,
        activity_regularizer: Any,
        bias_constraint: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.kernel_size = positive_ints(kernel_size, self.rank, "kernel_size", self)
        self.strides = positive_ints(strides, self.rank, "strides", self)
        self.padding = padding_name(padding, self, self.paddings)
        self.data_format = data_format_name(data_format, self)
        self.dilation_rate = positive_ints(dilation_rate, self.rank, "dilation_rate", self)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                f"{self._described()}: strides {self.strides} and dilation_rate "
                f"{self.dilation_rate} don't go together: as in Keras, one of the two must be 1 "
                "along all axes."
            )
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.bias_initializer = initializers.get(bias_initializer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.bias_constraint = constraints.get(bias_constraint)
        self.input_spec = spatial_spec(self.rank, self.data_format)

    def build(self, input_shape: Shape) -> None:
        """Make the kernels and the bias."""
        axis = -1 if self.data_format == "channels_last" else 1
        channels = known_size(input_shape, axis, self)
        refuse_empty(self, input_shape, [channels])
        # First of all the output's shape: if the window does not fit, there are no weights yet.
        _, filters = split_shape(self.compute_output_shape(input_shape), self.data_format)
        self._make_kernels(channels)
        self._make_bias((filters,))
        self.input_spec = spatial_spec(self.rank, self.data_format, channels)
        self.built = True

    def _make_bias(self, shape: Shape) -> None:
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                "bias",
                shape,
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Compute ``activation(convolution of x + bias)``."""
        sizes, filters = split_shape(self.compute_output_shape(x.shape), self.data_format)
        z = ctx.empty((len(x), *sizes, filters), x.dtype)
        finish = row_activation(self.activation, self.data_format)
        kept = self._convolve(channels_last(x, self.data_format), z, finish, ctx)
        y = as_laid_out(z, self.data_format)
        if finish is not None:
            return y, (x, kept, y)
        pair = activations.forward_backward(self.activation)
        if pair.needs_input:
            out = as_laid_out(ctx.empty(z.shape, z.dtype), self.data_format)
            return pair.forward(y, out=out), (x, kept, y)
        y = pair.forward(y, out=y)
        return y, (x, kept, y)

    def backward(self, dy: np.ndarray, residual: Any, ctx: Context) -> np.ndarray | None:
        """Pass through the activation, then the convolution."""
        pair = activations.forward_backward(self.activation)
        return self.backward_logits(pair.backward(dy, residual[2], out=dy), residual, ctx)

    @property
    def output_activation(self) -> Callable | None:
        """The layer's activation."""
        return None if self.activity_regularizer else self.activation

    def backward_logits(self, dz: np.ndarray, residual: Any, ctx: Context) -> np.ndarray | None:
        """Compute the gradients from that of the activation's input."""
        x, kept, _ = residual
        x, dz = channels_last(x, self.data_format), channels_last(dz, self.data_format)
        dx = ctx.empty(x.shape, x.dtype) if ctx.needs_input_gradient else None
        self._convolve_backward(dz, x, kept, dx, ctx)
        return None if dx is None else as_laid_out(dx, self.data_format)

    def _make_kernels(self, channels: int) -> None:
        """Make the kernels for an input with so many channels."""
        raise NotImplementedError

    def _convolve(self, x: np.ndarray, z: np.ndarray, finish: Callable | None, ctx: Context) -> Any:
        """Write the output before the activation into `z`, and call `finish` on all its parts.

        What is returned goes to `_convolve_backward` as `kept`.
        """
        raise NotImplementedError

    def _convolve_backward(
        self, dz: np.ndarray, x: np.ndarray, kept: Any, dx: np.ndarray | None, ctx: Context
    ) -> None:
        """Write the gradients by the weights, and by the input into `dx` if there is one."""
        raise NotImplementedError

    def _slide(self, sizes: Sequence[int]) -> dict[str, Any]:
        """Return the arguments that tell an op how the window slides over these sizes."""
        axes = zip(sizes, self.kernel_size, self.strides, self.dilation_rate, strict=True)
        pads = tuple(conv_padding(n, k, self.padding, s, d) for n, k, s, d in axes)
        return {"strides": self.strides, "pads": pads, "dilation": self.dilation_rate}

    def _bias_value(self) -> np.ndarray | None:
        return None if self.bias is None else self.bias.value

    def _bias_gradient(self, ctx: Context) -> np.ndarray | None:
        return None if self.bias is None else ctx.gradient(self.bias)

    def _output_sizes(self, input_shape: Shape) -> Shape:
        """Return the spatial sizes of the output."""
        sizes, _ = split_shape(input_shape, self.data_format)
        return window_output(
            self,
            input_shape,
            sizes,
            self.kernel_size,
            self.strides,
            self.padding,
            self.dilation_rate,
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "bias_constraint": constraints.serialize(self.bias_constraint),
        }


class Conv(BaseConv):
    """A convolution with one kernel, by default ``(*window, channels, filters)``."""

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            bias_initializer,
            bias_regularizer,
            activity_regularizer,
            bias_constraint,
            **kwargs,
        )
        self.filters = positive_int(filters, "filters", self)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)

    def _make_kernels(self, channels: int) -> None:
        self._make_kernel((*self.kernel_size, channels, self.filters))

    def _make_kernel(self, shape: tuple[int, ...]) -> None:
        self.kernel = self.add_weight(
            "kernel",
            shape,
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )

    def _convolve(
        self, x: np.ndarray, z: np.ndarray, finish: Callable | None, ctx: Context
    ) -> None:
        slide = self._slide(x.shape[1:-1])
        conv(x, self.kernel.value, self._bias_value(), **slide, out=z, finish=finish)

    def _convolve_backward(
        self, dz: np.ndarray, x: np.ndarray, kept: Any, dx: np.ndarray | None, ctx: Context
    ) -> None:
        conv_backward(
            dz,
            x,
            self.kernel.value,
            **self._slide(x.shape[1:-1]),
            dx=dx,
            dkernel=ctx.gradient(self.kernel),
            dbias=self._bias_gradient(ctx),
        )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Count the places of the window."""
        sizes = self._output_sizes(input_shape)
        return join_shape(input_shape[0], sizes, self.filters, self.data_format)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
        }


class Transposed(Conv):
    """A transposed convolution: it maps as the input gradient of a convolution does.

    That convolution goes from this layer's output to its input, so the kernel is
    ``(*window, filters, channels)``.
    """

    output_padding: tuple[int, ...] | None

    def _set_output_padding(self, output_padding: Any) -> None:
        """Check the argument: along each axis it must be less than the stride."""
        self.output_padding = None
        if output_padding is None:
            return
        extra = positive_ints(output_padding, self.rank, "output_padding", self, minimum=0)
        if any(e >= s for e, s in zip(extra, self.strides, strict=True)):
            raise ValueError(
                f"{self._described()}: output_padding must be less than strides along each axis, "
                f"got output_padding={extra} and strides={self.strides}."
            )
        self.output_padding = extra

    def _make_kernels(self, channels: int) -> None:
        self._make_kernel((*self.kernel_size, self.filters, channels))

    def _convolve(
        self, x: np.ndarray, z: np.ndarray, finish: Callable | None, ctx: Context
    ) -> None:
        conv_backward(x, None, self.kernel.value, **self._slide(z.shape[1:-1]), dx=z)
        _finish(z, self._bias_value(), finish)

    def _convolve_backward(
        self, dz: np.ndarray, x: np.ndarray, kept: Any, dx: np.ndarray | None, ctx: Context
    ) -> None:
        slide = self._slide(dz.shape[1:-1])
        kernel, dbias = self.kernel.value, self._bias_gradient(ctx)
        conv_backward(x, dz, kernel, **slide, dkernel=ctx.gradient(self.kernel))
        if dbias is not None:
            np.copyto(dbias, sum_places(dz))
        if dx is not None:
            conv(dz, kernel, **slide, out=dx)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape on which a convolution gives `input_shape`."""
        sizes, _ = split_shape(input_shape, self.data_format)
        refuse_empty(self, input_shape, sizes)
        windows = [*zip(self.kernel_size, self.strides, self.dilation_rate, strict=True)]
        extra = self.output_padding or (None,) * self.rank
        lengths = tuple(
            deconv_length(n, s, k, self.padding, e, d)
            for n, e, (k, s, d) in zip(sizes, extra, windows, strict=True)
        )
        back = tuple(
            conv_output_length(n, k, self.padding, s, d)
            for n, (k, s, d) in zip(lengths, windows, strict=True)
        )
        if back != sizes:
            raise ValueError(
                f"{self._described()}: an input of shape {tuple(input_shape)}, with "
                f"kernel_size={self.kernel_size}, strides={self.strides}, "
                f"padding={self.padding!r} and output_padding={self.output_padding}, would give "
                f"an output of the sizes {lengths}; but a convolution turns these into {back} and "
                f"not into {sizes}. Leave output_padding out, or choose another."
            )
        return join_shape(input_shape[0], lengths, self.filters, self.data_format)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "output_padding": self.output_padding}


def _finish(z: np.ndarray, bias: np.ndarray | None, finish: Callable | None) -> None:
    """Add a bias in place and apply an activation, some samples at a time, in the cache."""

    def work(start: int, stop: int, worker: int) -> None:
        part = z[start:stop]
        if bias is not None:
            add_bias(part, bias)
        if finish is not None:
            finish(part)

    if bias is not None or finish is not None:
        for_blocks(work, len(z), max(1, _BLOCK // math.prod(z.shape[1:])))
