"""Flags that several commands share, and what their texts mean."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from caffepy.backend import Backend
    from caffepy.data.source import Source
    from caffepy.evaluation.by_flags import Flags
    from caffepy.net import Net, Report

__all__ = [
    "any_database_option",
    "backend_options",
    "check_prepare",
    "colour_options",
    "comma_list",
    "copy_weights",
    "data_threads_option",
    "database_option",
    "labels_option",
    "open_backend",
    "open_database",
    "parse_shapes",
    "parse_size",
    "phase_option",
    "precision_options",
    "prepare_options",
    "pycaffe_flags",
    "python_layers_option",
    "resize_options",
    "shape_option",
    "state_options",
    "threads_option",
    "weights_options",
]

Function = TypeVar("Function", bound=Callable[..., Any])


def state_options(function: Function) -> Function:
    """-level and -stage."""
    function = click.option("--level", type=int, default=0, help="Level of the net's state.")(function)
    return click.option("--stage", default="", help="Stages of the net's state, separated by commas.")(function)


def phase_option(default: str) -> Callable[[Function], Function]:
    """-phase, TRAIN or TEST."""
    choice = click.Choice(["TRAIN", "TEST"], case_sensitive=False)
    return click.option(
        "--phase", type=choice, default=default, show_default=True, help="Take the net's layers of this phase."
    )


def shape_option(function: Function) -> Function:
    """-shape, which `parse_shapes` reads."""
    return click.option(
        "--shape", "shapes", multiple=True, metavar="TOP=N,C,H,W",
        help="Shape of a data top, where its data is not there or another shape is wanted. May be repeated.",
    )(function)  # fmt: skip


def parse_shapes(texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Of each ``data=1,3,227,227`` a shape by name.

    Raises:
        UsageError: another text.
    """
    shapes = {}
    for text in texts:
        name, _, sizes = text.partition("=")
        parts = sizes.replace("x", ",").split(",")
        if not name or not all(part.strip().isdigit() for part in parts):
            raise click.UsageError(f"--shape takes TOP=N,C,H,W, such as data=1,3,227,227; got '{text}'.")
        shapes[name] = tuple(int(part) for part in parts)
    return shapes


def python_layers_option(function: Function) -> Function:
    """-allow-python-layers."""
    return click.option(
        "--allow-python-layers/--no-allow-python-layers", default=False,
        help="Import the modules that Python layers of the net name, which runs their code.",
    )(function)  # fmt: skip


def labels_option(function: Function) -> Function:
    """-labels."""
    return click.option(
        "--labels", "labels_file", metavar="FILE", help="Names of classes, a line each: synset_words.txt."
    )(function)


def backend_options(function: Function) -> Function:
    """-gpu and -threads."""
    function = click.option("--gpu", default="", help="Compute on the GPU of this number; on the CPU unless given.")(
        function
    )
    return click.option("--threads", type=click.IntRange(min=1), help="Threads that compute; all cores unless given.")(
        function
    )


def data_threads_option(function: Function) -> Function:
    """-data-threads."""
    return click.option(
        "--data-threads", type=click.IntRange(0), default=0, help="Threads that decode; all cores unless given."
    )(function)


def threads_option(function: Function) -> Function:
    """-threads, of commands that decode images and compute nothing else."""
    return click.option(
        "--threads", type=click.IntRange(0), default=0, help="Threads that decode; all cores unless given."
    )(function)


def colour_options(function: Function) -> Function:
    """-colour-noise and -colour-pca."""
    function = click.option(
        "--colour-pca", default="", metavar="FILE", help="Components for it; from the database unless given."
    )(function)
    return click.option(
        "--colour-noise", type=click.FloatRange(0), default=0.0, metavar="SIGMA", help="AlexNet's; 0.1 there."
    )(function)


def precision_options(function: Function) -> Function:
    """-tf32 and -amp."""
    function = click.option(
        "--amp", is_flag=True, help="On a GPU: activations and products in float16, weights and sums in float32."
    )(function)  # fmt: skip
    return click.option(
        "--tf32", is_flag=True, help="On a GPU: products of float32 by tensor cores, factors rounded to TF32."
    )(function)  # fmt: skip


def database_option(function: Function) -> Function:
    """-backend, of a database."""
    choice = click.Choice(["lmdb", "leveldb"], case_sensitive=False)
    return click.option("--backend", type=choice, default="lmdb", show_default=True, help="Kind of database.")(function)


def any_database_option(function: Function) -> Function:
    """-backend, of a database that is there, which `open_database` opens."""
    choice = click.Choice(["lmdb", "leveldb"], case_sensitive=False)
    return click.option(
        "--backend", type=choice, help="Kind of database; what the folder holds unless given."
    )(function)  # fmt: skip


def open_database(path: str, backend: str | None) -> Source:
    """The database at ``path``, of the kind that -backend says, or that it is.

    Raises:
        DataError: nothing there, something else there, an empty or a damaged database.
    """
    from caffepy.data.source import open_source

    if backend is None:
        leveldb = os.path.basename(path) == "CURRENT" or os.path.isfile(os.path.join(path, "CURRENT"))
        backend = "leveldb" if leveldb else "lmdb"
    return open_source(path, backend.upper())


