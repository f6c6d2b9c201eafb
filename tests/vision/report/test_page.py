import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.fake_results import MODELS, make_history, write_training, write_tree
from vision.base.errors import DataError, ParamsError
from vision.base.files import read_json
from vision.base.sections import check_section
from vision.report.page import (
    build_report,
    list_epochs,
    render_html,
    render_markdown,
    render_model_card,
    summarise,
)
from vision.report.paper import FIGURE_4
from vision.report.runs import Results, Run, load_results
from vision.report.tables import list_claims, list_conditions, list_pairs, list_scores
from vision.report.words import (
    compare,
    describe_calibration,
    describe_curves,
    describe_duplicates,
    describe_kept_epochs,
    describe_transfer,
    describe_verdict,
    escape_markdown,
    find_most_confused,
    percent,
    shorten,
)
from vision.schema.report import ModelsParams, PlotParams

PARAMS = PlotParams(dpi=50, most_confused=3)
HOSTILE = ("<script>alert(1)</script>", "a|b`c`", "two\nlines [x](y) *z*")


def load(root, monkeypatch, **tree):
    write_tree(root, **tree)
    monkeypatch.chdir(root)
    names = list(tree.get("models") or MODELS)
    return load_results(list_as_params(names))


def list_as_params(names):
    baselines = [name for name in names if name != "paper"]
    finetune = [name for name in names if name == "paper"]
    return ModelsParams(baselines=baselines, finetune=finetune, evaluate=names)


def render(results):
    report = build_report(results, PARAMS)
    drawn = [getattr(block, "picture", block) for s in report.sections for block in s.blocks]
    files = [picture.file for picture in drawn if picture.kind == "picture"]
    return render_markdown(report), render_html(report, dict.fromkeys(files, b"png"))


def make_run(
    name="paper",
    history=(),
    accuracy=0.8,
    val=0.8,
    low=0.7,
    high=0.9,
    threads=2,
    right=range(16),
    **facts,
):
    """Return a run of 10 cats, 2 of them taken for dogs, and 10 dogs, 1 taken for a cat.

    For comparisons with other runs, `right` are the positions of the images that it gets right.
    """
    metrics = {
        "n": 20,
        "accuracy": accuracy,
        "accuracy_low": low,
        "accuracy_high": high,
        "confidence": 0.95,
        "val_accuracy": val,
        "per_class": [make_f1(0.84), make_f1(0.857)],
        "confusion": [[8, 2], [1, 9]],
    }
    training = {"pretrained": None, "family": "finetune"} | facts.pop("training", {})
    timing = {"device": "a GPU", "threads": threads, "train_seconds": 20.0}
    logits = np.tile([0.0, 1.0], (20, 1))
    logits[list(right)] = [1.0, 0.0]
    rows = pd.DataFrame(list(history))
    return Run(
        name, rows, training, timing, metrics | facts, logits, logits, {}, {}, {}, logits, logits
    )


def make_f1(f1, support=10):
    return {"f1": f1, "f1_low": f1 - 0.05, "f1_high": f1 + 0.05, "support": support}


def make_epoch(epoch, train_loss, train_accuracy, val_loss, val_accuracy):
    return locals()


def judge(*runs):
    class Images:
        classes = ("cat", "dog")
        test_labels = np.zeros(20, int)

    return describe_verdict(Results(Images(), list(runs), {}))


def test_verdict_names_the_model_that_validates_best_its_lead_and_its_failures():
    verdict = judge(make_run("b", accuracy=0.05, val=0.7, right=[0]), make_run("a"))
    assert verdict == (
        "a has the highest validation accuracy, 80.0 %; its accuracy on the 20 test images is "
        "80.0 % (95 % interval 70.0 to 90.0 %). It is significantly better than b: b has 5.0 %, "
        "75.0 points below a (95 % interval of the difference 45.0 to 91.4 points, p < 0.001, "
        "McNemar's exact test); another sample of test images would hardly reverse it. "
        "cat has the lowest F1 of a, 84.0 % (79.0 to 89.0 %); the intervals of 1 of the others "
        "overlap. The most frequent error: true cat, predicted dog, 2 of 10 images (20.0 %)."
    )


