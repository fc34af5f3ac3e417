"""Weights of one net in another that may differ in its head, and layers that keep them while the rest is trained."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..core.errors import RunError, UsageError, reason, unknown
from ..nn.inspection import HEADS, stage_of, stages, whole_model
from .files import named_weights


class ModelMismatch(RunError):
    """Weights of another net."""


def copy_weights(model, tensors: dict[str, np.ndarray], origin: str, *, any_head: bool = True) -> bool:
    """Give a model the tensors that are named as its weights; it is left as it was if they do not fit.

    Args:
        origin: where they are from, for messages.
        any_head: with another number of classes the last layer keeps its values, and a warning says so; a model without
            its top takes what it has.

    Returns:
        Whether the last layer, if there is one, got its own too.

    Raises:
        ModelMismatch (a RunError): a weight is missing on either side, or is of another shape.
    """
    variables = named_weights(model)
    strange = misfits(variables, tensors, any_head)
    if strange is None:
        raise ModelMismatch(
            f"{origin}: the weights of another model: {_difference(variables, tensors)} of {model.name}"
        )
    for name, variable in variables.items():
        if name not in strange:
            variable.assign(tensors[name])
    if strange:
        head = sorted(strange)[0].partition("/")[0]
        warnings.warn(
            f"{model.name}: all layers but {head!r} have the weights of {origin}; that one is random, for "
            f"{model.output_shape[-1]} classes in place of {_classes(tensors, strange)}",
            stacklevel=3,
        )
    return not strange and any(name.partition("/")[0] in HEADS for name in variables)


def initialize(model, tensors: dict[str, np.ndarray], origin: str) -> None:
    """As copy_weights, of all weights, for a model that was built inside shapes_only and has no values yet.

    So a file may ask for any net: what does not fit is found before there is one.
    """
    variables = named_weights(model)
    if misfits(variables, tensors, any_head=False) is None:
        raise ModelMismatch(
            f"{origin}: the weights of another model: {_difference(variables, tensors)} of {model.name}"
        )
    values = {id(variable): tensors[name] for name, variable in variables.items()}
    for variable in model.variables:  # Keras has no public name for either
        if id(variable) in values:
            variable._initialize(values[id(variable)])
        else:
            variable._deferred_initialize()


def misfits(variables: dict[str, Any], tensors: dict[str, np.ndarray], any_head: bool) -> set[str] | None:
    """Names of the head's weights that are for another number of classes; None if the tensors are of another net."""
    layers, heads = {name.partition("/")[0] for name in variables}, set()
    for name, variable in variables.items():
        wanted, found = tuple(variable.shape), np.shape(tensors.get(name))
        if name not in tensors or wanted != found:
            head = any_head and name.partition("/")[0] in HEADS and name in tensors
            if not head or len(wanted) != len(found) or wanted[:-1] != found[:-1]:
                return None
            heads.add(name)
    for name in tensors.keys() - variables.keys():
        layer = name.partition("/")[0]
        in_top = any_head and not layers & set(HEADS) and not stage_of(layer) and not layer.startswith("stem")
        if layer in layers or not in_top:
            return None
    return heads


def _difference(variables: dict[str, Any], tensors: dict[str, np.ndarray]) -> str:
    """The first weight that does not fit, in words."""
    for name, variable in variables.items():
        wanted, found = tuple(variable.shape), tensors.get(name)
        if found is None or wanted != found.shape:
            return f"{'no' if found is None else found.shape} {name} for the {wanted}"
    return f"{sorted(tensors.keys() - variables.keys())[0]} is no weight"


def _classes(tensors: dict[str, np.ndarray], names: set[str]) -> int:
    return tensors[min(names)].shape[-1]


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
