"""Two trained models that decide together, from params.yaml to the report, predict and export."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from flows.engine.choices import check_metric
from flows.engine.settings import find_problems
from stages import average
from tests.alone import run_alone
from tests.conftest import make_image_set
from tests.projects import ROOT, repro, set_value
from tests.stages.whole import run_all, write_params
from tests.test_tutorials import draw, write_zip
from vision.base.errors import ParamsError
from vision.base.files import read_array, read_json
from vision.base.params import read_params
from vision.base.sections import check_section
from vision.evaluation import cost
from vision.models.averages import Average
from vision.models.inference import Classifier, predict_logits
from vision.models.networks import (
    ModelSpec,
    build_model,
    describe_average,
    load_model,
    save_model,
)
from vision.report.charts import chart_curves
from vision.report.runs import load_results
from vision.schema.report import ModelsParams
from vision.serving.export import export_onnx
from vision.serving.prediction import Predictor

CLASSES = ("blue", "green", "red")
FC = ModelSpec("two-layer-fc", CLASSES, 8, 8, (0.5, 0.4, 0.3), (0.2, 0.3, 0.2), epoch=2)
FC = ModelSpec(**vars(FC) | {"options": {"hidden_units": 16}})
LARGER = ModelSpec("two-layer-fc", CLASSES, 8, 12, (0.1, 0.2, 0.3), (1.0, 0.9, 0.8), epoch=3)
LARGER = ModelSpec(**vars(LARGER) | {"options": {"hidden_units": 8}})
NET: dict[str, Any] = {
    "architecture": "resnet18",
    "weights": "none",
    "epochs": 1,
    "batch_size": 8,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "input_px": 32,
    "repeats": 1,
}
MODELS: dict[str, Any] = {
    "baselines": ["fc"],
    "finetune": ["net"],
    "averages": {
        "both": {"first": "net", "second": "fc", "share": 0.75},
        "more": {"first": "both", "second": "fc"},
    },
    "evaluate": ["both", "fc", "net", "more"],
}


def join(folder: Path, *specs: ModelSpec, share: float = 0.5) -> Path:
    """Write untrained networks, and what `average` makes of them."""
    for number, spec in enumerate(specs):
        torch.manual_seed(number)
        path = folder / f"data/models/{number}/best.safetensors"
        save_model(path, build_model(spec).state_dict(), spec)
    paths = [folder / f"data/models/{number}/best.safetensors" for number in range(len(specs))]
    average.join_models(paths, [share, 1 - share], "both", "best.safetensors")
    return folder / "data/models/both/best.safetensors"


def test_the_logits_are_the_mean_of_those_of_each_network_fed_its_own_way(workspace: Path) -> None:
    data = make_image_set(5)
    path = join(workspace, FC, LARGER, share=0.75)
    model, spec = load_model(path)
    assert isinstance(model, Average)
    assert (spec.input_px, spec.epoch) == (8, 0)
    alone = [
        predict_logits(*load_model(workspace / f"data/models/{n}/best.safetensors"), data, 4, "")
        for n in (0, 1)
    ]
    found = predict_logits(model, spec, data, 4, "")
    assert np.abs(found - (0.75 * alone[0] + 0.25 * alone[1])).max() < 1e-5
    assert np.abs(found - alone[0]).max() > 1e-2


def test_it_looks_at_every_view_that_one_of_them_looks_at() -> None:
    flipping = ModelSpec(**vars(FC) | {"test_flip": True, "test_views_below": 0.5})
    shifting = ModelSpec(**vars(LARGER) | {"test_shift_px": 2, "precision": "bf16"})
    spec = describe_average([flipping, shifting], [0.5, 0.5])
    assert (spec.test_flip, spec.test_shift_px, spec.test_views_below) == (True, 2, 0.0)
    assert spec.precision == "fp32"
    assert describe_average([shifting, shifting], [0.5, 0.5]).precision == "bf16"
    model = build_model(spec)
    images = torch.from_numpy(np.asarray(make_image_set(2).images))
    views = list(Classifier(model, spec)._get_views(images))
    assert len(views) == 6
    with torch.inference_mode():
        mean = torch.stack([model.eval()(view) for view in views]).mean(0)
        assert torch.allclose(Classifier(model, spec).eval()(images), mean, atol=1e-5)


def test_networks_of_other_classes_are_one_line(workspace: Path) -> None:
    other = ModelSpec(**vars(LARGER) | {"classes": ("blue", "green", "pink")})
    with pytest.raises(ParamsError, match=r"0/best\.safetensors and .*1/best\.safetensors are of"):
        join(workspace, FC, other)


@pytest.mark.parametrize(
    ("averages", "problem"),
    [
        ({"both": {"first": "a"}}, r"models\.averages\.both\.second is missing"),
        ({"both": {"first": "a", "second": "a"}}, "first and second are both 'a'"),
        ({"both": {"first": "a", "second": "c"}}, r"averages\.both names 'c', not one of a, b"),
        ({"both": {"first": "a", "second": "both"}}, "names 'both', not one of a, b"),
        ({"both": {"first": "a", "second": "b", "share": 1}}, r"both\.share is 1: .* less than 1"),
        ({"a": {"first": "a", "second": "b"}}, "list each model once"),
        ({"Both": {"first": "a", "second": "b"}}, "'Both' cannot name a recipe"),
    ],
)
def test_an_average_that_cannot_be_is_one_line(averages: dict[str, Any], problem: str) -> None:
    models = {"baselines": ["a"], "finetune": ["b"], "averages": averages}
    with pytest.raises(ParamsError, match=problem) as caught:
        check_section("models", models | {"evaluate": ["a", "b", *averages]}, ModelsParams)
    assert "\n" not in str(caught.value)


def test_params_of_before_there_were_averages_say_what_to_write() -> None:
    params = read_params(ROOT / "params.yaml")
    del params["models"]["averages"]
    assert list(find_problems(params, ROOT)) == [
        "models.averages is missing from params.yaml: write averages: {}"
    ]


def test_a_sweep_may_choose_by_the_mean_over_seeds_where_both_models_have_several() -> None:
    params = read_params(ROOT / "params.yaml")
    with pytest.raises(ParamsError, match="tuned-whitened has no repeats"):
        check_metric("models.tuned-whitened.val_accuracy_mean", params, Path("nowhere"))
    params["finetune"]["tuned"]["repeats"] = 2
    with pytest.raises(ParamsError, match="tuned-whitened has no repeats"):
        check_metric("models.tuned-whitened.val_accuracy_mean", params, Path("nowhere"))
    params["baselines"]["whitened-cnn"]["repeats"] = 2
    check_metric("models.tuned-whitened.val_accuracy_mean", params, Path("nowhere"))


@pytest.mark.slow
@pytest.mark.usefixtures("workspace")
def test_from_photos_to_the_report_predict_and_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "BATCHES", (1, 2))
    monkeypatch.setattr(cost, "REPEATS", {1: 2, 2: 1})
    monkeypatch.setattr(cost, "WARMUPS", {1: 1, 2: 0})
    monkeypatch.setattr(cost, "PHOTO_REPEATS", 1)
    photos = draw(f"photos/{kind}/{n}.jpg" for kind in ("cat", "dog") for n in range(20))
    source = str(write_zip(Path("photos.zip"), photos))
    write_params(source, data={"image_px": 16}, finetune={"net": NET}, models=MODELS)
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["baselines"]["fc"]["repeats"] = 2
    Path("params.yaml").write_text(yaml.safe_dump(params))
    run_all()
    val, n_weights = {}, {}
    for name in MODELS["evaluate"]:
        val[name] = read_array(Path(f"data/predictions/{name}/val_logits.npy"))
        state = load_file(f"data/models/{name}/best.safetensors")
        n_weights[name] = sum(weights.numel() for weights in state.values())
    assert np.allclose(val["both"], 0.75 * val["net"] + 0.25 * val["fc"], atol=1e-4)
    assert np.allclose(val["more"], 0.5 * val["both"] + 0.5 * val["fc"], atol=1e-4)
    names = {path.name for path in Path("data/models/both").iterdir()}
    assert names == {"best.safetensors", "last.safetensors", "seed-1.safetensors"}  # of both
    check_report()
    path = Path("data/models/more/best.safetensors")
    assert export_onnx(path, Path("more.onnx"))["largest_difference"] < 1e-3
    Path("one.jpg").write_bytes(next(iter(photos.values())))
    (prediction,) = Predictor(path).predict(["one.jpg"], top=2)
    assert sum(prediction.probabilities) == pytest.approx(1)
    assert n_weights["more"] == n_weights["both"] + n_weights["fc"]


def check_report() -> None:
    """The seconds are those of both trainings; what an average has not is left out."""
    report = Path("reports/report.md").read_text()
    results = load_results(ModelsParams(**MODELS))
    runs = {run.name: run for run in results.runs}
    seconds = {name: run.timing["train_seconds"] for name, run in runs.items()}
    assert seconds["more"] == pytest.approx(seconds["net"] + 2 * seconds["fc"])
    rows = [line for line in report.splitlines() if line.startswith("| both |")]
    assert any(line.count("| –") == 3 for line in rows)  # train accuracy, kept epoch, epochs
    assert "| Hardware of both | as those of net and fc |" in report
    assert "- **both**: At its last epoch" not in report
    metrics = read_json(Path("reports/metrics.json"))["models"]
    assert "epochs" not in metrics["both"]
    assert metrics["both"]["trainings"] == 2  # the seeds that both models have
    assert read_json(Path("data/explanations/both/images.json"))["layer"] == "occlusion"
    assert "Where both looks, by what covering each part" in report
    colours = {
        line["name"]: line["colour"] for line in chart_curves(results, "loss")["views"][0]["series"]
    }
    assert colours == {"fc": 1, "net": 2}  # as in the charts that show the average, too
    curves = Path("reports/curves.csv").read_text()
    assert "fc," in curves
    assert "both" not in curves


@pytest.mark.slow
def test_another_share_trains_nothing(changed: Path, tmp_path: Path) -> None:
    models = read_params(changed / "params.yaml")["models"]
    models["averages"] = {"both": {"first": "paper", "second": "two-layer-fc"}}
    models["evaluate"].append("both")
    set_value(changed, "models", models)
    judged = {f"{stage}@both" for stage in ("average", "evaluate", "robustness", "explain")}
    assert repro(changed) == {*judged, "plot"}
    run_alone("average", "both", changed, tmp_path / "alone")
    set_value(changed, "models.averages.both.share", 0.75)
    assert repro(changed) == {*judged, "plot"}
    assert repro(changed) == set()
    models["averages"], models["evaluate"] = {}, models["evaluate"][:-1]
    set_value(changed, "models", models)
    assert repro(changed) == {"plot"}
    assert not (changed / "data/training/both").exists()