def test_no_model_is_called_best_where_p_is_not_small():
    """4 images against 1, of two pairs: other test images could reverse it."""
    runs = [make_run("a"), make_run("b", accuracy=0.65, val=0.7, right=range(4, 17))]
    verdict = judge(*runs, make_run("c", val=0.6))
    assert "No model is shown to be best: b has 65.0 %, 15.0 points below a (95 % inter" in verdict
    assert "p = 1.000, McNemar's exact test, Holm-corrected for 3 pairs), which is not" in verdict
    assert "not significant, nor is the difference from c." in verdict
    assert "better" not in verdict


def test_the_choice_is_that_of_validation_even_where_the_test_says_otherwise():
    """The test would choose b; the report of the choice then stands on other images than it."""
    runs = [make_run("a", accuracy=0.2, right=range(4)), make_run("b", val=0.76, accuracy=0.8)]
    verdict = judge(*runs)
    assert verdict.startswith("a has the highest validation accuracy, 80.0 %; its accuracy on th")
    assert "On the test images b is significantly better: b has 80.0 %, 60.0 points abo" in verdict
    assert "; the choice stays with validation" in verdict
    assert "No model" not in verdict


def test_a_model_that_says_more_than_it_knows_is_called_overconfident(tmp_path, monkeypatch):
    """The made-up logits lead by 8 and are right in half of the images."""
    results = load(tmp_path, monkeypatch, models={"two-layer-fc": 0.5})
    text = describe_calibration(results.runs[0], results)
    assert re.match(
        r"Its mean confidence is 99\.\d %, its accuracy \d\d\.\d %: overconfident by \d\d", text
    )
    assert "Temperature scaling by 8." in text


def test_verdict_on_one_model_compares_it_with_none():
    assert judge(make_run("a")).startswith(
        "a has a validation accuracy of 80.0 %, and its accuracy on the 20 test images is 80.0 % "
        "(95 % interval 70.0 to 90.0 %). cat has"
    )


def test_models_that_validate_equally_well_are_said_to():
    verdict = judge(*(make_run(name) for name in "abc"))
    assert verdict.startswith("a, b and c share the highest validation accuracy, 80.0 %; a is the")
    assert "No model is shown to be best: b has 80.0 %, level with a" in verdict


def test_verdict_on_a_perfect_model_names_no_weakness():
    verdict = judge(make_run("a", confusion=[[10, 0], [0, 10]]))
    assert verdict.endswith("a makes no errors on these images.")


def test_verdict_names_all_classes_that_are_equally_weak():
    verdict = judge(make_run("a", per_class=[make_f1(0.85)] * 2))
    assert "cat and dog share the lowest F1 of a, 85.0 % (80.0 to 90.0 %)." in verdict


def test_a_class_without_test_images_is_not_the_weakest():
    scores = [make_f1(0.0, support=0), make_f1(0.857)]
    assert "dog has the lowest F1 of a, 85.7 % (80.7 to 90.7 %)." in judge(
        make_run("a", per_class=scores)
    )


def test_equally_frequent_errors_are_not_called_the_most_frequent():
    verdict = judge(make_run("a", confusion=[[8, 2], [2, 8]]))
    assert "One of the most frequent errors: true cat, predicted dog, 2 of 10" in verdict


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (0.9, 0.8, "10.0 points above"),
        (0.8, 0.962, "16.2 points below"),
        (0.8, 0.8, "level with"),
        (0.8001, 0.8, "under 0.1 points above"),
        (0.91262, 0.91138, "0.2 points above"),  # 91.3 and 91.1: as a reader subtracts them
    ],
)
def test_accuracies_are_compared_in_points(a, b, words):
    assert compare(a, b) == words


def test_curves_that_part_are_said_to_overfit():
    history = [make_epoch(1, 0.9, 0.7, 0.56, 0.8), make_epoch(2, 0.1, 0.97, 0.77, 0.808)]
    assert describe_curves(make_run(history=history)) == (
        "At its last epoch (2), training accuracy is 97.0 %, 16.2 points above validation "
        "(80.8 %), and validation loss rose from its lowest, 0.560 (epoch 1), to 0.770 while "
        "training loss fell: the net overfits."
    )


