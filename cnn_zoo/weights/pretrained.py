"""Weights that come with the zoo, and what is known of each: its training, its accuracy, its checksum.

published/manifest.json holds a record for each file, benchmarks/seeds.py writes both. The weights are those of seed 0
whatever it reached; the accuracy on record is that of all seeds.
"""

import functools
import statistics
from pathlib import Path
from typing import Any

from ..core.errors import MissingError, RunError, UsageError, unknown
from ..core.files import checksum, read_json

PUBLISHED = Path(__file__).with_name("published")
MANIFEST = "manifest.json"


@functools.cache
def records() -> dict[str, dict[str, Any]]:
    """What is known of each file of weights, by its name without ending, such as "lenet5-mnist".

    A record has `config`, as a run, `recipe`, its name, `test_accuracy`, of the file itself, `seeds`, {seed: test
    accuracy} of all trainings, `parameters`, `bytes` and `sha256`.
    """
    return read_json(PUBLISHED / MANIFEST) if (PUBLISHED / MANIFEST).exists() else {}


def records_of(model: str) -> dict[str, dict[str, Any]]:
    """The records of a model's weights, by the data set that they were trained on."""
    found = [record for record in records().values() if record["config"]["model"] == model]
    return {record["config"]["data"]: record for record in found}


def find_record(model: str, data: str) -> dict[str, Any]:
    """The record of a model's weights for a data set; UsageError if there are none."""
    found = records_of(model)
    if not found:
        models = ", ".join(sorted({record["config"]["model"] for record in records().values()}))
        elsewhere = "; load_torch_weights reads those of torchvision and timm" if data == "imagenet" else ""
        raise UsageError(f"{model} has no published weights, for {data!r} or others; {models} have{elsewhere}")
    if data not in found:
        raise UsageError(unknown(f"weights of {model}", data, found))
    return found[data]


def names_data(weights: Any) -> bool:
    """Whether build_model's argument is the name of a data set, and not a path."""
    return isinstance(weights, str) and Path(weights).name == weights and not Path(weights).suffix


def accuracy_text(record: dict[str, Any]) -> str:
    """Mean and standard deviation of the test accuracy over seeds, in percent."""
    reached = [100 * accuracy for accuracy in record["seeds"].values()]
    deviation = f" ± {statistics.stdev(reached):.2f}" if len(reached) > 1 else ""
    return f"{statistics.mean(reached):.2f}{deviation} % ({len(reached)} seed{'s' * (len(reached) > 1)})"


def weights_file(record: dict[str, Any]) -> Path:
    """The file of a record, after a look at its checksum."""
    config = record["config"]
    path = PUBLISHED / f"{config['model']}-{config['data']}.safetensors"
    if not path.is_file():
        raise MissingError(f"{path} is missing: the installation is incomplete, install cnn_zoo again")
    if checksum(path) != record["sha256"]:
        raise RunError(f"{path} is not the file that was published: its checksum is another; install cnn_zoo again")
    return path
