"""Every registered layer x each case of its test file x every backend, through the kit of `caffepy.testing`."""

from __future__ import annotations

import importlib
import re
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.layer import get_layer_class, layer_types
from caffepy.testing import Case, LayerUnderTest, check_gradient, check_layer

ROOT = Path(__file__).parents[1]
FILES = sorted(path.stem for path in (ROOT / "caffepy/layers").glob("*.py") if not path.stem.startswith("_"))

#: Layers that the kit cannot run by themselves, and where they are tested instead.
WITHOUT_CASES = {
    "Data": "reads a database: tests/layers/test_data.py",
    "HDF5Data": "reads HDF5 files: tests/layers/test_hdf5_data.py",
    "HDF5Output": "writes a file and has no tops: tests/layers/test_hdf5_output.py",
    "ImageData": "reads image files: tests/layers/test_image_data.py",
    "MemoryData": "shows what the caller gives it: tests/layers/test_memory_data.py",
    "Python": "runs the user's code, which a case cannot allow: tests/layers/test_python.py",
    "WindowData": "reads a window file: tests/layers/test_window_data.py",
    "Input": "its tops hold what the user writes there: tests/layers/test_input.py",
}


def _cases() -> tuple[list[tuple[str, Case]], dict[str, str]]:
    """(file, case) of every test file, and files that cannot be imported."""
    cases, broken = [], {}
    for file in FILES:
        try:
            module = importlib.import_module(f"tests.layers.test_{file}")
        except Exception as error:
            broken[file] = f"{type(error).__name__}: {error}"
            continue
        cases += [(file, case) for case in getattr(module, "CASES", [])]
    return cases, broken


CASES, BROKEN = _cases()


def _type_of(case: Case) -> str:
    from caffepy.proto.read import parse_net

    return parse_net(f"layer {{ {case.prototxt} }}")[0].layer[0].type


def _built_in() -> list[str]:
    return [name for name in layer_types() if get_layer_class(name).__module__.startswith("caffepy.layers.")]


def _ids() -> list[str]:
    numbers: dict[str, int] = {}
    ids = []
    for file, case in CASES:
        numbers[file] = numbers.get(file, -1) + 1
        ids.append(f"{file}-{case.label.replace(' ', '_') or numbers[file]}")
    return ids


@pytest.mark.parametrize("file", FILES)
def test_the_cases_of_each_file_can_be_imported(file):
    assert file not in BROKEN, BROKEN[file]


@pytest.mark.parametrize("name", _built_in())
def test_every_layer_has_cases(name):
    covered = {_type_of(case) for _, case in CASES}
    if name in WITHOUT_CASES:
        assert name not in covered, f"{name} has CASES: take it out of WITHOUT_CASES."
        where = ROOT / WITHOUT_CASES[name].rpartition(": ")[2]
        assert where.is_file(), f"{where} is missing"
    else:
        module = get_layer_class(name).__module__.rpartition(".")[2]
        assert name in covered, f"layer {name} has no case: add CASES to tests/layers/test_{module}.py"


def test_no_exception_is_left_over():
    assert set(WITHOUT_CASES) <= set(_built_in())


def test_each_waiver_gives_a_reason():
    assert not [(file, name) for file, case in CASES for name, why in case.waived.items() if len(why.split()) < 3]


@pytest.mark.parametrize(("file", "case"), CASES, ids=_ids())
def test_layer(file, case, backend):
    check_layer(case, backend)


@pytest.mark.parametrize(("file", "case"), CASES, ids=_ids())
def test_gradient(file, case, backend):
    check_gradient(case, backend)


def _without_items(case: Case) -> bool:
    return bool(case.bottoms and case.bottoms[0]) and "batch" not in case.waived


#: Layers that refuse a batch of none where their axis is the first, with the words.
REFUSE_EMPTY = {"ArgMax": "top_k must be less than or equal to the dimension of the axis"}


def _refuses_empty(case: Case) -> bool:
    return _type_of(case) in REFUSE_EMPTY and "axis: -2" in case.prototxt and len(case.bottoms[0]) == 2


@pytest.mark.parametrize(
    ("file", "case"),
    [pytest.param(*pair, id=i) for pair, i in zip(CASES, _ids(), strict=True) if _without_items(pair[1])],
)
def test_a_batch_of_no_items(file, case, backend):
    """Filter makes such batches. Nothing is learnt from them, and what is remembered stays as it was."""
    with pytest.raises(LayerError) if _refuses_empty(case) else nullcontext() as refusal:
        made = LayerUnderTest(case, get_backend(backend), case.with_batch(0))
        result = made.run()
    if refusal is not None:
        assert re.match(rf"layer 'under_test' .*{REFUSE_EMPTY[_type_of(case)]}", str(refusal.value))
        return
    for diff, blob in zip(result.blob_diffs, made.layer.blobs, strict=True):
        assert not diff.any()
        assert np.isfinite(blob.data).all()
    mean_of_nothing = "operation: MEAN" in case.prototxt and made.layer.shape[1] == 0
    for top, blob in zip(result.tops, made.top, strict=True):
        assert top.shape == blob.shape
        assert np.isfinite(top).all() or mean_of_nothing
        if made.layer.loss:
            assert not top.any()
