"""Layers around layers: TimeDistributed and Bidirectional."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from minikeras.backend import Variable
from minikeras.backend.operators import TensorLike
from minikeras.backend.running import current
from minikeras.engine import Context, InputSpec, Layer
from minikeras.engine.input_spec import Shape
from minikeras.engine.outputs import as_list, as_shape
from minikeras.engine.weights import classes_in, unique
from minikeras.layers.rnn import own_copies, refuse_constants, split_states
from minikeras.utils.registry import CustomObjectScope

__all__ = ["Bidirectional", "TimeDistributed", "Wrapper"]

Empty = Callable[..., np.ndarray]


class Wrapper(Layer):
    """The base class of layers that stand around another layer.

    The weights, their penalties and `trainable` are those of the wrapped layer. A subclass defines
    `forward` and `backward` over its `propagate` and `backpropagate`.

    Parameters
    ----------
    layer : Layer
        What is wrapped. A `Sequential` is a layer, too.
    **kwargs
        See `Layer`. `trainable`, if given, is set on the wrapped layer. The type of computation is
        that of the wrapped layer.

    Notes
    -----
    A wrapper around a layer with ``trainable=False`` leaves it frozen. Keras 2.2.4 thaws it.

    Examples
    --------
    >>> class Doubled(Wrapper):
    ...     def forward(self, x, ctx):
    ...         y, residual = self.layer.propagate(x, ctx)
    ...         return 2 * y, residual
    ...     def backward(self, dy, residual, ctx):
    ...         return self.layer.backpropagate(2 * dy, residual, ctx)
    ...     def compute_output_shape(self, input_shape):
    ...         return self.layer.compute_output_shape(input_shape)
    >>> from minikeras.layers import Dense
    >>> Doubled(Dense(1, kernel_initializer="ones"))(np.ones((1, 3))).tolist()
    [[6.0]]
    """

    def __init__(self, layer: Layer, **kwargs: Any) -> None:
        _check_wrappable(layer, type(self).__name__)
        self.layer = layer
        super().__init__(**{"trainable": layer.trainable, **kwargs})
        if self._stated_input_shape is None and layer._stated_input_shape is not None:
            self._stated_input_shape = self._outer_shape(layer._stated_input_shape)
        if not self._dtype_given:
            self.dtype = layer.dtype
        wanted, given = np.dtype(layer.input_dtype), np.dtype(self.dtype)
        if self._dtype_given and wanted != given and wanted.kind == given.kind == "f":
            raise ValueError(
                f"{self._described()} was given dtype='{given}', but computes with the type of the "
                f"layer that it wraps, '{wanted}'. Give the layer '{layer.name}' the dtype."
            )

    @property
    def inner_layers(self) -> list[Layer]:
        """The layers that do the work."""
        return [self.layer]

    def _inner_shape(self, input_shape: Shape) -> Shape:
        """Return what shape of input the inner layers get."""
        return input_shape

    def _outer_shape(self, inner_shape: Shape) -> Shape:
        """Return what shape of input the wrapper gets if the wrapped layer states its own."""
        return inner_shape

    def ensure_built(self, input_shape: Sequence[int | None], record: bool = False) -> Any:
        """Build at the first call; later, have the inner layers check the shape, too."""
        if self.built:
            shape = tuple(input_shape)
            self._check_input_shape(shape)
            for layer in self.inner_layers:
                layer.ensure_built(self._inner_shape(shape))
        return super().ensure_built(input_shape, record)

    def build(self, input_shape: Shape | None = None) -> None:
        """Build the inner layers. Their weights are named after the wrapper.

        A subclass that has built them may leave out the shape.
        """
        for layer in self.inner_layers if input_shape is not None else ():
            assert input_shape is not None
            was_built = layer.built
            layer.ensure_built(self._inner_shape(input_shape))
            if not was_built:
                for weight in layer.weights:
                    weight.name = f"{self.name}/{self._inner_name(layer, weight.name)}"
        self.built = True

    def _inner_name(self, layer: Layer, name: str) -> str:
        return name.removeprefix(f"{layer.name}/")

    @property
    def input_dtype(self) -> str | None:
        """The type that the wrapped layer takes."""
        return self.layer.input_dtype

    # Weights

    @property
    def trainable(self) -> bool:
        """Whether training changes anything in here; setting it sets it on the inner layers."""
        return any(layer.trainable for layer in self.inner_layers)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self.inner_layers:
            layer.trainable = value

    @property  # type: ignore[misc]
    def trainable_weights(self) -> list[Variable]:
        """Those of the inner layers, then the wrapper's own."""
        inner = [weight for layer in self.inner_layers for weight in layer.trainable_weights]
        return unique(inner + super().trainable_weights)

    @property  # type: ignore[misc]
    def non_trainable_weights(self) -> list[Variable]:
        """Those of the inner layers, then the wrapper's own."""
        inner = [weight for layer in self.inner_layers for weight in layer.non_trainable_weights]
        return unique(inner + super().non_trainable_weights)

    def _ordered_weights(self) -> list[Variable]:
        inner = [weight for layer in self.inner_layers for weight in layer._ordered_weights()]
        return unique(inner + super()._ordered_weights())

    # States

    @property
    def stateful(self) -> bool:  # type: ignore[override]
        """Whether an inner layer keeps states from batch to batch."""
        return any(layer.stateful for layer in self.inner_layers)

    @property
    def state_batch_size(self) -> int | None:
        """How many sequences the kept states are of; None if there are none."""
        return getattr(self.inner_layers[0], "state_batch_size", None)

    def reset_states(self) -> None:
        """Let the inner layers start anew with the next batch."""
        for layer in self.inner_layers:
            if layer.stateful and hasattr(layer, "reset_states"):
                layer.reset_states()

    # Configuration

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments, the layer as a config of its own."""
        entry = {"class_name": type(self.layer).__name__, "config": self.layer.get_config()}
        config = {**super().get_config(), "layer": entry}
        if not self._dtype_given:
            config.pop("dtype", None)
        return config

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Wrapper:
        """Make a wrapper, and the layer in it, from what `get_config` returned."""
        from minikeras.layers import deserialize

        others = {key: value for key, value in config.items() if key != "layer"}
        return cls(deserialize(config["layer"], custom_objects), **others)


def _check_wrappable(layer: Any, wrapper: str) -> None:
    """Raise TypeError unless `layer` is a layer."""
    if not isinstance(layer, Layer):
        hint = " Did you forget its parentheses?" if isinstance(layer, type) else ""
        raise TypeError(f"{wrapper} wraps a layer, such as Dense(8); got {layer!r}.{hint}")


class TimeDistributed(Wrapper):
    """Apply a layer to each time step by itself, with the same weights.

    Parameters
    ----------
    layer : Layer
        Any layer with a single output, a `Sequential` too.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input ``(batch, steps, ...)``, output ``(batch, steps, *output of the layer)``.

    The layer sees ``batch * steps`` samples at once. So BatchNormalization takes its statistics
    over all steps, and a stateful layer keeps a state for each step of each sample. Keras 2.2.4
    does the same, but goes step by step where the batch size is fixed. There an activity
    penalty inside a nested Sequential gets lost; here it counts.

    A mask ``(batch, steps)`` passes by the layer and stays what it is; of one with more axes,
    ``(batch, steps, inner steps)``, each step's part goes through the layer. If nothing
    is left of it, a step counts if any part of it did. A mask that the layer makes gets
    the axes ``(batch, steps, ...)``.

    Examples
    --------
    >>> from minikeras import Sequential
    >>> from minikeras.layers import Conv2D, Dense, Flatten
    >>> TimeDistributed(Dense(8))(np.zeros((2, 10, 16))).shape
    (2, 10, 8)
    >>> frames = Sequential([Conv2D(4, 3, strides=2), Flatten(), Dense(5)])
    >>> TimeDistributed(frames)(np.zeros((2, 10, 9, 9, 3))).shape
    (2, 10, 5)
    """

    supports_masking = True
    sets_mask = True

    def __init__(self, layer: Layer, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        self.input_spec = InputSpec(min_ndim=3, names=("batch", "steps", "..."))

    def _outer_shape(self, inner_shape: Shape) -> Shape:
        return (None, None, *inner_shape[1:])

    def _inner_shape(self, input_shape: Shape) -> Shape:
        batch, steps, *rest = input_shape
        return (None if batch is None or steps is None else batch * steps, *rest)

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Run the layer on the steps of all samples as one batch."""
        mask = ctx.mask
        ctx.mask = _inner_mask(mask)
        y, residual = self.layer.propagate(_joined(x, ctx.empty), ctx)
        ctx.mask = _outer_mask(mask, ctx.mask, x.shape)
        return y.reshape(*x.shape[:2], *y.shape[1:]), residual

    def backward(self, dy: np.ndarray, residual: Any, ctx: Context) -> np.ndarray | None:
        """Differentiate the layer."""
        dx = self.layer.backpropagate(_joined(dy, ctx.empty), residual, ctx)
        return None if dx is None else dx.reshape(*dy.shape[:2], *dx.shape[1:])

    @property
    def output_activation(self) -> Callable | None:
        """The activation in which the layer ends."""
        return self.layer.fused_activation

    def backward_logits(self, dz: np.ndarray, residual: Any, ctx: Context) -> np.ndarray | None:
        """Differentiate the layer from the gradient by its activation's input."""
        dx = self.layer.backward_logits(_joined(dz, ctx.empty), residual, ctx)
        return None if dx is None else dx.reshape(*dz.shape[:2], *dx.shape[1:])

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Put the time axis back into the layer's output shape."""
        shape = as_shape(self.layer.compute_output_shape(self._inner_shape(input_shape)))
        if type(shape) is list:
            raise ValueError(
                f"Layer '{self.name}' (TimeDistributed) wraps a layer with a single output; "
                f"'{self.layer.name}' has {len(shape)}, of shapes {shape}. Leave out return_state, "
                "and give a Bidirectional a merge_mode."
            )
        return (*input_shape[:2], *shape[1:])

    def compute_mask(self, inputs: Any, mask: np.ndarray | None = None) -> np.ndarray | None:
        """Ask the layer; a nested Sequential knows only in a pass, and hands `mask` on here."""
        x = np.asarray(inputs)
        found = self.layer.compute_mask(_joined(x, np.empty), _inner_mask(mask))
        return _outer_mask(mask, found, x.shape)

    @property
    def state_batch_size(self) -> int | None:
        """How many samples the kept states are of; None if there are none."""
        size, steps = super().state_batch_size, self._input_shape and self._input_shape[1]
        return size // steps if size and steps else None


