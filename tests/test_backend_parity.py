"""`K` against the `K` of Keras 2.2.4: values, types, gradients, names and signatures.

The numbers are in tests/golden/backend.npz, the cases in tests/golden/backend_cases.py. Each case
runs three times: on plain arrays, on tensors that are differentiated, and on placeholders.
"""

import inspect
import json

import numpy as np
import pytest

from minikeras import backend as K
from minikeras.backend.backpropagation import backpropagate
from minikeras.backend.operators import TensorLike
from minikeras.backend.tape import Tensor
from tests.golden import backend_layer_cases  # noqa: F401 - its cases enter those of backend_cases
from tests.golden.backend_cases import CASES, PROGRAMS, flattened
from tests.golden.backend_programs import RANDOM
from tests.golden.reader import read_groups
from tests.test_parity import assert_close

GROUPS = read_groups("backend.npz")
SIGNATURES = json.loads(str(GROUPS.pop("signatures")["json"]))
ABOUT = {name: json.loads(str(group["about"])) for name, group in GROUPS.items()}

# Gradients that are others, by the beginning of the case's name.
OTHER_GRADIENT = {
    f"{function} at the ends": "where a function is cut off there is a corner, with two slopes"
    for function in ("relu", "hard_sigmoid")
}
# And where what is differentiated by is a placeholder.
OTHER_DEFERRED_GRADIENT = OTHER_GRADIENT | {
    "map_fn of what a function captures": "it is not known before the function runs"
}


def differentiable(exceptions):
    """The cases with gradients; the exceptions must fail."""
    found = []
    for name, case in CASES.items():
        reasons = [reason for start, reason in exceptions.items() if name.startswith(start)]
        marks = [pytest.mark.xfail(reason=reason, strict=True) for reason in reasons]
        if case.by:
            found.append(pytest.param(name, id=name, marks=marks))
    return found


# What K has that 2.2.4's has not, or that has no value to compare.
WITHOUT_CASE: dict[str, str] = {
    "Tensor": "a class of minikeras",
    "Variable": "a class of minikeras",
    "backend": "gives 'numpy', and not 'tensorflow'",
    "check_numerics": "a setting of minikeras",
    "set_check_numerics": "a setting of minikeras",
    "clear_session": "gives nothing back; programs call it",
    "get_uid": "a counter, tested with the names of layers",
    "name_scope": "a with block without effect",
    "reset_uids": "gives nothing back",
}
# Functions whose arguments differ, and why.
OTHER_SIGNATURE: dict[str, str] = {}


@pytest.fixture(autouse=True)
def settings():
    """Leave the settings as they were, also where a program fails on the way."""
    yield
    K.set_epsilon(1e-7)
    K.set_floatx("float32")
    K.set_image_data_format("channels_last")
    K.clear_session()


def kind(dtype):
    """What must agree of a type: floats have a width, integers need not."""
    dtype = np.dtype(dtype)
    return str(dtype) if dtype.kind == "f" else "integer" if dtype.kind in "iu" else dtype.kind


def check(name, key, found):
    """Compare one result with the golden one."""
    about = ABOUT[name]
    if key in about["plain"]:
        assert not isinstance(found, (TensorLike, np.ndarray))
        assert found == about["plain"][key], key
        return
    expected = GROUPS[name][key]
    found = np.asarray(found)
    assert found.shape == expected.shape, f"{key}: shape {found.shape}, not {expected.shape}"
    assert kind(found.dtype) == kind(about["types"][key]), key
    if found.dtype.kind == "f":
        assert_close(found, expected, key)
    else:
        np.testing.assert_array_equal(found, expected, err_msg=key)


def check_gradient(name, i, found, shape):
    """Compare a gradient with the golden one; where there is none, zero is as good."""
    expected = GROUPS[name].get(f"gradient{i}")
    found = np.zeros(shape) if found is None else found
    assert found.shape == shape, f"gradient {i}: shape {found.shape}, not {shape}"
    assert_close(found, np.zeros(shape) if expected is None else expected, f"gradient {i}")


def weighted(name, result):
    """Whether the golden gradients are those of this result, among others."""
    return ABOUT[name]["types"].get(result) == "float32"


# The list is complete


def test_every_function_has_a_case():
    covered = {case.function for case in CASES.values()} | {random.function for random in RANDOM}
    covered |= {name for program in PROGRAMS.values() for name in program.functions}
    assert set(K.__all__) - covered - set(WITHOUT_CASE) == set(), "neither a case nor a reason"
    assert set(WITHOUT_CASE) <= set(K.__all__), "a reason for what is not there"
    assert set(OTHER_SIGNATURE) <= set(K.__all__), "a reason for what is not there"


