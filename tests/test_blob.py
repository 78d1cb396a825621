"""Blobs: shapes, memory that is kept, and memory that is shared."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caffepy.blob import Blob
from caffepy.devices import get_backend
from caffepy.errors import NetError


@pytest.fixture(params=["float32", "float64"])
def make(request):
    backend = get_backend("cpu", request.param)
    return lambda *shape: Blob(backend, shape)


def test_a_new_blob_is_zero_and_of_the_backends_dtype(make):
    blob = make(2, 3, 4)
    assert (blob.shape, blob.count) == ((2, 3, 4), 24)
    for array in (blob.data, blob.diff):
        assert array.shape == (2, 3, 4)
        assert array.dtype == blob.backend.dtype
        assert array.flags.c_contiguous
        assert not array.any()
    assert not np.shares_memory(blob.data, blob.diff)


def test_a_blob_without_axes_is_one_number(make):
    blob = make()
    assert (blob.shape, blob.count, blob.data.shape) == ((), 1, ())
    blob.data[...] = 5
    assert float(blob.data) == 5
    assert blob.shape_string == "(1)"


def test_memory_is_taken_when_it_is_first_read(make):
    blob = make(1000, 1000, 1000)  # 4 GB, were it touched
    assert blob.count == 10**9
    blob.reshape(2)
    assert blob.data.nbytes == 2 * blob.backend.dtype.itemsize


def test_reshape_keeps_the_first_elements_and_the_memory(make):
    blob = make(2, 6)
    blob.data[...] = np.arange(12).reshape(2, 6)
    blob.diff[...] = 7
    before = blob.data
    blob.reshape(3, 4)
    assert blob.data.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert np.shares_memory(blob.data, before)
    blob.reshape(5)
    assert blob.data.tolist() == [0, 1, 2, 3, 4]
    blob.data[...] = -1
    blob.reshape(1, 12)
    assert blob.data.tolist() == [[-1] * 5 + [5, 6, 7, 8, 9, 10, 11]]
    assert blob.diff.tolist() == [[7] * 12]
    assert np.shares_memory(blob.data, before)


def test_a_larger_shape_has_new_memory_of_zeros(make):
    blob = make(4)
    before = blob.data
    before[...] = 9
    blob.reshape(5)
    assert blob.data.tolist() == [0] * 5
    assert not np.shares_memory(blob.data, before)
    blob.reshape(4)
    assert np.shares_memory(blob.data, blob._data)


def test_reshape_to_the_same_shape_changes_nothing(make):
    blob = make(4)
    before = blob.data
    blob.reshape(4)
    assert blob.data is before
    blob.reshape(np.int64(4))
    assert np.shares_memory(blob.data, before)


def test_a_dimension_may_be_zero(make):
    blob = make(0, 5)
    assert (blob.count, blob.data.shape, blob.shape_string) == (0, (0, 5), "0 5 (0)")
    blob.reshape(2, 5)
    assert blob.data.shape == (2, 5)


@pytest.mark.parametrize("shape", [(-1,), (3, -2), (0, -1)])
def test_a_dimension_may_not_be_negative(make, shape):
    blob = make(3)
    with pytest.raises(NetError, match=r"not negative \(Check failed: shape\[i\] >= 0\); got shape \("):
        blob.reshape(*shape)
    assert blob.shape == (3,)


def test_no_more_elements_than_an_int_counts(make):
    blob = make(2**31 - 1)
    assert blob.count == 2**31 - 1
    match = r"blob size exceeds INT_MAX: shape 65536 x 32768 has 2,147,483,648 elements, Caffe's limit is 2,147,483,647"
    with pytest.raises(NetError, match=match):
        blob.reshape(65536, 32768)
    blob.reshape(0, 65536, 32768)
    assert blob.count == 0


def test_no_more_axes_than_caffe_has(make):
    blob = make(*[1] * 32)
    assert blob.data.ndim == 32
    with pytest.raises(NetError, match=r"at most 32 axes \(Check failed: shape.size\(\) <= kMaxBlobAxes\); got 33"):
        blob.reshape(*[1] * 33)


@pytest.mark.parametrize("what", ["data", "diff"])
def test_sharing(make, what):
    one, two = make(2, 3), make(6)
    getattr(one, what)[...] = 4
    getattr(two, f"share_{what}")(one)
    assert getattr(two, what).tolist() == [4] * 6
    getattr(two, what)[5] = 8
    assert getattr(one, what)[1, 2] == 8
    other = "diff" if what == "data" else "data"
    assert not np.shares_memory(getattr(one, other), getattr(two, other))
    # In another shape of its own the memory is still the same.
    two.reshape(3, 2)
    assert np.shares_memory(getattr(one, what), getattr(two, what))
    with pytest.raises(NetError, match=r"Check failed: count_ == other.count\(\)\); got 2 2 \(4\) and 2 3 \(6\)"):
        getattr(make(2, 2), f"share_{what}")(one)


def test_a_sharer_that_grows_lets_go(make):
    one, two = make(4), make(4)
    two.share_data(one)
    two.reshape(5)
    two.data[...] = 3
    assert not one.data.any()


def test_moving_into_given_memory(make):
    blob = make(2, 2)
    blob.data[...] = [[1, 2], [3, 4]]
    blob.diff[...] = 5
    data, diff = (np.full(10, 9, blob.backend.dtype) for _ in range(2))
    blob.bind(data[3:7], diff[3:7])
    assert data.tolist() == [9, 9, 9, 1, 2, 3, 4, 9, 9, 9]
    assert diff.tolist() == [9, 9, 9, 5, 5, 5, 5, 9, 9, 9]
    data[4] = 8
    assert blob.data.tolist() == [[1, 8], [3, 4]]
    blob.diff[1, 1] = 6
    assert diff[6] == 6
    # A diff that was never read has nothing to move, and the memory given is taken as it is.
    other = make(2)
    other.bind(data[:2], diff[:2])
    assert data[:2].tolist() == [0, 0]
    assert other.diff.tolist() == [9, 9]


def test_axes_count_from_either_end(make):
    blob = make(2, 3, 4)
    assert [blob.axis(i) for i in (0, 1, 2, -1, -2, -3)] == [0, 1, 2, 2, 1, 0]
    for index in (3, -4, 100):
        with pytest.raises(NetError, match=rf"axis {index} out of range for 3-D Blob with shape 2 3 4 \(24\)"):
            blob.axis(index)
    with pytest.raises(NetError, match="axis 0 out of range for 0-D Blob"):
        make().axis(0)


def test_the_four_old_dimensions(make):
    names = ("num", "channels", "height", "width")
    for shape in ((), (2,), (2, 3), (2, 3, 4), (2, 3, 4, 5)):
        blob = make(*shape)
        assert [getattr(blob, name) for name in names] == [*shape, *[1] * (4 - len(shape))]
    for name in names:
        with pytest.raises(NetError, match=r"blobs of at most 4 axes; this one is \(1, 2, 3, 4, 5\)"):
            getattr(make(1, 2, 3, 4, 5), name)


def test_its_text(make):
    blob = make(64, 1, 28, 28)
    assert blob.shape_string == f"64 1 28 28 ({math.prod((64, 28, 28))})"
    assert repr(blob) == f"<Blob 64 1 28 28 (50176) {blob.backend.dtype} on cpu>"


def test_no_attribute_by_mistake(make):
    with pytest.raises(AttributeError):
        make(2).dat = 3
    with pytest.raises(AttributeError):
        make(2).data = np.zeros(2)
