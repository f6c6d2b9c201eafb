import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib import style
from PIL import Image

from tests.fake_results import MODELS, make_history, write_training, write_tree
from vision.base.files import write_rows
from vision.report.figures import (
    STYLE,
    draw_attention,
    draw_confusion,
    draw_curves,
    draw_difference,
    draw_f1,
    draw_figures,
    draw_images,
    render,
)
from vision.report.runs import load_results
from vision.schema.report import ModelsParams, PlotParams

PARAMS = PlotParams(dpi=50, most_confused=3)
PNG = b"\x89PNG"


def load(root, monkeypatch, **tree):
    write_tree(root, **tree)
    monkeypatch.chdir(root)
    names = list(tree.get("models", MODELS))
    return load_results(ModelsParams(baselines=names[:1], finetune=names[1:], evaluate=names))


def list_texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_figures_are_pngs_that_name_no_software(tmp_path, monkeypatch):
    figures = draw_figures(load(tmp_path, monkeypatch, models={"paper": 0.9}), PARAMS)
    names = ["accuracy", "loss", "comparison", "f1", "calibration", "confidence", "coverage", "map"]
    names += ["confusion-paper", "mistakes-paper", "label-issues", "attention-paper"]
    names += ["robustness", "duplicates"]
    assert set(figures) == {f"{name}.png" for name in names}
    for png in figures.values():
        image = Image.open(io.BytesIO(png))
        assert image.format == "PNG"
        assert "Software" not in image.info


def test_a_map_of_zeros_leaves_the_image_as_it_is_and_a_word_says_why(tmp_path, monkeypatch):
    results = load(tmp_path, monkeypatch, models={"paper": 0.8})
    maps = results.runs[0].maps * np.array([1, 0, 1], np.float32)[:, None, None]
    figure = draw_attention(results, replace(results.runs[0], maps=maps))
    panels = [axes for axes in figure.axes if axes.get_images()]
    assert [len(axes.get_images()) for axes in panels] == [2, 1, 2]  # the image, and its map
    words = [axes.get_title().splitlines()[-1] for axes in panels]
    assert [word == "no place speaks for it" for word in words] == [False, True, False]


def test_panels_of_the_curves_share_one_scale(tmp_path, monkeypatch):
    figure = draw_curves(load(tmp_path, monkeypatch), "loss")
    assert len({axes.get_ylim() for axes in figure.axes}) == 1


def test_the_ring_is_on_the_kept_epoch_in_percent(tmp_path, monkeypatch):
    results = load(tmp_path, monkeypatch, models={"paper": 0.8})
    ring = draw_curves(results, "accuracy").axes[0].get_lines()[2]
    training = results.runs[0].training
    assert list(ring.get_xdata()) == [training["best_epoch"]]
    assert list(ring.get_ydata()) == [pytest.approx(100 * training["val_accuracy"])]


def test_one_epoch_can_be_drawn(tmp_path, monkeypatch):
    results = load(tmp_path, monkeypatch, models={"paper": 0.8}, epochs=1)
    figure = draw_curves(results, "accuracy")
    assert render(figure, 50).startswith(PNG)
    assert list(figure.axes[0].get_lines()[0].get_xdata()) == [1]


def test_cells_of_the_confusion_matrix_hold_counts_and_shares_of_the_true_class_and_no_zeros(
    tmp_path, monkeypatch
):
    results = load(tmp_path, monkeypatch, models={"paper": 0.8})
    figure = draw_confusion(results, results.runs[0])
    counts = [n for row in results.runs[0].metrics["confusion"] for n in row if n]
    assert list_texts(figure) == [f"{n}\n{5 * n:.1f} %" for n in counts]  # 20 images a class


def test_a_difference_is_coloured_by_what_is_better(tmp_path, monkeypatch):
    results = load(tmp_path, monkeypatch)
    first, second = (np.array(run.metrics["confusion"]) for run in results.rank()[:2])
    values = np.array(draw_difference(results).axes[0].get_images()[0].get_array())
    change = first - second
    assert list(values.diagonal()) == list(change.diagonal())
    beside = ~np.eye(3, dtype=bool)
    assert list(values[beside]) == list(-change[beside])


