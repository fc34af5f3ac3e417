"""Figures of the notebooks show what they are given."""

import numpy as np
import pytest

from cnn_zoo import model_card, plots
from cnn_zoo.teaching import figures
from cnn_zoo.teaching.figures import networks


def test_pooling_windows_hold_the_numbers_and_one_tint_a_window():
    x = np.arange(16).reshape(4, 4)
    left, right = figures.pooling_windows(x, {"max": x[1::2, 1::2]}).axes
    assert [text.get_text() for text in right.texts] == ["5", "7", "13", "15"]
    tints = [patch.get_facecolor() for patch in left.patches]
    assert tints[0] == tints[1] == tints[4] == tints[5] == right.patches[0].get_facecolor() != tints[2]


@pytest.mark.parametrize(
    ("kind", "expected"), [("max", [[6, 8]]), ("average", [[3.5, 5.5]]), ("sum", [[14, 22]])], ids=str
)
def test_pooling_draws_what_it_says(kind, expected):
    image = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 0, 0]])
    assert figures.pool(image, kind, 2, 2).tolist() == expected
    assert figures.pool(image[..., None], kind, 2, 2)[..., 0].tolist() == expected
    right = figures.pooling(image / 8, kind, 2, 2).axes[1]
    assert right.get_title(loc="left") == f"{kind}: 3 × 4 → 1 × 2, 17 % of the numbers left"


def test_responses_share_a_scale_in_each_column():
    maps = [np.full((4, 4), 2.0), np.full((2, 2), 5.0)]
    figure = figures.responses({"one": maps, "half": [m / 2 for m in maps], "change": maps}, ["a", "b"], ("change",))
    assert [axes.images[0].get_clim() for axes in figure.axes] == [(0, 2), (0, 5), (0, 2), (0, 5), (-2, 2), (-5, 5)]


def test_a_sliding_window_shows_its_sum_and_the_output_so_far():
    image, kernel = np.arange(16).reshape(4, 4) / 16, np.array([[-1, 0], [0, 1]])
    figure = figures.sliding_window(image, kernel, [(0, 0), (1, 2)])
    assert [row.get_suptitle() for row in figure.subfigs] == [
        "Y[0, 0] = Σ K[u, v] · X[0+u, 0+v] = 0.31",
        "Y[1, 2] = Σ K[u, v] · X[1+u, 2+v] = 0.31",
    ]
    first, second = (np.ma.filled(figure.axes[n].images[0].get_array(), np.nan) for n in (4, 9))
    assert np.isnan(first).sum() == 8
    assert np.isnan(second).sum() == 3


def test_responses_of_kernels_are_correlations_thinned_by_the_stride():
    photo = np.random.default_rng(0).random((9, 12))
    edge = np.array([[-1, 0, 1]] * 3)
    assert np.isclose(figures.correlate(photo, edge)[2, 4], (edge * photo[2:5, 4:7]).sum())
    figure = figures.kernel_responses(photo, {"edges": edge, "blur": np.full((3, 3), 1 / 9)}, stride=2)
    assert [axes.get_title(loc="left") for axes in figure.axes[1::2]] == [
        "the photo, 9 × 12",
        "edges, 4 × 5",
        "blur, 4 × 5",
    ]
    low, high = figure.axes[3].images[0].get_clim()
    assert low == -high  # signed: white is 0
    assert figure.axes[5].images[0].get_clim() == (0, 1)


def test_tables_hold_their_numbers():
    figure = figures.tables({"image": np.eye(2), "kernel": np.array([[-1, -0.001]])}, images=("image",))
    assert [[text.get_text() for text in axes.texts] for axes in figure.axes] == [["1", "0", "0", "1"], ["−1", "0"]]
    assert figure.axes[0].images[0].get_cmap().name == "gray"


def test_descent_draws_every_path_and_its_losses():
    paths = {"there": np.array([[2.0, 0], [1, 0], [0, 0]]), "away": np.array([[1.0, 1], [1e9, 1e9]])}
    left, right = figures.descent(lambda w: w @ w + 1, paths, reach=3, minimum=(0, 0), title="t").axes
    assert left.lines[0].get_xydata().tolist() == paths["there"].tolist()
    assert list(right.lines[0].get_ydata()) == [5, 2, 1]
    assert left.get_xlim() == (-3, 3)


