"""Recurrent layers against Keras 2.2.4, where a network and five steps can't show it.

What happens to states between batches; masks in metrics; outputs that are lists; and derivatives by
initial states and under given dropout masks. The numbers are in tests/golden/recurrent.npz.
"""

import json

import numpy as np
import pytest

from minikeras import optimizers
from minikeras.engine import Context
from minikeras.layers import deserialize
from minikeras.models import Sequential
from tests.golden.reader import arrays_under, iter_cases, read_groups
from tests.test_parity import assert_close

GROUPS = read_groups("recurrent.npz")
STORIES = {name: group for name, group in GROUPS.items() if "events" in group}
SEQUENCES = {name: group for name, group in GROUPS.items() if "dx" in group}
CALLS = {name: group for name, group in GROUPS.items() if name.startswith("call_")}


def test_no_case_is_left_out():
    read = {case.name for case in iter_cases("recurrent.npz")}
    read = read.union(STORIES, SEQUENCES, CALLS)
    assert read == set(GROUPS)


# Stories: a network, and what happens to it


def make_model(group):
    model = Sequential([deserialize(entry) for entry in json.loads(str(group["network"]))])
    arguments = json.loads(str(group["compile"]))
    arguments.pop("targets", None)
    model.compile(optimizers.deserialize(arguments.pop("optimizer")), **arguments)
    model.set_weights(arrays_under(group, "weights0"))
    return model


def happen(model, event, group):
    """Let one event of a story happen, and return what it gives."""
    event = dict(event)
    what, layer, widths = event.pop("do"), event.pop("layer", None), event.pop("widths", None)
    for key in ("x", "y", "sample_weight"):
        if key in event:
            event[key] = group[f"{key}/{event[key]}"]
    if what == "states":
        return [np.asarray(state) for state in model.layers[layer].states]
    if what == "reset_states":
        target = model if layer is None else model.layers[layer]
        given = arrays_under(group, "state")
        return (
            target.reset_states(given if len(given) > 1 else given[0])
            if widths
            else (target.reset_states())
        )
    if what == "fit":
        return model.fit(verbose=0, **event).history["loss"]
    if what == "evaluate":
        event["verbose"] = 0
    return getattr(model, what)(**event)


@pytest.mark.parametrize("name", STORIES)
def test_states_and_measures_in_the_course_of_events(name):
    group = STORIES[name]
    model = make_model(group)
    for i, event in enumerate(json.loads(str(group["events"]))):
        found = happen(model, event, group)
        if event["do"] == "states":
            expected = arrays_under(group, f"result/{i}")
            for one, other in zip(found, expected, strict=True):
                assert_close(one, other, f"event {i}, {event}")
        elif event["do"] != "reset_states":
            assert_close(found, group[f"result/{i}"], f"event {i}, {event}")
    for one, other in zip(model.get_weights(), arrays_under(group, "weights_end"), strict=True):
        assert_close(one, other, "weights at the end")


# One call


def make_layer(group, **changes):
    entry = json.loads(str(group["layer"]))
    entry["config"].update(changes)
    layer = deserialize(entry)
    layer.ensure_built((None, *group["x"].shape[1:]))
    layer.set_weights(arrays_under(group, "weights0"))
    return layer


@pytest.mark.parametrize("name", CALLS)
def test_outputs_in_a_list(name):
    group = CALLS[name]
    mask = group["mask"] != 0 if "mask" in group else None
    found = make_layer(group)(group["x"], mask=mask)
    for one, other in zip(found, arrays_under(group, "outputs"), strict=True):
        assert_close(one, other, "output")


def fix_dropout(cell, group):
    """Let a cell's dropout be the recorded one, and those of the cells in it."""
    for i, part in enumerate(getattr(cell, "cells", [cell])):
        masks = tuple(
            arrays_under(group, f"{key}_masks/{i}") or None
            for key in ("dropout", "recurrent_dropout")
        )
        part.dropout_masks = lambda *shape_and_ctx, masks=masks: masks


def by_steps(array):
    return np.ascontiguousarray(array.swapaxes(0, 1))


def run(cell, group):
    """Run a cell forward and back from given states; return all that comes of it, by key."""
    gradients = {weight: np.full_like(weight.value, np.nan) for weight in cell.trainable_weights}
    ctx = Context(training=True, gradients=gradients)
    mask = by_steps(group["mask"]) != 0 if "mask" in group else None
    states = arrays_under(group, "initial_states")
    y, final, residual = cell.run(by_steps(group["x"]), states, mask, ctx)
    found = {"y": y.swapaxes(0, 1).copy(), "states": [state.copy() for state in final]}
    dy, dstates = by_steps(group["dy"]), [d.copy() for d in arrays_under(group, "dstates")]
    dx, dinitial = cell.run_backward(dy, dstates, residual, ctx)
    ctx.finish_gradients()
    found |= {"dx": dx.swapaxes(0, 1), "dinitial_states": dinitial}
    return found | {"gradients": list(gradients.values())}


@pytest.mark.parametrize("name", SEQUENCES)
def test_derivatives_of_a_sequence_with_given_states_and_dropout(name):
    group = SEQUENCES[name]
    cell = make_layer(group).cell
    fix_dropout(cell, group)
    found = run(cell, group)
    for key in ("y", "dx"):
        assert_close(found[key], group[key], key)
    for key in ("states", "dinitial_states", "gradients"):
        for one, other in zip(found[key], arrays_under(group, key), strict=True):
            assert_close(one, other, key)


# The names for graphics cards, which Keras can't run without one


@pytest.mark.parametrize(
    ("name", "case"),
    [("CuDNNLSTM", "sequence_lstm_sigmoid"), ("CuDNNGRU", "sequence_gru_reset_after_sigmoid")],
)
@pytest.mark.parametrize("backwards", [False, True])
def test_the_cudnn_layers_compute_what_the_others_do(name, case, backwards):
    from minikeras import layers

    group = SEQUENCES[case]
    twin = make_layer(group, go_backwards=backwards)
    layer = getattr(layers, name)(3, return_sequences=True, go_backwards=backwards)
    layer.ensure_built((None, *group["x"].shape[1:]))
    *kernels, bias = twin.get_weights()
    if layer.get_weights()[2].size > bias.size:  # one bias for the input, one for the state
        bias = np.concatenate([bias, np.zeros_like(bias)])
    layer.set_weights([*kernels, bias.reshape(layer.get_weights()[2].shape)])
    np.testing.assert_allclose(layer(group["x"]), twin(group["x"]), rtol=1e-6, atol=1e-7)
