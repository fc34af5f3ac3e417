"""What each command of the command line does, with its arguments as argparse gives them; cli.py says what these are.

Names and numbers are checked before TensorFlow and Keras are imported, which takes some seconds. A function's docstring
is what --help says; it returns the exit status, None for 0.
"""

import contextlib
import json
import os
import sys
import textwrap
import time
import warnings
from pathlib import Path
from typing import Any

from .cards import data_facts, facts_text, shape_text, text_table
from .core.errors import DataError, UsageError, check_number, check_seed, unknown
from .core.files import check_new_file, csv_rows, json_rows, write_text
from .core.intervals import prediction_interval
from .core.text import printable, shell
from .data.images import for_each_file, read_image
from .data.pictures import read_header
from .data.sources import check_data_name
from .data.table import all_files
from .data.tfds import TFDS
from .models.registry import catalogue, check_model_name, choose_layout, list_models
from .nn.inspection import shapes_only
from .recipes import Recipe, get_recipe
from .report import folds_summary, summary
from .runs import check_folder, load_run, read_config
from .tasks import get_task
from .weights.pretrained import accuracy_text, find_record, names_data, records_of

MOST_ROWS = 100  # classes of a contact sheet
DATA_OPTIONS = ("validation", "image_size", "channels", "fit", "groups", "max_pixels", "skip_broken")
OWN_OPTIONS = {  # of info, in place of --set
    "name": "MODEL", "input_shape": "--input-shape", "num_classes": "--num-classes", "layout": "--layout"
}  # fmt: skip


def fail(message: str, status: int = 1) -> int:
    print(f"cnn-zoo: {printable(message)}", file=sys.stderr)
    return status


def do_list(args) -> None:
    """List the models of the zoo."""
    names = list_models(args.pattern, args.task)
    if not names:
        raise UsageError(unknown("model", args.pattern, list_models()))
    heads = ("model", "family", "layout", "input", "classes", "parameters", "MACs", "year", "paper", "weights")
    rows = []
    for row in filter(lambda row: row["name"] in names, catalogue()):
        row = row | {"parameters": f"{int(row['parameters']):,}", "MACs": f"{int(row['macs']) / 1e6:,.1f} M"}
        trained = ", ".join(records_of(row["name"])) if row["layout"] == "small" else ""
        rows.append((row["name"], *(row[head] for head in heads[1:-1]), trained))
    print(text_table(heads, rows, right=(4, 5, 6)))


def do_info(args) -> None:
    """Say what a model is: layers, parameters, cost, options, and the weights that come with it."""
    check_model_name(args.model)
    for option, _ in args.settings:
        if option in OWN_OPTIONS:
            raise UsageError(f"--set {option}=…: use {OWN_OPTIONS[option]}")
    from . import model_card

    options = {**_named(args, "input_shape", "layout"), **dict(args.settings), "num_classes": _classes(args)}
    card = model_card(args.model, **options)
    print(card)
    for data, record in records_of(args.model).items():
        if tuple(record["config"]["input_shape"]) != card.input_shape:
            images = "x".join(map(str, record["config"]["input_shape"]))
            print(f"\nThere are weights for {data} too, with images of {images}.")
    if args.plot:
        from . import build_model, plots

        with shapes_only():
            plots.save(plots.architecture(build_model(args.model, compile=False, **options)), args.plot)
        print(f"\ndrawn in {printable(args.plot)}")


def _classes(args) -> int:
    """How many classes were asked for; else those of the weights, or those for which the layout was published."""
    if args.num_classes is not None:
        return args.num_classes
    weights = dict(args.settings).get("weights")
    if names_data(weights):
        return len(find_record(args.model, weights)["config"]["class_names"])
    published = {row["layout"]: int(row["classes"]) for row in catalogue() if row["name"] == args.model}
    if args.layout == "auto" and not args.input_shape:
        return next(iter(published.values()))
    return published[choose_layout(published, args.layout, args.input_shape)]


def _data_options(args) -> dict[str, Any]:
    """What the options say of how a data set is read."""
    return _named(args, *DATA_OPTIONS) | ({"columns": args.columns} if args.columns else {})


def _named(args, *names: str) -> dict[str, Any]:
    """Some of the arguments of a command, which are called as those of the function that it calls."""
    return {name: getattr(args, name) for name in names}


def do_train(args) -> None:
    """Train a model and write a run folder.

    Train a model, judge it on the test set and write a run folder with the weights, the history, figures and a report.
    """
    check_model_name(args.model)
    check_data_name(args.data)
    check_seed(args.seed)
    if args.resume and not args.out:
        raise UsageError("--resume needs the run folder: --out FOLDER")
    changes = _named(args, "epochs", "batch_size", "learning_rate", "early_stopping")
    get_recipe(args.recipe, **changes)
    if args.out and args.folds is None:
        check_folder(args.out, args.resume)
    from . import train

    named = ("recipe", "task", "out", "resume", "seed", "class_weight", "precision", "tensorboard", "deterministic")
    options = _named(args, *named) | {"model_options": dict(args.settings), "data_options": _data_options(args)}
    if args.folds is not None:
        from .folds import cross_validate

        found = cross_validate(args.model, args.data, folds=args.folds, **options, **changes)
        print("\n" + facts_text(folds_summary(found.runs, found.metrics, found.result)))
        return print(f"\nSee {printable(found.path / 'report.md')}")
    run = train(args.model, args.data, **options, **changes)
    print("\n" + facts_text([*summary(run), ("run folder", run.path)]))
    print(f"\nSee {printable(run.path / 'report.md')}; name an image with: cnn-zoo predict {shell(run.path)} IMAGE")


