"""Does a training that is killed end as if it had not been?

    python benchmarks/survival.py [--kills 20] [--quick]

A training with augmentation, dropout, batch normalisation, a falling learning rate and early stopping runs once
undisturbed. Then others with the same seed are killed (SIGKILL) and resumed until they end: at random moments, while a
checkpoint is written, while the test images are judged and while the report is drawn. All that they leave must be equal
to the bit. Writes results/…/survival.json. Ends with status 1 when something differs.
"""

import argparse
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from common import write
from safetensors.numpy import load_file

from cnn_zoo.checkpoints import CHECKPOINT, PREVIOUS

TRAINING = {
    "model": "conv_stack",
    "data": "mnist5k",
    "seed": 7,
    "deterministic": True,
    "resume": True,
    "verbose": 0,
    "model_options": {"filters": [8, 16], "units": [32], "dropout": 0.3, "batch_norm": True},
}
CHANGES = {"optimizer": "adamw", "schedule": "linear", "warmup": 0.2, "early_stopping": 3, "batch_size": 64}
AUGMENT = {"translate": 0.1, "rotate": 10.0, "zoom": 0.1}
MOMENTS = ("random", "checkpoint", "random", "judging", "random", "report")  # in turn


def child(folder: str, epochs: int) -> None:
    """Train, or go on training, in this process."""
    from cnn_zoo import Recipe, train

    train(out=folder, recipe=Recipe(epochs=epochs, weight_decay=0.01, augment=AUGMENT, **CHANGES), **TRAINING)


def start(folder: Path, epochs: int) -> subprocess.Popen:
    """A process of its own that trains."""
    return subprocess.Popen([sys.executable, __file__, "--child", str(folder), "--epochs", str(epochs)])


def come(moment: str, folder: Path) -> bool:
    """Whether a moment has come, seen from outside."""
    if moment == "checkpoint":  # a later one than the first, half-written
        return (folder / PREVIOUS).exists() and any(folder.glob(f".*.{CHECKPOINT}"))
    if moment == "judging":
        return (folder / "metrics.json").exists()
    return (folder / "curves.png").exists()


def killed(process: subprocess.Popen, moment: str, folder: Path, within: tuple[float, float], rng) -> bool:
    """Kill the process at a moment; False if it ended before."""
    deadline = time.monotonic() + rng.uniform(*within)
    while process.poll() is None:
        if time.monotonic() > deadline if moment == "random" else come(moment, folder):
            process.send_signal(signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.0005)
    return False


def left(folder: Path) -> dict:
    """What a finished training left that must be equal: everything but the clock."""
    metrics = json.loads((folder / "metrics.json").read_text())
    with open(folder / "history.csv", newline="") as file:
        history = [{name: text for name, text in row.items() if name != "seconds"} for row in csv.DictReader(file)]
    arrays = {name: array.tobytes() for name, array in load_file(folder / "model.safetensors").items()}
    clock = ("fit_seconds", "images_per_second", "history_sha256", "weights_sha256", "sha256")
    kept = {name: value for name, value in metrics.items() if name not in clock}
    names = sorted(path.name for path in folder.iterdir())
    return {"metrics": kept, "history": history, "weights": arrays, "files": names}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="two kills in one short training; nothing is kept")
    parser.add_argument("--epochs", type=int, default=8, help=argparse.SUPPRESS)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.epochs)
        return 0
    kills, epochs = (2, 3) if args.quick else (args.kills, args.epochs)
    rng = random.Random(0)
    done, runs, different, wasted = Counter(), 0, 0, 0
    with tempfile.TemporaryDirectory() as top:
        begun = time.monotonic()
        if start(Path(top) / "whole", epochs).wait():
            sys.exit("the undisturbed training failed")
        took, whole = time.monotonic() - begun, left(Path(top) / "whole")
        while sum(done.values()) < kills:
            runs += 1
            folder = Path(top) / f"run{runs}"
            for _ in range(4):  # several kills in one training
                moment = MOMENTS[(sum(done.values()) + wasted) % len(MOMENTS)]
                process = start(folder, epochs)
                if not killed(process, moment, folder, (1.0, took), rng):
                    wasted += 1
                    break
                done[moment] += 1
                print(f"killed: {moment}, {sorted(os.listdir(folder)) if folder.exists() else '-'}", flush=True)
                if sum(done.values()) == kills:
                    break
            if start(folder, epochs).wait():
                sys.exit("a resumed training failed")
            same = {key: left(folder)[key] == value for key, value in whole.items()}
            different += not all(same.values())
            print(f"training {runs}: {'equal' if all(same.values()) else same}", flush=True)
    results = {"kills": dict(done), "trainings": runs, "equal": runs - different, "epochs": epochs}
    write("survival", results | {"fingerprint": whole["metrics"]["fingerprint"]}, args.quick)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
