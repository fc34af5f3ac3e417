"""Widgets redraw when they are moved, and what they draw is the figure that the notebook shows."""

import subprocess
import sys

import numpy as np
import pytest

from cnn_zoo import plots
from cnn_zoo.teaching import figures, widgets


@pytest.fixture
def photo():
    return np.random.default_rng(0).random((20, 30))


def test_ipywidgets_is_imported_only_when_a_widget_is_made():
    code = "import sys, cnn_zoo.teaching.widgets; sys.exit('ipywidgets' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_kernel_explorer_shows_the_kernel_of_its_sliders(photo, monkeypatch):
    drawn = []

    def draw(photo, kernels, stride):
        drawn.append((next(iter(kernels.values())).round(3).tolist(), stride))
        return plots.Figure()

    monkeypatch.setattr(figures, "kernel_responses", draw)
    controls, grid, picture = widgets.kernel_explorer(photo).children
    preset, stride = controls.children
    assert drawn == [([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], 1)]
    grid.children[5].value = 0.5
    stride.value = 3
    preset.value = "nothing"
    assert drawn[1:] == [
        ([[-1, 0, 1], [-2, 0, 0.5], [-1, 0, 1]], 1),
        ([[-1, 0, 1], [-2, 0, 0.5], [-1, 0, 1]], 3),
        ([[0, 0, 0], [0, 1, 0], [0, 0, 0]], 3),  # a preset moves nine sliders and draws once
    ]
    assert bytes(picture.value).startswith(b"\x89PNG")


def test_every_kernel_to_choose_can_be_drawn(photo):
    kernels = {name: np.array(kernel) for name, kernel in widgets.KERNELS.items()}
    figure = figures.kernel_responses(photo, kernels, stride=2)
    assert np.allclose(figure.axes[-1].images[0].get_array(), photo[1:-1:2, 1:-1:2])  # "nothing" comes last


def test_a_stored_notebook_shows_a_line_without_addresses(photo):
    shown = widgets.kernel_explorer(photo)._repr_mimebundle_()
    assert shown["text/plain"].startswith("kernel_explorer: ")
    assert len(shown["text/plain"]) <= 110  # beyond which ipywidgets cuts it


def test_the_pooling_explorer_draws_again_when_a_control_moves():
    photo = np.random.default_rng(0).random((12, 16, 3))
    box = widgets.pooling_explorer(photo)
    (kind, size, stride), picture = box.children[0].children, box.children[1]
    seen = {picture.value}
    for control, value in ((kind, "sum"), (size, 3), (stride, 5)):
        control.value = value
        seen.add(picture.value)
    assert len(seen) == 4
    assert picture.value == figures.pooling(photo, "sum", 3, 5)._repr_png_()
    assert "run this cell" in repr(box)