def test_curves_that_still_fall_are_at_their_lowest():
    history = [make_epoch(1, 0.9, 0.6, 0.8, 0.7), make_epoch(2, 0.7, 0.7, 0.6, 0.75)]
    assert describe_curves(make_run(history=history)) == (
        "At its last epoch (2), training accuracy is 70.0 %, 5.0 points below validation (75.0 %), "
        "and validation loss is at its lowest, 0.600."
    )


def test_a_small_rise_of_validation_loss_is_not_called_overfitting():
    history = [make_epoch(1, 0.9, 0.7, 0.600, 0.7), make_epoch(2, 0.5, 0.7, 0.601, 0.7)]
    assert describe_curves(make_run(history=history)) == (
        "At its last epoch (2), training accuracy is 70.0 %, level with validation (70.0 %), and "
        "validation loss, 0.601, is close to its lowest, 0.600 (epoch 1)."
    )


def test_losses_that_rise_together_are_not_called_overfitting():
    history = [make_epoch(1, 0.5, 0.7, 0.6, 0.7), make_epoch(2, 0.9, 0.6, 0.9, 0.6)]
    text = describe_curves(make_run(history=history))
    assert text.endswith("to 0.900, and training loss did not fall either.")


def test_one_epoch_shows_a_gap_and_no_trend():
    facts = {"recipe": {"test_flip": True}}
    text = describe_curves(make_run(history=[make_epoch(1, 0.9, 0.6, 0.8, 0.7)], training=facts))
    assert text == (
        "After its only epoch, training accuracy is 60.0 %, 10.0 points below validation "
        "(70.0 % by one view of each image)."
    )


def test_transfer_is_judged_on_test_images_epochs_and_seconds():
    history = [make_epoch(1, 0, 0, 0, 0.5), make_epoch(2, 0, 0, 0, 0.7)]
    facts = {"family": "baselines", "val_accuracy": 0.6, "best_epoch": 9}
    facts |= {"architecture": "three-layer-cnn"}
    baseline = make_run("cnn", accuracy=0.68, training=facts)
    text = describe_transfer(Results(None, [baseline, make_run(history=history)], {}))
    assert "paper has 80.0 %, 12.0 points above cnn, 68.0 %, of these networks" in text
    assert "60.0 % (epoch 9), in epoch 2. The training of paper took 1.0 times" in text
    alone = make_run(history=history, threads=1)
    assert "times as long" not in describe_transfer(Results(None, [baseline, alone], {}))


def test_differences_are_those_of_the_accuracies_as_printed(tmp_path, monkeypatch):
    """70 less 49 of 90 images are 23.3 points, but 77.8 % less 54.4 % are 23.4."""
    results = load(tmp_path, monkeypatch, n_test=90)
    table = list_pairs(results)
    printed = {run.name: round(100 * run.metrics["accuracy"], 1) for run in results.runs}
    for a, b, *_, points, interval, _ in table.rows:
        assert points == f"{printed[a] - printed[b]:+.1f}"
        low, high = (float(end.replace("\N{MINUS SIGN}", "-")) for end in interval.split(" to "))
        assert low < float(points) < high


def test_most_confused_pairs_rank_by_images_then_by_share():
    confusion = [[5, 3, 1], [3, 2, 0], [0, 4, 90]]
    assert find_most_confused(confusion, ("a", "b", "c"), 3) == [
        ("c", "b", 4, pytest.approx(4 / 94)),
        ("b", "a", 3, pytest.approx(3 / 5)),
        ("a", "b", 3, pytest.approx(3 / 9)),
    ]


def test_an_unseen_class_confuses_nobody():
    assert find_most_confused([[2, 0], [0, 0]], ("a", "b"), 5) == []


def test_long_names_lose_their_middle():
    assert shorten("class number 12", 9) == "clas…r 12"
    assert shorten("class 12", 9) == "class 12"


