"""The house keeps its floors: imports point down, never up and never in a circle."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "minikeras"

# The floor of each module. A package's floor holds for all that is in it, unless the table names
# the module itself. The modules of `utils` stand on different floors, each on its own line.
FLOORS = {
    "minikeras.ops": 0,
    "minikeras.backend": 1,
    "minikeras.utils": 1,
    "minikeras.utils.conv_utils": 1,
    "minikeras.utils.data_utils": 1,
    "minikeras.utils.enqueuers": 1,
    "minikeras.utils.feeding": 1,
    "minikeras.utils.feeding_items": 1,
    "minikeras.utils.feeding_processes": 1,
    "minikeras.utils.feeding_threads": 1,
    "minikeras.utils.files": 1,
    "minikeras.utils.interrupts": 1,
    "minikeras.utils.generic_utils": 1,
    "minikeras.utils.io_utils": 1,
    "minikeras.utils.np_utils": 1,
    "minikeras.utils.progress": 1,
    "minikeras.utils.registry": 1,
    "minikeras.utils.sequence": 1,
    "minikeras.utils.warning": 1,
    "minikeras.activations": 2,
    "minikeras.constraints": 2,
    "minikeras.initializers": 2,
    "minikeras.loss_in_k": 2,
    "minikeras.losses": 2,
    "minikeras.metrics": 2,
    "minikeras.objectives": 2,
    "minikeras.optimizer_base": 2,
    "minikeras.optimizer_state": 2,
    "minikeras.optimizers": 2,
    "minikeras.regularizers": 2,
    "minikeras.callbacks": 3,
    "minikeras.engine": 3,
    "minikeras.layers": 3,
    "minikeras.models": 4,
    "minikeras.saving": 3,
    "minikeras.sequential": 4,
    "minikeras.training": 4,
    "minikeras.utils.layer_utils": 4,
    "minikeras.datasets": 6,
    "minikeras.preprocessing": 6,
    "minikeras.testing": 6,
    "minikeras.wrappers": 6,
    "minikeras": 7,
    "minikeras.__main__": 7,
}

# Packages whose floor is only that of their own __init__.py: each module needs a line of its own.
EACH_BY_ITSELF = {"minikeras", "minikeras.utils"}

# Upward imports that are allowed inside a function or for type checkers only, with the reason.
ALLOWED_UPWARD = {
    ("minikeras.utils", "minikeras.utils.layer_utils"): "print_summary stands at Keras' address; "
    "it is loaded when first asked for",
}

# What `import minikeras` must not pay for: these are imported inside the function that uses them.
# tests/test_imports.py asks the interpreter the same question; this says which line it is.
HEAVY = {
    "asyncio",
    "base64",
    "bz2",
    "concurrent",
    "csv",
    "dataclasses",
    "difflib",
    "gzip",
    "h5py",
    "hashlib",
    "http",
    "inspect",
    "json",
    "logging",
    "lzma",
    "multiprocessing",
    "pickle",
    "random",
    "shutil",
    "socket",
    "subprocess",
    "tarfile",
    "tempfile",
    "tqdm",
    "unittest",
    "urllib",
    "zipfile",
}

# Functions that import the module that their first argument names.
DYNAMIC = {"import_module", "__import__"}

MAX_LINES = 600


class Import(NamedTuple):
    """One name that a module imports: which, on what line, and when."""

    target: str
    line: int
    when: str  # "load", "call" (inside a function) or "types" (under TYPE_CHECKING)


def module_names():
    """Return the path of each module of the package by its dotted name."""
    names = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


MODULES = module_names()


def is_type_checking(test):
    return getattr(test, "id", getattr(test, "attr", None)) == "TYPE_CHECKING"


def is_import(node):
    function = getattr(node, "func", None)
    name = getattr(function, "id", getattr(function, "attr", None))
    return isinstance(node, (ast.Import, ast.ImportFrom)) or name in DYNAMIC


def import_statements(node, when="load"):
    """Yield each import statement or call under `node` with the time at which it runs."""
    for child in ast.iter_child_nodes(node):
        if is_import(child):
            yield child, when
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from import_statements(child, "call")
        elif isinstance(child, ast.If) and is_type_checking(child.test):
            for statement in child.body:
                yield from import_statements(ast.Module([statement], []), "types")
            for statement in child.orelse:
                yield from import_statements(ast.Module([statement], []), when)
        else:
            yield from import_statements(child, when)


def dynamic_target(argument):
    """Return the name of the module, or the root's where it is not known before the call."""
    known = isinstance(argument, ast.Constant)
    return argument.value if known else PACKAGE


