"""docs/from_cv2_dnn.md: its code runs, gives what OpenCV's beside it gives, and what it says of OpenCV is so."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import caffepy as caffe
from caffepy.data.mnist import read_idx
from caffepy.layer import layer_types
from caffepy.proto.forks import FORK_LAYERS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "from_cv2_dnn.md").read_text(encoding="utf-8")
NOT_INSTALLED = "OpenCV is not installed: pip install '.[bench]'"

DATA = 'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 2 dim: 16 dim: 6 dim: 6 } } }\n'


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Run all blocks of a language, in order, in one namespace, which is given back."""
    monkeypatch.chdir(ROOT)
    file = tmp_path / "digit.png"
    Image.fromarray(read_idx(ROOT / "models/lenet/digits/test-images-idx3-ubyte.gz", 3)[0]).save(file)

    def run(language):
        blocks = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
        assert len(blocks) >= 7
        namespace = {"np": np}
        for block in blocks:
            exec(compile(block.replace("digit.png", file.as_posix()), "docs/from_cv2_dnn.md", "exec"), namespace)
        return namespace

    return run


@pytest.fixture
def pair(tmp_path):
    """A net of this layer in OpenCV and in caffepy, with the same weights."""
    cv2 = pytest.importorskip("cv2", reason=NOT_INSTALLED)

    def make(text):
        (tmp_path / "net.prototxt").write_text(DATA + text)
        ours = caffe.Net(tmp_path / "net.prototxt", caffe.TEST, seed=1)
        ours.save(tmp_path / "net.caffemodel")
        theirs = cv2.dnn.readNetFromCaffe(str(tmp_path / "net.prototxt"), str(tmp_path / "net.caffemodel"))
        return theirs, ours

    return make


def test_its_code_runs(script):
    seen = script("python")
    assert (seen["prob"].shape, seen["prob"][0].argmax()) == ((1, 10), 0)
    assert (seen["stretched"].shape, seen["covered"].shape) == ((1, 3, 24, 24), (1, 3, 24, 24))
    assert seen["several"].shape == (2, 3, 40, 32)
    assert (seen["outputs"], seen["kind"], seen["number"]) == (["prob"], "Convolution", 4)
    assert seen["kept"] == [0, 3]


def test_it_gives_what_opencv_gives(script):
    pytest.importorskip("cv2", reason=NOT_INSTALLED)
    theirs, ours = script("py"), script("python")
    names = (set(theirs) & set(ours)) - {"np", "net", "images", "__builtins__"}
    exact = {"image", "blob", "picture", "stretched", "covered", "several", "batch", "first_image", "weights", "bias"}
    compared = {"prob", "pair", "middle", "last", "before", "after", "outputs", "layers", "kind", "number", "kept"}
    assert names == exact | compared | {"boxes", "scores"}
    for name in sorted(names):
        if not isinstance(ours[name], np.ndarray):
            assert ours[name] == theirs[name], name
        elif name in exact:
            np.testing.assert_array_equal(ours[name], theirs[name], name)
        else:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_boxes_equal_opencv(script):
    cv2 = pytest.importorskip("cv2", reason=NOT_INSTALLED)
    nms_boxes = script("python")["nms_boxes"]
    draw = np.random.default_rng(5)
    for _ in range(50):
        boxes = np.concatenate([draw.integers(0, 60, (30, 2)), draw.integers(5, 50, (30, 2))], 1).tolist()
        scores = draw.random(30).astype(np.float32).tolist()
        assert nms_boxes(boxes, scores, 0.2, 0.5) == list(cv2.dnn.NMSBoxes(boxes, scores, 0.2, 0.5))


def outputs(nets):
    theirs, ours = nets
    values = np.random.default_rng(3).normal(size=(2, 16, 6, 6)).astype(np.float32)
    theirs.setInput(values)
    return theirs.forward(), ours.forward(data=values)["y"]


