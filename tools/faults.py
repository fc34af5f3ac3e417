"""Break the code on purpose, one place at a time, and see whether a test notices.

    python tools/faults.py [NUMBER …] [--out results/faults.csv]

Each fault is made in a copy of the working tree, where the tests that should notice it run until one fails. They run
once before, in the whole copy: a test that fails without a fault would notice any. A fault that nobody notices, or that
cannot be made because the code has changed, is an error: exit status 1.
"""

import argparse
import csv
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FAULTS = [  # file in cnn_zoo/, what stands there, what would be wrong, where it should be noticed
    ("layers.py", "variance *= (count - 1) / count", "variance *= 1.0", "test_layers.py"),
    ("blocks.py", 'return _zeros(padding, name), "valid"', 'return [], "same"', "test_layers.py"),
    ("blocks.py", "MOMENTUM = 0.9 ", "MOMENTUM = 0.99 ", "test_packaging.py"),
    ("models/googlenet.py", 'pool("max", 3, strides=1', 'pool("average", 3, strides=1', "test_packaging.py"),
    ("models/resnet.py", "layers.Add(", "layers.Average(", "test_packaging.py"),
    ("registry.py", "if min(input_shape[:2]) < SMALL_BELOW", "if max(input_shape[:2]) < SMALL_BELOW", "test_models.py"),
    ("cards.py", "return math.prod(shape[1:] if first else shape[:-1])", "return math.prod(shape)", "test_cards.py"),
    ("augment.py", "side), tf.int32) - length // 2", "side), tf.int32) - length // 2 + 1", "test_augment.py"),
    ("datasets.py", "epoch]), step)", "epoch]), 0 * step)", "test_data.py"),
    ("datasets.py", "chosen = np.sort(np.concatenate(aside))\n    return np.setdiff1d(indices, chosen), chosen",
     "chosen = np.sort(np.concatenate(aside))\n    return indices, chosen", "test_data.py"),
    ("images.py", "range(0, len(paths), 1024)", "range(0, len(paths), 1025)", "test_images.py"),
    ("recipes.py", 'optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])', "pass",
     "test_recipes.py"),
    ("recipes.py", "nesterov=True", "nesterov=False", "test_recipes.py"),
    ("training.py", 'config["epochs"] * steps, model.compute_dtype', "steps, model.compute_dtype",
     "test_training.py"),
    ("training.py", "state.best = state.weights()", "state.best = state.best or state.weights()", "test_training.py"),
    ("checkpoints.py", "self.history, self.seconds, self.best = history, seconds, best",
     "self.history, self.seconds = history, seconds", "test_training.py"),
    ("files.py", "            os.fsync(file.fileno())", "            pass", "test_runs.py"),
    ("inference.py", "np.add.at(confusion, (labels, predicted), 1)", "np.add.at(confusion, (predicted, labels), 1)",
     "test_runs.py"),
    ("weights.py", "if values and not np.isfinite(child[()]).all():", "if False:", "test_pretrained.py"),
    ("pretrained.py", 'if checksum(path) != record["sha256"]:', "if False:", "test_pretrained.py"),
    ("teaching.py", "if at_least is not None and not value >= at_least:",
     "if at_least is not None and value < at_least:", "test_teaching.py"),
    ("cli.py", '"recipe", "out", "resume", "seed", "precision"', '"recipe", "out", "resume", "precision"',
     "test_cli.py"),
    ("plots.py", "worst = wrong[np.argsort(-probabilities", "worst = wrong[np.argsort(probabilities", "test_plots.py"),
    ("registry.py", "metrics=[accuracy]", 'metrics=["accuracy"]', "test_training.py"),
    ("optimization.py", " or any(word in variable.path for word in self.exclude_layers)", "", "test_optimization.py"),
    ("augment.py", "width - 1 - margin : width - 1]", "width - margin : width]", "test_augment.py"),
    ("transfer.py", 'HEADS = ("predictions", "predictions_conv")', 'HEADS = ("predictions",)', "test_pretrained.py"),
    ("models/alexnet.py", "if x.shape[-1] % groups or filters % groups:", "if False:", "test_models.py"),
    ("layers.py", "[0, gap], [0, 0]])", "[0, gap], [0, 0]], constant_values=1)", "test_layers.py"),
    ("layers.py", "inputs if size % at_once == 0 else tf.cast(inputs, tf.float32)", "inputs", "test_layers.py"),
    ("sources.py", "if needed > memory_limit:", "if False:", "test_data.py"),
]  # fmt: skip


def first_failure(folder: Path, tests: list[str], which: str = "slow or not slow") -> str:
    """Run some files of tests in a copy of the project; returns the first test that fails, or ""."""
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-x", "-p", "no:cacheprovider"]
    # not the test that every fault can be made, which notices each one that was
    command += ["-m", which, "-k", "not faults"]
    try:
        done = subprocess.run(
            [*command, *(f"tests/{name}" for name in tests)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder)},  # before what is installed
            capture_output=True,
            text=True,
            check=False,
            timeout=1200,
        )
    except subprocess.TimeoutExpired:
        return "no end in twenty minutes"
    if failed := re.search(r"^(?:FAILED|ERROR) (?:tests/)?(\S+)", done.stdout, re.MULTILINE):
        return failed[1]
    return f"pytest ends with {done.returncode}" if done.returncode else ""


def notice(folder: Path, fault: tuple[str, str, str, str]) -> str:
    """Make a fault in a copy of the project, and unmake it; returns the first test that fails, or ""."""
    name, right, wrong, tests = fault
    path = folder / "cnn_zoo" / name
    text = path.read_text("utf-8")
    if right not in text:
        raise SystemExit(f"{name} has no {right!r} any more: tools/faults.py is out of date")
    path.write_text(text.replace(right, wrong), "utf-8")
    try:
        return first_failure(folder, [tests])
    finally:
        path.write_text(text, "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("numbers", nargs="*", type=int, help="which faults, from 1; default: all")
    parser.add_argument("--out", help="write a table to this file")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "copy"
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".git", ".venv*", "runs", "__pycache__"))
        numbers = args.numbers or range(1, len(FAULTS) + 1)
        if test := first_failure(folder, sorted({FAULTS[number - 1][3] for number in numbers})):
            raise SystemExit(f"{test} fails without a fault")
        for number in numbers:
            (name, right, wrong, _), begun = FAULTS[number - 1], time.perf_counter()
            test = notice(folder, FAULTS[number - 1])
            rows.append((number, f"cnn_zoo/{name}", right, wrong, test))
            told, seconds = " ".join(wrong.split())[:60], time.perf_counter() - begun
            print(f"{number:2} {name}: {told!r}: {test or 'NOBODY'} ({seconds:.0f} s)", flush=True)
    if args.out:
        with open(args.out, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([("number", "file", "right", "wrong", "noticed by"), *rows])
    return int(any(not row[-1] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
