"""Pooling layers: the largest entry or the mean of each window, or of everything."""

from __future__ import annotations

from typing import Any

import numpy as np

from minikeras.engine import Context, Layer
from minikeras.engine.input_spec import Shape
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
from minikeras.ops import global_pooling, pooling
from minikeras.utils.conv_utils import conv_padding


class _Pooling(Layer):
    """What all layers with a window share. Subclasses say how many spatial axes there are."""

    spatial_axes: int
    paddings = ("valid", "same")

    def _set_up(self, pool_size: Any, strides: Any, padding: Any, data_format: Any) -> None:
        """Check and keep the arguments of the constructor."""
        axes = self.spatial_axes
        self.pool_size = positive_ints(pool_size, axes, "pool_size", self)
        self.strides = self.pool_size
        if strides is not None:
            self.strides = positive_ints(strides, axes, "strides", self)
        self.padding = padding_name(padding, self)
        self.data_format = data_format_name(data_format, self)
        self.input_spec = spatial_spec(axes, self.data_format)

    def _window(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """Return what the ops need to know, for an input of this shape, channels last."""
        rows = zip(shape[1:-1], self.pool_size, self.strides, strict=True)
        pads = [conv_padding(size, k, self.padding, s) for size, k, s in rows]
        return {"window": self.pool_size, "strides": self.strides, "pads": pads}

    def _empty_output(self, x: np.ndarray, ctx: Context) -> np.ndarray:
        """Return memory for the output, channels last."""
        sizes, channels = split_shape(self.compute_output_shape(x.shape), self.data_format)
        return ctx.empty((len(x), *sizes, channels), x.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Count the places of the window along each spatial axis."""
        sizes, channels = split_shape(input_shape, self.data_format)
        places = window_output(self, input_shape, sizes, self.pool_size, self.strides, self.padding)
        return join_shape(input_shape[0], places, channels, self.data_format)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
        }


class _Pooling1D(_Pooling):
    """A window over the steps of a sequence."""

    spatial_axes = 1

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = "channels_last",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_up(pool_size, strides, padding, data_format)


class _Pooling2D(_Pooling):
    """A window over an image."""

    spatial_axes = 2

    def __init__(
        self,
        pool_size: Any = (2, 2),
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_up(pool_size, strides, padding, data_format)


class _Pooling3D(_Pooling):
    """A window over a volume."""

    spatial_axes = 3

    def __init__(
        self,
        pool_size: Any = (2, 2, 2),
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_up(pool_size, strides, padding, data_format)


class _Max(_Pooling):
    """The largest entry of each window."""

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Pool; in training, keep where each result comes from, a byte each."""
        source = channels_last(x, self.data_format)
        y = self._empty_output(x, ctx)
        index = self._empty_index(y.shape, ctx) if ctx.training else None
        pooling.max_pool(source, **self._window(source.shape), out=y, index=index)
        return as_laid_out(y, self.data_format), (source, index)

    def backward(self, dy: np.ndarray, residual: Any, ctx: Context) -> np.ndarray | None:
        """Hand each gradient to the entry that was the largest."""
        if not ctx.needs_input_gradient:
            return None
        source, index = residual
        window = self._window(source.shape)
        dy = channels_last(dy, self.data_format)
        if index is None:
            index = self._empty_index(dy.shape, ctx)
            pooling.max_pool(source, **window, out=ctx.empty(dy.shape, dy.dtype), index=index)
        dx = ctx.empty(source.shape, dy.dtype)
        pooling.max_pool_backward(dy, index, **window, dx=dx)
        return as_laid_out(dx, self.data_format)

    def _empty_index(self, shape: tuple[int, ...], ctx: Context) -> np.ndarray:
        return ctx.empty(shape, pooling.index_dtype(self.pool_size))


class _Average(_Pooling):
    """The mean of each window."""

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Pool."""
        source = channels_last(x, self.data_format)
        y = self._empty_output(x, ctx)
        pooling.average_pool(source, **self._window(source.shape), out=y)
        return as_laid_out(y, self.data_format), source.shape

    def backward(self, dy: np.ndarray, shape: tuple[int, ...], ctx: Context) -> np.ndarray | None:
        """Hand each gradient to the entries of its window, in equal parts."""
        if not ctx.needs_input_gradient:
            return None
        dy = channels_last(dy, self.data_format)
        dx = ctx.empty(shape, dy.dtype)
        pooling.average_pool_backward(dy, **self._window(shape), dx=dx)
        return as_laid_out(dx, self.data_format)


class MaxPooling1D(_Max, _Pooling1D):
    """The largest entry of each window of steps, for each feature.

    Parameters
    ----------
    pool_size : int
        Length of the window, greater than 0. Default 2.
    strides : int, optional
        How far the window moves on. Default: `pool_size`.
    padding : {'valid', 'same'}
        ``'valid'``: the window stays inside, and steps that are left over at the end are dropped.
        ``'same'``: it may reach beyond both ends, where there is nothing to pool. Default
        ``'valid'``.
    data_format : {'channels_last', 'channels_first'}, optional
        Default ``'channels_last'``, whatever ``K.image_data_format()`` is.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input ``(batch, steps, features)``, output ``(batch, places, features)``, or both with the
    last two axes swapped with channels first. With 'valid' padding ``places = (steps -
    pool_size) // strides + 1``, with 'same' ``ceil(steps / strides)``; it must not be 0.

    Of equal entries the first one gets the gradient. A window that holds NaN gives NaN;
    TensorFlow leaves it out.

    Examples
    --------
    >>> MaxPooling1D(2)(np.array([[[1.0], [3.0], [2.0], [0.0], [9.0]]])).tolist()
    [[[3.0], [2.0]]]
    """


class AveragePooling1D(_Average, _Pooling1D):
    """The mean of each window of steps, for each feature.

    Parameters
    ----------
    pool_size, strides, padding, data_format, **kwargs
        As in `MaxPooling1D`.

    Notes
    -----
    Shapes as in `MaxPooling1D`. Where a window reaches beyond an end, the mean is over the
    entries inside, as in TensorFlow.

    Examples
    --------
    >>> AveragePooling1D(2, padding="same")(np.array([[[1.0], [3.0], [8.0]]])).tolist()
    [[[2.0], [8.0]]]
    """


class MaxPooling2D(_Max, _Pooling2D):
    """The largest entry of each window of an image, for each channel.

    Parameters
    ----------
    pool_size : int or tuple of 2 ints
        Height and width of the window, greater than 0. Default ``(2, 2)``.
    strides : int or tuple of 2 ints, optional
        How far the window moves on. Default: `pool_size`.
    padding : {'valid', 'same'}
        ``'valid'``: the window stays inside, and what is left over at the lower and right edges is
        dropped. ``'same'``: it may reach beyond the edges, where there is nothing to pool.
        Default ``'valid'``.
    data_format : {'channels_last', 'channels_first'}, optional
        Default: ``K.image_data_format()``.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input ``(batch, rows, columns, channels)``, output the same with fewer rows and columns; with
    channels first the channels come second. `MaxPooling1D` says how many are left.

    Of equal entries the first one, row by row, gets the gradient. A window that holds NaN gives
    NaN; TensorFlow leaves it out.

    Examples
    --------
    >>> MaxPooling2D()(np.arange(16.0).reshape(1, 4, 4, 1)).ravel().tolist()
    [5.0, 7.0, 13.0, 15.0]
    """


class AveragePooling2D(_Average, _Pooling2D):
    """The mean of each window of an image, for each channel.

    Parameters
    ----------
    pool_size, strides, padding, data_format, **kwargs
        As in `MaxPooling2D`.

    Notes
    -----
    Shapes as in `MaxPooling2D`. Where a window reaches beyond an edge, the mean is over the
    entries inside, as in TensorFlow.

    Examples
    --------
    >>> AveragePooling2D()(np.arange(16.0).reshape(1, 4, 4, 1)).ravel().tolist()
    [2.5, 4.5, 10.5, 12.5]
    """


class MaxPooling3D(_Max, _Pooling3D):
    """The largest entry of each window of a volume, for each channel.

    Parameters
    ----------
    pool_size : int or tuple of 3 ints
        Sizes of the window, greater than 0. Default ``(2, 2, 2)``.
    strides : int or tuple of 3 ints, optional
        How far the window moves on. Default: `pool_size`.
    padding, data_format, **kwargs
        As in `MaxPooling2D`.

    Notes
    -----
    Input ``(batch, depth, rows, columns, channels)``, output the same with smaller spatial axes;
    with channels first the channels come second. Otherwise as `MaxPooling2D`: of equal entries,
    too, the first one gets the gradient, where TensorFlow on a CPU gives all of it to each.

    Examples
    --------
    >>> MaxPooling3D()(np.arange(8.0).reshape(1, 2, 2, 2, 1)).ravel().tolist()
    [7.0]
    """


class AveragePooling3D(_Average, _Pooling3D):
    """The mean of each window of a volume, for each channel.

    Parameters
    ----------
    pool_size, strides, padding, data_format, **kwargs
        As in `MaxPooling3D`.

    Notes
    -----
    Shapes as in `MaxPooling3D`. Where a window reaches beyond an edge, the mean is over the
    entries inside, as in TensorFlow.

    Examples
    --------
    >>> AveragePooling3D()(np.arange(8.0).reshape(1, 2, 2, 2, 1)).ravel().tolist()
    [3.5]
    """


class _GlobalPooling(Layer):
    """What all layers that pool everything share."""

    spatial_axes: int

    def _set_up(self, data_format: Any) -> None:
        """Check and keep the argument of the constructor."""
        self.data_format = data_format_name(data_format, self)
        self.input_spec = spatial_spec(self.spatial_axes, self.data_format)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Leave out the spatial axes."""
        sizes, channels = split_shape(input_shape, self.data_format)
        refuse_empty(self, input_shape, sizes)
        return (input_shape[0], channels)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "data_format": self.data_format}


class _GlobalPooling1D(_GlobalPooling):
    """Over all steps of a sequence."""

    spatial_axes = 1

    def __init__(self, data_format: str | None = "channels_last", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._set_up(data_format)


class _GlobalPooling2D(_GlobalPooling):
    """Over an image."""

    spatial_axes = 2

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._set_up(data_format)


class _GlobalPooling3D(_GlobalPooling):
    """Over a volume."""

    spatial_axes = 3

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._set_up(data_format)


class _GlobalMax(_GlobalPooling):
    """The largest entry."""

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Pool."""
        self.compute_output_shape(x.shape)  # an unknown size may turn out to be 0
        source = channels_last(x, self.data_format)
        y = global_pooling.global_max(source, out=ctx.empty((len(x), source.shape[-1]), x.dtype))
        return y, (source, y)

    def backward(self, dy: np.ndarray, residual: Any, ctx: Context) -> np.ndarray | None:
        """Share each gradient among the entries that were the largest."""
        if not ctx.needs_input_gradient:
            return None
        source, y = residual
        dx = ctx.empty(source.shape, dy.dtype)
        return as_laid_out(global_pooling.global_max_backward(dy, source, y, dx), self.data_format)


class _GlobalAverage(_GlobalPooling):
    """The mean."""

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Pool."""
        self.compute_output_shape(x.shape)  # an unknown size may turn out to be 0
        source = channels_last(x, self.data_format)
        weights = self._weights(source, ctx)
        y = ctx.empty((len(x), source.shape[-1]), x.dtype)
        global_pooling.global_average(source, y, weights)
        return y, (source.shape, weights)

    def backward(self, dy: np.ndarray, residual: Any, ctx: Context) -> np.ndarray | None:
        """Hand each gradient to all entries, in equal parts."""
        if not ctx.needs_input_gradient:
            return None
        shape, weights = residual
        dx = ctx.empty(shape, dy.dtype)
        global_pooling.global_average_backward(dy, dx, weights)
        return as_laid_out(dx, self.data_format)

    def _weights(self, source: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Return what each step counts for; None stands for all the same."""
        return None


class GlobalMaxPooling1D(_GlobalMax, _GlobalPooling1D):
    """The largest entry of all steps, for each feature.

    Parameters
    ----------
    data_format : {'channels_last', 'channels_first'}, optional
        Default ``'channels_last'``, whatever ``K.image_data_format()`` is.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input ``(batch, steps, features)``, with channels first ``(batch, features, steps)``; output
    ``(batch, features)``. Entries that are equally large share the gradient, as in Keras, where
    those of `MaxPooling1D` do not.

    Examples
    --------
    >>> GlobalMaxPooling1D()(np.array([[[1.0, 5.0], [3.0, 4.0]]])).tolist()
    [[3.0, 5.0]]
    """


class GlobalAveragePooling1D(_GlobalAverage, _GlobalPooling1D):
    """The mean of all steps, for each feature; with a mask, of those that count.

    Parameters
    ----------
    data_format, **kwargs
        As in `GlobalMaxPooling1D`.

    Notes
    -----
    Input ``(batch, steps, features)``, with channels first ``(batch, features, steps)``; output
    ``(batch, features)``. The mask ends here: the output has no steps.

    A sample without a step that counts gives 0; Keras gives NaN. Keras 2.2.4 mixes up the axes
    of a mask with channels first, which works here.

    Examples
    --------
    >>> x = np.array([[[1.0, 5.0], [3.0, 4.0]]])
    >>> GlobalAveragePooling1D()(x).tolist()
    [[2.0, 4.5]]
    >>> GlobalAveragePooling1D()(x, mask=np.array([[True, False]])).tolist()
    [[1.0, 5.0]]
    """

    supports_masking = True

    def _weights(self, source: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Return the mask, scaled so that a row's sum is 1."""
        if ctx.mask is None:
            return None
        if ctx.mask.shape != source.shape[:2]:
            raise ValueError(
                f"Layer '{self.name}' ({type(self).__name__}): the mask must have the shape "
                f"(batch, steps), here {source.shape[:2]}, got {ctx.mask.shape}."
            )
        weights = ctx.mask.astype(source.dtype)
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1)
        return weights

    def compute_mask(self, inputs: Any, mask: np.ndarray | None = None) -> np.ndarray | None:
        """Return None: there are no steps left to mask."""
        return None


class GlobalMaxPooling2D(_GlobalMax, _GlobalPooling2D):
    """The largest entry of each image, for each channel.

    Parameters
    ----------
    data_format : {'channels_last', 'channels_first'}, optional
        Default: ``K.image_data_format()``.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input ``(batch, rows, columns, channels)``, with channels first ``(batch, channels, rows,
    columns)``; output ``(batch, channels)``. Entries that are equally large share the gradient.

    Examples
    --------
    >>> GlobalMaxPooling2D()(np.arange(8.0).reshape(1, 2, 2, 2)).tolist()
    [[6.0, 7.0]]
    """


class GlobalAveragePooling2D(_GlobalAverage, _GlobalPooling2D):
    """The mean of each image, for each channel.

    Parameters
    ----------
    data_format, **kwargs
        As in `GlobalMaxPooling2D`.

    Notes
    -----
    Shapes as in `GlobalMaxPooling2D`.

    Examples
    --------
    >>> GlobalAveragePooling2D()(np.arange(8.0).reshape(1, 2, 2, 2)).tolist()
    [[3.0, 4.0]]
    """


class GlobalMaxPooling3D(_GlobalMax, _GlobalPooling3D):
    """The largest entry of each volume, for each channel.

    Parameters
    ----------
    data_format, **kwargs
        As in `GlobalMaxPooling2D`.

    Notes
    -----
    Input ``(batch, depth, rows, columns, channels)``, with channels first ``(batch, channels,
    depth, rows, columns)``; output ``(batch, channels)``.

    Examples
    --------
    >>> GlobalMaxPooling3D()(np.arange(8.0).reshape(1, 2, 2, 1, 2)).tolist()
    [[6.0, 7.0]]
    """


class GlobalAveragePooling3D(_GlobalAverage, _GlobalPooling3D):
    """The mean of each volume, for each channel.

    Parameters
    ----------
    data_format, **kwargs
        As in `GlobalMaxPooling2D`.

    Notes
    -----
    Shapes as in `GlobalMaxPooling3D`.

    Examples
    --------
    >>> GlobalAveragePooling3D()(np.arange(8.0).reshape(1, 2, 2, 1, 2)).tolist()
    [[3.0, 4.0]]
    """


MaxPool1D = MaxPooling1D
MaxPool2D = MaxPooling2D
MaxPool3D = MaxPooling3D
AvgPool1D = AveragePooling1D
AvgPool2D = AveragePooling2D
AvgPool3D = AveragePooling3D
GlobalMaxPool1D = GlobalMaxPooling1D
GlobalMaxPool2D = GlobalMaxPooling2D
GlobalMaxPool3D = GlobalMaxPooling3D
GlobalAvgPool1D = GlobalAveragePooling1D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D
