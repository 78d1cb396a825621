"""Weights from files, .caffemodel (binaryproto) and .h5, into a net.

Layers are matched by name; what is copied and what is refused follows Caffe's Net::CopyTrainedLayersFrom and
CopyTrainedLayersFromHDF5 (src/caffe/net.cpp), unless `CopyRules` say otherwise.
"""

from __future__ import annotations

import logging
import math
import os
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from caffepy.backend import Array
from caffepy.blob import shape_string
from caffepy.errors import CaffepyError, WeightsError
from caffepy.layer import Layer
from caffepy.net.hdf5 import READ_ERRORS, numbers
from caffepy.proto import caffe_pb2
from caffepy.proto.arrays import blob_shape
from caffepy.proto.file_kind import is_hdf5
from caffepy.proto.stored_blobs import Numbers, StoredBlobs, open_binary
from caffepy.proto.text import Lines
from caffepy.proto.upgrade import upgrade_net

if TYPE_CHECKING:
    from caffepy.net.net import Net

__all__ = ["CopyRules", "Report", "Targets", "load_weights"]

_log = logging.getLogger("caffepy")
# A line for each layer goes into logs, and not to a terminal.
_layers_log = logging.getLogger("caffepy.net")


@dataclass(frozen=True)
class CopyRules:
    """What to do with a layer whose blobs in a file are of other shapes than in the net.

    Attributes:
        on_mismatch: ``"error"``, as Caffe does; or ``"skip"``: the layer keeps all the values that it had.
        reshape: copy blobs whose first dimension and number of values agree, in their order: a fully connected layer
            into the convolution of the same name and back, as net surgery does.

    Raises:
        WeightsError: another ``on_mismatch``.
    """

    on_mismatch: str = "error"
    reshape: bool = False

    def __post_init__(self) -> None:
        if self.on_mismatch not in ("error", "skip"):
            raise WeightsError(f"on_mismatch '{self.on_mismatch}' is unknown; expected error or skip.")


@dataclass
class Report:
    """What became of the layers when files of weights were copied into a net.

    Attributes:
        source: the files.
        loaded: layers whose blobs were copied.
        ignored: layers of the files that the net does not have.
        missing: layers of the net that learn and that no file has; they keep their values.
        reshaped: of those loaded, layers with blobs of another shape in the file, and both shapes.
        skipped: layers that do not fit and keep their values, with the reason.
    """

    source: str
    loaded: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    reshaped: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        text = f"{self.source}: {len(self.loaded)} layers loaded"
        for what, names in (
            ("of them reshaped", [f"{name} ({how})" for name, how in self.reshaped.items()]),
            ("do not fit, kept as they were", [f"{name} ({why})" for name, why in self.skipped.items()]),
            ("not in this net", self.ignored),
            ("not in the file, kept as they were", self.missing),
        ):
            if names:
                text += f"; {len(names)} {what}: {', '.join(names)}"
        return text

    def rows(self) -> list[tuple[str, str, str]]:
        """A table: layer, what became of it (loaded, reshaped, skipped, missing, ignored), and why."""
        return [
            *(
                (name, "reshaped" if name in self.reshaped else "loaded", self.reshaped.get(name, ""))
                for name in self.loaded
            ),
            *((name, "skipped", why) for name, why in self.skipped.items()),
            *((name, "missing", "not in the file: keeps its values") for name in self.missing),
            *((name, "ignored", "not in this net") for name in self.ignored),
        ]


def load_weights(net: Net, paths: Iterable[str | os.PathLike[str]], rules: CopyRules) -> Report:
    """Copy the weights in the files into ``net``, one after another; see `Net.copy_from`."""
    reports = [_load(net, path, rules) for path in paths]
    if not reports:
        raise WeightsError("no file of weights is named: give the path of a .caffemodel or .h5 file.")
    report = reports[0] if len(reports) == 1 else _total(net, reports)
    rows = report.rows()
    width = max((len(name) for name, _, _ in rows), default=0)
    for name, outcome, why in rows:
        _layers_log.info("%s", f"{name:<{width}}  {outcome:<8}  {why}".rstrip())
    return report


