import json
import pickle

import numpy as np
import pytest

from minikeras import backend as K
from minikeras.callbacks import Callback, History, LambdaCallback
from minikeras.layers import Activation, Dense, Dropout, Flatten
from minikeras.models import Sequential
from minikeras.utils import set_random_seed, to_categorical


def regression(samples=50, inputs=4):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((samples, inputs))
    return x, x @ rng.standard_normal((inputs, 1))


def linear_model(**compile_kwargs):
    model = Sequential([Dense(1, input_dim=4)])
    model.compile("sgd", "mse", **compile_kwargs)
    return model


def same(a, b):
    return all(np.array_equal(u, v) for u, v in zip(a, b, strict=True))


# fit


def test_training_learns_a_linear_map():
    x, y = regression()
    model = linear_model()

    history = model.fit(x, y, epochs=100, batch_size=10, verbose=0).history

    assert history["loss"][-1] < 1e-3 * history["loss"][0]


def test_history_is_plain_json():
    x, y = regression()
    model = linear_model(metrics=["mae"])

    history = model.fit(x, y, epochs=2, verbose=0, validation_split=0.2)

    assert json.loads(json.dumps(history.history)) == history.history
    assert sorted(history.history) == [
        "loss",
        "mean_absolute_error",
        "val_loss",
        "val_mean_absolute_error",
    ]
    assert all(type(v) is float for values in history.history.values() for v in values)
    assert history.epoch == [0, 1]
    assert history is model.history


def test_accuracy_is_found_under_both_names():
    model = Sequential([Dense(3, activation="softmax", input_dim=4)])
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])

    history = model.fit(np.ones((6, 4)), np.eye(3)[[0, 1, 2] * 2], verbose=0).history

    assert list(history) == ["loss", "acc"]
    assert history["accuracy"] == history["acc"]


def test_epoch_results_weight_batches_by_their_size():
    x, y = regression(samples=5)
    model = linear_model()
    model.optimizer.lr = 0.0
    losses = [model.test_on_batch(x[a:b], y[a:b]) for a, b in ((0, 4), (4, 5))]

    history = model.fit(x, y, batch_size=4, shuffle=False, verbose=0)

    assert history.history["loss"][0] == pytest.approx((4 * losses[0] + losses[1]) / 5)


def test_validation_split_takes_the_last_samples_before_shuffling():
    x, y = regression()
    model = linear_model()
    model.optimizer.lr = 0.0

    history = model.fit(x, y, validation_split=0.3, verbose=0)

    assert history.history["val_loss"][0] == pytest.approx(
        model.evaluate(x[35:], y[35:], verbose=0), rel=1e-5
    )


def test_validation_data_wins_over_validation_split_and_takes_weights():
    x, y = regression()
    model = linear_model()
    model.optimizer.lr = 0.0
    weights = np.arange(10.0)

    history = model.fit(
        x, y, validation_split=0.3, validation_data=(x[:10], y[:10], weights), verbose=0
    )

    expected = model.evaluate(x[:10], y[:10], sample_weight=weights, verbose=0)
    assert history.history["val_loss"][0] == pytest.approx(expected, rel=1e-5)


def test_initial_epoch():
    x, y = regression()
    epochs = []

    history = linear_model().fit(
        x,
        y,
        initial_epoch=3,
        epochs=5,
        verbose=0,
        callbacks=[LambdaCallback(on_epoch_begin=lambda epoch, logs: epochs.append(epoch))],
    )

    assert epochs == history.epoch == [3, 4]


def test_a_seed_repeats_a_run_bit_for_bit():
    def run():
        np.random.seed(1337)
        model = Sequential([Dense(8, activation="relu", input_dim=4), Dropout(0.5), Dense(1)])
        model.compile("adam", "mse")
        history = model.fit(*regression(), epochs=3, batch_size=16, verbose=0)
        return model.get_weights(), history.history

    (first, history), (second, again) = run(), run()

    assert same(first, second)
    assert history == again


