"""Train a convolutional network on handwritten digits: the CNN of Keras' examples, on MNIST.

    python examples/mnist_cnn.py

Two convolutions of 32 and 64 filters, pooling, two dense layers, and dropout. After 12 epochs about
99.2 % of the test digits are right on the whole of MNIST, about 98 % on the 10,000 digits that
come with minikeras.
"""

import argparse

import numpy as np

import minikeras as keras
from minikeras import backend as K
from minikeras.datasets import mnist
from minikeras.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from minikeras.models import Sequential
from minikeras.optimizers import Adadelta
from minikeras.utils.data_utils import cached_file

NUM_CLASSES = 10
SIZE = 28


def parse_arguments():
    parser = argparse.ArgumentParser(description="Train a CNN on handwritten digits.")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument(
        "--data",
        choices=["auto", "full", "bundled"],
        default="auto",
        help="full: the whole of MNIST, downloaded if it is not in the cache; bundled: the part "
        "that comes with minikeras; auto (default): full if it is in the cache, else bundled",
    )
    parser.add_argument(
        "--data-format",
        choices=["channels_last", "channels_first"],
        default=K.image_data_format(),
        help="where images have their channel axis",
    )
    parser.add_argument("--seed", type=int, help="makes two runs give the same numbers")
    return parser.parse_args()


def load_digits(choice):
    """Load the digits and say which they are."""
    if choice == "full" or (choice == "auto" and cached_file("mnist.npz")):
        data = mnist.load_data()
        source = f"the whole of MNIST, from {cached_file('mnist.npz')}"
        advice = ""
    else:
        data = mnist.load_bundled()
        source = "the part of MNIST that comes with minikeras"
        advice = "For the whole of it (60000 + 10000 digits, 11 MB to download): --data full\n"
    (x_train, _), (x_test, _) = data
    print(f"Data: {source}: {len(x_train)} digits to train on, {len(x_test)} to test on\n{advice}")
    return data


def to_images(digits):
    """Give each image a channel axis, and make its numbers go from 0 to 1."""
    return digits.reshape(-1, *input_shape).astype("float32") / 255


arguments = parse_arguments()
K.set_image_data_format(arguments.data_format)
if arguments.seed is not None:
    np.random.seed(arguments.seed)

if K.image_data_format() == "channels_first":
    input_shape = (1, SIZE, SIZE)
else:
    input_shape = (SIZE, SIZE, 1)

(x_train, y_train), (x_test, y_test) = load_digits(arguments.data)
x_train, x_test = to_images(x_train), to_images(x_test)
y_train = keras.utils.to_categorical(y_train, NUM_CLASSES)
y_test = keras.utils.to_categorical(y_test, NUM_CLASSES)

model = Sequential()
model.add(Conv2D(32, kernel_size=(3, 3), activation="relu", input_shape=input_shape))
model.add(Conv2D(64, (3, 3), activation="relu"))
model.add(MaxPooling2D(pool_size=(2, 2)))
model.add(Dropout(0.25))
model.add(Flatten())
model.add(Dense(128, activation="relu"))
model.add(Dropout(0.5))
model.add(Dense(NUM_CLASSES, activation="softmax"))
model.summary()

model.compile(loss="categorical_crossentropy", optimizer=Adadelta(), metrics=["accuracy"])
model.fit(
    x_train,
    y_train,
    batch_size=arguments.batch_size,
    epochs=arguments.epochs,
    verbose=1,
    validation_data=(x_test, y_test),
)
loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
print("Test loss:", loss)
print("Test accuracy:", accuracy)
