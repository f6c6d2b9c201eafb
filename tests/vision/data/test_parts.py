"""Several archives are one data set, of the same bytes however it was dealt out."""

import hashlib
import os
import signal
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.vision.base.servers import Site, serving
from tests.vision.data.pictures import encode, paint, write_folder, write_tar_gz
from vision.base.errors import ParamsError, PipelineError, SourceError
from vision.base.files import read_json
from vision.base.kept import CHECKPOINTS
from vision.data import parts as parts_module
from vision.data import sharding
from vision.data.decoding import Decoded
from vision.data.described import list_parts
from vision.data.joining import save_parts
from vision.data.sources import open_user_images
from vision.data.storing import save_raw
from vision.schema.data import DataParams

PX = 8
KEPT = Path("data/checkpoints")
PETS = {
    f"{subset}/{name}/{n}.png": encode(paint((40 * n, shade, len(subset)), (PX, PX)))
    for subset in ("train", "test")
    for shade, name in enumerate(("cats", "dogs"))
    for n in range(4)
}
PETS["train/cats/\udce9.png"] = encode(paint("white"))  # of a name that is no Unicode
Files = dict[str, bytes]


@pytest.fixture(autouse=True)
def _small(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharding, "SHARD_BYTES", sharding.HEADER_BYTES + 5 * PX**2 * 3)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as site:
        yield site


def deal(files: Files, count: int) -> list[Files]:
    """Deal files out, so that each class is in several parts."""
    names = sorted(files, key=lambda name: hashlib.md5(os.fsencode(name)).digest())
    return [{name: files[name] for name in names[number::count]} for number in range(count)]


@cache
def pack(files: tuple[tuple[str, bytes], ...]) -> bytes:
    """Return an archive, whose bytes hold the time at which it is made."""
    return write_tar_gz(Path("packed"), dict(files)).read_bytes()


def describe(site: Site, dealt: Sequence[Files]) -> None:
    """Serve archives of files as /a.bin, /b.bin ..., and name them in pets.yaml."""
    listed = []
    for letter, files in zip("abcdef", dealt, strict=False):
        content = pack(tuple(files.items()))
        site.files[f"/{letter}.bin"] = content
        digest = hashlib.sha256(content).hexdigest()
        listed.append({"url": f"{site.url}/{letter}.bin", "sha256": digest})
    Path("pets.yaml").write_text(yaml.safe_dump({"parts": listed}))


def read_raw() -> Files:
    """Return the files of data/raw, but for the manifest, which names the source."""
    files = [path for path in Path("data/raw").rglob("*") if path.is_file()]
    return {str(path): path.read_bytes() for path in files if path.name != "manifest.json"}


def save(**more: str) -> Files:
    """Store what pets.yaml names."""
    params = DataParams.model_validate({"source": "pets.yaml", "image_px": PX} | more)
    save_parts(list_parts(params), params, {}, Path("data/raw"))
    return read_raw()


def save_folder(files: Files, **more: str) -> Files:
    """Store the same files from one folder."""
    params = DataParams.model_validate({"source": "x", "image_px": PX} | more)
    raw = open_user_images(write_folder(Path("pets"), files), params)
    save_raw(raw, PX, Path("data/raw"), params.broken)
    return read_raw()


def list_fetched(site: Site) -> list[str]:
    """Return what was asked for since the last call."""
    asked = [path for path, _ in site.asked]
    site.asked.clear()
    return asked


def grey(value: int) -> bytes:
    """A picture of 16 bits."""
    return encode(Image.fromarray(np.full((PX, PX), value, np.uint16)))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_however_images_are_dealt_out_the_data_set_is_that_of_one_folder(
    site: Site, count: int
) -> None:
    expected = save_folder(PETS)
    describe(site, deal(PETS, count))
    assert save() == expected
    manifest = read_json(Path("data/raw/manifest.json"))
    assert manifest["note"] == "17 images in 2 classes, from the archives of pets.yaml."
    assert [part["name"] for part in manifest["parts"]] == [
        f"{each}.bin" for each in "abcde"[:count]
    ]


