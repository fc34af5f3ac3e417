"""Every task keeps the contract: perfect outputs score one, what is decoded is what was meant, a run is read again."""

import keras
import numpy as np
import pytest

from cnn_zoo import build_model, checkpoints, evaluate, list_models, load_data, load_run, predict, train
from cnn_zoo.cli import main
from cnn_zoo.core.errors import UsageError
from cnn_zoo.core.files import read_json
from cnn_zoo.data.source import NOT_JUDGED
from cnn_zoo.tasks import CLASSIFICATION, MULTILABEL, SEGMENTATION
from cnn_zoo.tasks.base import TASKS, get_task
from cnn_zoo.tasks.segmentation import mean_iou
from conftest import equal

SMALL = {  # task -> model, its options, data, its options
    "classification": ("conv_stack", {"filters": [4, 8], "units": [8]}, "mnist5k", {}),
    "segmentation": ("unet", {"filters": [4, 8]}, "scenes", {"counts": [96, 32, 32], "image_size": [32, 32],
                                                            "digit_size": [8, 14]}),
    "multilabel": ("conv_stack", {"filters": [4, 8], "units": [8]}, "scenes", {"counts": [96, 32, 32],
                                                                              "image_size": [32, 32],
                                                                              "digit_size": [8, 14]}),
}  # fmt: skip
NAMES = ["nothing", "one", "two"]


def test_every_task_is_tried():
    assert SMALL.keys() == TASKS.keys()


def certain(targets, classes):
    """Outputs of a net that is sure of what is right."""
    return np.float32(targets) if targets.ndim == 2 else np.eye(classes, dtype=np.float32)[targets]


def net(task, classes=3):
    """A net with outputs of the right shape."""
    inputs = keras.Input((6, 8, 1))
    shaped = inputs if task == "segmentation" else keras.layers.GlobalAveragePooling2D()(inputs)
    return keras.Model(inputs, keras.layers.Dense(classes, activation=get_task(task).activation)(shaped))


def example(task, count=5):
    rng = np.random.default_rng(0)
    if task == "multilabel":
        return rng.integers(0, 2, (count, 3))
    return rng.integers(0, 3, (count, 6, 8) if task == "segmentation" else count)


@pytest.mark.parametrize("name", SMALL)
def test_perfect_outputs_score_one_and_others_less(name):
    task, model, targets = get_task(name), net(name), example(name)
    inputs = np.zeros((len(targets), 6, 8, 1), np.float32)
    other = (targets + (np.arange(targets.size).reshape(targets.shape) == 3)) % (targets.max() + 1)
    for wrong in (targets, other):
        judge = task.judge(model, NAMES)
        judge.add(inputs[:2], wrong[:2], certain(targets[:2], 3))
        judge.add(inputs[2:], wrong[2:], certain(targets[2:], 3))
        result = judge.result()
        assert (result[task.score] == 1) == (wrong is targets)
        assert (result["loss"] < 1e-6) == (wrong is targets)
        assert result["images"] == len(targets)
        assert task.lines(result)
        assert {section.file for section in task.sections(NAMES, result)}


def test_what_is_decoded_is_what_was_meant():
    labels = example("classification")
    decoded = CLASSIFICATION.decode(net("classification"), certain(labels, 3), NAMES, [(6, 8)] * 5)
    assert decoded == [(NAMES[label], 1.0) for label in labels]
    masks = example("segmentation")
    decoded = SEGMENTATION.decode(net("segmentation"), certain(masks, 3), NAMES, [(6, 8)] * 4 + [(12, 16)])
    assert all(np.array_equal(mask, found) for mask, found in zip(masks[:4], decoded, strict=False))
    assert np.array_equal(decoded[4], masks[4].repeat(2, 0).repeat(2, 1))  # in its own size
    assert decoded[0].dtype == np.uint8
    several = example("multilabel")
    decoded = MULTILABEL.decode(net("multilabel"), certain(several, 3), NAMES, [(6, 8)] * 5)
    assert decoded == [[(NAMES[i], 1.0) for i in np.flatnonzero(row)] for row in several]


