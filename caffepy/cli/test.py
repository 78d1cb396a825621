"""``caffepy test``: a net's outputs, averaged over batches."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import click

from caffepy.cli.command import CaffeCommand
from caffepy.cli.options import backend_options, comma_list, open_backend, state_options, weights_options

if TYPE_CHECKING:
    from caffepy.net import Net
    from caffepy.solver.observer import Output

__all__ = ["command"]

_log = logging.getLogger("caffepy")


@click.command("test", cls=CaffeCommand)
@click.option("--model", required=True, metavar="FILE", help="The net's prototxt, with its data.")
@click.option("--weights", required=True, metavar="FILE,...", help="A .caffemodel or .h5 file; several add up.")
@click.option("--iterations", type=click.IntRange(1), default=50, show_default=True, help="How many batches.")
@click.option("--data-threads", type=click.IntRange(0), default=0, help="Threads that decode; all cores unless given.")
@click.option("--allow-python-layers/--no-allow-python-layers", default=False, help="Import what the net names.")
@weights_options
@backend_options
@state_options
def command(
    model: str,
    weights: str,
    iterations: int,
    data_threads: int,
    allow_python_layers: bool,
    on_mismatch: str,
    reshape_weights: bool,
    gpu: str,
    threads: int | None,
    stage: str,
    level: int,
) -> None:
    """Run a net in the TEST phase over batches of its data, and show the mean of each output."""
    from caffepy.cli.output import console, logged, make_table
    from caffepy.data.options import DataOptions
    from caffepy.monitor.log import loss_term
    from caffepy.net import Net
    from caffepy.proto import caffe_pb2

    with logged():
        backend = open_backend(gpu, threads)
        with Net(
            model,
            caffe_pb2.TEST,
            backend,
            level=level,
            stages=comma_list(stage),
            data=DataOptions(threads=data_threads),
            allow_python_layers=allow_python_layers,
            share_memory=True,
        ) as net:
            report = net.copy_from(*comma_list(weights), on_mismatch=on_mismatch, reshape=reshape_weights)
            _log.info("%s", report)
            _log.info("Running for %d iterations.", iterations)
            loss, outputs = _run(net, iterations)
        _log.info("Loss: %g", loss)
        for output in outputs:
            _log.info("%s = %g%s", output.name, output.value, loss_term(output))
    out = console()
    if out.is_terminal:
        out.print(make_table(["layer", "weights", ""], report.rows(), left=3))
        out.print()
        rows = [
            [output.name, f"{output.value:.6g}", f"{output.weight:g}" if output.weight else ""] for output in outputs
        ]
        out.print(make_table(["output", f"mean of {iterations} batches", "loss weight"], rows))


def _run(net: Net, iterations: int) -> tuple[float, list[Output]]:
    """The mean loss and the mean of each number that the net puts out; logs those of each batch."""
    import numpy as np

    from caffepy.solver.observer import Output

    names = [name for name in net.outputs for _ in range(net.blobs[name].count)]
    total = np.zeros(len(names))
    loss = 0.0
    for i in range(iterations):
        net.forward()
        values = [net.backend.to_host(net.blobs[name].data).reshape(-1) for name in net.outputs]
        batch = np.concatenate(values).astype(np.float64) if values else total
        loss += net.loss()
        total = total + batch
        for name, value in zip(names, batch, strict=True):
            _log.info("Batch %d, %s = %g", i, name, value)
    weights = {
        name: weight for entry in net.entries for name, weight in zip(entry.top_names, entry.loss_weights, strict=True)
    }
    means = total / iterations
    return loss / iterations, [
        Output(name, float(value), weights[name]) for name, value in zip(names, means, strict=True)
    ]
