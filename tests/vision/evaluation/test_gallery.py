import io

import numpy as np
import pytest
from PIL import Image
from scipy.special import logit, softmax

from vision.evaluation.gallery import Mistake, find_mistakes, make_sheet, pick_by_cell
from vision.evaluation.label_issues import find_label_issues
from vision.evaluation.probabilities import score

LABELS = np.array([0, 0, 0, 1, 1, 1])
SURE_OF_1 = np.array([0.9, 0.2, 0.6, 0.95, 0.4, 0.7])  # the probability of class 1
LOGITS = np.stack([np.zeros(6), logit(SURE_OF_1)], axis=1).astype(np.float32)
SCORES = score(LOGITS, LABELS)


def test_the_surest_mistakes_come_first() -> None:
    assert find_mistakes(SCORES, LABELS, 2) == [
        Mistake(0, 0, 1, pytest.approx(0.9)),
        Mistake(2, 0, 1, pytest.approx(0.6)),
    ]


def test_a_model_without_mistakes_has_none() -> None:
    assert not find_mistakes(SCORES, LOGITS.argmax(1), 5)


def test_cells_hold_the_surest_mistakes_and_the_least_sure_of_what_is_right() -> None:
    assert pick_by_cell(SCORES, LABELS, per_cell=2, limit=99) == {
        (0, 0): [1],
        (0, 1): [0, 2],
        (1, 0): [4],
        (1, 1): [5, 3],
    }


def test_where_there_is_no_room_for_all_mistakes_come_first_and_then_the_fullest_cells() -> None:
    assert set(pick_by_cell(SCORES, LABELS, per_cell=2, limit=2)) == {(0, 1)}
    assert set(pick_by_cell(SCORES, LABELS, per_cell=2, limit=4)) == {(0, 1), (1, 0)}
    assert set(pick_by_cell(SCORES, LABELS, per_cell=2, limit=5)) == {(0, 1), (1, 0), (1, 1)}


def test_a_tile_of_the_sheet_is_the_image_that_its_number_says() -> None:
    shades = np.arange(6, dtype=np.uint8)[:, None, None, None] * 40
    images = np.broadcast_to(shades, (6, 8, 8, 3))
    sheet = make_sheet(lambda i: images[i], {(0, 1): [5, 2], (1, 1): [3]}, str)
    assert sheet.notes == ["5", "2", "3"]
    assert sheet.tiles == {(0, 1): [0, 1], (1, 1): [2]}
    pixels = np.asarray(Image.open(io.BytesIO(sheet.jpeg)))
    for number, position in enumerate([5, 2, 3]):
        row, column = divmod(number, sheet.columns)
        assert pixels[8 * row + 4, 8 * column + 4] == pytest.approx(40 * position, abs=3)


def test_equal_images_give_an_equal_sheet() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    cells = {(0, 1): [2, 0]}
    first, second = (make_sheet(lambda i: images[i], cells, str) for _ in range(2))
    assert first == second


def test_flipped_labels_are_found_and_few_others() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 600)
    logits = rng.normal(size=(600, 3)).astype(np.float32)
    logits[np.arange(600), true] += 5
    labels = true.copy()
    flipped = rng.choice(600, 20, replace=False)
    labels[flipped] = (labels[flipped] + 1) % 3
    found = {mistake.position for mistake in find_label_issues(logits, labels, 1.0)}
    assert len(found & set(flipped)) >= 15
    assert len(found - set(flipped)) <= 2


def test_a_class_without_images_is_left_out() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 2], 300)
    logits = rng.normal(size=(300, 3)).astype(np.float32)
    logits[np.arange(300), labels] += 5
    labels[7] = 2 - labels[7]
    (found,) = find_label_issues(logits, labels, 1.0)
    assert (found.position, found.true, found.predicted) == (7, labels[7], 2 - labels[7])
    assert not find_label_issues(logits[:, :1], np.zeros(300, np.int64), 1.0)


def test_the_same_labels_are_doubted_as_by_cleanlab() -> None:
    from cleanlab.filter import find_label_issues as rank_issues  # a second, which others save

    rng = np.random.default_rng(1)
    true = rng.integers(0, 6, 700)
    logits = rng.normal(size=(700, 6)).astype(np.float32)
    logits[np.arange(700), true] += 2.5
    labels = true.copy()
    labels[:60] = (labels[:60] + 1) % 6
    expected = rank_issues(
        labels,
        softmax(logits.astype(np.float64) / 1.3, axis=1),
        filter_by="confident_learning",
        return_indices_ranked_by="self_confidence",
        n_jobs=1,
    )
    found = [mistake.position for mistake in find_label_issues(logits, labels, 1.3)]
    assert len(found) > 30
    assert found == expected.tolist()
