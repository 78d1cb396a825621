"""Where everything in a picture of a net lies: rows of boxes, cut into columns so that the whole fits a page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from caffepy.drawing.graph import Graph
from caffepy.drawing.ranks import Ranks, arrange
from caffepy.drawing.text import LABEL, LINE, width

__all__ = ["Curve", "Frame", "Label", "Picture", "lay_out"]

#: Width and height of a page (A4 at 96 to the inch).
_PAGE = (794.0, 1123.0)
_MOST_COLUMNS = 8
_MARGIN = 12.0
_PADDING = 8.0
# Between rows, and between columns.
_ROW_GAP = 30.0
_GUTTER = 60.0
# From one column to the next: how far below the one and above the other, and from line to line.
_UNDER, _OVER, _LANE = LABEL + 8.0, 12.0, 6.0

_Point = tuple[float, float]


@dataclass
class Frame:
    """A box of the graph: its left upper corner and its size."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Label:
    """Text that begins at ``x`` on the line at ``y``."""

    x: float
    y: float
    text: str


@dataclass
class Curve:
    """A line: where it begins, and its parts, each one point (straight) or three (Bezier); with an arrow at its end."""

    begin: _Point
    parts: list[list[_Point]] = field(default_factory=list)


@dataclass
class Picture:
    """All that is drawn; ``frames`` by the number of the box."""

    graph: Graph
    width: float
    height: float
    frames: list[Frame]
    curves: list[Curve]
    labels: list[Label]


def lay_out(graph: Graph, rankdir: str = "TB") -> Picture:
    """The picture of ``graph``.

    Args:
        rankdir: "TB" from top to bottom, "BT" from bottom to top, "LR" from left to right.

    Raises:
        ValueError: another direction.
    """
    if rankdir not in ("TB", "BT", "LR"):
        raise ValueError(f"rankdir is TB, BT or LR; got {rankdir!r}.")
    sizes = [
        (max(width(row.text) for row in box.rows) + 2 * _PADDING, LINE * len(box.rows) + _PADDING)
        for box in graph.boxes
    ]
    flat = rankdir == "LR"
    # Down and across the rows, whatever the direction.
    across = [height if flat else breadth for breadth, height in sizes]
    down = [breadth if flat else height for breadth, height in sizes]
    # A label takes room beside its line, or above it.
    labels = {edge.label for edge in graph.edges if edge.label}
    gap = max([_ROW_GAP, *(width(label, LABEL) + 14 for label in labels)]) if flat else _ROW_GAP
    ranks = arrange(graph, across)
    plan = _Plan(graph, ranks, down, gap, flat)
    picture = plan.picture()
    if rankdir == "BT":
        _flip(picture)
    elif flat:
        _turn(picture)
    for frame, (breadth, height) in zip(picture.frames, sizes, strict=True):
        frame.width, frame.height = breadth, height
    ends = (label.x + width(label.text, LABEL) + _MARGIN for label in picture.labels)
    picture.width = max(picture.width, *ends, 2 * _MARGIN)
    return picture


