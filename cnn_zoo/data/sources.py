"""Where images come from: the embedded digits, tensorflow_datasets, folders and arrays.

Each reader fills a Source: uint8 images and integer labels, held in memory, or in a temporary file when they are
larger than a limit. Nothing here knows of batches or training.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

from ..core.errors import DataError, MissingError, UsageError, unknown
from . import arrays, digits, folder, tfds
from .digits import EMBEDDED
from .memory import MEMORY_LIMIT
from .source import Progress, Source
from .tfds import HANDED, TFDS


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
        return arrays.read(name, *wanted)
    check_data_name(name)
    if root := folder_meant(name):
        return folder.read(root, *wanted, skip_broken=skip_broken)
    if os.path.isdir(name):
        message = f"{name} is the data set of that name here; write ./{name} for the folder"
        progress(message) if progress else warnings.warn(message, stacklevel=3)
    return digits.read(*wanted) if name == EMBEDDED else tfds.read(name, *wanted)
