"""Change the code at random, one token at a time, and see whether a test notices.

    python tools/mutants.py [COUNT] [--seed 0] [--jobs 1] [--out results/mutants.csv]

These are faults that nobody has thought of. An operator becomes its neighbour, a number a larger one, True False. In a
copy of the working tree first the tests of the changed module or package run, then, if they pass, all but the slow ones
and the notebooks. Not every change is a fault: a bound, a buffer or a message may be as good with another number.
Figures are left out, for people look at those.
"""

import argparse
import csv
import io
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import tokenize
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INSTEAD = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "+": "-", "-": "+", "*": "//", "//": "*",
    "/": "*", "and": "or", "or": "and", "not": "", "True": "False", "False": "True", "min": "max", "max": "min",
    "any": "all", "all": "any", "is": "is not", "in": "not in", "break": "pass", "continue": "pass",
}  # fmt: skip
FIRST = {  # module or package -> the files of tests that should notice; others: the file of tests of that name
    "core": "runs cli training pretrained", "data": "data scenes images augment inference", "nn": "layers models ranks",
    "models": "packaging models unet", "weights": "pretrained torch_weights runs", "tasks": "tasks counting runs",
    "build": "models pretrained", "runs": "runs training", "checkpoints": "training runs", "report": "runs tasks",
    "commands": "commands cli", "__main__": "cli", "__init__": "packaging",
}  # fmt: skip
LOOKED_AT = ("plots.py", "teaching/figures", "teaching/widgets.py")


def places(path: Path) -> list[tuple[str, str, str]]:
    """The changes that a file admits: (line as it is, what stands there with its place, the changed text)."""
    text = path.read_text("utf-8")
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NUMBER:
            new = f"{token.string} + 1" if re.fullmatch(r"[\d_]+", token.string) else f"1.5 * {token.string}"
        elif token.string in INSTEAD and token.type in (tokenize.OP, tokenize.NAME):
            new = INSTEAD[token.string]
        else:
            continue
        begin = starts[token.start[0] - 1] + token.start[1]
        changed = f"{text[:begin]}{new}{text[begin + len(token.string) :]}"
        try:
            compile(changed, str(path), "exec")
        except SyntaxError:  # a star before an argument, say
            continue
        found.append((token.line.strip(), f"{token.start[0]}: {token.string} -> {new or 'nothing'}", changed))
    return found


def first_failure(folder: Path, tests: list[str]) -> str:
    """Run some files of tests in a copy of the project; returns the first test that fails, or ""."""
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-x", "-p", "no:cacheprovider", "-m", "not slow"]
    command += [f"tests/{name}" for name in tests]
    environment = os.environ | {"PYTHONPATH": str(folder)}  # before what is installed
    options = {"cwd": folder, "env": environment, "capture_output": True, "text": True, "timeout": 1200}
    try:
        done = subprocess.run(command, **options, check=False)
    except subprocess.TimeoutExpired:
        return "no end in twenty minutes"
    if failed := re.search(r"^(?:FAILED|ERROR) (?:tests/)?(\S+)", done.stdout, re.MULTILINE):
        return failed[1]
    return f"pytest ends with {done.returncode}" if done.returncode else ""


def try_out(folder: Path, name: str, changed: str) -> str:
    """The first test that fails when a file of a copy of the project is changed so; "" if none does."""
    path = folder / "cnn_zoo" / name
    text, module = path.read_text("utf-8"), Path(name).parts[0].removesuffix(".py")
    tests = [f"test_{part}.py" for part in FIRST.get(module, module).split()]
    others = [path.name for path in sorted((folder / "tests").glob("test_*.py")) if path.name not in tests]
    others.remove("test_notebooks.py")
    path.write_text(changed, "utf-8")
    try:
        return first_failure(folder, tests) or first_failure(folder, others)
    finally:
        path.write_text(text, "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", nargs="?", type=int, default=40, help="how many changes (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of their choice (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="at once (default: %(default)s)")
    parser.add_argument("--out", help="write a table to this file")
    args = parser.parse_args()
    names = [path.relative_to(ROOT / "cnn_zoo").as_posix() for path in sorted((ROOT / "cnn_zoo").rglob("*.py"))]
    names = [name for name in names if not name.startswith(LOOKED_AT)]
    every = [(name, *place) for name in names for place in places(ROOT / "cnn_zoo" / name)]
    chosen = random.Random(args.seed).sample(every, args.count)

    def work(job: int) -> list[tuple]:
        rows = []
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "copy"
            shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".git", ".venv*", "runs", "__pycache__"))
            for number, (name, line, place, changed) in list(enumerate(chosen, 1))[job :: args.jobs]:
                test = try_out(folder, name, changed)
                rows.append((number, f"cnn_zoo/{name}", place, line, test))
                print(f"{number:2} {name}, line {place}: {test or 'NOBODY'}", flush=True)
        return rows

    with ThreadPoolExecutor(args.jobs) as pool:
        rows = sorted(row for rows in pool.map(work, range(args.jobs)) for row in rows)
    print(f"{sum(bool(row[-1]) for row in rows)} of {len(rows)} changes were noticed, of {len(every):,} that there are")
    if args.out:
        with open(args.out, "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerows([("number", "file", "change", "line", "noticed by"), *rows])
    return 0


if __name__ == "__main__":
    sys.exit(main())
