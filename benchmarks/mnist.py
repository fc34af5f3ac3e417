"""How long does it take to reach 99 % on MNIST: here, with Keras' and PyTorch's own examples, and in raw PyTorch?

    TFDS_DATA_DIR=… python benchmarks/mnist.py [--seeds 10] [--peer-seeds 2] [--quick]

Needs torch. In turn, seed by seed, each training in a process of its own, all on the official split with the images in
memory:

- zoonet: `train("zoonet", "mnist")` with the recipe `fast` for one epoch of all 60,000 images, start to end;
- the same in a process that computes each operation with one thread (TF_NUM_INTRAOP_THREADS=1), up to two
  operations at a time: in so small a net, waking a second core for an operation costs as much as it saves;
- raw PyTorch: the same net, recipe and order of work in PyTorch, channels_last, and bfloat16 where ours computes in it;
  both for four epochs too, for tracing counts for less in them;
- Keras' example: the settings of keras.io's "Simple MNIST convnet" (two convolutions of 32 and 64, dropout, Adam,
  batches of 128, a tenth of the images set aside), until the first epoch after which the test accuracy is 99 %;
  TensorFlow chooses its kernels itself;
- PyTorch's example: the settings of pytorch/examples "mnist" (two convolutions of 32 and 64, two dense layers, dropout,
  Adadelta at 1.0 times 0.7 an epoch, batches of 64), likewise.

Seconds are those of training, with tracing and whatever else a process does at first, without loading and judging: a
process that has trained before is faster, PyTorch most of all, which `--warm` shows. The two examples are stopped the
first time that the *test* accuracy is high enough, which favours them; ours run as long as their recipe says and are
judged once.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time

from cnn_zoo import load_data, train  # before Keras, so that TensorFlow starts as it does for users of the zoo

# isort: split
import keras
import numpy as np
import torch
import torch.nn.functional as F
from common import ENVIRONMENT, plain_keras, spread, write
from torch import nn

from cnn_zoo.nn.precision import choose_precision
from cnn_zoo.recipes import get_recipe

TARGET = 0.99


class Until:
    """Seconds of training until the test accuracy reaches the target, judged after each epoch outside the clock."""

    def __init__(self, most_epochs: int):
        self.most_epochs = most_epochs

    def __call__(self, epoch, judge) -> dict:
        seconds, accuracy = 0.0, 0.0
        for number in range(1, self.most_epochs + 1):
            begun = time.perf_counter()
            epoch(number)
            seconds += time.perf_counter() - begun
            accuracy = judge()
            if accuracy >= TARGET:
                break
        return {"seconds": round(seconds, 2), "accuracy": accuracy, "epochs": number}


def ours(data, seed: int, epochs: int) -> dict:
    """The zoo's fast net and recipe, without augmentation."""
    options = {"recipe": "fast", "epochs": epochs, "augment": {}, "verbose": 0}
    with tempfile.TemporaryDirectory() as folder:
        run = train("zoonet", data, seed=seed, out=f"{folder}/run", **options)
    return {"seconds": run.metrics["fit_seconds"], "accuracy": run.metrics["test_accuracy"], "epochs": epochs}


def alone(work, data: str, seed: int, epochs: int, before: int, one_thread: bool = False) -> dict:
    """What a function of this script returns in a process of its own, after as many trainings that do not count."""
    arguments = [__file__, "--alone", work.__name__, data, *map(str, (seed, epochs, before))]
    command = plain_keras(*arguments) if work is keras_example else [sys.executable, *arguments]
    environment = ENVIRONMENT | ({"TF_NUM_INTRAOP_THREADS": "1"} if one_thread else {})
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def keras_example(data, seed: int, most: int) -> dict:
    """The published settings of Keras' simple convnet, in our words."""
    keras.utils.set_random_seed(seed)
    x, y, x_test, y_test = arrays(data)
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    one_hot = keras.utils.to_categorical(y, 10)

    def epoch(number):
        model.fit(x, one_hot, batch_size=128, initial_epoch=number - 1, epochs=number, validation_split=0.1, verbose=0)

    return Until(most)(
        epoch, lambda: float((model.predict(x_test, batch_size=1000, verbose=0).argmax(1) == y_test).mean())
    )


class ExampleNet(nn.Module):
    """The net of PyTorch's example."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25)
        )
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10), nn.LogSoftmax(1)
        )

    def forward(self, x):
        return self.head(self.features(x))


def torch_accuracy(model, x_test, y_test) -> float:
    """Of a PyTorch model in float32."""
    model.eval()
    with torch.no_grad():
        labels = torch.cat([model(part).argmax(1) for part in x_test.split(1000)])
    return float((labels == y_test).float().mean())


def torch_example(data, seed: int, most: int) -> dict:
    """The published settings of PyTorch's basic example, with the images in memory instead of files."""
    torch.manual_seed(seed)
    x, y, x_test, y_test = torch_arrays(data)
    x, x_test = ((images - 0.1307) / 0.3081 for images in (x, x_test))
    model = ExampleNet()
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.7)

    def epoch(number):
        model.train()
        for chosen in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            F.nll_loss(model(x[chosen]), y[chosen]).backward()
            optimizer.step()
        schedule.step()

    return Until(most)(epoch, lambda: torch_accuracy(model, x_test, y_test))


