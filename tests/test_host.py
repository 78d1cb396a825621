"""What is available is the least of the machine, the container and the process's own limit."""

from __future__ import annotations

import subprocess
import sys

import pytest

from caffepy import host
from caffepy.cpu.backend import CpuBackend
from caffepy.errors import BackendError


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Folders in place of /proc and /sys/fs/cgroup, and no limit of the process; gives a function that writes files."""
    monkeypatch.setattr(host, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(host, "_CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(host, "_address_space", lambda: sys.maxsize)

    def write(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    write("proc/meminfo", "MemTotal: 9000 kB\nMemFree: 10 kB\nMemAvailable:    4000 kB\nSwapFree:  100 kB\n")
    return write


def test_the_machine_counts_what_is_available_and_swap(system):
    assert host.available_memory() == 4100 << 10


def test_a_container_of_the_second_version_counts_caches_as_free(system):
    system("cgroup/memory.max", "3000000\n")
    system("cgroup/memory.current", "1000000\n")
    system("cgroup/memory.stat", "anon 5\ninactive_file 250000\n")
    assert host.available_memory() == 2_250_000
    system("cgroup/memory.max", "max\n")
    assert host.available_memory() == 4100 << 10


def test_a_container_of_the_first_version(system):
    system("cgroup/memory/memory.limit_in_bytes", "3000000\n")
    system("cgroup/memory/memory.usage_in_bytes", "4000000\n")
    system("cgroup/memory/memory.stat", "cache 1\n")
    assert host.available_memory() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="ulimit is a thing of Unix")
def test_ulimit_counts_less_what_is_in_use():
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30));"
        "from caffepy.host import _address_space as left; before = left();"
        "import numpy as np; taken = np.zeros(1 << 30, np.uint8); print(before, before - left())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    before, used = map(int, run.stdout.split())
    assert 1 << 30 < before < 4 << 30
    assert 1 << 30 <= used < (1 << 30) + (300 << 20)


@pytest.mark.parametrize("make", ["empty", "zeros", "scratch"])
def test_an_array_that_cannot_be_there_is_refused(make, monkeypatch):
    monkeypatch.setattr("caffepy.cpu.backend.available_memory", lambda: 100 << 20)
    backend = CpuBackend()
    assert getattr(backend, make)((25, 1 << 20)).shape == (25, 1 << 20)
    text = r"an array of 26 x 1048576 float32 needs 109,051,904 bytes, and 104,857,600 are available: out of memory"
    with pytest.raises(BackendError, match=text):
        getattr(CpuBackend(), make)((26, 1 << 20))
