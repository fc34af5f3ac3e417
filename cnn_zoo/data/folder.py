"""Folders of images: a sub-folder a class, or such folders under train, test and perhaps validation."""

import os
from pathlib import Path

import numpy as np

from ..core.errors import DataError
from .images import for_each_file, lies_on_its_side, open_image, to_array
from .source import DEFAULT_SIDE, LARGEST_DEFAULT, Source, empty

SPLIT_FOLDERS = {"train": "train", "training": "train", "test": "test", "testing": "test"}
SPLIT_FOLDERS |= dict.fromkeys(("validation", "valid", "val"), "validation")


def read(target: str, *, name, image_size, channels, skip_broken, memory_limit, progress) -> Source:
    """Every file is opened twice: for the size of all, which follows from theirs, and for its pixels."""
    root, size = Path(name), image_size
    class_names, files = _scan(root)
    paths, labels, split_of = zip(*files, strict=True)
    progress(f"{root}: {len(paths):,} files, {len(class_names)} classes; checking")

    def header(i, path):
        with open_image(path, decode=False) as image:
            upright = image.size if lies_on_its_side(image) else image.size[::-1]
            return upright, image.mode not in ("1", "L", "I;16", "LA")

    good = [header for header in for_each_file(header, paths) if not isinstance(header, Exception)]
    if size is None:
        sizes = {size for size, _ in good}
        size = sizes.pop() if len(sizes) == 1 and max(max(sizes)) <= LARGEST_DEFAULT else (DEFAULT_SIDE, DEFAULT_SIDE)
    if channels is None:
        channels = 3 if any(colour for _, colour in good) else 1
    images = empty(len(paths), size, channels, memory_limit)

    def decode(i, path):
        with open_image(path) as image:
            images[i] = to_array(image, size, channels)

    results = for_each_file(decode, paths, lambda done: progress(f"{root}: {done:,} of {len(paths):,} files looked at"))
    skipped = [str(result) for result in results if result is not None]
    if skipped and not skip_broken:
        found = skipped[0] + (f" (and {len(skipped) - 1:,} more)" if len(skipped) > 1 else "")
        raise DataError(f"{found}; mend or remove it, or leave such files out with skip_broken (--skip-broken)")
    labels, split_of = np.array(labels), np.array(split_of)
    kept = np.array([result is None for result in results])
    for label, class_name in enumerate(class_names):
        if not (kept & (labels == label)).any():
            raise DataError(f"{root}: class {class_name!r} has no readable image")
    splits = {split: np.flatnonzero(kept & (split_of == split)) for split in dict.fromkeys(split_of.tolist())}
    folder = os.path.abspath(root)
    return Source(str(root), images, labels, class_names, splits=splits, skipped=skipped, folder=folder)


def _scan(root: Path) -> tuple[list[str], list[tuple[Path, int, str]]]:
    """Class names, and (path, label, split or "all") of every file, in an order that depends on the names alone."""
    tops = _folders(root)
    splits = [SPLIT_FOLDERS.get(top.name.lower()) for top in tops]
    if "train" in splits and ({"test", "validation"} & set(splits) or len(splits) == 1):  # else "train" is a class
        if None in splits:
            strange = tops[splits.index(None)].name
            raise DataError(f"{root}: {strange!r} is neither a class nor a split; beside train go test and validation")
        split_roots = dict(zip(splits, tops, strict=True))
        if len(split_roots) < len(tops):
            raise DataError(f"{root}: two folders for one split among {', '.join(top.name for top in tops)}")
    else:
        split_roots = {"all": root}
    class_names = [folder.name for folder in _folders(split_roots.get("train", root))]
    if len(class_names) < 2:
        found = f"only one, {class_names[0]!r}" if class_names else "none"
        raise DataError(f"{root}: needs a sub-folder of images for each of at least two classes; found {found}")
    files = []
    for split, split_root in split_roots.items():
        inside = {folder.name for folder in _folders(split_root)}
        if not inside:
            raise DataError(f"{split_root}: needs a sub-folder for each class, as {split_roots['train'].name} has")
        for extra in sorted(inside - set(class_names)):
            raise DataError(f"{split_root}: class {extra!r} is not among the training classes")
        for label, class_name in enumerate(class_names):
            inside = sorted(p for p in (split_root / class_name).rglob("*") if p.is_file() and not _ignored(p))
            if not inside and split in ("all", "train"):
                raise DataError(f"{split_root / class_name}: no images; every class needs some")
            files += [(path, label, split) for path in inside]
    return class_names, files


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if path.is_dir() and not _ignored(path))
    except PermissionError:
        raise DataError(f"{root}: no permission to read this folder") from None


def _ignored(path: Path) -> bool:
    """What file managers leave behind."""
    return path.name.startswith(".") or path.name in ("Thumbs.db", "desktop.ini", "__MACOSX")
