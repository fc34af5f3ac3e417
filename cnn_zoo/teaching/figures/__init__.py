"""Figures of the notebooks, in the style of plots.py."""

from .common import tables
from .convolution import (
    correlate,
    kernel_responses,
    pool,
    pooling,
    pooling_windows,
    receptive_fields,
    responses,
    sliding_window,
    window_positions,
)
from .networks import costs, history_line, networks_at_scale
from .training import bands, chain, descent, epoch_orders, forest, kernel_learning, pipeline_timeline
