"""Solver: trains a net as a SolverParameter says; steps, tests, snapshots, restores (Caffe's src/caffe/solver.cpp)."""

from __future__ import annotations

import logging
import math
import os
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from caffepy.backend import Array, Backend
from caffepy.data.options import DataOptions
from caffepy.devices import get_backend
from caffepy.errors import SolverError, did_you_mean
from caffepy.net import CopyRules, Net
from caffepy.net.copy_weights import load_weights
from caffepy.net.debug import log_update
from caffepy.proto import caffe_pb2
from caffepy.proto.text import Lines
from caffepy.solver import outputs
from caffepy.solver import snapshot as files
from caffepy.solver.clipping import Clipping
from caffepy.solver.divergence import check_loss
from caffepy.solver.losses import Losses
from caffepy.solver.lr_policy import current_step, learning_rate
from caffepy.solver.memory import check_memory
from caffepy.solver.nets import NetSpec, test_specs, train_spec
from caffepy.solver.number import Number
from caffepy.solver.observer import Display, End, Iteration, Observer, Snapshot, TestResult, hears
from caffepy.solver.settings import check_settings
from caffepy.solver.steps import Steps

__all__ = ["Solver", "register_solver", "solver_class"]

_log = logging.getLogger("caffepy")

# A run that diverges is told of by `check_loss`, which names the blob; NumPy's warnings name a line of a layer.
_NUMBERS_MAY_OVERFLOW = np.errstate(over="ignore", invalid="ignore", divide="ignore")

SolverClass = TypeVar("SolverClass", bound="type[Solver]")
Event = ParamSpec("Event")
_registry: dict[str, type[Solver]] = {}