def test_a_record_of_a_prediction_has_a_number_for_every_class_or_the_most_probable_ones():
    outputs = np.array([[0.2, 0.5, 0.3]], np.float32)
    model = net("classification")
    whole, best = (CLASSIFICATION.decode(model, outputs, NAMES, top=top)[0] for top in (3, 2))
    found = CLASSIFICATION.record(whole, NAMES)
    assert (found["class"], found["probability"]) == ("one", 0.5)
    assert list(found["probability_of"]) == NAMES
    assert list(found["probability_of"].values()) == pytest.approx([0.2, 0.5, 0.3])
    found = CLASSIFICATION.record(best, NAMES)
    assert list(found) == ["class_1", "probability_1", "class_2", "probability_2"]
    assert list(found.values()) == ["one", 0.5, "two", pytest.approx(0.3)]
    mask = np.array([[0, 2, 2, 2]], np.uint8)
    assert SEGMENTATION.record(mask, NAMES) == {"share_of": {"nothing": 0.25, "one": 0.0, "two": 0.75}}
    assert SEGMENTATION.text(mask, NAMES) == "two 75.0%   nothing 25.0%"


def test_the_judge_of_masks_agrees_with_keras_and_leaves_out_what_is_not_judged():
    rng = np.random.default_rng(1)
    masks, outputs = rng.integers(0, 3, (4, 6, 8)), rng.dirichlet(np.ones(3), (4, 6, 8)).astype(np.float32)
    masks[0, :2] = NOT_JUDGED
    judge = SEGMENTATION.judge(net("segmentation"), NAMES)
    judge.add(np.zeros((4, 6, 8, 1)), masks.astype(np.uint8), outputs)
    result = judge.result()
    metric = keras.metrics.MeanIoU(3, ignore_class=NOT_JUDGED, sparse_y_pred=False)
    metric.update_state(masks, outputs)
    assert result["mean_iou"] == pytest.approx(float(metric.result()), abs=1e-7)
    judged = masks != NOT_JUDGED
    assert result["pixel_accuracy"] == pytest.approx((outputs.argmax(-1) == masks)[judged].mean())
    share = (masks[judged] == 0).mean()
    assert result["background_pixel_accuracy"] == pytest.approx(share)
    assert result["background_mean_iou"] == pytest.approx(share / 3)
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=NOT_JUDGED, reduction=None)(masks, outputs)
    assert result["loss"] == pytest.approx(float(np.sum(loss) / judged.sum()), rel=1e-5)
    absent = np.diag([5, 0, 3])
    assert mean_iou(absent) == 1  # a class that is nowhere does not count


def test_less_weight_of_the_background_is_less_loss_there():
    from cnn_zoo.nn.optimization import PixelCrossentropy

    masks = np.array([[[0, 0], [1, NOT_JUDGED]]], np.uint8)
    outputs = np.full((1, 2, 2, 2), 0.5, np.float32)
    for weight in (1.0, 0.25):
        loss = float(PixelCrossentropy(weight, from_logits=False, ignore_class=NOT_JUDGED)(masks, outputs))
        assert loss == pytest.approx(np.log(2) * (2 * weight + 1) / 4, rel=1e-5)


@pytest.fixture(scope="module", params=list(SMALL))
def trained(request, tmp_path_factory):
    """A run of each task, and how it was trained."""
    model, options, data, data_options = SMALL[request.param]
    arguments = {"epochs": 2, "verbose": 0, "precision": "float32", "model_options": options}
    arguments |= {"model": model, "data": data, "data_options": data_options, "task": request.param}
    return train(out=tmp_path_factory.mktemp("tasks") / "run", **arguments), arguments


