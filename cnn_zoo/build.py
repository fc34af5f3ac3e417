"""build_model: a name and options in, a Keras model out."""

import bisect
import contextlib
import inspect
import numbers
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .core.errors import OptionError, UsageError, ZooError, check_choice, check_flag, check_number, reason, unknown
from .core.text import shown
from .models.registry import INPUTS, LAYOUTS, Entry, choose_layout, entry
from .nn.inspection import fill, shapes_only
from .nn.precision import choose_precision, policy
from .nn.spec import Spec
from .tasks import get_task
from .weights import pretrained
from .weights.files import read_weights
from .weights.transfer import ModelMismatch, copy_weights

LARGEST_SIDE = 8192  # pixels or channels
ACTIVATIONS = ("softmax", "sigmoid", None)  # of the classifier
# families that take inputs of any sides
ANY_SIZE = ("densenet", "efficientnet", "googlenet", "inception", "mobilenet", "resnet")
MOST_BLOCKS = 400  # of `depths`, all stages together


def build_model(
    name: str = "conv_stack",
    input_shape: tuple[int | None, ...] | None = None,
    num_classes: int = 10,
    *,
    layout: str = "auto",
    weights: str | Path | None = None,
    include_top: bool = True,
    pooling: str | None = None,
    activation: Any = None,
    classifier_activation: str | None = "softmax",
    dropout: float | None = None,
    l1: float = 0.0,
    l2: float = 0.0,
    batch_norm: bool | None = None,
    dtype: str | None = None,
    compile: bool = True,
    **family_options: Any,
):
    """Build a model of the zoo.

    The model takes float images in [0, 1] of shape (batch, height, width, channels) and returns float32
    probabilities of shape (batch, num_classes), or logits, or features.

    Args:
        name: one of list_models().
        input_shape: (height, width, channels); (length, channels) and (frames, height, width, channels) make nets of
            1-D and 3-D kernels. None is that of the weights' images, or the usual one of the family and layout. Sides
            that are None are free, where the net ends in global pooling: (None, None, 3).
        num_classes: at least 2; 1 without softmax.
        layout: "paper" as published, "small" with a stem and head for small images, "auto": small where the shorter
            side is below 96 pixels. A family with one layout ignores it.
        weights: None for random ones; the path of a weights file that `train` or save_weights wrote for the same net;
            or the name of a data set for those that the zoo trained on it, with whose family options the model is
            built then, and whose names of classes are `model.class_names`. For another number of classes a model takes
            all but the last layer. Weights of ImageNet: see load_torch_weights.
        include_top: False leaves out everything after the last stage; such a model is not compiled.
        pooling: without the top, None returns the feature map, "avg" or "max" pools it to (batch, channels).
        activation: of the hidden layers, a Keras name or a function.
        classifier_activation: "softmax"; "sigmoid" for an image of several classes or none (task="multilabel"); or None
            for logits.
        dropout: rate after each hidden fully connected layer of the head, or before the only one.
        l1, l2: weights of the penalties on the kernels of all convolutions and fully connected layers.
        batch_norm: batch normalisation between convolution, or the pooling of conv_stack and zoonet, and activation.
            None is the family's own, of activation and dropout too.
        dtype: "float32"; "mixed_bfloat16" or "mixed_float16", which compute in 16 bits; "auto", see choose_precision;
            None is Keras' global dtype policy, if that keeps weights in 32 bits. What the model returns is float32 in
            any case, and channels are last.
        compile: with Adam at Keras' default rate and the loss and metric of the family's task, or of "multilabel".
        **family_options: such as filters=(32, 64); print(model_card(name)) lists them, the family's file explains them.

    Returns:
        A keras.Sequential for chains, a functional keras.Model for graphs.

    Raises:
        UsageError (a ValueError): an unknown name or a value out of range, saying what was expected.
        OptionError (a TypeError): an option that the family does not have.
        MissingError, RunError: no such weights file, or one that is damaged or of another net.
    """
    found = entry(name)
    check_flag("compile", compile)
    check_choice("layout", layout, LAYOUTS)
    if weights is not None and not isinstance(weights, str | os.PathLike):
        raise UsageError(f"weights must be the name of a data set or a path; got {shown(weights)}")
    record = pretrained.find_record(name, weights) if pretrained.names_data(weights) else None
    known, trained = found.options(), record["config"]["model_options"] if record else {}
    family_options = {option: trained[option] for option in known if option in trained} | family_options
    for option, value in family_options.items():
        if option not in known:
            common = [p for p in inspect.signature(build_model).parameters if p not in ("name", "family_options")]
            raise OptionError(f"{name}: {unknown('option', option, [*known, *common])}")
        family_options[option] = _check_family_option(name, option, value, known[option])
    if input_shape is None:
        usual = found.layouts.get(layout) or next(iter(found.layouts.values()))
        input_shape = record["config"]["input_shape"] if record else usual
    input_shape = _check_input_shape(found, input_shape)
    layout = choose_layout(found.layouts, layout, input_shape)
    spec = Spec(
        name=name,
        input_shape=input_shape,
        classifier_activation=check_choice("classifier_activation", classifier_activation, ACTIVATIONS),
        num_classes=check_number("num_classes", num_classes, 1 + (classifier_activation == "softmax"), whole=True),
        layout=layout,
        include_top=check_flag("include_top", include_top),
        pooling=check_choice("pooling", pooling, (None, "avg", "max")),
        activation=_check_activation(found.activation if activation is None else activation),
        dropout=check_number("dropout", found.dropout if dropout is None else dropout, below=1),
        l1=check_number("l1", l1),
        l2=check_number("l2", l2),
        batch_norm=found.batch_norm in (True, layout) if batch_norm is None else check_flag("batch_norm", batch_norm),
    )
    if record:
        _check_trained(found, spec, family_options, record["config"])
    with policy(None if dtype is None else choose_precision(dtype)):
        with shapes_only():
            model = _build(found, spec, family_options)
        fill(model)
        if compile and include_top:
            several = found.task == "classification" and classifier_activation == "sigmoid"
            get_task("multilabel" if several else found.task).compile(model)
    if record:
        _fill(model, record)
    elif weights is not None:
        copy_weights(model, read_weights(weights), os.fspath(weights))
    return model


