"""Looking at models: whether one is whole, what it ends in, what its stages compute; and building some only to look."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..core.errors import UsageError, unknown
from ..core.quiet import quiet_import


def whole_model(run_or_model: Any):
    """The model of a Run, or the one given, if it is a built Sequential or functional one, else UsageError."""
    model = getattr(run_or_model, "model", run_or_model)
    if not getattr(model, "layers", None) or not getattr(model, "inputs", None):
        raise UsageError(f"needs a run or a built Sequential or functional model; got {run_or_model!r:.80}")
    return model


def has_logits(model) -> bool:
    """Whether a classifier returns logits; False for probabilities, UsageError for anything else."""
    last = model.layers[-1]
    while getattr(last, "layers", None):  # a model as the last layer of a model
        last = last.layers[-1]
    activation = "softmax" if type(last).__name__ == "Softmax" else getattr(last, "activation", "none")
    activation = getattr(activation, "__name__", activation)
    if activation not in ("softmax", "linear"):
        raise UsageError(f"{model.name} must end in softmax or logits; its last layer is {last.name} ({activation})")
    return activation != "softmax"


@contextlib.contextmanager
def shapes_only():
    """Models built inside have shapes and no values: they cost nothing, whatever their size, and cannot compute."""
    with quiet_import():
        import keras
    from keras.src.backend.common import global_state  # there is no public name for it

    name = "uninitialized_variables"  # a list to which Keras adds those inside, to fill them at the next occasion
    before = list(global_state.get_global_attribute(name) or [])
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute(name, before)


def stages(model) -> dict[str, str]:
    """The last layer of every stage: {"stage1": "stage1_pool", …}, in the order of the model."""
    last = {}
    for layer in model.layers:
        if match := re.match(r"(stage\d+)_", layer.name):
            last[match[1]] = layer.name
    return last


def feature_extractor(model, layers: Iterable[str] | str | None = None):
    """A model that returns the outputs of named layers.

    Args:
        model: a Keras model, of the zoo or with layers named likewise; or a Run.
        layers: names of layers, or of stages ("stage2" is the last layer of that stage), in the order wanted;
            None: every stage. One name as a string returns one output.

    Returns:
        A keras.Model from the model's input to a list of feature maps, or to the only one, of which Keras makes no
        list; it shares the model's weights.

    Raises:
        UsageError: no such layer or stage, or not a built Sequential or functional model.
    """
    import keras

    model = whole_model(model)
    ends = stages(model)
    if layers is None and not ends:
        raise UsageError(f"{model.name} has no layers named stage1_…; name the layers to return")
    if layers is not None and not isinstance(layers, Iterable):
        raise UsageError(f"layers are names of layers or stages; got {layers!r}")
    wanted = [layers] if isinstance(layers, str) else list(ends.values()) if layers is None else list(layers)
    by_name = {layer.name: layer for layer in model.layers}
    if not wanted:
        raise UsageError(f"name at least one layer or stage of {model.name}")
    outputs = []
    for name in wanted:
        name = ends.get(name, name)
        if name not in by_name:
            raise UsageError(unknown(f"layer of {model.name}", name, [*by_name, *ends]))
        outputs.append(by_name[name].output)
    inputs = model.inputs if len(model.inputs) > 1 else model.inputs[0]  # Keras warns of a list of one
    return keras.Model(inputs, outputs[0] if isinstance(layers, str) else outputs, name=f"{model.name}_features")


def probabilities(model, outputs: Any) -> np.ndarray:
    """What a model returned as float32 probabilities over its last axis: logits go through softmax."""
    outputs = np.asarray(outputs, np.float32)
    if has_logits(model):
        outputs = np.exp(outputs - outputs.max(-1, keepdims=True))
        outputs /= outputs.sum(-1, keepdims=True)
    return outputs
