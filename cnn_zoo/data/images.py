"""Reading image files safely, with Pillow: sizes are checked before anything is decoded.

One decoder serves training, checking and prediction, so a file means the same pixels everywhere.
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from ..core.errors import DataError, MissingError, reason
from ..core.machine import cores

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
MAX_PIXELS = 50_000_000  # 150 MB in colour; a decompression bomb claims more in a few kilobytes
MAX_BYTES = 200_000_000
_HEADER_LOCK = threading.Lock()  # warnings.catch_warnings changes the whole process; headers are read one at a time


@contextlib.contextmanager
def open_image(path: str | Path, decode: bool = True) -> Iterator[Image.Image]:
    """Open an image file and decode it within the limits above, upright as its camera says.

    With decode=False only its header is read, and the image may lie on its side.

    Raises:
        MissingError: there is no such file.
        DataError: it is empty, truncated, too large, or not an image of a known format.
    """
    try:
        if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
            raise DataError(f"{path}: not a file")
        if os.path.getsize(path) > MAX_BYTES:
            raise DataError(f"{path}: the file is larger than {MAX_BYTES // 10**6} MB")
        with _HEADER_LOCK, warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(path, formats=FORMATS)
    except FileNotFoundError:
        raise MissingError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise DataError(f"{path}: a folder, not an image") from None
    except UnidentifiedImageError:
        raise DataError(f"{path}: not an image ({', '.join(FORMATS)})") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{path}: claims more than {MAX_PIXELS // 10**6} million pixels") from None
    except DataError:
        raise
    except Exception as error:  # Pillow's plugins raise many kinds on damaged headers
        raise DataError(f"{path}: cannot be read as an image ({reason(error)})") from None
    with image:
        if image.width * image.height > MAX_PIXELS:
            raise DataError(f"{path}: {image.width}x{image.height} is more than {MAX_PIXELS // 10**6} million pixels")
        if not decode:
            yield image
            return
        try:
            image.load()
            upright = ImageOps.exif_transpose(image)
        except Exception as error:
            raise DataError(f"{path}: broken or truncated image ({reason(error)})") from None
        yield upright


def lies_on_its_side(image: Image.Image) -> bool:
    """Whether an image whose header was read is rotated by a quarter when it is decoded."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    except Exception:  # damaged metadata; open_image says so when it decodes
        return False


def to_array(image: Image.Image, size: tuple[int, int] | None = None, channels: int = 3) -> np.ndarray:
    """A Pillow image as uint8 of shape (height, width, channels).

    Args:
        size: (height, width), stretched to it with antialiasing; None keeps the image's own.
        channels: 1 grey, 3 colour, 4 colour and opacity. Transparent parts become white when opacity is dropped.
    """
    if image.mode.startswith("I;16"):
        image = Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))
    if channels < 4 and ("A" in image.mode or "transparency" in image.info):
        colour = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour)
    image = image.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])
    if size is not None and image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR, reducing_gap=2.0)
    array = np.asarray(image, dtype=np.uint8)
    return array[..., None] if channels == 1 else array


def read_image(path: str | Path, size: tuple[int, int] | None = None, channels: int = 3) -> np.ndarray:
    """Read an image file as uint8 of shape (height, width, channels); see open_image and to_array."""
    with open_image(path) as image:
        return to_array(image, size, channels)


def for_each_file(work: Callable, paths: list, progress: Callable[[int], None] | None = None) -> list:
    """work(i, path) on every path, in threads (Pillow decodes outside Python's lock).

    Returns the results in order; where one raised DataError or MissingError, that exception stands in its place.
    """

    def guarded(i: int):
        try:
            return work(i, paths[i])
        except (DataError, MissingError) as error:
            return error

    results = []
    with ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(paths), 1024):  # in slices, so that Ctrl-C and progress do not wait for all
            results += pool.map(guarded, range(start, min(start + 1024, len(paths))))
            if progress:
                progress(len(results))
    return results
