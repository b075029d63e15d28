"""Training, evaluation and prediction on what generators and Sequences give."""

import contextlib
import multiprocessing
import threading

import numpy as np
import pytest

import minikeras as keras
from minikeras.callbacks import LambdaCallback
from minikeras.layers import LSTM, Dense, Dropout
from minikeras.models import Sequential
from minikeras.utils import Sequence

RNG = np.random.default_rng(3)
X = RNG.standard_normal((20, 3)).astype("float32")
Y = (X @ RNG.standard_normal((3, 1))).astype("float32")
WEIGHTS = RNG.random(20).astype("float32")


class Batches(Sequence):
    """Batches of arrays, the last one short; remembers which were made."""

    def __init__(self, *arrays, size=6):
        self.arrays = arrays
        self.size = size
        self.made = []
        self.epochs_ended = 0

    def __len__(self):
        return -(-len(self.arrays[0]) // self.size)

    def __getitem__(self, index):
        self.made.append(index)
        rows = slice(index * self.size, (index + 1) * self.size)
        return tuple(array[rows] for array in self.arrays)

    def on_epoch_end(self):
        self.epochs_ended += 1


def forever(*arrays, size=6):
    sequence = Batches(*arrays, size=size)
    while True:
        for index in range(len(sequence)):
            yield sequence[index]


def linear(**compile_kwargs):
    model = Sequential([Dense(1, input_dim=3, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse", **compile_kwargs)
    return model


def weights_of(model):
    return np.concatenate([w.ravel() for w in model.get_weights()])


def on_arrays(*arrays, epochs=2, **kwargs):
    """Return history and weights of the same training on arrays."""
    model = linear()
    x, y, weights = (*arrays, None)[:3]
    history = model.fit(x, y, 6, epochs, verbose=0, shuffle=False, sample_weight=weights, **kwargs)
    return history.history, weights_of(model)


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("arrays", [(X, Y), (X, Y, WEIGHTS)], ids=["pairs", "triples"])
@pytest.mark.parametrize("kind", ["generator", "sequence"])
@pytest.mark.parametrize("method", ["fit", "fit_generator"])
def test_the_same_as_on_arrays(method, kind, arrays, workers):
    expected, expected_weights = on_arrays(*arrays)
    model = linear()
    data = forever(*arrays) if kind == "generator" else Batches(*arrays)

    history = getattr(model, method)(
        data, steps_per_epoch=4, epochs=2, verbose=0, workers=workers, shuffle=False
    )

    assert history.history == expected
    assert np.array_equal(weights_of(model), expected_weights)


def test_class_weight_and_validation():
    labels = (Y > 0).astype("float32")
    class_weight = {0: 1.0, 1: 3.0}
    expected, _ = on_arrays(X, labels, class_weight=class_weight, validation_data=(X[:6], Y[:6]))

    def run(validation_data, **kwargs):
        history = linear().fit_generator(
            Batches(X, labels),
            epochs=2,
            verbose=0,
            shuffle=False,
            class_weight=class_weight,
            validation_data=validation_data,
            **kwargs,
        )
        return history.history

    assert run((X[:6], Y[:6])) == expected
    assert run(Batches(X[:6], Y[:6])) == expected
    assert run(forever(X[:6], Y[:6]), validation_steps=1) == expected
    with pytest.warns(UserWarning, match="validation_steps has no effect on arrays"):
        assert run((X[:6], Y[:6]), validation_steps=1) == expected


def test_batches_may_grow_beside_validation_arrays():
    """Arrays are cut by the largest batch so far; float64 goes through memory of that size."""
    x, y = X.astype("float64"), Y.astype("float64")
    generator = iter([(x[:n], y[:n]) for n in (4, 4, 8, 6)])
    history = linear().fit_generator(
        generator, steps_per_epoch=2, epochs=2, verbose=0, validation_data=(x, y)
    )
    assert len(history.history["val_loss"]) == 2


def test_generators_as_validation_data_of_arrays():
    expected, _ = on_arrays(X, Y, validation_data=(X[:6], Y[:6]))

    assert on_arrays(X, Y, validation_data=Batches(X[:6], Y[:6]))[0] == expected
    history, _ = on_arrays(X, Y, validation_data=forever(X[:6], Y[:6]), validation_steps=1)
    assert history == expected


def test_evaluation_and_prediction():
    model = linear(metrics=["mae"])
    expected = model.evaluate(X, Y, batch_size=6, verbose=0, sample_weight=WEIGHTS)

    assert model.evaluate_generator(Batches(X, Y, WEIGHTS)) == expected
    assert model.evaluate_generator(forever(X, Y, WEIGHTS), steps=4) == expected
    assert model.evaluate(Batches(X, Y, WEIGHTS), verbose=0) == expected
    assert model.evaluate_generator(Batches(X, Y), 1) == model.test_on_batch(X[:6], Y[:6])
    for data in (Batches(X, Y, WEIGHTS), Batches(X)):
        assert np.array_equal(model.predict_generator(data), model.predict(X))
    assert np.array_equal(model.predict(forever(X, Y), steps=4), model.predict(X))
    only_inputs = (X[rows] for rows in (slice(0, 5), slice(5, 20)))
    assert np.array_equal(model.predict_generator(only_inputs, steps=2), model.predict(X))


def test_each_batch_is_used_once_an_epoch_in_a_new_order():
    np.random.seed(1)
    sequence = Batches(X, Y)

    linear().fit_generator(sequence, epochs=3, verbose=0)

    passes = [sequence.made[i : i + 4] for i in (0, 4, 8)]
    assert [sorted(order) for order in passes] == [[0, 1, 2, 3]] * 3
    assert passes[0] != passes[1] or passes[1] != passes[2]
    assert sequence.epochs_ended == 3


def test_fewer_steps_than_batches_go_on_in_the_next_epoch():
    sequence = Batches(X, Y)

    linear().fit_generator(sequence, steps_per_epoch=3, epochs=3, verbose=0, shuffle=False)

    assert sequence.made == [0, 1, 2, 3, 0, 1, 2, 3, 0]
    assert sequence.epochs_ended == 2


def test_validation_starts_over_each_time():
    held_out = Batches(X, Y)

    linear().fit(X, Y, epochs=2, verbose=0, validation_data=held_out, validation_steps=2, workers=0)

    assert held_out.made == [0, 1, 0, 1]


class Noisy(Batches):
    """Draws from np.random in each batch, and after each epoch."""

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x + np.random.normal(size=x.shape), y

    def on_epoch_end(self):
        self.size = 5 + np.random.randint(3)


def noisy():
    while True:
        rows = np.random.randint(len(X), size=6)
        yield X[rows], Y[rows]


@pytest.mark.parametrize("make", [lambda: Noisy(X, Y), noisy], ids=["sequence", "generator"])
def test_a_seed_repeats_a_run_whatever_the_workers(make):
    def run(**feeding):
        np.random.seed(7)
        model = Sequential([Dense(4, input_dim=3), Dropout(0.5), Dense(1)])
        model.compile("adam", "mse")
        model.fit_generator(
            make(),
            steps_per_epoch=4,
            epochs=3,
            verbose=0,
            validation_data=make(),
            validation_steps=2,
            **feeding,
        )
        return model.history.history, weights_of(model)

    expected, weights = run(workers=0)
    for feeding in ({"workers": 1}, {"workers": 4}, {"workers": 2, "max_queue_size": 1}):
        history, others = run(**feeding)
        assert history == expected
        assert np.array_equal(others, weights)


def test_what_a_generator_must_give():
    model = linear()
    with pytest.raises(ValueError, match=r"batch 0 of the generator must be a tuple \(inputs, t"):
        model.fit_generator(iter([X]), steps_per_epoch=1, verbose=0)
    with pytest.raises(ValueError, match=r"got tuple of length 4"):
        model.fit_generator(iter([(X, Y, Y, Y)]), steps_per_epoch=1, verbose=0)
    with pytest.raises(ValueError, match=r"batch 1 of the generator: x does not fit layer"):
        model.fit_generator(iter([(X, Y), (X[:, :2], Y)]), steps_per_epoch=2, verbose=0)
    with pytest.raises(ValueError, match=r"batch 0 of Batches: x and .*: y must have the same"):
        model.evaluate_generator(Batches(X[:6], Y[:5]))
    with pytest.raises(ValueError, match=r"batch 0 of the generator must be an array of inputs"):
        model.predict_generator(iter([(X, X, X, X)]), steps=1)


def test_wrong_calls():
    model = linear()
    with pytest.raises(ValueError, match="steps_per_epoch is needed with a generator"):
        model.fit_generator(forever(X, Y))
    with pytest.raises(ValueError, match="validation_steps is needed with a generator"):
        model.fit(X, Y, validation_data=forever(X, Y))
    with pytest.raises(ValueError, match="steps is needed with a generator"):
        model.evaluate_generator(forever(X, Y))
    with pytest.raises(ValueError, match="got ndarray. For arrays, there is predict"):
        model.predict_generator(X)
    with pytest.raises(ValueError, match=r"forget the parentheses\? fit_generator\(forever\(\)\)"):
        model.fit_generator(forever, steps_per_epoch=1)
    with pytest.raises(ValueError, match="has no batches"):
        model.fit_generator(Batches(X[:0], Y[:0]))
    for data in ([X, Y], [Batches(X, Y)]):
        with pytest.raises(ValueError, match="has no batches"):
            model.fit(*data, validation_data=Batches(X[:0], Y[:0]))
    with pytest.raises(ValueError, match="y can't be given together with a Batches as x"):
        model.fit(Batches(X, Y), Y)
    with pytest.raises(ValueError, match="validation_split can't be given together"):
        model.fit(Batches(X, Y), validation_split=0.5)
    with pytest.raises(ValueError, match="batch_size can't be given together"):
        model.predict(Batches(X), batch_size=3)
    with pytest.raises(TypeError, match="fit_generator got unknown arguments: pickle_safe"):
        model.fit_generator(Batches(X, Y), pickle_safe=True)


def test_a_generator_that_ends_early_says_what_was_needed():
    model = linear()
    seven = (batch for batch, _ in zip(forever(X, Y), range(7), strict=False))

    with pytest.raises(ValueError, match="ended after 7 batches, but 12 are needed: 4 steps in 3"):
        model.fit_generator(seven, steps_per_epoch=4, epochs=3, verbose=0)
    assert len(model.history.history["loss"]) == 1


def test_exactly_as_many_batches_are_taken_as_needed():
    numbers = iter(range(100))
    generator = ((X[:3] + next(numbers), Y[:3]) for _ in range(100))

    linear().fit_generator(generator, steps_per_epoch=2, epochs=3, verbose=0, workers=1)

    assert next(numbers) == 6


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_an_error_in_a_sequence_comes_out_as_itself(workers):
    class Broken(Batches):
        def __getitem__(self, index):
            if index == 2:
                raise LookupError("no such picture")
            return super().__getitem__(index)

    before = threading.active_count()
    with pytest.raises(LookupError, match="no such picture") as caught:
        linear().fit_generator(Broken(X, Y), verbose=0, workers=workers, shuffle=False)
    assert "batch 2 of Broken" in "".join(caught.value.__notes__)
    assert any("no such picture" in str(entry.statement) for entry in caught.traceback)
    assert threading.active_count() == before


@pytest.mark.parametrize("stop", ["stop_training", "exception"])
@pytest.mark.parametrize("make", [lambda: Batches(X, Y), lambda: forever(X, Y)])
def test_leaving_early_leaves_no_thread_behind(make, stop):
    model = linear()

    def leave(batch, logs):
        if batch == 1:
            if stop == "exception":
                raise KeyboardInterrupt
            model.stop_training = True

    before = threading.active_count()
    arguments = {"steps_per_epoch": 4, "epochs": 5, "verbose": 0, "workers": 2}
    if stop == "exception":
        with pytest.raises(KeyboardInterrupt):
            model.fit_generator(make(), callbacks=[LambdaCallback(on_batch_end=leave)], **arguments)
    else:
        model.fit_generator(make(), callbacks=[LambdaCallback(on_batch_end=leave)], **arguments)
    assert threading.active_count() == before


@pytest.mark.parametrize("make", [lambda: Batches(X, Y), lambda: forever(X, Y)])
def test_the_first_batch_builds_a_model_of_unknown_shape(make):
    def run(build):
        np.random.seed(4)
        model = Sequential([Dense(4), Dense(1)])
        model.compile("sgd", "mse")
        if build:
            model.build((None, 3))
        model.fit(make(), steps_per_epoch=4, epochs=2, verbose=0, shuffle=False)
        return model.history.history

    assert run(False) == run(True)
    model = Sequential([Dense(2)])
    assert model.predict(iter([X[:4], X[4:9]]), steps=2).shape == (9, 2)


def test_batches_of_a_stateful_model_keep_their_size():
    model = Sequential([LSTM(2, stateful=True, batch_input_shape=(6, 3, 1)), Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="keeps the states of 6 sequences"):
        model.fit_generator(Batches(X[..., np.newaxis], Y), verbose=0, shuffle=False)


def test_what_callbacks_are_told():
    seen = []
    callback = LambdaCallback(on_train_begin=lambda logs: seen.append(callback.params))

    linear(metrics=["mae"]).fit_generator(
        Batches(X, Y), epochs=2, verbose=0, callbacks=[callback], validation_data=(X, Y)
    )

    assert seen == [
        {
            "epochs": 2,
            "steps": 4,
            "verbose": 0,
            "do_validation": True,
            "metrics": [
                "loss",
                "mean_absolute_error",
                "val_loss",
                "val_mean_absolute_error",
            ],
        }
    ]
    assert np.array_equal(callback.validation_data[0], X)


def test_the_bar_counts_steps(capsys):
    linear().fit_generator(Batches(X, Y))
    assert "4/4 [====" in capsys.readouterr().out
    linear().evaluate_generator(Batches(X, Y), verbose=1)
    assert "4/4 [====" in capsys.readouterr().out
    linear().predict_generator(Batches(X), verbose=1)
    assert "4/4 [====" in capsys.readouterr().out


def test_several_threads_may_train_with_worker_processes():
    """Forking, and ending a worker, are one thread's affair at a time."""
    errors = []

    def train():
        try:
            for _ in range(3):
                linear().fit_generator(
                    Batches(X, Y),
                    verbose=0,
                    workers=2,
                    use_multiprocessing=True,
                    validation_data=Batches(X, Y),
                )
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=train) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.parametrize("fails", [False, True])
def test_what_fit_leaves_behind(fails, monkeypatch):
    """No worker of the validation, no memory of the steps, no limit on BLAS' threads."""
    restored = []
    monkeypatch.setattr("minikeras.training.loop.restore", lambda: restored.append(True))
    model = linear()

    def fail(epoch, logs):
        if fails:
            raise LookupError

    before = multiprocessing.active_children()
    with pytest.raises(LookupError) if fails else contextlib.nullcontext():
        model.fit(
            X,
            Y,
            verbose=0,
            validation_data=forever(X, Y),
            validation_steps=2,
            use_multiprocessing=True,
            callbacks=[LambdaCallback(on_epoch_end=fail)],
        )
    assert multiprocessing.active_children() == before
    assert model._step.workspace._plans == {}
    assert restored == [True]


def test_an_unbuilt_model_and_data_without_a_batch():
    class Bare:
        """Not more than an iterator that Keras takes."""

        def __next__(self):
            return X[:4], Y[:4]

    def model():
        model = Sequential([Dense(1)])
        model.compile("sgd", "mse")
        return model

    assert len(model().fit(Bare(), steps_per_epoch=2, verbose=0).epoch) == 1
    with pytest.raises(ValueError, match="The generator has no batch at all"):
        model().fit(iter([]), steps_per_epoch=2, verbose=0)
    with pytest.raises(ValueError, match="has no batches"):
        model().fit(Batches(X[:0], Y[:0]), verbose=0)
