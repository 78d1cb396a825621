"""Blobs, records and states as a file has them, the states that nets are asked for in, and old nets."""

from __future__ import annotations

import numpy as np
from PIL import Image

from caffepy.data.datum import decode
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net, parse_solver, read_binary, write_binary
from caffepy.solver import get_solver
from tests.data.images import file_bytes, noise_image, raw_datum
from tests.fields.demo import Demo
from tests.solver.least_squares import PLAIN

__all__ = ["files"]

NET = """layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2 bias_term: false } }"""
#: The rate falls after each step, so that a snapshot has a current_step.
SOLVER = (
    'base_lr: 0.1 lr_policy: "step" stepsize: 1 gamma: 0.5 momentum: 0.5 random_seed: 1 snapshot_prefix: "p" '
    "max_iter: 5"
)
#: In TRAIN, and with level and stage of its own.
STATED = """train_state { phase: TEST level: 2 stage: "more" } net_param {
layer { name: "w" type: "Parameter" top: "w" parameter_param { shape { dim: 1 } } }
layer { name: "phase" type: "Power" bottom: "w" top: "phase" include { phase: TEST } }
layer { name: "level" type: "Power" bottom: "w" top: "level" include { min_level: 1 } }
layer { name: "stage" type: "Power" bottom: "w" top: "stage" include { stage: "more" } } }
"""


def files() -> list[Demo]:
    """All of them."""
    return [*_blobs(), *_datums(), _state(), Demo("solver's state", parse_solver(STATED + SOLVER)[0], _layers)]


def _layers(solver: caffe_pb2.SolverParameter) -> list[str]:
    made = get_solver(solver)
    try:
        return [layer.name for layer in made.net.layers]
    finally:
        made.close()


def _blobs() -> list[Demo]:
    six, more = [1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]
    shape = caffe_pb2.BlobShape(dim=[2, 3])
    return [
        Demo("blob", caffe_pb2.BlobProto(shape=shape, data=six, diff=more), _weights),
        Demo("doubles", caffe_pb2.BlobProto(shape=shape, double_data=six, double_diff=more), _weights),
        Demo("old sizes", caffe_pb2.BlobProto(num=1, channels=1, height=2, width=3, data=six), _weights),
    ]


def _weights(blob: caffe_pb2.BlobProto) -> list[np.ndarray]:
    """The blob as the weights of a layer."""
    stored = caffe_pb2.NetParameter()
    stored.layer.add(name="ip", type="InnerProduct").blobs.append(blob)
    write_binary("blob.caffemodel", stored)
    with Net(parse_net(NET)) as net:
        net.copy_from("blob.caffemodel")
        learnt = net.params["ip"][0]
        return [np.array(learnt.data), np.array(learnt.diff)]


def _datums() -> list[Demo]:
    picture = file_bytes(Image.fromarray(noise_image((3, 4, 5)).transpose(1, 2, 0)), "PNG")
    floats = caffe_pb2.Datum(channels=1, height=1, width=2, float_data=[0.5, 1.5])
    return [
        Demo("raw record", raw_datum(noise_image((3, 4, 5)), 7), _record),
        Demo("record of floats", floats, _record),
        Demo("encoded record", caffe_pb2.Datum(data=picture, encoded=True, label=3), _record),
    ]


def _record(datum: caffe_pb2.Datum) -> tuple[object, ...]:
    return tuple(decode(datum.SerializeToString(), b"key"))


def _state() -> Demo:
    net = PLAIN % {"batch": 8, "params": ""}
    text = f"{SOLVER} net_param {{ {net} }}"

    def look(state: caffe_pb2.SolverState) -> dict[str, object]:
        write_binary("shown.solverstate", state)
        solver = get_solver(parse_solver(text))
        try:
            solver.restore("shown.solverstate")
            solver.step(1)
            return {"iter": solver.iter, "weights": solver._data.copy(), "history": [h.copy() for h in solver.history]}
        finally:
            solver.close()

    return Demo("state", _snapshot(text.replace("random_seed: 1", "random_seed: 2")), look)


def _snapshot(text: str) -> caffe_pb2.SolverState:
    state = caffe_pb2.SolverState()
    solver = get_solver(parse_solver(text))
    try:
        solver.step(3)
        read_binary(solver.snapshot()[1], state)
    finally:
        solver.close()
    return state
