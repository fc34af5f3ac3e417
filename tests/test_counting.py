"""A task of one's own: counting the digits of a scene, by regression. Nothing in the package knows of it."""

import keras
import numpy as np
import pytest

from cnn_zoo import Source, Task, add_source, add_task, checkpoints, evaluate, load_data, load_run, predict, train
from cnn_zoo.core.errors import UsageError
from cnn_zoo.data import scenes
from cnn_zoo.data.sources import SOURCES
from cnn_zoo.tasks.base import TASKS, Section
from conftest import equal


def read(target):
    """300 scenes with the number of their digits."""
    source, images, counts = scenes.read_digits(), [], []
    for number in range(300):
        rng = np.random.default_rng(number)
        scene = scenes.compose(rng, source.images[..., 0], source.targets, (32, 32), (1, 4), (8, 12))
        images.append(scenes.paint(scene, (32, 32))[0])
        counts.append(len(scene))
    return Source("counted", np.array(images)[..., None], np.array(counts, np.float32), [], target)


class Judge:
    def __init__(self, model, class_names):
        self.errors = np.empty(0)

    def add(self, inputs, targets, outputs):
        self.errors = np.append(self.errors, outputs[:, 0] - targets)

    def result(self):
        exact = float((np.abs(self.errors) < 0.5).mean())
        return {"exact": exact, "loss": float((self.errors**2).mean()), "images": len(self.errors)}


COUNTING = Task(
    "counting",
    target="counts",
    score="exact",
    losses=lambda model, recipe=None: {"loss": "mean_squared_error", "metrics": ["mean_absolute_error"]},
    judge=Judge,
    decode=lambda model, outputs, class_names, sizes: [float(value) for value in outputs[:, 0]],
    lines=lambda result: [("exact", f"{result['exact']:.0%}"), ("loss", f"{result['loss']:.3f}")],
    sections=lambda class_names, result: [Section("Counting", f"{result['exact']:.0%} of the images are right.")],
)


@pytest.fixture
def known(monkeypatch):
    monkeypatch.setattr("cnn_zoo.tasks.base.TASKS", dict(TASKS))
    monkeypatch.setattr("cnn_zoo.data.sources.SOURCES", dict(SOURCES))
    add_source("counted", read, targets=("counts",))
    return add_task(COUNTING)


def test_a_task_of_ones_own_is_trained_stopped_resumed_judged_used_and_read_again(known, tmp_path, monkeypatch, capsys):
    options = {"task": "counting", "epochs": 3, "verbose": 0, "precision": "float32"}
    options["model_options"] = {"filters": [4, 8], "units": [8], "classifier_activation": None}
    whole = train("conv_stack", "counted", out=tmp_path / "whole", **options)
    with monkeypatch.context() as patched:
        original = checkpoints.Keeper.on_epoch_end
        stop = lambda self, epoch, logs=None: (original(self, epoch, logs), epoch == 1 and exec("raise SystemExit"))  # noqa: E731
        patched.setattr(checkpoints.Keeper, "on_epoch_end", stop)
        with pytest.raises(SystemExit):
            train("conv_stack", "counted", out=tmp_path / "run", **options)
    run = train("conv_stack", "counted", out=tmp_path / "run", resume=True, **options)
    assert equal(run.model.get_weights(), whole.model.get_weights())
    again = load_run(run.path)
    assert evaluate(again)["exact"] == run.metrics["test_exact"]
    data = load_data("counted")
    expected = keras.ops.convert_to_numpy(run.model(data.images("test") / np.float32(255)))[:, 0]
    assert predict(again, data.images("test")) == pytest.approx(expected.tolist(), abs=1e-4)
    assert "of the images are right." in (run.path / "report.md").read_text()
    with pytest.raises(UsageError, match=r"mnist5k has labels; counts are in: counted"):
        train("conv_stack", "mnist5k", out=tmp_path / "wrong", **options)