def do_reproduce(args) -> int:
    """Train published weights again and compare with the record.

    Train a model with the recipe and options of its published weights, and compare the test accuracy with those on
    record. Exits with 1 when it is not within the 99 % interval that they give for another seed.
    """
    check_model_name(args.model)
    record = find_record(args.model, args.data)
    config, reached = record["config"], list(record["seeds"].values())
    from . import train

    seed = 1 + max(map(int, record["seeds"])) if args.seed is None else args.seed
    options = {"model_options": config["model_options"], "recipe": Recipe(**config["recipe"]), "seed": seed}
    options |= {"data_options": {"validation": config["data_options"]["validation"]}, **_named(args, "out", "resume")}
    run = train(config["model"], config["data"], **options)
    (low, high), accuracy = prediction_interval(reached), run.metrics["test_accuracy"]
    print(f"\nreached    {accuracy:.2%} with seed {run.config['seed']}, in {printable(run.path)}")
    print(f"on record  {accuracy_text(record)}; another one is between {low:.2%} and {high:.2%} in 99 of 100 cases")
    return 0 if low <= accuracy <= high else fail(f"{accuracy:.2%} is not between {low:.2%} and {high:.2%}")


def do_evaluate(args) -> None:
    """Judge a run on its test set, or on another data set.

    Say how good a net is on images with known answers: overall, and for each class. --split all judges every image of a
    set that the net has not seen; a folder may hold images of some of the classes alone.
    """
    if args.data:
        check_data_name(args.data)
    if args.json:
        check_new_file(args.json)
    if args.specificity is not None:
        check_number("specificity", args.specificity, most=1)
    read_config(Path(args.run_folder))  # what is no run is told before the framework is loaded
    run = load_run(args.run_folder)
    from .inference import SeenImages, evaluate, plain_result

    options = {name: value for name, value in _named(args, "columns", "skip_broken", "max_pixels").items() if value}
    data = run.load_data(args.data, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SeenImages)  # which is among the notes
        result = evaluate(run, data, args.split, specificity=args.specificity)
    task = get_task(run.config["task"])
    print(printable(f"{run.config['model']} of {run.path}: {result['judged']}"))
    for note in result["notes"]:
        print(f"note: {printable(note)}")
    print(facts_text(task.lines(result)))
    if table := task.table(result):
        print(f"\n{text_table(table.heads, table.rows, right=range(1, len(table.heads)))}")
        if table.text:
            print(table.text)
    if args.json:
        write_text(args.json, json.dumps(plain_result(result), indent=2, allow_nan=False) + "\n")


def do_predict(args) -> int:
    """Say what image files show.

    Name the most probable classes of image files, or of their pixels. Images of any size, grey or colour, are brought
    to the size and channels that the model was trained with. A folder stands for all images in it, at any depth; a CSV
    file for those that it names in a column file, path, filename or image. With --csv or --json, every class of every
    image goes into a table. Brightness is not guessed: the digits of MNIST are light on dark, so for ink on paper use
    --invert.
    """
    for option, value in (("--top", args.top), ("--max-pixels", args.max_pixels)):
        if value is not None:
            check_number(option, value, 1, whole=True)
    tables = [(path, write) for path, write in ((args.csv, csv_rows), (args.json, json_rows)) if path]
    for path, _ in tables:
        check_new_file(path)
    if len({os.path.abspath(path) for path, _ in tables}) < len(tables):
        raise UsageError(f"--csv and --json are both {args.csv}")
    read_config(Path(args.run_folder))  # what is no run is told before thousands of files are looked at
    paths, notes = all_files(args.images, args.columns)
    for note in notes:
        print(printable(note), file=sys.stderr)
    if args.draw and len(paths) > 1:
        raise UsageError(f"--draw is for one image; got {len(paths)}")
    broken = _broken_headers(paths, args)  # before the framework is loaded
    run = load_run(args.run_folder)
    from .inference import predictions, reading_of

    task = get_task(run.config["task"])
    if args.draw and not task.draw:
        raise UsageError(f"--draw: there is nothing to draw of {task.name}")
    readable = [path for path in paths if path not in broken]
    options = dict(task.options)
    if args.top or ("top" in options and tables):
        options["top"] = args.top or len(run.class_names)
    found_in = predictions(run, readable, **options, **_named(args, "invert", "fit", "max_pixels", "skip_broken"))
    longest, progress = max(len(printable(path)) for path in readable), _Progress(len(paths), "images")
    with contextlib.ExitStack() as opened:
        last = ("error",) * args.skip_broken
        writers = [opened.enter_context(write(path, *last)) for path, write in tables]
        for done, path in enumerate(paths, 1):
            found = broken.get(path) or next(found_in)
            row = {"file": path}
            if isinstance(found, Exception):
                broken[path] = found
                row["error"] = printable(found)
                if not tables:
                    fail(f"skipped {found}")
            elif tables:
                row |= task.record(found, run.class_names)
            else:
                print(f"{printable(path):{longest}}  {printable(task.text(found, run.class_names))}")
            if args.draw and path not in broken:
                from . import plots

                options = {"max_pixels": args.max_pixels, "value_range": reading_of(run.config)["value_range"]}
                plots.save(task.draw(read_image(path, **options), found, run.class_names), args.draw)
            for write in writers:
                write(row)
            if tables:
                progress(done)
        if len(broken) == len(paths):
            raise DataError("none of the files could be read")
    for path, _ in tables:
        print(f"{len(paths) - len(broken):,} of {len(paths):,} images in {printable(path)}")
    if broken and tables:
        return fail(f"{len(broken):,} of {len(paths):,} files could not be read; the column error says why")
    return int(bool(broken))


