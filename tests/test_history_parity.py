"""Runs of real Keras, repeated: the same histories, events and results to 1e-5.

The cases are in tests/golden/history_cases.py and its neighbours, the answers of Keras in
tests/golden/histories.json, the script that asked in tests/golden/generate_histories.py.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import minikeras
from tests.golden import history_callback_cases, history_use_cases  # noqa: F401 - for its cases
from tests.golden.history_cases import CASES, Data

ANSWERS = json.loads((Path(__file__).parent / "golden" / "histories.json").read_text())
NOT_FOLLOWED = [case for case in CASES.values() if case.instead]


def differences(found, expected, where=""):
    """Where two answers differ: names and numbers of events exactly, floats by 1e-5."""
    if isinstance(expected, dict) and isinstance(found, dict):
        if list(found) != list(expected):
            return [f"{where}: keys {list(found)}, expected {list(expected)}"]
        pairs = [(key, found[key], expected[key]) for key in expected]
    elif isinstance(expected, list) and isinstance(found, list):
        if len(found) != len(expected):
            return [f"{where}: {len(found)} entries, expected {len(expected)}: {found}, {expected}"]
        pairs = [(i, *both) for i, both in enumerate(zip(found, expected, strict=True))]
    else:
        return [] if same(found, expected) else [f"{where}: {found!r}, expected {expected!r}"]
    return [line for key, *both in pairs for line in differences(*both, f"{where}/{key}")]


def same(found, expected):
    if isinstance(found, float) or isinstance(expected, float):
        if not all(isinstance(value, int | float) for value in (found, expected)):
            return False
        both_nan = math.isnan(found) and math.isnan(expected)
        return both_nan or math.isclose(found, expected, rel_tol=1e-5, abs_tol=1e-5)
    return type(found) is type(expected) and found == expected


def check(found, expected):
    # Through JSON, because a history is of plain numbers.
    lines = differences(json.loads(json.dumps(found)), expected)
    assert not lines, "\n".join(lines)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES.values()])
def test_a_run_reports_what_keras_reports(case, tmp_path):
    minikeras.backend.clear_session()
    np.random.seed(0)
    with np.errstate(over="ignore", invalid="ignore"):  # TerminateOnNaN needs a NaN
        found = case.run(minikeras, Data(case.name, tmp_path))
    check(found, ANSWERS[case.name])


def test_a_metric_that_reads_its_count_and_adds_to_it_reports_the_same(tmp_path):
    data = Data("stateful_metric", tmp_path)
    check(history_use_cases.stateful_metric(minikeras, data, adds=True), ANSWERS["stateful_metric"])


def test_each_case_has_an_answer_and_each_answer_a_case():
    marked = {f"{case.name} (2.2.4)" for case in NOT_FOLLOWED}
    assert set(ANSWERS) == set(CASES) | marked


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in NOT_FOLLOWED])
def test_where_keras_is_not_followed_there_is_a_reason_and_a_difference(case):
    assert case.why
    assert differences(ANSWERS[f"{case.name} (2.2.4)"], ANSWERS[case.name])


def test_differences_are_found():
    answer = {"loss": [1.0, 2.0], "event": ["on_epoch_end", 0, True]}
    assert not differences({"loss": [1.000009, 2.0], "event": ["on_epoch_end", 0, True]}, answer)
    wrong = [
        {"event": ["on_epoch_end", 0, True], "loss": [1.0, 2.0]},  # in another order
        {"loss": [1.00003, 2.0], "event": ["on_epoch_end", 0, True]},
        {"loss": [1.0], "event": ["on_epoch_end", 0, True]},
        {"loss": [math.nan, 2.0], "event": ["on_epoch_end", 0, True]},
        {"loss": [1.0, 2.0], "event": ["on_epoch_end", 1, True]},
        {"loss": [1.0, 2.0], "event": ["on_epoch_end", 0, 1]},
        {"loss": [1.0, 2.0], "event": ["on_epoch_end", 0, None]},
        {"loss": 1.0, "event": ["on_epoch_end", 0, True]},
        {"loss": [1.0, 2.0]},
    ]
    assert all(differences(found, answer) for found in wrong)
