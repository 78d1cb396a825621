"""What Caffe's transform_param asks of each record: crop, mirror, mean, scale; and AlexNet's colour noise.

The settings, their checks and the random draws are here. Decode threads only crop (`caffepy.data.reader`); the
arithmetic on pixels is an op of the backend, which a layer calls once for a batch (`caffepy.cpu.transform`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from caffepy.data.colour_noise import ColourNoise
from caffepy.data.datum import Color, size_text
from caffepy.data.mean import read_mean
from caffepy.errors import DataError
from caffepy.proto import caffe_pb2
from caffepy.random import Stream

__all__ = ["Placement", "Transform"]


class Placement(NamedTuple):
    """Where the crop begins and whether it is mirrored: numbers of one record, or arrays for several."""

    h_off: Any
    w_off: Any
    mirror: Any


class Transform:
    """``(pixel + noise - mean) * scale`` of a crop, mirrored or not (Caffe's data_transformer.cpp).

    In TRAIN the crop's place is random, in TEST it is central. Mirroring has probability 1/2 in both, as in Caffe.
    Draws are a function of ``(seed, layer_name, record ordinal)``: of no thread, batch or resumed run.

    Args:
        param: the layer's transform_param.
        phase: ``caffe_pb2.TRAIN`` or ``caffe_pb2.TEST``.
        seed: the run's random_seed.
        layer_name: of the data layer; two layers draw differently.
        where: file and line of the layer, for messages.
        colour_noise: added in TRAIN to images of three channels; None adds nothing.

    Raises:
        DataError: mean_file with mean_value, force_color with force_gray, a mean file that cannot be read.
    """

    def __init__(
        self,
        param: caffe_pb2.TransformationParameter,
        phase: int,
        seed: int,
        layer_name: str,
        where: str = "",
        *,
        colour_noise: ColourNoise | None = None,
    ) -> None:
        self.where = f"{where}: layer '{layer_name}'" if where else f"layer '{layer_name}'"
        self.train = phase == caffe_pb2.TRAIN
        self.crop_size = int(param.crop_size)
        self.mirror = bool(param.mirror)
        self.scale = float(param.scale)
        self.colour_noise = colour_noise if self.train else None
        if param.force_color and param.force_gray:
            raise DataError(
                f"{self.where}: cannot set both force_color and force_gray. Remove one from transform_param."
            )
        #: What encoded records are decoded to.
        self.color: Color = "color" if param.force_color else "gray" if param.force_gray else None
        if param.mean_file and len(param.mean_value):
            raise DataError(f"{self.where}: Cannot specify mean_file and mean_value at the same time. Remove one.")
        #: None, (1,) or (C,) values, or an image (C, H, W).
        self.mean: NDArray[np.float32] | None = None
        if param.mean_file:
            self.mean = _mean_of_layer(param.mean_file, self.where)
        elif len(param.mean_value):
            self.mean = np.array(list(param.mean_value), np.float32)
        self._stream = Stream(seed, layer_name, "transform")
        self._colour_stream = Stream(seed, layer_name, "colour")

    def check(self, shape: tuple[int, ...], name: str) -> None:
        """Say whether an image (C, H, W) can be cropped and have the mean subtracted; ``name`` is the record.

        Raises:
            DataError: it cannot.
        """
        channels, height, width = shape
        for side, size in (("height", height), ("width", width)):
            if size < self.crop_size:
                hint = ""
                if width <= 4 < channels:
                    hint = (
                        f" Was an image (height, width, channels) = {shape} written where Caffe expects channels first?"
                    )
                raise DataError(
                    f"{self.where}: {name} is {size_text(shape)}, too small for crop_size {self.crop_size}. "
                    f"Check failed: datum_{side} >= crop_size ({size} vs. {self.crop_size}).{hint}"
                )
        if self.mean is None:
            return
        if self.mean.ndim == 1:
            if self.mean.size not in (1, channels):
                raise DataError(
                    f"{self.where}: {self.mean.size} mean_value for {name} of {channels} channels. "
                    f"Specify either 1 mean_value or as many as channels: {channels}."
                )
        elif self.mean.shape != shape:
            raise DataError(
                f"{self.where}: {name} is {size_text(shape)}, but the image in mean_file is "
                f"{size_text(self.mean.shape)}. Check failed: {_mean_check(self.mean.shape, shape)}. "
                "Make the mean from this database with 'caffepy compute-image-mean', or give mean_value instead."
            )

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """The shape (C, h, w) that an image (C, H, W) is brought to."""
        channels, height, width = shape
        return channels, self.crop_size or height, self.crop_size or width

    def draw(self, ordinals: NDArray[np.int64]) -> NDArray[np.uint32]:
        """The random words behind the placement of each record, (n, 3): row, column, mirror."""
        return self._stream.bits_of_steps(ordinals, 3)

    def place(self, words: NDArray[np.uint32], height: Any, width: Any) -> Placement:
        """Placements in images of ``height`` and ``width``, numbers or (n,), from the ``words`` of `draw`, (..., 3)."""
        none = np.zeros(words.shape[:-1], np.int64)
        spare_rows = height - self.crop_size if self.crop_size else none
        spare_columns = width - self.crop_size if self.crop_size else none
        if self.train:
            wide = words.astype(np.int64)
            h_off = wide[..., 0] * (spare_rows + 1) >> 32
            w_off = wide[..., 1] * (spare_columns + 1) >> 32
        else:
            h_off, w_off = none + spare_rows // 2, none + spare_columns // 2
        mirror = words[..., 2] >> np.uint32(31) == 1 if self.mirror else none != 0
        return Placement(h_off, w_off, mirror)

    def placements(self, ordinals: NDArray[np.int64], height: Any, width: Any) -> Placement:
        """`place` for records by ordinal: h_off, w_off (int64) and mirror (bool), each (n,)."""
        return self.place(self.draw(ordinals), height, width)

    def shifts(self, ordinals: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """What the colour noise adds to blue, green and red of each record, (n, 3); None without noise."""
        if self.colour_noise is None:
            return None
        return self.colour_noise.shifts(self._colour_stream, ordinals)


def _mean_of_layer(path: str, where: str) -> NDArray[np.float32]:
    try:
        return read_mean(path)
    except DataError as error:
        raise DataError(f"{where}: mean_file: {error}") from error


def _mean_check(mean: tuple[int, ...], shape: tuple[int, ...]) -> str:
    names = ("channels", "height", "width")
    name, have, want = next(entry for entry in zip(names, shape, mean, strict=True) if entry[1] != entry[2])
    return f"datum_{name} == data_mean_.{name}() ({have} vs. {want})"
