"""Images as a net takes them: pictures and arrays of any kind, brought to a size, to channels and to 8 bits."""

import itertools
import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image

from ..core.errors import DataError, MissingError, UsageError, check_number, reason
from ..core.machine import cores
from ..core.text import shown
from .pictures import Picture, read_picture
from .source import empty, to_8_bits

FITS = ("stretch", "pad", "crop")  # what is done with an image of other proportions
BATCH = 256  # images at a time: more are hardly faster on a CPU and take more memory
MOST_NUMBERS = 2**22  # of a batch of images, 17 MB; a net takes many times as much for what is between its layers
Size = tuple[int, int] | None  # (height, width)


def to_array(picture: Picture | Image.Image, size: Size = None, channels: int = 3, fit: str = "stretch") -> np.ndarray:
    """A picture as (height, width, channels), resized with antialiasing: uint8, or the values, float32, of more bits.

    There are 1 (grey), 3 (colour) or 4 channels (with opacity, else transparent parts become white). `fit` is how it
    comes to other proportions: "stretch", "pad" with black on two sides, or "crop" two sides.
    """
    image = picture if isinstance(picture, Image.Image) else picture.image
    if image is None:
        return _values(picture.values, size, channels, fit)
    if image.mode == "La":
        image = image.convert("LA")
    try:
        if channels < 4 and ("A" in image.mode or "a" in image.mode or "transparency" in image.info):
            image = image.convert("RGBA")  # then on white, without a third copy
            ground = Image.new("RGB", image.size, "white")
            ground.paste(image, mask=image.getchannel("A"))
            image = ground
        image = image.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])
    except (ValueError, TypeError) as error:  # LAB; a transparency that is none
        raise DataError(f"an image of mode {image.mode} is not read ({reason(error)}); convert it to RGB") from None
    array = np.asarray(_resized(image, size, fit, 2.0), dtype=np.uint8)
    return array[..., None] if channels == 1 else array


