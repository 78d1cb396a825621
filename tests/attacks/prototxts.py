"""Hostile prototxts of nets and solvers: damaged as bytes, as words, and by values that no run can have."""

from __future__ import annotations

import re

from tests.attacks.bases import NET, OLD_NET, OLDEST_NET, SOLVER
from tests.attacks.generate import Attack, Dice, damage, family

__all__ = ["change_lines", "change_words"]

nets = family("net prototxt", "net")
solvers = family("solver prototxt", "solver")

_WORD = re.compile(r'"[^"\n]*"|[A-Za-z_]\w*|[-+.\w]+|\S|\s+')
_NUMBERS = [
    "0", "-0", "1", "-1", "2147483647", "-2147483648", "4294967295", "4294967296", "9223372036854775807", "1e38",
    "1e999", "-inf", "nan", "inf", "0x7fffffff", "017", "1.5", "1e-45", "9" * 900, "9" * 5000, "0x" + "f" * 900,
]  # fmt: skip
_VALUES = [
    *_NUMBERS, '""', '"a"', "true", "FALSE", "TRAIN", "{", "}", "{ }", "[", "]", "[1, 2]", "<", '"', "'", "#", ":", ",",
    ";", "\\", "/", "\x00", "\x1b", "\u00e9", "\u201c", "layer", "layers", "type", "dim: 2147483647", 'name: "x"',
    "a" * 5000,
]  # fmt: skip


def change_words(dice: Dice, text: str) -> tuple[str, str]:
    words = _WORD.findall(text)
    solid = [i for i, word in enumerate(words) if not word.isspace()]
    notes = []
    for _ in range(dice.pick([1, 1, 1, 2, 4])):
        i = dice.pick(solid)
        old = words[i]
        kind = dice.below(6)
        if kind <= 1:
            # A value in place of one of its own kind more often than of any.
            words[i] = dice.pick(_NUMBERS if re.fullmatch(r"[-+.\d].*", old) else _VALUES)
        elif kind == 2:
            words[i] = ""
        elif kind == 3:
            words[i] = f"{old} {old}"
        elif kind == 4:
            words[i] = words[dice.pick(solid)]
        else:
            j = dice.pick(solid)
            words[i], words[j] = words[j], words[i]
        notes.append(f"{old[:20]!r} -> {words[i][:20]!r}")
    return "; ".join(notes), "".join(words)


def change_lines(dice: Dice, text: str) -> tuple[str, str]:
    lines = text.splitlines(keepends=True)
    i, j = dice.below(len(lines)), dice.below(len(lines))
    kind = dice.below(3)
    if kind == 0:
        del lines[i]
        return f"line {i + 1} removed", "".join(lines)
    if kind == 1:
        lines.insert(j, lines[i])
        return f"line {i + 1} once more at {j + 1}", "".join(lines)
    lines[i], lines[j] = lines[j], lines[i]
    return f"lines {i + 1} and {j + 1} exchanged", "".join(lines)


@nets
def words(dice: Dice) -> Attack:
    note, text = change_words(dice, dice.pick([NET, NET, OLD_NET, OLDEST_NET]))
    return Attack(note, {"net.prototxt": text.encode("utf-8")})


def _change_number(dice: Dice, text: str) -> tuple[str, str]:
    places = [match.span() for match in re.finditer(r"(?<=[ \[])-?[.\d]+\b", text)]
    begin, end = dice.pick(places)
    new = dice.pick(_NUMBERS)
    return f"{text[begin:end]} at {begin} -> {new[:30]}", text[:begin] + new + text[end:]


@nets
def a_number(dice: Dice) -> Attack:
    note, text = _change_number(dice, dice.pick([NET, NET, OLD_NET, OLDEST_NET]))
    return Attack(note, {"net.prototxt": text.encode()})


@nets
def lines(dice: Dice) -> Attack:
    note, text = change_lines(dice, dice.pick([NET, NET, OLD_NET, OLDEST_NET]))
    return Attack(note, {"net.prototxt": text.encode()})


@nets
def any_bytes(dice: Dice) -> Attack:
    note, data = damage(dice, dice.pick([NET, OLD_NET, OLDEST_NET]).encode())
    return Attack(note, {"net.prototxt": data})


