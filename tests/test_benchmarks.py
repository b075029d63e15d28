"""The benchmark harness: its arithmetic and its conversation; nothing here is timed."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import report
from benchmarks.__main__ import choose_peers, parse
from benchmarks.driver import PeerError, Result, Sample, alternate
from benchmarks.environments import PEERS
from benchmarks.peers.numpy_peer import expression
from benchmarks.peers.protocol import Worker
from benchmarks.workloads import WORKLOADS


def series(*ms):
    return [Sample(value, 10.0) for value in ms]


def test_ratio_is_of_medians_and_the_range_of_single_rounds():
    ratio = report.ratio([1.0, 2.0, 9.0], [4.0, 1.0, 8.0])
    assert (ratio.value, ratio.least, ratio.greatest) == (0.5, 0.25, 2.0)


def test_every_peer_has_one_turn_a_round_in_rotating_order(monkeypatch):
    monkeypatch.setattr("benchmarks.driver.settle", lambda: None)
    order = []

    def turn(name):
        return lambda: order.append(name) or Sample(1.0, None)

    result = alternate(Result("w", ""), {name: turn(name) for name in "abc"}, 3)
    assert "".join(order) == "abcbcacab"
    assert {name: len(samples) for name, samples in result.samples.items()} == dict.fromkeys(
        "abc", 3
    )


def test_a_peer_that_fails_is_left_out_with_its_reason(monkeypatch):
    monkeypatch.setattr("benchmarks.driver.settle", lambda: None)

    def fails():
        raise PeerError("it broke")

    turns = {"minikeras": lambda: Sample(1.0, None), "bad": fails}
    result = alternate(Result("w", "title"), turns, 2)
    assert result.missing == {"bad": "it broke"}
    assert "without bad: it broke" in report.text_table(result)


def test_markdown_has_a_column_for_each_peer_and_a_dash_for_what_is_missing():
    result = Result("w", "title", {"minikeras": series(1.0, 1.0), "torch": series(4.0, 2.0)})
    text = report.markdown([result], ["minikeras", "torch", "numpy"], ["date: today"])
    assert "| `w` | 0.333 (0.25..0.5) | - |" in text
    assert "| `w` | 1 | 3 | - |" in text
    assert "- date: today" in text


@pytest.mark.parametrize("name", WORKLOADS)
def test_workload_data_repeat_and_fit_the_network(name):
    workload = WORKLOADS[name]
    x, y = workload.data()
    again, _ = workload.data()
    np.testing.assert_array_equal(x, again)
    assert x.shape == (workload.rows, *workload.inputs.shape)
    assert y.shape == (workload.rows, *workload.targets.shape)
    assert x.dtype == np.float32


def test_worker_runs_what_was_asked_and_reports_time_by_step():
    done = []
    worker = Worker(lambda workload, x, y: lambda steps: done.append(steps) or steps, dict)
    answer = worker.answer({"cmd": "run", "workload": "mlp_small_predict_row", "steps": 7})
    assert done[-1] == 7
    assert answer["ms"] >= 0


def test_bare_expression_ends_in_probabilities():
    workload = WORKLOADS["mlp_small_predict_row"]
    y = workload.data()[0]
    for op in expression(workload):
        y = op(y)
    np.testing.assert_allclose(y.sum(axis=-1), 1, rtol=1e-6)


def test_peers_without_environment_are_absent(tmp_path):
    found, absent = choose_peers(parse(["--envs", str(tmp_path)]))
    assert [peer.name for peer, _ in found] == ["minikeras", "numpy"]
    assert absent == [
        name
        for name, peer in PEERS.items()
        if peer.environment != "minikeras" and not peer.optional
    ]


def test_unknown_workload_names_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        parse(["mnist_mpl"])
    assert "mnist_mlp" in capsys.readouterr().err
