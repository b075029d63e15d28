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
    return float(re.search(rf"^{label}: ([\d.e-]+)$", output, re.MULTILINE)[1])


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


def test_imdb_lstm_learns_from_the_bundled_prose(run):
    arguments = ["--samples", "1600", "--epochs", "1", "--seed", "1"]
    output = run("imdb_lstm.py", *arguments)

    assert "by Jane Austen, Arthur Conan Doyle," in output
    assert "3684 texts to train on, 916 to test on" in output
    assert "--data full" in output
    assert "Train on 1600 samples, validate on 916 samples" in output
    assert number_after("Test accuracy", output) > 0.35


def test_imdb_lstm_takes_the_cache_if_there_is_one(run, tmp_path):
    cache = tmp_path / "keras" / "datasets"
    cache.mkdir(parents=True)
    reviews = {}
    for part, count in (("train", 64), ("test", 32)):
        reviews[f"x_{part}"] = np.fromiter(([5, i + 1] for i in range(count)), object, count)
        reviews[f"y_{part}"] = np.arange(count) % 2
    np.savez(cache / "imdb.npz", **reviews)
    output = run("imdb_lstm.py", "--epochs", "1")

    assert f"from {cache / 'imdb.npz'}: 64 texts to train on, 32 to test on" in output
    assert "--data full" not in output
    assert 0 <= number_after("Test accuracy", output) <= 1


def test_lstm_stateful_remembers_what_it_is_not_shown(run):
    output = run("lstm_stateful.py", "--samples", "500", "--epochs", "6", "--seed", "1")

    assert "400 samples to train on, 100 to test on" in output
    assert "shows 1 of the 2 numbers" in output
    # 0.029 is the least error without memory.
    assert number_after("Error with state", output) < 0.015
    assert 0.02 < number_after("Error without state", output) < 0.04


def test_lstm_stateful_shows_several_numbers_at_once(run):
    arguments = ["--samples", "60", "--epochs", "1", "--window", "2", "--ahead", "3"]
    output = run("lstm_stateful.py", *arguments)

    assert "shows 3 of the 2 numbers" in output
    assert 0 < number_after("Error without state", output) < 0.1


def test_lstm_text_generation_writes_after_each_epoch(run):
    arguments = ["--letters", "6000", "--epochs", "2", "--write", "30", "--seed", "1"]
    output = run("lstm_text_generation.py", *arguments, "--author", "Mark Twain")

    assert "Mark Twain, from the prose that comes with minikeras: 379598 letters" in output
    assert "1987 samples to train on" in output
    written = re.findall(r"^Diversity ([\d.]+), from .*:\n((?:.|\n){30})\n", output, re.MULTILINE)
    assert [float(diversity) for diversity, _ in written] == [0.2, 0.5, 1.0, 1.2] * 2
    assert len({text for _, text in written}) == 8
    assert 0 < number_after("Training loss", output) < 3.1


def test_lstm_text_generation_takes_the_cache_if_there_is_one(run, tmp_path):
    cache = tmp_path / "keras" / "datasets"
    cache.mkdir(parents=True)
    (cache / "nietzsche.txt").write_text("Supposing that truth is a woman. " * 20, "utf-8")
    output = run("lstm_text_generation.py", "--epochs", "1", "--write", "5")

    assert f"Nietzsche, from {cache / 'nietzsche.txt'}: 660 letters, 15 different ones" in output
    assert "--data full" not in output


def test_addition_rnn_learns_and_shows_answers(run):
    arguments = ["--digits", "2", "--questions", "2000", "--epochs", "3", "--seed", "1"]
    output = run("addition_rnn.py", *arguments, "--batch-size", "32")

    assert "1800 questions to train on, 200 to test on" in output
    assert "Total params: 205,324" in output
    shown = re.findall(
        r"^ *(\d+)\+(\d+) = .{3} (?:right|wrong, it is (\d+) *)$", output, re.MULTILINE
    )
    assert len(shown) == 30
    assert all(not answer or int(a) + int(b) == int(answer) for a, b, answer in shown)
    assert number_after("Test accuracy", output) > 0.25
    assert 0 <= number_after("Right answers", output) <= 1


def test_addition_rnn_refuses_more_questions_than_there_are(run):
    with pytest.raises(AssertionError, match="from 10 to 55 with 1 digits"):
        run("addition_rnn.py", "--digits", "1", "--questions", "56")