def _total(net: Net, reports: list[Report]) -> Report:
    total = Report(", ".join(report.source for report in reports))
    total.loaded = list(dict.fromkeys(name for report in reports for name in report.loaded))
    for report in reports:
        # What a later file brought replaces what an earlier one did.
        for name in report.loaded:
            total.skipped.pop(name, None)
            total.reshaped.pop(name, None)
        total.reshaped.update(report.reshaped)
        total.skipped.update({name: why for name, why in report.skipped.items() if name not in total.loaded})
    total.ignored = list(dict.fromkeys(name for report in reports for name in report.ignored))
    known = {*total.loaded, *total.skipped}
    total.missing = [layer.name for layer in net.layers if layer.blobs and layer.name not in known]
    return total


def _load(net: Net, path: str | os.PathLike[str], rules: CopyRules) -> Report:
    report = _load_hdf5(net, path, rules) if is_hdf5(path) else _load_binary(net, path, rules)
    known = {*report.loaded, *report.ignored, *report.skipped}
    report.missing = [layer.name for layer in net.layers if layer.blobs and layer.name not in known]
    for name in report.ignored:
        _log.info("Ignoring source layer %s", name)
    for name, why in report.skipped.items():
        _log.warning("%s: layer '%s' is skipped and keeps its values: %s.", report.source, name, why)
    if not report.loaded and report.missing:
        _log.warning(
            "%s: no layer of the file has the name of a layer that learns in net '%s', so nothing was copied. "
            "The file has: %s. The net has: %s. Is this the right file?",
            report.source, net.name, ", ".join(report.ignored) or "none", ", ".join(report.missing),
        )  # fmt: skip
    return report


def _load_binary(net: Net, path: str | os.PathLike[str], rules: CopyRules) -> Report:
    source = os.fspath(path)
    param = caffe_pb2.NetParameter()
    with open_binary(source, param) as stored:
        upgrade_net(param, Lines.unknown(source))
        return _copy_stored(net, param, stored, Report(source), rules)


def _copy_stored(
    net: Net, param: caffe_pb2.NetParameter, stored_blobs: StoredBlobs, report: Report, rules: CopyRules
) -> Report:
    source = report.source
    targets = Targets(net)
    for stored in param.layer:
        layer = targets.next(stored.name)
        if layer is None:
            # Data, ReLU and the like are of no interest to the reader of a report.
            if stored.blobs:
                report.ignored.append(stored.name)
            continue
        if not layer.blobs and not stored.blobs:
            continue
        shapes = [blob_shape(proto) for proto in stored.blobs]
        legacy = [proto.HasField("num") or proto.HasField("channels") for proto in stored.blobs]
        if not _fits(layer, list(range(len(layer.blobs))), shapes, legacy, report, rules):
            continue
        for i, (blob, proto) in enumerate(zip(layer.blobs, stored.blobs, strict=True)):
            values, diff = stored_blobs.numbers(proto)
            if values.count != math.prod(shapes[i]):
                raise WeightsError(
                    f"{source}: layer '{layer.name}', blob {i}: {values.count} values for shape "
                    f"{shape_string(shapes[i])} (Check failed: count_ == proto.data_size()). The file is damaged."
                )
            _copy(net, values, blob.data)
            if diff.count == blob.count:
                _copy(net, diff, blob.diff)
        report.loaded.append(stored.name)
    return report


def _copy(net: Net, stored: Numbers, out: Array) -> None:
    flat = out.reshape(-1)
    for begin, piece in stored.pieces():
        flat[begin : begin + len(piece)] = net.backend.asarray(piece)


def _load_hdf5(net: Net, path: str | os.PathLike[str], rules: CopyRules) -> Report:
    import h5py

    source = os.fspath(path)
    try:
        with h5py.File(source, "r") as file:
            return _read_hdf5(net, file, Report(source), rules)
    except CaffepyError:
        raise
    except READ_ERRORS as error:
        raise WeightsError(
            f"{source}: Couldn't open or read the HDF5 file, it is damaged or cut off: {error}"
        ) from error


