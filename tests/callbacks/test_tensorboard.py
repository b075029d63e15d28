import copy
import gc
import os
import pickle
import struct
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.graph_pb2 import GraphDef
from tensorboardX.proto.summary_pb2 import Summary

import minikeras as keras
from minikeras import backend as K
from minikeras.callbacks import Callback, LambdaCallback
from minikeras.callbacks import tensorboard_events as events_module
from minikeras.callbacks.tensorboard import TensorBoard
from minikeras.callbacks.tensorboard_histogram import Histogram
from minikeras.callbacks.tensorboard_images import gray, pictures
from minikeras.layers import (
    LSTM,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    SimpleRNN,
)
from minikeras.models import Sequential

# Reading the files back


def crc32c(data):
    """The checksum of TFRecord files, from its definition."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def check(data, masked):
    crc = crc32c(data)
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    assert (rotated + 0xA282EAD8) & 0xFFFFFFFF == struct.unpack("<I", masked)[0]


def records(path, checked=True):
    content = Path(path).read_bytes()
    at = 0
    while at < len(content):
        header = content[at : at + 8]
        (length,) = struct.unpack("<Q", header)
        data = content[at + 12 : at + 12 + length]
        assert len(data) == length
        if checked:
            check(header, content[at + 8 : at + 12])
            check(data, content[at + 12 + length : at + 16 + length])
        event = Event()
        event.ParseFromString(data)
        yield event
        at += 16 + length


def files(folder):
    return sorted(Path(folder).glob("events.out.tfevents.*"))


def values(folder, kind):
    """All values of a kind, as (step, tag, value)."""
    return [
        (event.step, value.tag, getattr(value, kind))
        for path in files(folder)
        for event in records(path, checked=False)
        for value in event.summary.value
        if value.HasField(kind)
    ]


def scalars(folder):
    return [(step, tag, pytest.approx(v)) for step, tag, v in values(folder, "simple_value")]


def graph(folder):
    (found,) = [e.graph_def for path in files(folder) for e in records(path) if e.graph_def]
    parsed = GraphDef()
    parsed.ParseFromString(found)
    return parsed


def decoded(image):
    """The pixels of a gray PNG file without filters."""
    content = image.encoded_image_string
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        kind, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        assert struct.unpack(">I", content[at + 8 + length : at + 12 + length])[0] == zlib.crc32(
            kind + data
        )
        chunks[kind] = data
        at += 12 + length
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    assert (height, width) == (image.height, image.width)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), "uint8").reshape(height, 1 + width)
    assert not rows[:, 0].any()
    return rows[:, 1:]


# Models to watch


def dense_model():
    model = Sequential(
        [
            Dense(3, activation="tanh", input_dim=2, name="hidden"),
            Dense(1, name="top"),
        ]
    )
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def data(samples=10, features=2):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((samples, features))
    return x, x[:, 0]


def fit(board, model=None, epochs=2, **kwargs):
    model = model or dense_model()
    x, y = data()
    kwargs = {"batch_size": 4, "verbose": 0, "validation_data": (x[:5], y[:5]), **kwargs}
    boards = board if isinstance(board, list) else [board]
    history = model.fit(x, y, epochs=epochs, callbacks=boards, **kwargs)
    return model, history


# Scalars


def test_an_epochs_results_are_written_with_the_epoch_as_step(tmp_path):
    _, history = fit(TensorBoard(tmp_path))

    expected = {
        (epoch, name, results[epoch])
        for name, results in history.history.items()
        for epoch in range(2)
    }
    assert set(history.history) == {
        "loss",
        "mean_absolute_error",
        "val_loss",
        "val_mean_absolute_error",
    }
    assert sorted(values(tmp_path, "simple_value")) == [
        (step, tag, pytest.approx(value)) for step, tag, value in sorted(expected)
    ]


def test_records_are_whole_and_the_first_says_which_version(tmp_path):
    fit(TensorBoard(tmp_path), epochs=1)

    (path,) = files(tmp_path)
    found = list(records(path))
    assert found[0].file_version == "brain.Event:2"
    assert all(event.wall_time > 1.6e9 for event in found)


@pytest.mark.parametrize(
    ("update_freq", "batch_steps"),
    [("batch", [4, 8, 10, 14, 18, 20]), (1, [4, 8, 10, 14, 18, 20]), (6, [8, 14, 20]), (15, [18])],
)
def test_batches_are_written_by_samples_seen(tmp_path, update_freq, batch_steps):
    losses = []
    spy = LambdaCallback(on_batch_end=lambda batch, logs: losses.append(logs["loss"]))
    _, history = fit([TensorBoard(tmp_path, update_freq=update_freq), spy])

    seen = dict(zip([4, 8, 10, 14, 18, 20], losses, strict=True))
    wanted = [(step, seen[step]) for step in batch_steps]
    # An epoch's results come after those of its last batch, under the same step.
    wanted += zip([10, 20], history.history["loss"], strict=True)
    found = [(step, v) for step, tag, v in values(tmp_path, "simple_value") if tag == "loss"]
    assert sorted(found) == [(step, pytest.approx(v)) for step, v in sorted(wanted)]
    assert not {"batch", "size"} & {tag for _, tag, _ in values(tmp_path, "simple_value")}


def test_samples_are_counted_on_in_a_second_fit(tmp_path):
    board = TensorBoard(tmp_path, update_freq="batch")
    model, _ = fit(board, epochs=1)
    fit(board, model, epochs=1)

    assert {step for step, _, _ in values(tmp_path, "simple_value")} == {4, 8, 10, 14, 18, 20}


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_batches_reach_the_disk_when_they_are_due(tmp_path, monkeypatch, seconds):
    monkeypatch.setattr(events_module, "FLUSH_SECONDS", seconds)
    counts = []
    spy = LambdaCallback(
        on_batch_end=lambda batch, logs: counts.append(len(values(tmp_path, "simple_value")))
    )
    fit([TensorBoard(tmp_path, update_freq="batch"), spy], epochs=1)

    assert counts == ([2, 4, 6] if seconds == 0 else [0, 0, 0])


def test_each_epoch_reaches_the_disk(tmp_path):
    counts = []
    spy = LambdaCallback(
        on_epoch_end=lambda epoch, logs: counts.append(len(values(tmp_path, "simple_value")))
    )
    fit([TensorBoard(tmp_path), spy])

    assert counts == [4, 8]


def test_what_other_callbacks_add_is_written(tmp_path):
    def add(epoch, logs):
        logs["lr"] = np.float32(0.5)
        logs["array"] = np.array([3])

    fit([LambdaCallback(on_epoch_end=add), TensorBoard(tmp_path)], epochs=1)

    assert (0, "lr", 0.5) in scalars(tmp_path)
    assert (0, "array", 3) in scalars(tmp_path)


def test_what_is_no_number_is_refused(tmp_path):
    board = TensorBoard(tmp_path)

    with pytest.raises(TypeError, match=r"logs\['note'\] must be a number, got 'good'"):
        board.on_epoch_end(0, {"note": "good"})
    board.on_train_end()


# Histograms


def histograms(folder):
    return {(step, tag): histo for step, tag, histo in values(folder, "histo")}


def test_tags_are_those_of_keras_2_2_4_in_its_order(tmp_path):
    """The list is what Keras 2.2.4 itself wrote for this model."""
    model = Sequential(
        [
            Conv2D(5, 3, input_shape=(6, 6, 1), name="conv"),
            Flatten(name="flat"),
            Dropout(0.5, name="drop"),
            Dense(2, activation="softmax", name="dense"),
        ]
    )
    model.compile("sgd", "categorical_crossentropy")
    x, y = np.random.default_rng(0).standard_normal((9, 6, 6, 1)), np.eye(2)[[0, 1, 0] * 3]
    board = TensorBoard(
        tmp_path, histogram_freq=1, batch_size=6, write_grads=True, write_images=True
    )
    model.fit(x, y, verbose=0, validation_data=(x, y), callbacks=[board])

    (summary,) = [
        event.summary
        for event in records(files(tmp_path)[0], checked=False)
        if len(event.summary.value) > 1
    ]
    assert [value.tag for value in summary.value] == [
        "conv/kernel_0",
        "conv/kernel_0_grad",
        "conv/kernel_0_1/image/0",
        "conv/kernel_0_1/image/1",
        "conv/kernel_0_1/image/2",
        "conv/bias_0",
        "conv/bias_0_grad",
        "conv/bias_0_1/image/0",
        "conv_out",
        "flat_out",
        "drop_out",
        "dense/kernel_0",
        "dense/kernel_0_grad",
        "dense/kernel_0_1/image/0",
        "dense/bias_0",
        "dense/bias_0_grad",
        "dense/bias_0_1/image/0",
        "dense_out",
    ]


@pytest.mark.parametrize(("freq", "epochs"), [(0, set()), (1, {0, 1, 2}), (2, {0, 2}), (3, {0})])
def test_histograms_come_every_so_many_epochs(tmp_path, freq, epochs):
    fit(TensorBoard(tmp_path, histogram_freq=freq), epochs=3)

    assert {step for step, _ in histograms(tmp_path)} == epochs


def test_histograms_hold_weights_and_outputs_of_the_validation_data(tmp_path):
    model, _ = fit(TensorBoard(tmp_path, histogram_freq=1, batch_size=2), epochs=1)

    found = histograms(tmp_path)
    hidden = K.function([model.input], [model.layers[0].output])([data()[0][:5]])[0]
    for tag, array in {
        "hidden/kernel_0": model.layers[0].get_weights()[0],
        "hidden_out": hidden,
        "top_out": model.predict(data()[0][:5]),
    }.items():
        histo = found[0, tag]
        assert histo.num == sum(histo.bucket) == array.size
        assert histo.min == pytest.approx(array.min())
        assert histo.max == pytest.approx(array.max())
        assert histo.sum == pytest.approx(array.sum(dtype="float64"), abs=1e-6)
        assert histo.sum_squares == pytest.approx(np.square(array).sum(dtype="float64"))


@pytest.mark.parametrize("batch_size", [2, 3, 100])
def test_batch_size_is_that_of_the_passes(tmp_path, batch_size):
    sizes = []

    class Spy(Dense):
        def forward(self, x, ctx):
            if not ctx.training and not ctx.records:
                sizes.append(len(x))
            return super().forward(x, ctx)

    model = Sequential([Spy(1, input_dim=2)])
    model.compile("sgd", "mse")
    board = TensorBoard(tmp_path, histogram_freq=1, batch_size=batch_size)
    board.validation_data = [*data(5), np.ones(5)]
    board.set_model(model)
    board.on_epoch_end(0, {})
    board.on_train_end()

    assert sizes == {2: [2, 2, 1], 3: [3, 2], 100: [5]}[batch_size]


def test_gradients_are_those_of_all_batches(tmp_path):
    board = TensorBoard(tmp_path, histogram_freq=1, batch_size=2, write_grads=True)
    model, _ = fit(board, epochs=1)

    x, y = data()
    step, expected = model._ready(), []
    for start in (0, 2, 4):
        rows = slice(start, min(start + 2, 5))
        step.compute_gradients(x[rows].astype("f"), y[rows, np.newaxis].astype("f"), None)
        expected.append(step.store.gradients[model.layers[0].kernel].copy())
    histo = histograms(tmp_path)[0, "hidden/kernel_0_grad"]
    assert histo.num == 3 * 6
    assert histo.min == pytest.approx(np.min(expected))
    assert histo.sum_squares == pytest.approx(np.square(expected).sum())


def test_gradients_are_those_of_testing(tmp_path):
    model = Sequential([Dropout(0.9, input_shape=(2,)), Dense(1, name="top")])
    model.compile("sgd", "mse")
    fit(TensorBoard(tmp_path, histogram_freq=1, write_grads=True), model, epochs=1)

    x, y = data()
    top = model.layers[1].get_weights()
    error = x[:5] @ top[0][:, 0] + top[1] - y[:5]
    expected = 2 / 5 * (x[:5].T @ error)
    histo = histograms(tmp_path)[0, "top/kernel_0_grad"]
    assert (histo.min, histo.max) == (
        pytest.approx(expected.min(), rel=1e-4),
        pytest.approx(expected.max(), rel=1e-4),
    )


def test_there_are_no_gradients_unless_asked_for(tmp_path):
    fit(TensorBoard(tmp_path, histogram_freq=1), epochs=1)

    assert not [tag for _, tag in histograms(tmp_path) if tag.endswith("_grad")]


def test_sample_weights_of_the_validation_data_count_in_gradients(tmp_path):
    x, y = data()
    board = TensorBoard(tmp_path, histogram_freq=1, write_grads=True)
    fit(board, epochs=1, validation_data=(x[:5], y[:5], np.zeros(5)))

    histo = histograms(tmp_path)[0, "top/kernel_0_grad"]
    assert (histo.min, histo.max, histo.num) == (0, 0, 3)


@pytest.mark.parametrize("vocabulary", [7, 300_000])
def test_only_the_rows_in_use_count_in_the_gradient_of_a_table(tmp_path, vocabulary):
    model = Sequential([Embedding(vocabulary, 2, input_length=2, name="words"), Flatten()])
    model.compile("sgd", "mse")
    x = np.array([[1, 3], [3, 5]])
    y = np.ones((2, 4))
    board = TensorBoard(tmp_path, histogram_freq=1, write_grads=True)
    model.fit(x, y, verbose=0, validation_data=(x, y), callbacks=[board])

    assert histograms(tmp_path)[0, "words/embeddings_0_grad"].num == 3 * 2


def test_weights_that_are_not_trained_have_no_gradient(tmp_path):
    model = Sequential([BatchNormalization(input_shape=(2,), name="norm"), Dense(1)])
    model.compile("sgd", "mse")
    fit(TensorBoard(tmp_path, histogram_freq=1, write_grads=True), model, epochs=1)

    tags = {tag for _, tag in histograms(tmp_path)}
    assert {"norm/gamma_0_grad", "norm/moving_mean_0"} <= tags
    assert "norm/moving_mean_0_grad" not in tags


def test_class_numbers_stay_class_numbers(tmp_path):
    """In the type of this model, 2051 would become 2052."""
    model = Sequential([Dense(2052, activation="softmax", input_dim=2, dtype="float16")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = data()[0], np.full(10, 2051)
    board = TensorBoard(tmp_path, histogram_freq=1, write_grads=True)
    model.fit(x, y, verbose=0, validation_data=(x, y), callbacks=[board])

    assert histograms(tmp_path)[0, f"{model.layers[0].name}/bias_0_grad"].num == 2052


def test_equal_names_in_nested_models_get_numbers(tmp_path):
    inner = [Sequential([Dense(2, input_dim=2, name="same")], name=name) for name in "ab"]
    model = Sequential([*inner, Dense(1)])
    model.compile("sgd", "mse")
    fit(TensorBoard(tmp_path, histogram_freq=1), model, epochs=1)

    tags = {tag for _, tag in histograms(tmp_path)}
    assert {"same/kernel_0", "same/kernel_0_1", "a_out", "b_out"} <= tags


def test_watching_changes_nothing(tmp_path):
    def train(*boards):
        np.random.seed(3)
        model = Sequential(
            [
                LSTM(3, stateful=True, batch_input_shape=(4, 5, 2), name="watched"),
                BatchNormalization(),
                Dropout(0.5),
                Dense(1),
            ]
        )
        model.compile("adam", "mse")
        x = np.random.standard_normal((8, 5, 2))
        y = x[:, 0, 0]
        history = model.fit(
            x,
            y,
            batch_size=4,
            epochs=3,
            shuffle=False,
            verbose=0,
            validation_data=(x[:4], y[:4]),
            callbacks=list(boards),
        )
        return history.history, model.get_weights(), model.predict(x, batch_size=4)

    board = TensorBoard(
        tmp_path,
        histogram_freq=1,
        batch_size=4,
        write_grads=True,
        write_images=True,
        embeddings_freq=1,
        embeddings_layer_names=["watched"],
        embeddings_data=np.zeros((4, 5, 2)),
    )
    alone, watched = train(), train(board)

    assert alone[0] == watched[0]
    for one, other in zip([*alone[1], alone[2]], [*watched[1], watched[2]], strict=True):
        np.testing.assert_array_equal(one, other)


def test_values_that_are_not_finite_are_left_out_with_a_warning(tmp_path):
    model = dense_model()
    board = TensorBoard(tmp_path, histogram_freq=1)
    board.validation_data = [*data(5), np.ones(5)]
    board.set_model(model)
    model.layers[0].set_weights([np.zeros((2, 3)), np.array([1, np.nan, np.inf])])
    model.layers[1].set_weights([np.full((3, 1), np.nan), np.zeros(1)])
    with pytest.warns(RuntimeWarning) as caught:
        board.on_epoch_end(0, {})
    board.on_train_end()

    messages = [str(warning.message) for warning in caught]
    assert any("'hidden/bias_0' holds 2 values that are NaN" in text for text in messages)
    found = histograms(tmp_path)
    assert found[0, "hidden/bias_0"].num == 1
    assert (0, "top/kernel_0") not in found


def test_a_histogram_has_the_buckets_of_tensorflow():
    histogram = Histogram()
    histogram.add(np.array([[0.0, 1.0], [1.0, -1.0]]))
    histo = histogram.proto()

    # 10 % apart from 1e-12 on: a full bucket, and where the next full one's empty run begins.
    limits, counts = list(histo.bucket_limit), list(histo.bucket)
    assert sum(counts) == 4
    assert counts == [0, 1, 0, 1, 0, 2, 0]
    assert limits[-1] == sys.float_info.max
    assert limits[4] <= 1 < limits[5] == pytest.approx(limits[4] * 1.1)
    assert limits[0] == pytest.approx(limits[1] * 1.1)
    assert limits[0] <= -1 < limits[1]
    assert limits[2:4] == [0, 1e-12]


def test_a_histogram_keeps_the_largest_numbers():
    histogram = Histogram()
    histogram.add(np.array([sys.float_info.max / 2, -1e300, 1e-300]))

    assert sum(histogram.proto().bucket) == 3


# Data that are missing


def generator():
    while True:
        yield np.zeros((2, 2)), np.zeros(2)


def test_histograms_need_validation_data(tmp_path):
    with pytest.raises(ValueError, match="histogram_freq=2 needs validation data, as arrays"):
        fit(TensorBoard(tmp_path, histogram_freq=2), validation_data=None)


def test_histograms_need_validation_data_that_are_no_generator(tmp_path):
    model = dense_model()
    with pytest.raises(ValueError, match="not from a generator"):
        model.fit_generator(
            generator(),
            steps_per_epoch=1,
            verbose=0,
            validation_data=generator(),
            validation_steps=1,
            callbacks=[TensorBoard(tmp_path, histogram_freq=1)],
        )


def test_batches_of_a_generator_are_watched_with_arrays_for_validation(tmp_path):
    model = dense_model()
    model.fit_generator(
        generator(),
        steps_per_epoch=2,
        verbose=0,
        validation_data=data(4),
        callbacks=[TensorBoard(tmp_path, histogram_freq=1, update_freq="batch")],
    )

    assert {step for step, _, _ in values(tmp_path, "simple_value")} == {2, 4}
    assert (0, "hidden_out") in histograms(tmp_path)


def test_data_are_missed_without_on_epoch_begin_too(tmp_path):
    board = TensorBoard(tmp_path, histogram_freq=1)
    board.set_model(dense_model())
    with pytest.raises(ValueError, match="needs validation data"):
        board.on_epoch_end(0, {})


# Images


def test_weights_are_images_laid_out_as_in_keras(tmp_path):
    model = Sequential(
        [
            Conv2D(4, (3, 2), input_shape=(4, 4, 1), name="one"),
            Conv2D(2, (1, 2), name="two"),
            Flatten(),
            Dense(2, name="top"),
        ]
    )
    model.compile("sgd", "mse")
    x, y = np.zeros((2, 4, 4, 1)), np.zeros((2, 2))
    board = TensorBoard(tmp_path, histogram_freq=1, write_images=True)
    model.fit(x, y, verbose=0, validation_data=(x, y), callbacks=[board])

    images = {tag: image for _, tag, image in values(tmp_path, "image")}
    shapes = {tag: (image.height, image.width) for tag, image in images.items()}
    assert shapes == {
        "one/kernel_0_1/image/0": (3, 2),
        "one/kernel_0_1/image/1": (3, 2),
        "one/kernel_0_1/image/2": (3, 2),
        "one/bias_0_1/image/0": (4, 1),
        "two/kernel_0_1/image/0": (2, 4),
        "two/kernel_0_1/image/1": (2, 4),
        "two/bias_0_1/image/0": (2, 1),
        "top/kernel_0_1/image/0": (2, 8),
        "top/bias_0_1/image/0": (2, 1),
    }
    for tag, weight in {
        "one/kernel_0_1/image/1": model.layers[0].get_weights()[0][:, :, 0, 1],
        "top/kernel_0_1/image/0": model.layers[3].get_weights()[0].T,
    }.items():
        scaled = weight * (127 / np.abs(weight).max()) + 128
        assert images[tag].colorspace == 1
        np.testing.assert_allclose(decoded(images[tag]), scaled, atol=1)


def test_there_are_no_images_unless_asked_for(tmp_path):
    fit(TensorBoard(tmp_path, histogram_freq=1), epochs=1)

    assert values(tmp_path, "image") == []


def test_channels_first_images_are_not_turned():
    kernel = np.zeros((2, 3, 1, 4))
    K.set_image_data_format("channels_first")
    try:
        assert [p.shape for p in pictures(kernel)] == [(3, 4), (3, 4)]
    finally:
        K.set_image_data_format("channels_last")
    assert [p.shape for p in pictures(kernel)] == [(2, 3)] * 3


def test_weights_with_many_axes_or_none_are_no_images():
    assert pictures(np.zeros((3, 3, 2, 4))) == []
    assert pictures(np.zeros(())) == []
    assert pictures(np.zeros((0, 4))) == []


def test_gray_copes_with_zeros_and_with_what_is_not_finite():
    assert gray(np.zeros((1, 2))).tolist() == [[0, 0]]
    assert gray(np.array([[np.nan, 1.0, np.inf]])).tolist() == [[255, 255, 255]]
    assert gray(np.full((1, 1), np.nan)).tolist() == [[255]]
    assert gray(np.array([[-4.0, 2.0]])).tolist() == [[1, 191]]


# The graph


def test_the_graph_has_a_node_for_each_layer(tmp_path):
    inner = Sequential([Dense(3, input_dim=2, name="a"), Dropout(0.5, name="b")], name="inner")
    model = Sequential([inner, Dense(1, name="top")])
    model.compile("sgd", "mse")
    fit(TensorBoard(tmp_path), model, epochs=1)

    found = graph(tmp_path)
    assert [(node.name, node.op, list(node.input)) for node in found.node] == [
        ("inner_input", "InputLayer", []),
        ("inner/a", "Dense", ["inner_input"]),
        ("inner/b", "Dropout", ["inner/a"]),
        ("top", "Dense", ["inner/b"]),
    ]
    shapes = [
        [dim.size for dim in node.attr["_output_shapes"].list.shape[0].dim] for node in found.node
    ]
    assert shapes == [[-1, 2], [-1, 3], [-1, 3], [-1, 1]]


def test_a_layer_that_stands_twice_in_the_model_is_two_nodes(tmp_path):
    shared = Dense(2, input_dim=2, name="shared")
    model = Sequential([shared, shared, Dense(1, name="top")])
    model.compile("sgd", "mse")
    fit(TensorBoard(tmp_path), model, epochs=1)

    names = [(node.name, list(node.input)) for node in graph(tmp_path).node]
    assert names[1:] == [
        ("shared", ["shared_input"]),
        ("shared_1", ["shared"]),
        ("top", ["shared_1"]),
    ]


def test_the_graph_of_a_model_that_is_not_built_has_no_shapes(tmp_path):
    board = TensorBoard(tmp_path)
    board.set_model(Sequential([Dense(1, name="top")]))
    board.on_epoch_end(0, {"loss": 1})
    board.on_train_end()

    assert [(node.name, dict(node.attr)) for node in graph(tmp_path).node] == [
        ("top_input", {}),
        ("top", {}),
    ]


def test_no_graph_is_written_if_none_is_wanted(tmp_path):
    fit(TensorBoard(tmp_path, write_graph=False), epochs=1)

    assert not any(event.graph_def for event in records(files(tmp_path)[0]))


# Embeddings


def words_model():
    model = Sequential(
        [
            Embedding(9, 2, input_length=3, name="words"),
            SimpleRNN(4, name="read/all"),
            Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    return model


WORDS = np.arange(15).reshape(5, 3) % 9


def fit_words(tmp_path, epochs=1, model=None, **kwargs):
    model = model or words_model()
    kwargs = {"embeddings_freq": 1, "embeddings_data": WORDS, "batch_size": 2, **kwargs}
    board = TensorBoard(tmp_path, **kwargs)
    model.fit(WORDS, np.zeros(5), epochs=epochs, verbose=0, callbacks=[board])
    return model


def config(tmp_path):
    return (tmp_path / "projector_config.pbtxt").read_text(encoding="utf-8")


def table(path):
    return np.loadtxt(path, dtype="float32", delimiter="\t")


def test_vectors_of_embedding_layers_go_to_the_projector(tmp_path):
    model = fit_words(tmp_path)

    expected = model.layers[0].get_weights()[0][WORDS].reshape(5, 6)
    np.testing.assert_array_equal(table(tmp_path / "words_embedding.tsv"), expected)
    assert config(tmp_path) == (
        'embeddings {\n  tensor_name: "words_embedding:0"\n'
        '  tensor_path: "words_embedding.tsv"\n}\n'
    )


def test_a_table_of_one_vector_each_is_that_of_the_words(tmp_path):
    model = Sequential([Embedding(4, 2, input_length=1, name="words"), Flatten(), Dense(1)])
    model.compile("sgd", "mse")
    board = TensorBoard(tmp_path, embeddings_freq=1, embeddings_data=np.arange(4)[:, np.newaxis])
    model.fit(np.zeros((2, 1)), np.zeros(2), verbose=0, callbacks=[board])

    np.testing.assert_array_equal(
        table(tmp_path / "words_embedding.tsv"), model.layers[0].get_weights()[0]
    )


@pytest.mark.parametrize("names", [["read/all"], ["words", "read/all"]])
def test_layers_are_chosen_by_name(tmp_path, names):
    model = fit_words(tmp_path, embeddings_layer_names=names)

    found = sorted(path.name for path in tmp_path.glob("*.tsv"))
    assert found == sorted(f"{name.replace('/', '_')}_embedding.tsv" for name in names)
    assert config(tmp_path).count("tensor_path") == len(names)
    read = K.function([model.input], [model.layers[1].output])([WORDS])[0]
    np.testing.assert_allclose(table(tmp_path / "read_all_embedding.tsv"), read, atol=1e-6)


def test_a_name_that_is_no_layer_is_refused(tmp_path):
    with pytest.raises(ValueError, match="word"):
        fit_words(tmp_path, embeddings_layer_names=["word"])


def test_a_model_without_embeddings_needs_names(tmp_path):
    board = TensorBoard(tmp_path, embeddings_freq=1, embeddings_data=np.zeros((1, 2)))
    with pytest.raises(ValueError, match="has no Embedding layer"):
        fit(board)


def test_one_metadata_file_serves_all_layers(tmp_path):
    fit_words(
        tmp_path,
        embeddings_layer_names=["words", "read/all"],
        embeddings_metadata=Path("labels.tsv"),
    )

    assert config(tmp_path).count('metadata_path: "labels.tsv"') == 2


def test_metadata_files_go_by_layer_and_are_quoted(tmp_path):
    fit_words(
        tmp_path,
        embeddings_layer_names=["words", "read/all"],
        embeddings_metadata={"words": 'so "called"\\.tsv'},
    )

    first, second = config(tmp_path).split("}\n")[:2]
    assert 'metadata_path: "so \\"called\\"\\\\.tsv"' in first
    assert "metadata_path" not in second


def test_metadata_of_an_unknown_layer_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"embeddings_metadata names the layers \['letters'\]"):
        fit_words(tmp_path, embeddings_metadata={"letters": "labels.tsv"})


def test_vectors_are_renewed_every_so_many_epochs(tmp_path):
    model, seen = words_model(), []

    class Spy(Callback):
        def on_epoch_end(self, epoch, logs=None):
            written = table(tmp_path / "words_embedding.tsv")
            now = self.model.layers[0].get_weights()[0][WORDS].reshape(5, 6)
            seen.append(bool((written == now).all()))

    board = TensorBoard(tmp_path, embeddings_freq=2, embeddings_data=WORDS)
    model.fit(WORDS, np.zeros(5), epochs=4, verbose=0, callbacks=[board, Spy()])

    assert seen == [True, False, True, False]
    assert len(list(tmp_path.iterdir())) == 3  # no half-written file is left


@pytest.mark.parametrize("form", [[WORDS], {"words_input": WORDS}, WORDS.tolist()])
def test_embeddings_data_come_in_all_forms(tmp_path, form):
    fit_words(tmp_path, embeddings_data=form)

    assert table(tmp_path / "words_embedding.tsv").shape == (5, 6)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (None, "embeddings_freq=1 needs embeddings_data"),
        ([WORDS, WORDS[:2]], "must be one array"),
        (np.zeros((5, 7)), "embeddings_data does not fit"),
    ],
)
def test_embeddings_data_that_do_not_fit_are_refused(tmp_path, form, message):
    with pytest.raises(ValueError, match=message):
        fit_words(tmp_path, embeddings_data=form)


# The file and its life


def test_a_second_fit_writes_a_second_file(tmp_path):
    board = TensorBoard(tmp_path)
    model, _ = fit(board, epochs=1)
    fit(board, model, epochs=2, initial_epoch=1)
    fit(TensorBoard(tmp_path), model, epochs=3, initial_epoch=2)

    assert len(files(tmp_path)) == 3
    losses = [step for step, tag, _ in values(tmp_path, "simple_value") if tag == "loss"]
    assert losses == [0, 1, 2]  # TensorBoard, too, reads the files in the order of their names


def test_an_interrupted_fit_leaves_nothing_open(tmp_path):
    def interrupt(epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt

    threads = threading.active_count()
    board = TensorBoard(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fit([board, LambdaCallback(on_epoch_begin=interrupt)])
    assert threading.active_count() == threads
    board.writer.add_scalar("late", 1.0, 7)
    records_in_file = board.writer._records._writer
    del board
    gc.collect()  # pytest makes an error of a file that is not closed

    assert records_in_file.closed
    assert {step for step, _, _ in values(tmp_path, "simple_value")} == {0, 7}


def test_the_file_is_closed_at_the_end_of_the_training(tmp_path):
    seen = []
    board = TensorBoard(tmp_path)
    spy = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(board.writer._records))
    fit([board, spy], epochs=1)

    assert seen[0]._writer.closed


def test_a_loop_of_ones_own_works(tmp_path):
    board = TensorBoard(tmp_path)
    board.set_model(dense_model())
    assert files(tmp_path) == []
    for epoch in range(2):
        board.on_epoch_end(epoch, {"d_loss": epoch / 2})
    board.on_train_end(None)

    assert scalars(tmp_path) == [(0, "d_loss", 0.0), (1, "d_loss", 0.5)]
    assert len(graph(tmp_path).node) == 3


def test_summaries_of_ones_own_can_be_added(tmp_path):
    class Own(TensorBoard):
        def on_epoch_end(self, epoch, logs=None):
            summary = Summary(value=[Summary.Value(tag="own", simple_value=2.5)])
            self.writer.add_summary(summary, epoch)
            self.writer.add_summary(summary.SerializeToString(), 10 + epoch)
            super().on_epoch_end(epoch, logs)

    fit(Own(tmp_path), epochs=1)

    assert [entry for entry in scalars(tmp_path) if entry[1] == "own"] == [
        (0, "own", 2.5),
        (10, "own", 2.5),
    ]


def test_the_home_directory_and_nested_ones_are_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    fit(TensorBoard(os.path.join("~", "logs", "run")), epochs=1)

    assert len(files(tmp_path / "logs" / "run")) == 1


def test_the_default_is_logs_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit(TensorBoard(), epochs=1)

    assert len(files(tmp_path / "logs")) == 1


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda b: pickle.loads(pickle.dumps(b))])
@pytest.mark.parametrize("trained", [False, True])
def test_a_board_can_be_copied(tmp_path, copied, trained):
    board = TensorBoard(tmp_path, update_freq=5, embeddings_data=None)
    if trained:
        fit(board, epochs=1)
    other = copied(board)
    count = len(files(tmp_path))
    fit(other, epochs=1)

    assert other.update_freq == 5
    assert len(files(tmp_path)) == count + 1


def test_a_board_with_an_open_file_can_be_copied(tmp_path):
    board = TensorBoard(tmp_path)
    board.writer.add_scalar("one", 1.0, 0)
    other = copy.deepcopy(board)
    other.set_model(None)
    board.writer.add_scalar("one", 2.0, 1)
    other.writer.add_scalar("two", 3.0, 0)
    other.on_train_end()
    board.on_train_end()

    assert scalars(tmp_path) == [(0, "one", 1.0), (1, "one", 2.0), (0, "two", 3.0)]


def test_without_tensorboardx_the_message_tells_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r'pip install "minikeras\[tensorboard\]"'):
        TensorBoard()


def test_tensorboardx_is_not_imported_with_the_library():
    import subprocess

    code = "import sys, minikeras.callbacks.tensorboard; print('tensorboardX' in sys.modules)"
    home = str(Path(keras.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": home}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == "False"


# Arguments


def test_the_signature_is_that_of_keras_2_2_4():
    import inspect

    parameters = inspect.signature(TensorBoard).parameters
    assert {name: p.default for name, p in parameters.items()} == {
        "log_dir": "./logs",
        "histogram_freq": 0,
        "batch_size": 32,
        "write_graph": True,
        "write_grads": False,
        "write_images": False,
        "embeddings_freq": 0,
        "embeddings_layer_names": None,
        "embeddings_metadata": None,
        "embeddings_data": None,
        "update_freq": "epoch",
    }
    assert list(parameters)[:3] == ["log_dir", "histogram_freq", "batch_size"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"histogram_freq": -1}, "histogram_freq must be a whole number from 0 on, got -1"),
        ({"embeddings_freq": 0.5}, "embeddings_freq must be a whole number"),
        ({"batch_size": 0}, "batch_size must be a whole number from 1 on"),
        ({"batch_size": "all"}, "batch_size must be a whole number"),
        ({"update_freq": "step"}, "'epoch', 'batch' or a number of samples"),
        ({"update_freq": 0}, "greater than 0, got 0"),
        ({"log_dir": "s3://bucket/logs"}, "must be a directory on this computer"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TensorBoard(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"write_grads": True, "write_images": True}, "write_grads and write_images will have no"),
        ({"embeddings_data": WORDS}, "embeddings_data will have no effect without embeddings_freq"),
    ],
)
def test_arguments_without_effect_are_told_of(arguments, message):
    with pytest.warns(UserWarning, match=message):
        TensorBoard(**arguments)
