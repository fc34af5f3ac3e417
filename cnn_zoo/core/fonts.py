"""Fonts for texts in any script: among those installed, the ones that have the characters."""

import functools
import unicodedata
import warnings
from collections.abc import Iterable

from matplotlib import font_manager, ft2font
from matplotlib.text import Text


def choose_fonts(texts: Iterable[Text]) -> str:
    """Let matplotlib take what a text's own font does not have from others; returns the letters that none has."""
    lacking = ""
    for text in texts:
        own = font_manager.findfont(text.get_fontproperties())
        if missing := "".join(sorted({letter for letter in text.get_text() if not _has(own, letter)})):
            families, none = fonts_for(missing, len(font_manager.fontManager.ttflist))
            text.set_fontfamily(list(dict.fromkeys([*text.get_fontfamily(), *families])))
            lacking += none
    return "".join(sorted(set(lacking)))


def warn_of(letters: str) -> None:
    """Say that figures show boxes for these letters, and what to do."""
    scripts = ", ".join(sorted({unicodedata.name(letter, "unknown").split()[0] for letter in letters}))
    boxes = f"no installed font has {letters[:10]} ({scripts}): the figure shows boxes for them"
    warnings.warn(f"{boxes}; install a font of that script, such as one of Noto's", stacklevel=2)


@functools.lru_cache(64)
def fonts_for(letters: str, installed: int) -> tuple[list[str], str]:
    """Names of the installed fonts that have these letters, and the letters that none has.

    As few fonts as possible; sans serif, upright and of usual weight if there is a choice. `installed` is how many
    there are, so that a new one is seen.
    """
    families, left = [], set(letters)
    fonts = [font for font in font_manager.fontManager.ttflist if not font.name.startswith("Last Resort")]
    has = {font.fname: {letter for letter in left if _has(font.fname, letter)} for font in fonts}
    while left and (best := max(fonts, key=lambda font: (len(has[font.fname] & left), *_suits(font)))):
        if not has[best.fname] & left:
            break
        families.append(best.name)
        left -= has[best.fname]
    return families, "".join(sorted(left))


def _suits(font: font_manager.FontEntry) -> tuple:
    """How well a font stands beside matplotlib's own; the larger, the better."""
    weight = font.weight if isinstance(font.weight, int) else 400
    return font.style == "normal", "Sans" in font.name or "Gothic" in font.name, -abs(weight - 400), font.name


@functools.cache
def _font(path: str) -> ft2font.FT2Font | None:
    try:
        return ft2font.FT2Font(path)
    except (RuntimeError, OSError):  # damaged, or gone since matplotlib listed it
        return None


def _has(path: str, letter: str) -> bool:
    """Whether a font has a glyph for it; what is not drawn, such as the end of a line or a joiner, needs none."""
    if letter.isspace() or unicodedata.category(letter) == "Cf" or "\ufe00" <= letter <= "\ufe0f":
        return True
    font = _font(path)
    return font is not None and font.get_char_index(ord(letter)) > 0
