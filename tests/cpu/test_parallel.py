"""Threads that share a loop."""

from __future__ import annotations

import gc
import signal
import threading
import time

import numpy as np
import pytest
import threadpoolctl

from caffepy.cpu._chunks import CHUNK, chunks_of, for_chunks
from caffepy.cpu._parallel import Workers


def _blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 6, 7, 8, 100])
def test_parts_cover_the_loop_once_and_in_even_shares(threads, count):
    parts = []
    lock = threading.Lock()

    def task(begin, end, worker):
        with lock:
            parts.append((begin, end, worker))

    number = Workers(threads).run(count, task)
    parts.sort()
    assert number == len(parts) == min(threads, count)
    assert [i for begin, end, _ in parts for i in range(begin, end)] == list(range(count))
    assert [worker for _, _, worker in parts] == list(range(len(parts)))
    sizes = {end - begin for begin, end, _ in parts}
    assert not sizes or max(sizes) - min(sizes) <= 1


def test_parts_run_at_the_same_time_in_threads_of_their_own_and_the_callers():
    together = threading.Barrier(3, timeout=20)
    names = set()

    def task(begin, end, worker):
        together.wait()  # passes only if all three are running
        names.add((worker, threading.current_thread() is threading.main_thread()))

    workers = Workers(3)
    for _ in range(5):
        workers.run(3, task)
    assert names == {(0, True), (1, False), (2, False)}


def test_the_same_threads_serve_every_loop():
    workers = Workers(2)
    seen = set()
    for _ in range(20):
        workers.run(2, lambda begin, end, worker: seen.add(threading.get_ident()))
    assert len(seen) == 2


@pytest.mark.parametrize("bad", [{0}, {1}, {0, 2}, {0, 1, 2}])
def test_the_first_error_is_raised_after_all_parts_have_ended(bad):
    workers = Workers(3)
    before = _blas_threads()
    ended = []

    def task(begin, end, worker):
        if worker not in bad:
            time.sleep(0.05)
        ended.append(worker)
        if worker in bad:
            raise ValueError(f"part {worker}")

    with pytest.raises(ValueError, match=f"part {min(bad)}"):
        workers.run(3, task)
    assert sorted(ended) == [0, 1, 2]
    assert _blas_threads() == before
    got = []
    workers.run(3, lambda begin, end, worker: got.append(worker))
    assert sorted(got) == [0, 1, 2], "the threads live on"


@pytest.mark.parametrize("threads", [1, 2])
def test_blas_has_one_thread_meanwhile_and_its_own_number_afterwards(threads):
    with threadpoolctl.threadpool_limits(2, "blas"):
        before = _blas_threads()
        assert before
        workers = Workers(threads)
        during = []
        workers.run(2, lambda begin, end, worker: during.append(_blas_threads()))
        assert all(count == 1 for counts in during for count in counts)
        assert len(during) == min(threads, 2)
        assert _blas_threads() == before


def test_two_loops_of_two_callers_do_not_disturb_each_other():
    workers = Workers(2)
    results = [np.zeros(1000) for _ in range(4)]

    def caller(out):
        for _ in range(50):
            workers.run(1000, lambda begin, end, worker: out.__setitem__(slice(begin, end), out[begin:end] + 1))

    callers = [threading.Thread(target=caller, args=(out,)) for out in results]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(60)
    assert all((out == 50).all() for out in results)


def _nested(workers, parts):
    """Loops of 5 inside loops of 4; notes thread, bounds and worker of each inner part."""

    def inner(outer_thread):
        def part(begin, end, worker):
            parts.append((outer_thread == threading.get_ident(), begin, end, worker, _blas_threads()))

        return part

    workers.run(4, lambda begin, end, worker: workers.run(5, inner(threading.get_ident())))


@pytest.fixture
def in_time():
    """The test fails where it would hang."""

    def late(number, frame):
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    # Again and again: a loop keeps the first for later, and waits for its other parts.
    signal.setitimer(signal.ITIMER_REAL, 30, 0.5)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("in_time")
def test_a_loop_inside_a_loop_runs_in_the_thread_that_called_it():
    with threadpoolctl.threadpool_limits(2, "blas"):
        before = _blas_threads()
        workers = Workers(3)
        parts = []
        _nested(workers, parts)
        assert _blas_threads() == before
    assert len(parts) == 3 * 3
    assert all(own and set(blas) == {1} for own, *_, blas in parts)
    inner = [(0, 1, 0), (1, 3, 1), (3, 5, 2)]
    assert sorted((begin, end, worker) for _, begin, end, worker, _ in parts) == sorted(inner * 3)
    together = threading.Barrier(3, timeout=20)
    workers.run(3, lambda begin, end, worker: together.wait())  # a loop afterwards has its threads again


@pytest.mark.usefixtures("in_time")
def test_an_error_of_a_loop_inside_a_loop_is_raised():
    workers = Workers(2)

    def bad(begin, end, worker):
        raise ValueError(f"inner {worker}")

    with pytest.raises(ValueError, match="inner 0"):
        workers.run(2, lambda begin, end, worker: workers.run(2, bad))


@pytest.mark.usefixtures("in_time")
def test_a_loop_of_other_workers_inside_a_loop_has_their_threads():
    outer, inner = Workers(2), Workers(2)
    together = threading.Barrier(2, timeout=20)
    outer.run(1, lambda begin, end, worker: inner.run(2, lambda *part: together.wait()))


def test_the_threads_end_with_the_object():
    before = set(threading.enumerate())
    workers = Workers(4)
    workers.run(4, lambda begin, end, worker: None)
    own = set(threading.enumerate()) - before
    assert {thread.name for thread in own} == {"caffepy-cpu"}
    assert len(own) == 3
    assert all(thread.daemon for thread in own), "they must not keep Python from ending"
    del workers
    gc.collect()
    for thread in own:
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize("count", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK, 5 * CHUNK + 3])
def test_chunks_begin_at_the_same_places_whatever_the_threads(count):
    assert chunks_of(count) == -(-count // CHUNK)
    for threads in (1, 2, 3):
        ranges = []
        for_chunks(Workers(threads), count, lambda *call, ranges=ranges: ranges.append(call), "a", 2)
        ranges.sort()
        assert all(begin % CHUNK == 0 and rest == ["a", 2] for begin, _, *rest in ranges)
        assert [0, *(end for _, end, *_ in ranges)] == [*(begin for begin, *_ in ranges), count]
        assert len(ranges) == min(threads, chunks_of(count))


def test_sums_do_not_depend_on_the_number_of_threads():
    """What the ops promise: chunks are summed one by one, and then their sums in order."""
    values = np.random.default_rng(0).standard_normal(7 * CHUNK + 11).astype(np.float32)
    totals = set()
    for threads in (1, 2, 3, 5):
        sums = np.zeros(chunks_of(len(values)), np.float32)

        def part(first, last, worker, sums=sums):
            for chunk in range(first, last):
                sums[chunk] = values[chunk * CHUNK : (chunk + 1) * CHUNK].sum()

        Workers(threads).run(len(sums), part)
        totals.add(float(sums.sum()))
    assert len(totals) == 1
