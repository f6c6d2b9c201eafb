"""What Prefect needs of a machine before it is imported: a folder, and no proxy to itself.

Prefect reads its settings when it is imported, and says a page about a folder that it cannot write.
"""

import os
import sqlite3
import sys
import tempfile
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

from vision.base.errors import PipelineError

HOME = "PREFECT_HOME"
OURS = Path(".dvc/tmp/prefect")  # where there is no home to write in
LOCAL = ("127.0.0.1", "localhost")
REVISIONS = "server/database/_migrations/versions/sqlite"


def prepare_prefect() -> None:
    """See that Prefect can keep its records, and talk to a server on this machine.

    Raises:
        PipelineError: PREFECT_HOME cannot be written.
    """
    for name in ("NO_PROXY", "no_proxy"):
        listed = [part for part in os.environ.get(name, "").split(",") if part]
        if listed != ["*"]:
            os.environ[name] = ",".join(dict.fromkeys([*listed, *LOCAL]))
    home = find_home()
    if why := _find_fault(home):
        if HOME in os.environ:
            way_out = f"set {HOME} to a folder of yours"
            raise PipelineError(f"Prefect cannot keep its records in {home} ({why}): {way_out}")
        os.environ[HOME] = str(OURS.absolute())
        print(f"{home} cannot be written: Prefect keeps its records in {OURS}", file=sys.stderr)


def find_home() -> Path:
    """Return the folder of Prefect's records."""
    return Path(os.environ.get(HOME) or "~/.prefect").expanduser()


def _find_fault(home: Path) -> str:
    """Return why a folder cannot be written, or nothing."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            return ""
    except OSError as error:
        return str(error.strerror).lower()


def check_database(path: Path) -> None:
    """See that a database is one that the Prefect which is installed can go on with.

    Raises:
        PipelineError: it is damaged, or of a newer Prefect.
    """
    way_out = f"move {path} away, or set {HOME} to another folder"
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as base:
            [found] = base.execute("select version_num from alembic_version").fetchone() or [""]
    except sqlite3.OperationalError:
        return  # it is being made
    except sqlite3.DatabaseError as error:
        raise PipelineError(f"Prefect's records {path} are damaged ({error}): {way_out}") from None
    spec = find_spec("prefect")
    known = Path(str(spec and spec.origin)).parent / REVISIONS
    if found and not any(found in file.name for file in known.glob("*.py")):
        raise PipelineError(f"{path} is of another version of Prefect ({found}): {way_out}")
