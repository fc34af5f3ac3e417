"""Weights of one net in another that differs in its head, and layers that keep them while the rest is trained."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import UsageError, unknown
from .explain import stages
from .registry import shapes_only
from .weights import load_weights, read_shapes, shapes_of

HEADS = ("predictions", "predictions_conv")  # layers whose weights depend on the number of classes


def load_own(model, path: str | Path, build: Callable[[int], Any]) -> None:
    """Fill a model from a weights file that `train` or save_weights wrote for it or for the same net with another head.

    Args:
        build: number of classes -> the same net with its top.

    Raises:
        RunError, MissingError: as weights.check_weights does.
    """
    shapes, wanted = read_shapes(path), shapes_of(model)
    if shapes != wanted and shapes.total() < wanted.total() + 10:  # a top has six arrays at most; no endless search
        for classes in sorted({shape[0] for shape in shapes if len(shape) == 1}):  # biases: one is the head's
            with shapes_only():
                fits = shapes_of(build(classes)) == shapes
            if fits:
                source = build(classes)
                load_weights(source, path)
                copy_weights(model, source, str(path), {})
                return
    load_weights(model, path)


def copy_weights(model, source, origin: str, options: dict[str, Any]) -> bool:
    """Copy weights layer by layer; returns whether the last layer, if there is one, got its own too."""
    trained = {layer.name: layer.get_weights() for layer in source.layers}
    new_head = None
    for layer in model.layers:
        wanted = [tuple(weight.shape) for weight in layer.weights]
        found = [weight.shape for weight in trained.get(layer.name, ())]
        if wanted == found:
            layer.set_weights(trained[layer.name])
        elif layer.name in HEADS:
            new_head = layer.name
        else:
            raise UsageError(
                f"the weights of {origin} are for a model with {options}: "
                f"{layer.name} has weights of shape {wanted} here, {found or 'none'} there"
            )
    if new_head:
        warnings.warn(
            f"{model.name}: all layers but {new_head!r} have the weights of {origin}; that one is random, for "
            f"{model.output_shape[-1]} classes in place of {source.output_shape[-1]}",
            stacklevel=4,
        )
    return not new_head and any(layer.name in HEADS for layer in model.layers)


def freeze(model, until: str | None = None):
    """Make the first layers of a model keep their weights while the rest is trained on another data set.

    Batch normalisation among them computes with the means and variances that it has, in training too. A model that is
    compiled is compiled again, as it was and with a new optimizer, for Keras reads the flags then only.

    Args:
        model: a Keras model with layers named as the zoo's are, or a Run.
        until: a stage such as "stage3", or a layer, that is the last one to be frozen, after all before it; None: all
            but the last layer that has weights. What was frozen before and comes later is freed.

    Returns:
        The model, changed.
    """
    model = getattr(model, "model", model)
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
        model.compile_from_config(model.get_compile_config())
    return model
