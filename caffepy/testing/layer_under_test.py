"""LayerUnderTest: one layer by itself, without a net, with memory that shows when it is read before it is written."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffepy.backend import Array, Backend
from caffepy.blob import Blob
from caffepy.layer import LayerContext, get_layer_class
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net
from caffepy.testing.case import Case

__all__ = ["PASS", "LayerUnderTest", "Pass", "counted", "poisoned"]

Values = NDArray[Any]

#: The number of the pass that a `LayerUnderTest` runs.
PASS = 3


def _poison(array: Array) -> Array:
    array[...] = np.nan if array.dtype.kind == "f" else np.iinfo(array.dtype).max if array.dtype.kind in "iu" else 1
    return array


def poisoned(backend: Backend) -> Backend:
    """A twin of ``backend`` whose ``empty`` and ``scratch`` come full of NaN (the largest integer, true).

    ``scratch`` is anybody's again at the next call, so an op that relies on what an earlier call held computes NaN.
    """
    twin = copy.copy(backend)

    def empty(shape: tuple[int, ...], dtype: Any = None) -> Array:
        return _poison(backend.empty(shape, dtype))

    def scratch(shape: tuple[int, ...], dtype: Any = None) -> Array:
        return _poison(backend.scratch(shape, dtype))

    vars(twin).update(empty=empty, scratch=scratch)
    return twin


def counted(backend: Backend) -> tuple[Backend, list[int]]:
    """A twin of ``backend``, and the list of the bytes of each array that its ``empty`` and ``zeros`` made."""
    twin = copy.copy(backend)
    asked: list[int] = []

    def note(array: Array) -> Array:
        asked.append(array.nbytes)
        return array

    def empty(shape: tuple[int, ...], dtype: Any = None) -> Array:
        return note(backend.empty(shape, dtype))

    def zeros(shape: tuple[int, ...], dtype: Any = None) -> Array:
        return note(backend.zeros(shape, dtype))

    vars(twin).update(empty=empty, zeros=zeros)
    return twin, asked


@dataclass
class Pass:
    """What one forward and one backward pass gave, on the host.

    Attributes:
        tops: the tops' data.
        bottom_diffs: the bottoms' diffs; NaN where nothing was written.
        blob_diffs: the learnable blobs' diffs.
    """

    tops: list[Values]
    bottom_diffs: list[Values]
    blob_diffs: list[Values]


class LayerUnderTest:
    """The layer of a `Case`, set up by itself on ``backend``.

    Args:
        case: the setting.
        backend: where it runs; see `poisoned`.
        shapes: of the bottoms; the case's own unless given.
        in_place: bottoms, by index, whose blob is the top in the same place too.

    Attributes:
        layer: the layer, set up.
        bottom, top: its blobs.
        values: what each bottom is fed with before a forward pass; float64 numbers that float32 can hold.
        blob_values: what each learnable blob is set to before a forward pass (BatchNorm's forward changes them).
        propagate: for each bottom, whether its gradient exists.
    """

    def __init__(
        self,
        case: Case,
        backend: Backend,
        shapes: Sequence[tuple[int, ...]] | None = None,
        in_place: Sequence[int] = (),
    ) -> None:
        self.case = case
        self.backend = backend
        shapes = [tuple(shape) for shape in (case.bottoms if shapes is None else shapes)]
        names = [f'bottom: "bottom{i}"' for i in range(len(shapes))]
        names += [f'top: "{"bottom" if i in in_place else "top"}{i}"' for i in range(case.tops)]
        net, _ = parse_net(f'layer {{ name: "under_test" {" ".join(names)} {case.prototxt} }}', case.title)
        param = net.layer[0]
        phase = caffe_pb2.TRAIN if case.phase == "TRAIN" else caffe_pb2.TEST
        self.context = LayerContext(backend, phase, seed=1701, allow_python_layers=case.allow_python_layers)
        self.layer = get_layer_class(param.type)(param, self.context)
        self._random = np.random.default_rng([zlib.crc32(case.prototxt.encode()), *(n for s in shapes for n in s)])
        self.values = [self._draw(i, shape) for i, shape in enumerate(shapes)]
        self.bottom = [Blob(backend, shape) for shape in shapes]
        self.top = [self.bottom[i] if i in in_place else Blob(backend) for i in range(case.tops)]
        self._in_place = frozenset(in_place)
        self._feed()
        self.layer.setup(self.bottom, self.top)
        self.layer.param_propagate_down = [True] * len(self.layer.blobs)
        self.blob_values = [self._draw_blob(j, blob) for j, blob in enumerate(self.layer.blobs)]
        self.propagate = [self.layer.can_propagate(i) for i in range(len(shapes))]

    def _draw(self, index: int, shape: tuple[int, ...]) -> Values:
        draw = self.case.draw.get(index)
        values = self._random.standard_normal(shape) if draw is None else draw(self._random, shape)
        return np.asarray(values, np.float32).astype(np.float64).reshape(shape)

    def _draw_blob(self, index: int, blob: Blob) -> Values:
        given = self.backend.to_host(blob.data).astype(np.float64)
        draw = self.case.draw_blobs.get(index)
        if draw is not None:
            given = draw(self._random, blob.shape)
        elif given.size and (given == given.flat[0]).all():
            given = self._random.uniform(0.5, 1.5, blob.shape)
        return np.asarray(given, np.float32).astype(np.float64).reshape(blob.shape)

    def _feed(self) -> None:
        for blob, values in zip(self.bottom, self.values, strict=True):
            blob.reshape(*values.shape)
            blob.data[...] = self.backend.asarray(values)

    def resize(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Feed bottoms of other shapes, freshly drawn, from the next forward pass on."""
        self.values = [self._draw(i, tuple(shape)) for i, shape in enumerate(shapes)]

    def set_blobs(self) -> None:
        """Set the learnable blobs to `blob_values`."""
        for blob, values in zip(self.layer.blobs, self.blob_values, strict=True):
            blob.data[...] = self.backend.asarray(values)

    def _is_shared(self, top: Array) -> bool:
        return any(self.backend.xp.may_share_memory(top, blob.data) for blob in self.bottom)

    def forward(self) -> list[Values]:
        """Feed the bottoms, reshape, fill the tops with NaN and run forward; gives copies of the tops.

        The pass is number `PASS` each time, so that random layers draw the same; after it the counter moves on, as in
        a net: a backward that looks at the counter sees another number.
        """
        self.context.counter.value = PASS
        self._feed()
        self.set_blobs()
        self.layer.reshape(self.bottom, self.top)
        for top in self.top:
            # In place, or a layer such as Reshape whose top is its bottom's memory.
            if not self._is_shared(top.data):
                top.data[...] = np.nan
        self.layer.forward(self.bottom, self.top)
        self.context.counter.value += 1
        return [self.copy(top.data) for top in self.top]

    def copy(self, array: Array) -> Values:
        """A copy on the host."""
        self.backend.synchronize()
        return np.array(self.backend.to_host(array))

    def draw_top_diffs(self) -> list[Values]:
        """Normal numbers for the diffs of the tops that carry a gradient, NaN for the others: nobody may read those."""
        checked = range(self.case.tops) if self.case.tops_checked is None else self.case.tops_checked
        random = np.random.default_rng(2012)
        drawn = [random.standard_normal(top.shape).astype(np.float32).astype(np.float64) for top in self.top]
        return [drawn[i] if i in checked else np.full(top.shape, np.nan) for i, top in enumerate(self.top)]

    def set_diffs(self, top_diffs: Sequence[Values]) -> None:
        """Fill the bottoms' diffs with NaN, then write the tops' diffs (which may be the same memory)."""
        for blob in self.bottom:
            blob.diff[...] = np.nan
        for top, diff in zip(self.top, top_diffs, strict=True):
            top.diff[...] = self.backend.asarray(diff)

    def backward(self, top_diffs: Sequence[Values], propagate: Sequence[bool] | None = None) -> list[Values]:
        """Run backward from ``top_diffs``; gives copies of the bottoms' diffs. Diffs of learnable blobs accumulate."""
        self.set_diffs(top_diffs)
        self.layer.backward(self.top, list(self.propagate if propagate is None else propagate), self.bottom)
        return [self.copy(blob.diff) for blob in self.bottom]

    def clear_blob_diffs(self, value: float = 0.0) -> None:
        """Set the diffs of the learnable blobs to ``value``."""
        for blob in self.layer.blobs:
            blob.diff[...] = value

    def blob_diffs(self) -> list[Values]:
        """Copies of the learnable blobs' diffs."""
        return [self.copy(blob.diff) for blob in self.layer.blobs]

    def run(self) -> Pass:
        """One forward and one backward pass; the diffs of learnable blobs start from zero."""
        tops = self.forward()
        self.clear_blob_diffs()
        bottom_diffs = self.backward(self.draw_top_diffs())
        return Pass(tops, bottom_diffs, self.blob_diffs())

    def close(self) -> None:
        """Close the layer."""
        self.layer.close()
