"""Files of images as containers: which format one is of, and those of its parts that pixels need.

Metadata is left out before Pillow sees it, so that what is damaged or endless there costs neither the pixels nor time.
"""

import contextlib
import re
import struct
from typing import Any

from ..core.errors import DataError

MAX_BYTES = 200_000_000
MOST_PARTS = 100_000  # chunks or segments of a file
MOST_SCANS = 100  # of a progressive JPEG, each of which is as long as decoding all; ten are usual
MAGIC = (
    (rb"\x89PNG\r\n\x1a\n", "PNG"), (rb"\xff\xd8\xff", "JPEG"), (rb"GIF8", "GIF"), (rb"BM", "BMP"),
    (rb"RIFF....WEBP", "WEBP"), (rb"II[*+]\0|MM\0[*+]", "TIFF"), (rb"P[1-6]\s|Pf\s", "PPM"),
)  # fmt: skip
FORMATS = tuple(name for _, name in MAGIC)
OTHERS = (  # what is often taken for an image that can be read, and what to do with it
    (rb".{128}DICM", "DICOM: export the frames as 16-bit PNG or TIFF (pydicom reads them)"),
    (rb".{344}(n\+1|ni1)\0|\x6e\x2b\x32\0", "NIfTI: export the slices as 16-bit PNG or TIFF (nibabel reads it)"),
    (rb"\x1f\x8b", "compressed with gzip, as NIfTI volumes are: unpack it and export its slices as PNG or TIFF"),
    (rb"....ftyp(hei|hev|mif1|msf1)", "HEIC: export it as JPEG (iPhone: Settings, Camera, Formats, Most Compatible)"),
    (rb"....ftypavi[fs]", "AVIF: convert it to PNG or JPEG"),
    (rb"....ftyp|RIFF....AVI |\x1a\x45\xdf\xa3", "a film: export its frames as PNG or JPEG"),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "JPEG 2000: convert it to PNG or TIFF"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "JPEG XL: convert it to PNG or JPEG"),
    (rb"8BPS", "a Photoshop document: export it as PNG"),
    (rb"%PDF", "a PDF: export its pages as PNG"),
    (rb"(\xef\xbb\xbf)?\s*(?i:<(\?xml|svg|html|!doctype))", "XML or HTML: SVG, or a web page in place of a download"),
    (rb"\x93NUMPY|PK\x03\x04", "an array or archive: load it and pass the array, or unpack it"),
    (rb"\x89HDF|SIMPLE  =", "HDF5 or FITS: export the images as 16-bit PNG or TIFF"),
)  # fmt: skip
RAW = (".dng", ".nef", ".cr2", ".cr3", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw")


def kind_of(name: str, file: Any) -> str:
    """The format of an open file, by what it begins with; a DataError that says what to do with another one."""
    start = file.read(512)
    file.seek(0)
    if not start:
        raise DataError(f"{name}: the file is empty")
    kind = next((kind for magic, kind in MAGIC if re.match(magic, start, re.DOTALL)), None)
    if kind and not (kind == "TIFF" and name.lower().endswith(RAW)):
        return kind
    known = [text for magic, text in OTHERS if re.match(magic, start, re.DOTALL)]
    known += ["a camera's raw file: export it as JPEG or PNG"] * (kind == "TIFF")
    raise DataError(f"{name}: {known[0]}" if known else f"{name}: not an image ({', '.join(FORMATS)})")


def pixels_only(name: str, file: Any, kind: str, header: bool = False) -> tuple[bytes, int]:
    """The content without metadata, up to the pixels if only the header is wanted, and the orientation, 1 to 8."""
    return {"PNG": _png, "JPEG": _jpeg, "WEBP": _webp, "GIF": _gif, "TIFF": _tiff}.get(kind, _as_it_is)(
        name, file, header
    )


def orientation(exif: bytes, xmp: bytes = b"") -> int:
    """The orientation, 1 to 8, in a block of Exif, or else of XMP; 1, as stored, where there is none to be read."""
    exif = exif.removeprefix(b"Exif\0\0")
    if place := _place_of_orientation(exif):
        return int.from_bytes(exif[place : place + 2], "little" if exif[:2] == b"II" else "big")
    found = re.search(rb'tiff:Orientation(?:="|>)([1-8])', xmp)
    return int(found[1]) if found else 1


def _place_of_orientation(exif: bytes) -> int:
    """Where two bytes of the orientation are in a TIFF, as Exif is one; 0 if it has none."""
    with contextlib.suppress(struct.error, IndexError):
        if order := {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4]):
            (begin,) = struct.unpack_from(f"{order}I", exif, 4)
            (count,) = struct.unpack_from(f"{order}H", exif, begin)
            for entry in range(begin + 2, begin + 2 + 12 * count, 12):
                tag, kind, *_ = struct.unpack_from(f"{order}HHIH", exif, entry)
                if tag == 0x112 and kind in (3, 4):  # of 16 or 32 bits
                    return entry + (10 if kind == 4 and order == ">" else 8)
    return 0


