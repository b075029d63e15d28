"""The tables of docs/methods.md are the signatures as they are, and each row's test is there."""

import inspect
import re
from pathlib import Path

import pytest

from minikeras.models import Sequential

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "methods.md").read_text("utf-8")
TESTS = (ROOT / "tests" / "test_methods.py").read_text("utf-8")
LINK = re.compile(r"\[`(test_\w+)`\]\(\.\./tests/test_methods\.py\)")


def sections():
    """Return the text below each heading that names a method."""
    parts = re.split(r"^#{2,3} (.*)\n", PAGE, flags=re.MULTILINE)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    return {title: text for title, text in found.items() if is_method(title)}


def is_method(title):
    return title == "Sequential" or callable(getattr(Sequential, title, None))


def rows(text, heading):
    """Return the cells of the rows of the table that begins with `heading`."""
    table = re.search(rf"^\| {heading} \|.*\n\|[- |]+\n((?:\|.*\n)*)", text, re.MULTILINE)
    return [line.strip("| \n").split(" | ") for line in table[1].splitlines()] if table else []


def arguments(method):
    """Return name and default of each argument as the page writes them."""
    function = Sequential.__init__ if method == "Sequential" else getattr(Sequential, method)
    found = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    return [(f"`{written(p)}`", default(p)) for p in found]


def written(parameter):
    return str(parameter.replace(annotation=parameter.empty)).partition("=")[0]


def default(parameter):
    if parameter.kind is parameter.VAR_KEYWORD:
        return "none"
    return "required" if parameter.default is parameter.empty else f"`{parameter.default!r}`"


METHODS = sections()


def test_every_test_of_the_suite_is_on_the_page():
    walk = (
        r"signature|no_method_is_left_out|each_argument_has_its_test\w*|arguments_of_other_versions"
    )
    there = re.findall(rf"^def (test_(?!(?:{walk})\()\w+)", TESTS, re.MULTILINE)
    assert sorted(LINK.findall(PAGE)) == sorted(there)


@pytest.mark.parametrize("method", METHODS)
def test_the_table_of_arguments(method):
    table = [(row[0], row[1]) for row in rows(METHODS[method], "argument")]
    expected = arguments(method)

    assert table[: len(expected)] == expected
    # Below **kwargs stands what it takes, by keyword.
    assert len(table) == len(expected) or expected[-1][0] == "`**kwargs`"


@pytest.mark.parametrize("method", METHODS)
def test_each_row_has_its_own_test(method):
    for name, *_, link in rows(METHODS[method], "argument"):
        argument = name.strip("`*")
        assert LINK.fullmatch(link)[1] == f"test_{method.lower()}_{argument}"
    for outcome, _, link in rows(METHODS[method], "outcome"):
        words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=OS)(?=Error)", "_", outcome).lower()
        part = words if outcome[0].islower() else f"raises_{words}"
        assert LINK.fullmatch(link)[1] == f"test_{method.lower()}_{part}"


@pytest.mark.parametrize("method", METHODS)
def test_each_method_has_an_example(method):
    call = rf"\b{method}\(" if method == "Sequential" else rf"\.{method}\("
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert any(re.search(call, block) for block in blocks)


def test_the_overview_lists_all_methods():
    overview = "".join(row[0] for row in rows(PAGE, "method"))
    assert re.findall(r"\[`(\w+)`\]", overview) == list(METHODS)


def test_links_within_the_page_and_to_others_lead_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        file, _, anchor = target.partition("#")
        path = ROOT / "docs" / (file or "methods.md")
        assert path.is_file(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", t).lower().replace(" ", "-") for t in titles}
            assert anchor in anchors, target
