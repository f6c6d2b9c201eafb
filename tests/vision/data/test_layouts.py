import unicodedata

import pytest

from vision.base.errors import DataError, SourceError
from vision.data.dataset import Subset
from vision.data.layouts import FlatError, Layout, check_classes, find_layout, list_classes


def find(*names: str) -> Layout:
    layout = find_layout(names, "pets")
    check_classes(layout.places, "pets")
    return layout


def test_class_folders_are_all_train_and_sorted_as_text() -> None:
    places = find("dogs/2.png", "dogs/10.png", "cats/1.png").places
    assert [(place.subset.name, place.name) for place in places] == [
        ("TRAIN", "cats/1.png"),
        ("TRAIN", "dogs/10.png"),
        ("TRAIN", "dogs/2.png"),
    ]


@pytest.mark.parametrize("train", ["train", "Train", "TRAINING"])
@pytest.mark.parametrize("val", ["val", "valid", "Validation", "dev"])
@pytest.mark.parametrize("test", ["test", "Testing"])
def test_subsets_are_known_by_all_their_names_in_any_case(train: str, val: str, test: str) -> None:
    files = [f"{subset}/{name}/1.png" for subset in (test, val, train) for name in "ab"]
    assert [place.subset for place in find(*files).places] == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("wrapper", ["", "top/", "a/b/c/"])
@pytest.mark.parametrize("inside", ["", "train/"])
@pytest.mark.parametrize("below", ["", "2024/may/"])
def test_folders_around_all_and_below_a_class_are_no_classes(
    wrapper: str, inside: str, below: str
) -> None:
    places = find(f"{wrapper}{inside}cats/{below}1.png", f"{wrapper}{inside}dogs/2.png").places
    assert [place.class_name for place in places] == ["cats", "dogs"]


def test_one_class_is_an_error() -> None:
    with pytest.raises(DataError, match="pets holds one class, cats"):
        find("cats/1.png", "cats/2.png")


@pytest.mark.parametrize("lacking", ["train", "test"])
def test_a_subset_that_lacks_a_class_is_named(lacking: str) -> None:
    files = ["train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png"]
    files.remove(f"{lacking}/b/1.png")
    with pytest.raises(DataError, match=f"pets/{lacking} has no images of b"):
        find(*files)


def test_a_test_folder_needs_a_train_folder() -> None:
    with pytest.raises(SourceError, match="pets has no train/ beside test"):
        find("test/a/1.png", "test/b/1.png")


def test_two_folders_of_one_subset_are_refused() -> None:
    with pytest.raises(SourceError, match="two folders of one subset among dev, train, val"):
        find(*(f"{subset}/{name}/1.png" for subset in ("train", "val", "dev") for name in "ab"))


def test_a_folder_beside_train_with_classes_is_refused() -> None:
    with pytest.raises(SourceError, match="pets has extra beside train: move or rename it"):
        find("train/a/1.png", "train/b/1.png", "extra/a/1.png")


def test_a_flat_folder_beside_train_with_classes_has_no_labels() -> None:
    layout = find("Train/a/1.png", "Train/b/1.png", "Meta/1.png")
    assert layout.unlabelled == ["Meta/1.png"]


def test_a_class_may_be_called_train() -> None:
    assert list_classes(find("train/1.png", "bus/1.png").places) == ["bus", "train"]


@pytest.mark.parametrize(
    ("files", "tops"),
    [
        (["Train/1.png", "Test/2.png"], "Test/ and Train/"),
        (["1.png", "2.png"], "images"),
        (["train/1.png"], "train/"),
    ],
)
def test_images_without_class_folders_are_said_to_be_so(files: list[str], tops: str) -> None:
    with pytest.raises(FlatError, match=f"pets has {tops} without class folders inside: it needs"):
        find(*files)


def test_test_images_without_class_folders_have_no_labels() -> None:
    layout = find("train/a/1.png", "train/b/1.png", "test/7.png", "test/8.png")
    assert layout.unlabelled == ["test/7.png", "test/8.png"]
    assert {place.subset for place in layout.places} == {Subset.TRAIN}


@pytest.mark.parametrize(
    "files",
    [
        ["cats/1.png", "dogs/1.png", "stray.png"],
        ["train/a/1.png", "train/b/1.png", "train/stray.png"],
        ["train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png", "test/stray.png"],
        ["top/cats/1.png", "top/dogs/1.png", "top/stray.png"],
    ],
)
def test_an_image_outside_a_class_folder_is_named(files: list[str]) -> None:
    with pytest.raises(SourceError, match=r"pets: '.*stray\.png' (is not where|lies beside)"):
        find(*files)


def test_composed_and_decomposed_names_are_one_class() -> None:
    forms = [unicodedata.normalize(form, "café") for form in ("NFC", "NFD")]
    layout = find(f"train/{forms[0]}/1.png", "train/b/1.png", f"test/{forms[1]}/1.png", "test/b/1")
    assert list_classes(layout.places) == ["b", "café"]
    assert layout.remarks == []


def test_spellings_in_one_folder_stay_apart_with_a_line() -> None:
    layout = find("Cat/1.png", "cat/1.png", "cat /1.png", "dog/1.png")
    assert list_classes(layout.places) == ["Cat", "cat", "cat ", "dog"]
    assert layout.remarks == [
        "classes differ in case or blanks alone: 'Cat' and 'cat' and 'cat ' stay apart"
    ]


def test_spellings_of_different_subsets_are_one_class_with_a_line() -> None:
    layout = find("train/Cat/1.png", "train/dog/1.png", "test/cat/1.png", "test/dog/1.png")
    assert list_classes(layout.places) == ["Cat", "dog"]
    assert layout.remarks == [
        "classes differ in case or blanks alone: 'Cat' and 'cat' are one class"
    ]


def test_folders_that_all_hold_the_same_folders_are_classes_with_a_line() -> None:
    files = [f"{top}/{name}/1.png" for top in ("images", "masks") for name in ("cat", "dog")]
    layout = find_layout(files, "x")
    assert list_classes(layout.places) == ["images", "masks"]
    assert layout.remarks == [
        "classes are images, masks, though each holds cat, dog: if these are the classes, "
        "give one of the former as data.source"
    ]
    assert find_layout([*files, "masks/owl/1.png"], "x").remarks == []
