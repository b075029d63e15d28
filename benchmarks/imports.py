"""The import workload: seconds and peak memory of `import X`, each time in a fresh process."""

from __future__ import annotations

import subprocess
from pathlib import Path

from benchmarks.driver import PeerError, Peers, Result, Sample, Turn, alternate
from benchmarks.environments import ROOT, Peer

NAME = "import"

SCRIPT = """
import time
start = time.perf_counter()
import {module}
seconds = time.perf_counter() - start
from benchmarks.peers.process import peak_mib
print("\\n", 1e3 * seconds, peak_mib())
"""


def import_turn(peer: Peer, python: Path) -> Turn:
    """Return the function that imports a peer once in a fresh process."""
    command = [str(python), "-c", SCRIPT.format(module=peer.module)]

    def turn() -> Sample:
        done = subprocess.run(command, cwd=ROOT, env=peer.environ(), capture_output=True, text=True)
        if done.returncode:
            raise PeerError(done.stderr.strip().splitlines()[-1])
        ms, peak = done.stdout.splitlines()[-1].split()
        return Sample(float(ms), None if peak == "None" else float(peak))

    return turn


def run_imports(peers: Peers, rounds: int) -> Result:
    """Measure `import` of each peer; NumPy among them is the floor."""
    turns = {peer.name: import_turn(peer, python) for peer, python in peers}
    warm = alternate(Result(NAME, ""), turns, 1)  # files into the page cache, .pyc written
    turns = {name: turn for name, turn in turns.items() if name not in warm.missing}
    result = Result(NAME, "import, in a fresh process", missing=warm.missing)
    return alternate(result, turns, rounds)
