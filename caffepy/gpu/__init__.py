"""The ops of the GPU: the twins of those in ``caffepy.cpu``, each a kernel or a library's routine on CuPy's stream."""

from __future__ import annotations

from caffepy.gpu.accuracy import Accuracy
from caffepy.gpu.adadelta import AdaDelta
from caffepy.gpu.adagrad import AdaGrad
from caffepy.gpu.adam import Adam
from caffepy.gpu.arg_max import ArgMax
from caffepy.gpu.batch_norm import BatchNorm
from caffepy.gpu.channel_affine import ChannelAffine
from caffepy.gpu.clip_gradients import ClipGradients
from caffepy.gpu.conv import Conv
from caffepy.gpu.dropout import Dropout
from caffepy.gpu.gather import Gather
from caffepy.gpu.gemm import InnerProduct
from caffepy.gpu.hinge_loss import HingeLoss
from caffepy.gpu.im2col import Im2col
from caffepy.gpu.infogain_loss import InfogainLoss
from caffepy.gpu.lrn import LRN
from caffepy.gpu.lrn_within import LRNWithin
from caffepy.gpu.lstm import LSTMUnit
from caffepy.gpu.multinomial_loss import MultinomialLoss
from caffepy.gpu.nesterov import Nesterov
from caffepy.gpu.notes import Notes
from caffepy.gpu.pool import AvePool, MaxPool
from caffepy.gpu.prelu import PReLU
from caffepy.gpu.relu import ReLU
from caffepy.gpu.rmsprop import RMSProp
from caffepy.gpu.sgd import SGD
from caffepy.gpu.sigmoid_cross_entropy_loss import SigmoidCrossEntropyLoss
from caffepy.gpu.softmax import Softmax
from caffepy.gpu.softmax_loss import SoftmaxLoss
from caffepy.gpu.stochastic_pool import StochasticPool
from caffepy.gpu.transform import Transform
from caffepy.gpu.upload import Upload

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
