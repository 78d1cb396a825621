"""Hostile files by number: ``attack(n)`` makes the same files for the same n, in every process and on every machine.

A family (``caffemodel``, ``prototxt``, ``lmdb`` ...) makes one kind of file and names the victim that reads it, see
`tests.attacks.victims`. Number n is of family ``n % len(families)``, and all that is random in it comes from a
counter-based generator with the key (seed, n): ``python -m tests.attacks.run 1234`` runs number 1234 alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

__all__ = ["Attack", "Dice", "Family", "attack", "damage", "families", "family"]

SEED = 20150911

T = TypeVar("T")


class Dice:
    """The random choices of one attack."""

    def __init__(self, number: int) -> None:
        self._random = np.random.Generator(np.random.Philox(key=[SEED, number]))

    def below(self, limit: int) -> int:
        """An integer in [0, limit)."""
        return int(self._random.integers(limit))

    def chance(self, probability: float) -> bool:
        return bool(self._random.random() < probability)

    def pick(self, things: Sequence[T]) -> T:
        return things[self.below(len(things))]

    def bytes(self, count: int) -> bytes:
        return self._random.bytes(count)


@dataclass
class Attack:
    """Files to be read.

    Attributes:
        note: what is wrong with them, in a few words.
        files: by name, relative to a folder of their own.
        holes: files that are made that many bytes long, without any bytes there.
        must_fail: they cannot be accepted; without it a change may have been harmless (a bit of a weight).
    """

    note: str
    files: dict[str, bytes]
    must_fail: bool = False
    number: int = -1
    victim: str = ""
    holes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """One kind of file: ``victim`` reads what one of ``makers`` makes; each maker has an equal share of the numbers.

    A maker may name another victim in what it makes.
    """

    name: str
    victim: str
    makers: list[Callable[[Dice], Attack]] = field(default_factory=list)

    def __call__(self, maker: Callable[[Dice], Attack]) -> Callable[[Dice], Attack]:
        self.makers.append(maker)
        return maker


families: list[Family] = []


def family(name: str, victim: str = "") -> Family:
    """A new family; it is used as a decorator of its makers."""
    families.append(Family(name, victim or name))
    return families[-1]


def attack(number: int) -> Attack:
    """Attack ``number``."""
    # Each of these registers its families.
    from tests.attacks import (  # noqa: F401
        binary_files,
        data_layers,
        databases,
        evaluation_files,
        hdf5_files,
        holes,
        layers,
        leveldb_files,
        old_files,
        prototxts,
        small_files,
    )

    dice = Dice(number)
    # In the order of their names: that of the imports depends on what was imported before.
    chosen = sorted(families, key=lambda each: each.name)[number % len(families)]
    made = dice.pick(chosen.makers)(dice)
    made.note = f"{chosen.name}: {made.note}"
    made.number = number
    made.victim = made.victim or chosen.victim
    return made


def _truncate(dice: Dice, data: bytes) -> tuple[str, bytes]:
    # A third near the end: there a file is cut that was nearly copied.
    keep = len(data) - 1 - dice.below(min(len(data), 64)) if dice.chance(0.3) else dice.below(len(data))
    return f"cut to {keep} of {len(data)} bytes", data[:keep]


def _flip(dice: Dice, data: bytes) -> tuple[str, bytes]:
    out = bytearray(data)
    # Half of them in the first bytes, where the structure of most files is.
    places = [
        dice.below(min(len(data), 256) if dice.chance(0.5) else len(data))
        for _ in range(dice.pick([1, 1, 1, 2, 8, 64]))
    ]
    for place in places:
        out[place] ^= 1 << dice.below(8)
    return f"bits flipped in bytes {places[:8]}", bytes(out)


def _overwrite(dice: Dice, data: bytes) -> tuple[str, bytes]:
    place = dice.below(len(data))
    patch = dice.pick([b"\0", b"\xff", dice.bytes(1)]) * dice.pick([1, 2, 4, 8, 100])
    return f"{patch[:4]!r} x {len(patch)} written over byte {place}", data[:place] + patch + data[place + len(patch) :]


def _insert(dice: Dice, data: bytes) -> tuple[str, bytes]:
    place = dice.below(len(data) + 1)
    patch = dice.bytes(dice.pick([1, 2, 3, 17, 4096]))
    return f"{len(patch)} random bytes put in at {place}", data[:place] + patch + data[place:]


def _delete(dice: Dice, data: bytes) -> tuple[str, bytes]:
    place, count = dice.below(len(data)), dice.pick([1, 2, 3, 16, 1000])
    return f"{count} bytes taken out at {place}", data[:place] + data[place + count :]


def _repeat(dice: Dice, data: bytes) -> tuple[str, bytes]:
    begin = dice.below(len(data))
    part = data[begin : begin + dice.pick([1, 8, 100, 5000])]
    place = dice.below(len(data) + 1)
    return f"{len(part)} bytes of {begin} once more at {place}", data[:place] + part + data[place:]


def _varint(dice: Dice, data: bytes) -> tuple[str, bytes]:
    place = dice.below(len(data))
    patch = b"\xff" * dice.pick([1, 3, 4, 9, 10, 30]) + dice.pick([b"\x01", b"\x7f", b""])
    return f"a varint of {len(patch)} bytes at {place}", data[:place] + patch + data[place + 1 :]


def _replace(dice: Dice, data: bytes) -> tuple[str, bytes]:
    count = dice.pick([0, 1, 4, 64, 5000])
    return f"{count} random bytes", dice.bytes(count)


_DAMAGE = [_truncate, _truncate, _flip, _flip, _flip, _overwrite, _insert, _delete, _repeat, _varint, _replace]


def damage(dice: Dice, data: bytes) -> tuple[str, bytes]:
    """``data`` with one random kind of damage, rarely with two; what it is, and the bytes."""
    note, out = dice.pick(_DAMAGE)(dice, data)
    if out and dice.chance(0.15):
        second, out = dice.pick(_DAMAGE)(dice, out)
        note = f"{note}; {second}"
    return note, out
