"""Writing files whole or not at all, with a checksum by which a later change is noticed, and one writer a folder.

A checksum here guards against accidents, not against people: who changes a file on purpose can change that too. What is
read is checked as if it were hostile all the same.
"""

import contextlib
import csv
import errno
import hashlib
import io
import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import UnionType
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from .errors import MissingError, RunError, UsageError, reason
from .text import shown

TEMPORARY = ".cnn_zoo-"  # how the names of half-written files begin: nobody else's, for they are removed
CHECKSUM = "cnn_zoo_sha256"  # in the header, of everything else
TEXT = {"encoding": "utf-8", "errors": "backslashreplace"}  # a byte of a file name that is not UTF-8 is \udcXX
MAX_RECORD = 10_000_000  # bytes of a JSON or CSV file


def as_path(name: str, value: Any) -> Path:
    """The value as a path that the system can take, whether or not something is there, else UsageError."""
    try:
        path = Path(value)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            os.lstat(path)
    except (TypeError, ValueError, OSError) as error:  # of NUL, of other kinds; names of thousands of letters, loops
        raise UsageError(f"{name} must be a path; got {shown(value)} ({reason(error, 60)})") from None
    return path


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it takes the name when the block ends well, and goes if not.

    The data is on the disk before the name is: after a crash the file is the old one or the new one.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise MissingError(f"{path}: there is no folder {path.parent}")
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}.{path.name}")  # keeps the ending, which Keras looks at
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        if os.name == "posix":
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        error.filename = error.filename or str(path)  # which a full disk is told without
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: dict[str, Any]) -> None:
    """Write a JSON file atomically, with the SHA-256 of everything else in it as its last entry."""
    write_text(path, _sealed_json(value))


def is_plain(value: Any, kinds: type | UnionType = int | float | str | None) -> bool:
    """Whether a value, or all in a list or dictionary of any depth, are of these kinds."""
    values = value.values() if isinstance(value, dict) else value
    return all(is_plain(item, kinds) for item in values) if isinstance(value, dict | list) else isinstance(value, kinds)


def read_json(path: Path) -> dict[str, Any]:
    """Read what write_json wrote; a RunError if that is not JSON, or was changed since."""
    text = read_text(path)
    try:
        value = json.loads(text)
        unchanged = isinstance(value, dict) and value.pop("sha256", None) and text == _sealed_json(value)
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged ({reason(error)})") from None
    if not unchanged:
        raise RunError(f"{path} is damaged or was changed since it was written: its checksum does not fit")
    return value


def _sealed_json(value: dict[str, Any]) -> str:
    def dump(value):
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        return text.encode("utf-8", "backslashreplace").decode()  # as JSON has surrogates, of paths that are not UTF-8

    return dump(value | {"sha256": hashlib.sha256(dump(value).encode()).hexdigest()})


def read_text(path: Path) -> str:
    """The text of a UTF-8 file; a RunError if it is larger than a record of a training can be, or not UTF-8."""
    if path.stat().st_size > MAX_RECORD:
        raise RunError(f"{path} is damaged (larger than {MAX_RECORD // 10**6} MB)")
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise RunError(f"{path} is damaged ({error.reason})") from None


