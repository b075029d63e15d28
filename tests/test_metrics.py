"""Metrics by name: accuracies by hand, what 'accuracy' stands for, and agreement with Keras."""

import functools
import json

import numpy as np
import pytest

from minikeras import losses, metrics
from tests.golden.reader import iter_functions, read_groups

ACCURACIES = [
    "binary_accuracy",
    "categorical_accuracy",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]
every = pytest.mark.parametrize("name", ACCURACIES)


class CountSamples:
    """A metric over an epoch, in Keras' form."""

    name = "samples"

    def __init__(self):
        self.total = 0

    def reset_states(self):
        self.total = 0

    def __call__(self, y_true, y_pred):
        self.total += len(y_true)
        return self.total

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@every
def test_by_name_by_function_and_back(name):
    function = metrics.get(name)
    assert function is getattr(metrics, name)
    assert metrics.get(function) is function
    assert metrics.deserialize(name) is function
    assert metrics.serialize(function) == name


def test_every_loss_is_a_metric_under_all_its_names():
    for name in losses._registry.entries:
        assert metrics.get(name) is losses.get(name) is getattr(metrics, name)
    assert sorted(metrics._registry.entries) == sorted([*ACCURACIES, *losses._registry.entries])


def test_unknown_name_gets_the_closest():
    with pytest.raises(ValueError, match=r"Unknown metric 'binary_acuracy'.*'binary_accuracy'"):
        metrics.get("binary_acuracy")


@pytest.mark.parametrize("name", ["accuracy", "acc", "crossentropy", "ce"])
def test_short_names_need_a_loss(name):
    with pytest.raises(ValueError, match=rf"'{name}' has a meaning only together with a loss"):
        metrics.get(name)


def test_metric_objects_pass_through():
    metric = CountSamples()
    assert metrics.get(metric) is metric
    assert metrics.resolve(metric, losses.mse, (None, 1)) is metric
    assert metrics.metric_name(metric, metric) == "samples"
    assert isinstance(metrics.get(CountSamples), CountSamples)
    config = metrics.serialize(metric)
    again = metrics.deserialize(config, {"CountSamples": CountSamples})
    assert isinstance(again, CountSamples)


@pytest.mark.parametrize("name", ["acc", "accuracy"])
@pytest.mark.parametrize(
    "row", json.loads(str(read_groups("metrics.npz")["accuracy_table"]["json"])), ids=str
)
def test_what_accuracy_stands_for(name, row):
    metric = metrics.resolve(name, losses.get(row["loss"]), tuple(row["output_shape"]))
    assert metric is getattr(metrics, row["metric"])
    assert metrics.metric_name(name, metric) == row["name"]


@pytest.mark.parametrize("name", ["ce", "crossentropy"])
def test_what_crossentropy_stands_for(name):
    for loss, units, expected in (
        ("binary_crossentropy", 4, "binary_crossentropy"),
        ("mean_squared_error", 1, "binary_crossentropy"),
        ("sparse_categorical_crossentropy", 4, "sparse_categorical_crossentropy"),
        ("categorical_crossentropy", 4, "categorical_crossentropy"),
        ("mean_squared_error", 4, "categorical_crossentropy"),
    ):
        metric = metrics.resolve(name, losses.get(loss), (None, units))
        assert metric is getattr(losses, expected)
        assert metrics.metric_name(name, metric) == "ce"


def test_other_names_are_resolved_and_reported_in_full():
    metric = metrics.resolve("mae", losses.mse, (None, 1))
    assert metric is losses.mean_absolute_error
    assert metrics.metric_name("mae", metric) == "mean_absolute_error"


def test_a_metric_without_a_name():
    metric = functools.partial(metrics.top_k_categorical_accuracy, k=3)
    assert metrics.get(metric) is metric
    with pytest.raises(ValueError, match=r"no name.*__name__ = "):
        metrics.metric_name(metric, metric)
    metric.__name__ = "top_3"
    assert metrics.metric_name(metric, metric) == "top_3"


