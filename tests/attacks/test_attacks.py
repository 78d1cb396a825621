"""Hostile files, by the hundred: each ends in a CaffepyError, or is read where the damage was harmless; nothing else.

``make fuzz`` carries out 10,000; a failure names the number, and ``python -m tests.attacks.run NUMBER`` does it again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.attacks import fuzz
from tests.attacks.fuzz import ROOT, Outcome, in_batches, outcomes, report, wrong
from tests.attacks.generate import attack

COUNT = 1000

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="memory is limited by what Linux says of a process"
)


def test_every_attack_ends_in_an_error_of_caffepy():
    results = [outcome for batch in in_batches(range(COUNT)) for outcome in batch]
    assert [outcome.number for outcome in results] == list(range(COUNT))
    bad = wrong(results)
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
    numbers = list(map(str, range(138)))
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


def test_the_peak_of_an_attack_is_its_own():
    large, small = outcomes([9, 1], "tests.attacks.bad_victims")
    assert large.peak > 250 << 20
    assert small.peak < 64 << 20


def _outcome(number: int, ended: str = "refused", family: str = "mean", seconds: float = 0.0, peak: int = 0) -> Outcome:
    return Outcome(number, ended, f"{family}: a note", "a message", seconds, peak)


def test_the_report():
    results = [
        _outcome(0, seconds=1.25, peak=5 << 20),
        _outcome(1, "accepted", "LMDB", 0.5, 7 << 20),
        _outcome(2, "died", seconds=1.75),
        _outcome(3, "failed"),
    ]
    assert [each.number for each in wrong(results)] == [2, 3]
    lines = [line.split() for line in report(results).splitlines()]
    assert lines[1] == ["mean", "3", "1", "0", "2", "1.8", "(#2)", "5", "(#0)"]
    assert lines[2] == ["LMDB", "1", "0", "1", "0", "0.5", "(#1)", "7", "(#1)"]
    assert lines[3] == ["all", "4", "1", "1", "2", "1.8", "(#2)", "7", "(#1)"]


@pytest.mark.parametrize(
    ("ended", "large", "code"), [("accepted", "refused", 0), ("died", "refused", 1), ("refused", "accepted", 1)]
)
def test_fuzz_names_what_went_wrong(monkeypatch, capsys, ended, large, code):
    monkeypatch.setattr(fuzz, "in_batches", lambda numbers: ([_outcome(number, ended)] for number in numbers))
    monkeypatch.setattr(fuzz, "outcomes", lambda numbers, *_: [_outcome(number, large) for number in numbers])
    assert fuzz.main(2, 70) == code
    said = capsys.readouterr().out
    assert "attacks 70 to 71" in said
    assert ("again: python -m tests.attacks.run 71" in said) == (ended == "died")
    assert (f"again: python -m tests.attacks.large {fuzz.LARGE_SIZE} 0" in said) == (large == "accepted")
    assert fuzz.main(2, 70, small=True) == (1 if ended == "died" else 0)
    assert "tests.attacks.large" not in capsys.readouterr().out


def test_a_number_again_with_its_files_kept(tmp_path):
    command = [sys.executable, "-m", "tests.attacks.run", "3", "9", "--keep", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert [json.loads(line)["number"] for line in done.stdout.splitlines()] == [3, 3, 9, 9]
    for number in (3, 9):
        kept = {
            str(path.relative_to(tmp_path / str(number))): path.read_bytes()
            for path in (tmp_path / str(number)).rglob("*")
            if path.is_file()
        }
        assert kept == attack(number).files
