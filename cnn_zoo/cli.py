"""The command line: cnn-zoo list | info | train | reproduce | evaluate | predict | data.

Names and numbers are checked before TensorFlow and Keras are imported, which takes some seconds.
"""

import argparse
import ast
import os
import re
import sys
import warnings
from typing import Any

from . import __version__, commands
from .commands import fail
from .core.errors import ZooError
from .core.text import printable
from .data.images import FITS
from .models.registry import LAYOUTS
from .nn.precision import PRECISIONS
from .recipes import RECIPES


class _Parser(argparse.ArgumentParser):
    """argparse, with one line on standard error for a bad argument."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {printable(message)} (see {self.prog} --help)\n")


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 2 for a usage error, 1 for a failure."""
    parser = _make_parser()
    args, strange = parser.parse_known_args(arguments)
    if strange:
        command = f"{parser.prog} {args.command or ''}".rstrip()
        parser.exit(2, f"{command}: unrecognized arguments: {printable(' '.join(strange))} (see {command} --help)\n")
    if not args.command:
        parser.print_help()
        return 0
    plain = warnings.formatwarning
    warnings.formatwarning = lambda message, *_, **__: f"{parser.prog}: {printable(message)}\n"
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # names in any script, on any terminal
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")  # as it is without PYTHONWARNINGS, by which they become errors
            for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
                warnings.simplefilter("ignore", kind)
            status = args.run(args)
        if sys.stdout:
            sys.stdout.flush()
        return status or 0
    except ZooError as error:
        return fail(str(error), error.exit_status)
    except KeyboardInterrupt as interrupt:
        return fail("; ".join(getattr(interrupt, "__notes__", [])) or "interrupted")
    except BrokenPipeError:  # the reader of a pipe, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return int(args.command in ("train", "reproduce"))  # a listing has done its work then, a training has not
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        if isinstance(error, FileNotFoundError) and not where:
            where = ": the folder in which this was started is gone"
        return fail(f"{error.strerror or error}{where}")
    except Exception as error:
        if type(error).__name__ not in ("MemoryError", "ResourceExhaustedError"):  # the second one is TensorFlow's
            raise
        return fail("out of memory: try smaller images (--image-size), a smaller model or smaller batches")
    finally:
        warnings.formatwarning = plain


def _make_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="cnn-zoo",
        description="Build, train and use convolutional networks.",
        epilog="cnn-zoo COMMAND --help says more. Without arguments, cnn-zoo train trains a small net on 3,600 digits "
        "in half a minute.",
    )
    parser.add_argument("--version", action="version", version=f"cnn-zoo {__version__}")
    added = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for run, names in COMMANDS.items():
        command, about = run.__name__.removeprefix("do_"), run.__doc__.partition("\n\n")
        description = " ".join((about[2] or about[0]).split())
        add = added.add_parser(command, help=about[0][0].lower() + about[0][1:-1], description=description)
        for name in names.split():
            add.add_argument(name, **OPTIONS.get(f"{command} {name}", OPTIONS.get(name)))
        add.set_defaults(run=run)
    return parser


def _matching(pattern: str, text: str, form: str) -> str:
    if not re.fullmatch(pattern, text, re.IGNORECASE | re.DOTALL):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form {form}")
    return text


def _shape(text: str) -> tuple[int, ...]:
    return tuple(map(int, _matching(r"\d+(x\d+){1,3}", text, "HxWxC, such as 32x32x3").lower().split("x")))


def _size(text: str) -> tuple[int, ...]:
    height, _, width = _matching(r"\d+(x\d+)?", text, "N or HxW, such as 64 or 48x64").lower().partition("x")
    return int(height), int(width or height)


def _png(text: str) -> str:
    if not os.path.isdir(os.path.dirname(text) or "."):  # before any work
        raise argparse.ArgumentTypeError(f"{text}: there is no folder {os.path.dirname(text)}")
    return _matching(r".*\.png", text, "NAME.png")


def _columns(text: str) -> dict[str, str]:
    pairs = _matching(r"\w+=[^,=]+(,\w+=[^,=]+)*", text, "file=NAME,label=NAME").split(",")
    return dict(pair.split("=") for pair in pairs)


def _setting(text: str) -> tuple[str, Any]:
    """filters=32,64 -> ("filters", (32, 64)); what is not a Python literal is text."""
    name, _, value = _matching(r"[^\W\d]\w*=.*", text, "OPTION=VALUE").partition("=")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return name, value


def _weights(text: str) -> str | dict[str, float]:
    """balanced, or cat=2,dog=1."""
    if text == "balanced":
        return text
    form = '"balanced" or CLASS=NUMBER,…'
    pairs = [_matching(r".+=[0-9.e-]+", part, form).rpartition("=") for part in text.split(",")]
    return {name: float(weight) for name, _, weight in pairs}