@nets
def depth(dice: Dice) -> Attack:
    count = dice.pick([65, 1000, 100_000])
    opening = dice.pick(
        ["layer { ", "layer < ", "a { ", "layers { layer { ", "[", "{", "layer { include { ", "layer: [ "]
    )
    return Attack(f"{count} times {opening!r}", {"net.prototxt": (opening * count).encode()}, True)


@nets
def wiring(dice: Dice) -> Attack:
    """Layers that read each other, themselves, or what comes later."""
    names = ["a", "b", "c", "data"]
    text = 'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: [2, 3] } } }\n'
    for i in range(dice.pick([1, 3, 20, 300])):
        kind = dice.pick(["ReLU", "Split", "Eltwise", "Concat", "Silence", "InnerProduct", "Slice", "Softmax"])
        text += f'layer {{ name: "{dice.pick([str(i), "same", "", "x/y"])}" type: "{kind}"'
        text += "".join(f' bottom: "{dice.pick(names)}"' for _ in range(dice.below(4)))
        text += "".join(f' top: "{dice.pick([*names, str(i)])}"' for _ in range(dice.below(3)))
        text += dice.pick(["", " loss_weight: nan", " propagate_down: true", ' param { name: "w" }', " phase: TEST"])
        text += " inner_product_param { num_output: 2 } }\n"
    return Attack("layers that read each other", {"net.prototxt": text.encode()})


@nets
def bombs(dice: Dice) -> Attack:
    """More values than memory, in several places."""
    size = dice.pick([2**31 - 1, 2**30, 65536, 10**5])
    dims = dice.pick([f"{size}", f"1, {size}", f"{size}, {size}", f"1, 3, {size}, {size}", "1, 3, 9, 9"])
    text = f'layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ dim: [{dims}] }} }} }}\n'
    top = "x"
    for i in range(dice.pick([1, 2, 5])):
        padding = dice.pick([size, 9999])
        kind = dice.pick(
            [
                f'type: "InnerProduct" inner_product_param {{ num_output: {size} weight_filler {{ type: "xavier" }} }}',
                f'type: "Convolution" convolution_param {{ num_output: {size} kernel_size: 1 }}',
                f'type: "Convolution" convolution_param {{ num_output: 1 kernel_size: 1 pad: {padding} }}',
                f'type: "Convolution" convolution_param {{ num_output: 1 kernel_size: 3 dilation: {size} }}',
                f'type: "Pooling" pooling_param {{ kernel_size: {size} pad: {size - 1} }}',
                'type: "ReLU"', 'type: "Power"', 'type: "LRN"', 'type: "Softmax"', 'type: "Flatten"',
                'type: "BatchNorm"',
                f'type: "LRN" lrn_param {{ local_size: {size | 1} }}',
                f'type: "Tile" tile_param {{ tiles: {size} }}',
                f'type: "Embed" embed_param {{ num_output: {size} input_dim: {size} }}',
                f'type: "Reshape" reshape_param {{ shape {{ dim: [{size}, -1] }} }}',
                f'type: "Deconvolution" convolution_param {{ num_output: 1 kernel_size: 1 stride: {size} }}',
                f'type: "SPP" spp_param {{ pyramid_height: {dice.pick([size, 20, 31, 33])} }}',
                f'type: "Im2col" convolution_param {{ kernel_size: {dice.pick([size, 1000])} pad: 500 }}',
                f'type: "Crop" bottom: "{top}" crop_param {{ offset: {size} }}',
            ]
        )  # fmt: skip
        text += f'layer {{ name: "l{i}" bottom: "{top}" top: "l{i}" {kind} }}\n'
        top = f"l{i}"
    return Attack(f"{dims} and what is made of it", {"net.prototxt": text.encode()})


