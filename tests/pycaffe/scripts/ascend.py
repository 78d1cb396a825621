"""Change an image until a layer in the middle answers more: forward to it, its data as its gradient, and back."""

import json
import sys

import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format

deploy, weights = sys.argv[1:3]
# Gradients reach the data only where the prototxt forces them to.
model = caffe_pb2.NetParameter()
with open(deploy) as f:
    text_format.Merge(f.read(), model)
model.force_backward = True
with open("tmp.prototxt", "w") as f:
    f.write(str(model))
net = caffe.Net("tmp.prototxt", caffe.TEST, weights=weights)


def make_step(net, step_size=0.05, end="conv2", jitter=2):
    src = net.blobs["data"]
    dst = net.blobs[end]
    ox, oy = np.random.randint(-jitter, jitter + 1, 2)
    src.data[0] = np.roll(np.roll(src.data[0], ox, -1), oy, -2)
    net.forward(end=end)
    dst.diff[:] = dst.data
    net.backward(start=end)
    g = src.diff[0]
    src.data[:] += step_size / np.abs(g).mean() * g
    src.data[0] = np.roll(np.roll(src.data[0], -ox, -1), -oy, -2)
    src.data[:] = np.clip(src.data, 0, 1)


np.random.seed(0)
src = net.blobs["data"]
src.reshape(1, 1, 28, 28)
src.data[0] = np.random.rand(1, 28, 28)
answers = []
for _ in range(6):
    net.forward(end="conv2")
    answers.append(float((net.blobs["conv2"].data ** 2).sum()))
    make_step(net)

# One class's score: its gradient at the image, by an array of the caller's own.
net.forward()
label = np.zeros((1, 10))
label[0, 3] = 1
by_keyword = net.backward(prob=label)["data"].copy()
net.blobs["prob"].diff[...] = label
partial = net.backward(diffs=["conv1"], start="prob", end="conv1")
h = 1e-2
point = src.data.copy()
direction = by_keyword / np.linalg.norm(by_keyword)
ends = []
for sign in (1, -1):
    src.data[...] = point + sign * h * direction
    ends.append(float(net.forward()["prob"][0, 3]))
print(
    json.dumps(
        {
            "answers": answers,
            "slope": (ends[0] - ends[1]) / (2 * h),
            "norm": float(np.linalg.norm(by_keyword)),
            "same": bool(np.allclose(partial["data"], by_keyword, rtol=1e-4)),
            "names": sorted(partial),
        }
    )
)
