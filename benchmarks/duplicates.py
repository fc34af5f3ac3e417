"""Which near-duplicates are found, and how often are different images called alike?

    TFDS_DATA_DIR=… python benchmarks/duplicates.py [--quick]

Photos of CIFAR-10 are enlarged to twice their sides, compressed, brought back and made darker or brighter: each should
be found beside its original. And whole data sets are searched, in which pairs are few. Writes results/duplicates.csv.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from common import write_rows
from PIL import Image

from cnn_zoo import load_data
from cnn_zoo.data.duplicates import near_duplicates

CHANGES = ((90, 0.95, 10), (60, 0.85, 10), (30, 1.0, 10))  # JPEG quality; factor and summand of the brightness
SETS = ("mnist5k", "mnist", "fashion_mnist", "cifar10")
RESULTS = Path(__file__).parents[1] / "results" / "duplicates.csv"


def changed(photo: np.ndarray, quality: int, factor: float, summand: float) -> np.ndarray:
    """The photo as it comes back from another program."""
    file, (height, width) = io.BytesIO(), photo.shape[:2]
    Image.fromarray(photo).resize((2 * width, 2 * height), Image.Resampling.BICUBIC).save(file, "JPEG", quality=quality)
    back = Image.open(file).resize((width, height), Image.Resampling.BILINEAR)
    return np.clip(np.asarray(back, np.float64) * factor + summand, 0, 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the embedded digits alone; nothing is kept")
    quick, rows = parser.parse_args().quick, []
    for name in SETS[:1] if quick else SETS:
        images = load_data(name).images("all")
        rows.append({"what": f"pairs in {name}", "images": len(images), "found": len(near_duplicates(images))})
        print(rows[-1], flush=True)
    if quick:
        return
    for change in CHANGES:
        photos = images[:2000]  # of CIFAR-10
        pairs = near_duplicates(np.concatenate([photos, [changed(photo, *change) for photo in photos]]))
        found = sum(j - i == len(photos) for i, j in pairs)
        what = "CIFAR-10 photos, JPEG quality {}, times {}, plus {}".format(*change)
        rows.append({"what": what, "images": len(photos), "found": found})
        print(rows[-1], flush=True)
    write_rows(RESULTS, rows)


if __name__ == "__main__":
    main()
