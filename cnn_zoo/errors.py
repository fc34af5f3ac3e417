"""What can go wrong, each said in one line. The command line prints these without a traceback.

Every class is also the built-in exception that a caller would expect (ValueError, TypeError, FileNotFoundError).
"""

import difflib
from collections.abc import Iterable


class ZooError(Exception):
    """Base of all errors that tell the user what to do next."""

    exit_status = 1


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


def unknown(kind: str, value: object, choices: Iterable[str]) -> str:
    """The message for a name that does not exist: the nearest choices, or all of them when none is near."""
    choices = sorted(choices)
    near = difflib.get_close_matches(str(value).lower(), choices, n=3, cutoff=0.5)
    if near:
        return f"unknown {kind} {value!r}; did you mean {' or '.join(near)}?"
    return f"unknown {kind} {value!r}; choose from {', '.join(choices)}"
