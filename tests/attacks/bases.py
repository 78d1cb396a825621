"""The sound files that attacks begin from, made once in a process."""

from __future__ import annotations

import functools
import io
import os
import tempfile
from pathlib import Path

import numpy as np

__all__ = ["NET", "SOLVER", "STATE_NET", "base", "databases_file"]

#: The weights that the sound states name.
STATE_NET = "run_iter_7.caffemodel"

NET = """name: "victim"
layer { name: "data" type: "Input" top: "data" top: "label"
  input_param { shape { dim: [2, 1, 8, 8] } shape { dim: 2 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }
layer { name: "scale" type: "Scale" bottom: "bn" top: "scale" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "scale" top: "scale" }
layer { name: "pool" type: "Pooling" bottom: "scale" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "norm" type: "LRN" bottom: "pool" top: "norm" }
layer { name: "group/ip" type: "InnerProduct" bottom: "norm" top: "ip" param { lr_mult: 1 } param { lr_mult: 2 }
  inner_product_param { num_output: 4 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "drop" type: "Dropout" bottom: "ip" top: "ip" dropout_param { dropout_ratio: 0.3 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" include { phase: TEST } }
"""
SOLVER = """net: "net.prototxt"
test_iter: 1
test_interval: 2
test_initialization: false
base_lr: 0.01
lr_policy: "step"
gamma: 0.5
stepsize: 3
momentum: 0.9
weight_decay: 0.0005
display: 1
max_iter: 2
average_loss: 2
iter_size: 1
clip_gradients: 10
random_seed: 1
snapshot_after_train: false
type: "SGD"
"""
OLD_NET = """name: "old" input: "data" input_dim: 1 input_dim: 1 input_dim: 8 input_dim: 8
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" blobs_lr: 1 blobs_lr: 2 weight_decay: 1
  convolution_param { num_output: 3 kernel_size: 3 } }
layers { name: "relu" type: RELU bottom: "conv" top: "conv" }
layers { name: "ip" type: INNER_PRODUCT bottom: "conv" top: "ip" inner_product_param { num_output: 4 } }
"""
OLDEST_NET = """name: "oldest" input: "data" input_dim: 1 input_dim: 1 input_dim: 8 input_dim: 8
layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "data" top: "pad" }
layers { layer { name: "conv" type: "conv" num_output: 3 kernelsize: 3 blobs_lr: 1.0 } bottom: "pad" top: "conv" }
layers { layer { name: "ip" type: "innerproduct" num_output: 4 weight_filler { type: "xavier" } }
  bottom: "conv" top: "ip" }
"""


@functools.cache
def base(name: str) -> bytes:
    """The bytes of one of the sound files."""
    with tempfile.TemporaryDirectory() as folder:
        return _MAKERS[name](Path(folder))


def _net_file(ending: str):
    def make(folder: Path) -> bytes:
        from caffepy import Net
        from caffepy.proto.read import parse_net

        net = Net(parse_net(NET))
        # Fillers draw other numbers in each process.
        for blobs in net.params.values():
            for blob in blobs:
                blob.data[...] = np.linspace(-1, 1, blob.count).reshape(blob.shape)
        net.save(folder / f"net{ending}")
        return (folder / f"net{ending}").read_bytes()

    return make


def _state(ending: str):
    def make(folder: Path) -> bytes:
        from caffepy.proto.read import parse_net, parse_solver
        from caffepy.solver import get_solver

        solver, lines = parse_solver(SOLVER)
        solver.ClearField("net")
        solver.net_param.CopyFrom(parse_net(NET)[0])
        solver.snapshot_prefix = "run"
        solver.snapshot_format = solver.HDF5 if ending else solver.BINARYPROTO
        trained = get_solver((solver, lines))
        trained.iter = 7
        # A state names its weights, and this folder's name is another one each time.
        here = os.getcwd()
        os.chdir(folder)
        try:
            return Path(trained.snapshot()[1]).read_bytes()
        finally:
            os.chdir(here)

    return make


def _mean(folder: Path) -> bytes:
    from caffepy.data.mean import write_mean

    write_mean(folder / "mean", np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5))
    return (folder / "mean").read_bytes()


def _npy(folder: Path) -> bytes:
    memory = io.BytesIO()
    np.save(memory, np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5))
    return memory.getvalue()


def _noise(folder: Path) -> bytes:
    from caffepy.data.colour_noise import ColourNoise, write_colour_noise

    write_colour_noise(folder / "noise.npz", ColourNoise(np.eye(3), np.ones(3)))
    return (folder / "noise.npz").read_bytes()


def picture(kind: str) -> bytes:
    from PIL import Image

    memory = io.BytesIO()
    y, x = np.mgrid[0:24, 0:20]
    Image.fromarray(np.stack([9 * y, 8 * x, 5 * (x + y)], axis=2).astype(np.uint8)).save(memory, kind)
    return memory.getvalue()


def datum(kind: str = "") -> bytes:
    """A serialised Datum: raw, or of a picture of ``kind``."""
    from caffepy.data.datum import encode

    return encode(picture(kind) if kind else np.arange(60, dtype=np.uint8).reshape(3, 4, 5), 3).SerializeToString()


def databases_file(values: list[bytes]) -> bytes:
    """The data.mdb of an LMDB of ``values``."""
    import lmdb

    with tempfile.TemporaryDirectory() as folder:
        environment = lmdb.open(folder, map_size=1 << 24, lock=False)
        with environment.begin(write=True) as transaction:
            for number, value in enumerate(values):
                transaction.put(b"%08d" % number, value)
        environment.close()
        return (Path(folder) / "data.mdb").read_bytes()


def _lmdb(folder: Path) -> bytes:
    return databases_file([datum("JPEG"), datum(), datum("PNG")] * 20)


def _deep_lmdb(folder: Path) -> bytes:
    # Two records to a page and long ones between: branch pages on two levels, large values.
    return databases_file([datum() + bytes(1500)] * 500 + [datum("JPEG") + bytes(9000)] * 5)


def _images(folder: Path) -> bytes:
    return bytes([0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0, 3]) + bytes(range(60))


def _labels(folder: Path) -> bytes:
    return bytes([0, 0, 8, 1, 0, 0, 0, 5]) + bytes(range(5))


_MAKERS = {
    "net.caffemodel": _net_file(".caffemodel"),
    "net.caffemodel.h5": _net_file(".caffemodel.h5"),
    "state": _state(""),
    "state.h5": _state(".h5"),
    "mean": _mean,
    "mean.npy": _npy,
    "noise.npz": _noise,
    "lmdb": _lmdb,
    "deep lmdb": _deep_lmdb,
    "images": _images,
    "labels": _labels,
    "jpeg": lambda folder: picture("JPEG"),
    "png": lambda folder: picture("PNG"),
    "bmp": lambda folder: picture("BMP"),
}
