"""Command lines as Caffe's users type them, brought to the one form that click reads.

Caffe's tools use gflags: ``-solver x``, ``--solver x``, ``-solver=x``; ``-shuffle``, ``--noshuffle``,
``--shuffle=false``; words joined by underscores. Here hyphens do as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

__all__ = ["normalise"]

_FLAG = re.compile(r"--?([A-Za-z][\w-]*)(?:=(.*))?", re.DOTALL)
_TRUE = ("true", "t", "yes", "y", "1")
_FALSE = ("false", "f", "no", "n", "0")


def normalise(args: Sequence[str], flags: Mapping[str, bool]) -> list[str]:
    """``args`` with every flag as ``--name``, ``--no-name`` or ``--name=value``.

    A flag that is not known keeps its name, so that whoever reads the result can propose the nearest. What follows
    ``--`` is left alone, and so is whatever is no flag.

    Args:
        args: the words after the command.
        flags: known names, with hyphens; True for those that are on or off and take no value.

    Raises:
        ValueError: a flag that is on or off is given another value.
    """
    result: list[str] = []
    words = iter(enumerate(args))
    for i, word in words:
        match = _FLAG.fullmatch(word)
        if word == "--":
            return [*result, *args[i:]]
        if match is None:
            result.append(word)
            continue
        name, value = match[1].replace("_", "-"), match[2]
        if name in flags and not flags[name]:
            following = args[i + 1] if i + 1 < len(args) else None
            if value is None and following is not None and not _is_known(following, flags):
                value = following
                next(words)
            result.append(f"--{name}" if value is None else f"--{name}={value}")
        elif name in flags:
            result.append(f"--{name}" if value is None or _truth(name, value) else f"--no-{name}")
        elif value is None and name.startswith("no") and flags.get(name[2:].removeprefix("-")):
            result.append(f"--no-{name[2:].removeprefix('-')}")
        else:
            result.append(f"--{name}" if value is None else f"--{name}={value}")
    return result


def _is_known(word: str, flags: Mapping[str, bool]) -> bool:
    """Whether ``word`` is a flag and so not the value of the flag before it."""
    match = _FLAG.fullmatch(word)
    return match is not None and match[1].replace("_", "-") in flags


def _truth(name: str, value: str) -> bool:
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise ValueError(f"--{name} is on or off: expected true or false, got '{value}'.")