def test_the_bar_beside_a_difference_counts_in_plain_numbers(tmp_path, monkeypatch):
    figure = draw_difference(load(tmp_path, monkeypatch))
    with style.context(["default", STYLE]):
        figure.draw_without_rendering()
    labels = [label.get_text() for label in figure.axes[1].get_yticklabels()]
    assert {"−1", "0", "1"} <= set(labels)
    assert not any("$" in label for label in labels)


@pytest.mark.parametrize("n", [2, 70])
def test_any_number_of_classes_can_be_drawn_at_a_sane_size(tmp_path, monkeypatch, n):
    classes = tuple(f"a rather long name of class {i}" for i in range(n))
    results = load(tmp_path, monkeypatch, classes=classes, models={"paper": 0.8}, n_test=4 * n)
    png = render(draw_confusion(results, results.runs[0]), PARAMS.dpi)
    width, height = Image.open(io.BytesIO(png)).size
    assert max(width, height) < 20 * PARAMS.dpi


def test_of_many_classes_the_weakest_forty_are_drawn(tmp_path, monkeypatch):
    classes = tuple(f"class {i}" for i in range(50))
    results = load(tmp_path, monkeypatch, classes=classes, models={"paper": 0.8}, n_test=200)
    axes = draw_f1(results).axes[0]
    scores = dict(zip(classes, results.runs[0].metrics["per_class"], strict=True))
    drawn = {label.get_text() for label in axes.get_yticklabels()}
    left_out = [score["f1"] for name, score in scores.items() if name not in drawn]
    assert len(left_out) == 10
    assert min(left_out) >= max(scores[name]["f1"] for name in drawn)


def test_hostile_class_names_are_drawn_as_they_are(tmp_path, monkeypatch):
    classes = ("$x^$", "a\nb\x1b", "<script>")
    results = load(tmp_path, monkeypatch, classes=classes, models={"paper": 0.8})
    with style.context(STYLE):
        figure = draw_confusion(results, results.runs[0])
        assert render(figure, PARAMS.dpi).startswith(PNG)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["$x^$", "a b", "<script>"]


def test_stand_ins_are_named_in_the_figures_that_rest_on_them(tmp_path, monkeypatch):
    write_tree(tmp_path, models={"two-layer-fc": 0.5, "paper": 0.8}, official=False)
    pretrained = {"weights": "imagenet", "official": False}
    write_training(tmp_path, "paper", make_history(4, 0.8), False, pretrained=pretrained)
    monkeypatch.chdir(tmp_path)
    names = ["two-layer-fc", "paper"]
    results = load_results(ModelsParams(baselines=[], finetune=names, evaluate=names))
    notes = [draw_confusion(results, run).get_supxlabel() for run in results.runs]
    assert notes == ["† stand-in images", "† stand-in images   ‡ stand-in pretrained weights"]


def test_figures_of_official_images_and_weights_bear_no_note(tmp_path, monkeypatch):
    assert draw_curves(load(tmp_path, monkeypatch), "loss").get_supxlabel() == ""


def test_names_beyond_the_font_are_drawn_without_a_warning(tmp_path, monkeypatch):
    load(tmp_path, monkeypatch, models={"paper": 0.8}, classes=("猫", "dog", "ship"))
    write_rows(Path("data/raw/files.csv"), [{"file": f"写真/{row}.png"} for row in range(120)])
    results = load_results(ModelsParams(baselines=[], finetune=["paper"], evaluate=["paper"]))
    mistakes = results.find_mistakes(results.best, 1)
    with style.context(["default", STYLE]):
        figure = draw_images(results, mistakes, results.images.test_rows, "", "")
    assert list_texts(figure) == [f"写真/{60 + mistakes[0].position}.png"]
    assert render(figure, 50).startswith(PNG)
