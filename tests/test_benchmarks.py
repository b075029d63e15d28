"""The benchmark harness: its arithmetic and its conversation; nothing here is timed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import conv_ops, report
from benchmarks.__main__ import choose_peers, parse
from benchmarks.conv_cases import CASES, FORWARD, INPUT_GRADIENT, PASSES, WEIGHT_GRADIENT, Case
from benchmarks.driver import PeerError, Result, Sample, alternate
from benchmarks.environments import PEERS
from benchmarks.peers import conv_protocol, minikeras_conv
from benchmarks.peers.minikeras_peer import build
from benchmarks.peers.numpy_peer import expression, lstm_step
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
    assert x.dtype == workload.inputs.dtype


@pytest.mark.parametrize("name", WORKLOADS)
def test_workload_layers_lead_from_its_inputs_to_its_targets(name):
    workload = WORKLOADS[name]
    model = build(workload)
    batch = 1 if name == "stateful_step" else None
    assert model.input_shape == (batch, *workload.inputs.shape)
    assert model.output_shape == (batch, *workload.targets.shape)


def test_words_are_as_frequent_as_in_a_text():
    workload = WORKLOADS["embedding_lstm"]
    x, _ = workload.data()
    assert x.min() >= 1
    assert x.max() < 20000
    counts = np.bincount(x.ravel())
    share = counts / x.size
    assert share.argmax() == 1
    assert 0.2 < share[:11].sum() < 0.3
    different = np.mean([len(np.unique(x[i : i + 16])) for i in range(0, 640, 16)])
    assert 550 < different < 610  # 582 in film reviews


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


def test_bare_step_of_an_lstm_is_that_of_the_layer():
    workload = WORKLOADS["stateful_step"]
    rng = np.random.default_rng(workload.seed)
    step = lstm_step(64, 128, np.random.default_rng(workload.seed))
    weights = rng.standard_normal((192, 512), dtype=np.float32) / np.float32(192**0.5)
    i, f, o, c = (weights[:, k * 128 : (k + 1) * 128] for k in range(4))
    weights = np.concatenate([i, f, c, o], axis=1)  # the order of Keras
    layer = build(workload).layers[0]
    layer.set_weights([weights[:64], weights[64:], np.zeros(512)])
    x = workload.data()[0]
    for _ in range(3):
        np.testing.assert_allclose(step(x), layer(x), rtol=1e-4, atol=1e-6)


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


def test_case_shapes_are_those_of_keras():
    assert CASES["mnist_cnn_2"].y == (128, 24, 24, 64)
    strided, dilated = CASES["strided"], CASES["dilated"]
    assert (strided.y, strided.pads) == ((32, 28, 28, 128), [(0, 1), (0, 1)])
    assert (dilated.y, dilated.pads) == ((32, 28, 28, 64), [(2, 2), (2, 2)])
    transposed = CASES["transposed"]
    assert (transposed.y, transposed.kernel) == ((32, 56, 56, 64), (3, 3, 64, 128))
    assert Case("", (1, 9, 2), 3, (3,), stride=2, dilation=2).y == (1, 3, 3)


def test_case_flops_count_each_multiplication_and_addition():
    assert Case("", (2, 5, 4), 3, (2,)).flops == 2 * (2 * 4) * (2 * 4 * 3)
    assert CASES["depthwise"].flops == 2 * (32 * 56 * 56 * 64) * 9
    assert CASES["transposed"].flops == 2 * (32 * 28 * 28) * (9 * 128 * 64)


@pytest.mark.parametrize("name", CASES)
def test_passes_of_a_case_are_the_gradients_of_its_forward_pass(name):
    case = replace(CASES[name], x=(1, *CASES[name].x[1:]), first=False)
    x, kernel, bias, dy = inputs = [a.astype(np.float64) for a in case.arrays()]
    bias[:] = 0
    y, dx, dkernel, dbias = results = [np.empty_like(a) for a in (dy, x, kernel, bias)]
    passes = minikeras_conv.passes_into(case, inputs, results)
    assert tuple(passes) == PASSES
    for call in passes.values():
        call()
    # What is linear in x and in the kernel: dy . y = dx . x = dkernel . kernel.
    expected = np.vdot(dy, y)
    np.testing.assert_allclose([np.vdot(dx, x), np.vdot(dkernel, kernel)], expected)
    if case.kind != "transposed":
        np.testing.assert_allclose(dbias, dy.sum((*range(dy.ndim - 1),)))


def test_conv_worker_reports_each_pass():
    passes = {FORWARD: lambda: None, WEIGHT_GRADIENT: lambda: None}
    answer = conv_protocol.turn(passes, 0.0, max)
    assert set(answer["parts"]) == set(passes)
    assert Sample(**answer).parts == answer["parts"]


def conv_result(name):
    """A result in which minikeras takes 1 and 3 ms for each pass, PyTorch 4 and 2."""

    def samples(*ms):
        return [Sample(0.0, None, parts=dict.fromkeys(CASES[name].passes, m)) for m in ms]

    machine = [Sample(0.0, None, parts={"sgemm": ms}) for ms in (9.0, 2.0)]
    parts = {"minikeras": samples(1.0, 3.0), "torch": samples(4.0, 2.0), "sgemm": machine}
    return Result(name, "title", parts)


def test_conv_table_has_ratios_and_shares_of_the_fastest_sgemm():
    result, first = conv_result("pointwise"), conv_result("conv1d_1")
    peak = conv_ops.sgemm_peak([result, first])
    assert peak == 2 * 1024**3 / 2.0
    share = f"{CASES['pointwise'].flops / 2.0 / peak:.0%}"
    assert conv_ops.cell(result, INPUT_GRADIENT, peak) == ["2", "3", "0.667 (0.25..1.5)", share]
    assert conv_ops.cell(first, INPUT_GRADIENT, peak) == ["-"] * 4
    assert share in conv_ops.text_table(result, peak)


def test_conv_report_without_the_peer_has_dashes_and_no_mean():
    result = conv_result("pointwise")
    assert conv_ops.mean_lines([result])[0].endswith("weight gradient 0.667, all 0.667")
    del result.samples["torch"]
    assert conv_ops.mean_lines([result]) == []
    assert "| `pointwise` | - | - | - |" in conv_ops.markdown([result], ["date: today"])


def test_unknown_case_names_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        conv_ops.parse(["pointless"])
    assert "pointwise" in capsys.readouterr().err
