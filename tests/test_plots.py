"""Figures of runs and models show what they are given."""

import matplotlib
import numpy as np
import pytest

from cnn_zoo import build_model, plots
from cnn_zoo.nn.inspection import shapes_only


def boxes(name, **options):
    with shapes_only():
        return plots._boxes(build_model(name, compile=False, **options))


def test_a_chain_a_residual_and_a_branching_net_are_drawn_as_such(tmp_path):
    stack = boxes("conv_stack")
    assert [box["kind"] for box in stack] == ["input", *["convolution", "pooling"] * 3, *["fully connected"] * 2]
    resnet = boxes("resnet50")
    assert [box["count"] for box in resnet if box["residual"]] == [3, 4, 6, 3]
    googlenet = boxes("googlenet")
    assert {box["branches"] for box in googlenet if box["kind"] == "block"} == {4}
    assert sum(box["count"] for box in googlenet if box["kind"] == "block") == 9
    plots.save(plots.architecture(build_model("resnet20")), tmp_path / "net.png")
    assert matplotlib.image.imread(tmp_path / "net.png").std() > 0.05


@pytest.mark.parametrize("name", ["alexnet", "inception_v3", "densenet_bc_100_12", "squeezenet1_0", "shufflenet_v1"])
def test_every_kind_of_net_can_be_drawn(name):
    with shapes_only():
        figure = plots.architecture(build_model(name, compile=False))
    assert len(figure.axes[0].patches) >= 8


def test_curves_confusion_and_mistakes_hold_their_numbers():
    history = {
        "epoch": [1, 2],
        "loss": [2.0, 1.0],
        "accuracy": [0.1, 0.5],
        "val_loss": [2.0, 1.5],
        "val_accuracy": [0.1, 0.4],
    }
    left, right = plots.curves(history, best_epoch=2).axes
    assert [list(line.get_ydata()) for line in left.lines[:2]] == [[2.0, 1.0], [2.0, 1.5]]
    assert list(right.lines[0].get_ydata()) == [10.0, 50.0]
    confusion = plots.confusion(np.array([[3, 1], [0, 2]]), ["a", "b"])
    shown = {text.get_position(): text.get_text() for text in confusion.axes[0].texts}
    assert shown == {(0, 0): "3", (1, 0): "1", (1, 1): "2"}  # a row of true classes, a column of predicted ones
    assert "1 of 6" in confusion.get_suptitle()
    images, labels = np.zeros((4, 8, 8, 1), np.uint8), np.array([0, 0, 1, 1])
    sure = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.1, 0.9]])
    (axes,) = plots.mistakes(images, labels, sure, ["a", "b"]).axes
    assert [text.get_text() for text in axes.texts] == ["a\n→ b (80 %)", "b\n→ a (60 %)"]  # the surest first
    assert len(axes.images) == 2
    perfect = plots.mistakes(images, labels, np.eye(2)[labels], ["a", "b"])
    assert "no test image is misclassified" in perfect.texts[0].get_text()
