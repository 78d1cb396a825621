"""Batches made ahead: right, in order, bounded, restartable, and never hanging."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest

from caffepy.data.prefetch import Prefetcher

SIZE = 5


class Batch:
    def __init__(self):
        self.step = -1
        self.values = [None] * SIZE


def fill(batch, position, ordinal):
    batch.values[position] = (batch.step, ordinal)


def prepare(batch, step):
    batch.step = step
    batch.values = [None] * SIZE


def content(step):
    return [(step, step * SIZE + i) for i in range(SIZE)]


@pytest.fixture
def make():
    made = []

    def build(fill=fill, prepare=prepare, size=SIZE, allocate=Batch, depth=3, threads=2):
        prefetcher = Prefetcher(fill, prepare, size, allocate, depth, threads)
        made.append(prefetcher)
        return prefetcher

    yield build
    for prefetcher in made:
        prefetcher.close()


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_batches_come_in_order_whatever_the_threads(make, threads, depth):
    def slow_fill(batch, position, ordinal):
        time.sleep((ordinal * 7 % 3) * 1e-4)
        fill(batch, position, ordinal)

    prefetcher = make(slow_fill, threads=threads, depth=depth)
    for step in range(40):
        assert prefetcher.get(step).values == content(step)


@pytest.mark.parametrize("depth", [1, 3])
def test_any_step_may_come_next(make, depth):
    prefetcher = make(depth=depth)
    for step in (7, 8, 3, 3, 4, 100, 0, 1, 0):
        assert prefetcher.get(step).values == content(step)


def test_what_was_under_way_never_reaches_a_batch_begun_anew(make):
    def slow(batch, position, ordinal):
        time.sleep(0.03 if ordinal == 50 else 0)
        batch.values[position] = (ordinal // SIZE, ordinal)

    prefetcher = make(slow, depth=1, threads=4)
    for _ in range(3):
        prefetcher.start(10)
        time.sleep(0.005)
        batch = prefetcher.get(1)
        time.sleep(0.05)
        assert batch.values == content(1)


def test_filling_waits_for_the_preparation(make):
    def slow(batch, step):
        time.sleep(0.005)
        prepare(batch, step)

    prefetcher = make(prepare=slow, threads=4)
    for step in range(10):
        assert prefetcher.get(step).values == content(step)


def test_without_prepare(make):
    prefetcher = make(lambda batch, position, ordinal: batch.values.__setitem__(position, ordinal), prepare=None)
    assert prefetcher.get(2).values == [10, 11, 12, 13, 14]


def test_a_batch_stays_as_it_is_until_the_next_get(make):
    prefetcher = make(depth=2, threads=4)
    for step in range(30):
        batch = prefetcher.get(step)
        time.sleep(0.002)
        assert batch.values == content(step)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_never_more_batches_than_depth_and_all_of_them_used_by_threads_that_are_ahead(make, depth):
    allocated, begun = [], []

    def allocate():
        allocated.append(Batch())
        return allocated[-1]

    def counted(batch, step):
        begun.append(step)
        prepare(batch, step)

    prefetcher = make(prepare=counted, allocate=allocate, depth=depth, threads=4)
    seen = set()
    for turn, step in enumerate([*range(10), *range(5, 15)]):
        seen.add(id(prefetcher.get(step)))
        if turn != 10:
            wait_until(lambda step=step: step + depth - 1 in begun[-depth:])
    assert len(allocated) == depth
    assert len(seen) == depth


def test_threads_that_are_not_ahead_use_the_batch_that_was_given_back(make):
    allocated = []

    def allocate():
        allocated.append(Batch())
        return allocated[-1]

    def slow(batch, position, ordinal):
        time.sleep(0.003)
        fill(batch, position, ordinal)

    prefetcher = make(slow, allocate=allocate, depth=5, threads=1)
    for step in range(12):
        assert prefetcher.get(step).values == content(step)
    assert len(allocated) <= 3


def test_it_works_ahead_and_no_further_than_depth(make):
    begun = []

    def counted(batch, step):
        begun.append(step)
        prepare(batch, step)

    prefetcher = make(prepare=counted, depth=3)
    prefetcher.start(0)
    wait_until(lambda: len(begun) == 3)
    assert prefetcher.get(0).values == content(0)
    time.sleep(0.05)
    assert begun == [0, 1, 2]
    prefetcher.get(1)
    wait_until(lambda: len(begun) == 4)
    time.sleep(0.05)
    assert begun == [0, 1, 2, 3]


def wait_until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


def test_time_spent_waiting_is_counted(make):
    def slow(batch, position, ordinal):
        time.sleep(0.01)
        fill(batch, position, ordinal)

    prefetcher = make(slow, threads=1, depth=2)
    prefetcher.get(0)
    waited = prefetcher.wait_seconds
    assert 0.045 < waited < 5
    time.sleep(0.3)
    prefetcher.get(1)
    assert prefetcher.wait_seconds - waited < 0.04


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_the_error_of_the_lowest_position_surfaces_at_its_step(make, threads):
    def failing(batch, position, ordinal):
        if ordinal in (13, 14, 22):
            # The lower one comes later.
            time.sleep(0.01 if ordinal == 13 else 0)
            raise ValueError(f"record {ordinal}")
        fill(batch, position, ordinal)

    prefetcher = make(failing, threads=threads, depth=4)
    for _ in range(3):
        assert prefetcher.get(1).values == content(1)
        for _ in range(2):
            with pytest.raises(ValueError, match="record 13"):
                prefetcher.get(2)
        assert prefetcher.get(3).values == content(3)
        with pytest.raises(ValueError, match="record 22"):
            prefetcher.get(4)


def test_an_error_in_prepare_surfaces_and_nothing_is_filled(make):
    filled = []

    def failing(batch, step):
        if step == 1:
            raise ValueError("prepare 1")
        prepare(batch, step)

    prefetcher = make(lambda b, p, o: (filled.append(o), fill(b, p, o)), failing, depth=2)
    prefetcher.get(0)
    with pytest.raises(ValueError, match="prepare 1"):
        prefetcher.get(1)
    assert not set(filled) & set(range(5, 10))
    assert prefetcher.get(2).values == content(2)


@pytest.mark.parametrize("step", [0, 1])
def test_an_error_in_allocate_surfaces_at_the_step_that_it_was_for(make, step):
    asked = []

    def allocate():
        asked.append(None)
        if len(asked) == step + 1:
            raise MemoryError("no room")
        return Batch()

    prefetcher = make(allocate=allocate, depth=2)
    prefetcher.start(0)
    wait_until(lambda: len(asked) == 2)
    for earlier in range(step):
        assert prefetcher.get(earlier).values == content(earlier)
    with pytest.raises(MemoryError, match="no room"):
        prefetcher.get(step)
    assert prefetcher.get(step).values == content(step)
    assert prefetcher.get(step + 1).values == content(step + 1)


def test_close_ends_the_threads_and_is_harmless_twice(make):
    before = threading.active_count()
    prefetcher = make(threads=4)
    prefetcher.get(0)
    assert threading.active_count() == before + 4
    prefetcher.close()
    prefetcher.close()
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="the prefetcher is closed"):
        prefetcher.get(1)


def test_close_wakes_a_get_that_waits(make):
    release = threading.Event()
    prefetcher = make(lambda *_: release.wait(20), threads=1)
    caught = []

    def wait():
        try:
            prefetcher.get(0)
        except RuntimeError as error:
            caught.append(str(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_until(lambda: bool(prefetcher._workers))
    time.sleep(0.02)
    threading.Timer(0.1, release.set).start()
    prefetcher.close()
    waiting.join(20)
    assert caught == ["the prefetcher was closed while a batch was awaited"]


def test_threads_end_when_it_is_forgotten(make):
    before = threading.active_count()
    prefetcher = Prefetcher(fill, prepare, SIZE, Batch, 3, 3)
    prefetcher.get(0)
    gone = weakref.ref(prefetcher)
    del prefetcher
    gc.collect()
    assert gone() is None
    assert threading.active_count() == before


def test_sizes_of_nothing():
    for numbers in [(0, 1, 1), (1, 0, 1), (1, 1, 0)]:
        size, depth, threads = numbers
        with pytest.raises(ValueError, match="must be at least 1"):
            Prefetcher(fill, prepare, size, Batch, depth, threads)


@pytest.mark.parametrize(
    "ending", ["", "raise SystemExit(0)", "import os, signal; os.kill(os.getpid(), signal.SIGINT)"]
)
def test_the_interpreter_ends_without_close(ending):
    script = f"""
import time
from caffepy.data.prefetch import Prefetcher
def fill(batch, position, ordinal):
    time.sleep(0.001)
prefetcher = Prefetcher(fill, None, 50, list, 4, 4)
prefetcher.get(0)
try:
    {ending or "pass"}
    prefetcher.get(1)
except KeyboardInterrupt:
    pass
print("end")
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, timeout=60, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == ""
