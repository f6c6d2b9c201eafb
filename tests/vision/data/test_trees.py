import shutil
from pathlib import Path

import pytest

from tests.vision.data.pictures import BLUE, RED, write_folder, write_tar_gz
from vision.base.errors import DataError, SourceError
from vision.data import decoding, trees
from vision.data.trees import digest_folder, list_folder, open_tree

PETS = {"dogs/2.png": BLUE, "dogs/10.png": BLUE, "cats/1.png": RED}
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def test_clutter_is_skipped_without_a_word(tmp_path: Path) -> None:
    clutter = [".DS_Store", "cats/.hidden.png", "__MACOSX/cats/._1.png", ".git/config"]
    tree = open_tree(write_folder(tmp_path / "pets", PETS | dict.fromkeys(clutter, RED)))
    assert (len(tree.places), tree.facts, tree.remarks) == (3, {}, [])


def test_files_that_are_no_images_are_counted_and_named(tmp_path: Path) -> None:
    others = ["LICENSE", "README.md", "labels.csv", "cats/1.json", "dogs/a.MOV", "dogs/Thumbs.db"]
    files = PETS | dict.fromkeys(others, b"other")
    for tree in (
        open_tree(write_folder(tmp_path / "pets", files)),
        open_tree(write_tar_gz(tmp_path / "pets.tgz", files)),
    ):
        kinds = {".csv": 1, ".db": 1, ".json": 1, ".md": 1, ".mov": 1, "none": 1}
        assert tree.facts["left_out"]["kinds"] == kinds
        assert tree.facts["left_out"]["count"] == 6
        assert tree.remarks == [
            "left out 6 other files (1 .csv, 1 .db, 1 .json, 1 .md, 1 .mov, 1 none): "
            "LICENSE, README.md, cats/1.json, dogs/Thumbs.db, dogs/a.MOV and 1 more"
        ]


def test_a_folder_of_other_files_is_no_class(tmp_path: Path) -> None:
    tree = open_tree(write_folder(tmp_path / "pets", PETS | {"annotations/1.xml": b"<a/>"}))
    assert tree.classes == ["cats", "dogs"]


def test_a_file_is_an_image_by_its_content_or_its_claim(tmp_path: Path) -> None:
    files = {"cats/photo": RED, "cats/a.txt": RED, "cats/empty.jpg": b"", "cats/note": b"text"}
    tree = open_tree(write_folder(tmp_path / "pets", PETS | files))
    assert tree.facts["left_out"]["first"] == ["cats/note"]
    assert {"cats/photo", "cats/a.txt", "cats/empty.jpg"} < {place.name for place in tree.places}


def test_heic_is_left_out_where_it_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "can_read_heic", lambda: False)
    tree = open_tree(write_folder(tmp_path / "pets", PETS | {"cats/2.heic": HEIC}))
    assert tree.facts["left_out"]["kinds"] == {".heic": 1}
    assert tree.remarks[-1] == "1 of them are photos in HEIC: pip install pillow-heif"


def test_a_class_of_heic_alone_is_an_error_where_it_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "can_read_heic", lambda: False)
    root = write_folder(tmp_path / "pets", PETS | {"birds/2.jpg": HEIC})
    with pytest.raises(DataError, match="images of birds in HEIC alone: pip install pillow-heif"):
        open_tree(root)


@pytest.mark.parametrize("others", [{}, {"a.txt": b"", "b.txt": b""}])
def test_a_folder_without_images_is_an_error(tmp_path: Path, others: dict[str, bytes]) -> None:
    (tmp_path / "pets").mkdir()
    found = ", but 2 .txt: " if others else ": "
    with pytest.raises(SourceError, match=f"pets/ holds no images{found}it needs"):
        open_tree(write_folder(tmp_path / "pets", others))


def test_an_empty_class_is_named(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "pets", PETS)
    (root / "birds").mkdir()
    with pytest.raises(SourceError, match="pets/birds/ holds no images"):
        open_tree(root)


def test_an_empty_folder_below_a_class_is_none(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "pets", PETS)
    (root / "cats/empty").mkdir()
    assert open_tree(root).classes == ["cats", "dogs"]


def test_a_table_beside_images_without_classes_is_named(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "pets", {"1.png": RED, "2.png": RED, "labels.csv": b"a,b"})
    with pytest.raises(
        SourceError, match=r"without class folders.*data\.labels: labels\.csv would"
    ):
        open_tree(root)


def test_a_link_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "pets", PETS)
    (tmp_path / "outside.png").write_bytes(RED)
    (root / "cats/link.png").symlink_to(tmp_path / "outside.png")
    with pytest.raises(SourceError, match=r"pets/cats/link\.png is a link"):
        open_tree(root)


def test_a_link_to_a_folder_is_refused(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "pets", PETS)
    (root / "birds").symlink_to(root / "cats")
    with pytest.raises(SourceError, match="pets/birds/ is a link"):
        open_tree(root)


def test_a_link_inside_the_folder_is_followed(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "pets", PETS)
    (root / "dogs/link.png").symlink_to("2.png")
    assert len(open_tree(root).places) == 4


def test_a_digest_depends_on_names_and_contents_alone(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "pets", PETS)
    before = digest_folder(root, PETS)
    moved = shutil.copytree(root, tmp_path / "elsewhere")
    assert digest_folder(moved, reversed(PETS)) == before
    (moved / "cats/1.png").write_bytes(BLUE)
    assert digest_folder(moved, PETS) != before


def test_folders_are_listed_with_a_slash(tmp_path: Path) -> None:
    listing = list_folder(write_folder(tmp_path, {"cats/1.png": RED}))
    assert sorted(listing) == ["cats/", "cats/1.png"]


def test_a_folder_and_an_archive_of_it_hold_the_same_images(tmp_path: Path) -> None:
    folder = open_tree(write_folder(tmp_path / "pets", PETS))
    archive = open_tree(write_tar_gz(tmp_path / "pets.tgz", PETS))
    assert folder.places == archive.places
    rows = [
        {each.row: each.picture.pixels.tobytes() for each in tree.read(8) if each.picture}
        for tree in (folder, archive)
    ]
    assert rows[0] == rows[1]


def test_few_files_are_held_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "CHUNK_BYTES", len(RED))
    tree = open_tree(write_folder(tmp_path / "pets", PETS))
    assert len(list(tree.read(8))) == 3


def test_images_that_cannot_be_read_are_told_and_the_others_read(tmp_path: Path) -> None:
    tree = open_tree(write_folder(tmp_path / "pets", PETS | {"cats/1.png": b"?"}))
    broken, *others = tree.read(8)
    assert (broken.row, broken.picture, broken.fault) == (0, None, "not an image")
    assert [each.row for each in others if each.picture] == [1, 2]
