"""What the notebooks say things with: claims that are checked each time they are run."""

from __future__ import annotations


def claim(statement: str, value: float, *, at_least: float | None = None, at_most: float | None = None) -> None:
    """Print a statement that a measured value confirms, or stop with the value when it does not.

    The measured digits are not printed, so that a notebook's output is the same on every machine; draw them instead.

    Args:
        statement: what is claimed, in words.
        value: what was measured.
        at_least, at_most: the bounds that make the statement true; at least one of them.

    Raises:
        AssertionError: with the value and the bound that it misses.
    """
    if at_least is None and at_most is None:
        raise ValueError("claim needs at_least or at_most")
    if at_least is not None and not value >= at_least:
        raise AssertionError(f"not confirmed: {statement} (measured {value:.6g}, needed at least {at_least:.6g})")
    if at_most is not None and not value <= at_most:
        raise AssertionError(f"not confirmed: {statement} (measured {value:.6g}, needed at most {at_most:.6g})")
    print(f"✓ {statement}")
