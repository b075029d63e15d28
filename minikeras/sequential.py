"""`Sequential`, a stack of layers that can be trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from minikeras.engine import Context, InputLayer, Layer
from minikeras.engine.base_layer import _building
from minikeras.engine.connected import Chain
from minikeras.engine.input_spec import Shape
from minikeras.layers import deserialize, register
from minikeras.saving import KERAS_VERSION
from minikeras.training.api import Trainer
from minikeras.training.arguments import whole
from minikeras.training.data import fit_shape
from minikeras.utils.registry import CustomObjectScope, unknown_name_message

__all__ = ["Sequential"]


@register
class Sequential(Chain, Trainer):
    """A model made of layers one after the other.

    Parameters
    ----------
    layers : list of Layer, optional
        What to `add`.
    name : str, optional
        Default: ``sequential_1`` and so on.

    Attributes
    ----------
    layers : list of Layer
        Without an `InputLayer`.

    Notes
    -----
    The model needs to know what it receives, in one of these ways: the first layer has an
    ``input_shape`` (or ``input_dim``, ``batch_input_shape``); it is an `InputLayer` or
    `Input`; it is a `Sequential` that knows; `build` is called; or data arrive.

    A Sequential is itself a layer and can stand in another one.

    A model with a stateful layer is `stateful`: sample i of a batch goes on where sample i of the
    batch before ended, until `reset_states`. The states are no part of the configuration
    nor of the weights, so `clone_model` starts without any; a copy by `pickle` or
    `copy.deepcopy` keeps them, and goes on where the original is.

    Examples
    --------
    >>> from minikeras.layers import Activation, Dense
    >>> model = Sequential([Dense(32, input_shape=(784,)), Activation("relu"), Dense(10)])
    >>> model.output_shape
    (None, 10)
    >>> model.predict(np.zeros((2, 784))).shape
    (2, 10)
    """

    def __init__(self, layers: Iterable[Layer] | None = None, name: str | None = None) -> None:
        super().__init__(name=name)
        self.layers: list[Layer] = []
        self._input_layer: InputLayer | None = None
        if isinstance(layers, Layer):
            raise TypeError(f"Sequential takes a list of layers: Sequential([{layers!r}, ...]).")
        for layer in layers or ():
            self.add(layer)

    # Layers

    def add(self, layer: Layer) -> None:
        """Put a layer on top of the stack.

        Raises
        ------
        TypeError
            If `layer` is not a layer.
        ValueError
            If its name is taken or it does not fit the output below it.
        """
        if not isinstance(layer, Layer):
            raise TypeError(
                f"add takes a layer, such as Dense(10); got {layer!r}.{_hint_for_no_layer(layer)}"
            )
        if isinstance(layer, InputLayer):
            self._add_input_layer(layer)
            return
        if any(other is not layer and other.name == layer.name for other in self.layers):
            raise ValueError(
                f"The name '{layer.name}' is used twice; layer names must be unique in a model. "
                f"Give the {type(layer).__name__} another name=..., or none."
            )
        self.layers.append(layer)
        try:
            self._layers_changed()
        except BaseException:
            self.layers.pop()
            self._layers_changed()
            raise

    def _add_input_layer(self, layer: InputLayer) -> None:
        if self.layers or self._input_layer:
            raise ValueError(f"'{layer.name}' is an InputLayer; it can only be the first layer.")
        self._input_layer = layer

    def pop(self) -> None:
        """Take the last layer away.

        Raises
        ------
        TypeError
            If there are no layers.
        """
        if not self.layers:
            raise TypeError("There are no layers in the model.")
        self.layers.pop()
        self._layers_changed()

    def _layers_changed(self) -> None:
        """Work the shapes out again, and have `compile`'s work done again when next needed."""
        self._step = None
        self.built = False
        shape = self._declared_input_shape() or self._input_shape
        if not self.layers:
            self._input_shape = self._output_shape = None
        elif shape is not None:
            self.build(shape)

    def _declared_input_shape(self) -> Shape | None:
        """Return the batch input shape that the first layer states."""
        if self._input_layer is not None:
            return self._input_layer.batch_input_shape
        if not self.layers:
            return None
        first = self.layers[0]
        if isinstance(first, Sequential):
            return first._declared_input_shape() or first._input_shape
        return getattr(first, "batch_input_shape", None)

    def build(self, input_shape: Shape | None = None) -> None:
        """Build all layers.

        Parameters
        ----------
        input_shape : tuple of int or None, optional
            With the batch axis in front. Default: what the first layer states.

        Raises
        ------
        ValueError
            If there are no layers or the input shape is unknown.
        """
        if not self.layers:
            raise ValueError("The model has no layers: add some before building it.")
        shape = input_shape if input_shape is not None else self._declared_input_shape()
        if shape is None:
            raise ValueError(
                f"The input shape of model '{self.name}' is unknown: give its first layer "
                f"'{self.layers[0].name}' an input_shape, or call build((None, ...))."
            )
        self.ensure_built(shape, record=True)

    def ensure_built(self, input_shape: Sequence[int | None], record: bool = False) -> Shape:
        """Build or check layer by layer, and return the output shape. See `Layer`."""
        shape: Shape = tuple(input_shape)
        with _building:
            record = record or not self.built
            for layer in self.layers:
                shape = layer.ensure_built(shape, record)
            if record:
                self._input_shape, self._output_shape = tuple(input_shape), shape
                self.built = True
                self._tell_layers()
        return shape

    def signature(self) -> tuple:
        """Return what tells whether layers, or the last activation, have been exchanged."""
        parts = [
            layer.signature() if isinstance(layer, Sequential) else id(layer)
            for layer in self.layers
        ]
        return (*parts, self.fused_activation)

    @property
    def batch_input_shape(self) -> Shape:
        """The stated input shape; AttributeError if none is stated."""
        shape = self._declared_input_shape()
        if shape is None:
            raise AttributeError(f"Model '{self.name}' states no input shape.")
        return shape

    @property
    def input_dtype(self) -> str | None:
        """The type to which data are converted: what the first layer takes."""
        if self._input_layer is not None and self._input_layer._dtype_given:
            return self._input_layer.dtype
        return self.layers[0].input_dtype if self.layers else self.dtype

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return a layer by its name or its place.

        Parameters
        ----------
        name : str, optional
        index : int, optional
            From the input to the output, counted from 0; negative from the end. If both are
            given, `index` decides.

        Raises
        ------
        ValueError
            If there is no such layer, or neither is given.

        Examples
        --------
        >>> from minikeras.layers import Dense
        >>> model = Sequential([Dense(2, name="first"), Dense(3, name="second")])
        >>> model.get_layer("second").units, model.get_layer(index=0).units
        (3, 2)
        """
        if index is not None:
            if whole(index) is None:
                raise ValueError(f"index must be an int, got {index!r}. A name goes by name=.")
            if not -len(self.layers) <= index < len(self.layers):
                raise ValueError(
                    f"There is no layer {index}: the model has {len(self.layers)} layers, counted "
                    "from 0."
                )
            return self.layers[index]
        if name is None:
            raise ValueError("get_layer needs a name or an index.")
        for layer in self.layers:
            if layer.name == name:
                return layer
        hint = f" By its place: get_layer(index={name})." if whole(name) is not None else ""
        names = [layer.name for layer in self.layers]
        raise ValueError(unknown_name_message("layer", name, names) + hint)

    @property
    def input_names(self) -> list[str]:
        """The name of the input, by which a dict of data goes."""
        if self._input_layer is not None:
            return [self._input_layer.name]
        return [f"{self.layers[0].name}_input"] if self.layers else []

    @property
    def output_names(self) -> list[str]:
        """The name of the output: that of the last layer."""
        return [self.layers[-1].name] if self.layers else []

    # Computation

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Propagate through all layers; the residual is the list of theirs."""
        outer = ctx.frozen
        ctx.frozen = outer or not self.trainable
        residuals = []
        for layer in self.layers:
            x, residual = layer.propagate(x, ctx)
            residuals.append(residual)
        ctx.frozen = outer
        return x, residuals

    def backward(self, dy: np.ndarray, residual: list, ctx: Context) -> np.ndarray | None:
        """Propagate back, down to the lowest layer that has a gradient to compute."""
        return self._walk_back(dy, residual, ctx, self.layers[-1].backpropagate)

    def backward_logits(self, dz: np.ndarray, residual: list, ctx: Context) -> np.ndarray | None:
        """Like `backward`, from the gradient by the input of the last activation."""
        return self._walk_back(dz, residual, ctx, self.layers[-1].backward_logits)

    def _walk_back(
        self, dy: np.ndarray, residuals: list, ctx: Context, last_step: Callable
    ) -> np.ndarray | None:
        wanted = ctx.needs_input_gradient
        lowest = 0 if wanted else self._lowest_wanted(ctx)
        steps: list[Callable[..., Any]] = [layer.backpropagate for layer in self.layers]
        steps[-1] = last_step
        for index in range(len(steps) - 1, lowest, -1):
            ctx.needs_input_gradient = True
            dy = steps[index](dy, residuals[index], ctx)
        ctx.needs_input_gradient = wanted
        return steps[lowest](dy, residuals[lowest], ctx) if lowest < len(steps) else None

    def _lowest_wanted(self, ctx: Context) -> int:
        """Return the lowest layer with a weight whose gradient is wanted; below it, no work."""
        for index, layer in enumerate(self.layers):
            if any(ctx.wants(weight) for weight in layer.weights):
                return index
        return len(self.layers)

    @property
    def output_activation(self) -> Callable | None:
        """The activation in which the last layer ends."""
        return self.layers[-1].fused_activation if self.layers else None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Ask layer by layer."""
        for layer in self.layers:
            input_shape = layer.compute_output_shape(input_shape)
        return tuple(input_shape)

    def compute_mask(self, inputs: Any, mask: np.ndarray | None = None) -> np.ndarray | None:
        """Return `mask`: the layers have already replaced it on the way."""
        return mask

    def _accept(self, x: np.ndarray, name: str) -> np.ndarray:
        """Check data against the input shape; the first data decide an unknown one."""
        if not self.built:
            if not self.layers:
                raise ValueError("The model has no layers: add some first.")
            if x.ndim == 1:
                x = x[:, np.newaxis]
            with _building:
                if not self.built:
                    self.build((None, *x.shape[1:]))
        return fit_shape(x, self.input_shape, name, self.layers[0].name)

    # States

    @property
    def stateful(self) -> bool:  # type: ignore[override]
        """Whether a layer, or one of a nested model, keeps states from batch to batch."""
        return any(layer.stateful for layer in self.layers)

    @property
    def state_batch_size(self) -> int | None:
        """How many sequences the kept states are of; None if there are none.

        None stands for states of zeros, that follow the size of the next batch.
        """
        for layer in self.layers:
            if layer.stateful:
                size = getattr(layer, "state_batch_size", None)
                if size is not None:
                    return size
        return None

    def reset_states(self) -> None:
        """Let all stateful layers, those of nested models too, start anew with the next batch.

        That batch may have another size than those before. A model without states stays as it is.

        Examples
        --------
        >>> from minikeras.layers import LSTM, Dense
        >>> model = Sequential([LSTM(4, stateful=True, batch_input_shape=(2, 5, 3)), Dense(1)])
        >>> x = np.ones((2, 5, 3))
        >>> first, second = model.predict(x), model.predict(x)
        >>> model.reset_states()
        >>> bool((model.predict(x) == first).all()), bool((first == second).all())
        (True, False)
        """
        for layer in self.layers:
            # As in Keras, a layer may call itself stateful and have nothing to reset.
            if layer.stateful and hasattr(layer, "reset_states"):
                layer.reset_states()

    # Weights

    @property  # type: ignore[misc]
    def trainable_weights(self) -> list:
        """The weights that training changes, layer by layer; none if the model is frozen."""
        if not self.trainable:
            return []
        return _unique(weight for layer in self.layers for weight in layer.trainable_weights)

    @property  # type: ignore[misc]
    def non_trainable_weights(self) -> list:
        """The weights that training leaves alone."""
        fixed = [weight for layer in self.layers for weight in layer.non_trainable_weights]
        if self.trainable:
            return _unique(fixed)
        return _unique([*(w for layer in self.layers for w in layer.trainable_weights), *fixed])

    @property
    def weights(self) -> list:
        """All weights, first the trainable ones of all layers, then the others."""
        return self.trainable_weights + self.non_trainable_weights

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of the values of all weights, layer by layer.

        As in Keras 2.2, a nested model counts as one layer: first its trainable weights, then
        the others.
        """
        return super().get_weights()

    def _ordered_weights(self) -> list:
        return _unique(weight for layer in self.layers for weight in layer.weights)

    # Files

    def save(self, filepath: Any, overwrite: bool = True, include_optimizer: bool = True) -> None:
        """Save the model to a file. See `minikeras.models.save_model`."""
        from minikeras.saving.places import write_to
        from minikeras.saving.whole_model import write_model

        write_to(filepath, lambda file: write_model(self, file, include_optimizer), overwrite)

    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Save the weights alone to a file, in Keras 2's HDF5 format.

        Parameters
        ----------
        filepath, overwrite
            As in `minikeras.models.save_model`.
        """
        from minikeras.saving.places import write_to
        from minikeras.saving.weights import layers_of, write_layers

        layers = layers_of(self)
        write_to(filepath, lambda file: write_layers(file, layers), overwrite)

    def load_weights(
        self,
        filepath: Any,
        by_name: bool = False,
        skip_mismatch: bool = False,
        reshape: bool = False,
    ) -> None:
        """Set the weights to those in a file of weights or of a whole model.

        Parameters
        ----------
        filepath : str, PathLike, file object or h5py.Group
        by_name : bool
            False (default): the file's layers are those of the model, in order; layers without
            weights do not count. True: layers get the weights of the layer of the same name, and
            others stay as they are.
        skip_mismatch : bool
            With `by_name`: whether weights of another shape or number are left out with a warning.
            Default False: they are an error.
        reshape : bool
            Whether the kernel of a convolution may have another shape of the same size. Default
            False.

        Raises
        ------
        ValueError
            If the weights do not fit; the model stays as it was.
        OSError
            If the file is missing or no HDF5 file.
        """
        from minikeras.saving.weights import load_weights

        load_weights(self, filepath, by_name, skip_mismatch, reshape)

    # Configuration

    def summary(
        self,
        line_length: int | None = None,
        positions: Sequence[float] | None = None,
        print_fn: Callable[[str], Any] | None = None,
    ) -> None:
        """Print the layers with their output shapes and numbers of parameters.

        Parameters
        ----------
        line_length : int, optional
            Width of the table in characters. Default 65.
        positions : list of float, optional
            Where each column ends, as parts of the width. Default ``[0.45, 0.85, 1.0]``.
        print_fn : callable, optional
            Called with each line. Default `print`.

        Raises
        ------
        ValueError
            If the model has not been built.
        """
        from minikeras.utils.layer_utils import print_summary

        if not self.built:
            raise ValueError(
                "The model has not been built: its shapes are unknown. Give the first layer an "
                "input_shape, call build((None, ...)), or fit it first."
            )
        print_summary(self, line_length=line_length, positions=positions, print_fn=print_fn)

    def get_config(self) -> dict[str, Any]:
        """Return the name and the configurations of the layers, without weights."""
        layers = [self._input_layer] if self._input_layer is not None else []
        configs = [
            {"class_name": type(layer).__name__, "config": layer.get_config()}
            for layer in [*layers, *self.layers]
        ]
        return {"name": self.name, "layers": configs}

    @classmethod
    def from_config(
        cls, config: Any, custom_objects: Mapping[str, Any] | None = None
    ) -> Sequential:
        """Make a model from what `get_config` returned, or from a bare list of layer configs."""
        name, entries = (
            (None, config)
            if isinstance(config, list)
            else (
                config.get("name"),
                config["layers"],
            )
        )
        model = cls(name=name)
        with CustomObjectScope(custom_objects or {}):
            for entry in entries:
                model.add(deserialize(entry))
        return model

    def to_json(self, **kwargs: Any) -> str:
        """Return the configuration as JSON text in Keras' form.

        Parameters
        ----------
        **kwargs
            For `json.dumps`, such as ``indent=2``.
        """
        import json

        content = {
            "class_name": type(self).__name__,
            "config": self.get_config(),
            "keras_version": KERAS_VERSION,
            "backend": "numpy",
        }
        return json.dumps(content, default=_to_plain, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_step": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._tell_layers()


def _hint_for_no_layer(found: Any) -> str:
    """Say what to do about something that was added to a model, and is no layer."""
    home = (found if isinstance(found, type) else type(found)).__module__.partition(".")[0]
    if isinstance(found, type):
        return f" Did you forget the parentheses? {found.__name__}(...)"
    if isinstance(found, (list, tuple)):
        return " Add them one by one, or write Sequential([first, second, ...])."
    if isinstance(found, str):
        return " An activation by its name is a layer as Activation('relu')."
    if found is None:
        return " add itself returns None: call it in a line of its own."
    if home in ("keras", "tensorflow", "tf_keras"):
        return " Layers of another Keras do not fit: import them from minikeras.layers."
    if hasattr(found, "shape"):
        return " In a Sequential, layers are added, not called on the output of another."
    return ""


def _unique(weights: Iterable[Any]) -> list:
    """Drop repetitions: a layer may be used twice."""
    return list(dict.fromkeys(weights))


def _to_plain(value: Any) -> Any:
    """Turn NumPy numbers and arrays into what JSON knows."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"A configuration holds {value!r}, which can't be written as JSON.")
