"""Reading image files safely, with Pillow, everywhere to the same pixels; sizes are checked before decoding."""

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

    With decode=False only its header is read, and the image may lie on its side. No such file is a MissingError; one
    that is empty, truncated, too large, or not an image of a known format is a DataError.
    """
    if not os.path.exists(path):
        raise MissingError(f"{path}: no such file")
    if not os.path.isfile(path):
        raise DataError(f"{path}: {'a folder' if os.path.isdir(path) else 'a device'}, not an image")
    if os.path.getsize(path) > MAX_BYTES:
        raise DataError(f"{path}: the file is larger than {MAX_BYTES // 10**6} MB")
    try:
        with _HEADER_LOCK, warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(path, formats=FORMATS)
    except UnidentifiedImageError:
        raise DataError(f"{path}: not an image ({', '.join(FORMATS)})") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{path}: claims more than {MAX_PIXELS // 10**6} million pixels") from None
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
    with contextlib.suppress(Exception):  # damaged metadata; open_image says so when it decodes
        return image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
    return False


def to_array(image: Image.Image, size: tuple[int, int] | None = None, channels: int = 3) -> np.ndarray:
    """A Pillow image as uint8 (height, width, channels), stretched to a (height, width) with antialiasing.

    There are 1 (grey), 3 (colour) or 4 channels (with opacity, else transparent parts become white).
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
    """Read an image file as uint8 (height, width, channels); see open_image and to_array."""
    with open_image(path) as image:
        return to_array(image, size, channels)


def for_each_file(work: Callable, paths: list, progress: Callable[[int], None] | None = None) -> list:
    """Results of work(i, path), or the DataError or MissingError that it raised, in threads and in order."""

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
