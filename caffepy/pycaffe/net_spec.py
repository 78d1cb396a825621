"""Nets written in Python, pycaffe's ``caffe.net_spec``.

::

    from caffepy import layers as L, params as P

    n = caffepy.NetSpec()
    n.data, n.label = L.Data(source="train_lmdb", backend=P.Data.LMDB, batch_size=64, ntop=2)
    n.ip = L.InnerProduct(n.data, num_output=10, weight_filler=dict(type="xavier"))
    n.loss = L.SoftmaxWithLoss(n.ip, n.label)
    print(n.to_proto())
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from caffepy.errors import NetError, ParseError, did_you_mean
from caffepy.proto import caffe_pb2

__all__ = [
    "Function",
    "Layers",
    "NetSpec",
    "Parameters",
    "Top",
    "assign_proto",
    "layers",
    "param_name_dict",
    "params",
    "to_proto",
]

_Made: TypeAlias = "OrderedDict[Function, caffe_pb2.LayerParameter]"
_Names: TypeAlias = "dict[Function | Top, str]"


class NotATop(NetError, TypeError):
    """A layer function was given something else than what layer functions give."""


class NoSuchTop(NetError, AttributeError, KeyError):
    """A NetSpec was asked for a top that nothing was assigned to."""

    __str__ = Exception.__str__


def param_name_dict() -> dict[str, str]:
    """Layer type to the field of its settings, without ``_param``: ``InnerProduct`` to ``inner_product``."""
    return {
        field.message_type.name.removesuffix("Parameter"): field.name.removesuffix("_param")
        for field in caffe_pb2.LayerParameter.DESCRIPTOR.fields
        if field.message_type is not None and field.name.endswith("_param")
    }


def assign_proto(proto: Any, name: str, val: Any) -> None:
    """Set the field ``name`` of a message: a list fills a repeated field, a dict a message, and so on inward.

    A repeated field also takes a single value.

    Raises:
        ParseError: no such field; whatever protobuf raises for a value of the wrong kind.
    """
    if name not in proto.DESCRIPTOR.fields_by_name:
        known = list(proto.DESCRIPTOR.fields_by_name)
        raise ParseError(f"{proto.DESCRIPTOR.name} has no field named '{name}'.{did_you_mean(name, known)}")
    field = getattr(proto, name)
    if hasattr(field, "extend"):
        values = list(val) if isinstance(val, (list, tuple)) else [val]
        if values and isinstance(values[0], Mapping):
            for value in values:
                _assign_all(field.add(), value)
        else:
            field.extend(values)
    elif isinstance(val, Mapping):
        # An empty message counts as given too.
        field.SetInParent()
        _assign_all(field, val)
    else:
        setattr(proto, name, val)


def _assign_all(message: Any, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        assign_proto(message, name, value)


class Top:
    """One output of a layer: number ``n`` of ``fn``."""

    def __init__(self, fn: Function, n: int) -> None:
        self.fn = fn
        self.n = n

    def to_proto(self) -> caffe_pb2.NetParameter:
        """The net of all layers that this top needs."""
        return to_proto(self)

    def _to_proto(self, layers: _Made, names: _Names, autonames: Counter[str]) -> None:
        self.fn._to_proto(layers, names, autonames)


class Function:
    """A layer: its type, the tops that it reads, its settings.

    Of the settings ``ntop`` says how many tops there are (1 unless given) and ``in_place`` that they are the bottoms.
    One whose name ends in ``param``, and any of LayerParameter's own fields, is a field of the layer; others are fields
    of the message of this type.

    Raises:
        NotATop: an input is no `Top`; it is a TypeError too.
    """

    def __init__(self, type_name: str, inputs: tuple[Top, ...], params: dict[str, Any]) -> None:
        for index, top in enumerate(inputs):
            if not isinstance(top, Top):
                raise NotATop(f"{type_name} input {index} is not a Top (type is {type(top)})")
        self.type_name = type_name
        self.inputs = inputs
        self.params = dict(params)
        self.ntop = int(self.params.pop("ntop", 1))
        self.in_place = bool(self.params.pop("in_place", False))
        self.tops = tuple(Top(self, n) for n in range(self.ntop))

    def _to_proto(self, layers: _Made, names: _Names, autonames: Counter[str]) -> None:
        """Add this layer and, before it, those it reads from to ``layers``."""
        waiting = [self]
        while waiting:
            fn = waiting[-1]
            missing = [top.fn for top in fn.inputs if top.fn not in layers]
            # In the order of the inputs: the first is made first.
            waiting.extend(reversed(missing))
            if not missing:
                waiting.pop()
                if fn not in layers:
                    layers[fn] = fn._layer(layers, names, autonames)

    def _layer(self, layers: _Made, names: _Names, autonames: Counter[str]) -> caffe_pb2.LayerParameter:
        layer = caffe_pb2.LayerParameter(type=self.type_name)
        layer.bottom.extend(layers[top.fn].top[top.n] for top in self.inputs)
        layer.top.extend(layer.bottom if self.in_place else [_name(top, self, names, autonames) for top in self.tops])
        layer.name = _name(self.tops[0] if self.tops else self, self, names, autonames)
        own = _PARAM_NAMES.get(self.type_name)
        for name, value in self.params.items():
            message: Any = layer
            if not name.endswith("param") and own:
                settings = getattr(layer, f"{own}_param")
                if name in settings.DESCRIPTOR.fields_by_name:
                    message = settings
            try:
                assign_proto(message, name, value)
            except ParseError as error:
                raise ParseError(f"layer '{layer.name}' ({self.type_name}): {error}") from None
            except (TypeError, ValueError) as error:
                raise type(error)(f"layer '{layer.name}' ({self.type_name}), {name}={value!r}: {error}") from error
        return layer


def _name(of: Function | Top, fn: Function, names: _Names, autonames: Counter[str]) -> str:
    """The name of a top, or of a layer without tops; where nobody named it, its type and a number."""
    if of not in names:
        autonames[fn.type_name] += 1
        names[of] = f"{fn.type_name}{autonames[fn.type_name]}"
    return names[of]


def to_proto(*tops: Top) -> caffe_pb2.NetParameter:
    """The net of all layers that ``tops`` need, with names made of types and numbers."""
    layers: _Made = OrderedDict()
    autonames: Counter[str] = Counter()
    names: _Names = {}
    for top in tops:
        top._to_proto(layers, names, autonames)
    return caffe_pb2.NetParameter(layer=layers.values())


class NetSpec:
    """Tops by name: assigned as attributes or items, in the order in which their layers come in the net."""

    tops: OrderedDict[str, Top | Function]

    def __init__(self) -> None:
        super().__setattr__("tops", OrderedDict())

    def __setattr__(self, name: str, value: Top | Function) -> None:
        self.tops[name] = value

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["tops"][name]
        except KeyError:
            known = list(self.__dict__.get("tops", ()))
            raise NoSuchTop(f"The net has no top '{name}'.{did_you_mean(name, known)}") from None

    def __delattr__(self, name: str) -> None:
        self.__getattr__(name)
        del self.tops[name]

    def __setitem__(self, name: str, value: Top | Function) -> None:
        self.tops[name] = value

    def __getitem__(self, name: str) -> Any:
        return self.__getattr__(name)

    def __delitem__(self, name: str) -> None:
        self.__delattr__(name)

    def __contains__(self, name: object) -> bool:
        return name in self.tops

    def to_proto(self) -> caffe_pb2.NetParameter:
        """The net of all layers that the assigned tops need, with the names that they were assigned to."""
        names: _Names = {top: name for name, top in self.tops.items()}
        layers: _Made = OrderedDict()
        autonames: Counter[str] = Counter()
        for name, top in self.tops.items():
            if not isinstance(top, (Top, Function)):
                raise NotATop(f"'{name}' is not a Top (type is {type(top)}); with ntop=2 a layer gives two of them.")
            top._to_proto(layers, names, autonames)
        return caffe_pb2.NetParameter(layer=layers.values())


class Layers:
    """Layer functions by type: ``layers.Convolution(bottom, kernel_size=3)`` gives a `Top`.

    With ``ntop=2`` a function gives two tops, with ``ntop=0`` the `Function` itself.
    """

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def layer_fn(*args: Top, **kwargs: Any) -> Any:
            fn = Function(name, args, kwargs)
            return {0: fn, 1: fn.tops[0] if fn.tops else fn}.get(fn.ntop, fn.tops)

        return layer_fn


class Parameters:
    """Constants by the type that they are settings of: ``params.Pooling.MAX``."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        message = getattr(caffe_pb2, f"{name}Parameter", None)
        if message is None:
            known = [message.removesuffix("Parameter") for message in dir(caffe_pb2) if message.endswith("Parameter")]
            raise AttributeError(f"no settings are named '{name}'.{did_you_mean(name, known)}")
        return message


_PARAM_NAMES = param_name_dict()
#: ``from caffepy import layers as L`` gives these functions as well.
layers = Layers()
params = Parameters()
