"""The ops of the CPU; each has a twin of the same name elsewhere for each other device."""

from __future__ import annotations

from caffepy.cpu.adadelta import AdaDelta
from caffepy.cpu.adagrad import AdaGrad
from caffepy.cpu.adam import Adam
from caffepy.cpu.batch_norm import BatchNorm
from caffepy.cpu.conv import Conv
from caffepy.cpu.dropout import Dropout
from caffepy.cpu.gemm import InnerProduct
from caffepy.cpu.lrn import LRN, LRNWithin
from caffepy.cpu.nesterov import Nesterov
from caffepy.cpu.pool import AvePool, MaxPool, StochasticPool
from caffepy.cpu.relu import ReLU
from caffepy.cpu.rmsprop import RMSProp
from caffepy.cpu.sgd import SGD
from caffepy.cpu.softmax import Softmax
from caffepy.cpu.softmax_loss import SoftmaxLoss
from caffepy.cpu.sum_of_squares import SumOfSquares
from caffepy.cpu.transform import Transform

__all__ = [
    "LRN",
    "SGD",
    "AdaDelta",
    "AdaGrad",
    "Adam",
    "AvePool",
    "BatchNorm",
    "Conv",
    "Dropout",
    "InnerProduct",
    "LRNWithin",
    "MaxPool",
    "Nesterov",
    "RMSProp",
    "ReLU",
    "Softmax",
    "SoftmaxLoss",
    "StochasticPool",
    "SumOfSquares",
    "Transform",
]
