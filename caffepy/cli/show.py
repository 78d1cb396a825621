"""``caffepy show``: pictures of weights, blobs, batches and confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from caffepy.cli.command import CaffeCommand
from caffepy.cli.options import (
    colour_options,
    comma_list,
    copy_weights,
    data_threads_option,
    labels_option,
    phase_option,
    python_layers_option,
    state_options,
    weights_options,
)
from caffepy.errors import did_you_mean

if TYPE_CHECKING:
    from caffepy.drawing.panels import Panel

__all__ = ["command"]


class _Pictures(click.Group):
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self.commands and not name.startswith("-"):
            known = self.list_commands(ctx)
            ctx.fail(f"No such command '{name}'.{did_you_mean(name, known)} Commands: {', '.join(known)}.")
        return super().resolve_command(ctx, args)


@click.group("show", cls=_Pictures)
def command() -> None:
    """Draw what a net has learned, what it computes, what it is fed, or where it errs, as PNG, SVG or PDF."""


_most = click.option("--most", type=click.IntRange(1), default=256, show_default=True, help="Tiles in the picture.")
_each = click.option(
    "--each/--all", default=None, help="Let each tile have its own range of brightness, or all the same."
)


@command.command("filters", cls=CaffeCommand, short_help="Draw weights of layers.")
@click.argument("layers", metavar="LAYER,...")
@click.argument("weights")
@click.argument("out", metavar="[OUT.png]", required=False)
@click.option("--model", metavar="FILE", help="The net: fully connected weights are then drawn as their inputs lie.")
@_most
@_each
def show_filters(layers: str, weights: str, out: str | None, model: str | None, most: int, each: bool | None) -> None:
    """Draw the filters of LAYERs in WEIGHTS, a .caffemodel or .h5 file.

    Zero is gray, and each filter has its own range unless --all is given. Filters of three channels are in colours; of
    others every channel is a tile, and every filter a row. 1 x 1 filters and other weights are drawn as a matrix.
    """
    from caffepy.drawing.weights import weights_panel
    from caffepy.errors import WeightsError
    from caffepy.net.stored_arrays import open_arrays

    names = comma_list(layers)
    panels: list[Panel] = []
    with open_arrays(weights) as arrays:
        for name in names:
            get = arrays.get(f"{name}[0]")
            if get is None:
                known = list(dict.fromkeys(one.rpartition("[")[0] for one in arrays))
                hint = did_you_mean(name, known)
                raise WeightsError(f"{weights} has no weights of a layer '{name}'.{hint} It has: {', '.join(known)}.")
            weight = get()
            # Old files have four axes for all weights.
            while weight.ndim > 2 and weight.shape[:2] == (1, 1):
                weight = weight[0]
            if model is not None:
                weight = _as_inputs_lie(model, name, weight)
            panels.append(weights_panel(name, weight, most=most, each=each is not False))
    _draw(panels, out, names)


def _as_inputs_lie(model: str, name: str, weight: Any) -> Any:
    """Weights (outputs, inputs) as (outputs, C, H, W), where the layer's bottom in the net is of images."""
    from caffepy.net import Net
    from caffepy.net.summary import net_without_data
    from caffepy.proto import caffe_pb2
    from caffepy.proto.read import read_net

    param, lines = read_net(model)
    param = net_without_data(param, lines, caffe_pb2.TEST, {})
    with Net((param, lines), caffe_pb2.TEST, fill_params=False, check_memory=False) as net:
        entry = next((entry for entry in net.entries if entry.layer.name == name), None)
        shape = entry.bottom[0].shape[1:] if entry is not None and entry.bottom else ()
    fits = weight.ndim == 2 and len(shape) == 3 and shape[0] * shape[1] * shape[2] == weight.shape[1]
    return weight.reshape(-1, *shape) if fits else weight


@command.command("blobs", cls=CaffeCommand, short_help="Draw what blobs hold for an image or a record.")
@click.argument("blobs", metavar="BLOB,...")
@click.argument("model", metavar="NET")
@click.argument("weights")
@click.argument("out", metavar="[OUT.png]", required=False)
@click.option("--image", metavar="FILE", help="Show what an image file gives; needs NET's TEST data layer, or --from.")
@click.option(
    "--from", "source", metavar="FILE", help="A train_val.prototxt: prepare the image as its TEST phase does."
)
@click.option("--record", type=click.IntRange(0), default=0, help="Without an image: which record of the data to show.")
@labels_option
@python_layers_option
@_most
@_each
@weights_options
@state_options
def show_blobs(blobs: str, model: str, weights: str, out: str | None, **flags: Any) -> None:
    """Draw what BLOBs, or the tops of layers of that name, hold for an image or a record of NET's data.

    Channels are tiles, from black for the blob's smallest value to white for its largest unless --each is given; rows
    of values, such as those of fc7 and prob, are bars, with the largest named.
    """
    from caffepy.drawing.activations import activations_panel
    from caffepy.errors import NetError
    from caffepy.evaluation.labels import read_labels
    from caffepy.evaluation.one_record import ImagePass, blob_names, run_to_record
    from caffepy.net import Net
    from caffepy.proto import caffe_pb2
    from caffepy.proto.read import read_net

    labels = read_labels(flags["labels_file"]) if flags["labels_file"] else None
    level, stages = flags["level"], comma_list(flags["stage"])
    source, image = read_net(model), None
    if flags["image"]:
        tested = read_net(flags["source"]) if flags["source"] else None
        image = ImagePass(source, flags["image"], tested, level, stages)
        source = image.source
    panels: list[Panel] = []
    with Net(
        source, caffe_pb2.TEST, level=level, stages=stages, allow_python_layers=flags["allow_python_layers"]
    ) as net:
        report = copy_weights(net, weights, flags)
        click.echo(str(report), err=True)
        if image is None:
            row = run_to_record(net, flags["record"])
        else:
            image.run(net)
            row = 0
            for what, how in image.prepare.describe().items():
                click.echo(f"{what}: {how}", err=True)
        for name in blob_names(net, comma_list(blobs)):
            values = net.backend.to_host(net.blobs[name].data)
            if values.ndim == 0 or len(values) <= row:
                raise NetError(f"blob '{name}' of shape {values.shape} has no row for each record.")
            panels.append(
                activations_panel(name, values[row], labels=labels, most=flags["most"], each=flags["each"] is True)
            )
    title = flags["image"] or f"record {flags['record']}"
    _draw(panels, out, comma_list(blobs), title=f"{net.name}: {title}" if net.name else title)


