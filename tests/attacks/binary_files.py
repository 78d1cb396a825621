"""Hostile protobuf files: .caffemodel, .solverstate, mean images; damaged, and written field by field."""

from __future__ import annotations

import math

from tests.attacks.bases import STATE_NET, base
from tests.attacks.generate import Attack, Dice, damage, family

__all__ = ["blob", "block", "message", "number", "old_blob", "old_layer", "varint"]

weights = family("caffemodel")
old_weights = family("old caffemodel", "caffemodel")
states = family("solverstate")
means = family("mean")

# Field numbers of facts/caffe_proto.tsv.
_NET_NAME, _NET_LAYERS, _NET_LAYER = 1, 2, 100
_NAME, _TYPE, _BLOBS = 1, 2, 7
_V1_NAME, _V1_TYPE, _V1_BLOBS = 4, 5, 6
_NUM, _CHANNELS, _HEIGHT, _WIDTH, _DATA, _SHAPE, _DOUBLE = 1, 2, 3, 4, 5, 7, 8
_DIM = 1

SHAPES = [
    [2**31, 2**31],
    [2**62, 4],
    [2**63 - 1],
    [2**32, 2**32],
    [-1],
    [-4, -1],
    [3, -9],
    [2**64 - 3],
    [0],
    [],
    [1] * 33,
    [1] * 1000,
    [65536, 65536],
    [3, 1, 3, 4],
    [2**31 - 1, 3],
]


def varint(value: int) -> bytes:
    """A varint; negative numbers as 64 bits."""
    value &= 2**64 - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    """A varint field."""
    return varint(field << 3) + varint(value)


def block(field: int, content: bytes, length: int | None = None) -> bytes:
    """A field of bytes, a string or a message; ``length`` claims another length."""
    return varint(field << 3 | 2) + varint(len(content) if length is None else length) + content


def message(field: int, *parts: bytes) -> bytes:
    """A field that is a message of ``parts``."""
    return block(field, b"".join(parts))


def blob(shape: list[int], data: bytes, field: int = _DATA) -> bytes:
    return message(_SHAPE, block(_DIM, b"".join(map(varint, shape)))) + block(field, data)


def layer(*blobs: bytes, name: bytes = b"conv", kind: bytes = b"Convolution") -> bytes:
    """A net with one layer of today's form."""
    return message(_NET_LAYER, block(_NAME, name), block(_TYPE, kind), *(block(_BLOBS, each) for each in blobs))


_BIAS = blob([3], bytes(12))


@weights
def damaged_weights(dice: Dice) -> Attack:
    note, data = damage(dice, base("net.caffemodel"))
    return Attack(note, {"net.caffemodel": data}, not data)


@states
def damaged_state(dice: Dice) -> Attack:
    note, data = damage(dice, base("state"))
    return Attack(note, {"state.solverstate": data, STATE_NET: base("net.caffemodel")}, not data)


@means
def damaged_mean(dice: Dice) -> Attack:
    note, data = damage(dice, base("mean"))
    return Attack(note, {"mean.binaryproto": data}, not data)


@means
def damaged_array(dice: Dice) -> Attack:
    note, data = damage(dice, base("mean.npy"))
    return Attack(note, {"mean.npy": data}, not data)


@means
def mean_of_a_hostile_shape(dice: Dice) -> Attack:
    shape = dice.pick([each for each in SHAPES if each != [3, 1, 3, 4]])
    data = blob(shape, bytes(4 * dice.pick([1, 36, 1000])))
    # A shape with a matching count would be a mean.
    return Attack(f"shape {str(shape)[:60]}", {"mean.binaryproto": data}, True)


@means
def mean_of_old_sizes(dice: Dice) -> Attack:
    sizes = [dice.pick([2**31 - 1, -1, 0, 65536]) for _ in range(4)]
    parts = b"".join(number(i + 1, size) for i, size in enumerate(sizes))
    return Attack(f"num, channels, height, width {sizes}", {"mean.binaryproto": parts + block(_DATA, bytes(400))}, True)


