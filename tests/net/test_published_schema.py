"""Our files hold only what BVLC Caffe's published schema has: they are read back through it alone."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.unknown_fields import UnknownFieldSet

from caffepy.solver import get_solver
from tests.net.from_text import net_of

FACTS = Path(__file__).resolve().parents[3] / "shared" / "facts" / "caffe_proto.tsv"

NET = """
    name: "every/kind"
    layer { name: "x" type: "DummyData" top: "x" top: "t" dummy_data_param {
      shape { dim: 3 dim: 2 dim: 4 dim: 4 } shape { dim: 3 } data_filler { type: "gaussian" } data_filler { } } }
    layer { name: "a/norm" type: "BatchNorm" bottom: "x" top: "n" }
    layer { name: "scale" type: "Scale" bottom: "n" top: "n" scale_param { bias_term: true } }
    layer { name: "ip" type: "InnerProduct" bottom: "n" top: "ip" param { name: "w" lr_mult: 1 decay_mult: 0 }
      inner_product_param { num_output: 3 weight_filler { type: "xavier" variance_norm: AVERAGE } } }
    layer { name: "drop" type: "Dropout" bottom: "ip" top: "ip" dropout_param { dropout_ratio: 0.25 } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "t" top: "loss" include { phase: TRAIN }
      loss_param { normalization: BATCH_SIZE } }
"""


def _published() -> dict[str, type]:
    """Message classes built from the table of facts, by name, in a pool of their own."""
    file = descriptor_pb2.FileDescriptorProto(name="published.proto", package="caffe", syntax="proto2")
    messages: dict[str, descriptor_pb2.DescriptorProto] = {}
    enums: dict[str, descriptor_pb2.EnumDescriptorProto] = {}
    with open(FACTS, newline="", encoding="utf-8") as table:
        rows = list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))
    enum_names = {row["message"] for row in rows if row["label"] == "enum"}
    for name in dict.fromkeys(row["message"] for row in rows if row["label"] != "enum"):
        messages[name] = file.message_type.add(name=name)
    for name in dict.fromkeys(row["message"] for row in rows if row["label"] == "enum"):
        parent, _, own = name.rpartition(".")
        enums[name] = (messages[parent] if parent else file).enum_type.add(name=own)
    kinds = descriptor_pb2.FieldDescriptorProto
    for row in rows:
        if row["label"] == "enum":
            enums[row["message"]].value.add(name=row["name"], number=int(row["number"]))
            continue
        field = messages[row["message"]].field.add(name=row["name"], number=int(row["number"]))
        field.label = kinds.Label.Value(f"LABEL_{row['label'].upper()}")
        if row["type"].startswith("caffe."):
            field.type_name = "." + row["type"]
            field.type = kinds.TYPE_ENUM if row["type"][6:] in enum_names else kinds.TYPE_MESSAGE
        else:
            field.type = kinds.Type.Value(f"TYPE_{row['type'].upper()}")
        if "packed" in row["note"]:
            field.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file) if hasattr(pool, "Add") else pool.AddSerializedFile(file.SerializeToString())
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe.{name}")) for name in messages}


@pytest.fixture(scope="module")
def published():
    if not FACTS.is_file():
        pytest.skip("no ../shared/facts beside the checkout: the published schema is not compared")
    return _published()


def _unknown(message) -> list[str]:
    """Paths of all that a message holds beyond its schema."""
    found = [f"{field.field_number}" for field in UnknownFieldSet(message)]
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            children = value if isinstance(value, (list,)) or hasattr(value, "__len__") else [value]
            found += [f"{field.name}.{path}" for child in children for path in _unknown(child)]
    return found


def test_the_check_finds_what_is_unknown(published):
    message = published["NetParameter"].FromString(
        published["NetParameter"](layer=[{"name": "a"}]).SerializeToString() + b"\xba\x3e\x01x"
    )
    assert _unknown(message) == ["999"]


@pytest.fixture
def snapshot(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 lr_policy: "step" gamma: 0.5 stepsize: 2 momentum: 0.9 '
        f'max_iter: 5 snapshot_prefix: "{tmp_path}/snap" random_seed: 3 snapshot_diff: true'
    )
    solver = get_solver(tmp_path / "solver.prototxt")
    solver.solve()
    return solver, tmp_path / "snap_iter_5.caffemodel", tmp_path / "snap_iter_5.solverstate"


def test_a_caffemodel(published, snapshot):
    solver, model, _ = snapshot
    message = published["NetParameter"].FromString(model.read_bytes())
    assert _unknown(message) == []
    assert message.name == "every/kind"
    assert [layer.name for layer in message.layer] == [layer.name for layer in solver.net.layers]
    assert [layer.type for layer in message.layer] == [layer.type for layer in solver.net.layers]
    for stored, layer in zip(message.layer, solver.net.layers, strict=True):
        assert len(stored.blobs) == len(layer.blobs)
        for blob, own in zip(stored.blobs, layer.blobs, strict=True):
            assert tuple(blob.shape.dim) == own.shape
            assert not blob.HasField("num")
            np.testing.assert_array_equal(np.array(blob.data, np.float32), own.data.reshape(-1))
            np.testing.assert_array_equal(np.array(blob.diff, np.float32), own.diff.reshape(-1))
    ip = next(layer for layer in message.layer if layer.name == "ip")
    assert list(ip.bottom) == ["n"]
    assert ip.inner_product_param.num_output == 3
    assert (ip.param[0].name, ip.param[0].decay_mult) == ("w", 0)
    assert ip.phase == 0


def test_a_solverstate(published, snapshot):
    solver, model, state = snapshot
    message = published["SolverState"].FromString(state.read_bytes())
    assert _unknown(message) == []
    assert (message.iter, message.learned_net) == (5, str(model))
    # Steps are counted when a rate is taken, the last time at iteration 4.
    assert message.current_step == 2
    history = list(solver.history_blobs())
    assert len(message.history) == len(history) == len(solver.net.learnable_params)
    for blob, own in zip(message.history, history, strict=True):
        assert tuple(blob.shape.dim) == own.shape
        np.testing.assert_array_equal(np.array(blob.data, np.float32), own.reshape(-1))
    assert any(own.any() for own in history)


def test_doubles_are_stored_as_doubles(published, tmp_path):
    from caffepy.devices import get_backend

    net = net_of(NET, backend=get_backend("cpu", "float64"))
    net.params["ip"][0].data[...] = 1 / 3
    net.save(tmp_path / "double.caffemodel")
    message = published["NetParameter"].FromString((tmp_path / "double.caffemodel").read_bytes())
    blob = next(layer for layer in message.layer if layer.name == "ip").blobs[0]
    assert not blob.data
    assert set(blob.double_data) == {1 / 3}