@nets
def data_bombs(dice: Dice) -> Attack:
    size = dice.pick([2**31 - 1, 2**32 - 1, 10**6, 0, 1])
    source = dice.pick(["/", "", "nowhere", "net.prototxt", "x" * 5000, "digits", "digits"])
    field = dice.pick(
        [
            f"batch_size: {size}",
            f"batch_size: 2 prefetch: {size}",
            f"batch_size: 2 rand_skip: {size}",
            "backend: LEVELDB",
            "backend: 7",
        ]
    )
    transform = dice.pick(
        [
            f"crop_size: {size}",
            "scale: nan",
            'mean_file: "net.prototxt"',
            "mean_value: 1 mean_value: 2 mean_value: 3",
            "force_color: true",
        ]
    )
    text = (
        f'layer {{ name: "d" type: "Data" top: "d" top: "l" data_param {{ source: "{source}" backend: LMDB {field} }}'
    )
    text = text.replace("backend: LMDB backend", "backend")
    text += f" transform_param {{ {transform} }} }}\n"
    text += (
        f'layer {{ name: "e" type: "DummyData" top: "e" dummy_data_param {{ shape {{ dim: [{size}, {size}] }} }} }}\n'
    )
    return Attack(f"a data layer with {field}, {transform}", {"net.prototxt": text.encode()})


@solvers
def solver_words(dice: Dice) -> Attack:
    note, text = change_words(dice, SOLVER)
    return Attack(note, {"solver.prototxt": text.encode(), "net.prototxt": NET.encode()})


@solvers
def solver_number(dice: Dice) -> Attack:
    note, text = _change_number(dice, SOLVER)
    return Attack(note, {"solver.prototxt": text.encode(), "net.prototxt": NET.encode()})


@solvers
def solver_bytes(dice: Dice) -> Attack:
    note, data = damage(dice, SOLVER.encode())
    return Attack(note, {"solver.prototxt": data, "net.prototxt": NET.encode()})


@solvers
def solver_values(dice: Dice) -> Attack:
    text = SOLVER
    notes = []
    for _ in range(dice.pick([1, 2, 3])):
        field, value = dice.pick(
            [
                ("base_lr", ["nan", "inf", "-inf", "-1", "1e38", "0"]),
                ("momentum", ["nan", "inf", "1", "-1", "1e38"]),
                ("weight_decay", ["nan", "inf", "-1", "1e38"]),
                ("gamma", ["nan", "inf", "-1", "1e38", "0"]),
                ("stepsize", ["0", "-1", "2147483647", "-2147483648"]),
                ("lr_policy", ['"poly"', '"exp"', '"inv"', '"sigmoid"', '"multistep"', '"fixed"', '""', '"STEP"']),
                ("max_iter", ["0", "-1", "2147483647", "-2147483648"]),
                ("test_iter", ["0", "-1", "-2147483648"]),
                ("test_interval", ["0", "-1", "-2147483648", "1"]),
                ("display", ["0", "-1", "-2147483648"]),
                ("average_loss", ["0", "-1", "2147483647"]),
                ("iter_size", ["0", "-1"]),
                ("clip_gradients", ["nan", "inf", "0", "-5", "1e-45"]),
                ("random_seed", ["-1", "-2", "9223372036854775807", "-9223372036854775808"]),
                ("type", ['"Adam"', '"AdaDelta"', '"RMSProp"', '"AdaGrad"', '"Nesterov"', '""', '"adam"']),
                ("power", ["nan", "-1", "1e38"]),
                ("delta", ["nan", "0", "-1"]),
                ("momentum2", ["nan", "1", "2", "-1"]),
                ("rms_decay", ["nan", "1", "-1"]),
                ("regularization_type", ['"L1"', '"L3"', '""']),
                ("stepvalue", ["0", "-1", "2147483647"]),
                ("snapshot", ["-1", "-2147483648"]),
                ("net", ['""', '"solver.prototxt"', '"/"', '"nowhere"', '"net.prototxt" net: "net.prototxt"']),
                ("train_state", ["{ level: 2147483647 }", '{ stage: "" }', "{ phase: TEST }"]),
                ("weights", ['"nowhere"', '""', '",,"', '"net.prototxt"']),
                ("snapshot_prefix", ['""', '"a/b/../c"', '"' + "x" * 5000 + '"']),
            ]
        )
        chosen = dice.pick(value)
        text, count = re.subn(rf"^{field}: .*$", lambda _, line=f"{field}: {chosen}": line, text, flags=re.MULTILINE)
        text += "" if count else f"{field}: {chosen}\n"
        notes.append(f"{field}: {chosen[:20]}")
    return Attack("; ".join(notes), {"solver.prototxt": text.encode(), "net.prototxt": NET.encode()})