def test_markdown_is_escaped_and_kept_on_one_line():
    assert escape_markdown("a|b\n<i>`c`") == r"a\|b \<i\>\`c\`"


def test_rows_of_a_markdown_table_have_the_cells_of_its_header(tmp_path, monkeypatch):
    markdown, _ = render(load(tmp_path, monkeypatch, classes=HOSTILE))
    tables = re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE)
    counts = [{len(re.findall(r"(?<!\\)\|", line)) for line in t.splitlines()} for t in tables]
    assert len(tables) >= 10
    assert all(len(count) == 1 for count in counts)


def test_hostile_class_names_are_escaped_in_both_reports(tmp_path, monkeypatch):
    markdown, html = render(load(tmp_path, monkeypatch, classes=HOSTILE))
    assert "<script>alert" not in html
    assert r"\u003cscript\u003ealert(1)" in html  # in the data of charts
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert r"\<script\>alert(1)\</script\>" in markdown
    assert not re.search(r"(?<!\\)<script", markdown)
    assert r"two lines \[x\](y) \*z\*" in markdown


def test_a_hostile_note_is_escaped_in_html(tmp_path, monkeypatch):
    _, html = render(load(tmp_path, monkeypatch, note='<img src=x onerror="alert(1)">'))
    assert "<img src=x" not in html


def test_headings_of_the_page_descend_one_level_at_a_time(tmp_path, monkeypatch):
    _, html = render(load(tmp_path, monkeypatch))
    levels = [int(level) for level in re.findall(r"<h(\d)[ >]", html)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))


class Balance(HTMLParser):
    """Keeps the tags that are open."""

    VOID = ("meta", "img")

    def __init__(self, page):
        super().__init__()
        self.open, self.images = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(dict(attributes))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_closes_its_tags_and_holds_its_images(tmp_path, monkeypatch):
    page = Balance(render(load(tmp_path, monkeypatch))[1])
    assert page.open == []
    assert len(page.images) == 12 + 3 * len(MODELS) - 1  # one of them looks at no place
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.images)
    assert all(image["alt"] for image in page.images)


def test_stand_in_images_are_marked_on_every_result_but_not_on_the_recipes(tmp_path, monkeypatch):
    report = build_report(load(tmp_path, monkeypatch, official=False), PARAMS)
    blocks = {s.title: [b for b in s.blocks if hasattr(b, "marks")] for s in report.sections}
    unmarked = {title for title, each in blocks.items() if any("†" not in b.marks for b in each)}
    assert unmarked == {
        "Conditions and provenance",
        "How the epochs were chosen",
        "Learning curves",
        "Recipes",
        "Differences",
        "Classes",
        "Slices",
        "Calibration",
        "Cost",
        "Corrupted images",
        "Map of the images",
        "Near-duplicates in training",
    }
    for title in (
        "Learning curves",
        "Differences",
        "Calibration",
        "Corrupted images",
    ):  # the last says how
        *results, how = (b.marks for b in blocks[title])
        assert (set(results), how) == ({"†"}, "")


def test_stand_in_weights_mark_the_model_that_they_start(tmp_path, monkeypatch):
    write_tree(tmp_path)
    weights = {"weights": "imagenet", "official": False, "name": "partial", "note": "Rebuilt."}
    weights |= {"sha256": "ab", "verified": None}
    write_training(tmp_path, "paper", make_history(4, 0.8), False, pretrained=weights)
    monkeypatch.chdir(tmp_path)
    results = load_results(list_as_params(list(MODELS)))
    assert [run.label for run in results.runs][:2] == ["two-layer-fc", "three-layer-cnn"]
    assert results.runs[2].label == "paper\N{NO-BREAK SPACE}‡"
    assert "rests on stand-in weights" in render(results)[0]


