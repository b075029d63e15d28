"""The examples run as a user runs them, on small settings."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minikeras.datasets import mnist

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


@pytest.fixture
def few_digits(tmp_path):
    """A cache with a small part of the bundled digits in place of MNIST."""
    (x_train, y_train), (x_test, y_test) = mnist.load_bundled()
    cache = tmp_path / "keras" / "datasets"
    cache.mkdir(parents=True)
    np.savez(
        cache / "mnist.npz",
        x_train=x_train[:1500],
        y_train=y_train[:1500],
        x_test=x_test[:200],
        y_test=y_test[:200],
    )


@pytest.mark.parametrize(
    ("data_format", "first_shape"),
    [("channels_last", "(None, 26, 26, 32)"), ("channels_first", "(None, 32, 26, 26)")],
)
def test_mnist_cnn_learns_in_either_data_format(run, few_digits, data_format, first_shape):
    arguments = ["--epochs", "2", "--batch-size", "32", "--seed", "1"]
    output = run("mnist_cnn.py", *arguments, "--data-format", data_format)

    assert "1500 digits to train on, 200 to test on" in output
    assert "Total params: 1,199,882" in output
    assert first_shape in output
    assert number_after("Test accuracy", output) > 0.75


def test_vgg_like_learns_from_a_few_pictures(run):
    arguments = ["--samples", "1000", "--epochs", "2", "--batch-size", "16", "--seed", "1"]
    output = run("vgg_like.py", *arguments)

    assert "painted digits: 1000 to train on, 1000 to test on" in output
    assert "Total params: 477,994" in output
    assert number_after("Test accuracy", output) > 0.3


def test_vgg_like_refuses_pictures_smaller_than_a_digit(run):
    with pytest.raises(AssertionError, match="the digits have 28 pixels, got 20"):
        run("vgg_like.py", "--size", "20")
