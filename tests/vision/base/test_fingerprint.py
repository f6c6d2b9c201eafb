"""What counts as the same code, the same values and the same files."""

import ast
import hashlib
import os
import textwrap
import time
from pathlib import Path
from unittest import mock

import pytest
from dvc.repo import Repo

from tests.projects import ROOT
from vision.base import fingerprint
from vision.base.fingerprint import digest, digest_meaning, digest_path, digest_value, make_key

CODE = '''
"""What it is about."""
import math

RATES = [0.1, 0.2]

def area(radius, scale=1):
    """Return the area."""
    text = f"{radius!r} of {scale}"
    return math.pi * radius ** 2, text
'''
SAME = {
    "a comment": CODE.replace("import math", "import math  # for pi\n# more words"),
    "another docstring": CODE.replace("Return the area.", "Say how large it is.\n\n    Really."),
    "no docstring": CODE.replace('"""What it is about."""\n', ""),
    "blank lines": CODE.replace("\n\n", "\n\n\n\n"),
    "other quotes": CODE.replace('"""Return the area."""', "'Return the area.'"),
    "broken inside brackets": CODE.replace("[0.1, 0.2]", "[\n    0.1,\n    0.2,  # high\n]"),
    "spaces": CODE.replace("radius ** 2", "radius**2"),
    "a last comma": CODE.replace("scale=1)", "scale=1,)"),
    "other indentation": CODE.replace("\n    ", "\n  "),
    "line ends of another system": CODE.replace("\n", "\r\n"),
}
OTHER = {
    "a number": CODE.replace("** 2", "** 3"),
    "a default": CODE.replace("scale=1", "scale=2"),
    "an order": CODE.replace("[0.1, 0.2]", "[0.2, 0.1]"),
    "words in an f-string": CODE.replace(" of ", " by "),
    "a conversion in an f-string": CODE.replace("!r", "!s"),
    "a tuple of one": CODE.replace("** 2, text", "** 2,"),
    "less indented": CODE.replace("    return", "return"),
    "a statement more": CODE + "\nRATES = []\n",
}


@pytest.mark.parametrize("change", SAME)
def test_what_does_not_change_the_meaning_changes_nothing(change: str) -> None:
    assert SAME[change] != CODE
    assert digest_meaning(SAME[change].encode()) == digest_meaning(CODE.encode())


@pytest.mark.parametrize("change", OTHER)
def test_what_changes_the_meaning_is_seen(change: str) -> None:
    assert OTHER[change] != CODE
    assert digest_meaning(OTHER[change].encode()) != digest_meaning(CODE.encode())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = (1,)", "x = (1)"),
        ("x = y[1,]", "x = y[1]"),
        ("x = 'a' 'b'", "x = 'a', 'b'"),
        ("x = b'a'", "x = 'a'"),
        ("x = r'\\n'", "x = '\\n'"),
        ("if a:\n  b\nc", "if a:\n  b\n  c"),
        ("def f(): 'text'", "def f(): text"),
        ("x = f'{a}' + f'{b}'", "x = f'{a} + {b}'"),
    ],
)
def test_code_that_looks_alike_is_told_apart(one: str, other: str) -> None:
    assert digest_meaning(one.encode()) != digest_meaning(other.encode())


def test_the_hash_is_the_same_on_every_version_of_python() -> None:
    """3.12 and later take f-strings to pieces; this value was the same on 3.11 to 3.14."""
    source = 'def f(x):\n    return f"a{x:>{3}} {f\'{x}\'}" + f"""b\n{x}"""\n'
    assert digest_meaning(source.encode()) == "700682798322cc26399b6f932c235e00"


def test_all_code_of_the_project_can_be_read(tmp_path: Path) -> None:
    """Each file means the same when it is printed anew from its syntax tree without comments."""
    for path in (ROOT / "vision").rglob("*.py"):
        source = path.read_bytes()
        assert digest_meaning(source) != digest(source)
        assert digest_meaning(source + b"\n# a comment\n") == digest_meaning(source)
        assert digest_meaning(source + b"\nx = 1\n") != digest_meaning(source)


def test_what_is_no_python_is_hashed_as_it_stands() -> None:
    assert digest_meaning(b"def (") == digest(b"def (")
    assert digest_meaning(b"\xff") == digest(b"\xff")


@pytest.mark.parametrize(
    "value", [1, 1.0, True, {"a": [0, 2.0]}, {"a": [False, 2]}, "1", None, 0.1, [1, [2]]]
)
def test_values_are_equal_where_dvc_holds_them_equal(value: object) -> None:
    for other in (1, 1.0, True, {"a": [0, 2.0]}, {"a": [False, 2]}, "1", None, 0.1, [1, [2]]):
        assert (digest_value(value) == digest_value(other)) == (value == other)


def test_the_order_of_keys_does_not_matter() -> None:
    assert digest_value({"a": 1, "b": 2}) == digest_value({"b": 2, "a": 1})


def test_a_path_has_the_hash_that_dvc_gives_it(workspace: Path) -> None:
    for name in ("b/z.txt", "b/a/x.txt", "b-c.txt", "a.txt"):
        (workspace / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace / "data" / name).write_text(name)
    (workspace / "ä.txt").write_text("\r\n")
    Repo.init(str(workspace), no_scm=True).close()
    with Repo(str(workspace)) as repo:
        for name in ("data", "ä.txt"):
            (stage,) = repo.add(name)
            assert digest_path(workspace / name) == stage.outs[0].hash_info.value


@pytest.mark.parametrize(("settled_ns", "reads"), [(0, 2), (fingerprint.SETTLED_NS, 3)])
def test_a_file_is_read_again_when_it_may_have_changed(
    settled_ns: int, reads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "SETTLED_NS", settled_ns)
    path, count = tmp_path / "data", mock.Mock(wraps=hashlib.file_digest)
    monkeypatch.setattr(hashlib, "file_digest", count)
    path.write_bytes(b"old")
    time.sleep(0.1)
    assert digest_path(path) == digest_path(path) == digest(b"old")
    path.write_bytes(b"new")  # of the same size
    os.utime(path, ns=(0, 0))
    assert digest_path(path) == digest(b"new")
    assert count.call_count == reads


def test_a_path_that_is_not_there_says_so(workspace: Path) -> None:
    assert digest_path(workspace / "gone") == "missing"


def test_a_key_depends_on_every_hash_and_not_on_their_order() -> None:
    key = make_key({"a": "1", "b": "2"})
    assert key == make_key({"b": "2", "a": "1"})
    assert len({key, make_key({"a": "1"}), make_key({"a": "1", "b": "3"})}) == 3


def test_the_code_in_this_file_is_python() -> None:
    for text in (CODE, *SAME.values()):
        ast.parse(textwrap.dedent(text))
