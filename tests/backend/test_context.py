import numpy as np
import pytest

from minikeras import backend as K
from minikeras.backend import Variable, context
from minikeras.engine import Context, Workspace

# Workspace


def test_workspace_gives_the_same_arrays_in_each_pass_of_a_kind():
    workspace = Workspace()
    passes = []
    for _ in range(3):
        workspace.begin("train")
        passes.append([workspace.empty((2, 3), np.float32), workspace.empty((2, 3), np.float32)])
    assert passes[0][0] is passes[1][0] is passes[2][0]
    assert passes[0][1] is passes[1][1] is passes[2][1]
    assert passes[0][0] is not passes[0][1]


def test_workspace_gives_what_is_asked_for():
    workspace = Workspace()
    for shape, dtype in [((2, 3), "float32"), ((), "float64"), ((0, 4), np.int64), ((5,), bool)]:
        array = workspace.empty(shape, dtype)
        assert array.shape == shape
        assert array.dtype == np.dtype(dtype)


@pytest.mark.parametrize(("shape", "dtype"), [((3, 2), np.float32), ((2, 3), np.float64)])
def test_workspace_notices_another_shape_or_type(shape, dtype):
    workspace = Workspace()
    workspace.begin("train")
    first = workspace.empty((2, 3), np.float32)
    workspace.begin("train")
    other = workspace.empty(shape, dtype)
    assert other is not first
    assert (other.shape, other.dtype) == (shape, dtype)
    workspace.begin("train")
    assert workspace.empty(shape, dtype) is other


def test_workspace_never_gives_an_array_twice_in_a_pass():
    workspace = Workspace()
    workspace.begin("train")
    for size in (1, 2, 3):
        workspace.empty((size,), np.float32)
    workspace.begin("train")
    arrays = [workspace.empty((size,), np.float32) for size in (1, 3, 3, 2, 1)]
    assert len({id(a) for a in arrays}) == 5
    assert [a.size for a in arrays] == [1, 3, 3, 2, 1]


def test_workspace_kinds_do_not_share():
    workspace = Workspace()
    workspace.begin(("train", 32))
    train = workspace.empty((2,), np.float32)
    workspace.begin(("test", 32))
    assert workspace.empty((2,), np.float32) is not train
    workspace.begin(("train", 32))
    assert workspace.empty((2,), np.float32) is train


def test_workspace_forgets_the_oldest_kind():
    workspace = Workspace()
    arrays = {}
    for kind in range(Workspace.MAX_PLANS + 1):
        workspace.begin(kind)
        arrays[kind] = workspace.empty((2,), np.float32)
    workspace.begin(1)
    assert workspace.empty((2,), np.float32) is arrays[1]
    workspace.begin(0)
    assert workspace.empty((2,), np.float32) is not arrays[0]


def test_workspace_clear_gives_memory_back():
    workspace = Workspace()
    workspace.begin("train")
    first = workspace.empty((2,), np.float32)
    workspace.clear()
    workspace.begin("train")
    assert workspace.empty((2,), np.float32) is not first


# Context


def test_context_starts_plain():
    ctx = Context()
    assert ctx.training is False
    assert ctx.mask is None
    assert ctx.needs_input_gradient is True
    assert ctx.loss == 0
    assert ctx.empty((2, 3), np.float32).shape == (2, 3)


def test_context_takes_memory_from_its_workspace():
    workspace = Workspace()
    workspace.begin("train")
    first = Context(workspace=workspace).empty((2,), np.float32)
    workspace.begin("train")
    assert Context(workspace=workspace).empty((2,), np.float32) is first


def test_context_adds_penalties():
    ctx = Context()
    ctx.add_loss(1.5)
    ctx.add_loss(2.0)
    assert ctx.loss == 3.5


def test_context_checks_numerics_as_the_setting_says_at_its_start():
    assert not Context().check_numerics
    K.set_check_numerics(True)
    assert Context().check_numerics


def test_gradient_of_what_nobody_wants():
    wanted, other = Variable(np.zeros(2)), Variable(np.zeros(2))
    target = np.full(2, 7.0)
    ctx = Context(gradients={wanted: target})
    assert ctx.wants(wanted)
    assert not ctx.wants(other)
    assert ctx.gradient(other) is None
    ctx.add_gradient(other, np.ones(2))
    ctx.add_gradient(wanted, np.array([1.0, 2.0]))
    ctx.finish_gradients()
    assert target.tolist() == [1.0, 2.0]


def test_gradients_of_a_variable_used_several_times_are_added():
    variable = Variable(np.zeros(2))
    target = np.full(2, np.nan)
    ctx = Context(gradients={variable: target})
    for factor in (1.0, 10.0, 100.0):
        ctx.add_gradient(variable, np.array([factor, 2 * factor]))
    ctx.finish_gradients()
    assert target.tolist() == [111.0, 222.0]


