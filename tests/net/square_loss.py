"""A loss for tests whose gradient is plain algebra, and a layer that makes whatever blobs a test asks for."""

from __future__ import annotations

import caffepy

__all__ = ["SquareLoss", "Weights"]


@caffepy.register_layer("SquareLoss")
class SquareLoss(caffepy.Layer):
    """loss = sum((a - b)^2) / (2 N); bottoms a, b (N, ...); top ()."""

    bottoms = (2, 2)
    tops = (1, 1)
    in_place = False
    loss = True
    auto_top_blobs = True

    def setup(self, bottom, top):
        self.difference = caffepy.Blob(self.backend)

    def reshape(self, bottom, top):
        if bottom[0].count != bottom[1].count:
            raise self.error("bottoms differ in count")
        self.difference.reshape(*bottom[0].shape)
        top[0].reshape()

    def forward(self, bottom, top):
        d = self.difference.data
        self.xp.subtract(bottom[0].data, bottom[1].data.reshape(d.shape), out=d)
        top[0].data[...] = (d * d).sum() / (2 * d.shape[0])

    def backward(self, top, propagate_down, bottom):
        for i, sign in ((0, 1), (1, -1)):
            if propagate_down[i]:
                bottom[i].diff[...] = (sign * top[0].diff * self.difference.data / len(self.difference.data)).reshape(
                    bottom[i].shape
                )


@caffepy.register_layer("Weights")
class Weights(caffepy.Layer):
    """Top i is learnable blob i, shaped by input_param.shape i and filled with i + 1; no bottoms, any tops."""

    bottoms = (0, 0)
    tops = (1, None)

    def setup(self, bottom, top):
        for i, shape in enumerate(self.param.input_param.shape):
            filler = self.param.scale_param.filler.__class__(type="constant", value=i + 1)
            self.add_blob(tuple(shape.dim), filler)

    def reshape(self, bottom, top):
        for blob, own in zip(top, self.blobs, strict=False):
            blob.reshape(*own.shape)

    def forward(self, bottom, top):
        for blob, own in zip(top, self.blobs, strict=False):
            blob.data[...] = own.data

    def backward(self, top, propagate_down, bottom):
        for i, (blob, own) in enumerate(zip(top, self.blobs, strict=False)):
            if self.param_propagate_down[i]:
                own.diff[...] += blob.diff
