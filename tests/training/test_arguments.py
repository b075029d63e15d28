"""What arguments of the training do that are about neither weights nor where data come from."""

import numpy as np
import pytest

import minikeras as keras
from minikeras import backend as K
from minikeras.callbacks import Callback, LambdaCallback
from minikeras.layers import Dense
from minikeras.models import Sequential

RNG = np.random.default_rng(1)
X = RNG.standard_normal((20, 3)).astype("float32")
Y = (X @ RNG.standard_normal((3, 1))).astype("float32")


def linear(**compile_kwargs):
    model = Sequential([Dense(1, input_dim=3, kernel_initializer="ones", name="out")])
    model.compile(keras.optimizers.SGD(0.1), "mse", **compile_kwargs)
    return model


# Numbers of steps, with arrays: all of them as one batch, so many times.


def test_steps_of_arrays():
    one_by_one = linear()
    losses = [one_by_one.train_on_batch(X, Y) for _ in range(6)]
    model = linear()

    history = model.fit(X, Y, epochs=2, steps_per_epoch=3, verbose=0).history

    assert history["loss"] == pytest.approx([np.mean(losses[:3]), np.mean(losses[3:])], rel=1e-6)
    assert all(map(np.array_equal, model.get_weights(), one_by_one.get_weights()))
    assert model.evaluate(X, Y, steps=2, verbose=0) == model.test_on_batch(X, Y)
    assert np.array_equal(model.predict(X, steps=2), np.concatenate([model.predict(X)] * 2))


def test_steps_of_validation():
    batches = []

    class Count(Callback):
        def on_test_batch_end(self, batch, logs=None):
            batches.append(logs["size"])

    linear().fit(
        X,
        Y,
        steps_per_epoch=1,
        validation_data=(X[:5], Y[:5]),
        validation_steps=3,
        verbose=0,
        callbacks=[Count()],
    )
    assert batches == [5, 5, 5]


# What later versions of Keras know


@pytest.mark.parametrize(
    ("frequency", "epochs"), [(1, [0, 1, 2, 3]), (2, [1, 3]), ([1, 4], [0, 3]), ((), [])]
)
def test_validation_frequency(frequency, epochs):
    seen = []
    watch = LambdaCallback(
        on_epoch_end=lambda epoch, logs: "val_loss" in logs and seen.append(epoch)
    )
    linear().fit(
        X,
        Y,
        epochs=4,
        verbose=0,
        callbacks=[watch],
        validation_data=(X, Y),
        validation_freq=frequency,
    )
    assert seen == epochs


@pytest.mark.parametrize("split", [{"validation_split": 0.5}, {"validation_data": (X[:9], Y[:9])}])
def test_validation_batch_size(split):
    sizes = []

    class Sizes(Callback):
        def on_test_batch_end(self, batch, logs=None):
            sizes.append(logs["size"])

    linear().fit(X, Y, 5, verbose=0, callbacks=[Sizes()], validation_batch_size=7, **split)
    assert sizes[0] == 7
    with pytest.raises(ValueError, match="batch_size must be an int greater than 0"):
        linear().fit(X, Y, verbose=0, validation_batch_size=-1)


def test_results_of_evaluate_by_name():
    model = linear(metrics=["mae"])
    results = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert list(results) == ["loss", "mean_absolute_error"]
    assert list(results.values()) == model.evaluate(X, Y, verbose=0)


def test_epochs_by_the_name_of_keras_1():
    with pytest.warns(UserWarning, match="nb_epoch is the name of Keras 1"):
        history = linear().fit(X, Y, nb_epoch=3, verbose=0)
    assert history.epoch == [0, 1, 2]


def test_callbacks_of_evaluate_and_predict():
    calls = []

    class Recorder(Callback):
        def on_test_begin(self, logs=None):
            calls.append("test begins")

        def on_test_batch_end(self, batch, logs=None):
            calls.append((batch, sorted(logs)))

        def on_test_end(self, logs=None):
            calls.append(dict(logs))

        def on_predict_begin(self, logs=None):
            calls.append(("predict begins", self.params["steps"]))

        def on_predict_batch_begin(self, batch, logs=None):
            calls.append((batch, logs["size"]))

        def on_predict_end(self, logs=None):
            calls.append("predict ends")

    model = linear()
    loss = model.evaluate(X, Y, batch_size=15, verbose=0, callbacks=[Recorder()])
    predicted = model.predict(X, batch_size=15, callbacks=[Recorder()])

    assert calls == [
        "test begins",
        (0, ["batch", "loss", "size"]),
        (1, ["batch", "loss", "size"]),
        {"loss": loss},
        ("predict begins", 2),
        (0, 15),
        (1, 5),
        "predict ends",
    ]
    assert np.array_equal(predicted, model.predict(X))


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_unknown_arguments(method):
    arguments = (X,) if method == "predict" else (X, Y)
    with pytest.raises(TypeError, match=f"{method} got unknown arguments: steps_per_ep"):
        getattr(linear(), method)(*arguments, steps_per_ep=3)


