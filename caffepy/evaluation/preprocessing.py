"""What a net's own TEST phase does to an image: there is one truth of it, the data layer in the train_val.prototxt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffepy.data.datum import MAX_PIXELS, decode, decode_image
from caffepy.data.image_files import read_image_file
from caffepy.data.resize import resize, resize_shorter_side
from caffepy.data.source import open_source
from caffepy.data.transform import Transform
from caffepy.errors import DataError, NetError, prefix
from caffepy.net.state import included, net_state
from caffepy.proto import caffe_pb2
from caffepy.proto.text import Lines

__all__ = ["Preprocessing", "crop_text", "preprocessing_of"]

#: Records of a database that are looked at for their size.
_LOOKED_AT = 8
_KINDS = ("Data", "ImageData", "MemoryData")


@dataclass(frozen=True)
class Preprocessing:
    """From an image file to the pixels that a data layer crops and transforms.

    Attributes:
        top: the data layer's top of images.
        layer: file, line, name and type of the layer, for messages.
        transform: its crop, mean and scale, in TEST.
        channels: 3 (blue, green, red) or 1 (brightness).
        size: what images are resized to: (height, width), or (side, 0) for their shorter side, or (0, 0).
        size_from: what says so.
        mean_from: the mean's file, or its values.
        batch_size: the layer's.
    """

    top: str
    layer: str
    transform: Transform
    channels: int
    size: tuple[int, int]
    size_from: str
    mean_from: str
    batch_size: int

    def load(self, path: str) -> NDArray[np.uint8]:
        """The image file ``path`` as (C, H, W), decoded and resized.

        Raises:
            DataError: it cannot be read or decoded.
        """
        path, data = read_image_file("", path)
        image = decode_image(data, f"image '{path}'", color="color" if self.channels == 3 else "gray")
        height, width = self.size
        if not height:
            return image
        return resize(image, height, width) if width else resize_shorter_side(image, height)

    def input_shape(self, image: NDArray[Any]) -> tuple[int, int, int]:
        """(C, h, w) of the crops of an image that `load` has given."""
        return self.transform.output_shape(image.shape)

    def describe(self, crops: int = 1) -> dict[str, str]:
        """The steps in words, in the order in which they are taken, with 1 crop of an image or 10."""
        height, width = self.size
        crop = self.transform.crop_size
        side = f"shorter side to {height}" if not width else f"{height} x {width}"
        return {
            "from": self.layer,
            "channels": "BGR, 0 to 255" if self.channels == 3 else "gray, 0 to 255",
            "resize": f"{side} ({self.size_from})" if height else f"none ({self.size_from})",
            "crop": crop_text((crop, crop) if crop else None, crops),
            "mean": self.mean_from,
            "scale": f"{self.transform.scale:g}",
        }


def crop_text(size: tuple[int, int] | None, crops: int) -> str:
    """What is cut out of an image, in words."""
    if size is None:
        return "none"
    text = f"{size[0]} x {size[1]}"
    return f"{text}, the centre" if crops == 1 else f"{text}, ten: corners and centre, and these mirrored"


def preprocessing_of(
    param: caffe_pb2.NetParameter,
    lines: Lines,
    *,
    size: tuple[int, int] = (0, 0),
    gray: bool = False,
    level: int = 0,
    stages: Iterable[str] = (),
) -> Preprocessing:
    """What the data layer of the net's TEST phase does to images.

    A Data layer's images have the size that they were converted to: that of its mean image, or of the records in its
    database. Where neither is there, ``size`` must say it.

    Args:
        param, lines: the net, as `read_net` gives it.
        size: what images are resized to, instead; see `Preprocessing.size`.
        gray: the database, which is not there, has images of one channel.
        level, stages: of the net's state.

    Raises:
        NetError: no data layer of images, or several.
        DataError: its settings do not fit, or no size is known.
    """
    state = net_state(caffe_pb2.TEST, level, [*param.state.stage, *stages])
    found = []
    kinds = []
    for i, layer in enumerate(param.layer):
        where = lines.at("layer", i).where()
        if included(layer, state, where):
            kinds += [layer.type] if not layer.bottom else []
            if layer.type in _KINDS:
                found.append((layer, where))
    if len(found) != 1:
        names = ", ".join(f"'{layer.name}'" for layer, _ in found)
        raise NetError(
            f"net '{param.name}': expected one data layer of images in the TEST phase ({', '.join(_KINDS)}); found "
            f"{names or 'none'}{f' among {sorted(set(kinds))}' if kinds and not found else ''}. Its transform_param is "
            "what images go through: give the train_val.prototxt that the weights were tested with."
        )
    layer, where = found[0]
    transform_param = caffe_pb2.TransformationParameter()
    transform_param.CopyFrom(layer.transform_param)
    transform_param.force_color |= layer.data_param.force_encoded_color
    transform = Transform(transform_param, caffe_pb2.TEST, 0, layer.name, where)
    seen, sizes = _seen(layer, transform)
    own, why = (size, "as asked for") if size[0] else _own_size(layer, transform, sizes)
    if max(own) * max(min(own), 1) > MAX_PIXELS:
        raise DataError(f"{transform.where}: images of {own[0]} x {own[1]} exceed the {MAX_PIXELS:,} pixels allowed.")
    return Preprocessing(
        layer.top[0],
        f"{prefix(where)}layer '{layer.name}' ({layer.type}, TEST)",
        transform,
        _channels(layer, transform, seen, gray),
        own,
        why,
        _mean_text(layer.transform_param),
        layer.data_param.batch_size or layer.image_data_param.batch_size or layer.memory_data_param.batch_size,
    )


def _seen(layer: caffe_pb2.LayerParameter, transform: Transform) -> tuple[int, set[tuple[int, int]]]:
    """Channels and sizes of some records of a Data layer's database; 0 and none where it is not there."""
    if layer.type != "Data":
        return 0, set()
    try:
        source = open_source(layer.data_param.source, caffe_pb2.DataParameter.DB.Name(layer.data_param.backend))
    except DataError:
        return 0, set()
    try:
        count = len(source)
        numbers = sorted({i * (count - 1) // (_LOOKED_AT - 1) for i in range(_LOOKED_AT)})
        shapes = []
        for number in numbers:
            key, value = source.read(number)
            shapes.append(decode(value, key, color=transform.color).array.shape)
    finally:
        source.close()
    return shapes[0][0], {shape[1:] for shape in shapes}


def _own_size(
    layer: caffe_pb2.LayerParameter, transform: Transform, sizes: set[tuple[int, int]]
) -> tuple[tuple[int, int], str]:
    if layer.type == "ImageData":
        param = layer.image_data_param
        if (param.new_height == 0) != (param.new_width == 0):
            raise DataError(
                f"{transform.where}: new_height {param.new_height} and new_width {param.new_width}: Current "
                "implementation requires new_height and new_width to be set at the same time."
            )
        if param.new_height:
            return (param.new_height, param.new_width), "new_height and new_width"
        return (0, 0), "as ImageData without new_height and new_width"
    if transform.mean is not None and transform.mean.ndim == 3:
        return (transform.mean.shape[1], transform.mean.shape[2]), "the size of the mean image"
    if len(sizes) == 1:
        return sizes.pop(), "as the records of the database"
    if sizes:
        sides = {min(one) for one in sizes}
        if len(sides) == 1:
            return (sides.pop(), 0), "as the records of the database"
        return (0, 0), "the records of the database are of several sizes"
    if layer.type == "MemoryData" and not transform.crop_size:
        return (layer.memory_data_param.height, layer.memory_data_param.width), "memory_data_param"
    raise DataError(
        f"{transform.where}: the size of its images is not known: its database '{layer.data_param.source}' is not "
        "here, and no mean image tells. Say what the images were resized to before they were cropped: --images-dim "
        "256,256, or --images-dim 256 for their shorter side."
    )


def _channels(layer: caffe_pb2.LayerParameter, transform: Transform, seen: int, gray: bool) -> int:
    if layer.type == "ImageData":
        return 3 if layer.image_data_param.is_color else 1
    if layer.type == "MemoryData":
        channels: int = layer.memory_data_param.channels
    elif seen:
        channels = seen
    elif transform.color is not None:
        channels = 3 if transform.color == "color" else 1
    elif transform.mean is not None and (transform.mean.ndim == 3 or transform.mean.size > 1):
        channels = len(transform.mean)
    else:
        channels = 1 if gray else 3
    if channels not in (1, 3):
        raise DataError(f"{transform.where}: images of {channels} channels; files are read as 3 (BGR) or 1 (gray).")
    return channels


def _mean_text(param: caffe_pb2.TransformationParameter) -> str:
    if param.mean_file:
        return f"image {param.mean_file}"
    return f"values {', '.join(f'{value:g}' for value in param.mean_value)}" if len(param.mean_value) else "none"
