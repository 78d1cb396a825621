"""pycaffe's solvers: a solver as scripts drive it, over `caffepy.solver.Solver`, which trains."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import ClassVar, TypeAlias

from caffepy import solver as engines
from caffepy.backend import Backend
from caffepy.data.options import DataOptions
from caffepy.monitor.log import Log
from caffepy.proto import caffe_pb2
from caffepy.proto.read import read_solver
from caffepy.proto.text import Lines
from caffepy.pycaffe import mode
from caffepy.pycaffe.host import write_back_all
from caffepy.pycaffe.net import Net

__all__ = [
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "NesterovSolver",
    "RMSPropSolver",
    "SGDSolver",
    "Solver",
    "SolverSource",
    "get_solver",
]

#: A prototxt's path, a message, or a message with the lines that it was read from.
SolverSource: TypeAlias = "str | os.PathLike[str] | caffe_pb2.SolverParameter | tuple[caffe_pb2.SolverParameter, Lines]"


class Solver:
    """Trains ``net`` and tests it on ``test_nets``, as a solver prototxt says.

    ``SGDSolver("solver.prototxt")`` is of that type whatever the file's ``type``; `get_solver` goes by the file.

    Args:
        param_file: the solver's prototxt, or a SolverParameter.
        backend: where nets run; what `set_mode_gpu` and `set_device` say unless given.
        data: how data layers read.
        allow_python_layers: as for `Net`.
        observers: who is told of iterations, displays, tests and snapshots.

    Raises:
        CaffepyError: a file that cannot be read, settings or nets that do not fit.
    """

    #: The type that a class stands for; None goes by the prototxt.
    solver_type: ClassVar[str | None] = None

    def __init__(
        self,
        param_file: SolverSource,
        *,
        backend: Backend | None = None,
        data: DataOptions | None = None,
        allow_python_layers: bool | None = None,
        observers: Iterable[engines.Observer] = (),
    ) -> None:
        param, lines = _read(param_file)
        if self.solver_type is not None:
            param.type = self.solver_type
        if param.random_seed < 0 and mode.seed_is_set():
            param.random_seed = mode.net_seed()
        #: The solver itself, for what pycaffe has no words for.
        self.engine = engines.get_solver(
            (param, lines),
            backend or mode.backend(),
            data=data,
            allow_python_layers=mode.allow_python_layers if allow_python_layers is None else allow_python_layers,
            observers=[Log(), *observers],
        )
        #: The train net.
        self.net = Net.of(self.engine.net)
        #: The test nets.
        self.test_nets = [Net.of(net) for net in self.engine.test_nets]
        for net in self.test_nets:
            # Caffe does so when it first tests: until then a script that runs a test net sees weights of chance.
            net.share_with(self.net)

    @property
    def iter(self) -> int:
        """How many updates have been made."""
        return self.engine.iter

    @property
    def param(self) -> caffe_pb2.SolverParameter:
        """The settings; a new ``base_lr`` counts from the next update."""
        return self.engine.param

    @property
    def lr(self) -> float:
        """The learning rate of the next update."""
        return self.engine.rate

    def step(self, iterations: int) -> None:
        """Make ``iterations`` updates, with the tests, displays and snapshots that fall between them.

        Batches that a script has taken by ``solver.net.forward()`` are not seen again.

        Raises:
            SolverError: the loss is no longer a number.
            DataError: records.
        """
        self._go_on()
        self.engine.step(iterations)

    def solve(self, resume_file: str | os.PathLike[str] | None = None) -> None:
        """Train to ``max_iter``, from a .solverstate if one is given; then snapshot, show and test.

        Raises:
            SolverError: snapshots cannot be written, or the loss is no longer a number.
            DataError: records.
        """
        if resume_file is not None:
            self.restore(resume_file)
        self._go_on()
        self.engine.solve()

    def _go_on(self) -> None:
        """Write back what the script has read, and let records go on where its passes ended."""
        write_back_all()
        engine = self.engine
        made = engine.iter * engine.param.iter_size
        engine.extra_passes = max(engine.net.counter.value - made, 0)

    def apply_update(self) -> None:
        """Update the weights by what their diffs hold, after passes of the script's own; counts `iter` up.

        The diffs hold the steps then, not the gradients: ``solver.net.clear_param_diffs()`` before the next backward.
        """
        write_back_all()
        self.engine.apply_update()

    def snapshot(self) -> None:
        """Write weights and state, to the names that ``snapshot_prefix`` and `iter` make."""
        write_back_all()
        self.engine.snapshot()

    def restore(self, filename: str | os.PathLike[str]) -> None:
        """Go on from a .solverstate, caffepy's or Caffe's own.

        Raises:
            WeightsError: it cannot be read or does not fit.
        """
        write_back_all()
        self.engine.restore(filename)
        self.engine.net.counter.value = self.engine.iter * self.engine.param.iter_size

    def share_weights(self, net: Net) -> None:
        """Let ``net`` use the weights of this solver's net, the same memory."""
        net.share_with(self.net)

    def add_callback(self, on_start: Callable[[], object], on_gradients_ready: Callable[[], object]) -> None:
        """Call ``on_start`` before each iteration, and ``on_gradients_ready`` between its gradients and its update."""
        self.engine.observers.append(_Callback(on_start, on_gradients_ready))

    def close(self) -> None:
        """Let go of the nets' databases and threads; as `Net.close`."""
        for net in (self.net, *self.test_nets):
            net.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.engine.type} of net '{self.net.name}', iteration {self.iter}>"


