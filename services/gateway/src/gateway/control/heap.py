"""Memory of the process that is not given back to the kernel between two requests.

glibc returns the free end of its heap when it has 128 KiB, and takes large blocks from the kernel
one by one (mallopt(3)). Bodies that come and go would then cost page faults again and again.
"""

import ctypes
from typing import Final

TRIM_THRESHOLD: Final = -1
TOP_PAD: Final = -2
MMAP_THRESHOLD: Final = -3
"""The names of the parameters in malloc.h."""
KEPT_BYTES: Final = {
    TRIM_THRESHOLD: 8 * 1024 * 1024,
    MMAP_THRESHOLD: 4 * 1024 * 1024,
    TOP_PAD: 1024 * 1024,
}


def keep_freed_memory() -> bool:
    """Have glibc keep up to 8 MiB that are free; False where the C library is another one."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all(mallopt(name, size) == 1 for name, size in KEPT_BYTES.items())
