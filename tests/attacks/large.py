"""Hostile files that are large: one each, with the time and memory that they may take.

``python -m tests.attacks.large SIZE 3 5`` carries out the third and the fifth of `LARGE` as `tests.attacks.run` does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from tests.attacks import generate, run
from tests.attacks.binary_files import block, layer, message
from tests.attacks.generate import Attack

__all__ = ["LARGE"]

_INPUT = 'layer { name: "in" type: "Input" top: "t0" input_param { shape { dim: 1 } } }\n'


def _net(text: str) -> Attack:
    return Attack("", {"net.prototxt": text.encode()}, True, victim="net")


def layers_in_a_row(size: int) -> Attack:
    row = (f'layer {{ name: "l{i}" type: "ReLU" bottom: "t{i}" top: "t{i + 1}" }}\n' for i in range(size))
    return _net(_INPUT + "".join(row))


def one_bottom_that_nobody_makes(size: int) -> Attack:
    """Behind as many layers as a net may have: looking for the nearest name must not take for ever."""
    row = (f'layer {{ name: "l{i}" type: "Silence" bottom: "t0" }}\n' for i in range(size // 10))
    tops = "".join(f' top: "top{i}"' for i in range(size // 10))
    wide = f'layer {{ name: "wide" type: "DummyData" {tops} dummy_data_param {{ shape {{ dim: 1 }} }} }}\n'
    return _net(_INPUT + wide + "".join(row) + 'layer { name: "last" type: "ReLU" bottom: "tpo5" top: "y" }')


def old_layers(size: int) -> Attack:
    return _net('layers { name: "l" type: SILENCE bottom: "x" }\n' * size)


def layers_of_one_name(size: int) -> Attack:
    return _net(_INPUT * size)


def a_name_of_a_hundred_megabytes(size: int) -> Attack:
    return _net(f'layer {{ name: "{"a" * (size * 100)}" type: "ReLU" bottom: "x" top: "y" }}')


def a_number_of_a_hundred_megabytes(size: int) -> Attack:
    return _net(f"layer {{ phase: {'9' * (size * 100)} }}")


def a_word_of_a_hundred_megabytes(size: int) -> Attack:
    return _net("a" * (size * 100))


def a_string_without_end(size: int) -> Attack:
    return _net('name: "' + "\\\\" * (size * 50))


def brackets(size: int) -> Attack:
    return _net("layer {" * size)


def lists_in_lists(size: int) -> Attack:
    return _net("layer { bottom: " + "[" * size)


def bottoms(size: int) -> Attack:
    return _net(_INPUT + 'layer { name: "c" type: "Concat" top: "y"' + ' bottom: "t0"' * size + ' bottom: "none" }')


def rules(size: int) -> Attack:
    text = _INPUT.replace("}\n", "include { min_level: 1 } " * size + 'exclude { stage: "x" } }\n')
    return _net(text)


def dimensions(size: int) -> Attack:
    return _net('layer { name: "in" type: "Input" top: "x" input_param { shape {' + " dim: 1" * size + " } } }")


def num_output(size: int) -> Attack:
    text = 'layer {{ name: "ip" type: "InnerProduct" bottom: "t0" top: "y" inner_product_param {{ num_output: {} }} }}'
    return _net(_INPUT.replace("dim: 1", "dim: [1, 4]") + text.format(2**31))


def layers_of_weights(size: int) -> Attack:
    other = layer(name=b"other") * size
    return Attack("", {"net.caffemodel": other + layer(block(5, bytes(8)))}, True, victim="caffemodel")


def a_shape_of_a_million_axes(size: int) -> Attack:
    data = layer(message(7, block(1, b"\1" * size)) + block(5, bytes(4)), block(5, bytes(12)))
    return Attack("", {"net.caffemodel": data}, True, victim="caffemodel")


def values_by_the_million(size: int) -> Attack:
    """Values that are not packed: five bytes each in the file."""
    data = layer(b"\x2d\0\0\0\0" * (size * 10), block(5, bytes(12)))
    return Attack("", {"net.caffemodel": data}, True, victim="caffemodel")


def a_list_of_a_million_lines(size: int) -> Attack:
    return Attack("", {"list.txt": b"a b.jpg 1\n" * size + b"x"}, True, victim="list")


def test_iterations(size: int) -> Attack:
    from tests.attacks.bases import NET, SOLVER

    text = SOLVER + "test_iter: 1\n" * size
    return Attack("", {"solver.prototxt": text.encode(), "net.prototxt": NET.encode()}, True, victim="solver")


_ALL: list[Callable[[int], Attack]] = [
    layers_in_a_row, one_bottom_that_nobody_makes, old_layers, layers_of_one_name, a_name_of_a_hundred_megabytes,
    a_number_of_a_hundred_megabytes, a_word_of_a_hundred_megabytes, a_string_without_end, brackets, lists_in_lists,
    bottoms, rules, dimensions, num_output, layers_of_weights, a_shape_of_a_million_axes, values_by_the_million,
    a_list_of_a_million_lines, test_iterations,
]  # fmt: skip
LARGE = {make.__name__: make for make in _ALL}


if __name__ == "__main__":
    size, *numbers = map(int, sys.argv[1:])
    made = list(LARGE.values())
    generate.attack = lambda number: made[number](size)
    run.MEMORY, run.SECONDS = 3 << 30, 300.0
    run.main(numbers)
