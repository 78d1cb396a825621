"""Snapshots and how a run goes on from them."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from pathlib import Path

import h5py
import numpy as np
import pytest

from caffepy.errors import SolverError, WeightsError
from caffepy.proto import caffe_pb2
from caffepy.proto.files import atomic_path
from caffepy.solver import snapshot as files
from caffepy.solver.snapshot import latest_state
from tests.net.square_loss import SquareLoss
from tests.solver.recorder import Recorder, solver_of

ORACLE = Path(__file__).parents[2] / ".." / "shared" / "oracle" / "solvers"
assert SquareLoss.loss

NET = """
    name: "noisy"
    layer { name: "x" type: "DummyData" top: "x" top: "t"
      dummy_data_param { shape { dim: 4 dim: 6 } shape { dim: 4 dim: 3 }
      data_filler { type: "gaussian" std: 1 } data_filler { type: "uniform" } } }
    layer { name: "norm" type: "BatchNorm" bottom: "x" top: "n" }
    layer { name: "ip1" type: "InnerProduct" bottom: "n" top: "h" param { name: "w" } param { lr_mult: 2 decay_mult: 0 }
      inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
    layer { name: "drop" type: "Dropout" bottom: "h" top: "h" }
    layer { name: "ip2" type: "InnerProduct" bottom: "h" top: "g" param { name: "w" }
      inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
    layer { name: "ip3" type: "InnerProduct" bottom: "g" top: "y"
      inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
    layer { name: "loss" type: "SquareLoss" bottom: "y" bottom: "t" top: "loss" }
"""
MOMENTUM = 'base_lr: 0.05 momentum: 0.9 weight_decay: 0.01 lr_policy: "multistep" gamma: 0.5 stepvalue: 4 stepvalue: 13'


def _solver(tmp_path, settings: str = "", *observers):
    return solver_of(tmp_path, NET, f"{MOMENTUM} {settings}", *observers)


@pytest.mark.parametrize("kind", ["BINARYPROTO", "HDF5"])
@pytest.mark.parametrize("more", ["", "iter_size: 3", "test_iter: 2 test_interval: 3 display: 2 average_loss: 5"])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(tmp_path, kind, more):
    end = ".h5" if kind == "HDF5" else ""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = _solver(tmp_path / "a", f"max_iter: 20 {more}")
    whole.solve()
    recorder = Recorder()
    first = _solver(tmp_path / "b", f"max_iter: 10 snapshot_format: {kind} {more}", recorder)
    first.solve()
    (event,) = recorder.of("snapshot")
    assert event.model == f"{tmp_path}/b/snap_iter_10.caffemodel{end}"
    assert event.state == f"{tmp_path}/b/snap_iter_10.solverstate{end}"
    again = Recorder()
    second = _solver(tmp_path / "b", f"max_iter: 20 snapshot_format: {kind} {more}", again)
    second.solve(event.state)
    assert again.of("begin") == [10]
    assert [one.iter for one in again.of("iteration")] == list(range(10, 20))
    for net in (whole.net, second.net):
        assert all(np.isfinite(blob.data).all() for blobs in net.params.values() for blob in blobs)
    assert second._data.tobytes() == whole._data.tobytes()
    assert second.history[0].tobytes() == whole.history[0].tobytes()
    assert first._data.tobytes() != whole._data.tobytes()
    assert second.current_step == whole.current_step == 2


@pytest.mark.parametrize("kind", ["BINARYPROTO", "HDF5"])
def test_a_restored_solver_is_the_one_that_was_stored(tmp_path, kind):
    solver = _solver(tmp_path, f"snapshot_format: {kind}")
    solver.step(6)
    _, state = solver.snapshot()
    other = _solver(tmp_path)
    other.step(2)
    other.restore(state)
    assert other.iter == 6
    assert other.rate == solver.rate == pytest.approx(0.025)
    assert other._data.tobytes() == solver._data.tobytes()
    assert other.history[0].tobytes() == solver.history[0].tobytes()
    assert solver.history[0].any()


def test_what_a_binary_state_holds(tmp_path):
    solver = _solver(tmp_path)
    solver.step(5)
    model, state = solver.snapshot()
    message = caffe_pb2.SolverState.FromString(Path(state).read_bytes())
    assert (message.iter, message.learned_net) == (5, model)
    assert message.current_step == 1
    shapes = [tuple(blob.shape.dim) for blob in message.history]
    assert shapes == [param.blob.shape for param in solver.net.learnable_params]
    assert len(shapes) == 3 + 2 + 1 + 2, "a shared blob has one history"


def test_current_step_is_that_of_the_last_rate_taken(tmp_path):
    """At iteration 4 its rate has not been asked for yet: Caffe's state says 0, and steps when it goes on."""
    solver = _solver(tmp_path)
    for step, expected in ((0, 0), (4, 0), (1, 1), (8, 1), (1, 2)):
        solver.step(step)
        message = caffe_pb2.SolverState.FromString(Path(solver.snapshot()[1]).read_bytes())
        assert message.current_step == expected, f"at iteration {solver.iter}"


def test_what_an_hdf5_state_holds(tmp_path):
    solver = _solver(tmp_path, "snapshot_format: HDF5")
    solver.step(5)
    model, state = solver.snapshot()
    with h5py.File(state) as file:
        assert file["iter"][()].tolist() == [5]
        assert file["current_step"][()].tolist() == [1]
        assert (file["iter"].dtype, file["current_step"].dtype) == (np.int32, np.int32)
        assert file["learned_net"][()] == model.encode()
        # Caffe reads as many bytes as the type has, and then to the first zero: there must be one.
        assert file["learned_net"].id.get_type().get_size() == len(model) + 1
        assert not file["learned_net"].id.get_type().is_variable_str()
        assert file["learned_net"].shape == ()
        assert sorted(file["history"], key=int) == [str(i) for i in range(8)]
        assert file["history/3"].shape == (6, 6)


def test_caffes_hdf5_state_is_of_the_same_make(tmp_path):
    if not ORACLE.is_dir():
        pytest.skip("no ../shared/oracle beside the checkout: BVLC Caffe's recorded results are not compared")
    solver = _solver(tmp_path, "snapshot_format: HDF5")
    _, state = solver.snapshot()
    with h5py.File(state) as ours, h5py.File(ORACLE / "snap_sgd_inv_hdf5_iter_20.solverstate.h5") as caffes:
        assert set(ours) == set(caffes)
        for name in ("iter", "current_step"):
            assert (ours[name].shape, ours[name].dtype) == (caffes[name].shape, caffes[name].dtype)
        name = caffes["learned_net"][()]
        assert caffes["learned_net"].id.get_type().get_size() == len(name) + 1
        assert ours["history/0"].dtype == caffes["history/0"].dtype


def test_snapshot_diff_stores_the_step_that_was_taken(tmp_path):
    solver = _solver(tmp_path, "snapshot_diff: true")
    solver.step(1)
    model, _ = solver.snapshot()
    message = caffe_pb2.NetParameter.FromString(Path(model).read_bytes())
    stored = next(layer for layer in message.layer if layer.name == "ip3").blobs[0]
    np.testing.assert_array_equal(np.array(stored.diff, np.float32), solver.net.params["ip3"][0].diff.reshape(-1))
    assert any(stored.diff)
    assert stored.ByteSize() > 2 * 4 * 18


def test_the_weights_may_have_moved_with_the_state(tmp_path):
    solver = _solver(tmp_path)
    solver.step(3)
    model, state = solver.snapshot()
    (tmp_path / "moved").mkdir()
    for path in (model, state):
        shutil.move(path, tmp_path / "moved")
    other = _solver(tmp_path)
    other.restore(tmp_path / "moved" / "snap_iter_3.solverstate")
    assert other._data.tobytes() == solver._data.tobytes()
    os.unlink(tmp_path / "moved" / "snap_iter_3.caffemodel")
    match = r"names the weights '.*/snap_iter_3\.caffemodel', and there is no such file in .* nor beside the state"
    with pytest.raises(WeightsError, match=match):
        other.restore(tmp_path / "moved" / "snap_iter_3.solverstate")


def test_a_state_without_weights_restores_the_rest(tmp_path):
    solver = _solver(tmp_path)
    solver.step(3)
    _, state = solver.snapshot()
    message = caffe_pb2.SolverState.FromString(Path(state).read_bytes())
    message.ClearField("learned_net")
    Path(state).write_bytes(message.SerializeToString())
    other = _solver(tmp_path)
    before = other._data.copy()
    other.restore(state)
    assert other.iter == 3
    assert other._data.tobytes() == before.tobytes()
    assert other.history[0].tobytes() == solver.history[0].tobytes()


@pytest.mark.parametrize("kind", ["BINARYPROTO", "HDF5"])
def test_weights_given_as_a_state(tmp_path, kind):
    solver = _solver(tmp_path, f"snapshot_format: {kind}")
    model, state = solver.snapshot()
    match = r"holds weights, not a solver state\. Resume from its \.solverstate file, or fine-tune .*--weights"
    with pytest.raises(WeightsError, match=match) as caught:
        solver.restore(model)
    assert str(caught.value).endswith(f" {state} lies beside it.")
    os.unlink(state)
    with pytest.raises(WeightsError, match=match) as caught:
        solver.solve(model)
    assert "lies beside it" not in str(caught.value)
    shutil.copy(model, tmp_path / "renamed")
    with pytest.raises(WeightsError, match="renamed"):
        solver.restore(tmp_path / "renamed")


def test_a_state_that_is_not_there(tmp_path):
    with pytest.raises(WeightsError, match=r"Could not open file .*snap_iter_9\.solverstate"):
        _solver(tmp_path).solve(tmp_path / "snap_iter_9.solverstate")


def _damage(state: str, change):
    message = caffe_pb2.SolverState.FromString(Path(state).read_bytes())
    change(message)
    Path(state).write_bytes(message.SerializeToString())


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            lambda state: state.history.pop(),
            r"Incorrect length of history blobs: 7 in the file, this solver \(SGD\) .*8",
        ),
        (lambda state: state.history.add(), "Incorrect length of history blobs: 9 in the file"),
        (lambda state: state.history[3].data.pop(), "history blob 3 has 35 values, this net's has 36"),
        (lambda state: setattr(state, "iter", -4), "iteration -4 is negative"),
    ],
)
def test_states_that_do_not_fit(tmp_path, change, match):
    solver = _solver(tmp_path)
    solver.step(1)
    _, state = solver.snapshot()
    _damage(state, change)
    before = solver._data.copy()
    with pytest.raises(WeightsError, match=rf"snap_iter_1\.solverstate: {match}"):
        solver.restore(state)
    assert solver.iter == 1
    assert solver._data.tobytes() == before.tobytes(), "nothing is taken from a state that does not fit"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda file: file.__delitem__("history/7"), "Incorrect length of history blobs: 7 in the file"),
        (lambda file: file.__delitem__("history"), "not a solver state as Caffe writes it in HDF5"),
        (lambda file: file.__delitem__("iter"), "not a solver state as Caffe writes it in HDF5"),
        (lambda file: (file.__delitem__("iter"), file.create_dataset("iter", (0,), "i4")), "not a solver state"),
        (lambda file: (file.__delitem__("history"), file.create_dataset("history", data=3)), "not a solver state"),
        (lambda file: (file.__delitem__("history/0"), file.create_group("history/0")), "not a solver state"),
        (lambda file: file.move("history/0", "history/x"), "not a solver state"),
        (
            lambda file: (file.__delitem__("learned_net"), file.create_dataset("learned_net", data=[1, 2])),
            "the name of a",
        ),
        (lambda file: (file.__delitem__("learned_net"), file.create_dataset("learned_net", data=1.5)), "the name of a"),
        (
            lambda file: (file.__delitem__("learned_net"), file.create_dataset("learned_net", data="x" * 5000)),
            "names the weights 'x{300}', and there is no such file",
        ),
        (
            lambda file: (
                file.__delitem__("history/0"),
                file.create_dataset("history/0", (1 << 40,), "f4", chunks=(1024,)),
            ),
            "history blob 0 has 1099511627776 values, this net's has 6",
        ),
    ],
)
def test_hdf5_states_that_do_not_fit(tmp_path, change, match):
    solver = _solver(tmp_path, "snapshot_format: HDF5")
    _, state = solver.snapshot()
    with h5py.File(state, "a") as file:
        change(file)
    with pytest.raises(WeightsError, match=rf"snap_iter_0\.solverstate\.h5: .*{match}"):
        solver.restore(state)


