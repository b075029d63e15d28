"""Models that keep states: the checks of batch sizes, and how far the states travel.

The layer here adds up what it has seen, so that results can be worked out by hand.
"""

import contextlib
import copy
import io
import pickle
import re
import warnings

import numpy as np
import pytest

from minikeras.callbacks import LambdaCallback
from minikeras.layers import LSTM, Activation, Dense, Flatten, InputLayer, Layer
from minikeras.models import Sequential, clone_model


class Total(Layer):
    """Adds up the samples of the same place in all batches, ``(batch, features)``."""

    stateful = True

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.state = None

    @property
    def state_batch_size(self):
        return None if self.state is None else len(self.state)

    def reset_states(self, states=None):
        self.state = None

    def forward(self, x, ctx):
        self.state = x + (0 if self.state is None else self.state)
        return self.state.copy(), None

    def backward(self, dy, residual, ctx):
        return dy


def total_model(**kwargs):
    model = Sequential([Total(**(kwargs or {"input_shape": (1,)}))], name="m")
    model.compile("sgd", "mse")
    return model


def rows(*values):
    return np.array(values, "float32")[:, np.newaxis]


def kept(model):
    state = model.layers[0].state
    return None if state is None else state[:, 0].tolist()


# The model's part


def test_a_model_is_stateful_if_a_layer_is_wherever_it_stands():
    inner = Sequential([Activation("linear"), Total()])
    outer = Sequential([Dense(1, input_dim=1), Sequential([inner])])

    assert outer.stateful
    assert inner.stateful
    assert not Sequential([Dense(1, input_dim=1), Sequential([Dense(2)])]).stateful
    assert not Sequential().stateful


def test_reset_states_reaches_nested_models():
    total = Total()
    model = Sequential([Flatten(input_shape=(1,)), Sequential([Sequential([total])])])
    model.predict(np.ones((3, 1)))
    assert model.state_batch_size == 3

    model.reset_states()

    assert total.state is None
    assert model.state_batch_size is None


def test_without_states_reset_states_does_nothing():
    model = Sequential([Dense(2, input_dim=3)])
    before = model.get_weights()

    model.reset_states()

    np.testing.assert_array_equal(before[0], model.get_weights()[0])
    assert model.state_batch_size is None
    Sequential().reset_states()


def test_a_layer_that_calls_itself_stateful_and_has_nothing_to_reset():
    class Counting(Layer):
        stateful = True

        def forward(self, x, ctx):
            return x, None

    model = Sequential([Counting(input_shape=(2,)), Total()])
    model.predict(np.ones((4, 2)))

    assert model.state_batch_size == 4
    model.reset_states()
    assert model.state_batch_size is None


