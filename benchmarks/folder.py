"""How much memory and time does a folder of many images take, held in memory and read from a file?

    python benchmarks/folder.py [--images 50000] [--side 96] [--quick]

Generates PNG and JPEG images in a temporary folder; a process for each way loads them and goes through two epochs.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image


def generate(folder: Path, count: int, side: int) -> None:
    """Images of ten classes: noise around a colour, coarse enough to compress like a photo."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (64, 12, 12, 3), dtype=np.uint8)

    def one(i):
        target = folder / f"class{i % 10}"
        image = Image.fromarray(coarse[i % 64]).resize((side, side), Image.Resampling.BILINEAR)
        image.save(target / f"{i}.{'png' if i % 2 else 'jpg'}")

    for label in range(10):
        (folder / f"class{label}").mkdir(parents=True)
    with ThreadPoolExecutor() as pool:
        list(pool.map(one, range(count)))


class Peak(threading.Thread):
    """Watches this process' memory, in MB, but for pages of files, which the system drops when it needs room."""

    def __init__(self):
        super().__init__(daemon=True)
        self.most = self.now()
        self.start()

    @staticmethod
    def now() -> float:
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+)", status)[1]) / 1024

    def run(self) -> None:
        while True:
            self.most = max(self.most, self.now())
            time.sleep(0.02)


def measure(folder: str, limit: int) -> dict:
    """Load and go through two epochs; run in a process of its own."""
    from cnn_zoo import load_data

    memory, begun = Peak(), time.perf_counter()
    before = memory.most
    data = load_data(folder, memory_limit=limit)
    load_seconds, images, epochs = time.perf_counter() - begun, len(data.splits["train"]), []
    batches = data.batches("train", batch_size=128)
    for _ in range(2):
        begun = time.perf_counter()
        for _ in batches:
            pass
        epochs.append(round(images / (time.perf_counter() - begun)))
    total = sum(len(indices) for indices in data.splits.values())
    return {
        "images": total,
        "pixels": data.input_shape,
        "image_megabytes": round(total * np.prod(data.input_shape) / 1e6),
        "memory_above_start_megabytes": round(memory.most - before),
        "images_per_second_loading": round(total / load_seconds),
        "images_per_second_epochs": epochs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--quick", action="store_true", help="500 images, to see that it works")
    parser.add_argument("--measure", nargs=2, metavar=("FOLDER", "LIMIT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.measure[0], int(args.measure[1]))))
        return
    from common import write

    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder), 500 if args.quick else args.images, args.side)
        results = {}
        for way, limit in (("in memory", 1 << 40), ("from a file", 1)):
            command = [sys.executable, __file__, "--measure", folder, str(limit)]
            results[way] = json.loads(subprocess.check_output(command, text=True))
    write("folder", results, args.quick)


if __name__ == "__main__":
    main()
