"""Tables of image files: a CSV file or a DataFrame with a row an image, its labels, and perhaps its group and split."""

import csv
import io
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import DataError, MissingError, UsageError, reason
from ..core.text import shown
from .files import image_files
from .folder import split_word
from .listing import Listing
from .source import MISSING

MAX_TABLE = 500_000_000  # bytes
COLUMNS = {  # what a column is, by its name
    "file": ("file", "filename", "file_name", "path", "filepath", "file_path", "image", "image_path", "img", "image_id",
             "image index"),
    "label": ("label", "class", "labels", "classes", "class_name", "category", "diagnosis", "dx", "target", "tags",
              "finding labels"),
    "group": ("group", "patient", "patient_id", "patient id", "subject", "subject_id", "group_id", "lesion_id", "video",
              "place"),
    "split": ("split", "subset", "set", "partition", "fold"),
}  # fmt: skip
ENDINGS = (".jpg", ".png", ".jpeg", ".tif", ".JPG", ".PNG")  # of files that a table names without one
NUMBERS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "False": 0, "True": 1, "false": 0, "true": 1}


def is_table(name: Any) -> bool:
    """Whether it is a CSV file's path or a DataFrame."""
    if isinstance(name, str | os.PathLike):
        return os.fspath(name).lower().endswith((".csv", ".tsv"))
    return hasattr(name, "columns") and hasattr(name, "to_dict")


def read_table(table: Any) -> tuple[str, Path, dict[str, list[str]]]:
    """A table as (its name, the folder that paths are relative to, columns of texts)."""
    if not isinstance(table, str | os.PathLike):
        values = {str(name): list(map(_text, column)) for name, column in table.to_dict(orient="list").items()}
        if not any(values.values()):
            raise DataError("the table has no rows")
        return "table", Path(), values
    path = Path(table)
    if not path.is_file():
        raise MissingError(f"{path}: no such file")
    if path.stat().st_size > MAX_TABLE:
        raise DataError(f"{path}: larger than {MAX_TABLE // 10**6} MB")
    content = path.read_bytes()
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))  # as a spreadsheet's "Unicode text"
    try:
        text = content.decode(*(("utf-16",) if wide else ("utf-8-sig", "surrogateescape")))  # names are of any bytes
        told = re.match(r"sep=(.)\r?\n", text)
        text = text[told.end() :] if told else text
        separator = told[1] if told else max(",;\t|", key=text.partition("\n")[0].count)
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
        rows = [[cell.strip() for cell in row] for row in lines]
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a CSV table ({reason(error)})") from None
    rows = [row for row in rows if any(row)]
    if len(rows) < 2:
        raise DataError(f"{path}: needs a line of column names and a line for each image")
    head = rows[0]
    for number, row in enumerate(rows, 1):
        if len(row) != len(head):
            raise DataError(f"{path}: line {number} has {len(row)} columns, the first has {len(head)}")
    twice = [name for name, count in Counter(filter(None, head)).items() if count > 1]
    if twice:
        raise DataError(f"{path}: the column {twice[0]!r} is there twice")
    columns = {name: [row[i] for row in rows[1:]] for i, name in enumerate(head) if name}
    return str(path), path.parent, columns


def table_files(table: Any, columns: dict[str, str] | None = None) -> list[str]:
    """The paths that a table names, for predict; see load_data for `columns`."""
    title, folder, values = read_table(table)
    named = _roles(title, values, columns)
    if "file" not in named:
        raise DataError(_no_column(title, "file", values))
    return _paths(folder, values[named["file"]])


def all_files(names: list[str], columns: dict[str, str] | None = None) -> tuple[list[str], list[str]]:
    """The files that folders, tables and names of files stand for, and lines on what was left out; for predict.

    A file that is there twice is a UsageError.
    """
    paths, notes, seen = [], [], set()
    for name in names:
        if os.path.isdir(name):
            found, left = image_files(name)
            notes += [f"{name}: {line}" for line in left]
        else:
            found = table_files(name, columns) if is_table(name) else [name]
        paths += map(os.fspath, found)
    for path in paths:
        place = os.path.abspath(path)
        if place in seen:
            raise UsageError(f"{path} is given twice")
        seen.add(place)
    return paths, notes


