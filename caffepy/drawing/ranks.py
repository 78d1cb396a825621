"""Layers of a picture: which row a box is in, the order in a row, and how far to the side it stands.

After Sugiyama, Tagawa and Toda, Methods for visual understanding of hierarchical system structures, 1981: edges that
pass through rows get a place there, rows are ordered by the mean place of their neighbours, then drawn towards it.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from dataclasses import dataclass, field
from itertools import pairwise

from caffepy.drawing.graph import Graph

__all__ = ["Place", "Ranks", "arrange"]

_SWEEPS = 12
# Between neighbours in a row.
_GAP = 14.0
# A passing edge is drawn straight rather than a box in the middle.
_PASSING = 4.0


@dataclass
class Place:
    """A box, or where the edges of one blob pass a row (``box`` is None then)."""

    rank: int
    width: float
    box: int | None = None
    #: Its middle.
    x: float = 0.0
    above: list[int] = field(default_factory=list)
    below: list[int] = field(default_factory=list)


@dataclass
class Ranks:
    """Places by number, the first of them the boxes; rows of numbers from left to right; and the way of each edge."""

    places: list[Place]
    rows: list[list[int]]
    #: For each edge of the graph, the places that it goes through, both boxes included.
    ways: list[list[int]]


def arrange(graph: Graph, widths: list[float]) -> Ranks:
    """Put the boxes of ``graph``, ``widths`` wide, in rows."""
    ranks = _ranks(graph)
    places = [Place(rank, width, i) for i, (rank, width) in enumerate(zip(ranks, widths, strict=True))]
    passing: dict[tuple[int, str, int], int] = {}
    ways = []
    for edge in graph.edges:
        way = [edge.source]
        for rank in range(ranks[edge.source] + 1, ranks[edge.target]):
            # What several boxes read is one line until it comes to them.
            key = (edge.source, edge.blob, rank)
            if key not in passing:
                passing[key] = len(places)
                places.append(Place(rank, 4.0))
            way.append(passing[key])
        way.append(edge.target)
        ways.append(way)
    for above, below in dict.fromkeys(pair for way in ways for pair in pairwise(way)):
        places[above].below.append(below)
        places[below].above.append(above)
    rows: list[list[int]] = [[] for _ in range(max(ranks, default=-1) + 1)]
    for number, place in enumerate(places):
        rows[place.rank].append(number)
    _order(places, rows)
    _spread(places, rows)
    return Ranks(places, rows, ways)


def _ranks(graph: Graph) -> list[int]:
    """Each box below all that it reads from; what reads from nothing just above the first that reads from it."""
    ranks = [0] * len(graph.boxes)
    read = [False] * len(graph.boxes)
    nearest: dict[int, int] = {}
    # Edges go from earlier boxes to later ones, in the order of the later.
    for edge in graph.edges:
        ranks[edge.target] = max(ranks[edge.target], ranks[edge.source] + 1)
        read[edge.target] = True
    for edge in graph.edges:
        nearest[edge.source] = min(nearest.get(edge.source, len(ranks)), ranks[edge.target])
    return [rank if read[i] or i not in nearest else nearest[i] - 1 for i, rank in enumerate(ranks)]


def _order(places: list[Place], rows: list[list[int]]) -> None:
    best, fewest = [list(row) for row in rows], _crossings(places, rows)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        position = {number: float(i) for row in rows for i, number in enumerate(row)}
        for row in rows if down else reversed(rows):
            wanted = {}
            for number in row:
                neighbours = places[number].above if down else places[number].below
                wanted[number] = (
                    sum(position[n] for n in neighbours) / len(neighbours) if neighbours else position[number]
                )
            row.sort(key=wanted.__getitem__)
            position.update((number, float(i)) for i, number in enumerate(row))
        crossings = _crossings(places, rows)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    for row, chosen in zip(rows, best, strict=True):
        row[:] = chosen


def _crossings(places: list[Place], rows: list[list[int]]) -> int:
    total = 0
    for upper, lower in pairwise(rows):
        position = {number: i for i, number in enumerate(lower)}
        seen: list[int] = []
        for number in upper:
            ends = sorted(position[n] for n in places[number].below)
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


def _spread(places: list[Place], rows: list[list[int]]) -> None:
    """Give each place its ``x``: near its neighbours, without touching those beside it."""
    for row in rows:
        # All rows about one middle.
        _settle(places, row, dict.fromkeys(row, 0.0))
    for sweep in range(2 * _SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wanted = {}
            for number in row:
                wanted[number] = _middle(
                    places[number].x, [places[n].x for n in places[number].above + places[number].below]
                )
            _settle(places, row, wanted)
    left = min((place.x - place.width / 2 for place in places), default=0.0)
    for place in places:
        place.x -= left


def _middle(x: float, neighbours: list[float]) -> float:
    """Where lines to the neighbours are shortest in all; of all such places the one nearest to ``x``.

    So what hangs on one above and one below stays where it is between them, and chains are straight.
    """
    if not neighbours:
        return x
    values = sorted(neighbours)
    return min(max(x, values[(len(values) - 1) // 2]), values[len(values) // 2])


def _settle(places: list[Place], row: list[int], wanted: dict[int, float]) -> None:
    """The places nearest to those wanted, in their order and with room between them (least squares).

    With what each must keep from the first taken off, they must only not decrease: neighbours that would are pooled at
    their mean (pool adjacent violators).
    """
    offsets, offset = [], 0.0
    for before, number in zip([None, *row], row, strict=False):
        if before is not None:
            offset += (places[before].width + places[number].width) / 2 + _GAP
        offsets.append(offset)
    blocks: list[tuple[float, float, int]] = []
    for number, offset in zip(row, offsets, strict=True):
        weight = _PASSING if places[number].box is None else 1.0
        mean, count = wanted[number] - offset, 1
        while blocks and blocks[-1][0] >= mean:
            other, other_weight, other_count = blocks.pop()
            mean = (mean * weight + other * other_weight) / (weight + other_weight)
            weight += other_weight
            count += other_count
        blocks.append((mean, weight, count))
    i = 0
    for mean, _, count in blocks:
        for number, offset in zip(row[i : i + count], offsets[i : i + count], strict=True):
            places[number].x = mean + offset
        i += count
