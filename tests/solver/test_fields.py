"""Every field of SolverParameter changes what a run does, or is on the table of ignored fields and is only spoken of.

tests/test_fields.py does the same for all other messages, and counts on CHANGES here.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from caffepy.proto import caffe_pb2
from caffepy.proto.ignored import IGNORED
from caffepy.proto.read import parse_solver
from caffepy.solver import get_solver
from tests.net.square_loss import SquareLoss
from tests.solver.recorder import Recorder
from tests.solver.rows import Rows

assert SquareLoss.loss
assert Rows.tops

NET = """
    layer { name: "rows" type: "Rows" top: "x" top: "t" data_param { batch_size: 4 } }
    layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
      inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 1 } } }
    layer { name: "loss" type: "SquareLoss" bottom: "y" bottom: "t" top: "loss" }
    layer { name: "more" type: "Power" bottom: "t" top: "more" include { stage: "more" } }
"""
INLINE = NET.replace("\n", " ")
OTHER = NET.replace('"ip"', '"other"')
TESTED = 'net: "net" test_iter: 1 test_interval: 2'

#: Field -> (settings, the same with the field otherwise). Both are added to DEFAULTS where they do not name a field.
CHANGES = {
    "net": ("", 'net: "other"'),
    "net_param": (f"net_param {{ {INLINE} }}", f"net_param {{ {OTHER} }}"),
    "train_net": ('train_net: "net"', 'train_net: "other"'),
    "train_net_param": (f"train_net_param {{ {INLINE} }}", f"train_net_param {{ {OTHER} }}"),
    "test_net": (TESTED, f'{TESTED} test_iter: 1 test_net: "other"'),
    "test_net_param": (TESTED, f"{TESTED} test_iter: 1 test_net_param {{ {OTHER} }}"),
    "train_state": ("", 'train_state { stage: "more" }'),
    "test_state": (TESTED, f'{TESTED} test_state {{ stage: "more" }}'),
    "test_iter": (TESTED, TESTED.replace("test_iter: 1", "test_iter: 2")),
    "test_interval": (TESTED, TESTED.replace("test_interval: 2", "test_interval: 3")),
    "test_compute_loss": (TESTED, f"{TESTED} test_compute_loss: true"),
    "test_initialization": (TESTED, f"{TESTED} test_initialization: false"),
    "base_lr": ("", "base_lr: 0.2"),
    "display": ("", "display: 2"),
    "average_loss": ("display: 1", "display: 1 average_loss: 3"),
    "max_iter": ("", "max_iter: 4"),
    "iter_size": ("", "iter_size: 2"),
    "lr_policy": ("gamma: 0.5", 'gamma: 0.5 lr_policy: "exp"'),
    "gamma": ('lr_policy: "exp" gamma: 0.5', 'lr_policy: "exp" gamma: 0.25'),
    "power": ('lr_policy: "poly" power: 1', 'lr_policy: "poly" power: 2'),
    "momentum": ("", "momentum: 0.5"),
    "weight_decay": ("", "weight_decay: 0.5"),
    "regularization_type": ("weight_decay: 0.5", 'weight_decay: 0.5 regularization_type: "L1"'),
    "stepsize": ('lr_policy: "step" gamma: 0.5 stepsize: 1', 'lr_policy: "step" gamma: 0.5 stepsize: 2'),
    "stepvalue": ('lr_policy: "multistep" gamma: 0.5', 'lr_policy: "multistep" gamma: 0.5 stepvalue: 1'),
    "clip_gradients": ("", "clip_gradients: 0.1"),
    "snapshot": ("", "snapshot: 2"),
    "snapshot_prefix": ("", 'snapshot_prefix: "named"'),
    "snapshot_diff": ("", "snapshot_diff: true"),
    "snapshot_format": ("", "snapshot_format: HDF5"),
    "random_seed": ("", "random_seed: 2"),
    "type": ("", 'type: "AdaGrad"'),
    "solver_type": ("", "solver_type: ADAGRAD"),
    "delta": ('type: "AdaGrad" delta: 0.1', 'type: "AdaGrad" delta: 0.2'),
    "momentum2": ('type: "Adam" momentum2: 0.5', 'type: "Adam" momentum2: 0.75'),
    "rms_decay": ('type: "RMSProp" rms_decay: 0.5', 'type: "RMSProp" rms_decay: 0.75'),
    "debug_info": ("display: 1", "display: 1 debug_info: true"),
    "snapshot_after_train": ("", "snapshot_after_train: false"),
    "weights": ("", 'weights: "start.caffemodel"'),
    "solver_mode": ("", "solver_mode: CPU"),
    "device_id": ("", "device_id: 3"),
    "layer_wise_reduce": ("", "layer_wise_reduce: false"),
}
DEFAULTS = {
    "net": '"net"',
    "base_lr": "0.1",
    "lr_policy": '"fixed"',
    "max_iter": "5",
    "random_seed": "1",
    "snapshot_prefix": '"p"',
}
FIELDS = [field.name for field in caffe_pb2.SolverParameter.DESCRIPTOR.fields]


def test_no_field_is_left_out() -> None:
    assert sorted(CHANGES) == sorted(FIELDS)
    assert {f"SolverParameter.{name}" for name in FIELDS} & set(IGNORED) == {
        "SolverParameter.device_id", "SolverParameter.layer_wise_reduce", "SolverParameter.solver_mode",
    }  # fmt: skip


def _trace(folder: Path, settings: str, caplog: pytest.LogCaptureFixture) -> dict[str, object]:
    """All that a run shows and leaves: weights, events, log, files, nets."""
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("net").write_text(NET)
        Path("other").write_text(OTHER)
        start = caffe_pb2.NetParameter()
        blob = start.layer.add(name="ip").blobs.add(data=[1] * 10)
        blob.shape.dim.extend([2, 5])
        start.layer[0].blobs.add(data=[2, 2]).shape.dim.append(2)
        Path("start.caffemodel").write_bytes(start.SerializeToString())
        named = settings.split("{")[0] if settings.startswith(("net_param", "train_net_param")) else settings
        for name, value in DEFAULTS.items():
            given = f"{name}:" in f" {named}" or (name == "net" and named.startswith(("net_param", "train_net")))
            settings += "" if given else f"\n{name}: {value}"
        Path("solver.prototxt").write_text(settings)
        caplog.clear()
        recorder = Recorder()
        solver = get_solver("solver.prototxt", observers=[recorder])
        solver.solve()
        solver.close()
        return {
            "weights": solver._data.tobytes(),
            "iter": solver.iter,
            "nets": [[layer.name for layer in net.layers] for net in (solver.net, *solver.test_nets)],
            "events": [(name, _without_time(event)) for name, event in recorder.events],
            "log": [record.getMessage() for record in caplog.records],
            "files": {
                path.name: hashlib.sha256(path.read_bytes()).hexdigest()
                for path in Path().iterdir()
                if path.name != "solver.prototxt"
            },
        }


def _without_time(event: object) -> object:
    fields = getattr(event, "__dict__", None)
    return event if fields is None else {k: v for k, v in fields.items() if k not in ("seconds", "wait")}


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_acts_or_is_ignored(tmp_path, caplog, name):
    caplog.set_level("INFO", "caffepy")
    without, given = CHANGES[name]
    assert f"{name}:" in given or f"{name} {{" in given
    first, again, changed = (
        _trace(tmp_path / folder, settings, caplog)
        for folder, settings in (("a", without), ("b", without), ("c", given))
    )
    assert first == again, "a run is not what its settings say: the comparison would prove nothing"
    different = {key for key in first if first[key] != changed[key]}
    if f"SolverParameter.{name}" in IGNORED:
        assert isinstance(changed["log"], list)
        assert different == {"log"}
        assert [line for line in changed["log"] if f"Without effect here: SolverParameter.{name}" in line]
    else:
        # A line of the log alone would be a field that is spoken of.
        assert different - {"log"} or name == "debug_info"
        assert different


def test_ignored_fields_are_named_once_and_with_their_line(caplog):
    caplog.set_level("INFO", "caffepy")
    text = f"solver_mode: GPU\nbase_lr: 0.1 lr_policy: 'fixed' max_iter: 1\nnet_param {{ {INLINE}"
    layer = 'name: "r" type: "ReLU" bottom: "t" top: "r" include { stage: "r" } relu_param { engine: CAFFE }'
    text += f"\nlayer {{ {layer} }} }}"
    get_solver(parse_solver(text, "s.prototxt")).close()
    assert [line for line in caplog.messages if line.startswith("Without effect")] == [
        "Without effect here: SolverParameter.solver_mode (s.prototxt:1): the command line decides: --gpu",
        "Without effect here: ReLUParameter.engine (s.prototxt:4): the backend chooses how to compute",
    ]
