"""How much room do the claims of the notebooks have?

    python benchmarks/claims.py [NOTEBOOK …] [--runs 10] [--jobs 1] [--quick]

Every claim of a notebook holds where it was run last. Here each notebook runs again with other seeds, in turn with one
thread and with two and with oneDNN's kernels on and off, and the values that its claims judge are written down. Writes
results/claims.csv: for every claim the bound, the value that came nearest to it, the mean, and how often it held.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from common import one_of, read_rows, write_rows
from IPython.core.inputtransformer2 import TransformerManager

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "claims.csv"
SETTINGS = [{"TF_NUM_INTRAOP_THREADS": threads, "TF_ENABLE_ONEDNN_OPTS": onednn} for threads in "12" for onednn in "10"]


def code(notebook: Path, run: int) -> str:
    """The code of a notebook, for a run with seeds of its own."""
    cells = json.loads(notebook.read_text())["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    text = "\n".join(TransformerManager().transform_cell(source) for source in sources)
    text = re.sub(r"\bset_random_seed\((\d+)\)", lambda match: f"set_random_seed({int(match[1]) + 100 * run})", text)
    return re.sub(r"\bSEEDS = range\((\d+)\)", lambda m: f"SEEDS = range({100 * run}, {100 * run + int(m[1])})", text)


def once(notebook: Path, run: int) -> None:
    """Run a notebook in this process and print a line of JSON for each claim."""
    import matplotlib

    matplotlib.use("agg")
    from cnn_zoo.teaching import claims as teaching

    def note(statement, value, *, at_least=None, at_most=None):
        print("CLAIM" + json.dumps([statement, float(value), at_least, at_most]), flush=True)

    import cnn_zoo

    cnn_zoo.claim = teaching.claim = note
    exec(compile(code(notebook, run), str(notebook), "exec"), {"__name__": "__main__", "display": lambda *_: None})


def run_once(name: str, run: int) -> list[list]:
    """Run a notebook in a process of its own; returns [statement, value, at_least, at_most] of each claim."""
    begun, setting = time.perf_counter(), SETTINGS[run % len(SETTINGS)]
    command = [sys.executable, __file__, name, "--once", str(run)]
    done = subprocess.run(command, env=os.environ | setting, capture_output=True, text=True, check=False)
    print(f"{name}, run {run}, {setting}: {time.perf_counter() - begun:.0f} s", flush=True)
    if done.returncode:
        raise RuntimeError(f"{name}, run {run}: {done.stderr}")
    return [json.loads(line[5:]) for line in done.stdout.splitlines() if line.startswith("CLAIM")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    parser.add_argument(
        "notebooks", nargs="*", type=one_of("notebook", every), help="such as 06_training; default: all"
    )
    parser.add_argument("--runs", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--jobs", type=int, default=1, help="notebooks at a time (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="one run of one notebook; nothing is kept")
    parser.add_argument("--once", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.once is not None:
        once(ROOT / "notebooks" / f"{args.notebooks[0]}.ipynb", args.once)
        return
    if args.quick:
        run_once("04_learning_a_filter", 1)
        return
    names, values = args.notebooks or every, {}
    with ThreadPoolExecutor(args.jobs) as pool:
        jobs = {pool.submit(run_once, name, run): name for run in range(1, args.runs + 1) for name in names}
        for job in as_completed(jobs):
            for statement, value, least, most in job.result():
                values.setdefault((jobs[job], statement, least, most), []).append(value)
            keep(values)


def keep(values: dict[tuple, list[float]]) -> None:
    """Write what is known so far, beside the rows of notebooks that were not run now."""
    now = {name for name, *_ in values}
    rows = [row for row in read_rows(RESULTS) if row["notebook"] not in now]
    for (name, statement, least, most), found in values.items():
        held = [(least is None or value >= least) and (most is None or value <= most) for value in found]
        row = {"notebook": name, "claim": statement, "at_least": least, "at_most": most, "runs": len(found)}
        row |= {"worst": min(found) if least is not None else max(found), "mean": statistics.mean(found)}
        rows.append({key: f"{v:.5g}" if isinstance(v, float) else v for key, v in row.items()} | {"held": sum(held)})
    write_rows(RESULTS, sorted(rows, key=lambda row: row["notebook"]))


if __name__ == "__main__":
    main()
