"""How well does unet find digits in scenes, and which changes to its recipe find them better?

    python benchmarks/scenes.py [NAME …] [--quick]

A training a row in results/scenes.csv, written as it goes; a row that is there already is not run again. Changes are
judged on the validation scenes, with a seed that nothing else uses; the recipe as it is on the test scenes too, with
three other seeds, beside what a net that finds nothing gets.
"""

import argparse
import dataclasses
import tempfile
from pathlib import Path

from common import one_of, processor, read_rows, write_rows

from cnn_zoo import load_data, train
from cnn_zoo.tasks import SEGMENTATION

CHANGES = {  # label -> attributes of the recipe
    "as it is": {},
    "learning rate 0.004": {"learning_rate": 4e-3},
    "no shifts": {"augment": {}},
    "background weight 1": {"background_weight": 1.0},
}
SEEDS = {"as it is": (0, 1, 2, 100)}
RESULTS = Path(__file__).parents[1] / "results" / "scenes.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", type=one_of("change", CHANGES), help="; ".join(CHANGES))
    parser.add_argument("--quick", action="store_true", help="an epoch of a few scenes; nothing is kept")
    args = parser.parse_args()
    options = {"counts": (64, 32, 32)} if args.quick else {}
    data, rows = load_data("scenes", **options), [] if args.quick else read_rows(RESULTS)
    known = {(row["change"], row["seed"]) for row in rows}
    for label in args.names or list(CHANGES)[: 1 if args.quick else None]:
        recipe = dataclasses.replace(SEGMENTATION.recipes["fast"], **CHANGES[label])
        for seed in (100,) if args.quick else SEEDS.get(label, (100,)):
            if (label, str(seed)) in known:
                continue
            with tempfile.TemporaryDirectory() as folder:
                epochs = 1 if args.quick else None
                run = train("unet", data, recipe=recipe, epochs=epochs, seed=seed, out=f"{folder}/run", verbose=0)
            judged = seed < 100  # the test scenes are for the recipe that was chosen
            row = {
                "change": label,
                "seed": str(seed),
                "epochs": run.metrics["epochs"],
                "validation_mean_iou": round(run.history["val_mean_iou"][-1], 4),
                "test_mean_iou": round(run.metrics["test_mean_iou"], 4) if judged else "",
                "test_pixel_accuracy": round(run.metrics["test_pixel_accuracy"], 4) if judged else "",
                "test_background_mean_iou": round(run.metrics["test_background_mean_iou"], 4) if judged else "",
                "fit_seconds": run.metrics["fit_seconds"],
                "precision": run.config["precision"],
                "processor": processor(),
            }
            rows.append(row)
            print(row, flush=True)
            if not args.quick:
                write_rows(RESULTS, rows)


if __name__ == "__main__":
    main()
