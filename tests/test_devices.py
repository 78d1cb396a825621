"""Where backends come from."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from caffepy.backend import Backend, Counter
from caffepy.cpu.backend import CpuBackend
from caffepy.devices import get_backend
from caffepy.errors import BackendError


def test_the_same_arguments_give_the_same_backend():
    one = get_backend("cpu")
    for other in (get_backend(), get_backend("cpu", "float32"), get_backend(device="cpu", threads=None)):
        assert other is one
    assert get_backend("cpu", "float64") is not one
    assert get_backend("cpu", "float32", 1) is not one
    assert get_backend("cpu", "float32", 1) is get_backend(threads=1)


def test_the_cpu():
    backend = get_backend("cpu", "float64", 2)
    assert isinstance(backend, Backend)
    assert (backend.device, backend.dtype, backend.threads, backend.xp) == ("cpu", np.dtype("float64"), 2, np)
    assert backend.ops.__name__ == "caffepy.cpu"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert get_backend("cpu").threads == cores


def test_its_arrays():
    backend = get_backend("cpu")
    zeros = backend.zeros((2, 3))
    assert (zeros.shape, zeros.dtype, zeros.any()) == ((2, 3), np.float32, False)
    assert backend.empty((2,), np.int32).dtype == np.int32
    host = np.arange(6, dtype=np.float64).reshape(2, 3).T
    array = backend.asarray(host)
    assert (array.dtype, array.flags.c_contiguous) == (np.float32, True)
    np.testing.assert_array_equal(array, host)
    assert backend.asarray(host, np.int64).dtype == np.int64
    assert backend.to_host(array) is array
    assert backend.synchronize() is None


def test_scratch_is_one_arena():
    backend = CpuBackend("float32", 1)  # a new one: nobody has asked for more yet
    large = backend.scratch((100, 10))
    assert (large.shape, large.dtype) == ((100, 10), np.float32)
    small = backend.scratch((3,), np.float64)
    assert (small.dtype, np.shares_memory(large, small)) == (np.float64, True)
    assert np.shares_memory(backend.scratch((100, 10)), large), "no new memory for what fits"
    assert not np.shares_memory(backend.scratch((1000, 10)), large)


def test_each_thread_has_an_arena_of_its_own():
    from threading import Thread

    backend = get_backend("cpu", "float32", 1)
    own, other = backend.scratch((10,)), []
    thread = Thread(target=lambda: other.append(backend.scratch((10,))))
    thread.start()
    thread.join()
    assert not np.shares_memory(own, other[0])


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("cuda",), "Unknown device 'cuda': expected 'cpu' or 'gpu:N'"),
        (("gpu:x",), "Unknown device 'gpu:x'"),
        (("",), "Unknown device ''"),
        (("cpu", "float16"), "dtype must be 'float32' or 'float64'; got 'float16'"),
        (("cpu", "float32", 0), "threads must be at least 1; got 0"),
        (("cpu", "float32", -2), "threads must be at least 1; got -2"),
    ],
)
def test_devices_that_are_not_there(arguments, match):
    with pytest.raises(BackendError, match=match):
        get_backend(*arguments)


def test_numba_is_imported_when_a_backend_is_asked_for_and_not_before():
    code = (
        "import sys, caffepy.devices as d; assert 'numba' not in sys.modules; "
        "d.get_backend(); assert 'numba' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_counter_counts_from_zero():
    assert Counter().value == 0
    assert Counter(5).value == 5
