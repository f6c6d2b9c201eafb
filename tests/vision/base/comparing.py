"""Compare, as a process of a training, inputs that differ from the others'.

Run by vision/base/launching.py: python -m tests.vision.base.comparing
"""

import os
import sys

from vision.base.distributed import join_processes, require_same
from vision.base.errors import TrainingError
from vision.base.launching import end_with_launcher

if __name__ == "__main__":
    end_with_launcher()
    with join_processes():
        try:
            require_same({"data/split": os.environ["RANK"], "seed": "0"})
        except TrainingError as error:
            print(error, file=sys.stderr)
            sys.exit(1)
