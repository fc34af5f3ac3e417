"""Image files: the same pixels everywhere, and broken or hostile files named."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from cnn_zoo.core.errors import DataError, MissingError
from cnn_zoo.data.images import for_each_file, read_image, to_array
from cnn_zoo.data.pictures import read_header


def png_that_claims(width, height):
    """A few bytes that say they are a huge image: a decompression bomb."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(path)
    return path


def test_pixels_come_back_as_they_were_saved(image):
    assert np.array_equal(read_image(image), np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_size_and_channels_on_request(image, channels):
    array = read_image(image, (8, 12), channels)
    assert array.shape == (8, 12, channels)
    assert array.dtype == np.uint8


@pytest.mark.parametrize("size", [(100_000, 100_000), (12_000, 12_000), (8_000, 8_000), (14_000, 14_000)])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, size, recwarn):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_that_claims(*size))
    with pytest.raises(DataError, match=r"bomb\.png.*million pixels"):
        read_image(path)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"hello, world", "not an image"),
        (b"%PDF-1.4 ....", "a PDF: export its pages"),
        (b"GIF89a", "cannot be read|broken|not an image"),
    ],
)
def test_what_is_not_an_image_is_named(tmp_path, content, message):
    path = tmp_path / "file.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"file\.png: ({message})"):
        read_image(path)


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "gif", "webp"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_named(tmp_path, ending, share):
    path = tmp_path / f"image.{ending}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(DataError, match=rf"image\.{ending}"):
        read_image(path)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(MissingError, match="no such file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(DataError, match="a folder"):
        read_image(tmp_path)


def test_transparent_parts_become_white():
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert (to_array(clear) == 255).all()
    assert (to_array(clear, channels=4)[..., 3] == 0).all()


def test_sixteen_bits_become_eight(tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.array([[0, 257 * 100, 65534]], np.uint16)).save(path)
    assert read_image(path, channels=1)[..., 0].tolist() == [[0, 100, 255]]


def test_a_photo_taken_on_its_side_is_turned(tmp_path):
    path, exif = tmp_path / "photo.jpg", Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (30, 10)).save(path, exif=exif)
    assert read_image(path).shape == (30, 10, 3)
    assert read_header(path).size == (30, 10)


def test_errors_stand_in_the_place_of_their_file(image, tmp_path):
    results = for_each_file(lambda i, path: (i, read_image(path).shape), [image, tmp_path / "none.png", image])
    assert results[0] == (0, (40, 30, 3))
    assert isinstance(results[1], MissingError)
    assert results[2] == (2, (40, 30, 3))


def test_no_file_is_lost_between_two_slices():
    told, names = [], list(range(2050))
    assert for_each_file(lambda i, path: (i, path), names, told.append) == list(enumerate(names))
    assert told == [1024, 2048, 2050]


def test_colours_become_grey_by_their_weights(tmp_path):
    """ITU-R 601: 0.299 red + 0.587 green + 0.114 blue."""
    array = to_array(Image.fromarray(np.eye(3, dtype=np.uint8)[None] * 255), channels=1)
    assert array.ravel().tolist() == [76, 150, 29]
