"""What accuracy do recipes reach over seeds, and in how many seconds?

    TFDS_DATA_DIR=… python benchmarks/seeds.py [NAME …] [--first 0] [--seeds 10] [--anew] [--quick]

One training a row in results/accuracy.csv, written as it goes; a row that is there already is not run again, but with
--anew, which first forgets all that is known of NAME, as is right when its recipe or net has changed. Without a name,
only what has no row yet is run: more seeds change the record that `cnn-zoo reproduce` compares with. Recipes were
chosen on held-out training images with other seeds (from 100 on); the test images are used once, at the end. Of those
in PUBLISHED the weights of seed 0 go into the package, whatever they reached, and their record with them. Several
processes may run at once, each with seeds of its own.
"""

import argparse
import contextlib
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from common import commit, one_of, processor, read_rows

from cnn_zoo import Run, build_model, evaluate, load_data, save_weights, train
from cnn_zoo.core.errors import RunError
from cnn_zoo.core.files import checksum, only_writer, read_json, write_csv, write_json
from cnn_zoo.weights import pretrained
from cnn_zoo.weights.files import read_weights
from cnn_zoo.weights.transfer import copy_weights

EXPERIMENTS = {  # name -> model, data, validation, arguments of train
    "main": ("conv_stack", "mnist5k", 0.1, {}),
    "mnist": ("zoonet", "mnist", 0.0, {"epochs": 3}),
    "fashion_short": ("zoonet", "fashion_mnist", 0.0, {"epochs": 1, "model_options": {"filters": [48, 96]}}),
    "fashion": ("zoonet", "fashion_mnist", 0.0, {}),
    "cifar": ("zoonet_large", "cifar10", 0.0, {"recipe": "accurate", "epochs": 10}),
}
PUBLISHED = {  # model-data -> arguments of train; the weights of seed 0 come with the package
    "lenet5-mnist": {},
    "lenet5-mnist5k": {},
    "conv_stack-mnist5k": {},
    "zoonet-mnist5k": {},
    "lenet5-fashion_mnist": {},
    "conv_stack-mnist": {"recipe": "muon"},
    "conv_stack-fashion_mnist": {"recipe": "muon", "augment": {}},
    "zoonet-mnist": {},
    "zoonet-fashion_mnist": {},
    "zoonet_wide-fashion_mnist": {"epochs": 7},
    "densenet_bc_22_16-fashion_mnist": {"recipe": "muon", "epochs": 4, "augment": {}},
    "mobilenet_v2-fashion_mnist": {"recipe": "muon", "epochs": 4, "augment": {}, "model_options": {"width": 0.35}},
    "shufflenet_v2-fashion_mnist": {"recipe": "muon", "epochs": 4, "augment": {}, "model_options": {"width": 0.5}},
    "vgg_slim-cifar10": {"recipe": "muon"},
    "zoonet_large-cifar10": {"recipe": "long"},
    "resnet20-cifar10": {"recipe": "muon", "epochs": 30, "augment": {"crop": 0.125, "flip": True}},
}
# of mnist5k the validation images stay unseen too: scenes are made of them
EXPERIMENTS |= {
    name: (*name.split("-"), 0.1 if name.endswith("mnist5k") else 0.0, {"recipe": "accurate", **changes})
    for name, changes in PUBLISHED.items()
}
ROOT = Path(__file__).parents[1]
RESULTS, GOLDEN = ROOT / "results/accuracy.csv", ROOT / "tests/reference/pretrained.json"
COLUMNS = (
    "experiment", "model", "data", "recipe", "epochs", "seed", "train_images", "parameters", "precision",
    "train_accuracy", "test_accuracy", "fit_seconds", "processor", "cores", "settings", "keras", "tensorflow", "commit",
)  # fmt: skip


def one(name: str, data, seed: int, epochs: int | None = None) -> tuple[dict, Run]:
    """Train once; returns the row and the run, whose folder is gone."""
    model, _, _, arguments = EXPERIMENTS[name]
    arguments = {"recipe": "fast", **arguments} | ({"epochs": epochs} if epochs else {})
    with tempfile.TemporaryDirectory() as folder:
        run = train(model, data, seed=seed, out=f"{folder}/run", verbose=0, **arguments)
    row = {
        "experiment": name,
        "model": model,
        "data": data.name,
        "recipe": arguments["recipe"],
        "seed": seed,
        **{key: run.metrics[key] for key in ("epochs", "train_images", "parameters", "test_accuracy", "fit_seconds")},
        "precision": run.config["precision"],
        "train_accuracy": round(run.history["accuracy"][-1], 5),
        "processor": processor(),
        **{key: run.config["versions"][key] for key in ("cores", "settings", "keras", "tensorflow")},
        "commit": commit(),
    }
    return row, run


