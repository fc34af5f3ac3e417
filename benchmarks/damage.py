"""Is every damaged file noticed, and does no image file, however broken, crash a prediction?

    python benchmarks/damage.py [--files 2000] [--quick]

Bits are flipped, bytes changed, cut out, put in, repeated or zeroed, and ends cut off: first in the files of a finished
and of an unfinished run (weights, checkpoint, configuration, history, metrics), which must all be refused with a
RunError; then in images of five formats, beside files of random bytes, which must be read or refused with a DataError.
Writes results/…/damage.json. Ends with status 1 when a change goes unnoticed.
"""

import argparse
import io
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from common import write
from PIL import Image

from cnn_zoo import load_run, predict, train
from cnn_zoo.build import build_model
from cnn_zoo.checkpoints import CHECKPOINT, State
from cnn_zoo.core.errors import DataError, RunError
from cnn_zoo.tasks import CLASSIFICATION

RUN_FILES = ("config.json", "history.csv", "metrics.json", "model.safetensors", CHECKPOINT)
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Other bytes, made of these by one accident."""
    while True:
        at, length = rng.randrange(len(content)), rng.choice((1, 1, 4, 64, 512))
        before, hit, after = content[:at], content[at : at + length], content[at + length :]
        new = rng.choice(
            (
                before + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :],  # a bit
                before + rng.randbytes(len(hit)) + after,
                before + after,  # cut out
                before + rng.randbytes(length) + hit + after,  # put in
                before + hit + hit + after,
                before + bytes(len(hit)) + after,
                before,  # cut off
                content + rng.randbytes(length),
            )
        )
        if new != content:
            return new


def run_folder(top: Path):
    """A finished run, and the checkpoint of an unfinished one beside it; returns the Run and the State."""
    options = {"filters": [2, 4], "units": [8]}
    arguments = {"model": "conv_stack", "epochs": 1, "verbose": 0, "model_options": options}
    run = train(data="mnist5k", out=top / "run", precision="float32", **arguments)
    model = build_model("conv_stack", compile=False, **options)
    CLASSIFICATION.compile(model)
    state = State(model, run.path, 0)
    state.history = run.history
    state.save()
    return run, state


def run_files(count: int, rng: random.Random, run, state: State, top: Path) -> dict:
    """How many changed files of a run were noticed, by file."""
    tried, noticed, unnoticed = Counter(), Counter(), []
    copy = top / "copy"
    shutil.copytree(run.path, copy)
    state.folder = copy
    for number in range(count):
        name = RUN_FILES[number % len(RUN_FILES)]
        (copy / name).write_bytes(content := damaged((run.path / name).read_bytes(), rng))
        tried[name] += 1
        try:
            state.restore(lambda _: None) if name == CHECKPOINT else load_run(copy)
            unnoticed.append((name, len(content)))
        except RunError:
            noticed[name] += 1
        shutil.copyfile(run.path / name, copy / name)
        if number % 200 == 199:
            print(f"{number + 1} files, unnoticed: {unnoticed}", flush=True)
    load_run(copy)  # what was put back is whole
    return {"tried": dict(tried), "noticed": dict(noticed)}


def image_files(count: int, rng: random.Random, run, top: Path) -> dict:
    """What became of image files, by how they were made; anything but an answer or a DataError passes through."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    whole = {}
    for kind in FORMATS:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, kind)
        whole[kind] = buffer.getvalue()
    found, slowest = Counter(), 0.0
    for number in range(count):
        kind = (*FORMATS, "random bytes")[number % (len(FORMATS) + 1)]
        content = damaged(whole[kind], rng) if kind in whole else rng.randbytes(rng.randrange(4000))
        path = top / f"image.{kind[:4].lower().strip()}"
        path.write_bytes(content)
        begun = time.perf_counter()
        try:
            predict(run, [path])
            found[f"{kind}: read"] += 1
        except DataError:
            found[f"{kind}: refused"] += 1
        slowest = max(slowest, time.perf_counter() - begun)
    return {"tried": count, **dict(sorted(found.items())), "slowest_seconds": round(slowest, 3)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000, help="of each kind (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="40 of each; nothing is kept")
    args = parser.parse_args()
    count, rng = 40 if args.quick else args.files, random.Random(0)
    with tempfile.TemporaryDirectory() as top:
        run, state = run_folder(Path(top))
        files = run_files(count, rng, run, state, Path(top))
        images = image_files(count, rng, run, Path(top))
    write("damage", {"run files": files, "images": images}, args.quick)
    return 0 if files["tried"] == files["noticed"] else 1


if __name__ == "__main__":
    sys.exit(main())
