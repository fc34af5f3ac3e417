"""What every reader returns: images with a target each; their room, their sizes, and how they are split."""

import itertools
import math
import mmap
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core.errors import DataError
from ..core.text import printable, shown
from .splits import folds, set_aside

LARGEST_DEFAULT = 224  # pixels: images that are all of one size keep it up to here
DEFAULT_SIDE = 64  # pixels: the size that images of many sizes are brought to when none is asked for
MISSING = ("", "nan", "n/a", "#n/a", "null", "<na>")  # texts of labels that are none
NOT_JUDGED = 255  # in a mask: a pixel of no class
MEMORY_LIMIT = 2 * 1024**3  # bytes
ALIGNMENT = 64  # bytes: where arrays begin that TensorFlow can read in place
TEST_FRACTION = 0.2  # of a set that comes without a test split


@dataclass
class Source:
    """All images of a data set and what is to be learned of each; load_data takes one as it is.

    Attributes:
        images: uint8 (n, height, width, channels); where some have more than 8 bits, float32 values.
        targets: one array beside the images. "labels": integers (n,); "multi_hot": uint8 (n, classes) of 0 and 1;
            "masks": uint8 (n, height, width) of class numbers, NOT_JUDGED where there is none; of others, (n, …).
        class_names: by number; [] where there are no classes.
        target: the kind of targets.
        splits: indices of the splits that the set comes with, of "train", "test", "validation" or "all".
        skipped: one line for each file that was left out.
        folder: the absolute path of a folder or file, "" for other sets.
        mirrored: whether an image is known to be of the same class when left and right are exchanged.
        notes: lines that whoever uses the set must be told.
        groups: a number an image, such as a patient's; no group is divided between splits.
        values: the least and the largest value of each image of more than 8 bits, (n, 2), NaN for the others.
        files: the path of each image below `folder`.
        headers: what each file says of itself, a pictures.Header, or an error.
    """

    name: str
    images: np.ndarray
    targets: np.ndarray
    class_names: list[str]
    target: str = "labels"
    splits: dict[str, np.ndarray] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    folder: str = ""
    mirrored: bool = False
    notes: list[str] = field(default_factory=list)
    groups: np.ndarray | None = None
    values: np.ndarray | None = None
    files: list[str] = field(default_factory=list)
    headers: list = field(default_factory=list)

    def __post_init__(self):
        images, targets = self.images, self.targets
        if not (isinstance(images, np.ndarray) and isinstance(targets, np.ndarray) and images.ndim == 4):
            raise DataError(f"images are an array (n, h, w, c), and targets one beside it; got {shown(images)}")
        if not isinstance(self.target, str) or not all(isinstance(name, str) for name in self.class_names):
            raise DataError(f"target and class_names are texts; got {shown(self.target)}, {shown(self.class_names)}")
        self.class_names = list(map(printable, self.class_names))  # as config.json, tables and figures will hold them
        if len(set(self.class_names)) < len(self.class_names):
            raise DataError(f"the names of classes must differ; got {shown(self.class_names)}")
        shapes = {"labels": images.shape[:1], "masks": images.shape[:-1]}
        shapes["multi_hot"] = (len(images), len(self.class_names))
        kind = np.uint8 if self.values is None else np.float32
        if images.dtype != kind or targets.shape != shapes.get(self.target, (len(images), *targets.shape[1:])):
            found = f"{self.name}: {self.target} {targets.dtype} {targets.shape}, images {images.dtype} {images.shape}"
            raise DataError(f"every image has one target; images are uint8, labels (n,), masks (n, h, w); got {found}")

    def split(
        self, validation: float, fold: tuple[int, int] | None = None, lone: bool = False
    ) -> dict[str, np.ndarray]:
        """Disjoint indices of train, validation and test; what the set does not come with is set aside here.

        Args:
            validation: fraction of the training images.
            fold: (i, k): the test set is the i-th, from 1, of k parts of what is for training; the set's own is unused.
            lone: let classes of one image have it in the test set, for a set that is not for training.
        """
        everything = np.arange(len(self.targets))
        train = self.splits.get("train", self.splits.get("all", everything[:0] if self.splits else everything))
        parts = {name: self.splits[name] for name in ("validation", "test") if name in self.splits}
        self._check_groups({"train": train, **parts})
        if fold is not None:
            train = np.concatenate([train, parts.pop("validation", train[:0])])
            test = folds(self._strata(train), fold[1], self.groups, self.name)[fold[0] - 1]
            train, parts = np.setdiff1d(train, test), {"test": test}
        for split, fraction in (("test", TEST_FRACTION), ("validation", validation)):
            if split not in parts:
                strata = self._strata(train)
                ones = [members for members in strata.values() if lone and len(members) == 1 and split == "test"]
                strata = {name: members for name, members in strata.items() if len(members) > 1 or not lone}
                rest, aside = (
                    set_aside(train, strata, fraction, self.groups, self.name) if strata else (train, train[:0])
                )
                parts[split] = np.sort(np.concatenate([aside, *ones]))
                train = np.setdiff1d(rest, parts[split])
        return {"train": train, "validation": parts["validation"], "test": parts["test"]}

    def _strata(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """The indices of each class, where an image has one; else all."""
        if self.target != "labels":
            return {"image": indices}
        labels = self.targets[indices]
        return {f"class {name!r}": indices[labels == label] for label, name in enumerate(self.class_names)}

    def _check_groups(self, parts: dict[str, np.ndarray]) -> None:
        """DataError if the splits that the set comes with divide a group."""
        if self.groups is None:
            return
        for first, second in itertools.combinations(parts, 2):
            both = np.intersect1d(self.groups[parts[first]], self.groups[parts[second]])
            if len(both):
                one, other = (parts[split][self.groups[parts[split]] == both[0]][0] for split in (first, second))
                names = f"{self.files[one]} and {self.files[other]}" if self.files else f"images {one} and {other}"
                raise DataError(f"{self.name}: {names} are of one group, but one is in {first} and one in {second}")

    def in_8_bits(
        self, train: np.ndarray, value_range: tuple[float, float] | None, judging: bool = False
    ) -> tuple[float, float] | None:
        """Bring values of more than 8 bits to 0 … 255 by one linear range; returns it, None for a set of 8-bit images.

        Args:
            train: indices of the training images, whose least and largest values the range is.
            value_range: in place of theirs.
            judging: whether they are for a net of 8-bit images, for which the range is that of the type, as in predict.
        """
        given = value_range
        if self.values is None:
            if given is not None:
                what = "these images have 8 bits, and the range of values is one of more"
                self.notes.append(f"{what}: 0 … 255 is taken as brought to it already")
            return given
        wide = ~np.isnan(self.values[:, 0])
        used = train[wide[train]] if wide[train].any() else np.flatnonzero(wide)
        of_training = float(self.values[used, 0].min()), float(self.values[used, 1].max())
        lowest, highest = float(np.nanmin(self.values[:, 0])), float(np.nanmax(self.values[:, 1]))
        if given is None:
            value_range = (0.0, 1.0 if highest <= 1 else 65535.0) if judging else of_training
        least, largest = value_range
        images = empty(len(self.images), self.images.shape[1:3], self.images.shape[3], MEMORY_LIMIT)
        for i, image in enumerate(self.images):
            images[i] = to_8_bits(image, value_range) if wide[i] else image
        count = "images" if wide.all() else f"{wide.sum():,} of {len(wide):,} images"
        told = f"{count} have more than 8 bits: their values are brought to 0 … 255 by one range"
        whose = ", that of the training images" if given is None and not judging and wide[train].any() else ""
        self.notes.append(f"{told}, {least:g} … {largest:g}{whose}")
        inside = min(highest, largest) - max(lowest, least)
        if inside < (highest - lowest or 1) / 2 or highest - least < (largest - least) / 16:
            self.notes.append(f"values from {lowest:g} to {highest:g} fit that range badly: much is black or white")
        self.images, self.values = images, None
        return value_range


def to_8_bits(values: np.ndarray, value_range: tuple[float, float]) -> np.ndarray:
    """Values as uint8: the least of the range is 0, the largest 255, what is beyond them likewise."""
    least, largest = value_range
    shares = (np.asarray(values, np.float32) - np.float32(least)) / np.float32(max(largest - least, 1e-30))
    return np.rint(np.clip(shares, 0, 1) * 255).astype(np.uint8)


def empty(count: int, size: tuple[int, int], channels: int, memory_limit: float, dtype: Any = np.uint8) -> np.ndarray:
    """Room for images that TensorFlow can read in place: in memory, or in a file if they are larger."""
    shape, dtype = (count, *size, channels), np.dtype(dtype)
    needed = math.prod(shape) * dtype.itemsize
    if needed > memory_limit:
        return np.frombuffer(_mapped_file(needed), dtype).reshape(shape)
    memory = np.empty(needed + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + needed].view(dtype).reshape(shape)


def _mapped_file(size: int) -> mmap.mmap:
    """A temporary file as memory; on POSIX systems it has no name, so nothing stays behind, not even after a kill."""
    folder = tempfile.gettempdir()
    free, needed = shutil.disk_usage(folder).free, f"the images need {size / 1e9:.1f} GB in {folder}"
    advice = "ask for smaller ones with image_size, or set TMPDIR to a folder with more room"
    if size > free:
        raise DataError(f"{needed}, which has {free / 1e9:.1f} GB free; {advice}")
    try:
        with tempfile.TemporaryFile() as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)  # else a disk that is filled meanwhile ends the process
            else:
                file.truncate(size)
            mapped = mmap.mmap(file.fileno(), size)
    except OSError as error:  # a quota, say
        raise DataError(f"{needed}: {error.strerror}; {advice}") from error
    if hasattr(mmap, "MADV_RANDOM"):
        mapped.madvise(mmap.MADV_RANDOM)  # else pages around each are read too: see benchmarks/README.md
    return mapped
