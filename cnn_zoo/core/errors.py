"""What can go wrong, said in one line, on the command line without a traceback; each is also a built-in exception."""

import contextlib
import difflib
import math
import numbers
import re
import sys
from collections.abc import Collection, Iterable
from typing import Any

from .text import printable, shown

MOST = 1500  # characters of a message


class ZooError(Exception):
    """Base of all errors that tell the user what to do next, in one line that can be printed, whatever is named."""

    exit_status = 1

    def __init__(self, message: object = ""):
        super().__init__(printable(message, MOST))


class UsageError(ZooError, ValueError):
    """A name or value that does not exist or does not fit: the caller's to correct."""

    exit_status = 2


class OptionError(ZooError, TypeError):
    """An option that the model does not have."""

    exit_status = 2


class DataError(ZooError, ValueError):
    """Images, labels or files that cannot be used."""


class MissingError(ZooError, FileNotFoundError):
    """A file, folder or data set that is not there."""


class RunError(ZooError, ValueError):
    """A run folder or weights file that is incomplete, damaged or belongs to something else."""


class TrainingError(ZooError, ArithmeticError):
    """A training that cannot go on, such as a loss that is not a number."""


class ShortOfMemory(ZooError, MemoryError):
    """What was asked for does not fit into memory."""


def unknown(kind: str, value: object, choices: Iterable[str], listed_by: str = "") -> str:
    """The message for a name that does not exist: the nearest choices; if none is near, what lists them, or all."""
    choices = sorted(choices)
    near = difflib.get_close_matches(value.lower()[:80] if isinstance(value, str) else "", choices, n=3, cutoff=0.5)
    hint = f"{listed_by} lists them" if listed_by else f"choose from {', '.join(choices)}"
    return f"unknown {kind} {shown(value)}; " + (f"did you mean {' or '.join(near)}?" if near else hint)


def reason(error: Exception, most: int = 150) -> str:
    """What an exception of another library says, in one line of at most that many characters."""
    text = re.sub(r"\x1b\[[\d;]*m|\{\{.*?\}\}", "", str(error))  # Keras' colours, TensorFlow's places
    return printable(" ".join(text.split()), most) or type(error).__name__


def check_number(
    name: str, value: Any, least: float = 0, below: float = math.inf, *, most: float = math.inf, whole: bool = False
) -> Any:
    """The value as an int (`whole`) or a float if it is from `least` to `most` and under `below`, else UsageError."""
    kind = numbers.Integral if whole else numbers.Real
    good = isinstance(value, kind) and not isinstance(value, bool) and least <= value <= most and value < below
    if not good or (isinstance(value, int) and value > sys.float_info.max):
        limit = f" and below {below}" * (below < math.inf) + f" and at most {most}" * (most < math.inf)
        wanted = "an integer" if whole else "a number"
        raise UsageError(f"{name} must be {wanted} of at least {least}{limit}; got {shown(value)}")
    return int(value) if whole else float(value)


def check_seed(value: Any) -> int:
    """The value as an integer of 32 bits, which is what Keras takes, else UsageError."""
    return check_number("seed", value, below=2**32, whole=True)


def check_choice(name: str, value: Any, choices: Collection) -> Any:
    """The value if it is one of the choices, else UsageError."""
    with contextlib.suppress(TypeError, ValueError):  # a list among keys; an array
        if value in choices:
            return value
    raise UsageError(f"{name} must be one of {', '.join(map(repr, choices))}; got {shown(value)}")


def check_length(name: str, value: Collection, count: int) -> Collection:
    """The value if it has so many entries, else UsageError."""
    if len(value) != count:
        raise UsageError(f"{name} must have {count} entries; got {shown(value)}")
    return value


def check_flag(name: str, value: Any) -> bool:
    """The value if it is True or False, else UsageError."""
    if not isinstance(value, bool):
        raise UsageError(f"{name} must be True or False; got {shown(value)}")
    return value