def test_a_state_of_another_net_and_weights_that_do_not_fit(tmp_path):
    _, state = _solver(tmp_path).snapshot()
    net = NET.replace("num_output: 3", "num_output: 2").replace("dim: 4 dim: 3", "dim: 4 dim: 2")
    other = solver_of(tmp_path, net, MOMENTUM)
    with pytest.raises(WeightsError, match="history blob 6 has 18 values, this net's has 12"):
        other.restore(state)


def test_which_weights_a_state_takes(tmp_path, monkeypatch, caplog):
    """Those it names, from the folder that the command runs in; else those beside it."""
    caplog.set_level("INFO", "caffepy")

    def told(state):
        caplog.clear()
        solver.restore(state)
        return [record for record in caplog.records if record.module == "snapshot"]

    (tmp_path / "moved").mkdir()
    monkeypatch.chdir(tmp_path)
    solver = _solver(tmp_path, 'snapshot_prefix: "snap"')
    model, state = solver.snapshot()
    assert [record.message for record in told(state)] == ["Weights of snap_iter_0.solverstate: snap_iter_0.caffemodel"]
    shutil.copy(model, "moved")
    shutil.move(state, "moved")
    moved = f"moved/{state}"
    (line,) = told(moved)
    assert line.message == "Weights of moved/snap_iter_0.solverstate: snap_iter_0.caffemodel"
    solver.step(1)
    solver.net.save(f"moved/{model}")
    _, warning = told(moved)
    assert warning.levelname == "WARNING"
    assert warning.message.startswith(
        f"moved/snap_iter_0.solverstate names the weights {tmp_path}/snap_iter_0.caffemodel, which are taken, as Caffe "
        f"takes them; other weights of that name lie beside the state: {tmp_path}/moved/snap_iter_0.caffemodel."
    )
    os.unlink(model)
    (line,) = told(moved)
    assert line.message == "Weights of moved/snap_iter_0.solverstate: moved/snap_iter_0.caffemodel"


