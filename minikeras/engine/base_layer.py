"""`Layer`, the base of all layers.

The life of a layer: the constructor stores configuration; `build` makes weights once the input
shape is known; then there are two ways. A layer written in `K` functions defines `call`, as in
Keras, and its derivatives follow from those of the functions::

    class Scale(Layer):
        def build(self, input_shape):
            self.scale = self.add_weight("scale", (input_shape[-1],), initializer="ones")
            self.built = True

        def call(self, x):
            return x * self.scale

A layer written by hand defines both directions: `forward` computes, `backward` differentiates::

    class Scale(Layer):
        def build(self, input_shape):
            self.scale = self.add_weight("scale", (input_shape[-1],), initializer="ones")
            self.built = True

        def forward(self, x, ctx):
            return x * self.scale.value, x

        def backward(self, dy, x, ctx):
            ctx.add_gradient(self.scale, (dy * x).sum(axis=0))
            return dy * self.scale.value
"""

from __future__ import annotations

import _thread
import copy
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from minikeras.backend.config import floatx
from minikeras.backend.context import Context
from minikeras.backend.naming import get_uid
from minikeras.backend.operators import TensorLike
from minikeras.backend.running import current, fixed_phase, inside
from minikeras.backend.variables import Variable
from minikeras.engine import taped
from minikeras.engine.connected import Connected
from minikeras.engine.input_spec import InputSpec, Shape
from minikeras.engine.keywords import check_keywords, check_old_names, stated_input_shape
from minikeras.engine.outputs import as_list, as_shape, keeps
from minikeras.engine.penalties import HasPenalties
from minikeras.engine.weights import HasWeights, layers_in
from minikeras.ops.blas import one_thread
from minikeras.utils.generic_utils import to_snake_case
from minikeras.utils.warning import warn

_building = _thread.RLock()


def _home(cls: type, name: str) -> type:
    """Return the class that defines a method of `cls`."""
    return next(base for base in cls.__mro__ if name in vars(base))


