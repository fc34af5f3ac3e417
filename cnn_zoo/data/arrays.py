"""Arrays as data sets: pairs of images and labels, with test images or without, MedMNIST's archives, tf.data sets."""

import hashlib
import math
import os
import warnings
import zipfile
from typing import Any

import numpy as np

from ..core.errors import DataError, MissingError, UsageError, reason
from .images import as_numpy, as_uint8, image_stack
from .source import MISSING, Source, empty

MAX_ARCHIVE = 20_000_000_000  # bytes of one array
NAMES = ("train", "val", "test")  # as MedMNIST calls its splits
SPLITS = {"train": "train", "val": "validation", "test": "test"}


def read_arrays(target: str, *, name, class_names) -> Source:
    """(images, labels), or two such pairs, for training and for testing, as keras.datasets returns them."""
    two = len(name) == 2 and all(isinstance(part, tuple | list) and len(part) == 2 for part in name)
    if any(isinstance(part, str | os.PathLike) for part in name):
        raise UsageError("a data set is one folder or a table of files (a CSV file, a DataFrame); got a list of paths")
    if any(hasattr(part, "element_spec") for part in name):
        raise UsageError("pass one tf.data.Dataset; its test images are set aside here")
    if len(name) != 2:
        raise UsageError(
            f"arrays are (images, labels), or two such pairs for training and testing; got {len(name)} things"
        )
    return _source("arrays", {"train": name[0], "test": name[1]} if two else {"all": name}, target, class_names)


def read_npz(target: str, *, name, class_names) -> Source:
    """An archive as MedMNIST's: train_images, train_labels, val_images … test_labels, arrays without pickle."""
    title = os.fspath(name)
    if not os.path.isfile(name):
        raise MissingError(f"{title}: no such file")
    try:
        with zipfile.ZipFile(name) as archive:
            sizes = {item.filename.removesuffix(".npy"): item.file_size for item in archive.infolist()}
            if max(sizes.values(), default=0) > MAX_ARCHIVE:
                raise DataError(f"{title}: an array is larger than {MAX_ARCHIVE // 10**9} GB")
        with np.load(name, allow_pickle=False) as arrays:
            there = [split for split in NAMES if f"{split}_images" in sizes and f"{split}_labels" in sizes]
            pairs = {SPLITS[split]: (arrays[f"{split}_images"], arrays[f"{split}_labels"]) for split in there}
    except DataError:
        raise
    except Exception as error:  # of objects that only pickle reads, too; NumPy and zipfile raise many kinds on damage
        raise DataError(f"{title}: damaged, or no archive of plain arrays ({reason(error)})") from None
    if "train" not in pairs:
        raise DataError(f"{title}: needs train_images and train_labels, as MedMNIST has; it holds {', '.join(sizes)}")
    source = _source(title, pairs, target, class_names)
    source.folder = os.path.abspath(name)
    return source


def read_dataset(target: str, *, name, class_names) -> Source:
    """A finite tf.data.Dataset of (image, label), batched or not.

    Its order does not matter, for many shuffle anew each time: images are ordered by their hashes.
    """
    if int(name.cardinality()) == -1:
        raise DataError("the tf.data.Dataset never ends; give one without repeat()")
    images, labels, elements = [], [], iter(name)
    while True:
        try:
            element = next(elements, None)
        except Exception as error:  # of what its owner maps
            raise DataError(f"the tf.data.Dataset stops: {reason(error)}") from None
        if element is None:
            break
        if not isinstance(element, tuple | list) or len(element) < 2:
            raise DataError("a tf.data.Dataset to train on or to judge by has elements (image, label)")
        image, label = as_numpy(element[0]), as_numpy(element[1])
        grey = image.ndim == 3 and image.shape[2] not in (1, 3, 4)
        batched = label.ndim > 0 and len(label) == len(image) and (image.ndim == 4 or grey)
        images += list(image) if batched else [image]
        labels += list(label) if batched else [label[()]]
    if not images:
        raise DataError("the tf.data.Dataset holds no images")
    if len({image.shape for image in images}) > 1:
        raise DataError(
            "the tf.data.Dataset has images of several sizes; bring them to one with map and keras.ops.image"
        )
    class_names = class_names or getattr(name, "class_names", None)
    hashes = [
        hashlib.sha256(image.tobytes() + repr(label).encode()).digest()
        for image, label in zip(images, labels, strict=True)
    ]
    order = sorted(range(len(images)), key=hashes.__getitem__)
    images, labels = (np.array([things[i] for i in order]) for things in (images, labels))
    return _source("dataset", {"all": (images, labels)}, target, class_names)


