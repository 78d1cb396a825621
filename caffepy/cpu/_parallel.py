"""A few threads that share a loop, with BLAS kept to one thread meanwhile."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import numpy as np
import threadpoolctl

__all__ = ["Task", "Workers"]

#: Called with begin, end and the number of the worker.
Task = Callable[[int, int, int], None]


class _Thread(threading.local):
    """What the current thread does for one `Workers`."""

    #: Whether it runs a part of a loop.
    inside = False


class _Job:
    """One part of a loop, and what became of it."""

    __slots__ = ("arguments", "done", "error", "task", "thread")

    def __init__(self, task: Task, arguments: tuple[int, int, int], thread: _Thread) -> None:
        self.task = task
        self.arguments = arguments
        self.thread = thread
        self.done = threading.Lock()
        self.done.acquire()
        self.error: BaseException | None = None

    def run(self) -> None:
        outer, self.thread.inside = self.thread.inside, True
        try:
            self.task(*self.arguments)
        except BaseException as error:
            self.error = error
        self.thread.inside = outer
        self.done.release()


def _serve(queue: SimpleQueue[_Job | None]) -> None:
    # NumPy's warnings are each thread's own; whether numbers may overflow is for the caller's thread to say.
    np.seterr(over="ignore", invalid="ignore", divide="ignore")
    while (job := queue.get()) is not None:
        job.run()
        del job


class Workers:
    """Splits a loop over ``threads`` threads, the caller's being one of them.

    The split depends on the loop's length and the number of threads only, so results do too. While a loop runs, BLAS
    works in the thread that calls it: two pools of threads on the same cores only wait for each other.

    A loop inside a part of another one has no threads left to share: all its parts run in the thread that called it,
    one after another, with the same bounds and worker numbers.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._thread = _Thread()
        self._queues: list[SimpleQueue[_Job | None]] = [SimpleQueue() for _ in range(threads - 1)]
        for queue in self._queues:
            threading.Thread(target=_serve, args=(queue,), name="caffepy-cpu", daemon=True).start()
            # The thread ends with this object; it must not keep it alive.
            weakref.finalize(self, queue.put, None)
        self._blas: list[Any] = threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers
        self._blas_threads = [library.get_num_threads() for library in self._blas]

    def run(self, count: int, task: Task) -> int:
        """Call ``task(begin, end, worker)`` for parts that cover ``range(count)``; gives their number.

        Raises:
            the first exception that a part raised, after all parts have ended.
        """
        parts = min(self.threads, count)
        if parts == 0:
            return 0
        bounds = [count * part // parts for part in range(parts + 1)]
        jobs = [_Job(task, (bounds[part], bounds[part + 1], part), self._thread) for part in range(parts)]
        if self._thread.inside:
            for job in jobs:
                job.run()
        else:
            self._share(jobs)
        for job in jobs:
            if job.error is not None:
                raise job.error
        return parts

    def _share(self, jobs: list[_Job]) -> None:
        for library in self._blas:
            library.set_num_threads(1)
        try:
            for queue, job in zip(self._queues, jobs[1:], strict=False):
                queue.put(job)
            jobs[0].run()
            for job in jobs:
                job.done.acquire()
        finally:
            for library, threads in zip(self._blas, self._blas_threads, strict=True):
                library.set_num_threads(threads)
