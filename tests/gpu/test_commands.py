"""Commands that look at nets, on a GPU: what they find there is what they find on the CPU."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from caffepy.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = "models/lenet/lenet.caffemodel"
NET = "models/lenet/train_val.prototxt"


def test_compare_with_the_cpu(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(ROOT)
    assert main(["compare", NET, WEIGHTS, WEIGHTS, "--gpu", "0"]) == 0
    assert "10 blobs agree" in capsys.readouterr().out
    np.savez(tmp_path / "d.npz", ip2=np.full((60, 10), 99.0))
    assert main(["compare", NET, WEIGHTS, str(tmp_path / "d.npz"), "--gpu", "0"]) == 1
    assert ": ip2 (" in capsys.readouterr().out


def test_extract_features(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    found = []
    for i, gpu in enumerate(([], ["GPU", "DEVICE_ID=0"])):
        path = tmp_path / f"{i}.npz"
        words = ["extract_features", WEIGHTS, NET, "pool2,ip1", str(path), "1", "npz", *gpu]
        assert main(words) == 0
        found.append(np.load(path))
    for name in ("pool2", "ip1", "label"):
        np.testing.assert_allclose(found[1][name], found[0][name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("option", ["--tf32", "--amp"])
def test_measuring_in_lower_precision(monkeypatch, capsys, option):
    monkeypatch.chdir(ROOT)
    assert main(["test", "--model", NET, "--weights", WEIGHTS, "--iterations", "2", "--gpu", "0", option]) == 0
    told = capsys.readouterr().err
    assert float(re.findall(r"\] accuracy = ([\d.]+)$", told, re.MULTILINE)[-1]) > 0.97
    assert ("_float16 " in told) == (option == "--amp")


@pytest.mark.parametrize("options", [["--amp"], ["--tf32"], ["--amp", "--no-graph"]])
def test_training_in_lower_precision(monkeypatch, capsys, tmp_path, options):
    monkeypatch.chdir(ROOT)
    text = (ROOT / NET).read_text().replace("digits_train_lmdb", "digits_test_lmdb").replace("_size: 64", "_size: 8")
    (tmp_path / "net.prototxt").write_text(text)
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.001 lr_policy: "fixed" momentum: 0.9 max_iter: 5 display: 2 '
        f'random_seed: 1 snapshot_prefix: "{tmp_path}/s"'
    )
    assert main(["train", "--solver", f"{tmp_path}/solver.prototxt", "--gpu", "0", *options]) == 0
    told = capsys.readouterr().err
    assert "Optimization Done." in told
    assert ("Recorded as a CUDA graph" in told) == ("--no-graph" not in options)
    assert bool(re.search(r"Loss scale \d+; \d updates left out so far", told)) == ("--amp" in options)
    assert (tmp_path / "s_iter_5.caffemodel").is_file()
