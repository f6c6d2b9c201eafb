import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.skips import skip_without
from tests.vision.data.pictures import BLUE, RED, write_folder, write_tar_gz
from vision.base.errors import DataError, SourceError
from vision.base.files import read_json
from vision.data.dataset import FILES, Subset
from vision.data.files_table import read_columns
from vision.data.labels import Row, find_labelled, read_table
from vision.data.sources import open_user_images
from vision.data.storing import save_raw
from vision.schema.data import DataParams

TRAIN, VAL, TEST = Subset


def find(rows: dict[str, str], *images: str, table: str = "labels.csv") -> dict[str, str]:
    """Return the label of each image."""
    found = find_labelled([Row(file, label, None) for file, label in rows.items()], images, table)
    return {place.name: place.class_name for place in found.layout.places}


def save(path: Path, labels: str, **others: Any) -> list[str]:
    values = {"source": "x", "image_px": 8, "labels": labels, **others}
    params = DataParams.model_validate(values)
    return save_raw(open_user_images(path, params), 8, Path("data/raw"), params.broken)


@pytest.mark.parametrize(
    "header",
    ["file,label", "Image Path;class", "id\tTarget", "x,filename,category_id", "image,id,class"],
)
def test_columns_are_found_by_their_usual_names(header: str) -> None:
    separator = next(sign for sign in ",;\t" if sign in header)
    words = [
        "cat" if word in ("label", "class", "Target", "category_id") else "a.png"
        for word in header.split(separator)
    ]
    text = f"\ufeff{header}\r\n{separator.join(words)}\r\n"
    assert [row[:3] for row in read_table("t.csv", text.encode())] == [("a.png", "cat", None)]


def test_a_path_of_windows_is_a_path() -> None:
    assert read_table("t.csv", b"file,label\n.\\a\\1.png,cat")[0].file == "a/1.png"


def test_labels_stay_text() -> None:
    rows = read_table("t.csv", b"file,label\n1,007\n2,NA\n3,\n")
    assert [row.label for row in rows] == ["007", "NA", ""]


def test_imagenettes_table_is_read() -> None:
    text = (
        b"path,noisy_labels_0,noisy_labels_1,is_valid\ntrain/a.JPEG,n01,n02,False\nb,n01,n01,True"
    )
    assert read_table("noisy.csv", text) == [
        Row("train/a.JPEG", "n01", TRAIN, (("noisy_labels_1", "n02"),)),
        Row("b", "n01", VAL, (("noisy_labels_1", "n01"),)),
    ]


def test_a_table_may_say_which_images_belong_together() -> None:
    rows = read_table("t.csv", b"image,label,Group ID\na.png,cat, p 7\nb.png,cat,\n")
    assert [row.more for row in rows] == [(("group", "p 7"),), (("group", ""),)]


