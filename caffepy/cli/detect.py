"""``caffepy detect``: what a net says of windows in images."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from caffepy.cli.command import CaffeCommand
from caffepy.cli.options import (
    backend_options,
    check_prepare,
    comma_list,
    labels_option,
    open_backend,
    prepare_options,
    pycaffe_flags,
    state_options,
)

if TYPE_CHECKING:
    from caffepy.evaluation.windows import Detections, WindowList

__all__ = ["command"]

_SHOWN = 20


@click.command("detect", cls=CaffeCommand)
@click.argument("windows", metavar="WINDOWS")
@click.argument("output", required=False, metavar="[OUT]")
@click.option("--weights", "--pretrained-model", required=True, metavar="FILE,...", help="A .caffemodel or .h5 file.")
@click.option("--from", "source", metavar="FILE", help="A train_val.prototxt: cut windows as its WindowData does.")
@click.option("--model", "--model-def", metavar="FILE", help="A deploy.prototxt; made of --from unless given.")
@click.option(
    "--crop-mode", type=click.Choice(["list", "selective_search"]), default="list", show_default=True,
    help="Where windows come from.",
)  # fmt: skip
@click.option("--context-pad", type=click.IntRange(0), help="With --model: surroundings shown; 16 unless given.")
@prepare_options
@click.option("--root-folder", default="", metavar="FOLDER", help="Of the images' names.")
@labels_option
@backend_options
@state_options
def command(windows: str, output: str | None, **flags: Any) -> int:
    """Give the net's output for each window of the list WINDOWS, on stdout or in OUT (.csv, .h5).

    WINDOWS is a .csv with the header filename,ymin,xmin,ymax,xmax, an HDF5 file (.h5, .hdf5) with the datasets filename
    and window, or a text with 'filename ymin xmin ymax xmax' a line.

    With --from windows are prepared as the net's own WindowData layer prepares them (context_pad, crop_mode, mean,
    scale), whose windows include their last row and column. With --model alone the options are those of Caffe's
    python/detect.py, with its defaults: --raw-scale 255, --channel-swap 2,1,0, --context-pad 16; windows end before row
    ymax and column xmax.

    The exit code is 1 if an image or window could not be looked at.
    """
    if not flags["source"] and not flags["model"]:
        raise click.UsageError("Expected --from TRAIN_VAL, or --model DEPLOY and how images are prepared.")
    check_prepare(flags, "context_pad")
    from caffepy.cli.output import counting, plainly_logged
    from caffepy.errors import CaffepyError
    from caffepy.evaluation.labels import read_labels
    from caffepy.evaluation.windows import check_output, read_windows

    if flags["crop_mode"] == "selective_search":
        raise CaffepyError(
            "--crop-mode selective_search: Selective Search is a MATLAB program, which caffepy does not run. Let it, "
            "or OpenCV's cv2.ximgproc.segmentation.createSelectiveSearchSegmentation (opencv-contrib-python), find the "
            "windows; write them as CSV, filename,ymin,xmin,ymax,xmax; and give that file with --crop-mode list. From "
            "Python, caffepy.Detector.detect_selective_search calls the package by sergeyk where it is installed."
        )
    if output is not None:
        check_output(output)
    labels = read_labels(flags["labels_file"]) if flags["labels_file"] else None
    found = read_windows(windows, flags["root_folder"])
    with plainly_logged() as err, counting(err, "windows") as progress:
        detections = _as_trained(found, flags, progress) if flags["source"] else _by_flags(found, flags, progress)
    _show(detections, output, labels)
    return 1 if detections.bad else 0


def _as_trained(found: WindowList, flags: dict[str, Any], progress: Callable[[int, int], None]) -> Detections:
    from caffepy.evaluation.detect import detect_as_trained

    return detect_as_trained(
        found,
        flags["source"],
        comma_list(flags["weights"]),
        backend=open_backend(flags["gpu"], flags["threads"]),
        model=flags["model"],
        level=flags["level"],
        stages=comma_list(flags["stage"]),
        progress=progress,
    )


def _by_flags(found: WindowList, flags: dict[str, Any], progress: Callable[[int, int], None]) -> Detections:
    from caffepy.evaluation.detect import detect_by_flags

    return detect_by_flags(
        found,
        flags["model"],
        comma_list(flags["weights"]),
        pycaffe_flags(flags),
        backend=open_backend(flags["gpu"], flags["threads"]),
        context_pad=16 if flags["context_pad"] is None else flags["context_pad"],
        progress=progress,
    )


def _show(found: Detections, output: str | None, labels: list[str] | None) -> None:
    import sys

    from caffepy.cli.output import console
    from caffepy.evaluation.windows import write_csv, write_detections

    click.echo("How windows were prepared:", err=True)
    for step, what in found.about.items():
        click.echo(f"  {step}: {what}", err=True)
    for _, reason in found.bad[:_SHOWN]:
        click.echo(f"not looked at: {reason}", err=True)
    if len(found.bad) > _SHOWN:
        click.echo(f"... and {len(found.bad) - _SHOWN} more.", err=True)
    if output is not None:
        write_detections(output, found)
        click.echo(f"{len(found.windows)} windows written to {output}", err=True)
    elif console().is_terminal:
        _table(found, labels)
    else:
        write_csv(sys.stdout, found)


def _table(found: Detections, labels: list[str] | None) -> None:
    """The windows of the highest scores."""
    import numpy as np

    from caffepy.cli.output import console, make_table
    from caffepy.evaluation.labels import class_name

    best = found.scores.argmax(1)
    highest = found.scores.max(1)
    rows = []
    for i in np.argsort(-highest, kind="stable")[:_SHOWN].tolist():
        box = " ".join(f"{value:g}" for value in found.windows.boxes[i])
        rows.append([found.windows.files[i], class_name(labels, int(best[i])), box, f"{highest[i]:.4f}"])
    out = console()
    out.print(make_table(["image", "class", "ymin xmin ymax xmax", found.kind], rows, left=2))
    if len(found.windows) > _SHOWN:
        out.print(f"The best {_SHOWN} of {len(found.windows):,} windows; OUT.csv or OUT.h5 gets all.")
