"""Where a training step's time goes, layer by layer, beside PyTorch's; a picture of it against the machine's limits.

    python -m tests.benchmarks.layers [--model alexnet] [--batch 64] [--picture docs/images/alexnet_roofline.png]

Each side passes through its layers one by one, so what is gained between layers does not show. The limits are those of
this machine, measured in turn with the layers: its matrix product, and how fast it adds two long vectors.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks.machine import describe, missing
from tests.benchmarks.turns import Series, Side, take_turns


class Pass(NamedTuple):
    """One pass of a layer: seconds of each side, operations of its products, bytes that must be moved."""

    layer: str
    type: str
    way: str
    ours: float
    theirs: float | None
    flop: float
    bytes: float


class Limits(NamedTuple):
    """FLOP/s of the machine's matrix product, bytes/s of its memory."""

    product: float
    memory: float


def measure(given: argparse.Namespace) -> tuple[list[Pass], Limits]:
    """All passes in the order in which they run, and the machine's limits."""
    settings = {"model": given.model, "batch": given.batch, "clock": given.clock}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        settings["folder"] = folder
        sides = {"caffepy": stack.enter_context(Side("caffepy_layers", settings, given.threads))}
        if reason := missing("torch"):
            print(f"PyTorch: {reason}")
        else:
            for name, channels_last in (("PyTorch", False), ("PyTorch channels-last", True)):
                more = {**settings, "channels_last": channels_last}
                sides[name] = stack.enter_context(Side("torch_layers", more, given.threads))
        for name in ("matrix_product", "memory_stream"):
            sides[name] = stack.enter_context(Side(name, {}, given.threads))
        series = take_turns(sides, given.repetitions)
        layers = {layer["name"]: layer for layer in sides["caffepy"].facts["layers"]}
        moved = sides["memory_stream"].facts["bytes"]
    share = given.threads if given.clock == "cpu" else 1
    limits = Limits(
        2 * 2048.0**3 * share / series["matrix_product"].middle(given.clock),
        moved * share / series["memory_stream"].middle(given.clock),
    )
    return _passes(series, layers), limits


def _passes(series: Mapping[str, Series], layers: Mapping[str, dict[str, Any]]) -> list[Pass]:
    others = [series[name].parts for name in ("PyTorch", "PyTorch channels-last") if name in series]
    found = []
    for part, values in series["caffepy"].parts.items():
        name, way = part.rsplit(" ", 1)
        layer = layers[name]
        theirs = [statistics.median(parts[part]) for parts in others if part in parts]
        # A layer without products reads or writes each value about once a pass; backward, diffs beside data.
        traffic = layer["bytes"] * (2 if way == "backward" and layer["flop"] else 1)
        found.append(
            Pass(name, layer["type"], way, statistics.median(values), min(theirs, default=None), layer[way], traffic)
        )
    return found


def show(passes: list[Pass], limits: Limits) -> None:
    """A line for each pass, and sums."""
    print(f"matrix product {limits.product / 1e9:.0f} GFLOP/s, memory {limits.memory / 1e9:.1f} GB/s")
    print(
        f"{'layer':22s} {'pass':8s} {'caffepy':>9s} {'PyTorch':>9s}  {'ratio':>5s} {'GFLOP/s':>8s} {'of product':>10s}"
    )
    for one in passes:
        theirs = f"{1e3 * one.theirs:9.1f} {one.ours / one.theirs:6.2f}" if one.theirs else " " * 16
        speed = one.flop / one.ours / 1e9
        tail = f"{speed:8.0f} {100e9 * speed / limits.product:8.0f} %" if one.flop else ""
        print(f"{one.layer:22s} {one.way:8s} {1e3 * one.ours:9.1f} {theirs} {tail}")
    by_type: dict[str, list[float]] = {}
    for one in passes:
        sums = by_type.setdefault(one.type, [0.0, 0.0, 0.0])
        for i, value in enumerate((one.ours, one.theirs or 0.0, one.flop / limits.product)):
            sums[i] += 1e3 * value
    print(f"{'type':31s} {'caffepy':>9s} {'PyTorch':>9s} {'products':>9s}  (ms)")
    for name, sums in sorted(by_type.items(), key=lambda item: -item[1][0]):
        print(f"{name:31s} {sums[0]:9.1f} {sums[1]:9.1f} {sums[2]:9.1f}")
    total = [sum(sums[i] for sums in by_type.values()) for i in range(3)]
    print(f"{'all':31s} {total[0]:9.1f} {total[1]:9.1f} {total[2]:9.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="alexnet", help="a folder of models/")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--picture", type=Path, help="where to draw them")
    given = parser.parse_args()
    title = f"{describe()}, {given.threads} threads"
    print(f"{given.model}, batch {given.batch}; {title}, {given.clock} clock", flush=True)
    passes, limits = measure(given)
    show(passes, limits)
    if given.picture:
        from tests.benchmarks.roofline import draw

        draw(passes, limits, given.picture, f"{given.model}, batch {given.batch}, one training step\n{title}")
        print(given.picture)


if __name__ == "__main__":
    main()
