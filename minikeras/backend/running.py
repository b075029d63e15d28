"""Which pass the calling thread is in, and so which phase it is: training or not.

A layer's `call` and a loss written in `K` functions take no context. What they need of the pass,
such as whether it is training, is found here. Outside of any pass there is none.
"""

from __future__ import annotations

import _thread
from typing import Any

import numpy as np

from minikeras.backend.random import RandomSource


class _Running(_thread._local):
    """The pass of each thread; see `minikeras.backend.context` for what it knows."""

    ctx: Any = None


_running = _Running()
_between_passes = RandomSource()
_fixed_phase: int | None = None


class inside:
    """A ``with`` block in which `ctx` is the pass that `K` functions belong to.

    Parameters
    ----------
    ctx : Context
        It has the attributes `training`, `records` and `generator`.
    """

    __slots__ = ("_ctx", "_outer")

    def __init__(self, ctx: Any) -> None:
        self._ctx = ctx

    def __enter__(self) -> None:
        self._outer = _running.ctx
        _running.ctx = self._ctx

    def __exit__(self, *exc_info: object) -> None:
        _running.ctx = self._outer


def current() -> Any:
    """Return the context of the pass that the calling thread is in, or None."""
    return _running.ctx


def records() -> bool:
    """Return whether what is computed now is to be differentiated.

    It is in a pass that will go back, and outside of any pass, where nobody knows.
    """
    ctx = _running.ctx
    return ctx is None or ctx.records


def generator() -> np.random.Generator:
    """Return the random numbers of the pass or, outside of any, ones that are seeded now."""
    ctx = _running.ctx
    if ctx is not None:
        return ctx.generator
    _between_passes.renew()
    return _between_passes.generator


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return an array with arbitrary content; in a pass, memory that the next pass uses again.

    For large results: fresh memory from the system costs as much as a pass over it.
    """
    ctx = _running.ctx
    return np.empty(shape, dtype) if ctx is None else ctx.empty(shape, dtype)


def fixed_phase(default: bool) -> bool:
    """Return whether a pass is to behave as in training: `default`, unless that is fixed."""
    return default if _fixed_phase is None else bool(_fixed_phase)


def phase_set_by_user() -> int | None:
    """Return what `set_learning_phase` has fixed, or None."""
    return _fixed_phase


def set_learning_phase(value: int) -> None:
    """Fix the phase of all passes from now on.

    Parameters
    ----------
    value : {0, 1}
        0: layers behave as in `predict` even while a model is trained; 1: as in training even in
        `predict` and `evaluate`, so that dropout drops. `clear_session` ends it.

    Raises
    ------
    ValueError
        If `value` is neither.
    """
    global _fixed_phase
    if value not in (0, 1):
        raise ValueError(f"The learning phase is 0 (test) or 1 (training), got {value!r}.")
    _fixed_phase = int(value)


def forget_phase() -> None:
    """Let each pass have its own phase again."""
    global _fixed_phase
    _fixed_phase = None
