"""The documentation lists every page, and what it tells one to type exists."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.core import TyperGroup
from typer.main import get_command

from docs.hooks import write_api
from docs.shapes import write_photos
from flows.cli import app
from tests.projects import ROOT

WRITTEN = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [*WRITTEN, ROOT / "README.md"]
FENCE = re.compile(r"^ *```[a-z]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:pipeline|make) [^`]+)`")


def list_commands(text: str, program: str) -> Iterator[list[str]]:
    """Yield the words of each command of `program` in a page's code, without comments."""
    blocks = "\n".join(FENCE.findall(text)).replace("\\\n", " ")
    for line in [*blocks.splitlines(), *INLINE.findall(text)]:
        for part in re.split(r" && |; ", line.partition(" #")[0]):
            words = part.split()
            while words and (words[0] == "$" or re.match(r"[A-Z_]+=", words[0])):
                words = words[1:]
            if words and words[0].rpartition("/")[2] == program:
                yield shlex.split(" ".join(words[1:]))


def list_nav(entries: list[object]) -> Iterator[str]:
    for entry in entries:
        if isinstance(entry, str):
            yield entry
        elif isinstance(entry, dict):
            for value in entry.values():
                yield from list_nav(value if isinstance(value, list) else [value])


def find_fault(words: list[str], options: dict[str, set[str]]) -> str | None:
    """Return what is wrong with the words behind `pipeline`, if anything."""
    name, *rest = words
    if name not in options:
        return None if words == ["--help"] else f"no subcommand {name}"
    given = [word.partition("=")[0] for word in rest if re.match("--?[a-zA-Z]", word)]
    unknown = [option for option in given if option not in options[name]]
    return f"{name} has no option {unknown[0]}" if unknown else None


@pytest.fixture(scope="module")
def options() -> dict[str, set[str]]:
    """The options of each subcommand."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    return {
        name: {"--help"}.union(*(param.opts + param.secondary_opts for param in command.params))
        for name, command in group.commands.items()
    }


def test_the_navigation_lists_every_page_once() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    written = [page.relative_to(ROOT / "docs").as_posix() for page in WRITTEN]
    assert sorted(list_nav(config["nav"])) == sorted([*written, *write_api(ROOT)])


def test_a_room_has_a_page_with_its_public_modules() -> None:
    assert write_api(ROOT)["api/vision.serving.md"] == (
        "# vision.serving\n\n::: vision.serving\n"
        "\n## vision.serving.calibration\n\n::: vision.serving.calibration\n"
        "\n## vision.serving.export\n\n::: vision.serving.export\n"
        "\n## vision.serving.prediction\n\n::: vision.serving.prediction\n"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_pipeline_command_of_a_page_exists(page: Path, options: dict[str, set[str]]) -> None:
    commands = list_commands(page.read_text(), "pipeline")
    faults = {" ".join(words): find_fault(words, options) for words in commands if words}
    assert {line: fault for line, fault in faults.items() if fault} == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_make_target_of_a_page_exists(page: Path) -> None:
    rules = re.findall(r"^([\w./-]+(?: [\w./-]+)*):(?!=)", (ROOT / "Makefile").read_text(), re.M)
    targets = {target for rule in rules for target in rule.split()} - {".PHONY"}
    targets |= {".venv/installed-default"}
    named = [word for words in list_commands(page.read_text(), "make") for word in words]
    assert [word for word in named if "=" not in word and word not in targets] == []


def test_commands_are_found_in_blocks_and_in_prose() -> None:
    block = "$ X=1 pipeline run \\\n  --jobs 2  # two\nmake a && make b\n"
    text = f"Say `pipeline doctor --fix`.\n```\n{block}```\n"
    assert list(list_commands(text, "pipeline")) == [["run", "--jobs", "2"], ["doctor", "--fix"]]
    assert list(list_commands(text, "make")) == [["a"], ["b"]]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("plan -S data.source=photos --json", None),
        ("plan --jsn", "plan has no option --jsn"),
        ("paln", "no subcommand paln"),
        ("export tuned --format=onnx", None),
        ("run -x", "run has no option -x"),
    ],
)
def test_a_command_that_does_not_exist_is_told(
    line: str, fault: str | None, options: dict[str, set[str]]
) -> None:
    assert find_fault(line.split(), options) == fault


def test_a_folder_of_shapes_holds_as_many_of_each_and_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_photos(tmp_path / name, per_class=2)
    files = sorted(path.relative_to(tmp_path / "one") for path in tmp_path.glob("one/*/*"))
    names = ("circle", "square", "triangle")
    assert files == [Path(name, file) for name in names for file in ("000.png", "001.png")]
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
