"""`Optimizer`: what the rules in `minikeras.optimizers` share, and how to write a new one.

An optimizer works on vectors that hold all weights of a model end to end (see
`minikeras.backend.store`), in pieces that fit the processor's cache, on several threads. A rule
is therefore written for one piece.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from minikeras.backend.function import gradients as differentiate
from minikeras.backend.rows import RowGradient
from minikeras.backend.store import WeightBlock, WeightStore
from minikeras.backend.updates import Change
from minikeras.backend.variables import Scalar, Variable
from minikeras.ops.memory import aligned_empty
from minikeras.ops.parallel import for_blocks
from minikeras.ops.update import at_rest
from minikeras.optimizer_state import PIECE, OptimizerState, RowRange, all_gradients
from minikeras.utils.registry import unknown_name_message

# A slot that only decays ends up among the denormal numbers, where some processors multiply
# tens of times slower, and a decay above 1/2 never takes it out again. So every so many steps
# what has shrunk below the floor becomes zero. The floor is far below what epsilon can see, and
# a decay of 0.65 needs all the steps in between to get from the floor to the first denormal.
FLUSH_EVERY = 32
_FLOORS = {np.dtype(np.float32): 1e-32, np.dtype(np.float64): 1e-302}

_T = TypeVar("_T", bound="Optimizer")


class Hyperparameter:
    """An attribute of an optimizer: a checked number that may change while it trains.

    Reading it gives a `Scalar`, so that ``K.set_value(optimizer.lr, 0.1)`` works; assigning a
    number to the attribute does the same and checks the number.

    Parameters
    ----------
    most, below : float, optional
        Where the allowed numbers end; they begin at 0.
    whole : bool
        Whether it counts something. Default False.
    """

    def __init__(
        self, most: float = math.inf, below: float = math.inf, whole: bool = False
    ) -> None:
        self.most = most
        self.below = below
        self.whole = whole

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        try:
            return instance.__dict__[self.name]
        except KeyError:
            raise AttributeError(
                f"{type(instance).__name__} has no '{self.name}' yet: call super().__init__() "
                "first."
            ) from None

    def __set__(self, instance: Any, value: Any) -> None:
        where = type(instance).__name__
        number = checked(where, self.name, value, self.most, self.below)
        if self.whole and number != int(number):
            raise ValueError(f"{where}: {self.name} must be a whole number, got {value!r}.")
        if self.name in instance.__dict__:
            instance.__dict__[self.name].assign(number)
        else:
            start = np.array(number, np.int64 if self.whole else np.float64)
            instance.__dict__[self.name] = Scalar(start, name=f"{where}/{self.name}:0")


class Optimizer:
    """What all optimizers share, and what a new one starts from.

    A subclass names its `slots`, the vectors it keeps from step to step, and defines `update`.
    A number that scripts should be able to set while the model trains is declared as a
    `Hyperparameter`.

    Parameters
    ----------
    lr : float
        Learning rate, at least 0. Default 0.01. Also taken by its later name, `learning_rate`.
    decay : float
        At least 0. Step number `n` (the first is 0) uses ``lr / (1 + decay * n)``. Default 0.
    clipnorm : float, optional
        The gradients of all weights together are scaled to this length if they are longer
        (later Keras takes the length for each weight alone). None or 0: no clipping.
    clipvalue : float, optional
        Each entry of each gradient is then limited to ``[-clipvalue, clipvalue]``. None or 0:
        no clipping.

    Attributes
    ----------
    lr, learning_rate : Scalar
        One number by two names. Settable at any time, by assignment or ``K.set_value``.
    iterations : Scalar
        How many steps have been done.
    slots : tuple of str
        Names of what is kept for each weight; zeros at first. Entries below 1e-32 are set to
        zero now and then (float64: 1e-302; see `FLUSH_EVERY`).
    arguments : tuple of str
        The constructor's arguments besides those above. Each must be an attribute, too: that is
        where `get_config` and `step_constants` find it.

    Raises
    ------
    TypeError
        If an argument is unknown, or is no number.
    ValueError
        If a number is out of its range.

    Examples
    --------
    Steps of one length, by the sign of a running mean of the gradients:

    >>> class SignSGD(Optimizer):
    ...     slots = ("means",)
    ...     arguments = ("momentum",)
    ...     momentum = Hyperparameter(below=1.0)
    ...
    ...     def __init__(self, lr=0.001, momentum=0.9, **kwargs):
    ...         super().__init__(lr, **kwargs)
    ...         self.momentum = momentum
    ...
    ...     def update(self, value, gradient, means, scratch, lr, momentum):
    ...         means *= momentum
    ...         gradient *= 1 - momentum
    ...         means += gradient
    ...         np.sign(means, out=scratch)
    ...         scratch *= lr
    ...         value -= scratch

    A model does the following by itself, in `compile` and in each training step:

    >>> block = WeightBlock([Variable(np.array([1.0, 2.0, 3.0]))])
    >>> optimizer = SignSGD(lr=0.5)
    >>> state = optimizer.build([block])
    >>> block.gradients[:] = [10.0, 0.0, -0.1]
    >>> optimizer.apply_gradients(state)
    >>> block.values.tolist()
    [0.5, 2.0, 3.5]
    >>> optimizer.get_config()
    {'lr': 0.5, 'decay': 0.0, 'momentum': 0.9}
    """

    slots: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    # Whether `weights` begins with the number of steps, as it does for most in Keras 2.2.4.
    saves_iterations = True
    # From how many weights on a second thread pays. Two pieces are reason enough for most rules;
    # one of few and quick passes loses more time at the interpreter lock than it gains.
    threads_from = 0

    lr = Hyperparameter()
    decay = Hyperparameter()
    iterations = Hyperparameter(whole=True)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "get_updates" in vars(cls):
            raise TypeError(
                f"{cls.__name__} defines get_updates, which is not how an optimizer is written "
                "here: define update(self, value, gradient, *slots, scratch, *constants). See "
                "help(minikeras.optimizers.Optimizer)."
            )

    def __new__(cls: type[_T], *args: Any, **kwargs: Any) -> _T:
        """Refuse a learning rate that is given twice, by its two names."""
        if "learning_rate" in kwargs:
            import inspect

            signature = inspect.signature(cls.__init__)
            if "lr" in signature.bind_partial(None, *args, **kwargs).arguments:
                raise TypeError(
                    f"{cls.__name__}: 'lr' and 'learning_rate' are two names of one argument; "
                    "give one of them."
                )
        return super().__new__(cls)

    def __init__(
        self,
        lr: float = 0.01,
        decay: float = 0.0,
        *,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        learning_rate: float | None = None,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise TypeError(_unknown_argument(type(self), next(iter(unknown))))
        self.lr = lr if learning_rate is None else learning_rate
        self.decay = decay
        self.iterations = 0
        where = type(self).__name__
        self.clipnorm = None if clipnorm is None else checked(where, "clipnorm", clipnorm)
        self.clipvalue = None if clipvalue is None else checked(where, "clipvalue", clipvalue)
        self._state: OptimizerState | None = None
        self._scratch: dict[tuple[int, str, str], np.ndarray] = {}

    @property
    def learning_rate(self) -> Any:
        """The later name of `lr`."""
        return self.lr

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.lr = value

    # What a subclass defines.

    def step_constants(self, lr: float, t: int) -> tuple[Any, ...]:
        """Return the last arguments of `update`, worked out once for each step.

        Parameters
        ----------
        lr : float
            The learning rate of this step, decayed.
        t : int
            The number of this step. The first is 1.

        Returns
        -------
        tuple
            If a subclass does not say otherwise: `lr`, and what stands in `arguments`. Numbers
            should be Python's: they leave float32 arrays float32.
        """
        return (lr, *[_plain(getattr(self, name)) for name in self.arguments])

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Change one piece of the weights in place; to be defined by each optimizer.

        It is called as ``update(value, gradient, *slots, scratch, *step_constants)``. All but
        the constants are vectors of one length and one type. It may run in several threads at
        once, for different pieces: it must change nothing but these vectors, and treat each
        entry alike. Memory is saved by writing into `scratch`, with ``out=`` or in place.

        Parameters
        ----------
        value : ndarray, shape (n,)
            Weights, to be changed.
        gradient : ndarray, shape (n,)
            Their gradient, already clipped. May be overwritten.
        *slots : ndarray, shape (n,)
            What this optimizer keeps of them, in the order of `slots`, to be changed.
        scratch : ndarray, shape (n,)
            Room for intermediate results; it holds anything.
        *step_constants
            What `step_constants` returned.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define "
            "update(self, value, gradient, *slots, scratch, *step_constants)."
        )

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an optimizer like this one, with Keras' keys."""
        names = ["lr", "decay", *self.arguments]
        names += [name for name in ("clipnorm", "clipvalue") if getattr(self, name) is not None]
        return {name: _plain(getattr(self, name)) for name in names}

    # What a model calls.

    def build(
        self, blocks: Sequence[WeightBlock], previous: OptimizerState | None = None
    ) -> OptimizerState:
        """Make the slots for the weights in `blocks`.

        An optimizer may serve several models: each has a state of its own, while `iterations`
        and the hyperparameters are shared, as in Keras 2.2.

        Parameters
        ----------
        blocks : sequence of WeightBlock
        previous : OptimizerState, optional
            Where to take over the slots of weights that are in both. Default: all start from
            zero.

        Returns
        -------
        OptimizerState
            For `apply_gradients`. The last one made is that of `weights`.
        """
        self._state = OptimizerState(blocks, self.slots, previous)
        return self._state

    def get_gradients(self, loss: Any, params: Sequence[Variable]) -> list[Any]:
        """Return `K.gradients`; ValueError if the loss does not depend on one of `params`."""
        gradients = differentiate(loss, list(params))
        missing = [w.name for w, g in zip(params, gradients, strict=True) if g is None]
        if missing:
            raise ValueError(f"The loss does not depend on {', '.join(missing)}.")
        return gradients

    def get_updates(self, loss: Any, params: Sequence[Variable]) -> list[Change]:
        """Return one step as an update for `K.function`, as a training loop of one's own uses it.

        Parameters
        ----------
        loss : TensorLike
            An expression of `params`.
        params : list of Variable
            What is to be changed. Their constraints are applied; their regularizers are not a
            part of the loss unless it says so (``model.losses``).

        Returns
        -------
        list of Change

        Examples
        --------
        >>> from minikeras import backend as K
        >>> from minikeras.optimizers import SGD
        >>> w = K.variable([3.0])
        >>> step = K.function([], [], updates=SGD(lr=0.5).get_updates(K.sum(w * w), [w]))
        >>> _ = step([])
        >>> K.get_value(w).tolist()
        [0.0]
        """
        params = list(params)
        gradients = self.get_gradients(loss, params)
        store = WeightStore(params)
        state = self.build(store.blocks)

        def apply(values: list[np.ndarray]) -> None:
            store.claim()
            for weight, value in zip(params, values, strict=True):
                store.gradients[weight][...] = value
            self.apply_gradients(state)
            for weight in params:
                if weight.constraint is not None:
                    weight.assign(weight.constraint(weight.value))

        return [Change(gradients, apply)]

    def apply_gradients(
        self,
        state: OptimizerState | None = None,
        row_gradients: Mapping[Variable, RowGradient] | None = None,
    ) -> None:
        """Do one step: change the weights by the gradients that lie in the blocks.

        The gradients are used up.

        Parameters
        ----------
        state : OptimizerState, optional
            What `build` returned. Default: the last one.
        row_gradients : dict of Variable to RowGradient, optional
            Gradients that are zero but for some rows, in place of what lies in the blocks. The
            weights come out the same, and most rules have less to do for the other rows.

        Raises
        ------
        RuntimeError
            If `build` has not been called.
        """
        state = state or self._state
        if state is None:
            raise RuntimeError(
                f"{type(self).__name__} has no weights to change yet: compile a model with it, or "
                "call build(blocks) first."
            )
        done = int(self.iterations)
        lr, decay = float(self.lr), float(self.decay)
        if decay:
            lr /= 1.0 + decay * done
        constants = self.step_constants(lr, done + 1)
        by_rows = self._sort_out(state, row_gradients or {}, constants)
        pieces = state.pieces(frozenset(by_rows))
        clips = bool(self.clipnorm and self.clipnorm > 0)
        scale = self._scale_to_norm(all_gradients(pieces, by_rows)) if clips else 1.0
        flush = (done + 1) % FLUSH_EVERY == 0

        def work(first: int, stop: int, worker: int) -> None:
            for value, gradient, slots in pieces[first:stop]:
                if isinstance(gradient, RowRange):
                    found = by_rows[gradient.variable].between(gradient.start, gradient.stop)
                    self._clip(found.values, scale)
                    self._update_rows(value, found, slots, worker, constants)
                else:
                    self._clip(gradient, scale)
                    scratch = self._scratch_like(value, worker)
                    self.update(value, gradient, *slots, scratch, *constants)
                if flush:
                    for part in (s[i : i + PIECE] for s in slots for i in range(0, s.size, PIECE)):
                        _flush(part, self._scratch_like(part, worker))

        for_blocks(work, len(pieces), 1 if state.size >= self.threads_from else len(pieces) or 1)
        self.iterations.value[...] = done + 1

    def _sort_out(
        self,
        state: OptimizerState,
        row_gradients: Mapping[Variable, RowGradient],
        constants: tuple[Any, ...],
    ) -> dict[Variable, RowGradient]:
        """Return those gradients whose rows are worked on; write the others out in full."""
        kept = {}
        for variable, gradient in row_gradients.items():
            few = 2 * len(gradient.rows) <= len(variable.value)
            if few and at_rest(self.update, constants, variable.dtype):
                kept[variable] = gradient
            else:
                gradient.write_to(state.gradients_by_variable()[variable])
        return kept

    def _update_rows(
        self,
        value: np.ndarray,
        gradient: RowGradient,
        slots: list[np.ndarray],
        worker: int,
        constants: tuple[Any, ...],
    ) -> None:
        """Do one step on a piece of a variable, of whose gradient only these rows are not zero."""
        rows, values = gradient
        vectors = [value, *slots]
        tables = [vector.reshape(-1, *values.shape[1:]) for vector in vectors]
        taken = []
        for number, table in enumerate(tables):
            room = self._scratch_like(values, worker, f"taken {number}").reshape(values.shape)
            taken.append(np.take(table, rows, axis=0, out=room, mode="clip"))
        # All rows as if none had a gradient, and then again those that have one.
        rest = at_rest(self.update, constants, value.dtype)
        assert rest is not None
        for start in range(0, value.size, PIECE):
            parts = [vector[start : start + PIECE] for vector in vectors]
            rest(*parts, self._scratch_like(parts[0], worker), *constants)
        mine, *theirs = [room.reshape(-1) for room in taken]
        scratch = self._scratch_like(mine, worker)
        self.update(mine, values.reshape(-1), *theirs, scratch, *constants)
        for table, room in zip(tables, taken, strict=True):
            table[rows] = room

    def _clip(self, gradient: np.ndarray, scale: float) -> None:
        """Scale a gradient, then limit its entries, in place."""
        if scale != 1.0:
            gradient *= scale
        bound = self.clipvalue
        if bound and bound > 0:
            np.minimum(gradient, bound, out=gradient)
            np.maximum(gradient, -bound, out=gradient)

    def _scale_to_norm(self, gradients: list[np.ndarray]) -> float:
        """Return the factor that shortens all gradients together to `clipnorm`."""
        squares = [0.0] * len(gradients)

        def work(number: int, _: int, worker: int) -> None:
            gradient = gradients[number]
            scratch = self._scratch_like(gradient, worker)
            np.multiply(gradient, gradient, out=scratch)
            squares[number] = float(np.add.reduce(scratch))

        for_blocks(work, len(gradients), 1)
        norm = math.sqrt(sum(squares))
        assert self.clipnorm is not None
        return self.clipnorm / norm if norm > self.clipnorm else 1.0

    def _scratch_like(self, piece: np.ndarray, worker: int, use: str = "") -> np.ndarray:
        """Return the worker's own scratch memory for some use, a vector as long as `piece`."""
        key = worker, use, piece.dtype.char
        scratch = self._scratch.get(key)
        if scratch is None or scratch.size < piece.size:
            scratch = self._scratch[key] = aligned_empty(piece.size, piece.dtype)
        return scratch[: piece.size]

    # The state, going in and out.

    @property
    def weights(self) -> list[Variable]:
        """The state as variables, in the order of Keras 2.2.4: for each slot, each weight.

        Most optimizers have `iterations` before them. Empty before `build`.
        """
        if self._state is None:
            return []
        owner = type(self).__name__
        found: list[Variable] = [self.iterations] if self.saves_iterations else []
        by_variable = self._state.slots_by_variable()
        for number, slot in enumerate(self.slots):
            for variable, views in by_variable.items():
                name = f"{owner}/{variable.name.removesuffix(':0')}/{slot}:0"
                found.append(Variable(views[number], name, trainable=False))
        return found

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of the state, in the order of `weights`."""
        return [variable.value.copy() for variable in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set the state to what `get_weights` returned. Nothing is changed if it does not fit.

        Parameters
        ----------
        weights : sequence of array_like

        Raises
        ------
        ValueError
            If the number of arrays or a shape is not that of `weights`.
        """
        own = self.weights
        where = type(self).__name__
        if len(weights) != len(own):
            reason = "" if own else " It gets them when the model that uses it is compiled."
            raise ValueError(
                f"{where} has {len(own)} weights, but set_weights got a list of "
                f"{len(weights)}.{reason}"
            )
        arrays = [np.asarray(a, v.dtype) for a, v in zip(weights, own, strict=True)]
        for number, (array, variable) in enumerate(zip(arrays, own, strict=True)):
            if array.shape != variable.shape:
                raise ValueError(
                    f"{where}: array {number} is for '{variable.name}' of shape {variable.shape}, "
                    f"but has shape {array.shape}."
                )
        if self.saves_iterations and own:
            self.iterations = weights[0]
        for array, variable in zip(arrays, own, strict=True):
            variable.assign(array)

    @classmethod
    def from_config(cls: type[_T], config: Mapping[str, Any]) -> _T:
        """Make an optimizer from what `get_config` returned."""
        return cls(**config)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_scratch": {}}


