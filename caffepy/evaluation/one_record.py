"""One pass of a net for the sake of one record of its data, or of one image, whose blobs are to be looked at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from caffepy.errors import NetError, did_you_mean
from caffepy.evaluation.crops import Crops
from caffepy.evaluation.preprocessing import Preprocessing, preprocessing_of
from caffepy.net import Net
from caffepy.net.deploy import deploy_net
from caffepy.proto import caffe_pb2
from caffepy.proto.text import Lines

__all__ = ["ImagePass", "blob_names", "run_to_record"]

Source: TypeAlias = "tuple[caffe_pb2.NetParameter, Lines]"


def run_to_record(net: Net, record: int) -> int:
    """Run the pass of ``net`` that shows record number ``record`` of its data; gives the record's row in the batch.

    Raises:
        NetError: the net is fed and has no data of its own.
    """
    if net.inputs:
        raise NetError(
            f"net '{net.name}' has an input, '{net.inputs[0]}', and no data of its own: give an image (--image), or "
            "the train_val.prototxt."
        )
    batch = next((entry.top[0].shape[0] for entry in net.entries if not entry.bottom and entry.top), 1)
    net.counter.value = record // batch
    net.forward()
    return record % batch


class ImagePass:
    """A net for one image file, prepared exactly as a net's TEST phase prepares records.

    Args:
        source: the net: a deploy.prototxt where ``tested`` is given, else the net that was tested, of which the net
            for prediction is made.
        path: the image.
        tested: the net whose data layer says how images are prepared, if it is another.
        level, stages: of the nets' state.

    Attributes:
        source: the net to build, for the image's size.
        prepare: how the image is prepared.

    Raises:
        CaffepyError: a net without data layer, an image that cannot be read.
    """

    def __init__(
        self, source: Source, path: str, tested: Source | None = None, level: int = 0, stages: Iterable[str] = ()
    ) -> None:
        stages = list(stages)
        self.path = path
        self.prepare: Preprocessing = preprocessing_of(*(tested or source), level=level, stages=stages)
        self._image = self.prepare.load(path)
        self.source = source
        if tested is None:
            given = {self.prepare.top: (1, *self.prepare.input_shape(self._image))}
            self.source = deploy_net(*source, shapes=given, level=level, stages=stages), Lines.unknown()

    def run(self, net: Net) -> None:
        """Run ``net``, built of `source`, with the image as its only record.

        Raises:
            NetError: it has no input, or several.
        """
        if len(net.inputs) != 1:
            raise NetError(f"net '{net.name}' has {len(net.inputs)} inputs; to be shown an image it needs one.")
        fill = Crops(net.backend, self.prepare.transform, 1)
        fill.fill([self._image], [f"image '{self.path}'"], net.blobs[net.inputs[0]])
        net.forward()


def blob_names(net: Net, wanted: Sequence[str]) -> list[str]:
    """The blobs of these names; a layer's name stands for its tops.

    Raises:
        NetError: neither a blob nor a layer has a name.
    """
    names: list[str] = []
    for name in wanted:
        if name in net.blobs:
            names.append(name)
        elif name in net.layer_dict:
            names += next(entry.top_names for entry in net.entries if entry.layer.name == name)
        else:
            hint = did_you_mean(name, [*net.blobs, *net.layer_dict])
            raise NetError(f"The net has no blob or layer '{name}'.{hint} Its blobs: {', '.join(net.blobs)}.")
    return names
