"""check_gradient: backward against central differences of forward, in float64.

The loss is a sum over the tops of fixed random weights times values; backward is given the weights as the tops' diffs.
For each bottom and each learnable blob by itself, and along a few random directions v,

    (loss(x + h v) - loss(x - h v)) / 2h    is compared with    sum(diff * v)

so a check costs a few forward passes whatever the size, and a failure names the blob. ``exhaustive=True`` takes every
element as a direction of its own, as Caffe's gradient checker does: for tiny shapes.

Kinks: inputs within ``Case.kink`` of ``Case.kink_at`` are moved away first. Others, such as the ties of a maximum, are
dodged: where a direction disagrees the step is made smaller, twice; a kink then falls outside, a wrong backward stays.
Where it still disagrees, the direction is halved down to single elements. One whose diff lies between the slopes on its
two sides is at a kink, and there may be a few such, as two equal numbers are under one window of thousands; the first
other one is the culprit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffepy.devices import get_backend
from caffepy.testing.case import Case
from caffepy.testing.layer_under_test import LayerUnderTest, poisoned
from caffepy.testing.tolerances import Tolerance, tolerance

__all__ = ["Comparison", "check_gradient", "compare_gradients"]

Values = NDArray[Any]

# A failure is searched for its worst element among this many.
_EXAMINED = 200
_SHRINK = (1.0, 0.1, 0.01)
# Of so many elements one may be at a kink: of the first thousands, and of all others.
_PER_KINK = (1_000, 100_000)
_FEW_KINKS = 8


@dataclass(frozen=True)
class Comparison:
    """What backward gave for one blob, against differences of forward.

    Attributes:
        name: ``bottom[0]`` or ``blobs[1]``.
        size: how many values it has.
        error: the largest difference met, relative to the sum of the magnitudes that were added; infinite for NaN.
        effect: whether anything but zeros was compared.
        failure: both derivatives and the worst element, or the empty string.
        skipped: why nothing was compared, or the empty string.
    """

    name: str
    size: int
    error: float = 0.0
    effect: bool = False
    failure: str = ""
    skipped: str = ""


class _Probe:
    """A layer, its loss, and one of its blobs at a time to move."""

    def __init__(self, case: Case, device: str, near: Tolerance) -> None:
        self.near = near
        self.under = LayerUnderTest(case, poisoned(get_backend(device, "float64")))
        _leave_kinks(case, self.under)
        self.under.forward()
        self.under.clear_blob_diffs()
        self.top_diffs = self.under.draw_top_diffs()
        asked = _gradient_bottoms(case, self.under)
        self.bottom_diffs = self.under.backward(self.top_diffs, [i in asked for i in range(len(self.under.bottom))])
        self.blob_diffs = self.under.blob_diffs()

    def tops(self) -> list[Values]:
        """The tops for the values as they are now."""
        return self.under.forward()

    def change(self, after: list[Values], before: list[Values]) -> float:
        """By how much the loss differs; tops without a gradient do not count.

        Differences are taken before they are summed: those of tops that did not move are exactly zero.
        """
        return sum(
            float(np.vdot(weight, a - b))
            for weight, a, b in zip(self.top_diffs, after, before, strict=True)
            if not np.isnan(weight).any()
        )

    def slope(self, values: Values, direction: Values, step: float) -> float:
        """The central difference along ``direction``; ``values`` are put back."""
        above, below = self._moved(values, direction, (step, -step))
        return self.change(above, below) / (2 * step)

    def slopes(self, values: Values, direction: Values, step: float) -> tuple[float, float]:
        """The differences on the one side and on the other."""
        above, here, below = self._moved(values, direction, (step, 0.0, -step))
        return self.change(above, here) / step, self.change(here, below) / step

    def repeats(self) -> bool:
        """Whether a second pass gives the same."""
        return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(self.tops(), self.tops(), strict=True))

    def _moved(self, values: Values, direction: Values, steps: Sequence[float]) -> list[list[Values]]:
        kept = values.copy()
        tops = []
        try:
            for step in steps:
                values[...] = kept + step * direction
                tops.append(self.tops())
        finally:
            values[...] = kept
        return tops


def _gradient_bottoms(case: Case, under: LayerUnderTest) -> list[int]:
    return list(case.gradient) if case.gradient is not None else [i for i, p in enumerate(under.propagate) if p]


def _leave_kinks(case: Case, under: LayerUnderTest) -> None:
    """Move values that are near a kink to its edge; labels stay."""
    for index in _gradient_bottoms(case, under) if case.kink > 0 else []:
        values = under.values[index]
        offset = values - case.kink_at
        near = np.abs(offset) < case.kink
        values[near] = case.kink_at + np.where(offset[near] < 0, -case.kink, case.kink)


def _directions(shape: tuple[int, ...], count: int, random: np.random.Generator) -> Iterator[Values]:
    for _ in range(count):
        # Away from zero, so that no element's part vanishes.
        yield random.uniform(0.5, 1.0, shape) * random.choice([-1.0, 1.0], shape)


def _elements(shape: tuple[int, ...], most: int | None, random: np.random.Generator) -> Iterator[Values]:
    size = int(np.prod(shape))
    chosen = np.arange(size) if most is None or size <= most else np.sort(random.choice(size, most, replace=False))
    for flat in chosen:
        direction = np.zeros(size)
        direction[flat] = 1.0
        yield direction.reshape(shape)


def _agree(probe: _Probe, values: Values, diff: Values, direction: Values, step: float) -> tuple[bool, float, float]:
    """Whether the slope and the derivative along ``direction`` agree at some step, and both."""
    near = probe.near
    got, scale = _derivative(diff, direction)
    expected = float("nan")
    for shrink in _SHRINK:
        slope = probe.slope(values, direction, step * shrink)
        # The widest step is the most exact one, and the one to report.
        expected = slope if np.isnan(expected) else expected
        if abs(slope - got) <= near.atol / shrink + near.rtol * max(scale, abs(slope)):
            return True, slope, got
    return False, expected, got


def _derivative(diff: Values, direction: Values) -> tuple[float, float]:
    """Along ``direction``, and the sum of the magnitudes that were added."""
    part = diff * direction
    return float(part.sum()), float(np.abs(part).sum())


def _culprit(
    probe: _Probe, values: Values, diff: Values, direction: Values, step: float, kinks: list[Values]
) -> Values | None:
    """A single element, as a direction, in which ``direction`` disagrees; None where only kinks make it, noted."""
    if _agree(probe, values, diff, direction, step)[0]:
        return None
    chosen = np.flatnonzero(direction)
    if len(chosen) == 1:
        element = np.abs(np.sign(direction))
        allowed = min(_FEW_KINKS, values.size // _PER_KINK[0]) + values.size // _PER_KINK[1]
        if len(kinks) < allowed and _is_kink(probe, values, diff, element, step):
            kinks.append(element)
            return None
        return element
    for half in np.array_split(chosen, 2):
        part = np.zeros(direction.size)
        part[half] = direction.flat[half]
        found = _culprit(probe, values, diff, part.reshape(direction.shape), step, kinks)
        if found is not None:
            return found
    return None


def _is_kink(probe: _Probe, values: Values, diff: Values, element: Values, step: float) -> bool:
    """Whether the slopes on both sides of an element differ, and its diff lies between them."""
    shrink = _SHRINK[-1]
    right, left = probe.slopes(values, element, step * shrink)
    got, size = _derivative(diff, element)
    slack = probe.near.atol / shrink + probe.near.rtol * max(size, abs(right), abs(left))
    return abs(right - left) > 2 * slack and min(right, left) - slack <= got <= max(right, left) + slack


def _worst_element(
    probe: _Probe, values: Values, diff: Values, step: float, culprit: Values, random: np.random.Generator
) -> str:
    worst, text = 0.0, "no single element of those examined stands out"
    count = 0
    examined = _elements(values.shape, _EXAMINED, random)
    for direction in chain([culprit], examined) if values.size > _EXAMINED else examined:
        count += 1
        agree, expected, got = _agree(probe, values, diff, direction, step)
        badness = abs(expected - got) if np.isfinite(got) else np.inf
        if not agree and badness > worst:
            worst = badness
            index = ", ".join(str(int(axis[0])) for axis in np.nonzero(direction))
            text = f"element [{index}]: expected {expected:.9g}, got {got:.9g}"
    return f"worst of {count} elements examined: {text}"


def check_gradient(
    case: Case, backend: str = "cpu", *, directions: int = 3, exhaustive: bool = False, step: float = 1e-5
) -> None:
    """Compare the backward pass of ``case`` with differences of its forward pass, in float64.

    Args:
        case: one setting of a registered layer. ``case.gradient``, ``case.blobs_checked`` and ``case.tops_checked`` say
            which blobs carry a gradient; by default bottoms for which the layer's ``can_propagate`` holds, and all
            learnable blobs and tops.
        backend: a device name for `caffepy.devices.get_backend`.
        directions: random directions for each blob.
        exhaustive: take each element of each blob instead.
        step: h, for values of about one.

    Raises:
        AssertionError: names each blob that disagrees, with the derivative expected (from forward) and got (from
            backward) and the worst element; or says that nothing had any effect, when the case checks nothing.
    """
    found = compare_gradients(case, backend, directions=directions, exhaustive=exhaustive, step=step)
    failures = [f"  {one.name}.diff: {one.failure}" for one in found if one.failure]
    if failures:
        raise AssertionError(f"{case.title} on {backend}: wrong gradient\n" + "\n".join(failures))
    if found and case.tops and not any(one.effect for one in found):
        raise AssertionError(
            f"{case.title} on {backend}: no bottom and no learnable blob has any effect on the tops, so nothing was "
            "checked. Give the case values (draw, draw_blobs) for which it has."
        )


def compare_gradients(
    case: Case,
    backend: str = "cpu",
    *,
    directions: int = 3,
    exhaustive: bool = False,
    elements: int = 0,
    step: float = 1e-5,
    threshold: float | None = None,
) -> list[Comparison]:
    """What `check_gradient` finds, blob by blob; takes the same arguments, and two more.

    Args:
        case, backend, directions, exhaustive, step: see `check_gradient`.
        elements: beside the directions, take so many elements of each blob by themselves: one wrong element of millions
            is lost in the sum along a direction.
        threshold: the largest relative error that is right; that of `caffepy.testing.tolerances` unless given.
    """
    near = tolerance("gradient", np.float64)
    probe = _Probe(case, backend, near if threshold is None else Tolerance(threshold, near.atol))
    under = probe.under
    random = np.random.default_rng(2015)
    blobs = case.blobs_checked if case.blobs_checked is not None else range(len(under.layer.blobs))
    bottoms = _gradient_bottoms(case, under)
    targets = [(f"bottom[{i}]", under.values[i], probe.bottom_diffs[i]) for i in bottoms]
    targets += [(f"blobs[{j}]", under.blob_values[j], probe.blob_diffs[j]) for j in blobs]
    found = []
    for name, values, diff in targets:
        if exhaustive:
            ways = _elements(values.shape, None, random)
        else:
            ways = chain(_directions(values.shape, directions, random), _elements(values.shape, elements, random))
        found.append(_compare(probe, name, values, diff, ways, step, random))
    under.close()
    return found


def _compare(
    probe: _Probe,
    name: str,
    values: Values,
    diff: Values,
    ways: Iterator[Values],
    step: float,
    random: np.random.Generator,
) -> Comparison:
    if diff.size and np.isnan(diff).all():
        return Comparison(
            name, values.size, np.inf, True, "got nan everywhere: backward did not write it, or wrote nan"
        )
    worst, effect = 0.0, False
    kinks: list[Values] = []
    for direction in ways:
        agree, expected, got = _agree(probe, values, diff, direction, step)
        effect = effect or expected != 0 or got != 0
        failure = ""
        if not agree and not probe.repeats():
            failure = "forward gives other values each time: draw from self.stream(...), which repeats a pass"
        elif not agree:
            kinks.clear()
            culprit = _culprit(probe, values, diff, direction, step, kinks)
            if culprit is None:
                continue
            failure = _worst_element(probe, values, diff, step, culprit, random)
        error = abs(expected - got) / max(_derivative(diff, direction)[1], abs(expected), 1e-300)
        worst = max(worst, error) if np.isfinite(error) else np.inf
        if failure:
            both = f"along a direction expected {expected:.9g} (central difference of forward), got {got:.9g}"
            return Comparison(name, values.size, worst, effect, f"{both}; {failure}")
    return Comparison(name, values.size, worst, effect)