def checked(
    where: str, name: str, value: Any, most: float = math.inf, below: float = math.inf
) -> float:
    """Return an argument as a float, if it is one from 0 to `most` and less than `below`."""
    try:
        number = math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number) and not isinstance(value, (float, np.floating)):
        raise TypeError(f"{where}: {name} must be a number, got {value!r}.")
    if not (0 <= number <= most and number < below):
        end = f" and at most {most:g}" if most < math.inf else ""
        end = f" and below {below:g}" if below < math.inf else end or " and finite"
        raise ValueError(f"{where}: {name} must be at least 0{end}, got {value!r}.")
    return number


def _unknown_argument(cls: type, name: str) -> str:
    """Word the error for an argument that the optimizer does not take."""
    import inspect

    known = {
        parameter
        for owner in (cls, Optimizer)
        for parameter in inspect.signature(owner.__init__).parameters  # type: ignore[misc]
    }
    known -= {"self", "kwargs", "unknown"}
    return unknown_name_message(f"argument of {cls.__name__}", name, known)


def _plain(value: Any) -> Any:
    return value.value.item() if isinstance(value, Scalar) else value


def _flush(vector: np.ndarray, scratch: np.ndarray) -> None:
    """Set to zero what is about to become denormal, without allocating anything."""
    floor = _FLOORS.get(vector.dtype)
    if floor is not None:
        np.absolute(vector, out=scratch)
        np.greater_equal(scratch, floor, out=scratch)
        vector *= scratch
