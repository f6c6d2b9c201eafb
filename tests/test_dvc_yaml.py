"""dvc.yaml declares what the stages really import and read."""

import ast
from pathlib import Path

import pytest
import yaml

from flows.commands.deps import write_deps
from tests.projects import ROOT
from vision.base.params import list_stages

TEXT = (ROOT / "dvc.yaml").read_text()
STAGES = list_stages(yaml.safe_load(TEXT))
MEMBER = {"matrix": "${item.model}", "foreach": "${key}"}  # what stands for the name of each


def test_a_stage_depends_on_the_code_that_it_imports_and_on_no_other() -> None:
    assert write_deps(TEXT, ROOT) == TEXT, "dvc.yaml is not as the imports have it: make deps"


def test_no_stage_lists_a_file_twice() -> None:
    for stage in STAGES.values():
        assert len(set(stage["deps"])) == len(stage["deps"])


def test_the_report_depends_on_its_templates() -> None:
    assert "vision/report/templates" in STAGES["plot"]["deps"]


PACKAGES = [
    path.parent.relative_to(ROOT)
    for name in ("vision", "stages", "flows")
    for path in (ROOT / name).rglob("__init__.py")
]


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_a_package_says_what_lives_there_and_holds_no_code(package: Path) -> None:
    """So a stage depends on the modules that it names, and on no others."""
    tree = ast.parse((ROOT / package / "__init__.py").read_text())
    assert ast.get_docstring(tree)
    assert len(tree.body) == 1


def test_every_folder_of_code_is_a_package() -> None:
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "vision").rglob("*.py")}
    assert folders <= set(PACKAGES)


@pytest.mark.parametrize("folder", ["data/timings", "data/costs"])
def test_only_the_report_depends_on_seconds(folder: str) -> None:
    depends = [n for n in STAGES if any(dep.startswith(folder) for dep in STAGES[n]["deps"])]
    assert depends == ["plot"]


def test_no_command_holds_a_value_that_the_schema_does_not_check() -> None:
    for name, stage in STAGES.items():
        words = str(stage["cmd"]).split()
        assert words[:4] == ["python", "-m", "stages", name]
        assert words[4:] == [name for kind, name in MEMBER.items() if kind in stage]


def test_every_out_but_the_reports_is_cached() -> None:
    for name, stage in STAGES.items():
        for out in [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]:
            options = next(iter(out.values())) if isinstance(out, dict) else {}
            assert name == "plot" or options.get("cache", True)
