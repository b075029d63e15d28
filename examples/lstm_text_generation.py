"""Write text letter by letter in the manner of an author: Keras' example of a generating LSTM.

    python examples/lstm_text_generation.py

An LSTM of 128 units reads 40 letters and says which is likely to be the next. After each epoch it
writes on by itself, from a place in the text, at four temperatures: low ones repeat what is most
likely, high ones dare more and misspell more. The text is by Nietzsche if his text is in Keras'
cache (nietzsche.txt), otherwise by one of the authors that come with minikeras.

On the bundled prose the first epoch brings words, and the third pieces of sentences: "the little
man had been to the street of the matter and the man with a little".
"""

import argparse
import sys

import numpy as np

from minikeras.callbacks import LambdaCallback
from minikeras.datasets import authors
from minikeras.layers import LSTM, Dense
from minikeras.models import Sequential
from minikeras.optimizers import RMSprop
from minikeras.utils.data_utils import cached_file, get_file

URL = "https://s3.amazonaws.com/text-datasets/nietzsche.txt"
LENGTH = 40  # letters that the network reads
DIVERSITIES = [0.2, 0.5, 1.0, 1.2]


def parse_arguments():
    parser = argparse.ArgumentParser(description="Write text in the manner of an author.")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument(
        "--data",
        choices=["auto", "full", "bundled"],
        default="auto",
        help="full: Nietzsche, downloaded if he is not in the cache; bundled: an author that "
        "comes with minikeras; auto (default): full if it is in the cache, else bundled",
    )
    parser.add_argument(
        "--author", choices=authors.AUTHORS, default="Arthur Conan Doyle", help="of bundled"
    )
    parser.add_argument("--letters", type=int, help="train on the first so many letters only")
    parser.add_argument("--write", type=int, default=400, help="letters to write each time")
    parser.add_argument("--seed", type=int, help="makes two runs give the same numbers")
    arguments = parser.parse_args()
    if arguments.letters is not None and arguments.letters <= LENGTH:
        parser.error(f"--letters: more than {LENGTH}, got {arguments.letters}")
    return arguments


def load_text(choice, author):
    """Load the text in small letters, and say what it is."""
    if choice == "full" or (choice == "auto" and cached_file("nietzsche.txt")):
        path = get_file("nietzsche.txt", origin=URL)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        source, advice = f"Nietzsche, from {path}", ""
    else:
        text = authors.load_text(author)
        source = f"{author}, from the prose that comes with minikeras"
        advice = "For Nietzsche, as in Keras (600 KB to download): --data full\n"
    text = text.lower()
    print(f"Data: {source}: {len(text)} letters, {len(set(text))} different ones\n{advice}")
    return text


def make_samples(numbers, count):
    """Return each 40 letters, three apart, and the letter after them, as rows of True and False."""
    one_hot = np.eye(count, dtype=bool)
    windows = np.lib.stride_tricks.sliding_window_view(numbers[:-1], LENGTH)[::3]
    return one_hot[windows], one_hot[numbers[LENGTH::3]]


def draw(probabilities, temperature):
    """Draw a letter: below temperature 1 likely ones are preferred even more, above it less."""
    logits = np.log(np.maximum(probabilities.astype("float64"), 1e-30)) / temperature
    likely = np.exp(logits - logits.max())
    return np.random.choice(len(likely), p=likely / likely.sum())


def write_on(epoch, logs):
    """Print what the network writes by now."""
    print(f"\nAfter epoch {epoch + 1}")
    start = np.random.randint(len(text) - LENGTH)
    for diversity in DIVERSITIES:
        print(f"\nDiversity {diversity}, from {text[start : start + LENGTH]!r}:")
        letters = list(numbers[start : start + LENGTH])
        for _ in range(arguments.write):
            x = np.eye(len(alphabet))[np.newaxis, letters[-LENGTH:]]
            letters.append(draw(model.predict(x, verbose=0)[0], diversity))
            sys.stdout.write(alphabet[letters[-1]])
            sys.stdout.flush()
        print()
    print()


arguments = parse_arguments()
if arguments.seed is not None:
    np.random.seed(arguments.seed)

text = load_text(arguments.data, arguments.author)[: arguments.letters]
alphabet = sorted(set(text))
number_of = {letter: number for number, letter in enumerate(alphabet)}
numbers = np.array([number_of[letter] for letter in text])
x, y = make_samples(numbers, len(alphabet))
print(f"{len(x)} samples to train on")

model = Sequential()
model.add(LSTM(128, input_shape=(LENGTH, len(alphabet))))
model.add(Dense(len(alphabet), activation="softmax"))
model.compile(loss="categorical_crossentropy", optimizer=RMSprop(0.01))

history = model.fit(
    x,
    y,
    batch_size=arguments.batch_size,
    epochs=arguments.epochs,
    callbacks=[LambdaCallback(on_epoch_end=write_on)],
)
print("Training loss:", history.history["loss"][-1])
