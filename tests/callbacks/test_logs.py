import copy
import json

import numpy as np
import pytest

from minikeras import backend as K
from minikeras.callbacks import Logs
from minikeras.callbacks.logs import plain


def test_logs_keep_one_spelling_and_find_both():
    logs = Logs(val_acc=0.25)

    assert logs["val_accuracy"] == 0.25
    assert logs.get("val_accuracy", 1) == 0.25
    assert logs.get("accuracy", 1) == 1
    assert "val_accuracy" in logs
    assert "accuracy" not in logs
    with pytest.raises(KeyError):
        logs["acc"]
    assert dict(logs) == {"val_acc": 0.25}


@pytest.mark.parametrize(("stored", "other"), [("acc", "accuracy"), ("val_accuracy", "val_acc")])
def test_logs_change_the_spelling_that_is_stored(stored, other):
    logs = Logs({stored: [1]})

    logs.setdefault(other, []).append(2)
    assert dict(logs) == {stored: [1, 2]}
    logs[other] = 3
    assert dict(logs) == {stored: 3}
    logs.update({other: 4})
    assert dict(logs) == {stored: 4}
    assert logs.pop(other) == 4
    assert logs.pop(other, None) is None
    assert dict(logs) == {}
    with pytest.raises(KeyError, match=other):
        logs.pop(other)
    logs[stored] = 5
    del logs[other]
    assert dict(logs) == {}


def test_a_copy_of_logs_finds_both_spellings():
    assert copy.copy(Logs(acc=1))["accuracy"] == 1
    assert copy.deepcopy(Logs(acc=1))["accuracy"] == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array(0.5), 0.5),
        (np.array([[1, 2]]), [[1, 2]]),
        ((np.float32(1), [2]), [1.0, [2]]),
        ({"a": np.float32(1)}, {"a": 1.0}),
        ("high", "high"),
        (None, None),
        (2j, "2j"),
        (np.array(2j), "2j"),
    ],
)
def test_plain_values_are_what_json_knows(value, expected):
    assert plain(value) == expected
    assert type(plain(value)) is type(expected)
    json.dumps(plain(value))


def test_a_variable_is_a_plain_number_too():
    assert plain(K.variable(0.5)) == 0.5
    assert type(plain(K.variable(0.5))) is float


def test_short_names_of_later_keras_are_found_but_not_merged():
    logs = Logs({"mean_absolute_error": 1.0, "val_mean_squared_error": 2.0})
    assert (logs["mae"], logs["val_mse"]) == (1.0, 2.0)
    assert "val_mse" in logs
    assert "mse" not in logs
    logs["mae"] = 3.0
    assert dict(logs) == {"mean_absolute_error": 1.0, "val_mean_squared_error": 2.0, "mae": 3.0}