def _tiff(name: str, file: Any, header: bool) -> tuple[bytes, int]:
    """With the orientation 1, by which Pillow would turn it."""
    content = _content(name, file)
    turn = orientation(content)
    if turn != 1:
        place, order = _place_of_orientation(content), "little" if content[:2] == b"II" else "big"
        content = content[:place] + (1).to_bytes(2, order) + content[place + 2 :]
    return content, turn


def _as_it_is(name: str, file: Any, header: bool) -> tuple[bytes, int]:
    return _content(name, file), 1


def _content(name: str, file: Any) -> bytes:
    content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise DataError(f"{name}: larger than {MAX_BYTES // 10**6} MB")
    return content


def _count(name: str, parts: int) -> None:
    if parts > MOST_PARTS:
        raise DataError(f"{name}: more than {MOST_PARTS:,} parts, most of them without pixels")


def _png(name: str, file: Any, header: bool) -> tuple[bytes, int]:
    """The chunks that pixels need."""
    kept, exif, xmp, parts, length = [file.read(8)], b"", b"", 0, 0
    while len(head := file.read(8)) == 8:
        size, kind = struct.unpack(">I4s", head)
        _count(name, parts := parts + 1)
        if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND") and not (header and kind == b"IDAT" and length):
            kept += [head, file.read(size + 4)]
            length += kind == b"IDAT"
        elif kind in (b"eXIf", b"iTXt") and size < 2**20:
            content = file.read(size + 4)[:-4]
            exif, xmp = (content, xmp) if kind == b"eXIf" else (exif, content)
        else:
            file.seek(size + 4, 1)
        if kind == b"IEND":
            break
    return b"".join(kept), orientation(exif, xmp)


def _jpeg(name: str, file: Any, header: bool) -> tuple[bytes, int]:
    """The segments that pixels need, to the end of the first image."""
    kept, exif, xmp, parts = [file.read(2)], b"", b"", 0
    while len(mark := file.read(2)) == 2:
        _count(name, parts := parts + 1)
        while mark[:1] == b"\xff" and mark[1:] == b"\xff":  # padding
            mark = mark[:1] + file.read(1)
        size = file.read(2)
        if mark[:1] != b"\xff" or len(size) < 2:
            break
        rest = max(0, struct.unpack(">H", size)[0] - 2)
        if mark[1] == 0xE1 and not (exif and xmp):
            content = file.read(rest)
            if content.startswith(b"Exif\0\0"):
                exif = exif or content
            else:
                xmp = xmp or content
        elif mark[1] == 0xFE or (0xE0 <= mark[1] <= 0xEF and mark[1] not in (0xE0, 0xEE)):
            file.seek(rest, 1)
        else:
            kept += [mark, size, file.read(rest)]
        if mark[1] == 0xDA:
            kept.append(b"" if header else _scans(name, _content(name, file)))
            break
    return b"".join(kept), orientation(exif, xmp)


def _scans(name: str, content: bytes) -> bytes:
    """What follows the first scan's head up to the end of the image; a film may come after that."""
    at, scans = 0, 1
    for _ in range(MOST_PARTS):
        found = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]").search(content, at)
        if not found:
            return content
        if found[0] == b"\xff\xd9":
            return content[: found.end()]
        scans += found[0] == b"\xff\xda"
        if scans > MOST_SCANS:
            raise DataError(f"{name}: a JPEG of more than {MOST_SCANS} scans, which takes long; save it anew")
        at = found.end() + int.from_bytes(content[found.end() : found.end() + 2])
    raise DataError(f"{name}: a JPEG of more than {MOST_PARTS:,} parts")


def _webp(name: str, file: Any, header: bool) -> tuple[bytes, int]:
    content = _content(name, file)
    at, exif, xmp, parts = 12, b"", b"", 0
    while at + 8 <= len(content):
        _count(name, parts := parts + 1)
        kind, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        if kind in (b"EXIF", b"XMP "):
            found = content[at + 8 : at + 8 + min(size, 2**20)]
            exif, xmp = (found, xmp) if kind == b"EXIF" else (exif, found)
        at += 8 + size + size % 2
    return content, orientation(exif, xmp)


def _gif(name: str, file: Any, header: bool) -> tuple[bytes, int]:
    """Without comments before the first image."""
    content = _content(name, file)
    table = 3 * 2 ** (1 + content[10] % 8) if len(content) > 10 and content[10] & 128 else 0
    at, parts, controls = 13 + table, 0, b""
    while content[at : at + 1] == b"\x21":
        begin, at = at, at + 2
        while at < len(content) and content[at]:
            _count(name, parts := parts + 1)
            at += 1 + content[at]
        at += 1
        if content[begin + 1 : begin + 2] == b"\xf9":  # which colour is transparent
            controls = content[begin:at]
    return content[: 13 + table] + controls + content[at:], 1
