"""What this machine has: cores, and what its processor says it can do."""

from __future__ import annotations

import os
from pathlib import Path

BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}  # of x86 processors, as Linux names them


def processor_flags() -> set[str]:
    """What the processor says it can do; empty where there is no /proc/cpuinfo."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())


def cores() -> int:
    """How many this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
