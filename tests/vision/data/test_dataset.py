from pathlib import Path

import numpy as np

from tests.conftest import CLASSES
from vision.base.files import write_array
from vision.data.dataset import load_split


def test_a_subset_holds_the_images_of_its_indices(raw: Path) -> None:
    split = raw.parent / "split"
    write_array(split / "val.npy", np.array([0, 25, 59]))
    val = load_split("val")
    assert len(val) == 3
    assert val.get_labels().tolist() == [0, 1, 2]
    assert (val.classes, val.image_px) == (CLASSES, 8)


def test_images_stay_on_disk(raw: Path) -> None:
    write_array(raw.parent / "split/val.npy", np.array([0]))
    shard = load_split("val").images[0].base
    assert isinstance(shard, np.ndarray)
    assert isinstance(shard.base, np.memmap)
