"""What a stage's command imports is found in the text of the files."""

from pathlib import Path

import pytest
from dvc.repo import Repo

from flows.engine.imports import check_closure, find_closure, find_code
from flows.engine.plan import make_plan
from tests.projects import ROOT
from vision.base.errors import DepsError, PipelineError

WEIGH = "python -m stages weigh"


@pytest.fixture(autouse=True)
def _project(workspace: Path) -> None:
    for name, text in {
        "stages/__main__.py": "import stages.runner\n",
        "stages/runner.py": "",
        "stages/weigh.py": "import vision.base.a as a\n",
        "vision/base/a.py": "def f():\n    from vision.base import b\n",
        "vision/base/b.py": "import numpy\n",
        "vision/base/c.py": "",
        "vision/base/__init__.py": "",
    }.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)


def test_imports_are_followed_also_inside_functions_and_from_packages() -> None:
    assert find_closure("stages.weigh") == {
        "stages/weigh.py",
        "vision/base/a.py",
        "vision/base/b.py",
    }


def test_a_stage_needs_what_starts_it_and_its_own_script() -> None:
    runner = {"stages/__main__.py", "stages/runner.py"}
    assert find_code(WEIGH) == runner | find_closure("stages.weigh")


def test_a_dep_that_is_not_listed_is_named_with_the_way_out() -> None:
    with pytest.raises(DepsError, match=r"weigh x imports vision/base/b.py, .* list: make deps"):
        check_closure(
            "python -m stages weigh x", {*find_code(WEIGH)} - {"vision/base/b.py"}, Path()
        )


def test_more_deps_than_imports_are_allowed() -> None:
    check_closure(WEIGH, {*find_code(WEIGH), "data"}, Path())


def test_commands_of_other_kinds_are_not_looked_into() -> None:
    assert find_code("python stage.py fetch") == find_code("python -m stages") == set()
    check_closure("python stage.py fetch", set(), Path())


@pytest.mark.parametrize(
    ("text", "words"), [("from . import b\n", "line 1 has a relative import"), ("def (", "invalid")]
)
def test_what_cannot_be_followed_is_one_line_that_names_the_file(text: str, words: str) -> None:
    Path("vision/base/a.py").write_text(text)
    with pytest.raises(DepsError, match=words) as caught:
        find_closure("stages.weigh")
    assert str(caught.value).startswith("vision/base/a.py: ")


def test_the_plan_refuses_a_project_whose_stages_import_what_is_not_listed() -> None:
    Path("dvc.yaml").write_text(
        "stages: {weigh: {cmd: python -m stages weigh, deps: [stages/weigh.py], outs: [out]}}\n"
    )
    Path("params.yaml").write_text("a: 1\n")
    Repo.init(no_scm=True).close()
    with pytest.raises(PipelineError, match="make deps"):
        make_plan(Path())


def test_all_stages_of_the_project_are_listed_in_full() -> None:
    code = find_code("python -m stages download-weights paper", ROOT)
    assert {"stages/__main__.py", "stages/runner.py", "stages/download_weights.py"} <= code
    assert {"vision/base/fingerprint.py", "vision/models/weights.py"} <= code
