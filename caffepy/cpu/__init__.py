"""The ops of the CPU; each has a twin of the same name elsewhere for each other device."""

from __future__ import annotations

from caffepy.cpu.batch_norm import BatchNorm
from caffepy.cpu.conv import Conv
from caffepy.cpu.dropout import Dropout
from caffepy.cpu.gemm import InnerProduct
from caffepy.cpu.lrn import LRN, LRNWithin
from caffepy.cpu.pool import AvePool, MaxPool, StochasticPool
from caffepy.cpu.relu import ReLU
from caffepy.cpu.sgd import SGD
from caffepy.cpu.softmax import Softmax
from caffepy.cpu.softmax_loss import SoftmaxLoss
from caffepy.cpu.transform import Transform

__all__ = [
    "LRN",
    "SGD",
    "AvePool",
    "BatchNorm",
    "Conv",
    "Dropout",
    "InnerProduct",
    "LRNWithin",
    "MaxPool",
    "ReLU",
    "Softmax",
    "SoftmaxLoss",
    "StochasticPool",
    "Transform",
]
