"""Images classified as Caffe's classify.py does: the flags against Classifier, whose tests have the arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

import caffepy as caffe
from caffepy.errors import DataError
from caffepy.evaluation.by_flags import Flags, classify_by_flags
from tests.evaluation.nets import MEANS, PIXELS, save_images

INPUT = 'layer {{ name: "in" type: "Input" top: "data" input_param {{ shape {{ dim: 3 dim: {} dim: 8 dim: 8 }} }} }}\n'


@pytest.fixture
def model(tmp_path):
    (tmp_path / "deploy.prototxt").write_text(INPUT.format(3) + PIXELS)
    return str(tmp_path / "deploy.prototxt")


@pytest.mark.parametrize("oversample", [True, False])
def test_all_flags_reach_the_classifier(tmp_path, model, device, oversample):
    names, _ = save_images(tmp_path / "a", [(12, 10), (9, 14), (8, 8), (20, 9)])
    mean = np.array([10.0, 20, 40])
    np.save(tmp_path / "mean.npy", mean)
    flags = Flags(str(tmp_path / "mean.npy"), 0.5, 200.0, (1, 2, 0), (11, 12))
    found = classify_by_flags(names, model, [], flags, backend=device, oversample=oversample)
    net = caffe.Classifier(model, None, (11, 12), mean, 0.5, 200.0, (1, 2, 0), backend=device)
    expected = net.predict([caffe.io.load_image(name) for name in names], oversample)
    np.testing.assert_allclose(found.scores, expected, rtol=1e-6)
    assert found.files == names
    assert found.about == {
        "from": "options, as Caffe's python/classify.py",
        "channels": "GBR, 0 to 200",
        "mean": str(tmp_path / "mean.npy"),
        "scale": "0.5",
        "resize": "11 x 12",
        "crop": "8 x 8, ten: corners and centre, and these mirrored" if oversample else "8 x 8, the centre",
        **({"average": "of the ten crops' outputs"} if oversample else {}),
    }


def test_what_is_not_said_is_what_caffe_takes(tmp_path, model, device):
    names, pixels = save_images(tmp_path / "a", [(8, 8)] * 12)
    found = classify_by_flags(names, model, [], Flags(), backend=device, oversample=False)
    expected = [image[:, :, ::-1].transpose(2, 0, 1).ravel() for image in pixels]
    np.testing.assert_allclose(found.scores, expected, atol=1e-3)
    assert Flags().dims((1, 3, 227, 224)) == (256, 256)
    assert Flags().dims((1, 3, 299, 299)) == (299, 299)
    assert Flags().dims((1, 3, 28, 224)) == (28, 224)


def test_a_gray_net(tmp_path, model, device):
    names, pixels = save_images(tmp_path / "a", [(8, 8)], mode="L")
    (tmp_path / "deploy.prototxt").write_text(INPUT.format(1) + MEANS)
    found = classify_by_flags(names, model, [], Flags(), backend=device, oversample=False)
    np.testing.assert_allclose(found.scores, [[pixels[0].mean()]], rtol=1e-5)
    assert found.about["channels"] == "gray, 0 to 255"


def test_arrays(tmp_path, model, device):
    images = np.random.default_rng(0).random((3, 8, 8, 3))
    np.save(tmp_path / "several.npy", images)
    np.save(tmp_path / "one.npy", images[1])
    files = [str(tmp_path / name) for name in ("several.npy", "one.npy")]
    found = classify_by_flags(files, model, [], Flags(), backend=device, oversample=False)
    assert found.files == [f"{files[0]}[{i}]" for i in range(3)] + [f"{files[1]}[0]"]
    np.testing.assert_allclose(found.scores[3], found.scores[1])
    np.testing.assert_allclose(
        found.scores[:3], 255 * images[..., ::-1].transpose(0, 3, 1, 2).reshape(3, -1), rtol=1e-5
    )


def test_errors(tmp_path, model, device):
    def classify(*files):
        return classify_by_flags([str(tmp_path / file) for file in files], model, [], Flags(), backend=device)

    names, _ = save_images(tmp_path, [(8, 8)])
    np.save(tmp_path / "flat.npy", np.zeros((8, 8, 1)))
    (tmp_path / "bad.npy").write_bytes(b"x")
    found = classify("00.png", "none.png", "flat.npy", "bad.npy")
    assert found.files == names
    reasons = [reason for _, reason in found.bad]
    assert "none.png: No such file" in reasons[0]
    assert "expected images (N, H, W, 3), RGB, from 0 to 1" in reasons[1]
    assert "holds no array of images" in reasons[2]
    with pytest.raises(
        DataError, match=r"none of 1 images can be read; the first: Could not open or find file .*none\.png"
    ):
        classify("none.png")
    with pytest.raises(DataError, match="there are no images to classify"):
        classify()