def test_a_run_is_read_again_and_judged_the_same(trained):
    run, _ = trained
    task, again = get_task(run.config["task"]), load_run(run.path)
    assert equal(again.model.get_weights(), run.model.get_weights())
    assert evaluate(again)[task.score] == run.metrics[f"test_{task.score}"]
    assert again.metrics == read_json(run.path / "metrics.json") == run.metrics
    assert f"{task.score}" in run.history
    report = (run.path / "report.md").read_text()
    figures = [path.name for path in run.path.glob("*.png")]
    assert "curves.png" in figures
    assert len(figures) == 3
    assert all(f"]({name})" in report for name in figures)
    image = again.load_data().images("test")[0]
    assert predict(again, image)
    assert repr(run).startswith(f"<{run.config['model']} on {run.config['data']}: ")


def test_a_training_that_was_stopped_goes_on_to_the_same_bits(trained, tmp_path, monkeypatch):
    run, arguments = trained
    original = checkpoints.Keeper.on_epoch_end

    def stop(self, epoch, logs=None):
        original(self, epoch, logs)
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints.Keeper, "on_epoch_end", stop)
        with pytest.raises(SystemExit):
            train(out=tmp_path / "run", **arguments)
    resumed = train(out=tmp_path / "run", resume=True, **arguments)
    assert resumed.metrics["fingerprint"] == run.metrics["fingerprint"]
    assert resumed.metrics["test_loss"] == run.metrics["test_loss"]


def test_data_of_another_kind_is_named_in_one_line(tmp_path, digits):
    for data, message in (
        ("mnist5k", "mnist5k has labels; masks are in: scenes"),
        (digits, "segmentation needs masks"),
    ):
        with pytest.raises(UsageError, match=message):
            train("unet", data, out=tmp_path / "run", verbose=0)
    with pytest.raises(UsageError, match="scenes has masks and multi_hot; labels are in: "):
        train("conv_stack", "scenes", out=tmp_path / "run", verbose=0)
    assert not (tmp_path / "run").exists()
    with pytest.raises(UsageError, match="unknown task 'segmentatoin'; did you mean segmentation"):
        train("unet", task="segmentatoin")


def test_models_are_listed_by_task():
    assert "unet" in list_models(task="segmentation")
    assert "unet" not in list_models(task="classification")
    assert set(list_models(task="segmentation")) < set(list_models())
    assert list_models(task="multilabel") == list_models(task="classification")


@pytest.mark.parametrize(
    ("model", "task", "message"),
    [
        ("unet", "multilabel", "unet is for segmentation; for multilabel there are alexnet, "),
        ("unet", "classification", "unet is for segmentation; for classification there are alexnet, "),
        ("conv_stack", "segmentation", "conv_stack is for classification; for segmentation there are unet"),
    ],
)
def test_a_model_of_another_task_is_named_before_the_data_is_read(model, task, message):
    with pytest.raises(UsageError, match=message):
        train(model, "nowhere", task=task)


def test_segmentation_on_the_command_line(tmp_path, monkeypatch, capsys):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    assert main("train unet --data scenes --epochs 1 --set filters=2,4 --out run".split()) == 0
    assert "test mean IoU" in capsys.readouterr().out
    assert main(["evaluate", "run"]) == 0
    shown = capsys.readouterr().out
    assert "mean IoU" in shown
    assert "for all background" in shown
    Image.fromarray(load_data("scenes").images("test")[0, ..., 0]).resize((50, 40)).save("scene.png")
    assert main(["predict", "run", "scene.png", "--draw", "out.png"]) == 0
    assert "background" in capsys.readouterr().out
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    run = load_run("run")
    assert predict(run, "scene.png")[0].shape == (40, 50)
    with pytest.raises(UsageError, match="top is for classifiers; unet is for segmentation"):
        predict(run, "scene.png", top=3)


def test_a_model_of_a_task_is_known_by_its_outputs_and_its_data():
    model = build_model("unet", (16, 16, 1), filters=(4, 8), num_classes=3)
    [mask] = predict(model, np.zeros((20, 30), np.uint8))
    assert (mask.shape, mask.dtype) == ((20, 30), np.uint8)
    assert model.loss.name