@pytest.mark.parametrize("how", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_keeps_the_states_and_goes_its_own_way(how):
    model = total_model()
    model.predict(rows(1, 2))

    twin = how(model)

    assert twin.predict(rows(1, 1)).tolist() == [[2], [3]]
    assert kept(model) == [1, 2]


def test_a_clone_starts_without_states():
    model = total_model()
    model.predict(rows(1, 2))

    assert clone_model(model).state_batch_size is None
    assert "state" not in model.get_config()["layers"][0]["config"]


# How far states travel


def test_states_travel_from_batch_to_batch_and_call_to_call():
    model = total_model()

    assert model.predict(rows(1, 2, 10, 20), batch_size=2).ravel().tolist() == [1, 2, 11, 22]
    assert model.predict(rows(100, 200)).ravel().tolist() == [111, 222]
    assert model.predict_on_batch(rows(0, 0)).ravel().tolist() == [111, 222]
    assert model.evaluate(rows(0, 0), rows(111, 222), verbose=0) == 0
    assert model.test_on_batch(rows(1, 1), rows(112, 223)) == 0
    model.reset_states()
    assert model.predict(rows(5)).tolist() == [[5]]


def test_fit_carries_states_over_epochs_and_validation():
    model = total_model()
    seen = []
    model.fit(
        rows(1, 2, 10, 20),
        np.zeros((4, 1)),
        batch_size=2,
        epochs=2,
        shuffle=False,
        validation_data=(rows(100, 200), np.zeros((2, 1))),
        verbose=0,
        callbacks=[LambdaCallback(on_batch_end=lambda batch, logs: seen.append(kept(model)))],
    )

    assert seen == [[1, 2], [11, 22], [112, 224], [122, 244]]
    assert kept(model) == [222, 444]


# Sizes of batches


def uneven(model, samples):
    return np.ones((samples, 1)), np.ones((samples, 1))


UNEVEN = {
    "fit": lambda m: m.fit(*uneven(m, 10), batch_size=4, shuffle=False, verbose=0),
    "evaluate": lambda m: m.evaluate(*uneven(m, 10), batch_size=4, verbose=0),
    "predict": lambda m: m.predict(np.ones((10, 1)), batch_size=4),
    "predict with a bar": lambda m: m.predict(np.ones((10, 1)), batch_size=4, verbose=1),
}


@pytest.mark.parametrize("how", UNEVEN)
def test_samples_that_make_no_whole_number_of_batches(how):
    model = total_model()

    with pytest.raises(ValueError, match="stateful") as error:
        UNEVEN[how](model)

    message = str(error.value)
    for part in (
        "Model 'm' is stateful",
        "x must make whole batches",
        "10 samples make 2 batches of batch_size=4, with 2 samples left over",
        "Pass 8 samples of it, or a batch_size that divides 10",
    ):
        assert part in message
    assert kept(model) is None


def test_less_than_a_batch_is_an_error_in_fit_and_evaluate():
    model = total_model()
    x, y = uneven(model, 1)
    message = "1 sample make 0 batches of batch_size=32, with 1 sample left over. Pass a batch_size"

    for call in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=re.escape(message)):
            call(x, y, verbose=0)


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        (
            {"validation_data": (np.ones((3, 1)), np.ones((3, 1)))},
            "validation x must make whole batches. Its 3 samples make 1 batch of batch_size=2",
        ),
        (
            {"validation_split": 0.375},
            "what validation_split=0.375 leaves must make whole batches. Its 5 samples",
        ),
        (
            {"validation_split": 0.125},
            "what validation_split=0.125 leaves must make whole batches. Its 7 samples",
        ),
    ],
)
def test_validation_is_checked_before_training(validation, message):
    model = total_model()

    with pytest.raises(ValueError, match=re.escape(message)):
        model.fit(*uneven(model, 8), batch_size=2, shuffle=False, verbose=0, **validation)

    assert kept(model) is None


def test_what_a_split_holds_out_is_checked():
    model = total_model()

    with pytest.raises(ValueError, match="what validation_split=0.25 holds out must make whole"):
        model.fit(*uneven(model, 12), 9, shuffle=False, verbose=0, validation_split=0.25)


KEPT = {
    "fit": lambda m, x: m.fit(x, x, batch_size=len(x), shuffle=False, verbose=0),
    "evaluate": lambda m, x: m.evaluate(x, x, batch_size=len(x), verbose=0),
    "predict": lambda m, x: m.predict(x, batch_size=len(x)),
    "predict in batches": lambda m, x: m.predict(np.concatenate([x, x]), batch_size=len(x)),
    "train_on_batch": lambda m, x: m.train_on_batch(x, x),
    "test_on_batch": lambda m, x: m.test_on_batch(x, x),
    "predict_on_batch": lambda m, x: m.predict_on_batch(x),
}


@pytest.mark.parametrize("how", KEPT)
@pytest.mark.parametrize("stated", [None, 2])
def test_a_batch_of_another_size_than_the_states_needs_a_reset(how, stated):
    model = total_model(batch_input_shape=(stated, 1))
    model.predict(rows(1, 2))

    with pytest.raises(ValueError, match="stateful") as error:
        KEPT[how](model, rows(1, 2, 3))
    assert "keeps the states of 2 sequences" in str(error.value)
    assert "a batch of 3 samples. Call model.reset_states()" in str(error.value)
    assert kept(model) == [1, 2]

    model.reset_states()
    KEPT[how](model, rows(1, 2, 3))
    assert model.state_batch_size == 3


def test_where_the_batch_size_is_that_of_the_states_the_error_says_so():
    model = total_model()
    model.predict(rows(1, 2))

    with pytest.raises(ValueError, match="with 1 sample left over.* keeps the states of 2 seq"):
        model.predict(rows(1, 2, 3))