def _fill(model, record: dict[str, Any]) -> None:
    """Give a model the published weights of a record, and the names of their classes if it has as many."""
    origin = f"{model.name} for {record['config']['data']}"
    try:
        if copy_weights(model, read_weights(pretrained.weights_file(record)), origin, stacklevel=4):
            model.class_names, model.trained_on = list(record["config"]["class_names"]), record["config"]["data"]
    except ModelMismatch as error:
        raise UsageError(str(error)) from None


def _build(found: Entry, spec: Spec, options: dict[str, Any]):
    """Call the builder, inside shapes_only; a UsageError where it cannot, such as for small images."""
    try:
        return _not_empty(found.build(spec, **options))
    except ZooError:
        raise
    except (TypeError, ValueError, AttributeError, IndexError, OverflowError, RuntimeError) as error:
        raise UsageError(_explained(error, found, spec, options)) from error


def _explained(error: Exception, found: Entry, spec: Spec, options: dict[str, Any]) -> str:
    if isinstance(error, RecursionError):
        return f"{spec.name} has too many layers with these options for Keras to connect"
    if None in spec.sides:
        _build(found, replace(spec, input_shape=found.layouts[spec.layout]), options)  # unless the options are wrong
        needs = f"{spec.name} must know the size of its inputs with these options; input_shape is {spec.input_shape}"
        return f"{needs}; classifiers of the families {', '.join(ANY_SIZE)} take any size, in both layouts"
    if not isinstance(error, ValueError):
        return f"{spec.name}: an option has a wrong value: {reason(error)}"
    if "negative" not in str(error) and "output size" not in str(error):
        return f"{spec.name}: {reason(error)}"
    minimum = _smallest_side(found, spec, options)
    if minimum is None:
        return f"{spec.name} has too many reductions for any image with these options"
    least = f"{INPUTS[len(spec.sides)].partition(' ')[0]} of at least " + "x".join([str(minimum)] * len(spec.sides))
    larger = (*(max(side, minimum) for side in spec.sides), spec.input_shape[-1])
    return f"{spec.name} needs {least} with these options; input_shape is {spec.input_shape}. Resize them to {larger}"


def _not_empty(model):
    """The model, unless one of its feature maps has no pixels: Keras 3.13 pools such without a word."""
    import keras

    outputs = keras.tree.flatten([getattr(layer, "output", ()) for layer in model.layers])  # none of a shared layer
    if any(0 in output.shape for output in outputs):
        raise ValueError("the output size is 0")
    return model


