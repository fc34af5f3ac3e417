"""Which changes to the recipe `fast` make zoonet more accurate on held-out training images?

    TFDS_DATA_DIR=… python benchmarks/selection.py [--quick]

One epoch of nine tenths of MNIST's training images for each of three seeds, which no other benchmark uses; judged on
the tenth that was set aside. Writes results/selection.csv at the top level: what the choice of the recipe rests on.
"""

import argparse
import dataclasses
import statistics
import tempfile
from pathlib import Path

from common import write_rows

from cnn_zoo import load_data, train
from cnn_zoo.recipes import get_recipe

SEEDS = (100, 101, 102)
CHANGES = {  # label -> attributes of the recipe
    "as it is": {},
    "learning rate 0.3": {"learning_rate": 0.3},
    "learning rate 0.5": {"learning_rate": 0.5},
    "learning rate 1.2": {"learning_rate": 1.2},
    "no label smoothing": {"label_smoothing": 0.0},
    "shifts of a pixel": {"vary_after": 0},
    "weight decay 0.005": {"weight_decay": 5e-3},
    "warm-up over a tenth": {"warmup": 0.1},
    "batches of 64": {"batch_size": 64},
    "batches of 256": {"batch_size": 256},
    "AdamW at 0.01": {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.1},
    "AdamW at 0.02": {"optimizer": "adamw", "learning_rate": 0.02, "weight_decay": 0.1},
}
RESULTS = Path(__file__).parents[1] / "results" / "selection.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two changes on the embedded digits; nothing is kept")
    quick = parser.parse_args().quick
    data = load_data("mnist5k" if quick else "mnist")
    rows = []
    for label, changes in list(CHANGES.items())[: 2 if quick else None]:
        recipe, runs = dataclasses.replace(get_recipe("fast", large_steps=True), **changes), []
        for seed in SEEDS[: 1 if quick else None]:
            with tempfile.TemporaryDirectory() as folder:
                runs.append(train("zoonet", data, recipe=recipe, epochs=1, seed=seed, out=f"{folder}/run", verbose=0))
        accuracies = [run.history["val_accuracy"][-1] for run in runs]
        row = {
            "change": label,
            "seeds": len(runs),
            "validation_accuracy": round(statistics.mean(accuracies), 5),
            "standard_deviation": round(statistics.stdev(accuracies), 5) if len(runs) > 1 else "",
            "least": round(min(accuracies), 5),
            "seconds": round(statistics.median(run.metrics["fit_seconds"] for run in runs), 1),
        }
        rows.append(row)
        print(row, flush=True)
        if not quick:
            write_rows(RESULTS, rows)


if __name__ == "__main__":
    main()
