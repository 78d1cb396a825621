"""Hostile files, by the hundred: each ends in a CaffepyError, or is read where the damage was harmless; nothing else.

``make fuzz`` carries out 10,000 (CAFFEPY_ATTACKS=10000); a failure names the number, and
``python -m tests.attacks.run NUMBER`` does it again by itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.attacks.generate import attack

ROOT = Path(__file__).parents[2]
COUNT = int(os.environ.get("CAFFEPY_ATTACKS", "1000"))
#: Numbers that one process does, and processes at a time.
BATCH = 250
PROCESSES = 2

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="memory is limited by what Linux says of a process"
)


@dataclass(frozen=True)
class Outcome:
    number: int
    ended: str
    note: str
    message: str
    seconds: float


def outcomes(numbers: list[int], module: str = "tests.attacks.run") -> list[Outcome]:
    """Carry out ``numbers`` in a process; where it dies, note that and go on behind in another one."""
    done: list[Outcome] = []
    while numbers:
        command = [sys.executable, "-m", module, *map(str, numbers)]
        # One thread each for BLAS and the ops: threads have stacks, and addresses are limited.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        begun: int | None = None
        for line in run.stdout.splitlines():
            record = json.loads(line)
            begun = record["number"] if "ended" not in record else None
            if "ended" in record:
                done.append(Outcome(**record))
        if begun is None:
            assert run.returncode == 0, run.stderr[-3000:]
            return done
        message = f"the process ended with {run.returncode}: {run.stderr[-2000:]}"
        done.append(Outcome(begun, "died", attack(begun).note if module.endswith("run") else "", message, 0.0))
        numbers = numbers[numbers.index(begun) + 1 :]
    return done


def test_every_attack_ends_in_an_error_of_caffepy():
    batches = [list(range(begin, min(begin + BATCH, COUNT))) for begin in range(0, COUNT, BATCH)]
    with ThreadPoolExecutor(PROCESSES) as pool:
        results = [outcome for batch in pool.map(outcomes, batches) for outcome in batch]
    assert [outcome.number for outcome in results] == list(range(COUNT))
    bad = [outcome for outcome in results if outcome.ended in ("failed", "died")]
    told = "\n\n".join(f"{each.number} {each.ended}: {each.note}\n{each.message}" for each in bad[:20])
    assert not bad, f"{len(bad)} of {COUNT} attacks went wrong\n{told}"
    # Were most of them harmless, little would have been tried.
    counts = Counter(outcome.ended for outcome in results)
    assert counts["refused"] > COUNT / 2, counts


def test_a_number_is_the_same_attack_each_time():
    code = (
        "import hashlib, sys; from tests.attacks.generate import attack\n"
        "for n in map(int, sys.argv[1:]):\n"
        "    made = attack(n)\n"
        "    print(n, made.note.encode(), sorted((k, hashlib.sha256(v).hexdigest()) for k, v in made.files.items()))"
    )
    numbers = list(map(str, range(64)))
    runs = [
        subprocess.run([sys.executable, "-c", code, *order], cwd=ROOT, capture_output=True, text=True, check=True)
        for order in (numbers, numbers[::-1])
    ]
    assert sorted(runs[0].stdout.splitlines()) == sorted(runs[1].stdout.splitlines())
    assert len(set(runs[0].stdout.splitlines())) == len(numbers)


@pytest.mark.parametrize(
    ("number", "ended", "said"),
    [
        (0, "accepted", ""),
        (1, "refused", "a reason"),
        (2, "failed", "ZeroDivisionError"),
        (3, "failed", "MemoryError"),
        (4, "died", "the process ended with -11"),
        (5, "died", "Timeout"),
        (6, "failed", "it was accepted"),
        (7, "failed", "a CaffepyError without a message"),
        (8, "refused", "after all of that"),
    ],
)
def test_what_goes_wrong_is_seen(number, ended, said):
    """The process for attacks itself, attacked: `tests.attacks.bad_victims` has one victim for each way to go wrong."""
    found = outcomes([number, 1], "tests.attacks.bad_victims")
    assert [outcome.number for outcome in found] == [number, 1]
    assert found[0].ended == ended
    assert said in found[0].message
    assert found[1].ended == "refused"