def read(target: str, *, name, groups, class_names, columns=None) -> Listing:
    """A table as labels, a class an image, or as multi_hot, any number of classes an image.

    Args:
        columns: the names of columns by what they are: {"file": …, "label": …, "group": …, "split": …}; those of
            COLUMNS are known. Labels may also be in a column of 0 and 1 a class. For multi_hot, several names in one
            cell are separated by | or ;.
    """
    title, folder, values = read_table(name)
    named = _roles(title, values, columns)
    if groups is not None:
        if groups not in values:
            raise UsageError(f"groups must be a column of {title}: {', '.join(values)}; got {groups!r:.80}")
        named["group"] = groups
    if "file" not in named:
        raise DataError(_no_column(title, "file", values))
    texts = values[named["file"]]
    paths = _paths(folder, texts)
    twice = [path for path, count in Counter(map(os.path.normpath, paths)).items() if count > 1]
    if twice:
        raise DataError(f"{title}: {twice[0]} is there twice; for several labels of an image see multi_hot")
    used = [f"{column} ({role})" for role, column in named.items()]
    if "label" in named:
        cells = values[named["label"]]
        parts = r"[|;]" if target == "labels" or any(re.search("[|;]", cell) for cell in cells) else "[|;,]"
        rows = [[part.strip() for part in re.split(parts, cell)] for cell in cells]
        rows = [[part for part in row if part.lower() not in MISSING] for row in rows]
    else:
        rows, classes = _one_hot(title, values, set(named.values()))
        used.append(f"{', '.join(classes)} (a class each)")
    found = sorted({label for row in rows for label in row})
    judging = class_names is not None
    class_names, targets = _targets(title, texts, rows, target, list(class_names) if judging else found)
    split_of = ["all"] * len(texts)
    if "split" in named:
        split_of = [_split(title, cell) for cell in values[named["split"]]]
        if "train" not in split_of and not judging:
            raise DataError(f"{title}: no image is of the split train; there are {', '.join(sorted(set(split_of)))}")
        trained = {label for row, split in zip(rows, split_of, strict=True) if split == "train" for label in row}
        if not judging and (untrained := sorted(set(found) - trained)):
            raise DataError(f"{title}: class {untrained[0]!r} has no image of the split train")
    group_of = values[named["group"]] if "group" in named else []
    if "" in group_of:
        raise DataError(f"{title}: {texts[group_of.index('')]} has no group in {named['group']}; give each image one")
    notes = [f"columns: {', '.join(used)}"]
    origin = os.path.abspath(name) if isinstance(name, str | os.PathLike) else ""
    root = os.path.abspath(folder)
    return Listing(title, origin, root, target, class_names, paths, targets, split_of, group_of, notes)


def _targets(title, texts, rows, target, class_names) -> tuple[list[str], np.ndarray]:
    """Class names, and labels (n,) or multi_hot (n, classes)."""
    number = {name: i for i, name in enumerate(class_names)}
    for text, row in zip(texts, rows, strict=True):
        for label in row:
            if label not in number:
                raise DataError(
                    f"{title} has a class {label!r}, which is not known: known are {', '.join(class_names)}"
                )
        if target == "labels" and len(row) != 1:
            many = f"has {len(row)} labels ({'|'.join(row)}), and there is one an image" if row else "has no label"
            raise DataError(f"{title}: {text} {many}; for any number of them train with the task multilabel")
    if target == "labels":
        return class_names, np.array([number[row[0]] for row in rows])
    targets = np.zeros((len(rows), len(class_names)), np.uint8)
    for i, row in enumerate(rows):
        targets[i, [number[label] for label in row]] = 1
    return class_names, targets


def _one_hot(title: str, values: dict[str, list[str]], others: set[str]) -> tuple[list[list[str]], list[str]]:
    """The labels of each row where classes are columns of 0 and 1, and the names of these."""
    classes = []
    for name, column in values.items():
        found = set(column) if name not in others else set()
        if found & NUMBERS.keys() and (strange := sorted(found - NUMBERS.keys())) and len(found) < 6:
            what = f"the column {name} has {strange[0]!r} beside 0 and 1, and so is no class"
            raise DataError(f"{title}: {what}; change it, or leave the column out")
        if found and found <= NUMBERS.keys():
            classes.append(name)
    if len(classes) < 2:
        raise DataError(_no_column(title, "label", values))
    return [[name for name in classes if NUMBERS[values[name][i]]] for i in range(len(values[classes[0]]))], classes


def _roles(title: str, values: dict[str, list[str]], columns: dict[str, str] | None) -> dict[str, str]:
    """The column of each role: as told, or by its name."""
    if columns is not None and not (isinstance(columns, dict) and columns.keys() <= COLUMNS.keys()):
        raise UsageError(f"columns must be a dictionary with {', '.join(COLUMNS)} as keys; got {columns!r:.80}")
    named = {}
    for role, usual in COLUMNS.items():
        if columns and role in columns:
            if columns[role] not in values:
                raise UsageError(f"{title} has no column {columns[role]!r:.80}; it has {', '.join(values)}")
            named[role] = columns[role]
            continue
        by_name = {name.lower(): name for name in values}
        found = [by_name[name] for name in usual if name in by_name]
        if found and (role != "split" or found[0].lower() != "fold" or any(map(split_word, values[found[0]]))):
            named[role] = found[0]  # numbers of folds are no splits
    return named


def _no_column(title: str, role: str, values: dict[str, list[str]]) -> str:
    usual = ", ".join(COLUMNS[role][:4])
    what = f"say which is meant with columns={{{role!r}: …}} (--columns {role}=…)"
    return f"{title} has no column {usual} …, but {', '.join(values)}; {what}"


def _split(title: str, cell: str) -> str:
    found = split_word(cell)
    if found is None:
        advice = "rename the column if it is about something else"
        raise DataError(f"{title}: {shown(cell)} is no split; there are train, validation and test; {advice}")
    return found


def _paths(folder: Path, texts: list[str]) -> list[str]:
    """Paths relative to the table's folder; of a name without an ending, the first of ENDINGS that is there."""
    if "" in texts:
        raise DataError(f"row {texts.index('') + 1} of the table names no file")
    paths = [os.path.join(folder, text.replace("\\", "/") if os.sep == "/" else text) for text in texts]
    for i, path in enumerate(paths):
        if not os.path.splitext(path)[1] and not os.path.exists(path):
            paths[i] += next((ending for ending in ENDINGS if os.path.exists(path + ending)), "")
    return paths


def _text(value: Any) -> str:
    """A cell of a DataFrame as a CSV file would have it."""
    if isinstance(value, list | tuple | set):
        return "|".join(map(str, value))
    missing = value is None or value != value  # NaN
    return "" if missing else str(value).strip()