def _resized(image: Image.Image, size: Size, fit: str, reducing_gap: float | None) -> Image.Image:
    """A Pillow image of (height, width), bilinear."""
    if size is None or image.size == (size[1], size[0]):
        return image
    (own_width, own_height), (height, width) = image.size, size
    box, inner = (0, 0, own_width, own_height), (width, height)
    if fit == "crop":
        scale = max(width / own_width, height / own_height)
        kept = width / scale, height / scale
        left, top = (own_width - kept[0]) / 2, (own_height - kept[1]) / 2
        box = max(0, left), max(0, top), min(own_width, left + kept[0]), min(own_height, top + kept[1])
    elif fit == "pad":
        scale = min(width / own_width, height / own_height)
        inner = max(1, round(own_width * scale)), max(1, round(own_height * scale))
    image = image.resize(inner, Image.Resampling.BILINEAR, box=box, reducing_gap=reducing_gap)
    if inner != (width, height):
        page = Image.new(image.mode, (width, height))
        page.paste(image, ((width - inner[0]) // 2, (height - inner[1]) // 2))
        image = page
    return image


def _values(values: np.ndarray, size: Size, channels: int, fit: str) -> np.ndarray:
    """Values (height, width, 1 or 3) of more than 8 bits, in size and channels as an image of 8 bits."""
    if channels == 4:
        raise UsageError("images of more than 8 bits have no opacity here; ask for 1 or 3 channels")
    if values.shape[2] == 3 and channels == 1:
        values = values @ np.float32([[0.299], [0.587], [0.114]])
    planes = [np.asarray(_resized(Image.fromarray(plane), size, fit, None)) for plane in np.moveaxis(values, 2, 0)]
    return np.repeat(np.stack(planes, -1), channels // len(planes), -1)


def usual_range(picture: Picture, name: str = "an image") -> tuple[float, float]:
    """The range of values of more than 8 bits where no training has set one: all of 16 bits, or floats in [0, 1]."""
    if picture.least < 0 or picture.largest > picture.full:
        found = f"{name} has values from {picture.least:g} to {picture.largest:g}"
        raise DataError(f"{found}; which of them are black and white is not known: bring them to 0 … {picture.full:g}")
    _tell_if_dark(name, picture.largest, picture.full)
    return 0.0, picture.full


def _tell_if_dark(name: str, largest: float, full: float) -> None:
    if 0 < largest < full / 16:  # such as 12 bits in 16
        used = f"{name} uses values up to {largest:g} of {full:g}, and so is nearly black here"
        warnings.warn(f"{used}; bring it to all of them", stacklevel=6)


def read_image(source: Any, size: Size = None, channels: int = 3, fit: str = "stretch", **options: Any) -> np.ndarray:
    """Any picture as uint8 (height, width, channels); see read_picture, to_array and usual_range.

    Args:
        options: `max_pixels`; `value_range` of more than 8 bits, as the training images of a run had it.
    """
    value_range = options.pop("value_range", None)
    picture = read_picture(source, **options)
    array = to_array(picture, size, channels, fit)
    if picture.image:
        return array
    name = str(source) if isinstance(source, str | os.PathLike) else "an image"
    return to_8_bits(array, value_range or usual_range(picture, name))


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
    **reading: Any,
) -> Iterator[tuple[np.ndarray, list[tuple[int, int] | Exception]]]:
    """Images of any kind that predict takes, read batch by batch (fewer at a time if they are large); files in threads.

    Yields float32 in [0, 1] of shape (batch, *input_shape), and the (height, width) that each image came with. What is
    wrong with an image is raised when it is reached; with skip_broken, that of a file is in the place of its size, and
    there is no image of it. `reading` is what read_image takes: fit, value_range, max_pixels.
    """
    height, width, channels = input_shape
    size = (height or None) and (height, width)
    batch_size = min(batch_size, at_once(input_shape))
    if hasattr(images, "element_spec"):  # a tf.data.Dataset, of images or of images and targets
        for element in images:
            inputs = element[0] if isinstance(element, tuple | list) else element
            inputs = inputs.get("image") if isinstance(inputs, dict) else inputs
            if inputs is None:
                raise UsageError("a tf.data.Dataset of dictionaries needs the images under 'image'; map it to images")
            if getattr(inputs, "dtype", None) == "string":  # paths
                inputs = [os.fsdecode(path) for path in np.ravel(as_numpy(inputs)).tolist()]
            yield from batches_of(inputs, input_shape, batch_size, skip_broken=skip_broken, **reading)
        return
    if isinstance(images, list | tuple) and images and isinstance(images[0], list | tuple):
        images = as_numpy(images)  # numbers in lists of lists
    if isinstance(images, Mapping):
        raise UsageError(f"images are a list or an array, not a dictionary of {len(images)}; pass its values")
    if hasattr(images, "__array__") and not isinstance(images, Image.Image):
        images = as_numpy(images)
        if images.dtype.kind not in "OU":
            stack = image_stack(images, channels)
            for start in range(0, len(stack), batch_size):
                part = stack[start : start + batch_size]
                yield _fitted(part, size, channels, reading), [part.shape[1:3]] * len(part)
            return
        images = images.tolist()  # paths or Pillow images
    if _is_picture(images):
        images = [images]
    if not isinstance(images, Iterable):
        raise UsageError(f"images must be paths, Pillow images or arrays; got {type(images).__name__}")
    rest, shape = iter(images), None
    while some := list(itertools.islice(rest, batch_size)):
        if skip_broken or (len(some) > 1 and all(isinstance(image, str | os.PathLike) for image in some)):
            found = for_each_file(lambda _, path: _one(path, size, channels, reading), some)
        else:  # a Pillow image may be there twice, and cannot be decoded by two threads
            found = [_one(image, size, channels, reading) for image in some]
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


def _is_picture(image: Any) -> bool:
    """Whether it is one picture that read_picture takes."""
    return isinstance(image, str | bytes | bytearray | memoryview | os.PathLike | Image.Image) or hasattr(image, "read")


def _one(image: Any, size: Size, channels: int, reading: dict[str, Any]) -> tuple[np.ndarray, tuple[int, int]]:
    """An image, uint8 or float32 in [0, 1], and the (height, width) that it came with."""
    if _is_picture(image):
        picture = read_picture(image, reading.get("max_pixels"))
        array = to_array(picture, size, channels, reading.get("fit") or "stretch")
        if picture.image and reading.get("value_range"):
            what = "the net was trained on images of more than 8 bits, brought to 8 by one range"
            warnings.warn(f"{what}; this has 8 bits, which are taken as brought to it already", stacklevel=4)
        if not picture.image:
            known = reading.get("value_range")
            if known and (picture.largest <= known[0] or picture.least >= known[1]):
                values = f"{_name(image)} has values from {picture.least:g} to {picture.largest:g}"
                warnings.warn(f"{values}, all beyond {known[0]:g} … {known[1]:g} of the training", stacklevel=4)
            array = to_8_bits(array, known or usual_range(picture, _name(image)))
        return array, picture.size
    stack = image_stack(as_numpy(image), channels)
    if len(stack) != 1:
        raise DataError(f"a list holds one image an entry; one has shape {np.shape(image)}")
    return _fitted(stack, size, channels, reading)[0], stack.shape[1:3]


def as_numpy(array: Any) -> np.ndarray:
    """Anything that NumPy takes as an array, else a DataError; a masked array is one."""
    if isinstance(array, np.ma.MaskedArray):
        raise DataError("a masked array hides pixels, and a net sees all; fill them with .filled(0)")
    try:
        array = np.asarray(array)
        return array.astype(np.float32) if array.dtype.name == "bfloat16" else array  # which NumPy itself has not
    except Exception as error:  # ragged lists; tensors elsewhere or with gradients, whose libraries say what to do
        raise DataError(f"{type(array).__name__} is not an array of images of one size: {reason(error)}") from None


def image_stack(array: np.ndarray, wanted: int | None = None) -> np.ndarray:
    """An array of images as (n, height, width, channels), for a model that wants so many."""
    shapes = "(height, width), (height, width, channels), (n, height, width) or (n, height, width, channels)"
    if array.dtype.kind not in "buif":
        raise DataError(f"an array of images holds numbers; got {array.dtype} of shape {array.shape}")
    if array.ndim == 3 and array.shape[0] in (3, 4) and array.shape[2] not in (1, 3, 4):
        advice = "if the channels come first, pass np.moveaxis(image, 0, -1)"
        if wanted in (3, 4):
            either = f"{array.shape} may be {array.shape[0]} grey images or one in colour"
            raise DataError(f"{either}; {advice}, else images[..., None]")
        warnings.warn(f"{array.shape} is taken as {array.shape[0]} grey images; {advice}", stacklevel=4)
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] not in (1, 2, 3, 4)):
        array = array[..., None]
    if array.ndim == 3 and array.shape[2] in (1, 3, 4):
        array = array[None]
    if array.ndim != 4 or array.shape[3] not in (1, 3, 4) or 0 in array.shape[1:]:
        first = "; channels come last: np.moveaxis(images, 1, -1)" * (array.ndim == 4 and array.shape[1] in (1, 3, 4))
        raise DataError(f"an array of images is {shapes} with 1, 3 or 4 channels; got {array.shape}{first}")
    return array