def test_no_samples_leave_the_states_alone():
    model = total_model()
    model.predict(rows(1, 2))

    for call in (model.predict, model.predict_on_batch):
        with pytest.raises(ValueError, match="at least one sample"):
            call(np.zeros((0, 1)))

    assert kept(model) == [1, 2]


def sizes_of(model):
    sizes = []
    hook = LambdaCallback(on_batch_begin=lambda batch, logs: sizes.append(logs["size"]))
    x = np.ones((96, 1))
    model.fit(x, x, shuffle=False, verbose=0, callbacks=[hook])
    assert model.history.params["batch_size"] == sizes[0]
    return sizes


def test_default_batch_size_is_the_stated_one():
    assert sizes_of(total_model(batch_input_shape=(48, 1))) == [48, 48]
    assert sizes_of(total_model(batch_size=24, input_shape=(1,))) == [24] * 4
    model = Sequential([InputLayer(batch_input_shape=(16, 1)), Dense(1)])
    model.compile("sgd", "mse")
    assert sizes_of(model) == [16] * 6
    assert sizes_of(total_model()) == [32] * 3


def test_default_batch_size_is_else_that_of_the_states():
    model = total_model()
    model.predict(np.ones((12, 1)))

    assert sizes_of(model) == [12] * 8
    assert model.predict(np.ones((24, 1))).shape == (24, 1)


def test_a_model_that_states_32_predicts_one_after_a_reset():
    model = total_model(batch_input_shape=(32, 1))
    x = np.ones((96, 1))
    model.fit(x, x, shuffle=False, verbose=0)
    model.reset_states()

    assert [model.predict(rows(1)).item() for _ in range(3)] == [1, 2, 3]


def test_a_stated_batch_size_binds_no_model_without_states():
    model = Sequential([Dense(1, batch_input_shape=(32, 1))])
    model.compile("sgd", "mse")
    x = np.ones((10, 1))

    model.fit(x, x, batch_size=3, verbose=0)
    assert model.predict(x, batch_size=4).shape == (10, 1)
    assert np.isfinite(model.evaluate(x, x, verbose=0))


# Shuffling


@pytest.mark.parametrize("shuffle", [True, "batch"])
def test_shuffling_warns_once_a_fit(shuffle):
    model = total_model()
    x, y = uneven(model, 8)

    for _ in range(2):
        with pytest.warns(UserWarning, match="Pass shuffle=False") as caught:
            model.fit(x, y, batch_size=2, epochs=3, shuffle=shuffle, verbose=0)
        assert len(caught) == 1
        assert repr(shuffle) in str(caught[0].message)
        assert caught[0].filename == __file__


@pytest.mark.parametrize(("samples", "shuffle"), [(8, False), (8, None), (2, "batch"), (1, True)])
def test_no_warning_where_nothing_is_shuffled(samples, shuffle):
    model = total_model()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(*uneven(model, samples), min(samples, 2), shuffle=shuffle, verbose=0)


def test_no_warning_without_states():
    model = Sequential([Dense(1, input_dim=1)])
    model.compile("sgd", "mse")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(*uneven(model, 8), verbose=0)


# With real layers


def stacked(batch_size=32, units=32):
    return Sequential(
        [
            LSTM(
                units, return_sequences=True, stateful=True, batch_input_shape=(batch_size, 8, 16)
            ),
            LSTM(units, return_sequences=True, stateful=True),
            LSTM(units, stateful=True),
            Dense(10, activation="softmax"),
        ]
    )


def sequences(samples, generator):
    return generator.random((samples, 8, 16)), np.eye(10)[generator.integers(0, 10, samples)]


def test_the_stateful_script_of_keras_guide_runs():
    generator = np.random.default_rng(0)
    model = stacked()
    model.compile(loss="categorical_crossentropy", optimizer="rmsprop", metrics=["accuracy"])
    x, y = sequences(320, generator)
    x_val, y_val = sequences(96, generator)

    with contextlib.redirect_stdout(io.StringIO()) as said, warnings.catch_warnings():
        warnings.simplefilter("error")
        history = model.fit(
            x, y, batch_size=32, epochs=5, shuffle=False, validation_data=(x_val, y_val)
        )

    assert "Train on 320 samples, validate on 96 samples" in said.getvalue()
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert [len(values) for values in history.history.values()] == [5] * 4
    assert [layer.state_batch_size for layer in model.layers[:3]] == [32] * 3
    with pytest.raises(ValueError, match="validation x must make whole batches. Its 90 samples"):
        model.fit(x, y, batch_size=32, shuffle=False, validation_data=(x_val[:90], y_val[:90]))


