import numpy as np
import pytest

from minikeras import activations, losses
from minikeras.training.targets import (
    check_activation,
    check_held_out,
    check_labels,
    check_range,
    check_targets,
)


def own_loss(y_true, y_pred):
    return np.zeros(len(y_pred))


CCE, SPARSE, BCE, MSE = (
    losses.categorical_crossentropy,
    losses.sparse_categorical_crossentropy,
    losses.binary_crossentropy,
    losses.mean_squared_error,
)


@pytest.mark.parametrize(
    ("loss", "shape", "output_shape"),
    [
        (CCE, (7, 10), (None, 10)),
        (CCE, (7, 5, 10), (None, 5, 10)),
        (CCE, (7, 5, 10), (None, None, 10)),
        (SPARSE, (7,), (None, 10)),
        (SPARSE, (7, 1), (None, 10)),
        (SPARSE, (7, 5), (None, 5, 10)),
        (SPARSE, (7, 5, 1), (None, None, 10)),
        (BCE, (7, 1), (None, 1)),
        (BCE, (7,), (None, 1)),
        (MSE, (7, 3), (None, 3)),
        (MSE, (7, 5, 3), (None, None, 3)),
        (own_loss, (7, 2), (None, 3)),
    ],
)
def test_targets_that_fit(loss, shape, output_shape):
    check_targets(loss, shape, output_shape)
    check_targets(loss, np.zeros(shape), output_shape)


LABELS_HINT = r"loss='sparse_categorical_crossentropy'.*to_categorical\(y, 10\)"
ONE_HOT_HINT = r"loss='categorical_crossentropy'.*argmax"


@pytest.mark.parametrize(
    ("loss", "shape", "output_shape", "message"),
    [
        (CCE, (7,), (None, 10), LABELS_HINT),
        (CCE, (7, 1), (None, 10), LABELS_HINT),
        (CCE, (7, 5, 1), (None, 5, 10), LABELS_HINT),
        (CCE, (7, 9), (None, 10), r"shape \(samples, 10\): .*\(samples, 9\).*last layer 9 units"),
        (CCE, (7, 11), (None, 10), r"count from 1\? .*to_categorical\(y - 1\)"),
        (CCE, (7, 1), (None, 1), r"single unit.*loss='binary_crossentropy'"),
        (SPARSE, (7, 10), (None, 10), ONE_HOT_HINT),
        (SPARSE, (7, 5, 10), (None, 5, 10), ONE_HOT_HINT),
        (SPARSE, (7, 3), (None, 10), r"integer labels of shape \(samples, 1\): .*\(samples, 3\)"),
        (SPARSE, (7,), (None, 5, 10), r"shape \(samples, 5, 1\): .*\(samples,\)"),
        (BCE, (7, 2), (None, 1), r"binary_crossentropy .*\(samples, 2\).*output \(samples, 1\)"),
        (MSE, (7,), (None, 3), r"mean_squared_error .*\(samples,\).*output \(samples, 3\)"),
        (MSE, (7, 1), (None, 3), r"\(samples, 1\).*\(samples, 3\)"),
        (MSE, (7, 3), (None, None, 3), r"\(samples, 3\).*\(samples, any, 3\)"),
    ],
)
def test_targets_that_do_not_fit(loss, shape, output_shape, message):
    with pytest.raises(ValueError, match=message):
        check_targets(loss, np.zeros(shape), output_shape)


@pytest.mark.parametrize("labels", [[0, 1, 2], [[2], [0]], [0.0, 2.0], np.zeros((0, 1)), [True]])
def test_labels_that_fit(labels):
    check_labels(labels, 3)


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        ([1, 2, 3], 3, r"labels from 0 to 2.*from 1 to 3.*subtract 1"),
        ([-1, 2], 3, r"from -1 to 2.*one unit for each class"),
        ([0, 7], 3, r"from 0 to 7.*one unit for each class"),
        ([0, 1], 1, r"from 0 to 1\. .*binary_crossentropy"),
        ([0.0, 1.5], 3, r"1\.5 is not a whole number"),
        ([0.0, np.nan], 3, r"1 of 2 are NaN.*isnan"),
    ],
)
def test_labels_that_do_not_fit(labels, classes, message):
    with pytest.raises(ValueError, match=message):
        check_labels(np.array(labels), classes)


