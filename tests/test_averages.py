"""Two trained models that decide together, from params.yaml to the report, predict and export."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from flows.commands import demo
from flows.engine.choices import check_metric
from flows.engine.overrides import apply_overrides
from flows.engine.settings import find_problems
from stages import average
from tests.alone import run_alone
from tests.conftest import make_image_set
from tests.projects import ROOT, repro, set_value
from tests.stages.test_training_stages import PARAMS
from tests.stages.whole import run_all, write_params
from tests.test_tutorials import draw, write_zip
from vision.base.errors import ParamsError
from vision.base.files import read_array, read_json
from vision.base.params import read_params
from vision.base.sections import check_section
from vision.evaluation import cost
from vision.models.averages import Average
from vision.models.inference import predict_logits
from vision.models.networks import (
    ModelSpec,
    build_model,
    change_spec,
    load_model,
    save_model,
)
from vision.report.charts import chart_curves
from vision.report.page import render_model_card
from vision.report.runs import Results, load_results
from vision.schema.report import ModelsParams
from vision.serving.export import export_onnx
from vision.serving.prediction import Predictor

CLASSES = ("blue", "green", "red")
FC, LARGER = (
    ModelSpec(
        "two-layer-fc",
        CLASSES,
        image_px=8,
        input_px=px,
        mean=mean,
        std=std,
        epoch=epoch,
        options={"hidden_units": 128 // px},
    )
    for px, mean, std, epoch in (
        (8, (0.5, 0.4, 0.3), (0.2, 0.3, 0.2), 2),
        (12, (0.1, 0.2, 0.3), (1.0, 0.9, 0.8), 3),
    )
)
NET: dict[str, Any] = PARAMS["finetune"]["net"] | {"repeats": 1}
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


@pytest.mark.parametrize("below", [0.0, 0.5])
def test_each_network_is_judged_by_its_own_views_in_its_own_precision(
    workspace: Path, below: float
) -> None:
    data = make_image_set(5)
    flipping = ModelSpec(**vars(FC) | {"test_flip": True, "test_views_below": below})
    shifting = ModelSpec(**vars(LARGER) | {"test_shift_px": 2, "precision": "bf16"})
    path = join(workspace, flipping, shifting)
    model, spec = load_model(path)
    alone = [
        predict_logits(*load_model(workspace / f"data/models/{n}/best.safetensors"), data, 4, "")
        for n in (0, 1)
    ]
    found = predict_logits(model, spec, data, 4, "")
    assert np.abs(found - (alone[0] + alone[1]) / 2).max() < 1e-6
    exact = predict_logits(model, change_spec(spec, precision="fp32"), data, 4, "")
    assert 0 < np.abs(found - exact).max() < 0.1
    facts = export_onnx(path, workspace / "both.onnx")
    assert facts["largest_difference"] < 1e-5
    assert [views["count"] for views in facts["views"]["mean_of"]] == [2, 3]


def test_what_it_rests_on_is_what_the_less_reliable_network_rests_on() -> None:
    none = {"weights": "none", "official": True}
    official = {"weights": "imagenet", "official": True}
    stand_in = {"weights": "imagenet", "official": False}
    mine = {"weights": "mine.pth", "official": False}
    for others in ([none], [official], [mine], [None], [none, official, mine]):
        assert average.choose_pretrained([stand_in, *others]) is stand_in
        assert average.choose_pretrained([*others, stand_in]) is stand_in
    assert average.choose_pretrained([none, official]) is official
    assert average.choose_pretrained([None, none]) is None


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


@pytest.mark.parametrize("section", ["baselines", "finetune"])
def test_an_average_does_not_take_the_name_of_a_recipe_that_is_not_listed(section: str) -> None:
    params = read_params(ROOT / "params.yaml")
    name = {"baselines": "whitened-wide", "finetune": "large"}[section]
    params["models"]["averages"][name] = {"first": "tuned", "second": "paper"}
    params["models"]["evaluate"].append(name)
    assert list(find_problems(params, ROOT)) == [
        f"models.averages.{name} has the name of {section}.{name}"
    ]


def test_a_share_is_set_whether_params_has_it_or_not() -> None:
    params = read_params(ROOT / "params.yaml")
    apply_overrides(params, {"models.averages.tuned-whitened.share": 0.7})
    assert params["models"]["averages"]["tuned-whitened"]["share"] == 0.7
    with pytest.raises(ParamsError, match=r"shre is unknown; .* has first, second, share"):
        apply_overrides(params, {"models.averages.tuned-whitened.shre": 0.7})


def test_the_demo_runs_whatever_models_params_has() -> None:
    def narrow(params: dict[str, Any]) -> None:
        params["models"]["averages"] = {}
        params["models"]["evaluate"].remove("tuned-whitened")

    def widen(params: dict[str, Any]) -> None:
        params["models"]["averages"]["more"] = {"first": "paper", "second": "tuned"}
        params["models"]["finetune"].append("large")
        params["models"]["evaluate"] += ["large", "more"]

    for change in (narrow, widen, lambda params: None):
        params = read_params(ROOT / "params.yaml")
        change(params)
        apply_overrides(params, demo.OVERRIDES)
        assert list(find_problems(params, ROOT)) == []
        assert params["models"]["averages"] == {}


def test_no_sweep_chooses_by_what_an_average_has_not() -> None:
    params = read_params(ROOT / "params.yaml")
    check_metric("models.tuned.train_accuracy", params, ROOT)
    check_metric("models.tuned-whitened.val_accuracy", params, ROOT)
    with pytest.raises(ParamsError, match=r"no metric models\.tuned-whitened\.train_accuracy"):
        check_metric("models.tuned-whitened.train_accuracy", params, ROOT)


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
    assert seconds["more"] == seconds["both"] == pytest.approx(seconds["net"] + seconds["fc"])
    rows = [line for line in report.splitlines() if line.startswith("| both |")]
    assert any(line.count("| –") == 3 for line in rows)  # train accuracy, kept epoch, epochs
    assert "| Hardware of both | as those of net and fc |" in report
    assert "- **both**: At its last epoch" not in report
    metrics = read_json(Path("reports/metrics.json"))["models"]
    assert "epochs" not in metrics["both"]
    assert metrics["both"]["trainings"] == 2  # the seeds that both models have
    assert read_json(Path("data/explanations/both/images.json"))["layer"] == "occlusion"
    assert "Where both looks, by what covering each part" in report
    check_card(replace(results, runs=[runs["both"]] + [runs[name] for name in ("fc", "net")]))
    colours = {
        line["name"]: line["colour"] for line in chart_curves(results, "loss")["views"][0]["series"]
    }
    assert colours == {"fc": 1, "net": 2}  # as in the charts that show the average, too
    curves = Path("reports/curves.csv").read_text()
    assert "fc," in curves
    assert "both" not in curves


def check_card(results: Results) -> None:
    """It stands alone: what it says of both networks is in it."""
    card = render_model_card(results)
    if results.best.name == "both":
        assert "the mean of net (resnet18, 32 x 32 pixels) and fc (two-layer-fc, 16 x 16" in card
        assert "- **Initial weights of net:** drawn at random\n" in card
        assert "| Parameter | net | fc |\n|:---|:---|:---|\n" in card
        assert "The logits of both are the mean of those of two: 75.0 % of net and 25.0 %" in card
        assert " s of training net on " in card
    assert all(line.count("- **") <= line.startswith("- **") for line in card.splitlines())


@pytest.mark.slow
def test_a_member_that_is_no_longer_trained_is_no_result_of_today(changed: Path) -> None:
    models = read_params(changed / "params.yaml")["models"]
    models["averages"] = {"both": {"first": "paper", "second": "two-layer-fc"}}
    models["baselines"].remove("two-layer-fc")
    models["evaluate"].remove("two-layer-fc")
    models["evaluate"].append("both")
    set_value(changed, "models", models)
    for _ in range(2):
        with pytest.raises(AssertionError, match=r"averages\.both names 'two-layer-fc', not"):
            repro(changed)
    assert (changed / "data/training/two-layer-fc").exists()


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
