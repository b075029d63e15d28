"""The examples run as a user runs them, on small settings."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture
def run(tmp_path):
    """Run an example in a process of its own, with empty caches; return what it prints."""

    def run(name, *arguments):
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            # Threads that wait for each other are slow on a machine that runs other tests too.
            "OPENBLAS_NUM_THREADS": "1",
            "KERAS_HOME": str(tmp_path / "keras"),
            "MINIKERAS_HOME": str(tmp_path / "own"),
        }
        done = subprocess.run(
            [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=environment,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def number_after(label, output):
    return float(re.search(rf"^{label}: ([\d.]+)$", output, re.MULTILINE)[1])


def test_every_example_is_in_the_readme():
    listed = (EXAMPLES / "README.md").read_text("utf-8")
    assert [path.name for path in EXAMPLES.glob("*.py") if f"]({path.name})" not in listed] == []


def test_mnist_mlp_on_the_bundled_digits(run):
    output = run("mnist_mlp.py", "--data", "bundled", "--epochs", "1", "--seed", "1")

    assert "that comes with minikeras: 10000 digits to train on, 1000 to test on" in output
    assert "--data full" in output
    assert "Total params: 669,706" in output
    assert number_after("Test accuracy", output) > 0.8
    assert 0 < number_after("Test loss", output) < 0.7


def test_mnist_mlp_takes_the_cache_if_there_is_one_and_never_downloads_unasked(run, tmp_path):
    cache = tmp_path / "keras" / "datasets"
    assert "10000 digits to train on" in run(
        "mnist_mlp.py", "--epochs", "1", "--batch-size", "2000"
    )
    assert not cache.exists()

    cache.mkdir(parents=True)
    digits = {"x_train": (60, 28, 28), "y_train": 60, "x_test": (20, 28, 28), "y_test": 20}
    np.savez(cache / "mnist.npz", **{k: np.ones(n, np.uint8) for k, n in digits.items()})
    output = run("mnist_mlp.py", "--epochs", "1", "--batch-size", "30")

    assert f"from {cache / 'mnist.npz'}: 60 digits to train on, 20 to test on" in output
    assert "--data full" not in output
