"""A saved model is plain Keras: a process without cnn_zoo reads it and computes the same."""

import multiprocessing
import pickle
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from test_models import KINDS, QUICK, images, outputs_of, tiny

from cnn_zoo import build_model, fast_layers, predict
from conftest import clean_environment

READER = """
import pickle, sys
from pathlib import Path
sys.modules["cnn_zoo"] = None  # what imports it fails
import keras, numpy as np
for path in sorted(Path(sys.argv[1]).glob("*.*")):
    with np.load(path.with_name(path.name.partition(".")[0] + ".npz")) as arrays:
        x, expected = arrays["x"], arrays["expected"]
    if path.suffix == ".keras":
        model = keras.models.load_model(path)
    elif path.suffix == ".pickle":
        model = pickle.loads(pickle.dumps(pickle.loads(path.read_bytes())))
    else:
        continue
    outputs = np.asarray(model(x, training=False))
    assert np.array_equal(outputs, expected), (path.name, abs(outputs - expected).max())
    print(path.name)
"""
NAMES = [*KINDS, "zoonet_large"]


def keep(model, path, x):
    """Save a model and what it computes."""
    model.save(f"{path}.keras")
    np.savez(f"{path}.npz", x=x, expected=outputs_of(model, x))


@pytest.mark.parametrize(
    "names",
    [
        [name for name in NAMES if name in QUICK],
        pytest.param([name for name in NAMES if name not in QUICK], marks=pytest.mark.slow),
    ],
    ids=["quick", "slow"],
)
def test_every_family_is_read_where_there_is_no_cnn_zoo(names, tmp_path):
    for name in names:
        model = tiny(name, compile=False, activation="elu")  # no dead rectifiers
        x, labels, trained = images(model), np.arange(4), tmp_path / f"{name}-trained"
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(), run_eagerly=True)
        before = outputs_of(model, x)
        keep(model, tmp_path / name, x)
        (tmp_path / f"{name}.pickle").write_bytes(pickle.dumps(model))
        with fast_layers(model):
            inside = keras.callbacks.ModelCheckpoint(f"{trained}.checkpoint.keras")
            model.fit(x, labels, callbacks=[inside], verbose=0)
            Path(f"{trained}.inside.pickle").write_bytes(pickle.dumps(model))
        keep(model, trained, x)
        assert not np.array_equal(outputs_of(model, x), before)
    command = [sys.executable, "-c", READER, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, env=clean_environment())
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 5 * len(names)


def test_a_model_goes_to_a_spawned_process():
    model = build_model("lenet5", weights="mnist")
    digit = np.zeros((28, 28), np.uint8)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply_async(predict, (model, digit)).get(timeout=120)
    assert there[0] == predict(model, digit)[0]
