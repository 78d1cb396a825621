"""Fine-tune to other classes from trained weights, then make the fully connected layers convolutions."""

import json
import sys

import caffe
import numpy as np
from caffe import layers as L

deploy, weights, lmdb = sys.argv[1:4]


def features(n, learn):
    param = [dict(lr_mult=learn), dict(lr_mult=2 * learn)]
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, param=param)
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=caffe.params.Pooling.MAX)
    n.conv2 = L.Convolution(n.pool1, kernel_size=5, num_output=50, param=param)
    n.pool2 = L.Pooling(n.conv2, kernel_size=2, stride=2, pool=caffe.params.Pooling.MAX)
    n.ip1 = L.InnerProduct(n.pool2, num_output=500, param=param)
    n.relu1 = L.ReLU(n.ip1, in_place=True)
    return n.relu1


n = caffe.NetSpec()
n.data, n.label = L.Data(
    batch_size=32, backend=caffe.params.Data.LMDB, source=lmdb, ntop=2, transform_param=dict(scale=1 / 255.0)
)
n.parity = L.InnerProduct(features(n, 0), num_output=10, weight_filler=dict(type="gaussian", std=0.01))
n.loss = L.SoftmaxWithLoss(n.parity, n.label)
with open("finetune.prototxt", "w") as f:
    f.write(str(n.to_proto()))
with open("finetune_solver.prototxt", "w") as f:
    f.write('train_net: "finetune.prototxt" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 random_seed: 1\n')
    f.write('snapshot_prefix: "finetune" max_iter: 100\n')

caffe.set_mode_cpu()
solver = caffe.SGDSolver("finetune_solver.prototxt")
solver.net.copy_from(weights)
before = solver.net.params["conv1"][0].data.copy()
loss = []
for _ in range(20):
    solver.step(1)
    loss.append(float(solver.net.blobs["loss"].data))
frozen = bool((before == solver.net.params["conv1"][0].data).all())
solver.net.save("finetuned.caffemodel")

# The same net on images of any size: what was fully connected becomes a convolution.
net = caffe.Net(deploy, weights, caffe.TEST)
params = ["ip1", "ip2"]
fc_params = {pr: (net.params[pr][0].data, net.params[pr][1].data) for pr in params}

full = caffe.NetSpec()
full.data = L.Input(input_param=dict(shape=dict(dim=[1, 1, 36, 44])))
full.conv1 = L.Convolution(full.data, kernel_size=5, num_output=20)
full.pool1 = L.Pooling(full.conv1, kernel_size=2, stride=2, pool=caffe.params.Pooling.MAX)
full.conv2 = L.Convolution(full.pool1, kernel_size=5, num_output=50)
full.pool2 = L.Pooling(full.conv2, kernel_size=2, stride=2, pool=caffe.params.Pooling.MAX)
full["ip1-conv"] = L.Convolution(full.pool2, kernel_size=4, num_output=500)
full.relu1 = L.ReLU(full["ip1-conv"], in_place=True)
full["ip2-conv"] = L.Convolution(full.relu1, kernel_size=1, num_output=10)
full.prob = L.Softmax(full["ip2-conv"])
with open("full_conv.prototxt", "w") as f:
    f.write(str(full.to_proto()))
net_full_conv = caffe.Net("full_conv.prototxt", weights, caffe.TEST)
params_full_conv = ["ip1-conv", "ip2-conv"]
conv_params = {pr: (net_full_conv.params[pr][0].data, net_full_conv.params[pr][1].data) for pr in params_full_conv}
for pr, pr_conv in zip(params, params_full_conv):
    conv_params[pr_conv][0].flat = fc_params[pr][0].flat
    conv_params[pr_conv][1][...] = fc_params[pr][1]
net_full_conv.save("full_conv.caffemodel")

image = np.random.RandomState(0).rand(36, 44).astype(np.float32)
out = net_full_conv.forward_all(data=np.asarray([[image]]))["prob"][0]
net.blobs["data"].reshape(6, 1, 28, 28)
windows = [image[y : y + 28, x : x + 28] for y in (0, 4) for x in (0, 8, 16)]
net.blobs["data"].data[:, 0] = windows
alone = net.forward()["prob"].copy()
print(
    json.dumps(
        {
            "loss": loss,
            "frozen": frozen,
            "shape": list(out.shape),
            "dense": out[:, [0, 1]][:, :, [0, 2, 4]].transpose(1, 2, 0).reshape(6, 10).tolist(),
            "alone": alone.tolist(),
        }
    )
)
