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