def test_binary_accuracy():
    y_true = [[0, 1, 1, 1], [0, 0, 0, 0]]
    y_pred = [[0.2, 0.9, 0.6, 0.4], [0.5, 0.5, 0.51, 1.0]]
    np.testing.assert_allclose(metrics.binary_accuracy(y_true, y_pred), [0.75, 0.5])
    found = metrics.binary_accuracy(y_true, y_pred, threshold=0.55)
    np.testing.assert_allclose(found, [0.75, 0.75])


def test_binary_accuracy_rounds_at_the_default_threshold():
    found = metrics.binary_accuracy([[3.0], [2.0]], [[2.9], [0.9]])
    np.testing.assert_array_equal(found, [1, 0])


def test_binary_accuracy_of_flat_targets_does_not_broadcast():
    found = metrics.binary_accuracy([0, 1, 1], np.array([[0.1], [0.9], [0.2]]))
    np.testing.assert_array_equal(found, [1, 1, 0])


def test_categorical_accuracy():
    y_true = np.eye(3)[[0, 1, 2, 2]]
    y_pred = [[0.8, 0.1, 0.1], [0.5, 0.4, 0.1], [0.2, 0.2, 0.6], [0.4, 0.2, 0.4]]
    np.testing.assert_array_equal(metrics.categorical_accuracy(y_true, y_pred), [1, 0, 1, 0])


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.uint8])
def test_sparse_accuracies_take_labels_of_any_form(shape, dtype):
    labels = np.array([0, 1, 2, 2], dtype).reshape(shape)
    y_pred = [[0.8, 0.1, 0.1], [0.5, 0.4, 0.1], [0.2, 0.2, 0.6], [0.4, 0.3, 0.2]]
    np.testing.assert_array_equal(metrics.sparse_categorical_accuracy(labels, y_pred), [1, 0, 1, 0])
    found = metrics.sparse_top_k_categorical_accuracy(labels, y_pred, k=2)
    np.testing.assert_array_equal(found, [1, 1, 1, 0])


def test_top_k_counts_ties_in():
    y_true, y_pred = np.eye(4)[[3, 3]], [[0.5, 0.2, 0.2, 0.2], [0.5, 0.3, 0.1, 0.1]]
    for k, expected in ((1, [0, 0]), (2, [1, 0]), (3, [1, 1])):
        found = metrics.top_k_categorical_accuracy(y_true, y_pred, k=k)
        np.testing.assert_array_equal(found, expected)


def test_top_k_is_five_by_default():
    y_pred = np.arange(7.0)[np.newaxis]
    assert metrics.sparse_top_k_categorical_accuracy([2], y_pred) == 1
    assert metrics.sparse_top_k_categorical_accuracy([1], y_pred) == 0
    assert metrics.top_k_categorical_accuracy(np.eye(7)[[2]], y_pred) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_top_k_misses_what_is_not_finite(bad):
    y_pred = np.array([[0.9, bad, 0.1], [0.9, 0.2, 0.1]])
    found = metrics.sparse_top_k_categorical_accuracy([0, 0], y_pred, k=2)
    np.testing.assert_array_equal(found, [0, 1])


@every
@pytest.mark.parametrize("shape", [(4, 3), (2, 5, 3), (1, 6)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_value_per_sample_in_the_type_of_the_predictions(name, shape, dtype):
    y_pred = np.random.uniform(size=shape).astype(dtype)
    labels = np.random.randint(0, shape[-1], shape[:-1])
    y_true = labels if "sparse" in name else np.eye(shape[-1])[labels]
    before = y_pred.copy(), y_true.copy()
    found = metrics.get(name)(y_true, y_pred)
    assert found.shape == shape[:-1]
    assert found.dtype == dtype
    np.testing.assert_array_equal(y_pred, before[0])
    np.testing.assert_array_equal(y_true, before[1])
    turned = metrics.get(name)(np.asfortranarray(y_true), np.asfortranarray(y_pred))
    np.testing.assert_array_equal(turned, found)


@pytest.mark.parametrize("case", list(iter_functions("metrics.npz")), ids=str)
def test_agrees_with_keras(case):
    metric = metrics.get(case.function)
    found = metric(case.arrays["y_true"], case.arrays["y_pred"], **case.kwargs)
    np.testing.assert_allclose(found.reshape(-1), case.arrays["value"].reshape(-1), rtol=1e-5)
