"""Is the pipeline ever slower than the training that it feeds?

    TFDS_DATA_DIR=… python benchmarks/pipeline.py [--quick]

Images a second of the pipeline alone, and of training the cheapest and the main model from it, in one run.
"""

import argparse

from common import seconds, write

from cnn_zoo import Augment, build_model, load_data

HOW = {
    "mnist5k": Augment(translate=0.04, rotate=10.0, zoom=0.1),
    "cifar10": Augment(crop=0.125, flip=True),
}


def measure(name: str, repeats: int) -> dict[str, int]:
    """Images a second from one data set."""
    data = load_data(name, batch_size=128)
    steps = min(80, data.steps())

    def rate(work) -> int:
        return round(steps * 128 / seconds(work, repeats))

    def batches(how: Augment):
        return data.epochs(0, 1, augment=how).take(steps)

    def drain(how: Augment) -> None:
        for _ in batches(how):
            pass

    row = {
        "pipeline": rate(lambda: drain(Augment())),
        "pipeline, augmented": rate(lambda: drain(HOW[name])),
    }
    for model in ("lenet5", "conv_stack"):
        net = build_model(model, data.input_shape)

        def fit(net=net) -> None:
            net.fit(batches(HOW[name]), verbose=0, shuffle=False)

        row[f"training {model}, augmented"] = rate(fit)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the embedded digits only, once")
    args = parser.parse_args()
    repeats, results = (1 if args.quick else 3), {}
    for name in ["mnist5k"] if args.quick else HOW:
        results[name] = measure(name, repeats)
    write("pipeline", {"images_per_second": results}, args.quick)


if __name__ == "__main__":
    main()