@pytest.mark.parametrize("kind", ["BINARYPROTO", "HDF5"])
def test_the_state_beside_weights_is_told_by_their_name_alone(tmp_path, kind):
    folder = tmp_path / "a.caffemodel" / "b.solverstate"
    folder.mkdir(parents=True)
    solver = _solver(tmp_path, f'snapshot_prefix: "{folder}/x.caffemodel" snapshot_format: {kind}')
    model, state = solver.snapshot()
    assert latest_state(f"{folder}/x.caffemodel") == state
    with pytest.raises(WeightsError, match=rf"holds weights, not a solver state\. .* {state} lies beside it\.$"):
        solver.restore(model)
    os.unlink(state)
    with pytest.raises(WeightsError, match=r"holds weights, .* with --weights\.$"):
        solver.restore(model)


def test_the_beginning_of_a_file_tells_that_it_is_no_state(tmp_path, monkeypatch):
    solver = _solver(tmp_path)
    model, state = solver.snapshot()
    files.check_state(state)
    os.rename(model, tmp_path / "weights")
    with pytest.raises(WeightsError, match=r"weights: Failed to parse SolverState file: .* It holds a net's weights"):
        files.check_state(tmp_path / "weights")
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("net: 3")
    Path("nothing").touch()
    with pytest.raises(WeightsError, match=r"^text: expected a binary SolverState, .* text, such as a prototxt\.$"):
        files.check_state("text")
    with pytest.raises(WeightsError, match=r"^nothing: expected a binary SolverState, but the file is empty\.$"):
        files.check_state("nothing")
    with pytest.raises(WeightsError, match=r"file none \(File not found\): tried '.*/none' for the solver state, from"):
        files.check_state("none")
    with pytest.raises(
        WeightsError, match=r"It is a folder, with net.prototxt, snap_iter_0\.solverstate, solver.prototxt\."
    ):
        files.check_state(tmp_path)


