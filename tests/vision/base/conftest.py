import pytest

from vision.base import connections


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give servers a fifth of a second, and three tries with hardly a pause."""
    monkeypatch.setattr(connections, "PAUSES_S", (0.01, 0.02))
    monkeypatch.setattr(connections, "TIMEOUT_S", 0.2)