def test_a_part_that_is_added_costs_its_own_decoding_alone(site: Site) -> None:
    dealt = deal(PETS, 3)
    describe(site, dealt[:2])
    save()
    assert list_fetched(site) == ["/a.bin", "/b.bin"]
    describe(site, [dealt[1], dealt[2], dealt[0]])
    assert save() == save_folder(PETS)
    assert list_fetched(site) == ["/b.bin"]
    assert not [*Path("data/downloads").glob("*.bin")]


def test_a_killed_run_goes_on_in_the_part_that_it_was_in(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    describe(site, deal(PETS, 2))
    child = os.fork()
    if not child:
        decode = parts_module.decode_files
        total = -(-len(PETS) // 2) + 3  # all of the first part, three images of the second

        def die(*arguments: object) -> Iterator[Decoded]:
            nonlocal total
            for image in decode(*arguments):  # type: ignore[arg-type]
                if not total:
                    os.kill(os.getpid(), signal.SIGKILL)
                total -= 1
                yield image

        monkeypatch.setattr(parts_module, "decode_files", die)
        save()
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    decoded: list[int] = []
    decode = parts_module.decode_files

    def count(*arguments: object) -> Iterator[Decoded]:
        for image in decode(*arguments):  # type: ignore[arg-type]
            decoded.append(image.row)
            yield image

    monkeypatch.setattr(parts_module, "decode_files", count)
    list_fetched(site)
    assert save() == save_folder(PETS)
    assert list_fetched(site) == []
    assert len(decoded) == len(PETS) // 2 - 3
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"part 1 of 2, {site.url}/a.bin: 9 images, kept from before",
        f"part 2 of 2, {site.url}/b.bin: 8 images, decoded",
    ]


@pytest.mark.parametrize("file", ["pixels", "rows", "listing.json"])
def test_what_is_kept_and_was_damaged_is_decoded_again(site: Site, file: str) -> None:
    describe(site, deal(PETS, 2))
    expected = save()
    [path, _] = sorted(KEPT.glob(f"part-*/{file}"))
    path.write_bytes(path.read_bytes()[:-3] + b"?")
    list_fetched(site)
    assert save() == expected
    assert len(list_fetched(site)) == 1


def test_with_no_place_for_what_is_decoded_nothing_of_it_stays(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CHECKPOINTS, "")
    expected = save_folder(PETS)
    describe(site, deal(PETS, 2))
    assert save() == expected
    assert sorted(path.name for path in Path("data").iterdir()) == ["downloads", "raw"]


def test_a_file_of_the_same_name_in_two_parts_is_named(site: Site) -> None:
    first, second = deal(PETS, 2)
    describe(site, [first, second | dict([next(iter(first.items()))])])
    twice = next(iter(first))
    with pytest.raises(
        SourceError, match=f"{twice} is in a.bin and b.bin: each file may be in one"
    ):
        save()


def test_other_files_may_be_in_each_part_and_are_left_out(site: Site) -> None:
    first, second = deal(PETS, 2)
    expected = save_folder(PETS)
    describe(site, [first | {"LICENSE": b"text"}, second | {"LICENSE": b"text"}])
    assert save() == expected
    left_out = read_json(Path("data/raw/manifest.json"))["left_out"]
    assert left_out == {"count": 1, "kinds": {"none": 1}, "first": ["LICENSE"]}


def test_broken_images_of_all_parts_are_named_and_skipped(site: Site) -> None:
    broken = {"train/cats/x.png": b"", "test/dogs/y.png": PETS["test/dogs/1.png"][:40]}
    expected = save_folder(PETS | broken, broken="skip")
    describe(site, deal(PETS | broken, 3))
    with pytest.raises(SourceError, match=r"^2 of 19 images cannot be read: train/cats/x.png \(em"):
        save()
    list_fetched(site)
    assert save(broken="skip") == expected
    assert list_fetched(site) == []


def test_values_of_more_than_8_bits_are_scaled_by_those_of_all_parts(site: Site) -> None:
    deep = {f"{name}/{n}.png": grey(n) for name, n in (("a", 4095), ("a", 256), ("b", 16))}
    deep |= {"b/2.png": PETS["train/cats/1.png"]}
    expected = save_folder(deep)
    describe(site, deal(deep, 2))
    assert save() == expected
    assert read_json(Path("data/raw/manifest.json"))["bits"] == 12


def test_one_part_has_the_table_of_labels(site: Site) -> None:
    flat = {f"images/{n}.png": content for n, content in enumerate(PETS.values())}
    rows = [f"{n}.png,{n % 2},{'test' if n > 11 else 'train'},{n}" for n in range(len(flat))]
    table = {"labels.csv": "\n".join(["file,label,subset,camera", *rows]).encode()}
    expected = save_folder(flat | table, labels="labels.csv")
    describe(site, deal(flat | table, 3))
    assert save(labels="labels.csv") == expected
    describe(site, deal(flat, 3))
    with pytest.raises(SourceError, match=r"data\.labels is 'labels.csv', which none of the parts"):
        save(labels="labels.csv")


def test_a_mirror_comes_first(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected = save_folder(PETS)
    describe(site, deal(PETS, 2))
    mirror = tmp_path_factory.mktemp("mirror")
    (mirror / "b.bin").write_bytes(site.files["/b.bin"])
    monkeypatch.setenv("PIPELINE_MIRROR", str(mirror))
    assert save() == expected
    assert list_fetched(site) == ["/a.bin"]
    assert (mirror / "b.bin").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"part 2 of 2: http://[\d.:]+/b.bin .*404"),
        (b"other", r"part 2 of 2: http://[\d.:]+/b.bin sent sha256 .*, not "),
        (b"PK", r"part 2 of 2, http://[\d.:]+/b.bin: b.bin is damaged, or no .zip"),
    ],
)
def test_a_part_that_fails_is_one_line_with_its_address(
    site: Site, content: bytes | None, message: str
) -> None:
    describe(site, deal(PETS, 2))
    del site.files["/b.bin"]
    if content:
        site.files["/b.bin"] = content
    if content == b"PK":
        described = yaml.safe_load(Path("pets.yaml").read_text())
        described["parts"][1]["sha256"] = hashlib.sha256(content).hexdigest()
        Path("pets.yaml").write_text(yaml.safe_dump(described))
    with pytest.raises(PipelineError, match=f"^{message}") as caught:
        save()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "parts: [{url: 'https://a.org/1.zip'}]",
            r"pets.yaml.parts.1: a part needs a url, and sha",
        ),
        ("parts: [{url: 'https://a.org/1.zip', sha256: 1}]", r"pets.yaml.parts.1.sha256 is 1"),
        ("url: 'https://a.org/1.zip'\nparts: [{}]", r"pets.yaml: parts have urls and checksums of"),
        ("parts: [{}]\nreader: cifar10", r"pets.yaml: parts have urls and checksums of"),
        (
            "parts:\n"
            f"- {{url: 'https://a.org/x/1.zip', md5: {'a' * 32}}}\n"
            f"- {{url: 'https://a.org/y/1.zip', md5: {'b' * 32}}}\n",
            r"pets.yaml: parts 1 and 2 are both called 1.zip: downloads are found by their names",
        ),
    ],
)
def test_parts_that_are_described_wrong_are_named(text: str, message: str) -> None:
    Path("pets.yaml").write_text(text)
    with pytest.raises(ParamsError, match=message):
        list_parts(DataParams(source="pets.yaml", image_px=PX))
