"""Run a stage as one of several processes that train one network together.

Run: python -m stages.worker finetune-resnet paper, by stages/processes.py or under torchrun
"""

import sys

from stages.runner import run_stage  # isort: skip - before vision
from vision.base.distributed import join_processes
from vision.base.launching import end_with_launcher

if __name__ == "__main__":
    end_with_launcher()
    with join_processes():
        sys.exit(run_stage(sys.argv[1:], worker=True))
