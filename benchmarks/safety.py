"""What do checkpoints and deterministic operations cost?

    python benchmarks/safety.py [--quick]

The same training in processes of their own, in turn: without checkpoints (for this benchmark only: there is no such
option), as it is, and with deterministic=True. Seconds are those of the epochs, with validation and tracing. Writes
results/…/safety.json.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile

from common import spread, write

CASES = {  # label -> model, epochs of the embedded digits
    "zoonet": ("zoonet", 20),
    "resnet20": ("resnet20", 3),
}
PROGRAM = """
import sys
from cnn_zoo import checkpoints, train
if sys.argv[4] == "no checkpoints":
    checkpoints.State.save = lambda self: None
deterministic = sys.argv[4] == "deterministic"
run = train(sys.argv[1], epochs=int(sys.argv[2]), out=sys.argv[3], deterministic=deterministic, verbose=0)
print(run.metrics["fit_seconds"])
"""
WAYS = ("no checkpoints", "as it is", "deterministic")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one epoch of one net, each way once; nothing is kept")
    quick, results = parser.parse_args().quick, {}
    for label, (model, epochs) in list(CASES.items())[: 1 if quick else None]:
        times = {way: [] for way in WAYS}
        for _ in range(1 if quick else 5):
            for way in WAYS:
                with tempfile.TemporaryDirectory() as folder:
                    arguments = [model, str(1 if quick else epochs), f"{folder}/run", way]
                    out = subprocess.check_output([sys.executable, "-c", PROGRAM, *arguments], text=True)
                    times[way].append(float(out))
        middle = {way: statistics.median(seconds) for way, seconds in times.items()}
        results[label] = {
            "epochs": epochs,
            "seconds": {way: spread(seconds, 2) for way, seconds in times.items()},
            "checkpoints cost, %": round(100 * (middle["as it is"] / middle["no checkpoints"] - 1), 1),
            "determinism costs, %": round(100 * (middle["deterministic"] / middle["as it is"] - 1), 1),
        }
        print(label, results[label], flush=True)
    write("safety", results, quick)


if __name__ == "__main__":
    main()