def imports_of(source, name, is_package, modules):
    """Return what the module `name` imports; inside the package, as names of modules."""
    found = []
    for statement, when in import_statements(ast.parse(source)):
        if isinstance(statement, ast.Call):
            targets = [dynamic_target(statement.args[0])]
        elif isinstance(statement, ast.Import):
            targets = [alias.name for alias in statement.names]
        else:
            base = statement.module or ""
            if statement.level:
                parts = name.split(".")
                parts = parts[: len(parts) - statement.level + is_package]
                base = ".".join([*parts, base] if base else parts)
            # `from package import x`: x is a module of the package, or else a name in it.
            targets = [
                f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules else base
                for alias in statement.names
            ]
        found += [Import(target, statement.lineno, when) for target in dict.fromkeys(targets)]
    return found


IMPORTS = {
    name: imports_of(path.read_text("utf-8"), name, path.name == "__init__.py", MODULES)
    for name, path in MODULES.items()
}


def is_inside(name, package):
    return name == package or name.startswith(package + ".")


def floor_of(name):
    """Return the floor of a module, or None where the table has none for it."""
    if name in FLOORS:
        return FLOORS[name]
    package = name.rpartition(".")[0]
    while package:
        if package in FLOORS:
            return None if package in EACH_BY_ITSELF else FLOORS[package]
        package = package.rpartition(".")[0]
    return None


def upward_imports(name, imports):
    """Return a sentence for each import that points to a floor above the module's own."""
    wrong = []
    for target, line, when in imports:
        if not is_inside(target, PACKAGE):
            continue
        floor, target_floor = floor_of(name), floor_of(target)
        if floor is None or target_floor is None or target_floor <= floor:
            continue
        if when != "load" and (name, target) in ALLOWED_UPWARD:
            continue
        wrong.append(f"{name}:{line} (floor {floor}) imports {target} (floor {target_floor})")
    return wrong


def heavy_imports(imports):
    return [i for i in imports if i.when == "load" and i.target.partition(".")[0] in HEAVY]


def load_graph(imports):
    """Return for each module the modules that Python loads before it can go on.

    `import a.b.c` also runs `a.b`, unless the importing module is itself inside it. The root
    package is left out: it is always there first.
    """
    graph = {}
    for name, found in imports.items():
        needed = set()
        for target, _, when in found:
            package = target if when == "load" else ""
            while is_inside(package, PACKAGE) and package != PACKAGE:
                if not is_inside(name, package):
                    needed.add(package)
                package = package.rpartition(".")[0]
        graph[name] = needed
    return graph


def circle_in(imports):
    """Return the modules of a circle of imports, or None."""
    try:
        TopologicalSorter(load_graph(imports)).prepare()
    except CycleError as error:
        return error.args[1]
    return None


def test_the_package_is_found():
    assert len(MODULES) > 20


@pytest.mark.parametrize("name", MODULES)
def test_has_a_floor(name):
    assert floor_of(name) is not None, f"give {name} a line in FLOORS of {Path(__file__).name}"


def test_floors_name_only_what_may_exist():
    planned = {"minikeras.saving", "minikeras.wrappers"}
    assert set(FLOORS) - set(MODULES) <= planned


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_down(name):
    assert upward_imports(name, IMPORTS[name]) == []


def test_allowed_upward_imports_are_still_needed():
    needed = {(name, i.target) for name, found in IMPORTS.items() for i in found}
    assert set(ALLOWED_UPWARD) <= needed
    assert all(ALLOWED_UPWARD.values()), "each allowed upward import says why"


