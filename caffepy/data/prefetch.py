"""Batches made ahead of their use by a pool of threads, in order, whatever the threads do."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Prefetcher"]

Batch = TypeVar("Batch")

# Positions that a thread takes at a time, where a batch has enough: threads that meet at the lock for each record lose
# a twentieth of their time there.
_RUN = 8

# How long closing waits for a thread that is in the middle of a record.
_JOIN_SECONDS = 10.0


class Prefetcher(Generic[Batch]):
    """Fills batches ahead of time; batch ``step`` holds the records of ordinals ``step * batch_size`` and on.

    Args:
        fill: ``fill(batch, position, ordinal)`` puts record ``ordinal`` into its place; called from several threads at
            once, for different positions. It must not hold on to this object, or it would never be collected.
        prepare: ``prepare(batch, step)``, called once before the fills of a batch.
        batch_size: records in a batch.
        allocate: makes an empty batch; called at most ``depth`` times, each batch is then used again, the one that was
            given back last first: memory that the cache still holds, and no more of it than the threads keep ahead.
        depth: how many batches there are at most, that of the last `get` included. With 1 nothing is made ahead.
        threads: how many threads fill.

    An exception in ``allocate``, ``prepare`` or ``fill`` surfaces in the `get` of that step: that of the lowest
    position, so it does not depend on the threads. Threads end with `close`, with this object or with the interpreter.
    """

    def __init__(
        self,
        fill: Callable[[Batch, int, int], None],
        prepare: Callable[[Batch, int], None] | None,
        batch_size: int,
        allocate: Callable[[], Batch],
        depth: int,
        threads: int,
    ) -> None:
        if batch_size < 1 or depth < 1 or threads < 1:
            raise ValueError(f"batch_size {batch_size}, depth {depth} and threads {threads} must be at least 1")
        run = max(1, min(_RUN, batch_size // (2 * threads)))
        self._pool = _Pool(fill, prepare, batch_size, allocate, depth, run)
        self._threads = threads
        self._workers: list[threading.Thread] = []
        #: Seconds that `get` has waited so far.
        self.wait_seconds = 0.0
        # Runs at close, when this object is collected, or at the interpreter's exit, whichever comes first.
        self._finalizer = weakref.finalize(self, _stop, self._pool, self._workers)

    def start(self, step: int) -> None:
        """Begin with batch ``step`` without waiting for it; what `get` does by itself otherwise."""
        if not self._finalizer.alive:
            raise RuntimeError("the prefetcher is closed")
        if not self._workers:
            self._workers += [
                threading.Thread(target=self._pool.work, name=f"caffepy-data-{i}", daemon=True)
                for i in range(self._threads)
            ]
            for worker in self._workers:
                worker.start()
        self._pool.start(step)

    def get(self, step: int) -> Batch:
        """The batch of ``step``, valid until the next `get`; the steps after it are made meanwhile.

        Any step but the one after the last begins anew there.
        """
        self.start(step)
        began = time.perf_counter()
        try:
            return self._pool.take(step)
        finally:
            self.wait_seconds += time.perf_counter() - began

    def close(self) -> None:
        """End the threads. Closing twice is harmless."""
        self._finalizer()


class _Work(Generic[Batch]):
    """A batch being made; there is none until it is begun."""

    __slots__ = ("batch", "busy", "errors", "next", "prepared", "step")

    def __init__(self, step: int) -> None:
        self.batch: Batch | None = None
        self.step = step
        self.next = 0
        self.busy = 0
        self.prepared = False
        self.errors: dict[int, BaseException] = {}


class _Pool(Generic[Batch]):
    """What the threads share. It knows nothing of the Prefetcher, so that one can be collected while they wait."""

    def __init__(
        self,
        fill: Callable[[Batch, int, int], None],
        prepare: Callable[[Batch, int], None] | None,
        batch_size: int,
        allocate: Callable[[], Batch],
        depth: int,
        run: int,
    ) -> None:
        self._fill = fill
        self._prepare = prepare
        self._batch_size = batch_size
        self._allocate = allocate
        self._depth = self._unallocated = depth
        self._run = run
        self._lock = threading.Lock()
        self._work_to_do = threading.Condition(self._lock)
        self._work_done = threading.Condition(self._lock)
        self._works: deque[_Work[Batch]] = deque()
        self._free: list[Batch] = []
        self._taken: Batch | None = None
        self._expected: int | None = None
        self.stopping = False

    def start(self, step: int) -> None:
        with self._lock:
            if self._taken is not None:
                self._free.append(self._taken)
                self._taken = None
            if step != self._expected:
                self._cancel()
                self._expected = step
            self._schedule()

    def take(self, step: int) -> Batch:
        with self._lock:
            work = self._works[0]
            while work.busy or work.next < self._batch_size:
                self._work_done.wait()
                if self.stopping:
                    raise RuntimeError("the prefetcher was closed while a batch was awaited")
            self._works.popleft()
            if work.errors:
                self._give_back(work)
                self._expected = None
                raise work.errors[min(work.errors)]
            assert work.batch is not None
            self._taken = work.batch
            self._expected = step + 1
            return work.batch

    def _cancel(self) -> None:
        """Drop the batches under way, after the fills in them have ended: a batch is never written by two steps."""
        for work in self._works:
            work.next = self._batch_size
        while any(work.busy for work in self._works):
            self._work_done.wait()
        for work in self._works:
            self._give_back(work)
        self._works.clear()

    def _give_back(self, work: _Work[Batch]) -> None:
        if work.batch is not None:
            self._free.append(work.batch)

    def _schedule(self) -> None:
        assert self._expected is not None
        while len(self._works) < self._depth:
            self._works.append(_Work(self._works[-1].step + 1 if self._works else self._expected))
        self._work_to_do.notify_all()

    def work(self) -> None:
        """One thread's life."""
        while (task := self._next_task()) is not None:
            work, positions = task
            position = -1
            error: BaseException | None = None
            try:
                batch = self._begin(work) if work.batch is None else work.batch
                for position in positions:
                    self._fill(batch, position, work.step * self._batch_size + position)
            except BaseException as caught:
                error = caught
            self._finish(work, position, error)
            del work, task, error

    def _begin(self, work: _Work[Batch]) -> Batch:
        """Give it a batch and prepare that. There is one: of ``depth`` works or fewer each takes one at most."""
        with self._lock:
            batch = self._free.pop() if self._free else None
            self._unallocated -= batch is None
        if batch is None:
            try:
                batch = self._allocate()
            except BaseException:
                with self._lock:
                    self._unallocated += 1
                raise
        work.batch = batch
        if self._prepare is not None:
            self._prepare(batch, work.step)
        return batch

    def _next_task(self) -> tuple[_Work[Batch], range] | None:
        """The earliest positions that nobody has begun; none are the batch's preparation, which comes alone."""
        with self._lock:
            while not self.stopping:
                for work in self._works:
                    if not work.prepared and not work.busy and work.next < self._batch_size:
                        work.busy = 1
                        return work, range(0)
                    if work.prepared and work.next < self._batch_size:
                        work.busy += 1
                        first = work.next
                        work.next = min(first + self._run, self._batch_size)
                        return work, range(first, work.next)
                self._work_to_do.wait()
            return None

    def _finish(self, work: _Work[Batch], position: int, error: BaseException | None) -> None:
        with self._lock:
            work.busy -= 1
            if error is not None:
                work.errors[position] = error
                # Lower positions are done or in runs that go on, so the lowest error is known once those end.
                work.next = self._batch_size
            if position < 0:
                work.prepared = True
                self._work_to_do.notify_all()
            if not work.busy and work.next >= self._batch_size:
                self._work_done.notify_all()


def _stop(pool: _Pool[Batch], workers: list[threading.Thread]) -> None:
    with pool._lock:
        pool.stopping = True
        pool._work_to_do.notify_all()
        pool._work_done.notify_all()
    for worker in workers:
        # The last reference may go inside a worker, which cannot wait for itself.
        if worker is not threading.current_thread():
            worker.join(_JOIN_SECONDS)
