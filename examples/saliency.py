"""Ask a trained network what it looks at, and what it would like to see.

    python examples/saliency.py

A small convolutional network learns handwritten digits. Then two questions are put to it by
derivatives, `K.gradients`, of a class' score with respect to the image:

- Saliency: which pixels of a test digit decide? The derivative says how fast the score changes with
  each pixel. The proof is in the last figures: the network is much less sure of a digit without its
  most salient pixels than without as many others, chosen at random among the inked ones.
- Activation maximization: starting from grey noise, an image is changed again and again in the
  direction of the derivative, until the network is sure that it sees the digit.

The images are printed as text, and with ``--save DIRECTORY`` also written as PGM files.
"""

import argparse
from pathlib import Path

import numpy as np

import minikeras as keras
from minikeras import backend as K
from minikeras.datasets import mnist
from minikeras.layers import Activation, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from minikeras.models import Sequential

NUM_CLASSES = 10
SIZE = 28
SHADES = " .:-=+*#%@"


def parse_arguments():
    parser = argparse.ArgumentParser(description="What does a network look at?")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--samples", type=int, default=10000, help="how many digits to train on")
    parser.add_argument("--steps", type=int, default=60, help="of the gradient ascent")
    parser.add_argument("--show", type=int, default=2, help="how many images of each kind to print")
    parser.add_argument("--save", type=Path, help="a directory for the images, as PGM files")
    parser.add_argument("--seed", type=int, help="makes two runs give the same numbers")
    return parser.parse_args()


def to_images(digits):
    """Give each image a channel axis, and make its numbers go from 0 to 1."""
    return digits.reshape(-1, SIZE, SIZE, 1).astype("float32") / 255


def make_model():
    model = Sequential()
    model.add(Conv2D(16, (3, 3), activation="relu", input_shape=(SIZE, SIZE, 1)))
    model.add(MaxPooling2D((2, 2)))
    model.add(Conv2D(32, (3, 3), activation="relu"))
    model.add(MaxPooling2D((2, 2)))
    model.add(Flatten())
    model.add(Dropout(0.3))
    model.add(Dense(NUM_CLASSES, name="scores"))
    model.add(Activation("softmax"))
    return model


def make_saliency(model):
    """Return a function of images and classes in one-hot rows: the derivative by each pixel."""
    wanted = K.placeholder((None, NUM_CLASSES))
    score = K.sum(model.get_layer("scores").output * wanted, axis=-1)
    (slope,) = K.gradients(score, [model.input])
    saliency = K.max(K.abs(slope), axis=-1)
    return K.function([model.input, wanted, K.learning_phase()], [saliency])


def make_ascent(model):
    """Return a function of images and classes: the scores, and the direction in which they rise."""
    wanted = K.placeholder((None, NUM_CLASSES))
    scores = model.get_layer("scores").output
    others = K.logsumexp(scores - 1e3 * wanted, axis=-1)
    roughness = K.sum(K.square(model.input[:, 1:] - model.input[:, :-1]), axis=[1, 2, 3])
    roughness += K.sum(K.square(model.input[:, :, 1:] - model.input[:, :, :-1]), axis=[1, 2, 3])
    gain = K.sum(scores * wanted, axis=-1) - others - 0.05 * roughness
    (slope,) = K.gradients(gain, [model.input])
    slope /= K.sqrt(K.mean(K.square(slope), axis=[1, 2, 3], keepdims=True)) + 1e-5
    return K.function([model.input, wanted], [gain, slope])


def maximize(ascend, wanted, steps):
    """Climb from noise to images that have a high score; return these and the last gain."""
    images = np.random.uniform(0.2, 0.3, (len(wanted), SIZE, SIZE, 1)).astype("float32")
    for _ in range(steps):
        _, slope = ascend([images, wanted])
        images = np.clip(images + 0.05 * slope, 0, 1)
    return images, ascend([images, wanted])[0]


def without(images, order, count):
    """Blank the `count` pixels of each image that come first in `order`."""
    changed = images.reshape(len(images), -1).copy()
    np.put_along_axis(changed, order[:, :count], 0, axis=1)
    return changed.reshape(images.shape)


def text(image):
    """Write an image as lines of characters, two for each pixel."""
    levels = image.reshape(SIZE, SIZE) / max(float(image.max()), 1e-9) * (len(SHADES) - 1)
    return ["".join(SHADES[level] * 2 for level in row) for row in levels.round().astype(int)]


def show(*images):
    """Print images side by side."""
    print("\n".join("  |  ".join(lines).rstrip() for lines in zip(*map(text, images), strict=True)))


def save(image, path):
    """Write an image as a PGM file, a format that needs no library."""
    pixels = (image.reshape(SIZE, SIZE) / max(float(image.max()), 1e-9) * 255).astype("uint8")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(f"P5 {SIZE} {SIZE} 255\n".encode() + pixels.tobytes())


arguments = parse_arguments()
if arguments.seed is not None:
    np.random.seed(arguments.seed)

(x_train, y_train), (x_test, y_test) = mnist.load_bundled()
x_train, y_train = to_images(x_train)[: arguments.samples], y_train[: arguments.samples]
x_test = to_images(x_test)
print(
    f"Data: the part of MNIST that comes with minikeras: {len(x_train)} digits to train on, "
    f"{len(x_test)} to test on"
)

model = make_model()
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, batch_size=arguments.batch_size, epochs=arguments.epochs, verbose=2)
accuracy = model.evaluate(x_test, y_test, verbose=0)[1]
print("Test accuracy:", accuracy)

# Which pixels decide?
right = np.flatnonzero(model.predict_classes(x_test) == y_test)[:200]
digits, labels = x_test[right], y_test[right]
wanted = keras.utils.to_categorical(labels, NUM_CLASSES)
(saliency,) = make_saliency(model)([digits, wanted, 0])
for i in range(arguments.show):
    print(f"\nA {labels[i]}, and what says so:")
    show(digits[i], saliency[i])

# Only inked pixels are blanked: the others are blank anyway.
inked = digits.reshape(len(digits), -1) > 0.5
decisive = np.argsort(-saliency.reshape(len(digits), -1) * inked, axis=1)
chance = np.argsort(-np.random.uniform(size=inked.shape) * inked, axis=1)
count = 25
for label, images in [
    ("whole digits", digits),
    (f"digits without {count} pixels", without(digits, chance, count)),
    (f"digits without their {count} most salient pixels", without(digits, decisive, count)),
]:
    sure = (model.predict(images) * wanted).sum(axis=-1).mean()
    print(f"Probability of the right class, {label}: {sure:.4f}")

# What would the network like to see?
every_class = np.eye(NUM_CLASSES, dtype="float32")
dreams, gain = maximize(make_ascent(model), every_class, arguments.steps)
for i in range(arguments.show):
    print(f"\nWhat the network takes for a {i}:")
    show(dreams[i])
taken = model.predict_classes(dreams) == np.arange(NUM_CLASSES)
print(f"\nImages made by gradient ascent that are taken for their digit: {taken.sum()} of 10")

if arguments.save is not None:
    for i in range(arguments.show):
        save(digits[i], arguments.save / f"digit_{i}.pgm")
        save(saliency[i], arguments.save / f"saliency_{i}.pgm")
    for i, image in enumerate(dreams):
        save(image, arguments.save / f"ascent_{i}.pgm")
    print(f"Images saved in {arguments.save}")
