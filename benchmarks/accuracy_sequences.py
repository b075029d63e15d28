"""Does training reach what Keras reaches? The same LSTM on the same texts, side by side.

    python -m benchmarks.accuracy_sequences                                  # the bundled prose
    python -m benchmarks.accuracy_sequences --imdb imdb.npz                  # and IMDB
    python -m benchmarks.accuracy_sequences --imdb train.tsv.xz test.tsv.xz  # from raw reviews
    python -m benchmarks.accuracy_sequences --seeds 1 2 3 --epochs 5 --markdown table.md

The model is that of `examples/imdb_lstm.py`, with the defaults of Keras 2.2. Each peer trains in a
process of its own, in its own environment (see README.md). Initial weights and the order of the
samples are made here, from the seed, and are the same for all; only the masks of dropout are each
library's own. With `--dropout 0` nothing is left to chance but rounding; yet that is enough: losses
that agree to six digits for some forty steps are different numbers after sixty, for such a
network's first steps are unstable. So it takes several seeds to compare, with dropout or without.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import environments
from benchmarks.environments import PEERS, ROOT, Peer

WORDS, LENGTH, UNITS = 20_000, 80, 128
EPOCHS = {"prose": 8, "imdb": 4}
TEST_BATCH = 500

Arrays = dict[str, Any]


class Settings(NamedTuple):
    """What a worker needs to know beside the arrays."""

    classes: int
    epochs: int
    batch_size: int
    dropout: float


# The texts.


def load_texts(name: str, paths: list[Path]) -> Arrays:
    """Return the padded texts and labels of `"prose"`, or of `"imdb"` from the paths."""
    from minikeras.datasets import authors, imdb
    from minikeras.preprocessing.sequence import pad_sequences

    if name == "prose":
        train, test = authors.load_data(num_words=WORDS)
    elif len(paths) == 1:
        train, test = imdb.load_data(str(paths[0].absolute()), num_words=WORDS)
    else:
        train, test = index_reviews(read_reviews(paths[0]), read_reviews(paths[1]))
    arrays = {}
    for part, (x, y) in (("train", train), ("test", test)):
        arrays[f"x_{part}"], arrays[f"y_{part}"] = pad_sequences(x, LENGTH), np.asarray(y)
    return arrays


def read_reviews(path: Path) -> tuple[list[list[str]], np.ndarray]:
    """Return the words and labels of a compressed file with `label<TAB>text` on each line."""
    import lzma

    from minikeras.datasets.authors import words_of

    with lzma.open(path, "rt", encoding="utf-8", newline="\n") as file:
        rows = [line.rstrip("\n").split("\t", 1) for line in file]
    return [words_of(text) for _, text in rows], np.array([int(label) for label, _ in rows])


def index_reviews(train: Any, test: Any) -> Any:
    """Write reviews as Keras writes IMDB's: words by their rank in the training set."""
    from collections import Counter
    from itertools import chain

    from minikeras.datasets.word_sequences import arrange

    counted = Counter(chain.from_iterable(train[0])).most_common()
    ranks = {word: rank for rank, (word, _) in enumerate(counted, start=1)}
    # A word that occurs in the test set only has no rank and is skipped, as in Keras.
    indexed = [
        ([[ranks[word] for word in words if word in ranks] for words in texts], labels)
        for texts, labels in (train, test)
    ]
    return arrange(
        *indexed,
        num_words=WORDS,
        skip_top=0,
        maxlen=None,
        seed=113,
        start_char=1,
        oov_char=2,
        index_from=3,
    )


# What is the same for all.


def initial_weights(seed: int, classes: int) -> list[np.ndarray]:
    """Return weights drawn as Keras draws them: embedding, LSTM, dense layer."""
    random = np.random.RandomState(seed)

    def glorot(rows: int, columns: int) -> np.ndarray:
        limit = np.sqrt(6 / (rows + columns))
        return random.uniform(-limit, limit, (rows, columns))

    outputs = 1 if classes == 2 else classes
    q, r = np.linalg.qr(random.normal(size=(4 * UNITS, UNITS)))
    weights = [
        random.uniform(-0.05, 0.05, (WORDS, UNITS)),
        glorot(UNITS, 4 * UNITS),
        (q * np.sign(np.diag(r))).T,
        np.repeat([0.0, 1.0, 0.0, 0.0], UNITS),  # gates i, f, c, o; the forget gate begins open
        glorot(UNITS, outputs),
        np.zeros(outputs),
    ]
    return [weight.astype("float32") for weight in weights]


