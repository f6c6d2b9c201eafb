import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from stages import part
from stages.runner import run_stage
from tests.vision.base.servers import Site, serving
from tests.vision.data.pictures import BLUE, RED, write_tar_gz
from vision.base.errors import ParamsError

DVC = 'stages: {download: {cmd: x, params: [data], deps: ["${data.source}"]}}'


@pytest.fixture
def site(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A source of two parts, cats and dogs."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    packed = {
        name: write_tar_gz(workspace / name, {f"{name}/1.png": image}).read_bytes()
        for name, image in (("cats", RED), ("dogs", BLUE))
    }
    with serving(**packed) as site:
        listed = [
            {"url": f"{site.url}/{name}.bin", "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in packed.items()
        ]
        Path("pets.yaml").write_text(yaml.safe_dump({"parts": listed}))
        Path("params.yaml").write_text("data: {source: pets.yaml, image_px: 8}")
        Path("dvc.yaml").write_text(DVC)
        yield site


def test_a_download_finds_the_part_that_was_decoded_by_hand(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    part.main(2)
    assert run_stage(["download"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"part 2 of 2, {site.url}/dogs.bin: 1 images, decoded",
        f"part 1 of 2, {site.url}/cats.bin: 1 images, decoded",
        f"part 2 of 2, {site.url}/dogs.bin: 1 images, kept from before",
        "2 images in 2 classes, from the archives of pets.yaml.",
    ]
    assert [path for path, _ in site.asked] == ["/dogs.bin", "/cats.bin"]


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("typed", [["3"], ["0"], ["two"], []])
def test_a_part_that_there_is_none_of_is_refused(typed: list[str]) -> None:
    with pytest.raises(ParamsError, match=r"pets.yaml has 2 parts, and none of number [03]"):
        part.main(part.read_number(typed))