def test_a_long_sequence_in_pieces_is_the_same_sequence():
    whole = Sequential([LSTM(5, input_shape=(None, 3)), Dense(2)])
    pieces = Sequential([LSTM(5, stateful=True, batch_input_shape=(4, None, 3)), Dense(2)])
    pieces.set_weights(whole.get_weights())
    x = np.random.default_rng(0).standard_normal((4, 12, 3))

    for start, stop in ((0, 1), (1, 6), (6, 12)):
        y = pieces.predict(x[:, start:stop])

    np.testing.assert_allclose(y, whole.predict(x), rtol=1e-5, atol=1e-6)


def test_batches_in_one_call_continue_sample_by_sample():
    model = stacked(batch_size=2, units=4)
    x = np.random.default_rng(0).standard_normal((6, 8, 16))
    together = model.predict(x, batch_size=2)
    model.reset_states()

    one_by_one = [model.predict_on_batch(x[k : k + 2]) for k in (0, 2, 4)]

    np.testing.assert_array_equal(together, np.concatenate(one_by_one))
    model.reset_states()
    np.testing.assert_array_equal(model.predict(x[:2]), together[:2])


def test_epochs_that_start_anew_see_the_same_states():
    model = stacked(batch_size=2, units=4)
    model.compile("sgd", "mse")
    model.optimizer.lr = 0.0
    x, y = sequences(6, np.random.default_rng(0))

    def two_epochs(**kwargs):
        model.reset_states()
        return model.fit(x, y, epochs=2, shuffle=False, verbose=0, **kwargs).history["loss"]

    carried = two_epochs()
    anew = two_epochs(
        callbacks=[LambdaCallback(on_epoch_end=lambda epoch, logs: model.reset_states())]
    )

    assert carried[0] != carried[1]
    assert anew == [carried[0]] * 2


def test_trained_with_many_predicts_one_row_by_row():
    model = stacked(batch_size=4, units=4)
    model.compile("rmsprop", "categorical_crossentropy")
    x, y = sequences(8, np.random.default_rng(0))
    model.fit(x, y, shuffle=False, verbose=0)
    model.reset_states()
    expected = model.predict(x[:4])[:1]
    model.reset_states()

    found = model.predict(x[:1])

    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="keeps the states of 1 sequence .* batch of 4 samples"):
        model.fit(x, y, shuffle=False, verbose=0)


def test_a_prediction_is_not_the_kept_state():
    model = Sequential([LSTM(3, stateful=True, input_shape=(2, 3))])
    x = np.ones((1, 2, 3))
    first = model.predict(x)
    second = model.predict(x).copy()
    model.reset_states()

    model.predict(x)[...] = 100

    np.testing.assert_array_equal(model.predict(x), second)
    assert not np.array_equal(first, second)


def test_a_pickled_model_keeps_the_states_of_its_layers():
    model = stacked(batch_size=2, units=4)
    x, _ = sequences(2, np.random.default_rng(0))
    model.predict(x)

    twin = pickle.loads(pickle.dumps(model))

    np.testing.assert_array_equal(twin.predict(x), model.predict(x))
    fresh = clone_model(model)
    fresh.set_weights(model.get_weights())
    assert fresh.state_batch_size is None
    assert fresh.layers[0].get_config()["stateful"] is True


def test_layers_that_keep_different_numbers_of_sequences_are_named():
    first = LSTM(2, stateful=True, return_sequences=True, input_shape=(3, 1))
    model = Sequential([first, LSTM(2, stateful=True), Dense(1)])
    model.predict(np.ones((2, 3, 1)))
    first.reset_states([np.zeros((4, 2))] * 2)
    with pytest.raises(ValueError, match=rf"different numbers of sequences: \{{'{first.name}': 4"):
        model.predict(np.ones((4, 3, 1)))
