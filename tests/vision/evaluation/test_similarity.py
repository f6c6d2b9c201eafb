import numpy as np

from vision.evaluation.similarity import order_classes


def test_classes_that_are_confused_stand_side_by_side() -> None:
    """Of six classes 0 and 3 are confused, 1 and 4, and 2 and 5."""
    confusion = np.eye(6, dtype=int) * 90
    confusion[[0, 1, 2], [3, 4, 5]] = 10
    order = order_classes(confusion)
    assert sorted(order) == list(range(6))
    places = {label: place for place, label in enumerate(order)}
    assert all(abs(places[a] - places[a + 3]) == 1 for a in range(3))


def test_classes_without_images_have_a_place_too() -> None:
    for n in (1, 2, 5):
        assert sorted(order_classes(np.zeros((n, n), int))) == list(range(n))
