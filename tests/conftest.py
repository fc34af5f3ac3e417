"""What several test files share."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
SMALL = {  # a training that takes a second
    "model": "conv_stack",
    "verbose": 0,
    "precision": "float32",
    "model_options": {"filters": [4, 8], "units": [16]},
}


def equal(some, others):
    """Whether two lists of arrays are the same."""
    return all(np.array_equal(a, b) for a, b in zip(some, others, strict=True))


def in_source_order(data, split):
    """Images and targets of a split, which mixes those for judging, as the source has them."""
    order = np.argsort(data.splits[split])
    return data.images(split)[order], data.targets(split)[order]


def clean_environment(**changes):
    """The environment without what JAX, where it is installed, has set for TensorFlow's log."""
    return {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"} | changes


def run_cli(*arguments, cwd, timeout=120, **environment):
    """Run the installed command line in a process of its own; returns (status, stdout, stderr)."""
    done = subprocess.run(
        [sys.executable, "-m", "cnn_zoo", *map(str, arguments)],
        cwd=cwd,
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def cli(capsys, *arguments):
    """Run the command line in this process; returns (status, stdout, stderr)."""
    from cnn_zoo.cli import main

    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as stop:  # argparse
        status = stop.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def like_torchvision(name):
    """Random weights for a model of the zoo under the names and in the order of torchvision's."""
    from cnn_zoo import build_model
    from cnn_zoo.models.registry import entry
    from cnn_zoo.nn.inspection import shapes_only
    from cnn_zoo.weights.torch import _wanted

    rng, tensors = np.random.default_rng(0), {}
    with shapes_only():
        model = build_model(name, num_classes=1000, compile=False)
    for key, (_, variable) in _wanted(model, entry(name).torch).items():
        order = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[len(variable.shape)]
        tensors[key] = rng.random([variable.shape[axis] for axis in order], dtype=np.float32)
    return tensors


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A small training on the embedded digits, for tests that need a run and do not change it."""
    from cnn_zoo import train

    return train(
        "conv_stack",
        "mnist5k",
        epochs=2,
        out=tmp_path_factory.mktemp("runs") / "small",
        verbose=0,
        model_options={"filters": [4, 8], "units": [16]},
    )


@pytest.fixture(scope="session")
def digits():
    """The embedded digits, loaded once."""
    from cnn_zoo import load_data

    return load_data("mnist5k")


@pytest.fixture(scope="session")
def few():
    """200 digits: enough to train on for a second."""
    from cnn_zoo import load_data
    from cnn_zoo.data.sources import read_source

    source = read_source("mnist5k")
    return load_data((source.images[::25], source.targets[::25]))


@pytest.fixture
def no_report(monkeypatch):
    """Trainings that draw no figures, which takes longer than a small training."""
    from cnn_zoo import report

    monkeypatch.setattr(report, "write_report", lambda *_: None)


@pytest.fixture
def photos(tmp_path):
    """A folder of three classes: PNG and JPEG, grey and colour, of many sizes; class 2 holds the bright ones."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for label, name in enumerate(("dark", "dim", "light")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(12):
            height, width = rng.integers(20, 90, 2)
            pixels = np.clip(rng.normal(40 + 85 * label, 15, (height, width, 3)), 0, 255).astype(np.uint8)
            image = Image.fromarray(pixels)
            image = image.convert("L") if i % 3 == 0 else image
            image.save(tmp_path / "photos" / name / f"{i}.{'png' if i % 2 else 'jpg'}")
    return tmp_path / "photos"
