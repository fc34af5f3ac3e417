"""Weights of PyTorch models, torchvision's or timm's, in a Keras model of the zoo. Nothing is unpickled.

A family's file says what its layers are called in torchvision: rows of (pattern, replacement), where the pattern must
match the whole name of a Keras layer, without the _norm of a normalisation. In a replacement, besides groups such as
\\1, <conv|bn> is "conv" for the layer and "bn" for its normalisation, <\\2-1> is arithmetic, <index> the position in a
torch.nn.Sequential of the convolutions, normalisations, activations and poolings so far, and <block> the number of the
block, counted through all stages. Where timm's names are not torchvision's, timm.csv has its rows of a family.
"""

import csv
import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from ..core.errors import MissingError, RunError, UsageError, reason
from ..core.text import shown
from ..models.registry import SMALL_BELOW, entry, list_models
from ..nn.inspection import HEADS, block_of, whole_model

IGNORED = re.compile(r".*\.num_batches_tracked|AuxLogits\..*|aux\d\..*")  # counters, and heads for training only
SUFFIXES = {"beta": "bias", "bias": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
TOP = ("fc1", "fc2", *HEADS)  # what include_top=False leaves out


def load_torch_weights(model, source: str | Path | Mapping[str, Any]) -> None:
    """Fill a model of the zoo from the state dict of the same model in torchvision or timm.

    Args:
        model: from build_model, in the layout (and with batch_norm) that the weights are for; or a Run. With another
            number of classes the last layer stays random, and a warning says so; without the top, the weights of the
            head are left out.
        source: a .safetensors file, or a mapping of names to arrays or tensors, such as torch_model.state_dict().

    Raises:
        MissingError: no such file.
        RunError: not a whole .safetensors file (pickled ones are refused); or tensors that were not used, weights that
            were not filled, wrong shapes: they are listed, and the model is left as it was.
        UsageError: the model has no counterpart in torchvision or timm; or an argument is of another kind.
    """
    tensors = {name: tensor for name, tensor in _read(source).items() if not IGNORED.fullmatch(name)}
    model = whole_model(model)
    if model.name not in list_models() or not entry(model.name).torch:
        raise UsageError(f"{model.name} has no counterpart in torchvision or timm whose names are known")
    with open(Path(__file__).with_name("timm.csv"), newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if entry(model.name).family in row["families"].split()]
    tables = (entry(model.name).torch, [(row["layer"], row["timm"]) for row in rows])
    table = max(tables, key=lambda table: len(_wanted(model, table).keys() & tensors.keys()))
    wanted = _wanted(model, table)
    whole = any(layer.name == "predictions" for layer in model.layers)
    left_out = () if whole else [_module(name, table, {}, {}) for name in TOP]

    values, problems, other_classes = [], [], _other_classes(model, wanted, tensors)
    for name, (layer, variable) in wanted.items():
        if name not in tensors:
            problems.append(f"{variable.path} is not filled: {name} is missing")
            continue
        value = _arrange(tensors[name], layer, variable, model)
        if value is not None:
            values.append((variable, value))
        elif not (other_classes and layer.name.startswith(HEADS)):
            problems.append(f"{name} of shape {tensors[name].shape} does not fit {variable.path} {variable.shape}")
    unused = (name for name in tensors if name not in wanted and name.rpartition(".")[0] not in left_out)
    problems += [f"{name} is not used" for name in unused]
    if problems:
        more = f"; and {len(problems) - 10} more" if len(problems) > 10 else ""
        small = any(side and side < SMALL_BELOW for side in model.input_shape[1:3])
        stem = small and wanted.keys() <= tensors.keys()  # the same net, but for the shapes of a few weights
        hint = '; for images this small build it with layout="paper"' * stem
        raise RunError(f"these weights do not fit {model.name}: {'; '.join(problems[:10])}{more}{hint}")
    for variable, value in values:
        variable.assign(value)
    if other_classes:
        classes = f"{model.output_shape[-1]} classes, the weights have {other_classes}"
        warnings.warn(f"{HEADS[0]} has {classes}: it keeps its random weights", stacklevel=2)


def _other_classes(model, wanted, tensors) -> int | None:
    """For how many classes the head of these weights is, if that is all in which it differs from the model's."""
    head = [(tensors.get(name), *where) for name, where in wanted.items() if where[0].name.startswith(HEADS)]
    rows = {np.shape(tensor)[:1] for tensor, _, _ in head}  # PyTorch has the classes first
    if len(rows) != 1 or rows <= {(), (0,), (model.output_shape[-1],)}:
        return None
    resized = [(np.zeros((var.shape[-1], *tensor.shape[1:])), layer, var) for tensor, layer, var in head]
    fits = all(_arrange(*one, model) is not None for one in resized)
    return rows.pop()[0] if fits else None


def _read(source: Any) -> dict[str, np.ndarray]:
    if isinstance(source, Mapping):
        return {str(name): _floats(tensor, shown(name)) for name, tensor in source.items()}
    if not isinstance(source, str | os.PathLike):
        raise UsageError(f"weights are a .safetensors file or a mapping of names to arrays; got {shown(source)}")
    path = Path(os.fspath(source))
    if path.suffix != ".safetensors":
        raise RunError(f"{path}: only .safetensors files are read; pickled ones could run code")
    if not path.is_file():
        raise MissingError(f"{path}: no such weights file")
    try:
        tensors = load_file(path)
    except Exception as error:  # a Rust type of its own
        raise RunError(f"{path}: damaged or not a .safetensors file ({reason(error)})") from None
    return {name: _floats(tensor, f"{path}: {name}") for name, tensor in tensors.items()}


def _floats(tensor: Any, what: str) -> np.ndarray:
    """An array or tensor of PyTorch as float32, if it is one and finite."""
    try:
        with np.errstate(over="ignore"):
            tensor = np.asarray(tensor.detach().cpu().float() if hasattr(tensor, "detach") else tensor, np.float32)
    except Exception as error:
        raise RunError(f"{what} is not an array of numbers ({reason(error)})") from None
    if not np.isfinite(tensor).all():
        raise RunError(f"{what} holds numbers that are not finite")
    return tensor


def _wanted(model, table) -> dict[str, tuple[Any, Any]]:
    """PyTorch's name of every weight of the model -> (layer, variable)."""
    wanted, places = {}, _positions(model)
    for layer in model.layers:
        module = _module(layer.name, table, *places) or f"<no name for {layer.name}>"
        for variable in layer.weights:
            wanted[f"{module}.{SUFFIXES.get(variable.name, 'weight')}"] = (layer, variable)
    return wanted


def _module(name: str, table, positions: dict[str, int], blocks: dict[str, int]) -> str | None:
    for pattern, replacement in table:
        if match := re.fullmatch(pattern, name.removesuffix("_norm")):
            text = match.expand(re.sub(r"<(\w+)\|(\w+)>", r"\2" if name.endswith("_norm") else r"\1", replacement))
            text = text.replace("<index>", str(positions.get(name))).replace("<block>", str(blocks.get(name)))
            return re.sub(r"<(\d+)([+-])(\d+)>", lambda m: str(int(m[1]) + int(m[2] + m[3])), text)
    return None


def _positions(model) -> tuple[dict[str, int], dict[str, int]]:
    """Position in a torch.nn.Sequential, and running number of the block, of each layer."""
    positions, blocks, position, seen = {}, {}, 0, {}
    for layer in model.layers:
        positions[layer.name] = position
        kind = type(layer).__name__
        position += kind in ("Conv2D", "BatchNormalization", "Activation", "MaxPooling2D")
        position += kind == "Conv2D" and layer.get_config()["activation"] != "linear"
        if block := block_of(layer.name):
            blocks[layer.name] = seen.setdefault(block, len(seen) + 1)
    return positions, blocks


def _arrange(tensor: np.ndarray, layer, variable, model) -> np.ndarray | None:
    """The tensor in Keras' order of dimensions, or None when its shape does not fit."""
    kind, shape = type(layer).__name__, tuple(variable.shape)
    if variable.name in ("kernel", "depthwise_kernel") and tensor.ndim in (2, 4):
        if kind == "Dense":
            tensor = _flattened(tensor, model, layer)
        elif tensor.ndim == 4:
            tensor = tensor.transpose((2, 3, 0, 1) if kind == "DepthwiseConv2D" else (2, 3, 1, 0))
    return tensor.astype(np.float32) if tensor.shape == shape else None


def _flattened(tensor: np.ndarray, model, layer) -> np.ndarray:
    """(out, in) to (in, out); behind a Flatten, from channels first to channels last."""
    before = model.layers[model.layers.index(layer) - 1]
    tensor = tensor.reshape(len(tensor), -1)
    if type(before).__name__ == "Flatten":
        height, width, channels = before.input.shape[1:]
        if tensor.shape[1] == height * width * channels:
            tensor = tensor.reshape(-1, channels, height, width).transpose(0, 2, 3, 1).reshape(len(tensor), -1)
    return tensor.T