def test_kernel_learning_shows_kernels_in_order_and_losses():
    kernels = {"step 0": np.array([[0.5, 0.2]]), "step 9": np.array([[1.0, -1.0]])}
    first, last, losses = figures.kernel_learning(kernels, {"one": np.array([2.0, 1.0])}, "t").axes
    assert [text.get_text() for axes in (first, last) for text in axes.texts] == ["0.5", "0.2", "1", "\u22121"]
    assert losses.lines[0].get_xydata().tolist() == [[1, 2], [2, 1]]


def test_a_chain_shows_values_slopes_and_gradients():
    figure = figures.chain(["x", "L"], [2.0, -4.0], [-3.0], [-3.0, 1.0], "t")
    shown = [text.get_text() for text in figure.axes[0].texts]
    assert {"x", "L", "2", "\u22124", "× \u22123", "\u22123", "1"} <= set(shown)


def test_strips_of_epochs_show_every_number():
    batches = [np.array([0, 1]), np.array([2, 3])]
    figure = figures.epoch_orders({"a": [batches, batches[::-1]], "b": [batches] * 2})
    left, right = figure.axes
    assert [text.get_text() for text in left.texts if text.get_text().isdigit()] == list("01232301")
    assert [len(axes.patches) for axes in (left, right)] == [8, 8]
    assert left.get_title(loc="left") == "a"


def test_a_timeline_has_a_bar_for_each_stretch_of_work():
    work = [("epoch", 0.0, 0.0), ("read", 0.0, 0.2), ("read", 0.2, 0.3), ("train", 0.3, 0.5)]
    figure = figures.pipeline_timeline({"slow": work, "fast": [("train", 0.0, 0.1)]}, "t")
    slow, fast = figure.axes
    assert [len(bars.get_paths()) for bars in slow.collections] == [2, 1]
    assert [label.get_text() for label in slow.get_yticklabels()] == ["read", "train"]
    assert [axes.texts[0].get_text() for axes in (slow, fast)] == ["500 ms", "100 ms"]


def test_window_positions_count_outputs_and_cross_out_what_no_window_sees():
    figure = figures.window_positions(
        {
            "stride": {"n": 8, "size": 3, "stride": 2},
            "padded": {"n": 8, "size": 3, "stride": 2, "padding": (0, 1)},
            "dilated": {"n": 7, "size": 3, "dilation": 2},
        }
    )
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["stride: 8 → 3", "padded: 8 → 4", "dilated: 7 → 3"]
    marks = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert marks == [[""] * 7 + ["×"], [""] * 8 + ["0"], [""] * 7]


def test_receptive_fields_end_in_the_pixels_that_are_seen():
    conv, pool = ("3×3", 3, 1, 1), ("pool", 2, 2, 1)
    nets = {"plain": [conv] * 3, "pooled": [conv, pool, conv, pool, conv], "dilated": [("d = 4", 3, 1, 4)]}
    figure = figures.receptive_fields(nets)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["plain: 7 pixels", "pooled: 18 pixels", "dilated: 9 pixels"]
    pixels = figure.axes[1].collections[0]  # the lowest row
    assert len(pixels.get_offsets()) == 18 + 2 * 4  # three numbers of the last layer are four pixels apart


def test_costs_are_shares_of_the_whole():
    figure = figures.costs(model_card("conv_stack"), {"stage2": plots.RED})
    for axes in figure.axes:
        assert sum(bar.get_height() for bar in axes.patches) == pytest.approx(100)
    assert figure.axes[0].texts[0].get_text() == f"stage2: {18_496 / 110_474:.1%}".replace("%", " %")


def test_the_line_of_years_is_true_to_scale():
    axes = figures.history_line([(1962, "a", "x"), (1989, "b", "y"), (2012, "c", "z")], "t").axes[0]
    dots = [line.get_ydata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert dots == [1962, 1989, 2012]
    assert [text.get_text() for text in axes.texts] == ["1962", "a", "x", "1989", "b", "y", "2012", "c", "z"]


def test_squares_have_numbers_as_areas_at_one_scale():
    small, large = model_card("lenet5"), model_card("alexnet", num_classes=1000)
    assert [cost[2:] for cost in networks._costs(small)][:2] == [(28 * 28 * 6, 156), (10 * 10 * 16, 2416)]
    costs = networks._costs(large)
    assert len(costs) == 8  # both groups of a layer are one
    assert sum(cost[3] for cost in costs) == large.parameters
    figure = figures.networks_at_scale([("small", small, 2), ("large", large, 1)], "t")
    squares = [patch.get_width() for patch in figure.axes[0].patches]
    assert squares[1] ** 2 / squares[-1] ** 2 == pytest.approx(2**2 * 156 / costs[-1][3])
