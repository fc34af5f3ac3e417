"""How much faster does each family train than the same layers in plain Keras?

    python benchmarks/step.py [--quick] [MODEL …]      (rows of models that are not named stay as they were)

Images a second of `fit` on one batch held in memory. "plain" is the model as it is in float32, in a process where
TensorFlow chooses its kernels itself; "fused" has fast_layers and this zoo's kernels; "ours" is what `train` uses, with
the precision that it chooses on this machine. The stack with batch normalisation is also compared with the order in
which it is usually written, pooling last. Each is a process of its own; they work in turn.
"""

import argparse
import contextlib
import statistics
import sys

import numpy as np
from common import Worker, alternate, one_of, plain_keras, serve, spread, write

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


WAYS = ("plain", "plain, usual order", "fused", "ours")


def usual_order(model):
    """The stack as tutorials write it: convolution, normalisation, activation, pooling."""
    import keras

    rows, held = [], []
    for layer in model.layers:
        if isinstance(layer, keras.layers.MaxPooling2D):
            held.append(layer)
            continue
        rows.append(layer)
        if isinstance(layer, keras.layers.Activation):
            rows += held
            held = []
    return keras.Sequential([keras.Input(model.input_shape[1:]), *(type(r).from_config(r.get_config()) for r in rows)])


def work(label: str, way: str, quick: bool) -> None:
    """Train one model in one way, as many steps as are asked for."""
    from cnn_zoo import (  # before Keras, so that TensorFlow starts as it does for the zoo's users
        build_model,
        fast_layers,
    )

    # isort: split
    import keras
    import tensorflow as tf

    from cnn_zoo.tasks import CLASSIFICATION

    name, options, size = CASES[label]
    size, rng = 8 if quick else size, np.random.default_rng(0)
    model = build_model(name, compile=False, dtype="auto" if way == "ours" else "float32", **options)
    model = usual_order(model) if way == "plain, usual order" else model
    batch = rng.random((size, *model.input_shape[1:]), np.float32), rng.integers(0, 10, size)
    data = tf.data.Dataset.from_tensors(batch).cache()
    off = tf.data.Options()
    off.autotune.enabled = False
    CLASSIFICATION.compile(model, keras.optimizers.SGD(0.01, momentum=0.9))
    with contextlib.nullcontext() if way.startswith("plain") else fast_layers(model):
        serve(
            lambda steps: model.fit(data.repeat(steps).with_options(off), verbose=0, shuffle=False),
            model.dtype_policy.name,
        )


def measure(label: str, quick: bool) -> dict:
    """Images a second of the ways to train one model."""
    ways = [way for way in WAYS if way != "plain, usual order" or label == "conv_stack with batch norm"]
    workers = {}
    for way in ways:
        arguments = [__file__, "--worker", label, way, *["--quick"] * quick]
        workers[way] = Worker(plain_keras(*arguments) if way.startswith("plain") else [sys.executable, *arguments])
    precision = [worker.about for worker in workers.values()][-1]  # waits until all are ready
    if precision == "float32":
        workers.pop("fused").close()  # the same
    steps = 1
    if not quick:  # as many steps as take a third of a second or so
        workers["plain"](1)
        seconds = statistics.median(alternate({"plain": workers["plain"]}, 1)["plain"])
        steps = max(2, min(50, round(0.3 / seconds)))
    works = {way: lambda worker=worker: worker(steps) for way, worker in workers.items()}
    times = alternate(works, 1 if quick else 3)
    for worker in workers.values():
        worker.close()
    size = 8 if quick else CASES[label][2]
    rates = {key: spread([size * steps / t for t in seconds], 1) for key, seconds in times.items()}
    ratios = {
        f"ours / {key}": round(rates["ours"]["median"] / rate["median"], 2)
        for key, rate in rates.items()
        if key != "ours"
    }
    return {"batch": size, "precision": precision, "images_per_second": rates, **ratios}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one step of two models; nothing is kept")
    parser.add_argument("--worker", nargs=2, metavar=("MODEL", "WAY"), help="train a model in one way, when asked to")
    parser.add_argument("models", nargs="*", type=one_of("model", CASES), help=f"of {', '.join(CASES)}")
    args = parser.parse_args()
    if args.worker:
        work(*args.worker, args.quick)
        return
    results = {}
    for label in args.models or (["conv_stack with batch norm", "zoonet"] if args.quick else CASES):
        results[label] = measure(label, args.quick)
        print(label, results[label], flush=True)
    write("step", results, args.quick, keep=bool(args.models))


if __name__ == "__main__":
    main()
