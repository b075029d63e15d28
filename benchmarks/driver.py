"""The driver's side: start workers, let them take turns, keep what they measured."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.environments import ROOT, Peer
from benchmarks.peers.process import machine_seconds
from benchmarks.workloads import Workload

# Thread pools spin for some tens of milliseconds after their last work; wait until they sleep.
SETTLE_SECONDS = 0.2
# With more cores than these at work the machine is not quiet; how long to wait until it is.
QUIET_CORES = 0.25
PATIENCE_SECONDS = 10.0
# How long one turn of `predict` calls lasts.
PREDICT_SECONDS = 0.3


class PeerError(Exception):
    """A peer could not do what it was asked; the text says why."""


@dataclass
class Sample:
    """One turn of one peer.

    Milliseconds a step, the process's peak resident set in MiB, and the cores that other
    processes kept busy meanwhile; None where the system doesn't tell. `parts`: milliseconds by
    name, where a turn measured several things.
    """

    ms: float
    peak_mib: float | None
    others: float | None = None
    parts: dict[str, float] = field(default_factory=dict)


Turn = Callable[[], Sample]
Peers = list[tuple[Peer, Path]]


@dataclass
class Result:
    """What one workload gave: samples of each peer by round, and who is missing for what reason."""

    name: str
    title: str
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


class Worker:
    """A peer's process, started once for a workload and kept for all its rounds.

    Parameters
    ----------
    peer : Peer
        What to start.
    python : Path
        The interpreter of its environment.
    """

    def __init__(self, peer: Peer, python: Path) -> None:
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in `close`
        self.process = subprocess.Popen(
            [str(python), "-m", f"benchmarks.peers.{peer.script}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            cwd=ROOT,
            env=peer.environ(),
            text=True,
            start_new_session=True,  # Ctrl-C is for the driver, which then ends the workers
        )

    def ask(self, **command: Any) -> dict[str, Any]:
        """Send a command and return its answer.

        Raises
        ------
        PeerError
            When the worker answers with an error or has died.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise PeerError(f"worker ended: {self.last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer

    def last_words(self) -> str:
        """Return the last line the worker wrote to stderr."""
        self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        return lines[-1] if lines else f"exit code {self.process.returncode}"

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream:
                stream.close()


def alternate(result: Result, turns: Mapping[str, Turn], rounds: int) -> Result:
    """Give every peer one turn a round, in an order that rotates, so that noise hits all alike.

    A peer that fails is moved to `result.missing`; its earlier samples are dropped.
    """
    active = dict(turns)
    for number in range(rounds):
        names = list(active)
        shift = number % len(names) if names else 0
        for name in names[shift:] + names[:shift]:
            progress(f"{result.name}: round {number + 1}/{rounds}, {name}")
            settle()
            try:
                result.samples.setdefault(name, []).append(active[name]())
            except PeerError as error:
                result.missing[name] = str(error)
                result.samples.pop(name, None)
                del active[name]
    progress("")
    return result


def settle() -> None:
    """Wait until thread pools sleep and the machine is quiet, for the latter not for ever."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        before = machine_seconds()
        time.sleep(SETTLE_SECONDS)
        after = machine_seconds()
        if before is None or after is None or time.monotonic() > deadline:
            return
        if after - before <= QUIET_CORES * SETTLE_SECONDS:
            return


def run_workload(
    workload: Workload, peers: Peers, rounds: int, steps: int | None = None
) -> tuple[Result, dict[str, dict[str, str]]]:
    """Measure one workload on all peers.

    Parameters
    ----------
    workload : Workload
        What to measure.
    peers : list of (Peer, Path)
        The peers and their interpreters.
    rounds : int
        Turns of each peer.
    steps : int, optional
        Training steps a turn, instead of the workload's own.

    Returns
    -------
    tuple
        The result, and the versions each peer reported.
    """
    result = Result(workload.name, workload.title)
    workers: list[Worker] = []
    turns: dict[str, Turn] = {}
    versions: dict[str, dict[str, str]] = {}
    try:
        for peer, python in peers:
            if workload.kind == "fit" and not peer.trains:
                continue
            progress(f"{workload.name}: warming up {peer.name}")
            worker = Worker(peer, python)
            workers.append(worker)
            try:
                versions[peer.name] = worker.ask(cmd="hello")["versions"]
                ready = worker.ask(cmd="prepare", workload=workload.name)
            except PeerError as error:
                result.missing[peer.name] = str(error)
                worker.close()
                continue
            count = turn_steps(workload, ready["ms"], steps)
            turns[peer.name] = make_turn(worker, workload.name, count)
        return alternate(result, turns, rounds), versions
    finally:
        for worker in workers:
            worker.close()


def turn_steps(workload: Workload, ms: float, steps: int | None) -> int:
    """Return the steps of one turn: equal for all in `fit`, an equal time in `predict`."""
    if workload.kind == "predict":
        return min(max(int(1e3 * PREDICT_SECONDS / ms), 3), 20000)
    return steps or workload.steps


def make_turn(worker: Worker, workload: str, steps: int) -> Turn:
    """Return the function that gives a worker one turn."""

    def turn() -> Sample:
        answer = worker.ask(cmd="run", workload=workload, steps=steps)
        return Sample(answer["ms"], answer["peak_mib"], answer["others"])

    return turn


def progress(text: str) -> None:
    """Show what is going on, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
