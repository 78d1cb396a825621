"""SPP: spatial pyramid pooling, as many values whatever the image's size."""

from __future__ import annotations

from itertools import accumulate, pairwise

from caffepy.blob import Blob
from caffepy.errors import LayerError
from caffepy.layer import Layer, register_layer
from caffepy.layers._images import check_images
from caffepy.layers.pooling import Pooling
from caffepy.proto import caffe_pb2

__all__ = ["SPP"]


# The next one would have 2^32 windows for each channel.
_MOST_LEVELS = 16


@register_layer("SPP")
class SPP(Layer):
    """Pools x (N, C, H, W) into 1 x 1, 2 x 2, 4 x 4, ... windows, one grid for each level of the pyramid.

    y (N, all values), level by level, each (C, h, w); with pyramid_height 1 it is (N, C, 1, 1). Level i has windows of
    ``ceil(H / 2^i)``, side by side, over an image padded evenly; spp_param.pool is Pooling's. Not in place. He, Zhang,
    Ren, Sun, "Spatial pyramid pooling in deep convolutional networks", ECCV 2014; Caffe's spp_layer.cpp.

    Raises:
        LayerError: no levels, a bottom without four axes, or an image too small for its last level.
    """

    bottoms = (1, 1)
    tops = (1, 1)
    in_place = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.height = self.param.spp_param.pyramid_height
        if self.height < 1:
            raise self.error("pyramid_height must be at least 1; got 0. Set it in spp_param.")
        if self.height > _MOST_LEVELS:
            raise self.error(
                f"pyramid_height {self.height}: level {_MOST_LEVELS} alone has 2^{2 * _MOST_LEVELS} windows, more than "
                "a blob may have values. Lower it."
            )
        self.levels: list[Pooling] = []
        self.pooled = [Blob(self.backend) for _ in range(self.height)]
        self.size: tuple[int, ...] = ()
        #: Takes the gradient of one level after the other.
        self.branch = Blob(self.backend)

    def _level(self, level: int, size: tuple[int, ...]) -> Pooling:
        """Level ``level``'s pooling of images of ``size``."""
        bins = 2**level
        kernel = [-(-side // bins) for side in size]
        pad = [(k * bins - side + 1) // 2 for k, side in zip(kernel, size, strict=True)]
        param = caffe_pb2.LayerParameter(
            name=f"{self.name}/{level}", type=self.type, phase=caffe_pb2.Phase.Name(self.phase)
        )
        # Both enums have the same numbers.
        param.pooling_param.pool = self.param.spp_param.pool  # type: ignore[assignment]
        param.pooling_param.kernel_h, param.pooling_param.kernel_w = kernel
        param.pooling_param.stride_h, param.pooling_param.stride_w = kernel
        param.pooling_param.pad_h, param.pooling_param.pad_w = pad
        return Pooling(param, self.context, self.where)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        check_images(self, bottom[0])
        size = shape[2:]
        if min(size) < 1:
            raise self.error(f"Input dimensions cannot be zero; got shape {bottom[0].shape_string}.")
        if size != self.size:
            self.levels = [self._level(level, size) for level in range(self.height)]
        for level, (pooling, blob) in enumerate(zip(self.levels, self.pooled, strict=True)):
            try:
                if size != self.size:
                    pooling.setup(bottom, [blob])
                pooling.reshape(bottom, [blob])
            except LayerError as error:
                raise self.error(
                    f"level {level} of the pyramid, {2**level} x {2**level} windows, does not fit an image of "
                    f"{size[0]} x {size[1]}. Lower pyramid_height or take larger images. {error}"
                ) from None
        self.size = size
        self.branch.reshape(*shape)
        widths = [shape[1] * blob.shape[2] * blob.shape[3] for blob in self.pooled]
        self.parts = [slice(begin, end) for begin, end in pairwise(accumulate(widths, initial=0))]
        top[0].reshape(*(self.pooled[0].shape if self.height == 1 else (shape[0], sum(widths))))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        y = top[0].data.reshape(bottom[0].shape[0], self.parts[-1].stop)
        for pooling, blob, part in zip(self.levels, self.pooled, self.parts, strict=True):
            pooling.forward(bottom, [blob])
            y[:, part] = blob.data.reshape(len(y), part.stop - part.start)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        dy, dx = top[0].diff.reshape(bottom[0].shape[0], self.parts[-1].stop), bottom[0].diff
        for level, (pooling, blob, part) in enumerate(zip(self.levels, self.pooled, self.parts, strict=True)):
            blob.diff.reshape(len(dy), part.stop - part.start)[...] = dy[:, part]
            pooling.backward([blob], [True], [self.branch if level else bottom[0]])
            if level:
                dx += self.branch.diff
