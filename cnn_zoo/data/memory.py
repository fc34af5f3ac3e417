"""Room for images: in memory, or in a temporary file when they are larger than a limit."""

from __future__ import annotations

import math
import mmap
import os
import shutil
import tempfile

import numpy as np

from ..core.errors import DataError

MEMORY_LIMIT = 2 * 1024**3  # bytes
ALIGNMENT = 64  # bytes: where arrays begin that TensorFlow can read in place


def empty(count: int, size: tuple[int, int], channels: int, memory_limit: float) -> np.ndarray:
    """Room for images, uint8, that TensorFlow can read in place: in memory, or in a file if they are larger."""
    shape = (count, *size, channels)
    needed = math.prod(shape)
    if needed > memory_limit:
        return np.frombuffer(_mapped_file(needed), np.uint8).reshape(shape)
    memory = np.empty(needed + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + needed].reshape(shape)


def _mapped_file(size: int) -> mmap.mmap:
    """A temporary file as memory: the system reads its pages when they are asked for, and keeps those it has room for.

    The file has no name on POSIX systems, so nothing stays behind, not even after a kill.
    """
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    advice = "ask for smaller ones with image_size, or set TMPDIR to a folder with more room"
    if size > free:
        raise DataError(
            f"the images need {size / 1e9:.1f} GB in {folder}, which has {free / 1e9:.1f} GB free; {advice}"
        )
    try:
        with tempfile.TemporaryFile() as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)  # else a disk that is filled meanwhile ends the process
            else:
                file.truncate(size)
            mapped = mmap.mmap(file.fileno(), size)
    except OSError as error:  # a quota, say
        raise DataError(f"the images need {size / 1e9:.1f} GB in {folder}: {error.strerror}; {advice}") from error
    if hasattr(mmap, "MADV_RANDOM"):
        mapped.madvise(mmap.MADV_RANDOM)  # else pages around each are read too: see benchmarks/README.md
    return mapped
