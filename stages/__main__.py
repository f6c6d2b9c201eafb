"""Run one stage, as DVC does: python -m stages STAGE, or python -m stages STAGE NAME.

STAGE is one of dvc.yaml, NAME the member of its matrix, if it has one.
"""

import sys

from stages.runner import run_stage

if __name__ == "__main__":
    sys.exit(run_stage(sys.argv[1:]))
