"""``caffepy ilsvrc-eval``: errors of a file of predictions, as ILSVRC counts them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from caffepy.cli.command import CaffeCommand

if TYPE_CHECKING:
    from caffepy.evaluation.ilsvrc import Result

__all__ = ["command"]


@click.command("ilsvrc-eval", cls=CaffeCommand)
@click.argument("predictions", metavar="PREDICTIONS")
@click.argument("truth", metavar="GROUND_TRUTH")
@click.option("--task", type=click.Choice(["1", "2"]), default="1", show_default=True, help="2: with boxes.")
@click.option("--synsets", metavar="FILE", help="What labels mean: map_clsloc.txt, synset_words.txt or synsets.txt.")
@click.option("--blacklist", metavar="FILE", help="Numbers of images, from 1, that do not count.")
@click.option("--per-image", metavar="FILE", help="Write the place of the right guess of each image, as CSV.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="What is written to stdout.",
)  # fmt: skip
def command(predictions: str, truth: str, task: str, **flags: Any) -> None:
    """Compute the top-1 and top-5 error of PREDICTIONS, a line an image, against GROUND_TRUTH.

    Task 1, classification: at most five labels a line, the best first; wrong if none is the image's. Task 2,
    classification with localisation: 'label xmin ymin xmax ymax' at most five times a line; wrong if none has the right
    label and a box that overlaps by at least half (intersection over union) with one of an object of this class.

    GROUND_TRUTH is a text, a line an image: a label, or 'name label'; for task 2 'label xmin ymin xmax ymax' for each
    object. Or it is the folder of ILSVRC's XML annotations, whose classes are synsets: --synsets says which label means
    which. A report of 'caffepy test' has files for task 1.
    """
    from caffepy.evaluation.ilsvrc import evaluate
    from caffepy.evaluation.ilsvrc_files import read_blacklist, read_predictions, read_synsets, read_truth
    from caffepy.proto.files import atomic_write

    number = int(task)
    synsets = read_synsets(flags["synsets"]) if flags["synsets"] else None
    objects, names = read_truth(truth, number)
    guesses = read_predictions(predictions, number, synsets)
    blacklist = read_blacklist(flags["blacklist"], len(objects)) if flags["blacklist"] else set()
    result = evaluate(guesses, objects, number, blacklist)
    for note in result.notes:
        click.echo(f"warning: {note}", err=True)
    if flags["per_image"]:
        with atomic_write(flags["per_image"]) as file:
            file.write(_per_image(result, names, number == 2).encode("utf-8", "backslashreplace"))
    _show(result, number == 2, flags["form"], len(blacklist))


def _rows(result: Result, boxes: bool) -> list[tuple[str, int, int]]:
    """What is counted: its name, k, and the images in error."""
    kinds = [("classification", False), *([("localisation", True)] if boxes else [])]
    return [(kind, k, result.errors(k, boxes=with_boxes)) for kind, with_boxes in kinds for k in (1, 5)]


def _show(result: Result, boxes: bool, form: str, left_out: int) -> None:
    from caffepy.cli.output import console, make_table

    images = len(result.outcomes)
    rows = _rows(result, boxes)
    if form == "json":
        figures = {f"{kind}_top{k}_error": errors / images for kind, k, errors in rows}
        click.echo(json.dumps({"images": images, "left_out": left_out, **figures}, indent=2))
        return
    out = console()
    if out.is_terminal:
        shown = [[f"{kind}, top-{k}", f"{100 * errors / images:.3f} %", f"{errors:,}"] for kind, k, errors in rows]
        out.print(make_table([f"{images:,} images", "error", "wrong"], shown))
        return
    for kind, k, errors in rows:
        click.echo(f"{kind} top-{k} error: {100 * errors / images:.3f} % ({errors} of {images} images)")


def _per_image(result: Result, names: list[str], boxes: bool) -> str:
    from caffepy.evaluation.csv_text import csv_text

    header = ["image", "ground_truth", "right_label", *(["right_box"] if boxes else [])]
    # Counted from 1, as lines are.
    rows = ([one.image + 1, names[one.image], one.label, *([one.box] if boxes else [])] for one in result.outcomes)
    return csv_text(header, rows)
