"""How far apart the blobs of two nets, or of two files of arrays, lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from caffepy.blob import Blob
from caffepy.errors import NetError
from caffepy.net.net import Net
from caffepy.net.random_inputs import feed_random

__all__ = ["Arrays", "Comparison", "Difference", "compare", "difference", "feed_same", "net_arrays"]

#: Arrays by name, each made or read when it is asked for.
Arrays: TypeAlias = Mapping[str, Callable[[], NDArray[Any]]]

# Elements looked at together.
_PIECE = 1 << 22


@dataclass(frozen=True)
class Difference:
    """Of two arrays ``a`` and ``b``.

    Attributes:
        name: theirs.
        shapes: of both.
        largest: the largest ``|a - b|``; infinite where one alone is no finite number, or sizes differ.
        relative: that divided by the largest ``|a|`` or ``|b|``.
        cosine: of the angle between them; NaN for zeros, and for numbers that are not finite.
        beyond: whether ``largest > absolute + relative * max(|a|, |b|)``, with the tolerances given.
    """

    name: str
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    largest: float
    relative: float
    cosine: float
    beyond: bool

    @property
    def sizes_differ(self) -> bool:
        """Whether the arrays have different numbers of elements, or are laid out differently."""
        return not _alike(*self.shapes)


@dataclass
class Comparison:
    """All differences, in the first one's order, and names that one side alone has."""

    differences: list[Difference] = field(default_factory=list)
    first_only: list[str] = field(default_factory=list)
    second_only: list[str] = field(default_factory=list)

    @property
    def first_beyond(self) -> Difference | None:
        """The first that is beyond the tolerance."""
        return next((one for one in self.differences if one.beyond), None)


def compare(first: Arrays, second: Arrays, *, relative: float = 1e-4, absolute: float = 1e-6) -> Comparison:
    """Compare the arrays that have the same name.

    Raises:
        NetError: no name is in both.
    """
    result = Comparison(second_only=[name for name in second if name not in first])
    for name, get in first.items():
        if name not in second:
            result.first_only.append(name)
            continue
        result.differences.append(difference(name, get(), second[name](), relative=relative, absolute=absolute))
    if not result.differences:
        some = (", ".join(list(names)[:5]) or "none" for names in (first, second))
        raise NetError(
            "there is nothing to compare: no name is in both. The first has: {}. The second has: {}.".format(*some)
        )
    return result


def difference(
    name: str, a: NDArray[Any], b: NDArray[Any], *, relative: float = 1e-4, absolute: float = 1e-6
) -> Difference:
    """Compare two arrays. Leading axes of size 1, which old files have, make no difference."""
    shapes = (a.shape, b.shape)
    if not _alike(*shapes):
        return Difference(name, shapes, math.inf, math.inf, math.nan, True)
    largest = size = 0.0
    dot = squares_a = squares_b = 0.0
    for x, y in _pieces(a.reshape(-1), b.reshape(-1)):
        same = (x == y) | (np.isnan(x) & np.isnan(y))
        finite = np.isfinite(x) & np.isfinite(y)
        if not np.all(same | finite):
            largest = math.inf
        x, y = np.where(finite, x, 0.0), np.where(finite, y, 0.0)
        largest = max(largest, float(np.abs(x - y).max(initial=0.0)))
        size = max(size, float(np.abs(x).max(initial=0.0)), float(np.abs(y).max(initial=0.0)))
        dot, squares_a, squares_b = dot + float(x @ y), squares_a + float(x @ x), squares_b + float(y @ y)
    length = math.sqrt(squares_a) * math.sqrt(squares_b)
    cosine = dot / length if length and math.isfinite(largest) else math.nan
    share = largest / size if size else largest
    return Difference(name, shapes, largest, share, min(cosine, 1.0), largest > absolute + relative * size)


def _alike(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    while a[:1] == (1,):
        a = a[1:]
    while b[:1] == (1,):
        b = b[1:]
    return a == b


def _pieces(a: NDArray[Any], b: NDArray[Any]) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    for begin in range(0, len(a), _PIECE):
        part = slice(begin, begin + _PIECE)
        yield a[part].astype(np.float64), b[part].astype(np.float64)


def net_arrays(net: Net) -> Arrays:
    """What the blobs of a net hold, but for the copies that it makes of blobs read more than once."""
    copies = {name for entry in net.entries if entry.layer.type == "Split" for name in entry.top_names}
    return {name: partial(_on_host, blob) for name, blob in net.blobs.items() if name not in copies}


def _on_host(blob: Blob) -> NDArray[Any]:
    return np.asarray(blob.backend.to_host(blob.data))


def feed_same(first: Net, second: Net | None, given: Arrays | None = None, seed: int = 1) -> None:
    """Run two nets on the same data.

    What an input holds comes from ``given`` by name; else the first net's inputs get random numbers, and the second
    net's what the blob of the same name in the first net holds, or the input of the same place. Data layers read
    their own data.

    Raises:
        NetError: an input of the second net has no partner in the first, or an array does not fit.
    """
    if given is None or not set(given) & set(first.inputs):
        feed_random(first, seed)
    _give(first, given or {})
    first.forward()
    if second is None:
        return
    data = [
        name
        for entry in first.entries
        if not entry.bottom and entry.layer.type != "Parameter"
        for name in entry.top_names
    ]
    partners: dict[str, Callable[[], NDArray[Any]]] = {}
    arrays = net_arrays(first)
    for place, name in enumerate(second.inputs):
        partner = name if name in data else data[place] if place < len(data) else None
        if partner is None:
            raise NetError(
                f"input '{name}' of the second net has no partner in the first, whose data is: "
                f"{', '.join(data) or 'none'}."
            )
        partners[name] = arrays[partner]
    _give(second, partners)
    second.forward()


def _give(net: Net, given: Arrays) -> None:
    for name in net.inputs:
        if name not in given:
            continue
        values, blob = given[name](), net.blobs[name]
        if values.dtype.kind not in "fiub" or values.ndim != len(blob.shape):
            raise NetError(
                f"input '{name}' is of shape {blob.shape}; what it should hold is of shape {values.shape} "
                f"and type {values.dtype}."
            )
        blob.reshape(*values.shape)
        blob.data[...] = net.backend.asarray(values.astype(net.backend.dtype))
