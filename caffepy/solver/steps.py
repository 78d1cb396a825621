"""What an iteration asks of the device, put together into as few recordings as those who look at it allow."""

from __future__ import annotations

import logging
from collections.abc import Callable

from caffepy.net.net import Net
from caffepy.net.recorded import RecordedPass

__all__ = ["Steps"]

_log = logging.getLogger("caffepy")

Step = Callable[[], None]


class Steps:
    """The steps of iterations: gradients to zero, passes, the update.

    Where the backend records, a step waits until somebody must see what it did, who calls `finish`; all that wait then
    are one recording. Where nobody looks in between that is a whole iteration. Elsewhere each step is done at once.

    Args:
        net: the train net.
        record: let the backend record, where it can.
    """

    def __init__(self, net: Net, record: bool = True) -> None:
        self._net = net
        self._recorder = net.backend.recorder(net.counter) if record else None
        if self._recorder is not None and (why := RecordedPass.why_not(net)):
            _log.info("Passes are not recorded, but started op by op: %s.", why)
            self._recorder = None
        self._pass = None if self._recorder is None else RecordedPass(net, self._recorder)
        self._waiting: list[tuple[str, Step]] = []
        # How many passes are among them.
        self._passes = 0

    @property
    def recorded(self) -> bool:
        """Whether steps are recorded: not where each layer is looked at as it runs."""
        return self._recorder is not None and not self._net.watched

    def do(self, name: str, step: Step, alone: bool = False) -> None:
        """Have ``step`` done, now or by `finish`.

        Args:
            name: of the step, for the log; the same step each time.
            step: asks the device for the same work each time, and does nothing else.
            alone: it does something else, so it is never recorded.
        """
        if self.recorded and not alone:
            self._waiting.append((name, step))
        else:
            self.finish()
            step()

    def run_pass(self, number: int, note: Step) -> None:
        """Have the net run forward and backward, as pass ``number``, and ``note`` done in between."""
        if self._passes:
            # Layers that bring data would write over what it reads.
            self.finish()
        net = self._net
        net.counter.value = number
        if not self.recorded or self._pass is None:
            self.finish()
            net.forward()
            note()
            net.backward()
            return
        try:
            self._pass.begin()
        except BaseException:
            self._waiting.clear()
            raise
        self._waiting += [("forward", self._pass.forward), ("loss", note), ("backward", self._pass.backward)]
        self._passes = 1

    def finish(self) -> None:
        """Start all steps that wait."""
        if self._recorder is None or not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        passes, self._passes = self._passes, 0
        self._recorder.run(", ".join(name for name, _ in waiting), [step for _, step in waiting], passes)

    def forget(self) -> None:
        """Settings have changed that a recording holds: record anew."""
        if self._recorder is not None:
            self._recorder.reset()
