"""From a NetParameter to layers wired by blobs: phase rules, splits, in-place tops, shared parameters, loss weights.

What is accepted and how it is named follows Caffe's src/caffe/net.cpp: Init, AppendTop, AppendBottom, AppendParam.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field, replace

from caffepy.blob import Blob
from caffepy.errors import BackendError, LayerError, NetError, did_you_mean, prefix
from caffepy.layer import Layer, LayerContext, get_layer_class
from caffepy.net.precision import Cast, in_half
from caffepy.net.splits import PlacedLayer, insert_splits
from caffepy.net.state import included
from caffepy.proto import caffe_pb2
from caffepy.proto.text import Lines

__all__ = ["Entry", "LearnableParam", "Wiring", "wire"]


# Far more than any net has: a file with more of them was not written to be run.
_MOST_LAYERS = 50_000
# Blobs that an error lists.
_NAMED = 100


@dataclass
class Entry:
    """One layer in its net."""

    layer: Layer
    lines: Lines
    bottom: list[Blob] = field(default_factory=list)
    top: list[Blob] = field(default_factory=list)
    bottom_names: list[str] = field(default_factory=list)
    top_names: list[str] = field(default_factory=list)
    #: For each bottom, whether backward computes its diff.
    propagate_down: list[bool] = field(default_factory=list)
    need_backward: bool = False
    #: For each top, what it adds to the loss.
    loss_weights: list[float] = field(default_factory=list)
    #: For each learnable blob, its index among the net's learnable params.
    param_ids: list[int] = field(default_factory=list)


@dataclass
class LearnableParam:
    """A learnable blob, once however many layers share it."""

    blob: Blob
    name: str
    owner: str
    index: int
    lr_mult: float = 1.0
    decay_mult: float = 1.0
    has_lr_mult: bool = False
    has_decay_mult: bool = False
    #: Blobs of other layers that are this one by another name.
    sharers: list[Blob] = field(default_factory=list)


@dataclass
class Wiring:
    """What `wire` makes."""

    entries: list[Entry] = field(default_factory=list)
    blobs: dict[str, Blob] = field(default_factory=dict)
    params: list[LearnableParam] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)


def wire(
    param: caffe_pb2.NetParameter,
    lines: Lines,
    state: caffe_pb2.NetState,
    context: LayerContext,
    unfilled: Container[str] = (),
) -> Wiring:
    """Make and connect the layers of ``param`` that are included in ``state``.

    Learnable blobs of the layers named in ``unfilled`` stay zero, to be another net's.

    Raises:
        NetError: names, tops and bottoms, or parameter sharing that do not fit.
        LayerError: a layer's own checks.
    """
    if len(param.layer) > _MOST_LAYERS:
        raise NetError(
            f"{prefix(lines.file)}the net has {len(param.layer):,} layers; at most "
            f"{_MOST_LAYERS:,} are built, for each takes some thousand bytes and a good part of a millisecond."
        )
    placed: list[PlacedLayer] = []
    left_out: list[caffe_pb2.LayerParameter] = []
    for i, layer_param in enumerate(param.layer):
        where = lines.at("layer", i)
        if included(layer_param, state, where.where()):
            placed.append((layer_param, where))
        else:
            left_out.append(layer_param)
    wirer = _Wirer(context, unfilled, [layer for layer, _ in placed], left_out)
    try:
        return wirer.run(insert_splits(placed))
    except BaseException:
        # Databases that were opened before the error must not stay open: a second try would find them locked.
        for entry in wirer.result.entries:
            entry.layer.close()
        raise


class _Wirer:
    def __init__(
        self,
        context: LayerContext,
        unfilled: Container[str],
        asked_for: list[caffe_pb2.LayerParameter],
        left_out: list[caffe_pb2.LayerParameter],
    ) -> None:
        self.context = context
        self.unfilled = unfilled
        #: The layers as the file has them, before splits, and those that the state leaves out: for errors.
        self.asked_for = asked_for
        self.left_out = left_out
        self.result = Wiring()
        #: Tops that no layer has read yet.
        self.available: set[str] = set()
        #: By blob, whether what made it needs a backward pass.
        self.blob_needs: dict[str, bool] = {}
        self.made_by: dict[str, str] = {}
        self.by_param_name: dict[str, int] = {}

    def run(self, placed: list[PlacedLayer]) -> Wiring:
        for layer_param, lines in placed:
            self._add(layer_param, lines)
        self.result.outputs = sorted(self.available)
        return self.result

    def _add(self, param: caffe_pb2.LayerParameter, lines: Lines) -> None:
        if not param.HasField("phase"):
            param.phase = caffe_pb2.Phase.Name(self.context.phase)  # type: ignore[assignment]
        # A layer may change its own settings in setup (BatchNorm does); gradients go by what the file says.
        own = caffe_pb2.LayerParameter()
        own.CopyFrom(param)
        context = replace(self.context, fill_params=False) if param.name in self.unfilled else self.context
        if context.backend.half is not None and in_half(
            param, [self.result.blobs[name] for name in param.bottom if name in self.result.blobs]
        ):
            context = replace(context, backend=context.backend.half)
        layer = get_layer_class(param.type, lines.at("type").where())(own, context, lines.where())
        if param.propagate_down and len(param.propagate_down) != len(param.bottom):
            raise layer.error(
                "propagate_down param must be specified either 0 or bottom_size times; "
                f"got {len(param.propagate_down)} for {len(param.bottom)} bottoms."
            )
        entry = Entry(layer, lines)
        for i, name in enumerate(param.bottom):
            self._append_bottom(entry, param, i, name)
        for i, name in enumerate(param.top):
            self._append_top(entry, param, i, name)
        if layer.auto_top_blobs:
            for _ in range(len(param.top), layer.tops[0]):
                entry.top.append(Blob(layer.backend))
                entry.top_names.append("")
        _check_counts(layer, entry)
        try:
            layer.setup(entry.bottom, entry.top)
            self.result.entries.append(entry)
            layer.reshape(entry.bottom, entry.top)
        except MemoryError as error:
            raise layer.error(f"out of memory: {error}") from error
        except LayerError:
            raise
        except NetError as error:
            # A blob's own refusal of a shape does not know whose it is.
            raise layer.error(str(error)) from error
        except BackendError as error:
            raise BackendError(str(layer.error(str(error)))) from error
        for name, blob in zip(entry.top_names, entry.top, strict=True):
            layer.take_memory(blob.unallocated, f"top '{name}', {blob.shape_string},")
        self._set_loss_weights(entry)
        self._append_params(entry, list(param.param))

    def _append_bottom(self, entry: Entry, param: caffe_pb2.LayerParameter, i: int, name: str) -> None:
        if name not in self.available:
            raise self._unknown_bottom(entry, param.name, i, name)
        self.available.remove(name)
        needed = self.blob_needs[name]
        if self.result.blobs[name].backend.dtype != entry.layer.backend.dtype:
            name = self._cast(entry, name)
        entry.bottom.append(self.result.blobs[name])
        entry.bottom_names.append(name)
        entry.need_backward |= needed
        # Forced or forbidden for this bottom only: whether the layer runs backward goes by what lies below.
        entry.propagate_down.append(param.propagate_down[i] if param.propagate_down else needed)

    def _cast(self, entry: Entry, name: str) -> str:
        """Put a `Cast` of blob ``name`` before a layer; gives the name of its top."""
        layer, needed = entry.layer, self.blob_needs[name]
        own = f"{name}_{layer.backend.dtype}"
        while own in self.result.blobs:
            own += "_"
        param = caffe_pb2.LayerParameter(name=own, type="Cast", bottom=[name], top=[own])
        blob, result = self.result.blobs[name], Blob(layer.backend)
        cast = Entry(Cast(param, self.context), entry.lines, [blob], [result], [name], [own], [needed], needed, [0.0])
        cast.layer.reshape(cast.bottom, cast.top)
        cast.layer.take_memory(result.unallocated, f"top '{own}', {result.shape_string},")
        self.result.entries.append(cast)
        self.result.blobs[own] = result
        self.blob_needs[own] = needed
        return own

    def _unknown_bottom(self, entry: Entry, layer_name: str, i: int, name: str) -> NetError:
        written = {top for layer in self.asked_for for top in layer.top}
        before = [top for top in self.result.blobs if top in written]
        later = next((layer.name for layer in self.asked_for if name in layer.top), None)
        elsewhere = next((layer.name for layer in self.left_out if name in layer.top), None)
        if later is not None:
            hint = f" Layer '{later}' makes it, which is not before this one: layers run in the order of the file."
        elif elsewhere is not None:
            hint = f" Layer '{elsewhere}' makes it, which the include or exclude rules leave out of this net."
        else:
            hint = did_you_mean(name, before)
        where = entry.lines.at("bottom", i).where()
        return NetError(
            f"{prefix(where)}Unknown bottom blob '{name}' (layer '{layer_name}', bottom index {i})."
            f"{hint} Tops of the layers before it: {', '.join(before[-_NAMED:]) or 'none'}"
            f"{f', and {len(before) - _NAMED} earlier ones' if len(before) > _NAMED else ''}."
        )

    def _append_top(self, entry: Entry, param: caffe_pb2.LayerParameter, i: int, name: str) -> None:
        where = entry.lines.at("top", i).where()
        if i < len(param.bottom) and param.bottom[i] == name:
            if not entry.layer.in_place:
                raise entry.layer.error(
                    f"cannot work in place: bottom and top are both '{name}'. Give the top a name of its own."
                )
            blob = self.result.blobs[name] = entry.bottom[i]
        elif name in self.result.blobs:
            advice = "Rename one of the tops, or give one of the layers an include rule for another phase."
            if i < len(param.bottom) and param.bottom[i].startswith(f"{name}_{self.made_by[name]}_"):
                advice = "It works in place on a blob that other layers read too: give its top a name of its own."
            raise NetError(
                f"{prefix(where)}Top blob '{name}' produced by multiple sources: "
                f"layer '{self.made_by[name]}' and layer '{param.name}'. {advice}"
            )
        else:
            blob = Blob(entry.layer.backend)
            self.result.blobs[name] = blob
        self.made_by[name] = param.name
        self.available.add(name)
        self.blob_needs.setdefault(name, False)
        entry.top.append(blob)
        entry.top_names.append(name)

    def _set_loss_weights(self, entry: Entry) -> None:
        layer = entry.layer
        weights = list(layer.param.loss_weight)
        if not weights and layer.loss:
            weights = [1.0] + [0.0] * (len(entry.top) - 1)
        if weights and len(weights) != len(entry.top):
            raise layer.error(
                "loss_weight must be unspecified or specified once per top blob: "
                f"got {len(weights)} for {len(entry.top)} tops."
            )
        entry.loss_weights = weights or [0.0] * len(entry.top)

    def _append_params(self, entry: Entry, specs: list[caffe_pb2.ParamSpec]) -> None:
        layer = entry.layer
        if len(specs) > len(layer.blobs):
            raise layer.error(
                f"Too many params specified for layer {layer.name}: {len(specs)} 'param' entries, "
                f"and the layer learns {len(layer.blobs)} blobs."
            )
        default = caffe_pb2.ParamSpec()
        for i in range(len(layer.blobs)):
            spec = specs[i] if i < len(specs) else default
            layer.param_propagate_down.append(spec.lr_mult != 0)
            entry.need_backward |= spec.lr_mult != 0
            own = layer.param.param[i] if i < len(layer.param.param) else default
            entry.param_ids.append(self._append_param(layer, i, own))
        if entry.need_backward:
            for name in entry.top_names:
                self.blob_needs[name] = True

    def _append_param(self, layer: Layer, i: int, spec: caffe_pb2.ParamSpec) -> int:
        """Register blob ``i`` of ``layer``, or share the one that has its name already; gives its number."""
        params = self.result.params
        if not spec.name or spec.name not in self.by_param_name:
            if spec.name:
                self.by_param_name[spec.name] = len(params)
            params.append(
                LearnableParam(
                    layer.blobs[i], spec.name, layer.name, i, spec.lr_mult, spec.decay_mult,
                    spec.HasField("lr_mult"), spec.HasField("decay_mult"),
                )
            )  # fmt: skip
            return len(params) - 1
        number = self.by_param_name[spec.name]
        owner = params[number]
        mine, theirs = layer.blobs[i], owner.blob
        if spec.share_mode == caffe_pb2.ParamSpec.PERMISSIVE:
            if mine.count != theirs.count:
                raise layer.error(
                    f"Cannot share param '{spec.name}' owned by layer '{owner.owner}' with layer '{layer.name}'; "
                    f"count mismatch. Owner layer param shape is {theirs.shape_string}; "
                    f"sharing layer shape is {mine.shape_string}."
                )
        elif mine.shape != theirs.shape:
            raise layer.error(
                f"Cannot share param '{spec.name}' owned by layer '{owner.owner}' with layer '{layer.name}'; "
                f"shape mismatch. Owner layer param shape is {theirs.shape_string}; "
                f"sharing layer expects shape {mine.shape_string}. "
                "share_mode: PERMISSIVE shares blobs of equal count."
            )
        for what in ("lr_mult", "decay_mult"):
            if spec.HasField(what):
                value = getattr(spec, what)
                if getattr(owner, f"has_{what}") and getattr(owner, what) != value:
                    raise layer.error(
                        f"Shared param '{spec.name}' has mismatched {what}: {value} here, "
                        f"{getattr(owner, what)} in layer '{owner.owner}'."
                    )
                setattr(owner, what, value)
                setattr(owner, f"has_{what}", True)
        mine.share_data(theirs)
        mine.share_diff(theirs)
        owner.sharers.append(mine)
        return number


def _check_counts(layer: Layer, entry: Entry) -> None:
    for what, produces, (least, most), count in (
        ("bottom", "takes", layer.bottoms, len(entry.bottom)),
        ("top", "produces", layer.tops, len(entry.top)),
    ):
        kind = "input" if what == "bottom" else "output"
        if least == most and count != least:
            rule = f"{least}"
        elif count < least:
            rule = f"at least {least}"
        elif most is not None and count > most:
            rule = f"at most {most}"
        else:
            continue
        raise layer.error(f"{layer.type} Layer {produces} {rule} {what} blob(s) as {kind}; got {count}.")
    if layer.equal_bottoms_tops and len(entry.bottom) != len(entry.top):
        raise layer.error(
            f"{layer.type} Layer produces one top blob as output for each bottom blob input; "
            f"got {len(entry.bottom)} bottoms and {len(entry.top)} tops."
        )