@command.command("batch", cls=CaffeCommand, short_help="Draw a batch as the net sees it.")
@click.argument("model", metavar="NET")
@click.argument("out", metavar="[OUT.png]", required=False)
@phase_option("TRAIN")
@click.option("--batch", type=click.IntRange(0), default=0, show_default=True, help="Which batch, from 0.")
@click.option("--most", type=click.IntRange(1), default=64, show_default=True, help="Images in the picture.")
@labels_option
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of crops and mirroring.")
@click.option("--shuffle/--no-shuffle", default=False, help="Visit training records in another order, as in train.")
@colour_options
@data_threads_option
@python_layers_option
@state_options
def show_batch(model: str, out: str | None, **flags: Any) -> None:
    """Draw a batch of NET's data as the net sees it: cropped, mirrored, with noise; mean and scale undone.

    The label, or its name, is below each image.
    """
    from caffepy.data.options import DataOptions
    from caffepy.drawing.batch import find_images, visible
    from caffepy.drawing.panels import Tiles
    from caffepy.evaluation.labels import class_name, read_labels
    from caffepy.net import Net
    from caffepy.net.data_layers import only_data_layers
    from caffepy.net.epoch import label_name
    from caffepy.proto import caffe_pb2
    from caffepy.proto.read import read_net

    labels = read_labels(flags["labels_file"]) if flags["labels_file"] else None
    number = caffe_pb2.Phase.Value(flags["phase"].upper())
    level, stages = flags["level"], comma_list(flags["stage"])
    param, lines = read_net(model)
    param = only_data_layers(param, lines, number, level, stages)
    options = DataOptions(
        threads=flags["data_threads"], shuffle=flags["shuffle"], colour_noise=flags["colour_noise"],
        colour_pca=flags["colour_pca"],
    )  # fmt: skip
    with Net(
        (param, lines), number, level=level, stages=stages, seed=flags["seed"], data=options,
        allow_python_layers=flags["allow_python_layers"],
    ) as net:  # fmt: skip
        net.counter.value = flags["batch"]
        net.forward()
        images, how = visible(net, find_images(net))
        label = label_name(net)
        values = net.backend.to_host(net.blobs[label].data).reshape(-1) if label else None
    count = min(len(images), flags["most"])
    captions = None
    if values is not None and len(values) == len(images):
        captions = [class_name(labels, int(value)) if value == int(value) else f"{value:g}" for value in values[:count]]
    size = "x".join(map(str, images.shape[1:3]))
    title = f"batch {flags['batch']} of {flags['phase'].upper()}: {len(images)} images of {size}, {how}"
    part = f", the first {count}" if count < len(images) else ""
    _draw([Tiles(title + part, images[:count], captions)], out, ["batch"], title=param.name)


@command.command("confusion", cls=CaffeCommand, short_help="Draw a confusion matrix.")
@click.argument("file")
@click.argument("out", metavar="[OUT.png]", required=False)
@labels_option
def show_confusion(file: str, out: str | None, labels_file: str | None) -> None:
    """Draw the confusion matrix in FILE: images.csv or confusion.csv of a test's report, or an .npz or HDF5 file with
    label and prob, as extract-features writes them, or with confusion.
    """
    from caffepy.drawing.confusion import confusion_picture
    from caffepy.evaluation.confusion_files import read_confusion
    from caffepy.evaluation.labels import class_name, read_labels

    matrix, names = read_confusion(file)
    if labels_file:
        labels = read_labels(labels_file)
        names = [class_name(labels, i) for i in range(len(matrix))]
    target = out or "confusion.png"
    confusion_picture(matrix, names, target)
    click.echo(f"Wrote {target}", err=True)


def _draw(panels: Sequence[Panel], out: str | None, names: list[str], title: str = "") -> None:
    from caffepy.drawing.panels import draw_panels

    target = out or f"{'-'.join(names).replace('/', '-')[:100]}.png"
    draw_panels(panels, target, title)
    click.echo(f"Wrote {target}", err=True)