def _read_hdf5(net: Net, file: Any, report: Report, rules: CopyRules) -> Report:
    import h5py

    source = report.source
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
        # Shared blobs may lie with their owner alone.
        owned = [i for i, blob in enumerate(layer.blobs) if net.learnable_params[entry.param_ids[i]].blob is blob]
        wanted = [i for i in range(len(layer.blobs)) if str(i) in stored or i in owned]
        if len(wanted) == len(stored):
            # A name that is no number is damage, which the absence of another shows.
            shapes = [stored[str(i)].shape for i in wanted]
        else:
            shapes = [()] * len(stored)
        if not _fits(layer, wanted, shapes, [False] * len(shapes), report, rules):
            continue
        for i, shape in zip(wanted, shapes, strict=True):
            blob = layer.blobs[i]
            flat = numbers(file, stored[str(i)], math.prod(shape), f"{source}: layer '{layer.name}', blob {i}")
            blob.data[...] = net.backend.asarray(flat.reshape(blob.shape))
        report.loaded.append(layer.name)
    return report


def _fits(
    layer: Layer,
    wanted: list[int],
    shapes: Sequence[tuple[int, ...]],
    legacy: Sequence[bool],
    report: Report,
    rules: CopyRules,
) -> bool:
    """Whether stored blobs can be copied into the ``wanted`` ones of a layer; notes in ``report`` what is not as usual.

    Raises:
        WeightsError: they cannot, and the rules do not say to skip them.
    """
    if len(wanted) != len(shapes):
        why = (
            f"Incompatible number of blobs for layer {layer.name}: {len(shapes)} in the file, {len(wanted)} in the net"
        )
        return _refused(layer, f"{why}. Rename the layer to learn it from scratch", why, report, rules)
    changed = []
    for i, shape, old in zip(wanted, shapes, legacy, strict=True):
        blob = layer.blobs[i]
        if _shapes_equal(blob.shape, shape, old):
            continue
        sizes = f"{shape_string(shape)} in the file, {blob.shape_string} in the net"
        if rules.reshape and _reshapes(shape, blob.shape, old):
            changed.append(f"blob {i}: {sizes}")
            continue
        hint = ""
        if _reshapes(shape, blob.shape, old):
            hint = " Both have as many values: --reshape-weights (reshape=True) copies them in their order."
        text = (
            f"Cannot copy param {i} weights from layer '{layer.name}'; shape mismatch.  Source param shape is "
            f"{shape_string(shape)}; target param shape is {blob.shape_string}. To learn this layer's parameters from "
            f"scratch rather than copying from a saved net, rename the layer, or skip it with --on-mismatch skip.{hint}"
        )
        return _refused(layer, text.removesuffix("."), f"blob {i}: {sizes}", report, rules)
    if changed:
        report.reshaped[layer.name] = ", ".join(changed)
    return True


def _refused(layer: Layer, text: str, why: str, report: Report, rules: CopyRules) -> bool:
    if rules.on_mismatch == "error":
        raise WeightsError(f"{report.source}: {text}.")
    report.skipped[layer.name] = why
    return False


def _shapes_equal(shape: tuple[int, ...], stored: tuple[int, ...], legacy: bool) -> bool:
    """Whether a stored blob fits; one with the four old dimensions also where ours lacks leading ones."""
    if legacy:
        return len(shape) <= 4 and (1,) * (4 - len(shape)) + shape == stored
    return shape == stored


def _reshapes(stored: tuple[int, ...], shape: tuple[int, ...], legacy: bool) -> bool:
    """Whether a stored blob has the values of one of ``shape``, as many for each of the first dimension."""
    while legacy and len(stored) > 1 and stored[0] == 1 and shape[:1] != (1,):
        stored = stored[1:]
    return stored[:1] == shape[:1] and math.prod(stored) == math.prod(shape)


class Targets:
    """The layers of a net by name; of several of one name the first is the partner of the first in the source."""

    def __init__(self, net: Net) -> None:
        self._layers: dict[str, deque[Layer]] = {}
        for layer in net.layers:
            self._layers.setdefault(layer.name, deque()).append(layer)

    def next(self, name: str) -> Layer | None:
        """The next one of that name that was not given yet."""
        layers = self._layers.get(name)
        return layers.popleft() if layers else None