def test_set_random_seed_does_the_same():
    set_random_seed(5)
    first = Dense(3, input_dim=2)(np.ones((1, 2)))
    set_random_seed(5)

    assert np.array_equal(first, Dense(3, input_dim=2)(np.ones((1, 2))))


def test_two_fits_equal_one_long_fit():
    def weights_after(*parts):
        np.random.seed(7)
        model = Sequential([Dense(8, activation="relu", input_dim=4), Dropout(0.5), Dense(1)])
        model.compile("adam", "mse")
        start = 0
        for epochs in parts:
            model.fit(*regression(), initial_epoch=start, epochs=start + epochs, verbose=0)
            start += epochs
        return model.get_weights()

    assert same(weights_after(1, 2, 1), weights_after(4))


@pytest.mark.parametrize("shuffle", [True, "batch"])
def test_shuffling_visits_each_sample_once_in_another_order(shuffle):
    seen = []

    class Spy(Dense):
        def forward(self, x, ctx):
            if ctx.training:
                seen.append(x[:, 0].copy())
            return super().forward(x, ctx)

    model = Sequential([Spy(1, input_dim=1)])
    model.compile("sgd", "mse")
    x = np.arange(10.0)

    model.fit(x, x, batch_size=3, shuffle=shuffle, verbose=0)

    order = np.concatenate(seen)
    assert sorted(order) == list(range(10))
    assert order.tolist() != list(range(10))
    if shuffle == "batch":
        assert {tuple(batch) for batch in seen} == {(0, 1, 2), (3, 4, 5), (6, 7, 8), (9,)}


def test_without_shuffling_samples_come_in_order():
    model = linear_model()
    sizes = []
    callback = LambdaCallback(on_batch_end=lambda batch, logs: sizes.append(logs["size"]))
    x, y = regression(10)

    model.fit(x, y, batch_size=4, shuffle=False, callbacks=[callback], verbose=0)

    assert sizes == [4, 4, 2]


def test_sample_weight_and_class_weight_act_in_training():
    x = np.ones((4, 2))
    y = np.array([0, 0, 1, 1])

    def loss(**kwargs):
        model = Sequential([Dense(2, activation="softmax", input_dim=2)])
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.set_weights([np.zeros((2, 2)), np.array([1.0, 0.0])])
        return model.fit(x, y, verbose=0, **kwargs).history["loss"][0]

    low, high = -np.log(np.exp([1, 0]) / (np.e + 1))
    assert loss() == pytest.approx((low + high) / 2, rel=1e-5)
    assert loss(sample_weight=[0, 0, 1, 3]) == pytest.approx(2 * high, rel=1e-5)
    assert loss(class_weight={0: 1, 1: 5}) == pytest.approx((low + 5 * high) / 2, rel=1e-5)


def test_weighted_metrics_count_samples_by_their_weights():
    model = linear_model(metrics=["mae"], weighted_metrics=["mse"])
    model.set_weights([np.zeros((4, 1)), np.zeros(1)])

    results = model.test_on_batch(np.ones((2, 4)), [1.0, 3.0], sample_weight=[0.0, 2.0])

    assert dict(zip(model.metrics_names, results, strict=True)) == {
        "loss": 18.0,
        "mean_absolute_error": 2.0,
        "weighted_mean_squared_error": 18.0,
    }


def test_temporal_weights():
    model = Sequential([Dense(1, input_shape=(3, 1), use_bias=False)])
    model.compile("sgd", "mse", sample_weight_mode="temporal")
    model.set_weights([np.ones((1, 1))])
    x = np.array([[1.0, 2.0, 3.0]])[..., np.newaxis]

    loss = model.test_on_batch(x, np.zeros((1, 3, 1)), sample_weight=[[1.0, 0.0, 1.0]])

    assert loss == pytest.approx((1 + 9) / 3 / (2 / 3))


def test_a_custom_metric_is_ordinary_numpy():
    def mean_pred(y_true, y_pred):
        return np.mean(y_pred)

    model = linear_model(metrics=[mean_pred])
    x, y = regression(8)

    result = dict(zip(model.metrics_names, model.evaluate(x, y, verbose=0), strict=True))

    assert result["mean_pred"] == pytest.approx(model.predict(x).mean(), rel=1e-5)