def _source(title: str, pairs: dict[str, tuple], target: str, class_names: Any) -> Source:
    stacks, targets, splits, done = [], [], {}, 0
    for split, (images, labels) in pairs.items():
        images = as_numpy(images)
        if images.ndim == 3:
            images = images[..., None]
        images = image_stack(images) if images.ndim == 4 else images
        if images.ndim != 4 or images.shape[3] not in (1, 3, 4) or 0 in images.shape:
            raise DataError(f"images must be (n, height, width) or (n, height, width, 1, 3 or 4); got {images.shape}")
        stacks.append(images if images.dtype == np.uint16 else as_uint8(images))
        targets.append(_targets(labels, len(images), target))
        splits[split], done = done + np.arange(len(images)), done + len(images)
    shapes = {f"{stack.dtype} {stack.shape[1:]}" for stack in stacks}
    if len(shapes) > 1:
        raise DataError(f"the images of all splits must be of one shape and type; got {', '.join(sorted(shapes))}")
    labels, class_names = _numbered(targets, class_names)
    wide = stacks[0].dtype == np.uint16
    copy = empty(done, stacks[0].shape[1:3], stacks[0].shape[3], math.inf, np.float32 if wide else np.uint8)
    np.concatenate(stacks, out=copy)  # a copy: the caller may go on to change his own
    values = np.stack([copy.min((1, 2, 3)), copy.max((1, 2, 3))], 1).astype(float) if wide else None
    return Source(title, copy, labels, class_names, target, splits=splits, values=values)


def _numbered(targets: list[np.ndarray], class_names: Any) -> tuple[np.ndarray, list[str]]:
    """Labels of all splits as numbers, and the names of the classes."""
    if any(part.dtype.kind == "U" for part in targets):
        found = sorted({label for part in targets for label in part.tolist()})
        class_names = found if class_names is None else list(class_names)
        if strange := set(found) - set(class_names):
            raise DataError(f"the label {min(strange)!r} is not known: known are {', '.join(class_names)}")
        targets = [np.array([class_names.index(label) for label in part.tolist()]) for part in targets]
        if len(class_names) < 2:
            raise DataError(f"labels must be of at least two classes; all are {class_names[0]!r}")
    labels = np.concatenate(targets)
    count = labels.shape[1] if labels.ndim == 2 else _classes(labels, class_names)
    return labels, [str(label) for label in range(count)] if class_names is None else list(class_names)


def _targets(labels: Any, count: int, target: str) -> np.ndarray:
    """Labels as integers or texts (n,), or multi_hot, uint8 (n, classes)."""
    labels = as_numpy(labels)
    if target == "multi_hot":
        if labels.ndim != 2 or len(labels) != count or not np.isin(labels, (0, 1)).all() or labels.shape[1] < 2:
            raise DataError(f"multi_hot must be ({count}, classes) of 0 and 1; got {labels.dtype} {labels.shape}")
        return labels.astype(np.uint8)
    if labels.ndim == 2 and labels.shape[1] == 1:  # as keras.datasets has them
        labels = labels[:, 0]
    if labels.ndim == 2 and len(labels) == count and labels.dtype.kind in "buif":
        if not (np.isin(labels, (0, 1)).all() and (labels.sum(1) == 1).all()):
            raise DataError("labels of several columns must be one-hot, one 1 in each row; for others see multi_hot")
        labels = labels.argmax(1)
    if labels.shape != (count,):
        raise DataError(f"labels must be {count} integers; got {labels.dtype} of shape {labels.shape}")
    if labels.dtype.kind in "US" or (
        labels.dtype == object and all(isinstance(label, str | bytes) for label in labels)
    ):
        texts = [os.fsdecode(label) for label in labels.tolist()]
        if missing := [i for i, text in enumerate(texts) if text.strip().lower() in MISSING]:
            raise DataError(f"image {missing[0]} has no label, but {texts[missing[0]]!r}")
        return np.array(texts)
    if labels.dtype.kind == "f" and np.array_equal(labels, np.floor(labels)):
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "bui":
        raise DataError(f"labels must be {count} integers; got {labels.dtype} of shape {labels.shape}")
    return labels.astype(np.int64)


def _classes(labels: np.ndarray, class_names: Any) -> int:
    """The number of classes, of which not all need to be there."""
    count = len(labels)
    if not count:
        raise DataError("there are no images and labels")
    least, most = int(labels.min()), int(labels.max())
    if class_names is not None:
        if least < 0 or most >= len(class_names):
            raise DataError(
                f"labels must be 0 to {len(class_names) - 1}, for as many class names; got {least} to {most}"
            )
        return len(class_names)
    if least < 0 or most >= count or least == most:
        found = f"{least} to {most} for {count} images"
        raise DataError(f"labels must be 0, 1, 2 … of at least two classes; these are from {found}")
    if least:
        warnings.warn(f"no image has the label 0, which is a class all the same; the least is {least}", stacklevel=6)
    return most + 1