def test_a_training_that_cannot_be_repeated_is_marked_beside_its_figures(tmp_path, monkeypatch):
    write_tree(tmp_path)
    recipe = {"epochs": 4, "optimizer": "adam", "deterministic": False}
    write_training(tmp_path, "paper", make_history(4, 0.8), False, recipe=recipe)
    monkeypatch.chdir(tmp_path)
    results = load_results(list_as_params(list(MODELS)))
    assert results.runs[2].label == "paper\N{NO-BREAK SPACE}§"
    markdown = render(results)[0]
    assert re.search(r"\| paper\W§ \| \d", markdown)
    assert "give another model, and other figures, each time" in markdown


def test_official_images_and_weights_leave_no_marks(tmp_path, monkeypatch):
    assert not re.search("[†‡§]|stand-in ", render(load(tmp_path, monkeypatch))[0])


def test_other_images_are_not_set_beside_the_paper(tmp_path, monkeypatch):
    markdown, _ = render(load(tmp_path, monkeypatch, source="digits"))
    assert "paper's" not in markdown
    assert "digits" in markdown.splitlines()[0]


def test_claims_are_compared_at_the_kept_and_the_last_epoch(tmp_path, monkeypatch):
    results = load(tmp_path, monkeypatch)
    row = next(row for row in list_claims(results).rows if row[1] == "test")
    test = 100 * results.find("paper").metrics["accuracy"]
    points = f"{test - 82:+.1f}".replace("-", "\N{MINUS SIGN}")
    assert row == ("paper", "test", "Figure 4", "82.0", *([f"{test:.1f}", points] * 2))


def test_figure_4_stands_beside_the_same_classes_in_any_order(tmp_path, monkeypatch):
    classes = tuple(reversed(FIGURE_4))
    results = load(tmp_path, monkeypatch, classes=classes, models={"paper": 0.8})
    row = next(line for line in render(results)[0].splitlines() if line.startswith("| cat | 65 |"))
    f1 = read_json(tmp_path / "data/predictions/paper/metrics.json")["per_class"]["cat"]["f1"]
    assert f"| 67 | {100 * f1:.1f} |" in row


def test_models_with_the_same_conditions_share_a_row(tmp_path, monkeypatch):
    conditions = dict(list_conditions(load(tmp_path, monkeypatch)).rows)
    assert conditions["Weights of two-layer-fc and three-layer-cnn"] == "drawn at random"
    assert conditions["Seed of all models"].startswith("0 ")


def test_metrics_of_the_summary_are_fractions_without_seconds(tmp_path, monkeypatch):
    results = load(tmp_path, monkeypatch)
    summary = summarise(results)
    paper, measured = summary["models"]["paper"], results.find("paper").metrics
    assert paper["test_accuracy"] == measured["accuracy"]
    assert paper["params"] == 11_181_642
    assert not [key for key in paper if "seconds" in key]
    counts = {"n_train": 480, "n_val": 60, "n_test": 60}
    assert summary["data"] == {"source": "cifar10", "official": True} | counts


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        ("data/raw/manifest.json", "download"),
        ("data/split/summary.json", "split"),
        ("data/training/two-layer-fc/history.csv", "train-baselines@two-layer-fc"),
        ("data/timings/paper.json", "finetune-resnet@paper"),
        ("data/predictions/paper/metrics.json", "evaluate@paper"),
    ],
)
def test_a_missing_file_is_named_with_its_stage(tmp_path, monkeypatch, path, stage):
    write_tree(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / path).unlink()
    models = list_as_params(list(MODELS))
    with pytest.raises(DataError, match=f"{path} is missing: run dvc repro {stage}$"):
        load_results(models)


@pytest.mark.parametrize("names", [[], ["paper", "paper"], ["../paper"]])
def test_an_unusable_list_of_models_is_refused(names):
    values = {"baselines": [], "finetune": names, "evaluate": names}
    with pytest.raises(ParamsError):
        check_section("models", values, ModelsParams)


@pytest.mark.parametrize("evaluate", [["a"], ["a", "b", "c"], ["a", "a"]])
def test_the_models_of_the_report_are_those_that_are_trained(evaluate):
    values = {"baselines": ["a"], "finetune": ["b"], "evaluate": evaluate}
    with pytest.raises(ParamsError):
        check_section("models", values, ModelsParams)


