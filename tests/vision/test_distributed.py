from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.projects import ROOT
from tests.vision.distributed_fit import main
from vision.distributed import PROCESSES, count_wanted, launch, take_share
from vision.errors import ParamsError
from vision.files import read_json


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def fit_in(processes: int, folder: Path, per_class: int) -> Path:
    folder.mkdir()
    if processes == 1:
        main(folder, per_class)
    else:
        arguments = [str(folder), str(per_class)]
        assert launch(processes, "tests.vision.distributed_fit", arguments) == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "per_class", "error"), [(2, 5, 1e-5), (4, 1, 1e-3)])
def test_several_processes_give_what_one_gives(
    processes: int, per_class: int, error: float, tmp_path: Path
) -> None:
    """15 images are 7 and 8; of 3 in four processes one gets none, and rounding weighs more."""
    one = fit_in(1, tmp_path / "one", per_class)
    several = fit_in(processes, tmp_path / "several", per_class)
    expected = load_file(one / "last.safetensors")
    for key, value in load_file(several / "last.safetensors").items():
        assert torch.allclose(value.float(), expected[key].float(), rtol=1e-3, atol=error), key
    for ours, theirs in zip(*map(read_history, (several, one)), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-2)


@pytest.mark.slow
def test_two_runs_in_two_processes_are_equal_byte_for_byte(tmp_path: Path) -> None:
    first, second = (fit_in(2, tmp_path / name, 5) for name in ("first", "second"))
    for name in ("last.safetensors", "history.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def read_history(folder: Path) -> list[dict[str, float]]:
    return list(read_json(folder / "history.json"))


@pytest.mark.parametrize("count", [1, 2, 7, 64])
@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_every_image_of_a_batch_is_in_one_share(
    count: int, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dealt: list[int] = []
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: processes)
    for rank in range(processes):
        monkeypatch.setattr("torch.distributed.get_rank", lambda rank=rank: rank)
        share = range(count)[take_share(count)]
        assert count // processes <= len(share) <= -(-count // processes)
        dealt += share
    assert dealt == list(range(count))


def test_a_number_of_processes_that_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROCESSES, "0")
    with pytest.raises(ParamsError, match="PROCESSES is '0'"):
        count_wanted()
