"""Writing files whole or not at all, with a checksum by which a later change is noticed, and one writer a folder.

A checksum here guards against accidents, not against people: who changes a file on purpose can change that too. What is
read is checked as if it were hostile all the same.
"""

import contextlib
import csv
import hashlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .errors import MissingError, RunError, reason

TEMPORARY = ".cnn_zoo-"  # how the names of half-written files begin: nobody else's, for they are removed
CHECKSUM = "cnn_zoo_sha256"  # in the header, of everything else
MAX_RECORD = 50_000_000  # bytes of a JSON or CSV file


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
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: dict[str, Any]) -> None:
    """Write a JSON file atomically, with the SHA-256 of everything else in it as its last entry."""
    write_text(path, _sealed_json(value))


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
    from safetensors.numpy import save_file

    tensors = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    about = about or {}
    with atomic(path) as temporary:
        save_file(tensors, temporary, about | {CHECKSUM: digest(tensors, about)})


def read_tensors(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """What write_tensors wrote, arrays and texts; MissingError: no such file, RunError: another kind, or damaged."""
    from safetensors import safe_open

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