def test_several_seeds_are_averaged_beside_the_one_that_is_judged(tmp_path, monkeypatch):
    results = load(tmp_path, monkeypatch, models={"two-layer-fc": 0.5, "paper": 0.85})
    metrics = results.runs[1].metrics
    accuracy = metrics["accuracy"]
    metrics["repeats"] = [
        {"seed": seed, "val_accuracy": 0.8, "test_accuracy": accuracy + step / 100}
        for seed, step in ((1, -2), (2, 2))
    ]
    summary = summarise(results)["models"]
    assert summary["paper"]["trainings"] == 3
    assert summary["paper"]["test_accuracy_mean"] == pytest.approx(accuracy)
    assert "trainings" not in summary["two-layer-fc"]
    markdown, page = render(results)
    assert (
        f"Mean of 3 seeds: {100 * accuracy:.1f} % (95 % t-interval over seeds, on the" in markdown
    )
    assert "Means over seeds" in page
    assert "| Seed of two-layer-fc | 0 (n = 1, trained once) |" in markdown
    assert "| Seed of paper | 0; for mean and interval also 1 and 2 (n = 3 trainings) |" in markdown


def test_a_small_data_set_of_two_classes_makes_a_report(tmp_path, monkeypatch):
    results = load(tmp_path, monkeypatch, classes=("0", "1"), models={"paper": 1.0}, n_test=10)
    markdown, _ = render(results)
    assert "its accuracy on the 10 test images is 100.0 % (95 % interval 72.2 to 1" in markdown


def test_near_duplicates_are_counted_and_the_best_model_is_evaluated_without(tmp_path, monkeypatch):
    results = load(tmp_path, monkeypatch)
    words = describe_duplicates(results)
    assert words.startswith(
        "At least 1 of the 60 test images (1.7 %) has a near-duplicate of their class among the "
        "training images. No test image equals one pixel for pixel. On the others the accuracy of"
    )
    right = results.best.test_logits.argmax(1) == results.images.test_labels
    assert f"is {100 * right[1:].mean():.1f} % (" in words
    assert words.endswith(f"on all {100 * right.mean():.1f} %.")


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "No near-duplicate of the 60 test images was found among the training images."),
        (
            {"threshold": None, "train_share": None},
            "Too few training images to tell near-duplicates. No test image equals one pixel for "
            "pixel.",
        ),
        (
            {"threshold": None, "is_too_alike": True, "test_share": 0.44, "train_share": 0.45},
            "These images are too alike to tell near-duplicates: 44.0 % of the 60 test images are "
            "much like a training image of their class (the correlation of their detail is 0.85 "
            "or more), and so are 45.0 % of the training images. "
            "No test image equals one pixel for pixel.",
        ),
    ],
)
def test_what_cannot_be_told_of_near_duplicates_is_said(tmp_path, monkeypatch, facts, words):
    results = load(tmp_path, monkeypatch)
    results.duplicates.update(facts | {"pairs": []})
    assert describe_duplicates(results) == words


def test_where_all_are_copies_no_accuracy_is_made_up(tmp_path, monkeypatch):
    results = load(tmp_path, monkeypatch)
    copy = results.duplicates["pairs"][0] | {"is_exact": True}
    results.duplicates["pairs"] = [copy | {"test": test} for test in range(60)]
    words = describe_duplicates(results)
    assert "60 of the 60 test images equal a training image pixel for pixel. No other is" in words
    assert "nan" not in words


def test_the_model_card_is_that_of_the_best_model_and_escapes_names(tmp_path, monkeypatch):
    results = load(tmp_path, monkeypatch, classes=HOSTILE, official=False)
    card = render_model_card(results)
    headings = re.findall(r"^#+ (.*)$", card, re.MULTILINE)
    assert headings[0] == f"Model card: {results.best.name}"
    assert {"Uses", "Bias, Risks, and Limitations", "Training Details", "Evaluation"} <= {*headings}
    assert not re.search(r"(?<!\\)<script", card)
    assert percent(results.best.metrics["accuracy"]) in card
    assert "rest on stand-ins (†)" in card


