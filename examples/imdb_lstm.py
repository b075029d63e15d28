"""Train an LSTM to judge texts: the one of Keras' examples, on IMDB's film reviews.

    python examples/imdb_lstm.py

An embedding of 20,000 words, an LSTM of 128 units, and one dense layer. With IMDB in the cache it
learns whether a review is for the film or against it. Otherwise it learns, from the prose that
comes with minikeras, who of five authors wrote a passage; only the last layer differs. Of these
passages some 93 % of the test texts are right after eight epochs.
"""

import argparse

import numpy as np

from minikeras.datasets import authors, imdb
from minikeras.layers import LSTM, Dense, Embedding
from minikeras.models import Sequential
from minikeras.preprocessing import sequence
from minikeras.utils.data_utils import cached_file

NUM_WORDS = 20000
LENGTH = 80  # words of a text that are read: its last ones


def parse_arguments():
    parser = argparse.ArgumentParser(description="Train an LSTM to judge texts.")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument(
        "--data",
        choices=["auto", "full", "bundled"],
        default="auto",
        help="full: IMDB's reviews, downloaded if they are not in the cache; bundled: the prose "
        "that comes with minikeras; auto (default): full if it is in the cache, else bundled",
    )
    parser.add_argument("--samples", type=int, help="train on so many texts only")
    parser.add_argument("--seed", type=int, help="makes two runs give the same numbers")
    arguments = parser.parse_args()
    if arguments.samples is not None and arguments.samples < 1:
        parser.error("--samples: 1 or greater")
    return arguments


def load_texts(choice):
    """Load the texts and say which they are; also return how many classes there are."""
    if choice == "full" or (choice == "auto" and cached_file("imdb.npz")):
        data = imdb.load_data(num_words=NUM_WORDS)
        source = f"IMDB's film reviews, from {cached_file('imdb.npz')}"
        classes, advice = 2, ""
    else:
        data = authors.load_data(num_words=NUM_WORDS)
        source = "prose that comes with minikeras, by " + ", ".join(authors.AUTHORS)
        classes = len(authors.AUTHORS)
        advice = "For IMDB's film reviews (25000 + 25000, 17 MB to download): --data full\n"
    (x_train, _), (x_test, _) = data
    print(f"Data: {source}: {len(x_train)} texts to train on, {len(x_test)} to test on\n{advice}")
    return data, classes


arguments = parse_arguments()
if arguments.seed is not None:
    np.random.seed(arguments.seed)

((x_train, y_train), (x_test, y_test)), classes = load_texts(arguments.data)
x_train, y_train = x_train[: arguments.samples], y_train[: arguments.samples]
x_train = sequence.pad_sequences(x_train, maxlen=LENGTH)
x_test = sequence.pad_sequences(x_test, maxlen=LENGTH)

model = Sequential()
model.add(Embedding(NUM_WORDS, 128))
model.add(LSTM(128, dropout=0.2, recurrent_dropout=0.2))
if classes == 2:
    model.add(Dense(1, activation="sigmoid"))
    loss = "binary_crossentropy"
else:
    model.add(Dense(classes, activation="softmax"))
    loss = "sparse_categorical_crossentropy"

model.compile(loss=loss, optimizer="adam", metrics=["accuracy"])
model.fit(
    x_train,
    y_train,
    batch_size=arguments.batch_size,
    epochs=arguments.epochs,
    verbose=1,
    validation_data=(x_test, y_test),
)
loss, accuracy = model.evaluate(x_test, y_test, batch_size=arguments.batch_size, verbose=0)
print("Test loss:", loss)
print("Test accuracy:", accuracy)
