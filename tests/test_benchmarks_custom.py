"""`benchmarks.custom` compares things that compute the same; nothing here is timed."""

from __future__ import annotations

import re

import numpy as np
import pytest

from benchmarks import custom
from minikeras.testing import check_gradients


@pytest.fixture(params=custom.NETWORKS, ids=lambda workload: workload.name)
def workload(request):
    return request.param


@pytest.mark.parametrize("name", custom.LAYERS)
def test_networks_differ_in_nothing_but_their_layers(name, workload):
    x, y = (array[:32] for array in workload.data())
    expected = custom.network(workload, custom.Dense, workload.loss)
    model = custom.network(workload, custom.LAYERS[name], workload.loss)
    assert sum(type(layer) is custom.LAYERS[name] for layer in model.layers) == 3
    for weight, other in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)
    np.testing.assert_allclose(model.predict(x), expected.predict(x), rtol=1e-4)
    for trained in (expected, model):
        np.random.seed(1)  # the same dropout
        trained.train_on_batch(x, y)
    for weight, other in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "softmax"])
@pytest.mark.parametrize("name", [name for name in custom.LAYERS if name != "Dense"])
def test_custom_layers_pass_the_gradient_check(name, activation):
    check_gradients(custom.LAYERS[name](3, activation), input_shape=(4, 5))


def test_custom_loss_is_the_built_in_one():
    y_true, y_pred = np.random.default_rng(0).random((2, 4, 3))
    expected = custom.LOSSES["mse"], custom.custom_mse
    found = [check_gradients(loss, y_true, y_pred).analytic for loss in expected]
    np.testing.assert_allclose(*found)


@pytest.mark.parametrize("name", custom.CHAINS)
def test_both_sides_of_a_chain_agree(name):
    tape, bare = (side() for side in custom.CHAINS[name])
    np.testing.assert_allclose(tape, bare, rtol=1e-5)
    assert np.abs(bare[0]).max() > 0


@pytest.mark.parametrize("name", custom.PLAIN)
def test_both_sides_of_a_call_agree(name):
    own, bare = (side() for side in custom.PLAIN[name])
    assert type(own) is type(bare)
    np.testing.assert_allclose(own, bare, rtol=1e-5)


def test_turns_rotate_after_one_to_warm_up():
    order = []
    turns = {name: lambda name=name: order.append(name) for name in "ab"}
    seconds = custom.alternate(turns, 3)
    assert "".join(order) == "ab" + "ab" + "ba" + "ab"
    assert [len(series) for series in seconds.values()] == [3, 3]


def test_ratio_is_the_median_of_those_of_single_rounds():
    found = custom.ratios({"base": [1.0, 2.0, 10.0], "own": [2.0, 3.0, 40.0]})
    assert found == {"own": custom.Ratio(2.0, 1.5, 4.0)}


def test_report_has_a_row_for_each_comparison(monkeypatch, capsys):
    monkeypatch.setattr(custom, "training", lambda workload: _idle_turns())
    monkeypatch.setattr(custom, "TURN_SECONDS", 0.0)
    assert custom.main(["--rounds", "1"]) == 0
    printed = capsys.readouterr().out
    rows = re.findall(r"^\| `(.*?)`", printed, re.MULTILINE)
    assert rows == [*(w.name for w in custom.NETWORKS), *custom.CHAINS, *custom.PLAIN]
    tables = [line.count("|") for line in printed.splitlines() if line.startswith("|")]
    assert set(tables) == {6, 5}


def _idle_turns():
    return tuple({name: lambda: None for name in names} for names in (custom.LOSSES, custom.LAYERS))


def test_no_rounds_are_refused(capsys):
    with pytest.raises(SystemExit):
        custom.main(["--rounds", "0"])
    assert "at least 1" in capsys.readouterr().err
