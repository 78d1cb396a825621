"""The transform of batches on the GPU against the CPU's: to the bit, as it is Caffe's own arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.errors import BackendError
from tests.gpu.twins import both

N, H, W = 5, 9, 21
H_OFF, W_OFF = np.array([0, 4, 1, 2, 4]), np.array([8, 0, 3, 8, 1])
MIRROR = np.array([False, True, True, False, True])
KINDS = {"words": 3, "bytes": 3, "gray": 1, "six channels": 6, "floats": 3}


def batch(kind, seed=3):
    """Pixels as an op takes them, and the shape (N, C, h, w)."""
    random = np.random.default_rng(seed)
    if kind == "words":
        return random.integers(0, 2**32, (N, H, W), np.uint32), (N, 3, H, W)
    pixels = random.integers(0, 256, (N, KINDS[kind], H, W), np.uint8)
    if kind == "floats":
        pixels = (pixels.astype(np.float32) - 100) * np.float32(1.37)
    return pixels, pixels.shape


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("mean", ["none", "value", "values", "image"])
@pytest.mark.parametrize("kind", KINDS)
def test_twins(cpu, gpu, kind, mean, noise):
    x, shape = batch(kind)
    random = np.random.default_rng(0)
    means = {
        "none": None,
        "value": np.array([117.3], np.float32),
        "values": random.uniform(90, 130, shape[1]).astype(np.float32),
        "image": random.uniform(0, 255, (shape[1], H + 4, W + 8)).astype(np.float32),
    }
    shift = random.normal(0, 12, shape[:2]).astype(np.float32) if noise else None

    def run(backend):
        op = backend.ops.Transform(backend, means[mean], 0.017)
        op.plan(x.shape)
        out = backend.empty(shape)
        op.forward(x, H_OFF, W_OFF, MIRROR, shift, out)
        return (out,)

    (a,), (b,) = both(run, cpu, gpu)
    # The CPU may add colour noise to the pixel or to the mean.
    np.testing.assert_allclose(b, a, rtol=0, atol=2e-6 if noise and mean == "image" else 0)


@pytest.mark.parametrize("memory", ["any", "pinned"])
def test_pixels_may_be_overwritten_after_a_wait(cpu, gpu, memory):
    """As the threads that decode do: what was given counts, however far behind the device is."""
    shape = (2, 3, 40, 50)

    def run(backend):
        op = backend.ops.Transform(backend, np.float32([1, 2, 3]), 0.5)
        op.plan(shape)
        x = np.empty(shape, np.uint8) if memory == "any" else backend.host_empty(shape, np.dtype(np.uint8))
        nowhere, outs = np.zeros(2, np.int64), []
        for turn in range(7):
            op.wait()
            x[...] = np.random.default_rng(turn).integers(0, 256, shape)
            outs.append(backend.empty(shape))
            op.forward(x, nowhere, nowhere, np.array([turn % 2, 1], bool), None, outs[-1])
        op.wait()
        x[...] = 0
        return outs

    for a, b in zip(*both(run, cpu, gpu), strict=True):
        np.testing.assert_array_equal(b, a)


def test_pinned_pixels_are_copied_from_where_they_are(gpu, monkeypatch):
    from caffepy.gpu._upload import _Slot

    staged = []
    stage = _Slot._staged

    def noted(self, arrays, places, size):
        staged.append(size)
        return stage(self, arrays, places, size)

    monkeypatch.setattr(_Slot, "_staged", noted)
    x, shape = batch("words")
    pinned = gpu.host_empty(x.shape, x.dtype)
    pinned[...] = x
    op = gpu.ops.Transform(gpu, np.float32([1, 2, 3]), 1.0)
    op.plan(x.shape)
    outs = [gpu.empty(shape) for _ in range(2)]
    for pixels, out in zip((pinned, x), outs, strict=True):
        op.forward(pixels, H_OFF, W_OFF, MIRROR, None, out)
    # Beside the pixels there are where they lie and what is subtracted, each padded.
    assert staged == [512, 512 + -(-x.nbytes // 256) * 256]
    np.testing.assert_array_equal(gpu.to_host(outs[0]), gpu.to_host(outs[1]))


def test_what_is_forgotten_is_not_given_to_others_while_it_is_copied(gpu):
    """A batch's memory goes back to the pool with the batch."""
    import cupy

    shape = (1, 1, 60, 60)
    op = gpu.ops.Transform(gpu, None, 1.0)
    nowhere, out = np.zeros(1, np.int64), gpu.empty(shape)
    op.plan(shape)
    x = gpu.host_empty(shape, np.dtype(np.uint8))
    x[...] = 7
    op.forward(x, nowhere, nowhere, nowhere > 0, None, out)
    size = x.size
    del x
    theirs = [cupy.cuda.alloc_pinned_memory(size) for _ in range(4)]
    for memory in theirs:
        np.frombuffer(memory, np.uint8)[...] = 99
    assert (gpu.to_host(out) == 7).all()


