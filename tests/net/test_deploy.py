"""Nets that cannot be made ready for prediction."""

from __future__ import annotations

import pytest

from caffepy.errors import NetError
from caffepy.net.deploy import deploy_net
from caffepy.proto.read import parse_net

INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } } '


@pytest.mark.parametrize("kind", ["SoftmaxWithLoss", "ContrastiveLoss"])
@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_a_loss_of_nothing(kind, phase):
    loss = f'layer {{ name: "l" type: "{kind}" top: "l" include {{ phase: {phase} }} }}'
    with pytest.raises(
        NetError, match=rf"layer 'l' \({kind}\) has no bottoms, so nothing can be predicted in its place"
    ):
        deploy_net(*parse_net(INPUT + loss))
