"""What accuracy does the main job reach over seeds, and how long does its training take?

python benchmarks/seeds.py [--seeds 5]
"""

import argparse
import statistics
import tempfile

from common import write

from cnn_zoo import train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    seeds = range(parser.parse_args().seeds)
    with tempfile.TemporaryDirectory() as folder:
        runs = [train(seed=seed, out=f"{folder}/{seed}", verbose=0) for seed in seeds]
    accuracies = [run.metrics["test_accuracy"] for run in runs]
    results = {
        "test_accuracy": accuracies,
        "mean": statistics.mean(accuracies),
        "standard_deviation": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        "fit_seconds": [run.metrics["fit_seconds"] for run in runs],
    }
    write("seeds", results)


if __name__ == "__main__":
    main()
