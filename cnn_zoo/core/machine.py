"""What this machine has, and a start of TensorFlow that suits it: its faster kernels, and none of its log lines."""

import contextlib
import math
import os
import re
import sys
import tempfile
import warnings
from pathlib import Path

from .errors import ShortOfMemory

BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}  # of x86 processors, as Linux names them


def processor_flags() -> set[str]:
    """What the processor says it can do; empty where there is no /proc/cpuinfo."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())
    return set()


def cores() -> int:
    """How many this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_memory(what: str, needed: float, room: float = 0) -> None:
    """ShortOfMemory if so many bytes are not there; `room` is what it takes beside them where address space is limited.

    Nothing is known, and nothing said, where there is no /proc.
    """
    bounds = []
    with contextlib.suppress(OSError, ValueError, KeyError, ImportError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            bounds.append((needed + room, limit - 1024 * _kilobytes("/proc/self/status")["VmSize"]))
    with contextlib.suppress(OSError, ValueError, KeyError):
        found = _kilobytes("/proc/meminfo")
        bounds.append((needed, 1024 * (found["MemAvailable"] + found["SwapFree"])))
    for least, free in bounds:
        if least > free:
            sizes = f"{least / 1e9:,.1f} GB at least, and {max(0, free) / 1e9:.1f} GB are free"
            advice = "try smaller images (--image-size), a smaller model or smaller batches"
            raise ShortOfMemory(f"out of memory: {what} takes {sizes}; {advice}")


def _kilobytes(path: str) -> dict[str, int]:
    """The sizes in a file of the kernel."""
    return {name: int(size) for name, size in re.findall(r"(?m)^(\w+):\s+(\d+) kB$", Path(path).read_text())}


def ask_for_kernels() -> None:
    """Before its import, let TensorFlow take oneDNN's kernels on processors with AVX2, unless the user has chosen."""
    # By itself it takes them only on newer ones, and trains up to twice as slowly without (benchmarks/README.md).
    # On a single thread the gradient of a small resnet18 crashes TensorFlow 2.21 on a processor without AVX512.
    if "avx2" in processor_flags() and _threads() > 1:
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def lacks_kernels() -> bool:
    """Whether TensorFlow does without oneDNN's kernels, and nobody wanted that: it was imported before cnn_zoo."""
    flags = processor_flags()
    missed = "avx2" in flags and "avx512f" not in flags and _threads() > 1
    return missed and not os.environ.get("TF_ENABLE_ONEDNN_OPTS")


def _threads() -> int:
    """Those that TensorFlow shares an operation out among."""
    asked = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    return int(asked) if asked.isdigit() and int(asked) else cores()


@contextlib.contextmanager
def quiet_import():
    """Import Keras and TensorFlow in this block without their start-up lines, which are shown when the import fails."""
    if "keras" in sys.modules:
        yield
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # C++ code writes before it counts: hence descriptor 2 below
    ask_for_kernels()
    try:
        sys.stderr.flush()
        stderr = os.dup(2)
    except (AttributeError, OSError):  # a process without standard error
        yield
        return
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            with warnings.catch_warnings():  # Keras 3.13 with NumPy 1 warns of itself
                warnings.simplefilter("ignore")
                yield
        except Exception:
            log.seek(0)
            os.write(stderr, log.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