@means
def array_with_a_hostile_header(dice: Dice) -> Attack:
    header = dice.pick(
        [
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2147483648, 2147483648), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-3, -4, -5), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }",
            "{'descr': '|O', 'fortran_order': False, 'shape': (3, 4, 5), }",
            "{'descr': '<f4', 'fortran_order': 7, 'shape': (3, 4, 5), }",
            "{'descr': '<M8[s]', 'fortran_order': False, 'shape': (3, 4, 5), }",
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3, 4, 5), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': 60, }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3.0, 4, 5), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': " + "(" * 3000 + ")" * 3000 + ", }",
            "{'descr': '<f4', 'shape': (3, 4, 5), }",
            "[" * 9000,
            "__import__('os').abort()",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 9000 + ",), }",
            "",
            "\0" * 50,
        ]
    )
    text = header.encode() + b"\n"
    version, length = dice.pick([(b"\1\0", 2), (b"\2\0", 4), (b"\3\0", 4), (b"\4\0", 4), (b"\0\0", 2)])
    claimed = len(text) if dice.chance(0.7) else dice.pick([0, 65535, 2 ** (8 * length) - 1])
    data = b"\x93NUMPY" + version + claimed.to_bytes(length, "little") + text + bytes(240)
    return Attack(f"header {header[:60]!r} of {claimed} bytes", {"mean.npy": data}, True)


@means
def pickle(dice: Dice) -> Attack:
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"
    code = b"cos\nsystem\n(S'touch pickled'\ntR."
    data = b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + code
    return Attack("a pickle that runs a command", {dice.pick(["mean.npy", "mean.binaryproto"]): data}, True)


@weights
def hostile_shape(dice: Dice) -> Attack:
    shape = dice.pick(SHAPES)
    count = dice.pick([0, 4, 27, 100_000])
    return Attack(
        f"shape {str(shape)[:60]}, {count} values",
        {"net.caffemodel": layer(blob(shape, bytes(4 * count)), _BIAS)},
        True,
    )


@weights
def another_shape(dice: Dice) -> Attack:
    """A sound blob, and not the one of this layer."""
    shape = dice.pick(
        [[27], [1, 1, 3, 9], [3, 3, 3], [3, 1, 9], [1, 3, 1, 3, 3], [3, 1, 3, 4], [54], [1], [6, 1, 3, 3]]
    )
    net = layer(blob(shape, bytes(4 * math.prod(shape))), _BIAS)
    return Attack(f"a whole blob of shape {shape}", {"net.caffemodel": net}, True)


@weights
def shape_and_data_differ(dice: Dice) -> Attack:
    count = dice.pick([0, 1, 26, 28, 54, 10_000])
    values, name = dice.pick([(_DATA, "floats"), (_DOUBLE, "doubles")])
    data = bytes(count * (4 if values == _DATA else 8))
    net = layer(blob([3, 1, 3, 3], data, values), _BIAS)
    return Attack(f"shape 3 1 3 3, {count} {name}", {"net.caffemodel": net}, True)


@weights
def length_of_packed_values(dice: Dice) -> Attack:
    length = dice.pick([1, 2, 3, 107, 109, 110])
    net = layer(blob([3, 1, 3, 3], bytes(length)), _BIAS)
    return Attack(f"{length} bytes of packed floats", {"net.caffemodel": net}, True)


@weights
def claimed_length(dice: Dice) -> Attack:
    length = dice.pick([2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, 1000])
    kind = dice.below(4)
    data = block(_DATA, bytes(108), length)
    if kind == 0:
        net = message(_NET_LAYER, block(_NAME, b"conv"), block(_BLOBS, data))
    elif kind == 1:
        net = message(_NET_LAYER, block(_NAME, b"conv"), block(_BLOBS, bytes(108), length))
    elif kind == 2:
        net = block(_NET_LAYER, bytes(50), length)
    else:
        net = block(_NET_NAME, b"n", length) + layer(_BIAS)
    return Attack(f"a length of {length} on level {kind}", {"net.caffemodel": net}, True)


@weights
def nested_groups(dice: Dice) -> Attack:
    depth = dice.pick([101, 1000, 10_000, 1_000_000])
    field = dice.pick([1, 7, 100, 5000])
    begin, end = varint(field << 3 | 3), varint(field << 3 | 4)
    closed = dice.chance(0.5)
    return Attack(
        f"{depth} groups in each other", {"net.caffemodel": begin * depth + (end * depth if closed else b"")}, True
    )


