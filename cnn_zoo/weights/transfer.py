"""Weights of one net in another that may differ in its head, and layers that keep them while the rest is trained."""

import warnings
from typing import Any

import numpy as np

from ..core.errors import RunError, UsageError, reason, unknown
from ..core.text import shown
from ..nn.inspection import HEADS, stage_of, stages, whole_model
from .files import named_weights


class ModelMismatch(RunError):
    """Weights of another net."""


def copy_weights(model, tensors: dict[str, np.ndarray], origin: str, *, stacklevel: int = 3) -> bool:
    """Give a model the tensors that are named as its weights; it is left as it was if they do not fit.

    The last layer of a model for another number of classes keeps its values, and a warning says so; a model without its
    top takes what it has. Returns whether there is a last layer and it got its own. ModelMismatch where a weight is
    missing on either side, or of another shape; origin is where the tensors are from.
    """
    variables, strange = _match(model, tensors, origin, any_head=True)
    for name in variables.keys() - strange:
        variables[name].assign(tensors[name])
    if strange:
        head, classes = min(strange), f"{model.output_shape[-1]} classes"
        kept = f"{model.name}: all layers but {_layer_of(head)!r} have the weights of {origin}; that one is random"
        warnings.warn(f"{kept}, for {classes} in place of {tensors[head].shape[-1]}", stacklevel=stacklevel)
    return not strange and any(_layer_of(name) in HEADS for name in variables)


def initialize(model, tensors: dict[str, np.ndarray], origin: str) -> None:
    """As copy_weights, of all weights, for a model built inside shapes_only: what does not fit costs no memory."""
    variables, _ = _match(model, tensors, origin, any_head=False)
    values = {id(variable): tensors[name] for name, variable in variables.items()}
    for variable in model.variables:  # Keras has no public name for either
        if id(variable) in values:
            variable._initialize(values[id(variable)])
        else:
            variable._deferred_initialize()


def _layer_of(name: str) -> str:
    return name.partition("/")[0]


def _match(model, tensors: dict[str, np.ndarray], origin: str, any_head: bool) -> tuple[dict[str, Any], set[str]]:
    """A model's variables by name, and names of those of its head that are for another number of classes."""
    variables, strange, problem = named_weights(model), set(), None
    layers = set(map(_layer_of, variables))
    for name, variable in variables.items():
        wanted, found = tuple(variable.shape), np.shape(tensors[name]) if name in tensors else None
        if found != wanted:
            head = any_head and found and _layer_of(name) in HEADS
            if not head or len(found) != len(wanted) or found[:-1] != wanted[:-1]:
                problem = problem or f"{'no' if found is None else found} {name} for the {wanted}"
            strange.add(name)
    for name in sorted(tensors.keys() - variables.keys()):
        layer = _layer_of(name)
        of_top = any_head and not layers & {layer, *HEADS} and not stage_of(layer) and not layer.startswith("stem")
        if not of_top:
            problem = problem or f"{name} is no weight"
    if problem:
        raise ModelMismatch(f"{origin}: the weights of another model: {problem} of {model.name}")
    return variables, strange


def freeze(model, until: str | None = None):
    """Make the first layers of a model keep their weights while the rest is trained on another data set.

    Batch normalisation among them keeps its means and variances, in training too. A compiled model is compiled again
    with a new optimizer, for Keras reads the flags then only; one with a loss or metric that is no class of Keras' has
    to be compiled by the caller, and a warning says so.

    Args:
        model: a Keras model with layers named as the zoo's are, or a Run.
        until: a stage such as "stage3", or a layer, that is the last one to be frozen, after all before it; None: all
            but the last layer that has weights. What was frozen before and comes later is freed.

    Returns:
        The model, changed; UsageError where it has no layers, or none of that name.
    """
    model = whole_model(model)
    if until is not None and not isinstance(until, str):
        raise UsageError(f"until must be the name of a stage or layer; got {shown(until)}")
    names = [layer.name for layer in model.layers]
    if until is None:
        weighty = [number for number, layer in enumerate(model.layers) if layer.weights]
        if len(weighty) < 2:
            raise UsageError(f"{model.name} has no layer with weights to freeze before the last one")
        until = names[weighty[-1] - 1]
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
            why = f"Keras cannot make its loss or metrics anew ({reason(error)})"
            warnings.warn(f"{model.name}: compile it again before it is trained; {why}", stacklevel=2)
    return model
