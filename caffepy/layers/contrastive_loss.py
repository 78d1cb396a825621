"""ContrastiveLoss: the loss of siamese nets, on distances of pairs."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer
from caffepy.layers._loss import check_batch

__all__ = ["ContrastiveLoss"]

# Keeps the gradient of a distance of 0 finite.
_EPSILON = 1e-4


@register_layer("ContrastiveLoss")
class ContrastiveLoss(Layer):
    """``loss = 1 / (2 N) * sum over pairs n of d^2 (alike) or max(margin - d, 0)^2 (not alike)``, d = |a - b|.

    Bottoms: features a and b, (N, C) or (N, C, 1, 1); (N,) or (N, 1), 0 where a pair is not alike, after its fraction
    is dropped. Top: the loss, (). ``legacy_version`` takes ``max(margin - d^2, 0)`` for pairs not alike. As in Caffe,
    whose gradient divides by d + 0.0001, that of pairs not alike is a little too small where they are very near.
    Sources: Hadsell, Chopra, LeCun, CVPR 2006; Caffe's contrastive_loss_layer.cpp.

    Raises:
        LayerError: bottoms that are no such vectors, or backward to the third.
    """

    bottoms = (3, 3)
    tops = (1, 1)
    in_place = False
    loss = True
    auto_top_blobs = True
    no_gradient = frozenset({2})

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.contrastive_loss_param
        self.margin, self.legacy = param.margin, param.legacy_version
        self.difference = Blob(self.backend)
        self.shape = (0, 0)
        self.scale = self.backend.zeros((1,))

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        num = check_batch(self, bottom[0], bottom[1])
        self._check(bottom)
        if self.shape != (num, bottom[0].channels):
            self.shape = (num, bottom[0].channels)
            self.difference.reshape(*self.shape)
            self.alike = self.backend.empty((num,), bool)
            # Squared distance, loss, and the gradient's factor of a - b, for each pair.
            self.squared, self.losses, self.factor = (self.backend.empty((num,)) for _ in range(3))
        self.backend.scratch(self.shape)
        top[0].reshape()

    def _check(self, bottom: list[Blob]) -> None:
        a, b, alike = bottom
        vectors = all(len(blob.shape) <= 4 and blob.height == blob.width == 1 for blob in bottom)
        if not vectors or a.channels != b.channels or alike.channels != 1:
            raise self.error(
                "takes two blobs (N, C) and one (N, 1) (Check failed: bottom[0]->channels() == bottom[1]->channels(), "
                "bottom[i]->height() == 1, bottom[i]->width() == 1, bottom[2]->channels() == 1); "
                f"got {a.shape_string}, {b.shape_string} and {alike.shape_string}."
            )
        if alike.num < a.num:
            raise self.error(f"{a.num} pairs need as many values in bottom[2], which has {alike.num}.")

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        xp, num = self.xp, self.shape[0]
        a, b = bottom[0].data.reshape(self.shape), bottom[1].data.reshape(self.shape)
        difference = xp.subtract(a, b, out=self.difference.data)
        xp.multiply(difference, difference, out=self.backend.scratch(self.shape)).sum(axis=1, out=self.squared)
        xp.trunc(bottom[2].data.reshape(-1)[:num], out=self.losses)
        xp.not_equal(self.losses, 0, out=self.alike)
        if self.legacy:
            xp.subtract(self.margin, self.squared, out=self.losses)
            xp.maximum(self.losses, 0, out=self.losses)
            xp.negative(xp.sign(self.losses, out=self.factor), out=self.factor)
        else:
            xp.sqrt(self.squared, out=self.factor)
            xp.subtract(self.margin, self.factor, out=self.losses)
            xp.maximum(self.losses, 0, out=self.losses)
            self.factor += _EPSILON
            xp.divide(self.losses, self.factor, out=self.factor)
            xp.negative(self.factor, out=self.factor)
            xp.multiply(self.losses, self.losses, out=self.losses)
        xp.copyto(self.losses, self.squared, where=self.alike)
        xp.copyto(self.factor, 1, where=self.alike)
        loss = xp.sum(self.losses, out=top[0].data)
        loss /= 2 * max(num, 1)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[2]:
            raise self.error("ContrastiveLoss Layer cannot backpropagate to bottom[2], which says what is alike.")
        for i, sign in ((0, 1), (1, -1)):
            if propagate_down[i]:
                self.xp.divide(top[0].diff.reshape(1), sign * max(self.shape[0], 1), out=self.scale)
                dx = bottom[i].diff.reshape(self.shape)
                self.xp.multiply(self.difference.data, self.factor[:, None], out=dx)
                dx *= self.scale