def test_the_latest_state(tmp_path):
    assert latest_state(f"{tmp_path}/snap") is None
    assert latest_state(f"{tmp_path}/no/such/folder/snap") is None
    solver = _solver(tmp_path)
    paths = {}
    for count in (3, 6, 1):
        solver.step(count)
        paths[solver.iter] = solver.snapshot()
    assert latest_state(f"{tmp_path}/snap") == paths[10][1], "by number, not by name: 10 is after 9 and 3"
    os.unlink(paths[10][0])
    assert latest_state(f"{tmp_path}/snap") == paths[9][1], "a state whose weights are gone is of no use"
    for name in ("snap_iter_99.solverstate.part", "snapper_iter_99.solverstate", "snap_iter_x.solverstate"):
        (tmp_path / name).touch()
        (tmp_path / name.replace("solverstate", "caffemodel")).touch()
    assert latest_state(f"{tmp_path}/snap") == paths[9][1]
    (tmp_path / "snap_iter_11.solverstate.h5").touch()
    (tmp_path / "snap_iter_11.caffemodel.h5").touch()
    assert latest_state(f"{tmp_path}/snap") == f"{tmp_path}/snap_iter_11.solverstate.h5"


def test_the_latest_state_of_a_prefix_without_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    solver = _solver(tmp_path, 'snapshot_prefix: "here"')
    solver.snapshot()
    assert latest_state("here") == "here_iter_0.solverstate"
    solver.restore("here_iter_0.solverstate")


