"""What several test files share."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


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

    return load_data("mnist5k", batch_size=100)


@pytest.fixture
def photos(tmp_path):
    """A folder of three classes: PNG and JPEG, grey and colour, of many sizes; class 2 holds the bright ones."""
    import numpy as np
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
