import pytest
import torch

from vision.base import hardware
from vision.base.hardware import check_precision, measure_bf16_gain

CPU = torch.device("cpu")


def test_a_processor_that_loses_by_bf16_gets_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hardware, "measure_bf16_gain", lambda: 0.25)
    check_precision("bf16", CPU)
    assert "multiplies 4 times slower in bf16 than in fp32" in capsys.readouterr().err


@pytest.mark.parametrize(("precision", "gain"), [("fp32", 0.25), ("bf16", 1.6)])
def test_others_get_none(
    precision: str,
    gain: float,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(hardware, "measure_bf16_gain", lambda: gain)
    check_precision(precision, CPU)
    assert capsys.readouterr().err == ""


def test_the_gain_is_measured() -> None:
    assert 0 < measure_bf16_gain() < 1000
