"""The peers as data, where their Pythons are, and how to make them."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BASE = "minikeras"

# What pip installs into each environment. minikeras and bare NumPy run in the driver's own Python.
PACKAGES: dict[str, tuple[str, ...]] = {
    "tf": ("tensorflow-cpu", "tf-keras"),
    "jax": ("keras", "jax", "jaxlib"),
    "torch": ("torch", "--extra-index-url", "https://download.pytorch.org/whl/cpu"),
}


@dataclass(frozen=True)
class Peer:
    """One thing that is measured.

    Parameters
    ----------
    name : str
        Name on the command line and in the tables.
    environment : str
        Key of `PACKAGES`, or `"minikeras"` for the driver's own Python.
    script : str
        Module in `benchmarks.peers` that is the worker.
    module : str
        What the import workload imports.
    variables : mapping of str to str
        Environment variables of the worker.
    optional : bool
        Measured only when asked for by name.
    trains : bool
        Whether it has a part in workloads that train.
    """

    name: str
    environment: str
    script: str
    module: str
    variables: Mapping[str, str] = field(default_factory=dict)
    optional: bool = False
    trains: bool = True

    def environ(self) -> dict[str, str]:
        """Return the environment variables to start a process of this peer with."""
        return {**os.environ, **self.variables}


TF = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
JAX = {"JAX_PLATFORMS": "cpu"}

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer(BASE, BASE, "minikeras_peer", "minikeras"),
        Peer("tf-keras", "tf", "keras_peer", "tf_keras", TF | {"TF_USE_LEGACY_KERAS": "1"}),
        Peer("keras-jax", "jax", "keras_peer", "keras", JAX | {"KERAS_BACKEND": "jax"}),
        Peer(
            "keras-tf",
            "tf",
            "keras_peer",
            "keras",
            TF | {"KERAS_BACKEND": "tensorflow"},
            optional=True,
        ),
        Peer("torch", "torch", "torch_peer", "torch"),
        Peer("numpy", BASE, "numpy_peer", "numpy", trains=False),
    )
}


def default_directory() -> Path:
    """Return the directory of the environments: `$MINIKERAS_BENCH_ENVS`, or one in the cache."""
    chosen = os.environ.get("MINIKERAS_BENCH_ENVS")
    return Path(chosen) if chosen else Path.home() / ".cache" / "minikeras-bench"


def find_python(environment: str, directory: Path, chosen: Mapping[str, str]) -> Path | None:
    """Return the Python of an environment, or None when there is none.

    `chosen` (from `--python`) comes first, then the driver's own Python for minikeras, then
    `directory/<environment>`.
    """
    if environment in chosen:
        return Path(chosen[environment])
    if environment == BASE:
        return Path(sys.executable)
    python = python_in(directory / environment)
    return python if python.exists() else None


def python_in(environment: Path) -> Path:
    """Return where a virtual environment keeps its Python."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def setup(directory: Path, environments: list[str]) -> None:
    """Make virtual environments and install the peers into them with pip.

    Raises
    ------
    subprocess.CalledProcessError
        When pip fails; what it said is on the terminal.
    """
    for name in environments:
        place = directory / name
        print(f"{name}: {place}", flush=True)
        if not python_in(place).exists():
            venv.create(place, with_pip=True)
        command = [str(python_in(place)), "-m", "pip", "install", "--upgrade", *PACKAGES[name]]
        subprocess.run(command, check=True)
