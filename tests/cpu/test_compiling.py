"""That a first run says what it waits for: kernels are compiled with the cache elsewhere, in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from numba.core import event

from caffepy.cpu import _compiling

RUN = """
import logging, sys
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
import numpy as np
from caffepy.cpu import _compiling
_compiling._SHORT = _compiling._PAUSE = 0.0
from caffepy.devices import get_backend
backend = get_backend("cpu", threads=1)
relu = backend.ops.ReLU(backend, 0.0)
x, y = np.array([-1, 2], np.float32), np.empty(2, np.float32)
relu.forward(x, y)
assert y.tolist() == [0, 2]
"""


def test_a_run_that_compiles_says_so_and_the_next_has_nothing_to_say(tmp_path):
    variables = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    outputs = [
        subprocess.run(
            [sys.executable, "-c", RUN], check=True, capture_output=True, text=True, env=variables, timeout=120
        ).stdout
        for _ in range(2)
    ]
    assert outputs[0].startswith("Compiling kernels for this processor")
    assert outputs[1] == ""


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(_compiling.time, "perf_counter", lambda: now[0])
    return now


def test_few_lines_and_only_of_what_takes_long(clock, caplog):
    caplog.set_level("INFO", "caffepy")
    announcer = _compiling._Announcer()

    def compile_one(seconds, nested=0):
        announcer.on_start(event.Event("numba:compile", event.EventStatus.START))
        for _ in range(nested):
            compile_one(seconds)
        clock[0] += seconds
        announcer.on_end(event.Event("numba:compile", event.EventStatus.END))

    compile_one(0.4)
    clock[0] += 60
    compile_one(0.4)
    compile_one(0.4)
    # Of 1.2 seconds nothing is said before there is more to do.
    assert caplog.messages == []
    compile_one(0.6, nested=1)
    assert re.match("Compiling kernels for this processor.*once", caplog.messages[0])
    for _ in range(7):
        compile_one(0.9, nested=1)
    assert caplog.messages[1:] == ["Compiled 15 kernels in 11 s; the next is under way."]
