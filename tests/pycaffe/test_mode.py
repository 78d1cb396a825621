"""What pycaffe sets for the whole process, its log and its stopwatch."""

from __future__ import annotations

import logging
import re
import time

import pytest

import caffepy as caffe
from caffepy.devices import get_backend
from caffepy.errors import BackendError
from caffepy.pycaffe import mode
from tests.pycaffe.nets import DEPLOY, make


def test_the_cpu_always_works(tmp_path):
    caffe.set_device(3)
    caffe.set_mode_cpu()
    assert make(tmp_path, DEPLOY).engine.backend is get_backend("cpu")


def test_a_gpu_that_is_not_there(tmp_path):
    caffe.set_device(999)
    with pytest.raises(BackendError, match=r"check mode.*'gpu:999'.*caffe.set_mode_cpu\(\) in place of"):
        caffe.set_mode_gpu()
    # And the mode is what it was.
    assert make(tmp_path, DEPLOY).engine.backend.device == "cpu"


def test_nets_are_made_for_the_device_that_was_set(tmp_path, monkeypatch, device):
    asked = []
    monkeypatch.setattr(mode, "get_backend", lambda name: asked.append(name) or device)
    caffe.set_mode_gpu()
    caffe.set_device(1)
    net = make(tmp_path, DEPLOY)
    assert asked == ["gpu:0", "gpu:1", "gpu:1"]
    assert net.engine.backend is device


def test_several_solvers():
    assert (caffe.solver_count(), caffe.solver_rank(), caffe.has_nccl()) == (1, 0, False)
    caffe.set_solver_count(4)
    caffe.set_solver_rank(2)
    caffe.set_multiprocess(True)
    assert (caffe.solver_count(), caffe.solver_rank()) == (4, 2)
    for call in (caffe.NCCL.new_uid, lambda: caffe.NCCL(None, "uid")):
        with pytest.raises(BackendError, match="NCCL trains on several GPUs"):
            call()


def test_layer_types():
    types = caffe.layer_type_list()
    assert list(types) == sorted(types)
    assert {"Convolution", "Python", "SoftmaxWithLoss"} <= set(types)


def test_states():
    assert (caffe.TRAIN, caffe.TEST) == (0, 1)
    assert caffe.NetState(phase="TRAIN", stage=["a"]).phase == caffe.TRAIN
    assert re.fullmatch(r"\d+\.\d+\.\d+", caffe.__version__)


def test_a_stopwatch():
    timer = caffe.Timer()
    assert timer.ms == 0
    timer.stop()
    timer.start()
    time.sleep(0.02)
    running = timer.ms
    timer.stop()
    stopped = timer.ms
    assert 20 <= running <= stopped < 10_000
    time.sleep(0.01)
    assert timer.ms == stopped


LINE = r"[IWE]\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ test_mode.py:\d+\] "


@pytest.mark.parametrize(
    ("arguments", "variable", "written"),
    [
        ((), None, "IWE"),
        ((), "1", "WE"),
        ((0,), "2", "IWE"),
        ((2,), None, "E"),
        ((0, False), None, "E"),
        ((3, True), None, ""),
    ],
)
def test_the_log(capsys, monkeypatch, arguments, variable, written):
    monkeypatch.delenv("GLOG_minloglevel", raising=False)
    if variable is not None:
        monkeypatch.setenv("GLOG_minloglevel", variable)
    caffe.init_log(0)
    caffe.init_log(*arguments)
    caffe.log("my %s line")
    logging.getLogger("caffepy").warning("a warning")
    logging.getLogger("caffepy").error("an error")
    lines = capsys.readouterr().err.splitlines()
    assert "".join(line[0] for line in lines) == written
    assert all(re.match(LINE, line) for line in lines)
    if "I" in written:
        assert lines[0].endswith("] my %s line")


def test_without_init_log_nothing_is_written(capsys):
    caffe.log("quiet")
    assert capsys.readouterr().err == ""
