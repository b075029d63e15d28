import numpy as np
import pytest

from minikeras.training.weighting import coefficients, standardize_weights

LABELS = np.array([0, 1, 2, 1])[:, np.newaxis]
ONE_HOT = np.eye(3)[LABELS[:, 0]]


def test_without_weights_all_scores_count_the_same():
    assert coefficients((2, 5), "float32").tolist() == np.full((2, 5), 0.1, "float32").tolist()


def test_weights_are_divided_by_the_share_that_is_not_zero():
    found = coefficients((4,), "float64", weights=np.array([1.0, 2.0, 0.0, 0.0]))

    assert found.tolist() == [0.25 / 0.5, 0.5 / 0.5, 0, 0]


def test_mask_is_divided_by_its_mean():
    mask = np.array([[True, False], [True, True]])

    assert coefficients((2, 2), "float64", mask=mask).tolist() == [[1 / 3, 0], [1 / 3, 1 / 3]]


def test_sample_weights_reach_all_steps():
    found = coefficients((2, 3), "float64", weights=np.array([1.0, 3.0]))

    assert np.allclose(found, [[1 / 6] * 3, [3 / 6] * 3])


def test_mask_and_weights_multiply():
    mask = np.array([[True, False], [True, True]])

    found = coefficients((2, 2), "float64", weights=np.array([2.0, 0.0]), mask=mask)

    assert np.allclose(found, [[2 / 3 / 0.5 / 1, 0], [0, 0]])


def test_all_weights_zero_give_no_loss_and_no_nan():
    assert coefficients((3,), "float32", weights=np.zeros(3)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("y", [LABELS, ONE_HOT], ids=["labels", "one-hot"])
def test_class_weights_go_to_the_samples_of_the_class(y):
    found = standardize_weights(y, class_weight={0: 1.0, 1: 5.0, 2: 0.5})

    assert found.tolist() == [1, 5, 0.5, 5]


def test_class_and_sample_weights_multiply():
    found = standardize_weights(LABELS, np.array([1, 2, 3, 4]), {0: 1.0, 1: 10.0, 2: 0.0})

    assert found.tolist() == [1, 20, 0, 40]


@pytest.mark.parametrize(
    ("y", "sample_weight", "class_weight", "mode", "message"),
    [
        (LABELS, np.ones(3), None, None, r"shape \(4,\).*got \(3,\)"),
        (LABELS, np.ones((4, 2)), None, None, "sample_weight_mode='temporal'"),
        (LABELS, np.ones((4, 1)), None, None, r"sample_weight\[:, 0\]"),
        (np.eye(3), np.ones(3), None, "temporal", "time axis"),
        (np.zeros((4, 3)), np.ones(3), None, None, r"class_weight=dict\(enumerate"),
        (np.zeros((4, 5, 1)), np.ones(4), None, "temporal", r"np\.repeat\(sample_weight"),
        (LABELS, None, {"0": 1, "1": 1, "2": 1}, None, r"keys are text.*int\(k\)"),
        (LABELS, None, {"cat": 1}, None, "not their names"),
        (LABELS, None, {(1, 0): 1}, None, "index of the 1"),
        (LABELS, None, {1: 1, 2: 1, 3: 1}, None, "count from 0"),
        (LABELS, None, {0: 1, 1: 1, 2: "x"}, None, "must be numbers; got"),
        (LABELS, np.ones((4, 2)), None, "temporal", "time axis"),
        (np.zeros((4, 5, 1)), np.ones((4, 2)), None, "temporal", r"shape \(4, 5\).*got \(4, 2\)"),
        (LABELS, None, {0: 1.0}, None, r"no entry for the classes \[1, 2\]"),
        (np.zeros((4, 5, 1)), None, {0: 1.0}, None, "one class per sample"),
    ],
)
def test_what_does_not_fit(y, sample_weight, class_weight, mode, message):
    with pytest.raises(ValueError, match=message):
        standardize_weights(y, sample_weight, class_weight, mode)


STEP_LABELS = np.zeros((8, 5), int)


def test_weights_of_steps_with_labels_of_steps():
    weights = np.ones((8, 5))

    assert standardize_weights(STEP_LABELS, weights, None, "temporal", output_rank=3) is weights
    with pytest.raises(ValueError, match=r"shape \(8, 5\).*got \(8, 4\)"):
        standardize_weights(STEP_LABELS, np.ones((8, 4)), None, "temporal", output_rank=3)
    with pytest.raises(ValueError, match="time axis"):
        standardize_weights(STEP_LABELS, weights, None, "temporal", output_rank=2)


def test_labels_of_steps_are_no_one_hot_rows():
    with pytest.raises(ValueError, match="one class per sample"):
        standardize_weights(STEP_LABELS, class_weight={0: 1.0}, output_rank=3)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_sample_weights_must_be_finite(bad):
    with pytest.raises(ValueError, match=rf"sample_weight .*holds {bad} at index \(2,\)"):
        standardize_weights(LABELS, np.array([1.0, -1.0, bad, 1.0]))


def test_errors_say_whose_weights_they_are():
    with pytest.raises(ValueError, match=r"^validation sample_weight must have"):
        standardize_weights(LABELS, np.ones(3), name="validation ")
    with pytest.raises(ValueError, match=r"^validation sample_weight .*holds nan"):
        standardize_weights(LABELS, np.full(4, np.nan), name="validation ")
    with pytest.raises(ValueError, match=r"got validation targets of shape"):
        standardize_weights(LABELS, np.ones((4, 2)), mode="temporal", name="validation ")


def test_class_weight_must_be_a_dict():
    with pytest.raises(TypeError, match=r"must be a dict.*got list.*enumerate"):
        standardize_weights(LABELS, class_weight=[1, 2, 3])
    with pytest.raises(TypeError, match=r"must be a dict.*got str.*np\.bincount"):
        standardize_weights(LABELS, class_weight="balanced")
    with pytest.raises(TypeError, match=r"must be a dict.*got float\.$"):
        standardize_weights(LABELS, class_weight=0.5)


def test_a_single_score_counts_for_each_sample():
    weights = np.array([1.0, 3.0, 0.0, 0.0])
    mask = np.array([[1, 1], [1, 0], [0, 0], [1, 1]], bool)
    assert coefficients((), "float64").tolist() == 1
    assert coefficients((), "float64", weights).tolist() == 2  # 4 / 4, over half of them
    assert coefficients((), "float64", mask=mask).tolist() == 1
    both = (mask.mean(axis=1) / mask.mean() * weights).mean() / 0.5
    np.testing.assert_allclose(coefficients((), "float64", weights, mask), both)


def test_class_weight_without_any_class_is_none():
    assert standardize_weights(np.array([0.3, 0.7]), class_weight={}) is None


def test_class_weight_needs_classes():
    with pytest.raises(ValueError, match=r"targets that are classes, 0, 1, 2, ...; they hold 0\.3"):
        standardize_weights(np.array([0.3, 0.7, 0.0]), class_weight={0: 1.0, 1: 2.0})
    with pytest.raises(ValueError, match=r"classes \[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, \.\.\.\] that"):
        standardize_weights(np.arange(30), class_weight={0: 1.0})
