"""Commands that look at nets, on a GPU: what they find there is what they find on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np

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
