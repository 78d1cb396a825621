"""That compiled kernels on disk are used, and are not where a source has changed: on a copy of the package."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from caffepy.cpu import _cache, _jit

PACKAGE = Path(__file__).parents[2] / "caffepy"

# Dropout's kernel calls one of _philox.py.
RUN = """
import json
import numpy as np
from caffepy.cpu import dropout
from caffepy.backend import Counter
from caffepy.devices import get_backend
backend = get_backend("cpu", threads=1)
x = np.ones(64, np.float32)
op = backend.ops.Dropout(backend, 0.5, (1, 2), Counter())
op.plan(x.shape)
op.forward(x, x)
stats = dropout._drop.stats
print(json.dumps([sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), x.tolist(), dropout.__file__]))
"""

CALLED = """
from caffepy.cpu._jit import kernel

@kernel
def twice(x):
    return 2 * x
"""


def run(path, home, **variables):
    given = {key: value for key, value in os.environ.items() if not key.startswith(("NUMBA_", "PYTHON"))}
    # Bytecode goes by a file's time in whole seconds, in which a file changes here more than once.
    given |= {"PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1", "XDG_CACHE_HOME": str(home), **variables}
    done = subprocess.run([sys.executable, "-c", RUN], cwd=home, env=given, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    hits, misses, values, file = json.loads(done.stdout)
    assert Path(file).is_relative_to(path)
    return (hits, misses), values


def kept(folder):
    return sorted(path.name for path in folder.rglob("*.nb[ic]"))


@pytest.mark.parametrize("where", ["folder", "zip"])
def test_a_caller_is_compiled_anew_where_another_file_has_changed_that_it_calls(tmp_path, where):
    copy = tmp_path / "copy"
    shutil.copytree(PACKAGE, copy / "caffepy", ignore=shutil.ignore_patterns("__pycache__"))
    called = copy / "caffepy" / "cpu" / "_philox.py"
    path = copy if where == "folder" else tmp_path / "copy.zip"

    def write():
        if where == "zip":
            shutil.make_archive(str(path.with_suffix("")), "zip", copy)

    write()
    counts, before = run(path, tmp_path)
    assert counts == (0, 1)
    files = kept(tmp_path)
    assert files
    assert run(path, tmp_path) == ((1, 0), before)

    times = called.stat()
    called.write_text(called.read_text().replace("0xD2511F53", "0xD2511F51"))
    os.utime(called, ns=(times.st_atime_ns, times.st_mtime_ns))
    write()
    counts, after = run(path, tmp_path)
    assert counts == (0, 1)
    assert after != before
    assert run(path, tmp_path) == ((1, 0), after)
    assert kept(tmp_path) == files, "what is of no use any more is written over"


def test_a_folder_of_the_users_choice(tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(PACKAGE, copy / "caffepy", ignore=shutil.ignore_patterns("__pycache__"))
    chosen = tmp_path / "chosen"
    assert [run(copy, tmp_path, NUMBA_CACHE_DIR=str(chosen))[0] for _ in range(2)] == [(0, 1), (1, 0)]
    assert kept(chosen) == kept(tmp_path) != []


@pytest.fixture
def twice(tmp_path):
    """Makes the same kernel again and again, as processes do that begin one after the other."""
    (tmp_path / "called.py").write_text(CALLED)

    def load():
        spec = importlib.util.spec_from_file_location("called", tmp_path / "called.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.twice

    return load


def test_code_of_other_sources_under_an_index_of_these_is_not_run(twice, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(_cache, "_SOURCES", b"of another process")
        assert twice()(3) == 6
    (code,) = tmp_path.rglob("*.nbc")
    theirs = code.read_bytes()
    for _ in range(2):
        ours = twice()
        assert ours(3) == 6
    assert sum(ours.stats.cache_hits.values()) == 1
    code.write_bytes(theirs)
    ours = twice()
    assert ours(3) == 6
    assert sum(ours.stats.cache_hits.values()) == 0
    again = twice()
    assert again(3) == 6
    assert sum(again.stats.cache_hits.values()) == 1
    assert list(tmp_path.rglob("*.nbc")) == [code]


def test_numbas_own_cache_and_this_one_take_nothing_of_each_other(twice):
    """As when a release is installed over one that left stamping to numba, and the other way round."""

    def plain():
        compiled = numba.njit(twice().py_func)
        compiled.enable_caching()
        return compiled

    for make in (plain, twice, plain, twice):
        compiled = make()
        assert compiled(3) == 6
        assert sum(compiled.stats.cache_misses.values()) == 1


def test_without_sources_kernels_are_compiled_in_each_run_and_that_is_said_once(tmp_path, caplog):
    _jit._tell_of_no_cache.cache_clear()
    space = {}
    exec(compile(CALLED.replace("twice", "double") + CALLED, str(tmp_path / "gone.py"), "exec"), space)
    assert (space["double"](3), space["twice"](4)) == (6, 8)
    assert [message[:50] for message in caplog.messages] == ["Kernels are compiled anew in each run: there is no"]
    assert kept(tmp_path) == []


def test_a_kernel_is_the_function_where_nothing_is_compiled(monkeypatch):
    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)

    def function(x):
        return x

    assert _jit.kernel(function) is function


def test_the_digest_is_of_every_module_and_of_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(_cache.resources, "files", lambda package: tmp_path)
    digests = [_cache._digest_of_sources()]
    assert digests[0] == hashlib.sha256().digest()
    for name, text in (("a.py", "1"), ("b.py", ""), ("a.py", "2"), ("b.py", "2")):
        (tmp_path / name).write_text(text)
        digests.append(_cache._digest_of_sources())
    (tmp_path / "a.py").rename(tmp_path / "c.py")
    digests.append(_cache._digest_of_sources())
    assert len(set(digests)) == len(digests)
    (tmp_path / "notes.md").write_text("1")
    (tmp_path / ".#b.py").symlink_to("nowhere")
    assert _cache._digest_of_sources() == digests[-1]


def test_without_a_folder_there_is_no_digest(tmp_path, monkeypatch):
    monkeypatch.setattr(_cache.resources, "files", lambda package: tmp_path / "gone")
    assert _cache._digest_of_sources() == b""