@weights
def nested_messages(dice: Dice) -> Attack:
    data = b""
    for _ in range(dice.pick([200, 10_000])):
        data = block(dice.pick([100, 7, 8]), data)
        if len(data) > 1 << 20:
            break
    return Attack("messages in each other", {"net.caffemodel": data})


@weights
def unknown_groups(dice: Dice) -> Attack:
    group = varint(3000 << 3 | 3) + number(1, 5) + block(2, b"x" * 100) + varint(3000 << 3 | 4)
    wrong = varint(3000 << 3 | 3) + varint(3001 << 3 | 4)
    broken = dice.chance(0.5)
    return Attack(
        f"unknown groups, {'wrongly closed' if broken else 'whole'}",
        {STATE_NET: base("net.caffemodel") + (wrong if broken else group * 1000)},
        broken,
    )


@weights
def wire_types(dice: Dice) -> Attack:
    field = dice.pick([_DATA, _SHAPE, _DOUBLE, _NUM])
    wire = dice.pick([0, 1, 2, 3, 4, 5, 6, 7])
    junk = varint(field << 3 | wire) + dice.pick([b"\1", bytes(8), bytes(4), b"\4abcd", b""])
    return Attack(
        f"field {field} of a blob with wire type {wire}",
        {"net.caffemodel": layer(junk + blob([3, 1, 3, 3], b""), _BIAS)},
        True,
    )


@weights
def field_numbers(dice: Dice) -> Attack:
    field = dice.pick([0, 2**29, 2**29 - 1, 2**31, 2**60])
    return Attack(f"field number {field}", {STATE_NET: base("net.caffemodel") + number(field, 1)})


@weights
def singular_twice(dice: Dice) -> Attack:
    twice = dice.below(4)
    if twice == 0:
        # Two shapes are one that has the dimensions of both.
        data = layer(blob([3, 1, 3, 3], bytes(108)) + message(_SHAPE, block(_DIM, varint(2))), _BIAS)
        return Attack("shape twice", {"net.caffemodel": data}, True)
    if twice == 1:
        data = layer(blob([3, 1, 3, 3], bytes(108)) + block(_DATA, bytes(108)), _BIAS)
        return Attack("data twice", {"net.caffemodel": data}, True)
    if twice == 2:
        data = base("net.caffemodel") + block(_NET_NAME, b"again") * 1000
        return Attack("name a thousand times", {"net.caffemodel": data})
    return Attack("the file twice", {STATE_NET: base("net.caffemodel") * 2})


@weights
def old_and_new_sizes(dice: Dice) -> Attack:
    sizes = [dice.pick([0, 1, 3, -1, 2**31 - 1]) for _ in range(4)]
    data = b"".join(number(i + 1, size) for i, size in enumerate(sizes)) + blob([3, 1, 3, 3], bytes(108))
    return Attack(f"a shape and sizes {sizes}", {"net.caffemodel": layer(data, _BIAS)}, sizes != [3, 1, 3, 3])


@weights
def text_of_strings(dice: Dice) -> Attack:
    name = dice.pick([b"\xff\xfe\x00", b"", b"conv\0", b"a" * 1_000_000, b"../../x", "größe".encode("latin-1")])
    data = layer(_BIAS, name=name, kind=dice.pick([b"Convolution", b"\xc3\x28", b""]))
    return Attack(f"a layer named {name[:20]!r}", {"net.caffemodel": data})


@weights
def many_layers(dice: Dice) -> Attack:
    count = dice.pick([1000, 100_000])
    return Attack(f"{count} layers", {"net.caffemodel": layer(_BIAS, name=dice.pick([b"conv", b"other"])) * count})


@weights
def other_kinds_of_file(dice: Dice) -> Attack:
    name, data = dice.pick(
        [
            ("an HTML page", b"<!DOCTYPE html><html><body>404</body></html>"),
            ("an LFS pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"),
            ("zeros", bytes(5000)),
            ("a solver's state", base("state")),
            ("a mean", base("mean")),
            ("a prototxt", b'name: "n"\nlayer { name: "conv" type: "ReLU" }\n'),
            ("an LMDB", base("lmdb")),
            ("a picture", base("jpeg")),
            ("an array", base("mean.npy")),
            ("gzip", b"\x1f\x8b" + bytes(100)),
            ("HDF5's first bytes", b"\x89HDF\r\n\x1a\n" + bytes(500)),
        ]
    )
    return Attack(name, {"net.caffemodel": data}, True)


