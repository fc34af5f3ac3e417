"""What the benchmarks share: timing side by side, where results go, and what machine they come from."""

import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from cnn_zoo.precision import processor_flags
from cnn_zoo.runs import versions

RESULTS = Path(__file__).parent / "results"


def processor() -> str:
    """The processor's name and the features that decide a network's speed."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    name = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "?")
    return " ".join(
        [name, *(flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in processor_flags())]
    )


def commit() -> str:
    """The short hash of the commit that is checked out."""
    git = ["git", "-C", str(RESULTS.parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()


def alternate(works: dict[str, Callable], repeats: int, block: float = 0.0) -> dict[str, list[float]]:
    """Seconds a call of each of several pieces of work, in turn, so that what else the machine does meets all alike.

    The first call of each is not counted. A turn of a short one is as many calls as take `block` seconds: a clock that
    is read around a single one would count what the previous work left in the processor's caches.
    """
    times, calls = {name: [] for name in works}, dict.fromkeys(works, 1)
    for name, work in works.items():
        work()
        if block:
            begun = time.perf_counter()
            work()
            calls[name] = max(1, round(block / (time.perf_counter() - begun)))
    for _ in range(repeats):
        for name, work in works.items():
            begun = time.perf_counter()
            for _ in range(calls[name]):
                work()
            times[name].append((time.perf_counter() - begun) / calls[name])
    return times


def spread(values: list[float], digits: int = 4) -> dict[str, float]:
    """Median, least and most."""
    return {
        "median": round(statistics.median(values), digits),
        "least": round(min(values), digits),
        "most": round(max(values), digits),
    }


def write(name: str, results: dict, quick: bool = False, *, keep: bool = False) -> None:
    """Print results; unless they are quick ones, write them with machine, versions and commit to results/NAME.json.

    With keep, results that are there and were not measured anew stay.
    """
    if keep and (RESULTS / f"{name}.json").exists():
        results = json.loads((RESULTS / f"{name}.json").read_text())["results"] | results
    about = {"processor": processor(), "versions": versions(), "commit": commit()}
    text = json.dumps({"about": about, "results": results}, indent=2)
    if not quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text, flush=True)
