"""What newcomers to Keras get wrong, and what they are told.

`MISTAKES` is the list. Each entry is the mistake in plain words, code that makes it, the exception
or warning, and what its message must contain: what came, what was expected, and the remedy.
`LEGITIMATE` lists what may look like a mistake and is none: it works without a word, as in Keras.
"""

import inspect
import warnings

import numpy as np
import pytest

import minikeras as keras
from minikeras.callbacks import EarlyStopping, LearningRateScheduler, ModelCheckpoint
from minikeras.layers import (
    LSTM,
    Activation,
    Bidirectional,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    MaxPooling2D,
    TimeDistributed,
)
from minikeras.models import Sequential
from minikeras.training.arguments import METHOD_ARGUMENTS
from minikeras.utils import to_categorical

X = np.linspace(0, 1, 48).reshape(12, 4)
LABELS = np.arange(12) % 3
ONE_HOT = to_categorical(LABELS)
BINARY = np.arange(12) % 2
NAMES = np.array(["cat", "dog", "owl"])[LABELS]
IMAGES = np.linspace(0, 1, 12 * 64).reshape(12, 8, 8, 1)
SEQUENCES = np.linspace(0, 1, 120).reshape(12, 5, 2)
WITH_NAN = np.where(np.arange(48).reshape(12, 4) == 14, np.nan, X)


def compiled(layers, loss="categorical_crossentropy", optimizer="adam", **kwargs):
    model = Sequential(layers)
    model.compile(optimizer, loss, **kwargs)
    return model


def classifier(loss="categorical_crossentropy", units=3, activation="softmax", **kwargs):
    return compiled([Dense(units, activation=activation, input_shape=(4,))], loss, **kwargs)


def regression(**kwargs):
    return compiled([Dense(1, input_shape=(4,))], "mse", **kwargs)


def fit(model, x=X, y=ONE_HOT, **kwargs):
    return model.fit(x, y, verbose=0, **kwargs)


def predict(layers, x):
    return Sequential(layers).predict(x)


def generator(make=lambda: (X, ONE_HOT), times=None):
    while times is None or times > 0:
        times = times and times - 1
        yield make()


def fit_generator(*args, **kwargs):
    return classifier().fit_generator(*args, verbose=0, **kwargs)


class NoLen(keras.utils.Sequence):
    def __getitem__(self, index):
        return X, ONE_HOT


class FractionOfBatches(NoLen):
    def __len__(self):
        return 12 / 5


class Batches(NoLen):
    def __len__(self):
        return 2


class NoReturn(Batches):
    def __getitem__(self, index):
        X, ONE_HOT  # noqa: B018


def sorted_by_class():
    order = np.argsort(LABELS, kind="stable")
    return X[order], ONE_HOT[order]


def add_after_compile():
    model = classifier()
    model.add(Dense(2, activation="softmax"))
    fit(model)


def fit_of_another_architecture(path):
    classifier().save_weights(path)
    compiled([Dense(3, input_shape=(6,))]).load_weights(path)


def weights_alone(path):
    classifier().save_weights(path)
    keras.models.load_model(path)


def own_loss(path):
    def distance(y_true, y_pred):
        return keras.backend.mean((y_true - y_pred) ** 2)

    classifier(distance).save(path)
    keras.models.load_model(path)


def frozen_after_compile():
    model = classifier()
    model.layers[0].trainable = False
    fit(model)


def named(*names):
    return [Dense(3, input_shape=(4,), name=names[0]), *(Dense(3, name=n) for n in names[1:])]


def imported(statement):
    exec(statement, {})


def fit_on_labels(labels, units=3):
    return fit(classifier("sparse_categorical_crossentropy", units), y=labels)


