"""Every recorded data layer, replayed: all batches, from the same databases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffepy.data.options import DataOptions
from caffepy.devices import get_backend
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net
from tests.a_gpu import BACKENDS

FOLDER = Path(__file__).parents[2] / ".." / "shared" / "oracle" / "data"
FILES = sorted(FOLDER.glob("*.npz"))


def _load(path: Path):
    with np.load(path, allow_pickle=False) as file:
        text, batches = str(file["prototxt"]), int(file["batches"])
        phase = caffe_pb2.TRAIN if "phase" in file.files and str(file["phase"]) == "TRAIN" else caffe_pb2.TEST
        return text, phase, batches, {key[4:]: file[key] for key in file.files if key.startswith("out/")}


def test_the_recorded_layers_are_all_here(oracle):
    assert len(FILES) >= 9


def _grey_levels(name: str, text: str) -> float:
    """How far a value may be off, in the units of the recorded data: decoders of JPEG differ, and resizers."""
    layer = parse_net(text)[0].layer[0]
    exact = name.startswith(("raw_", "png_"))
    return 0.0 if exact else 2.0 * layer.transform_param.scale


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize(("backend", "threads"), [("cpu", 1), *((name, 3) for name in BACKENDS)])
def test_caffe_gave_the_same_batches(path, backend, threads, monkeypatch):
    text, phase, batches, expected = _load(path)
    monkeypatch.chdir(FOLDER)
    device = get_backend(backend)
    with Net(parse_net(text, path.name), phase, device, data=DataOptions(threads=threads)) as net:
        got = {name: [] for name in expected}
        for _ in range(batches):
            net.forward()
            for name in expected:
                got[name].append(np.array(device.to_host(net.blobs[name].data)))
    for name, values in expected.items():
        joined = np.concatenate(got[name])
        assert joined.shape == values.shape
        off = _grey_levels(path.stem, text) if name == "data" else 0.0
        gap = np.abs(joined - values)
        place = tuple(int(i) for i in np.unravel_index(int(gap.argmax()), gap.shape))
        text = f"{name}{list(place)}: expected {values[place]}, got {joined[place]}; {int((gap > off).sum())} are off"
        assert (gap <= off).all(), text
