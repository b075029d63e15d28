"""`Lambda`, a layer made of a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from minikeras import activations
from minikeras.engine import Layer
from minikeras.engine.input_spec import Shape
from minikeras.utils.registry import get_custom_objects, has_arg, unknown_name_message


class Lambda(Layer):
    """A layer that applies a function in terms of `K`.

    Parameters
    ----------
    function : callable
        ``function(inputs, **arguments)``. If it has an argument `mask`, it gets the mask.
    output_shape : tuple of int or callable, optional
        The shape of one output, without the batch axis; or a function of the input shape that gives
        the output shape, both with the batch axis. Default: found by calling the function on
        arrays of ones.
    mask : ndarray or callable, optional
        The mask of the output, or ``mask(inputs, mask)`` that gives it. Default: none. If it is
        given, the layer takes masked input.
    arguments : dict, optional
        Further arguments of the function.
    **kwargs
        See `Layer`.

    Notes
    -----
    A variable that the function uses is not a weight of the layer, so it is not trained: write a
    `Layer` for that.

    A model with such a layer is saved by the name of its function, and whoever loads it passes the
    function in ``custom_objects``, unless it is an activation such as ``K.relu``. Keras 2 writes
    the function's byte code instead, and runs what a file contains; here neither is done.

    Examples
    --------
    >>> import numpy as np
    >>> from minikeras import backend as K
    >>> from minikeras.layers import Lambda
    >>> def antirectifier(x):
    ...     x = K.l2_normalize(x - K.mean(x, axis=1, keepdims=True), axis=1)
    ...     return K.concatenate([K.relu(x), K.relu(-x)], axis=1)
    >>> layer = Lambda(antirectifier)
    >>> layer(np.ones((2, 3))).shape, layer.output_shape
    ((2, 6), (None, 6))
    """

    _shape_advice = "give the layer an output_shape=(...)."

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Any = None,
        mask: Any = None,
        arguments: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not callable(function):
            raise TypeError(f"Lambda takes a function, got {function!r}.")
        if not (output_shape is None or callable(output_shape)):
            if not isinstance(output_shape, (tuple, list)):
                raise TypeError(
                    "output_shape of Lambda must be a tuple, such as (10,), or a function of the "
                    f"input shape; got {output_shape!r}."
                )
            output_shape = tuple(output_shape)
        self.function = function
        self.arguments = dict(arguments or {})
        self._takes_mask = has_arg(function, "mask")
        self.mask = mask
        self.supports_masking = mask is not None
        self._stated_output_shape = output_shape

    def call(self, inputs: Any, mask: Any = None) -> Any:  # type: ignore[override]
        """Apply the function."""
        named = dict(self.arguments)
        if self._takes_mask:
            named["mask"] = mask
        return self.function(inputs, **named)

    def compute_output_shape(self, input_shape: Shape) -> Any:
        """Return the shape that was stated, or else what the function gives."""
        stated = self._stated_output_shape
        if stated is None:
            return super().compute_output_shape(input_shape)
        if callable(stated):
            shape = stated(input_shape)
            if not isinstance(shape, (tuple, list)):
                raise ValueError(
                    f"{self._described()}: output_shape must return a tuple with the batch axis, "
                    f"got {shape!r}."
                )
            return tuple(shape)
        return (input_shape[0], *stated)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return the mask that was stated; None by default."""
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments, functions by name."""
        shape = self._stated_output_shape
        config = {
            **super().get_config(),
            "function": NamedFunction(self.function),
            "function_type": _kind(self.function),
            "output_shape": NamedFunction(shape) if callable(shape) else shape,
            "output_shape_type": _kind(shape) if callable(shape) else "raw",
            "arguments": self.arguments,
        }
        if callable(self.mask):
            return {**config, "mask": NamedFunction(self.mask), "mask_type": _kind(self.mask)}
        return config if self.mask is None else {**config, "mask": self.mask}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Layer:
        """Make a layer from what `get_config` returned.

        Raises
        ------
        ValueError
            If a function is given by a name that is not known, or by its byte code.
        """
        config = dict(config)
        for key in ("function", "output_shape", "mask"):
            kind = config.pop(f"{key}_type", "raw")
            if kind != "raw" and not callable(config[key]):
                config[key] = _found(config[key], key, custom_objects)
        return cls(**config)


class NamedFunction(str):
    """The name of a function in a configuration, which in the same process is the function, too.

    Examples
    --------
    >>> name = NamedFunction(len)
    >>> name, name.function([1, 2])
    ('len', 2)
    """

    function: Callable[..., Any]

    def __new__(cls, function: Callable[..., Any]) -> NamedFunction:
        """Take the name of a function."""
        name = super().__new__(cls, getattr(function, "__name__", type(function).__name__))
        name.function = function
        return name

    def __getnewargs__(self) -> tuple[Any]:
        return (self.function,)


def _kind(function: Callable[..., Any]) -> str:
    return "lambda" if getattr(function, "__name__", "<lambda>") == "<lambda>" else "function"


def _found(given: Any, what: str, custom_objects: Mapping[str, Any] | None) -> Any:
    """Return the function of a name; nothing that a file holds is run."""
    if isinstance(given, NamedFunction):
        return given.function
    if given == "<lambda>":
        raise ValueError(
            f"The {what} of this Lambda layer was a lambda, which has no name to be found by. "
            "Write it with def before saving. Or make the model in Python and load the weights."
        )
    if not isinstance(given, str):
        raise ValueError(
            f"The {what} of this Lambda layer is stored as byte code, which is never run here: "
            "it could do anything. Make the model in Python, with the function in its place, and "
            "load the weights; or write the function with def before saving."
        )
    known = {**activations.FUNCTIONS, **get_custom_objects(), **(custom_objects or {})}
    if given not in known:
        raise ValueError(
            f"{unknown_name_message(f'{what} of a Lambda layer:', given, known)} Pass it by its "
            "name in custom_objects."
        )
    return known[given]
