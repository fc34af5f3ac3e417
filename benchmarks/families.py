"""Does every family learn, and how long does an epoch take? One short real training of each.

    TFDS_DATA_DIR=… python benchmarks/families.py [--images 4000] [--epochs 2] [--data fashion_mnist] [--quick]

Adam at 3e-4, batches of 32, on as many images drawn from the training split of a data set; each is seen once. Writes
results/families.csv as it goes. Accuracy is not the point here, and not measured: that the loss falls is.
"""

import argparse
import math
import time
from pathlib import Path

# before Keras, so that TensorFlow starts as it does for users of the zoo
from cnn_zoo import Recipe, build_model, fast_layers, list_models, load_data, model_card

# isort: split
import keras
from common import one_of, read_rows, write_rows

from cnn_zoo.tasks import CLASSIFICATION

NAMES = (  # one of each builder; the tests take them from the results
    "conv_stack", "lenet5", "alexnet", "alexnet_owt", "vgg11", "googlenet", "inception_v3", "resnet18", "resnet20",
    "densenet_bc_100_12", "squeezenet1_1", "mobilenet_v1", "mobilenet_v2", "shufflenet_v1", "shufflenet_v2",
    "efficientnet_b0", "zoonet",
)  # fmt: skip
RESULTS = Path(__file__).parents[1] / "results" / "families.csv"


class Losses(keras.callbacks.Callback):
    """The loss of every step, and the time at the end of every epoch."""

    def on_train_begin(self, logs=None):
        self.losses, self.times, self.total = [], [], 0.0

    def on_train_batch_end(self, batch, logs=None):
        # Keras reports the mean of the epoch so far; what this step added to it is its own loss
        mean = logs["loss"] * (batch + 1)
        self.losses.append(mean - (self.total if batch else 0.0))
        self.total = mean

    def on_epoch_end(self, epoch, logs=None):
        self.times.append(time.perf_counter())


BATCH = 32


def learn(name: str, data, images: int, epochs: int) -> dict:
    """Train one model; the first epoch, which also traces the graph, does not count for the time."""
    keras.utils.set_random_seed(0)
    model, watch = build_model(name, data.input_shape, data.num_classes), Losses()
    CLASSIFICATION.compile(model, Recipe(learning_rate=3e-4).make_optimizer(1))
    steps = images // BATCH
    batches = data.batches("train", batch_size=BATCH, epochs=(0, epochs))
    with fast_layers(model):
        model.fit(batches, epochs=epochs, steps_per_epoch=steps, callbacks=[watch], shuffle=False, verbose=0)
    tenth = max(1, len(watch.losses) // 10)
    card = model_card(model)
    return {
        "model": name,
        "data": data.name,
        "images": steps * BATCH,
        "parameters": card.parameters,
        "macs": card.macs,
        "first_loss": round(sum(watch.losses[:tenth]) / tenth, 4),
        "last_loss": round(sum(watch.losses[-tenth:]) / tenth, 4),
        "seconds_per_epoch": round((watch.times[-1] - watch.times[0]) / max(1, epochs - 1), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=4_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--data", default="fashion_mnist")
    parser.add_argument(
        "--quick", action="store_true", help="three steps of the first two on the embedded digits; nothing is kept"
    )
    names = list_models()
    parser.add_argument("models", nargs="*", type=one_of("model", names), help=f"of {', '.join(names)}")
    args = parser.parse_args()
    images, epochs = (96, 2) if args.quick else (args.images, args.epochs)
    data = load_data("mnist5k" if args.quick else args.data)
    rows = {row["model"]: row for row in read_rows(RESULTS)}  # what is not measured anew stays
    for name in args.models or NAMES[: 2 if args.quick else None]:
        rows[name] = learn(name, data, images, epochs)
        print(rows[name], flush=True)
        assert math.isfinite(rows[name]["last_loss"])
        if not args.quick:
            write_rows(RESULTS, list(rows.values()))


if __name__ == "__main__":
    main()