def _broken_headers(paths: list[str], args) -> dict[str, Exception]:
    """What is wrong with files, as far as their headers tell; raised, unless --skip-broken leaves some to be read."""
    look = _Progress(len(paths), "files looked at")
    headers = for_each_file(lambda _, path: read_header(path, args.max_pixels), paths, look)
    broken = {path: found for path, found in zip(paths, headers, strict=True) if isinstance(found, Exception)}
    if len(broken) == len(paths) > 1:
        raise DataError(f"none of the files could be read: {broken[paths[0]]}")
    if broken and not (args.skip_broken and len(broken) < len(paths)):
        first, more = next(iter(broken.values())), f" (and {len(broken) - 1:,} more)" * (len(broken) > 1)
        raise type(first)(f"{first}{more}" + "; --skip-broken leaves such files out" * (len(paths) > 1))
    return broken


class _Progress:
    """How far the work is, on standard error: on a terminal in a line that changes, else a line every ten seconds."""

    def __init__(self, total: int, what: str):
        self.total, self.what, self.shown, self.since = total, what, False, time.monotonic()
        self.terminal = bool(sys.stderr and sys.stderr.isatty())

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        late = now - self.since > (0.5 if self.terminal else 10)
        if late or (self.shown and self.terminal and done == self.total):
            self.shown, self.since = True, now
            end = "\r" if self.terminal and done < self.total else "\n"
            print(f"{done:,} of {self.total:,} {self.what}", end=end, file=sys.stderr, flush=True)


def do_data(args) -> int:
    """List the data sets, or look at one, or at your own images.

    List the data sets, or say what is in one, or in a folder or CSV file of images: how many there are of each class
    and in each split, their sizes and formats, what was left out, and which files cannot be read. --draw shows some of
    each class.
    """
    if not args.data:
        print("mnist5k: 5,000 MNIST digits, embedded, no download\nscenes: 5,000 scenes of those, with masks")
        print("\nthrough tensorflow_datasets, downloaded at first use:")
        print(textwrap.fill(", ".join(sorted(TFDS)), 100, initial_indent="  ", subsequent_indent="  "))
        print("\nor a folder with a sub-folder of images per class, or a CSV file of their files and labels")
        return 0
    check_data_name(args.data)
    from . import load_data

    target = get_task(args.task).target if args.task else None
    options = _data_options(args) | {"skip_broken": True}  # to name every file that cannot be read
    data = load_data(args.data, target=target, **options, progress=lambda line: print(printable(line), file=sys.stderr))
    print(f"{printable(data.name)}: {shape_text(data.input_shape)}, {len(data.class_names)} classes")
    counts = {split: data.class_counts(split) if data.class_names else [] for split in (*data.splits, "all")}
    columns = [[f"{count:,}" for count in (*counts[split], len(data.splits[split]))] for split in data.splits]
    rows = list(zip([*data.class_names, "all"], *columns, strict=True))
    print(text_table(("class", *data.splits), rows, right=(1, 2, 3)), end="\n\n")
    print(facts_text(data_facts(data)))
    if args.draw:
        from . import plots

        unit = "images" if data.target != "masks" else "pixels"
        totals = dict(zip(data.class_names, counts["all"], strict=True))
        words = {name: f"{printable(name, 40)}: {count:,} {unit}" for name, count in totals.items()}
        examples = list(data.examples(6).items())[:MOST_ROWS]
        plots.save(plots.sheet([(words.get(name, name), some) for name, some in examples]), args.draw)
        print(f"drawn in {printable(args.draw)}")
    for line in data.skipped:
        print(f"{'skipped' if args.skip_broken else 'broken:'} {printable(line)}")
    if data.skipped and not args.skip_broken:
        count = f"{len(data.skipped)} file{'s' * (len(data.skipped) > 1)}"
        return fail(f"{count} cannot be read; mend or remove them, or leave such files out with --skip-broken")
    return 0
