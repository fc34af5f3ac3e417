"""Weights files: a tensor for every variable, named by its layer, such as stage1_conv1/kernel."""

from pathlib import Path

import numpy as np

from ..core.errors import MissingError, RunError, UsageError, check_choice
from ..core.files import as_path, read_tensors, write_tensors
from ..core.text import shown
from ..nn.inspection import whole_model

SUFFIX = ".safetensors"


def named_weights(model) -> dict[str, object]:
    """The variables that a weights file holds, by name: the layer's, then what follows it in the variable's path."""
    found = {}
    for layer in model.layers:
        for variable in layer.weights:
            tail = f"/{variable.path}".partition(f"/{layer.name}/")[2] or variable.name
            name = f"{layer.name}/{tail}"
            if name in found:
                raise UsageError(f"{model.name} has two weights that are called {name}; give its layers other names")
            found[name] = variable
    return found


def save_weights(model, path: str | Path, *, dtype: str = "float32") -> None:
    """Write the weights of a model, without its optimizer, as a .safetensors file that carries its checksum.

    Args:
        model: a Sequential or functional model, or a Run.
        path: ends in .safetensors, else UsageError; in a folder that exists, else MissingError.
        dtype: "float32", or "float16", in which kernels alone are rounded to 11 bits, half the space.
    """
    model = whole_model(model)
    check_choice("dtype", dtype, ("float32", "float16"))
    if not str(as_path("path", path)).endswith(SUFFIX):
        raise UsageError(f"a weights file is called *{SUFFIX} (Keras' own: model.save_weights); got {shown(path)}")
    arrays = {name: np.asarray(variable, np.float32) for name, variable in named_weights(model).items()}
    kind = np.float16 if dtype == "float16" else np.float32
    write_tensors(path, {name: array.astype(kind) if array.ndim > 1 else array for name, array in arrays.items()})


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """The weights in a file of save_weights, as float32, by name; RunError if it is damaged or another's."""
    path = as_path("weights", path)
    if not path.exists():
        raise MissingError(f"{path}: no such weights file (and no published weights have that name)")
    if path.suffix != SUFFIX:
        hint = f"; the weights of a run are {path / 'model.safetensors'}" * path.is_dir()
        raise RunError(f"{path}: not a {SUFFIX} file; only weights that cnn_zoo wrote are loaded{hint}")
    arrays, _ = read_tensors(path)
    for name, array in arrays.items():
        if array.dtype not in (np.float16, np.float32) or not np.isfinite(array).all():
            raise RunError(f"{path}: {name} holds something other than finite numbers of 16 or 32 bits")
    return {name: array.astype(np.float32) for name, array in arrays.items()}
