"""LeNet from nothing: the net by NetSpec, a solver, steps one by one with accuracy in between, curves."""

import json
import sys

import caffe
import matplotlib
from caffe import layers as L
from caffe import params as P

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np


def lenet(lmdb, batch_size):
    n = caffe.NetSpec()
    n.data, n.label = L.Data(
        batch_size=batch_size, backend=P.Data.LMDB, source=lmdb, transform_param=dict(scale=1.0 / 255), ntop=2
    )
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=8, weight_filler=dict(type="xavier"))
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.conv2 = L.Convolution(n.pool1, kernel_size=5, num_output=16, weight_filler=dict(type="xavier"))
    n.pool2 = L.Pooling(n.conv2, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.fc1 = L.InnerProduct(n.pool2, num_output=50, weight_filler=dict(type="xavier"))
    n.relu1 = L.ReLU(n.fc1, in_place=True)
    n.score = L.InnerProduct(n.relu1, num_output=10, weight_filler=dict(type="xavier"))
    n.loss = L.SoftmaxWithLoss(n.score, n.label)
    return n.to_proto()


with open("lenet_auto_train.prototxt", "w") as f:
    f.write(str(lenet(sys.argv[1], 64)))
with open("lenet_auto_test.prototxt", "w") as f:
    f.write(str(lenet(sys.argv[2], 60)))

s = caffe.proto.caffe_pb2.SolverParameter()
s.random_seed = 0xCAFFE
s.train_net = "lenet_auto_train.prototxt"
s.test_net.append("lenet_auto_test.prototxt")
s.test_interval = 500
s.test_iter.append(1)
s.max_iter = 10000
s.type = "SGD"
s.base_lr = 0.02
s.momentum = 0.9
s.weight_decay = 5e-4
s.lr_policy = "inv"
s.gamma = 0.0001
s.power = 0.75
s.display = 1000
s.snapshot_prefix = "lenet"
s.solver_mode = caffe.proto.caffe_pb2.SolverParameter.CPU
with open("lenet_auto_solver.prototxt", "w") as f:
    f.write(str(s))

caffe.set_mode_cpu()
solver = None
solver = caffe.get_solver("lenet_auto_solver.prototxt")
shapes = [(k, list(v.data.shape)) for k, v in solver.net.blobs.items()]

solver.net.forward()
solver.test_nets[0].forward()
labels = solver.net.blobs["label"].data[:8].astype(int).tolist()
solver.step(1)
filters = solver.net.params["conv1"][0].diff[:, 0].reshape(2, 4, 5, 5).transpose(0, 2, 1, 3).reshape(2 * 5, 4 * 5)
plt.imsave("filters.png", filters, cmap="gray")

niter, test_interval = 60, 20
train_loss = np.zeros(niter)
test_acc = np.zeros(int(np.ceil(niter / test_interval)))
for it in range(niter):
    solver.step(1)
    train_loss[it] = solver.net.blobs["loss"].data
    # Start the forward pass after the data, so that the records do not go on.
    solver.test_nets[0].forward(start="conv1")
    if it % test_interval == 0:
        correct = 0
        for _ in range(6):
            solver.test_nets[0].forward()
            correct += sum(solver.test_nets[0].blobs["score"].data.argmax(1) == solver.test_nets[0].blobs["label"].data)
        test_acc[it // test_interval] = correct / 360.0

_, ax1 = plt.subplots()
ax2 = ax1.twinx()
ax1.plot(np.arange(niter), train_loss)
ax2.plot(test_interval * np.arange(len(test_acc)), test_acc, "r")
plt.savefig("curves.png")
print(
    json.dumps(
        {
            "shapes": shapes,
            "labels": labels,
            "loss": train_loss.tolist(),
            "accuracy": test_acc.tolist(),
            "iter": solver.iter,
        }
    )
)
