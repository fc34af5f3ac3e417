"""Figures of the notebooks, in the style of plots.py."""

from ...plots import tables  # noqa: I001
from .networks import (
    correlate, costs, history_line, kernel_responses, networks_at_scale, pool, pooling, pooling_windows,
    receptive_fields, responses, sliding_window, window_positions,
)  # fmt: skip
from .training import bands, chain, descent, epoch_orders, forest, kernel_learning, pipeline_timeline
