"""Runs with no server of their own, and with what is wrong with one."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.engine.overrides import set_params
from flows.upkeep.records import check_server
from tests.flows.commands.typed import type_pipeline
from tests.flows.toy import assert_nothing_is_left, is_running, wait_until

pytestmark = pytest.mark.server


def make_foreign(home: Path) -> None:
    """Make the records of a Prefect that is newer than ours."""
    with closing(sqlite3.connect(home / "prefect.db")) as base:
        base.execute("create table alembic_version (version_num text)")
        base.execute("insert into alembic_version values ('fedcba987654')")
        base.commit()


def test_what_keeps_prefect_from_running_is_one_line(new_toy: Path, tmp_path: Path) -> None:
    make_foreign(tmp_path)
    cases = {
        "is of another version of Prefect (fedcba987654): move": {"PREFECT_HOME": str(tmp_path)},
        "cannot keep its records in /proc/home (no such file or directory): set PREFECT_HOME": {
            "PREFECT_HOME": "/proc/home"
        },
    }
    all_typed = {
        said: type_pipeline(new_toy, "run", **{"PREFECT_API_URL": ""} | variables)
        for said, variables in cases.items()
    }
    for said, typed in all_typed.items():
        assert typed.process.wait(60) == 1
        (line,) = typed.read().splitlines()
        assert line.startswith("error: ")
        assert said in line


def test_a_killed_run_takes_its_server_along_and_is_known_for_dead(
    new_toy: Path, prefect_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_params(new_toy, {"fetch.seconds": 600})
    typed = type_pipeline(new_toy, "run", PREFECT_API_URL="", PREFECT_HOME=str(prefect_home))
    wait_until(lambda: is_running(new_toy), 120)
    typed.process.kill()
    typed.process.wait()
    assert_nothing_is_left(new_toy)
    monkeypatch.chdir(new_toy)
    monkeypatch.setenv("PREFECT_HOME", str(prefect_home))
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        told = [text for _, text in check_server(fix=True)]
        assert any(text.endswith(" is gone: it is Crashed now") for text in told)
        assert len(list(check_server(fix=False))) == 1  # now no server is started to look
