"""What the benchmarks share: where results go, and what machine they come from."""

import json
import platform
import subprocess
from pathlib import Path

from cnn_zoo.runs import versions

RESULTS = Path(__file__).parent / "results"


def processor() -> str:
    """The processor's name and the features that decide a network's speed."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    fields = {key.strip(): value for key, colon, value in (line.partition(": ") for line in text.splitlines()) if colon}
    flags = fields.get("flags", "").split()
    fast = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return " ".join([fields.get("model name", "?"), *fast])


def write(name: str, results: dict) -> None:
    """Print results and write them, with machine, versions and commit, to results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    git = ["git", "-C", str(RESULTS.parent), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    about = {"processor": processor(), "versions": versions(), "commit": commit}
    text = json.dumps({"about": about, "results": results}, indent=2)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)
