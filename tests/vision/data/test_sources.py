import hashlib
import shutil
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from tests.projects import ROOT
from tests.vision.base.servers import serving
from tests.vision.data.batches_pickled import BATCH_IMAGES, write_official
from tests.vision.data.pictures import BLUE, RED, encode, paint, write_folder, write_tar_gz
from vision.base.errors import ChecksumError, ParamsError, SourceError
from vision.base.files import read_json
from vision.base.params import read_yaml
from vision.data import cifar10
from vision.data.dataset import Subset
from vision.data.images import FULL_BITS
from vision.data.shards import open_images
from vision.data.sources import open_source
from vision.data.storing import RawImages, describe, save_raw
from vision.schema.data import DataParams

CIFAR10 = Path("sources/cifar10.yaml")
PETS = {"train/cats/1.png": RED, "train/dogs/1.png": BLUE}
PETS |= {"test/cats/1.png": RED, "test/dogs/1.png": BLUE}


@pytest.fixture(autouse=True)
def _small_and_offline(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(cifar10, "BATCH_IMAGES", BATCH_IMAGES)
    shutil.copytree(ROOT / "sources", workspace / "sources")


def open_(source: str, image_px: int = 8) -> RawImages:
    return open_source(DataParams(source=source, image_px=image_px))


def make_mirror(root: Path, monkeypatch: pytest.MonkeyPatch, official: bool) -> Path:
    """Make a mirror with the stand-in and, if wanted, a miniature of the official archive."""
    mirror = root / "mirror"
    mirror.mkdir()
    monkeypatch.setenv("PIPELINE_MIRROR", str(mirror))
    images = {
        f"{subset}/{name}/0.jpg": encode(paint("red", (32, 32)), "JPEG")
        for subset in ("train", "test")
        for name in cifar10.CLASSES
    }
    write_tar_gz(mirror / "cifar10-images.tar.gz", images)
    if official:
        path = write_official(mirror / "cifar-10-python.tar.gz")
        digests = {
            name: hashlib.new(name, path.read_bytes()).hexdigest() for name in ("md5", "sha256")
        }
        described = read_yaml(CIFAR10) | digests
        CIFAR10.write_text(yaml.safe_dump(described))
    return mirror


def test_the_official_archive_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_mirror(tmp_path, monkeypatch, official=True)
    raw = open_(str(CIFAR10), image_px=32)
    assert raw.provenance["official"] is True
    assert raw.provenance["verified"] == "md5 and sha256 of the official archive"
    assert raw.subsets.tolist() == [Subset.TRAIN] * 20 + [Subset.TEST] * 4
    (image,) = raw.read([4], FULL_BITS)
    assert image.picture is not None
    assert (image.row, image.picture.pixels[0, 0].tolist()) == (4, [1, 101, 201])
    assert raw.names[4] == "data_batch_2_s_000000.png"


def test_a_stand_in_is_recorded_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_mirror(tmp_path, monkeypatch, official=False)
    raw = open_(str(CIFAR10))
    assert (raw.provenance["official"], raw.provenance["verified"]) == (False, None)
    assert raw.provenance["name"] == "cifar10-images.tar.gz"
    assert raw.provenance["note"] == (
        "20 of the 60,000 CIFAR-10 images, from a mirror's JPEG copy, not the official archive: "
        "checksums not verified."
    )
    assert raw.classes == cifar10.CLASSES


def test_a_wrong_official_archive_is_never_replaced_by_the_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = make_mirror(tmp_path, monkeypatch, official=False)
    write_official(mirror / "cifar-10-python.tar.gz")
    with pytest.raises(ChecksumError, match="md5"):
        open_(str(CIFAR10))


def test_a_stand_in_of_other_classes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = make_mirror(tmp_path, monkeypatch, official=False)
    write_tar_gz(mirror / "cifar10-images.tar.gz", PETS)
    with pytest.raises(SourceError, match="not those of CIFAR-10"):
        open_(str(CIFAR10))


def test_digits_are_scaled_from_16_grey_levels() -> None:
    raw = open_("sources/digits.yaml")
    assert (len(raw.labels), raw.classes) == (1797, list("0123456789"))
    assert set(raw.subsets) == {Subset.TRAIN}
    first = next(raw.read([0], FULL_BITS)).picture
    assert first is not None
    assert first.pixels[0, 2].tolist() == [80, 80, 80]  # 5 of 16: 79.7


def test_a_folder_keeps_its_subsets(tmp_path: Path) -> None:
    raw = open_(str(write_folder(tmp_path / "pets", PETS)))
    assert raw.labels.tolist() == [0, 1, 0, 1]
    assert raw.subsets.tolist() == [0, 0, 2, 2]
    assert describe(raw, 8)["counts"] == {"train": 2, "val": 0, "test": 2}


def test_the_manifest_names_the_folder_without_its_path(tmp_path: Path) -> None:
    raw = open_(str(write_folder(tmp_path / "pets", PETS)))
    assert str(tmp_path) not in str(raw.provenance)
    assert raw.provenance["name"] == "pets"
    assert raw.provenance["note"] == "4 images in 2 classes, from the folder pets."


def test_an_archive_is_fetched_from_an_address(tmp_path: Path) -> None:
    content = write_tar_gz(tmp_path / "pets.tgz", PETS).read_bytes()
    with serving(pets=content) as site:
        described = {"url": f"{site.url}/pets.bin?token=secret"}
        Path("pets.yaml").write_text(yaml.safe_dump(described))
        raw = open_("pets.yaml")
    assert (raw.provenance["source"], raw.provenance["name"]) == ("archive", "pets.bin")
    assert raw.provenance["sha256"] == hashlib.sha256(content).hexdigest()


def test_behind_a_firewall_a_mirror_has_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = write_tar_gz(tmp_path / "pets.bin", PETS).read_bytes()
    monkeypatch.setenv("PIPELINE_MIRROR", str(tmp_path))
    sha256 = hashlib.sha256(content).hexdigest()
    Path("pets.yaml").write_text(f"url: http://127.0.0.1:9/pets.bin\nsha256: {sha256}\n")
    assert open_("pets.yaml").provenance["sha256"] == sha256
    (tmp_path / "pets.bin").write_bytes(b"other")
    with pytest.raises(ChecksumError, match=r"pets\.bin has sha256 .*: remove or replace it"):
        open_("pets.yaml")


def test_an_archive_that_is_not_the_described_one_is_refused(tmp_path: Path) -> None:
    content = write_tar_gz(tmp_path / "pets.tgz", PETS).read_bytes()
    with serving(pets=content) as site:
        Path("pets.yaml").write_text(f"url: {site.url}/pets.bin\nmd5: {'f' * 32}\n")
        with pytest.raises(ChecksumError, match=f"md5 .*, not {'f' * 32}"):
            open_("pets.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("reader: pickles", r"pets.yaml.reader is 'pickles'"),
        ("reader: images", r"the reader images needs a url"),
        ("url: ftp://a.org/pets.zip", r"pets.yaml.url is 'ftp://a.org/pets.zip'"),
        ("url: https://a.org/pets.zip\nmd6: 0", r"pets.yaml.md6 is unknown"),
        ("url: [", r"pets.yaml is not valid YAML"),
    ],
)
def test_a_description_that_is_wrong_is_named(text: str, message: str) -> None:
    Path("pets.yaml").write_text(text)
    with pytest.raises(ParamsError, match=message):
        open_("pets.yaml")


