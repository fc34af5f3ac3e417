"""Where does a training step go, and how far is that from what the machine can do?

    python benchmarks/anatomy.py [--quick]

Writes results/…/anatomy.txt. Steps of the stack with batch normalisation, of zoonet and of resnet20 are run under
TensorFlow's profiler in the precision that `train` chooses; operations run on two threads at once, so that their times
add up to more than the step. The ceilings are the rates of a matrix product and of the convolutions of these nets when
nothing else runs; "floor" is the time that a net's multiplications would take at the rate of the matrix product.
"""

import argparse
import collections
import glob
import io
import sys
import tempfile

# before Keras, so that TensorFlow starts as it does for users of the zoo
from cnn_zoo import build_model, fast_layers, model_card

# isort: split
import keras
import numpy as np
import tensorflow as tf
from common import RESULTS, processor, seconds

from cnn_zoo.nn.precision import choose_precision
from cnn_zoo.runs import versions
from cnn_zoo.tasks import CLASSIFICATION

NETS = {
    "conv_stack with batch norm, 28x28x1, batches of 256": ("conv_stack", (28, 28, 1), 256, {"batch_norm": True}),
    "zoonet, 28x28x1, batches of 128": ("zoonet", (28, 28, 1), 128, {}),
    "resnet20, 32x32x3, batches of 128": ("resnet20", (32, 32, 3), 128, {}),
}
CONVOLUTIONS = (
    (28, 1, 32),
    (28, 16, 32),
    (14, 32, 64),
    (7, 64, 128),
    (32, 3, 16),
    (32, 16, 16),
    (16, 32, 32),
    (8, 64, 64),
)


def matrix_product(dtype, side: int, repeats: int) -> float:
    """Multiply-accumulates a second."""
    a = tf.cast(tf.random.normal((side, side)), dtype)
    product = tf.function(lambda: tf.matmul(a, a))
    return side**3 / seconds(lambda: product().numpy(), repeats)


def convolution(dtype, side: int, before: int, after: int, batch: int, repeats: int) -> list[float]:
    """Multiply-accumulates a second of a 3x3 convolution: forward, gradient of the kernel, gradient of the input."""
    x = tf.cast(tf.random.normal((batch, side, side, before)), dtype)
    kernel = tf.cast(tf.random.normal((3, 3, before, after)), dtype)
    gradient = tf.cast(tf.random.normal((batch, side, side, after)), dtype)
    same = {"strides": [1, 1, 1, 1], "padding": "SAME"}
    works = (
        lambda: tf.raw_ops.Conv2D(input=x, filter=kernel, **same),
        lambda: tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=kernel.shape, out_backprop=gradient, **same),
        lambda: tf.raw_ops.Conv2DBackpropInput(input_sizes=x.shape, filter=kernel, out_backprop=gradient, **same),
    )
    macs = batch * side * side * 9 * before * after
    functions = [tf.function(lambda work=work: work()[0, 0]) for work in works]
    return [macs / seconds(lambda f=f: f().numpy(), repeats) for f in functions]


def operations(folder: str) -> dict[str, float]:
    """Milliseconds of every kind of operation in the profile that was written there."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    totals = collections.Counter()
    for path in glob.glob(f"{folder}/**/*.xplane.pb", recursive=True):
        space = xplane_pb2.XSpace()
        with open(path, "rb") as file:
            space.ParseFromString(file.read())
        for plane in space.planes:
            if plane.name != "/host:CPU":
                continue
            for line in plane.lines:
                for event in line.events:
                    name, colon, kind = plane.event_metadata[event.metadata_id].name.rpartition(":")
                    if colon and kind and "/" in name:  # an operation is called NAME/IN/THE/GRAPH:Kind
                        totals[kind.lstrip("_")] += event.duration_ps / 1e9
    return totals


def step(name: str, shape: tuple, batch: int, options: dict, steps: int) -> tuple[float, dict[str, float], int]:
    """Seconds of a step, milliseconds of each kind of operation in it, multiply-accumulates of it."""
    keras.utils.set_random_seed(0)
    model = build_model(name, shape, compile=False, dtype="auto", **options)
    CLASSIFICATION.compile(model, keras.optimizers.SGD(0.01, momentum=0.9))
    rng = np.random.default_rng(0)
    images, labels = rng.random((batch, *shape), np.float32), rng.integers(0, 10, batch)
    off = tf.data.Options()
    off.autotune.enabled = False
    data = tf.data.Dataset.from_tensors((images, labels)).cache().repeat(steps).with_options(off)
    with tempfile.TemporaryDirectory() as folder, fast_layers(model):
        took = seconds(lambda: model.fit(data, verbose=0, shuffle=False), 3) / steps
        tf.profiler.experimental.start(folder)
        model.fit(data, verbose=0, shuffle=False)
        tf.profiler.experimental.stop()
        found = {kind: total / steps for kind, total in operations(folder).items()}
    return took, found, 3 * batch * model_card(model).macs  # forward, and twice as much backward


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one small net, few calls; nothing is kept")
    quick = parser.parse_args().quick
    repeats, out = 1 if quick else 7, io.StringIO()

    def say(text=""):
        print(text, flush=True)
        print(text, file=out)

    numbers = {key: value for key, value in versions().items() if key not in ("machine",)}
    say(f"Written by benchmarks/anatomy.py on {processor()}; {', '.join(f'{k} {v}' for k, v in numbers.items())}\n")
    say("Ceilings, 10^9 multiply-accumulates a second; convolutions are 3x3, batches of 128")
    say(f"{'':34}{'float32':>28}{'bfloat16':>28}")
    products = {dtype: matrix_product(dtype, 256 if quick else 2048, repeats) for dtype in (tf.float32, tf.bfloat16)}
    say(f"{'matrix product':34}{products[tf.float32] / 1e9:28.0f}{products[tf.bfloat16] / 1e9:28.0f}")
    say(f"{'':34}{'forward  kernel   input':>28}{'forward  kernel   input':>28}")
    for side, before, after in CONVOLUTIONS[: 1 if quick else None]:
        cells = [convolution(dtype, side, before, after, 8 if quick else 128, repeats) for dtype in products]
        rates = "".join("    " + "".join(f"{rate / 1e9:8.0f}" for rate in cell) for cell in cells)
        say(f"{f'{side}x{side}, {before} to {after} channels':34}{rates}")
    precision = choose_precision()
    for label, (name, shape, batch, options) in list(NETS.items())[1 if quick else 0 : 2 if quick else None]:
        took, found, macs = step(name, shape, batch, options, 2 if quick else 20)
        rate = products[tf.bfloat16 if precision == "mixed_bfloat16" else tf.float32]
        say(f"\n{label}, {precision}: {1e3 * took:.1f} ms a step, {batch / took:,.0f} images/s")
        say(f"{macs / took / 1e9:.0f} x 10^9 multiply-accumulates a second; floor {1e3 * macs / rate:.1f} ms")
        total = sum(found.values())
        for kind, milliseconds in sorted(found.items(), key=lambda item: -item[1])[:14]:
            say(f"  {kind:34}{milliseconds:8.2f} ms {milliseconds / total:6.1%}")
    if not quick:
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / "anatomy.txt").write_text(out.getvalue())


if __name__ == "__main__":
    sys.exit(main())
