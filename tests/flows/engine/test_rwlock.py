"""What ended processes leave in the file of DVC's locks goes; a DVC at work is waited for."""

import json
from pathlib import Path

import pytest
from dvc.lock import LockError

from flows.engine import rwlock
from flows.engine.rwlock import RWLOCK, find_stale, hold_guard, mend_rwlock


@pytest.fixture(autouse=True)
def _here(new_toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(new_toy)


def test_a_project_without_the_file_has_nothing_stale() -> None:
    assert find_stale() == set()
    mend_rwlock()
    assert not RWLOCK.exists()


def test_what_a_process_that_is_gone_holds_is_removed() -> None:
    gone = {"pid": 2**22 + 1, "cmd": "dvc repro"}  # above the highest number that Linux gives
    RWLOCK.write_text(json.dumps({"write": {"/a": gone}, "read": {"/b": [gone]}}))
    assert find_stale() == {str(2**22 + 1)}
    mend_rwlock()
    assert json.loads(RWLOCK.read_text()) == {"write": {}, "read": {}}


def test_the_file_is_left_alone_while_a_dvc_writes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    RWLOCK.write_text("")
    monkeypatch.setattr("dvc.lock.DEFAULT_TIMEOUT", 0.1)
    with hold_guard("rwlock.lock"):
        mend_rwlock()
        assert RWLOCK.read_text() == ""
        with pytest.raises(LockError):
            rwlock.remove_stale()
    mend_rwlock()
    assert json.loads(RWLOCK.read_text()) == {"write": {}, "read": {}}