def test_an_unknown_source_is_an_error_that_names_the_choices() -> None:
    with pytest.raises(SourceError, match="'pets', which does not exist: give the path"):
        open_("pets")


@pytest.mark.parametrize(
    ("source", "message"),
    [("digits", "write sources/digits.yaml"), ("https://a.org/b.zip", "write a file such as")],
)
def test_a_word_or_an_address_is_no_path(source: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DataParams(source=source, image_px=8)


@pytest.mark.parametrize(("source", "image_px"), [("", 32), ("pets", 7), ("pets", 513)])
def test_params_out_of_range_are_refused(source: str, image_px: int) -> None:
    with pytest.raises(ValidationError):
        DataParams(source=source, image_px=image_px)


def test_what_is_saved_is_what_the_source_holds(tmp_path: Path) -> None:
    save_raw(open_(str(write_folder(tmp_path / "pets", PETS))), 8, tmp_path / "raw")
    images = open_images(tmp_path / "raw/images")
    assert images.shape == (4, 8, 8, 3)
    assert images[:][:, 0, 0].tolist() == [[255, 0, 0], [0, 0, 255]] * 2
    assert read_json(tmp_path / "raw/classes.json") == ["cats", "dogs"]


def test_a_damaged_image_leaves_no_images_behind(tmp_path: Path) -> None:
    pets = write_folder(tmp_path / "pets", PETS | {"train/cats/1.png": b"?"})
    raw = open_(str(pets))
    with pytest.raises(SourceError):
        save_raw(raw, 8, tmp_path / "raw")
    assert list((tmp_path / "raw").iterdir()) == []