def test_the_hub_reads_the_results_from_the_model_card(tmp_path, monkeypatch):
    results = load(tmp_path, monkeypatch, models={"paper": 0.8})
    _, front, _ = render_model_card(results).split("---\n", 2)
    facts = yaml.safe_load(front)
    assert facts["license"] == "apache-2.0"
    assert facts["datasets"] == ["uoft-cs/cifar10"]
    assert facts["base_model"] == "timm/resnet18.tv_in1k"
    assert "image-classification" in facts["tags"]
    (model,) = facts["model-index"]
    (result,) = model["results"]
    assert (model["name"], result["dataset"]["type"]) == ("paper", "uoft-cs/cifar10")
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert values["accuracy"] == pytest.approx(results.best.metrics["accuracy"], abs=1e-4)


def test_what_the_hub_does_not_have_is_not_named(tmp_path, monkeypatch):
    results = load(tmp_path, monkeypatch, models={"two-layer-fc": 0.8}, source="folder")
    facts = yaml.safe_load(render_model_card(results).split("---\n", 2)[1])
    assert not {"datasets", "base_model"} & {*facts}
    assert facts["model-index"][0]["results"][0]["dataset"]["type"] == "folder"


@pytest.mark.parametrize(
    ("architecture", "base", "is_resnet"),
    [
        ("convnext_tiny", None, False),
        ("resnet50", None, True),
        ("timm/resnet18.a1_in1k", "timm/resnet18.a1_in1k", True),
        ("timm/convnextv2_nano", None, False),  # of several weights the Hub has each by its tag
    ],
)
def test_the_hub_is_told_no_other_base_model_than_the_run_has(
    tmp_path, monkeypatch, architecture, base, is_resnet
):
    results = load(tmp_path, monkeypatch, models={"paper": 0.8})
    results.best.training["architecture"] = architecture
    facts = yaml.safe_load(render_model_card(results).split("---\n", 2)[1])
    assert facts.get("base_model") == base
    assert ("resnet" in facts["tags"]) is is_resnet


def test_of_many_classes_markdown_lists_the_weakest_and_the_page_all(tmp_path, monkeypatch):
    classes = tuple(f"class {number}" for number in range(60))
    results = load(tmp_path, monkeypatch, classes=classes, models={"paper": 0.8}, n_test=240)
    table = list_scores(results, results.runs[0])
    scores = [float(row[3].split()[0]) for row in table.rows[:-3]]
    assert len(scores) == 60
    assert scores == sorted(scores)
    markdown, page = render(results)
    assert markdown.count("(the first 40 of 60; report.html has all)") == 3
    assert f"| {table.rows[39][0]} |" in markdown
    assert page.count(f">{table.rows[59][0]}</th>") == 3  # scores, F1 and counts of classes


@pytest.mark.parametrize("source", ["digits", "folder"])
def test_images_without_official_files_are_not_called_unverified(tmp_path, monkeypatch, source):
    results = load(tmp_path, monkeypatch, source=source, verified=None, official=True)
    conditions = dict(list_conditions(results).rows)
    assert "not verified" not in conditions["Their SHA-256"]
    assert "not applicable" in conditions["Their SHA-256"]
    assert "official" not in conditions["Images"]


def test_the_figure_that_chose_each_kept_epoch_is_named(tmp_path, monkeypatch):
    results = load(tmp_path, monkeypatch)
    assert "weights of the epoch with the highest validation accuracy, the first" in " ".join(
        render(results)[0].split()
    )
    results.runs[2].training["recipe"]["select_by"] = "macro_f1"
    assert describe_kept_epochs(results) == (
        "Each model keeps the weights of one epoch: two-layer-fc and three-layer-cnn with the "
        "highest validation accuracy and paper with the highest macro F1 on validation"
    )
    results.runs[2].history["val_macro_f1"] = 0.5
    rows = list_epochs(results)
    assert {row["val_macro_f1"] for row in rows if row["model"] != "paper"} == {""}
    assert {row["val_macro_f1"] for row in rows if row["model"] == "paper"} == {0.5}
