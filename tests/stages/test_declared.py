"""What dvc.yaml declares for a stage, by hand and in the matrix."""

from pathlib import Path

import pytest

from stages.declared import fingerprint, read_declared

DVC_YAML = """
stages:
  judge:
    matrix: {model: [paper]}
    cmd: python -m stages judge ${item.model}
    params: [seed, "finetune.${item.model}"]
    deps: [code.py, "data/${item.model}"]
    outs: ["out/${item.model}", plain: {cache: false}]
    metrics: ["seconds/${item.model}.json"]
  fetch: {cmd: python -m stages fetch, deps: [code.py, "${data.source}"]}
  draw: {cmd: python -m stages draw, deps: [code.py], outs: [figures]}
"""


@pytest.fixture(autouse=True)
def _project(workspace: Path) -> None:
    (workspace / "dvc.yaml").write_text(DVC_YAML)
    (workspace / "params.yaml").write_text(
        "seed: 0\ndata: {source: photos}\nfinetune: {paper: {epochs: 1}}\n"
    )
    (workspace / "code.py").write_text("1")


def test_a_member_of_the_matrix_has_its_name_in_deps_params_and_outs() -> None:
    declared = read_declared("judge", "paper")
    assert declared.deps == ["code.py", "data/paper"]
    assert declared.params == ["seed", "finetune.paper"]
    assert declared.outs == ["out/paper", "plain", "seconds/paper.json"]


def test_a_stage_without_params_has_none() -> None:
    assert read_declared("draw") == (["code.py"], [], ["figures"], [], False)


def test_the_users_own_files_are_watched_by_size_and_time(workspace: Path) -> None:
    assert read_declared("fetch").sources == ["photos"]
    assert fingerprint("fetch")["photos"] == "missing"
    (workspace / "photos").mkdir()
    (workspace / "photos/1.png").write_text("one")
    seen = [fingerprint("fetch")]
    (workspace / "photos/1.png").write_text("other")
    seen.append(fingerprint("fetch"))
    (workspace / "photos/1.png").rename(workspace / "photos/2.png")
    seen.append(fingerprint("fetch"))
    assert len({each["photos"] for each in seen}) == 3
    assert len({each["code.py"] for each in seen}) == 1


def test_the_fingerprint_has_each_dep_and_param_as_they_are() -> None:
    before = fingerprint("judge", "paper")
    assert set(before) == {"code.py", "data/paper", "seed", "finetune.paper"}
    assert before["data/paper"] == "missing"
    Path("params.yaml").write_text("seed: 0.0\nfinetune: {paper: {epochs: 2}}\n")
    after = fingerprint("judge", "paper")
    assert {key for key in before if before[key] != after[key]} == {"finetune.paper"}
