"""dvc.yaml declares what the stages really import and read."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.imports import find_closure

ROOT = Path(__file__).parents[1]
STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
CODE = ("stages/", "vision/", "flows/")


def get_module(stage: dict[str, Any]) -> str:
    return str(stage["cmd"]).split()[2]


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_the_code_that_it_imports_and_on_no_other(name: str) -> None:
    declared = {dep for dep in STAGES[name]["deps"] if dep.startswith(CODE)}
    code = {dep for dep in declared if dep.endswith(".py")}
    assert code == find_closure(get_module(STAGES[name]), ROOT)


def test_the_report_depends_on_its_templates() -> None:
    assert "vision/templates" in STAGES["plot"]["deps"]


@pytest.mark.parametrize("package", ["vision", "stages", "flows"])
def test_packages_are_empty_so_that_a_stage_depends_on_the_modules_that_it_names(
    package: str,
) -> None:
    assert (ROOT / package / "__init__.py").read_text() == ""


def test_imports_go_one_way() -> None:
    for path in (ROOT / "vision").glob("*.py"):
        closure = find_closure(f"vision.{path.stem}", ROOT)
        assert not [file for file in closure if file.startswith(("stages/", "flows/"))], path
    for path in (ROOT / "stages").glob("*.py"):
        closure = find_closure(f"stages.{path.stem}", ROOT)
        assert not [file for file in closure if file.startswith("flows/")], path


@pytest.mark.parametrize("folder", ["data/timings", "data/costs"])
def test_only_the_report_depends_on_seconds(folder: str) -> None:
    depends = [n for n in STAGES if any(dep.startswith(folder) for dep in STAGES[n]["deps"])]
    assert depends == ["plot"]


def test_no_command_holds_a_value_that_the_schema_does_not_check() -> None:
    for stage in STAGES.values():
        words = str(stage["cmd"]).split()
        assert words[:2] == ["python", "-m"]
        assert words[3:] in ([], ["${item.model}"])


def test_every_out_but_the_reports_is_cached() -> None:
    for name, stage in STAGES.items():
        for out in [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]:
            options = next(iter(out.values())) if isinstance(out, dict) else {}
            assert name == "plot" or options.get("cache", True)