def _joined(array: np.ndarray, empty: Empty) -> np.ndarray:
    """Return ``(batch, steps, ...)`` as ``(batch * steps, ...)``, a view where that can be."""
    batch, steps, *rest = array.shape
    shape = (batch * steps, *rest)
    if batch < 2 or steps < 2 or array.strides[0] == steps * array.strides[1]:
        return array.reshape(shape)
    copy = empty(shape, array.dtype)
    copy.reshape(array.shape)[...] = array
    return copy


def _inner_mask(mask: np.ndarray | None) -> np.ndarray | None:
    """Return the part of a mask that is about what is inside the steps."""
    return None if mask is None or mask.ndim < 3 else _joined(mask, np.empty)


def _outer_mask(
    given: np.ndarray | None, found: np.ndarray | None, shape: tuple[int, ...]
) -> np.ndarray | None:
    """Return the mask of the output, of the one given from below and the inner layer's."""
    if found is not None:
        return found.reshape(shape[:2] + found.shape[1:])
    if given is None or given.ndim < 3:
        return given
    return np.logical_or.reduce(given, axis=tuple(range(2, given.ndim)))


class Bidirectional(Wrapper):
    """Run a recurrent layer over a sequence in both directions, with weights for each.

    Parameters
    ----------
    layer : Layer
        A recurrent layer: its configuration has `go_backwards`. Two layers are made of its
        configuration, `forward_layer` and `backward_layer`; itself it does no work.
    merge_mode : {'concat', 'sum', 'mul', 'ave', None}
        What is made of the two outputs: one behind the other along the last axis, their sum,
        product or mean, or, with None, a list. Default ``'concat'``.
    weights : list of ndarray, optional
        Initial weights: those of the forward layer, then those of the backward layer.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input and output as those of the layer, the output's last axis twice as long with
    ``'concat'``. With ``return_sequences`` the backward layer's outputs are turned around, so
    that both parts of an output are about the same time step.

    With ``merge_mode=None`` there are two outputs; with ``return_state`` the final states of both
    directions follow, forward ones first. Such a layer can be called on an array, but
    not stand in a Sequential. An activity penalty is on the outputs after merging.

    References
    ----------
    Schuster and Paliwal (1997), "Bidirectional Recurrent Neural Networks", IEEE Transactions on
    Signal Processing 45.

    Examples
    --------
    >>> from minikeras import Sequential
    >>> from minikeras.layers import LSTM, Dense
    >>> model = Sequential()
    >>> model.add(Bidirectional(LSTM(8, return_sequences=True), input_shape=(10, 16)))
    >>> model.add(Bidirectional(LSTM(8), merge_mode="sum"))
    >>> [layer.output_shape for layer in model.layers]
    [(None, 10, 16), (None, 8)]
    """

    supports_masking = True

    def __init__(
        self,
        layer: Layer,
        merge_mode: str | None = "concat",
        weights: Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if merge_mode not in ("concat", "sum", "mul", "ave", None):
            raise ValueError(
                "Bidirectional: merge_mode must be 'concat', 'sum', 'mul', 'ave' or None, got "
                f"{merge_mode!r}."
            )
        _check_wrappable(layer, "Bidirectional")
        self.forward_layer = _directed(layer, "forward")
        self.backward_layer = _directed(layer, "backward")
        super().__init__(layer, weights=weights, **kwargs)
        self.merge_mode = merge_mode
        self.return_sequences: bool = getattr(layer, "return_sequences", False)
        self.return_state: bool = getattr(layer, "return_state", False)
        # The penalty is on what comes out here, not on each direction's output.
        self.activity_regularizer = layer.activity_regularizer
        for inner in self.inner_layers:
            inner.activity_regularizer = None

    @property
    def inner_layers(self) -> list[Layer]:
        """The two directions."""
        return [self.forward_layer, self.backward_layer]

    def _inner_name(self, layer: Layer, name: str) -> str:
        return name

    def __call__(  # type: ignore[override]
        self,
        inputs: Any,
        initial_state: Any = None,
        constants: None = None,
        *,
        training: Any = None,
        mask: np.ndarray | None = None,
    ) -> Any:
        """Apply the layer to an array or a tensor. See `RNN`; forward states come first.

        Initial states can be given with an array only.
        """
        refuse_constants(constants, self)
        inputs, initial_state = split_states(inputs, initial_state)
        if current() is not None or isinstance(inputs, TensorLike):
            if initial_state is not None:
                raise NotImplementedError(
                    f"{self._described()}: initial_state can't be given inside of a call or with a "
                    "tensor. Use two LSTM layers, one with go_backwards=True, in its place."
                )
            return self._call(inputs, training, mask, {})
        memo: dict[Any, Any] = {}
        if initial_state is not None:
            given = initial_state if isinstance(initial_state, (list, tuple)) else [initial_state]
            half, odd = divmod(len(given), 2)
            if odd:
                raise ValueError(
                    f"{self._described()}: initial_state must be a list with as many states for "
                    f"the forward layer as for the backward layer; got {len(given)} in all."
                )
            self.ensure_built((None, *np.shape(inputs)[1:]))
            parts = (given[:half], given[half:])
            for layer, states in zip(self.inner_layers, parts, strict=True):
                memo.update(layer.starting_from(states, inputs))  # type: ignore[attr-defined]
        return own_copies(self._call(inputs, training, mask, memo))

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[Any, Any]:
        """Run both directions, which know nothing of each other, and merge their outputs."""
        mask = ctx.mask
        first, first_residual = self.forward_layer.propagate(x, ctx)
        ctx.mask = mask
        second, second_residual = self.backward_layer.propagate(x, ctx)
        ctx.mask = mask
        first, *states = as_list(first)
        second, *second_states = as_list(second)
        states += second_states
        if self.return_sequences:
            second = second[:, ::-1]
        residual = (first_residual, second_residual, first, second)
        if self.merge_mode is None:
            return [first, second, *states], residual
        y = _merge(self.merge_mode, first, second, ctx.empty)
        return [y, *states] if states else y, residual

    def backward(self, dy: Any, residual: Any, ctx: Context) -> np.ndarray | None:
        """Differentiate both directions; the input's gradient is the sum of theirs."""
        first_residual, second_residual, first, second = residual
        if self.merge_mode is None:
            dfirst, dsecond, *dstates = dy
        else:
            merged, *dstates = as_list(dy)
            dfirst, dsecond = _merge_backward(self.merge_mode, merged, first, second, ctx.empty)
        if self.return_sequences:
            dsecond = dsecond[:, ::-1]
        if dstates:
            half = len(dstates) // 2
            dfirst, dsecond = [dfirst, *dstates[:half]], [dsecond, *dstates[half:]]
        dx = self.forward_layer.backpropagate(dfirst, first_residual, ctx)
        other = self.backward_layer.backpropagate(dsecond, second_residual, ctx)
        return None if dx is None or other is None else np.add(dx, other, out=dx)

    def compute_output_shape(self, input_shape: Shape) -> Any:
        """Return the merged shape; a list where there are several outputs."""
        shape = as_shape(self.forward_layer.compute_output_shape(input_shape))
        shape, *states = shape if type(shape) is list else [shape]
        if self.merge_mode is None:
            return [shape, shape, *states, *states]
        if self.merge_mode == "concat":
            shape = (*shape[:-1], None if shape[-1] is None else 2 * shape[-1])
        return [shape, *states, *states] if states else shape

    def compute_mask(self, inputs: Any, mask: np.ndarray | None = None) -> Any:
        """Return `mask` for outputs with time steps, and None for others; a list of several."""
        masks: list[Any] = [mask if self.return_sequences else None]
        if self.merge_mode is None:
            masks *= 2
        if self.return_state:
            masks += 2 * [None] * (len(self.forward_layer.output_shape) - 1)
        return masks if len(masks) > 1 else masks[0]

    def reset_states(self, states: Sequence[Any] | None = None) -> None:
        """Start anew with the next batch, from zeros or from `states`.

        Parameters
        ----------
        states : list of ndarray, optional
            Those of the forward layer, then those of the backward layer.
        """
        if states is None:
            super().reset_states()
            return
        half, odd = divmod(len(states), 2)
        if odd:
            raise ValueError(
                f"Layer '{self.name}' (Bidirectional): reset_states takes as many states for the "
                f"forward as for the backward direction, got {len(states)}."
            )
        for layer, part in zip(self.inner_layers, (states[:half], states[half:]), strict=True):
            layer.reset_states(part)  # type: ignore[attr-defined]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments, without weights."""
        return {**super().get_config(), "merge_mode": self.merge_mode}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Wrapper:
        """Make a layer from what `get_config` returned, here or in Keras 2.2.4."""
        if config.get("num_constants"):
            raise ValueError(
                "Bidirectional: constants besides the input (num_constants="
                f"{config['num_constants']}) are not supported."
            )
        others = {key: value for key, value in config.items() if key != "num_constants"}
        return super().from_config(others, custom_objects)


def _directed(layer: Layer, direction: str) -> Layer:
    """Return a new layer of the configuration of `layer` for one direction."""
    config = layer.get_config()
    if "go_backwards" not in config:
        raise TypeError(
            "Bidirectional wraps a recurrent layer, such as LSTM(8), whose configuration has "
            f"go_backwards; got '{layer.name}' ({type(layer).__name__})."
        )
    if layer._initial_weights is not None:
        raise ValueError(
            f"Bidirectional: the weights given to '{layer.name}' ({type(layer).__name__}) would "
            "get lost, as two new layers are made of its configuration. Give Bidirectional the "
            "weights: those of the forward layer, then those of the backward layer."
        )
    config["name"] = f"{direction}_{layer.name}"
    if direction == "backward":
        config["go_backwards"] = not config["go_backwards"]
    with CustomObjectScope(classes_in(layer)):  # its cell may be of the user's own
        return type(layer).from_config(config)


def _merge(mode: str, first: np.ndarray, second: np.ndarray, empty: Empty) -> np.ndarray:
    """Merge two outputs of the same shape, into memory laid out like that of the first."""
    units = first.shape[-1]
    y = _empty_like(first, 2 * units if mode == "concat" else units, empty)
    if mode == "concat":
        y[..., :units] = first
        y[..., units:] = second
        return y
    np.multiply(first, second, out=y) if mode == "mul" else np.add(first, second, out=y)
    return np.multiply(y, 0.5, out=y) if mode == "ave" else y


def _merge_backward(
    mode: str, dy: np.ndarray, first: np.ndarray, second: np.ndarray, empty: Empty
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradients by the two outputs, in memory that each owner may overwrite."""
    if mode == "concat":
        units = first.shape[-1]
        return dy[..., :units], dy[..., units:]
    dsecond = _empty_like(dy, dy.shape[-1], empty)
    if mode == "mul":
        np.multiply(dy, first, out=dsecond)
        return np.multiply(dy, second, out=dy), dsecond
    if mode == "ave":
        np.multiply(dy, 0.5, out=dy)
    np.copyto(dsecond, dy)
    return dy, dsecond


def _empty_like(array: np.ndarray, units: int, empty: Empty) -> np.ndarray:
    """Return memory for an output with `units` as its last axis, time-major if `array` is.

    Recurrent layers work through time step by step, and stacks of them need not reorder.
    """
    if array.ndim > 2 and array.strides[0] < array.strides[1]:
        batch, steps, *rest = array.shape
        return empty((steps, batch, *rest[:-1], units), array.dtype).swapaxes(0, 1)
    return empty((*array.shape[:-1], units), array.dtype)
