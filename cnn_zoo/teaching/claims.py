"""Claims that a measured value confirms, and exercises that are checked."""

from collections.abc import Callable
from typing import Any

from ..core.errors import UsageError


def claim(statement: str, value: float, *, at_least: float | None = None, at_most: float | None = None) -> None:
    """Print a statement that a measured value confirms, or stop with the value when it does not.

    The bounds are those between which the statement is true; one of them must be given. An AssertionError tells the
    value and the bound that it misses. Otherwise the measured digits are not printed, so that a notebook's output is
    the same on every machine; draw them instead.
    """
    if at_least is None and at_most is None:
        raise UsageError("claim needs at_least or at_most")
    for kind, bound, sign in (("least", at_least, 1), ("most", at_most, -1)):
        if bound is not None and not sign * value >= sign * bound:
            raise AssertionError(f"not confirmed: {statement} (measured {value:.6g}, needed at {kind} {bound:.6g})")
    print(f"✓ {statement}")


def check(attempt: Any, conditions: dict[str, Callable[[Any], bool]]) -> None:
    """Say in one line whether the answer to an exercise is right, or why not.

    An attempt is a function, number, model, …; None or ..., or a function that raises NotImplementedError, is one that
    was not attempted yet. Conditions, tried in order, are words -> a function of the attempt, true if it is right.
    """
    if attempt is None or attempt is ...:
        return print("○ not attempted yet")
    for words, holds in conditions.items():
        try:
            if not holds(attempt):
                return print(f"✗ not yet: {words}")
        except NotImplementedError:
            return print("○ not attempted yet")
        except Exception as error:
            return print(f"✗ not yet: {words} ({type(error).__name__}: {error})")
    print("✓ right")
