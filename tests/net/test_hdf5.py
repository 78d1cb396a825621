"""HDF5 files of weights and states that no Caffe wrote, and names that HDF5 has no room for."""

from __future__ import annotations

import os

import h5py
import pytest

from caffepy.errors import WeightsError
from tests.net.from_text import net_of
from tests.solver.recorder import solver_of
from tests.solver.small_nets import NET


def _net(*names):
    text = "layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: 1 dim: 2 } } } "
    for i, name in enumerate(names):
        text += f"layer {{ name: '{name}' type: 'InnerProduct' bottom: 'x' top: 'y{i}' "
        text += "inner_product_param { num_output: 2 } } "
    return net_of(text)


@pytest.mark.parametrize("link", ["data", "data/ip", "data/ip/0"])
def test_weights_that_a_link_leads_to_are_not_read(tmp_path, link):
    net = _net("ip")
    net.save(tmp_path / "w.h5")
    os.rename(tmp_path / "w.h5", tmp_path / "other.h5")
    net.save(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "a") as file:
        del file[link]
        file[link] = h5py.ExternalLink("other.h5", link)
    with pytest.raises(WeightsError, match=r"w\.h5: layer 'ip', blob 0: its values lie in other files"):
        net.copy_from(tmp_path / "w.h5")


@pytest.mark.parametrize("link", ["history", "history/0", "iter"])
def test_a_state_that_a_link_leads_to_is_not_read(tmp_path, link):
    solver = solver_of(tmp_path, NET, "snapshot_format: HDF5")
    _, state = solver.snapshot()
    os.rename(state, tmp_path / "other.h5")
    solver.snapshot()
    with h5py.File(state, "a") as file:
        del file[link]
        file[link] = h5py.ExternalLink("other.h5", link)
    with pytest.raises(WeightsError, match="its values lie in other files"):
        solver.restore(state)


@pytest.mark.parametrize(("names", "refused"), [([""], ""), (["a", "a/0"], "a/0"), (["a/0", "a"], "a")])
def test_names_that_hdf5_has_no_room_for(tmp_path, names, refused):
    with pytest.raises(WeightsError, match=rf"w\.h5: not written: HDF5 has no room for a layer named '{refused}'"):
        _net(*names).save(tmp_path / "w.h5")
    assert os.listdir(tmp_path) == []


def test_a_layer_without_a_name_takes_nothing(tmp_path):
    _net("a").save(tmp_path / "w.h5")
    report = _net("", "a").copy_from(tmp_path / "w.h5")
    assert (report.loaded, report.missing) == (["a"], [""])


@pytest.mark.parametrize("iteration", [float("inf"), 1 << 31, -1])
def test_iterations_that_no_state_can_have(tmp_path, iteration):
    solver = solver_of(tmp_path, NET, "snapshot_format: HDF5")
    _, state = solver.snapshot()
    with h5py.File(state, "a") as file:
        del file["iter"]
        file["iter"] = [iteration]
    with pytest.raises(WeightsError, match=r"snap_iter_0\.solverstate\.h5: (iteration -?\d+ is|not a solver state)"):
        solver.restore(state)
    assert solver.iter == 0
