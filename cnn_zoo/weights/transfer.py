"""Weights of one net in another that differs in its head, and layers that keep them while the rest is trained."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from ..core.errors import UsageError, reason, unknown
from ..nn.inspection import HEADS, shapes_only, stages, whole_model
from .files import load_weights, read_shapes, shapes_of


def load_own(model, path: str | Path, build: Callable[[int], Any]) -> None:
    """Fill a model from a weights file that `train` or save_weights wrote for it or for the same net with another head.

    Args:
        build: number of classes -> the same net with its top.

    Raises:
        RunError, MissingError: as weights.check_weights does.
    """
    shapes, wanted = read_shapes(path), shapes_of(model)
    if shapes != wanted and shapes.total() < wanted.total() + 10:  # a top has six arrays at most; no endless search
        for classes in _numbers_of_classes(shapes):
            with shapes_only():
                fits = shapes_of(build(classes)) == shapes
            if fits:
                source = build(classes)
                load_weights(source, path)
                copy_weights(model, source, str(path), {})
                return
    load_weights(model, path)


def _numbers_of_classes(shapes: Collection[tuple[int, ...]]) -> list[int]:
    """For how many classes a net with weights of these shapes may be, the likeliest first: each is tried.

    The head has a bias, and is a fully connected layer or a convolution of single pixels.
    """
    biases = {shape[0] for shape in shapes if len(shape) == 1}
    dense = {shape[-1] for shape in shapes if len(shape) == 2} & biases
    pixels = {shape[-1] for shape in shapes if len(shape) == 4 and shape[:2] == (1, 1)} & biases
    return [*sorted(dense), *sorted(pixels - dense)]


def copy_weights(model, source, origin: str, options: dict[str, Any]) -> bool:
    """Copy weights layer by layer; returns whether the last layer, if there is one, got its own too.

    Raises:
        UsageError: a layer has other weights in the source, or one that has weights there is missing, unless it comes
            after the last stage and the model has no head.
    """
    trained = {layer.name: layer.get_weights() for layer in source.layers if layer.weights}
    here = {layer.name: layer for layer in model.layers if layer.weights}
    message, new_head = f"the weights of {origin} are for a model with {options}: ", None
    for name, layer in here.items():
        wanted = [tuple(weight.shape) for weight in layer.weights]
        found = [weight.shape for weight in trained.get(name, ())]
        if wanted == found:
            layer.set_weights(trained[name])
        elif name in HEADS and [shape[:-1] for shape in wanted] == [shape[:-1] for shape in found]:
            new_head = name
        else:
            raise UsageError(f"{message}{name} has weights of shape {wanted} here, {found or 'none'} there")
    has_head = any(name in HEADS for name in here)
    names = [layer.name for layer in source.layers]
    ends = list(stages(source).values())
    top = [] if has_head or not ends else names[names.index(ends[-1]) + 1 :]
    if missing := [name for name in trained if name not in here and name not in top]:
        raise UsageError(f"{message}{', '.join(missing):.80} missing here")
    if new_head:
        warnings.warn(
            f"{model.name}: all layers but {new_head!r} have the weights of {origin}; that one is random, for "
            f"{model.output_shape[-1]} classes in place of {source.output_shape[-1]}",
            stacklevel=4,
        )
    return has_head and not new_head


def freeze(model, until: str | None = None):
    """Make the first layers of a model keep their weights while the rest is trained on another data set.

    Batch normalisation among them computes with the means and variances that it has, in training too. A model that is
    compiled is compiled again, as it was and with a new optimizer, for Keras reads the flags then only; with a loss or
    metric that is no class of Keras' it has to be compiled by the caller, and a warning says so.

    Args:
        model: a Keras model with layers named as the zoo's are, or a Run.
        until: a stage such as "stage3", or a layer, that is the last one to be frozen, after all before it; None: all
            but the last layer that has weights. What was frozen before and comes later is freed.

    Returns:
        The model, changed.

    Raises:
        UsageError: no model with layers, or none of that name.
    """
    model = whole_model(model)
    if until is not None and not isinstance(until, str):
        raise UsageError(f"until must be the name of a stage or layer; got {until!r:.80}")
    names = [layer.name for layer in model.layers]
    if until is None:
        weighty = [layer.name for layer in model.layers if layer.weights]
        if len(weighty) < 2:
            raise UsageError(f"{model.name} has no layer with weights to freeze before the last one")
        until = names[names.index(weighty[-1]) - 1]
    last = stages(model).get(until, until)
    if last not in names:
        raise UsageError(unknown(f"layer of {model.name}", until, [*stages(model), *names]))
    for number, layer in enumerate(model.layers):
        layer.trainable = number > names.index(last)
    if model.compiled:
        try:
            model.compile_from_config(model.get_compile_config())
        except Exception as error:  # of whatever kind the functions of others raise
            model.compiled = False
            warnings.warn(
                f"{model.name}: compile it again before it is trained; Keras cannot make its loss or metrics anew "
                f"({reason(error)})",
                stacklevel=2,
            )
    return model