def golden_logits(config: dict, path: Path) -> list[list[float]]:
    """What a model with the weights of a file answers to two images of noise."""
    arguments = {"classifier_activation": None, "compile": False, "dtype": "float32", **config["model_options"]}
    model = build_model(config["model"], config["input_shape"], len(config["class_names"]), **arguments)
    copy_weights(model, read_weights(path), str(path))
    images = np.random.default_rng(0).random((2, *config["input_shape"]), np.float32)
    return np.round(model.predict(images, verbose=0).astype(float), 4).tolist()


def publish(name: str, run: Run, data) -> None:
    """Put the weights of a run into the package, with their record and what they answer to fixed images."""
    path = pretrained.PUBLISHED / f"{name}.safetensors"
    path.parent.mkdir(exist_ok=True)
    save_weights(run.model, path, dtype="float16")
    copy_weights(run.model, read_weights(path), str(path))
    answers = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    answers[name] = golden_logits(run.config, path)
    lines = ",\n".join(f'"{key}": {json.dumps(answers[key])}' for key in sorted(answers))
    GOLDEN.write_text(f"{{\n{lines}\n}}\n")
    note(
        name,
        config=run.config,
        recipe=EXPERIMENTS[name][3]["recipe"],
        test_accuracy=evaluate(run.model, data)["accuracy"],
        parameters=run.metrics["parameters"],
        bytes=path.stat().st_size,
        sha256=checksum(path),
    )


def note(name: str, **facts) -> None:
    """Add to the record of published weights."""
    path = pretrained.PUBLISHED / pretrained.MANIFEST
    known = read_json(path) if path.exists() else {}
    known[name] = known.get(name, {}) | facts
    write_json(path, dict(sorted(known.items())))


@contextlib.contextmanager
def alone():
    """Wait for other processes that write results, and let them wait."""
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(only_writer(RESULTS.parent))
                break
            except RunError:
                time.sleep(0.1)
        yield


def forget(name: str) -> None:
    """Remove the rows of an experiment, and its weights with their record."""
    with alone():
        known = [row for row in read_rows(RESULTS) if row["experiment"] != name]
        write_csv(RESULTS, {column: [row[column] for row in known] for column in COLUMNS})
        (pretrained.PUBLISHED / f"{name}.safetensors").unlink(missing_ok=True)
        path = pretrained.PUBLISHED / pretrained.MANIFEST
        write_json(path, {key: record for key, record in read_json(path).items() if key != name})


def keep(name: str, row: dict, run: Run, data, weights: bool) -> None:
    """Write down a training, and what is published of it."""
    with alone():
        known = [r for r in read_rows(RESULTS) if (r["experiment"], r["seed"]) != (name, str(row["seed"]))]
        known.append({key: str(value) for key, value in row.items()})
        write_csv(RESULTS, {column: [r[column] for r in known] for column in COLUMNS})
        if weights:
            publish(name, run, data)
        if (pretrained.PUBLISHED / f"{name}.safetensors").exists():  # a record needs the weights of seed 0
            note(name, seeds={r["seed"]: float(r["test_accuracy"]) for r in known if r["experiment"] == name})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    about = f"of {', '.join(EXPERIMENTS)}; default: what has no row"
    parser.add_argument("names", nargs="*", metavar="NAME", type=one_of("experiment", EXPERIMENTS), help=about)
    parser.add_argument("--seeds", type=int, default=10, help="how many (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="of the seeds (default: %(default)s)")
    parser.add_argument("--anew", action="store_true", help="forget the rows and weights of NAME first")
    parser.add_argument("--quick", action="store_true", help="an epoch on the embedded digits; nothing is kept")
    args = parser.parse_args()
    if args.quick:
        print(one("main", load_data("mnist5k"), 0, epochs=1)[0])
        return
    if args.anew and not args.names:
        parser.error("--anew needs the name of what is to be measured anew")
    for name in args.names if args.anew else ():
        forget(name)
    there = {row["experiment"] for row in read_rows(RESULTS)}
    for name in args.names or [name for name in EXPERIMENTS if name not in there]:
        _, source, validation, _ = EXPERIMENTS[name]
        data, file = load_data(source, validation=validation), pretrained.PUBLISHED / f"{name}.safetensors"
        for seed in range(args.first, args.first + args.seeds):
            wanted = name in PUBLISHED and seed == 0 and not file.exists()
            if any((row["experiment"], row["seed"]) == (name, str(seed)) for row in read_rows(RESULTS)) and not wanted:
                continue
            row, run = one(name, data, seed)
            print(f"{name}, seed {seed}: {row['test_accuracy']:.4f} in {row['fit_seconds']:.0f} s", flush=True)
            keep(name, row, run, data, wanted)


if __name__ == "__main__":
    main()
