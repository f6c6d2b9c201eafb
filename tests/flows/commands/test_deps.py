"""dvc.yaml's lists of code are written from the imports, and nothing else in it is."""

from pathlib import Path

import pytest

from flows.commands.deps import main, write_deps
from vision.base.errors import DepsError

BEFORE = """\
# Stages, as `make deps` lists them:
# end of stages

stages:
  weigh:
    desc: weigh the images
    cmd: python -m stages weigh
    deps: [
      data/raw,
      # code
      vision/base/gone.py
    ]
    outs: [data/weights]

plots:
  - Weights:
      x: epoch
"""
AFTER = BEFORE.replace("them:\n", "them:\n#   weigh             weigh the images\n").replace(
    "vision/base/gone.py",
    "stages/__main__.py, stages/weigh.py, vision/base/files.py, vision/models/scales.py",
)


@pytest.fixture
def project(workspace: Path) -> Path:
    files = {
        "stages/__main__.py": "import sys\n",
        "stages/weigh.py": "from vision.models.scales import weigh\nimport json\n",
        "vision/models/scales.py": "def weigh():\n    import vision.base.files\n",
        "vision/models/unused.py": "",
        "vision/models/__init__.py": '"""No code."""\n',
        "vision/base/files.py": "from pathlib import Path\n",
        "dvc.yaml": BEFORE,
    }
    for name, text in files.items():
        (workspace / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace / name).write_text(text)
    return workspace


def test_the_code_of_a_stage_is_what_it_imports_also_inside_functions(project: Path) -> None:
    assert write_deps(BEFORE, project) == AFTER


def test_a_file_that_is_right_stays_as_it_is(project: Path) -> None:
    assert write_deps(AFTER, project) == AFTER


def test_a_check_writes_nothing_and_says_what_to_do(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--check"]) == 1
    assert "make deps" in capsys.readouterr().err
    assert Path("dvc.yaml").read_text() == BEFORE
    assert main([]) == 0
    assert Path("dvc.yaml").read_text() == AFTER
    assert main(["--check"]) == 0


def test_a_relative_import_is_refused(project: Path) -> None:
    (project / "stages/weigh.py").write_text("from . import runner\n")
    with pytest.raises(DepsError, match=r"weigh.py: line 1 has a relative import"):
        write_deps(BEFORE, project)