# What comes in


def test_integers_booleans_and_lists_are_taken():
    model = Sequential([Dense(1, input_dim=2)])
    model.compile("sgd", "mse")

    for x in (np.ones((2, 2), int), np.ones((2, 2), bool), [[1, 1], [1, 1]], np.ones((2, 2), "u1")):
        assert model.predict(x).dtype == np.float32
        model.train_on_batch(x, [0, 1])


def test_one_entry_lists_and_dicts_by_name():
    model = Sequential([Dense(1, input_dim=2, name="only")])
    model.compile("sgd", {"only": "mse"}, metrics={"only": ["mae"]}, loss_weights=[2.0])
    x, y = np.ones((3, 2)), np.ones((3, 1))

    model.fit([x], {"only": y}, verbose=0)
    model.fit({"only_input": x}, [y], sample_weight={"only": np.ones(3)}, verbose=0)

    assert model.metrics_names == ["loss", "mean_absolute_error"]
    with pytest.raises(ValueError, match=r"keys \['other'\].*'only_input'"):
        model.predict({"other": x})
    with pytest.raises(ValueError, match="list of 2 arrays"):
        model.predict([x, x])


def test_columns_of_mixed_types_are_taken_if_they_are_numbers():
    model = Sequential([Dense(1, input_dim=2, use_bias=False, kernel_initializer="ones")])

    assert model.predict(np.array([[True, 1.5]], object)).tolist() == [[2.5]]


def test_anything_with_an_array_inside_is_taken():
    class Frame:
        def __array__(self, dtype=None, copy=None):
            return np.ones((3, 2))

    model = Sequential([Dense(1, input_dim=2)])

    assert model.predict(Frame()).shape == (3, 1)


def test_flat_data_get_a_last_axis_where_one_is_expected():
    model = Sequential([Dense(1, input_dim=1)])
    model.compile("sgd", "mse")

    model.fit(np.arange(4.0), np.arange(4.0), verbose=0)

    assert model.predict(np.arange(3.0)).shape == (3, 1)


def test_the_first_data_decide_an_unknown_shape():
    model = Sequential([Flatten(), Dense(3), Activation("softmax")])
    model.compile("sgd", "categorical_crossentropy", metrics=["acc"])

    model.fit(np.zeros((6, 2, 2)), to_categorical([0, 1, 2] * 2), verbose=0)

    assert model.input_shape == (None, 2, 2)
    assert model.count_params() == 4 * 3 + 3


def test_data_are_never_changed():
    x, y = regression(10)
    x.flags.writeable = y.flags.writeable = False
    model = Sequential([Activation("relu", input_shape=(4,)), Dropout(0.3), Dense(1)])
    model.compile("sgd", "mse")

    model.fit(x, y, epochs=2, verbose=0)
    model.fit(x.astype("float32"), y.astype("float32"), epochs=2, verbose=0)
    model.predict(x)


def test_a_prediction_is_the_callers_own():
    model = Sequential([Activation("linear", input_shape=(2,)), Flatten()])
    x = np.ones((3, 2), "float32")

    y = model.predict(x)
    y[:] = 7
    first = model.predict(np.zeros((3, 2)), batch_size=2)
    model.predict(x, batch_size=2)

    assert x.max() == 1
    assert first.max() == 0


def test_prediction_in_batches_equals_prediction_at_once():
    model = Sequential([Dense(5, activation="tanh", input_dim=4), Dense(2, activation="softmax")])
    x, _ = regression(37)

    at_once = model.predict(x, batch_size=100)

    for batch_size in (1, 8, 36, 37):
        np.testing.assert_allclose(model.predict(x, batch_size=batch_size), at_once, rtol=1e-5)
    np.testing.assert_array_equal(model.predict_on_batch(x), at_once)


