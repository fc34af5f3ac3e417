"""What every reader returns, and the sizes that images get when nobody asks for one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

LARGEST_DEFAULT = 224  # pixels: images that are all of one size keep it up to here
DEFAULT_SIDE = 64  # pixels: the size that images of many sizes are brought to when none is asked for

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