def _fitted(stack: np.ndarray, size: Size, channels: int, reading: dict[str, Any]) -> np.ndarray:
    """Images (n, height, width, channels) as float32 in [0, 1] of a size and number of channels."""
    fits = stack.shape[1:] == (*(size or stack.shape[1:3]), channels)
    if fits and stack.dtype.kind == "f":
        return check_floats(stack).astype(np.float32, copy=False)
    if stack.dtype == np.uint16:
        if not reading.get("value_range"):
            _tell_if_dark("an array", stack.max(), 65535)
        stack = to_8_bits(stack, reading.get("value_range") or (0, 65535))
    pixels = as_uint8(stack)  # what must be changed is changed as a file of the same pixels would be
    if not fits:
        pixels = adapt(pixels, size, channels, math.inf, reading.get("fit") or "stretch")
    return pixels.astype(np.float32) / np.float32(255)


def adapt(images: np.ndarray, size: Size, channels: int | None, memory_limit: float, fit="stretch") -> np.ndarray:
    """Resize images (n, h, w, c) and change between grey and colour, as a file of the same pixels would be.

    They are uint8, or float32 values of more bits, and stay so.
    """
    size, channels = size or images.shape[1:3], channels or images.shape[3]
    if images.shape[1:] == (*size, channels):
        return images
    adapted = empty(len(images), size, channels, memory_limit, images.dtype)
    for i, image in enumerate(images):
        if images.dtype == np.uint8:
            adapted[i] = to_array(Image.fromarray(image[..., 0] if image.shape[2] == 1 else image), size, channels, fit)
        else:
            adapted[i] = _values(image, size, channels, fit)
    return adapted


def adapt_masks(masks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Masks (n, h, w) of that (height, width): of each pixel the class at its centre."""
    if masks.shape[1:] == size:
        return masks
    centres = [(2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size, masks.shape[1:], strict=True)]
    return masks[:, *np.ix_(*centres)]


def as_uint8(images: np.ndarray) -> np.ndarray:
    """uint8 as it is; booleans as black and white; floats in [0, 1] to the nearest of 256 steps; else a DataError."""
    if images.dtype == bool:
        return images * np.uint8(255)
    return images if images.dtype == np.uint8 else np.rint(check_floats(images) * 255).astype(np.uint8)


def check_floats(images: np.ndarray) -> np.ndarray:
    """The images if they are floats in [0, 1], else a DataError that says what they are."""
    if not np.issubdtype(images.dtype, np.floating):
        kinds = "uint8, uint16 or bool, or floats in [0, 1]"
        raise DataError(f"images must be {kinds}; got {images.dtype}: of 8-bit values make uint8 with .astype")
    if not np.isfinite(images).all():
        raise DataError("images contain NaN or infinite values")
    if images.size and (images.min() < 0 or images.max() > 1):
        found = f"these are in [{images.min():g}, {images.max():g}]"
        raise DataError(f"float images must be in [0, 1]; {found}: divide by 255 or pass uint8")
    return images


def check_range(value: Any) -> tuple[float, float] | None:
    """(least, largest) as floats if they are two numbers in that order, None as it is, else UsageError."""
    if value is None:
        return None
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise UsageError(f"value_range must be a pair (least, largest); got {shown(value)}")
    least = check_number("the least of value_range", value[0], -math.inf)
    return least, check_number("the largest of value_range", value[1], least)


def _name(image: Any) -> str:
    return os.fspath(image) if isinstance(image, str | os.PathLike) else "an image"
