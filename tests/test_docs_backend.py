"""docs/backend.md tells of every function of Keras' `K`, and of what NumPy functions do here."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from minikeras import backend as K
from minikeras.backend.operators import _FUNCTIONS, TensorLike
from tests.golden.reader import read_groups

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "backend.md").read_text("utf-8")


def section(title):
    """Return the text below a heading of the second level."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows():
    """Return ``(name, status, remark)`` for each function in the tables."""
    found = []
    for line in section("The functions of Keras 2.2.4").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" |")]
        if line.startswith("| `") and len(cells) == 3:
            found += [(name, *cells[1:]) for name in re.findall(r"`(\w+)`", cells[0])]
    return found


ROWS = rows()
HERE = {name for name, status, _ in ROWS if status in ("yes", "differs")}
MISSING = {name for name, status, _ in ROWS if status == "no"}
KERAS = set(json.loads(str(read_groups("backend.npz")["signatures"]["json"])))


def test_tables_hold_each_function_of_keras_once():
    names = [name for name, _, _ in ROWS]
    assert sorted(names) == sorted(KERAS)
    assert f"All {len(KERAS)} public functions" in PAGE


def test_what_the_tables_say_is_there_is_in_k():
    beyond = PAGE.partition("\n### Beyond Keras\n")[2].partition("\n## ")[0]
    own = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", beyond, re.MULTILINE))))
    assert set(K.__all__) == HERE | own
    assert own.isdisjoint(KERAS)


def test_each_difference_is_told_and_nothing_else():
    for name, status, remark in ROWS:
        assert (status == "yes") == (not remark), name


@pytest.mark.parametrize("name", sorted(MISSING))
def test_what_is_not_there_says_why(name):
    with pytest.raises(AttributeError, match=f"K.{name} is not there: .*"):
        getattr(K, name)


def test_numpy_functions_are_those_that_stand_in():
    text = section("Operators and NumPy functions").partition("Of a NumPy function's")[0]
    listed = {f"numpy.{name}" for name in re.findall(r"`np\.([\w.]+)`", text)}
    functions = [f for f in _FUNCTIONS if not isinstance(f, str)]
    known = {f"{getattr(f, '__module__', None) or 'numpy'}.{f.__name__}" for f in functions}
    assert listed == known


def test_methods_are_those_of_tensors():
    listed = re.search(r"Methods are those of arrays: `([a-z\s]+)`", PAGE)[1].split()
    assert sorted(listed) == sorted(f for f in _FUNCTIONS if isinstance(f, str) and f != "getitem")
    assert all(callable(getattr(TensorLike, name)) for name in listed)


def test_some_of_the_differences():
    assert K.sum(np.array([1, 2], "int32")).dtype == np.int64
    assert K.mean(np.array([1, 2], "int32")) == 1.5
    assert K.argmax(np.array([[1.0, 2.0], [4.0, 3.0]]), axis=None) == 2
    assert K.clip(np.array([2.0]), None, 1.0) == 1.0
    assert K.is_tensor(np.ones(2)) is False
    assert K.batch_dot(np.ones((2, 3, 4)), np.ones((2, 4, 5)), axes=(-1, -2)).shape == (2, 3, 5)
    with pytest.raises(ValueError, match="Nothing is known about the shape"):
        K.int_shape(K.placeholder())
