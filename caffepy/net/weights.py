"""A net's weights to files, .caffemodel (binaryproto) and .h5, and shared between nets.

What is written and what is refused follows Caffe's Net::ToProto, ToHDF5 and ShareTrainedLayersWith (src/caffe/net.cpp).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from caffepy.errors import CaffepyError, WeightsError, reason
from caffepy.layer import Layer
from caffepy.net.copy_weights import Targets
from caffepy.net.precision import Cast
from caffepy.proto import caffe_pb2
from caffepy.proto.arrays import encode_blob, write_message_with_blobs
from caffepy.proto.files import atomic_path, atomic_write
from caffepy.proto.read import MAX_BINARY

if TYPE_CHECKING:
    from caffepy.net.net import Net

__all__ = ["check_binary_size", "not_written", "save_weights", "share_weights"]

_NET_LAYER = caffe_pb2.NetParameter.DESCRIPTOR.fields_by_name["layer"].number
# Room for names, settings and shapes in a file that is all but full.
_HEADERS = 1 << 24
_LAYER_BLOBS = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name["blobs"].number


def save_weights(net: Net, path: str | os.PathLike[str], *, diff: bool = False, hdf5: bool | None = None) -> None:
    """Write ``net``'s weights to ``path``, whole or not at all; see `Net.save`."""
    if hdf5 is None:
        hdf5 = os.fspath(path).endswith(".h5")
    if not hdf5:
        check_binary_size(sum(blob.count for layer in net.layers for blob in layer.blobs), net, 1 + diff, path)
    try:
        if hdf5:
            _save_hdf5(net, path, diff)
        else:
            with atomic_write(path) as file:
                _save_binary(net, file, diff)
    except CaffepyError:
        raise
    # h5py has RuntimeError where it finds the disk full as it closes the file.
    except (OSError, RuntimeError) as error:
        raise not_written(path, error) from error


def check_binary_size(count: int, net: Net, copies: int, path: str | os.PathLike[str]) -> None:
    """Refuse what protobuf could write and never read: ``copies`` arrays of ``count`` elements in one file.

    Raises:
        WeightsError: they are more than 2 GiB.
    """
    size = count * net.backend.dtype.itemsize * copies
    if size > MAX_BINARY - _HEADERS:
        raise WeightsError(
            f"{os.fspath(path)}: not written: {size:,} bytes are more than the 2 GiB that a protobuf file may have. "
            "Use HDF5 (snapshot_format: HDF5)."
        )


def not_written(path: str | os.PathLike[str], error: OSError | RuntimeError) -> WeightsError:
    """The error of a file that the disk refused; what was there before is as it was."""
    return WeightsError(
        f"{os.path.abspath(path)}: not written: {reason(error)}. A file of that name from before is unharmed."
    )


def _written(net: Net) -> list[Layer]:
    """All layers but casts, which are how one run computes."""
    return [layer for layer in net.layers if not isinstance(layer, Cast)]


def _save_binary(net: Net, file: BinaryIO, diff: bool) -> None:
    file.write(caffe_pb2.NetParameter(name=net.name).SerializeToString())
    for layer in _written(net):
        param = caffe_pb2.LayerParameter()
        param.CopyFrom(layer.param)
        param.ClearField("blobs")
        host = net.backend.to_host
        blobs = (encode_blob(host(blob.data), host(blob.diff) if diff else None) for blob in layer.blobs)
        write_message_with_blobs(file, param, _LAYER_BLOBS, blobs, _NET_LAYER)


def _save_hdf5(net: Net, path: str | os.PathLike[str], diff: bool) -> None:
    import h5py

    owners = {id(param.blob) for param in net.learnable_params}
    with atomic_path(path) as temporary, h5py.File(temporary, "w", locking=False) as file:
        groups = [("data", file.create_group("data"))]
        if diff:
            groups.append(("diff", file.create_group("diff")))
        for what, group in groups:
            for layer in _written(net):
                # "a/b" may come before "a", but not "a/0"; two layers of one name have no room.
                try:
                    own = group.require_group(layer.name)
                except (TypeError, ValueError) as error:
                    raise _no_room(path, layer, str(error)) from None
                for i, blob in enumerate(layer.blobs):
                    if isinstance(own.get(str(i)), h5py.Group):
                        raise _no_room(path, layer, f"another is named '{layer.name}/{i}', where a blob would lie")
                    if str(i) in own:
                        raise WeightsError(
                            f"{os.fspath(path)}: not written: two layers are named '{layer.name}', and HDF5 has room "
                            "for one. Rename one, or use a .caffemodel."
                        )
                    if id(blob) in owners or what == "diff":
                        own.create_dataset(str(i), data=net.backend.to_host(getattr(blob, what)))


def _no_room(path: str | os.PathLike[str], layer: Layer, why: str) -> WeightsError:
    return WeightsError(
        f"{os.fspath(path)}: not written: HDF5 has no room for a layer named '{layer.name}': {why}. "
        "Rename it, or use a .caffemodel."
    )


def share_weights(net: Net, other: Net) -> None:
    """Let ``net``'s layers use the blobs of ``other``'s of equal name; see `Net.share_with`."""
    targets = Targets(net)
    for source in other.layers:
        layer = targets.next(source.name)
        if layer is None:
            continue
        if len(layer.blobs) != len(source.blobs):
            raise WeightsError(
                f"Incompatible number of blobs for layer {layer.name}: {len(source.blobs)} in net '{other.name}', "
                f"{len(layer.blobs)} in net '{net.name}'."
            )
        for i, (blob, shared) in enumerate(zip(layer.blobs, source.blobs, strict=True)):
            if blob.shape != shared.shape:
                raise WeightsError(
                    f"Cannot share param {i} weights from layer '{layer.name}'; shape mismatch. Source param shape is "
                    f"{shared.shape_string}; target param shape is {blob.shape_string}."
                )
            blob.share_data(shared)
