"""A net's weights from and to files: .caffemodel (binaryproto) and .h5, and shared between nets.

Layers are matched by name; what is copied and what is refused follows Caffe's Net::CopyTrainedLayersFrom,
CopyTrainedLayersFromHDF5, ToProto, ToHDF5 and ShareTrainedLayersWith (src/caffe/net.cpp).
"""

from __future__ import annotations

import logging
import math
import os
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from caffepy.backend import Array
from caffepy.blob import Blob
from caffepy.errors import CaffepyError, WeightsError
from caffepy.layer import Layer
from caffepy.net.hdf5 import READ_ERRORS, numbers
from caffepy.proto import caffe_pb2
from caffepy.proto.arrays import blob_shape, encode_blob, write_message_with_blobs
from caffepy.proto.files import atomic_path, atomic_write
from caffepy.proto.read import MAX_BINARY
from caffepy.proto.stored_blobs import Numbers, StoredBlobs, open_binary
from caffepy.proto.text import Lines
from caffepy.proto.upgrade import upgrade_net

if TYPE_CHECKING:
    from caffepy.net.net import Net

__all__ = ["Report", "is_hdf5", "load_weights", "save_weights", "share_weights"]

_log = logging.getLogger("caffepy")

_NET_LAYER = caffe_pb2.NetParameter.DESCRIPTOR.fields_by_name["layer"].number
# Room for names, settings and shapes in a file that is all but full.
_HEADERS = 1 << 24
_LAYER_BLOBS = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name["blobs"].number


@dataclass
class Report:
    """What became of the layers when a file of weights was copied into a net.

    Attributes:
        loaded: layers whose blobs were copied.
        ignored: layers of the file that the net does not have.
        missing: layers of the net that learn and that the file does not have; they keep their initial values.
    """

    source: str
    loaded: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        text = f"{self.source}: {len(self.loaded)} layers loaded"
        for what, names in (("not in this net", self.ignored), ("not in the file, kept as they were", self.missing)):
            if names:
                text += f"; {len(names)} {what}: {', '.join(names)}"
        return text


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """Whether ``path`` is an HDF5 file by its first bytes."""
    try:
        with open(path, "rb") as file:
            return file.read(8) == b"\x89HDF\r\n\x1a\n"
    except OSError:
        return False


def load_weights(net: Net, path: str | os.PathLike[str]) -> Report:
    """Copy the weights in ``path`` into ``net``; see `Net.copy_from`."""
    report = _load_hdf5(net, path) if is_hdf5(path) else _load_binary(net, path)
    known = {*report.loaded, *report.ignored}
    report.missing = [layer.name for layer in net.layers if layer.blobs and layer.name not in known]
    for name in report.ignored:
        _log.info("Ignoring source layer %s", name)
    if not report.loaded and report.missing:
        _log.warning(
            "%s: no layer of the file has the name of a layer that learns in net '%s', so nothing was copied. "
            "The file has: %s. The net has: %s. Is this the right file?",
            report.source, net.name, ", ".join(report.ignored) or "none", ", ".join(report.missing),
        )  # fmt: skip
    return report


def _load_binary(net: Net, path: str | os.PathLike[str]) -> Report:
    source = os.fspath(path)
    param = caffe_pb2.NetParameter()
    with open_binary(source, param) as stored:
        upgrade_net(param, Lines.unknown(source))
        return _copy_stored(net, param, stored, source)


def _copy_stored(net: Net, param: caffe_pb2.NetParameter, stored_blobs: StoredBlobs, source: str) -> Report:
    report = Report(source)
    targets = _Targets(net)
    for stored in param.layer:
        layer = targets.next(stored.name)
        if layer is None:
            # Data, ReLU and the like are of no interest to the reader of a report.
            if stored.blobs:
                report.ignored.append(stored.name)
            continue
        if not layer.blobs and not stored.blobs:
            continue
        _check_number(layer, len(stored.blobs), source)
        for i, (blob, proto) in enumerate(zip(layer.blobs, stored.blobs, strict=True)):
            shape = blob_shape(proto)
            legacy = proto.HasField("num") or proto.HasField("channels")
            if not _shapes_equal(blob.shape, shape, legacy):
                raise _mismatch(layer, i, shape, blob, source)
            values, diff = stored_blobs.numbers(proto)
            if values.count != math.prod(shape):
                raise WeightsError(
                    f"{source}: layer '{layer.name}', blob {i}: {values.count} values for shape {_text(shape)} "
                    "(Check failed: count_ == proto.data_size()). The file is damaged."
                )
            _copy(net, values, blob.data)
            if diff.count == blob.count:
                _copy(net, diff, blob.diff)
        report.loaded.append(stored.name)
    return report


def _copy(net: Net, numbers: Numbers, out: Array) -> None:
    flat = out.reshape(-1)
    for begin, piece in numbers.pieces():
        flat[begin : begin + len(piece)] = net.backend.asarray(piece)


