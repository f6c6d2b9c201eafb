"""Let two trained models decide together, by the mean of their logits. Nothing is trained.

Reads of both models data/models and data/training/NAME/summary.json; writes data/models/NAME, with
their weights side by side, and data/training/NAME/summary.json.
Run: python -m stages average tuned-whitened
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vision.base.errors import ParamsError
from vision.base.files import read_json, write_json
from vision.base.params import read_params
from vision.base.sections import check_section, load_section
from vision.models.networks import (
    AVERAGE,
    describe_average,
    load_model,
    save_model,
)
from vision.schema.averages import AverageParams
from vision.schema.report import ModelsParams

MODELS_DIR = Path("data/models")
TRAINING_DIR = Path("data/training")
EPOCHS = ("best", "last")  # that each model has the weights of
SEEDS = "seed-*.safetensors"  # of further trainings


def main(name: str) -> None:
    params = load_section(f"models.averages.{name}", AverageParams)
    check_listed()
    members = [params.first, params.second]
    shares = [params.share, 1 - params.share]
    for old in (MODELS_DIR / name).glob(SEEDS):
        old.unlink()  # of a stage that was run by hand
    for file in list_files(members):
        join_models([MODELS_DIR / member / file for member in members], shares, name, file)
    summaries = [read_json(TRAINING_DIR / member / "summary.json") for member in members]
    write_json(TRAINING_DIR / name / "summary.json", summarise(params, summaries))


def check_listed() -> None:
    """Raise ParamsError where `models` names a model that nothing trains any more.

    What it left would be taken for a result of today's params. A stage that is tried by itself has
    no list of them.
    """
    models = read_params()["models"]
    if "evaluate" in models:
        check_section("models", models, ModelsParams)


def list_files(members: list[str]) -> list[str]:
    """Return the files that all members have: of two epochs, and of the seeds of both."""
    seeds = [{path.name for path in (MODELS_DIR / member).glob(SEEDS)} for member in members]
    return [*(f"{epoch}.safetensors" for epoch in EPOCHS), *sorted(set.intersection(*seeds))]


def join_models(paths: list[Path], shares: list[float], name: str, file: str) -> None:
    """Write networks as one that gives the mean of their logits.

    Raises:
        ParamsError: they are of other classes, or of images that are stored otherwise.
    """
    models, specs = zip(*map(load_model, paths), strict=True)
    facts = [(spec.classes, spec.image_px, spec.fit) for spec in specs]
    if facts[0] != facts[1]:
        pair = " and ".join(map(str, paths))
        raise ParamsError(f"{pair} are of other images or classes: dvc repro trains both anew")
    state = {
        f"members.{index}.{key}": value
        for index, model in enumerate(models)
        for key, value in model.state_dict().items()
    }
    save_model(MODELS_DIR / name / file, state, describe_average(specs, shares))


def summarise(params: AverageParams, summaries: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the report says of the average in place of a training."""
    recipe: dict[str, Any] = params.model_dump(mode="json")
    if not all(summary["recipe"].get("deterministic", True) for summary in summaries):
        recipe["deterministic"] = False
    return {
        "architecture": AVERAGE,
        "family": "averages",
        "members": [params.first, params.second],
        "parameters": sum(summary["parameters"] for summary in summaries),
        "pretrained": choose_pretrained(summary["pretrained"] for summary in summaries),
        "recipe": recipe,
        "seed": summaries[0]["seed"],
    }


def choose_pretrained(manifests: Iterable[dict[str, Any] | None]) -> dict[str, Any] | None:
    """Return from what weights the models started: of several, the least to be relied on."""
    started = [each for each in manifests if each and each["weights"] != "none"]
    stand_ins = [each for each in started if each["weights"] == "imagenet" and not each["official"]]
    return next(iter([*stand_ins, *started]), None)
