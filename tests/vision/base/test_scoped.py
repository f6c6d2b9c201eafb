import os
from contextlib import suppress

import pytest

from vision.base.scoped import setting_variables


def test_variables_are_as_they_were_after_the_block_also_after_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PIPELINE_SET", "before")
    monkeypatch.delenv("PIPELINE_UNSET", raising=False)
    inside = {"PIPELINE_SET": "inside", "PIPELINE_UNSET": "inside"}
    with suppress(ZeroDivisionError), setting_variables(inside):
        assert os.environ["PIPELINE_SET"] == os.environ["PIPELINE_UNSET"] == "inside"
        raise ZeroDivisionError
    assert os.environ["PIPELINE_SET"] == "before"
    assert "PIPELINE_UNSET" not in os.environ