def test_float64_throughout():
    K.set_floatx("float64")
    model = Sequential([Dense(3, activation="tanh", input_dim=4), Dropout(0.1), Dense(1)])
    model.compile("adam", "mse")
    x, y = regression()

    model.fit(x, y, verbose=0)

    assert {w.dtype for w in model.weights} == {np.dtype("float64")}
    assert {w.dtype for w in model.optimizer.get_weights()[1:]} == {np.dtype("float64")}
    assert model.predict(x).dtype == np.float64


# Callbacks and interruption


def test_hooks_come_in_order_with_their_arguments():
    calls = []

    class Recorder(Callback):
        def on_train_begin(self, logs=None):
            calls.append("train begin")

        def on_train_end(self, logs=None):
            calls.append("train end")

        def on_epoch_begin(self, epoch, logs=None):
            calls.append(f"epoch {epoch} begin")

        def on_epoch_end(self, epoch, logs=None):
            calls.append(f"epoch {epoch} end {sorted(logs)}")

        def on_batch_begin(self, batch, logs=None):
            calls.append(f"batch {batch} begin {logs['size']}")

        def on_batch_end(self, batch, logs=None):
            calls.append(f"batch {batch} end {sorted(logs)}")

    recorder = Recorder()
    model = linear_model()
    x, y = regression(4)
    model.fit(x, y, batch_size=3, verbose=0, callbacks=[recorder], validation_data=(x, y))

    assert calls == [
        "train begin",
        "epoch 0 begin",
        "batch 0 begin 3",
        "batch 0 end ['batch', 'loss', 'size']",
        "batch 1 begin 1",
        "batch 1 end ['batch', 'loss', 'size']",
        "epoch 0 end ['loss', 'val_loss']",
        "train end",
    ]
    assert recorder.model is model
    assert recorder.params == {
        "batch_size": 3,
        "epochs": 1,
        "steps": None,
        "samples": 4,
        "verbose": 0,
        "do_validation": True,
        "metrics": ["loss", "val_loss"],
    }


def test_stop_training_ends_after_the_batch():
    model = linear_model()
    batches = []

    def stop(batch, logs):
        batches.append(batch)
        model.stop_training = batch == 1

    x, y = regression(40)
    history = model.fit(
        x, y, batch_size=10, epochs=5, verbose=0, callbacks=[LambdaCallback(on_batch_end=stop)]
    )

    assert batches == [0, 1]
    assert history.epoch == [0]


@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_an_interrupted_fit_leaves_a_usable_model_and_its_history(verbose):
    model = linear_model()
    x, y = regression(40)

    def interrupt(batch, logs):
        if len(model.history.epoch) == 2 and batch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(
            x,
            y,
            batch_size=10,
            epochs=5,
            verbose=verbose,
            callbacks=[LambdaCallback(on_batch_begin=interrupt)],
        )

    assert model.history.epoch == [0, 1]
    assert len(model.history.history["loss"]) == 2
    assert np.isfinite(model.predict(x)).all()
    assert len(model.fit(x, y, epochs=1, verbose=0).epoch) == 1


def test_recompiling_starts_the_optimizer_state_anew_but_adding_a_layer_keeps_it():
    model = Sequential([Dense(3, input_dim=4)])
    model.compile("adam", "mse")
    x, _ = regression(8)
    model.fit(x, np.ones((8, 3)), verbose=0)
    moments = model.optimizer.get_weights()[1]
    assert moments.any()

    model.add(Dense(1))
    model.fit(x, np.ones((8, 1)), epochs=0, verbose=0)
    np.testing.assert_array_equal(model.optimizer.get_weights()[1], moments)

    model.compile(model.optimizer, "mse")
    assert not model.optimizer.get_weights()[1].any()


