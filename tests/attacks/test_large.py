"""Large hostile files: a million layers, a word of a hundred megabytes; each ends in an error within its bounds.

``make test`` takes a tenth of the size, ``make fuzz`` the whole.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.attacks.large import LARGE
from tests.attacks.test_attacks import COUNT, ROOT

FULL = COUNT >= 10_000
SIZE = 1_000_000 if FULL else 60_000
#: Of one attack; the time is for a machine that does other things too.
SECONDS = 280.0 if FULL else 60.0


@pytest.fixture(scope="module")
def results() -> dict[str, dict]:
    if not Path("/proc/self/statm").exists():
        pytest.skip("memory is limited by what Linux says of a process")
    command = [sys.executable, "-m", "tests.attacks.large", ",".join(LARGE), str(SIZE)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-500:] + run.stderr[-3000:]
    names = list(LARGE)
    records = [json.loads(line) for line in run.stdout.splitlines()]
    return {names[record["number"]]: record for record in records if "ended" in record}


@pytest.mark.parametrize("name", LARGE)
def test_it_ends_in_an_error(results, name):
    result = results[name]
    assert result["ended"] == "refused", result["message"]
    assert result["seconds"] < SECONDS
