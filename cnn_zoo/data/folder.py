"""Folders of images: a sub-folder a class, or such folders under train, test and perhaps validation."""

import itertools
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np

from ..core.errors import DataError
from ..core.text import printable
from . import files
from .files import files_in, folders, ignored, kind_of, words_for
from .listing import Listing

SPLIT_WORDS = {  # in the names of folders
    "train": "train", "training": "train", "test": "test", "testing": "test", "holdout": "test", "eval": "test",
    "evaluation": "test", "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "validate": "validation",
}  # fmt: skip
PAIRS = [{a, b} for a in ("images", "imgs", "image") for b in ("masks", "mask", "labels", "annotations")]
SPLITS = ("train", "training", "test", "testing", "validation", "valid", "val")  # names of folders, without more


def read(target: str, *, name, groups, class_names) -> Listing:
    """A folder as labels: the name of each sub-folder is a class. With class_names, of those alone, numbered so."""
    found = scan(Path(name), class_names, groups is not None)
    found.grouped_by(groups)
    return found


def scan(root: Path, known: list[str] | None = None, grouped: bool = False) -> Listing:
    """The files of every class and split, in an order that depends on the names alone.

    Args:
        known: the names of the classes, for a set to judge a net by.
        grouped: whether folders in those of the classes are groups, and may have the same names.
    """
    split_roots, notes = _split_roots(root, known is not None, grouped)
    names = {split: {printable(f.name): f for f in folders(split_root)} for split, split_root in split_roots.items()}
    class_names = list(names.get("train", names[next(iter(names))]))
    if known is None and len(class_names) < 2:
        raise DataError(_too_few(root, split_roots, class_names))
    if known is not None:
        inside = set().union(*names.values())
        strange = sorted(inside - set(known))
        if strange:
            raise DataError(f"{root} has a class {strange[0]!r}, which is not known: known are {', '.join(known)}")
        if not inside:
            raise DataError(f"{root}: needs a sub-folder for each class, named as it; found none{_what_is_in(root)}")
        class_names = list(known)
    paths, labels, split_of, left = [], [], [], Counter()
    for split, split_root in split_roots.items():
        inside, seen = names[split], {files.identity(root), files.identity(split_root)}
        if not inside:
            raise DataError(
                f"{split_root}: needs a sub-folder for each class, as {split_roots.get('train', root).name} has"
            )
        for extra in sorted(inside.keys() - set(class_names)):
            raise DataError(f"{split_root}: class {extra!r} is not among the training classes")
        for path in files.inside(split_root):
            if ignored(path.name):
                left[kind_of(path)] += 1
            elif path.is_file() and not files.OTHERS.fullmatch(path.name):
                left["files beside the folders of classes"] += 1
            elif path.is_symlink() and not path.exists():
                left["links to nothing"] += 1
        for label, class_name in enumerate(class_names):
            found = files_in(inside[class_name], left, seen) if class_name in inside else []
            if not found and known is None and split in ("all", "train"):
                raise DataError(f"{split_root / class_name}: no images; every class needs some")
            paths, labels = paths + found, labels + [label] * len(found)
            split_of += [split] * len(found)
    if not paths:
        raise DataError(f"{root}: no images")
    notes += words_for(left)
    folder = os.path.abspath(root)
    return Listing(str(root), folder, folder, "labels", class_names, paths, np.array(labels), split_of, notes=notes)


def split_word(name: str) -> str | None:
    """The split that a folder's name speaks of, such as "test" of "seg_test"; None: of none, or of several."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)
    found = {SPLIT_WORDS[word.lower()] for word in words if word.lower() in SPLIT_WORDS}
    return found.pop() if len(found) == 1 else None


def _split_roots(root: Path, judging: bool, grouped: bool) -> tuple[dict[str, Path], list[str]]:
    """The folder of each split, or {"all": root} where the sub-folders are classes; and what must be told of them.

    Names alone do not tell one from the other: folders that hold no images and the same sub-folders are no classes.
    """
    tops = folders(root)
    plain = [SPLIT_WORDS[top.name.lower()] if top.name.lower() in SPLITS else None for top in tops]
    if "train" in plain and ({"test", "validation"} & set(plain) or len(plain) == 1):  # else "train" is a class
        if None in plain:
            strange = tops[plain.index(None)].name
            raise DataError(f"{root}: {strange!r} is neither a class nor a split; beside train go test and validation")
        split_roots = dict(zip(plain, tops, strict=True))
        if len(split_roots) < len(tops):
            raise DataError(f"{root}: two folders for one split among {', '.join(top.name for top in tops)}")
        return split_roots, []
    words = [split_word(top.name) for top in tops]
    known = [word for word in words if word]
    if ("train" in known and len(known) > 1) or (judging and known and None not in words):
        told = ", ".join(f"{top.name} ({word or 'none'})" for top, word in zip(tops, words, strict=True))
        if None in words or len(set(words)) < len(words):
            raise DataError(
                f"{root}: by their names these are splits, one of each kind at most, and no classes: {told}"
            )
        return dict(zip(words, tops, strict=True)), [f"taken as splits: {told}"]
    if {top.name.lower() for top in tops} in PAIRS:
        raise DataError(
            f"{root}: {tops[0].name} and {tops[1].name} are images and what belongs to them, and no classes"
        )
    inside = {top: {sub.name for sub in folders(top)} for top in tops}
    inside = {top.name: names for top, names in inside.items() if len(names) > 1 and _holds_folders(top)}
    for first, second in itertools.combinations(sorted(inside), 2):
        if (shared := inside[first] & inside[second]) and not grouped:
            same = ", ".join(sorted(shared)[:3]) + " …" * (len(shared) > 3)
            found = f"{root}: {first!r} and {second!r} hold folders of the same names ({same}) in place of images"
            advice = "are they splits (name them train, test, validation), or is this folder one level too high"
            raise DataError(f"{found}; {advice}? Or list files and labels in a CSV file")
    return {"all": root}, []


def _holds_folders(folder: Path) -> bool:
    """Whether there are more files in its folders than in itself."""
    below = files_in(folder)
    return sum(path.parent == folder for path in below) < len(below) / 2


def _too_few(root: Path, split_roots: dict[str, Path], class_names: list[str]) -> str:
    """What to do with a folder of one class or none."""
    needs = f"{root}: needs a sub-folder of images for each of at least two classes"
    if not class_names:
        return f"{needs}; found none{_what_is_in(split_roots.get('train', root))}"
    only = split_roots.get("train", root) / class_names[0]
    inside = [folder.name for folder in folders(only)]
    hint = f"; is {only}, with {', '.join(inside[:3])}, the folder of classes?" if len(inside) > 1 else ""
    return f"{needs}; found only one, {class_names[0]!r}{hint}"


def _what_is_in(folder: Path) -> str:
    names = [path.name for path in files.inside(folder) if path.is_file() and not ignored(path.name)]
    tables = [name for name in names if name.lower().endswith((".csv", ".tsv"))]
    found = f", but {len(names):,} file{'s' * (len(names) > 1)}" if names else ""
    return found + (f"; to read labels from a table, give {folder / tables[0]}" if tables else "")