def resize_options(function: Function) -> Function:
    """-resize_height and -resize_width."""
    size = click.IntRange(0)
    function = click.option("--resize-width", type=size, default=0, help="Width images are resized to.")(function)
    return click.option("--resize-height", type=size, default=0, help="Height images are resized to.")(function)


def weights_options(function: Function) -> Function:
    """-on-mismatch and -reshape-weights."""
    choice = click.Choice(["error", "skip"])
    function = click.option(
        "--on-mismatch", type=choice, default="error", show_default=True,
        help="Where a layer's weights are of other shapes in the file: stop, or leave that layer as it is.",
    )(function)  # fmt: skip
    return click.option(
        "--reshape-weights/--no-reshape-weights", default=False,
        help="Copy weights of other shapes if as many: fully connected layers into convolutions and back.",
    )(function)  # fmt: skip


def copy_weights(net: Net, files: str, flags: dict[str, Any]) -> Report:
    """Copy weights into ``net`` from ``files``, with commas between, as `weights_options` say."""
    return net.copy_from(*comma_list(files), on_mismatch=flags["on_mismatch"], reshape=flags["reshape_weights"])


def prepare_options(function: Function) -> Function:
    """-mean_file, -raw_scale, -input_scale and -channel_swap of Caffe's classify.py and detect.py."""
    function = click.option(
        "--channel-swap", metavar="2,1,0", help="With --model: order of channels, from RGB."
    )(function)  # fmt: skip
    function = click.option("--input-scale", type=float, help="With --model: factor after subtracting the mean.")(
        function
    )
    function = click.option("--raw-scale", type=float, help="With --model: factor before it; 255 unless given.")(
        function
    )
    return click.option("--mean-file", metavar="FILE", help="With --model: mean to subtract, .npy or .binaryproto.")(
        function
    )


def check_prepare(flags: dict[str, Any], *more: str) -> None:
    """Refuse with --from what the net itself says; ``more`` names flags beside those of `prepare_options`.

    Raises:
        UsageError: both are given.
    """
    names = ("mean_file", "input_scale", "raw_scale", "channel_swap", *more)
    given = [f"--{name.replace('_', '-')}" for name in names if flags[name] is not None]
    if flags["source"] and given:
        raise click.UsageError(f"{', '.join(given)}: with --from these come from the net's own data layer.")


def parse_size(text: str | None) -> tuple[int, int]:
    """``256,256`` as (256, 256), ``256`` as (256, 0), and nothing as (0, 0).

    Raises:
        UsageError: another text.
    """
    if not text:
        return 0, 0
    match = re.fullmatch(r"([1-9]\d{0,4})(?:[,x]([1-9]\d{0,4}))?", text.replace(" ", ""))
    if match is None:
        raise click.UsageError(f"--images-dim: expected height and width, as 256,256, or one number; got '{text}'.")
    return int(match[1]), int(match[2] or 0)


def pycaffe_flags(flags: dict[str, Any], size: tuple[int, int] = (0, 0)) -> Flags:
    """What `prepare_options` were given.

    Raises:
        UsageError: a channel_swap that is none.
    """
    from caffepy.evaluation.by_flags import Flags

    swap = flags["channel_swap"]
    order = tuple(int(part) if part.isdecimal() and len(part) < 4 else -1 for part in comma_list(swap or ""))
    if swap is not None and (not order or sorted(order) != list(range(len(order)))):
        raise click.UsageError(f"--channel-swap: expected an order of channels, as 2,1,0; got '{swap}'.")
    raw = flags["raw_scale"]
    return Flags(
        flags["mean_file"] or "",
        flags["input_scale"],
        255.0 if raw is None else raw,
        order if swap is not None else None,
        size if size[0] else None,
    )


def comma_list(text: str) -> list[str]:
    """The parts of ``a,b``; none of an empty text."""
    return [part.strip() for part in text.split(",") if part.strip()]


def open_backend(gpu: str, threads: int | None, *, tf32: bool = False, amp: bool = False) -> Backend:
    """The backend that -gpu and -threads ask for, and -tf32 and -amp.

    Raises:
        BackendError: a GPU that is not there, or several, or that cannot do this.
        UsageError: a text that names none.
    """
    from caffepy.devices import get_backend
    from caffepy.errors import BackendError

    # -1 is the CPU in Caffes before 1.0.
    if gpu in ("", "-1"):
        return get_backend("cpu", threads=threads, tf32=tf32, amp=amp)
    if gpu != "all" and not re.fullmatch(r"\d+(,\d+)*", gpu):
        raise click.UsageError(
            f"-gpu takes a number, several with commas between, or all; got '{gpu}'. -gpu 0 is the first GPU; leave "
            "-gpu out to compute on the CPU."
        )
    if not gpu.isdigit():
        raise BackendError(
            f"-gpu {gpu}: this release of caffepy computes on one GPU at a time. Give its number: -gpu 0."
        )
    return get_backend(f"gpu:{gpu}", threads=threads, tf32=tf32, amp=amp)
