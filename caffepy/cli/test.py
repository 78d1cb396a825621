"""``caffepy test``: a net's outputs, averaged over batches; and a report on each image."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from caffepy.cli.command import CaffeCommand
from caffepy.cli.options import (
    backend_options,
    comma_list,
    copy_weights,
    data_threads_option,
    labels_option,
    open_backend,
    precision_options,
    python_layers_option,
    state_options,
    weights_options,
)

if TYPE_CHECKING:
    from caffepy.evaluation.net_evaluation import NetEvaluation
    from caffepy.evaluation.report import Report
    from caffepy.net import Net
    from caffepy.solver.observer import Output

__all__ = ["command"]

_log = logging.getLogger("caffepy")

_BATCHES = 50


@click.command("test", cls=CaffeCommand)
@click.option("--model", required=True, metavar="FILE", help="The net's prototxt, with its data.")
@click.option("--weights", required=True, metavar="FILE,...", help="A .caffemodel or .h5 file; several add up.")
@click.option(
    "--iterations", type=click.IntRange(1),
    help=f"How many batches. [default: {_BATCHES}; with --report, all records once]",
)  # fmt: skip
@click.option("--report", "folder", metavar="FOLDER", help="Write what was said of each image, each class, and so on.")
@labels_option
@click.option("--crops", type=click.Choice(["1", "10"]), default="1", show_default=True, help="Of each image.")
@click.option(
    "--average", type=click.Choice(["probabilities", "scores"]), default="probabilities", show_default=True,
    help="Of ten crops: after softmax, as AlexNet's authors do, or before.",
)  # fmt: skip
@click.option("--scores", default="", metavar="BLOB", help="For the report, where the net has several.")
@data_threads_option
@python_layers_option
@weights_options
@backend_options
@precision_options
@state_options
def command(model: str, weights: str, **flags: Any) -> None:
    """Run a net in the TEST phase over batches of its data, and show the mean of each output.

    With --report each record counts once, and FOLDER gets: report.json (top-1, top-5), images.csv (record, label, five
    predictions), classes.csv, confusion.csv and confusion.png, and predictions.txt with ground_truth.txt for
    ilsvrc-eval. With --crops 10 each image is predicted by ten crops of it, four corners and centre and these mirrored,
    instead of the net's own pass; that needs a crop_size, and gives no mean of outputs.
    """
    from caffepy.cli.output import console, logged, make_table
    from caffepy.data.options import DataOptions
    from caffepy.evaluation.labels import read_labels
    from caffepy.net import Net
    from caffepy.proto import caffe_pb2

    folder = flags["folder"]
    if not folder and (flags["crops"] != "1" or flags["scores"] or flags["labels_file"]):
        raise click.UsageError("--crops, --scores and --labels are for a report: add --report FOLDER.")
    # What is wrong with them should not be found after hours.
    names = read_labels(flags["labels_file"]) if flags["labels_file"] else None
    with logged() as err:
        backend = open_backend(flags["gpu"], flags["threads"], tf32=flags["tf32"], amp=flags["amp"])
        with Net(
            model,
            caffe_pb2.TEST,
            backend,
            level=flags["level"],
            stages=comma_list(flags["stage"]),
            data=DataOptions(threads=flags["data_threads"]),
            allow_python_layers=flags["allow_python_layers"],
            # A report reads blobs that outputs alone would not need.
            share_memory=not folder,
        ) as net:
            copied = copy_weights(net, weights, flags)
            _log.info("%s", copied)
            evaluation = _evaluation(net, flags) if folder else None
            if folder:
                os.makedirs(folder, exist_ok=True)
            outputs: list[Output] = []
            if evaluation is not None and flags["crops"] == "10":
                _ten_crops(evaluation, flags, err)
                number = 0
            else:
                number, loss, outputs = _batches(net, evaluation, flags["iterations"])
                _tell(loss, outputs)
            report = None
            if evaluation is not None:
                about = _about(evaluation, model, weights, flags, number, outputs)
                report = _report(evaluation, flags, names, about)
    out = console()
    if out.is_terminal:
        out.print(make_table(["layer", "weights", ""], copied.rows(), left=3))
        out.print()
        rows = [
            [output.name, f"{output.value:.6g}", f"{output.weight:g}" if output.weight else ""] for output in outputs
        ]
        if rows:
            out.print(make_table(["output", f"mean of {number} batches", "loss weight"], rows))
        if report is not None:
            out.print()
            out.print(make_table(["worst classes", "images", "right", "most taken for"], _worst(report)))


def _tell(loss: float, outputs: list[Output]) -> None:
    from caffepy.monitor.log import loss_term

    _log.info("Loss: %g", loss)
    for output in outputs:
        _log.info("%s = %g%s", output.name, output.value, loss_term(output))


def _evaluation(net: Net, flags: dict[str, Any]) -> NetEvaluation:
    from caffepy.evaluation.net_evaluation import NetEvaluation
    from caffepy.evaluation.scores import find_scores

    blobs = find_scores(net, flags["scores"])
    _log.info(
        "Scores are in '%s'%s, labels in '%s'.",
        blobs.scores,
        ", after softmax" if blobs.normalised else "",
        blobs.label,
    )
    return NetEvaluation(net, blobs)


def _ten_crops(evaluation: NetEvaluation, flags: dict[str, Any], err: Any) -> None:
    from caffepy.cli.output import counting

    _log.info("Ten crops of each image; their %s are averaged.", flags["average"])
    with counting(err, "images") as progress:
        evaluation.ten_crops(
            flags["average"],
            limit=flags["iterations"] and flags["iterations"] * evaluation.batch,
            threads=flags["data_threads"],
            progress=progress,
        )


def _batches(net: Net, evaluation: NetEvaluation | None, iterations: int | None) -> tuple[int, float, list[Output]]:
    """How many batches were run, their mean loss and outputs."""
    from caffepy.net.epoch import find_epoch

    if evaluation is None:
        number = iterations or _BATCHES
        _log.info("Running for %d iterations.", number)
        return number, *_run(net, number, lambda i: None)
    epoch = None if iterations and evaluation.layer is None else find_epoch(net)
    number = iterations or (epoch.batches if epoch else _BATCHES)
    _log.info("Running for %d iterations.", number)
    if epoch is not None and number * epoch.batch > epoch.records:
        again = number * epoch.batch - epoch.records
        _log.info("%d records come twice: in the means below both count, in the report once.", again)
    return number, *_run(net, number, lambda i: evaluation.take(epoch.new_rows(i) if epoch else None))


def _run(net: Net, iterations: int, after: Callable[[int], None]) -> tuple[float, list[Output]]:
    """The mean loss and the mean of each number that the net puts out; logs those of each batch."""
    import numpy as np

    from caffepy.solver.outputs import named, values

    total, loss = np.zeros(()), 0.0
    for i in range(iterations):
        net.forward()
        batch = values(net)
        loss += net.loss()
        total = total + batch
        for output in named(net, batch):
            _log.info("Batch %d, %s = %g", i, output.name, output.value)
        after(i)
    return loss / iterations, named(net, total / iterations)


def _about(
    evaluation: NetEvaluation, model: str, weights: str, flags: dict[str, Any], batches: int, outputs: list[Output]
) -> dict[str, Any]:
    """What was tested, and how."""
    crops = int(flags["crops"])
    return {
        "model": os.path.abspath(model),
        "weights": [os.path.abspath(path) for path in comma_list(weights)],
        "scores": evaluation.blobs.scores,
        "crops": crops,
        **({"averaged": flags["average"]} if crops > 1 else {"batches": batches}),
        **({"outputs": {output.name: output.value for output in outputs}} if outputs else {}),
    }


def _report(evaluation: NetEvaluation, flags: dict[str, Any], names: list[str] | None, about: dict[str, Any]) -> Report:
    from caffepy.evaluation.report import write_report

    layer, found = evaluation.layer, evaluation.predictions
    name = layer.images.name if layer is not None else str
    report = write_report(flags["folder"], found, labels=names, record_name=name, about=about)
    top5 = "" if report.top5 is None else f", top-5 {100 * report.top5:.2f} %"
    how = f" by ten crops, {flags['average']} averaged" if about["crops"] > 1 else ""
    _log.info("Of %d images%s: top-1 %.2f %% right%s.", report.images, how, 100 * report.top1, top5)
    if found.ignored:
        _log.info("%d images have the label that is ignored.", found.ignored)
    _log.info("Report written to %s", flags["folder"])
    return report


def _worst(report: Report) -> list[list[str]]:
    """Of a terminal's table: the ten classes that are right the least."""
    names = {one.number: one.name for one in report.classes}
    shown = sorted((one for one in report.classes if one.images), key=lambda one: (one.accuracy, one.number))
    return [
        [
            one.name,
            f"{one.images:,}",
            f"{100 * one.accuracy:.1f} %",
            f"{names[one.mistaken_for[0]]}: {one.mistaken_for[1]}" if one.mistaken_for else "",
        ]
        for one in shown[:10]
    ]