def test_a_missing_folder_is_made_at_the_start(tmp_path):
    solver = _solver(tmp_path, f'max_iter: 1 snapshot: 1 snapshot_prefix: "{tmp_path}/new/er/snap"')
    assert not (tmp_path / "new").exists()
    solver.solve()
    assert sorted(os.listdir(tmp_path / "new" / "er")) == ["snap_iter_1.caffemodel", "snap_iter_1.solverstate"]


@pytest.mark.parametrize("settings", ["snapshot: 5", "", "snapshot: 5 snapshot_after_train: false"])
def test_a_folder_that_cannot_be_written_to_is_found_at_the_start(tmp_path, settings):
    (tmp_path / "file").touch()
    recorder = Recorder()
    solver = _solver(tmp_path, f'max_iter: 9 {settings} snapshot_prefix: "{tmp_path}/file/snap"', recorder)
    match = (
        r"Cannot write to snapshot prefix '.*/file/snap'\. Make sure that the directory exists and is writeable: "
        r".*/file: (Not a directory|File exists)"
    )
    with pytest.raises(SolverError, match=match):
        solver.solve()
    assert recorder.events == []


def test_a_folder_without_permission_is_found_at_the_start(tmp_path, monkeypatch):
    def refuse(path, *arguments, **keywords):
        raise PermissionError(13, "Permission denied", path)

    solver = _solver(tmp_path, "max_iter: 9 snapshot: 3")
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(SolverError, match=r"Cannot write to snapshot prefix .*: Permission denied"):
        solver.solve()


