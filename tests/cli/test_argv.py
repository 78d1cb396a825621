"""All the ways in which gflags lets Caffe's users write a flag come out as one."""

from __future__ import annotations

import pytest

from caffepy.cli.argv import normalise

FLAGS = {"solver": False, "sigint-effect": False, "level": False, "shuffle": True, "check-size": True, "help": True}


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("-solver x", "--solver=x"),
        ("--solver x", "--solver=x"),
        ("-solver=x", "--solver=x"),
        ("--solver=x", "--solver=x"),
        ("--solver=", "--solver="),
        ("--solver=a=b", "--solver=a=b"),
        ("-sigint_effect stop", "--sigint-effect=stop"),
        ("--sigint-effect=stop", "--sigint-effect=stop"),
        ("-level -1", "--level=-1"),
        ("-solver -", "--solver=-"),
        ("-shuffle", "--shuffle"),
        ("--shuffle=true", "--shuffle"),
        ("--shuffle=1", "--shuffle"),
        ("--shuffle=False", "--no-shuffle"),
        ("--shuffle=0", "--no-shuffle"),
        ("--noshuffle", "--no-shuffle"),
        ("-noshuffle", "--no-shuffle"),
        ("--no-shuffle", "--no-shuffle"),
        ("--no_check_size", "--no-check-size"),
        ("-nocheck_size", "--no-check-size"),
        ("root/ list.txt db", "root/ list.txt db"),
        ("a -shuffle b", "a --shuffle b"),
        ("-shuffle -- -solver", "--shuffle -- -solver"),
        ("-solvr x", "--solvr x"),
        ("-solvr=x", "--solvr=x"),
        ("-", "-"),
        ("-5", "-5"),
        ("", ""),
    ],
)
def test_forms(typed, expected):
    assert normalise(typed.split(), FLAGS) == expected.split()


def test_a_missing_value_does_not_take_the_next_flag():
    assert normalise(["-solver", "-shuffle"], FLAGS) == ["--solver", "--shuffle"]
    assert normalise(["-solver", "--level=3"], FLAGS) == ["--solver", "--level=3"]
    assert normalise(["-solver"], FLAGS) == ["--solver"]


def test_a_value_may_look_like_an_unknown_flag():
    assert normalise(["-solver", "-odd.prototxt"], FLAGS) == ["--solver=-odd.prototxt"]


def test_a_switch_takes_true_or_false():
    with pytest.raises(ValueError, match="--check-size is on or off: expected true or false, got 'maybe'"):
        normalise(["-check_size=maybe"], FLAGS)


def test_line_ends_in_values_stay():
    assert normalise(["-solver=a\nb"], FLAGS) == ["--solver=a\nb"]
