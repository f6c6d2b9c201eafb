from pathlib import Path

import pytest
import yaml

from vision.base.errors import ParamsError
from vision.schema.baselines import load_baseline

PLAIN = {"epochs": 1, "batch_size": 8, "optimizer": "sgd", "learning_rate": 0.1}


def write(**values: object) -> None:
    Path("params.yaml").write_text(yaml.safe_dump({"baselines": {"mine": PLAIN | values}}))


@pytest.mark.usefixtures("workspace")
def test_the_architecture_says_which_keys_there_are() -> None:
    write(architecture="three-layer-cnn", first_filters=4, second_filters=6, pooling=True)
    options = {"filters": [4, 6], "pooling": True, "dropout": 0.0}
    assert load_baseline("mine").get_options() == options


@pytest.mark.usefixtures("workspace")
def test_an_unknown_architecture_is_answered_with_the_choices() -> None:
    write(architecture="vgg")
    with pytest.raises(ParamsError, match="'vgg'; choose from two-layer-fc, three-layer-cnn"):
        load_baseline("mine")


@pytest.mark.usefixtures("workspace")
def test_a_key_of_the_other_architecture_is_unknown() -> None:
    write(architecture="two-layer-fc", hidden_units=4, pooling=True)
    with pytest.raises(ParamsError, match=r"baselines\.mine\.pooling is unknown"):
        load_baseline("mine")


@pytest.mark.usefixtures("workspace")
def test_a_whitened_network_has_the_published_widths_unless_others_are_given() -> None:
    write(architecture="whitened-cnn")
    assert load_baseline("mine").get_options()["widths"] == [64, 256, 256]
    write(architecture="whitened-cnn", widths=[64, 256])
    with pytest.raises(ParamsError, match=r"baselines\.mine\.widths is \[64, 256\]: list should"):
        load_baseline("mine")


@pytest.mark.usefixtures("workspace")
def test_muon_is_refused_where_there_are_no_convolutions() -> None:
    write(architecture="two-layer-fc", hidden_units=4, optimizer="muon", muon_learning_rate=0.1)
    with pytest.raises(ParamsError, match="muon is for convolutions, which this network lacks"):
        load_baseline("mine")


@pytest.mark.usefixtures("workspace")
def test_images_that_grow_are_refused() -> None:
    write(architecture="two-layer-fc", hidden_units=4, px_by_epoch=[8])
    with pytest.raises(ParamsError, match="this network takes images of one size"):
        load_baseline("mine")
