"""A stage runs what its files say, and knows what it ran; tried with real commands and files."""

import os
import py_compile
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.engine.imports import find_closure
from tests.projects import ROOT

STAGE = """
import sys
from vision.base.words import WORD


def main() -> None:
    {late}
    print("at work", WORD, "{text}", flush=True)
    sys.stdin.readline()
"""
DECLARED = ["stages/tell.py", "vision/base/words.py"]


@pytest.fixture
def project(workspace: Path) -> Path:
    """A project with one stage that says a word and waits for a line."""
    for name in ("stages/__init__", "vision/__init__", "vision/base/__init__"):
        (workspace / f"{name}.py").parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / f"{name}.py", workspace / f"{name}.py")
    for name in find_closure("stages.__main__", ROOT):
        shutil.copyfile(ROOT / name, workspace / name)
        DECLARED.append(name)
    (workspace / "vision/base/words.py").write_text('WORD = "one"\n')
    (workspace / "vision/base/extra.py").write_text("")
    (workspace / "params.yaml").write_text("seed: 0\n")
    declare(workspace, DECLARED)
    write_stage(workspace)
    return workspace


def declare(project: Path, deps: list[str]) -> None:
    listed = ", ".join(sorted(set(deps)))
    (project / "dvc.yaml").write_text(
        f"stages: {{tell: {{cmd: python -m stages tell, deps: [{listed}], outs: [out]}}}}\n"
    )


def write_stage(project: Path, text: str = "a", late: str = "") -> None:
    path = project / "stages/tell.py"
    path.write_text(STAGE.format(text=text, late=late or "pass"))


def start(project: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "stages", "tell"],
        cwd=project,
        env={k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def tell(project: Path) -> tuple[int, str, str]:
    with start(project) as process:
        output, error = process.communicate("\n", timeout=60)
    return process.returncode, output, error


def replace_unnoticed(path: Path, old: str, new: str) -> None:
    """Edit a file after it was compiled, in the same second and without another size."""
    py_compile.compile(str(path), doraise=True)
    times = path.stat().st_mtime
    text = path.read_text()
    assert len(old) == len(new)
    assert old in text
    path.write_text(text.replace(old, new))
    os.utime(path, (times, times))


def test_a_module_that_was_compiled_from_another_text_is_compiled_anew(project: Path) -> None:
    assert tell(project)[:2] == (0, "at work one a\n")
    replace_unnoticed(project / "vision/base/words.py", "one", "two")
    assert tell(project)[:2] == (0, "at work two a\n")


@pytest.mark.parametrize("path", ["stages/__main__.py", "stages/runner.py"])
def test_what_starts_a_stage_says_once_that_it_was_compiled_from_another_text(
    project: Path, path: str
) -> None:
    with (project / path).open("a") as file:
        file.write('X = "a"\n')
    tell(project)
    replace_unnoticed(project / path, '"a"', '"b"')
    status, output, error = tell(project)
    assert (status, output) == (1, "")
    assert error.startswith(f"error: {path} changed while tell was starting")
    assert tell(project)[0] == 0


@pytest.mark.parametrize("path", ["vision/base/words.py", "stages/tell.py", "stages/runner.py"])
def test_code_that_is_edited_after_its_import_fails_the_stage(project: Path, path: str) -> None:
    with start(project) as process:
        assert process.stdout
        assert process.stdout.readline() == "at work one a\n"
        with (project / path).open("a") as file:
            file.write("# new words\n")
        _, error = process.communicate("\n", timeout=60)
    assert process.returncode == 1
    assert error == f"error: {path} changed while tell was running: run it again\n"


def test_code_that_is_edited_while_the_stage_imports_fails_it_before_it_works(
    project: Path,
) -> None:
    """What takes seconds to import is torch; here it is a pause."""
    (project / "vision/base/words.py").write_text('WORD = "one"\nimport time\ntime.sleep(2)\n')
    with start(project) as process:
        pause_until_compiled(project / "vision/base/words.py")
        (project / "vision/base/words.py").write_text('WORD = "two"\n')
        output, error = process.communicate("\n", timeout=60)
    assert (process.returncode, output) == (1, "")
    assert error.startswith("error: vision/base/words.py changed while tell was running")


def pause_until_compiled(path: Path) -> None:
    """Wait until the stage has its first modules, so that it is about to read this one."""
    cache = path.parents[2] / "stages/__pycache__"
    deadline = time.monotonic() + 30
    while not list(cache.glob("loaded.*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)


def test_an_import_before_all_others_is_held_to_dvc_yaml_as_well(project: Path) -> None:
    path = project / "stages/__main__.py"
    path.write_text(path.read_text().replace("import sys", "import vision.base.extra\nimport sys"))
    assert "tell imports vision/base/extra.py, which dvc.yaml does not list" in tell(project)[2]
    declare(project, [*DECLARED, "vision/base/extra.py"])
    assert tell(project)[0] == 0


@pytest.mark.parametrize("late", [False, True])
def test_an_import_that_dvc_yaml_does_not_list_fails_the_stage(project: Path, late: bool) -> None:
    line = "import vision.base.extra  # noqa"
    if late:
        write_stage(project, late=line)
    else:
        words = project / "vision/base/words.py"
        words.write_text(f"{line}\n{words.read_text()}")
    status, output, error = tell(project)
    assert status == 1
    assert error == (
        "error: tell imports vision/base/extra.py, which dvc.yaml does not list: make deps\n"
    )
    assert bool(output) == late  # an import at the top is known before any work is done
    declare(project, [*DECLARED, "vision/base/extra.py"])
    assert tell(project)[0] == 0


def test_a_package_that_holds_code_has_to_be_declared_like_any_module(project: Path) -> None:
    path = project / "vision/base/__init__.py"
    path.write_text(path.read_text() + "X = 1\n")
    assert "vision/base/__init__.py, which dvc.yaml does not list" in tell(project)[2]
