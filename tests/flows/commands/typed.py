"""Commands of `pipeline`, started as if they had been typed."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prefect.settings import PREFECT_API_URL

from tests.projects import ROOT
from vision.base.death_signal import end_with_parent


@dataclass(frozen=True)
class Typed:
    process: subprocess.Popen[bytes]
    log: Path

    def read(self) -> str:
        """Return what it has said so far, its lines unbroken."""
        return self.log.read_text()


def type_pipeline(
    folder: Path, *words: str, become: Sequence[str] = (), **environment: str
) -> Typed:
    """Start a command in a folder, behind a proxy that is not there.

    Args:
        become: a command before it, which makes it another user's.
    """
    log = folder.parent / f"said-{len(list(folder.parent.glob('said-*')))}"
    variables = {
        "PYTHONPATH": str(ROOT),
        "PREFECT_API_URL": str(PREFECT_API_URL.value() or ""),
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
        **environment,
    }
    command = [*become, sys.executable, "-c", "from flows.cli import main; main()", *words]
    with log.open("w") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | variables,
            stdout=file,
            stderr=file,
            preexec_fn=end_with_parent,
        )
    return Typed(process, log)