def old_layer(*blobs: bytes, name: bytes = b"conv", kind: int = 4) -> bytes:
    parts = [block(_V1_NAME, name), number(_V1_TYPE, kind), *(block(_V1_BLOBS, each) for each in blobs)]
    return message(_NET_LAYERS, *parts)


def old_blob(sizes: list[int], data: bytes) -> bytes:
    return b"".join(number(i + 1, size) for i, size in enumerate(sizes)) + block(_DATA, data)


_CONV = old_layer(old_blob([3, 1, 3, 3], bytes(108)), old_blob([1, 1, 1, 3], bytes(12)))
_OLD = _CONV + old_layer(kind=18, name=b"relu")


@old_weights
def damaged_old_weights(dice: Dice) -> Attack:
    note, data = damage(dice, _OLD)
    return Attack(note, {"net.caffemodel": data}, not data)


@old_weights
def no_blobs(dice: Dice) -> Attack:
    return Attack("a convolution without blobs", {"net.caffemodel": old_layer()}, True)


@old_weights
def old_sizes(dice: Dice) -> Attack:
    sizes = [dice.pick([3, 1, 0, -1, 2**31 - 1, -(2**31)]) for _ in range(dice.pick([1, 2, 3, 4]))]
    data = old_layer(old_blob(sizes, bytes(108)), old_blob([1, 1, 1, 3], bytes(12)))
    return Attack(f"sizes {sizes}", {"net.caffemodel": data}, True)


@old_weights
def old_types(dice: Dice) -> Attack:
    kind = dice.pick([-1, 40, 1000, 2**31 - 1, 2**63])
    data = old_layer(old_blob([3, 1, 3, 3], bytes(108)), old_blob([1, 1, 1, 3], bytes(12)), kind=kind)
    return Attack(f"type {kind}", {"net.caffemodel": data})


@old_weights
def both_forms(dice: Dice) -> Attack:
    return Attack("layer and layers", {"net.caffemodel": _OLD + layer(_BIAS)}, True)


@old_weights
def oldest_form(dice: Dice) -> Attack:
    # V1LayerParameter.layer is field 1: V0's name, type, num_output and blobs (50).
    inner = block(1, b"conv") + block(2, dice.pick([b"conv", b"innerproduct", b"\xff", b"nothing", b""]))
    inner += block(50, old_blob(dice.pick([[3, 1, 3, 3], [-1] * 4, [2**31 - 1] * 4]), bytes(108)))
    data = message(_NET_LAYERS, block(1, inner)) * dice.pick([1, 1000])
    return Attack("V0's form", {"net.caffemodel": data})


def _state(iteration: int, learned_net: bytes, *history: bytes) -> dict[str, bytes]:
    parts = number(1, iteration) + block(2, learned_net) + b"".join(block(3, each) for each in history)
    return {"state.solverstate": parts, STATE_NET: base("net.caffemodel")}


@states
def names_of_weights(dice: Dice) -> Attack:
    name = dice.pick(
        [
            b"nowhere",
            b"/",
            b"..",
            STATE_NET.encode() + b"\0",
            b"\xff\xfe",
            b"a" * 100_000,
            b"state.solverstate",
            b"/proc/self/mem",
        ]
    )
    return Attack(f"learned_net {name[:20]!r}", _state(5, name, *[_BIAS] * 9), True)


@states
def histories(dice: Dice) -> Attack:
    shape = dice.pick(SHAPES)
    count = dice.pick([0, 1, 9, 10, 11, 10_000])
    files = _state(5, STATE_NET.encode(), *[blob(shape, bytes(dice.pick([0, 12, 108])))] * count)
    return Attack(f"{count} blobs of shape {str(shape)[:40]}", files, True)


@states
def iterations(dice: Dice) -> Attack:
    data = base("state") + number(1, dice.pick([-1, -(2**31), 2**40 - 1]))
    return Attack("an iteration below zero", {"state.solverstate": data, STATE_NET: base("net.caffemodel")}, True)


@states
def other_files_as_state(dice: Dice) -> Attack:
    name = dice.pick(["net.caffemodel", "mean", "lmdb", "jpeg", "mean.npy"])
    return Attack(f"a file of another kind: {name}", {"state.solverstate": base(name)}, True)
