import shutil
from pathlib import Path

import pytest

from flows.commands import compare
from tests.fake_results import write_tree
from vision.base.errors import DataError


def test_a_version_without_all_results_is_named(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check_out(tree: Path, _: str) -> Path:
        write_tree(tree)
        shutil.rmtree(tree / "data/costs")
        return tree

    monkeypatch.setattr(compare, "check_out", check_out)
    monkeypatch.setattr(compare, "run_dvc", lambda *_: None)
    monkeypatch.setattr(compare, "remove_tree", shutil.rmtree)
    with pytest.raises(DataError, match=r"^HEAD~1 lacks results .*data/costs/two-layer-fc\.json"):
        compare.compare("HEAD~1", "workspace", workspace / "out")


def test_what_is_significantly_worse_ends_with_a_status_of_its_own(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def check_out(tree: Path, name: str) -> Path:
        write_tree(tree, models={"paper": 0.9 if name == "main" else 0.5}, n_test=90)
        return tree

    monkeypatch.setattr(compare, "check_out", check_out)
    monkeypatch.setattr(compare, "run_dvc", lambda *_: None)
    monkeypatch.setattr(compare, "remove_tree", shutil.rmtree)
    out = workspace / "out"
    assert compare.compare("main", "photos", out, fail_if_worse=True) == compare.WORSE
    assert "significantly worse than main: paper" in capfd.readouterr().err
    assert (out / "report.html").is_file()
