"""Signs that a run learns nothing any more, told while there is still time to do something."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import numpy as np

from caffepy.solver.observer import Display, Iteration, Observer, TestResult

if TYPE_CHECKING:
    from caffepy.solver.solver import Solver

__all__ = ["Health"]

_log = logging.getLogger("caffepy")

# -log(FLT_MIN): SoftmaxWithLoss takes no smaller probability than FLT_MIN for that of the label.
_SATURATED = -math.log(float(np.finfo(np.float32).tiny))
# What is printed of it, and so what is searched for.
_PRINTED = "87.3365"
_NEAR = 0.005
# Iterations in a row: a loss may pass through any value.
_TURNS = 2


class Health(Observer):
    """Warns, once a run, of a softmax loss stuck at 87.3365 = -log(FLT_MIN), with what to do."""

    _told = True

    def on_begin(self, solver: Solver) -> None:
        weights = [
            (name, weight)
            for entry in solver.net.entries
            if entry.layer.type == "SoftmaxWithLoss"
            for name, weight in zip(entry.top_names, entry.loss_weights, strict=True)
            if weight
        ]
        self._losses = {name for name, _ in weights}
        self._stuck_at = _SATURATED * sum(weight for _, weight in weights)
        self._rate = solver.param.base_lr
        self._told, self._turns = not weights, 0

    def on_iteration(self, event: Iteration) -> None:
        if self._told:
            return
        self._turns = self._turns + 1 if math.isclose(event.loss, self._stuck_at, abs_tol=_NEAR) else 0
        if self._turns == _TURNS:
            self._tell(event.iter, f"loss = {event.loss:g}")

    def on_display(self, event: Display) -> None:
        self._look(event)

    def on_test(self, event: TestResult) -> None:
        self._look(event)

    def _look(self, event: Display | TestResult) -> None:
        for output in () if self._told else event.outputs:
            if output.name in self._losses and math.isclose(output.value, _SATURATED, abs_tol=_NEAR):
                self._tell(event.iter, f"{output.name} = {output.value:g}")
                return

    def _tell(self, iteration: int, what: str) -> None:
        self._told = True
        _log.warning(
            "Iteration %d: %s. %s is -log(FLT_MIN): the softmax gives every label of the batch a probability of 0, so "
            "the run has diverged, and it will hardly learn again. Stop it and start anew, or from a snapshot before, "
            "with a lower base_lr (a tenth of %g), or clip_gradients: 35. If it begins like this: check that labels "
            "are 0 to num_output - 1 of the last layer (caffepy check-data), that the mean is subtracted and the data "
            "scaled as the weights expect, and the weight_filler of new layers.",
            iteration, what, _PRINTED, self._rate,
        )  # fmt: skip
