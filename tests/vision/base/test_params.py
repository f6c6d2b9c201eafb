from pathlib import Path

import pytest
from dvc.utils.serialize import load_yaml
from pydantic import Field

from vision.base.errors import ParamsError
from vision.base.params import check_name, read_params
from vision.base.sections import Section, load_section, load_seed


class Recipe(Section):
    learning_rate: float = Field(gt=0)
    flip: bool = False


def write_params(text: str) -> Path:
    path = Path("params.yaml")
    path.write_text(text)
    return path


@pytest.mark.usefixtures("workspace")
def test_a_section_becomes_a_typed_object() -> None:
    write_params("finetune: {paper: {learning_rate: 3e-4, flip: true}}")
    assert load_section("finetune.paper", Recipe) == Recipe(learning_rate=0.0003, flip=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("r: {learning_rte: 1.0}", "r.learning_rte is unknown; r has flip, learning_rate"),
        ("r: {flip: true}", "r.learning_rate is missing from params.yaml"),
        ("r: {learning_rate: fast}", "r.learning_rate is 'fast': input should be a valid number"),
        ("r: {learning_rate: -1.0}", "r.learning_rate is -1.0: input should be greater than 0"),
        ("r: {learning_rate: 1.0, flip: 2}", "r.flip is 2: input should be a valid boolean"),
        ("r: {learning_rate: '1'}", "r.learning_rate: '1' is text, not a number"),
        ("r: {learning_rate: 1.0, flip: yes}", "r.flip: 'yes' is text, not a number or true"),
        ("r: 3", "r is 3: input should be a valid dictionary"),
        ("s: {}", "r is missing: params.yaml has s"),
        ("- a\n- b", "params.yaml must hold sections, not list"),
        ("r: {", "params.yaml is not valid YAML: line 2: "),
        ("r: 1\nr: 2", 'params.yaml is not valid YAML: line 2: found duplicate key "r"'),
    ],
)
@pytest.mark.usefixtures("workspace")
def test_a_wrong_section_is_one_line_that_names_the_key(text: str, message: str) -> None:
    write_params(text)
    with pytest.raises(ParamsError) as caught:
        load_section("r", Recipe)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["1, flip: true", "1.0, flip: 1", "true, flip: 1.0"])
@pytest.mark.usefixtures("workspace")
def test_values_that_dvc_holds_equal_are_equal(text: str) -> None:
    write_params(f"r: {{learning_rate: {text}}}")
    assert load_section("r", Recipe).model_dump_json() == '{"learning_rate":1.0,"flip":true}'


@pytest.mark.usefixtures("workspace")
def test_whole_numbers_are_read_as_dvc_reads_them() -> None:
    write_params("r: {a: 064, b: 0o10, c: 1_0, d: 1.0, e: 2026-01-01}")
    assert read_params() == load_yaml("params.yaml")
    assert read_params()["r"]["a"] == 64


@pytest.mark.usefixtures("workspace")
def test_a_missing_file_says_where_to_run() -> None:
    with pytest.raises(ParamsError, match="run from the project's top folder"):
        read_params()


@pytest.mark.parametrize("value", ["-1", "4294967296", "1.5", "abc", "'1'", "null"])
@pytest.mark.usefixtures("workspace")
def test_a_seed_is_a_whole_number_of_32_bits(value: str) -> None:
    write_params(f"seed: {value}")
    with pytest.raises(ParamsError, match=r"^seed"):
        load_seed()


@pytest.mark.usefixtures("workspace")
def test_a_seed_of_false_is_the_seed_0_as_it_is_for_dvc() -> None:
    write_params("seed: false")
    assert repr(load_seed()) == "0"


@pytest.mark.parametrize(
    ("text", "value"),
    [("3e-4", 3e-4), ("1E+2", 100.0), (".5", 0.5), ("7", 7), ("1e", "1e"), ("'1e3'", "1e3")],
)
@pytest.mark.usefixtures("workspace")
def test_numbers_are_read_as_dvc_reads_them(text: str, value: object) -> None:
    write_params(f"x: {text}")
    assert read_params()["x"] == value


@pytest.mark.parametrize("name", ["", "-x", "Paper", "a b", "a;rm", "$(x)", "../x", "a" * 65])
def test_a_name_that_a_shell_or_a_path_could_misread_is_refused(name: str) -> None:
    with pytest.raises(ParamsError, match="cannot name a recipe"):
        check_name(name)


def test_names_of_the_recipes_are_accepted() -> None:
    assert [check_name(n) for n in ("two-layer-fc", "tuned", "2x")] == [
        "two-layer-fc",
        "tuned",
        "2x",
    ]
