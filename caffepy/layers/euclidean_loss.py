"""EuclideanLoss: half the mean squared distance, the loss of regression."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer
from caffepy.layers._loss import check_batch

__all__ = ["EuclideanLoss"]


@register_layer("EuclideanLoss")
class EuclideanLoss(Layer):
    """``loss = 1 / (2 N) * sum (x0 - x1)^2`` over all elements of a batch of N (Caffe's euclidean_loss_layer.cpp).

    Bottoms: x0 and x1, (N, ...) with equal N and equally many values each. Top: the loss, (). Both bottoms get a
    gradient where they need one, labels too: ``dx0 = (x0 - x1) / N`` and ``dx1 = -dx0``, times the top's diff.

    Raises:
        LayerError: bottoms that differ in size.
    """

    bottoms = (2, 2)
    tops = (1, 1)
    in_place = False
    loss = True
    auto_top_blobs = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.difference = Blob(self.backend)
        self.scale = self.backend.zeros((1,))

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.num = check_batch(self, bottom[0], bottom[1])
        if bottom[0].count != bottom[1].count:
            raise self.error(
                f"Inputs must have the same dimension; got {bottom[0].shape_string} and {bottom[1].shape_string}."
            )
        self.difference.reshape(*bottom[0].shape)
        self.backend.scratch(bottom[0].shape)
        top[0].reshape()

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x0, x1 = bottom[0].data, bottom[1].data.reshape(bottom[0].shape)
        difference = self.xp.subtract(x0, x1, out=self.difference.data)
        squares = self.xp.multiply(difference, difference, out=self.backend.scratch(difference.shape))
        loss = self.xp.sum(squares, out=top[0].data)
        loss /= 2 * max(self.num, 1)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        for blob, down, sign in zip(bottom, propagate_down, (1, -1), strict=True):
            if down:
                self.xp.divide(top[0].diff.reshape(1), sign * max(self.num, 1), out=self.scale)
                self.xp.multiply(self.difference.data, self.scale, out=blob.diff.reshape(bottom[0].shape))
