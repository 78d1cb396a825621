"""HDF5Data: rows of datasets in HDF5 files."""

from __future__ import annotations

from caffepy.data.row_reader import RowReader
from caffepy.errors import DataError
from caffepy.layer import register_layer
from caffepy.layers._batches import BatchLayer

__all__ = ["HDF5Data"]


@register_layer("HDF5Data")
class HDF5Data(BatchLayer):
    """Batches of rows of numbers, any number of tops (Caffe's hdf5_data_layer.cpp).

    ``source`` is a text file that lists HDF5 files, one a line. Each top is the dataset of its name, in the root of
    every file: (rows, ...), of one shape in all files, becomes (N, ...), N = batch_size, in the backend's dtype. A
    batch may go from one file to the next, and from the last to the first. Nothing is transformed: a transform_param
    is refused.

    Pass ``p`` of the net gets rows ``p * N`` to ``p * N + N - 1``, counted from the start of training. With ``shuffle``
    files come in another order each time through, and the rows of each file too; a file's rows stay together. Files up
    to 256 MB are read whole when their turn comes, of larger ones the rows of each batch.

    Raises:
        DataError: no list, a file or dataset that is missing, damaged, no numbers, or does not fit the others.
    """

    tops = (1, None)

    def open(self) -> RowReader:
        param = self.param.hdf5_data_param
        if self.param.HasField("transform_param"):
            raise self.error(f"{self.type} does not transform data: take transform_param out.")
        if param.batch_size == 0:
            raise self.error("batch_size must be positive. Set it in hdf5_data_param.")
        # Importing the layers must not need h5py until a file is opened.
        from caffepy.data.hdf5_rows import Hdf5Rows, read_file_list

        with self.named(DataError):
            rows = Hdf5Rows(
                read_file_list(param.source),
                list(self.param.top),
                self.backend.dtype,
                seed=self.context.seed,
                layer_name=self.name,
                shuffle=param.shuffle,
            )
        self.take_host_memory(rows.held_bytes, "files read whole")
        return RowReader(rows, param.batch_size, str(self.error("")))
