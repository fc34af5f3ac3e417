"""How sure a measured number is: of a mean over seeds, of a share of images, of the next seed."""

import math
import statistics
from collections.abc import Sequence

from .errors import UsageError
from .text import shown


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean of two measurements or more, and half the width of its 95 % interval (Student's t, n - 1 degrees)."""
    given = values
    try:
        values = [float(value) for value in given]
    except (TypeError, ValueError, OverflowError):
        values = []
    if len(values) < 2 or not all(map(math.isfinite, values)):
        raise UsageError(f"an interval needs at least two values, which are finite numbers; got {shown(given)}")
    return statistics.mean(values), _t(0.95, len(values)) * statistics.stdev(values) / math.sqrt(len(values))


def prediction_interval(values: Sequence[float], level: float = 0.99) -> tuple[float, float]:
    """Where another value of the same normal distribution is expected; (0, 1), of shares, from a single value."""
    n = len(values)
    if n < 2:
        return 0.0, 1.0
    mean, half = statistics.mean(values), _t(level, n) * statistics.stdev(values) * math.sqrt(1 + 1 / n)
    return mean - half, mean + half


def wilson(correct: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a proportion (Wilson 1927, 10.1080/01621459.1927.10502953)."""
    z, p = 1.959964, correct / total
    middle = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    return max(0.0, middle - half), min(1.0, middle + half)  # rounding can pass both


def mean_share(correct: Sequence[int], totals: Sequence[int]) -> tuple[float, float, float]:
    """The mean of independent shares, such as recalls, and its 95 % interval.

    The squares of what Wilson's intervals leave on each side add up (Zou and Donner 2008, 10.1002/sim.3095): unlike the
    normal approximation, that is no interval of width 0 where all shares are 1.
    """
    shares = [part / whole for part, whole in zip(correct, totals, strict=True)]
    ends = zip(*(wilson(part, whole) for part, whole in zip(correct, totals, strict=True)), strict=True)
    mean, (low, high) = statistics.fmean(shares), [math.dist(shares, end) / len(shares) for end in ends]
    return mean, mean - low, mean + high


def interval_text(low: float, high: float, form: str = ".1%") -> str:
    """An interval in brackets."""
    return f"(95 % interval {low:{form}} to {high:{form}})"


def share_text(share: float, total: int) -> str:
    """A share of images with its 95 % interval."""
    low, high = wilson(round(share * total), total)
    return f"{share:.2%} of {total:,} images {interval_text(low, high)}"


def _t(level: float, n: int) -> float:
    """How many standard deviations hold that part of Student's t with n - 1 degrees of freedom, on both sides."""
    from scipy import stats  # SciPy takes half a second to import

    return stats.t.ppf((1 + level) / 2, n - 1)