class _Plan:
    """Rows cut into columns."""

    def __init__(self, graph: Graph, ranks: Ranks, down: list[float], gap: float, flat: bool) -> None:
        self.graph, self.ranks, self.down, self.gap = graph, ranks, down, gap
        # Where lines are level, labels lie above them and need their length.
        self.tail = gap - _ROW_GAP if flat else 0.0
        self.page = _PAGE[::-1] if flat else _PAGE
        self.heights = [
            max((down[number] for number in row if number < len(graph.boxes)), default=0.0) for row in ranks.rows
        ]
        choices = [self._columns(count) for count in range(1, _MOST_COLUMNS + 1)]
        # As few columns as fit a page; of those that do not, the ones that need to shrink least.
        self.columns = min(choices, key=lambda columns: max(self._pages(columns), 1.0))
        self._place()

    def _columns(self, count: int) -> list[range]:
        """Rows of about equal height in ``count`` columns, cut where few lines pass."""
        total = sum(self.heights) + self.gap * len(self.heights)
        tops, top = [], 0.0
        for height in self.heights:
            tops.append(top)
            top += height + self.gap
        cuts = [0]
        for i in range(1, count):
            wanted, slack = total * i / count, total / count / 5
            near = [r for r in range(cuts[-1] + 1, len(tops)) if abs(tops[r] - wanted) <= slack]
            if near:
                cuts.append(min(near, key=lambda r: (self._passing(r), abs(tops[r] - wanted))))
        return [range(a, b) for a, b in zip(cuts, [*cuts[1:], len(tops)], strict=True)]

    def _passing(self, rank: int) -> int:
        """How many lines go from the row before into this one, those from one box counted once."""
        return len({upper for number in self.ranks.rows[rank] for upper in self.ranks.places[number].above})

    def _extent(self, column: range) -> tuple[float, float]:
        places = [self.ranks.places[number] for rank in column for number in self.ranks.rows[rank]]
        return (
            min((place.x - place.width / 2 for place in places), default=0.0),
            max((place.x + place.width / 2 for place in places), default=0.0),
        )

    def _pages(self, columns: list[range]) -> float:
        """How much larger than a page the picture is."""
        breadth = sum(right - left for left, right in map(self._extent, columns)) + _GUTTER * (len(columns) - 1)
        height = max((self._height(column) for column in columns), default=0.0)
        return max(breadth / self.page[0], height / self.page[1])

    def _height(self, column: range) -> float:
        return sum(self.heights[rank] + self.gap for rank in column)

    def _place(self) -> None:
        self.column_of: dict[int, int] = {}
        self.tops: dict[int, float] = {}
        self.gutters: list[float] = []
        shift = _MARGIN
        entering = [self._passing(column.start) if i else 0 for i, column in enumerate(self.columns)]
        # Lines from one column to the next go below the one and above the other.
        lanes = _LANE * max(entering, default=0)
        self.above = _MARGIN + (lanes + _OVER if lanes else 0.0)
        self.bottom = self.above
        for i, column in enumerate(self.columns):
            left, right = self._extent(column)
            top = self.above
            for rank in column:
                self.column_of[rank], self.tops[rank] = i, top
                for number in self.ranks.rows[rank]:
                    self.ranks.places[number].x += shift - left
                top += self.heights[rank] + self.gap
            self.bottom = max(self.bottom, top - self.gap + self.tail)
            shift += right - left + _GUTTER
            self.gutters.append(shift - _GUTTER / 2)
        self.width = shift - _GUTTER + _MARGIN
        self.height = self.bottom + _MARGIN + (lanes + _UNDER if lanes else 0.0)

    def _bounds(self, number: int) -> tuple[float, float, float]:
        """The middle, and from where to where down, of a place."""
        place = self.ranks.places[number]
        top = self.tops[place.rank]
        height = self.heights[place.rank]
        if number >= len(self.graph.boxes):
            return place.x, top, top + height
        inset = (height - self.down[number]) / 2
        return place.x, top + inset, top + height - inset

    def picture(self) -> Picture:
        frames = []
        for number in range(len(self.graph.boxes)):
            x, top, bottom = self._bounds(number)
            breadth = self.ranks.places[number].width
            frames.append(Frame(x - breadth / 2, top, breadth, bottom - top))
        curves: list[Curve] = []
        labels: dict[tuple[int, str], Label] = {}
        lanes: dict[int, int] = {}
        for edge, way in zip(self.graph.edges, self.ranks.ways, strict=True):
            curves.append(self._curve(way, lanes))
            if edge.label:
                x, _, bottom = self._bounds(way[0])
                end = self._bounds(way[1])[0] if self._same_column(way[0], way[1]) else x
                # Beside the line, a third of the way.
                labels[edge.source, edge.label] = Label(x + (end - x) * 0.2 + 4, bottom + LABEL + 2, edge.label)
        return Picture(self.graph, self.width, self.height, frames, curves, list(labels.values()))

    def _same_column(self, upper: int, lower: int) -> bool:
        places = self.ranks.places
        return self.column_of[places[upper].rank] == self.column_of[places[lower].rank]

    def _curve(self, way: list[int], lanes: dict[int, int]) -> Curve:
        x, _, bottom = self._bounds(way[0])
        curve = Curve((x, bottom))
        for upper, lower in pairwise(way):
            x, _, bottom = self._bounds(upper)
            end, top, low = self._bounds(lower)
            if self._same_column(upper, lower):
                half = (top - bottom) / 2
                curve.parts.append([(x, bottom + half), (end, top - half), (end, top)])
            else:
                column = self.column_of[self.ranks.places[upper].rank]
                taken = sum(self.column_of[self.ranks.places[other].rank] == column for other in lanes)
                lane = lanes.setdefault(upper, taken)
                gutter = self.gutters[column] + _LANE / 2 * lane
                under, over = self.bottom + _UNDER + _LANE * lane, self.above - _OVER - _LANE * lane
                curve.parts += [[(x, under)], [(gutter, under)], [(gutter, over)], [(end, over)], [(end, top)]]
            if lower >= len(self.graph.boxes):
                curve.parts.append([(end, low)])
        return curve


def _flip(picture: Picture) -> None:
    """Upside down; texts stay upright."""
    height = picture.height
    for frame in picture.frames:
        frame.y = height - frame.y - frame.height
    _move(picture, lambda x, y: (x, height - y))
    picture.labels = [Label(label.x, height - label.y + LABEL - 3, label.text) for label in picture.labels]


def _turn(picture: Picture) -> None:
    """Rows become columns; texts stay level."""
    picture.width, picture.height = picture.height, picture.width
    for frame in picture.frames:
        frame.x, frame.y = frame.y, frame.x
    _move(picture, lambda x, y: (y, x))
    picture.labels = [Label(label.y - LABEL + 4, label.x - 8, label.text) for label in picture.labels]


def _move(picture: Picture, to: Callable[[float, float], _Point]) -> None:
    for curve in picture.curves:
        curve.begin = to(*curve.begin)
        curve.parts = [[to(*point) for point in part] for part in curve.parts]