def checksum(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_tensors(path: str | Path, tensors: dict[str, np.ndarray], about: dict[str, str] | None = None) -> None:
    """Write arrays with names, and texts about them, as a .safetensors file with its own checksum, atomically."""
    tensors = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    about = about or {}
    with atomic(path) as temporary:
        try:
            save_file(tensors, temporary, about | {CHECKSUM: digest(tensors, about)})
        except SafetensorError as error:  # a full disk, say: no OSError, and without the name of the file
            raise OSError(errno.EIO, reason(error)) from None


def read_tensors(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """What write_tensors wrote, arrays and texts; MissingError: no such file, RunError: another kind, or damaged."""
    path = Path(path)
    if path.is_dir():
        raise RunError(f"{path}: a folder, not a file of weights")
    if not path.is_file():
        raise MissingError(f"{path}: no such file")
    try:
        with safe_open(path, "numpy") as file:
            about = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except Exception as error:  # a Rust type of its own; types of numbers that NumPy does not have
        raise RunError(f"{path}: damaged, or not a .safetensors file ({reason(error)})") from None
    written = about.pop(CHECKSUM, None)
    if written is None:
        raise RunError(f"{path}: not written by cnn_zoo, for it holds no checksum; load_torch_weights reads PyTorch's")
    if digest(tensors, about) != written:
        raise RunError(f"{path}: damaged or changed since it was written: its checksum does not fit")
    return tensors, about


def digest(tensors: dict[str, np.ndarray], about: dict[str, str]) -> str:
    """SHA-256 of names, types, shapes and values, and of the texts."""
    found = hashlib.sha256(repr(sorted(about.items())).encode())
    for name, array in sorted(tensors.items()):
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def write_csv(path: str | Path, columns: dict[str, list]) -> None:
    """Write columns of equal length atomically."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([columns, *zip(*columns.values(), strict=True)])
    write_text(path, out.getvalue())


def check_new_file(path: str | Path) -> None:
    """Before work is done for it: RunError or MissingError if a file cannot be written there, or something is there."""
    path = Path(path)
    if path.is_dir():
        raise RunError(f"{path} is a folder; name a file in it")
    if os.path.lexists(path):
        raise RunError(f"{path} is there already; choose another name, or remove it")
    if not path.parent.is_dir():
        raise MissingError(f"{path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise RunError(f"no permission to write in {path.parent}")


@contextlib.contextmanager
def csv_rows(path: str | Path, *last: str) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A function that takes the rows of a table one at a time; the file is there, whole, when the block ends well.

    The first row that has more than a "file" and `last`, further columns which a row may do without, says what columns
    there are; what comes before it waits. A value may be a list of texts, or a dictionary: its entries are columns of
    their own, KEY_NAME. What a spreadsheet would take for a formula has an apostrophe before it.
    """
    with atomic(path) as temporary, open(temporary, "w", newline="", **TEXT) as out:
        writer, heads, waiting = csv.writer(out, lineterminator="\n"), [], []

        def write(row: dict[str, Any]) -> None:
            nonlocal heads
            flat = {}
            for key, value in row.items():
                parts = {f"_{name}": one for name, one in value.items()} if isinstance(value, dict) else {"": value}
                flat |= {key + part: one for part, one in parts.items()}
            waiting.append(flat)
            if not heads and flat.keys() - {"file", *last}:
                heads = [key for key in flat if key not in last] + list(last)
                writer.writerow(map(_cell, heads))
            if heads:
                writer.writerows([_cell(row.get(key, "")) for key in heads] for row in waiting)
                waiting.clear()

        yield write


def _cell(value: Any) -> Any:
    """A number with the digits that 32 bits hold; a list with bars between; text that is no formula."""
    if isinstance(value, float):
        return f"{value:.7g}"
    value = "|".join(value) if isinstance(value, list) else value
    formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if formula else value


@contextlib.contextmanager
def json_rows(path: str | Path, *last: str) -> Iterator[Callable[[dict[str, Any]], None]]:
    """As csv_rows, for a JSON list of objects; what is no finite number is null."""
    with atomic(path) as temporary, open(temporary, "w", **TEXT) as out:
        between = "\n"
        out.write("[")

        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: plain(one) for key, one in value.items()}
            return value if not isinstance(value, float) else float(f"{value:.7g}") if math.isfinite(value) else None

        def write(row: dict[str, Any]) -> None:
            nonlocal between
            out.write(between + json.dumps(plain(row), ensure_ascii=False))
            between = ",\n"

        yield write
        out.write("\n]\n")


@contextlib.contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which ends with the process however that ends; clear what a killed one left half-written.

    Another process that holds it is a RunError. Where the file system knows no locks, nothing is held.
    """
    with contextlib.ExitStack() as held:
        try:
            if os.name == "nt":
                import msvcrt

                msvcrt.locking(held.enter_context(open(folder / ".lock", "a")).fileno(), msvcrt.LK_NBLCK, 1)
            else:  # of the folder itself, so that no file stays behind
                import fcntl

                descriptor = os.open(folder, os.O_RDONLY)
                held.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise RunError(f"{folder} is being written to by another process") from None
        except OSError:
            pass
        for left in folder.glob(f"{TEMPORARY}*"):
            left.unlink(missing_ok=True)
        yield
