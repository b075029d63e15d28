"""The examples of layers and derivatives of one's own, run as a user runs them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


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
            [sys.executable, "-W", "error", str(ROOT / "examples" / name), *arguments],
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
    return float(re.search(rf"^{label}: ([\d.e-]+)", output, re.MULTILINE)[1])


def test_antirectifier_learns(run):
    output = run("antirectifier.py", "--epochs", "2", "--units", "128", "--seed", "1")

    assert "that comes with minikeras: 10000 digits to train on, 1000 to test on" in output
    assert re.search(r"^antirectifier_1 +\(None, 256\) +0 *$", output, re.MULTILINE)
    assert "Total params: 135,946" in output
    assert number_after("Test accuracy", output) > 0.85


def test_saliency_finds_the_pixels_that_decide(run, tmp_path):
    arguments = ["--samples", "4000", "--epochs", "2", "--steps", "40", "--seed", "1"]
    output = run("saliency.py", *arguments, "--show", "1", "--save", "images")

    assert number_after("Test accuracy", output) > 0.8
    whole, fewer, decisive = (
        float(number)
        for number in re.findall(
            r"^Probability of the right class, .*: ([\d.]+)$", output, re.MULTILINE
        )
    )
    assert whole > 0.7
    # Without its most salient pixels a digit is lost sooner than without any others.
    assert whole - decisive > 1.5 * (whole - fewer) > 0
    assert len(re.findall(r"^[ .:=+*#%@-]+  \|[ .:=+*#%@-]*$", output, re.MULTILINE)) >= 20
    assert number_after("Images made by gradient ascent that are taken for their digit", output) > 7
    names = sorted(path.name for path in (tmp_path / "images").iterdir())
    assert names == sorted(
        [*(f"ascent_{i}.pgm" for i in range(10)), "digit_0.pgm", "saliency_0.pgm"]
    )
    header, pixels = (tmp_path / "images" / "ascent_3.pgm").read_bytes().split(b"\n", 1)
    assert header == b"P5 28 28 255"
    assert len(pixels) == 28 * 28
    assert np.frombuffer(pixels, "uint8").max() == 255
