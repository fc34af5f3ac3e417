"""Files in folders: which are images to be taken, and which are left behind by programs that show or store images."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ..core.errors import DataError, MissingError

# What file managers, disks, notebooks, photo programs and downloads leave behind, at any depth, in any case; beside it
# all names that begin with a dot.
RUBBISH = re.compile(
    r"thumbs\.db|ehthumbs.*\.db|desktop\.ini|picasa\.ini|icon\r|__macosx|__pycache__|\$recycle\.bin|recycler|recycled"
    r"|system volume information|lost\+found|found\.\d+|#recycle|#snapshot|@eadir|@recycle|@recently-snapshot"
    r"|@sharebin|@tmp|_?(thumbs?|thumbnails?)|ipynb_checkpoints|.*\.lrdata|.*~|~\$.*|network trash folder"
    r"|temporary items|.*\.icloud|dfsrprivate|_gsdata_|.*_original|.*:zone\.identifier"
    r"|.*\.(tmp|temp|part|partial|crdownload|download)",
    re.IGNORECASE,
)

OTHERS = re.compile(  # files beside images that are about them, or of other kinds
    r".*\.(txt|csv|tsv|json|xml|xlsx?|ods|docx?|md|html?|url|lnk|log|ya?ml|py|ipynb|xmp|aae|thm|ini|db)"
    r"|.*\.(mov|mp4|m4v|avi|mp3|wav)|readme|licen[cs]e|copying|changelog",
    re.IGNORECASE,
)


def ignored(name: str) -> bool:
    """Whether a file or folder of that name is rubbish."""
    return name.startswith(".") or bool(RUBBISH.fullmatch(name))


def folders(root: str | os.PathLike) -> list[Path]:
    """The folders in a folder that are not rubbish, by name; links to folders are folders."""
    return [path for path in inside(root) if path.is_dir() and not ignored(path.name) and not _of_runs(path)]


def _of_runs(folder: Path) -> bool:
    """Whether it is where `train` writes, begun in a folder of images."""
    return folder.name == "runs" and any(folder.glob("*/config.json"))


def inside(folder: str | os.PathLike) -> list[Path]:
    """All that a folder holds, by name."""
    try:
        return sorted(Path(folder).iterdir())
    except OSError as error:  # no permission, say
        raise DataError(f"{os.fspath(folder)}: cannot be read ({error.strerror})") from None


def files_in(root: str | os.PathLike, left: Counter | None = None, seen: set | None = None) -> list[Path]:
    """All files below a folder that are not rubbish, by path. Links are followed, each folder once.

    Args:
        left: counts by kind what is left out; see words_for.
        seen: folders that were read already, or are above; see identity.
    """
    left, seen = Counter() if left is None else left, set() if seen is None else seen
    return sorted(_walk(Path(root), left, seen))


def identity(folder: Path) -> tuple[int, int] | str:
    """What a folder is the same by, whatever links lead to it."""
    about = folder.stat()
    return (about.st_dev, about.st_ino) if about.st_ino else os.path.realpath(folder)


def _walk(folder: Path, left: Counter, seen: set) -> Iterator[Path]:
    if identity(folder) in seen:
        left["linked folders that were read already"] += 1
        return
    seen.add(identity(folder))
    for path in inside(folder):
        if ignored(path.name):
            left[kind_of(path)] += 1
        elif path.is_dir():
            yield from _walk(path, left, seen)
        elif path.is_file() and OTHERS.fullmatch(path.name):
            left["texts, tables and films"] += 1
        elif path.is_file():
            yield path
        else:
            left["links to nothing" if path.is_symlink() else "devices"] += 1


def kind_of(path: Path) -> str:
    """What rubbish is called in a line."""
    return "hidden or system folders" if path.is_dir() else "hidden or system files"


def words_for(left: Counter) -> list[str]:
    """What was left out, in a line, if anything was."""
    parts = [f"{count:,} {kind if count > 1 else _one(kind)}" for kind, count in sorted(left.items())]
    return [f"left out: {', '.join(parts)}"] if parts else []


def _one(kind: str) -> str:
    return (
        "text, table or film" if kind.startswith("texts") else re.sub(r"s\b", "", kind.replace("were", "was"), count=1)
    )


def image_files(folder: str | os.PathLike) -> tuple[list[Path], list[str]]:
    """The files below a folder that may be images, by path, and a line on what was left out; for predict.

    MissingError: no such folder; DataError: it has no files.
    """
    if not os.path.isdir(folder):
        raise MissingError(f"{os.fspath(folder)}: no such folder")
    left: Counter = Counter()
    found = files_in(folder, left)
    if not found:
        raise DataError(f"{os.fspath(folder)}: no images; {'; '.join(words_for(left)) or 'the folder is empty'}")
    return found, words_for(left)
