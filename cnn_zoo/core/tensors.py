"""Arrays with names in one .safetensors file that carries its own checksum. Nothing in such a file is ever executed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from .errors import MissingError, RunError, reason
from .files import atomic

CHECKSUM = "cnn_zoo_sha256"  # in the header, of everything else


def write_tensors(path: str | Path, tensors: dict[str, np.ndarray], about: dict[str, str] | None = None) -> None:
    """Write arrays, and texts about them, as a whole or not at all."""
    from safetensors.numpy import save_file

    tensors = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    about = about or {}
    with atomic(path) as temporary:
        save_file(tensors, temporary, about | {CHECKSUM: digest(tensors, about)})


def read_tensors(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read what write_tensors wrote: the arrays, and the texts about them.

    No such file is a MissingError; one of another kind, damaged or changed since is a RunError.
    """
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
