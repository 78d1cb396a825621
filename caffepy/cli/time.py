"""``caffepy time``: how long each layer takes."""

from __future__ import annotations

import logging
from statistics import fmean
from typing import TYPE_CHECKING

import click

from caffepy.cli.command import CaffeCommand
from caffepy.cli.options import (
    backend_options,
    comma_list,
    open_backend,
    phase_option,
    precision_options,
    python_layers_option,
    state_options,
)

if TYPE_CHECKING:
    from rich.table import Table

    from caffepy.net.timing import Timing

__all__ = ["command"]

_log = logging.getLogger("caffepy")


@click.command("time", cls=CaffeCommand)
@click.option("--model", required=True, metavar="FILE", help="The net's prototxt.")
@click.option("--weights", default="", metavar="FILE,...", help="Time with these weights; with fillers' unless given.")
@click.option("--iterations", type=click.IntRange(1), default=50, show_default=True, help="How many passes.")
@phase_option("TRAIN")
@python_layers_option
@backend_options
@precision_options
@state_options
def command(
    model: str,
    weights: str,
    iterations: int,
    phase: str,
    allow_python_layers: bool,
    gpu: str,
    threads: int | None,
    tf32: bool,
    amp: bool,
    stage: str,
    level: int,
) -> None:
    """Time a net layer by layer, forward and backward.

    The averages are what Caffe shows; the medians in the table on a terminal do not mind an interruption.
    GFLOP/s are those of a layer's products, both passes together, and the last column holds them against
    one large product of matrices on this device, measured before and after: there is little to gain where
    it nears 100 %, and more than that takes an algorithm with fewer multiplications.
    """
    from caffepy.cli.output import console, logged
    from caffepy.net import Net
    from caffepy.net.timing import time_layers
    from caffepy.proto import caffe_pb2

    with logged():
        backend = open_backend(gpu, threads, tf32=tf32, amp=amp)
        number = caffe_pb2.Phase.Value(phase.upper())
        with Net(
            model,
            number,
            backend,
            level=level,
            stages=comma_list(stage),
            allow_python_layers=allow_python_layers,
            share_memory=number == caffe_pb2.TRAIN,
        ) as net:
            if weights:
                net.copy_from(*comma_list(weights))
            _log.info("Performing Forward")
            net.forward()
            _log.info("Initial loss: %g", net.loss())
            _log.info("Performing Backward")
            net.backward()
            _log.info("*** Benchmark begins ***")
            _log.info("Testing for %d iterations.", iterations)
            timing = time_layers(
                net,
                iterations,
                lambda i, spent: _log.info("Iteration: %d forward-backward time: %g ms.", i, spent),
            )
        _caffe_lines(timing)
    out = console()
    if out.is_terminal:
        out.print(_table(timing))


def _caffe_lines(timing: Timing) -> None:
    _log.info("Average time per layer: ")
    for layer in timing.layers:
        for name, series in (("forward", layer.forward), ("backward", layer.backward)):
            _log.info("%10s\t%s: %g ms.", layer.name, name, fmean(series) if series else 0.0)
    forward, backward = timing.mean
    _log.info("Average Forward pass: %g ms.", forward)
    _log.info("Average Backward pass: %g ms.", backward)
    _log.info("Average Forward-Backward: %g ms.", timing.total / len(timing.forward))
    _log.info("Total Time: %g ms.", timing.total)
    _log.info(
        "Matrix product: %g GFLOP/s, at which the net's %g GFLOP take %g ms.",
        timing.product / 1e9,
        timing.flop / 1e9,
        timing.floor,
    )
    _log.info("*** Benchmark ends ***")


def _table(timing: Timing) -> Table:
    from caffepy.cli.output import make_table

    forward, backward = timing.middle
    whole = forward + backward
    rows = []
    for layer in timing.layers:
        ahead, back = layer.middle
        row = [layer.name, layer.type, f"{ahead:.3f}", f"{back:.3f}" if layer.backward else ""]
        rows.append([*row, _percent(ahead + back, whole), *_speed(layer.speed, timing.product)])
    speed = 1e3 * timing.flop / whole if whole else 0.0
    total = ["whole pass", "", f"{forward:.3f}", f"{backward:.3f}", "", *_speed(speed, timing.product)]
    product = ["matrix product", "", "", "", "", f"{timing.product / 1e9:.1f}", ""]
    columns = ["layer", "type", "forward, ms", "backward, ms", "share", "GFLOP/s", "of product"]
    return make_table(columns, [*rows, total, product], left=2, foot=2)


def _speed(speed: float, product: float) -> list[str]:
    """GFLOP/s, and as a part of the matrix product's; blank of a layer without products."""
    return [f"{speed / 1e9:.1f}", _percent(speed, product)] if speed else ["", ""]


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole if whole else 0.0:.1f} %"
