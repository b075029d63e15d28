"""`Cell`, what a recurrent layer does at one time step.

As with layers, there are two ways to write one, by hand (`step`, `step_backward`) and in `K`
functions (`call`), and one way across in each direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minikeras.engine import Context, Layer, taped
from minikeras.engine.input_spec import Shape

States = list[np.ndarray]


class Cell(Layer):
    """What a recurrent layer does at one time step; the base of all cells.

    A cell of your own has weights as any layer has, an attribute `state_size`, and a method
    ``call(inputs, states)`` in `K` functions that returns the output and the list of new states. It
    may be a subclass of `Layer`, as in Keras. By hand, it is a subclass of `Cell` with two methods:
    `step` and, to be trained, `step_backward`. `RNN` does the rest.

    Attributes
    ----------
    state_size : int or tuple of int
        Features of each state.
    output_size : int, optional
        Features of the output. Default: those of the first state.

    Notes
    -----
    `run` and `run_backward` go over a whole sequence by means of the two. A cell may define
    these instead, if it knows a faster way; `LSTMCell` does.

    Examples
    --------
    A cell that adds its inputs up, each state being `keep` times the one before plus the input,
    in `K` functions and by hand:

    >>> from minikeras.layers import RNN
    >>> class Leaky(Layer):
    ...     state_size = 3
    ...
    ...     def build(self, input_shape):
    ...         self.keep = self.add_weight("keep", (3,), initializer="ones")
    ...         self.built = True
    ...
    ...     def call(self, inputs, states):
    ...         h = inputs + self.keep * states[0]
    ...         return h, [h]
    >>> RNN(Leaky())(np.ones((1, 5, 3))).tolist()
    [[5.0, 5.0, 5.0]]
    >>> class LeakyByHand(Cell):
    ...     state_size = 3
    ...
    ...     def build(self, input_shape):
    ...         self.keep = self.add_weight("keep", (3,), initializer="ones")
    ...         self.built = True
    ...
    ...     def step(self, x, states, ctx):
    ...         (h,) = states
    ...         y = x + self.keep.value * h
    ...         return y, [y], h
    ...
    ...     def step_backward(self, dy, dstates, h, ctx):
    ...         dy = dy + dstates[0]
    ...         ctx.add_gradient(self.keep, (dy * h).sum(axis=0))
    ...         return dy, [dy * self.keep.value]
    >>> RNN(LeakyByHand())(np.ones((1, 5, 3))).tolist()
    [[5.0, 5.0, 5.0]]
    """

    state_size: Any
    output_size: int | None = None

    _by_hand = "step"
    _sequence_methods: tuple[str, ...] = ("run", "run_backward")
    _runs = True  # whether these belong to the class' own `step`

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        whole, single = cls._sequence_methods, ("step", "step_backward")
        cls._runs = _newest(cls, whole) >= _newest(cls, single)

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Refuse: a cell has no sequence of its own."""
        raise TypeError(self._no_layer())

    def _no_layer(self) -> str:
        kind = type(self).__name__
        return (
            f"{self._described()} does one time step, and is no layer by itself: put it into "
            f"RNN({kind}(...))."
        )

    def _new_sequence(self, ctx: Context) -> None:
        """Forget what was made for the last sequence, such as its dropout, before the next."""
        ctx.memo.pop(self, None)

    def step(self, x: np.ndarray, states: States, ctx: Context) -> tuple[np.ndarray, States, Any]:
        """Do one time step.

        Parameters
        ----------
        x : ndarray, shape (batch, features)
            Read only.
        states : list of ndarray, shape (batch, size)
            Read only.
        ctx : Context

        Returns
        -------
        y : ndarray, shape (batch, output_size)
        states : list of ndarray
            The new ones.
        residual : object
            What `step_backward` will need.
        """
        raise NotImplementedError(
            f"{self._described()} does nothing. Define step(self, x, states, ctx) -> (y, states, "
            "residual) and step_backward(self, dy, dstates, residual, ctx) -> (dx, dstates)."
        )

    def step_backward(
        self, dy: np.ndarray, dstates: States, residual: Any, ctx: Context
    ) -> tuple[np.ndarray, States]:
        """Compute the gradients of one time step, and write those of the weights.

        Parameters
        ----------
        dy : ndarray, shape (batch, output_size)
            Gradient of the output. May be overwritten, and so may `dstates`.
        dstates : list of ndarray
            Gradients of the new states.
        residual : object
            What `step` returned.
        ctx : Context
            It adds up what the steps contribute to a weight's gradient.

        Returns
        -------
        dx : ndarray, shape (batch, features)
        dstates : list of ndarray
            Gradients of the old states.
        """
        raise NotImplementedError(
            f"{self._described()} can't be trained: it has no backward pass. Define "
            "step_backward(self, dy, dstates, residual, ctx) -> (dx, dstates)."
        )

    def call(  # type: ignore[override]
        self, inputs: Any, states: Sequence[Any], training: Any = None
    ) -> tuple[Any, list[Any]]:
        """Do one time step on the tape; what a cell in `K` functions defines.

        Parameters
        ----------
        inputs : TensorLike or ndarray, shape (batch, features)
        states : list of TensorLike or ndarray, shape (batch, size)
        training : bool, optional

        Returns
        -------
        output : TensorLike or ndarray, shape (batch, output_size)
        states : list of TensorLike or ndarray
            The new ones.
        """

        def run(arrays: list[Any], ctx: Context) -> tuple[Any, Any]:
            y, new, residual = self.step(arrays[0], list(arrays[1:]), ctx)
            return [y, *new], residual

        def back(dy: list[Any], residual: Any, ctx: Context) -> list[Any]:
            dx, dstates = self.step_backward(dy[0], list(dy[1:]), residual, ctx)
            return [dx, *dstates]

        y, *new = taped.record_all(self, [inputs, *states], run, back, training)
        return y, new

    def state_shapes(self, input_shape: Shape) -> list[Shape]:
        """Return the shapes of the states, with None for the batch.

        Parameters
        ----------
        input_shape : tuple of int or None
            That of one time step, with the batch axis.
        """
        sizes = self.state_size
        sizes = sizes if isinstance(sizes, (list, tuple)) else (sizes,)
        return [(None, size) for size in sizes]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the output of one time step."""
        size = self.output_size
        return self.state_shapes(input_shape)[0] if size is None else (None, size)

    def run(
        self, x: np.ndarray, states: States, mask: np.ndarray | None, ctx: Context
    ) -> tuple[np.ndarray, States, Any]:
        """Do all steps of a sequence.

        Where a sample is masked, its states stay what they are, and its output is the first of
        them, as in Keras 2.2.

        Parameters
        ----------
        x : ndarray, shape (steps, batch, features)
        states : list of ndarray, shape (batch, size)
        mask : ndarray of bool, shape (steps, batch), optional
        ctx : Context

        Returns
        -------
        y : ndarray, shape (steps, batch, output_size)
        states : list of ndarray
            The final ones.
        residual : object
        """
        outputs: np.ndarray | None = None
        residuals = []
        for t, x_t in enumerate(x):
            y, new, residual = self.step(x_t, states, ctx)
            if mask is not None:
                y, new = self._hold(mask[t], y, new, states)
            if outputs is None:
                outputs = ctx.empty((len(x), *y.shape), y.dtype)
            outputs[t] = y
            residuals.append(residual)
            states = new
        assert outputs is not None
        return outputs, states, (residuals, mask, [s.shape for s in states], x.shape)

    def _hold(
        self, mask: np.ndarray, y: np.ndarray, new: States, old: States
    ) -> tuple[np.ndarray, States]:
        """Return output and states where masked samples keep what they had."""
        if y.shape != old[0].shape:
            raise ValueError(
                f"{self._described()}: a masked step repeats the first state as its output, but "
                f"that has the shape {old[0].shape} and the output {y.shape}. Use a cell whose "
                "output is like its first state, or no mask."
            )
        counts = _spread(mask, y)
        return np.where(counts, y, old[0]), [
            np.where(_spread(mask, b), b, a) for a, b in zip(old, new, strict=True)
        ]

    def run_backward(
        self, dy: np.ndarray, dstates: States | None, residual: Any, ctx: Context
    ) -> tuple[np.ndarray | None, States]:
        """Go back through all steps of a sequence.

        Parameters
        ----------
        dy : ndarray, shape (n, batch, output_size)
            Gradients of the last `n` outputs; the others had no influence.
        dstates : list of ndarray, optional
            Gradients of the final states. Default: zero.
        residual : object
            What `run` returned.
        ctx : Context

        Returns
        -------
        dx : ndarray, shape (steps, batch, features), or None if nobody needs it
        dstates : list of ndarray
            Gradients of the initial states.
        """
        residuals, mask, state_shapes, x_shape = residual
        dtype = dy.dtype
        if dstates is None:
            dstates = [np.zeros(shape, dtype) for shape in state_shapes]
        dx = ctx.empty(x_shape, dtype) if ctx.needs_input_gradient else None
        first = len(residuals) - len(dy)
        for t in range(len(residuals) - 1, -1, -1):
            dy_t = dy[t - first].copy() if t >= first else np.zeros(dy.shape[1:], dtype)
            held: States | None = None
            if mask is not None:
                held = [np.where(_spread(mask[t], d), 0, d) for d in dstates]
                held[0] += np.where(_spread(mask[t], dy_t), 0, dy_t)
                dstates = [np.where(_spread(mask[t], d), d, 0) for d in dstates]
                dy_t = np.where(_spread(mask[t], dy_t), dy_t, 0)
            dx_t, dstates = self.step_backward(dy_t, dstates, residuals[t], ctx)
            if held is not None:
                dstates = [a + b for a, b in zip(dstates, held, strict=True)]
            if dx is not None:
                dx[t] = dx_t
        return dx, dstates


def _newest(cls: type, names: tuple[str, ...]) -> int:
    """Return how far down the line of inheritance the newest of some methods is defined."""
    line = cls.__mro__[::-1]
    return max(i for i, base in enumerate(line) for name in names if name in vars(base))


def _spread(mask: np.ndarray, array: np.ndarray) -> np.ndarray:
    """Give a mask ``(batch,)`` the axes of `array`."""
    return mask.reshape(mask.shape + (1,) * (array.ndim - 1))


def run(cell: Cell, *args: Any) -> Any:
    """Call ``cell.run``: the class' own one, unless a subclass has changed its `step` alone."""
    return cell.run(*args) if cell._runs else Cell.run(cell, *args)


def run_backward(cell: Cell, *args: Any) -> Any:
    """Call the `run_backward` that belongs to what `run` has called."""
    return cell.run_backward(*args) if cell._runs else Cell.run_backward(cell, *args)
