"""A stage `judge NAME` that says so when it is at work and then waits.

Run: python -m tests.stages.stage_that_waits NAME
"""

import sys
import time
from pathlib import Path

from stages.runner import run_stage
from vision.base.files import replacing


def main(name: str) -> None:
    with replacing(Path("out")) as temporary:
        temporary.write_text(name)
        print("at work", flush=True)
        time.sleep(60)


if __name__ == "__main__":
    sys.exit(run_stage(["judge", *sys.argv[1:]], load=lambda stage: main))
