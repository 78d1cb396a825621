"""Images classified as a net's TEST phase would take them: against the net itself, and against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.data.convert import ConversionSettings, convert_images
from caffepy.data.image_list import Entry
from caffepy.data.mean import write_mean
from caffepy.data.resize import resize_shorter_side
from caffepy.errors import DataError, NetError
from caffepy.evaluation.as_tested import classify_as_tested
from caffepy.evaluation.preprocessing import preprocessing_of
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net
from tests.evaluation.nets import MEANS, PIXELS, image_data, save_images

LABEL = 'layer { name: "quiet" type: "Silence" bottom: "label" }\n'


def classify(tmp_path, text, names, device, **arguments):
    (tmp_path / "net.prototxt").write_text(text)
    return classify_as_tested(names, tmp_path / "net.prototxt", [], backend=device, **arguments)


def write_list(tmp_path, names):
    (tmp_path / "list.txt").write_text("".join(f"{name} 0\n" for name in names))
    return tmp_path / "list.txt"


@pytest.mark.parametrize("transform", ["", "crop_size: 6 mean_value: 1 mean_value: 20 mean_value: 40 scale: 0.5"])
def test_it_is_what_the_net_itself_is_given(tmp_path, device, transform):
    names, _ = save_images(tmp_path / "a", [(12, 10), (9, 14), (8, 8), (20, 9), (11, 11)])
    text = image_data(write_list(tmp_path, names), transform=transform, new=(9, 8), batch=5) + LABEL + PIXELS
    found = classify(tmp_path, text, names, device)
    with Net(parse_net(text), caffe_pb2.TEST, device) as net:
        net.forward()
        np.testing.assert_array_equal(found.scores, device.to_host(net.blobs["data"].data).reshape(5, -1))
    assert found.files == names
    assert found.kind == "score"


def test_a_database_and_its_mean_image(tmp_path, device):
    names, _ = save_images(tmp_path / "a", [(12, 10), (9, 14), (8, 8)])
    database = tmp_path / "db"
    entries = [Entry(name, 0) for name in names]
    convert_images(entries, "", database, ConversionSettings(resize_height=9, resize_width=11, encode_type="png"))
    write_mean(tmp_path / "mean.binaryproto", np.random.default_rng(1).random((3, 9, 11), np.float32) * 200)
    data = (
        'layer { name: "d" type: "Data" top: "data" top: "label" '
        f'transform_param {{ crop_size: 5 scale: 0.25 mean_file: "{tmp_path}/mean.binaryproto" }} '
        f'data_param {{ source: "{database}" batch_size: 3 backend: LMDB }} }}\n'
    )
    found = classify(tmp_path, data + LABEL + PIXELS, names, device)
    with Net(parse_net(data + LABEL + PIXELS), caffe_pb2.TEST, device) as net:
        net.forward()
        np.testing.assert_array_equal(found.scores, device.to_host(net.blobs["data"].data).reshape(3, -1))
    assert found.about["resize"] == "9 x 11 (the size of the mean image)"
    assert found.about["mean"] == f"image {tmp_path}/mean.binaryproto"
    # Without the mean, the records say their size; without the database, the mean does.
    for gone in (f'mean_file: "{tmp_path}/mean.binaryproto"', f'source: "{database}"'):
        text = data.replace(gone, 'source: "gone"' if "source" in gone else "") + LABEL + PIXELS
        about = classify(tmp_path, text, names, device).about
        assert about["resize"].startswith("9 x 11 (")
        assert ("records" in about["resize"]) == gone.startswith("mean")


def test_ten_crops_subtract_the_mean_at_their_own_place(tmp_path, device):
    names, pixels = save_images(tmp_path / "a", [(9, 11)] * 3)
    mean = np.random.default_rng(1).random((3, 9, 11), np.float32) * 200
    write_mean(tmp_path / "m.binaryproto", mean)
    transform = f'crop_size: 4 scale: 0.25 mean_file: "{tmp_path}/m.binaryproto"'
    text = image_data("none", transform=transform, new=(9, 11)) + LABEL + PIXELS
    found = classify(tmp_path, text, names, device, crops=10)
    expected = []
    for image in pixels:
        values = (image[:, :, ::-1].transpose(2, 0, 1).astype(np.float64) - mean) * 0.25
        places = [(0, 0), (0, 7), (5, 0), (5, 7), (2, 3)]
        crops = [values[:, y : y + 4, x : x + 4] for y, x in places]
        expected.append(np.mean([*crops, *(crop[:, :, ::-1] for crop in crops)], axis=0).ravel())
    np.testing.assert_allclose(found.scores, expected, rtol=1e-4, atol=1e-4)
    assert found.about["crop"] == "4 x 4, ten: corners and centre, and these mirrored"
    assert found.about["average"] == "of the ten crops' outputs"


def test_ten_probabilities_are_averaged_not_scores(tmp_path, device):
    names, pixels = save_images(tmp_path / "a", [(4, 4)])
    loss = 'layer { name: "l" type: "SoftmaxWithLoss" bottom: "flat" bottom: "label" top: "l" }\n'
    text = image_data("none", transform="crop_size: 3 scale: 0.05", new=(4, 4)) + MEANS + loss
    found = classify(tmp_path, text, names, device, crops=10)
    image = pixels[0][:, :, ::-1].astype(np.float64) * 0.05
    # The centre of 4 less 3 is rounded down.
    crops = [image[y : y + 3, x : x + 3].mean((0, 1)) for y, x in [(0, 0), (0, 1), (1, 0), (1, 1), (0, 0)]]
    powers = [np.exp(crop - crop.max()) for crop in crops]
    np.testing.assert_allclose(found.scores[0], np.mean([p / p.sum() for p in powers], axis=0), rtol=1e-4)
    assert found.kind == "probability"
    assert found.about["average"] == "of the ten crops' probabilities, after Softmax"


def test_sizes_that_differ_go_through_one_after_another(tmp_path, device):
    names, pixels = save_images(tmp_path / "a", [(5, 6), (5, 6), (7, 4), (5, 6)])
    found = classify(tmp_path, image_data("none") + LABEL + MEANS, names, device)
    expected = [image.mean((0, 1))[::-1] for image in pixels]
    np.testing.assert_allclose(found.scores, expected, rtol=1e-5)
    assert found.about["resize"].startswith("none")


def test_the_shorter_side(tmp_path, device):
    names, pixels = save_images(tmp_path / "a", [(10, 20), (15, 9)])
    text = 'layer { name: "d" type: "Data" top: "data" transform_param { crop_size: 4 } data_param { source: "x" } }\n'
    found = classify(tmp_path, text + PIXELS, names, device, size=(6, 0))
    for image, row in zip(pixels, found.scores, strict=True):
        small = resize_shorter_side(image[:, :, ::-1].transpose(2, 0, 1), 6)
        top, left = (small.shape[1] - 4) // 2, (small.shape[2] - 4) // 2
        np.testing.assert_array_equal(row, small[:, top : top + 4, left : left + 4].ravel())
    assert found.about["resize"] == "shorter side to 6 (as asked for)"
    with pytest.raises(DataError, match=r"layer 'd': the size of its images is not known.*--images-dim 256,256"):
        classify(tmp_path, text + PIXELS, names, device)


def test_records_of_several_sizes(tmp_path, device):
    def about(sizes):
        names, _ = save_images(tmp_path / "a", sizes)
        convert_images(
            [Entry(n, 0) for n in names], "", tmp_path / f"db{len(sizes)}", ConversionSettings(encode_type="png")
        )
        source = f'source: "{tmp_path}/db{len(sizes)}" batch_size: 1 backend: LMDB'
        layer = f"transform_param {{ crop_size: 4 }} data_param {{ {source} }}"
        text = f'layer {{ name: "d" type: "Data" top: "data" {layer} }}\n'
        return classify(tmp_path, text + MEANS, names, device).about["resize"]

    assert about([(6, 9), (8, 6)]) == "shorter side to 6 (as the records of the database)"
    assert about([(6, 9), (8, 7), (9, 9)]) == "none (the records of the database are of several sizes)"


@pytest.mark.parametrize("color", ["true", "false"])
def test_colour_and_gray(tmp_path, device, color):
    names, pixels = save_images(tmp_path / "a", [(5, 6)], mode="L")
    found = classify(tmp_path, image_data("none", color=color) + LABEL + MEANS, names, device)
    np.testing.assert_allclose(found.scores, [[pixels[0].mean()] * (3 if color == "true" else 1)], rtol=1e-5)
    assert found.about["channels"] == ("BGR, 0 to 255" if color == "true" else "gray, 0 to 255")


def channels(text, **arguments):
    return preprocessing_of(*parse_net(text), size=(5, 5), **arguments).channels


def test_channels_of_a_database_that_is_not_there():
    text = 'layer {{ name: "d" type: "Data" top: "data" transform_param {{ {} }} data_param {{ source: "x" }} }}'
    assert channels(text.format("")) == 3
    assert channels(text.format(""), gray=True) == 1
    assert channels(text.format("force_gray: true")) == 1
    assert channels(text.format("force_color: true"), gray=True) == 3
    assert channels(text.format("").replace("data_param { ", "data_param { force_encoded_color: true "), gray=True) == 3
    assert channels(text.format("mean_value: 1 mean_value: 2 mean_value: 3"), gray=True) == 3
    with pytest.raises(DataError, match="images of 2 channels; files are read as"):
        channels(text.format("mean_value: 1 mean_value: 2"))


def test_files_that_cannot_be_read_are_left_out(tmp_path, device):
    names, pixels = save_images(tmp_path / "a", [(5, 6)] * 4)
    for i in (0, 2):
        (tmp_path / "a" / f"0{i}.png").write_bytes(b"none")
    calls = []
    found = classify(tmp_path, image_data("none") + LABEL + MEANS, names, device, progress=lambda *at: calls.append(at))
    assert found.files == [names[1], names[3]]
    assert [file for file, _ in found.bad] == [names[0], names[2]]
    assert "cannot be decoded" in found.bad[1][1]
    np.testing.assert_allclose(found.scores, [pixels[i].mean((0, 1))[::-1] for i in (1, 3)], rtol=1e-5)
    assert calls[-1] == (4, 4)
    with pytest.raises(DataError, match=r"none of 1 images can be read; the first: image .*00\.png"):
        classify(tmp_path, image_data("none") + MEANS, names[:1], device)
    with pytest.raises(DataError, match="there are no images to classify"):
        classify(tmp_path, image_data("none") + MEANS, [], device)


def test_a_net_for_prediction_beside_it(tmp_path, device):
    names, pixels = save_images(tmp_path / "a", [(5, 6)])
    source = image_data("none", transform="scale: 2", new=(5, 6)) + LABEL + MEANS
    model = tmp_path / "deploy.prototxt"
    shape = "input_param { shape { dim: 1 dim: 3 dim: 5 dim: %d } }"
    model.write_text('layer { name: "in" type: "Input" top: "data" ' + shape % 6 + " }" + MEANS)
    found = classify(tmp_path, source, names, device, model=str(model))
    np.testing.assert_allclose(found.scores, [2 * pixels[0].mean((0, 1))[::-1]], rtol=1e-5)
    model.write_text('layer { name: "in" type: "Input" top: "data" ' + shape % 7 + " }" + MEANS)
    with pytest.raises(
        NetError, match=r"input 'data' of \(1, 3, 5, 7\), but the data layer's images become \(N, 3, 5, 6\)"
    ):
        classify(tmp_path, source, names, device, model=str(model))
    model.write_text('layer { name: "in" type: "Input" top: "a" top: "data" ' + shape % 6 + " }" + MEANS)
    with pytest.raises(NetError, match=r"has 2 inputs \(a, data\)"):
        classify(tmp_path, source, names, device, model=str(model))


def test_errors(tmp_path, device):
    names, _ = save_images(tmp_path / "a", [(5, 6)])
    with pytest.raises(NetError, match="expected one data layer of images in the TEST phase"):
        classify(tmp_path, MEANS.replace('bottom: "data"', 'bottom: "x"'), names, device)
    both = image_data("none") + image_data("none").replace("images", "more").replace('"data"', '"b"')
    with pytest.raises(NetError, match="found 'images', 'more'"):
        classify(tmp_path, both, names, device)
    with pytest.raises(DataError, match="ten crops of an image need a crop_size"):
        classify(tmp_path, image_data("none") + LABEL + MEANS, names, device, crops=10)
    with pytest.raises(DataError, match=r"too small for crop_size 6.*Check failed: datum_height >= crop_size"):
        classify(tmp_path, image_data("none", transform="crop_size: 6") + LABEL + MEANS, names, device)
    with pytest.raises(DataError, match="new_height 5 and new_width 0: Current implementation requires"):
        classify(tmp_path, image_data("none", new=(5, 0)) + LABEL + MEANS, names, device)
    with pytest.raises(DataError, match="exceed the 67,108,864 pixels allowed"):
        classify(tmp_path, image_data("none", new=(9999, 9999)) + LABEL + MEANS, names, device)
