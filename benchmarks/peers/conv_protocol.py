"""The worker's side of `conv_ops`: like `protocol`, but what is asked for is one convolution.

    {"cmd": "hello"}                                    -> {"versions": {...}}
    {"cmd": "run", "case": name, "seconds": 0.1}        -> {"parts": {pass: ms}, "others": ..., ...}
    {"cmd": "run", "case": "sgemm", "seconds": 0.1}     -> {"parts": {"sgemm": ms}, ...}

Each pass is called for so many seconds, at least three times; its time is the median of the calls.
That of sgemm is the least: the speed of the machine, when nothing is in the way.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.conv_cases import CASES, Case
from benchmarks.peers.protocol import Versions, converse, timed

SGEMM = "sgemm"
SGEMM_SIZE = 1024
LEAST_CALLS = 3

Passes = Mapping[str, Callable[[], object]]


def serve(
    make_passes: Callable[[Case], Passes],
    versions: Versions,
    inside: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> None:
    """Answer commands until stdin ends.

    Parameters
    ----------
    make_passes : callable
        Takes a case and returns a function without arguments for each of its passes.
    versions : callable
        Names and versions to report beside that of Python.
    inside : callable
        Returns the context in which the passes are called, such as `one_thread`.
    """
    made: dict[str, Passes] = {}

    def answer(command: dict[str, Any]) -> dict[str, Any]:
        if command["cmd"] == "hello":
            return {"versions": {"python": platform.python_version(), **versions()}}
        name = command["case"]
        if name not in made:
            made.clear()  # the last case's arrays are not needed any more
            made[name] = make_sgemm() if name == SGEMM else make_passes(CASES[name])
        if name == SGEMM:
            return turn(made[name], command["seconds"], min)
        with inside():
            return turn(made[name], command["seconds"], median)

    converse(answer)


def turn(passes: Passes, seconds: float, choose: Callable[[list[float]], float]) -> dict[str, Any]:
    """Measure all passes, and return the answer to `run`; `choose` picks one of a pass' times."""
    parts: dict[str, float] = {}

    def run(steps: int) -> int:
        parts.update({name: choose(call_times(call, seconds)) for name, call in passes.items()})
        return steps

    return {**timed(run, 1), "parts": parts}


def call_times(call: Callable[[], object], seconds: float) -> list[float]:
    """Return the milliseconds of each call, after one that brings its data into the cache."""
    call()
    times: list[float] = []
    while len(times) < LEAST_CALLS or sum(times) < 1e3 * seconds:
        start = perf_counter()
        call()
        times.append(1e3 * (perf_counter() - start))
    return times


def make_sgemm() -> Passes:
    """Return the product by which the machine's speed is known."""
    a = np.random.default_rng(0).random((SGEMM_SIZE, SGEMM_SIZE), dtype=np.float32)
    b, out = a.T.copy(), np.empty_like(a)
    return {SGEMM: lambda: np.matmul(a, b, out=out)}
