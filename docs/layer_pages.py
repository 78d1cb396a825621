"""The catalogue of layers: an index, and a page for each type from its docstring, its messages and its test cases."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import sys
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

import caffepy
from caffepy.layer import Layer, get_layer_class
from caffepy.proto import caffe_pb2
from caffepy.proto.ignored import IGNORED, ignored_why

__all__ = ["default_of", "messages", "page_of", "pages", "type_of"]

ROOT = Path(__file__).parents[1]
# Which recorded results of Caffe prove which type: names only, kept equal to the recorded files by a test.
RECORDED: dict[str, list[str]] = json.loads((ROOT / "tests" / "oracle" / "recorded.json").read_text(encoding="utf-8"))


def pages() -> dict[str, str]:
    """Path below docs/ to text."""
    types = [name for name in caffepy.layer_types() if get_layer_class(name).__module__.startswith("caffepy.layers.")]
    result = {"layers.md": _index(types)}
    for name in types:
        result[page_of(name)] = _page(name)
    return result


def _stem(name: str) -> str:
    return get_layer_class(name).__module__.rpartition(".")[2]


def page_of(name: str) -> str:
    """Path below docs/ of the page of the layer type ``name``."""
    return f"layers/{_stem(name)}.md"


def _first_sentence(layer: type[Layer]) -> str:
    text = " ".join(inspect.cleandoc(layer.__doc__ or "").split("\n\n")[0].split())
    return re.split(r"(?<=[^.])[.;] ", text)[0].rstrip(".:")


def _index(types: list[str]) -> str:
    lines = [
        "# Layers",
        "",
        "A page for each `type` that a prototxt can name, written from its code, `proto/caffe.proto` and tests.",
        "",
        "| type | what it computes |",
        "| --- | --- |",
    ]
    for name in types:
        summary = _first_sentence(get_layer_class(name)).replace("|", "\\|")
        lines.append(f"| [{name}]({page_of(name)}) | {summary} |")
    lines += ["", "```{toctree}", ":hidden:", "", *(f"layers/{_stem(name)}" for name in types), "```", ""]
    return "\n".join(lines)


def _count(limits: tuple[int, int | None]) -> str:
    least, most = limits
    if most is None:
        return f"{least} or more"
    return str(least) if least == most else f"{least} to {most}"


def _page(name: str) -> str:
    layer = get_layer_class(name)
    traits = [f"Bottoms: {_count(layer.bottoms)}", f"tops: {_count(layer.tops)}"]
    traits += ["may run in place"] * layer.in_place + ["a loss"] * layer.loss
    file = layer.__module__.replace(".", "/") + ".py"
    lines = [f"# {name}", "", f"*{'; '.join(traits)}.* Source: `{file}`", "", inspect.cleandoc(layer.__doc__ or ""), ""]
    for message in messages(layer):
        lines += _fields(name, message)
    if example := _example(name, layer):
        lines += ["## Example", "", "```", example, "```", ""]
    proof = [f"`tests/layers/test_{_stem(name)}.py`"]
    if recorded := RECORDED.get(name):
        proof.append("Caffe's recorded results " + ", ".join(f"`{case}`" for case in recorded))
    lines += ["## Proof", "", "; ".join(proof) + ".", ""]
    return "\n".join(lines)


def messages(layer: type[Layer]) -> list[FieldDescriptor]:
    """The fields of LayerParameter that are the layer's, such as convolution_param.

    They are those that its file, or that of a base, reads, and one whose fields are all ignored (sigmoid_param).
    """
    names: dict[str, None] = {}
    for base in layer.__mro__:
        if base.__module__.startswith("caffepy.layers."):
            source = inspect.getsource(sys.modules[base.__module__])
            names |= dict.fromkeys(re.findall(r"\bself\.param\.(\w+_param)\b", source))
    known = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name
    own = layer.__name__.lower() + "_param"
    if own in known and _without_effect(known[own]):
        names[own] = None
    return [known[name] for name in names if name in known]


def _without_effect(message: FieldDescriptor) -> bool:
    return all(f"{message.message_type.name}.{field.name}" in IGNORED for field in message.message_type.fields)


def _fields(layer: str, message: FieldDescriptor) -> list[str]:
    lines = [f"## {message.name}", "", "| field | type | default | |", "| --- | --- | --- | --- |"]
    for field in message.message_type.fields:
        note = ignored_why(f"{message.message_type.name}.{field.name}", layer)
        lines.append(
            f"| `{field.name}` | {type_of(field)} | {default_of(field)} | {'ignored: ' + note if note else ''} |"
        )
    return [*lines, ""]


def type_of(field: FieldDescriptor) -> str:
    """``uint32``, ``MAX or AVE``, ``float, repeated``."""
    if field.enum_type is not None:
        kind = " or ".join(value.name for value in field.enum_type.values)
    elif field.message_type is not None:
        kind = field.message_type.name
    else:
        kind = {value: name for name, value in vars(FieldDescriptor).items() if name.startswith("TYPE_")}[field.type]
        kind = kind.removeprefix("TYPE_").lower()
    return f"{kind}, repeated" if field.is_repeated else kind


def default_of(field: FieldDescriptor) -> str:
    """The default that the schema states, as code; empty where it states none."""
    if field.is_repeated or field.message_type is not None or not field.has_default_value:
        return ""
    if field.enum_type is not None:
        return f"`{field.enum_type.values_by_number[field.default_value].name}`"
    value = field.default_value
    text = f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text}`"


def _example(name: str, layer: type[Layer]) -> str:
    """The shortest case of the layer's test that sets something."""
    path = ROOT / "tests" / "layers" / f"test_{_stem(name)}.py"
    if not path.is_file():
        return ""
    spec = importlib.util.spec_from_file_location(f"cases_of_{_stem(name)}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(ROOT))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(ROOT))
    cases: list[Any] = [case for case in getattr(module, "CASES", []) if f'"{name}"' in case.prototxt]
    if not cases:
        return ""
    case = min(cases, key=lambda case: ("{" not in case.prototxt, len(case.prototxt)))
    bottoms = "".join(f'  bottom: "x{i if i else ""}"\n' for i in range(len(case.bottoms)))
    tops = "".join(f'  top: "y{i if i else ""}"\n' for i in range(case.tops))
    body = "\n".join(f"  {line.strip()}" for line in case.prototxt.strip().splitlines())
    return f'layer {{\n  name: "{_stem(name)}"\n{bottoms}{tops}{body}\n}}'
