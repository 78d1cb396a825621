"""check_layer: everything that every layer must satisfy, run for one case on one or more backends.

For authors of custom layers::

    from caffepy.testing import case, check_gradient, check_layer

    def test_swish2():
        setting = case('type: "Swish2"', bottoms=[(2, 3, 4)], reference=lambda bottoms, blobs: [...])
        check_layer(setting)
        check_gradient(setting)

The checks, by name (the keys of `CHECKS`): what a layer cannot pass is named in ``Case.waived`` with the reason.

========================  ============================================================================================
``counts``                the case has as many bottoms and tops as the class declares
``reference``             the tops equal the case's reference (blobs, its blobs_after), in float32 and float64
``stale_memory``          no NaN comes out when tops, diffs and scratch held NaN before: nothing is read unwritten
``repeat``                a second pass gives the same bits; bottom diffs are overwritten
``keeps_inputs``          forward leaves bottoms and blobs alone, backward all data and the tops' diffs
``accumulate``            learnable blobs' diffs accumulate: two backward passes give twice the diff
``propagate_down``        a bottom for which propagate_down is false keeps its diff, and the others get theirs
``param_propagate_down``  the same for learnable blobs
``in_place``              where the class declares in_place: top and bottom as one blob give the same data and diffs
``batch``                 batch 1, and another batch size and back, work
``allocation``            reshape to the same shape, forward and backward allocate no arrays
``dtype``                 float32 and float64 agree
``threads``               one thread and two agree, and two give the same bits each time
========================  ============================================================================================
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing.case import Case
from caffepy.testing.compare import Values, assert_close, assert_finite, assert_same_bits
from caffepy.testing.layer_under_test import LayerUnderTest, Pass, counted, poisoned
from caffepy.testing.tolerances import Tolerance, kind_of, tolerance

__all__ = ["CHECKS", "check_layer"]

#: Bytes that a pass may take and give back: Python's objects, NumPy's casting buffers, but no array of a blob's size.
ALLOCATION_LIMIT = 64 * 1024
# The largest bottom in the allocation check, so that a temporary of even a fraction of it stands out.
_LARGE = 1024 * 1024

Check = Callable[[Case, str], None]


def _build(case: Case, device: str, dtype: str = "float32", in_place: Sequence[int] = ()) -> LayerUnderTest:
    return LayerUnderTest(case, poisoned(get_backend(device, dtype)), in_place=in_place)


def _near(case: Case, under: LayerUnderTest) -> Tolerance:
    return tolerance(case.kind or kind_of(under.layer.type), under.backend.dtype)


def _check_reference(case: Case, under: LayerUnderTest, tops: list[Values], when: str) -> None:
    """Compare the tops with ``case.reference``, and what forward left of the learnable blobs with ``blobs_after``."""
    for reference, results, word in (
        (case.reference, tops, "top"),
        (case.blobs_after, [under.copy(blob.data) for blob in under.layer.blobs], "blobs"),
    ):
        if reference is None:
            continue
        expected = list(reference([v.copy() for v in under.values], [v.copy() for v in under.blob_values]))
        if len(expected) != len(results):
            raise AssertionError(f"the reference of {word} gives {len(expected)} arrays, the layer has {len(results)}.")
        for i, (got, want) in enumerate(zip(results, expected, strict=True)):
            assert_close(got, want, _near(case, under), f"{word}[{i}] differs from the reference ({when})")


def _compare(left: Pass, right: Pass, near: Tolerance | None, what: str) -> None:
    """Compare all arrays of two passes: to the bit where ``near`` is None."""
    for name in ("tops", "bottom_diffs", "blob_diffs"):
        for i, (a, b) in enumerate(zip(getattr(left, name), getattr(right, name), strict=True)):
            place = {"tops": "top[{}].data", "bottom_diffs": "bottom[{}].diff", "blob_diffs": "blobs[{}].diff"}[name]
            text = f"{place.format(i)} {what}"
            if near is None:
                assert_same_bits(a, b, text)
            elif not (np.isnan(a).all() and np.isnan(b).all() and a.size):  # a bottom without a gradient
                assert_close(a, b, near, text)


def _counts(case: Case, device: str) -> None:
    under = _build(case, device)
    kind = type(under.layer)
    for word, number, (least, most) in (
        ("bottoms", len(case.bottoms), kind.bottoms),
        ("tops", case.tops, kind.tops),
    ):
        if number < least or (most is not None and number > most):
            limits = f"{least} to {'any number' if most is None else most}"
            raise AssertionError(f"{kind.__name__}.{word} declares {limits} {word}; the case has {number}.")
    if kind.equal_bottoms_tops and len(case.bottoms) != case.tops:
        numbers = f"{len(case.bottoms)} bottoms and {case.tops} tops"
        raise AssertionError(f"{kind.__name__} declares equal_bottoms_tops; the case has {numbers}.")


def _reference(case: Case, device: str) -> None:
    for dtype in ("float32", "float64"):
        under = _build(case, device, dtype)
        tops = under.forward()
        for i, top in enumerate(under.top):
            if top.data.dtype != dtype:
                raise AssertionError(
                    f"top[{i}]: expected {dtype}, got {top.data.dtype}; did the layer replace the array?"
                )
        _check_reference(case, under, tops, dtype)


def _stale_memory(case: Case, device: str) -> None:
    under = _build(case, device)
    for turn in ("first", "second"):
        result = under.run()
        for i, top in enumerate(result.tops):
            assert_finite(
                top, f"top[{i}] after the {turn} forward: memory was read before it was written, or not written"
            )
        for i, diff in enumerate(result.bottom_diffs):
            if under.propagate[i]:
                assert_finite(
                    diff, f"bottom[{i}].diff after the {turn} backward: stale memory was read, or not written"
                )
        for j, diff in enumerate(result.blob_diffs):
            assert_finite(diff, f"blobs[{j}].diff after the {turn} backward: memory was read before it was written")


def _repeat(case: Case, device: str) -> None:
    under = _build(case, device)
    first = under.run()
    _compare(under.run(), first, None, "of a second pass differs from the first")


def _keeps_inputs(case: Case, device: str) -> None:
    under = _build(case, device)
    under.forward()
    for i, (blob, values) in enumerate(zip(under.bottom, under.values, strict=True)):
        assert_same_bits(under.copy(blob.data).astype(np.float64), values, f"forward changed bottom[{i}].data")
    tops = [under.copy(top.data) for top in under.top]
    under.clear_blob_diffs()
    diffs = under.draw_top_diffs()
    under.backward(diffs)
    for i, (blob, values) in enumerate(zip(under.bottom, under.values, strict=True)):
        assert_same_bits(under.copy(blob.data).astype(np.float64), values, f"backward changed bottom[{i}].data")
    if case.blobs_after is None:
        for j, (blob, values) in enumerate(zip(under.layer.blobs, under.blob_values, strict=True)):
            what = f"a pass changed blobs[{j}].data; where it should, say to what by the case's blobs_after"
            assert_same_bits(under.copy(blob.data).astype(np.float64), values, what)
    for i, top in enumerate(under.top):
        assert_same_bits(under.copy(top.data), tops[i], f"backward changed top[{i}].data")
        assert_same_bits(under.copy(top.diff).astype(np.float64), diffs[i], f"backward changed top[{i}].diff")


def _accumulate(case: Case, device: str) -> None:
    under = _build(case, device)
    once = under.run().blob_diffs
    diffs = under.draw_top_diffs()
    under.backward(diffs)
    near = _near(case, under)
    # An update that is exact in itself is still two roundings when it is added.
    near = Tolerance(max(near.rtol, 1e-5), max(near.atol, 1e-6))
    for j, twice in enumerate(under.blob_diffs()):
        assert_close(
            twice,
            2 * once[j],
            near,
            f"blobs[{j}].diff after two backward passes is not twice that of one: diffs accumulate",
        )


def _propagate_down(case: Case, device: str) -> None:
    under = _build(case, device)
    reference = under.run()
    diffs = under.draw_top_diffs()
    open_bottoms = [i for i, possible in enumerate(under.propagate) if possible]
    for closed in [{i} for i in open_bottoms] + ([set(open_bottoms)] if len(open_bottoms) > 1 else []):
        under.forward()
        under.set_diffs(diffs)
        before = [under.copy(blob.diff) for blob in under.bottom]
        propagate = [possible and i not in closed for i, possible in enumerate(under.propagate)]
        after = under.backward(diffs, propagate)
        for i, diff in enumerate(after):
            if not propagate[i]:
                assert_same_bits(diff, before[i], f"bottom[{i}].diff was written although propagate_down[{i}] is false")
            else:
                text = f"bottom[{i}].diff is another when propagate_down of bottom {sorted(closed)} is false"
                assert_close(diff, reference.bottom_diffs[i], _near(case, under), text)


def _param_propagate_down(case: Case, device: str) -> None:
    under = _build(case, device)
    reference = under.run()
    count = len(under.layer.blobs)
    closings = [{j} for j in range(count)] + ([set(range(count))] if count > 1 else [])
    for closed in closings:
        under.forward()
        under.layer.param_propagate_down = [j not in closed for j in range(count)]
        under.clear_blob_diffs(0.0)
        for j in closed:
            under.layer.blobs[j].diff[...] = 7.0
        under.backward(under.draw_top_diffs())
        for j, diff in enumerate(under.blob_diffs()):
            if j in closed:
                what = f"blobs[{j}].diff was written although param_propagate_down[{j}] is false"
                assert_same_bits(diff, np.full_like(diff, 7.0), what)
            else:
                what = f"blobs[{j}].diff is another when param_propagate_down of blobs {sorted(closed)} is false"
                assert_close(diff, reference.blob_diffs[j], _near(case, under), what)


def _in_place(case: Case, device: str) -> None:
    apart = _build(case, device)
    pairs = min(len(case.bottoms), case.tops) if apart.layer.in_place else 0
    expected = apart.run() if pairs else None
    for i in range(pairs):
        assert expected is not None
        try:
            under = _build(case, device, in_place=[i])
            got = under.run()
        except LayerError as error:
            # A layer may refuse by its settings, if it says so.
            if "place" in str(error):
                continue
            raise
        what = f"in place (top[{i}] is bottom[{i}]) differs from apart; set in_place = False if the layer needs both"
        # Blob i holds the top's data after forward and the bottom's diff after backward, in both lists.
        _compare(got, expected, _near(case, under), what)


def _batch(case: Case, device: str) -> None:
    if not case.bottoms or not case.bottoms[0]:
        return
    under = _build(case, device)
    own, own_values = case.with_batch(case.bottoms[0][0]), under.values
    first = under.run()
    for size in (1, own[0][0] + 3):
        under.resize(case.with_batch(size))
        result = under.run()
        for i, top in enumerate(result.tops):
            assert_finite(top, f"top[{i}] at batch {size} after batch {own[0][0]}")
        _check_reference(case, under, result.tops, f"float32, batch {size} after batch {own[0][0]}")
        fresh = LayerUnderTest(case, under.backend, shapes=case.with_batch(size))
        fresh.values, fresh.blob_values = under.values, under.blob_values
        _compare(result, fresh.run(), None, f"at batch {size} after another size differs from a layer made for {size}")
    under.values = own_values
    _compare(under.run(), first, None, "differs after another batch size and back")


def _peak(call: Callable[[], None], xp: Any) -> int:
    """Bytes that ``call`` takes: at the most at a time on the host; on a device all, whether or not given back."""
    if xp is not np:
        return _asked_of_device(call, xp)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    call()
    return tracemalloc.get_traced_memory()[1] - before


def _asked_of_device(call: Callable[[], None], xp: Any) -> int:
    sizes: list[int] = []

    class Hook(xp.cuda.MemoryHook):  # type: ignore[misc]
        name = "caffepy"

        def malloc_postprocess(self, **what: int) -> None:
            sizes.append(what["size"])

    with Hook():
        call()
    return sum(sizes)


def _large_shapes(case: Case) -> list[tuple[int, ...]]:
    if not case.bottoms or "batch" in case.waived:
        return [tuple(shape) for shape in case.bottoms]
    item = max(int(np.prod(shape)) for shape in case.with_batch(1))
    return case.with_batch(max(1, _LARGE // 4 // max(item, 1)))


def _allocation(case: Case, device: str) -> None:
    backend, asked = counted(get_backend(device, "float32", 2))
    under = LayerUnderTest(case, backend, shapes=_large_shapes(case))
    under.run()
    under.run()
    diffs = under.draw_top_diffs()
    layer, bottom, top = under.layer, under.bottom, under.top
    propagate = list(under.propagate)
    under.set_diffs(diffs)
    was_tracing = tracemalloc.is_tracing()
    if not was_tracing:
        tracemalloc.start()
    try:
        for name, call in (
            ("reshape to the same shapes", lambda: layer.reshape(bottom, top)),
            ("forward", lambda: layer.forward(bottom, top)),
            ("backward", lambda: layer.backward(top, propagate, bottom)),
        ):
            asked.clear()
            # The least of two: an allocation of the layer's own comes each time, one of the interpreter's does not.
            peak = min(_peak(call, backend.xp), _peak(call, backend.xp))
            where = f"(bottoms {[blob.shape for blob in bottom]}); expected at most {ALLOCATION_LIMIT:,}. "
            advice = "Reserve memory in reshape when the shapes change, and write into it with out=."
            if peak > ALLOCATION_LIMIT:
                raise AssertionError(f"{name} allocates {peak:,} bytes at its peak {where}{advice}")
            # An array that replaces one of its own size leaves the peak as it was.
            if sum(asked) > ALLOCATION_LIMIT:
                raise AssertionError(f"{name} asks the backend for {sum(asked) // 2:,} bytes {where}{advice}")
    finally:
        if not was_tracing:
            tracemalloc.stop()
    under.close()


def _dtype(case: Case, device: str) -> None:
    single, double = _build(case, device, "float32"), _build(case, device, "float64")
    _compare(single.run(), double.run(), _near(case, single), "in float32 differs from float64")


def _threads(case: Case, device: str) -> None:
    shapes = None if "batch" in case.waived or not case.bottoms else case.with_batch(5)
    one = LayerUnderTest(case, poisoned(get_backend(device, "float32", 1)), shapes)
    two = LayerUnderTest(case, poisoned(get_backend(device, "float32", 2)), shapes)
    expected, first = one.run(), two.run()
    _compare(first, expected, _near(case, one), "with two threads differs from one")
    _compare(two.run(), first, None, "with two threads differs from one run to the next")


#: Every check by its name in ``Case.waived``.
CHECKS: dict[str, Check] = {
    "counts": _counts,
    "reference": _reference,
    "stale_memory": _stale_memory,
    "repeat": _repeat,
    "keeps_inputs": _keeps_inputs,
    "accumulate": _accumulate,
    "propagate_down": _propagate_down,
    "param_propagate_down": _param_propagate_down,
    "in_place": _in_place,
    "batch": _batch,
    "allocation": _allocation,
    "dtype": _dtype,
    "threads": _threads,
}


def _run_one(name: str, check: Check, case: Case, device: str) -> Exception | None:
    reason = case.waived.get(name)
    try:
        check(case, device)
    except Exception as error:
        return error if reason is None else None
    # Of a device's own arrays only those are seen that the backend was asked for.
    seen = name != "allocation" or device == "cpu"
    if reason is not None and seen:
        return AssertionError(f"is waived ({reason}) but passes: take it out of the case's waived.")
    return None


def check_layer(case: Case, backends: str | Sequence[str] = ("cpu",)) -> None:
    """Run every check of this module for ``case`` on each of ``backends``.

    Args:
        case: one setting of a registered layer.
        backends: device names for `caffepy.devices.get_backend`, one or more.

    Raises:
        AssertionError: lists every check that failed, with the blob, what was expected and what was got.
    """
    unknown = sorted(set(case.waived) - set(CHECKS))
    if unknown:
        raise AssertionError(f"{case.title}: waived names no check: {', '.join(unknown)}. Checks: {', '.join(CHECKS)}.")
    failures: dict[str, list[str]] = {}
    cause: Exception | None = None
    for device in [backends] if isinstance(backends, str) else backends:
        for name, check in CHECKS.items():
            error = _run_one(name, check, case, device)
            if error is not None:
                cause = cause or error
                text = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
                failures.setdefault(text, []).append(f"{device} {name}")
    if failures:
        lines = [f"  {', '.join(where)}: {text}" for text, where in failures.items()]
        raise AssertionError(
            f"{case.title}: fails {sum(map(len, failures.values()))} checks\n" + "\n".join(lines)
        ) from cause
