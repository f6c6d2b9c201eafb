"""What decides a result: bytes as DVC hashes them, code by what it means, params by their values.

Two keys come of it. That of bytes says whether dvc.lock tells the truth. That of meaning says
whether a result that was computed before is the one that would be computed now: a comment, a
docstring, the way in which code is set, or a default that is written out do not change it.
"""

import hashlib
import io
import json
import time
import tokenize
from ast import literal_eval
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

KEY_DIGITS = 16
SETTLED_NS = 2 * 10**9  # since a file's last change: no file system's clock is coarser
MISSING = "missing"
# Tokens that carry no meaning: how lines are broken inside brackets, and comments.
SKIPPED = (tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER)
LAYOUT = {tokenize.NEWLINE: "\n", tokenize.INDENT: "{\n", tokenize.DEDENT: "}\n"}
# The parts of an f-string, and of kinds like it, from Python 3.12 on.
STARTS, ENDS = (
    {number for number, name in tokenize.tok_name.items() if name.endswith(f"STRING_{part}")}
    for part in ("START", "END")
)
CLOSING = (")", "]", "}")
_READ: dict[tuple[Path, int, int, int], str] = {}  # MD5 by a file's state
OPENING = ("(", "[", "{")


def digest(content: bytes) -> str:
    """Return the MD5 that DVC names a file by."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def digest_path(path: Path) -> str:
    """Return the hash of a file or folder as dvc.lock has it, or `missing`."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        rows = [
            {"md5": _digest_file(file), "relpath": file.relative_to(path).as_posix()}
            for file in files
        ]
        rows.sort(key=lambda row: row["relpath"])
        return digest(json.dumps(rows, sort_keys=True).encode()) + ".dir"
    return _digest_file(path) if path.exists() else MISSING


def sketch_path(path: Path) -> str:
    """Return what changes when a file, or one in a folder, is changed: names, sizes and times."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path] * path.exists()
    states = [(str(file.relative_to(path)), file.stat()) for file in files if file.is_file()]
    rows = [(name, state.st_size, state.st_mtime_ns, state.st_ino) for name, state in states]
    return digest(repr(rows).encode()) if files else MISSING


def digest_value(value: Any) -> str:
    """Return a hash that is equal for values that DVC holds equal: 1, 1.0 and true."""
    return digest(json.dumps(_simplify(value), sort_keys=True).encode())


@lru_cache(maxsize=256)
def digest_meaning(source: bytes) -> str:
    """Return a hash of what Python code says, alike on all versions of Python that can run it.

    Left out: comments, docstrings, blank lines, line breaks inside brackets, the kind of quotes,
    and the comma after the last of several items. What is no Python is hashed as it stands.
    """
    try:
        return digest("\0".join(_list_words(source)).encode())
    except (tokenize.TokenError, SyntaxError, UnicodeDecodeError):
        return digest(source)


def find_decisive(
    deps: Iterable[str],
    settings: Mapping[str, Any],
    digest_data: Callable[[str], str] = lambda dep: digest_path(Path(dep)),
    root: Path = Path(),
) -> dict[str, str]:
    """Return a hash of each thing that decides what a stage gives.

    Args:
        deps: files and folders; of Python code counts what it means.
        settings: values by name.
        digest_data: returns the hash of a dep that is no code, as dvc.lock has it.
    """
    hashes = {
        dep: digest_meaning((root / dep).read_bytes()) if dep.endswith(".py") else digest_data(dep)
        for dep in deps
    }
    return hashes | {name: digest_value(value) for name, value in settings.items()}


def make_key(decisive: Mapping[str, str]) -> str:
    """Return the name of what comes of these inputs, by their hashes, with this torch."""
    text = repr([version("torch"), *sorted(decisive.items())])
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


def _digest_file(path: Path) -> str:
    """Return a file's MD5; read once by a process, while its size, inode and time of change stay.

    As git does, a file that changed just before it is read is not remembered: another change within
    the same tick of the file system's clock would not be seen.
    """
    now, state = time.time_ns(), path.stat()
    key = (path.absolute(), state.st_size, state.st_ino, state.st_ctime_ns)
    if key in _READ:
        return _READ[key]
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if now - state.st_ctime_ns > SETTLED_NS:
        _READ[key] = found
    return found


def _simplify(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _simplify(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_simplify(each) for each in value]
    if isinstance(value, bool | float) and value == value // 1 and abs(value) < 2**53:
        return int(value)
    return value if isinstance(value, int | float | str | None) else str(value)


def _list_words(source: bytes) -> Iterator[str]:
    statement: list[str] = []
    for word in _drop_last_commas(_read_words(source)):
        statement.append(word)
        if word == LAYOUT[tokenize.NEWLINE]:
            if not _is_text_alone(statement):
                yield from statement
            statement = []
        elif word in LAYOUT.values():
            yield from statement
            statement = []
    yield from statement


def _is_text_alone(statement: list[str]) -> bool:
    """Say whether a statement is a docstring, or another text that is assigned to nothing."""
    return len(statement) == 2 and statement[0].startswith(("'", '"', "str:"))


def _read_words(source: bytes) -> Iterator[str]:
    """Yield the tokens; an f-string is one, as it was before Python 3.12."""
    lines = source.decode("utf-8-sig").splitlines(keepends=True)
    tokens = tokenize.generate_tokens(io.StringIO("".join(lines)).readline)
    depth, begun = 0, (0, 0)
    for token in tokens:
        if token.type in STARTS:
            begun = begun if depth else token.start
            depth += 1
        elif token.type in ENDS:
            depth -= 1
            if not depth:
                yield _cut(lines, begun, token.end)
        elif depth or token.type in SKIPPED:
            continue
        elif token.type in LAYOUT:
            yield LAYOUT[token.type]
        elif token.type == tokenize.STRING:
            yield _unify_text(token.string)
        else:
            yield token.string


def _unify_text(text: str) -> str:
    """Return a text by its value, whatever its quotes; f-strings and bytes as they stand."""
    prefix = text[: min(text.find(quote) for quote in "'\"" if quote in text)].lower()
    return f"str:{literal_eval(text)!r}" if prefix in ("", "r", "u") else text


def _cut(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    if start[0] == end[0]:
        return lines[start[0] - 1][start[1] : end[1]]
    middle = lines[start[0] : end[0] - 1]
    return "".join([lines[start[0] - 1][start[1] :], *middle, lines[end[0] - 1][: end[1]]])


def _drop_last_commas(words: Iterable[str]) -> Iterator[str]:
    """Leave out the comma before a closing bracket where another separates items before it.

    `(1, 2,)` is `(1, 2)`, but `(1,)` is not `(1)`.
    """
    commas, held = [0], False
    for word in words:
        if held and (word not in CLOSING or commas[-1] < 2):
            yield ","
        held = word == ","
        if word in OPENING:
            commas.append(0)
        elif word in CLOSING and len(commas) > 1:
            commas.pop()
        elif held:
            commas[-1] += 1
        if not held:
            yield word
    if held:
        yield ","
