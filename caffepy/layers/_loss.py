"""What loss layers share: the check of batch sizes, and the divisor of a loss that can leave labels out."""

from __future__ import annotations

from caffepy.backend import Array
from caffepy.blob import Blob
from caffepy.layer import Layer
from caffepy.proto import caffe_pb2

__all__ = ["Normalizer", "check_batch"]

_MODE = caffe_pb2.LossParameter


def check_batch(layer: Layer, data: Blob, label: Blob) -> int:
    """The batch size.

    Raises:
        LayerError: ``data`` and ``label`` have not the same one, or none.
    """
    if not data.shape or data.shape[:1] != label.shape[:1]:
        raise layer.error(
            "The data and label should have the same first dimension; "
            f"got {data.shape_string} and {label.shape_string}."
        )
    return data.shape[0]


class Normalizer:
    """What a sum of losses is divided by: at least 1, and on the device.

    By loss_param.normalization: FULL, the number of labels; VALID, of those not ignored; BATCH_SIZE, N; NONE, 1.
    """

    def __init__(self, layer: Layer, mode: caffe_pb2.LossParameter.NormalizationMode) -> None:
        self._xp = layer.xp
        self._mode = mode
        #: One element.
        self.value = layer.backend.zeros((1,))

    def reshape(self, outer: int, inner: int) -> None:
        """For ``outer`` samples of ``inner`` labels each."""
        fixed = {_MODE.FULL: outer * inner, _MODE.BATCH_SIZE: outer}.get(self._mode, 1)
        self.value.fill(max(fixed, 1))

    def count(self, counted: Array) -> None:
        """``counted`` labels, an array of one element, were not ignored."""
        if self._mode == _MODE.VALID:
            self._xp.maximum(counted, 1, out=self.value)