def _smallest_side(found: Entry, spec: Spec, options: dict[str, Any]) -> int | None:
    """The shortest side of a square input that the builder accepts, by bisection on building it without weights."""

    def works(side: int) -> bool:
        shape = (*[side] * len(spec.sides), spec.input_shape[-1])
        with contextlib.suppress(ValueError), shapes_only():
            return bool(_not_empty(found.build(replace(spec, input_shape=shape), **options)))
        return False

    sides = range(min(spec.sides) + 1, LARGEST_SIDE + 1)
    first = bisect.bisect_left(sides, True, key=works)
    return sides[first] if first < len(sides) else None


def _check_input_shape(found: Entry, shape: Any) -> tuple[int, ...]:
    sides = tuple(shape) if isinstance(shape, Sequence) else ()
    known = [side for side in sides[:-1] if side is not None] + list(sides[-1:])
    whole = all(isinstance(side, numbers.Integral) and side is not True and 1 <= side <= LARGEST_SIDE for side in known)
    wanted = " or ".join(INPUTS[rank] for rank in found.ranks)
    if not whole or len(sides) - 1 not in INPUTS:
        integers = f"positive integers up to {LARGEST_SIDE:,}, of {wanted}"
        raise UsageError(f"input_shape must be {integers}; got {shown(shape)}")
    if len(sides) - 1 not in found.ranks:
        kernels = " or ".join(f"{rank}-D" for rank in found.ranks)
        raise UsageError(f"{found.name} has {kernels} kernels, for {wanted}; got input_shape={sides}")
    return tuple(side if side is None else int(side) for side in sides)


def _check_trained(found: Entry, spec: Spec, family_options: dict[str, Any], config: dict[str, Any]) -> None:
    """UsageError where a model would compute otherwise, but for a missing top, than the one whose weights it gets."""
    import keras

    trained, options = config["model_options"], found.options()
    layout = choose_layout(found.layouts, trained.get("layout", "auto"), config["input_shape"])
    activations = map(keras.activations.get, (spec.activation, trained.get("activation", found.activation)))
    pairs = {"activation": activations, "layout": (spec.layout, layout)}
    if spec.include_top and spec.num_classes == len(config["class_names"]) and spec.classifier_activation == "sigmoid":
        pairs["classifier_activation"] = "sigmoid", trained.get("classifier_activation", "softmax")
    for option, value in family_options.items():
        if spec.include_top or option != "units":
            default = options[option]
            pairs[option] = value, _check_family_option(spec.name, option, trained.get(option, default), default)
    for option, pair in pairs.items():
        value, wanted = map(_tuples, pair)
        if value != wanted:
            value, wanted = (getattr(choice, "__name__", choice) for choice in (value, wanted))
            origin = f"the weights of {spec.name} for {config['data']}"
            raise UsageError(f"{origin} are for {option}={wanted!r}; got {shown(value)}")


def _tuples(value: Any) -> Any:
    """The value with tuples in place of lists, as which JSON keeps them."""
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def _check_family_option(name: str, option: str, value: Any, default: Any) -> Any:
    """A value of the kind of the option's default: widths are a tuple of positive integers, one stands for itself."""
    if isinstance(default, bool):
        return check_flag(option, value)
    if any(isinstance(part, bool) for part in (value if isinstance(value, tuple | list) else [value])):
        raise UsageError(f"{name}: {option} is not a flag; got {shown(value)}")
    widths = isinstance(default, tuple) and all(isinstance(number, int) for number in default)
    if widths or (option == "units" and value is not None):
        value = (value,) if isinstance(value, numbers.Integral) else value
        whole = isinstance(value, tuple | list) and len(value) <= 64
        if not whole or not all(isinstance(v, numbers.Integral) and v is not True and 1 <= v <= 65_536 for v in value):
            example = default or (32, 64)
            raise UsageError(f"{name}: {option} must be positive integers such as {example}; got {shown(value)}")
        if option == "depths" and sum(value) > MOST_BLOCKS:
            raise UsageError(f"{name}: depths must be {MOST_BLOCKS:,} blocks in all at most; got {sum(value):,}")
    return value


def _check_activation(activation: Any) -> Any:
    import keras

    others = ("deserialize", "get", "serialize")
    names = [name for name in dir(keras.activations) if name[0].islower() and name not in others]
    if not callable(activation) and not (isinstance(activation, str) and activation in names):
        raise UsageError(unknown("activation", activation, names))
    return activation
