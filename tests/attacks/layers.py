"""Hostile settings of layers: any values in any fields of any layer, on bottoms of any shape, drawn from the schema."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto

from tests.attacks.generate import Attack, Dice, family

settings = family("layer", "net")
more_settings = family("layer, once more", "net")

#: Fixed, so that a number is the same attack whatever layers there are.
TYPES = [
    "AbsVal", "Accuracy", "ArgMax", "BNLL", "BatchNorm", "BatchReindex", "Bias", "Clip", "Concat",
    "ContrastiveLoss", "Convolution", "Crop", "Deconvolution", "Dropout", "DummyData", "ELU", "Eltwise", "Embed",
    "EuclideanLoss", "Exp", "Filter", "Flatten", "HDF5Data", "HDF5Output", "HingeLoss", "Im2col", "ImageData",
    "InfogainLoss", "InnerProduct", "Input", "LRN", "LSTM", "LSTMUnit", "Log", "MVN", "MemoryData",
    "MultinomialLogisticLoss", "PReLU", "Parameter", "Pooling", "Power", "Python", "RNN", "ReLU", "Recurrent",
    "Reduction", "Reshape", "SPP", "Scale", "Sigmoid", "SigmoidCrossEntropyLoss", "Silence", "Slice", "Softmax",
    "SoftmaxWithLoss", "Split", "Swish", "TanH", "Threshold", "Tile", "WindowData",
]  # fmt: skip
_OTHER_PARAMS = {
    "Deconvolution": ["convolution_param"],
    "Im2col": ["convolution_param"],
    "SoftmaxWithLoss": ["softmax_param", "loss_param"],
    "SigmoidCrossEntropyLoss": ["loss_param"],
    "MultinomialLogisticLoss": ["loss_param"],
    "InfogainLoss": ["infogain_loss_param", "loss_param"],
    "LSTM": ["recurrent_param"],
    "RNN": ["recurrent_param"],
    "Recurrent": ["recurrent_param"],
    "ImageData": ["image_data_param", "transform_param"],
    "WindowData": ["window_data_param", "transform_param"],
    "MemoryData": ["memory_data_param", "transform_param"],
}
#: How many bottoms and tops a layer has that takes other than one.
_BOTTOMS = {
    "Accuracy": [2], "BatchReindex": [2], "Bias": [1, 2], "Concat": [1, 2, 3], "ContrastiveLoss": [3], "Crop": [2],
    "DummyData": [0], "Eltwise": [2, 3], "EuclideanLoss": [2], "Filter": [2, 3], "HDF5Data": [0], "HDF5Output": [1, 2],
    "HingeLoss": [2], "ImageData": [0], "InfogainLoss": [2, 3], "Input": [0], "LSTM": [2, 3], "LSTMUnit": [3],
    "MemoryData": [0], "MultinomialLogisticLoss": [2], "Parameter": [0], "RNN": [2, 3], "Scale": [1, 2],
    "SigmoidCrossEntropyLoss": [2], "Silence": [1, 2], "SoftmaxWithLoss": [2], "WindowData": [0],
}  # fmt: skip
_TOPS = {
    "Accuracy": [1, 2], "Filter": [1, 2], "HDF5Output": [0], "ImageData": [2], "LSTMUnit": [2], "MemoryData": [2],
    "Silence": [0], "Slice": [2, 3], "SoftmaxWithLoss": [1, 2], "Split": [2, 3], "WindowData": [2],
}  # fmt: skip
_SMALL = [0, 1, 1, 1, 2, 2, 3, 3, 4, 5, 7]
_LARGE = [2**31 - 1, 2**30, 65536, 46341, 1000]
_FLOATS = [0.0, 1.0, -1.0, 0.5, 2.0, 0.25, 1e38, -1e38, 1e-45, float("nan"), float("inf"), float("-inf"), 0.9999999]
_FILLERS = ["xavier", "gaussian", "constant", "bilinear", "msra", "positive_unitball", "uniform"]
_STRINGS = ["", *_FILLERS, "nowhere", "a\0b", "x" * 999]


def _integer(dice: Dice, lowest: int, highest: int) -> int:
    if dice.chance(0.93):
        return dice.pick(_SMALL)
    return min(max(dice.pick([-1, -1, -2, lowest, highest, *_LARGE]), lowest), highest)


def _value(dice: Dice, field: Any) -> Any:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_INT32:
        return _integer(dice, -(2**31), 2**31 - 1)
    if kind == FieldDescriptor.CPPTYPE_UINT32:
        return _integer(dice, 0, 2**32 - 1)
    if kind == FieldDescriptor.CPPTYPE_INT64:
        return _integer(dice, -(2**63), 2**63 - 1)
    if kind == FieldDescriptor.CPPTYPE_UINT64:
        return _integer(dice, 0, 2**64 - 1)
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return dice.pick(_FLOATS)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return dice.chance(0.5)
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return dice.pick(sorted(value.number for value in field.enum_type.values))
    if field.containing_type.name == "FillerParameter" and dice.chance(0.95):
        return dice.pick(_FILLERS)
    return dice.pick(_STRINGS)


def _repeated(descriptor: Any) -> set[str]:
    proto = DescriptorProto()
    descriptor.CopyToProto(proto)
    return {field.name for field in proto.field if field.label == FieldDescriptorProto.LABEL_REPEATED}


def _fill(dice: Dice, message: Any, depth: int = 0) -> None:
    """Set some fields of a message; one of three."""
    repeated = _repeated(message.DESCRIPTOR)
    for field in sorted(message.DESCRIPTOR.fields, key=lambda each: each.number):
        if not dice.chance(0.25) or depth > 3:
            continue
        for _ in range(dice.pick([1, 1, 1, 2, 3]) if field.name in repeated else 1):
            if field.name in ("sparse", "engine") and dice.chance(0.9):
                continue
            if field.message_type is not None:
                inner = getattr(message, field.name)
                inner = inner.add() if field.name in repeated else inner
                inner.SetInParent()
                _fill(dice, inner, depth + 1)
            elif field.name in repeated:
                getattr(message, field.name).append(_value(dice, field))
            else:
                setattr(message, field.name, _value(dice, field))


def _shape(dice: Dice) -> list[int]:
    axes = dice.pick([4, 4, 4, 4, 2, 2, 1, 3, 0, 5, 7])
    shape = [dice.pick([1, 2, 3, 3, 4, 5, 6, 7, 9]) for _ in range(axes)]
    if shape and dice.chance(0.08):
        shape[dice.below(axes)] = dice.pick([0, 2**31 - 1, 2**20, 2**26, -1, 0])
    return shape


def _param_names(kind: str, fields: list[str]) -> list[str]:
    own = [name for name in fields if name.removesuffix("_param").replace("_", "") == kind.lower()]
    return own + _OTHER_PARAMS.get(kind, [])


def _attack(dice: Dice) -> Attack:
    from caffepy.proto import caffe_pb2
    from caffepy.proto.text import to_text

    net = caffe_pb2.NetParameter(name="n", force_backward=dice.chance(0.5))
    kind = dice.pick(TYPES)
    # Equal shapes more often than not, or few layers get further than their first check.
    count = dice.pick(_BOTTOMS.get(kind, [1]) if dice.chance(0.8) else [0, 1, 2, 3, 4])
    first = _shape(dice)
    shapes = [first if dice.chance(0.6) else _shape(dice) for _ in range(count)]
    for i, shape in enumerate(shapes):
        layer = net.layer.add(name=f"in{i}", type="Input", top=[f"b{i}"])
        layer.input_param.shape.add(dim=shape)
    layer = net.layer.add(name="target", type=kind, bottom=[f"b{i}" for i in range(count)])
    tops = dice.pick(_TOPS.get(kind, [1]) if dice.chance(0.8) else [0, 1, 2, 3])
    layer.top.extend(f"t{i}" for i in range(tops))
    if layer.top and count and dice.chance(0.1):
        layer.top[0] = "b0"
    fields = sorted(field.name for field in layer.DESCRIPTOR.fields if field.name.endswith("_param"))
    names = _param_names(kind, fields)
    for name in names if dice.chance(0.95) else [dice.pick(fields)]:
        getattr(layer, name).SetInParent()
        _fill(dice, getattr(layer, name))
    if dice.chance(0.1):
        _fill(dice, layer.param.add())
    if dice.chance(0.1):
        layer.loss_weight.extend(dice.pick(_FLOATS) for _ in range(dice.pick([1, 1, 2])))
    if dice.chance(0.05):
        layer.blobs.add(data=[1.0, 2.0]).shape.dim.extend(_shape(dice))
    shown = " ".join(to_text(layer).split())
    return Attack(f"{kind} on {shapes}: {shown[:400]}", {"net.prototxt": to_text(net).encode()})


settings(_attack)
more_settings(_attack)