def _load_hdf5(net: Net, path: str | os.PathLike[str]) -> Report:
    import h5py

    source = os.fspath(path)
    try:
        with h5py.File(source, "r") as file:
            return _read_hdf5(net, file, source)
    except CaffepyError:
        raise
    except READ_ERRORS as error:
        raise WeightsError(
            f"{source}: Couldn't open or read the HDF5 file, it is damaged or cut off: {error}"
        ) from error


def _read_hdf5(net: Net, file: Any, source: str) -> Report:
    import h5py

    report = Report(source)
    data = file.get("data")
    if not isinstance(data, h5py.Group):
        hint = " It holds a solver's state." if "history" in file else ""
        raise WeightsError(f"{source}: no group 'data': this HDF5 file does not hold weights written by Caffe.{hint}")
    # A layer's name may hold slashes (GoogLeNet's do), which HDF5 takes for folders: a layer is what holds datasets.
    holders: dict[str, None] = {}
    data.visititems(
        lambda path, item: holders.update({path.rpartition("/")[0]: None} if hasattr(item, "dtype") else {})
    )
    names = {layer.name for layer in net.layers}
    report.ignored = [name for name in holders if name not in names]
    for entry in net.entries:
        layer = entry.layer
        group = data.get(layer.name)
        if not layer.blobs or not isinstance(group, h5py.Group):
            continue
        stored = {name: value for name, value in group.items() if isinstance(value, h5py.Dataset)}
        if len(stored) > len(layer.blobs):
            _check_number(layer, len(stored), source)
        for i, blob in enumerate(layer.blobs):
            if str(i) not in stored:
                if net.learnable_params[entry.param_ids[i]].blob is not blob:
                    continue  # shared: stored with its owner
                _check_number(layer, len(stored), source)
            values = stored[str(i)]
            if values.shape != blob.shape:
                raise _mismatch(layer, i, values.shape, blob, source)
            flat = numbers(values, blob.count, f"{source}: layer '{layer.name}', blob {i}")
            blob.data[...] = net.backend.asarray(flat.reshape(blob.shape))
        report.loaded.append(layer.name)
    return report


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
    reason = getattr(error, "strerror", None) or error
    return WeightsError(f"{os.path.abspath(path)}: not written: {reason}. A file of that name from before is unharmed.")


def _save_binary(net: Net, file: BinaryIO, diff: bool) -> None:
    file.write(caffe_pb2.NetParameter(name=net.name).SerializeToString())
    for layer in net.layers:
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
            for layer in net.layers:
                # "a/b" may come before "a"; two layers of one name have no room.
                own = group.require_group(layer.name)
                for i, blob in enumerate(layer.blobs):
                    if str(i) in own:
                        raise WeightsError(
                            f"{os.fspath(path)}: not written: two layers are named '{layer.name}', and HDF5 has room "
                            "for one. Rename one, or use a .caffemodel."
                        )
                    if id(blob) in owners or what == "diff":
                        own.create_dataset(str(i), data=net.backend.to_host(getattr(blob, what)))


def share_weights(net: Net, other: Net) -> None:
    """Let ``net``'s layers use the blobs of ``other``'s of equal name; see `Net.share_with`."""
    targets = _Targets(net)
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


class _Targets:
    """The layers of a net by name; of several of one name the first is the partner of the first in the source."""

    def __init__(self, net: Net) -> None:
        self._layers: dict[str, deque[Layer]] = {}
        for layer in net.layers:
            self._layers.setdefault(layer.name, deque()).append(layer)

    def next(self, name: str) -> Layer | None:
        layers = self._layers.get(name)
        return layers.popleft() if layers else None


def _shapes_equal(shape: tuple[int, ...], stored: tuple[int, ...], legacy: bool) -> bool:
    """Whether a stored blob fits; one with the four old dimensions also where ours lacks leading ones."""
    if legacy:
        return len(shape) <= 4 and (1,) * (4 - len(shape)) + shape == stored
    return shape == stored


def _check_number(layer: Layer, stored: int, source: str) -> None:
    if len(layer.blobs) != stored:
        raise WeightsError(
            f"{source}: Incompatible number of blobs for layer {layer.name}: {stored} in the file, "
            f"{len(layer.blobs)} in the net. Rename the layer to learn it from scratch."
        )


def _mismatch(layer: Layer, i: int, shape: tuple[int, ...], blob: Blob, source: str) -> WeightsError:
    return WeightsError(
        f"{source}: Cannot copy param {i} weights from layer '{layer.name}'; shape mismatch.  Source param shape is "
        f"{_text(shape)}; target param shape is {blob.shape_string}. To learn this layer's parameters from scratch "
        "rather than copying from a saved net, rename the layer."
    )


def _text(shape: tuple[int, ...]) -> str:
    return " ".join(map(str, (*shape, f"({math.prod(shape)})")))
