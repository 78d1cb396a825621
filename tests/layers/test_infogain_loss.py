"""InfogainLoss: the matrix from a file or a bottom, normalisation, ignored labels, and what it refuses."""

from __future__ import annotations

import atexit
import math
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.proto import caffe_pb2
from caffepy.testing import LayerUnderTest, case
from tests.reference.infogain_loss import infogain_loss
from tests.reference.softmax import softmax


def write(path, values, **shape):
    blob = caffe_pb2.BlobProto(**shape)
    blob.data.extend(np.ravel(values).tolist())
    Path(path).write_bytes(blob.SerializeToString())
    return str(path)


#: A folder that lasts as long as the process: the contract suite reads the file in it.
FOLDER = Path(tempfile.mkdtemp())
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
MATRIX = np.random.default_rng(7).uniform(-0.5, 1, (4, 4)).astype(np.float32).astype(np.float64)
SOURCE = write(FOLDER / "h.binaryproto", MATRIX, num=1, channels=1, height=4, width=4)
FROM_FILE = f'source: "{SOURCE}"'


def labels(classes, *others):
    return lambda random, shape: random.choice([*range(classes), *others], shape)


def setting(fields, loss_fields, normalizer, bottoms, axis=1, ignore=None, tops=1, **more):
    classes = bottoms[0][axis]

    def reference(bottoms, blobs):
        x, label = bottoms[:2]
        h = (bottoms[2] if len(bottoms) > 2 else MATRIX).reshape(classes, classes)
        k = axis % x.ndim
        outer = math.prod(x.shape[:k])
        prob = softmax(x.reshape(outer, classes, -1))
        total, counted = infogain_loss(prob, label.reshape(outer, -1), h, ignore)
        value = np.array(total / max(1, normalizer(label.size, counted, outer)))
        return [value, prob.reshape(x.shape)][:tops]

    return case(
        f'type: "InfogainLoss" infogain_loss_param {{ {fields} }} loss_param {{ {loss_fields} }} '
        f"{more.pop('more', '')}",
        bottoms,
        tops=tops,
        reference=reference,
        draw={1: labels(classes, *([] if ignore is None else [ignore])), 2: lambda r, shape: r.uniform(-0.5, 1, shape)},
        label=f"{fields.replace(SOURCE, 'file')} {loss_fields} {bottoms} {tops}",
        **more,
    )


def valid(size, counted, batch):
    return counted


def full(size, counted, batch):
    return size


def batch_size(size, counted, batch):
    return batch


def none(size, counted, batch):
    return 1


ROWS, MAP = [(5, 4), (5,)], [(2, 4, 3, 2), (2, 1, 3, 2)]
H = (1, 1, 4, 4)
SECOND_TOP = {"tops": 2, "tops_checked": [0], "more": "loss_weight: 1 loss_weight: 0"}

CASES = [
    setting(FROM_FILE, "", valid, ROWS),
    setting(FROM_FILE, "ignore_label: 2", valid, MAP, ignore=2),
    setting("", "", valid, [*ROWS, H]),
    setting("", "", valid, [*MAP, (16,)]),
    # A matrix in a bottom counts, whatever the file.
    setting(FROM_FILE, "", valid, [*ROWS, (4, 4)]),
    setting("", "normalization: VALID ignore_label: 255", valid, [*MAP, H], ignore=255),
    setting("", "normalization: FULL ignore_label: 0", full, [*MAP, H], ignore=0),
    setting("", "normalization: BATCH_SIZE ignore_label: -1", batch_size, [*MAP, H], ignore=-1),
    setting("", "normalization: NONE", none, [*MAP, H]),
    setting("axis: 2", "", valid, [(2, 3, 4), (2, 3), (4, 4)], 2),
    setting("axis: -1", "normalization: BATCH_SIZE", batch_size, [(2, 3, 4), (2, 3), (4, 4)], -1),
    setting("", "", valid, [*MAP, H], **SECOND_TOP),
    setting(FROM_FILE, "", valid, ROWS, **SECOND_TOP),
    setting("", "", valid, [(1, 2), (1,), (2, 2)], more="loss_weight: 0.5"),
]


