"""Show what a stateful LSTM remembers: Keras' example, a moving average of random numbers.

    python examples/lstm_stateful.py

What is wanted is the mean of the last so many numbers (``--window``), but each sample shows only
some of them (``--ahead``; by default one, of two that are needed). A stateless LSTM forgets
everything between samples: the best it can do is to guess the numbers that it does not see, which
are 0 on average. A stateful one has seen them in the samples before.

The numbers are uniform between -0.1 and 0.1. With the default options the best guess without
memory has an error of 0.029 (root mean square); with memory there is none but that of training.
"""

import argparse

import numpy as np

from minikeras.layers import LSTM, Dense
from minikeras.models import Sequential

AMPLITUDE = 0.1
BATCH_SIZE = 1  # one series, so one sequence at a time


def parse_arguments():
    parser = argparse.ArgumentParser(description="Compare a stateful and a stateless LSTM.")
    parser.add_argument("--window", type=int, default=2, help="numbers in the mean")
    parser.add_argument("--ahead", type=int, default=1, help="numbers that a sample shows")
    parser.add_argument("--samples", type=int, default=1000, help="a fifth of them to test on")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, help="makes two runs give the same numbers")
    arguments = parser.parse_args()
    if min(arguments.window, arguments.ahead, arguments.epochs) < 1:
        parser.error("--window, --ahead and --epochs: 1 or greater")
    if arguments.samples < 5:
        parser.error(f"--samples: 5 or more, got {arguments.samples}")
    return arguments


def make_series(samples, window, ahead):
    """Return what each sample shows, (samples, ahead, 1), and the mean it should give."""
    before = max(window, ahead) - 1
    numbers = np.random.uniform(-AMPLITUDE, AMPLITUDE, samples + before)

    def last(count):
        """For each sample, the last `count` numbers up to its own."""
        return np.lib.stride_tricks.sliding_window_view(numbers, count)[-samples:]

    return last(ahead)[:, :, np.newaxis], last(window).mean(axis=1, keepdims=True)


def make_model(stateful):
    model = Sequential()
    model.add(LSTM(20, input_shape=(arguments.ahead, 1), batch_size=BATCH_SIZE, stateful=stateful))
    model.add(Dense(1))
    model.compile(loss="mse", optimizer="adam")
    return model


def error_of(model):
    """Return the root mean square error of a model on the test samples."""
    predicted = model.predict(x_test, batch_size=BATCH_SIZE)
    return np.sqrt(np.mean((predicted - y_test) ** 2))


arguments = parse_arguments()
if arguments.seed is not None:
    np.random.seed(arguments.seed)

x, y = make_series(arguments.samples, arguments.window, arguments.ahead)
train = arguments.samples * 4 // 5
x_train, y_train, x_test, y_test = x[:train], y[:train], x[train:], y[train:]
print(f"Data: {train} samples to train on, {len(x_test)} to test on")
print(f"A sample shows {arguments.ahead} of the {arguments.window} numbers in its mean.\n")

print("Stateful LSTM")
stateful = make_model(stateful=True)
for epoch in range(arguments.epochs):
    print(f"Epoch {epoch + 1}/{arguments.epochs}")
    # Sample by sample in the order of the series: each goes on where the last one ended. The
    # test samples go on where the training samples end.
    stateful.fit(
        x_train,
        y_train,
        batch_size=BATCH_SIZE,
        epochs=1,
        validation_data=(x_test, y_test),
        shuffle=False,
    )
    stateful.reset_states()

print("\nStateless LSTM")
stateless = make_model(stateful=False)
stateless.fit(
    x_train,
    y_train,
    batch_size=BATCH_SIZE,
    epochs=arguments.epochs,
    validation_data=(x_test, y_test),
    shuffle=False,
)

# The stateful model has seen the series up to the test samples.
stateful.predict(x_train, batch_size=BATCH_SIZE)
print()
print("Error with state:", error_of(stateful))
print("Error without state:", error_of(stateless))