class SGDSolver(Solver):
    """Stochastic gradient descent with momentum."""

    solver_type = "SGD"


class NesterovSolver(SGDSolver):
    """SGD that looks ahead by the momentum."""

    solver_type = "Nesterov"


class AdaGradSolver(SGDSolver):
    """Steps that shrink with the gradients seen so far."""

    solver_type = "AdaGrad"


class RMSPropSolver(SGDSolver):
    """Steps divided by a running mean of the gradients' size."""

    solver_type = "RMSProp"


class AdaDeltaSolver(SGDSolver):
    """Steps in the units of the weights."""

    solver_type = "AdaDelta"


class AdamSolver(SGDSolver):
    """Running means of gradients and of their squares."""

    solver_type = "Adam"


_CLASSES = (SGDSolver, NesterovSolver, AdaGradSolver, RMSPropSolver, AdaDeltaSolver, AdamSolver)


def get_solver(
    filename: SolverSource,
    backend: Backend | None = None,
    *,
    data: DataOptions | None = None,
    allow_python_layers: bool | None = None,
    observers: Iterable[engines.Observer] = (),
) -> Solver:
    """The solver that a prototxt (its path or its message) describes, of the class that its ``type`` names.

    Raises:
        CaffepyError: as `Solver`.
    """
    source = _read(filename)
    chosen = next((cls for cls in _CLASSES if cls.solver_type == source[0].type), Solver)
    return chosen(source, backend=backend, data=data, allow_python_layers=allow_python_layers, observers=observers)


class _Callback(engines.Observer):
    """Functions of a script's own, between which what they write into blobs counts."""

    def __init__(self, on_start: Callable[[], object], on_gradients_ready: Callable[[], object]) -> None:
        self._start, self._ready = on_start, on_gradients_ready

    def on_start(self) -> None:
        self._start()
        write_back_all()

    def on_gradients_ready(self) -> None:
        self._ready()
        write_back_all()


def _read(source: SolverSource) -> tuple[caffe_pb2.SolverParameter, Lines]:
    if isinstance(source, tuple):
        param, lines = source
    elif isinstance(source, caffe_pb2.SolverParameter):
        param, lines = source, Lines.unknown()
    else:
        return read_solver(source)
    copy = caffe_pb2.SolverParameter()
    copy.CopyFrom(param)
    return copy, lines
