"""Stand in for a process of a training: wait, or fail in one of them with a status.

Run by vision/base/launching.py: python -m tests.vision.base.waiting [RANK STATUS]
"""

import os
import sys
import time

from vision.base.launching import end_with_launcher

if __name__ == "__main__":
    end_with_launcher()
    print(os.environ["RANK"], flush=True)
    if sys.argv[1:2] == [os.environ["RANK"]]:
        sys.exit(int(sys.argv[2]))
    time.sleep(600)
