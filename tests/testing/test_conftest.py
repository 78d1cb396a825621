"""What tests/conftest.py promises: skips are counted by reason, an absent backend is a skip that says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).parents[1] / "conftest.py"

TESTS = """
import random
import numpy, pytest

@pytest.mark.parametrize("n", [1, 2])
def test_a(n):
    pytest.skip("no oracle here")

@pytest.mark.skip(reason="not today")
def test_b(): ...

def test_c(backend): ...

def test_seed_1():
    test_seed_1.drawn = random.random(), numpy.random.rand()

def test_seed_2():
    assert test_seed_1.drawn == (random.random(), numpy.random.rand())
"""


def test_skips_are_counted_by_reason(tmp_path):
    text = CONFTEST.read_text(encoding="utf-8")
    (tmp_path / "conftest.py").write_text(text, encoding="utf-8")
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    # The copied conftest imports from this checkout, wherever caffepy itself is installed.
    environment = {**os.environ, "PYTHONPATH": str(CONFTEST.parents[1])}
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert "=== 3 skipped ===" in run.stdout, run.stdout
    lines = run.stdout.splitlines()
    for line in (
        "    2 x no oracle here",
        "    1 x not today",
    ):
        assert line in lines, run.stdout
    assert "3 passed, 3 skipped" in run.stdout
