"""The generated module equals proto/caffe.proto, and the schema equals BVLC Caffe's."""

from __future__ import annotations

import csv
import importlib.util
import struct
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

from caffepy.proto import caffe_pb2

ROOT = Path(__file__).resolve().parents[2]
FACTS = ROOT.parent / "shared" / "facts" / "caffe_proto.tsv"


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "proto" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(importlib.util.find_spec("grpc_tools") is None, reason="grpcio-tools is not installed: no protoc")
def test_generated_files_are_fresh() -> None:
    generate = generator()
    serialized = generate.compile_schema(generate.SCHEMA)
    for name, text in (
        ("caffe_pb2.py", generate.render_module(serialized)),
        ("caffe_pb2.pyi", generate.render_stub(serialized)),
    ):
        committed = (ROOT / "caffepy" / "proto" / name).read_text(encoding="utf-8")
        assert committed == text, f"{name} is out of date: run python proto/generate.py"


def as_float32(kind: str, default: str) -> str:
    """``default``, written the one way for floats: the C++ descriptor pool spells 0.999 as 0.999000013."""
    return struct.pack("<f", float(default)).hex() if kind == "float" and default else default


def rows_of_descriptor() -> set[tuple[str, ...]]:
    """The module's own descriptor in the form of the facts."""
    file = FileDescriptorProto()
    caffe_pb2.DESCRIPTOR.CopyToProto(file)
    rows: set[tuple[str, ...]] = set()
    types = {number: name[5:].lower() for name, number in FieldDescriptorProto.Type.items()}
    enums = [("", enum) for enum in file.enum_type]
    for message in file.message_type:
        assert not message.nested_type
        enums += [(f"{message.name}.", enum) for enum in message.enum_type]
        for field in message.field:
            kind = field.type_name.replace(".caffepy.", "caffe.") or types[field.type]
            label = FieldDescriptorProto.Label.Name(field.label)[6:].lower()
            note = "packed" if field.options.packed else ""
            default = as_float32(kind, field.default_value)
            rows.add((message.name, field.name, str(field.number), label, kind, default, note))
    for prefix, enum in enums:
        rows |= {(prefix + enum.name, value.name, str(value.number), "enum", "", "", "") for value in enum.value}
    return rows


@pytest.mark.skipif(not FACTS.exists(), reason=f"the facts about Caffe's schema are not here: {FACTS}")
def test_schema_is_caffes() -> None:
    with FACTS.open(encoding="utf-8") as file:
        next(reader := csv.reader(file, delimiter="\t"))
        rows = {(*row[:5], as_float32(row[4], row[5]), row[6]) for row in reader}
    assert len(rows) > 400
    ours = rows_of_descriptor()
    assert rows - ours == set()
    assert ours - rows == set()


def test_package_is_not_caffes() -> None:
    # A process that also loads another library's caffe.proto dies when both register "caffe.NetParameter".
    assert caffe_pb2.DESCRIPTOR.package == "caffepy"


def test_import_is_light() -> None:
    code = (
        "import sys; from caffepy.proto import caffe_pb2; "
        "print([m for m in ('numba', 'lmdb', 'h5py', 'matplotlib', 'grpc') if m in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"