def test_errors_say_whose_targets_they_are():
    with pytest.raises(ValueError, match=r"the validation targets have shape \(samples, 1\)"):
        check_targets(MSE, (7, 1), (None, 3), name="validation ")
    with pytest.raises(ValueError, match="expects validation labels from 0 to 2"):
        check_labels([7], 3, name="validation ")


@pytest.mark.parametrize("y", [[0, 1], [0.5], [], [True], [-0.0]])
def test_probabilities_as_targets(y):
    check_range(BCE, np.array(y))


@pytest.mark.parametrize("y", [[0, 2], [-1, 1], [0.0, 1.001]])
def test_targets_of_binary_crossentropy_lie_between_0_and_1(y):
    with pytest.warns(UserWarning, match="from 0 to 1, but some lie outside"):
        check_range(BCE, np.array(y))
    check_range(MSE, np.array(y))


@pytest.mark.parametrize("y", [[2.0], [-7.0, 0.5]])
def test_batches_out_of_range_have_one_text(y):
    with pytest.warns(
        UserWarning, match=r"^[^\d]*0 to 1, .* 0, 1, 2, .* -1 and 1, .* 2; .* by 255"
    ):
        check_range(BCE, np.array(y))


SOFTMAX = activations.softmax


def test_a_softmax_over_one_unit():
    with pytest.warns(UserWarning, match="one unit, which always gives 1"):
        check_activation(BCE, SOFTMAX, 1)
    check_activation(BCE, activations.sigmoid, 1)


@pytest.mark.parametrize("metrics", ["acc", ["accuracy"], ("mae", "acc")])
def test_accuracy_of_single_columns(metrics):
    with pytest.warns(UserWarning, match="binary_accuracy: each of the 3 columns"):
        check_activation(BCE, SOFTMAX, 3, metrics)


@pytest.mark.parametrize(
    ("loss", "activation", "units", "metrics"),
    [
        (BCE, SOFTMAX, 2, ["acc"]),
        (BCE, SOFTMAX, 3, ["categorical_accuracy"]),
        (BCE, SOFTMAX, 3, None),
        (BCE, SOFTMAX, None, ["acc"]),
        (BCE, activations.sigmoid, 3, ["acc"]),
        (CCE, SOFTMAX, 3, ["acc"]),
        (own_loss, None, 1, ["acc"]),
    ],
)
def test_activations_that_suit_the_loss(loss, activation, units, metrics):
    check_activation(loss, activation, units, metrics)


ONE_HOT = np.eye(3)


@pytest.mark.parametrize(
    ("loss", "trained", "held", "classes"),
    [
        (SPARSE, [0, 1, 0], [1, 2], "class 2"),
        (SPARSE, [[0], [1]], [[3], [2]], "classes 2, 3"),
        (SPARSE, [0], np.arange(1, 20), r"9, 10, \.\.\."),
        (BCE, [0, 0], [1], "class 1"),
        (CCE, ONE_HOT[[0, 1]], ONE_HOT[[2, 2]], "class 2"),
        (MSE, ONE_HOT[[0, 1]], ONE_HOT[[2, 2]], "class 2"),
    ],
)
def test_a_class_that_only_validation_has(loss, trained, held, classes):
    with pytest.warns(UserWarning, match=rf"{classes}: .*np\.random\.permutation"):
        check_held_out(loss, np.array(trained), np.array(held))


@pytest.mark.parametrize(
    ("loss", "trained", "held"),
    [
        (SPARSE, [0, 1, 2], [1, 2]),
        (SPARSE, [0, 1, 2], [0]),
        (MSE, [0, 1], [2]),
        (BCE, [0.25, 0.5], [0.75]),
        (BCE, [[0, 0], [1, 0]], [[1, 1]]),
        (BCE, [[0.0, 1.0]], [[0.5, 0.5]]),
        (CCE, ONE_HOT[[0, 1]], ONE_HOT[[1, 0]]),
        (CCE, np.zeros((2, 4, 3)), np.ones((2, 4, 3))),
    ],
)
def test_held_out_targets_without_a_new_class(loss, trained, held):
    check_held_out(loss, np.array(trained), np.array(held))
