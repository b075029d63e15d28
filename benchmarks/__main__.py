"""Command line: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import environments, imports, machine, report
from benchmarks.driver import Peers, Result, run_workload
from benchmarks.environments import PEERS
from benchmarks.workloads import WORKLOADS

NAMES = [*WORKLOADS, imports.NAME]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("workloads", nargs="*", metavar="WORKLOAD", help="default: all; see --list")
    add("--list", action="store_true", help="list workloads and peers, and end")
    add("--peers", metavar="A,B", help="only these peers (minikeras is always among them)")
    add("--rounds", type=int, default=7, help="turns of each peer, default 7")
    add("--steps", type=int, help="training steps in a turn, instead of the workload's own")
    add("--markdown", metavar="FILE", help="write the report as Markdown; - for stdout")
    add("--envs", type=Path, default=environments.default_directory(), metavar="DIRECTORY",
        help="where the environments are: DIRECTORY/tf, /jax, /torch; default "
        "$MINIKERAS_BENCH_ENVS, else ~/.cache/minikeras-bench")  # fmt: skip
    add("--python", action="append", default=[], metavar="ENV=PATH",
        help="the Python of one environment, such as tf=/opt/tf/bin/python")  # fmt: skip
    add("--setup", nargs="*", choices=[*environments.PACKAGES], metavar="ENV",
        help="make the environments (all, or those named) with pip, and end")  # fmt: skip
    options = parser.parse_args(arguments)
    unknown = [name for name in options.workloads if name not in NAMES]
    if unknown:
        parser.error(f"unknown workload {', '.join(unknown)}; known: {', '.join(NAMES)}")
    wanted = options.peers.split(",") if options.peers else []
    unknown = [name for name in wanted if name not in PEERS]
    if unknown:
        parser.error(f"unknown peer {', '.join(unknown)}; known: {', '.join(PEERS)}")
    if options.rounds < 1 or (options.steps is not None and options.steps < 1):
        parser.error("--rounds and --steps are 1 or more")
    if not all("=" in choice for choice in options.python):
        parser.error("--python takes ENV=PATH")
    return options


def choose_peers(options: argparse.Namespace) -> tuple[Peers, list[str]]:
    """Return the peers to measure with their interpreters, and the names of those not there."""
    wanted = options.peers.split(",") if options.peers else []
    chosen = dict(choice.split("=", 1) for choice in options.python)
    found: Peers = []
    absent: list[str] = []
    for peer in PEERS.values():
        asked = peer.name in wanted if wanted else not peer.optional
        if not asked and peer.name != environments.BASE:
            continue
        python = environments.find_python(peer.environment, options.envs, chosen)
        if python:
            found.append((peer, python))
        else:
            absent.append(peer.name)
    return found, absent


def version_lines(versions: dict[str, dict[str, str]]) -> list[str]:
    """Return one line for each peer: what it is made of."""
    return [
        f"{peer}: " + ", ".join(f"{name} {version}" for name, version in parts.items())
        for peer, parts in versions.items()
    ]


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    options = parse(arguments)
    if options.list:
        print("\n".join(f"{w.name:24}{w.title}" for w in WORKLOADS.values()))
        print(f"{imports.NAME:24}seconds and peak memory of the import, in a fresh process")
        print("peers:", ", ".join(PEERS))
        return 0
    if options.setup is not None:
        environments.setup(options.envs, options.setup or [*environments.PACKAGES])
        return 0

    facts = machine.describe()
    peers, absent = choose_peers(options)
    if absent:
        facts.append(f"not measured, no environment: {', '.join(absent)} (see --setup)")
    print("\n".join(facts), end="\n\n", flush=True)
    results: list[Result] = []
    versions: dict[str, dict[str, str]] = {}
    for name in options.workloads or NAMES:
        if name == imports.NAME:
            result = imports.run_imports(peers, options.rounds)
        else:
            result, seen = run_workload(WORKLOADS[name], peers, options.rounds, options.steps)
            versions.update(seen)
        results.append(result)
        print(report.text_table(result), end="\n\n", flush=True)
    print(report.HOW_TO_READ, *version_lines(versions), sep="\n")

    if options.markdown:
        facts += [f"{options.rounds} rounds", *version_lines(versions)]
        text = report.markdown(results, [peer.name for peer, _ in peers], facts)
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
