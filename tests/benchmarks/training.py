"""A training step of one model: caffepy, PyTorch in its forms, Caffe, and the matrix product, in turn."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from caffepy.net import Net
from caffepy.net.timing import flop
from caffepy.proto import caffe_pb2
from tests.benchmarks.machine import compiler, missing
from tests.benchmarks.nets import benchmark_net
from tests.benchmarks.rows import Row
from tests.benchmarks.turns import Series, Side, SideError, take_turns

__all__ = ["Steps", "measure_steps"]

EAGER = {"PyTorch": False, "PyTorch channels-last": True}
COMPILED = {"torch.compile": False, "torch.compile channels-last": True}


@dataclass
class Steps:
    """What the sides took.

    Attributes:
        series: by the side's name; "caffepy" and "matrix product" are always there.
        skipped: why other sides are not.
        agreements: how far the results of the others are from caffepy's.
        flop: operations of the products of a step.
        clock: which times count.
    """

    series: dict[str, Series]
    skipped: dict[str, str]
    agreements: list[str]
    flop: float
    clock: str
    threads: int

    def seconds(self, name: str) -> float:
        """The median of a side, in seconds that passed or that each thread worked."""
        return self.series[name].middle(self.clock) / (self.threads if self.clock == "cpu" else 1)

    def best(self, names: Collection[str]) -> str | None:
        """Which of the sides was fastest; None where none of them is here."""
        here = [name for name in names if name in self.series]
        return min(here, key=self.seconds) if here else None

    def ratio(self, names: Collection[str]) -> float | None:
        """caffepy's median over that of the fastest of ``names``."""
        best = self.best(names)
        return None if best is None else self.seconds("caffepy") / self.seconds(best)

    def why_not(self, names: Collection[str]) -> str:
        """Why none of ``names`` is here."""
        return "; ".join(dict.fromkeys(self.skipped[name] for name in names if name in self.skipped))

    @property
    def product(self) -> float:
        """FLOP/s of the matrix product."""
        return 2 * 2048.0**3 / self.seconds("matrix product")

    @property
    def floor(self) -> float:
        """Seconds that the step's products would take at that speed."""
        return self.flop / self.product

    def summary(self, names: Collection[str]) -> str:
        """caffepy's median and that of the fastest of ``names``."""
        best = self.best(names)
        other = "" if best is None else f", {best} {1e3 * self.seconds(best):.1f} ms"
        return f"{1e3 * self.seconds('caffepy'):.1f} ms{other}"

    def row(self, what: str, target: float, names: Collection[str], details: bool = True) -> Row:
        """The claim that caffepy takes at most ``target`` of the time of the fastest of ``names``."""
        return Row(
            what, target, self.ratio(names), skipped=self.why_not(names), summary=self.summary(names),
            details=self.details() if details else [],
        )  # fmt: skip

    def details(self) -> list[str]:
        """The medians, the floor, and how the results agree."""
        lines = [
            f"{name}: median {1e3 * self.seconds(name):.1f} ms ({_spread(self.series[name])})"
            for name in self.series
            if name != "matrix product"
        ]
        lines += [f"{name}: {reason}" for name, reason in self.skipped.items()]
        lines.append(
            f"matrix product {self.product / 1e9:.0f} GFLOP/s; direct products of the step {self.flop / 1e9:.0f} "
            f"GFLOP, {1e3 * self.floor:.1f} ms at that speed: caffepy takes {self.seconds('caffepy') / self.floor:.2f} "
            "times that"
        )
        return lines + self.agreements


def measure_steps(
    given: argparse.Namespace, model: str, batch: int, *, drop: Collection[str] = (), compiled: bool = False,
    caffe: bool = False,
) -> Steps:  # fmt: skip
    """Start all sides that are here, compare their first results, and time them in turn.

    Raises:
        SideError: caffepy itself cannot run.
    """
    settings = {"model": model, "batch": batch, "drop": list(drop)}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        settings["folder"] = folder

        def start(module: str, more: Mapping[str, Any]) -> Side:
            return stack.enter_context(Side(module, {**settings, **more}, given.threads))

        sides = {"caffepy": start("caffepy_training", {})}
        skipped: dict[str, str] = {}
        agreements: list[str] = []
        for name, module, more, reason in _others(compiled, caffe):
            if reason:
                skipped[name] = reason
                continue
            try:
                sides[name] = start(module, more)
            except SideError as error:
                skipped[name] = str(error)
                continue
            if "loss" in sides[name].facts:
                agreements.append(_agreement(name, sides["caffepy"].facts, sides[name].facts))
        sides["matrix product"] = stack.enter_context(Side("matrix_product", {}, given.threads))
        series = take_turns(sides, given.repetitions)
    with Net(benchmark_net(model, batch, drop=drop), caffe_pb2.TRAIN, fill_params=False, check_memory=False) as net:
        work = sum(sum(flop(entry)) for entry in net.entries)
    return Steps(series, skipped, agreements, work, given.clock, given.threads)


def _others(compiled: bool, caffe: bool) -> Iterator[tuple[str, str, dict[str, Any], str]]:
    """Name, module, settings of each other side, and why it cannot run."""
    for name, channels_last in EAGER.items():
        yield name, "torch_training", {"channels_last": channels_last}, missing("torch")
    if compiled:
        reason = missing("torch") or (
            "" if compiler() else "torch.compile needs a C++ compiler, and there is none here"
        )
        for name, channels_last in COMPILED.items():
            yield name, "torch_training", {"channels_last": channels_last, "compiled": True}, reason
    if caffe:
        binary = os.environ.get("CAFFE_BIN", "")
        reason = "" if binary else "CAFFE_BIN does not name Caffe's binary"
        yield "Caffe", "caffe_training", {"binary": binary}, reason


def _agreement(name: str, ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    """How far the first pass of a side is from caffepy's: loss, and norms of all gradients taken as one vector."""
    difference = math.hypot(*(value - theirs["gradients"][key] for key, value in ours["gradients"].items()))
    whole = math.hypot(*ours["gradients"].values())
    return (
        f"first pass of 2 images, {name}: loss {theirs['loss']:.6f}, caffepy's {ours['loss']:.6f}, "
        f"difference {abs(theirs['loss'] - ours['loss']):.1e}; gradients' norms differ by {difference / whole:.1e}"
    )


def _spread(series: Series) -> str:
    wall = [1e3 * seconds for seconds in series.wall]
    return f"{min(wall):.1f} to {max(wall):.1f} ms passed, {1e3 * series.middle('cpu'):.1f} ms CPU"
