import shutil
from pathlib import Path

import pytest

from tests.vision.data.pictures import BLUE, RED, write_folder, write_tar_gz
from vision.base.errors import DataError, ImageError, SourceError
from vision.data.trees import Place, arrange, digest_folder, list_folder, open_tree

PETS = {"dogs/2.png": BLUE, "dogs/10.png": BLUE, "cats/1.png": RED}


def arrange_pets(*names: str) -> list[Place]:
    return arrange(names, "pets")


def test_class_folders_are_all_train_and_sorted_as_text() -> None:
    places = arrange_pets("dogs/2.png", "dogs/10.png", "cats/1.png")
    assert [(place.subset.name, place.name) for place in places] == [
        ("TRAIN", "cats/1.png"),
        ("TRAIN", "dogs/10.png"),
        ("TRAIN", "dogs/2.png"),
    ]


def test_subsets_come_in_the_order_train_val_test() -> None:
    files = [f"{subset}/{name}/1.png" for subset in ("test", "val", "train") for name in "ab"]
    assert [place.subset for place in arrange_pets(*files)] == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("inside", ["", "train/"])
def test_one_wrapping_folder_is_ignored(inside: str) -> None:
    places = arrange_pets(f"top/{inside}cats/1.png", f"top/{inside}dogs/1.png")
    assert [place.class_name for place in places] == ["cats", "dogs"]


def test_clutter_is_skipped() -> None:
    clutter = [".DS_Store", "cats/.hidden.png", "dogs/Thumbs.db", "__MACOSX/cats/._1.png", ".git/"]
    assert len(arrange_pets("cats/1.png", "dogs/1.png", *clutter)) == 2


def test_a_file_that_is_no_image_is_named() -> None:
    with pytest.raises(
        ImageError, match=r"pets: cats/notes\.txt is no image \(\.jpg, .*\): remove"
    ):
        arrange_pets("cats/1.png", "dogs/1.png", "cats/notes.txt")


def test_an_empty_folder_is_an_error() -> None:
    with pytest.raises(SourceError, match="pets/ holds no images"):
        arrange_pets()


def test_an_empty_class_is_named() -> None:
    with pytest.raises(SourceError, match="pets/birds/ holds no images"):
        arrange_pets("cats/1.png", "dogs/1.png", "cats/", "dogs/", "birds/")


def test_one_class_is_an_error() -> None:
    with pytest.raises(DataError, match="pets holds one class, cats"):
        arrange_pets("cats/1.png", "cats/2.png")


@pytest.mark.parametrize("lacking", ["train", "test"])
def test_a_subset_that_lacks_a_class_is_named(lacking: str) -> None:
    files = ["train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png"]
    files.remove(f"{lacking}/b/1.png")
    with pytest.raises(DataError, match=f"pets/{lacking} has no images of b"):
        arrange_pets(*files)


def test_a_test_folder_needs_a_train_folder() -> None:
    with pytest.raises(SourceError, match="pets has no train/ beside test"):
        arrange_pets("test/a/1.png", "test/b/1.png")


@pytest.mark.parametrize("stray", ["stray.png", "cats/deep/stray.png"])
def test_an_image_outside_a_class_folder_is_named(stray: str) -> None:
    with pytest.raises(SourceError, match=f"pets: '{stray}' is not where an image can be"):
        arrange_pets("cats/1.png", "dogs/1.png", stray)


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
    rows = [{row: pixels.tobytes() for row, pixels in tree.read(8)} for tree in (folder, archive)]
    assert rows[0] == rows[1]


def test_a_damaged_image_is_named_with_its_folder(tmp_path: Path) -> None:
    tree = open_tree(write_folder(tmp_path / "pets", PETS | {"cats/1.png": b"?"}))
    with pytest.raises(ImageError, match=r"cats/1\.png cannot be read as PNG"):
        list(tree.read(8))
