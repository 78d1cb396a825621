"""The files of models/: readable, consistent, and of the size that their papers and published weights have."""

import gzip
from collections import Counter
from math import ceil, prod
from pathlib import Path

import numpy as np
import pytest

from caffepy.net import Net
from caffepy.proto.read import read_net, read_solver

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "models"
SOLVERS = sorted(path.relative_to(MODELS).as_posix() for path in MODELS.glob("*/*solver*.prototxt"))
NETS = sorted({path.relative_to(MODELS).as_posix() for path in MODELS.glob("*/*.prototxt")} - set(SOLVERS))
FOLDERS = sorted({net.split("/")[0] for net in NETS})
TRAIN, TEST = 0, 1  # the numbers of the enum Phase

# Numbers of learnable values, BatchNorm's running statistics among them. The published .caffemodel files have four
# bytes for each: 243.9 MB are AlexNet's and CaffeNet's, 53.5 MB GoogLeNet's (with auxiliary classifiers), 102.5 MB
# ResNet-50's, 553.4 MB VGG-16's.
PARAMETERS = {
    "alexnet/deploy.prototxt": 60_965_224,
    "alexnet/train_val.prototxt": 60_965_224,
    "caffenet/deploy.prototxt": 60_965_224,
    "caffenet/train_val.prototxt": 60_965_224,
    "googlenet/deploy.prototxt": 6_998_552,
    "googlenet/train_val.prototxt": 13_378_280,
    "lenet/deploy.prototxt": 431_080,
    "lenet/train_val.prototxt": 431_080,
    "lenet/train_val_mnist.prototxt": 431_080,
    "resnet50/deploy.prototxt": 25_610_269,
    "resnet50/train_val.prototxt": 25_610_269,
    "vgg16/deploy.prototxt": 138_357_544,
    "vgg16/train_val.prototxt": 138_357_544,
}
IMAGES = {"lenet/solver.prototxt": 360, "lenet/solver_mnist.prototxt": 10_000}  # tested by a solver; the others: 50,000
CHANNELS = {"lenet": 1}  # of the JPEGs in the databases; the others: 3
UNCROPPED = 28


def layers_of(net, phase):
    """The layers of one phase; the files in models/ select by `include { phase }` alone."""
    assert not any(layer.exclude for layer in net.layer)
    return [layer for layer in net.layer if not layer.include or any(rule.phase == phase for rule in layer.include)]


def first(values, default):
    return values[0] if values else default


