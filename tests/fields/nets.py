"""Nets that set the fields of layers which cannot run by themselves, and of nets; and more cases of single layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image

from caffepy.data.mean import write_mean
from caffepy.data.writer import new_database
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from caffepy.proto.read import read_binary
from caffepy.testing import Case, case
from tests.data.images import file_bytes, noise_image, raw_datum
from tests.fields.demo import Demo, net_demo

__all__ = ["CASES", "make_files", "nets"]


def _labels(random: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return random.integers(0, 3, shape)


#: What tests/layers leaves at its default, or sets to what makes no difference there.
CASES: list[Case] = [
    case('type: "Bias" bias_param { filler { type: "constant" value: 2 } }', [(2, 3)]),
    case('type: "Scale" scale_param { filler { value: 3 } bias_term: true bias_filler { value: 2 } }', [(2, 3)]),
    case('type: "InnerProduct" inner_product_param { num_output: 2 bias_filler { value: 2 } }', [(2, 3)]),
    case('type: "Concat" concat_param { concat_dim: 0 }', [(2, 3), (2, 3)]),
    case('type: "Slice" slice_param { axis: 0 }', [(4, 4)], tops=2),
    case('type: "Slice" slice_param { slice_dim: 0 }', [(4, 4)], tops=2),
    *(
        case(
            f'type: "{kind}" convolution_param {{ kernel_size: 2 pad_h: 0 pad_w: 1 num_output: 2'
            ' weight_filler { type: "gaussian" } bias_filler { value: 2 } }',
            [(2, 3, 5, 4)],
        )
        for kind in ("Convolution", "Deconvolution")
    ),
    case('type: "Im2col" convolution_param { kernel_size: 2 pad_h: 0 pad_w: 1 }', [(2, 3, 5, 4)]),
    *(
        case(f'type: "{kind}" {block} {{ axis: 2 }}', [(2, 3, 3), (2, 3), *more], draw={1: _labels})
        for kind, block, more in (
            ("Accuracy", "accuracy_param", []),
            ("SoftmaxWithLoss", "softmax_param", []),
            ("InfogainLoss", "infogain_loss_param", [(3, 3)]),
        )
    ),
]


FILLERS = {
    "constant": "value: 3",
    "uniform": 'type: "uniform" min: -1 max: 4',
    "gaussian": 'type: "gaussian" mean: 5 std: 2 sparse: 1',
    "xavier": 'type: "xavier" variance_norm: AVERAGE',
    "msra": 'type: "msra" variance_norm: FAN_OUT',
}

#: Two layers that share what they learn, and most of what a ``layer`` may say.
LAYERS = """
name: "shown"
layer { name: "x" type: "DummyData" top: "x" top: "t" dummy_data_param {
  shape { dim: 4 dim: 6 } shape { dim: 4 dim: 3 } data_filler { type: "gaussian" } data_filler { type: "uniform" } } }
layer { name: "one" type: "InnerProduct" bottom: "x" top: "one" param { name: "w" lr_mult: 2 decay_mult: 3 }
  param { lr_mult: 0 } inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "two" type: "InnerProduct" bottom: "x" top: "two" param { name: "w" share_mode: PERMISSIVE }
  inner_product_param { num_output: 3 transpose: true bias_term: false weight_filler { type: "xavier" } } }
layer { name: "given" type: "InnerProduct" bottom: "two" top: "given"
  blobs { shape { dim: 3 dim: 3 } data: [1, 2, 3, 4, 5, 6, 7, 8, 9] } inner_product_param { num_output: 3 } }
layer { name: "kept" type: "Dropout" bottom: "one" top: "kept" phase: TEST }
layer { name: "sum" type: "Eltwise" bottom: "kept" bottom: "given" top: "sum"
  propagate_down: true propagate_down: false }
layer { name: "loss" type: "EuclideanLoss" bottom: "sum" bottom: "t" top: "loss" loss_weight: 3 }
"""

#: Each rule leaves out, or lets in, one layer of a net of level 0 and stage "on" in TRAIN.
RULES = [
    "include { phase: TEST }",
    "include { min_level: 1 }",
    "include { max_level: -1 }",
    'include { stage: "off" }',
    'include { not_stage: "on" }',
    "exclude { phase: TRAIN }",
]

PYTHON = """
import caffepy


