"""Where one minikeras training step's time goes: `python -m benchmarks.profile_step mlp_small`.

Prints the time of a plain `train_on_batch`, what a step allocates, and then, by cProfile, the
functions that take it. The profiler slows small functions most: use its table to compare, and the
first line to measure. It sees the calling thread alone; where others help, what they do is missing.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.environments import ROOT
from benchmarks.peers.minikeras_peer import build
from benchmarks.workloads import WORKLOADS, Workload

Step = Callable[[], object]


def make_step(workload: Workload) -> Step:
    """Return the function that trains, or predicts, one batch."""
    x, y = workload.data()
    x, y = x[: workload.batch_size], y[: workload.batch_size]
    model = build(workload)
    if workload.kind == "predict":
        return lambda: model.predict(x, batch_size=workload.batch_size)
    return lambda: model.train_on_batch(x, y)


def plain_ms(step: Step, steps: int) -> list[float]:
    """Return the milliseconds of each of some steps."""
    times = []
    for _ in range(steps):
        start = perf_counter()
        step()
        times.append(1e3 * (perf_counter() - start))
    return times


def allocated_kib(step: Step) -> float:
    """Return how far a step's memory rises above where it began, in KiB (NumPy's included)."""
    tracemalloc.start()
    step()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    step()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (peak - before) / 1024


def place(file: str, line: int, function: str) -> str:
    """Return a function's name as the table shows it."""
    if file == "~":
        return function
    path = Path(file)
    short = path.relative_to(ROOT) if path.is_relative_to(ROOT) else Path(*path.parts[-2:])
    return f"{short}:{line} {function}"


def table(step: Step, steps: int, lines: int, order: str) -> list[str]:
    """Return the profile of some steps: calls and microseconds for each step, by function."""
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(steps):
        step()
    profile.disable()
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    column = {"own": 1, "total": 2}[order]
    rows = [
        (calls / steps, 1e6 * own / steps, 1e6 * total / steps, place(*function))
        for function, (_, calls, own, total, _) in stats.items()
    ]
    rows.sort(key=lambda row: row[column], reverse=True)
    head = f"{'calls':>8}{'own us':>10}{'total us':>10}  function"
    return [head, *(f"{c:8.1f}{own:10.1f}{total:10.1f}  {f}" for c, own, total, f in rows[:lines])]


def main() -> int:
    """Profile the workload named on the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile_step", description=__doc__)
    parser.add_argument("workload", choices=[*WORKLOADS], metavar="WORKLOAD")
    parser.add_argument("--steps", type=int, help="default: what takes about a second")
    parser.add_argument("--lines", type=int, default=30, help="rows of the table")
    parser.add_argument("--sort", choices=["own", "total"], default="own")
    options = parser.parse_args()
    step = make_step(WORKLOADS[options.workload])
    warm = plain_ms(step, 5)
    steps = options.steps or max(5, round(1e3 / median(warm)))
    times = plain_ms(step, steps)
    what = "predict" if WORKLOADS[options.workload].kind == "predict" else "train_on_batch"
    print(f"{options.workload}: {what} {median(times):.3f} ms (least {min(times):.3f})")
    print(f"allocated in a step, at its height: {allocated_kib(step):.1f} KiB")
    print("\nprofile, for each step:")
    print("\n".join(table(step, steps, options.lines, options.sort)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
