"""What every reader returns: images with a target each; their room, their sizes, and how they are split."""

import math
import mmap
import os
import shutil
import tempfile
from dataclasses import dataclass, field

import numpy as np

from ..core.errors import DataError
from ..core.text import printable

LARGEST_DEFAULT = 224  # pixels: images that are all of one size keep it up to here
DEFAULT_SIDE = 64  # pixels: the size that images of many sizes are brought to when none is asked for
NOT_JUDGED = 255  # in a mask: a pixel of no class
MEMORY_LIMIT = 2 * 1024**3  # bytes
ALIGNMENT = 64  # bytes: where arrays begin that TensorFlow can read in place
TEST_FRACTION = 0.2  # of a set that comes without a test split
_SPLIT_SEED = 0  # splits do not depend on the user's seed: every seed is judged on the same test images


@dataclass
class Source:
    """All images of a data set and what is to be learned of each; load_data takes one as it is.

    Attributes:
        images: uint8 (n, height, width, channels).
        targets: one array beside the images. "labels": integers (n,); "masks": uint8 (n, height, width) of class
            numbers, NOT_JUDGED where there is none; of any other kind, (n, …).
        class_names: by number; [] where there are no classes.
        target: the kind of targets.
        splits: indices of the splits that the set comes with, of "train", "test", "validation" or "all".
        skipped: one line for each file that was left out.
        folder: the absolute path of a folder, "" for other sets.
        mirrored: whether an image is known to be of the same class when left and right are exchanged.
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

    def __post_init__(self):
        self.class_names = list(map(printable, self.class_names))  # as config.json, tables and figures will hold them
        images, targets = self.images, self.targets
        shapes = {"labels": images.shape[:1], "masks": images.shape[:-1]}
        if images.dtype != np.uint8 or targets.shape != shapes.get(self.target, (len(images), *targets.shape[1:])):
            found = f"{self.name}: {self.target} {targets.dtype} {targets.shape}, images {images.dtype} {images.shape}"
            raise DataError(f"every image has one target; images are uint8, labels (n,), masks (n, h, w); got {found}")

    def split(self, validation: float) -> dict[str, np.ndarray]:
        """Disjoint indices of train, validation and test; what the set does not come with is set aside here."""
        train = self.splits.get("train", self.splits.get("all", np.arange(len(self.targets))))
        parts = dict(self.splits)
        for split, fraction in (("test", TEST_FRACTION), ("validation", validation)):
            if split not in parts:
                train, parts[split] = self._set_aside(train, fraction)
        return {"train": train, "validation": parts["validation"], "test": parts["test"]}

    def _set_aside(self, indices: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray]:
        """Split indices in two, labels class by class: (the rest, about `fraction` of each but at least one)."""
        if not fraction:
            return indices, indices[:0]
        rng, aside, groups = np.random.default_rng(_SPLIT_SEED), [], {"image": indices}
        if self.target == "labels":
            labels = self.targets[indices]
            groups = {f"class {name!r}": indices[labels == label] for label, name in enumerate(self.class_names)}
        for group, members in groups.items():
            if len(members) == 1:
                raise DataError(f"{self.name}: {group} has one image left, and so none to set aside; add some")
            part = min(max(1, round(fraction * len(members))), len(members) - 1)  # some stay
            aside.append(rng.permutation(members)[:part] if len(members) else members)
        chosen = np.sort(np.concatenate(aside))
        return np.setdiff1d(indices, chosen), chosen


def empty(count: int, size: tuple[int, int], channels: int, memory_limit: float) -> np.ndarray:
    """Room for images, uint8, that TensorFlow can read in place: in memory, or in a file if they are larger."""
    shape = (count, *size, channels)
    needed = math.prod(shape)
    if needed > memory_limit:
        return np.frombuffer(_mapped_file(needed), np.uint8).reshape(shape)
    memory = np.empty(needed + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + needed].reshape(shape)


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