class Solver(ABC):
    """Trains ``net`` and tests it on ``test_nets``; a subclass is an update rule.

    Args:
        param: the settings, already upgraded (`caffepy.proto.read.read_solver`).
        lines: where they were read from.
        backend: where nets run; the CPU unless given.
        data: how data layers read.
        allow_python_layers: see `Net`.
        share_memory: let the blobs of the train net, and those of each test net, lie in the same memory where they are
            not needed at the same time: for who looks at weights, outputs and losses only. See `Net`. With debug_info,
            which looks at all of them, they do not.
        copy_rules: what to do where the files of ``weights`` do not fit; an error unless given.
        record: let the backend record an iteration and repeat it as one call, where it can (a CUDA graph); the same
            results.
        observers: who is told of iterations, displays, tests and snapshots.

    Raises:
        CaffepyError: settings or nets that do not fit.
    """

    #: Arrays of the size of all learnable params that the rule keeps between updates.
    history_count: ClassVar[int] = 1

    def __init__(
        self,
        param: caffe_pb2.SolverParameter,
        lines: Lines | None = None,
        backend: Backend | None = None,
        *,
        data: DataOptions | None = None,
        allow_python_layers: bool = False,
        share_memory: bool = False,
        copy_rules: CopyRules | None = None,
        record: bool = True,
        observers: Iterable[Observer] = (),
    ) -> None:
        self.param = param
        self.type = param.type
        self.backend = backend or get_backend("cpu")
        self.observers = list(observers)
        lines = lines or Lines.unknown()
        self.check(param, lines)
        #: Of every random draw; chosen now where the file leaves it to chance, so that a log can name it.
        self.seed = param.random_seed if param.random_seed >= 0 else int.from_bytes(os.urandom(4), "little") >> 1
        options = data or DataOptions()

        def build(spec: NetSpec, unfilled: Collection[str]) -> Net:
            return Net(
                (spec.param, spec.lines),
                spec.state.phase,
                self.backend,
                level=spec.state.level,
                stages=spec.state.stage,
                seed=self.seed,
                data=options,
                allow_python_layers=allow_python_layers,
                unfilled=unfilled,
                share_memory=share_memory and not param.debug_info,
            )

        self.test_nets: list[Net] = []
        self.net = build(train_spec(param, lines), ())
        try:
            for spec in test_specs(param, lines):
                self.test_nets.append(build(spec, self.net.params))
                self.test_nets[-1].debug_info = param.debug_info
            self._prepare(copy_rules or CopyRules(), record)
        except BaseException:
            self.close()
            raise

    def _prepare(self, rules: CopyRules, record: bool) -> None:
        param = self.param
        check_memory(self.net, self.test_nets, self.history_count)
        self._data, self._diff = self.net.flatten_params()
        self.history: list[Array] = [self.backend.zeros(self._data.shape) for _ in range(self.history_count)]
        if paths := [path.strip() for paths in param.weights for path in paths.split(",")]:
            for path in paths:
                _log.info("Finetuning from %s", path)
            _log.info("%s", load_weights(self.net, paths, rules))
            for net in self.test_nets:
                # For layers that only a test net has; the others use the train net's when a test begins.
                if any(name not in self.net.params for name in net.params):
                    load_weights(net, paths, rules)
        #: How many updates have been made.
        self.iter = 0
        #: Passes of the train net beside those of iterations. Records and random draws go on behind them.
        self.extra_passes = 0
        self._noted = Losses(self.net)
        self._loss_scale = self.net.loss_scale = self.backend.loss_scale()
        self._steps = Steps(self.net, record)
        self._why_apart = ""
        self._losses: deque[float] = deque(maxlen=max(param.average_loss, 1))
        # Of the passes that are known of an iteration whose others are not; and iterations that are not told yet.
        self._sum = 0.0
        self._done: list[Iteration] = []
        self._stop = self._snapshot_asked = False
        self._shown_at, self._shown_iter, self._waited = time.perf_counter(), 0, 0.0
        self._rate = Number(self.backend)
        self._clipping = Clipping(self.backend, self._diff.size, self._loss_scale is not None)
        # What a recorded update holds of the settings.
        self._settings: tuple[object, ...] = ()
        self.setup(self._bounds())

    # The update rule

    @classmethod
    def check(cls, param: caffe_pb2.SolverParameter, lines: Lines) -> None:
        """Refuse settings that do not fit, before the nets are built; a rule with settings of its own adds to this.

        Raises:
            SolverError: names file and line.
        """
        check_settings(param, lines)

    @abstractmethod
    def setup(self, bounds: list[tuple[int, int, float, float]]) -> None:
        """Make the op; ``bounds`` is (begin, end, lr_mult, decay_mult) of each learnable blob in the flat arrays."""

    @abstractmethod
    def update(self, w: Array, dw: Array, history: list[Array], rate: Array, scale: Array) -> None:
        """One step on all learnable blobs at once.

        ``rate`` is `step_size`, and ``scale`` what each diff counts (iter_size, clip_gradients): arrays of one element.
        """

    def step_size(self) -> float:
        """The rate of the next update; a rule that corrects it by the number of updates adds to this."""
        return self.rate

    @property
    def penalty(self) -> tuple[float, bool]:
        """``weight_decay``, and whether it is that of L1 rather than of L2: two arguments of each update op."""
        return self.param.weight_decay, self.param.regularization_type == "L1"

    # Running

    @property
    def rate(self) -> float:
        """The learning rate of the next update."""
        return learning_rate(self.param, self.iter)

    @property
    def current_step(self) -> int:
        """How often the rate has been lowered, as Caffe counts."""
        return current_step(self.param, self.iter)

    def solve(self, resume_file: str | os.PathLike[str] | None = None) -> None:
        """Train to ``max_iter``, then snapshot, show and test as Caffe does at the end.

        Raises:
            SolverError: snapshots cannot be written, or the loss is no longer a number; DataError: records.
        """
        param = self.param
        if resume_file is not None:
            self.restore(resume_file)
        if param.snapshot or param.snapshot_after_train:
            files.check_destination(self)
        self._stop = False
        self._tell(Observer.on_begin, self)
        self.step(param.max_iter - self.iter)
        if param.snapshot_after_train and not (param.snapshot and self.iter % param.snapshot == 0):
            self.snapshot()
        if not self._stop:
            if param.display and self.iter % param.display == 0:
                self._forward(0)
                self._losses.append(self.net.loss())
                last = Iteration(self.iter, self._smoothed())
                self._tell(Observer.on_last_loss, last)
            if param.test_interval and self.iter % param.test_interval == 0:
                self.test_all()
        self._tell(Observer.on_end, End(self.iter, self._stop))

    def step(self, iterations: int) -> None:
        """Make ``iterations`` updates, with the tests, displays and snapshots that fall between them."""
        param = self.param
        stop_iter = self.iter + iterations
        self._settle()
        self._leave_unfinished()
        self._losses.clear()
        self._tell_what_is_apart()
        self._shown_at, self._shown_iter, self._waited = time.perf_counter(), self.iter, self.net.wait_seconds
        while self.iter < stop_iter and not self.stopping():
            due = param.test_interval and self.iter % param.test_interval == 0
            if due and (self.iter or param.test_initialization):
                self._settle()
                self.test_all()
                if self.stopping():
                    break
            display = bool(param.display) and self.iter % param.display == 0
            self.net.debug_info = display and param.debug_info
            self._forward_backward()
            if display:
                self._settle()
                self._display(self._smoothed())
            self._tell(Observer.on_gradients_ready)
            self.apply_update()
            self._tell_done()
            if (param.snapshot and self.iter % param.snapshot == 0) or self._snapshot_asked:
                self._settle()
                self._snapshot_asked = False
                self.snapshot()
        self._settle()

    def stopping(self) -> bool:
        """Whether the run was asked to stop."""
        return self._stop

    def request_stop(self) -> None:
        """Stop after the iteration, or the test batch, that is running; safe in a signal handler."""
        self._stop = True

    def request_snapshot(self) -> None:
        """Snapshot after the iteration that is running; safe in a signal handler."""
        self._snapshot_asked = True

    @_NUMBERS_MAY_OVERFLOW
    def _forward(self, sub: int) -> None:
        self.net.counter.value = self._number(sub)
        self.net.forward()

    def _number(self, sub: int) -> int:
        return self.iter * self.param.iter_size + sub + self.extra_passes

    @_NUMBERS_MAY_OVERFLOW
    def _forward_backward(self) -> None:
        """iter_size passes; gradients add up in the flat diff."""
        self._steps.do("gradients to zero", self.net.clear_param_diffs)
        self._tell(Observer.on_start)
        for sub in range(self.param.iter_size):
            self._steps.run_pass(self._number(sub), self._noted.note)
            self._noted.expect(self.iter, sub)
            if self._noted.full:
                self._fetch()

    def _fetch(self) -> None:
        """Wait for the losses of all passes, and the norms of all gradients, so far.

        Raises:
            SolverError: a loss is no number.
        """
        self._steps.finish()
        self._clipping.report()
        for iteration, sub, loss in self._noted.take():
            check_loss(self.net, loss, iteration, self.iter - iteration)
            self._sum += loss
            if sub + 1 == self.param.iter_size:
                self._done.append(Iteration(iteration, self._sum / self.param.iter_size))
                self._losses.append(self._done[-1].loss)
                self._sum = 0.0

    def _settle(self) -> None:
        """`_fetch`, and tell of the iterations that are done."""
        self._fetch()
        self._tell_done()

    def _leave_unfinished(self) -> None:
        """Let the losses of an iteration that an error ended not count in the one after it."""
        self._done.clear()
        self._sum = 0.0

    def _tell_done(self) -> None:
        """Tell of the iterations whose losses are known and whose updates are made, in order."""
        while self._done and self._done[0].iter < self.iter:
            done = self._done.pop(0)
            self._tell(Observer.on_iteration, done)

    def _smoothed(self) -> float:
        return sum(self._losses) / len(self._losses)

    @_NUMBERS_MAY_OVERFLOW
    def apply_update(self) -> None:
        """Update the learnable blobs by their diffs, the sum of ``iter_size`` passes; counts `iter` up."""
        param = self.param
        settings = (*self.penalty, param.clip_gradients, param.iter_size)
        if settings != self._settings:
            self._steps.forget()
            self._clipping.set(param.clip_gradients, param.iter_size)
            self._settings = settings
        self._rate.set(self.step_size())
        self._steps.do("update", self._update, alone=not self._rule_is_ours)
        self._clipping.expect()
        self._steps.finish()
        if self.net.debug_info:
            log_update(self.net)
        self.iter += 1
        if self._clipping.full:
            self._fetch()

    def _update(self) -> None:
        if self._loss_scale is not None:
            self._loss_scale.unscale(self._diff)
        self._clipping.forward(self._diff)
        self.update(self._data, self._diff, self.history, self._rate.array, self._clipping.scale)

    @property
    def _rule_is_ours(self) -> bool:
        # A user's own may count, or look at values, which a recording would freeze.
        return type(self).update.__module__.startswith("caffepy.solver.")

    def _tell_what_is_apart(self) -> None:
        """Log, once, why the update is no part of a recording with the passes before it."""
        hearing = [type(each).__name__ for each in self.observers if hears(each, Observer.on_gradients_ready)]
        why = f"gradients are looked at before it, by {', '.join(hearing)}" if hearing else ""
        if not self._rule_is_ours:
            why = f"{type(self).__name__} is no rule of caffepy's own"
        if self._steps.recorded and why and why != self._why_apart:
            _log.info("The update is started by itself: %s.", why)
        self._why_apart = why

    def _display(self, loss: float) -> None:
        now, waited = time.perf_counter(), self.net.wait_seconds
        seconds = now - self._shown_at
        shown = outputs.named(self.net, outputs.values(self.net))
        wait = (waited - self._waited) / seconds if seconds > 0 else 0.0
        event = Display(self.iter, loss, self.rate, shown, seconds, self.iter - self._shown_iter, wait)
        self._shown_at, self._shown_iter, self._waited = now, self.iter, waited
        self._tell(Observer.on_display, event)
        if self._loss_scale is not None:
            _log.info(
                "Loss scale %g; %d updates left out so far, whose gradients overflowed", *self._loss_scale.report()
            )

    # Testing

    def test_all(self) -> None:
        """Run every test net."""
        for i in range(len(self.test_nets)):
            if not self._stop:
                self.test(i)

    @_NUMBERS_MAY_OVERFLOW
    def test(self, index: int = 0) -> TestResult | None:
        """Run test net ``index`` for its ``test_iter`` batches; None if the run was asked to stop meanwhile.

        ``test_iter: 0`` makes a test net and runs none of it, as in Caffe: there are no outputs then.
        """
        began = time.perf_counter()
        net = self.test_nets[index]
        self._tell(Observer.on_test_begin, self.iter, index)
        net.share_with(self.net)
        batches = max(self.param.test_iter[index], 0)
        # Caffe's test nets read on where the test before stopped; this is that place as a function of the iteration.
        net.counter.value = self._tests_before() * batches
        total: NDArray[Any] | None = None
        loss = 0.0
        for _ in range(batches):
            if self._snapshot_asked:
                self._snapshot_asked = False
                self.snapshot()
            if self._stop:
                _log.info("Test interrupted.")
                return None
            net.forward()
            values = outputs.values(net)
            total = values if total is None else total + values
            loss += net.loss() if self.param.test_compute_loss else 0.0
        means = [] if total is None else outputs.named(net, total / batches)
        mean_loss = None
        if self.param.test_compute_loss:
            mean_loss = loss / batches if batches else math.nan
        seconds = time.perf_counter() - began
        result = TestResult(self.iter, index, means, mean_loss, seconds)
        self._tell(Observer.on_test, result)
        # Iterations per second are of training alone, without what observers draw and write after a test.
        self._shown_at += time.perf_counter() - began
        return result

    def _tests_before(self) -> int:
        interval = self.param.test_interval
        if not interval:
            return 0
        return max(self.iter // interval - (0 if self.param.test_initialization else 1), 0)

    # Snapshots

    def snapshot(self) -> tuple[str, str]:
        """Write weights and state; gives their paths."""
        model, state = files.snapshot(self)
        self._tell(Observer.on_snapshot, Snapshot(self.iter, model, state))
        return model, state

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Go on from a .solverstate, caffepy's or Caffe's own.

        Raises:
            WeightsError: it cannot be read or does not fit.
        """
        files.restore(self, path)
        self._noted.forget()
        self._leave_unfinished()

    def history_blobs(self) -> Iterator[NDArray[Any]]:
        """The history in Caffe's order: for each array, one blob per learnable param, in its shape."""
        for array in self.history:
            for param, place in zip(self.net.learnable_params, self.net.param_slices(), strict=True):
                yield self.backend.to_host(array[place]).reshape(param.blob.shape)

    def set_history(self, blobs: list[NDArray[Any]]) -> None:
        """Take the history back from blobs in the order of `history_blobs`."""
        count = len(self.net.learnable_params)
        for i, array in enumerate(self.history):
            for blob, place in zip(blobs[i * count : (i + 1) * count], self.net.param_slices(), strict=True):
                array[place] = self.backend.asarray(blob.reshape(-1))

    def close(self) -> None:
        """Let go of the nets' databases and threads."""
        for net in (self.net, *self.test_nets):
            net.close()

    def _bounds(self) -> list[tuple[int, int, float, float]]:
        return [
            (place.start, place.stop, param.lr_mult, param.decay_mult)
            for param, place in zip(self.net.learnable_params, self.net.param_slices(), strict=True)
        ]

    def _tell(
        self, call: Callable[Concatenate[Observer, Event], None], *event: Event.args, **more: Event.kwargs
    ) -> None:
        """Call that method of each observer who has one of its own; what they may look at is done before."""
        hearing = [observer for observer in self.observers if hears(observer, call)]
        if hearing:
            self._steps.finish()
        for observer in hearing:
            getattr(observer, call.__name__)(*event, **more)


def register_solver(type_name: str) -> Callable[[SolverClass], SolverClass]:
    """Make a class the solver of prototxt type ``type_name``."""

    def register(cls: SolverClass) -> SolverClass:
        _registry[type_name] = cls
        return cls

    return register


def solver_class(type_name: str) -> type[Solver]:
    """The class of solver type ``type_name``.

    Raises:
        SolverError: no such type.
    """
    if type_name not in _registry:
        raise SolverError(
            f"Unknown solver type: {type_name}.{did_you_mean(type_name, list(_registry))} "
            f"Known types: {', '.join(sorted(_registry))}."
        )
    return _registry[type_name]
