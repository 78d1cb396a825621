"""Tile: repeats along one axis."""

from __future__ import annotations

import math

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["Tile"]


@register_layer("Tile")
class Tile(Layer):
    """The bottom ``tiles`` times, one after the other along tile_param.axis (1 unless given): 1 2 to 1 2 1 2.

    Not in place. Source: Caffe's tile_layer.cpp.

    Raises:
        LayerError: no such axis; no tiles, or not a positive number.
    """

    bottoms = (1, 1)
    tops = (1, 1)
    in_place = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.tile_param
        self.given_axis, self.tiles = param.axis, param.tiles
        if not param.HasField("tiles"):
            raise self.error("Number of tiles must be specified. Set tiles in tile_param.")
        if self.tiles <= 0:
            raise self.error(f"Number of tiles must be positive; got {self.tiles}.")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        axis = self.axis(bottom[0], self.given_axis)
        self.outer, self.inner = math.prod(shape[:axis]), math.prod(shape[axis:])
        top[0].reshape(*shape[:axis], shape[axis] * self.tiles, *shape[axis + 1 :])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        y = top[0].data.reshape(self.outer, self.tiles, self.inner)
        y[...] = bottom[0].data.reshape(self.outer, 1, self.inner)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            dy = top[0].diff.reshape(self.outer, self.tiles, self.inner)
            self.xp.sum(dy, axis=1, out=bottom[0].diff.reshape(self.outer, self.inner))
