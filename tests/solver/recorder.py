"""An observer that writes down what it is told, and solvers from the text of two prototxts."""

from __future__ import annotations

from pathlib import Path

from caffepy.solver import Observer, Solver, get_solver

__all__ = ["Recorder", "solver_of"]


class Recorder(Observer):
    """All events in order, as (name, event); `names` alone, and those of one kind."""

    def __init__(self):
        self.events = []

    def _note(self, name, event):
        self.events.append((name, event))

    def on_begin(self, solver):
        self._note("begin", solver.iter)

    def on_iteration(self, event):
        self._note("iteration", event)

    def on_display(self, event):
        self._note("display", event)

    def on_test_begin(self, iteration, net):
        self._note("test_begin", (iteration, net))

    def on_test(self, event):
        self._note("test", event)

    def on_snapshot(self, event):
        self._note("snapshot", event)

    def on_last_loss(self, event):
        self._note("last_loss", event)

    def on_end(self, event):
        self._note("end", event)

    def of(self, name):
        return [event for kind, event in self.events if kind == name]

    def when(self, name):
        """In which iterations it was told of ``name``."""
        return [event.iter for event in self.of(name)]

    def told(self):
        """``iteration 3`` and the like, in order."""
        return [
            f"{name} {event if isinstance(event, int) else event[0] if isinstance(event, tuple) else event.iter}"
            for name, event in self.events
        ]


def solver_of(folder: Path, net: str, settings: str, *observers: Observer, **arguments) -> Solver:
    """The solver of ``settings`` for the net, both written to ``folder``; settings that have no value get one."""
    (folder / "net.prototxt").write_text(net)
    if "net:" not in settings and "net_param" not in settings:
        settings = f'net: "{folder}/net.prototxt"\n{settings}'
    for name, value in (
        ("base_lr", "0.01"),
        ("lr_policy", '"fixed"'),
        ("snapshot_prefix", f'"{folder}/snap"'),
        ("random_seed", "1"),
    ):
        if f"{name}:" not in settings:
            settings += f"\n{name}: {value}"
    (folder / "solver.prototxt").write_text(settings)
    return get_solver(folder / "solver.prototxt", observers=observers, **arguments)
