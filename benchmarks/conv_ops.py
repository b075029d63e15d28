"""Single convolutions, minikeras against PyTorch: `python -m benchmarks.conv_ops`.

Forward, gradient by the input, gradient by the weights (and bias), each as the ratio of the median
times, and as a share of this machine's sgemm peak: the fastest float32 product of two 1024 x 1024
matrices that NumPy, with all threads of its BLAS, computed in the same run
(for a table that appears while it goes on: until then).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from statistics import geometric_mean, median

from benchmarks import environments, machine, report
from benchmarks.__main__ import version_lines
from benchmarks.conv_cases import CASES, PASSES, Case
from benchmarks.driver import PeerError, Peers, Result, Sample, Turn, Worker, alternate
from benchmarks.environments import BASE, PEERS

TORCH = "torch"
SGEMM = "sgemm"
SGEMM_FLOPS = 2 * 1024**3
# How long a worker calls each pass in a turn.
SECONDS = 0.1


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conv_ops", description=__doc__)
    add = parser.add_argument
    add("cases", nargs="*", metavar="CASE", help="default: all; see --list")
    add("--list", action="store_true", help="list the cases, and end")
    add("--rounds", type=int, default=7, help="turns of each peer, default 7")
    add("--markdown", metavar="FILE", help="write the report as Markdown; - for stdout")
    add("--envs", type=Path, default=environments.default_directory(), metavar="DIRECTORY",
        help="where the environments are, as for python -m benchmarks")  # fmt: skip
    options = parser.parse_args(arguments)
    unknown = [name for name in options.cases if name not in CASES]
    if unknown:
        parser.error(f"unknown case {', '.join(unknown)}; known: {', '.join(CASES)}")
    if options.rounds < 1:
        parser.error("--rounds is 1 or more")
    return options


def choose_peers(directory: Path) -> Peers:
    """Return minikeras and PyTorch, the latter if its environment is there."""
    found: Peers = []
    for name in (BASE, TORCH):
        python = environments.find_python(PEERS[name].environment, directory, {})
        if python:
            found.append((replace(PEERS[name], script=f"{name}_conv"), python))
    return found


def make_turn(worker: Worker, case: str) -> Turn:
    """Return the function that gives a worker one turn at a case."""

    def turn() -> Sample:
        return Sample(**worker.ask(cmd="run", case=case, seconds=SECONDS))

    return turn


def run_case(case: Case, workers: dict[str, Worker], rounds: int) -> Result:
    """Measure one case, and beside it the machine's sgemm."""
    turns = {name: make_turn(worker, case.name) for name, worker in workers.items()}
    turns[SGEMM] = make_turn(workers[BASE], SGEMM)
    return alternate(Result(case.name, str(case)), turns, rounds)


def times(result: Result, peer: str, part: str) -> list[float]:
    """Return a peer's milliseconds for one pass by round; empty when it is missing."""
    return [sample.parts[part] for sample in result.samples.get(peer, [])]


def sgemm_peak(results: list[Result]) -> float:
    """Return the flops of the fastest sgemm in a millisecond."""
    return SGEMM_FLOPS / min(ms for result in results for ms in times(result, SGEMM, SGEMM))


def cell(result: Result, part: str, peak: float) -> list[str]:
    """Return minikeras' ms, PyTorch's ms, their ratio, and minikeras' share of sgemm as text."""
    case = CASES[result.name]
    own = times(result, BASE, part) if part in case.passes else []
    peer = times(result, TORCH, part) if own else []
    ms = [report.short(median(series)) if series else "-" for series in (own, peer)]
    share = f"{case.flops / median(own) / peak:.0%}" if own else "-"
    return [*ms, str(report.ratio(own, peer)) if peer else "-", share]


def text_table(result: Result, peak: float) -> str:
    """Return one case's table as text."""
    parts = CASES[result.name].passes
    head = ["", "ms", f"{TORCH} ms", "minikeras / torch", "of sgemm"]
    rows = [head, *([part, *cell(result, part, peak)] for part in parts)]
    return "\n".join([f"{result.name}: {result.title}", *report.align(rows), *report.notes(result)])


def mean_lines(results: list[Result]) -> list[str]:
    """Return the geometric mean of the ratios, for each pass and for all."""
    ratios = {
        part: [
            report.ratio(own, peer).value
            for result in results
            if part in CASES[result.name].passes
            and (own := times(result, BASE, part))
            and (peer := times(result, TORCH, part))
        ]
        for part in PASSES
    }
    ratios["all"] = [value for values in ratios.values() for value in values]
    means = [f"{part} {geometric_mean(values):.3g}" for part, values in ratios.items() if values]
    return [f"geometric mean of minikeras / torch: {', '.join(means)}"] if means else []


def markdown(results: list[Result], facts: list[str]) -> str:
    """Return the whole report as Markdown."""
    titles = ["ms", "ms of torch", "minikeras / torch", "share of sgemm"]
    tables, peak = [], sgemm_peak(results)
    for column in (2, 3, 0, 1):
        rows = [[f"{titles[column]}", *PASSES]]
        for result in results:
            cells = [cell(result, part, peak)[column] for part in PASSES]
            rows.append([f"`{result.name}`", *cells])
        tables.append(report.markdown_table(rows))
    parts = [
        "\n".join(f"- {fact}" for fact in facts),
        "\n".join(f"- `{result.name}`: {result.title}" for result in results),
        *tables,
        "\n".join(f"- `{r.name}`: {line}" for r in results for line in report.notes(r)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    options = parse(arguments)
    if options.list:
        print("\n".join(f"{case.name:14}{case}" for case in CASES.values()))
        return 0
    facts = machine.describe()
    peers = choose_peers(options.envs)
    if len(peers) == 1:
        facts.append(f"not measured, no environment: {TORCH}")
    print("\n".join(facts), end="\n\n", flush=True)
    workers = {peer.name: Worker(peer, python) for peer, python in peers}
    results = []
    try:
        versions = {name: worker.ask(cmd="hello")["versions"] for name, worker in workers.items()}
        for name in options.cases or CASES:
            results.append(run_case(CASES[name], workers, options.rounds))
            print(text_table(results[-1], sgemm_peak(results)), end="\n\n", flush=True)
    except PeerError as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 1
    finally:
        for worker in workers.values():
            worker.close()
    speed = f"sgemm peak: {sgemm_peak(results) / 1e6:.0f} GFLOP/s"
    found = [*mean_lines(results), speed, *version_lines(versions)]
    print(*found, sep="\n")
    if options.markdown:
        text = markdown(results, [*facts, f"{options.rounds} rounds", *found])
        if options.markdown == "-":
            sys.stdout.write("\n" + text)
        else:
            Path(options.markdown).write_text(text)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