# What is wrong, the code, the exception or warning, what the message must contain.
MISTAKES = [
    # The targets
    (
        "labels are not one-hot, with categorical_crossentropy",
        lambda: fit(classifier(), y=LABELS),
        ValueError,
        ["(samples,)", "loss='sparse_categorical_crossentropy'", "to_categorical(y, 3)"],
    ),
    (
        "validation labels are not one-hot",
        lambda: fit(classifier(), validation_data=(X, LABELS)),
        ValueError,
        ["validation targets", "to_categorical(y, 3)"],
    ),
    (
        "one-hot rows with sparse_categorical_crossentropy",
        lambda: fit_on_labels(ONE_HOT),
        ValueError,
        ["(samples, 3)", "loss='categorical_crossentropy'", "y.argmax(axis=-1)"],
    ),
    (
        "labels count from 1",
        lambda: fit_on_labels(LABELS + 1),
        ValueError,
        ["labels from 0 to 2", "from 1 to 3", "y - 1"],
    ),
    (
        "to_categorical on labels that count from 1",
        lambda: fit(classifier(), y=to_categorical(LABELS + 1)),
        ValueError,
        ["(samples, 4)", "count from 1", "to_categorical(y - 1)"],
    ),
    (
        "to_categorical with too few classes",
        lambda: to_categorical([1, 2, 3], 3),
        ValueError,
        ["from 0 to 2", "got 3", "subtract 1"],
    ),
    (
        "too few units for the classes",
        lambda: fit_on_labels(LABELS, units=2),
        ValueError,
        ["from 0 to 1", "from 0 to 2", "one unit for each class, 3"],
    ),
    (
        "negative labels",
        lambda: fit_on_labels(LABELS - 1),
        ValueError,
        ["from -1 to 1", "np.unique(y, return_inverse=True)[1]"],
    ),
    (
        "measured values as labels",
        lambda: fit_on_labels(LABELS + 0.5),
        ValueError,
        ["0.5 is not a whole number", "loss='mse'"],
    ),
    (
        "missing labels",
        lambda: fit_on_labels(np.where(LABELS == 1, np.nan, LABELS)),
        ValueError,
        ["4 of 12 are NaN", "~np.isnan(y)"],
    ),
    (
        "names as labels",
        lambda: fit_on_labels(NAMES),
        ValueError,
        ["y must hold numbers", "cat", "np.unique(y, return_inverse=True)[1]"],
    ),
    (
        "names as labels, in to_categorical",
        lambda: to_categorical(NAMES),
        TypeError,
        ["whole numbers", "np.unique(y, return_inverse=True)"],
    ),
    (
        "numbers as text, as the csv module reads them",
        lambda: fit(classifier(), X.astype(str)),
        ValueError,
        ["x must hold numbers", "x.astype('float32')"],
    ),
    (
        "labels of classes with a single unit and sparse_categorical_crossentropy",
        lambda: fit(classifier("sparse_categorical_crossentropy", 1, "sigmoid"), y=BINARY),
        ValueError,
        ["1 unit", "loss='binary_crossentropy' with a sigmoid"],
    ),
    (
        "categorical_crossentropy with a single unit",
        lambda: fit(classifier(units=1, activation="sigmoid"), y=BINARY),
        ValueError,
        ["single unit", "loss='binary_crossentropy'", "one unit for each class"],
    ),
    (
        "binary_crossentropy with labels of many classes and a unit for each",
        lambda: fit(classifier("binary_crossentropy"), y=LABELS),
        ValueError,
        ["(samples, 3)", "loss='sparse_categorical_crossentropy'"],
    ),
    (
        "one number per sample, but a last layer of several units",
        lambda: fit(classifier("mse", activation=None), y=X[:, 0]),
        ValueError,
        ["(samples,)", "(samples, 3)", "Dense(1)"],
    ),
    (
        "binary_crossentropy with labels of many classes and a single unit",
        lambda: fit(classifier("binary_crossentropy", 1, "sigmoid"), y=LABELS),
        UserWarning,
        ["from 0 to 1", "loss='sparse_categorical_crossentropy'", "activation='softmax'"],
    ),
    (
        "a softmax over a single unit",
        lambda: classifier("binary_crossentropy", 1),
        UserWarning,
        ["softmax over one unit", "always gives 1", "Dense(1, activation='sigmoid')"],
    ),
    (
        "binary_crossentropy for classes that exclude each other",
        lambda: classifier("binary_crossentropy", metrics=["accuracy"]),
        UserWarning,
        ["binary_accuracy", "loss='categorical_crossentropy'"],
    ),
    # The shape of the data
    (
        "x and y of different lengths",
        lambda: fit(classifier(), y=ONE_HOT[:10]),
        ValueError,
        ["same number of samples", "x has 12", "y has 10"],
    ),
    (
        "train_test_split unpacked in the wrong order",
        lambda: fit(classifier(), X[:9], X[9:]),
        ValueError,
        ["x has 9", "y has 3", "x_train, x_test, y_train, y_test"],
    ),
    (
        "x and y exchanged",
        lambda: fit(classifier(), ONE_HOT, X),
        ValueError,
        ["expected shape (samples, 4)", "got (12, 3)", "exchanged"],
    ),
    (
        "samples along the second axis",
        lambda: fit(classifier(), X.T),
        ValueError,
        ["got (4, 12)", "x.T"],
    ),
    (
        "one sample without the batch axis, in fit",
        lambda: fit(classifier(), X[0], ONE_HOT[0]),
        ValueError,
        ["got (4,)", "x[np.newaxis]"],
    ),
    (
        "one sample without the batch axis, in predict",
        lambda: classifier().predict(X[0]),
        ValueError,
        ["expected shape (samples, 4)", "got (4,)", "x[np.newaxis]"],
    ),
    (
        "one image without batch axis and channels",
        lambda: predict([Conv2D(2, 3, input_shape=(8, 8, 1))], IMAGES[0, ..., 0]),
        ValueError,
        ["got (8, 8)", "x.reshape((1, 8, 8, 1))"],
    ),
    (
        "images without an axis of channels",
        lambda: predict([Conv2D(2, 3, input_shape=(8, 8, 1))], IMAGES[..., 0]),
        ValueError,
        ["expected shape (samples, 8, 8, 1)", "x.reshape((-1, 8, 8, 1))"],
    ),
    (
        "input_shape without an axis of channels",
        lambda: Sequential([Conv2D(2, 3, input_shape=(8, 8))]),
        ValueError,
        ["expected ndim=4", "(batch, height, width, channels)", "input_shape=(8, 8, 1)"],
    ),
    (
        "images with the channels first",
        lambda: predict([Conv2D(2, 3, input_shape=(8, 8, 3))], np.zeros((2, 3, 8, 8))),
        ValueError,
        ["got (2, 3, 8, 8)", "np.moveaxis(x, 1, -1)", "data_format"],
    ),
    (
        "input_shape with the channels first",
        lambda: Sequential([Conv2D(2, 3, input_shape=(1, 28, 28))]),
        ValueError,
        ["channels come first in (1, 28, 28)", "data_format='channels_first'"],
    ),
    (
        "input_shape counts the samples",
        lambda: predict([Dense(3, input_shape=(60000, 784))], np.zeros((5, 784))),
        ValueError,
        ["got (5, 784)", "number of samples", "input_shape=(784,)"],
    ),
    (
        "input_shape of images counts the samples",
        lambda: Sequential([Conv2D(2, 3, input_shape=(60000, 28, 28, 1))]),
        ValueError,
        ["without the batch axis", "input_shape=(28, 28, 1)"],
    ),
    (
        "input_shape is the shape of all data",
        lambda: predict([Dense(3, input_shape=X.shape)], X),
        ValueError,
        ["leave their number out of input_shape", "input_shape=(4,)"],
    ),
    (
        "input_shape without the comma",
        lambda: Dense(3, input_shape=(784)),
        TypeError,
        ["must be a tuple", "(784,)"],
    ),
    (
        "input_dim as a tuple",
        lambda: Dense(3, input_dim=(784,)),
        ValueError,
        ["input_dim must be an int", "(784,)"],
    ),
    (
        "input_shape of fractions",
        lambda: Dense(3, input_shape=(784 / 4,)),
        TypeError,
        ["tuple of ints", "196.0", "//"],
    ),
    (
        "the data themselves as input_shape",
        lambda: Dense(3, input_shape=X),
        TypeError,
        ["array of shape (12, 4)", "without the samples: (4,)"],
    ),
    (
        "no input_shape, and then summary",
        lambda: Sequential([Dense(3)]).summary(),
        ValueError,
        ["input_shape", "fit it first"],
    ),
    (
        "a model without layers",
        lambda: fit(compiled([])),
        ValueError,
        ["no layers", "add some"],
    ),
    (
        "images to a Dense layer",
        lambda: predict([Dense(3, input_shape=(64,))], IMAGES),
        ValueError,
        ["got (12, 8, 8, 1)", "x.reshape(len(x), 64)", "Flatten"],
    ),
    (
        "Dense after Conv2D without Flatten",
        lambda: fit(compiled([Conv2D(2, 3, input_shape=(8, 8, 1)), Dense(3)]), IMAGES),
        ValueError,
        ["(samples, 6, 6, 3)", "Flatten layer missing"],
    ),
    (
        "Conv2D after Flatten",
        lambda: Sequential([Flatten(input_shape=(8, 8, 1)), Conv2D(2, 3)]),
        ValueError,
        ["(batch, height, width, channels)", "Flatten and Dense come after"],
    ),
    (
        "more convolutions and poolings than the image has room for",
        lambda: Sequential([MaxPooling2D(4, input_shape=(8, 8, 1)), Conv2D(2, 3)]),
        ValueError,
        ["does not fit", "(None, 2, 2, 1)", "padding='same'"],
    ),
    # Sequences
    (
        "a table to an LSTM",
        lambda: predict([LSTM(3, input_shape=(5, 2))], X),
        ValueError,
        ["expected shape (samples, 5, 2)", "got (12, 4)", "(samples, steps, features)"],
    ),
    (
        "a table to an LSTM of any length",
        lambda: predict([LSTM(3, input_shape=(None, 2))], X),
        ValueError,
        ["(samples, any, 2)", "x[:, np.newaxis]"],
    ),
    (
        "series of numbers without an axis of features",
        lambda: predict([LSTM(3, input_shape=(5, 1))], SEQUENCES[..., 0]),
        ValueError,
        ["got (12, 5)", "x.reshape((-1, 5, 1))"],
    ),
    (
        "input_shape of an LSTM without the steps",
        lambda: Sequential([LSTM(3, input_shape=(4,))]),
        ValueError,
        ["(batch, steps, features)", "input_shape=(steps, features)"],
    ),
    (
        "steps and features exchanged",
        lambda: predict([LSTM(3, input_shape=(2, 5))], SEQUENCES),
        ValueError,
        ["another order", "np.moveaxis(x, 1, -1)", "input_shape=(5, 2)"],
    ),
    (
        "LSTM on LSTM without return_sequences",
        lambda: Sequential([LSTM(3, input_shape=(5, 2)), LSTM(3)]),
        ValueError,
        ["found ndim=2", "return_sequences=True"],
    ),
    (
        "the last LSTM returns sequences, but there is one target per sample",
        lambda: fit(compiled([LSTM(3, return_sequences=True, input_shape=(5, 2))]), SEQUENCES),
        ValueError,
        ["time axis", "leave out return_sequences"],
    ),
    (
        "a target for each step, but the last LSTM returns no sequences",
        lambda: fit(compiled([LSTM(2, input_shape=(5, 2))], "mse"), SEQUENCES, SEQUENCES),
        ValueError,
        ["targets of each step", "return_sequences=True"],
    ),
    (
        "sequences of different lengths",
        lambda: predict([Embedding(9, 2)], [[1, 2], [1, 2, 3]]),
        ValueError,
        ["different lengths, from 2 to 3", "pad_sequences(x)"],
    ),
    (
        "sequences of different lengths in an array of objects",
        lambda: predict([Embedding(9, 2)], np.array([[1, 2], [1, 2, 3]], object)),
        ValueError,
        ["different lengths, from 2 to 3", "pad_sequences(x)"],
    ),
    (
        "sequences longer than input_length",
        lambda: predict([Embedding(9, 2, input_length=4)], np.ones((2, 5))),
        ValueError,
        ["expected shape (samples, 4)", "got (2, 5)"],
    ),
    (
        "text to an Embedding",
        lambda: predict([Embedding(9, 2)], ["good", "bad"]),
        ValueError,
        ["x must hold numbers", "good", "dict of word to number"],
    ),
    (
        "fractions to an Embedding",
        lambda: predict([Embedding(9, 2)], np.full((1, 2), 0.5)),
        ValueError,
        ["embedding", "0.5", "whole numbers"],
    ),
    (
        "input_dim of an Embedding one too small",
        lambda: predict([Embedding(9, 2)], np.full((1, 2), 9)),
        ValueError,
        ["index 9", "from 0 to 8", "largest index + 1, which is 10"],
    ),
    (
        "negative indices to an Embedding",
        lambda: predict([Embedding(9, 2)], np.full((1, 2), -1)),
        ValueError,
        ["index -1", "count from 0"],
    ),
    (
        "Flatten after an Embedding without input_length",
        lambda: Sequential([Embedding(9, 2), Flatten(), Dense(1)]),
        ValueError,
        ["Flatten", "(None, None, 2)", "input_length"],
    ),
    # What the data hold
    (
        "a list of images in place of an array",
        lambda: fit(compiled([Flatten(input_shape=(8, 8, 1)), Dense(3)]), list(IMAGES)),
        ValueError,
        ["list of 12 arrays", "np.array(x)"],
    ),
    (
        "the name of a file in place of data",
        lambda: fit(classifier(), "train.csv"),
        ValueError,
        ["'train.csv'", "np.load"],
    ),
    (
        "no targets",
        lambda: fit(classifier(), y=None),
        ValueError,
        ["y is None"],
    ),
    (
        "dates as inputs",
        lambda: fit(classifier(), np.array(["2018-01-01"] * 12, "datetime64[D]")),
        ValueError,
        ["datetime64", "np.timedelta64(1, 'D')"],
    ),
    (
        "a dict of class weights as sample_weight",
        lambda: fit(classifier(), sample_weight={0: 1.0, 1: 2.0, 2: 1.0}),
        ValueError,
        ["did you mean class_weight={0: 1.0"],
    ),
    (
        "inputs and targets in one tuple",
        lambda: fit(classifier(), (X, ONE_HOT), None),
        ValueError,
        ["tuple of 2 arrays", "fit(x, y)"],
    ),
    (
        "NaN in the data",
        lambda: fit(classifier(), WITH_NAN),
        UserWarning,
        ["loss of epoch 1 is NaN", "x of shape (12, 4) holds nan at index (3, 2)", "Terminate"],
    ),
    # Weights of samples and classes
    (
        "class_weight as a list",
        lambda: fit(classifier(), class_weight=[1, 2, 3]),
        TypeError,
        ["must be a dict", "got list", "dict(enumerate(class_weight))"],
    ),
    (
        "class_weight='balanced', as scikit-learn has it",
        lambda: fit(classifier(), class_weight="balanced"),
        TypeError,
        ["must be a dict", "np.bincount(y)"],
    ),
    (
        "class_weight with text as keys",
        lambda: fit(classifier(), class_weight={"0": 1, "1": 2, "2": 1}),
        ValueError,
        ["[0, 1, 2]", "keys are text", "int(k)"],
    ),
    (
        "class_weight by the names of the classes",
        lambda: fit(classifier(), class_weight={"cat": 1, "dog": 2, "owl": 1}),
        ValueError,
        ["['cat', 'dog', 'owl']", "numbers of the classes"],
    ),
    (
        "class_weight lacks a class of the one-hot rows",
        lambda: fit(classifier(), class_weight={0: 1, 1: 2}),
        ValueError,
        ["no entry for the classes [2]", "Give every class a weight"],
    ),
    (
        "class_weight counts from 1",
        lambda: fit(classifier(), class_weight={1: 1, 2: 2, 3: 1}),
        ValueError,
        ["no entry for the classes [0]", "count from 0"],
    ),
    (
        "sample_weight of the wrong length",
        lambda: fit(classifier(), sample_weight=np.ones(10)),
        ValueError,
        ["must have shape (12,)", "got (10,)"],
    ),
    (
        "sample_weight as a column",
        lambda: fit(classifier(), sample_weight=np.ones((12, 1))),
        ValueError,
        ["got (12, 1)", "sample_weight[:, 0]"],
    ),
    (
        "a weight per class as sample_weight",
        lambda: fit(classifier(), sample_weight=np.ones(3)),
        ValueError,
        ["got (3,)", "class_weight=dict(enumerate(sample_weight))"],
    ),
    (
        "sample_weight per step without 'temporal'",
        lambda: fit(
            compiled([LSTM(2, return_sequences=True, input_shape=(5, 2))], "mse"),
            SEQUENCES,
            SEQUENCES,
            sample_weight=np.ones((12, 5)),
        ),
        ValueError,
        ["got (12, 5)", "sample_weight_mode='temporal'"],
    ),
    # Arguments of fit
    (
        "validation_data without targets",
        lambda: fit(classifier(), validation_data=X),
        ValueError,
        ["tuple (x, y)", "got ndarray", "validation_data=(x_test, y_test)"],
    ),
    (
        "a share as validation_data",
        lambda: fit(classifier(), validation_data=0.2),
        ValueError,
        ["got float", "validation_split=0.2"],
    ),
    (
        "validation_split in per cent",
        lambda: fit(classifier(), validation_split=20),
        ValueError,
        ["got 20", "validation_split=0.2"],
    ),
    (
        "validation_split of a single sample",
        lambda: fit(classifier(), X[:1], ONE_HOT[:1], validation_split=0.2),
        ValueError,
        ["of 1 samples leaves 0 for training", "validation_data=(x, y)"],
    ),
    (
        "validation_split of data sorted by class",
        lambda: fit(classifier(), *sorted_by_class(), validation_split=0.34),
        UserWarning,
        ["class 2", "np.random.permutation(len(x))"],
    ),
    (
        "batch_size as a fraction",
        lambda: fit(classifier(), batch_size=12 / 5),
        ValueError,
        ["batch_size must be an int", "2.4", "//"],
    ),
    (
        "predict with targets",
        lambda: classifier().predict(X, ONE_HOT),
        ValueError,
        ["batch_size must be an int", "array of shape (12, 3)", "one argument too many"],
    ),
    (
        "epochs as text",
        lambda: fit(classifier(), epochs="10"),
        ValueError,
        ["epochs must be an int", "'10'", "10 without quotes"],
    ),
    (
        "nb_epoch of Keras 1",
        lambda: fit(classifier(), nb_epoch=1),
        UserWarning,
        ["nb_epoch", "epochs"],
    ),
    (
        "epoch in place of epochs",
        lambda: fit(classifier(), epoch=10),
        TypeError,
        ["unknown arguments: epoch", "Did you mean 'epochs'?"],
    ),
    (
        "show_accuracy of Keras 0.3",
        lambda: fit(classifier(), show_accuracy=True),
        TypeError,
        ["show_accuracy", "metrics=['accuracy'] in compile"],
    ),
    # Callbacks
    (
        "a callback without a list",
        lambda: fit(classifier(), callbacks=EarlyStopping("loss")),
        TypeError,
        ["callbacks must be a list", "callbacks=[EarlyStopping(...)]"],
    ),
    (
        "the class of a callback, without parentheses",
        lambda: fit(classifier(), callbacks=[EarlyStopping]),
        TypeError,
        ["class EarlyStopping", "parentheses"],
    ),
    (
        "a function as callback",
        lambda: fit(classifier(), callbacks=[lambda epoch: None]),
        TypeError,
        ["no callback", "LambdaCallback"],
    ),
    (
        "EarlyStopping watches val_loss without validation",
        lambda: fit(classifier(), callbacks=[EarlyStopping("val_loss")]),
        RuntimeWarning,
        ["'val_loss'", "validation_split", "monitor 'loss'"],
    ),
    (
        "EarlyStopping watches a result that does not exist",
        lambda: fit(classifier(), callbacks=[EarlyStopping("los")]),
        RuntimeWarning,
        ["'los'", "Did you mean 'loss'?"],
    ),
    (
        "ModelCheckpoint into a folder that does not exist",
        lambda tmp: fit(classifier(), callbacks=[ModelCheckpoint(f"{tmp}/none/model.h5")]),
        FileNotFoundError,
        ["none", "os.makedirs"],
    ),
    (
        "a schedule that returns nothing",
        lambda: fit(classifier(), callbacks=[LearningRateScheduler(lambda epoch: None)]),
        ValueError,
        ["must return a float", "None"],
    ),
    # Generators
    (
        "a generator function that is not called",
        lambda: fit_generator(generator, 2),
        ValueError,
        ["got function", "fit_generator(generator())"],
    ),
    (
        "a generator without steps_per_epoch",
        lambda: fit_generator(generator()),
        ValueError,
        ["steps_per_epoch is needed"],
    ),
    (
        "a validation generator without validation_steps",
        lambda: fit_generator(generator(), 1, validation_data=generator()),
        ValueError,
        ["validation_steps is needed"],
    ),
    (
        "steps_per_epoch as a fraction",
        lambda: fit_generator(generator(), 12 / 5),
        ValueError,
        ["steps_per_epoch must be an int", "2.4", "//"],
    ),
    (
        "steps_per_epoch of fewer samples than a batch",
        lambda: fit_generator(generator(), 12 // 32),
        ValueError,
        ["got 0", "-(-samples // batch_size)"],
    ),
    (
        "a generator without while True",
        lambda: fit_generator(generator(times=2), 3, epochs=2),
        ValueError,
        ["ended after 2 batches", "6 are needed", "while True"],
    ),
    (
        "a generator gives inputs only",
        lambda: fit_generator(generator(lambda: X), 1),
        ValueError,
        ["batch 0 of the generator", "(inputs, targets)", "got ndarray"],
    ),
    (
        "a generator gives labels that are not one-hot",
        lambda: fit_generator(generator(lambda: (X, LABELS)), 1),
        ValueError,
        ["batch 0 of the generator: The loss", "to_categorical(y, 3)"],
    ),
    (
        "samples_per_epoch of Keras 1",
        lambda: fit_generator(generator(), samples_per_epoch=12),
        TypeError,
        ["samples_per_epoch", "steps_per_epoch", "samples // batch_size"],
    ),
    (
        "pickle_safe of Keras 1",
        lambda: fit_generator(generator(), 1, pickle_safe=True),
        TypeError,
        ["pickle_safe", "use_multiprocessing"],
    ),
    (
        "arrays to fit_generator",
        lambda: fit_generator((X, ONE_HOT), 1),
        ValueError,
        ["got tuple", "For arrays, there is fit"],
    ),
    (
        "the class of a Sequence, without parentheses",
        lambda: fit_generator(Batches),
        ValueError,
        ["parentheses", "fit_generator(Batches())"],
    ),
    (
        "a Sequence without __len__",
        lambda: fit_generator(NoLen()),
        NotImplementedError,
        ["NoLen", "__len__(self)", "how many batches"],
    ),
    (
        "a Sequence whose __getitem__ returns nothing",
        lambda: fit_generator(NoReturn()),
        ValueError,
        ["of NoReturn must be a tuple (inputs, targets)", "got NoneType"],
    ),
    (
        "a generator function that is not called, in fit",
        lambda: fit(classifier(), generator, None, steps_per_epoch=2),
        ValueError,
        ["x is the function generator", "generator()"],
    ),
    (
        "a Sequence with a fraction of batches",
        lambda: fit_generator(FractionOfBatches()),
        TypeError,
        ["FractionOfBatches.__len__", "-(-samples // batch_size)"],
    ),
    # compile
    (
        "fit before compile",
        lambda: fit(Sequential([Dense(3, input_shape=(4,))])),
        RuntimeError,
        ["model.compile(optimizer, loss)"],
    ),
    (
        "compile without a loss",
        lambda: compiled([Dense(1)], None),
        ValueError,
        ["needs a loss", "loss='mse'"],
    ),
    (
        "a misspelt loss",
        lambda: classifier("catagorical_crossentropy"),
        ValueError,
        ["Did you mean 'categorical_crossentropy'?"],
    ),
    (
        "a metric as loss",
        lambda: classifier("accuracy"),
        ValueError,
        ["no loss", "metrics=['accuracy']", "'categorical_crossentropy'"],
    ),
    (
        "an activation as loss",
        lambda: classifier("softmax"),
        ValueError,
        ["no loss", "activation='softmax'", "'categorical_crossentropy'"],
    ),
    (
        "loss and optimizer exchanged",
        lambda: Sequential([Dense(1)]).compile("mse", "adam"),
        ValueError,
        ["'adam' is the name of an optimizer", "optimizer first, then the loss"],
    ),
    (
        "loss and optimizer object exchanged",
        lambda: Sequential([Dense(1)]).compile("mse", keras.optimizers.Adam()),
        TypeError,
        ["is an optimizer", "optimizer first, then the loss"],
    ),
    (
        "a loss that is called",
        lambda: classifier(keras.losses.mean_squared_error(X, X)),
        TypeError,
        ["array of shape (12,)", "without calling it"],
    ),
    (
        "the learning rate as optimizer",
        lambda: regression(optimizer=0.01),
        TypeError,
        ["SGD(lr=0.01)"],
    ),
    (
        "a misspelt argument of an optimizer",
        lambda: keras.optimizers.Adam(learnig_rate=0.01),
        TypeError,
        ["Did you mean 'learning_rate'?"],
    ),
    (
        "a misspelt metric",
        lambda: classifier(metrics=["acuracy"]),
        ValueError,
        ["Did you mean 'accuracy'?"],
    ),
    (
        "layers added after compile",
        add_after_compile,
        ValueError,
        ["(samples, 3)", "the model's output (samples, 2)"],
    ),
    (
        "layers frozen after compile",
        frozen_after_compile,
        UserWarning,
        ["trainable", "compiled again"],
    ),
    (
        "metric in place of metrics",
        lambda: regression(metric=["mae"]),
        TypeError,
        ["unknown arguments: metric", "Did you mean 'metrics'?"],
    ),
    (
        "the learning rate as an argument of compile",
        lambda: regression(lr=0.1),
        TypeError,
        ["Adam(lr=...)"],
    ),
    # Layers
    (
        "a layer without parentheses",
        lambda: Sequential([Flatten, Dense(3)]),
        TypeError,
        ["parentheses", "Flatten(...)"],
    ),
    (
        "a list of layers to add",
        lambda: Sequential().add([Dense(3), Dense(1)]),
        TypeError,
        ["one by one", "Sequential([first, second, ...])"],
    ),
    (
        "layers without a list to Sequential",
        lambda: Sequential(Dense(3), Dense(1)),
        TypeError,
        ["list of layers", "Sequential([<Dense"],
    ),
    (
        "the name of an activation to add",
        lambda: Sequential().add("relu"),
        TypeError,
        ["Activation('relu')"],
    ),
    (
        "an output to add, as in the functional API",
        lambda: Sequential().add(Dense(3)(X)),
        TypeError,
        ["layers are added, not called"],
    ),
    (
        "the size of the input as second argument of Dense",
        lambda: Dense(10, 784),
        TypeError,
        ["second argument is the activation", "input_dim"],
    ),
    (
        "a misspelt activation",
        lambda: Dense(3, activation="rleu"),
        ValueError,
        ["Did you mean 'relu'?"],
    ),
    (
        "an argument of Keras 1",
        lambda: Conv2D(3, 3, border_mode="same"),
        TypeError,
        ["border_mode", "'padding'"],
    ),
    (
        "a fraction of units",
        lambda: Dense(64 / 5),
        ValueError,
        ["units must be an int", "12.8"],
    ),
    (
        "the rate of Dropout in per cent",
        lambda: Dropout(50),
        ValueError,
        ["rate must be a number from 0", "50"],
    ),
    (
        "a number to Bidirectional",
        lambda: Bidirectional(64),
        TypeError,
        ["wraps a layer", "got 64"],
    ),
    (
        "a layer without parentheses to TimeDistributed",
        lambda: TimeDistributed(Dense),
        TypeError,
        ["wraps a layer", "parentheses"],
    ),
    (
        "two layers of one name",
        lambda: Sequential(named("hidden", "hidden")),
        ValueError,
        ["'hidden' is used twice", "another name="],
    ),
    (
        "get_layer with a wrong name",
        lambda: Sequential(named("hidden", "output")).get_layer("hiden"),
        ValueError,
        ["Did you mean 'hidden'?"],
    ),
    (
        "the first argument by its name of Keras 1",
        lambda: Dense(output_dim=10, input_dim=4),
        TypeError,
        ["output_dim", "'units'"],
    ),
    (
        "nb_filter of Keras 1",
        lambda: Conv2D(nb_filter=32, nb_row=3, nb_col=3),
        TypeError,
        ["nb_filter", "'filters'"],
    ),
    (
        "p of Dropout in Keras 1",
        lambda: Dropout(p=0.5),
        TypeError,
        ["'p'", "'rate'"],
    ),
    (
        "predict_proba of a regression",
        lambda: regression().predict_proba(np.vstack([100 * X, -100 * X])),
        UserWarning,
        ["no probabilities", "sigmoid or softmax"],
    ),
    # The functional API, and what else there is in Keras
    (
        "a layer called on Input",
        lambda: Dense(10)(keras.Input(shape=(4,))),
        TypeError,
        ["put together in a Sequential"],
    ),
    (
        "layers that join others, by import",
        lambda: imported("from minikeras.layers import Dense, concatenate"),
        ImportError,
        ["'concatenate'", "Sequential models only", "np.concatenate"],
    ),
    (
        "layers that join others, by attribute",
        lambda: keras.layers.Add(),
        ImportError,
        ["'Add'", "Sequential models only", "call(self, x)"],
    ),
    (
        "keras.applications",
        lambda: imported("from minikeras.applications import VGG16"),
        ImportError,
        ["minikeras.applications"],
    ),
    (
        "Model",
        lambda: imported("from minikeras.models import Model"),
        ImportError,
        ["Sequential models only", "model.add(Dense(10))"],
    ),
    (
        "plot_model",
        lambda: imported("from minikeras.utils import plot_model"),
        ImportError,
        ["no plot_model", "model.summary()"],
    ),
    (
        "multi_gpu_model",
        lambda: imported("from minikeras.utils import multi_gpu_model"),
        ImportError,
        ["no multi_gpu_model", "cores"],
    ),
    (
        "the path of a file to model_from_json",
        lambda: keras.models.model_from_json("model.json"),
        ValueError,
        ["'model.json'", "open(path).read()"],
    ),
    # Files
    (
        "weights of another architecture",
        lambda tmp: fit_of_another_architecture(tmp / "weights.h5"),
        ValueError,
        ["shape (6, 3)", "shape (4, 3)"],
    ),
    (
        "load_model of a file of weights",
        lambda tmp: weights_alone(tmp / "weights.h5"),
        ValueError,
        ["weights alone", "model.load_weights"],
    ),
    (
        "load_model of a model with a loss of one's own",
        lambda tmp: own_loss(tmp / "model.h5"),
        ValueError,
        ["'distance'", "custom_objects={"],
    ),
]

LEGITIMATE = [
    (
        "images from 0 to 255, as bytes",
        lambda: fit(
            compiled([Flatten(input_shape=(8, 8, 1)), Dense(3, activation="softmax")]),
            (IMAGES * 255).astype("uint8"),
        ),
    ),
    ("labels as floats", lambda: fit_on_labels(LABELS.astype("float32"))),
    ("labels as a column", lambda: fit_on_labels(LABELS[:, np.newaxis])),
    ("one-hot rows with mse", lambda: fit(classifier("mse"))),
    ("soft targets", lambda: fit(classifier(), y=ONE_HOT * 0.8 + 0.2 / 3)),
    ("several labels at once", lambda: fit(classifier("binary_crossentropy", 4, "sigmoid"), y=X)),
    (
        "binary_crossentropy with two softmax units",
        lambda: fit(
            classifier("binary_crossentropy", 2, metrics=["acc"]), y=to_categorical(BINARY)
        ),
    ),
    ("yes and no as bool", lambda: fit(classifier("binary_crossentropy", 1, None), y=BINARY > 0)),
    ("plain lists", lambda: fit(classifier(), X.tolist(), ONE_HOT.tolist())),
    ("validation_data as a list", lambda: fit(classifier(), validation_data=[X, ONE_HOT])),
    ("a batch as a list", lambda: fit_generator(generator(lambda: [X, ONE_HOT]), 1)),
    ("a single metric as text", lambda: fit(classifier(metrics="accuracy"))),
    ("verbose as bool", lambda: classifier().fit(X, ONE_HOT, verbose=False)),
    ("the class of an optimizer", lambda: fit(classifier(optimizer=keras.optimizers.Adam))),
    (
        "validation_split of shuffled classes",
        lambda: fit(classifier(), validation_split=0.25),
    ),
    (
        "validation_split of growing values",
        lambda: fit(regression(), y=np.arange(12), validation_split=0.25),
    ),
    (
        "validation_split with a class that is rare in training only",
        lambda: fit(classifier(), *(a[:7] for a in (X, ONE_HOT)), validation_split=0.15),
    ),
    (
        "a layer asked for that is not there",
        lambda: getattr(keras.layers, "NoSuchLayer", None),
    ),
    ("predict_classes of a regression", lambda: regression().predict_classes(9 * X)),
    ("Activation after Dense", lambda: predict([Dense(3), Activation("softmax")], X)),
]


def by_name(table):
    return [pytest.param(*rest, id=name) for name, *rest in table]


@pytest.mark.parametrize(("code", "kind", "words"), by_name(MISTAKES))
def test_a_mistake_is_told_with_its_remedy(code, kind, words, tmp_path):
    arguments = [tmp_path] if code.__code__.co_argcount else []
    expected = pytest.warns if issubclass(kind, Warning) else pytest.raises
    with expected(kind) as caught:
        code(*arguments)
    told = caught[0].message if issubclass(kind, Warning) else caught.value
    missing = [word for word in words if word not in str(told)]
    assert not missing, str(told)


@pytest.mark.parametrize("code", by_name(LEGITIMATE))
def test_what_is_no_mistake_works_without_a_word(code, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        code()
    assert "".join(capsys.readouterr()) == ""


def test_all_arguments_are_known_to_those_who_misspell_one():
    methods = (
        *(Sequential.compile, Sequential.fit, Sequential.evaluate, Sequential.predict),
        *(Sequential.fit_generator, Sequential.evaluate_generator, Sequential.predict_generator),
        *(Sequential.train_on_batch, Sequential.test_on_batch),
    )
    known = {name for method in methods for name in inspect.signature(method).parameters}
    assert {*METHOD_ARGUMENTS, "self", "kwargs"} == known | {"validation_freq"}


def test_each_mistake_has_a_name_of_its_own():
    names = [name for name, *_ in MISTAKES + LEGITIMATE]
    assert len(set(names)) == len(names)
    assert len(MISTAKES) >= 40
