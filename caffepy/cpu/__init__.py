"""The ops of the CPU; each has a twin of the same name elsewhere for each other device."""

from __future__ import annotations

from caffepy.cpu.accuracy import Accuracy
from caffepy.cpu.adadelta import AdaDelta
from caffepy.cpu.adagrad import AdaGrad
from caffepy.cpu.adam import Adam
from caffepy.cpu.arg_max import ArgMax
from caffepy.cpu.batch_norm import BatchNorm
from caffepy.cpu.channel_affine import ChannelAffine
from caffepy.cpu.clip_gradients import ClipGradients
from caffepy.cpu.conv import Conv
from caffepy.cpu.dropout import Dropout
from caffepy.cpu.gather import Gather
from caffepy.cpu.gemm import InnerProduct
from caffepy.cpu.hinge_loss import HingeLoss
from caffepy.cpu.im2col import Im2col
from caffepy.cpu.infogain_loss import InfogainLoss
from caffepy.cpu.lrn import LRN
from caffepy.cpu.lrn_within import LRNWithin
from caffepy.cpu.lstm import LSTMUnit
from caffepy.cpu.multinomial_loss import MultinomialLoss
from caffepy.cpu.nesterov import Nesterov
from caffepy.cpu.notes import Notes
from caffepy.cpu.pool import AvePool, MaxPool
from caffepy.cpu.prelu import PReLU
from caffepy.cpu.relu import ReLU
from caffepy.cpu.rmsprop import RMSProp
from caffepy.cpu.sgd import SGD
from caffepy.cpu.sigmoid_cross_entropy_loss import SigmoidCrossEntropyLoss
from caffepy.cpu.softmax import Softmax
from caffepy.cpu.softmax_loss import SoftmaxLoss
from caffepy.cpu.stochastic_pool import StochasticPool
from caffepy.cpu.transform import Transform
from caffepy.cpu.upload import Upload

__all__ = [
    "LRN",
    "SGD",
    "Accuracy",
    "AdaDelta",
    "AdaGrad",
    "Adam",
    "ArgMax",
    "AvePool",
    "BatchNorm",
    "ChannelAffine",
    "ClipGradients",
    "Conv",
    "Dropout",
    "Gather",
    "HingeLoss",
    "Im2col",
    "InfogainLoss",
    "InnerProduct",
    "LRNWithin",
    "LSTMUnit",
    "MaxPool",
    "MultinomialLoss",
    "Nesterov",
    "Notes",
    "PReLU",
    "RMSProp",
    "ReLU",
    "SigmoidCrossEntropyLoss",
    "Softmax",
    "SoftmaxLoss",
    "StochasticPool",
    "Transform",
    "Upload",
]
