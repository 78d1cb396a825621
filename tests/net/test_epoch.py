"""Going through data once: which layers say how much there is, and what the last batch shows again."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from caffepy.errors import NetError
from caffepy.net import Net
from caffepy.net.epoch import Epoch, find_epoch, label_name
from caffepy.proto.read import parse_net


@pytest.mark.parametrize(("records", "batch", "rows"), [(10, 4, [4, 4, 2, 0]), (8, 4, [4, 4, 0]), (3, 4, [3, 0])])
def test_rows_that_are_new(records, batch, rows):
    epoch = Epoch(records, batch)
    assert [epoch.new_rows(i) for i in range(len(rows))] == rows
    assert epoch.batches == len(rows) - 1


def net(text):
    return Net(parse_net(text))


def test_rows_of_hdf5_files(tmp_path):
    for name, count in (("a", 5), ("b", 6)):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["x"], file["label"] = np.zeros((count, 2)), np.zeros(count)
    (tmp_path / "list.txt").write_text(f"{tmp_path}/a.h5\n{tmp_path}/b.h5\n")
    text = (
        'layer { name: "d" type: "HDF5Data" top: "x" top: "label" '
        f'hdf5_data_param {{ source: "{tmp_path}/list.txt" batch_size: 4 }} }}'
    )
    with net(text) as made:
        assert find_epoch(made) == Epoch(11, 4)
        assert label_name(made) == "label"


def test_data_without_an_end(tmp_path):
    from PIL import Image

    Image.new("RGB", (20, 20)).save(tmp_path / "i.png")
    (tmp_path / "windows.txt").write_text(
        f"# 0\n{tmp_path}/i.png\n3\n20\n20\n2\n1 0.9 0 0 9 9\n0 0.1 5 5 15 15\n"
    )  # fmt: skip
    text = (
        'layer { name: "w" type: "WindowData" top: "x" top: "y" transform_param { crop_size: 8 } '
        f'window_data_param {{ source: "{tmp_path}/windows.txt" batch_size: 4 }} }}'
    )
    with net(text) as made:
        assert made.layers[0].records is None
        assert label_name(made) == "y"
        with pytest.raises(NetError, match=r"has no data that ends: .* Say how many batches to take"):
            find_epoch(made)
    with net('layer { name: "i" type: "Input" top: "x" input_param { shape { dim: 1 } } }') as made:
        assert label_name(made) is None