def walk(path, phase):
    """Return {blob: shape} and {layer: [shapes of its parameters]} by the rules of the layers, written once more."""
    net, _ = read_net(MODELS / path)
    blobs, params = {}, {}
    for layer in layers_of(net, phase):
        shape = blobs[layer.bottom[0]] if layer.bottom else None
        match layer.type:
            case "Data":
                crop = layer.transform_param.crop_size or UNCROPPED
                batch = layer.data_param.batch_size
                shapes = [(batch, CHANNELS.get(path.split("/")[0], 3), crop, crop), (batch,)]
            case "Input":
                shapes = [tuple(layer.input_param.shape[0].dim)]
            case "Convolution":
                conv = layer.convolution_param
                k, stride, pad = first(conv.kernel_size, None), first(conv.stride, 1), first(conv.pad, 0)
                params[layer.name] = [(conv.num_output, shape[1] // conv.group, k, k)] + [
                    (conv.num_output,)
                ] * conv.bias_term
                shapes = [(shape[0], conv.num_output, *((size + 2 * pad - k) // stride + 1 for size in shape[2:]))]
            case "Pooling":
                pool = layer.pooling_param
                sizes = [ceil((size + 2 * pool.pad - pool.kernel_size) / pool.stride) + 1 for size in shape[2:]]
                shapes = [(*shape[:2], *sizes)]
            case "InnerProduct":
                n = layer.inner_product_param.num_output
                params[layer.name] = [(n, prod(shape[1:])), (n,)]
                shapes = [(shape[0], n)]
            case "BatchNorm":
                params[layer.name], shapes = [(shape[1],), (shape[1],), (1,)], [shape]
            case "Scale":
                params[layer.name], shapes = [(shape[1],)] * (1 + layer.scale_param.bias_term), [shape]
            case "Concat":
                shapes = [(shape[0], sum(blobs[bottom][1] for bottom in layer.bottom), *shape[2:])]
                assert len({blobs[bottom][2:] for bottom in layer.bottom}) == 1, layer.name
            case "Eltwise":
                assert len({blobs[bottom] for bottom in layer.bottom}) == 1, layer.name
                shapes = [shape]
            case "ReLU" | "LRN" | "Dropout" | "Softmax":
                shapes = [shape]
            case "SoftmaxWithLoss" | "Accuracy":
                shapes = [()]
            case other:
                pytest.fail(f"{path}: layer {layer.name!r}: type {other} is new in models/; give walk() its shape rule")
        blobs.update(zip(layer.top, shapes, strict=True))
    return blobs, params


def layer_named(net, name):
    return next(layer for layer in net.layer if layer.name == name)


def test_every_folder_has_its_files():
    assert FOLDERS == ["alexnet", "caffenet", "googlenet", "lenet", "resnet50", "vgg16"]
    for folder in FOLDERS:
        for name in ("train_val.prototxt", "solver.prototxt", "deploy.prototxt", "readme.md"):
            assert (MODELS / folder / name).is_file(), f"{folder}/{name}"


@pytest.mark.parametrize("phase", [TRAIN, TEST], ids=["TRAIN", "TEST"])
@pytest.mark.parametrize("path", NETS)
def test_layer_names_are_unique_in_a_phase(path, phase):
    layers = layers_of(read_net(MODELS / path)[0], phase)
    names = Counter(layer.name for layer in layers)
    assert len(layers) > 5
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("path", NETS)
def test_number_of_parameters(path):
    for phase in (TRAIN, TEST):
        _, params = walk(path, phase)
        assert sum(prod(shape) for shapes in params.values() for shape in shapes) == PARAMETERS[path]


@pytest.mark.parametrize("path", [net for net in NETS if "train_val" in net])
def test_deploy_takes_the_weights_that_train_val_makes(path):
    deploy = path.split("/")[0] + "/deploy.prototxt"
    blobs, wanted = walk(deploy, TEST)
    trained = walk(path, TRAIN)[1]
    assert {name: trained.get(name) for name in wanted} == wanted
    extra = {name for name in trained if name not in wanted}
    assert all(name.startswith(("loss1/", "loss2/")) for name in extra), extra  # GoogLeNet's auxiliary classifiers
    classes = 10 if deploy.startswith("lenet") else 1000
    assert blobs["prob"] == (blobs["data"][0], classes)


def for_prediction(layer):
    """A copy without what only training reads: learning rates, fillers, and BatchNorm's wish for stored statistics."""
    copy = type(layer)()
    copy.CopyFrom(layer)
    del copy.param[:]
    copy.ClearField("batch_norm_param")
    for param in (copy.convolution_param, copy.inner_product_param):
        param.ClearField("weight_filler")
        param.ClearField("bias_filler")
    return copy


@pytest.mark.parametrize("path", [net for net in NETS if "train_val" in net])
def test_deploy_computes_what_train_val_computes(path):
    """Same layers, wiring and settings, but for data, losses, accuracies and GoogLeNet's auxiliary classifiers."""
    trained, deploy = (read_net(MODELS / file)[0] for file in (path, path.split("/")[0] + "/deploy.prototxt"))
    kept = [layer for layer in trained.layer if layer.type not in ("Data", "SoftmaxWithLoss", "Accuracy")]
    kept = [layer for layer in kept if not layer.name.startswith(("loss1/", "loss2/"))]
    assert [for_prediction(layer) for layer in deploy.layer[1:-1]] == [for_prediction(layer) for layer in kept]
    assert (deploy.layer[0].type, deploy.layer[-1].type) == ("Input", "Softmax")


@pytest.mark.parametrize(
    ("path", "blob", "shape"),
    [
        ("alexnet/deploy.prototxt", "pool5", (10, 256, 6, 6)),
        ("caffenet/deploy.prototxt", "norm2", (10, 256, 13, 13)),
        ("googlenet/deploy.prototxt", "inception_5b/output", (10, 1024, 7, 7)),
        ("googlenet/train_val.prototxt", "loss1/conv", (50, 128, 4, 4)),
        ("lenet/deploy.prototxt", "pool2", (64, 50, 4, 4)),
        ("resnet50/deploy.prototxt", "res5c", (1, 2048, 7, 7)),
        ("resnet50/deploy.prototxt", "pool5", (1, 2048, 1, 1)),
        ("vgg16/deploy.prototxt", "conv3_3", (10, 256, 56, 56)),
        ("vgg16/deploy.prototxt", "pool5", (10, 512, 7, 7)),
    ],
)
def test_shapes_of_the_papers(path, blob, shape):
    assert walk(path, TEST)[0][blob] == shape


@pytest.mark.parametrize("path", NETS)
def test_net_builds_with_these_parameters(path):
    """Net agrees with walk(), blob by blob; Input stands in for data layers, as their databases are not here."""
    message, _ = read_net(MODELS / path)
    blobs, params = walk(path, TEST)
    kept = [layer for layer in layers_of(message, TEST) if layer.type != "Data"]
    sources = [layer for layer in layers_of(message, TEST) if layer.type == "Data"]
    del message.layer[:]
    for source in sources:
        for top in source.top:
            layer = message.layer.add(name=f"input {top}", type="Input", top=[top])
            layer.input_param.shape.add(dim=(1, *blobs[top][1:]))
    for layer in kept:
        if layer.type == "Input":
            layer.input_param.shape[0].dim[0] = 1
    message.layer.extend(kept)
    net = Net(message, TEST, fill_params=False)
    assert {name: [blob.shape for blob in net.params[name]] for name in net.params} == params
    for name, shape in blobs.items():
        assert net.blobs[name].shape == (1, *shape[1:])[: len(shape)], name


@pytest.mark.parametrize("path", SOLVERS)
def test_solver_tests_every_image_once(path):
    solver, _ = read_solver(MODELS / path)
    net, _ = read_net(ROOT / solver.net)
    data = layers_of(net, TEST)[0]
    assert (ROOT / solver.net).parent == (MODELS / path).parent
    assert solver.test_iter[0] * data.data_param.batch_size == IMAGES.get(path, 50_000)
    assert (ROOT / solver.snapshot_prefix).parent == (MODELS / path).parent
    assert solver.max_iter >= solver.test_interval


@pytest.mark.parametrize("path", [net for net in NETS if "train_val" in net])
def test_both_phases_see_the_same_kind_of_data(path):
    net, _ = read_net(MODELS / path)
    train, test = (layers_of(net, phase)[0] for phase in (TRAIN, TEST))
    assert (train.type, test.type) == ("Data", "Data")
    assert train.data_param.source != test.data_param.source
    assert train.transform_param.mirror == (not path.startswith("lenet"))
    assert not test.transform_param.mirror
    for field in ("crop_size", "mean_file", "mean_value", "scale"):
        assert getattr(train.transform_param, field) == getattr(test.transform_param, field)


@pytest.mark.parametrize(("folder", "one"), [("alexnet", 0.1), ("caffenet", 1)])
def test_alexnet_and_caffenet_start_as_published(folder, one):
    net, _ = read_net(MODELS / folder / "train_val.prototxt")
    start = {}
    for layer in net.layer:
        p = layer.convolution_param if layer.type == "Convolution" else layer.inner_product_param
        if layer.type in ("Convolution", "InnerProduct"):
            assert (p.weight_filler.type, p.bias_filler.type) == ("gaussian", "constant")
            assert [(spec.lr_mult, spec.decay_mult) for spec in layer.param] == [(1, 1), (2, 0)]
            start[layer.name] = (round(p.weight_filler.std, 6), round(p.bias_filler.value, 6))
    ones = {"conv2": 0.01, "conv4": 0.01, "conv5": 0.01, "fc6": 0.005, "fc7": 0.005}
    zeros = {"conv1": 0.01, "conv3": 0.01, "fc8": 0.01}
    assert start == {name: (std, one) for name, std in ones.items()} | {name: (std, 0) for name, std in zeros.items()}
    groups = {layer.name: layer.convolution_param.group for layer in net.layer if layer.type == "Convolution"}
    assert groups == {"conv1": 1, "conv2": 2, "conv3": 1, "conv4": 2, "conv5": 2}


def test_alexnet_normalises_before_it_pools_and_caffenet_after():
    chains = {}
    for folder in ("alexnet", "caffenet"):
        net, _ = read_net(MODELS / folder / "train_val.prototxt")
        chains[folder] = [
            layer_named(net, name).bottom[0] for name in ("norm1", "pool1", "conv2", "norm2", "pool2", "conv3")
        ]
    assert chains["alexnet"] == ["conv1", "norm1", "pool1", "conv2", "norm2", "pool2"]
    assert chains["caffenet"] == ["pool1", "conv1", "norm1", "pool2", "conv2", "norm2"]


def test_googlenet_has_three_losses():
    net, _ = read_net(MODELS / "googlenet/train_val.prototxt")
    losses = [
        (layer.name, layer.top[0], round(layer.loss_weight[0], 6))
        for layer in net.layer
        if layer.type == "SoftmaxWithLoss"
    ]
    assert losses == [
        ("loss1/loss", "loss1/loss1", 0.3),
        ("loss2/loss", "loss2/loss2", 0.3),
        ("loss3/loss3", "loss3/loss3", 1),
    ]


def test_resnet50_normalises_every_convolution():
    for path, frozen in (("train_val", False), ("deploy", True)):
        layers = read_net(MODELS / f"resnet50/{path}.prototxt")[0].layer
        convolutions = 0
        for conv, norm, scale in zip(layers, layers[1:], layers[2:], strict=False):
            if conv.type != "Convolution":
                continue
            convolutions += 1
            assert (norm.type, scale.type) == ("BatchNorm", "Scale")
            assert {*norm.bottom, *norm.top, *scale.bottom, *scale.top} == {conv.top[0]}
            assert norm.batch_norm_param.HasField("use_global_stats") == frozen
        assert convolutions == 53


def read_idx(name):
    """An IDX file of bytes as an array."""
    raw = gzip.decompress((MODELS / "lenet/digits" / name).read_bytes())
    assert raw[:3] == b"\0\0\x08"  # two zeros, then "unsigned byte"
    shape = tuple(np.frombuffer(raw, ">i4", raw[3], offset=4).tolist())
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def test_digits_are_the_uci_digits_split_in_two():
    images, labels = {}, {}
    for part, count in (("train", 1437), ("test", 360)):
        images[part] = read_idx(f"{part}-images-idx3-ubyte.gz")
        labels[part] = read_idx(f"{part}-labels-idx1-ubyte.gz")
        assert images[part].shape == (count, 8, 8)
        assert labels[part].shape == (count,)
    counts = {part: np.bincount(labels[part], minlength=10) for part in labels}
    assert (counts["train"] + counts["test"]).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert all(abs(test - (test + train) / 5) < 1 for test, train in zip(counts["test"], counts["train"], strict=True))
    pixels = {part: {image.tobytes() for image in images[part]} for part in images}
    assert len(pixels["train"]) == 1437
    assert len(pixels["test"]) == 360
    assert not pixels["train"] & pixels["test"]
    levels = np.unique(np.concatenate([images["train"], images["test"]]))
    assert levels.tolist() == [round(level * 255 / 16) for level in range(17)]


def test_digits_are_white_on_black_and_mixed():
    """A frame of black, and every batch of 64 in file order shows most of the ten digits: no shuffling is needed."""
    images, labels = read_idx("train-images-idx3-ubyte.gz"), read_idx("train-labels-idx1-ubyte.gz")
    assert images[:, :, [0, 7]].mean() < 16 < 96 < images[:, :, 2:6].mean()
    batches = labels[: len(labels) // 64 * 64].reshape(-1, 64)
    assert min(len(set(batch.tolist())) for batch in batches) >= 9
