"""DummyData: tops filled by fillers, to try out and time nets without data."""

from __future__ import annotations

from typing import TypeVar

from caffepy.backend import Array
from caffepy.blob import Blob
from caffepy.errors import LayerError
from caffepy.filler import fill
from caffepy.layer import Layer, register_layer
from caffepy.proto import caffe_pb2

__all__ = ["DummyData"]

T = TypeVar("T")

_OLD_FIELDS = ("num", "channels", "height", "width")


@register_layer("DummyData")
class DummyData(Layer):
    """``top[i]`` of ``shape`` i, filled by ``data_filler`` i; one of either serves all tops (dummy_data_layer.cpp).

    Without a filler tops are zero. A constant is filled in once, and what a caller then writes stays; others are drawn
    anew for each pass. Shapes may also be given by the older num, channels, height and width.

    Raises:
        LayerError: another number of shapes or fillers, old and new fields mixed, an unknown filler.
    """

    bottoms = (0, 0)
    tops = (1, None)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.dummy_data_param
        fillers = list(param.data_filler) or [caffe_pb2.FillerParameter(type="constant")]
        if len(fillers) not in (1, len(top)):
            raise self.error(
                f"Number of data fillers must be 0, 1 or equal to the number of tops: {len(top)}; "
                f"you specified {len(fillers)} data fillers."
            )
        self.fillers = [fillers[min(i, len(fillers) - 1)] for i in range(len(top))]
        for i, (blob, shape) in enumerate(zip(top, self._shapes(len(top)), strict=True)):
            blob.reshape(*shape)
            self.take_memory(blob.unallocated, f"top {i}, {blob.shape_string},", blob.unallocated)
            blob.data[...] = self.backend.asarray(self._values(i, blob))
        self.uploads = [self.ops.Upload(self.backend) for _ in top]
        for i in self._drawn(top):
            self.uploads[i].plan(top[i].shape)

    def _shapes(self, count: int) -> list[tuple[int, ...]]:
        param = self.param.dummy_data_param
        old = {name: list(getattr(param, name)) for name in _OLD_FIELDS}
        if not any(old.values()):
            return self._once_or_each("shape", [tuple(shape.dim) for shape in param.shape], count)
        if param.shape:
            raise self.error(
                "Both shape and legacy fields were specified (Check failed: 0 == param.shape_size()). "
                f"Give shape, or {', '.join(_OLD_FIELDS)}."
            )
        columns = [self._once_or_each(name, values, count) for name, values in old.items()]
        return list(zip(*columns, strict=True))

    def _once_or_each(self, name: str, values: list[T], count: int) -> list[T]:
        if len(values) not in (1, count):
            raise self.error(f"Must specify '{name}' once, or once per top blob ({count}); specified {len(values)}.")
        return values * count if len(values) == 1 else values

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Nothing: shapes are set once."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        for i in self._drawn(top):
            self.uploads[i].forward(self._values(i, top[i]), top[i].data)

    def _drawn(self, top: list[Blob]) -> list[int]:
        """The tops that are other ones in each pass."""
        return [i for i in range(len(top)) if self.fillers[i].type != "constant"]

    def _values(self, index: int, blob: Blob) -> Array:
        try:
            return fill(self.fillers[index], blob.shape, self.stream("data", index), self.context.counter.value)
        except LayerError as error:
            raise self.error(f"data_filler: {error}") from None

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Nothing lies below."""
