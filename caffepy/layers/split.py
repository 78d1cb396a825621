"""Split: one bottom to several readers; made by the net itself wherever several layers read a top."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["Split"]


@register_layer("Split")
class Split(Layer):
    """``top[i] = bottom``, of any shape; ``bottom.diff = sum of top[i].diff`` (Caffe's split_layer.cpp).

    The tops' data is the bottom's memory.
    """

    bottoms = (1, 1)
    tops = (1, None)
    in_place = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Nothing to read."""

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        for blob in top:
            blob.reshape(*bottom[0].shape)
            blob.share_data(bottom[0])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Nothing to do: the memory is shared."""

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        total = bottom[0].diff
        if len(top) == 1:
            total[...] = top[0].diff
            return
        self.xp.add(top[0].diff, top[1].diff, out=total)
        for blob in top[2:]:
            total += blob.diff