def test_too_little_room_is_found_at_the_start(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    for settings, copies in (("snapshot: 5", 2), ("snapshot: 5 snapshot_diff: true", 3)):
        solver = _solver(tmp_path, f"max_iter: 1 {settings}")
        needed = 4 * copies * solver._data.size
        monkeypatch.setattr(shutil, "disk_usage", lambda path, needed=needed: usage(0, 0, needed - 1))
        with pytest.raises(SolverError, match=r"has 0 MiB free, and one snapshot takes 0 MiB\. Free some room"):
            solver.solve()
        monkeypatch.setattr(shutil, "disk_usage", lambda path, needed=needed: usage(0, 0, needed))
        solver.solve()


def test_no_snapshots_need_no_folder(tmp_path, monkeypatch):
    solver = _solver(tmp_path, f'max_iter: 1 snapshot_after_train: false snapshot_prefix: "{tmp_path}/none/snap"')
    monkeypatch.setattr(shutil, "disk_usage", None)
    solver.solve()
    assert not (tmp_path / "none").exists()


def test_a_message_without_a_prefix(tmp_path, monkeypatch):
    from caffepy.solver import get_solver

    monkeypatch.chdir(tmp_path)
    message = caffe_pb2.SolverParameter()
    message.CopyFrom(_solver(tmp_path, "max_iter: 1 snapshot: 5").param)
    message.ClearField("snapshot_prefix")
    with pytest.raises(SolverError, match="snapshot is specified but snapshot_prefix is not"):
        get_solver(message).solve()


@pytest.mark.parametrize("kind", ["BINARYPROTO", "HDF5"])
def test_a_disk_that_fills_up_leaves_what_was_there(tmp_path, kind, monkeypatch):
    solver = _solver(tmp_path, f"snapshot_format: {kind}")
    model, state = solver.snapshot()
    before = {path: Path(path).read_bytes() for path in (model, state)}
    solver.net.params["ip3"][0].data[...] = 7
    real = os.fsync
    left = 0

    def full(descriptor):
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    # The first is the weights', the third the state's, after the weights' folder.
    for left, failed in ((0, model), (2, state)):  # noqa: B007
        with pytest.raises(WeightsError, match=rf"{failed}: not written: No space left on device"):
            solver.snapshot()
        assert Path(state).read_bytes() == before[state]
        assert (Path(model).read_bytes() == before[model]) == (failed == model)
        assert len(os.listdir(tmp_path)) == 4, "no temporary is left"


def test_more_than_two_gib_of_state_are_refused(tmp_path, monkeypatch):
    from caffepy.net import weights

    solver = _solver(tmp_path)
    size = 4 * solver._data.size
    monkeypatch.setattr(weights, "MAX_BINARY", weights._HEADERS + size + 4 * 36)  # the model stores w twice
    solver.snapshot()
    monkeypatch.setattr(type(solver), "history_count", 2)
    solver.history.append(solver.history[0])
    with pytest.raises(WeightsError, match=r"solverstate: not written: .* bytes are more than the 2 GiB"):
        solver.snapshot()


def test_files_names_and_functions_are_public():
    assert set(files.__all__) == {"check_destination", "check_state", "latest_state", "restore", "snapshot"}


def test_what_was_left_of_an_earlier_kill_is_removed_at_the_start(tmp_path):
    def left(name: str) -> Path:
        (tmp_path / name).write_bytes(b"part")
        return tmp_path / name

    long = "l" * 70
    gone = [left(".snap_iter_20.caffemodel.0123abcd.tmp"), left(".snap_iter_20.solverstate.h5.ffffffff.tmp")]
    kept = [
        left(".snap_iter_30.caffemodel.0123abcd"),
        left(".snapper_iter_30.caffemodel.0123abcd.tmp"),
        left(".snap.tmp"),
        left("snap_iter_20.caffemodel"),
        left(f".{long[:60]}.0123abcd.tmp"),
    ]
    with atomic_path(tmp_path / "snap_iter_40.caffemodel") as another_s:
        _solver(tmp_path, "max_iter: 1").solve()
        assert another_s.exists()
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in kept)
    _solver(tmp_path, f'max_iter: 1 snapshot_prefix: "{tmp_path}/{long}"').solve()
    assert [path.exists() for path in kept] == [True] * 4 + [False]