def test_any_number_of_requests_takes_one_array_more():
    variable, other = Variable(np.zeros(3, "float32")), Variable(np.zeros(2))
    parts = np.random.default_rng(0).standard_normal((50, 3)).astype("float32")
    targets = {variable: np.full(3, np.nan, "float32"), other: np.full(2, np.nan)}
    workspace, made = Workspace(), []
    for _ in range(2):
        workspace.begin("train")
        ctx = Context(gradients=targets, workspace=workspace)
        given = set()
        for part in parts:
            ctx.gradient(other)[...] = part[:2]
            target = ctx.gradient(variable)
            target[...] = part
            given.add(id(target))
        ctx.finish_gradients()
        made.append(workspace._next)
        assert len(given) == 2
        total = parts[0].copy()
        for part in parts[1:]:
            total += part
        assert np.array_equal(targets[variable], total)  # in the order of the requests
        np.testing.assert_allclose(targets[other], parts[:, :2].sum(axis=0, dtype=float))
    assert made == [2, 2]


# Gradients by rows


def rows_of(*numbers, start=1.0):
    return np.array(numbers), start + np.arange(2.0 * len(numbers)).reshape(-1, 2)


def table(**kwargs):
    return Variable(np.zeros((5, 2)), **kwargs)


@pytest.fixture
def no_limit(monkeypatch):
    monkeypatch.setattr(context, "ROWS_FROM", 0)


def test_rows_are_written_out_where_the_pass_knows_nothing_of_them(no_limit):
    variable, target = table(), np.full((5, 2), np.nan)
    ctx = Context(gradients={variable: target})
    ctx.add_rows(variable, *rows_of(1, 3))
    ctx.add_rows(table(), *rows_of(1, 3))  # not wanted
    ctx.finish_gradients()
    assert target.tolist() == [[0, 0], [1, 2], [0, 0], [3, 4], [0, 0]]


def test_rows_are_kept_where_they_may_be(no_limit):
    variable, target, kept = table(), np.full((5, 2), np.nan), {}
    ctx = Context(gradients={variable: target}, row_gradients=kept)
    rows, values = rows_of(1, 3)
    ctx.add_rows(variable, rows, values)
    ctx.finish_gradients()
    assert np.isnan(target).all()
    assert list(kept) == [variable]
    assert kept[variable].rows is rows
    assert kept[variable].values is values


@pytest.mark.parametrize("reason", ["small", "regularizer"])
def test_rows_are_written_out_where_the_whole_is_needed(reason, monkeypatch):
    monkeypatch.setattr(context, "ROWS_FROM", 11 if reason == "small" else 0)
    variable = table(regularizer=abs if reason == "regularizer" else None)
    target, kept = np.full((5, 2), np.nan), {}
    Context(gradients={variable: target}, row_gradients=kept).add_rows(variable, *rows_of(4))
    assert kept == {}
    assert target.tolist() == [[0, 0]] * 4 + [[1, 2]]


@pytest.mark.parametrize("order", ["rrr", "rrw", "rwr", "wrr", "wwr", "wrw", "rww"])
@pytest.mark.parametrize("may_keep", [False, True])
def test_rows_and_whole_gradients_add_up(order, may_keep, no_limit):
    variable, target = table(), np.full((5, 2), np.nan)
    kept = {} if may_keep else None
    ctx = Context(gradients={variable: target}, row_gradients=kept)
    expected = np.zeros((5, 2))
    for number, form in enumerate(order):
        rows, values = rows_of(1, 2 + number, start=10.0**number)
        if form == "r":
            ctx.add_rows(variable, rows, values)
            expected[rows] += values
        else:
            ctx.gradient(variable)[...] = 7.0**number
            expected += 7.0**number
    ctx.finish_gradients()
    assert not kept
    np.testing.assert_allclose(target, expected)


def test_a_gradient_that_nobody_writes_is_zero():
    written, silent = Variable(np.zeros(1)), Variable(np.zeros(1))
    targets = {written: np.full(1, np.nan), silent: np.full(1, np.nan)}
    ctx = Context(gradients=targets)
    ctx.add_gradient(written, np.ones(1))
    ctx.finish_gradients()
    assert targets[written] == 1.0
    assert targets[silent] == 0.0


def test_generator_is_one_for_the_pass_and_follows_numpys_seed():
    draws = []
    for _ in range(2):
        np.random.seed(4)
        ctx = Context()
        assert ctx.generator is ctx.generator
        draws.append(ctx.generator.random(3).tolist())
    assert draws[0] == draws[1]
    assert Context().generator.random(3).tolist() != draws[0]


def test_a_pass_without_random_layers_leaves_numpys_numbers_alone():
    np.random.seed(4)
    expected = np.random.random()
    np.random.seed(4)
    Context(training=True)
    assert np.random.random() == expected
