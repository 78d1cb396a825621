"""``caffepy classify``: the best classes of images."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from caffepy.cli.command import CaffeCommand
from caffepy.cli.options import (
    backend_options,
    check_prepare,
    comma_list,
    data_threads_option,
    labels_option,
    open_backend,
    parse_size,
    prepare_options,
    pycaffe_flags,
    state_options,
)

if TYPE_CHECKING:
    from caffepy.evaluation.classes import Classes

__all__ = ["command"]


@click.command("classify", cls=CaffeCommand)
@click.argument("images", nargs=-1, metavar="IMAGES... [OUT.npy]")
@click.option("--weights", "--pretrained-model", required=True, metavar="FILE,...", help="A .caffemodel or .h5 file.")
@click.option("--from", "source", metavar="FILE", help="A train_val.prototxt: prepare images as its TEST phase does.")
@click.option("--model", "--model-def", metavar="FILE", help="A deploy.prototxt; made of --from unless given.")
@click.option("--list", "list_file", metavar="FILE", help="Classify the images that its lines name, too.")
@click.option("--root-folder", default="", metavar="FOLDER", help="Of the names in --list.")
@click.option("--ext", default="", help="Of folders, take files that end so. [default: JPEG, PNG, BMP]")
@labels_option
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="How many classes of an image.")
@click.option(
    "--oversample/--center-only", default=None,
    help="Average ten crops, or take the centre. [default: the centre with --from, else ten, as classify.py]",
)  # fmt: skip
@click.option("--images-dim", metavar="H,W|N", help="Resize images to this before cropping; N: their shorter side.")
@prepare_options
@click.option("--gray/--no-gray", default=False, help="With --from: its database, not here, is of gray images.")
@click.option("--format", "form", type=click.Choice(["text", "csv", "json"]), help="What is written to stdout.")
@click.option("--output", metavar="FILE", help="Write to a .csv, .json or .npy file (all scores), not to stdout.")
@data_threads_option
@backend_options
@state_options
def command(images: tuple[str, ...], **flags: Any) -> int:
    """Find the classes of IMAGES: files, folders, patterns.

    With --from nothing need be said of how images are prepared: resizing, crop, mean and scale are those of the TEST
    data layer in the train_val.prototxt, so that a prediction is what a test would count. With --model alone the
    options are those of Caffe's python/classify.py, with its defaults: --raw-scale 255, --channel-swap 2,1,0 and, where
    the input is of about ImageNet's size, --images-dim 256,256. Either way stderr says what was done.

    The exit code is 1 if an image could not be read.
    """
    from caffepy.cli.output import counting, plainly_logged
    from caffepy.data.image_names import find_images, listed_images
    from caffepy.evaluation.labels import read_labels

    names, output = _split_output(images, flags["output"])
    form = _form(flags["form"], output)
    if not flags["source"] and not flags["model"]:
        raise click.UsageError("Expected --from TRAIN_VAL, or --model DEPLOY and how images are prepared.")
    check_prepare(flags)
    files = find_images(names, flags["ext"])
    if flags["list_file"]:
        files += listed_images(flags["list_file"], flags["root_folder"])
    if not files:
        raise click.UsageError("Expected images: files, folders, or --list FILE.")
    labels = read_labels(flags["labels_file"]) if flags["labels_file"] else None
    with plainly_logged() as err, counting(err, "images") as progress:
        classes = _as_tested(files, flags, progress) if flags["source"] else _by_flags(files, flags, progress)
    _show(classes, labels, flags["top"], form, output)
    return 1 if classes.bad else 0


def _split_output(images: tuple[str, ...], output: str | None) -> tuple[list[str], str | None]:
    """The last word is where to write if it ends in .npy, as classify.py has it."""
    names = list(images)
    if output is None and len(names) > 1 and names[-1].endswith(".npy"):
        output = names.pop()
    return names, output


def _form(form: str | None, output: str | None) -> str:
    if output is None:
        return form or "table"
    ending = os.path.splitext(output)[1].lstrip(".").lower()
    if ending in ("csv", "json", "npy") and form is None:
        return ending
    if form is None or ending == "npy":
        raise click.UsageError(f"--output {output}: expected a name that ends in .csv, .json or .npy, or a --format.")
    return form


def _as_tested(files: list[str], flags: dict[str, Any], progress: Callable[[int, int], None]) -> Classes:
    from caffepy.evaluation.as_tested import classify_as_tested
    from caffepy.host import cores

    return classify_as_tested(
        files,
        flags["source"],
        comma_list(flags["weights"]),
        backend=open_backend(flags["gpu"], flags["threads"]),
        model=flags["model"],
        crops=10 if flags["oversample"] else 1,
        size=parse_size(flags["images_dim"]),
        gray=flags["gray"],
        threads=flags["data_threads"] or cores(),
        level=flags["level"],
        stages=comma_list(flags["stage"]),
        progress=progress,
    )


def _by_flags(files: list[str], flags: dict[str, Any], progress: Callable[[int, int], None]) -> Classes:
    from caffepy.evaluation.by_flags import classify_by_flags

    size = parse_size(flags["images_dim"])
    if size[0] and not size[1]:
        raise click.UsageError("--images-dim: with --model both are needed: H,W.")
    return classify_by_flags(
        files,
        flags["model"],
        comma_list(flags["weights"]),
        pycaffe_flags(flags, size),
        backend=open_backend(flags["gpu"], flags["threads"]),
        oversample=flags["oversample"] is not False,
        progress=progress,
    )


def _show(classes: Classes, labels: list[str] | None, top: int, form: str, output: str | None) -> None:
    from caffepy.cli.output import console, make_table
    from caffepy.evaluation.classes import to_csv, to_json, to_text, write_scores
    from caffepy.evaluation.labels import class_name
    from caffepy.proto.files import atomic_write

    click.echo("How images were prepared:", err=True)
    for step, what in classes.about.items():
        click.echo(f"  {step}: {what}", err=True)
    for _, reason in classes.bad:
        click.echo(f"not classified: {reason}", err=True)
    if form == "npy" and output is not None:
        write_scores(output, classes)
        click.echo(f"{classes.scores.shape[0]} x {classes.scores.shape[1]} scores written to {output}", err=True)
        return
    out = console()
    if form == "table" and out.is_terminal:
        rows = []
        for file, best in zip(classes.files, classes.top(top), strict=True):
            for rank, (number, value) in enumerate(best):
                rows.append([file if rank == 0 else "", class_name(labels, number), f"{value:.4f}"])
        out.print(make_table(["image", "class", classes.kind], rows, left=2))
        return
    text = {"csv": to_csv, "json": to_json}.get(form, to_text)(classes, labels, top)
    if output is None:
        click.echo(text, nl=False)
        return
    with atomic_write(output) as opened:
        opened.write(text.encode("utf-8", "surrogateescape"))
    click.echo(f"{len(classes.files)} images written to {output}", err=True)
