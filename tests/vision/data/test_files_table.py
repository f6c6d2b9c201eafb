from pathlib import Path

import pytest

from vision.base.errors import DataError
from vision.data.files_table import read_columns


def test_columns_are_read_by_name_and_one_that_lacks_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "files.csv"
    path.write_text('file,label,md5\n"a,1.png",cat,\nb.png,dog,ff\n')
    found = read_columns(path, "md5", "file", "group")
    assert found == [["", "ff"], ["a,1.png", "b.png"], ["", ""]]


@pytest.mark.parametrize("content", [b"file,md5\na.png\n", b"file,md5\n\xff,0\n"])
def test_a_damaged_table_is_one_line_that_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "files.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"files\.csv is damaged .*: run dvc repro download"):
        read_columns(tmp_path / "files.csv", "file", "md5")