@pytest.mark.parametrize("how", ["pickle", "deepcopy"])
def test_a_copy_of_a_model_goes_on_training_like_the_original(how):
    import copy

    model = Sequential([Dense(3, activation="tanh", input_dim=4), Dropout(0.2), Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    x, y = regression()
    model.fit(x, y, verbose=0)

    twin = pickle.loads(pickle.dumps(model)) if how == "pickle" else copy.deepcopy(model)
    assert same(model.get_weights(), twin.get_weights())
    results = []
    for each in (model, twin):
        np.random.seed(3)
        each.fit(x, y, epochs=3, verbose=0)
        results.append(each.get_weights() + each.optimizer.get_weights())

    assert same(*results)


def test_trainable_changed_after_compile_warns():
    model = linear_model()
    model.layers[0].trainable = False

    with pytest.warns(UserWarning, match="takes effect only when the model is compiled again"):
        model.fit(*regression(), verbose=0)


# Bad input


def test_not_compiled():
    model = Sequential([Dense(1, input_dim=4)])
    x, y = regression()

    for call in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
        with pytest.raises(RuntimeError, match="must be compiled"):
            call(x, y)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((5, 3)), r"layer 'dense_1': expected shape \(samples, 4\), got \(5, 3\)"),
        (np.zeros((5, 2, 2)), r"got \(5, 2, 2\).*x\.reshape\(len\(x\), 4\)"),
        (np.zeros(4), r"single sample, add the batch axis .* leave their number out of input_sha"),
        (np.array([["a"] * 4]), "must hold numbers; got an array of dtype <U1"),
        (np.array([["a", 1.0, 2.0, 3.0]], object), "can't be made into one array of numbers"),
        ((i for i in range(3)), "steps is needed with a generator"),
        (object(), "can't be made into one array of numbers"),
        (np.array(object()), "can't be made into one array of numbers"),
        ([[1, 2, 3, 4], [1, 2]], "samples of different lengths, from 2 to 4.*pad_sequences"),
        (5.0, "got the scalar 5.0"),
        (None, "x is None"),
    ],
)
def test_inputs_that_do_not_fit(x, message):
    with pytest.raises(ValueError, match=message):
        linear_model().predict(x)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"batch_size": 0}, "batch_size must be an int greater than 0"),
        ({"batch_size": 2.5}, "batch_size must be an int"),
        ({"epochs": -1}, "epochs must be an int of at least 0"),
        ({"initial_epoch": 1.5}, "initial_epoch must be an int"),
        ({"verbose": 3}, "verbose must be 0, 1 or 2"),
        ({"shuffle": "yes"}, "shuffle must be"),
        ({"validation_split": 1.5}, "validation_split must be from 0"),
        ({"validation_split": 0.99}, "leaves 0 for training"),
        ({"validation_data": np.zeros((5, 4))}, "validation_data must be a tuple"),
        ({"validation_data": (np.zeros((5, 3)), np.zeros(5))}, "validation x does not fit"),
        ({"steps_per_epoch": 3, "batch_size": 4}, "leave out one of them"),
        ({"steps_per_epoch": 0}, "steps_per_epoch must be an int greater than 0"),
        ({"validation_steps": 2}, "validation_steps goes together with steps_per_epoch"),
        ({"validation_freq": 0}, "validation_freq must be an int greater than 0"),
        ({"workers": -1}, "workers must be an int of at least 0"),
        ({"max_queue_size": -1}, "max_queue_size must be an int of at least 0"),
        ({"sample_weight": np.ones(3)}, "sample_weight must have shape"),
        ({"y": np.zeros((49, 1))}, "x has 50 .* y has 49"),
        ({"y": np.zeros((50, 2))}, r"targets have shape \(samples, 2\)"),
        ({"y": None}, "y is None"),
        ({"x": np.zeros((0, 4)), "y": np.zeros(0)}, "hold no samples"),
        ({"sample_weight": {0: 1, 1: 2}}, "did you mean class_weight"),
    ],
)
def test_arguments_of_fit_that_do_not_fit(kwargs, message):
    x, y = regression()

    with pytest.raises(ValueError, match=message):
        linear_model().fit(**{"x": x, "y": y, "verbose": 0, **kwargs})


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"loss": "mean_sqared_error"}, ValueError, "Did you mean 'mean_squared_error'"),
        ({"optimizer": "adm"}, ValueError, "Did you mean 'Adam'"),
        ({"metrics": ["acuracy"]}, ValueError, "Did you mean 'accuracy'"),
        ({"loss": ["mse", "mae"]}, ValueError, "list of 2 entries"),
        ({"loss": None}, ValueError, "needs a loss"),
        ({"loss": "adam", "optimizer": "mse"}, ValueError, "takes the optimizer first"),
        ({"sample_weight_mode": "time"}, ValueError, "sample_weight_mode must be"),
        ({"target_tensors": 1}, ValueError, "target_tensors must be a K.placeholder"),
        ({"target_tensors": [1, 2]}, ValueError, "target_tensors .* list of 2 entries"),
        ({"loss_weights": "much"}, ValueError, "loss_weights must be a number"),
        ({"loss_weights": [1.0, 2.0]}, ValueError, "loss_weights .* list of 2 entries"),
        ({"options": 1}, TypeError, "unknown arguments"),
        ({"metrics": {"other": "mae"}}, ValueError, "only output is 'dense_1'"),
    ],
)
def test_arguments_of_compile_that_do_not_fit(kwargs, error, message):
    model = Sequential([Dense(1, input_dim=4)])

    with pytest.raises(error, match=message):
        model.compile(**{"optimizer": "sgd", "loss": "mse", **kwargs})


