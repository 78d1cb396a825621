"""product_speed: operations of the product that was timed, by the median time."""

from __future__ import annotations

import time

import numpy as np
import pytest
import threadpoolctl

from caffepy.devices import get_backend
from caffepy.net import product_speed as module


def test_speed_is_that_of_the_median_product(backend, monkeypatch):
    now, steps = [0.0], iter([9.0, 0.25, 0.5])

    def tick():
        now[0] += next(steps, 1.0) if ticks else 0.0
        ticks.append(now[0])
        return now[0]

    ticks = []
    monkeypatch.setattr(module.time, "perf_counter", tick)
    assert module.product_speed(get_backend(backend)) == 2 * 1024**3 / 0.5
    assert len(ticks) == 4


def test_it_is_the_product_that_is_timed(backend):
    """The speed of the device's own product, within a factor that no noise exceeds."""
    device = get_backend(backend, threads=1)
    x, y = device.xp.ones((1024, 1024), np.float32), device.empty((1024, 1024))
    taken = []
    with threadpoolctl.threadpool_limits(1):
        for _ in range(5):
            began = time.perf_counter()
            device.xp.matmul(x, x, out=y)
            device.synchronize()
            taken.append(time.perf_counter() - began)
    assert 1 / 8 < module.product_speed(device) / (2 * 1024**3 / sorted(taken)[2]) < 8


def test_longer_on_a_fast_device(backend, monkeypatch):
    now = [0.0]

    def tick():
        now[0] += 0.01
        return now[0]

    monkeypatch.setattr(module.time, "perf_counter", tick)
    assert module.product_speed(get_backend(backend)) == pytest.approx(2 * 1024**3 / 0.01)
    assert now[0] == pytest.approx(0.11, abs=0.011)
