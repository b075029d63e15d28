"""The worker's side of the conversation: JSON lines in on stdin, JSON lines out on stdout.

    {"cmd": "hello"}                               -> {"versions": {...}}
    {"cmd": "prepare", "workload": name}           -> {"ms": ..., ...}   after warm-up
    {"cmd": "run", "workload": name, "steps": 200} -> {"ms": ..., "others": ..., "peak_mib": ...}

`ms` is the time of the whole call divided by its steps; `others` the cores that other processes
kept busy meanwhile. A command that fails is answered by `{"error": text}`. Between commands the
worker blocks on stdin and uses no processor.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import sys
from collections.abc import Callable
from time import perf_counter, process_time
from typing import Any, TextIO

import numpy as np

from benchmarks.peers.process import machine_seconds, peak_mib, reset_peak
from benchmarks.workloads import WORKLOADS, Workload

# Does at least so many steps through the public path and returns how many it did.
Runner = Callable[[int], int]
Prepare = Callable[[Workload, np.ndarray, np.ndarray], Runner]
Versions = Callable[[], dict[str, str]]


class Unsupported(Exception):
    """The peer cannot express the workload; the driver leaves it out and says so."""


class Worker:
    """The state of a worker: the workloads made ready so far.

    Parameters
    ----------
    prepare : callable
        Takes a workload and its data, builds the model and returns its `Runner`.
    versions : callable
        Names and versions to report beside that of Python.
    """

    def __init__(self, prepare: Prepare, versions: Versions) -> None:
        self.prepare, self.versions = prepare, versions
        self.runners: dict[str, Runner] = {}

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to one command."""
        if command["cmd"] == "hello":
            return {"versions": {"python": platform.python_version(), **self.versions()}}
        workload = WORKLOADS[command["workload"]]
        if command["cmd"] == "prepare":
            return self.warm_up(workload)
        if workload.name not in self.runners:
            self.warm_up(workload)
        return timed(self.runners[workload.name], command["steps"])

    def warm_up(self, workload: Workload) -> dict[str, Any]:
        """Run twice, so that all is compiled and allocated, and return the second timing."""
        x, y = workload.data()
        reset_peak()
        runner = self.runners[workload.name] = self.prepare(workload, x, y)
        steps = workload.epoch_steps if workload.kind == "fit" else 3
        runner(steps)
        return timed(runner, steps)


def serve(prepare: Prepare, versions: Versions) -> None:
    """Answer commands about workloads until stdin ends."""
    converse(Worker(prepare, versions).answer)


def converse(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answer commands by a function until stdin ends."""
    answers = private_stdout()
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except Exception as error:  # whatever a peer raises is the driver's to report
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=answers, flush=True)


def private_stdout() -> TextIO:
    """Keep stdout for answers: what libraries print there goes to stderr from now on."""
    private = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return private


def timed(runner: Runner, steps: int) -> dict[str, Any]:
    """Run and return what `run` answers."""
    gc.collect()
    machine, own, start = machine_seconds(), process_time(), perf_counter()
    done = runner(steps)
    seconds = perf_counter() - start
    others = None
    if machine is not None:
        used = (machine_seconds() or 0.0) - machine - (process_time() - own)
        others = max(used / seconds, 0.0)
    return {"ms": 1e3 * seconds / done, "others": others, "peak_mib": peak_mib()}


def numpy_versions() -> dict[str, str]:
    """Return the versions of NumPy and of the BLAS it was built with."""
    parts: Any = np.show_config(mode="dicts")
    blas = parts["Build Dependencies"]["blas"]
    return {"numpy": np.__version__, "BLAS": f"{blas['name']} {blas['version']}"}
