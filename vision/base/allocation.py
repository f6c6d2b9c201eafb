"""How memory that a batch frees is kept for the next one. Loads no torch."""

import ctypes
import platform

# Of glibc's malloc.h. TRIM: freed bytes at the end of the heap from which they are given back.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
NEVER = 2**31 - 1  # the most that mallopt takes


def keep_freed_memory() -> None:
    """Let this process keep what it frees; only glibc is asked, others decide for themselves.

    glibc gives each block of more than 32 MB back to the system at once. What is taken from there
    anew is filled with zeros page by page, at the first touch of each: for whitened-cnn, whose maps
    have 61 MB, 100,000 times in each step, which take a sixth of its time.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_MAX, 0)  # all blocks come from the heap
    libc.mallopt(M_TRIM_THRESHOLD, NEVER)