def test_no_circle():
    assert circle_in(IMPORTS) is None


@pytest.mark.parametrize("name", MODULES)
def test_no_heavy_import_at_the_top(name):
    assert heavy_imports(IMPORTS[name]) == []


def test_ops_need_only_numpy_and_the_standard_library():
    import sys

    known = {*sys.stdlib_module_names, "numpy", PACKAGE}
    for name, found in IMPORTS.items():
        if is_inside(name, "minikeras.ops"):
            assert {i.target.partition(".")[0] for i in found} <= known, name


@pytest.mark.parametrize("name", MODULES)
def test_module_can_be_read_in_one_sitting(name):
    lines = len(MODULES[name].read_text("utf-8").splitlines())
    assert lines <= MAX_LINES, f"{name} has {lines} lines: split it by idea"


def test_the_repository_stands_alone():
    """No file names the folder that its authors had beside it."""
    names = [".." + "/shared", "/work" + "/shared"]
    folders = ["minikeras", "tests", "examples", "docs", "benchmarks", ".ci", ".github"]
    files = [path for path in ROOT.iterdir() if path.is_file()]
    files += [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    text_types = {".py", ".md", ".toml", ".yml", ".yaml", ".txt", ".cfg", ".json", ".sh", ""}
    for path in files:
        if path.suffix in text_types:
            text = path.read_text("utf-8", errors="replace")
            assert not [name for name in names if name in text], path


# The checks above pass on a sound house; these show that each can fail.


def found_in(source, name="minikeras.engine.base_layer", is_package=False):
    modules = {"minikeras", "minikeras.models", "minikeras.engine.context", "minikeras.ops.dense"}
    return imports_of(source, name, is_package, modules)


@pytest.mark.parametrize(
    "source",
    [
        "import minikeras.models",
        "from minikeras import models",
        "from minikeras.models import Sequential",
        "from ..models import Sequential",
        "from .. import models",
        "import minikeras",
        "def f():\n    from minikeras.models import Sequential",
        "def f():\n    return importlib.import_module('minikeras.models').Sequential",
        "def f(name):\n    return import_module(f'minikeras.{name}')",
        "if TYPE_CHECKING:\n    from minikeras.models import Sequential",
        "try:\n    import minikeras.models\nexcept ImportError:\n    raise",
        "class A:\n    import minikeras.models",
    ],
)
def test_upward_import_is_seen(source):
    assert len(upward_imports("minikeras.engine.base_layer", found_in(source))) == 1


@pytest.mark.parametrize(
    "source",
    ["from . import context", "from minikeras.ops import dense", "import numpy.linalg"],
)
def test_downward_import_is_no_error(source):
    assert upward_imports("minikeras.engine.base_layer", found_in(source)) == []


def test_relative_imports_are_resolved():
    name = "minikeras.engine"
    assert found_in("from . import context", name, True)[0].target == "minikeras.engine.context"
    assert found_in("from .context import Context", name, True)[0].target.endswith("e.context")
    assert found_in("from ..ops import dense")[0].target == "minikeras.ops.dense"


def test_heavy_import_is_seen_at_the_top_only():
    assert heavy_imports(found_in("import concurrent.futures"))
    assert heavy_imports(found_in("from urllib.request import urlopen"))
    assert not heavy_imports(found_in("def f():\n    import json"))
    assert not heavy_imports(found_in("if typing.TYPE_CHECKING:\n    import h5py"))


def test_circle_is_seen():
    a, b = "minikeras.a", "minikeras.b.c"
    assert circle_in({a: [Import(b, 1, "load")], b: [Import(a, 1, "load")]})
    assert circle_in({a: [Import(b, 1, "load")], b: [Import(a, 1, "call")]}) is None
    # Importing minikeras.b.c runs minikeras.b first.
    assert circle_in({a: [Import(b, 1, "load")], "minikeras.b": [Import(a, 1, "load")]})


def test_module_without_a_floor_is_seen():
    assert floor_of("minikeras.new_package") is None
    assert floor_of("minikeras.utils.new_module") is None
    assert floor_of("minikeras.layers.new_module") == 3
