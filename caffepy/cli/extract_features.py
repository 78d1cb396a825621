"""``caffepy extract-features``: what blobs hold for each record, to a database or a file."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import click

from caffepy.cli.command import CaffeCommand
from caffepy.cli.options import (
    backend_options,
    comma_list,
    copy_weights,
    data_threads_option,
    open_backend,
    python_layers_option,
    state_options,
    weights_options,
)

if TYPE_CHECKING:
    from caffepy.data.feature_files import FeatureWriter

__all__ = ["command"]

_log = logging.getLogger("caffepy")

_ORDER = ("weights", "model", "blobs", "out", "batches", "format")
_ENDINGS = {".h5": "hdf5", ".hdf5": "hdf5", ".npz": "npz"}
_FORMATS = ("lmdb", "leveldb", "hdf5", "npz")


@click.command("extract-features", cls=CaffeCommand)
@click.argument("words", metavar="[WEIGHTS NET BLOBS OUT [BATCHES [FORMAT [CPU|GPU [DEVICE_ID=N]]]]]", nargs=-1)
@click.option("--weights", metavar="FILE,...", help="A .caffemodel or .h5 file; several add up.")
@click.option("--model", metavar="FILE", help="The net's prototxt, with its data.")
@click.option("--blobs", metavar="NAME,...", help="Which blobs.")
@click.option("--out", metavar="PATH,...", help="Databases, as many as blobs; or one .h5 or .npz file for all.")
@click.option("--batches", type=click.IntRange(0), help="How many batches; all records once unless given.")
@click.option("--format", type=click.Choice(_FORMATS), help="What to write; by the end of the name unless given.")
@data_threads_option
@python_layers_option
@weights_options
@backend_options
@state_options
def command(words: tuple[str, ...], **flags: Any) -> None:
    """Write what BLOBS (fc7,pool5) of a net with weights hold for each record of its data, in the TEST phase.

    As Caffe's extract_features with the words in its order, or by options. A LMDB or LevelDB holds a Datum of floats
    for each record, by its number in ten digits, with its label; an HDF5 or npz file an array for each blob, and
    "label". Every record is written once: unless BATCHES says so, nothing is read again from the beginning.
    """
    settings = _merge(words, flags)
    from caffepy.cli.output import counting, logged
    from caffepy.data.options import DataOptions
    from caffepy.net import Net
    from caffepy.net.features import Features
    from caffepy.proto import caffe_pb2

    names = list(dict.fromkeys(comma_list(settings["blobs"])))
    writer = _writer(names, comma_list(settings["out"]), settings["format"])
    with logged() as target:
        backend = open_backend(settings["gpu"], settings["threads"])
        with Net(
            settings["model"],
            caffe_pb2.TEST,
            backend,
            level=settings["level"],
            stages=comma_list(settings["stage"]),
            data=DataOptions(threads=settings["data_threads"]),
            allow_python_layers=settings["allow_python_layers"],
        ) as net:
            _log.info("%s", copy_weights(net, settings["weights"], settings))
            features = Features(net, names, settings["batches"])
            done = 0
            with writer, counting(target, "images") as count:
                for rows in features:
                    writer.append(rows.blobs, rows.labels)
                    for _ in range(len(next(iter(rows.blobs.values())))):
                        done += 1
                        count(done, features.records)
        for name in names:
            _log.info("Extracted features of %d query images for feature blob %s", done, name)
        _log.info("Successfully extracted the features!")


def _merge(words: tuple[str, ...], flags: dict[str, Any]) -> dict[str, Any]:
    """The settings, from Caffe's words or from options."""
    settings = dict(flags)
    for name, word in zip(_ORDER, words, strict=False):
        if settings[name] is not None:
            raise click.UsageError(f"'{word}' is {name}, which --{name} gives too.")
        settings[name] = word
    rest = [word.upper() for word in words[len(_ORDER) :]]
    if rest:
        device = rest[1].removeprefix("DEVICE_ID=") if len(rest) > 1 else "0"
        if rest[0] not in ("CPU", "GPU") or len(rest) > 2 or not device.isdigit():
            raise click.UsageError(f"expected CPU, or GPU and DEVICE_ID=N, at the end; got '{' '.join(rest)}'.")
        if rest[0] == "GPU":
            settings["gpu"] = device
    for name in _ORDER[:4]:
        if not settings[name]:
            raise click.UsageError(f"Missing --{name}, or its place among the words.")
    if isinstance(settings["batches"], str):
        if not settings["batches"].isdigit():
            raise click.UsageError(f"expected a number of batches after the outputs; got '{settings['batches']}'.")
        settings["batches"] = int(settings["batches"])
    settings["batches"] = settings["batches"] or 0
    if settings["format"] is not None and settings["format"] not in _FORMATS:
        raise click.UsageError(f"expected {', '.join(_FORMATS)} as format; got '{settings['format']}'.")
    return settings


def _writer(blobs: list[str], out: list[str], kind: str | None) -> FeatureWriter:
    from caffepy.data.feature_files import FeatureDatabases, FeatureHdf5, FeatureNpz

    kinds = {kind or _ENDINGS.get(os.path.splitext(path)[1].lower(), "lmdb") for path in out}
    if len(kinds) == 1 and kinds & {"hdf5", "npz"} and len(out) == 1:
        return FeatureHdf5(out[0]) if kinds == {"hdf5"} else FeatureNpz(out[0])
    if kinds & {"hdf5", "npz"}:
        raise click.UsageError("one HDF5 or npz file takes all blobs: give one output.")
    if len(out) != len(blobs) or len(set(out)) != len(out):
        raise click.UsageError(
            f"the number of blob names and dataset names must be equal: {len(blobs)} blobs, {len(set(out))} outputs. "
            "Each database takes one blob; an .h5 or .npz file takes all."
        )
    return FeatureDatabases(dict(zip(blobs, out, strict=True)), next(iter(kinds)).upper())
