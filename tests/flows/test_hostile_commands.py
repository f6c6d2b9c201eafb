"""No command ends in a traceback, and none that is refused changes a file, whatever is typed.

A few dozen random calls here. COMMANDS=500 pytest tests/flows/test_hostile_commands.py makes 500.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from flows import cli
from flows.engine.settings import list_keys
from tests.flows.toy import git
from tests.projects import ROOT
from vision.base.params import read_params

CALLS = int(os.environ.get("COMMANDS", "40"))
COPIED = ("params.yaml", "dvc.yaml", "dvc.lock", "prefect.yaml", ".gitignore")
COPIED_FOLDERS = ("sources", "stages", "vision", "reports")
DVC_FILES = (".dvc/config", ".dvc/.gitignore")
REACHED = "a flow would have been started"

VALUES = st.sampled_from(
    [
        *("", "0", "-1", "1e400", "1e-4", ".nan", ".inf", "null", "true", "abc", "{", "[1, 2", "]"),
        *("[128,128]", "{a: 1}", "'", '"', "1,2", "a..b", "1..5", "5..1", "..", "!!python/none x"),
        *("&a *a", "2024-01-01", "010", "9" * 30, "ü", "\udcff", "a\nb", "~nobody/x", "x" * 300),
        *("sources/digits.yaml", "digits", "..", "/dev/null", "- a", ": :", "#", "%", "@", "`"),
    ]
)
KEYS = st.sampled_from(
    [
        *list_keys(read_params(ROOT / "params.yaml")),
        "seed.x",
        "nix",
        "models",
        "finetune",
        "",
        "a b",
    ]
)
SIGNS = st.sampled_from(["", "", "+", "++", "~", "+~"])
CHANGES = st.one_of(
    st.builds("{}{}={}".format, SIGNS, KEYS, VALUES),
    st.builds("{}{}".format, SIGNS, KEYS),
    st.builds("{}={},{}".format, KEYS, VALUES, VALUES),
    VALUES,
)
NAMES = st.one_of(
    VALUES, st.sampled_from(["tuned", "split", "evaluate@paper", "HEAD", "-x", "plot", "@", "--"])
)
OPTIONS: dict[str, list[tuple[str, st.SearchStrategy[str] | None]]] = {
    "plan": [("-S", CHANGES), ("--force", None), ("--json", None)],
    "run": [
        *(("-S", CHANGES), ("--jobs", VALUES), ("--isolated", None), ("--replace", None)),
        *(("--name", VALUES), ("--publish", VALUES)),
    ],
    "sweep": [
        *(("-g", CHANGES), ("--search", CHANGES), ("--trials", VALUES), ("--parallel", VALUES)),
        *(("--metric", NAMES), ("--name", VALUES)),
    ],
    "deploy": [("--notify", VALUES), ("--take-over", None)],
    "serve": [("--port", st.sampled_from(["x", "-1", ""]))],
    "doctor": [("--repair", None), ("--verify-cache", None)],
    "compare": [("--out", VALUES)],
    "predict": [("--top", VALUES), ("--format", NAMES)],
    "export": [("--out", VALUES), ("--format", NAMES)],
    "demo": [],
    "nix": [],
}


NAMED = {"plan": 2, "run": 2, "compare": 2, "predict": 2, "export": 1, "deploy": 1}  # how many


@st.composite
def calls(draw: st.DrawFn) -> list[str]:
    """Return what may stand behind `pipeline`."""
    command = draw(st.sampled_from(sorted(OPTIONS)))
    known = OPTIONS[command]
    words = [command]
    for option, values in draw(st.lists(st.sampled_from(known), max_size=3)) if known else ():
        words += [option] if values is None else [option, draw(values)]
    return words + draw(st.lists(NAMES, max_size=NAMED.get(command, 0)))


EDITS = st.one_of(
    st.none(),
    st.builds("\n{}: {}\n".format, KEYS, VALUES),
    VALUES,
    st.integers(0, 3000),
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project without data, in git."""
    folder = tmp_path_factory.mktemp("hostile")
    for name in COPIED + DVC_FILES:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    for name in COPIED_FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "docs").mkdir()
    git(folder, "init", "--quiet")
    for key in ("user.name", "user.email"):
        git(folder, "config", key, "test@example.org")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Start")
    return folder


@pytest.fixture(scope="module")
def _stopped() -> Iterator[None]:
    """Stand in for what would start a server or run for minutes."""

    def reach(*_: Any, **__: Any) -> Any:
        raise SystemExit(REACHED)

    stubs = {
        "flows.pipeline": {"pipeline": reach},
        "flows.sweep": {"sweep": reach},
        "flows.orchestration.reach": {"reach_server": nullcontext, "hand_over": lambda: True},
        "flows.orchestration.deployments": {"deploy": reach},
        "flows.orchestration.serving": {"serve": reach},
        "flows.commands.demo": {"main": reach},
    }
    with pytest.MonkeyPatch.context() as patch:
        import flows.upkeep.doctor  # with the real server module

        for name, content in stubs.items():
            module = ModuleType(name)
            vars(module).update(content)
            patch.setitem(sys.modules, name, module)
            package, _, last = name.rpartition(".")
            patch.setattr(sys.modules[package], last, module, raising=False)
        yield
    assert flows.upkeep.doctor


def call(words: list[str]) -> int | str | None:
    """Run a command in this process, as its script would, and return its status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["pipeline", *words])
        try:
            cli.main()
        except SystemExit as ended:
            return ended.code
    return 0


def read_files(folder: Path) -> dict[Path, bytes]:
    """Return every file but what git and DVC keep for themselves."""
    hidden = {folder / ".git", folder / ".dvc/tmp", folder / ".dvc/cache"}
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not hidden & {*path.parents}
    }


@pytest.mark.slow
@pytest.mark.usefixtures("_stopped")
@settings(
    max_examples=CALLS,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(words=calls(), edit=EDITS, below=st.booleans())
def test_nothing_that_is_typed_ends_in_a_traceback_or_changes_a_file_if_refused(
    words: list[str],
    edit: str | int | None,
    below: bool,
    project: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    params = project / "params.yaml"
    text = params.read_text()
    try:
        if isinstance(edit, int):
            params.write_text(text[:edit])
        elif edit is not None:
            params.write_bytes(text.encode() + edit.encode(errors="surrogateescape"))
        before = read_files(project)
        os.chdir(project / "docs" if below else project)
        status = call(words)
        said = capsys.readouterr()
        assert "Traceback" not in said.err + said.out
        if status not in (0, REACHED):
            assert read_files(project) == before
            assert said.err or said.out
    finally:
        params.write_text(text)
        os.chdir(ROOT)
