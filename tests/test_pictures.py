"""One picture, however it comes: the same pixels, or one line; and nothing that hangs or takes all memory."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from cnn_zoo.core.errors import DataError, UsageError
from cnn_zoo.data.images import batches_of, read_image, to_array
from cnn_zoo.data.pictures import MAX_SIDE, read_header, read_picture

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (20, 30), dtype=np.uint16)


def content(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned(orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    return exif


def chunk(kind, data=b""):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, colour, extra=b""):
    """A PNG of zeros."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    rows = zlib.compress(b"\0" * (((width * depth * channels + 7) // 8 + 1) * height))
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", rows) + chunk(b"IEND")


def tiff(*entries):
    """A block of Exif with one directory of (tag, type, count, 4 bytes)."""
    body = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + b"\0\0\0\0"


def as_batch(images, shape, **reading):
    return np.concatenate([batch for batch, _ in batches_of(images, shape, **reading)])


def test_a_picture_has_one_way_in_whatever_holds_it(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.fromarray(COLOUR).save(path, exif=turned(6), quality=95)
    expected = read_image(path, (24, 24))
    data = path.read_bytes()
    for holder in (str(path), data, bytearray(data), memoryview(data), io.BytesIO(data), Image.open(path)):
        np.testing.assert_array_equal(read_image(holder, (24, 24)), expected)
    with open(path, "rb") as file:
        file.read(7)
        np.testing.assert_array_equal(read_image(file, (24, 24)), expected)
    batch = as_batch([path, data, Image.open(path), io.BytesIO(data)], (24, 24, 3))
    np.testing.assert_array_equal(batch, np.repeat(expected[None] / np.float32(255), 4, 0))
    with (
        open(path, encoding="latin-1") as file,
        pytest.raises(DataError, match=r'photo.jpg is opened as text; .* "rb"'),
    ):
        read_image(file)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(kind, orientation):
    options = {"tiffinfo": {274: orientation}} if kind == "TIFF" else {"exif": turned(orientation)}
    options |= {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    data = content(Image.fromarray(COLOUR), kind, **options)
    plain = Image.open(io.BytesIO(content(Image.fromarray(COLOUR), kind, **{"quality": 95} | options | {"exif": b""})))
    reference = Image.Image.copy(plain.convert("RGB"))
    reference.info.clear()
    if kind == "TIFF":
        reference = Image.fromarray(COLOUR)
    tagged = reference.copy()
    tagged.getexif()[0x112] = orientation
    np.testing.assert_array_equal(read_image(data), np.asarray(ImageOps.exif_transpose(tagged)))
    assert read_header(io.BytesIO(data)).size == read_image(data).shape[:2]
    np.testing.assert_array_equal(read_image(Image.open(io.BytesIO(data))), read_image(data))  # as its owner opens it
    deep = content(Image.fromarray(DEEP), "TIFF", tiffinfo={274: orientation})
    tagged = Image.fromarray(np.arange(600, dtype=np.int32).reshape(20, 30))
    tagged.getexif()[0x112] = orientation
    places = np.asarray(ImageOps.exif_transpose(tagged))
    np.testing.assert_array_equal(read_picture(deep).values[..., 0], DEEP.ravel()[places])


def damaged_metadata():
    flat = Image.new("RGB", (40, 20), (200, 60, 20))
    orientation = (0x112, 3, 1, struct.pack("<HH", 6, 0))
    yield "PNG, Exif without a head", content(flat, exif=b"\0\x08\0\x02\x01\x12\0\x03"), (20, 40)
    yield "WebP, Exif without a head", content(flat, "WEBP", exif=b"garbage!", lossless=True), (20, 40)
    for name, kind, value in (("of no type", 7, b"72/1"), ("as text", 2, b"72\0\0")):
        exif = b"Exif\0\0" + tiff(orientation, (0x11A, kind, 4, value))
        yield f"JPEG, turned, resolution {name}", content(flat, "JPEG", exif=exif, quality=95), (40, 20)
    for cut in (3, 9, 14, 18):
        yield f"JPEG, Exif cut at {cut}", content(flat, "JPEG", exif=b"Exif\0\0" + tiff(orientation)[:cut]), (20, 40)
    yield "JPEG, orientation 77", content(flat, "JPEG", exif=b"Exif\0\0" + tiff((0x112, 3, 1, b"M\0\0\0"))), (20, 40)
    yield "PNG, colour profile of 3 MB", content(flat, icc_profile=bytes(3_000_000)), (20, 40)
    info = PngImagePlugin.PngInfo()
    info.add_text("workflow", "x" * 3_000_000, zip=True)
    yield "PNG, 3 MB of compressed text", content(flat, pnginfo=info), (20, 40)
    info = PngImagePlugin.PngInfo()
    info.add_text("note", "hello hello hello")
    wrong = bytearray(content(flat, pnginfo=info))
    wrong[wrong.find(b"tEXt") + 12] ^= 1
    yield "PNG, wrong checksum of a text", bytes(wrong), (20, 40)
    xmp = b"http://ns.adobe.com/xap/1.0/\0" + b'<x tiff:Orientation="6"/>'
    plain = content(flat, "JPEG", quality=95)
    segment = b"\xff\xe1" + struct.pack(">H", len(xmp) + 2) + xmp
    yield "JPEG, turned by XMP", plain[:2] + segment + plain[2:], (40, 20)
    yield "JPEG, a film behind it", plain + RNG.bytes(1_000_000), (20, 40)
    tagged = content(flat, "TIFF", tiffinfo={274: 6})
    yield "TIFF, turned", tagged, (40, 20)
    yield (
        "TIFF, resolution as text",
        content(flat, "TIFF", tiffinfo={282: 1.0}).replace(b"\x1a\x01\x05", b"\x1a\x01\x02"),
        (20, 40),
    )


@pytest.mark.parametrize(
    ("name", "data", "size"), damaged_metadata(), ids=lambda value: value if type(value) is str else ""
)
def test_damaged_or_large_metadata_does_not_cost_the_pixels(name, data, size):
    found = read_image(data)
    assert found.shape == (*size, 3)
    np.testing.assert_allclose(found.reshape(-1, 3).mean(0), [200, 60, 20], atol=2)
    assert read_header(io.BytesIO(data)).size == size


def test_every_mode_of_pillow_is_the_same_picture_or_one_line():
    grey = np.repeat(RNG.integers(0, 256, (16, 16, 1), dtype=np.uint8), 3, 2)
    image = Image.fromarray(grey)
    expected = read_image(image, channels=1)
    for mode in ("L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"):
        by_way = {"PA": "P", "La": "LA", "RGBa": "RGBA"}.get(mode, mode)
        made = image.convert("L").convert(by_way) if mode in ("P", "PA", "LA", "La") else image.convert(by_way)
        np.testing.assert_allclose(read_image(made.convert(mode), channels=1), expected, atol=1, err_msg=mode)
    np.testing.assert_array_equal(
        read_image(image.convert("1"), channels=1)[..., 0], np.asarray(image.convert("1")) * 255
    )
    deep = grey[..., 0].astype(np.uint16) * 257
    for made in (
        Image.fromarray(deep),
        Image.fromarray(deep.astype(">u2")),
        Image.fromarray(deep.astype(np.int32)),
        Image.fromarray(deep / np.float32(65535)),
    ):
        np.testing.assert_array_equal(read_image(made, channels=1), expected, err_msg=made.mode)
    with pytest.raises(DataError, match=r"values from -1 to 200; which of them are black and white is not known"):
        read_image(Image.fromarray(np.float32([[-1, 200]])))
    with pytest.raises(DataError, match="values from 0 to 70000"):
        read_image(Image.fromarray(np.int32([[0, 70000]])))
    with pytest.raises(DataError, match="not finite"):
        read_image(Image.fromarray(np.float32([[np.nan, 0.5]])))
    odd = Image.fromarray(grey[..., 0])
    odd.info["transparency"] = "x"
    with pytest.raises(DataError, match="mode L is not read"):
        read_image(odd)
    with pytest.raises(DataError, match=r"no pixels: its size is \(0, 4\)"):
        read_image(Image.new("L", (0, 4)))


@pytest.mark.parametrize(
    ("array", "shape", "message"),
    [
        (np.zeros((3, 20, 20), np.uint8), (20, 20, 3), r"\(3, 20, 20\) may be 3 grey images or one in colour"),
        (np.zeros((4, 20, 20)), (8, 8, 3), "may be 4 grey images"),
        (np.zeros((5, 3, 20, 20)), (20, 20, 3), r"channels come last: np.moveaxis\(images, 1, -1\)"),
        (np.full((20, 20), 255, np.int64), (20, 20, 1), "got int64: of 8-bit values make uint8"),
        (np.full((20, 20), 127.5), (20, 20, 1), "divide by 255"),
        (np.full((20, 20), -0.5), (20, 20, 1), r"these are in \[-0.5, -0.5\]"),
        (np.zeros((20, 20), object), (20, 20, 1), "an array of images is"),
        (np.zeros((20, 20), "datetime64[s]"), (20, 20, 1), "holds numbers; got datetime64"),
        (np.ma.masked_array(np.zeros((20, 20)), True), (20, 20, 1), "masked array"),
        ({"a": np.zeros((20, 20))}, (20, 20, 1), "not a dictionary of 1; pass its values"),
        ([np.zeros((20, 20)), [[1, 2], [3]]], (20, 20, 1), "list is not an array of images of one size"),
    ],
)
def test_arrays_whose_meaning_cannot_be_known_are_refused_by_name(array, shape, message):
    with pytest.raises((DataError, UsageError), match=message):
        as_batch(array, shape)


def raw_tiff(array, white=1, kind=1):
    """An uncompressed grey TIFF: 0 is black (white=1) or white (0), numbers are unsigned (kind=1), signed or floats."""
    height, width = array.shape
    values = {256: width, 257: height, 258: array.itemsize * 8, 259: 1, 262: white, 273: 200, 277: 1, 278: height,
              279: array.nbytes, 339: kind}  # fmt: skip
    return (
        tiff(*[(tag, 4, 1, struct.pack("<I", value)) for tag, value in values.items()]).ljust(200, b"\0")
        + array.tobytes()
    )


def test_numbers_of_a_tiff_are_read_as_it_says():
    values = np.uint16([[0, 21845, 65535]])
    assert read_image(raw_tiff(values), channels=1).ravel().tolist() == [0, 85, 255]
    assert read_image(raw_tiff(values, white=0), channels=1).ravel().tolist() == [255, 170, 0]
    assert read_picture(raw_tiff(np.uint32([[0, 2**31 + 256]]))).largest == 2**31 + 256
    assert read_image(raw_tiff(np.float32([[0, 0.2, 1]]), kind=3), channels=1).ravel().tolist() == [0, 51, 255]
    with pytest.raises(DataError, match="a TIFF of floats in which 0 is white; store it inverted"):
        read_image(raw_tiff(np.float32([[0, 0.2, 1]]), white=0, kind=3))
    with pytest.raises(DataError, match="a TIFF of signed 8-bit numbers; add 128"):
        read_image(raw_tiff(np.int8([[-128, 127]]), kind=2))


def test_numbers_in_lists_of_lists_are_one_image():
    image = RNG.random((16, 16, 3)).tolist()
    np.testing.assert_allclose(as_batch(image, (16, 16, 3)), [image], atol=1e-6)


def test_arrays_of_any_type_mean_what_files_of_the_same_pixels_mean():
    eight = RNG.integers(0, 256, (2, 16, 16), dtype=np.uint8)
    expected = eight[..., None] / np.float32(255)
    for same in (eight, eight / 255, (eight / 255).astype(np.float16), eight.astype(np.uint16) * 257, list(eight)):
        np.testing.assert_allclose(as_batch(same, (16, 16, 1)), expected, atol=1e-3)
    np.testing.assert_array_equal(as_batch(eight > 99, (16, 16, 1))[..., 0], eight > 99)
    import tensorflow as tf

    for same in (tf.cast(eight, tf.bfloat16) / 255, tf.data.Dataset.from_tensor_slices({"image": eight[..., None]})):
        np.testing.assert_allclose(as_batch(same, (16, 16, 1)), expected, atol=4e-3)
    with pytest.warns(UserWarning, match="taken as 3 grey images; if the channels come first"):
        assert as_batch(np.zeros((3, 9, 9), np.uint8), (8, 8, 1)).shape == (3, 8, 8, 1)
    assert as_batch(np.zeros((1, 9, 9), np.uint8), (8, 8, 3)).shape == (1, 8, 8, 3)


def test_sixteen_bits_keep_their_differences_by_the_range_of_the_training():
    twelve = np.uint16([[300, 340], [360, 420]])
    found = read_image(Image.fromarray(twelve), channels=1, value_range=(300, 420))[..., 0]
    assert found.tolist() == [[0, 85], [128, 255]]
    assert read_image(Image.fromarray(twelve), channels=1)[..., 0].tolist() == [[1, 1], [1, 2]]
    array = as_batch(twelve[None, ..., None], (2, 2, 1), value_range=(300, 420))[0, ..., 0]
    np.testing.assert_array_equal(array, found / np.float32(255))
    with pytest.warns(UserWarning, match="an array uses values up to 420 of 65535"):
        as_batch(twelve[None, ..., None], (2, 2, 1))
    beyond = read_image(Image.fromarray(np.uint16([[0, 65535]])), channels=1, value_range=(300, 420))
    assert beyond[..., 0].tolist() == [[0, 255]]


def test_sixteen_bits_of_colour_and_of_other_formats_are_read_whole():
    import tensorflow as tf

    colour = RNG.integers(0, 65536, (20, 30, 3), dtype=np.uint16)
    data = tf.io.encode_png(colour).numpy()
    assert read_header(io.BytesIO(data)).wide
    np.testing.assert_array_equal(read_picture(data).values, colour)
    with pytest.raises(DataError, match="16 bits a colour, of which Pillow keeps 8; pass its file"):
        read_image(Image.open(io.BytesIO(data)))
    for most in (100, 4095, 65535):
        numbers = (colour.astype(int) % (most + 1)).astype(">u2" if most > 255 else "u1")
        for magic, part in ((b"P6", numbers), (b"P5", numbers[..., :1])):
            picture = read_picture(magic + b"\n30 20\n%d\n" % most + part.tobytes())
            if most > 255:
                np.testing.assert_allclose(picture.values, part * (65535 / most), rtol=1e-6)
                assert picture.full == 65535
            else:
                np.testing.assert_allclose(to_array(picture), part * (255 / most) * np.ones(3), atol=1)
    assert (read_image(b"P5\n2 2\n15\n" + bytes([0, 15, 200, 15]), channels=1).ravel() == [0, 255, 255, 255]).all()
    clear = png(2, 2, 16, 0, chunk(b"tRNS", b"\0\0"))
    assert (read_image(clear) == 255).all()  # zero is transparent, and so white
    with pytest.raises(DataError, match="TIFF of 16 bits a colour"):
        read_image(content(Image.fromarray(COLOUR), "TIFF").replace(b"\x08\0\x08\0\x08\0", b"\x10\0\x10\0\x10\0"))


@pytest.mark.parametrize(
    ("fit", "expected"), [("stretch", [9, 9, 9, 9]), ("pad", [0, 9, 9, 0]), ("crop", [9, 9, 9, 9])]
)
def test_other_proportions_are_stretched_padded_or_cropped(fit, expected):
    wide = np.full((20, 40), 9, np.uint8)
    wide[:, :6] = wide[:, 34:] = 9 if fit != "crop" else 200
    for pixels in (Image.fromarray(wide), Image.fromarray(wide.astype(np.int32) * 257)):
        found = read_image(pixels, (4, 4), 1, fit)[..., 0]
        assert found[:, 1].tolist() == expected
        assert found[1].tolist() == [9, 9, 9, 9]
    assert read_image(Image.fromarray(wide.T), (4, 4), 1, fit)[1, :, 0].tolist() == expected


HOSTILE = {
    "a PNG of one column": (png(1, MAX_SIDE + 1, 8, 6), "a side is longer than 65,500 pixels"),
    "a PNG of empty chunks": (png(8, 8, 8, 2, chunk(b"teSt") * 200_000), "more than 100,000 parts"),
    "a PNG of texts": (png(8, 8, 8, 2, chunk(b"tEXt", b"a\0b") * 200_000), "more than 100,000 parts"),
    "16 bits a colour": (png(4000, 4000, 16, 2), "more than 12.5 million pixels"),
    "a PPM of text": (b"P3\n3000 3000\n255\n", "takes long to decode"),
}


@pytest.mark.parametrize(("data", "message"), HOSTILE.values(), ids=HOSTILE.keys())
def test_what_would_take_all_memory_or_hang_is_refused_before_it_is_decoded(data, message):
    with pytest.raises(DataError, match=message):
        read_image(data)


def test_a_jpeg_of_a_thousand_scans_and_a_bmp_of_run_lengths_are_refused():
    data = content(Image.new("RGB", (64, 64), (9, 99, 199)), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    assert read_image(data[:-2] + last * 20 + data[-2:]).shape == (64, 64, 3)
    with pytest.raises(DataError, match="a JPEG of more than 100 scans"):
        read_image(data[:-2] + last * 1000 + data[-2:])
    head = struct.pack("<IiiHHIIiiII", 40, 50_000, 1000, 1, 8, 1, 0, 0, 0, 256, 0)
    with pytest.raises(DataError, match="a BMP of this kind takes long"):
        read_image(b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + 40 + 1024) + head + bytes(1024) + b"\xff\0" * 200)
    image = content(Image.new("P", (8, 8)), "GIF")
    begin = 13 + (3 * 2 ** (1 + image[10] % 8) if image[10] & 128 else 0)
    assert read_image(image[:begin] + b"\x21\xfe\x01a\0" * 1000 + image[begin:]).shape == (8, 8, 3)
    with pytest.raises(DataError, match="more than 100,000 parts"):
        read_image(image[:begin] + b"\x21\xfe\x01a\0" * 200_000 + image[begin:])


def test_the_limit_of_pixels_can_be_raised_and_lowered():
    data = content(Image.new("L", (200, 100)))
    assert read_image(data, max_pixels=20_000).shape == (100, 200, 3)
    with pytest.raises(DataError, match=r"200x100 is more than 0.019999 million pixels; .* raise max_pixels"):
        read_image(data, max_pixels=19_999)
    large = png(9000, 6001, 1, 0)
    with pytest.raises(DataError, match="9000x6001 is more than 50 million pixels"):
        read_image(large, (8, 8))
    assert read_image(large, (8, 8), max_pixels=60_000_000).shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (bytes(128) + b"DICM", "DICOM: export the frames as 16-bit PNG"),
        (bytes(344) + b"n+1\0", "NIfTI: export the slices"),
        (b"\x1f\x8b\x08", "compressed with gzip, as NIfTI"),
        (b"\0\0\0\x18ftypheic", "HEIC: export it as JPEG"),
        (b"\0\0\0\x18ftypavif", "AVIF: convert"),
        (b"\0\0\0\x18ftypmp42", "a film"),
        (b"\0\0\0\x0cjP  \r\n", "JPEG 2000"),
        (b"8BPS", "Photoshop"),
        (b"%PDF-1.7", "a PDF"),
        (b"\n<!doctype html>", "a web page in place of a download"),
        (b"\x93NUMPY", "an array or archive"),
        (b"", "the file is empty"),
        (b"hello", r"not an image \(PNG, JPEG, GIF, BMP, WEBP, TIFF, PPM\)"),
    ],
)
def test_what_is_not_read_is_named_with_what_to_do(start, message):
    with pytest.raises(DataError, match=message):
        read_image(start)
