"""One picture: a file, its bytes, an open file or a Pillow image in, upright pixels out.

What a file claims is checked before it is decoded. Metadata is left out before Pillow sees it (see containers).
"""

import contextlib
import io
import math
import os
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ..core.errors import DataError, MissingError, ZooError, check_number, reason
from .containers import MAX_BYTES, kind_of, pixels_only

MAX_PIXELS = 50_000_000  # 150 MB in colour; a decompression bomb claims more in a few kilobytes
MAX_SIDE = 65_500  # pixels: each row takes memory of its own
SLOW_PIXELS = 4_000_000  # of a kind that Pillow decodes in Python
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
FILE = (str, os.PathLike)


class Header(NamedTuple):
    """What a file says of itself: (height, width) when upright, whether in colour, whether of more than 8 bits."""

    size: tuple[int, int]
    colour: bool
    wide: bool
    format: str


class Picture(NamedTuple):
    """Pixels, upright: a Pillow image of 8 bits, or `values`, float32 (height, width, 1 or 3), of more.

    least, largest: of the values, without transparent ones; full: what white is where nothing else is known, 0 unknown.
    """

    image: Image.Image | None
    values: np.ndarray | None = None
    least: float = np.nan
    largest: float = np.nan
    full: float = 0.0

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)"""
        return self.image.size[::-1] if self.image else self.values.shape[:2]


class _Room:
    """Pixels that are decoded at once, in all threads."""

    def __init__(self, limit: int):
        self.left, self.limit, self.changed = limit, limit, threading.Condition()

    @contextlib.contextmanager
    def take(self, pixels: int) -> Iterator[None]:
        pixels = min(pixels, self.limit)
        with self.changed:
            self.changed.wait_for(lambda: self.left >= pixels)
            self.left -= pixels
        try:
            yield
        finally:
            with self.changed:
                self.left += pixels
                self.changed.notify_all()


_ROOM = _Room(MAX_PIXELS)


def read_header(path: str | os.PathLike, max_pixels: int | None = None) -> Header:
    """Check a file as read_picture does, without decoding it."""
    with _opened(path) as (name, file), _damage(name, "cannot be read as an image"):
        image, turn, kind, _ = _begin(name, file, max_pixels, header=True)
        size = image.size if turn >= 5 else image.size[::-1]
        return Header(size, image.mode not in ("1", "L", "LA") and not _has_numbers(image), _wide(image), kind)


def read_picture(source: Any, max_pixels: int | None = None) -> Picture:
    """Decode a picture: a path, bytes, an open file, or a Pillow image of any mode.

    Args:
        max_pixels: what it may have at most; None: MAX_PIXELS. A Pillow image may have any number.

    Raises:
        MissingError: no such file.
        DataError: it is empty, truncated, too large or too slow to decode, or of another format.
    """
    if isinstance(source, Image.Image):
        if 0 in source.size:
            raise DataError(f"a Pillow image has no pixels: its size is {source.size}")
        if _wide(source) and not _has_numbers(source):
            raise DataError("a Pillow image of 16 bits a colour, of which Pillow keeps 8; pass its file")
        with _damage("a Pillow image", "broken or truncated image"):
            source.load()  # first: it turns a TIFF, and reads the orientation of others
            return _decoded("a Pillow image", source, _orientation_of(source))
    with _opened(source) as (name, file):
        with _damage(name, "cannot be read as an image"):
            image, *how = _begin(name, file, max_pixels)
        with _ROOM.take(image.width * image.height), _damage(name, "broken or truncated image"):
            return _decoded(name, image, *how)


@contextlib.contextmanager
def _opened(source: Any) -> Iterator[tuple[str, Any]]:
    """The name of a picture in messages, and an open file of it."""
    if isinstance(source, bytes | bytearray | memoryview):
        source = io.BytesIO(source)
    if hasattr(source, "read") and hasattr(source, "seek"):
        name = str(getattr(source, "name", "the picture"))
        with _damage(name, "cannot be read"):
            if isinstance(source, io.TextIOBase):
                raise DataError(f'{name} is opened as text; open it with mode "rb"')
            source.seek(0)
        yield name, source
        return
    path = os.fspath(source)
    shown = os.fsdecode(path)
    if "\0" in shown or not os.path.exists(path):
        raise MissingError(f"{shown}: no such file")
    if not os.path.isfile(path):
        raise DataError(f"{shown}: {'a folder' if os.path.isdir(path) else 'a device'}, not an image")
    if os.path.getsize(path) > MAX_BYTES:
        raise DataError(f"{shown}: the file is larger than {MAX_BYTES // 10**6} MB")
    with contextlib.ExitStack() as held:
        try:
            file = held.enter_context(open(path, "rb"))
        except OSError as error:
            raise DataError(f"{shown}: cannot be opened ({error.strerror})") from None
        yield shown, file


@contextlib.contextmanager
def _damage(name: str, what: str) -> Iterator[None]:
    try:
        yield
    except (ZooError, MemoryError):
        raise
    except Exception as error:  # Pillow's plugins raise many kinds on damaged files
        raise DataError(f"{name}: {what} ({reason(error)})") from None


def _begin(name: str, file: Any, max_pixels: int | None, header: bool = False) -> tuple[Image.Image, int, str, bytes]:
    """A Pillow image whose sizes are checked and whose pixels are not read yet, its orientation, format and content."""
    kind = kind_of(name, file)
    content, turn = pixels_only(name, file, kind, header)
    Image.init()
    image = Image.OPEN[kind][0](io.BytesIO(content), "")  # without Image.open's limit, which cannot be raised
    most = MAX_PIXELS if max_pixels is None else check_number("max_pixels", max_pixels, 1, whole=True)
    if _wide(image) and not _has_numbers(image):
        most //= 4  # colours of 16 bits take so much more memory on their way
    pixels = f"{name}: {image.width}x{image.height}"
    if image.width * image.height > most:
        advice = "shrink it, or raise max_pixels (--max-pixels)"
        raise DataError(f"{pixels} is more than {most / 1e6:g} million pixels; {advice}")
    if max(image.size) > MAX_SIDE:
        raise DataError(f"{pixels}: a side is longer than {MAX_SIDE:,} pixels")
    slow = {"BMP": content[30:31] in (b"\1", b"\2"), "PPM": content[1:2] in b"123"}.get(kind)
    if slow and max(image.width * image.height, len(content) // 2) > SLOW_PIXELS:
        raise DataError(f"{pixels}: a {kind} of this kind takes long to decode when it is large; make it a PNG")
    if kind == "TIFF":
        bits = max(image.tag_v2.get(258, (1,)))
        image.load_end = lambda: None  # which would read its metadata
        kinds = image.tag_v2.get(339, (1,))
        if kinds[0] == 2 and bits <= 8:
            raise DataError(f"{name}: a TIFF of signed 8-bit numbers; add 128 and store it unsigned")
        if image.tag_v2.get(262) == 0 and image.mode == "F":
            raise DataError(f"{name}: a TIFF of floats in which 0 is white; store it inverted")
        if bits > 8 and not _has_numbers(image):
            raise DataError(f"{name}: a TIFF of {bits} bits a colour, which is read only from PNG; convert it")
    return image, turn if turn in TURNS else 1, kind, content


def _decoded(name: str, image: Image.Image, turn: int, kind: str = "", content: bytes = b"") -> Picture:
    """An image with its pixels read, upright."""
    if kind == "PPM" and image.tile[0][0] == "ppm":
        values, full = _ppm(image, content)
        if full < 256:
            pixels = np.rint(values * (255 / full)).astype(np.uint8)
            image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    elif kind == "PNG" and _wide(image) and not _has_numbers(image):
        import tensorflow as tf  # Pillow keeps 8 of the 16 bits of colours

        values, full = tf.io.decode_png(content, dtype=tf.uint16).numpy().astype(np.float32), 65535.0
    elif _wide(image):
        values, full = np.asarray(image), 1.0 if image.mode == "F" else 65535.0
        if kind == "TIFF" and image.mode == "I" and image.tag_v2.get(339, (1,))[0] == 1:
            values = values.view(np.uint32)  # Pillow has signed integers alone
        values = values.astype(np.float32)[..., None]
        if kind == "TIFF" and image.tag_v2.get(262) == 0:  # 0 is white, as in X-rays
            values = np.float32(full) - values
    if not _wide(image):
        image.load()
        return Picture(image.transpose(TURNS[turn]) if turn in TURNS else image)
    clear, alpha, seen = image.info.get("transparency"), None, True
    if values.shape[2] in (2, 4):
        values, alpha = values[..., :-1], values[..., -1:] / np.float32(full)
        seen = alpha > 0
    elif clear is not None:  # one value, or one of each colour, is transparent
        seen = (values != np.float32(clear)).any(-1, keepdims=True)
    least = float(values.min(initial=np.inf, where=seen))
    largest = float(values.max(initial=-np.inf, where=seen))
    if not np.isfinite(values).all():
        raise DataError(f"{name}: has values that are not finite")
    if least > largest:  # nothing is seen
        least, largest = 0.0, full
    white = np.float32(max(full, largest))
    if alpha is not None:
        values = values * alpha + white * (1 - alpha)
    elif clear is not None:
        np.copyto(values, white, where=~seen)
    if turn in TURNS:
        planes = [Image.fromarray(plane).transpose(TURNS[turn]) for plane in np.moveaxis(values, 2, 0)]
        values = np.stack(planes, -1)
    return Picture(None, values, least, largest, full)


def _ppm(image: Image.Image, content: bytes) -> tuple[np.ndarray, float]:
    """The numbers of a binary PGM or PPM, which Pillow would scale one by one, and the largest that there may be.

    Those of more than 8 bits are brought to 16, as Pillow does with text.
    """
    _, _, offset, (_, most) = image.tile[0]
    shape = (image.height, image.width, 1 if image.mode in ("L", "I") else 3)
    numbers = np.frombuffer(content, ">u2" if most > 255 else np.uint8, math.prod(shape), offset)
    numbers = np.minimum(numbers.reshape(shape).astype(np.float32), most)
    return (numbers * np.float32(65535 / most), 65535.0) if most > 255 else (numbers, float(most))


def _has_numbers(image: Image.Image) -> bool:
    """Whether a Pillow image holds all bits of one number a pixel."""
    return image.mode in ("I", "F") or image.mode.startswith("I;")


def _wide(image: Image.Image) -> bool:
    """Whether pixels have more than 8 bits."""
    if _has_numbers(image):
        return True
    tiles = getattr(image, "tile", ())  # of what is not read yet: what is there, and not what Pillow makes of it
    return any(";16" in str(how) or (kind == "ppm" and how[1] > 255) for kind, _, _, how in tiles)


def _orientation_of(image: Image.Image) -> int:
    """The orientation of a Pillow image that its owner opened; 1 where it cannot be read."""
    with contextlib.suppress(Exception):
        return image.getexif().get(0x112, 1)
    return 1
