"""What a process has at a moment: threads, children, files. And how to run a script of its own."""

import gc
import os
import re
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
import warnings
from pathlib import Path

import pytest

ROOT = str(Path(__file__).parents[2])

needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="looks into /proc")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")


def run(script, *arguments, timeout=120, **options):
    """Run a script in an interpreter of its own; it fails the test if it fails."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment():
    return {**os.environ, "PYTHONPATH": ROOT}


def wait_for(condition, seconds=30):
    """Wait until something is so: a generous limit, since the machine may be busy."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "It did not come about in time."
        time.sleep(0.01)


def children(parent=None):
    """Return the numbers of all child processes, zombies too."""
    parent = os.getpid() if parent is None else parent
    found = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                with open(f"/proc/{entry.name}/stat") as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:  # it has ended meanwhile
                continue
            if int(fields[1]) == parent:
                found.add(int(entry.name))
    return found


def alive(pid):
    """Tell whether a process runs; a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def belongings():
    """Return what a leak would show in: threads, children, open files, shared memory.

    The threads that all large computations share stay for the life of the process.
    """
    gc.collect()
    shared = re.compile(r"minikeras-\d+")
    return {
        "threads": {t.ident for t in threading.enumerate() if not shared.fullmatch(t.name)},
        "children": children(),
        "files": len(os.listdir("/proc/self/fd")),
        "shared memory": _shared_memory(),
    }


def _shared_memory():
    with open("/proc/self/maps") as file:
        return sum("/dev/shm" in line or "/dev/zero" in line for line in file)


def settle():
    """Free what nobody uses, and what Python itself keeps for a later use."""
    gc.collect()
    # It has up to 4096 strings, each of them the name of an attribute that C code has asked for.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        sys._clear_type_cache()


def kept_by(call, times, warm_up=20):
    """Call a function so many times; return how many bytes and objects more there are then."""
    for _ in range(warm_up):
        call()
    settle()
    gc.freeze()  # what is there already is not to be looked through again and again
    tracemalloc.start()
    try:
        call()
        settle()
        before, objects = tracemalloc.get_traced_memory()[0], len(gc.get_objects())
        for _ in range(times):
            call()
        settle()
        return tracemalloc.get_traced_memory()[0] - before, len(gc.get_objects()) - objects
    finally:
        tracemalloc.stop()
        gc.unfreeze()
