"""The front matter of the model card, which the Hugging Face Hub reads."""

import re
from typing import Any

import yaml

from vision.report.runs import Results, Run
from vision.report.words import describe_source

LICENSE = "apache-2.0"  # the project's own, which the weights that it trains come under
TIMM = re.compile(r"timm/[^.]+\..+")  # with the tag of its weights, the Hub's own name
# Architecture -> torchvision's ImageNet weights on the Hub.
BASE_MODELS = {"resnet18": "timm/resnet18.tv_in1k"}
DATA_SETS = {"cifar10": "uoft-cs/cifar10"}  # source -> its name on the Hub
TAGS = ["image-classification", "dvc", "prefect"]


def describe_for_hub(results: Results) -> str:
    """Return the chosen model's license, data set, base model, tags and results as YAML.

    What the Hub does not have, such as a user's own images, is left out.
    """
    run, source = results.best, results.images.manifest["source"]
    facts: dict[str, Any] = {
        "license": LICENSE,
        "library_name": "pytorch",
        "pipeline_tag": "image-classification",
        "tags": [*TAGS, *["resnet"] * any(map(_is_resnet, results.list_trained(run)))],
        "metrics": ["accuracy", "f1"],
    }
    if source in DATA_SETS:
        facts["datasets"] = [DATA_SETS[source]]
    bases = dict.fromkeys(filter(None, map(_find_base, results.list_trained(run))))
    if bases:
        facts["base_model"] = [*bases] if len(bases) > 1 else next(iter(bases))
        facts["base_model_relation"] = "finetune"
    facts["model-index"] = [{"name": run.name, "results": [_describe_result(results)]}]
    return yaml.safe_dump(facts, sort_keys=False, allow_unicode=True, width=100)


def _is_resnet(run: Run) -> bool:
    return "resnet" in run.training["architecture"]


def _find_base(run: Run) -> str | None:
    """Return the model of the Hub that a training started from, where the Hub has it."""
    if (run.training["pretrained"] or {}).get("weights") != "imagenet":
        return None
    architecture = str(run.training["architecture"])
    return architecture if TIMM.fullmatch(architecture) else BASE_MODELS.get(architecture)


def _describe_result(results: Results) -> dict[str, Any]:
    run, source = results.best, results.images.manifest["source"]
    values = {
        "accuracy": ("Test accuracy", run.metrics["accuracy"]),
        "f1": ("Macro F1", run.metrics["macro_avg"]["f1"]),
    }
    return {
        "task": {"type": "image-classification"},
        "dataset": {
            "name": describe_source(results.images),
            "type": DATA_SETS.get(source, source),
            "split": "test",
        },
        "metrics": [
            {"type": kind, "name": name, "value": round(value, 4)}
            for kind, (name, value) in values.items()
        ],
    }