def under(backend, *bottoms, fields=FROM_FILE, loss_fields=""):
    return LayerUnderTest(
        case(
            f'type: "InfogainLoss" infogain_loss_param {{ {fields} }} loss_param {{ {loss_fields} }}',
            bottoms,
            draw={1: labels(4)},
        ),
        get_backend(backend),
    )


def test_the_identity_is_softmax_with_loss(backend):
    made = under(backend, *ROWS, (4, 4))
    made.values[2] = np.eye(4)
    other = LayerUnderTest(case('type: "SoftmaxWithLoss"', ROWS, draw={1: labels(4)}), get_backend(backend))
    other.values = made.values[:2]
    np.testing.assert_allclose(made.forward(), other.forward(), rtol=1e-6)
    ours, theirs = made.backward([np.array(1.0)]), other.backward([np.array(1.0)])
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-5, atol=1e-7)


def test_a_file_of_doubles(backend, tmp_path):
    blob = caffe_pb2.BlobProto(shape=caffe_pb2.BlobShape(dim=[4, 4]), double_data=MATRIX.ravel().tolist())
    (tmp_path / "h.binaryproto").write_bytes(blob.SerializeToString())
    made = under(backend, *ROWS, fields=f'source: "{tmp_path}/h.binaryproto"')
    single = under(backend, *ROWS)
    single.values = made.values
    assert made.forward()[0] == single.forward()[0]


def test_no_source(backend):
    with pytest.raises(LayerError, match=r"Infogain matrix source must be specified: set infogain_loss_param\.source"):
        under(backend, *ROWS, fields="")


def test_no_such_file(backend):
    with pytest.raises(LayerError, match=r"\(InfogainLoss\): the infogain matrix: Could not open file nowhere"):
        under(backend, *ROWS, fields='source: "nowhere.binaryproto"')


def test_a_file_that_lacks_values(backend, tmp_path):
    source = write(tmp_path / "h.binaryproto", MATRIX[:3], num=1, channels=1, height=4, width=4)
    with pytest.raises(LayerError, match=r"has 12 values for \(1, 1, 4, 4\)"):
        under(backend, *ROWS, fields=f'source: "{source}"')


@pytest.mark.parametrize("third", [[], [(3, 4)]])
def test_a_matrix_of_another_size(backend, third):
    classes = 5 if not third else 4
    with pytest.raises(LayerError, match=f"H must be {classes}x{classes}, as there are classes; it has 1[26] values"):
        under(backend, (5, classes), (5,), *third).forward()


def test_the_older_normalize(backend):
    with pytest.raises(LayerError, match=r'normalize is deprecated\. use "normalization"'):
        under(backend, *ROWS, loss_fields="normalize: true")


def test_labels_that_do_not_match(backend):
    with pytest.raises(
        LayerError, match=r"Number of labels must match number of predictions: scores 2 4 3 2 .*need 12 labels, got 2 6"
    ):
        under(backend, (2, 4, 3, 2), (2, 6, 2)).forward()


def test_batches_that_differ(backend):
    with pytest.raises(LayerError, match="The data and label should have the same first dimension"):
        under(backend, (2, 4), (3,)).forward()


def test_no_such_axis(backend):
    with pytest.raises(LayerError, match=r"infogain_loss_param\.axis: axis 2 out of range"):
        under(backend, *ROWS, fields=f"{FROM_FILE} axis: 2").forward()


@pytest.mark.parametrize("label", [4, -1])
def test_a_label_that_is_no_class_names_layer_and_sample(backend, label):
    made = under(backend, *MAP)
    made.values[1][1, 0, 1, 1] = label
    with pytest.raises(
        LayerError,
        match=rf"'under_test' \(InfogainLoss\): label {label} of sample 1, position 3 .*not in 0\.\.3.*ignore_label",
    ):
        made.forward()


def test_no_gradient_to_labels_and_matrix(backend):
    made = under(backend, *ROWS, (4, 4))
    made.forward()
    assert [made.layer.can_propagate(i) for i in range(3)] == [True, False, False]
    with pytest.raises(LayerError, match="InfogainLoss Layer cannot backpropagate to label inputs"):
        made.backward([np.array(1.0)], [True, True, False])
    with pytest.raises(LayerError, match="InfogainLoss Layer cannot backpropagate to infogain inputs"):
        made.backward([np.array(1.0)], [True, False, True])
