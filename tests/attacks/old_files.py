"""Hostile files of older Caffes, written anew: what upgrade-net and upgrade-solver read, and what they then write."""

from __future__ import annotations

from tests.attacks.bases import NET, OLD_NET, OLDEST_NET, SOLVER
from tests.attacks.binary_files import block, message, number, old_blob, old_layer
from tests.attacks.generate import Attack, Dice, damage, family
from tests.attacks.prototxts import change_lines, change_words

upgrades = family("upgrade", "upgrade")

_OLD_SOLVER = SOLVER.replace('type: "SGD"', "solver_type: NESTEROV")


@upgrades
def words(dice: Dice) -> Attack:
    note, text = dice.pick([change_words, change_lines])(dice, dice.pick([OLD_NET, OLDEST_NET, OLDEST_NET, NET]))
    return Attack(note, {"net": text.encode()})


@upgrades
def any_bytes(dice: Dice) -> Attack:
    note, data = damage(dice, dice.pick([OLD_NET, OLDEST_NET]).encode())
    return Attack(note, {"net": data})


@upgrades
def solvers(dice: Dice) -> Attack:
    note, text = dice.pick([change_words, change_lines])(dice, _OLD_SOLVER)
    return Attack(note, {"solver": text.encode()})


@upgrades
def weights(dice: Dice) -> Attack:
    sizes = [dice.pick([3, 1, 0, -1, 2**31 - 1, -(2**31)]) for _ in range(4)]
    good = old_layer(old_blob([3, 1, 3, 3], bytes(108)), old_blob([1, 1, 1, 3], bytes(12)))
    kind = dice.below(3)
    if kind == 0:
        note, data = damage(dice, good)
        return Attack(note, {"net": data}, not data)
    if kind == 1:
        return Attack(f"sizes {sizes}", {"net": old_layer(old_blob(sizes, bytes(108))) + good})
    # A layer of the first form: padding that belongs to the next one, types and fields of all kinds.
    inner = block(1, b"n") + block(2, dice.pick([b"padding", b"conv", b"pool", b"data", b"\xff", b"x", b""]))
    inner += number(dice.pick([7, 8, 9, 10, 11, 16, 30]), dice.pick([0, 1, 2**31, 2**63, 2**64 - 1]))
    return Attack("the first form", {"net": message(2, block(1, inner)) * dice.pick([1, 2, 500])})


@upgrades
def padding(dice: Dice) -> Attack:
    """Padding layers in a row, in a circle, of nothing, read by what cannot be padded."""
    names = ["data", "a", "b", "c"]
    text = OLDEST_NET.partition("layers")[0]
    for _ in range(dice.pick([1, 2, 5, 200])):
        kind = dice.pick(["padding", "padding", "conv", "pool", "relu", "innerproduct"])
        pad = dice.pick(["pad: 1", "pad: 4294967295", "pad: 0", ""])
        text += f'layers {{ layer {{ name: "{dice.pick(names)}" type: "{kind}" {pad} num_output: 2 kernelsize: 3 }}'
        text += f' bottom: "{dice.pick(names)}" top: "{dice.pick(names)}" }}\n'
    return Attack("padding layers", {"net": text.encode()})
