"""What is typed behind -S becomes a value of params.yaml."""

from pathlib import Path

import pytest

from flows.engine.overrides import parse_overrides


@pytest.fixture(autouse=True)
def _project(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = workspace / "project"
    (project / "sources").mkdir(parents=True)
    (project / "sources/digits.yaml").write_text("reader: digits")
    (project / "photos").mkdir()
    (workspace / "elsewhere").mkdir()
    (project / "link").symlink_to(workspace / "elsewhere")
    monkeypatch.chdir(project)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("digits", "sources/digits.yaml"),
        ("sources/digits.yaml", "sources/digits.yaml"),
        ("photos", "photos"),
        ("./photos/", "photos"),
        ("link", "link"),
        ("../elsewhere", "{root}/elsewhere"),
        ("{root}/elsewhere", "{root}/elsewhere"),
        ("{root}/project/photos", "photos"),
        ("nowhere", "nowhere"),
    ],
)
def test_a_source_is_a_path_of_the_project_or_in_full(
    typed: str, expected: str, workspace: Path
) -> None:
    text = f"data.source={typed.format(root=workspace)}"
    assert parse_overrides([text]) == {"data.source": expected.format(root=workspace)}


def test_home_is_meant_by_a_tilde(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(workspace))
    found = parse_overrides(["data.source=~/elsewhere"])
    assert found == {"data.source": str(workspace / "elsewhere")}