def torch_zoonet() -> nn.Module:
    """zoonet at 28x28x1, layer for layer, with Keras' and our initial weights and batch normalisation."""

    def conv(before, after, size, stride, padding):
        layer = nn.Conv2d(before, after, size, stride, padding, bias=False)
        nn.init.kaiming_normal_(layer.weight)
        return layer

    def norm(width):
        return nn.BatchNorm2d(width, momentum=0.1), nn.ReLU()

    net = nn.Sequential(
        conv(1, 16, 4, 2, 1), *norm(16),
        conv(16, 32, 3, 1, 1), nn.MaxPool2d(2), *norm(32),
        conv(32, 64, 3, 1, 1), nn.MaxPool2d(2), *norm(64), conv(64, 64, 3, 1, 1), *norm(64),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
    nn.init.xavier_uniform_(net[-1].weight)
    nn.init.zeros_(net[-1].bias)
    return net.to(memory_format=torch.channels_last)


def torch_at_our_recipe(data, seed: int, epochs: int) -> dict:
    """zoonet with the recipe `fast`, as a practised user of PyTorch would write it."""
    torch.manual_seed(seed)
    recipe = get_recipe("fast", large_steps=True)
    x, y, x_test, y_test = torch_arrays(data)
    pixels = (x * 255).to(torch.uint8)
    model, size = torch_zoonet(), recipe.batch_size
    steps = -(-len(x) // size) * epochs
    begun = time.perf_counter()
    optimizer = torch.optim.SGD(model.parameters(), lr=recipe.learning_rate, momentum=0.9, nesterov=True)
    rising = recipe.warmup * steps
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(0.1 + 0.9 * step / rising, (steps - step) / (steps - rising))
    )
    half = choose_precision() == "mixed_bfloat16"
    model.train()
    for chosen in (part for _ in range(epochs) for part in torch.randperm(len(x)).split(size)):
        images = (pixels[chosen].float() / 255).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            outputs = model(images)
        loss = F.cross_entropy(outputs.float(), y[chosen], label_smoothing=recipe.label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    seconds = time.perf_counter() - begun
    return {"seconds": round(seconds, 2), "accuracy": torch_accuracy(model, x_test, y_test), "epochs": epochs}


def arrays(data):
    """Training and test images, float32 in [0, 1], and labels."""
    parts = []
    for split in ("train", "test"):
        parts += [data.images(split).astype(np.float32) / 255, data.targets(split)]
    return parts


def torch_arrays(data):
    """The same as tensors, channels first."""
    return [torch.from_numpy(np.ascontiguousarray(np.moveaxis(p, -1, 1)) if p.ndim == 4 else p) for p in arrays(data)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="of ours and raw PyTorch (default: %(default)s)")
    parser.add_argument(
        "--peer-seeds", type=int, default=2, help="of the four epochs and Keras' example, half of PyTorch's; 0: none"
    )
    parser.add_argument("--quick", action="store_true", help="one epoch each on the embedded digits; nothing is kept")
    parser.add_argument(
        "--warm", action="store_true", help="each training after another in its process, which does not count; not kept"
    )
    parser.add_argument("--alone", nargs=5, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.alone:
        function, name, *numbers = args.alone
        seed, epochs, before = map(int, numbers)
        data = load_data(name, validation=0)
        for _ in range(before + 1):
            row = globals()[function](data, seed, epochs)
        print(json.dumps(row))
        return
    seeds, peers, most, longer = (1, 1, 1, 1) if args.quick else (args.seeds, args.peer_seeds, 20, 4)
    data = "mnist5k" if args.quick else "mnist"
    systems = {  # label -> function, its epochs, whether operations have a thread each, how many seeds
        "zoonet, fast": (ours, 1, False, seeds),
        "zoonet, fast, a thread for each operation": (ours, 1, True, seeds),
        "raw PyTorch, same net and recipe": (torch_at_our_recipe, 1, False, seeds),
        "zoonet, four epochs without augmentation": (ours, longer, False, peers),
        "the same, a thread for each operation": (ours, longer, True, peers),
        "raw PyTorch, the same": (torch_at_our_recipe, longer, False, peers),
        "Keras' example": (keras_example, most, False, peers),
        "PyTorch's example": (torch_example, most, False, (peers + 1) // 2),
    }
    rows = {name: [] for name in systems}
    for seed in range(max(seeds, peers)):
        for name, (work, epochs, one_thread, count) in systems.items():
            if seed < count:
                rows[name].append(alone(work, data, seed, epochs, int(args.warm), one_thread))
                print(f"{name:41} seed {seed}: {rows[name][-1]}", flush=True)
    results = {}
    for name, found in ((name, found) for name, found in rows.items() if found):
        accuracies = [row["accuracy"] for row in found]
        results[name] = {
            "seconds": spread([row["seconds"] for row in found], 2),
            "mean": round(statistics.mean(accuracies), 5),
            "least": min(accuracies),
            "standard_deviation": round(statistics.stdev(accuracies), 5) if len(found) > 1 else None,
            "runs": found,
        }
    own = results["zoonet, fast"]["seconds"]["median"]
    for row in results.values():
        row["times_zoonet"] = round(row["seconds"]["median"] / own, 2)
    write("mnist", results, args.quick or args.warm)


if __name__ == "__main__":
    main()
