"""From samples to tables: ratios of medians with their spread, as text and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.driver import Result
from benchmarks.environments import BASE

# More cores than these at work for others make a turn doubtful.
BUSY = 0.25

HOW_TO_READ = (
    "The result is the ratio of the median times, minikeras / peer: below 1 minikeras is the "
    "faster. In brackets the least and the greatest ratio of a single round. Times are medians, "
    "for information: they change from machine to machine."
)


def short(value: float) -> str:
    """Return three significant digits, never an exponent for large values."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


@dataclass
class Ratio:
    """The base's time over a peer's: of the medians, and the range over single rounds."""

    value: float
    least: float
    greatest: float

    def __str__(self) -> str:
        return f"{short(self.value)} ({short(self.least)}..{short(self.greatest)})"


def ratio(base: Sequence[float], peer: Sequence[float]) -> Ratio:
    """Return the ratio of two series of times measured in the same rounds."""
    rounds = [b / p for b, p in zip(base, peer, strict=True)]
    return Ratio(median(base) / median(peer), min(rounds), max(rounds))


def times(result: Result, peer: str) -> list[float]:
    """Return a peer's milliseconds by round; empty when it is missing."""
    return [sample.ms for sample in result.samples.get(peer, [])]


def cell(result: Result, peer: str) -> list[str]:
    """Return median ms, ratio, and peak MiB of one peer as text."""
    own, base = times(result, peer), times(result, BASE)
    if not own:
        return ["-", "-", "-"]
    against = "1" if peer == BASE else str(ratio(base, own)) if base else "-"
    peaks = [s.peak_mib for s in result.samples[peer] if s.peak_mib is not None]
    return [short(median(own)), against, f"{max(peaks):.0f}" if peaks else "-"]


def notes(result: Result) -> list[str]:
    """Return what a table can't say: who is missing, noise, what an import adds."""
    lines = [f"without {name}: {reason}" for name, reason in result.missing.items()]
    others = [s.others for series in result.samples.values() for s in series if s.others]
    if others and max(others) > BUSY:
        lines.append(
            f"noisy: other processes kept {median(others):.2f} cores busy in the median turn, "
            f"{max(others):.2f} in the worst"
        )
    base, floor = times(result, BASE), times(result, "numpy")
    if result.name == "import" and base and floor:
        above = median(base) - median(floor)
        lines.append(f"above NumPy's own import: {above:.0f} ms")
    return lines


def align(rows: list[list[str]]) -> list[str]:
    """Return rows as lines of equally wide columns, the first to the left, others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            text.rjust(width) if number else text.ljust(width)
            for number, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def text_table(result: Result) -> str:
    """Return one workload's table as text."""
    head = ["", "ms", "minikeras / peer", "peak MiB"]
    rows = [head, *([peer, *cell(result, peer)] for peer in result.samples)]
    lines = [f"{result.name}: {result.title}", *align(rows), *notes(result)]
    return "\n".join(lines)


def markdown_table(rows: list[list[str]]) -> str:
    """Return rows, the first of them the head, as a Markdown table."""
    head, *body = rows
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *body))


def markdown(results: list[Result], peers: list[str], facts: list[str]) -> str:
    """Return the whole report as Markdown.

    Parameters
    ----------
    results : list of Result
        One for each workload.
    peers : list of str
        The peers in the order of the columns.
    facts : list of str
        Machine and versions, a line each.
    """
    others = [peer for peer in peers if peer != BASE]
    ratios = [["workload", *others]]
    details = [["workload", *(f"{peer}, ms" for peer in peers)]]
    memory = [["workload", *(f"{peer}, MiB" for peer in peers)]]
    for result in results:
        cells = {peer: cell(result, peer) for peer in peers}
        ratios.append([f"`{result.name}`", *(cells[peer][1] for peer in others)])
        details.append([f"`{result.name}`", *(cells[peer][0] for peer in peers)])
        memory.append([f"`{result.name}`", *(cells[peer][2] for peer in peers)])
    titles = [f"- `{result.name}`: {result.title}" for result in results]
    remarks = [f"- `{result.name}`: {line}" for result in results for line in notes(result)]
    parts = [
        HOW_TO_READ,
        "\n".join(f"- {fact}" for fact in facts),
        "\n".join(titles),
        "Time, minikeras / peer:",
        markdown_table(ratios),
        "Median time of a step, a call or an import, in ms:",
        markdown_table(details),
        "Peak resident set of the whole process, in MiB:",
        markdown_table(memory),
        "\n".join(remarks),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
