"""The picture of the rooms is that of the imports as they are."""

from collections import Counter
from pathlib import Path

from flows.commands.rooms import PICTURE, _find_floors, _is_implied, count_imports, draw_rooms
from tests.projects import ROOT


def test_the_committed_picture_shows_the_imports() -> None:
    assert draw_rooms(ROOT) == (ROOT / PICTURE).read_bytes(), "the imports changed: make rooms"


def test_modules_that_import_from_another_room_are_counted(workspace: Path) -> None:
    for name, text in {
        "stages/a.py": "from vision.base.x import y\nfrom vision.base.z import w\n",
        "stages/b.py": "import vision.base.x\n",
        "vision/base/x.py": "import vision.base.z\n",
        "vision/base/z.py": "",
    }.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    assert count_imports() == {("stages", "vision/base"): 2}


def test_a_room_stands_above_all_that_it_imports() -> None:
    arrows = Counter({("top", "middle"): 1, ("middle", "ground"): 1, ("top", "ground"): 1})
    assert _find_floors(arrows) == {"top": 2, "middle": 1, "ground": 0}
    assert _is_implied("top", "ground", arrows)
    assert not _is_implied("top", "middle", arrows)