def test_labels_for_a_one_hot_loss_get_the_hint():
    model = Sequential([Dense(10, activation="softmax", input_dim=4)])
    model.compile("sgd", "categorical_crossentropy")

    with pytest.raises(ValueError, match=r"sparse_categorical_crossentropy.*to_categorical"):
        model.fit(np.zeros((5, 4)), np.arange(5), verbose=0)


def test_labels_out_of_range_are_named():
    model = Sequential([Dense(3, activation="softmax", input_dim=4)])
    model.compile("sgd", "sparse_categorical_crossentropy")

    with pytest.raises(ValueError, match="labels from 0 to 2.*range from 1 to 3"):
        model.fit(np.zeros((3, 4)), [1, 2, 3], verbose=0)


def test_nan_in_the_data_on_request():
    x, y = regression()
    x[7, 2] = np.nan
    model = linear_model()
    model.predict(x)

    K.set_check_numerics(True)

    with pytest.raises(ValueError, match=r"x of shape \(50, 4\) holds nan at index \(7, 2\)"):
        model.fit(x, y, verbose=0)


def test_numerics_check_names_the_first_bad_layer():
    K.set_check_numerics(True)
    model = Sequential([Dense(2, input_dim=1), Dense(2, name="bad"), Dense(1)])
    model.get_layer("bad").set_weights([np.full((2, 2), np.inf), np.zeros(2)])

    bad_layer = pytest.raises(FloatingPointError, match="Layer 'bad'.*output")
    with np.errstate(invalid="ignore"), bad_layer:
        model.predict(np.ones((1, 1)))


def test_callbacks_must_be_a_list_of_callbacks():
    model = linear_model()
    x, y = regression()

    for callbacks, message in (
        (History(), "must be a list"),
        ([History], "did you forget the parentheses"),
        ([print], "which is no callback"),
    ):
        with pytest.raises(TypeError, match=message):
            model.fit(x, y, verbose=0, callbacks=callbacks)


def test_callbacks_see_the_validation_data():
    seen = []

    class Spy(Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(self.validation_data)

    model = linear_model()
    x, y = regression(10)
    model.fit(x, y, verbose=0, callbacks=[Spy()])
    model.fit(x, y, verbose=0, callbacks=[Spy()], validation_split=0.2)

    assert seen[0] is None
    assert [a.tolist() for a in seen[1]] == [x[8:].tolist(), y[8:].tolist(), [1, 1]]


def test_classes_and_probabilities():
    several = Sequential([Activation("linear", input_shape=(3,))])
    one = Sequential([Activation("linear", input_shape=(1,))])
    x = np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]], "float32")

    assert several.predict_classes(x).tolist() == [1, 0]
    assert np.array_equal(several.predict_proba(x), x)
    assert one.predict_classes(np.array([[0.2], [0.7]])).tolist() == [[0], [1]]


