"""Memory of intermediate blobs, shared where their values are not needed at the same time: a pass that can be left out.

A training step is a row of moments: each layer forward, then each layer backward, last to first. The data of a blob is
needed from the layer that makes it to the last that reads it, forward or backward; its diff, from the layer above that
writes it to the layer that made the blob, which reads it. So both lie where data or diffs no longer needed were; and
where a layer's backward pass can write the bottom's diff over the top's, as ReLU's can, both are the same memory.

What is not known to be safe keeps memory of its own: the net's outputs, diffs that are read and never written (losses)
or written and never read (`force_backward`), and all blobs of a layer whose type is not in `_RULES`: one that makes
data, or a user's own, which may keep an array from one pass to the next.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from caffepy.backend import Array, Backend
from caffepy.blob import Blob
from caffepy.errors import NetError
from caffepy.layer import Layer
from caffepy.net.build import Entry
from caffepy.net.precision import Cast
from caffepy.proto import caffe_pb2

if TYPE_CHECKING:
    from caffepy.net.net import Net

__all__ = ["SAME_DATA", "Piece", "SharedMemory"]

# Pieces begin at whole cache lines.
_ALIGN = 64


class _Rule(NamedTuple):
    """What a layer's backward pass reads beside the tops' diffs, and which bottom's diff may be top 0's memory."""

    bottom_data: bool
    top_data: bool
    over: int | None = None


_NOTHING, _BOTTOM, _TOP = _Rule(False, False), _Rule(True, False), _Rule(False, True)
_RULES = {
    "Accuracy": _NOTHING,
    "ArgMax": _NOTHING,
    "BatchNorm": _Rule(False, False, 0),
    "Bias": _Rule(False, False, 0),
    "Concat": _NOTHING,
    "Convolution": _BOTTOM,
    "Crop": _NOTHING,
    "Deconvolution": _BOTTOM,
    "Dropout": _Rule(False, False, 0),
    "ELU": _Rule(True, True),
    "EuclideanLoss": _BOTTOM,
    "Flatten": _NOTHING,
    "InnerProduct": _BOTTOM,
    "LRN": _Rule(True, False, 0),
    "PReLU": _BOTTOM,
    "Pooling": _NOTHING,
    "Power": _Rule(True, True),
    "ReLU": _Rule(True, False, 0),
    "Reshape": _NOTHING,
    "Scale": _Rule(True, False, 0),
    "Sigmoid": _TOP,
    "SigmoidCrossEntropyLoss": _BOTTOM,
    "Silence": _NOTHING,
    "Slice": _NOTHING,
    "Softmax": _TOP,
    "SoftmaxWithLoss": _Rule(True, True),
    "Split": _Rule(False, False, 0),
    "TanH": _TOP,
}
#: Layers whose tops are the memory of their bottom.
SAME_DATA = ("Flatten", "Reshape", "Split")
_SAME_DIFF = ("Flatten", "Reshape")


def _rule(entry: Entry) -> _Rule | None:
    layer: Layer = entry.layer
    if layer.type == "Eltwise":
        if layer.param.eltwise_param.operation != caffe_pb2.EltwiseParameter.SUM:
            return _Rule(True, True)
        # Each bottom's diff is made from the top's: only the last may lie over it.
        written = [i for i, needed in enumerate(entry.propagate_down) if needed]
        return _Rule(False, False, written[-1] if written else None)
    return _NOTHING if isinstance(layer, Cast) else _RULES.get(layer.type)


@dataclass
class Piece:
    """Memory of one array, or of several that are the same memory: needed from ``begin`` to ``end``, both included.

    ``offset`` and ``size`` are its place in the arena, in elements of ``itemsize`` bytes.
    """

    data: list[Blob] = field(default_factory=list)
    diff: list[Blob] = field(default_factory=list)
    begin: int = 0
    end: int = 0
    size: int = 0
    offset: int = 0
    itemsize: int = 4

    def fit(self) -> bool:
        """Grow to what the blobs' shapes need now, never shrink; whether it grew."""
        needed = max(
            -(-blob.count * int(blob.backend.dtype.itemsize) // self.itemsize) for blob in (*self.data, *self.diff)
        )
        grew, self.size = needed > self.size, max(needed, self.size)
        return grew


class SharedMemory:
    """The plan of a net, and the arena that its blobs lie in; see the module.

    A net in the TRAIN phase runs forward then backward, whole passes in turn; one in the TEST phase, forward only.

    Args:
        net: wired, and its blobs shaped.

    Attributes:
        pieces: the arrays whose place is chosen here.
        arena: what they lie in; empty until the first pass.
        size: how many elements the arena has or will have.
    """

    def __init__(self, net: Net) -> None:
        self._name = net.name
        self._backend: Backend = net.backend
        self._train = net.phase == caffe_pb2.TRAIN
        self.pieces: list[Piece] = _Lifetimes(net, self._train).pieces()
        self._blobs: list[Blob] = list(net.blobs.values())
        self._shapes: list[tuple[int, ...]] = []
        self.arena: Array = self._backend.empty((0,))
        self.size = 0
        self._whole = False
        self._fit()

    def _fit(self) -> bool:
        """Find places anew if a piece has grown; whether one has."""
        shapes = [blob.shape for blob in self._blobs]
        if shapes == self._shapes:
            return False
        self._shapes = shapes
        if not sum(piece.fit() for piece in self.pieces):
            return False
        self.size = _place(self.pieces)
        return True

    def owns(self, blob: Blob) -> tuple[bool, bool]:
        """Whether the blob's data, and its diff, lie in the arena."""
        return (
            any(blob is other for piece in self.pieces for other in piece.data),
            any(blob is other for piece in self.pieces for other in piece.diff),
        )

    def before_forward(self, first: int) -> None:
        """A pass begins at layer number ``first``.

        Raises:
            NetError: it is not the first, and what lies before it is no longer there.
        """
        if first > 0:
            raise self._error("forward from a later layer would read data that is no longer there")
        if self._fit() or self.arena.size < self.size:
            self._bind()
        self._whole = True

    def before_backward(self, whole: bool) -> None:
        """A pass begins, through all layers if ``whole``.

        Raises:
            NetError: not all layers, no forward pass since the last backward pass, or a net in the TEST phase.
        """
        if not self._train:
            raise self._error("in the TEST phase backward would read data that is no longer there")
        if not whole:
            raise self._error("backward through some layers would read diffs that are no longer there")
        if not self._whole:
            raise self._error("a second backward would read data that is no longer there: run forward first")
        self._whole = False

    def _error(self, text: str) -> NetError:
        return NetError(
            f"Net '{self._name}' shares memory between blobs, and {text}. "
            "Build it with share_memory=False to keep the data and diff of every blob."
        )

    def _bind(self) -> None:
        """Put the blobs of all pieces into the arena; it is made anew where it is too small."""
        if self.arena.size < self.size:
            self._move(self._backend.empty((0,)))
            self.arena = self._backend.empty((0,))
            self.arena = self._backend.zeros((self.size,))
        self._move(self.arena)

    def _move(self, arena: Array) -> None:
        for piece in self.pieces:
            memory = arena[piece.offset : piece.offset + piece.size]
            for blob in piece.data:
                blob.place(data=memory.view(blob.backend.dtype))
            for blob in piece.diff:
                blob.place(diff=memory.view(blob.backend.dtype))


def _place(pieces: Sequence[Piece]) -> int:
    """Give each piece the lowest offset that those needed meanwhile leave, longest needed first; the size of all.

    Of five orders this one came nearest to what is needed at once: within 1.1 % for AlexNet, GoogLeNet and ResNet-50.
    """
    placed: list[Piece] = []
    total = 0
    for piece in sorted(pieces, key=lambda piece: (piece.begin - piece.end, -piece.size)):
        size = -(-piece.size // _ALIGN) * _ALIGN
        offset = 0
        for other in placed:
            if other.begin <= piece.end and piece.begin <= other.end:
                if offset + size <= other.offset:
                    break
                offset = max(offset, other.offset + -(-other.size // _ALIGN) * _ALIGN)
        piece.offset = offset
        total = max(total, offset + size)
        placed.append(piece)
        placed.sort(key=lambda piece: piece.offset)
    return total


class _Lifetimes:
    """When each array of a net is needed. Layer i runs forward at moment i and backward at moment 2 L - 1 - i."""

    def __init__(self, net: Net, train: bool) -> None:
        entries = net.entries
        self.entries, self.train = entries, train
        self.itemsize = int(net.backend.dtype.itemsize)
        self.blobs = {id(blob): blob for entry in entries for blob in (*entry.bottom, *entry.top)}
        names = {name: blob for entry in entries for name, blob in zip(entry.top_names, entry.top, strict=True)}
        self.data, self.diff = _Groups(), _Groups()
        self.own_data: set[int] = {id(names[name]) for name in net.outputs}
        self.own_diff: set[int] = set()
        self._group()

    def _group(self) -> None:
        """Find what is the same memory, and what keeps its own."""
        for entry in self.entries:
            tops, bottoms = list(map(id, entry.top)), list(map(id, entry.bottom))
            if entry.layer.type in SAME_DATA:
                self.data.join(bottoms + tops)
            if entry.layer.type in _SAME_DIFF:
                self.diff.join(bottoms + tops)
            if _rule(entry) is None:
                self.own_data.update(tops, bottoms)
                self.own_diff.update(tops, bottoms)
            if entry.layer.loss:
                # A second top may be the layer's own memory.
                self.own_data.update(tops)

    def pieces(self) -> list[Piece]:
        """All arrays whose place may be chosen."""
        pieces = list(self._data_pieces())
        return pieces + list(self._diff_pieces()) if self.train else pieces

    def _backward(self) -> Iterator[tuple[int, Entry]]:
        """Moments and layers of the backward pass in their order."""
        for i in reversed(range(len(self.entries))):
            if self.entries[i].need_backward:
                yield 2 * len(self.entries) - 1 - i, self.entries[i]

    def _data_pieces(self) -> Iterator[Piece]:
        begins: dict[int, int] = {}
        ends: dict[int, int] = {}
        for moment, entry in enumerate(self.entries):
            for blob in (*entry.top, *entry.bottom):
                group = self.data.of(id(blob))
                begins.setdefault(group, moment)
                ends[group] = moment
        for moment, entry in self._backward() if self.train else ():
            rule = _rule(entry) or _Rule(True, True)
            for blob in (entry.bottom if rule.bottom_data else []) + (entry.top if rule.top_data else []):
                ends[self.data.of(id(blob))] = moment
        own = {self.data.of(blob) for blob in self.own_data}
        for group, members in self.data.members(self.blobs).items():
            if group not in own:
                yield Piece(
                    itemsize=self.itemsize,
                    data=[self.blobs[blob] for blob in members],
                    begin=begins[group],
                    end=ends[group],
                )

    def _diff_pieces(self) -> Iterator[Piece]:
        writes: dict[int, list[int]] = defaultdict(list)
        reads: dict[int, list[int]] = defaultdict(list)
        for moment, entry in self._backward():
            for blob in entry.top:
                reads[self.diff.of(id(blob))].append(moment)
            for blob, needed in zip(entry.bottom, entry.propagate_down, strict=True):
                if needed:
                    writes[self.diff.of(id(blob))].append(moment)
        own = {self.diff.of(blob) for blob in self.own_diff}
        pieces: dict[int, Piece] = {}
        for group, members in self.diff.members(self.blobs).items():
            if group not in own and writes[group] and reads[group] and writes[group][0] < reads[group][0]:
                diff = [self.blobs[blob] for blob in members]
                end = max(writes[group][-1], reads[group][-1])
                pieces[group] = Piece(itemsize=self.itemsize, diff=diff, begin=writes[group][0], end=end)
        self._lay_over(pieces)
        return iter(pieces.values())

    def _lay_over(self, pieces: dict[int, Piece]) -> None:
        """Join a bottom's diff with the top's where the layer between them can write over it, being its last reader."""
        for moment, entry in self._backward():
            rule = _rule(entry)
            if rule is None or rule.over is None or not entry.propagate_down[rule.over]:
                continue
            above = self.diff.of(id(entry.top[0]))
            below = self.diff.of(id(entry.bottom[rule.over]))
            if above == below or above not in pieces or below not in pieces:
                continue
            upper, lower = pieces[above], pieces[below]
            if upper.end == moment == lower.begin:
                self.diff.join([above, below])
                del pieces[above], pieces[below]
                joined = Piece(itemsize=self.itemsize, diff=upper.diff + lower.diff, begin=upper.begin, end=lower.end)
                pieces[self.diff.of(above)] = joined


class _Groups:
    """Numbers that belong together."""

    def __init__(self) -> None:
        self._leader: dict[int, int] = {}

    def of(self, number: int) -> int:
        """The number that stands for the group."""
        while (leader := self._leader.get(number, number)) != number:
            number = leader
        return number

    def join(self, numbers: Sequence[int]) -> None:
        """Make one group of these numbers' groups."""
        for number in numbers[1:]:
            self._leader[self.of(number)] = self.of(numbers[0])

    def members(self, numbers: Iterable[int]) -> dict[int, list[int]]:
        """The groups of ``numbers``."""
        groups: dict[int, list[int]] = defaultdict(list)
        for number in numbers:
            groups[self.of(number)].append(number)
        return groups
