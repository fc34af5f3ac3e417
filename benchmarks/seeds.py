"""What accuracy do recipes reach over seeds, and in how many seconds?

    TFDS_DATA_DIR=… python benchmarks/seeds.py [NAME …] [--seeds 10] [--quick]

One training a row in results/accuracy.csv, written as it goes; a row that is there already is not run again. Recipes
were chosen on held-out training images with other seeds (from 100 on); the test images are used once, at the end.
"""

import argparse
import csv
import subprocess
import tempfile
from pathlib import Path

from common import processor

from cnn_zoo import load_data, train

EXPERIMENTS = {  # name -> model, data, validation, arguments of train
    "main": ("conv_stack", "mnist5k", 0.1, {}),
    "digits": ("zoonet", "mnist5k", 0.1, {}),
    "mnist": ("zoonet", "mnist", 0.0, {"epochs": 3}),
    "fashion_short": ("zoonet", "fashion_mnist", 0.0, {"epochs": 1}),
    "fashion": ("zoonet", "fashion_mnist", 0.0, {}),
    "fashion_wide": ("zoonet_wide", "fashion_mnist", 0.0, {"recipe": "accurate", "epochs": 7}),
    "cifar10_wide": ("zoonet_wide", "cifar10", 0.0, {"recipe": "accurate"}),
}
RESULTS = Path(__file__).parents[1] / "results" / "accuracy.csv"
COLUMNS = (
    "experiment", "model", "data", "recipe", "epochs", "seed", "train_images", "parameters", "precision",
    "train_accuracy", "test_accuracy", "fit_seconds", "processor", "cores", "keras", "tensorflow", "commit",
)  # fmt: skip


def rows() -> list[dict[str, str]]:
    """What was measured before."""
    if not RESULTS.exists():
        return []
    with open(RESULTS, newline="") as file:
        return list(csv.DictReader(file))


def one(name: str, data, seed: int, epochs: int | None) -> dict:
    """Train once."""
    model, _, _, arguments = EXPERIMENTS[name]
    arguments = {"recipe": "fast", **arguments} | ({"epochs": epochs} if epochs else {})
    with tempfile.TemporaryDirectory() as folder:
        run = train(model, data, seed=seed, out=f"{folder}/run", verbose=0, **arguments)
    git = ["git", "-C", str(RESULTS.parent), "rev-parse", "--short", "HEAD"]
    return {
        "experiment": name,
        "model": model,
        "data": data.name,
        "recipe": arguments["recipe"],
        "seed": seed,
        **{key: run.metrics[key] for key in ("epochs", "train_images", "parameters", "test_accuracy", "fit_seconds")},
        "precision": run.config["precision"],
        "train_accuracy": round(run.history["accuracy"][-1], 5),
        "processor": processor(),
        **{key: run.config["versions"][key] for key in ("cores", "keras", "tensorflow")},
        "commit": subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(EXPERIMENTS)}; default: all")
    parser.add_argument("--seeds", type=int, default=10, help="seeds 0 to this, without it (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="an epoch on the embedded digits; nothing is kept")
    args = parser.parse_args()
    if args.quick:
        print(one("digits", load_data("mnist5k"), 0, epochs=1))
        return
    for name in args.names or EXPERIMENTS:
        _, source, validation, _ = EXPERIMENTS[name]
        data = load_data(source, validation=validation)
        for seed in range(args.seeds):
            known = rows()
            if any(row["experiment"] == name and row["seed"] == str(seed) for row in known):
                continue
            row = one(name, data, seed, epochs=None)
            print(
                {key: row[key] for key in ("experiment", "seed", "epochs", "test_accuracy", "fit_seconds")}, flush=True
            )
            RESULTS.parent.mkdir(exist_ok=True)
            with open(RESULTS, "a", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                if not known:
                    writer.writeheader()
                writer.writerow(row)


if __name__ == "__main__":
    main()