class Given(caffepy.Layer):
    def setup(self, bottom, top): ...
    def reshape(self, bottom, top): top[0].reshape(2, 3)
    def forward(self, bottom, top): top[0].data[...] = float(self.param_str or 1)
    def backward(self, top, propagate_down, bottom): ...
"""

TRANSFORM = "scale: 0.5 mirror: true crop_size: 4"


def make_files(folder: Path) -> None:
    """Databases, images, lists and a module, small, in the folder where the nets are run."""
    images = [noise_image((3, 6, 7), i) for i in range(7)]
    _database(folder / "raw", [raw_datum(image, i) for i, image in enumerate(images)])
    files = [file_bytes(Image.fromarray(image[::-1].transpose(1, 2, 0)), "PNG") for image in images]
    gray = [file_bytes(Image.fromarray(image[0]), "PNG") for image in images]
    for name, kind in (("colour", files), ("gray", gray)):
        _database(folder / name, [caffe_pb2.Datum(data=data, label=1, encoded=True) for data in kind])
    (folder / "images").mkdir()
    for i, data in enumerate(files):
        (folder / "images" / f"{i}.png").write_bytes(data)
    (folder / "list").write_text("".join(f"{i}.png {i}\n" for i in range(7)))
    windows = "1 0.9 0 0 5 4\n2 0.6 1 0 6 5\n0 0.4 2 1 6 5\n0 0.2 3 1 6 5\n4 0.1 0 3 4 5\n"
    (folder / "windows").write_text("".join(f"# {i}\n{i}.png\n3\n6\n7\n5\n{windows}" for i in range(7)))
    write_mean(folder / "mean", noise_image((3, 6, 7), 9).astype(np.float32))
    write_mean(folder / "small_mean", noise_image((3, 4, 4), 9).astype(np.float32))
    with h5py.File(folder / "rows.h5", "w") as file:
        file["data"] = np.arange(14, dtype=np.float32).reshape(7, 2)
    (folder / "rows").write_text(f"{folder}/rows.h5\n")
    (folder / "shown_layers.py").write_text(PYTHON)


def _database(path: Path, datums: list[caffe_pb2.Datum]) -> None:
    with new_database(path, "LMDB") as database:
        for i, datum in enumerate(datums):
            database.put(b"%08d" % i, datum.SerializeToString())


def nets() -> list[Demo]:
    """All of them."""
    return [*_plain(), *_data(), *_given()]


def _plain() -> list[Demo]:
    demos = [net_demo("layers", LAYERS, use=_saved_name)]
    probe = 'layer { name: "p" type: "DummyData" top: "p" dummy_data_param { shape { dim: 2 } } %s }'
    demos += [
        net_demo(rule, f"{probe % rule} {probe.replace(chr(34) + 'p', chr(34) + 'q') % ''}", stages=["on"])
        for rule in RULES
    ]
    demos.append(net_demo("state", f'state {{ stage: "more" }} {probe % "include { stage: %s }"}' % '"more"'))
    ends = 'layer { name: "i" type: "Input" top: "i" input_param { shape { dim: 2 dim: 3 } } }'
    power = 'layer { name: "y" type: "Power" bottom: "i" top: "y" power_param { scale: 3 } %s }'
    demos += [
        net_demo("force_backward", f"force_backward: true {ends} {power % 'loss_weight: 2'}"),
        net_demo("debug_info", f"debug_info: true {ends} {power % ''}"),
        net_demo("old sizes", probe.replace("shape { dim: 2 }", "num: 3 channels: 2 height: 4 width: 5") % ""),
    ]
    demos += [
        net_demo(name, probe.replace("shape { dim: 2 }", f"shape {{ dim: 4 dim: 6 }} data_filler {{ {text} }}") % "")
        for name, text in FILLERS.items()
    ]
    return demos


def _data() -> list[Demo]:
    data = 'layer { name: "d" type: "%s" top: "d" top: "l" transform_param { %s } data_param { prefetch: 2 %s } %s }'
    database = 'source: "%s" batch_size: 3 rand_skip: 6 backend: LMDB %s'
    images = 'image_data_param { source: "list" batch_size: 3 root_folder: "images/" %s }'
    windows = 'window_data_param { source: "windows" batch_size: 6 root_folder: "images/" %s }'
    demos = []
    for more in (TRANSFORM, "crop_size: 4 mean_value: 3", 'crop_size: 4 mean_file: "mean"'):
        windowed = more.replace("scale: 0.5", "")
        demos += [
            net_demo(f"Data {more}", data % ("Data", more, database % ("raw", ""), "")),
            net_demo(f"ImageData {more}", data % ("ImageData", more, "", images % "shuffle: true rand_skip: 6")),
            net_demo(
                f"WindowData {more}",
                data % ("WindowData", windowed, "", windows % "scale: 0.5"),
            ),
        ]
    fields = (
        'fg_threshold: 0.7 bg_threshold: 0.3 fg_fraction: 0.5 context_pad: 1 crop_mode: "square" cache_images: true'
    )
    return [
        *demos,
        net_demo("force_gray", data % ("Data", "force_gray: true", database % ("colour", ""), "")),
        net_demo("force_color", data % ("Data", "force_color: true", database % ("gray", ""), "")),
        net_demo("force_encoded_color", data % ("Data", "", database % ("gray", "force_encoded_color: true"), "")),
        net_demo("sizes", data % ("ImageData", "", "", images % "new_height: 5 new_width: 4 is_color: false")),
        net_demo("windows", data % ("WindowData", "crop_size: 4", "", windows % fields)),
        net_demo(
            "cached", data % ("WindowData", "crop_size: 4", "", windows % "cache_images: true"), use=_without_files
        ),
    ]


def _given() -> list[Demo]:
    memory = """layer { name: "m" type: "MemoryData" top: "d" top: "l" transform_param { %s }
        memory_data_param { batch_size: 2 channels: %d height: %d width: %d } }"""
    rows = 'layer { name: "h" type: "HDF5Data" top: "data" %s hdf5_data_param { source: "rows" batch_size: 3 %s } }'
    out = f"""{rows % ("", "")} layer {{ name: "o" type: "HDF5Output" bottom: "data" bottom: "data"
        hdf5_output_param {{ file_name: "written.h5" }} }}"""
    python = """layer { name: "p" type: "Python" top: "y"
        python_param { module: "shown_layers" layer: "Given" param_str: "7" } }"""
    pixels = [noise_image((3, 6, 7), i) for i in range(4)]
    colour, gray = (_encoded(name) for name in ("colour", "gray"))
    return [
        net_demo("MemoryData", memory % (TRANSFORM, 3, 4, 4), use=_add(pixels)),
        net_demo("MemoryData value", memory % ("mean_value: 3", 3, 6, 7), use=_add(pixels)),
        net_demo("MemoryData file", memory % ('mean_file: "mean"', 3, 6, 7), use=_add(pixels)),
        net_demo("MemoryData gray", memory % ("force_gray: true", 1, 6, 7), use=_add(colour)),
        net_demo("MemoryData colour", memory % ("force_color: true", 3, 6, 7), use=_add(gray)),
        net_demo("HDF5Data", rows % ("", "shuffle: true")),
        net_demo("HDF5Output", out, after=_written),
        net_demo("Python", python, allow_python_layers=True),
    ]


def _encoded(kind: str) -> list[caffe_pb2.Datum]:
    images = [noise_image((3, 6, 7), i) for i in range(4)]
    shown = [Image.fromarray(image[0] if kind == "gray" else image.transpose(1, 2, 0)) for image in images]
    return [caffe_pb2.Datum(data=file_bytes(image, "PNG"), label=1, encoded=True) for image in shown]


def _add(images: list[Any]) -> Any:
    def use(net: Net) -> None:
        labels = None if isinstance(images[0], caffe_pb2.Datum) else list(range(len(images)))
        net.layers[0].add(images, labels)  # type: ignore[attr-defined]

    return use


def _saved_name(net: Net) -> str:
    net.save("saved.caffemodel")
    stored = caffe_pb2.NetParameter()
    read_binary("saved.caffemodel", stored)
    return stored.name


def _without_files(net: Net) -> None:
    """Passes while the images are not there: those in memory are enough."""
    away = Path("images").rename("away")
    try:
        for _ in range(6):
            net.forward()
    finally:
        away.rename("images")


def _written() -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in Path().glob("written*")}
    for name in found:
        Path(name).unlink()
    return found