class Layer(HasWeights, HasPenalties, Connected):
    """The base class of all layers.

    Parameters
    ----------
    name : str, optional
        Unique in a model. Default: the class name in snake case and a number, ``dense_1``.
    trainable : bool
        Whether the layer's weights may change in training. Default True. Set it before
        `compile`, as in Keras.
    dtype : str, optional
        Type of weights and computation. Default: ``K.floatx()``.
    input_shape : tuple of int or None, optional
        Shape of one sample. Only the first layer of a model needs it.
    batch_input_shape : tuple of int or None, optional
        The same with the batch axis in front.
    batch_size : int, optional
        A fixed batch size that goes with `input_shape`.
    input_dim, input_length : int, optional
        ``input_shape=(input_dim,)`` or ``(input_length, input_dim)``, in other words.
    weights : list of ndarray, optional
        Initial weights, in place of what the initializers give.

    Attributes
    ----------
    built : bool
        Whether the weights exist.
    input_spec : InputSpec or None
        What the layer demands of its input.
    supports_masking : bool
        Whether the layer hands a mask on.
    sets_mask : bool
        Whether `forward` itself puts the output's mask into ``ctx.mask``, so that `propagate` need
        not ask `compute_mask`.
    activity_regularizer : Regularizer or None
        A penalty on the layer's output that is added to the loss.

    Examples
    --------
    The same layer in `K` functions, and by hand:

    >>> class Double(Layer):
    ...     def call(self, x):
    ...         return 2 * x
    >>> class DoubleByHand(Layer):
    ...     def forward(self, x, ctx):
    ...         return 2 * x, None
    ...     def backward(self, dy, residual, ctx):
    ...         return 2 * dy
    >>> Double()(np.ones((1, 3))).tolist(), DoubleByHand()(np.ones((1, 3))).tolist()
    ([[2.0, 2.0, 2.0]], [[2.0, 2.0, 2.0]])
    """

    supports_masking = False
    sets_mask = False
    stateful = False
    activity_regularizer: Any = None

    _shape_advice = "define compute_output_shape(self, input_shape)."
    _by_hand = "forward"  # the method that `call` is an alternative to
    _taped = False  # whether `call` is the newer one of the two
    _fuses = True  # see `fused_activation`
    _mask_lost = False  # see `compute_mask`

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        line = cls.__mro__
        in_k, by_hand = (line.index(_home(cls, name)) for name in ("call", cls._by_hand))
        if in_k == by_hand and line[in_k] is cls and not cls.__module__.startswith("minikeras."):
            raise TypeError(
                f"{cls.__name__} defines both call and {cls._by_hand}. Define call for a layer in "
                f"K functions, or {cls._by_hand} and its backward pass for one by hand."
            )
        cls._taped = in_k < by_hand
        if cls._taped:
            cls.sets_mask = False  # `call` can't
        homes = {_home(cls, name) for name in ("forward", "backward", "backward_logits")}
        cls._fuses = len(homes) == 1 and not cls._taped

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Refuse names of Keras 1 before Python misses the argument of the new name."""
        check_old_names(cls, kwargs)
        return super().__new__(cls)

    def __init__(self, **kwargs: Any) -> None:
        check_keywords(type(self), kwargs)
        self.name: str = kwargs.get("name") or self._automatic_name()
        self.trainable: bool = kwargs.get("trainable", True)
        self.dtype: str = np.dtype(
            kwargs.get("dtype") or kwargs.get("input_dtype") or floatx()
        ).name
        self.built = False
        self.input_spec: InputSpec | None = None
        self._dtype_given = bool(kwargs.get("dtype") or kwargs.get("input_dtype"))
        self._trainable_weights: list[Variable] = []
        self._non_trainable_weights: list[Variable] = []
        self._initial_weights: list[np.ndarray] | None = kwargs.get("weights")
        self._input_shape: Shape | None = None
        self._output_shape: Shape | None = None
        self._stated_input_shape = stated_input_shape(kwargs)

    def _automatic_name(self) -> str:
        prefix = to_snake_case(type(self).__name__)
        return f"{prefix}_{get_uid(prefix)}"

    # Computation

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Compute the layer's output.

        Parameters
        ----------
        x : ndarray, shape (batch, ...)
            Read only.
        ctx : Context
            The pass this is a part of.

        Returns
        -------
        y : ndarray, shape (batch, ...)
            A list of such arrays from a layer with several outputs. It can be called on an array,
            but not stand in a Sequential.
        residual : object
            What `backward` will need.
        """
        raise NotImplementedError(
            f"Layer '{self.name}' ({type(self).__name__}) has no forward pass. Define "
            "call(self, inputs) in functions of K, or by hand forward(self, x, ctx) -> "
            "(y, residual) and backward(self, dy, residual, ctx) -> dx."
        )

    def backward(self, dy: np.ndarray, residual: Any, ctx: Context) -> np.ndarray | None:
        """Compute the gradient of the input, and write those of the weights.

        Parameters
        ----------
        dy : ndarray, shape of the output
            Gradient of the loss by the output. The layer may overwrite it. A list for a layer with
            several outputs.
        residual : object
            What `forward` returned.
        ctx : Context
            Weights' gradients go to ``ctx.gradient(weight)``.

        Returns
        -------
        dx : ndarray, shape of the input, or None
            An array that the layer below may overwrite. None only where
            ``ctx.needs_input_gradient`` is False.
        """
        raise NotImplementedError(
            f"Layer '{self.name}' ({type(self).__name__}) can't be trained: it has no backward "
            "pass. Define backward(self, dy, residual, ctx) -> dx."
        )

    def propagate(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Run `forward` and what goes with it for every layer: penalties, mask, checks.

        Containers and wrappers call this, not `forward`. The residual is for `backpropagate`.
        """
        y, residual = self._propagate(x, ctx)
        if self.activity_regularizer is not None:
            for output in as_list(y):
                ctx.add_loss(self.activity_regularizer(output))
            residual = (residual, y)
        if self._penalties:
            residual = (residual, self._begin_penalties(ctx))
        return y, residual

    def backpropagate(self, dy: np.ndarray, residual: Any, ctx: Context) -> np.ndarray | None:
        """Run `backward` on what `propagate` returned."""
        if self._penalties:
            residual, losses = residual
            self._end_penalties(losses, ctx)
        if self.activity_regularizer is not None:
            residual, y = residual
            for output, gradient in zip(as_list(y), as_list(dy), strict=True):
                self.activity_regularizer.add_gradient(output, gradient)
        return self._backpropagate(dy, residual, ctx)

    def _propagate(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Do what `propagate` does, but for the penalties."""
        result: Any = taped.forward(self, x, ctx) if self._taped else self.forward(x, ctx)
        if type(result) is not tuple or len(result) != 2:
            raise TypeError(
                f"{self._described()}: forward must return (y, residual), got "
                f"{type(result).__name__}. Return (y, None) if backward needs nothing."
            )
        y, residual = result
        promised = self._output_shape
        if promised is not None and (
            type(y) is list
            or y.shape[-1:] != promised[-1:]
            or y.ndim != len(promised)
            or len(y) != len(x)
        ):
            self._check_output_shape(x, y)
        if not self.sets_mask:
            ctx.mask = self.compute_mask(x, ctx.mask)
        if ctx.check_numerics:
            self._check_finite(y, "output")
        return y, residual

    def _backpropagate(self, dy: np.ndarray, residual: Any, ctx: Context) -> np.ndarray | None:
        """Run `backward` on what `_propagate` returned."""
        if ctx.check_numerics:
            self._check_finite(dy, "gradient by the output")
        run = functools.partial(taped.backward, self) if self._taped else self.backward
        dx = run(dy, residual, ctx)
        if dx is None and ctx.needs_input_gradient:
            raise TypeError(
                f"{self._described()}: backward returned None, but the layers below need the "
                "gradient of the input."
            )
        # The layer below may overwrite what it gets; np.broadcast_to, say, gives what can't be.
        return dx if dx is None or dx.flags.writeable else dx.copy()

    def _described(self) -> str:
        return f"Layer '{self.name}' ({type(self).__name__})"

    def _check_output_shape(self, x: np.ndarray, y: Any) -> None:
        """Raise unless `y` has the shape that `compute_output_shape` promises for `x`."""
        promised = as_shape(self.compute_output_shape(x.shape))
        found = [output.shape for output in y] if type(y) is list else y.shape
        if not keeps(promised, found):
            raise ValueError(
                f"{self._described()}: forward turns an input of shape {x.shape} into {found}, "
                f"but compute_output_shape promises {promised}. Define "
                "compute_output_shape(self, input_shape) for this layer."
            )

    @property
    def output_activation(self) -> Any:
        """The activation function in which the layer ends, None if there is none to speak of.

        A loss that is simpler together with this activation, such as cross-entropy with
        softmax, may hand the gradient by the activation's input to `backward_logits`.
        """
        return None

    @property
    def fused_activation(self) -> Any:
        """`output_activation`, if `backward_logits` belongs to the class' own forward pass.

        A subclass that overrides `forward` or `backward` alone inherits a `backward_logits` that
        knows nothing of it. Nor does it go back to penalties of the layer.
        """
        return self.output_activation if self._fuses and not self._penalties else None

    def backward_logits(self, dz: np.ndarray, residual: Any, ctx: Context) -> np.ndarray | None:
        """Like `backpropagate`, from the gradient by the input of `output_activation`."""
        raise NotImplementedError(f"Layer '{self.name}' ends in no activation.")

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """Compute the layer's output in `K` functions; what a layer of one's own defines.

        Of the arguments after `inputs`, a layer declares those that it wants. A layer that is
        written by hand has this one, which puts it on the tape: so a subclass may say
        ``super().call(x)``.

        Parameters
        ----------
        inputs : TensorLike or ndarray, shape (batch, ...)
        training : bool, optional
            Whether this is training.
        mask : ndarray, optional
            Which time steps count.

        Returns
        -------
        TensorLike or ndarray, shape (batch, ...)
        """
        if isinstance(inputs, TensorLike) and inputs.value is None:
            return self(inputs, training=training, mask=mask)
        return taped.record(self, inputs, self.forward, self.backward, training, mask)

    def __call__(self, inputs: Any, training: Any = None, mask: Any = None, **options: Any) -> Any:
        """Apply the layer to an array or a tensor, building it first where needed.

        Parameters
        ----------
        inputs : array_like or TensorLike, shape (batch, ...)
            A list of these for a layer whose `call` takes several.
        training : bool, optional
            Whether to behave as in training. Default: as in the pass at hand, and outside of any
            pass no.
        mask : array_like of bool, shape (batch, steps), optional
            Which time steps count. Default: all, or what travels with a tensor.
        **options
            Further arguments of the layer's own `call`.

        Returns
        -------
        ndarray or Tensor
            A list of them from a layer with several outputs. A tensor for a tensor, and for an
            array inside of a pass where something is to be differentiated.
        """
        return self._call(inputs, training, mask, {}, options)

    def _call(
        self, inputs: Any, training: Any, mask: Any, memo: dict[Any, Any], options: Any = None
    ) -> Any:
        """Apply the layer to an array in a pass that begins with `memo`."""
        if isinstance(inputs, Layer):
            raise TypeError(
                f"{self._described()} was called on {inputs!r}. A layer is called on an array or a "
                "tensor; layers are put together in a Sequential, and in no other way: write "
                "model = Sequential(); model.add(Dense(10, input_shape=(4,))); model.add(...)."
            )
        if options and not self._taped:
            raise TypeError(f"{self._described()} takes no argument {', '.join(options)}.")
        if current() is not None or options or _holds_tensors(inputs, self._taped):
            return taped.apply(self, inputs, training, mask, options or {})
        x = np.asarray(inputs, dtype=self.input_dtype)
        if mask is not None:
            mask = np.asarray(mask, bool)
            if mask.shape[:1] != x.shape[:1]:
                raise ValueError(
                    f"{self._described()}: a mask has a row for each sample, and an entry there "
                    f"for each time step; got a mask of shape {mask.shape} for an input of shape "
                    f"{x.shape}."
                )
        self.ensure_built((None, *x.shape[1:]))
        phase = fixed_phase(False) if training is None else bool(training)
        ctx = Context(training=phase, mask=mask, records=False)
        ctx.memo.update(memo)
        with one_thread(inside=True):
            y, _ = self.propagate(x, ctx)
        ctx.finish()
        # What a call returns may be the memory of a weight or of the input.
        return copy.deepcopy(y) if self._taped else y

    def _check_finite(self, arrays: Any, what: str) -> None:
        for array in as_list(arrays):
            if not np.isfinite(array).all():
                bad = np.argwhere(~np.isfinite(array))[0].tolist()
                raise FloatingPointError(
                    f"{self._described()}: its {what} of shape {array.shape} holds "
                    f"{array[tuple(bad)]} at {bad}. It is the first array with NaN or infinity."
                )

    # Shapes and building

    @property
    def input_dtype(self) -> str | None:
        """The type to which a model converts this layer's input; None leaves it as it is."""
        return self.dtype

    def build(self, input_shape: Shape) -> None:
        """Make the weights. Layers without weights need not define this.

        Parameters
        ----------
        input_shape : tuple of int or None
            With the batch axis in front.
        """
        self.built = True

    def ensure_built(self, input_shape: Sequence[int | None], record: bool = False) -> Shape:
        """Check `input_shape`, build at the first call, and return the output shape.

        Parameters
        ----------
        input_shape : tuple of int or None
        record : bool
            Whether these become the `input_shape` and `output_shape` of the layer, as they do in
            any case when it is built. A container asks for it, and so for a single output.
            Default False.

        Raises
        ------
        ValueError
            If the input does not fit the layer, or a container gets a layer with several outputs.
        """
        shape, contained = as_shape(input_shape), record
        self._check_input_shape(shape)
        with _building:  # several threads may meet a layer that is not built
            if not self.built:
                record = True
                with inside(None):  # what is made here belongs to no pass
                    self.build(shape)
                taped.check_attributes(self)
                self.built = True
                self._check_input_shape(shape)
                if not all(layer.built for layer, _ in self._family()):
                    taped.build_parts(self, shape)
                if self._initial_weights is not None:
                    self.set_weights(self._initial_weights)
                    self._initial_weights = None
            found = self.compute_output_shape(shape)
            if not isinstance(found, (tuple, list)):
                raise TypeError(
                    f"{self._described()}: compute_output_shape must return a tuple, it returned "
                    f"{found!r}."
                )
            output_shape = as_shape(found)
            if contained and type(output_shape) is list:
                raise ValueError(
                    f"{self._described()} has {len(output_shape)} outputs, of shapes "
                    f"{output_shape}. Where layers follow one another, each must have a single "
                    "output: leave out return_state, and give a Bidirectional a merge_mode. To get "
                    "all outputs, call the layer itself on an array."
                )
            if record:
                self._input_shape, self._output_shape = shape, output_shape
        return output_shape

    def _check_input_shape(self, shape: Shape) -> None:
        spec: Any = self.input_spec
        if isinstance(spec, (list, tuple)):  # as layers for several inputs have it
            spec = spec[0] if len(spec) == 1 else None
        problem = spec.problem(shape) if spec is not None else None
        if problem:
            raise ValueError(
                f"Input is incompatible with layer '{self.name}' ({type(self).__name__}): "
                f"{problem}. The full shape of the input is {shape}.{spec.advice(shape)}"
            )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the output shape for an input shape, both with the batch axis.

        Default: the same shape, which a layer by hand that changes it must override. For a layer
        with a `call`, what that gives for arrays of ones.
        """
        if self._taped:
            return taped.infer_output_shape(self, input_shape)
        return tuple(input_shape)

    def compute_mask(self, inputs: Any, mask: np.ndarray | None = None) -> np.ndarray | None:
        """Return the mask of the output.

        Default: the same mask, from a layer with `supports_masking`. Any other layer drops it, and
        says so once.

        Notes
        -----
        Keras 2.2.4 raises TypeError where a mask meets a layer without `supports_masking`. Later
        versions drop the mask without a word.
        """
        if mask is None or self.supports_masking:
            return mask
        if not self._mask_lost:
            self._mask_lost = True
            warn(
                f"{self._described()} does not support masking: the mask of shape "
                f"{np.shape(mask)} ends here, and steps that were masked count again from here on. "
                "Put a layer before it that makes use of the mask, such as an LSTM or "
                "GlobalAveragePooling1D, or leave the mask out (mask_zero=False, no Masking). If "
                "the layer keeps the time steps in place, set its supports_masking to True."
            )
        return None

    def _parts(self) -> list[Layer]:
        """Return the layers among the attributes of a layer that calls them itself."""
        if not self._taped:
            return []
        return list(layers_in(vars(self)))

    @property
    def batch_input_shape(self) -> Shape:
        """The input shape that the constructor was given; AttributeError if it was given none."""
        if self._stated_input_shape is None:
            raise AttributeError(f"Layer '{self.name}' was given no input shape.")
        return self._stated_input_shape

    @property
    def input_shape(self) -> Shape:
        """The input shape with the batch axis, such as ``(None, 784)``.

        Raises
        ------
        AttributeError
            If the layer has never been built.
        """
        return self._shape_of("input", self._input_shape)

    @property
    def output_shape(self) -> Shape:
        """The output shape with the batch axis; AttributeError before the layer is built."""
        return self._shape_of("output", self._output_shape)

    def _shape_of(self, which: str, shape: Shape | None) -> Shape:
        if shape is None:
            raise AttributeError(
                f"Layer '{self.name}' has no {which} shape yet: it has not been built. Add it to "
                "a model whose input shape is known, or call it on data."
            )
        return shape

    # Configuration

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments that make a layer like this one, without weights."""
        config: dict[str, Any] = {"name": self.name, "trainable": self.trainable}
        if hasattr(self, "batch_input_shape"):
            config["batch_input_shape"] = self.batch_input_shape
        if self._dtype_given or hasattr(self, "batch_input_shape"):
            config["dtype"] = self.dtype
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        """Make a layer from what `get_config` returned."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} '{self.name}'>"


def _holds_tensors(inputs: Any, several: bool) -> bool:
    """Return whether a layer is called on a tensor, or on several inputs that it takes."""
    if isinstance(inputs, (list, tuple)):
        kinds = (TensorLike, np.ndarray) if several else TensorLike
        return any(isinstance(x, kinds) for x in inputs)
    return isinstance(inputs, TensorLike)
