"""Every built-in layer type runs on the GPU: by a case of the contract suite, or by tests that take a backend."""

from __future__ import annotations

import ast

import cupy
import pytest

from caffepy.devices import get_backend
from caffepy.layer import get_layer_class
from caffepy.testing import Case, LayerUnderTest
from tests.test_contract import CASES, ROOT, WITHOUT_CASES, _built_in, _type_of

_FIXTURES = {"backend", "device"}


def _first_cases() -> dict[str, Case]:
    first: dict[str, Case] = {}
    for _, case in CASES:
        first.setdefault(_type_of(case), case)
    return first


_FIRST = _first_cases()


def _on_each_backend(path) -> list[str]:
    """The tests of a file that run once for each backend, in which they make a pass."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    return [node.name for node in functions if _FIXTURES & {argument.arg for argument in node.args.args}]


@pytest.mark.parametrize("name", _built_in())
def test_the_table(name):
    if name in WITHOUT_CASES:
        assert _on_each_backend(ROOT / WITHOUT_CASES[name].rpartition(": ")[2])
    else:
        assert name in _FIRST


@pytest.mark.parametrize("dtype", ["float32"])
@pytest.mark.parametrize("name", sorted(_FIRST))
def test_a_pass_on_the_device(gpu, name):
    """Arrays of the device in and out, and what a layer keeps on the device is there."""
    made = LayerUnderTest(_FIRST[name], gpu)
    try:
        assert isinstance(made.layer, get_layer_class(name))
        result = made.run()
        host = LayerUnderTest(_FIRST[name], get_backend("cpu", "float32", 1))
        expected = host.run()
        assert [top.shape for top in result.tops] == [top.shape for top in expected.tops]
        assert all(isinstance(blob.data, gpu.xp.ndarray) for blob in [*made.bottom, *made.top, *made.layer.blobs])
    finally:
        made.close()


class _Requests(cupy.cuda.MemoryHook):
    """Sizes of what is asked of CuPy's pool."""

    def __init__(self):
        self.sizes = []

    def malloc_preprocess(self, **arguments):
        self.sizes.append(arguments["size"])


@pytest.mark.parametrize("dtype", ["float32"])
@pytest.mark.parametrize("file", sorted({file for file, _ in CASES}))
def test_passes_ask_for_no_memory(gpu, file):
    """Not for a single number either, in any case: from the second pass on all of it is there."""
    for case in (case for other, case in CASES if other == file):
        made = LayerUnderTest(case, gpu)
        try:
            for _ in range(2):
                made.run()
            made.set_diffs(made.draw_top_diffs())
            with _Requests() as requests:
                made.layer.reshape(made.bottom, made.top)
                made.layer.forward(made.bottom, made.top)
                made.layer.backward(made.top, list(made.propagate), made.bottom)
            assert not requests.sizes, case.title
        finally:
            made.close()