def test_all_golden_cases_are_replayed():
    assert set(GROUPS) == set(CASES) | set(PROGRAMS)


@pytest.mark.parametrize("name", sorted(set(SIGNATURES) & set(K.__all__)))
def test_arguments_are_those_of_2_2_4(name):
    found = [
        [p.name, int(p.kind)] + ([] if p.default is p.empty else [p.default])
        for p in inspect.signature(getattr(K, name)).parameters.values()
    ]
    same = json.loads(json.dumps(found)) == SIGNATURES[name]
    assert same != (name in OTHER_SIGNATURE), f"{found} and not {SIGNATURES[name]}"


# Values


@pytest.mark.parametrize("name", CASES)
def test_values(name):
    case = CASES[name]
    arrays = case.arrays()
    for array in arrays:
        array.flags.writeable = False
    results = case.run(K, arrays)
    for i, result in enumerate(results):
        assert not isinstance(result, TensorLike), "plain arrays must give plain arrays"
        check(name, f"result{i}", result)
    assert f"result{len(results)}" not in GROUPS[name]


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name):
    results = flattened(PROGRAMS[name].run(K))
    for i, result in enumerate(results):
        check(name, f"result{i}", result)
    assert f"result{len(results)}" not in GROUPS[name]


@pytest.mark.parametrize("case", RANDOM, ids=lambda case: f"{case.function}-{case.arguments}")
def test_random_numbers_have_the_right_moments(case):
    np.random.seed(3)
    case.check(K.eval(getattr(K, case.function)(*case.inputs, **case.arguments)))


# Gradients


@pytest.mark.parametrize("name", differentiable(OTHER_GRADIENT))
def test_gradients(name):
    case = CASES[name]
    arrays = case.arrays()
    inputs = [Tensor(array) if i in case.by else array for i, array in enumerate(arrays)]
    seeds = []
    for i, result in enumerate(case.run(K, inputs)):
        check(name, f"result{i}", result.value if isinstance(result, TensorLike) else result)
        if isinstance(result, Tensor) and weighted(name, f"result{i}"):
            seeds.append((result, case.upstream(i, result.shape)))
    found = backpropagate(seeds, [inputs[i] for i in case.by])
    for i, gradient in zip(case.by, found, strict=True):
        check_gradient(name, i, gradient, arrays[i].shape)


# The same, put off until a K.function runs


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.arrays()])
def test_deferred(name):
    case = CASES[name]
    arrays = case.arrays()
    inputs = [K.placeholder(array.shape, dtype=str(array.dtype)) for array in arrays]
    results = case.run(K, inputs)
    tensors = [i for i, result in enumerate(results) if isinstance(result, TensorLike)]
    found = iter(K.function(inputs, [results[i] for i in tensors])(arrays))
    for i, result in enumerate(results):
        check(name, f"result{i}", next(found) if i in tensors else result)
    assert f"result{len(results)}" not in GROUPS[name]


@pytest.mark.parametrize("name", differentiable(OTHER_DEFERRED_GRADIENT))
def test_deferred_gradients_for_any_batch(name):
    case = CASES[name]
    arrays = case.arrays()
    shapes = [array.shape for array in arrays]
    if shapes[0]:
        shapes[0] = (None, *shapes[0][1:])
    inputs = [
        K.placeholder(shape, dtype=str(array.dtype))
        for shape, array in zip(shapes, arrays, strict=True)
    ]
    losses = [
        K.sum(result * case.upstream(i, GROUPS[name][f"result{i}"].shape))
        for i, result in enumerate(case.run(K, inputs))
        if isinstance(result, TensorLike) and weighted(name, f"result{i}")
    ]
    if not losses:
        return
    gradients = K.gradients(sum(losses[1:], losses[0]), [inputs[i] for i in case.by])
    if not any(f"gradient{i}" in GROUPS[name] for i in case.by):  # Keras has none, either
        with pytest.raises(ValueError, match="does not exist"):
            K.function(inputs, [g for g in gradients if g is not None])(arrays)
        return
    found = iter(K.function(inputs, [g for g in gradients if g is not None])(arrays))
    for i, gradient in zip(case.by, gradients, strict=True):
        value = None if gradient is None else next(found)
        check_gradient(name, i, value, arrays[i].shape)