def test_subsets_are_known_by_all_their_names() -> None:
    rows = read_table("t.csv", b"file,label,split\n1,a,Training\n2,a,valid\n3,a,TEST\n4,a,\n")
    assert [row.subset for row in rows] == [TRAIN, VAL, TEST, None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.png,cat", r"t\.csv has the columns a\.png, cat: one must be called file, one label"),
        ("file,path,label\n", r"several columns for the file, file, path, among file, path, label"),
        ("file,label,class\n", "several columns for the label, label, class, among"),
        ("file,label,split\na,b,holdout\n", "has the subset 'holdout': choose from train, tr"),
        ("", r"t\.csv cannot be read as a table: "),
        ("file,label\na,b,c,d,e\nf,g,h,i,j,k\n", r"t\.csv cannot be read as a table: "),
    ],
)
def test_a_table_that_is_not_clear_is_an_error(text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        read_table("t.csv", text.encode())
    assert "\n" not in str(caught.value)


def test_a_table_in_parquet_is_read_or_the_way_out_is_named() -> None:
    table = pd.DataFrame({"file": ["a.png", "b.png"], "label": [1, 2]})
    file = io.BytesIO()
    try:
        table.to_parquet(file)
    except ImportError:
        with pytest.raises(SourceError, match=r"t\.parquet needs a reader of Parquet: pip install"):
            read_table("t.parquet", b"PAR1")
        skip_without("pyarrow", "pip install pyarrow")
    assert [row.label for row in read_table("t.parquet", file.getvalue())] == ["1", "2"]


@pytest.mark.parametrize("file", ["cat.0", "cat.0.jpg", "x/cat.0.jpg", "../in/x/cat.0.jpg"])
def test_a_file_is_found_by_any_of_its_paths(file: str) -> None:
    assert find({file: "cat"}, "x/cat.0.jpg", "x/cat.1.jpg") == {"x/cat.0.jpg": "cat"}


def test_a_file_in_another_folder_is_another_file() -> None:
    assert find({"dogs/1.png": "dog"}, "cats/1.png") == {}


@pytest.mark.parametrize("table", ["train.csv", "labels.csv"])
def test_of_files_of_one_name_that_in_train_is_meant(table: str) -> None:
    assert find({"1": "cat"}, "test/1.jpg", "train/1.jpg", table=table) == {"train/1.jpg": "cat"}


def test_files_that_a_row_cannot_tell_apart_are_named() -> None:
    with pytest.raises(SourceError, match=r"1 may be a/1\.jpg, b/1\.jpg: write paths with"):
        find({"1": "cat"}, "a/1.jpg", "b/1.jpg")


def test_two_labels_of_a_file_are_an_error() -> None:
    with pytest.raises(SourceError, match=r"labels\.csv has two labels for 1\.jpg: cat and dog"):
        find({"1": "cat", "1.jpg": "dog"}, "1.jpg")


@pytest.mark.parametrize(("test", "expected"), [("test", TEST), ("other", TRAIN)])
def test_folders_give_the_subset_where_all_of_them_do(test: str, expected: Subset) -> None:
    images = ["top/Train/1.jpg", f"top/{test}/2.jpg"]
    rows = [Row(image, "cat", None) for image in images]
    places = find_labelled(rows, images, "t.csv").layout.places
    assert {place.name: place.subset for place in places}[images[1]] == expected


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("packed", [False, True])
def test_kaggles_table_and_its_test_images_without_labels_are_read(
    tmp_path: Path, packed: bool
) -> None:
    files = {f"train/{n}.jpg": RED if n < 3 else BLUE for n in range(6)}
    files |= {f"test/{n}.jpg": RED for n in range(4)}
    files["train.csv"] = b"id,label\n" + b"".join(b"%d,%d\n" % (n, n > 2) for n in range(6))
    files["sample_submission.csv"] = b"id,label\n"
    root = (write_tar_gz if packed else write_folder)(tmp_path / "kaggle", files)
    assert save(root, "train.csv")[1:] == [
        "left out 1 other files (1 .csv): sample_submission.csv",
        "4 without labels: pipeline predict",
    ]
    manifest = read_json(Path("data/raw/manifest.json"))
    assert manifest["counts"] == {"train": 6, "val": 0, "test": 0}
    assert manifest["unlabelled"]["count"] == 4
    assert manifest["labels"]["name"] == "train.csv"
    assert read_json(Path("data/raw/classes.json")) == ["0", "1"]


@pytest.mark.usefixtures("workspace")
def test_all_columns_of_a_table_stand_beside_the_files_that_are_stored(tmp_path: Path) -> None:
    table = (
        b"file,label,group,Light ,width,none\n1,a,p,day,7,\n2,b,q,,8,\n3,a,p,day,,\n4,b,,dusk,9,\n"
    )
    files = {"1.jpg": RED, "2.jpg": BLUE, "3.jpg": b"", "4.jpg": BLUE, "t.csv": table}
    save(write_folder(tmp_path / "pets", files), "t.csv", broken="skip")
    stored = Path("data/raw") / FILES
    assert read_columns(stored, "file", "group", "Light", "width (table)", "none") == [
        ["1.jpg", "2.jpg", "4.jpg"],
        ["p", "q", ""],
        ["day", "", "dusk"],
        ["7", "8", "9"],
        ["", "", ""],
    ]
    assert "none" not in stored.read_text().splitlines()[0]


@pytest.mark.usefixtures("workspace")
def test_one_flat_folder_is_read_by_a_table_in_it(tmp_path: Path) -> None:
    files = {"cat.0.jpg": RED, "cat.1.jpg": RED, "dog.0.jpg": BLUE, "dog.1.jpg": BLUE}
    root = write_folder(tmp_path / "pets", files)
    rows = "".join(f"{name},{name[:3]}\n" for name in files)
    (tmp_path / "labels.csv").write_text(f"file,label\n{rows}")
    with pytest.raises(SourceError, match="which pets does not hold: put"):
        save(root, "../labels.csv")
    (tmp_path / "labels.csv").rename(root / "labels.csv")
    assert save(root, "labels.csv") == ["4 images in 2 classes, from the folder pets."]


@pytest.mark.usefixtures("workspace")
def test_rows_without_a_file_are_an_error_or_left_out(tmp_path: Path) -> None:
    files = {"1.jpg": RED, "2.jpg": BLUE, "t.csv": b"file,label\n1,a\n2,b\n3,a\n4,b\n"}
    root = write_folder(tmp_path / "pets", files)
    with pytest.raises(SourceError, match=r"2 rows of t\.csv name no image of pets: 3, 4; mend"):
        save(root, "t.csv")
    assert save(root, "t.csv", broken="skip")[-1].startswith("2 rows of t.csv name no image")
    assert read_json(Path("data/raw/manifest.json"))["missing"] == {"count": 2, "first": ["3", "4"]}


@pytest.mark.usefixtures("workspace")
def test_a_table_that_is_not_there_or_of_other_files_is_an_error(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "pets", {"1.jpg": RED, "t.csv": b"file,label\n1,\n"})
    with pytest.raises(SourceError, match=r"data\.labels is 'no\.csv', which pets does not hold"):
        save(root, "no.csv")
    with pytest.raises(DataError, match=r"t\.csv has no label for any image of pets"):
        save(root, "t.csv")