def orders(seed: int, samples: int, epochs: int) -> np.ndarray:
    """Return the order of the samples in each epoch."""
    random = np.random.RandomState(seed)
    return np.stack([random.permutation(samples) for _ in range(epochs)])


# The worker's side.


def make_model(keras: Any, settings: Settings) -> Any:
    """Return the compiled model of a library with Keras' API, as Keras 2.2.4 would make it."""
    outputs, activation = (1, "sigmoid") if settings.classes == 2 else (settings.classes, "softmax")
    layers = keras.layers
    model = keras.models.Sequential(
        [
            layers.Embedding(WORDS, UNITS, input_length=LENGTH),
            layers.LSTM(
                UNITS,
                recurrent_activation="hard_sigmoid",  # later Keras has another default
                dropout=settings.dropout,
                recurrent_dropout=settings.dropout,
            ),
            layers.Dense(outputs, activation=activation),
        ]
    )
    kind = "binary" if settings.classes == 2 else "sparse_categorical"
    model.compile(loss=f"{kind}_crossentropy", optimizer="adam", metrics=["accuracy"])
    return model


def train(keras: Any, settings: Settings, data: Mapping[str, np.ndarray]) -> list[float]:
    """Train and return the test accuracy after each epoch."""
    model = make_model(keras, settings)
    model.build((None, LENGTH))
    model.set_weights([data[f"weight_{i}"] for i in range(6)])
    accuracies = []
    for epoch, order in enumerate(data["orders"]):
        x, y = data["x_train"][order], data["y_train"][order]
        model.fit(x, y, batch_size=settings.batch_size, epochs=1, shuffle=False, verbose=0)
        _, accuracy = model.evaluate(
            data["x_test"], data["y_test"], batch_size=TEST_BATCH, verbose=0
        )
        accuracies.append(float(accuracy))
        print(f"  {keras.__name__}: epoch {epoch + 1}, {accuracy:.4f}", file=sys.stderr, flush=True)
    return accuracies


def work(module: str, seed: int, settings: Settings, path: Path) -> list[float]:
    """Train with the library of that name on the arrays in a file."""
    keras = importlib.import_module(module)
    np.random.seed(seed)
    if hasattr(keras.utils, "set_random_seed"):
        keras.utils.set_random_seed(seed)
    with np.load(path) as file:
        data = dict(file)
    return train(keras, settings, data)


# The driver's side.