def test_what_a_metric_keeps_is_its_own():
    kept = []

    def keep(y_true, y_pred):
        kept.append(y_pred)
        return np.zeros(len(y_pred))

    model = linear_model(metrics=[keep])
    x, y = regression(40)
    model.evaluate(x, y, batch_size=10, verbose=0)

    np.testing.assert_allclose(np.concatenate(kept), model.predict(x), rtol=1e-6)


def test_nobody_writes_to_the_users_data():
    def spoil(y_true, y_pred):
        y_true *= 0
        return np.zeros(len(y_pred))

    model = linear_model(metrics=[spoil])
    x, y = (a.astype("float32") for a in regression(8))
    before = y.copy()

    for call in (model.evaluate, model.train_on_batch, model.fit):
        with pytest.raises(ValueError, match="read-only"):
            call(x, y, **({} if call == model.train_on_batch else {"verbose": 0}))
    assert np.array_equal(y, before)


def test_a_failed_compile_changes_nothing():
    model = linear_model()
    optimizer = model.optimizer

    with pytest.raises(ValueError, match="Unknown metric"):
        model.compile("adam", "mae", metrics=["nope"])

    assert model.optimizer is optimizer
    assert model.loss == "mse"
    model.fit(*regression(), verbose=0)
    fresh = Sequential([Dense(1, input_dim=4)])
    with pytest.raises(ValueError, match="Unknown metric"):
        fresh.compile("adam", "mae", metrics=["nope"])
    with pytest.raises(RuntimeError, match="must be compiled"):
        fresh.fit(*regression())


def test_equal_names_of_metrics_are_numbered():
    model = linear_model(metrics=["mse", "mse"], weighted_metrics=["mse"])

    assert model.metrics_names == [
        "loss",
        "mean_squared_error",
        "mean_squared_error_1",
        "weighted_mean_squared_error",
    ]


def test_a_failed_first_fit_builds_nothing():
    model = Sequential([Dense(1)])
    model.compile("sgd", "mse")

    with pytest.raises(ValueError, match="same number of samples"):
        model.fit(np.ones((4, 7)), np.ones(5), verbose=0)

    assert not model.built
    model.fit(np.ones((4, 3)), np.ones(4), verbose=0)


def test_predicting_nothing_gives_nothing():
    model = linear_model()

    for verbose in (0, 1):
        assert model.predict(np.zeros((0, 4)), verbose=verbose).shape == (0, 1)


def test_validation_data_are_named_in_errors():
    x, y = regression()

    with pytest.raises(ValueError, match="validation x.*validation y"):
        linear_model().fit(x, y, verbose=0, validation_data=(x, y[:10]))


def test_temporal_weights_for_labels():
    model = Sequential([Dense(3, activation="softmax", input_shape=(5, 2))])
    model.compile("sgd", "sparse_categorical_crossentropy", sample_weight_mode=["temporal"])
    x, y = np.ones((4, 5, 2)), np.zeros((4, 5), int)

    plain = model.test_on_batch(x, y)

    assert model.test_on_batch(x, y, sample_weight=2 * np.ones((4, 5))) == pytest.approx(2 * plain)


def test_class_weight_by_the_name_of_the_output():
    model = Sequential([Dense(1, activation="sigmoid", input_dim=4, name="out")])
    model.compile("sgd", "binary_crossentropy")
    x, y = np.ones((2, 4)), [0, 1]

    model.fit(x, y, class_weight={"out": {0: 1.0, 1: 2.0}}, verbose=0)


@pytest.mark.parametrize("value", [None, "ten", float("inf"), float("nan"), [1], 2.5, True])
def test_numbers_that_are_none(value):
    model, (x, y) = linear_model(), regression()

    with pytest.raises(ValueError, match="epochs must be an int"):
        model.fit(x, y, epochs=value, verbose=0)
    if value is not None:
        with pytest.raises(ValueError, match="batch_size must be an int"):
            model.predict(x, batch_size=value)


def test_shuffle_none_is_false_and_verbose_is_checked():
    model, (x, y) = linear_model(), regression()

    model.fit(x, y, shuffle=None, verbose=0)

    with pytest.raises(ValueError, match="verbose must be 0, 1 or 2, got 3"):
        model.evaluate(x, y, verbose=3)