@pytest.mark.parametrize(
    ("settings", "equal"),
    [
        ("local_size: 5 alpha: 0.0001 beta: 0.75", True),
        ("local_size: 5 alpha: 0.5 k: 1", True),
        ("local_size: 5 alpha: 0.5 k: 2", False),
        ("local_size: 5", False),
    ],
)
def test_what_it_says_of_lrn(pair, settings, equal):
    theirs, ours = outputs(
        pair(f'layer {{ name: "y" type: "LRN" bottom: "data" top: "y" lrn_param {{ {settings} }} }}')
    )
    assert np.allclose(theirs, ours, rtol=1e-5, atol=1e-5) == equal
    if settings == "local_size: 5":
        spelled = outputs(pair('layer { name: "y" type: "LRN" bottom: "data" top: "y" lrn_param { alpha: 0.0001 } }'))[
            1
        ]
        np.testing.assert_allclose(theirs, spelled, rtol=1e-5, atol=1e-5)


def test_what_it_says_of_phases():
    cv2 = pytest.importorskip("cv2", reason=NOT_INSTALLED)
    with pytest.raises(cv2.error, match="Duplicate blobs produced by multiple sources"):
        cv2.dnn.readNetFromCaffe(str(ROOT / "models/lenet/train_val.prototxt"))


def named(begin, end):
    """The layer types in a sentence of the page."""
    sentence = " ".join(PAGE.split()).partition(begin)[2].partition(end)[0]
    return set(re.findall(r"\b[A-Z]\w*[a-z]\w*\b|\bRNN\b|\bSPP\b", sentence))


#: What the types need beside one bottom and no settings.
NEEDS = {
    "BatchReindex": 'bottom: "index"',
    "Bias": "bias_param { filler { value: 1 } }",
    "Embed": 'embed_param { num_output: 2 input_dim: 5 weight_filler { type: "xavier" } }',
    "Filter": 'bottom: "index"',
    "Im2col": "convolution_param { kernel_size: 3 }",
    "Python": 'python_param { module: "none" layer: "None" }',
    "RNN": "recurrent_param { num_output: 2 }",
    "SPP": "spp_param { pyramid_height: 2 }",
    "Accuracy": 'bottom: "index"',
}


@pytest.mark.parametrize("kind", sorted(named("at the first `forward`):", "; Accuracy") | {"Accuracy", "HingeLoss"}))
def test_layers_that_opencv_lacks(tmp_path, kind):
    assert kind in layer_types()
    cv2 = pytest.importorskip("cv2", reason=NOT_INSTALLED)
    file = tmp_path / "net.prototxt"
    index = 'layer { name: "index" type: "Input" top: "index" input_param { shape { dim: 2 } } }\n'
    bottom = "" if kind == "Parameter" else 'bottom: "data"'
    file.write_text(f'{DATA}{index}layer {{ name: "y" type: "{kind}" {bottom} top: "y" {NEEDS.get(kind, "")} }}')
    net = cv2.dnn.readNetFromCaffe(str(file))
    net.setInput(np.ones((2, 16, 6, 6), np.float32), "data")
    net.setInput(np.ones((2, 1), np.float32), "index")
    with pytest.raises(cv2.error, match=f'create layer "y" of type "{kind}"'):
        net.forward("y")


def test_layers_of_forks():
    """Each that the page names is refused, by the name of a fork where the page names one."""
    kinds = named("layers of the forks of Caffe.", "caffepy refuses")
    kinds &= set(re.findall(r"\w+", PAGE)) - {"SSD", "Faster", "CNN", "FCN", "ShuffleNet", "YOLO", "DeepLab", "FlowNet"}
    assert len(kinds) == 15
    assert not kinds & set(layer_types())
    assert kinds - set(FORK_LAYERS) == {"ReLU6", "Mish", "Axpy", "Proposal"}
    for kind in kinds:
        with pytest.raises(caffe.CaffepyError, match=r"fork of Caffe|Unknown layer type"):
            caffe.Net(
                caffe.proto.caffe_pb2.NetParameter(layer=[{"name": "y", "type": kind, "bottom": [], "top": ["y"]}]),
                caffe.TEST,
            )
