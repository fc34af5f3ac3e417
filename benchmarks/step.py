"""How much faster does each family train than the same layers in plain Keras?

    python benchmarks/step.py [--quick] [MODEL …]      (rows of models that are not named stay as they were)

Images a second of `fit` on one batch held in memory. "plain" is the same model with Keras' own BatchNormalization in
float32, what Keras builds from these layers if nobody intervenes; "fused" has this zoo's BatchNormalization; "ours" is
what `train` uses, with the precision that it chooses on this machine. The stack with batch normalisation is also
compared with the order in which it is usually written, pooling last.
"""

import argparse
import statistics

import keras
import numpy as np
import tensorflow as tf
from common import alternate, spread, write
from keras import layers

from cnn_zoo import build_model
from cnn_zoo.layers import BatchNormalization
from cnn_zoo.precision import choose_precision
from cnn_zoo.registry import compile_model

CASES = {  # label -> model, options, batch size
    "conv_stack": ("conv_stack", {}, 256),
    "conv_stack with batch norm": ("conv_stack", {"batch_norm": True}, 256),
    "lenet5": ("lenet5", {}, 256),
    "zoonet": ("zoonet", {}, 128),
    "zoonet_wide": ("zoonet_wide", {}, 128),
    **{
        name: (name, {"input_shape": (32, 32, 3)}, 64)
        for name in (
            "alexnet", "vgg11", "googlenet", "inception_v3", "resnet18", "resnet20", "densenet_bc_100_12",
            "squeezenet1_1", "mobilenet_v1", "mobilenet_v2", "shufflenet_v1", "shufflenet_v2", "efficientnet_b0",
        )
    },
}  # fmt: skip


def plain(model):
    """The same layers, with Keras' own batch normalisation."""

    def clone(layer):
        kind = layers.BatchNormalization if isinstance(layer, BatchNormalization) else type(layer)
        return kind.from_config(layer.get_config())

    return keras.models.clone_model(model, clone_function=clone)


def usual_order(model):
    """The stack as tutorials write it: convolution, normalisation, activation, pooling."""
    rows, held = [], []
    for layer in plain(model).layers:
        if isinstance(layer, layers.MaxPooling2D):
            held.append(layer)
            continue
        rows.append(layer)
        if isinstance(layer, layers.Activation):
            rows += held
            held = []
    return keras.Sequential([keras.Input(model.input_shape[1:]), *(type(r).from_config(r.get_config()) for r in rows)])


def measure(label: str, quick: bool) -> dict:
    """Images a second of the ways to train one model."""
    name, options, size = CASES[label]
    size, rng = 8 if quick else size, np.random.default_rng(0)
    models = {"plain": plain(build_model(name, compile=False, **options))}
    if label == "conv_stack with batch norm":
        models["plain, usual order"] = usual_order(build_model(name, compile=False, **options))
    models["fused"] = build_model(name, compile=False, dtype="float32", **options)
    if choose_precision() != "float32":
        models["ours"] = build_model(name, compile=False, dtype="auto", **options)
    shape = models["plain"].input_shape[1:]
    batch = rng.random((size, *shape), np.float32), rng.integers(0, 10, size)
    data = tf.data.Dataset.from_tensors(batch).cache()
    off = tf.data.Options()
    off.autotune.enabled = False

    def fit(model, steps):
        model.fit(data.repeat(steps).with_options(off), verbose=0)

    works = {}
    for key, model in models.items():
        compile_model(model, keras.optimizers.SGD(0.01, momentum=0.9))
        fit(model, 1)
        works[key] = lambda model=model: fit(model, steps)
    steps = 1
    if not quick:  # as many steps as take a third of a second or so
        seconds = statistics.median(alternate({"plain": works["plain"]}, 1)["plain"])
        steps = max(2, min(50, round(0.3 / seconds)))
    times = alternate(works, 1 if quick else 3)
    rates = {key: spread([size * steps / t for t in seconds], 1) for key, seconds in times.items()}
    best = rates.get("ours", rates["fused"])["median"]
    ratios = {f"ours / {key}": round(best / rate["median"], 2) for key, rate in rates.items() if key != "ours"}
    keras.backend.clear_session()
    return {"batch": size, "images_per_second": rates, **ratios}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one step of two models; nothing is kept")
    parser.add_argument("models", nargs="*", help=f"of {', '.join(CASES)}")
    args = parser.parse_args()
    results = {}
    for label in args.models or (["conv_stack with batch norm", "zoonet"] if args.quick else CASES):
        results[label] = measure(label, args.quick)
        print(label, results[label], flush=True)
    write("step", results, args.quick, keep=bool(args.models))


if __name__ == "__main__":
    main()
