"""Live widgets of the notebooks: boxes of ipywidgets, or a line of text where no kernel is running."""

import numpy as np

from . import figures

KERNELS = {
    "vertical edges": ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)),
    "horizontal edges": ((-1, -2, -1), (0, 0, 0), (1, 2, 1)),
    "outlines": ((0, -1, 0), (-1, 4, -1), (0, -1, 0)),
    "blur": ((1 / 9,) * 3,) * 3,
    "sharpen": ((0, -1, 0), (-1, 5, -1), (0, -1, 0)),
    "nothing": ((0, 0, 0), (0, 1, 0), (0, 0, 0)),
}


def kernel_explorer(photo: np.ndarray):
    """Sliders for a kernel and a stride, over a grey photo (height, width) in [0, 1] and its response."""
    import ipywidgets

    narrow = {"layout": ipywidgets.Layout(width="190px"), "continuous_update": False}
    preset = ipywidgets.Dropdown(options=list(KERNELS), description="kernel")
    stride = ipywidgets.IntSlider(1, 1, 6, description="stride", **narrow)
    sliders = [ipywidgets.FloatSlider(0, min=-5, max=5, readout_format=".2f", **narrow) for _ in range(9)]
    picture = ipywidgets.Image(format="png")

    def draw(_=None):
        kernel = np.reshape([slider.value for slider in sliders], (3, 3))
        picture.value = figures.kernel_responses(photo, {"its response": kernel}, stride.value)._repr_png_()

    def choose(_=None):
        for slider, value in zip(sliders, np.ravel(KERNELS[preset.value]), strict=True):
            slider.unobserve_all("value")  # all nine move before it is drawn, once
            slider.value = value
            slider.observe(draw, "value")
        draw()

    choose()
    preset.observe(choose, "value")
    stride.observe(draw, "value")
    grid = ipywidgets.GridBox(sliders, layout=ipywidgets.Layout(grid_template_columns="repeat(3, 200px)"))
    children = [ipywidgets.HBox([preset, stride]), grid, picture]
    return _box(children, "kernel_explorer: sliders for nine numbers and the stride; run this cell to move them")


def pooling_explorer(image: np.ndarray):
    """Controls for a pooling, over an image (height, width) or (height, width, 3) in [0, 1] and its pooled map."""
    import ipywidgets

    largest = min(16, *image.shape[:2])
    kind = ipywidgets.Dropdown(options=["max", "average", "sum"], description="kind")
    once = {"continuous_update": False}
    size, stride = (ipywidgets.IntSlider(2, 1, largest, description=name, **once) for name in ("size", "stride"))
    picture = ipywidgets.Image(format="png")

    def draw(_=None):
        picture.value = figures.pooling(image, kind.value, size.value, stride.value)._repr_png_()

    for control in (kind, size, stride):
        control.observe(draw, "value")
    draw()
    children = [ipywidgets.HBox([kind, size, stride]), picture]
    return _box(children, "pooling_explorer: kind, size and stride of a pooling; run this cell to change them")


def _box(children: list, text: str):
    """A column of widgets that a stored notebook shows, and compares, as a line of text."""
    import ipywidgets

    class Explorer(ipywidgets.VBox):
        def __repr__(self):
            return text

    return Explorer(children)
