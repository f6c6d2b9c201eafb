"""What a batch frees is there for the next one, without the system's help."""

import platform
import subprocess
import sys

import pytest

# Blocks that glibc would give back to the system at once.
TOUCH = """
import resource
from vision.base.allocation import keep_freed_memory

{call}
for _ in range(2):  # the first time memory is new
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        bytearray(64 * 2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def count_faults(call: str) -> int:
    program = [sys.executable, "-c", TOUCH.format(call=call)]
    return int(subprocess.run(program, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator alone is asked")
def test_pages_of_a_freed_block_are_not_fetched_again() -> None:
    assert count_faults("") > 5 * 1000
    assert count_faults("keep_freed_memory()") < 100


def test_elsewhere_the_allocator_is_left_alone() -> None:
    call = "import platform; platform.libc_ver = lambda: ('', ''); keep_freed_memory()"
    assert count_faults(call) == pytest.approx(count_faults(""), rel=0.1)