def test_other_sizes_and_kinds_in_turn(cpu, gpu):
    random = np.random.default_rng(2)
    batches = [random.integers(0, 256, (2, 3, size, size), np.uint8) for size in (5, 30, 4, 60, 5)]
    batches[2] = batches[2].astype(np.float32)
    batches[3] = batches[3].astype(np.float32)

    def run(backend):
        op = backend.ops.Transform(backend, None, 0.25)
        outs = []
        for x in batches:
            op.plan(x.shape)
            outs.append(backend.empty(x.shape))
            nowhere = np.zeros(len(x), np.int64)
            op.forward(x, nowhere, nowhere, np.array([True, False]), None, outs[-1])
        return outs

    for a, b in zip(*both(run, cpu, gpu), strict=True):
        np.testing.assert_array_equal(b, a)


def test_memory_that_is_given_back_is_done_with(gpu):
    """A larger batch needs larger memory; the old may be anybody's while the device is far behind."""
    import cupy

    small, large = np.full((1, 1, 30, 30), 7, np.uint8), (1, 1, 300, 300)
    op = gpu.ops.Transform(gpu, None, 1.0)
    nowhere, out = np.zeros(1, np.int64), gpu.empty(small.shape)
    op.plan(small.shape)
    op.forward(small, nowhere, nowhere, nowhere > 0, None, out)
    op.plan(large)
    theirs = [cupy.cuda.alloc_pinned_memory(small.size + 512 * i) for i in range(8)]
    for memory in theirs:
        np.frombuffer(memory, np.uint8)[...] = 99
    assert (gpu.to_host(out) == 7).all()


def test_nothing_is_allocated_after_the_first_passes(gpu):
    import cupy

    x, shape = batch("words")
    op = gpu.ops.Transform(gpu, np.float32([1, 2, 3]), 1.0)
    out = gpu.empty(shape)
    asked = []

    class Hook(cupy.cuda.MemoryHook):
        name = "asked"

        def alloc_preprocess(self, **args):
            asked.append(args["mem_size"])

        def malloc_preprocess(self, **args):
            asked.append(args["size"])

    for turn in range(6):
        op.plan(shape)
        if turn < 2:
            op.forward(x, H_OFF, W_OFF, MIRROR, None, out)
            gpu.synchronize()
            continue
        with Hook():
            op.forward(x, H_OFF, W_OFF, MIRROR, None, out)
        gpu.synchronize()
    assert not asked


def test_what_would_read_outside_is_refused(gpu):
    x, shape = batch("words")

    def forward(mean, rows=H_OFF, columns=W_OFF, shape=shape):
        gpu.ops.Transform(gpu, mean, 1.0).forward(x, rows, columns, MIRROR, None, gpu.empty(shape))

    for wrong in ((N, 2, H, W), (N, 3, H - 1, W), (N, 3, H, W - 1), (N - 1, 3, H, W)):
        with pytest.raises(BackendError, match=r"pixels of shape \(5, 9, 21\) do not fill"):
            forward(None, shape=wrong)
    for size in ((3, H + 3, W + 8), (3, H + 4, W + 7), (1, H + 4, W + 8)):
        with pytest.raises(BackendError, match=rf"the mean is \({size[0]}, .*: crops of 3 x 9 x 21 leave it"):
            forward(np.zeros(size, np.float32))
    mean = np.zeros((3, H + 4, W + 8), np.float32)
    for rows, columns in ((H_OFF - 1, W_OFF), (H_OFF, W_OFF - 1)):
        with pytest.raises(BackendError, match="leave it"):
            forward(mean, rows, columns)
    with pytest.raises(BackendError, match="2 mean values for 3 channels"):
        forward(np.zeros(2, np.float32))
    with pytest.raises(BackendError, match=r"a mean has shape \(C,\) or \(C, H, W\), got \(2, 2\)"):
        forward(np.zeros((2, 2), np.float32))


def test_no_images(gpu):
    nothing, nowhere = np.empty((0, 3, 4, 4), np.uint8), np.empty(0, np.int64)
    for mean in (None, np.zeros((3, 4, 4), np.float32)):
        op = gpu.ops.Transform(gpu, mean, 1.0)
        op.plan(nothing.shape)
        out = gpu.empty(nothing.shape)
        op.forward(nothing, nowhere, nowhere, nowhere > 0, None, out)
        gpu.synchronize()
        assert out.shape == nothing.shape
