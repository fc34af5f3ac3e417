"""What does the pipeline cost a training?

    TFDS_DATA_DIR=… python benchmarks/pipeline.py [--quick]

Images a second of the pipeline alone, plain and augmented; and of training the cheapest and the main model, as `train`
does it, from the augmented pipeline and from batches of one epoch held in memory, in turn. What the second is faster is
what the pipeline costs: both share the cores.
"""

import argparse
import statistics

from common import alternate, seconds, write

from cnn_zoo import Augment, build_model, load_data
from cnn_zoo.recipes import get_recipe
from cnn_zoo.tasks import CLASSIFICATION
from cnn_zoo.training import _steps_per_execution

SIZE = 128
CHANGES = {
    "mnist5k": Augment(translate=0.04, rotate=10.0, zoom=0.1),
    "cifar10": Augment(crop=0.125, flip=True),
}


def measure(name: str, repeats: int, epochs: int) -> dict:
    """Images a second from one data set."""
    data = load_data(name)
    steps, images = epochs * data.steps(SIZE), epochs * len(data.splits["train"])

    def batches(count: int, changes: Augment = CHANGES[name]):
        return data.batches("train", batch_size=SIZE, epochs=(0, count), augment=changes)

    def drain(changes: Augment) -> None:
        for _ in batches(epochs, changes):
            pass

    row = {
        "pipeline": round(images / seconds(lambda: drain(Augment()), repeats)),
        "pipeline, augmented": round(images / seconds(lambda: drain(CHANGES[name]), repeats)),
    }
    # not one batch again and again: what no longer changes makes moments of Adam so small that the processor is slow
    held = batches(1).cache().repeat(epochs)
    for model in ("lenet5", "conv_stack"):
        net = build_model(model, data.input_shape, dtype="auto", compile=False)
        together = _steps_per_execution(net, SIZE, steps)
        CLASSIFICATION.compile(net, get_recipe("fast").make_optimizer(steps), steps_per_execution=together)

        def fit(augmented: bool, net=net) -> None:
            net.fit(batches(epochs) if augmented else held, verbose=0, shuffle=False)

        times = alternate({"from memory": lambda: fit(False), "augmented": lambda: fit(True)}, repeats)
        for way, found in times.items():
            row[f"training {model}, {way}"] = round(images / statistics.median(found))
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the embedded digits only, once")
    args = parser.parse_args()
    if args.quick:
        results = {"mnist5k": measure("mnist5k", 1, 1)}
    else:  # some 40,000 images each: starting an iterator would count in less
        results = {"mnist5k": measure("mnist5k", 5, 10), "cifar10": measure("cifar10", 5, 1)}
    write("pipeline", {"images_per_second": results}, args.quick)


if __name__ == "__main__":
    main()
