"""Where things lie in a picture: no box on another, lines that begin and end at boxes, and a page that is filled."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path

import pytest

from caffepy.drawing.graph import Box, Edge, Graph, Row, blob_shapes, net_graph
from caffepy.drawing.layout import lay_out
from caffepy.drawing.ranks import arrange
from caffepy.drawing.text import LABEL, width
from caffepy.proto.read import read_net

MODELS = Path(__file__).parents[2] / "models"
DIRECTIONS = ["TB", "BT", "LR"]


def graph(*edges, boxes=None, label=""):
    number = boxes if boxes is not None else max(max(edge[:2]) for edge in edges) + 1
    made = Graph("g", [Box([Row(f"layer {i}", "other", True), Row("Type", "other")]) for i in range(number)])
    made.edges = [Edge(edge[0], edge[1], edge[2] if len(edge) > 2 else f"b{edge[0]}", label) for edge in edges]
    made.edges.sort(key=lambda edge: edge.target)
    return made


def model(name, file="deploy.prototxt", phase=1):
    param, _ = read_net(str(MODELS / name / file))
    return net_graph(param, phase=phase, shapes=blob_shapes(param, phase))


GRAPHS = {
    "nothing": lambda: Graph("g"),
    "one": lambda: graph(boxes=1),
    "apart": lambda: graph(boxes=3),
    "chain": lambda: graph(*pairwise(range(6)), label="3x4x5"),
    "long chain": lambda: graph(*pairwise(range(80)), label="3x4x5"),
    "skips": lambda: graph(*pairwise(range(40)), (0, 39, "l"), (0, 20, "l"), (10, 30), label="12"),
    "fan": lambda: graph(*((0, i) for i in range(1, 9)), *((i, 9) for i in range(1, 9)), label="x"),
    "alexnet": lambda: model("alexnet"),
    "googlenet": lambda: model("googlenet", "train_val.prototxt", 0),
    "resnet50": lambda: model("resnet50"),
}


@pytest.mark.parametrize("rankdir", DIRECTIONS)
@pytest.mark.parametrize("name", GRAPHS)
def test_boxes_and_lines(name, rankdir):
    made = GRAPHS[name]()
    picture = lay_out(made, rankdir)
    frames = picture.frames
    assert len(frames) == len(made.boxes)
    for frame, box in zip(frames, made.boxes, strict=True):
        assert frame.width > max(width(row.text) for row in box.rows)
        assert frame.x >= 0
        assert frame.x + frame.width <= picture.width
        assert frame.y >= 0
        assert frame.y + frame.height <= picture.height
    for a, b in combinations(frames, 2):
        beside = a.x + a.width <= b.x or b.x + b.width <= a.x
        assert beside or a.y + a.height <= b.y or b.y + b.height <= a.y
    assert len(picture.curves) == len(made.edges)
    for curve, edge in zip(picture.curves, made.edges, strict=True):
        assert _leaves(rankdir, frames[edge.source]) == pytest.approx(curve.begin)
        assert _enters(rankdir, frames[edge.target]) == pytest.approx(curve.parts[-1][-1])
        points = [curve.begin, *(point for part in curve.parts for point in part)]
        assert all(-1e-6 <= x <= picture.width and -1e-6 <= y <= picture.height for x, y in points)
        assert {len(part) for part in curve.parts} <= {1, 3}
    for label in picture.labels:
        assert label.x + width(label.text, LABEL) <= picture.width
    assert {label.text for label in picture.labels} == {edge.label for edge in made.edges} - {""}


def _leaves(rankdir, frame):
    middle = (frame.x + frame.width / 2, frame.y + frame.height / 2)
    return {
        "TB": (middle[0], frame.y + frame.height), "BT": (middle[0], frame.y), "LR": (frame.x + frame.width, middle[1])
    }[rankdir]  # fmt: skip


def _enters(rankdir, frame):
    middle = (frame.x + frame.width / 2, frame.y + frame.height / 2)
    return {"TB": (middle[0], frame.y), "BT": (middle[0], frame.y + frame.height), "LR": (frame.x, middle[1])}[rankdir]


def test_each_box_lies_after_those_it_reads():
    picture = lay_out(model("googlenet"), "TB")
    # In one column; a picture in several begins anew at the top of each.
    in_order = [
        picture.frames[edge.source].y + picture.frames[edge.source].height < picture.frames[edge.target].y
        for edge in picture.graph.edges
        if abs(picture.frames[edge.source].x - picture.frames[edge.target].x) < 400
    ]
    assert all(in_order)
    assert len(in_order) > 90


def test_a_chain_is_straight():
    ranks = arrange(graph(*pairwise(range(8)), (0, 7)), [50.0] * 8)
    boxes = [place.x for place in ranks.places[:8]]
    assert max(boxes[1:7]) - min(boxes[1:7]) < 1e-6
    passing = [place.x for place in ranks.places[8:]]
    assert max(passing) - min(passing) < 1e-6


def test_what_reads_nothing_stands_above_who_reads_it():
    ranks = arrange(graph((0, 1), (1, 2), (2, 4), (3, 4)), [50.0] * 5)
    assert [place.rank for place in ranks.places] == [0, 1, 2, 2, 3]


def test_what_many_read_is_one_line_until_it_comes_to_them():
    made = graph((0, 1), (1, 2), (2, 3), (0, 2, "l"), (0, 3, "l"))
    ranks = arrange(made, [50.0] * 4)
    ways = {(edge.source, edge.target): way for edge, way in zip(made.edges, ranks.ways, strict=True)}
    assert ways[0, 3][:2] == [*ways[0, 2][:2]]
    assert len(ranks.places) == 4 + 2


def test_a_box_stands_as_near_to_its_neighbours_as_there_is_room():
    """Least squares: two boxes 50 wide that want the same place stand 64 apart about it."""
    ranks = arrange(graph((0, 1), (0, 2)), [50.0] * 3)
    x = [place.x for place in ranks.places]
    assert (x[1] - x[0], x[2] - x[0]) == (pytest.approx(-32), pytest.approx(32))
    # Three below one, the third of them with a box of its own below.
    ranks = arrange(graph((0, 1), (0, 2), (0, 3), (3, 4)), [50.0, 50, 50, 70, 50])
    x = [place.x for place in ranks.places]
    assert [b - a for a, b in pairwise(x[1:4])] == [pytest.approx(64), pytest.approx(74)]
    assert x[2] == pytest.approx(x[0], abs=4)
    assert x[4] == pytest.approx(x[3], abs=10)


def test_lines_do_not_cross_where_they_need_not():
    made = graph((0, 2), (1, 3), (2, 5), (3, 4), (0, 2), boxes=6)
    x = [place.x for place in arrange(made, [50.0] * 6).places]
    assert (x[0] < x[1]) == (x[2] < x[3]) == (x[5] < x[4])


@pytest.mark.parametrize("name", ["googlenet", "resnet50"])
def test_no_lines_of_a_real_net_cross(name):
    made = model(name)
    ranks = arrange(made, [50.0] * len(made.boxes))
    x = [place.x for place in ranks.places]
    pieces = {pair for way in ranks.ways for pair in pairwise(way)}
    by_row = {}
    for upper, lower in pieces:
        by_row.setdefault(ranks.places[upper].rank, []).append((x[upper], x[lower]))
    for row in by_row.values():
        assert not [(a, b) for a, b in combinations(row, 2) if (a[0] - b[0]) * (a[1] - b[1]) < 0]


@pytest.mark.parametrize("rankdir", DIRECTIONS)
def test_a_small_net_is_one_row_and_a_long_one_fills_a_page(rankdir):
    small, long = lay_out(GRAPHS["chain"](), rankdir), lay_out(GRAPHS["long chain"](), rankdir)
    across = [frame.y if rankdir == "LR" else frame.x for frame in small.frames]
    assert max(across) - min(across) < 1e-6
    assert len({round(frame.y if rankdir == "LR" else frame.x) for frame in long.frames}) > 2
    page = (1123, 794) if rankdir == "LR" else (794, 1123)
    # One column would be several pages long.
    assert max(long.width / page[0], long.height / page[1]) < 2.6


def test_googlenet_fits_a_page():
    picture = lay_out(model("googlenet"), "TB")
    # Text of 12 units is then no smaller than 5 points on A4.
    assert max(picture.width / 794, picture.height / 1123) < 2.2


def test_another_direction():
    with pytest.raises(ValueError, match="rankdir is TB, BT or LR; got 'RL'"):
        lay_out(Graph("g"), "RL")
