"""caffepy.cpu.transform against the definition, for all that a batch may hold."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import BackendError
from tests.reference.transform import transform

N, H, W = 5, 9, 21
H_OFF, W_OFF = np.array([0, 4, 1, 2, 4]), np.array([8, 0, 3, 8, 1])
MIRROR = np.array([False, True, True, False, True])


def make(mean=None, scale=1.0, dtype="float32", threads=2):
    backend = get_backend("cpu", dtype, threads)
    return backend.ops.Transform(backend, mean, scale)


def batch(kind):
    """Pixels as an op takes them, and the same as (N, C, h, w)."""
    rng = np.random.default_rng(3)
    if kind == "words":
        memory = rng.integers(0, 256, (N, H, W, 4), np.uint8)
        return memory.view(np.uint32)[..., 0], memory[..., 2::-1].transpose(0, 3, 1, 2)
    channels = {"bytes": 3, "gray": 1, "six channels": 6, "floats": 3}[kind]
    pixels = rng.integers(0, 256, (N, channels, H, W), np.uint8)
    if kind == "floats":
        pixels = (pixels.astype(np.float32) - 100) * np.float32(1.37)
    return pixels, pixels


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["words", "bytes", "gray", "six channels", "floats"])
@pytest.mark.parametrize("mean", ["none", "value", "values", "image"])
def test_definition(kind, mean, dtype):
    x, crops = batch(kind)
    channels = crops.shape[1]
    rng = np.random.default_rng(0)
    means = {
        "none": None,
        "value": np.array([117.3], np.float32),
        "values": rng.uniform(90, 130, channels).astype(np.float32),
        "image": rng.uniform(0, 255, (channels, H + 4, W + 8)).astype(np.float32),
    }
    shift = rng.normal(0, 12, (N, channels)).astype(np.float32)
    op, out = make(means[mean], 0.017, dtype), np.empty(crops.shape, dtype)
    op.plan(x.shape)
    for noise, near in ((None, 0), (shift, 2e-6)):
        out.fill(np.nan)
        op.forward(x, H_OFF, W_OFF, MIRROR, noise, out)
        for n in range(N):
            more = None if noise is None else noise[n]
            expected = transform(crops[n], H_OFF[n], W_OFF[n], MIRROR[n], means[mean], 0.017, more)
            # Without noise the very bits: this is Caffe's own arithmetic.
            np.testing.assert_allclose(out[n], expected, rtol=0, atol=near)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["words", "bytes", "gray", "six channels", "floats"])
@pytest.mark.parametrize("mean", ["none", "value", "values", "image"])
def test_one_image_finished_by_itself(kind, mean, dtype):
    x, images = batch(kind)
    channels, height, width = images.shape[1], H - 4, W - 9
    rng = np.random.default_rng(0)
    means = {
        "none": None,
        "value": np.array([117.3], np.float32),
        "values": rng.uniform(90, 130, channels).astype(np.float32),
        "image": rng.uniform(0, 255, (channels, H, W)).astype(np.float32),
    }
    shift = rng.normal(0, 12, channels).astype(np.float32)
    op, out = make(means[mean], 0.017, dtype), np.empty((channels, height, width), dtype)
    # Bytes of a record can only be read, and not all images lie in one piece.
    still, spread = x[1].copy(), np.repeat(x[1], 2, axis=-1)[..., ::2]
    still.flags.writeable = False
    for image in (x[1], still, spread):
        for row, column in ((0, 0), (4, 9), (3, 2)):
            for mirror, noise in ((False, None), (True, None), (True, shift)):
                out.fill(np.nan)
                op.finish(image, row, column, mirror, noise, out)
                crop = images[1][:, row : row + height, column : column + width]
                expected = transform(crop, row, column, mirror, means[mean], 0.017, noise)
                np.testing.assert_allclose(out, expected, rtol=0, atol=0 if noise is None else 2e-6)


def test_an_image_that_the_crop_leaves_is_refused():
    x, images = batch("words")
    out = np.empty((3, H - 1, W - 1), np.float32)
    for row, column in ((-1, 0), (0, -1), (2, 0), (0, 2)):
        for image in (x[0], images[0]):
            with pytest.raises(BackendError, match=r"does not fill \(3, 8, 20\) from \("):
                make().finish(image, row, column, False, None, out)
    for image in (images[0][:2], images[:1], x[0][:, :5]):
        with pytest.raises(BackendError, match=r"does not fill \(3, 8, 20\) from \(0, 0\) on"):
            make().finish(image, 0, 0, False, None, out)
    with pytest.raises(BackendError, match=r"an image of shape \(9, 21\) does not fill \(1, 8, 20\)"):
        make().finish(x[0], 0, 0, False, None, out[:1])
    with pytest.raises(BackendError, match=r"the mean is .*leave it"):
        make(np.zeros((3, H - 1, W - 1), np.float32)).finish(x[0], 1, 0, False, None, out)


def test_threads_change_no_bit():
    x, crops = batch("words")
    one, many = np.empty(crops.shape, np.float32), np.empty(crops.shape, np.float32)
    for threads, out in ((1, one), (4, many)):
        make(np.float32([1, 2, 3]), 0.3, threads=threads).forward(x, H_OFF, W_OFF, MIRROR, None, out)
    assert np.array_equal(one, many)


def test_what_would_read_outside_is_refused():
    x, crops = batch("words")
    out = np.empty(crops.shape, np.float32)
    for wrong in (out[:, :2], out[:, :, 1:], out[..., 1:], out[1:]):
        with pytest.raises(BackendError, match=r"pixels of shape \(5, 9, 21\) do not fill"):
            make().forward(x, H_OFF, W_OFF, MIRROR, None, np.ascontiguousarray(wrong))
    for shape in ((3, H + 3, W + 8), (3, H + 4, W + 7), (1, H + 4, W + 8)):
        with pytest.raises(BackendError, match=rf"the mean is \({shape[0]}, .*: crops of 3 x 9 x 21 leave it"):
            make(np.zeros(shape, np.float32)).forward(x, H_OFF, W_OFF, MIRROR, None, out)
    mean = np.zeros((3, H + 4, W + 8), np.float32)
    for rows, columns in ((H_OFF - 1, W_OFF), (H_OFF, W_OFF - 1)):
        with pytest.raises(BackendError, match="leave it"):
            make(mean).forward(x, rows, columns, MIRROR, None, out)
    with pytest.raises(BackendError, match="2 mean values for 3 channels"):
        make(np.zeros(2, np.float32)).forward(x, H_OFF, W_OFF, MIRROR, None, out)
    with pytest.raises(BackendError, match=r"a mean has shape \(C,\) or \(C, H, W\), got \(2, 2\)"):
        make(np.zeros((2, 2), np.float32))


def test_no_images():
    nothing, nowhere = np.empty((0, 3, 4, 4), np.uint8), np.empty(0, np.int64)
    out = np.empty((0, 3, 4, 4), np.float32)
    for mean in (None, np.zeros((3, 4, 4), np.float32)):
        assert make(mean).forward(nothing, nowhere, nowhere, nowhere > 0, None, out) is None
