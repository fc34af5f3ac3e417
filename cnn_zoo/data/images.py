"""Images of any kind as a net takes them: files, Pillow images, arrays; their sizes are checked before decoding."""

import contextlib
import itertools
import math
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from ..core.errors import DataError, MissingError, UsageError, reason
from ..core.machine import cores
from .source import empty

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
MAX_PIXELS = 50_000_000  # 150 MB in colour; a decompression bomb claims more in a few kilobytes
MAX_BYTES = 200_000_000
FILE = (str, os.PathLike)
BATCH = 256  # images at a time: more are hardly faster on a CPU and take more memory
MOST_NUMBERS = 2**22  # of a batch of images, 17 MB; a net takes many times as much for what is between its layers
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


def at_once(input_shape: tuple[int | None, ...]) -> int:
    """How many images to compute with at a time: BATCH, or fewer large ones."""
    return max(1, min(BATCH, MOST_NUMBERS // math.prod(side or 224 for side in input_shape)))


def batches_of(
    images: Any,
    input_shape: tuple[int | None, int | None, int],
    batch_size: int = BATCH,
    *,
    skip_broken: bool = False,
) -> Iterator[tuple[np.ndarray, list[tuple[int, int] | Exception]]]:
    """Images of any kind that predict takes, read batch by batch (fewer at a time if they are large); files in threads.

    Yields float32 in [0, 1] of shape (batch, *input_shape), and the (height, width) that each image came with. What is
    wrong with an image is raised when it is reached; with skip_broken, that of a file is in the place of its size, and
    there is no image of it.
    """
    height, width, channels = input_shape
    size = (height or None) and (height, width)
    batch_size = min(batch_size, at_once(input_shape))
    if hasattr(images, "__array__") and not isinstance(images, Image.Image):
        images = np.asarray(images)
        if images.dtype.kind not in "OU":
            stack = _image_array(images)
            for start in range(0, len(stack), batch_size):
                part = stack[start : start + batch_size]
                yield _fitted(part, size, channels), [part.shape[1:3]] * len(part)
            return
        images = images.tolist()  # paths or Pillow images
    if isinstance(images, (*FILE, Image.Image)):
        images = [images]
    if hasattr(images, "element_spec"):
        raise UsageError("a tf.data.Dataset has targets too: use evaluate, or the images that Data.images returns")
    if not isinstance(images, Iterable):
        raise UsageError(f"images must be paths, Pillow images or arrays; got {type(images).__name__}")
    rest, shape = iter(images), None
    while some := list(itertools.islice(rest, batch_size)):
        if skip_broken or (len(some) > 1 and all(isinstance(image, FILE) for image in some)):
            found = for_each_file(lambda _, path: _one(path, size, channels), some)
        else:  # a Pillow image may be there twice, and cannot be decoded by two threads
            found = [_one(image, size, channels) for image in some]
        good = [one for one in found if not isinstance(one, Exception)]
        if len(good) < len(found) and not skip_broken:
            raise next(one for one in found if isinstance(one, Exception))
        shape = shape or (good[0][0].shape if good else None)
        if any(image.shape != shape for image, _ in good):
            raise DataError("images of different sizes need a model with a fixed input size")
        batch = np.empty((len(good), *(shape or (0, 0, channels))), np.float32)
        for i, (image, _) in enumerate(good):
            np.divide(image, np.float32(255 if image.dtype == np.uint8 else 1), out=batch[i])
        yield batch, [one if isinstance(one, Exception) else one[1] for one in found]


def _one(image: Any, size: tuple[int, int] | None, channels: int) -> tuple[np.ndarray, tuple[int, int]]:
    """An image, uint8 or float32 in [0, 1], and the (height, width) that it came with."""
    if isinstance(image, (*FILE, Image.Image)):
        with open_image(image) if isinstance(image, FILE) else contextlib.nullcontext(image) as picture:
            return to_array(picture, size, channels), (picture.height, picture.width)
    stack = _image_array(np.asarray(image))
    if len(stack) != 1:
        raise DataError(f"a list holds one image an entry; one has shape {np.shape(image)}")
    return _fitted(stack, size, channels)[0], stack.shape[1:3]


def _image_array(array: np.ndarray) -> np.ndarray:
    """An array of images as (n, height, width, channels)."""
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] not in (1, 2, 3, 4)):
        array = array[..., None]
    if array.ndim == 3 and array.shape[2] in (1, 3, 4):
        array = array[None]
    if array.ndim != 4 or array.shape[3] not in (1, 3, 4) or 0 in array.shape[1:]:
        shapes = "(height, width), (height, width, channels), (n, height, width) or (n, height, width, channels)"
        raise DataError(f"an array of images is {shapes} with 1, 3 or 4 channels; got {array.shape}")
    return array


def _fitted(stack: np.ndarray, size: tuple[int, int] | None, channels: int) -> np.ndarray:
    """Images (n, height, width, channels) as float32 of a size and number of channels."""
    fits = stack.shape[1:] == (*(size or stack.shape[1:3]), channels)
    if fits and stack.dtype != np.uint8:
        return check_floats(stack).astype(np.float32, copy=False)
    pixels = as_uint8(stack)  # what must be changed is changed as a file of the same pixels would be
    return (pixels if fits else adapt(pixels, size, channels, math.inf)).astype(np.float32) / np.float32(255)


def adapt(images: np.ndarray, size: tuple[int, int] | None, channels: int | None, memory_limit: float) -> np.ndarray:
    """Resize images (n, h, w, c) and change between grey and colour, as a file of the same pixels would be."""
    size, channels = size or images.shape[1:3], channels or images.shape[3]
    if images.shape[1:] == (*size, channels):
        return images
    adapted = empty(len(images), size, channels, memory_limit)
    for i, image in enumerate(images[..., 0] if images.shape[3] == 1 else images):
        adapted[i] = to_array(Image.fromarray(image), size, channels)
    return adapted


def adapt_masks(masks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Masks (n, h, w) of that (height, width): of each pixel the class at its centre."""
    if masks.shape[1:] == size:
        return masks
    centres = [(2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size, masks.shape[1:], strict=True)]
    return masks[:, *np.ix_(*centres)]


def as_uint8(images: np.ndarray) -> np.ndarray:
    """uint8 as it is; floats in [0, 1] to the nearest of 256 steps; anything else is a DataError."""
    return images if images.dtype == np.uint8 else np.rint(check_floats(images) * 255).astype(np.uint8)


def check_floats(images: np.ndarray) -> np.ndarray:
    """The images if they are floats in [0, 1], else a DataError that says what they are."""
    if not np.issubdtype(images.dtype, np.floating):
        raise DataError(f"images must be uint8 or floats in [0, 1]; got {images.dtype}")
    if not np.isfinite(images).all():
        raise DataError("images contain NaN or infinite values")
    if images.size and (images.min() < 0 or images.max() > 1):
        found = f"these are in [{images.min():g}, {images.max():g}]"
        raise DataError(f"float images must be in [0, 1]; {found}: divide by 255 or pass uint8")
    return images
