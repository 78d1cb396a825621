"""From a net for training to the net for prediction: a deploy.prototxt from a train_val.prototxt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from google.protobuf.message import Message

from caffepy.errors import NetError
from caffepy.net.net import Net
from caffepy.net.state import included, net_state
from caffepy.net.summary import net_without_data
from caffepy.proto import caffe_pb2
from caffepy.proto.text import Lines

__all__ = ["deploy_net"]

#: What predicts in a loss's place, by its type; None: its first bottom that is computed does so already.
_PREDICTS = {
    "SoftmaxWithLoss": "Softmax",
    "InfogainLoss": "Softmax",
    "SigmoidCrossEntropyLoss": "Sigmoid",
    "MultinomialLogisticLoss": None,
    "HingeLoss": None,
    "EuclideanLoss": None,
    "ContrastiveLoss": None,
}
#: Layers without bottoms whose tops are learnt, not fed.
_LEARNT = ("Parameter",)


def deploy_net(
    param: caffe_pb2.NetParameter,
    lines: Lines,
    *,
    batch: int = 10,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    level: int = 0,
    stages: Iterable[str] = (),
) -> caffe_pb2.NetParameter:
    """The net in its TEST phase with Input layers for its data and predictions for its losses.

    SoftmaxWithLoss and InfogainLoss become Softmax, SigmoidCrossEntropyLoss becomes Sigmoid; of other losses the values
    are the outputs that they compare. Losses of a smaller loss_weight than the largest are auxiliary, as GoogLeNet's
    are: they go, and so does every layer that no prediction needs (labels, Accuracy, Silence). Fillers, learning rates
    and rules go too; names of shared parameters stay.

    Args:
        param, lines: the net for training, as `read_net` gives it.
        batch: the first dimension of the inputs whose shape is not given.
        shapes: of data tops, where their data is not there.
        level, stages: of the net's state.

    Raises:
        NetError: no shape can be known, a loss has no bottoms, or there is no loss and no other output than labels.
    """
    given = dict(shapes or {})
    stages = [*param.state.stage, *stages]
    state = net_state(caffe_pb2.TEST, level, stages)
    places = [lines.at("layer", i).where() for i in range(len(param.layer))]
    layers = [layer for layer, where in zip(param.layer, places, strict=True) if included(layer, state, where)]
    heads = _heads(layers)
    if not heads:
        # A loss that training alone has still says what the net predicts.
        train = net_state(caffe_pb2.TRAIN, level, stages)
        layers += _heads([layer for layer, p in zip(param.layer, places, strict=True) if included(layer, train, p)])
        heads = _heads(layers)
    fed = _is_fed(layers)
    kept = _needed(layers, heads, fed)
    known = _shapes(param, lines, given, level, stages)
    deploy = caffe_pb2.NetParameter(name=param.name)
    needed = {name for layer in kept for name in layer.bottom}
    for layer in kept:
        if id(layer) in fed:
            deploy.layer.append(_input(layer, needed, known, batch, given))
        else:
            deploy.layer.append(layer)
            _strip(deploy.layer[-1])
    if not any(layer.type == "Input" for layer in deploy.layer):
        raise NetError(
            f"net '{param.name}': no output depends on data: there is nothing to predict. Expected a loss layer "
            f"({', '.join(_PREDICTS)}) or a top that no layer reads."
        )
    # A net that cannot be built should not be written.
    Net((deploy, Lines.unknown()), caffe_pb2.TEST, fill_params=False, check_memory=False).close()
    return deploy


def _heads(layers: list[caffe_pb2.LayerParameter]) -> list[caffe_pb2.LayerParameter]:
    """The losses of the largest weight."""
    losses = [layer for layer in layers if layer.type in _PREDICTS]
    weights = [layer.loss_weight[0] if layer.loss_weight else 1.0 for layer in losses]
    return [layer for layer, weight in zip(losses, weights, strict=True) if weight == max(weights)]


def _is_fed(layers: list[caffe_pb2.LayerParameter]) -> set[int]:
    """Which layers bring data, by identity."""
    return {id(layer) for layer in layers if not layer.bottom and layer.top and layer.type not in _LEARNT}


def _needed(
    layers: list[caffe_pb2.LayerParameter], heads: list[caffe_pb2.LayerParameter], fed: set[int]
) -> list[caffe_pb2.LayerParameter]:
    """The layers that predictions need, with heads replaced by what predicts."""
    data = {name for layer in layers if id(layer) in fed for name in layer.top}
    names = {layer.name for layer in layers} | {name for layer in layers for name in layer.top}
    wanted = set() if heads else _outputs(layers, data)
    chosen = {id(layer) for layer in heads}
    kept: list[caffe_pb2.LayerParameter] = []
    for layer in reversed(layers):
        if id(layer) in chosen:
            if not layer.bottom:
                raise NetError(
                    f"layer '{layer.name}' ({layer.type}) has no bottoms, so nothing can be predicted in its place."
                )
            kind = _PREDICTS[layer.type]
            scores = next((name for name in layer.bottom if name not in data), layer.bottom[0])
            if kind is None:
                wanted.update(layer.bottom[:2] if layer.type == "ContrastiveLoss" else [scores])
                continue
            wanted.add(scores)
            name = "prob" if len(heads) == 1 and "prob" not in names else f"{layer.name}_prob"
            predicts = caffe_pb2.LayerParameter(name=name, type=kind, bottom=[scores], top=[name])
            if kind == "Softmax" and layer.HasField("softmax_param"):
                predicts.softmax_param.CopyFrom(layer.softmax_param)
            kept.append(predicts)
        elif wanted.intersection(layer.top):
            wanted.update(layer.bottom)
            kept.append(layer)
    return kept[::-1]


def _outputs(layers: list[caffe_pb2.LayerParameter], data: set[str]) -> set[str]:
    """Tops of a net without a loss that nobody reads but those that measure or discard."""
    working = [layer for layer in layers if layer.top and layer.type not in ("Accuracy", *_PREDICTS)]
    tops = {name for layer in working for name in layer.top}
    return tops - data - {name for layer in working for name in layer.bottom if name not in layer.top}


def _shapes(
    param: caffe_pb2.NetParameter,
    lines: Lines,
    given: Mapping[str, tuple[int, ...]],
    level: int,
    stages: list[str],
) -> dict[str, tuple[int, ...]]:
    """Shapes of all blobs in TEST, as its data layers make them."""
    ready = net_without_data(param, lines, caffe_pb2.TEST, given, level, stages)
    with Net((ready, lines), caffe_pb2.TEST, level=level, stages=stages, fill_params=False, check_memory=False) as net:
        return {name: blob.shape for name, blob in net.blobs.items()}


def _input(
    layer: caffe_pb2.LayerParameter,
    needed: set[str],
    known: Mapping[str, tuple[int, ...]],
    batch: int,
    given: Mapping[str, tuple[int, ...]],
) -> caffe_pb2.LayerParameter:
    tops = [name for name in layer.top if name in needed]
    result = caffe_pb2.LayerParameter(name=layer.name, type="Input", top=tops)
    for name in tops:
        shape = known[name]
        result.input_param.shape.add().dim.extend(shape if name in given else (batch, *shape[1:]))
    return result


def _strip(layer: caffe_pb2.LayerParameter) -> None:
    """Take out what only training reads."""
    for field in ("include", "exclude", "loss_weight", "propagate_down", "blobs", "phase", "transform_param"):
        layer.ClearField(field)
    names = [spec.name for spec in layer.param]
    del layer.param[:]
    if any(names):
        for name in names:
            layer.param.add(**({"name": name} if name else {}))
    for _, settings in layer.ListFields():
        if not isinstance(settings, Message):
            continue
        for descriptor, value in settings.ListFields():
            if isinstance(value, caffe_pb2.FillerParameter):
                settings.ClearField(descriptor.name)
