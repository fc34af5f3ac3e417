"""Weights that come with the zoo, and what is known of each: its training, its accuracy, its checksum.

published/manifest.json holds a record for each file, benchmarks/seeds.py writes both. The weights are those of seed 0
whatever it reached; the accuracy on record is that of all seeds.
"""

from __future__ import annotations

import functools
import statistics
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import MissingError, RunError, UsageError, unknown
from .files import checksum, read_json

PUBLISHED = Path(__file__).with_name("published")
MANIFEST = "manifest.json"
HEAD = "predictions"  # the layer that depends on the number of classes


@functools.cache
def records() -> dict[str, dict[str, Any]]:
    """What is known of each file of weights, by its name without ending, such as "lenet5-mnist".

    A record has `config`, as a run has it, `recipe`, the name of it, `test_accuracy`, of the file itself, `seeds`,
    {seed: test accuracy} of all trainings, `parameters`, `bytes` and `sha256`.
    """
    return read_json(PUBLISHED / MANIFEST) if (PUBLISHED / MANIFEST).exists() else {}


def find_record(model: str, data: str) -> dict[str, Any]:
    """The record of a model's weights for a data set; UsageError if there are none."""
    name = f"{model}-{data}"
    if name not in records():
        configs = [record["config"] for record in records().values()]
        if sets := [config["data"] for config in configs if config["model"] == model]:
            raise UsageError(unknown(f"weights of {model}", data, sets))
        models = ", ".join(sorted({config["model"] for config in configs}))
        elsewhere = "; load_torch_weights reads those of torchvision and timm" if data == "imagenet" else ""
        raise UsageError(f"{model} has no published weights, for {data!r} or others; {models} have{elsewhere}")
    return records()[name]


def names_data(weights: Any) -> bool:
    """Whether build_model's argument is the name of a data set, and not a path."""
    return isinstance(weights, str) and Path(weights).name == weights and not weights.endswith(".h5")


def accuracy_text(record: dict[str, Any]) -> str:
    """Mean and standard deviation of the test accuracy over seeds, in percent."""
    reached = [100 * accuracy for accuracy in record["seeds"].values()]
    deviation = f" ± {statistics.stdev(reached):.2f}" if len(reached) > 1 else ""
    return f"{statistics.mean(reached):.2f}{deviation} % ({len(reached)} seed{'s' * (len(reached) > 1)})"


def weights_file(record: dict[str, Any]) -> Path:
    """The file of a record, after a look at its checksum."""
    config = record["config"]
    path = PUBLISHED / f"{config['model']}-{config['data']}.weights.h5"
    if not path.is_file():
        raise MissingError(f"{path} is missing: the installation is incomplete, install cnn_zoo again")
    if checksum(path) != record["sha256"]:
        raise RunError(f"{path} is not the file that was published: its checksum is another; install cnn_zoo again")
    return path


def load_pretrained(model, record: dict[str, Any], build: Callable[..., Any]) -> None:
    """Fill a model that build_model, which is `build`, made with the weights of a record of that name.

    Images of another size are taken where no layer minds. The last layer keeps its random weights where the number of
    classes is another, and a warning says so. If it is filled, `model.class_names` holds the names of the classes.

    Raises:
        UsageError: the model has other options than the one that was trained.
        RunError, MissingError: the file is not as it was published.
    """
    from .weights import load_weights

    config = record["config"]
    shape, classes = tuple(config["input_shape"]), len(config["class_names"])
    source = build(model.name, shape, classes, dtype="float32", compile=False, **config["model_options"])
    load_weights(source, weights_file(record))
    if _copy(model, source, f"{model.name} for {config['data']}", {"input_shape": shape, **config["model_options"]}):
        model.class_names = config["class_names"]


def load_own(model, path: str | Path, build: Callable[[int], Any]) -> None:
    """Fill a model from a weights file that `train` or save_weights wrote for it or for the same net with another head.

    Args:
        build: number of classes -> the same net with its top.

    Raises:
        RunError, MissingError: as weights.check_weights does.
    """
    from .registry import shapes_only
    from .weights import load_weights, read_shapes, shapes_of

    shapes, wanted = read_shapes(model, path), shapes_of(model)
    if shapes != wanted and shapes.total() < wanted.total() + 10:  # a top has six arrays at most; no endless search
        for classes in sorted({shape[0] for shape in shapes if len(shape) == 1}):  # biases: one is the head's
            with shapes_only():
                fits = shapes_of(build(classes)) == shapes
            if fits:
                source = build(classes)
                load_weights(source, path)
                _copy(model, source, str(path), {})
                return
    load_weights(model, path)


def _copy(model, source, origin: str, options: dict[str, Any]) -> bool:
    """Copy weights layer by layer; returns whether the last layer, if there is one, got its own too."""
    trained = {layer.name: layer.get_weights() for layer in source.layers}
    new_head = False
    for layer in model.layers:
        wanted = [tuple(weight.shape) for weight in layer.weights]
        found = [weight.shape for weight in trained.get(layer.name, ())]
        if wanted == found:
            layer.set_weights(trained[layer.name])
        elif layer.name == HEAD:
            new_head = True
        else:
            raise UsageError(
                f"the weights of {origin} are for a model with {options}: "
                f"{layer.name} has weights of shape {wanted} here, {found or 'none'} there"
            )
    if new_head:
        warnings.warn(
            f"{model.name}: all layers but {HEAD!r} have the weights of {origin}; that one is random, for "
            f"{model.output_shape[-1]} classes in place of {source.output_shape[-1]}",
            stacklevel=4,
        )
    return not new_head and any(layer.name == HEAD for layer in model.layers)


def freeze(model, until: str | None = None):
    """Make the first layers of a model keep their weights while the rest is trained on another data set.

    Batch normalisation among them computes with the means and variances that it has, in training too. A model that is
    compiled is compiled again, as it was and with a new optimizer, for Keras reads the flags then only.

    Args:
        model: a Keras model with layers named as the zoo's are, or a Run.
        until: a stage such as "stage3", or a layer, that is the last one to be frozen, after all before it; None: all
            but the last layer of the model. What was frozen before and comes later is freed.

    Returns:
        The model, changed.
    """
    from .explain import stages

    model = getattr(model, "model", model)
    names = [layer.name for layer in model.layers]
    last = names[-2] if until is None else stages(model).get(until, until)
    if last not in names:
        raise UsageError(unknown(f"layer of {model.name}", until, [*stages(model), *names]))
    for number, layer in enumerate(model.layers):
        layer.trainable = number > names.index(last)
    if model.compiled:
        model.compile_from_config(model.get_compile_config())
    return model
