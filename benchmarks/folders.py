"""What becomes of awkward folders of images: here, and with keras.utils.image_dataset_from_directory?

    python benchmarks/folders.py [--quick]

Each folder is made in a temporary one, as people and programs leave them. Writes results/folders.csv, a row a folder:
what there is in it, and what each of the two makes of it: images of each class, or the error, and where pixels are the
question, those. Keras is asked as its guide does it, with the folder and nothing else but how images are resized.
"""

import argparse
import contextlib
import io
import re
import shutil
import tempfile
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

# before Keras, so that TensorFlow starts as it does for users of the zoo
from cnn_zoo import load_data
from cnn_zoo.core.errors import ZooError, reason
from cnn_zoo.core.text import printable

# isort: split
import keras
from common import write_rows

RESULTS = Path(__file__).parents[1] / "results" / "folders.csv"
SIDE = 32
CASES: dict[str, tuple[Callable, Callable | None]] = {}


def case(text: str, look: Callable | None = None):
    """A function that fills a folder; `look` says something of the images (uint8) that came out of it."""

    def known(make):
        CASES[text] = make, look
        return make

    return known


def photo(number: int, label: int = 0) -> np.ndarray:
    """A picture that is lighter above than below, of a class that is redder or bluer, unlike every other."""
    noise = np.random.default_rng(number).normal(0, 20, (SIDE, SIDE, 3))
    noise[: SIDE // 2] += 60
    noise[..., 2 * label] += 40
    return np.clip(noise + 90, 0, 255).astype(np.uint8)


def fill(root: Path, *parts: str, count: int = 6) -> None:
    """A folder for each class, cat and dog if no others are named, of `count` photos."""
    for label, part in enumerate(parts or ("cat", "dog")):
        (root / part).mkdir(parents=True)
        for number in range(count):
            first = zlib.crc32(str(root / part).rpartition("photos")[2].encode())  # no photo is there twice
            Image.fromarray(photo(first + number, label % 2)).save(root / part / f"{number}.jpg")


@case("`training_set/` and `test_set/`, each with `cat/` and `dog/`")
def split_names(root):
    fill(root / "training_set")
    fill(root / "test_set", count=3)


@case("`fold0/` and `fold1/`, each with `cat/` and `dog/`")
def folds(root):
    fill(root / "fold0")
    fill(root / "fold1")


@case("`dataset/dataset/` with `cat/` and `dog/`, as archives unpack, the outer one named")
def one_too_high(root):
    fill(root / "dataset")


@case("`cat/.ipynb_checkpoints/` with 2 copies of images")
def checkpoints(root):
    fill(root)
    (root / "cat/.ipynb_checkpoints").mkdir()
    for number in range(2):
        shutil.copy(root / f"cat/{number}.jpg", root / f"cat/.ipynb_checkpoints/{number}-checkpoint.jpg")


@case("`cat/@eaDir/` with 6 thumbnails of a network disk")
def thumbnails(root):
    fill(root)
    for number in range(6):
        folder = root / f"cat/@eaDir/{number}.jpg"
        folder.mkdir(parents=True)
        Image.open(root / f"cat/{number}.jpg").resize((12, 12)).save(folder / "SYNOPHOTO_THUMB_M.jpg")


@case("`dog` is a link to a folder; in `cat/`, a link to a file that is gone")
def links(root):
    fill(root, "cat", "../elsewhere")
    (root / "dog").symlink_to(root.parent / "elsewhere")
    (root / "cat/gone.jpg").symlink_to(root / "nowhere.jpg")


def upright(images) -> str:
    share = np.mean([image[: SIDE // 2].mean() > image[SIDE // 2 :].mean() + 20 for image in images])
    return f"{share:.0%} upright"


@case("photos of a telephone on its side (EXIF orientation 6)", upright)
def on_the_side(root):
    for label, name in enumerate(("cat", "dog")):
        (root / name).mkdir()
        for number in range(6):
            turned = Image.fromarray(np.rot90(photo(number + 10 * label, label)))
            exif = Image.Exif()
            exif[0x0112] = 6
            turned.save(root / name / f"{number}.jpg", exif=exif, quality=95)


def values(images) -> str:
    least, most = int(images.min()), int(images.max())
    return f"{len(np.unique(images))} values, {least} to {most} of 255"


@case("16-bit PNGs with 12-bit values, 250 to 420", values)
def twelve_bits(root):
    rng = np.random.default_rng(0)
    for label, name in enumerate(("cat", "dog")):
        (root / name).mkdir()
        for number in range(6):
            pixels = np.clip(rng.normal(300 + 70 * label, 12, (SIDE, SIDE)), 250, 420).astype(np.uint16)
            Image.fromarray(pixels).save(root / name / f"{number}.png")


@case("a JPEG that ends in the middle")
def cut(root):
    fill(root)
    path = root / "cat/0.jpg"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@case("a text file and a spreadsheet beside the photos of `cat/`")
def notes(root):
    fill(root)
    (root / "cat/notes.txt").write_text("taken on Monday")
    (root / "cat/list.xlsx").write_bytes(b"PK\x03\x04" + bytes(100))


@case("HEIC photos of a telephone in `cat/`, 2 beside 6 JPEGs")
def heic(root):
    fill(root)
    for number in range(2):
        (root / f"cat/IMG_{number}.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))


@case("TIFF photos in `cat/`, 2 beside 6 JPEGs")
def tiff(root):
    fill(root)
    for number in range(2):
        Image.fromarray(photo(number)).save(root / f"cat/scan{number}.tif")


@case("`covid/` and `normal/`, each with `images/` and `masks/`")
def masks(root):
    for name in ("covid", "normal"):
        fill(root / name, "images", "masks")


@case("one photo in `train/cat/` and in `test/cat/`")
def same_photo(root):
    fill(root / "train")
    fill(root / "test", count=3)
    shutil.copy(root / "train/cat/0.jpg", root / "test/cat/again.jpg")


@case("classes 健康 and 病害")
def chinese(root):
    fill(root, "健康", "病害")


@case("a class whose name has a line break and a colour code of terminals")
def control(root):
    fill(root, "cat", "\x1b[31mdog\nhouse")


@case("a class with one image")
def one_image(root):
    fill(root, "cat")
    fill(root, "dog", count=1)


def counts(class_names: list[str], labels) -> str:
    found = Counter(int(label) for label in labels)
    return ", ".join(f"{printable(name)} {found[label]}" for label, name in enumerate(class_names))


def here(root: Path, look: Callable | None) -> str:
    """What cnn_zoo makes of it."""
    data = load_data(root)
    labels = np.concatenate([data.targets(split) for split in data.splits])
    parts = [counts(data.class_names, labels)]
    if (root / "train").exists() or (root / "training_set").exists():
        parts.append(", ".join(f"{len(indices)} {split}" for split, indices in data.splits.items()))
    if look:
        parts.append(look(np.concatenate([data.images(split) for split in data.splits])))
    return "; ".join([*parts, *data.notes, *data.skipped])


def there(root: Path, look: Callable | None) -> str:
    """What Keras makes of it."""
    with contextlib.redirect_stdout(io.StringIO()):
        data = keras.utils.image_dataset_from_directory(root, image_size=(SIDE, SIDE))
    batches = [(images.numpy(), labels.numpy()) for images, labels in data]
    text = counts(data.class_names, np.concatenate([labels for _, labels in batches]))
    text += (
        ""
        if all(name.isprintable() for name in data.class_names)
        else "; the name as it is, control characters and all"
    )
    return f"{text}; {look(np.concatenate([images for images, _ in batches]).astype(np.uint8))}" if look else text


def asked(read: Callable, root: Path, look: Callable | None) -> str:
    """What it says, without the path of the temporary folder."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            text = read(root, look)
        text = "; ".join([text, *(f"warning: {warning.message}" for warning in caught)])
    except ZooError as error:
        text = f"stops: {error}"
    except Exception as error:
        said = re.sub(r"\{\{function.*?\}\} |\[\[.*|\[Op:.*", "", str(error))  # nodes of a graph
        text = f"stops, {type(error).__name__}: {reason(Exception(said))}"
    return text.replace(f"{root}/", "").replace(str(root), "folder")


def looked_at(text: str, *reads: Callable) -> list[str]:
    """What each way makes of a folder, which is made for it."""
    make, look = CASES[text]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "photos"
        root.mkdir()
        make(root)
        return [asked(read, root, look) for read in reads]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="write nothing")
    quick = parser.parse_args().quick
    rows = []
    for text in CASES:
        rows.append(dict(zip(("folder", "cnn_zoo", "keras"), (text, *looked_at(text, here, there)), strict=True)))
        print("\n".join(f"{key:8} {value}" for key, value in rows[-1].items()), end="\n\n", flush=True)
    if not quick:
        write_rows(RESULTS, rows)


if __name__ == "__main__":
    main()