def test_a_callback_may_have_the_training_start_later():
    class Resume(Callback):
        def on_train_begin(self, logs=None):
            self.resume_epoch = 2

    assert linear().fit(X, Y, epochs=4, verbose=0, callbacks=[Resume()]).epoch == [2, 3]
    history = linear().fit(X, Y, epochs=4, initial_epoch=3, verbose=0, callbacks=[Resume()])
    assert history.epoch == [3]
    stranger = LambdaCallback(initial_epoch=3, resume_epoch=None)
    history = linear().fit(X, Y, epochs=4, initial_epoch=3, verbose=0, callbacks=[stranger])
    assert history.epoch == [3]


# One output: forms that later have several


@pytest.mark.parametrize("factor", [2.0, 2, [2.0], {"out": 2.0}, np.float32(2)])
def test_loss_weights(factor):
    assert linear(loss_weights=factor).test_on_batch(X, Y) == pytest.approx(
        2 * linear().test_on_batch(X, Y)
    )


@pytest.mark.parametrize("form", [lambda a, name: [a], lambda a, name: {name: a}])
def test_lists_and_dicts_of_one(form):
    weights = np.linspace(0, 1, 20)
    expected = linear().fit(X, Y, 8, 2, 0, shuffle=False, sample_weight=weights).history
    history = linear(metrics=None).fit(
        form(X, "out_input"),
        form(Y, "out"),
        8,
        2,
        0,
        shuffle=False,
        sample_weight=form(weights, "out"),
    )
    assert history.history == expected


@pytest.mark.parametrize("form", [lambda a: a, lambda a: [a], lambda a: {"out": a}])
def test_target_tensors(form):
    expected = linear().fit(X, Y, 8, 2, 0, shuffle=False).history

    placeholder = linear(target_tensors=form(K.placeholder((None, 1))))
    assert placeholder.fit(X, Y, 8, 2, 0, shuffle=False).history == expected
    with pytest.raises(ValueError, match="y is None"):
        placeholder.evaluate(X, verbose=0)

    targets = K.variable(Y)
    known = linear(target_tensors=form(targets))
    assert known.fit(X, None, 8, 2, 0, shuffle=False).history == expected
    assert known.train_on_batch(X, None) == pytest.approx(known.test_on_batch(X, Y), rel=1)
    K.set_value(targets, Y + 10)
    assert known.evaluate(X, verbose=0) > 50
    assert known.evaluate(X, Y, verbose=0) < 50


# train_on_batch


def test_class_weight_stood_before_sample_weight_once():
    y = (Y > 0).astype("float32")
    table, weights = {0: 1.0, 1: 3.0}, np.linspace(0.1, 1, 20)
    expected = linear().train_on_batch(X, y, sample_weight=weights, class_weight=table)

    assert linear().train_on_batch(X, y, weights, table) == expected
    assert linear().train_on_batch(X, y, table, weights) == expected
    assert linear().train_on_batch(X, y, table) == linear().train_on_batch(X, y, None, table)


def test_validation_batch_size_where_it_has_no_effect():
    for arguments in ({"batch_size": 5}, {"steps_per_epoch": 1, "validation_data": (X, Y)}):
        with pytest.warns(UserWarning, match="validation_batch_size has no effect"):
            linear().fit(X, Y, verbose=0, validation_batch_size=7, **arguments)
    with pytest.raises(ValueError, match="validation_batch_size must be an int greater than 0"):
        linear().fit(X, Y, verbose=0, validation_split=0.5, validation_batch_size=0)


def test_a_loss_can_not_train_its_own_model():
    def trains(y_true, y_pred):
        model.train_on_batch(X[:2], Y[:2])
        return K.mean(y_pred)

    model = linear(metrics=[trains])
    with pytest.raises(RuntimeError, match="being trained already, further up in this thread"):
        model.train_on_batch(X, Y)
    model.compile("sgd", "mse")
    model.train_on_batch(X, Y)
