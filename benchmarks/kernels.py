"""What are oneDNN's kernels worth on this processor?

    python benchmarks/kernels.py [--quick]

By itself TensorFlow takes them only on processors with AVX512 and more; cnn_zoo asks for them wherever there is AVX2
(quiet.py). Images a second of training steps in float32, with and without them in turn, each time in a new process, for
TensorFlow reads the setting when it is imported.
"""

import argparse
import os
import subprocess
import sys
import time

import numpy as np
from common import spread, write

NETS = ("conv_stack", "lenet5", "zoonet", "zoonet_large", "resnet20", "densenet_bc_100_12", "mobilenet_v2")
SECONDS = 3.0  # of measuring, after two steps that are not counted


def rate(name: str, seconds: float) -> float:
    """Images a second, in this process."""
    from cnn_zoo import build_model

    model, size, rng = build_model(name, dtype="float32"), 64, np.random.default_rng(0)
    batch = rng.random((size, *model.input_shape[1:]), np.float32), rng.integers(0, 10, size)
    for _ in range(2):
        model.train_on_batch(*batch)
    steps, begun = 0, time.perf_counter()
    while not steps or time.perf_counter() - begun < seconds:
        model.train_on_batch(*batch)
        steps += 1
    return size * steps / (time.perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one net, one step; nothing is kept")
    parser.add_argument("--one", metavar="MODEL", help="print images a second of a model in this process")
    args = parser.parse_args()
    if args.one:
        print(rate(args.one, 0 if args.quick else SECONDS))
        return
    results = {}
    for name in NETS[: 1 if args.quick else None]:
        rates = {"0": [], "1": []}
        for _ in range(1 if args.quick else 3):
            for value, found in rates.items():
                command = [sys.executable, __file__, "--one", name, *["--quick"] * args.quick]
                setting = os.environ | {"TF_ENABLE_ONEDNN_OPTS": value}
                done = subprocess.run(command, env=setting, capture_output=True, text=True, check=True)
                found.append(float(done.stdout.split()[-1]))
        without, using = (spread(found, 1) for found in rates.values())
        ratio = round(using["median"] / without["median"], 2)
        results[name] = {"images_per_second": {"without": without, "with": using}, "with / without": ratio}
        print(name, results[name], flush=True)
    write("kernels", results, args.quick)


if __name__ == "__main__":
    main()
