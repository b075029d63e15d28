"""What the system knows about this process; imports nothing, so that asking costs nothing."""

from __future__ import annotations

TICKS = 100  # of /proc/stat, a second


def peak_mib() -> float | None:
    """Return the largest resident set since the start or `reset_peak`, in MiB; None if unknown.

    Linux's `ru_maxrss` starts with the size of the process that forked us; VmHWM is our own.
    """
    try:
        with open("/proc/self/status") as file:
            lines = file.readlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), None)


def reset_peak() -> None:
    """Let the peak start again from the present size, where the system can."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return


def machine_seconds() -> float | None:
    """Return the processor seconds all processes have used, and other machines have taken.

    None where the system does not tell.
    """
    try:
        with open("/proc/stat") as file:
            fields = file.readline().split()[1:]
    except OSError:
        return None
    user, nice, system, _idle, _wait, interrupts, soft, stolen = map(int, fields[:8])
    return (user + nice + system + interrupts + soft + stolen) / TICKS