def run(peer: Peer, python: Path, seed: int, settings: Settings, path: Path) -> list[float]:
    """Let a peer train in its own environment; return its accuracies."""
    job = json.dumps([peer.module, seed, settings, str(path)])
    done = subprocess.run(
        [str(python), "-m", "benchmarks.accuracy_sequences", "--worker", job],
        cwd=ROOT,
        env=peer.environ(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    accuracies: list[float] = json.loads(done.stdout.splitlines()[-1])
    return accuracies


def compare(name: str, texts: Arrays, options: argparse.Namespace) -> dict[str, np.ndarray]:
    """Return each peer's accuracies, of shape (seeds, epochs)."""
    epochs = options.epochs or EPOCHS[name]
    classes = int(texts["y_train"].max()) + 1
    settings = Settings(classes, epochs, options.batch_size, options.dropout)
    found: dict[str, list[list[float]]] = {peer.name: [] for peer, _ in options.found}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texts.npz"
        for seed in options.seeds:
            weights = initial_weights(seed, classes)
            arrays: dict[str, Any] = {f"weight_{i}": weight for i, weight in enumerate(weights)}
            arrays["orders"] = orders(seed, len(texts["x_train"]), epochs)
            np.savez(path, **arrays, **texts)
            for peer, python in options.found:
                print(f"{name}, seed {seed}, {peer.name}", file=sys.stderr, flush=True)
                found[peer.name].append(run(peer, python, seed, settings, path))
    return {peer: np.array(accuracies) for peer, accuracies in found.items()}


def table(name: str, found: Mapping[str, np.ndarray], seeds: list[int]) -> str:
    """Return the accuracies as Markdown: after the last epoch, and the best one in brackets."""
    peers = list(found)
    lines = [f"| {name}: seed | {' | '.join(peers)} |", "|---" * (len(peers) + 1) + "|"]
    for i, seed in enumerate(seeds):
        cells = [f"{found[peer][i, -1]:.4f} ({found[peer][i].max():.4f})" for peer in peers]
        lines.append(f"| {seed} | {' | '.join(cells)} |")
    means = [
        f"**{found[peer][:, -1].mean():.4f}** ({found[peer].max(axis=1).mean():.4f})"
        for peer in peers
    ]
    lines.append(f"| mean | {' | '.join(means)} |")
    spreads = [f"{found[peer][:, -1].std():.4f}" for peer in peers]
    lines.append(f"| standard deviation | {' | '.join(spreads)} |")
    lines += ["", f"| {name}: epoch, mean | {' | '.join(peers)} |", "|---" * (len(peers) + 1) + "|"]
    for epoch in range(found[peers[0]].shape[1]):
        cells = [f"{found[peer][:, epoch].mean():.4f}" for peer in peers]
        lines.append(f"| {epoch + 1} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options of the command line, with the peers' interpreters as `found`."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy_sequences",
        description="Test accuracy of an LSTM on texts, minikeras and Keras side by side.",
    )
    parser.add_argument(
        "--imdb",
        nargs="+",
        type=Path,
        default=[],
        metavar="PATH",
        help="also on IMDB: Keras' imdb.npz, or two files of raw reviews, .tsv.xz with label and "
        "text, to train and to test on",
    )
    parser.add_argument("--no-prose", action="store_true", help="leave out the bundled prose")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, help=f"by default {EPOCHS}")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--dropout", type=float, default=0.2, help="of inputs and of states")
    parser.add_argument("--peers", default="minikeras,tf-keras", help="names, with commas")
    parser.add_argument("--envs", type=Path, default=environments.default_directory())
    parser.add_argument("--python", action="append", default=[], metavar="ENV=PATH")
    parser.add_argument("--markdown", type=Path, help="also write the tables to this file")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if len(options.imdb) > 2:
        parser.error("--imdb: one imdb.npz, or two files of raw reviews")
    if options.worker:
        return options

    chosen = dict(choice.split("=", 1) for choice in options.python)
    options.found = []
    for name in options.peers.split(","):
        if name not in PEERS:
            parser.error(f"--peers: {name} is not one of {', '.join(PEERS)}")
        python = environments.find_python(PEERS[name].environment, options.envs, chosen)
        if python is None:
            parser.error(f"--peers: no environment for {name} (see `python -m benchmarks --setup`)")
        options.found.append((PEERS[name], python))
    return options


def main(arguments: list[str] | None = None) -> int:
    """Compare, or as a worker train; return the exit code."""
    options = parse(arguments)
    if options.worker:
        module, seed, settings, path = json.loads(options.worker)
        print(json.dumps(work(module, seed, Settings(*settings), Path(path))))
        return 0
    names = ([] if options.no_prose else ["prose"]) + (["imdb"] if options.imdb else [])
    text = ""
    for name in names:
        texts = load_texts(name, options.imdb)
        part = table(name, compare(name, texts, options), options.seeds)
        print("\n" + part, flush=True)
        text += part + "\n"
    text += (
        "Test accuracy after the last epoch, in brackets that of the best epoch. "
        f"Batch size {options.batch_size}, dropout {options.dropout}.\n"
    )
    print(text.splitlines()[-1])
    if options.markdown:
        options.markdown.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
