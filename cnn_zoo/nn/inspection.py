"""Looking at models: what its layers' names say, whether one is whole, what its stages compute; building only to look.

A name of a layer is stage, block and part, of which each may be missing: stage2_block1_conv1, stage1_pool, stem_conv,
and of a normalisation, activation or padding that of its layer and what it is: stage2_block1_conv1_norm.
"""

import contextlib
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..core.errors import UsageError, unknown
from ..core.machine import check_memory, quiet_import
from ..core.text import shown

HEADS = ("predictions", "predictions_conv")  # layers whose weights depend on the number of classes
_STAGE = re.compile(r"(stage\d+)_")
_BLOCK = re.compile(r"stage\d+_(block\d+|fire\d+|\d[a-e])(?=_|$)")
_BESIDE = re.compile(r"_(norm|act|pad|in\d+|group\d+(_\w+)?|out|dropout)$")


def stage_of(name: str) -> str | None:
    """ "stage2" of "stage2_block1_conv1"; None for a layer outside the stages."""
    return (match := _STAGE.match(name)) and match[1]


def block_of(name: str) -> str | None:
    """ "stage2_block1" of "stage2_block1_conv1_norm"; None for a layer that is in no block."""
    return (match := _BLOCK.match(name)) and match[0]


def step_of(name: str) -> str:
    """ "stage1_conv1" of "stage1_conv1_norm": the layer that a normalisation, activation, padding or group is of."""
    return _BESIDE.sub("", name)


def whole_model(run_or_model: Any):
    """The model of a Run, or the one given, if it is a built Sequential or functional one, else UsageError."""
    model = getattr(run_or_model, "model", run_or_model)
    if not getattr(model, "layers", None) or not getattr(model, "inputs", None):
        raise UsageError(f"needs a run or a built Sequential or functional model; got {shown(run_or_model)}")
    return model


def activation_of(model) -> str:
    """What a model ends in: "softmax", "sigmoid" …, "linear" where it returns scores, "none" after another layer."""
    last = model.layers[-1]
    while getattr(last, "layers", None):  # a model as the last layer of a model
        last = last.layers[-1]
    activation = type(last).__name__.lower() if type(last).__name__ in ("Softmax", "Sigmoid") else None
    activation = activation or getattr(last, "activation", "none")
    return getattr(activation, "__name__", activation)


def has_logits(model, activation: str = "softmax") -> bool:
    """Whether a net that may end in this activation returns logits; UsageError if it returns something else."""
    found = activation_of(model)
    if found not in (activation, "linear"):
        raise UsageError(f"{model.name} must end in {activation} or logits; its last layer has {found}")
    return found == "linear"


@contextlib.contextmanager
def shapes_only():
    """Models built inside have shapes and no values: they cost nothing, whatever their size, and cannot compute."""
    with quiet_import():
        import keras
    from keras.src.backend.common import global_state  # there is no public name for it

    name = "uninitialized_variables"  # to which Keras adds those inside, to fill them at the next occasion
    before = list(global_state.get_global_attribute(name) or [])
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute(name, before)


def fill(model) -> None:
    """Give a model that was built inside shapes_only its first values, unless it is built to look at alone.

    ShortOfMemory where there is no room for them."""
    from keras.src.backend.common.stateless_scope import in_stateless_scope  # there are no public names for these

    if in_stateless_scope():
        return
    check_memory(f"{model.name} of {model.count_params():,} weights", 4 * model.count_params())
    for variable in model.variables:
        if variable._value is None:  # else of a layer that the builder did not make
            variable._deferred_initialize()


def stages(model) -> dict[str, str]:
    """The last layer of every stage: {"stage1": "stage1_pool", …}, in the order of the model."""
    return {stage: layer.name for layer in model.layers if (stage := stage_of(layer.name))}


def features(model) -> dict[int, Any]:
    """The maps of a model without its top, by stride, the largest first: {1: tensor, 2: tensor, …}.

    A stride is the product of the strides of the layers on the way from the input, so that with "valid" padding a map
    is somewhat smaller than the input's size divided by it. Of each stride it is the last tensor, among those through
    which all goes that comes after them, so none inside a block with branches or a shortcut, nor one padded with zeros.
    """
    import keras

    steps = [step for step in getattr(model, "operations", model.layers) if type(step).__name__ != "InputLayer"]
    number = {id(tensor): i for i, step in enumerate(steps) for tensor in keras.tree.flatten(step.output)}
    before = [[number.get(id(tensor), -1) for tensor in keras.tree.flatten(step.input)] for step in steps]
    strides: list[int] = []
    for step, sources in zip(steps, before, strict=True):
        own = getattr(step, "strides", 1)
        strides.append((own if isinstance(own, int) else max(own)) * (strides[sources[0]] if sources[0] >= 0 else 1))
    found, oldest = {}, len(steps)
    for i, step in reversed(list(enumerate(steps))):
        one = not isinstance(step.output, list) and "ZeroPadding" not in type(step).__name__
        if one and len(step.output.shape) == len(model.input_shape) and i <= oldest:
            found.setdefault(strides[i], step.output)
        oldest = min(oldest, *before[i])
    return dict(reversed(found.items()))


def feature_extractor(model, layers: Iterable[str] | str | None = None):
    """A model that returns the outputs of named layers.

    Args:
        model: a built Sequential or functional Keras model, of the zoo or with layers named likewise; or a Run.
        layers: names of layers, or of stages ("stage2" is the last layer of that stage), in the order wanted;
            None: every stage. One name as a string returns one output.

    Returns:
        A keras.Model that shares the model's weights, from its input to a list of feature maps, or to the only one;
        UsageError where there is no such layer or stage, or for another kind of model.
    """
    import keras

    model = whole_model(model)
    ends, by_name = stages(model), {layer.name: layer for layer in model.layers}
    if layers is None and not ends:
        raise UsageError(f"{model.name} has no layers named stage1_…; name the layers to return")
    names = list(layers) if isinstance(layers, Iterable) else [layers]
    if layers is not None and not all(isinstance(name, str) for name in names):
        raise UsageError(f"layers are names of layers or stages; got {shown(layers)}")
    wanted = [layers] if isinstance(layers, str) else list(ends) if layers is None else names
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


def probabilities(model, outputs: Any, activation: str = "softmax") -> np.ndarray:
    """What a model returned as float32 probabilities: logits go through softmax, of the last axis, or sigmoid."""
    outputs = np.asarray(outputs, np.float32)
    if not has_logits(model, activation):
        return outputs
    if activation == "sigmoid":
        return np.exp(-np.logaddexp(0, -outputs))
    outputs = np.exp(outputs - outputs.max(-1, keepdims=True))
    return outputs / outputs.sum(-1, keepdims=True)
