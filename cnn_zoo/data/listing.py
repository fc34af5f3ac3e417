"""Image files with a target each, however they were found: read into a Source."""

import os
import re
from dataclasses import dataclass, field

import numpy as np

from ..core.errors import DataError, UsageError
from .images import for_each_file, to_array
from .pictures import read_header, read_picture
from .source import DEFAULT_SIDE, LARGEST_DEFAULT, Source, empty


@dataclass
class Listing:
    """Files, and what is known of each.

    Attributes:
        name, target, class_names, notes: as in Source.
        origin: the absolute path of what lists them, "" if it is no file or folder.
        root: the absolute path of the folder that names of files are relative to.
        paths: as they are opened.
        targets: an array beside them.
        split_of: "train", "test", "validation" or "all" of each.
        group_of: the name of a group of each; [] where there are none.
    """

    name: str
    origin: str
    root: str
    target: str
    class_names: list[str]
    paths: list
    targets: np.ndarray
    split_of: list[str]
    group_of: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def grouped_by(self, pattern: str | None) -> None:
        """Let a regular expression find the group in each path below the folder: its first group, or all of it."""
        if pattern is None:
            return
        try:
            found = re.compile(pattern)
        except (re.error, TypeError) as error:
            raise UsageError(f"groups must be a regular expression; got {pattern!r:.80} ({error})") from None
        for path in self.paths:
            below = os.path.relpath(path, self.root).replace(os.sep, "/")
            match = found.search(below)
            if not match:
                raise DataError(f"{below} does not match {pattern!r}, which groups the images; change one of them")
            self.group_of.append(match[1] if found.groups and match[1] is not None else match[0])


def read(listing: Listing, *, image_size, channels, fit, skip_broken, max_pixels, memory_limit, progress) -> Source:
    """Every file is opened twice: for the size of all, which follows from theirs, and for its pixels."""
    title, paths, size = listing.name, listing.paths, image_size
    progress(f"{title}: {len(paths):,} files, {len(listing.class_names)} classes; checking")
    headers = for_each_file(lambda _, path: read_header(path, max_pixels), paths)
    good = [header for header in headers if not isinstance(header, Exception)]
    if size is None:
        sizes = {header.size for header in good}
        size = sizes.pop() if len(sizes) == 1 and max(max(sizes)) <= LARGEST_DEFAULT else (DEFAULT_SIDE, DEFAULT_SIDE)
    if channels is None:
        channels = 3 if any(header.colour for header in good) else 1
    wide = any(header.wide for header in good)
    images = empty(len(paths), size, channels, memory_limit, np.float32 if wide else np.uint8)
    values = np.full((len(paths), 2), np.nan) if wide else None

    def decode(i, path):
        if isinstance(headers[i], Exception):
            raise headers[i]
        picture = read_picture(path, max_pixels)
        images[i] = to_array(picture, size, channels, fit)
        if picture.image is None:
            values[i] = picture.least, picture.largest

    results = for_each_file(
        decode, paths, lambda done: progress(f"{title}: {done:,} of {len(paths):,} files looked at")
    )
    skipped = [str(result) for result in results if result is not None]
    if skipped and not skip_broken:
        found = skipped[0] + (f" (and {len(skipped) - 1:,} more)" if len(skipped) > 1 else "")
        raise DataError(f"{found}; mend or remove it, or leave such files out with skip_broken (--skip-broken)")
    kept = np.array([result is None for result in results])
    images[~kept] = 0  # there is nothing in their places
    split_of, targets = np.array(listing.split_of), listing.targets
    for label, class_name in enumerate(listing.class_names):
        of_class = targets[:, label] > 0 if targets.ndim == 2 else targets == label
        if of_class.any() and not (kept & of_class).any():
            raise DataError(f"{title}: class {class_name!r} has no readable image")
    groups = None
    if listing.group_of:
        names, groups = np.unique(listing.group_of, return_inverse=True)
        listing.notes.append(f"{len(names):,} groups, none of which is divided between splits")
    return Source(
        title, images, targets, listing.class_names, listing.target,
        splits={split: np.flatnonzero(kept & (split_of == split)) for split in dict.fromkeys(listing.split_of)},
        skipped=skipped, folder=listing.origin, notes=listing.notes, groups=groups, values=values,
        files=[os.path.relpath(path, listing.root) for path in paths], headers=headers,
    )  # fmt: skip
