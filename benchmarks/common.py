"""What the benchmarks share: timing side by side, where results go, and what machine they come from."""

import argparse
import csv
import functools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path

from cnn_zoo.core.errors import unknown
from cnn_zoo.core.files import write_csv
from cnn_zoo.core.machine import processor_flags
from cnn_zoo.runs import versions

FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")  # of x86 processors, the later the faster
ENVIRONMENT = dict(os.environ)  # before cnn_zoo sets what is good for it
PLAIN = """
import os, runpy, sys
import keras
sys.argv = sys.argv[1:]
sys.path[0] = os.path.dirname(sys.argv[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def features() -> list[str]:
    """Those of FEATURES that the processor has."""
    return [feature for feature in FEATURES if feature in processor_flags()]


# Results of unlike processors are kept apart; ratios differ more between them than anything else does.
RESULTS = Path(__file__).parent / "results" / (features() or ["other"])[-1]


def processor() -> str:
    """The processor's name and the features that decide a network's speed."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    name = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "?")
    return " ".join([name, *features()])


def one_of(kind: str, choices: Collection[str]) -> Callable[[str], str]:
    """The type of an argument that is one of many names: argparse's own `choices` would list them all at each error."""

    def name(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(unknown(kind, text, choices))
        return text

    return name


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table; none where there is no file."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, rows: list[dict]) -> None:
    """Write a table, whole, with the columns of its first row."""
    write_csv(path, {column: [row[column] for row in rows] for column in rows[0]})


def plain_keras(script: str, *arguments: str) -> list[str]:
    """The command that runs a script with TensorFlow's own choice of kernels, as whoever does without cnn_zoo has it.

    To be run with env=ENVIRONMENT. cnn_zoo's choice must be made before Keras is imported, which comes first here.
    """
    return [sys.executable, "-c", PLAIN, script, *arguments]


class Worker:
    """A process that does a piece of work as often as it is asked to: the other half is `serve`."""

    def __init__(self, command: list[str]):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=ENVIRONMENT, **pipes)

    @functools.cached_property
    def about(self):
        """What it said of itself; waits until it is ready."""
        return self._answer()

    def __call__(self, times: int = 1) -> None:
        self.about  # noqa: B018 - is read first
        print(times, file=self.process.stdin, flush=True)
        self._answer()

    def _answer(self):
        """What the process says next; other lines are not for us."""
        for line in self.process.stdout:
            if line.startswith("answer "):
                return json.loads(line[7:])
        raise RuntimeError(f"a worker ended early: {self.process.args}")

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def serve(work: Callable[[int], None], about=None) -> None:
    """Say that all is ready, then work when a number arrives on standard input, until it is closed."""
    print("answer", json.dumps(about), flush=True)
    for line in sys.stdin:
        work(int(line))
        print("answer null", flush=True)


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


def seconds(work: Callable, repeats: int) -> float:
    """Median of a call, after one that is not counted."""
    return statistics.median(alternate({"": work}, repeats)[""])


def spread(values: list[float], digits: int = 4) -> dict[str, float]:
    """Median, least and most."""
    return {
        "median": round(statistics.median(values), digits),
        "least": round(min(values), digits),
        "most": round(max(values), digits),
    }


def write(name: str, results: dict, quick: bool = False, *, keep: bool = False) -> None:
    """Print results; unless they are quick ones, write them to RESULTS/NAME.json, with machine, versions and commit.

    With keep, results that are there and were not measured anew stay; versions and commit are then of the newest.
    """
    path = RESULTS / f"{name}.json"
    if keep and path.exists():
        results = json.loads(path.read_text())["results"] | results
    about = {"processor": processor(), "versions": versions(), "commit": commit()}
    text = json.dumps({"about": about, "results": results}, indent=2)
    if not quick:
        RESULTS.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    print(text, flush=True)
