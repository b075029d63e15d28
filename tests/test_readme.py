"""What the README and the docs say is true: their code runs, their links lead somewhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


def code_blocks(text, language):
    """Return the fenced blocks of one language with the line that each begins on."""
    fence = re.compile(rf"^```{language}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [(text[: m.start()].count("\n") + 2, m[1]) for m in fence.finditer(text)]


def command(name):
    """Return the command that stands after its marker in the README."""
    marker = re.escape(f"<!-- command: {name} -->")
    return re.search(rf"^{marker}\n```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)[1].strip()


GOES_ON = "<!-- goes on -->"  # before a block that needs the one above it


def programs(text):
    """Return what to run for each Python block: with the blocks on which it goes on."""
    lines = text.splitlines()
    found = []
    for line, code in code_blocks(text, "python"):
        # Blank lines in front: a traceback then names the line of the page.
        before = found[-1][1] if lines[line - 3] == GOES_ON else ""
        found.append((line, before + "\n" * (line - 1 - before.count("\n")) + code))
    return found


PYTHON = [
    pytest.param(path, line, code, id=f"{path.name}:{line}")
    for path in PAGES
    for line, code in programs(path.read_text("utf-8"))
]


@pytest.mark.parametrize(("path", "line", "code"), PYTHON)
def test_code_block_runs(path, line, code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if "import keras" in code or "from keras" in code:
        # A Keras script, which the README says runs through `python -m minikeras`.
        (tmp_path / "script.py").write_text(code, "utf-8")
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "minikeras", "script.py"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    else:
        try:
            exec(compile(code, str(path), "exec"), {"__name__": "__main__"})
        finally:  # a page says how to make `import keras` mean minikeras
            for name in ("keras", "tqdm.keras"):
                sys.modules.pop(name, None)


def test_readme_has_code_to_run():
    assert len(code_blocks(README, "python")) >= 3


def test_readme_opens_with_two_commands():
    opening = README.partition("\n## ")[0]
    assert re.findall(r"<!-- command: (\w+) -->", README) == ["main", "test"]
    assert [code.strip() for _, code in code_blocks(opening, "sh")] == [
        command("main"),
        command("test"),
    ]


def test_commands_make_their_own_environment():
    for name in ("main", "test"):
        assert command(name).startswith("python3 -m venv .venv && .venv/bin/pip install ")


def test_main_command_runs_a_script_that_is_there():
    script = command("main").rpartition(" ")[2]
    assert script == "examples/mnist_mlp.py"
    assert (ROOT / script).is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
@pytest.mark.parametrize("name", ["main", "test"])
def test_ci_runs_the_command_of_the_readme(name):
    bash = shutil.which("bash")
    done = subprocess.run(
        [bash, str(ROOT / ".ci" / "run"), "--print", name],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == command(name)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text)
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert [target for target in local if not (path.parent / target).exists()] == []
