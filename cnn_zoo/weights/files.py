"""Weights files: written whole and sealed, checked before they reach a model. Nothing in them is ever executed."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np

from ..core.errors import MissingError, RunError, UsageError, check_choice, reason
from ..core.files import atomic, check_seal, seal
from ..nn.inspection import whole_model


def save_weights(model, path: str | Path, *, dtype: str = "float32") -> None:
    """Write the weights of a model, without its optimizer, as a Keras .weights.h5 file that ends in its checksum.

    Args:
        model: built by build_model, or another Sequential or functional model; or a Run.
        path: ends in .weights.h5. It is replaced as a whole.
        dtype: "float32", or "float16", in which kernels are rounded to 11 bits and take half the space; biases and what
            batch normalisation has stay as they are.

    Raises:
        UsageError: the path ends in something else, another dtype, or no model.
        MissingError: there is no such folder.
    """
    model = whole_model(model)
    check_choice("dtype", dtype, ("float32", "float16"))
    if not str(path).endswith(".weights.h5"):
        raise UsageError(f"the name of a weights file ends in .weights.h5; got {str(path)!r}")
    bare = type(model).from_config(model.get_config())  # the model itself, once fitted, would store its optimizer too
    bare.set_weights(model.get_weights())
    with atomic(path) as temporary:
        bare.save_weights(temporary)
        if dtype == "float16":
            _halve(temporary)
        seal(temporary)


def _halve(path: Path) -> None:
    """Rewrite an HDF5 file with its kernels in 16 bits."""
    import io

    import h5py

    content = io.BytesIO()
    with h5py.File(path) as full, h5py.File(content, "w") as half:

        def copy(name, item):
            if isinstance(item, h5py.Dataset):
                half.create_dataset(name, data=item[()].astype("float16" if item.ndim > 1 else "float32"))
            else:
                half.require_group(name)

        full.visititems(copy)
    path.write_bytes(content.getvalue())


def check_weights(model, path: str | Path) -> str:
    """Check that a file holds weights for a model, whose own need not be initialised; returns its SHA-256.

    Raises:
        MissingError: there is no such file.
        RunError: it is damaged, not from save_weights, of another model, or holds links or numbers that are not finite.
    """
    digest = _check_file(path)
    wanted, found = shapes_of(model), Counter(_shapes(path))
    if found != wanted:
        surplus, missing = (
            ", ".join(map(str, (a - b).elements())) or "none" for a, b in ((found, wanted), (wanted, found))
        )
        arrays = f"arrays of shape {surplus:.80} in place of {missing:.80}"
        raise RunError(f"{path}: the weights of another model: {arrays} for {model.name}")
    _shapes(path, values=True)  # only now: what fits the model fits into memory
    return digest


def shapes_of(model) -> Counter:
    """How many weights of each shape a model has."""
    return Counter(tuple(weight.shape) for weight in model.weights)


def read_shapes(path: str | Path) -> Counter:
    """How many arrays of each shape a weights file holds; raises as check_weights."""
    _check_file(path)
    return Counter(_shapes(path))


def _check_file(path: str | Path) -> str:
    """Check that there is a weights file, as it was written, and return its SHA-256 without the seal."""
    path = Path(path)
    if path.is_dir():
        raise RunError(f"{path}: a folder; the weights of a run are {path / 'model.weights.h5'}")
    if not path.is_file():
        raise MissingError(f"{path}: no such weights file (and no published weights have that name)")
    if not path.name.endswith(".weights.h5"):
        raise RunError(f"{path}: not a .weights.h5 file; only weights that cnn_zoo wrote are loaded")
    return check_seal(path)


def load_weights(model, path: str | Path) -> None:
    """Fill a model from a .weights.h5 file that save_weights wrote for the same architecture; see check_weights."""
    check_weights(model, path)
    fill(model, path)


def fill(model, path: str | Path) -> None:
    """Fill a model from a file that check_weights has passed."""
    bare = type(model).from_config(model.get_config())  # a compiled model would look for its optimizer in the file
    try:
        bare.load_weights(path)
    except Exception as error:
        raise RunError(f"{path}: the weights of another model ({reason(error)})") from None
    model.set_weights(bare.get_weights())


def _shapes(path: str | Path, *, values: bool = False) -> list[tuple[int, ...]]:
    """Shapes of all arrays in a weights file, after checking that each is plain and, with `values`, finite."""
    import h5py

    shapes = []

    def visit(group):
        for key in group:
            if group.name == "/" and key == "optimizer":
                continue
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise RunError(f"{path}: holds a link, {key!r}; such files are refused")
            child = group[key]
            if h5py.h5o.get_info(child.id).rc != 1:  # else a small file may hold paths without number
                raise RunError(f"{path}: {child.name} has two names; such files are refused")
            if isinstance(child, h5py.Group):
                visit(child)
                continue
            if child.external or child.is_virtual or child.dtype.kind != "f":
                raise RunError(f"{path}: {child.name} is not a plain array of floats")
            if child.size * child.dtype.itemsize > 64 * os.path.getsize(path):
                raise RunError(f"{path}: {child.name} claims shape {child.shape}, more than the file can hold")
            if values and not np.isfinite(child[()]).all():
                raise RunError(f"{path}: {child.name} holds numbers that are not finite")
            shapes.append(child.shape)

    try:
        with h5py.File(path, "r") as file:
            visit(file)
    except RunError:
        raise
    except Exception as error:
        raise RunError(f"{path}: damaged or not a weights file ({reason(error)})") from None
    return shapes
