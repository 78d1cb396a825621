"""HDF5Output: two blobs into an HDF5 file."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.errors import DataError
from caffepy.layer import Layer, register_layer

__all__ = ["HDF5Output"]


@register_layer("HDF5Output")
class HDF5Output(Layer):
    """Writes its bottoms to ``file_name`` as datasets ``data`` and ``label`` (Caffe's hdf5_output_layer.cpp).

    Bottoms: data and label, of equal first dimension and at most four axes; both are stored with four, (N, C, H, W),
    as Caffe stores them: labels (N,) become (N, 1, 1, 1). No tops, no gradient. The first pass writes the file. Each
    later pass adds its rows, where Caffe 1.0 ends in an error, and the file has them all when the net is closed; it is
    replaced in one step.

    Raises:
        LayerError: blobs of different length, or of more than four axes.
        DataError: the file cannot be written.
    """

    bottoms = (2, 2)
    tops = (0, 0)
    no_gradient = frozenset({0, 1})

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        # Importing the layers must not need h5py until a file is written.
        from caffepy.data.hdf5_collector import Hdf5Collector

        with self.named(DataError):
            self.collector = Hdf5Collector(self.param.hdf5_output_param.file_name)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        for blob, what in zip(bottom, ("data", "label"), strict=True):
            if len(blob.shape) > 4:
                raise self.error(f"{what} {blob.shape_string}: at most four axes can be written.")
        if bottom[0].num != bottom[1].num:
            raise self.error(
                "data blob and label blob must have the same batch size; "
                f"got {bottom[0].shape_string} and {bottom[1].shape_string}."
            )

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        data, label = (
            self.backend.to_host(blob.data).reshape(blob.num, blob.channels, blob.height, blob.width) for blob in bottom
        )
        with self.named(DataError):
            self.collector.append(data, label)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Nothing depends on the file."""

    def close(self) -> None:
        """Put the file in its place."""
        self.collector.close()
