"""What a solver tells those who watch it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from caffepy.solver.solver import Solver

__all__ = ["Display", "End", "Iteration", "Observer", "Output", "Snapshot", "TestResult", "hears"]


@dataclass(frozen=True)
class Output:
    """One number of a net's output blobs; ``weight`` is what it adds to the loss, 0 where it is not one."""

    name: str
    value: float
    weight: float = 0.0


@dataclass(frozen=True)
class Iteration:
    """An iteration is done: ``iter`` is its number from 0, as in Caffe's log, before the update counted up."""

    iter: int
    loss: float


@dataclass(frozen=True)
class Display:
    """What Caffe prints each ``display`` iterations.

    Attributes:
        iter: the iteration, from 0.
        loss: mean over the last ``average_loss`` iterations.
        rate: the learning rate.
        outputs: of the train net.
        seconds, iterations: since the display before, testing left out.
        wait: share of ``seconds`` in which the net waited for data.
    """

    iter: int
    loss: float
    rate: float
    outputs: list[Output]
    seconds: float
    iterations: int
    wait: float


@dataclass(frozen=True)
class TestResult:
    """The mean outputs of test net number ``net`` over its ``test_iter`` batches; ``loss`` if it was asked for."""

    iter: int
    net: int
    outputs: list[Output]
    loss: float | None
    seconds: float


@dataclass(frozen=True)
class Snapshot:
    """Weights and solver state were written."""

    iter: int
    model: str
    state: str


@dataclass(frozen=True)
class End:
    """The run is over; ``early``: because it was asked to stop."""

    iter: int
    early: bool


class Observer:
    """Base of all that watches a run; override what is of interest. Called in the thread that trains."""

    def on_begin(self, solver: Solver) -> None:
        """The run starts, or goes on from ``solver.iter``."""

    def on_start(self) -> None:
        """Before the first pass of each iteration; gradients are zero."""

    def on_gradients_ready(self) -> None:
        """After the last pass of each iteration, before the update."""

    def on_iteration(self, event: Iteration) -> None:
        """After each iteration."""

    def on_display(self, event: Display) -> None:
        """Each ``display`` iterations, before the update."""

    def on_test_begin(self, iteration: int, net: int) -> None:
        """A test net is about to run."""

    def on_test(self, event: TestResult) -> None:
        """After each run of a test net."""

    def on_snapshot(self, event: Snapshot) -> None:
        """After a snapshot is safely on disk."""

    def on_last_loss(self, event: Iteration) -> None:
        """After the last update: the smoothed loss of one pass more, if ``display`` is due, before the last test."""

    def on_end(self, event: End) -> None:
        """The run is over."""


def hears(observer: Observer, call: Callable[..., None]) -> bool:
    """Whether ``observer`` does anything when ``call``, a method of `Observer`, is told it."""
    return getattr(getattr(observer, call.__name__), "__func__", None) is not call
