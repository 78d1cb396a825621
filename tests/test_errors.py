"""The tree of errors, and the hint at what is meant."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from caffepy import errors
from caffepy.errors import did_you_mean, prefix, reason


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("cnov1", ["conv1", "relu1"], " Did you mean 'conv1'?"),
        ("relu", ["PReLU", "ReLU"], " Did you mean 'ReLU'?"),
        ("pool", ["conv1", "relu1"], ""),
        ("x", [], ""),
        ("a" * 99 + "b", ["a" * 100, "c"], f" Did you mean '{'a' * 100}'?"),
        ("a" * 100 + "b", ["a" * 100], ""),
        ("a" * 99 + "b", ["a" * 101], ""),
        ("name", ["nam3", *map(str, range(10_000, 11_999))], " Did you mean 'nam3'?"),
        ("name", ["nam3", *map(str, range(10_000, 12_000))], ""),
    ],
)
def test_the_nearest_name(word, known, hint):
    assert did_you_mean(word, known) == hint


def test_many_long_names_do_not_take_long():
    known = [f"{'ab' * 47}{i}" for i in range(100_000)] + ["ab" * 1_000_000] * 3
    began = time.perf_counter()
    assert did_you_mean("ba" * 47, known)
    assert did_you_mean("ab" * 1_000_000, known) == ""
    assert time.perf_counter() - began < 20


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name.endswith("Error")])
def test_every_error_is_one_that_scripts_for_pycaffe_catch(name):
    with pytest.raises(RuntimeError, match="what and why"):
        raise getattr(errors, name)("what and why")


def test_a_place_is_said_only_where_it_is_known():
    assert prefix("net.prototxt:12") == "net.prototxt:12: "
    assert prefix("") == ""


def test_an_error_of_the_system_is_told_in_its_words_alone():
    with pytest.raises(FileNotFoundError, match="Errno") as caught:
        Path("/no/such/file").read_bytes()
    assert reason(caught.value) == "No such file or directory"
    assert reason(ValueError("line 3 is no list")) == "line 3 is no list"
    assert reason(OSError("h5py's own words")) == "h5py's own words"
