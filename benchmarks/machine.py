"""What a measurement was taken on."""

from __future__ import annotations

import os
import platform
from datetime import date
from pathlib import Path

# Above this one-minute load the machine was busy before the benchmark began.
BUSY = 0.5


def cpu_model() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cores() -> int:
    """Return the number of logical cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load() -> float | None:
    """Return the load of the last minute, or None where the system keeps none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def describe() -> list[str]:
    """Return the lines that head every report."""
    now = load()
    lines = [
        f"date: {date.today().isoformat()}",
        f"machine: {cpu_model()}, {cores()} logical cores, {platform.system()} "
        f"{platform.release()} {platform.machine()}",
    ]
    if now is not None:
        busy = " (busy: trust the ratios less)" if now > BUSY else ""
        lines.append(f"load at the start: {now:.2f}{busy}")
    return lines
