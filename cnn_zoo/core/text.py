"""Text that came from files, folders and arguments, made safe to show: on a terminal, in Markdown, to a shell."""

import contextlib
import os
import re
import shlex
import unicodedata
from typing import Any

# controls, format characters (bidi marks, zero width), surrogates, separators of lines and paragraphs
HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"  # letters and marks that are drawn as nothing
JOINERS = "\u200c\u200d"
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;"}  # a backslash before these is not read everywhere


def printable(text: Any, most: int | None = None) -> str:
    r"""The text in one line, in which a reader sees every character: others are written as escapes, such as \x1b.

    A byte of a file name that is not UTF-8 is written as \xff. Letters of all scripts and emoji stay, with the joiners
    that they need (RFC 5892, appendix A). More than `most` characters are cut, and end with an ellipsis.
    """
    text = str(text) if most is None else str(text)[: most + 1]  # escapes are not shorter
    if not text.isprintable() or not set(BLANK).isdisjoint(text):
        with contextlib.suppress(UnicodeEncodeError):  # names that are UTF-8 where Python took them for ASCII
            text = text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
        text = "".join(_escaped(text, i) for i in range(len(text)))
    return text if most is None or len(text) <= most else text[: most - 1] + "…"


def _escaped(text: str, place: int) -> str:
    character, after = text[place], text[place + 1 : place + 2]
    before = text[max(0, place - 2) : place].rstrip("\ufe0f")[-1:]
    if character in JOINERS and before and after:
        emoji = unicodedata.category(before) in ("So", "Sk") and unicodedata.category(after) == "So"
        arabic = {unicodedata.bidirectional(before), unicodedata.bidirectional(after)} == {"AL"}
        if emoji or arabic or unicodedata.combining(before) == 9:  # the virama of scripts of India
            return character
    if unicodedata.category(character) not in HIDDEN and character not in BLANK:
        return character
    if "\udc80" <= character <= "\udcff":  # how Python hands over a byte that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


def shown(value: Any, most: int = 80) -> str:
    """The repr of a value, in one line of at most that many characters; of what has none, its type."""
    try:
        return printable(" ".join(repr(value).split()), most)
    except Exception:  # an integer of more digits than Python writes; a class of the caller's
        return f"a {type(value).__name__}"


def markdown(text: Any) -> str:
    """What `printable` makes of the text, with nothing in it that Markdown or HTML would read as more than letters."""
    return re.sub(r"[&<>|]", lambda found: _ENTITIES[found[0]], re.sub(r"([\\`*_\[\]!#~$])", r"\\\1", printable(text)))


def shell(path: str | os.PathLike) -> str:
    """A path as a word that a shell reads as that path, even if it is not printable."""
    text = os.fspath(path)
    if printable(text) == text:
        return shlex.quote(text)
    return "$'" + printable(text.replace("\\", r"\\").replace("'", r"\'")) + "'"  # of bash, zsh and POSIX 2024
