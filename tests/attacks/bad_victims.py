"""Victims that go wrong in each way there is, to see that `tests.attacks.run` tells."""

from __future__ import annotations

import ctypes
import sys
import time
from pathlib import Path

from caffepy.errors import DataError
from tests.attacks import generate, run, victims
from tests.attacks.generate import Attack


def _victim(folder: Path) -> None:
    number = int((folder / "number").read_text())
    if number == 1:
        raise DataError("a reason")
    if number == 2:
        raise ZeroDivisionError
    if number == 3:
        bytes(run.MEMORY + 1)
    if number == 4:
        ctypes.string_at(0)
    if number == 5:
        time.sleep(60)
    if number == 7:
        raise DataError(" ")
    if number == 8:
        try:
            bytes(run.MEMORY + 1)
        except MemoryError:
            raise DataError("after all of that") from None
    if number == 9:
        bytearray(b"x") * (run.MEMORY // 4)
        raise DataError("large")


def _attack(number: int) -> Attack:
    return Attack("", {"number": str(number).encode()}, number == 6, number, "bad")


if __name__ == "__main__":
    victims.VICTIMS["bad"] = _victim
    generate.attack = _attack
    run.SECONDS = 2.0
    run.main([int(argument) for argument in sys.argv[1:]])