FLAG = {"action": "store_true"}
OPTIONS = {  # of commands; some are another thing in one of them
    "pattern": {"nargs": "?", "default": "*", "help": 'a shell pattern such as "vgg*"'},
    "model": {"help": "see cnn-zoo list"},
    "train model": {"nargs": "?", "default": "conv_stack", "help": "see cnn-zoo list (default: %(default)s)"},
    "run_folder": {"metavar": "RUN", "help": "a run folder, or published weights such as lenet5-mnist"},
    "images": {"nargs": "+", "metavar": "IMAGE", "help": "files, folders of files, or CSV files that name them"},
    "data": {"nargs": "?", "help": "a data set, a folder or a CSV file"},
    "reproduce data": {"help": "the data set; cnn-zoo list shows which models have weights for which"},
    "--data": {"help": "default: what it was trained on"},
    "train --data": {"default": "mnist5k", "help": "see cnn-zoo data; or a folder or CSV file (default: %(default)s)"},
    "--task": {"help": "list those for it alone, such as segmentation"},
    "data --task": {"help": "multilabel, for images of several classes"},
    "train --task": {"help": "multilabel, for images of several classes (default: what the model is for)"},
    "--split": {"choices": ("train", "validation", "test", "all"), "default": "test", "help": "all: every image"},
    "--specificity": {"type": float, "help": "at which the sensitivity of a class is given (default: 0.95)"},
    "--class-weight": {"metavar": "WEIGHTS", "type": _weights, "help": "in the loss: balanced, or cat=2,dog=1"},
    "--folds": {"type": int, "metavar": "K", "help": "train K runs, each judged on another K-th of the images"},
    "evaluate --json": {"metavar": "FILE", "help": "write all numbers into a file"},
    "--input-shape": {"type": _shape, "metavar": "HxWxC", "help": "such as 32x32x3; default: the family's own"},
    "--num-classes": {"type": int, "help": "default: as published"},
    "--layout": {"choices": LAYOUTS, "default": "auto", "help": "auto: small below 96 pixels"},
    "--plot": {"metavar": "FILE", "type": _png, "help": "draw the architecture into a PNG file"},
    "--out": {"metavar": "FOLDER", "help": "the run folder (default: runs/MODEL-DATA, -2 …)"},
    "--resume": {**FLAG, "help": "go on with the unfinished run in --out"},
    "--recipe": {"default": "fast", "help": f"{', '.join(RECIPES)} (default: %(default)s)"},
    "--epochs": {"type": int, "help": "default: by the recipe and the size of the data set"},
    "--batch-size": {"type": int, "help": "default: the recipe's"},
    "--learning-rate": {"type": float, "help": "the largest of the training; default: the recipe's"},
    "--early-stopping": {"type": int, "metavar": "N", "help": "stop after N epochs without a lower validation loss"},
    "--seed": {"type": int, "help": "default: one that is not on record yet"},
    "train --seed": {"type": int, "default": 0, "help": "of weights, order and augmentation (default: %(default)s)"},
    "--precision": {"choices": PRECISIONS, "default": "auto", "help": "auto: 16-bit where the processor is faster so"},
    "--deterministic": {**FLAG, "help": "the same weights from the same seed on this machine"},
    "--tensorboard": {**FLAG, "help": "write logs for TensorBoard into the run folder"},
    "--set": {"action": "append", "default": [], "type": _setting, "metavar": "OPTION=VALUE", "dest": "settings",
              "help": "an argument of build_model, such as filters=32,64 or dropout=0.5; may be repeated"},
    "--validation": {"type": float, "default": 0.1, "metavar": "FRACTION", "help": "of the training images to set "
                     "aside, where there are no validation images (default: %(default)s)"},
    "--image-size": {"type": _size, "metavar": "N or HxW", "help": "resize images to this"},
    "--channels": {"type": int, "choices": (1, 3, 4), "help": "1 grey, 3 colour, 4 with opacity"},
    "--skip-broken": {**FLAG, "help": "leave out files that cannot be read"},
    "--fit": {"choices": FITS, "default": "stretch", "help": "what to do with other proportions"},
    "predict --fit": {"choices": FITS, "help": "what to do with other proportions (default: as in the training)"},
    "--columns": {"metavar": "ROLE=NAME,…", "type": _columns,
                  "help": "columns of a CSV file: file=…, label=…, group=…, split=…; those with usual names are found"},
    "--groups": {"metavar": "PATTERN", "help": "a regular expression that finds in a path what must not be divided "
                 "between splits, such as a patient; of a CSV file, a column"},
    "--max-pixels": {"type": int, "metavar": "N", "help": "of a file (default: 50 million)"},
    "--top": {"type": int, "metavar": "N", "help": "the N most probable classes (default: 3; in a table all)"},
    "--csv": {"metavar": "FILE", "help": "write a table: a line an image, a column a class"},
    "--json": {"metavar": "FILE", "help": "write a list of objects, one an image"},
    "data --draw": {"metavar": "FILE", "type": _png, "help": "draw some images of each class into a PNG file"},
    "--draw": {"metavar": "FILE", "type": _png, "help": "draw what was found in the image into a PNG file"},
    "--invert": {**FLAG, "help": "exchange black and white first"},
}  # fmt: skip
DATA = "--validation --image-size --channels --fit --columns --groups --max-pixels --skip-broken"
COMMANDS = {
    commands.do_list: "pattern --task",
    commands.do_info: "model --input-shape --num-classes --layout --plot --set",
    commands.do_train: "model --data --out --resume --recipe --task --epochs --batch-size --learning-rate "
    f"--early-stopping --class-weight --folds --seed --precision --deterministic --tensorboard --set {DATA}",
    commands.do_reproduce: "model data --seed --out --resume",
    commands.do_evaluate: "run_folder --data --split --specificity --json --columns --max-pixels --skip-broken",
    commands.do_predict: "run_folder images --csv --json --top --draw --invert --columns --fit --max-pixels "
    "--skip-broken",
    commands.do_data: f"data --task {DATA} --draw",
}
