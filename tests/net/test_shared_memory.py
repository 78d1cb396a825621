"""Nets whose blobs share memory compute the bits of those whose blobs do not, in as little as lifetimes allow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffepy
from caffepy.devices import get_backend
from caffepy.errors import NetError
from caffepy.net import Net
from caffepy.net.build import Entry
from caffepy.net.memory import _RULES, Piece, SharedMemory, _place, _rule
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net, read_net
from caffepy.proto.text import Lines
from caffepy.solver import Solver, get_solver
from caffepy.testing import Case, LayerUnderTest
from tests.net.from_text import net_of
from tests.net.square_loss import SquareLoss
from tests.test_contract import CASES

assert SquareLoss.loss

MODELS = Path(__file__).parents[2] / "models"
DATA = """layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 3 dim: 4 dim: 9 dim: 9 } shape { dim: 3 }
  data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 1 } } }
"""
CLASSIFY = """layer { name: "fc" type: "InnerProduct" bottom: "%s" top: "fc"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""


def _layer(name: str, kind: str, bottom: str, top: str = "", settings: str = "") -> str:
    blobs = " ".join(f'bottom: "{b}"' for b in bottom.split()) + " "
    blobs += " ".join(f'top: "{t}"' for t in (top or name).split())
    return f'layer {{ name: "{name}" type: "{kind}" {blobs} {settings} }}\n'


def _conv(name: str, bottom: str, params: str = "", outputs: int = 4) -> str:
    settings = f"""{params} convolution_param {{ num_output: {outputs} kernel_size: 3 pad: 1
        weight_filler {{ type: "xavier" }} bias_filler {{ type: "constant" value: 0.1 }} }}"""
    return _layer(name, "Convolution", bottom, settings=settings)


def _norm(name: str, blob: str) -> str:
    return (
        _layer(name, "BatchNorm", blob, blob)
        + _layer(f"{name}_scale", "Scale", blob, blob, "scale_param { bias_term: true }")
        + _layer(f"{name}_relu", "ReLU", blob, blob)
    )


#: Nets small enough to read, each with what could go wrong.
SMALL = {
    "chain with everything in place": DATA + _conv("a", "data") + _norm("n", "a")
    + _layer("drop", "Dropout", "a", "a") + CLASSIFY % "a",
    "nothing in place": DATA + _conv("a", "data") + _layer("n", "BatchNorm", "a")
    + _layer("s", "Scale", "n", settings="scale_param { bias_term: true }") + _layer("r", "ReLU", "s")
    + _layer("l", "LRN", "r", settings="lrn_param { local_size: 3 alpha: 1 }")
    + _layer("w", "LRN", "l", settings="lrn_param { local_size: 3 alpha: 1 norm_region: WITHIN_CHANNEL }")
    + _layer("p", "Pooling", "w", settings="pooling_param { kernel_size: 3 stride: 2 }")
    + _layer("d", "Dropout", "p") + _layer("f", "Flatten", "d")
    + _layer("sig", "Sigmoid", "f") + _layer("tanh", "TanH", "sig") + CLASSIFY % "tanh",
    "residual sums": DATA + _conv("a", "data") + _norm("na", "a") + _conv("b", "a") + _norm("nb", "b")
    + _layer("sum", "Eltwise", "a b") + _layer("sr", "ReLU", "sum", "sum") + _conv("c", "sum")
    + _layer("sum2", "Eltwise", "c sum", settings="eltwise_param { coeff: 0.5 coeff: -2 }")
    + _conv("e", "sum2") + _layer("max", "Eltwise", "e sum2", settings="eltwise_param { operation: MAX }")
    + CLASSIFY % "max",
    "branches joined": DATA + _conv("a", "data") + _conv("b", "a") + _layer("br", "ReLU", "b", "b") + _conv("c", "a")
    + _layer("p", "Pooling", "a", settings="pooling_param { pool: AVE kernel_size: 3 stride: 1 pad: 1 }")
    + _layer("cat", "Concat", "b c p") + _layer("cut", "Slice", "cat", "x y z") + _conv("xx", "x") + _conv("yy", "y")
    + _layer("prod", "Eltwise", "xx yy", settings="eltwise_param { operation: PROD }")
    + _layer("quiet", "Silence", "z", " ") + CLASSIFY % "prod",
    "shared weights": DATA + _conv("a", "data", 'param { name: "w" } param { name: "b" }')
    + _conv("b", "a", 'param { name: "w" } param { name: "b" }') + _conv("c", "b", "param { lr_mult: 0 }")
    + CLASSIFY % "c",
    "frozen below, read twice": DATA + _conv("a", "data", "param { lr_mult: 0 } param { lr_mult: 0 }")
    + _layer("ar", "ReLU", "a", "a") + _conv("b", "a") + _layer("r", "Reshape", "b",
    settings="reshape_param { shape { dim: 0 dim: -1 } }") + CLASSIFY % "r"
    + _layer("acc", "Accuracy", "fc label"),
    "losses in between": DATA + _conv("a", "data") + _layer("half", "Power", "a", settings=
    "loss_weight: 0.5 power_param { power: 2 scale: 0.1 }") + _conv("b", "a")
    + _layer("e", "EuclideanLoss", "b a", settings="loss_weight: 0.01") + CLASSIFY % "b",
    "a layer that nobody knows": DATA + _conv("a", "data") + _layer("ar", "ReLU", "a", "a") + _conv("b", "a")
    + _layer("square", "SquareLoss", "b a", settings="loss_weight: 0.01") + CLASSIFY % "b",
    "force_backward": "force_backward: true " + DATA + _conv("a", "data") + _layer("ar", "ReLU", "a", "a")
    + CLASSIFY % "a",
    "force_backward above the last loss": "force_backward: true " + DATA + _conv("a", "data") + CLASSIFY % "a"
    + _layer("other", "InnerProduct", "a", settings="inner_product_param { num_output: 5 }")
    + _layer("or", "ReLU", "other", "other") + _layer("acc", "Accuracy", "other label"),
}  # fmt: skip


def _model(name: str, batch: int) -> str:
    """A model's net for training on random images."""
    param, _ = read_net(MODELS / name / "train_val.prototxt")
    size, channels = {"lenet": (28, 1), "alexnet": (227, 3)}.get(name, (224, 3))
    net = caffe_pb2.NetParameter(name=name)
    data = net.layer.add(name="data", type="DummyData", top=["data", "label"]).dummy_data_param
    data.shape.add(dim=[batch, channels, size, size])
    data.shape.add(dim=[batch])
    data.data_filler.add(type="gaussian", std=1)
    data.data_filler.add(type="constant", value=1)
    net.layer.extend(layer for layer in param.layer if layer.type != "Data")
    return str(net)


def _weights(net: Net, steps: int, rate: float = 0.01) -> np.ndarray:
    """The weights after some steps of plain gradient descent, and the last gradients."""
    data, diff = net.flatten_params()
    for _ in range(steps):
        net.clear_param_diffs()
        net.forward()
        net.backward()
        data -= rate * diff
    return np.concatenate([data, diff])


def _poison(net: Net) -> list[int]:
    """Let NaN be wherever nothing is needed, from before a pass on; gives the numbers of elements overwritten."""
    memory, layers, spoiled = net.memory, len(net.entries), []

    def after(moment: int) -> None:
        for piece in memory.pieces:
            if piece.end == moment:
                memory.arena[piece.offset : piece.offset + piece.size] = np.nan
                spoiled.append(piece.size)

    def before(i: int) -> None:
        if i == 0:
            memory.arena[:] = np.nan

    net.before_forward.append(before)
    net.after_forward.append(after)
    net.after_backward.append(lambda i: after(2 * layers - 1 - i))
    return spoiled


@pytest.mark.parametrize("title", SMALL)
def test_training_computes_the_same_bits(title):
    kept = _weights(net_of(SMALL[title], seed=3), 3)
    net = net_of(SMALL[title], seed=3, share_memory=True)
    spoiled = _poison(net)
    np.testing.assert_array_equal(_weights(net, 3), kept)
    assert sum(spoiled) > 0
    assert np.isfinite(kept).all()
    assert np.ptp(kept) > 0


@pytest.mark.parametrize(("name", "batch"), [("lenet", 8), ("alexnet", 2), ("googlenet", 1), ("resnet50", 2)])
def test_models_train_to_the_same_bits(name, batch):
    text = _model(name, batch)
    kept = _weights(net_of(text, seed=3), 2, 1e-4)
    net = net_of(text, seed=3, share_memory=True)
    _poison(net)
    np.testing.assert_array_equal(_weights(net, 2, 1e-4), kept)


@pytest.mark.parametrize("title", SMALL)
def test_a_test_net_computes_the_same_bits(title):
    nets = [net_of(SMALL[title], "TEST", seed=3, share_memory=share) for share in (False, True)]
    _poison(nets[1])
    kept, shared = ([{name: values.copy() for name, values in net.forward().items()} for _ in range(2)] for net in nets)
    for before, after in zip(kept, shared, strict=True):
        assert before.keys() == after.keys()
        for name in before:
            np.testing.assert_array_equal(after[name], before[name])
            assert np.isfinite(before[name]).all()


def _most(pieces: list[Piece]) -> int:
    """How many elements are needed at one moment at most."""
    return max(
        sum(piece.size for piece in pieces if piece.begin <= moment <= piece.end)
        for moment in {piece.begin for piece in pieces}
    )


def test_alexnet_needs_less_than_the_data_of_its_blobs():
    net = net_of(_model("alexnet", 2), share_memory=True)
    data, diff = (sum(p.size for p in net.memory.pieces if getattr(p, kind)) for kind in ("data", "diff"))
    assert diff > data / 3
    assert net.memory.size <= 1.02 * _most(net.memory.pieces)
    assert net.memory.size < 0.75 * data


def test_a_chain_of_a_test_net_needs_two_blobs():
    text = DATA + _conv("a", "data") + _conv("b", "a") + _conv("c", "b") + _conv("d", "c") + _conv("e", "d")
    net = net_of(text, "TEST", share_memory=True)
    rounded = -(-3 * 4 * 81 // 64) * 64
    assert net.memory.size == 2 * rounded
    assert net.memory.owns(net.blobs["d"]) == (True, False)
    assert net.memory.owns(net.blobs["e"]) == (False, False), "an output is kept"
    assert net.memory.owns(net.blobs["data"]) == (False, False), "a layer without bottoms may write only once"


def test_what_can_be_looked_at_is_kept():
    net = net_of(SMALL["force_backward"], share_memory=True)
    net.forward()
    net.backward()
    assert np.ptp(net.blobs["data"].diff) > 0
    assert net.memory.owns(net.blobs["data"]) == (False, False)
    assert net.memory.owns(net.blobs["loss"]) == (False, False)


def test_a_gradient_that_nobody_writes_stays_zero():
    """Accuracy gives none: the Split's diff for it is read all the same."""
    net = net_of(SMALL["frozen below, read twice"], share_memory=True)
    unwritten = net.blobs["fc_fc_0_split_1"]
    _poison(net)
    _weights(net, 2)
    assert net.memory.owns(unwritten) == (True, False)
    assert not unwritten.diff.any()


INPUT = """layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 4 dim: 5 dim: 5 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }
"""
RESHAPED = INPUT + _conv("a", "data") + _norm("n", "a") + _conv("b", "a") + _layer(
    "global", "Pooling", "b", settings="pooling_param { pool: AVE global_pooling: true }"
) + _layer("flat", "Flatten", "global") + CLASSIFY % "flat"  # fmt: skip


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_shapes_may_change_between_passes(phase):
    random = np.random.default_rng(0)
    nets = [net_of(RESHAPED, phase, seed=3, share_memory=share) for share in (False, True)]
    sizes = []
    for shape in [(2, 4, 5, 5), (3, 4, 8, 9), (1, 4, 3, 3), (3, 4, 8, 9), (4, 4, 9, 9), (4, 4, 9, 9), (2, 4, 5, 5)]:
        x = random.standard_normal(shape)
        results = []
        for net in nets:
            net.blobs["data"].reshape(*shape)
            net.blobs["label"].reshape(shape[0])
            net.blobs["data"].data[...] = x
            net.clear_param_diffs()
            results.append([net.forward()["loss"].copy()])
            if phase == "TRAIN":
                net.backward()
                results[-1] += [param.blob.diff.copy() for param in net.learnable_params]
        for kept, shared in zip(*results, strict=True):
            # In TEST only the net that shares memory joins normalisation to its convolution.
            np.testing.assert_allclose(shared, kept, rtol=1e-6 if phase == "TEST" else 0)
        sizes.append(nets[1].memory.arena.size)
    assert sizes == sorted(sizes), "memory once taken is kept"
    assert sizes[0] < sizes[-1]
    assert sizes[-2] == sizes[-1]


def test_passes_that_would_read_what_is_gone_are_refused():
    net = net_of(SMALL["branches joined"], share_memory=True)
    net.forward()
    with pytest.raises(NetError, match="shares memory between blobs, and forward from a later layer would read data"):
        net.forward(start="b")
    with pytest.raises(NetError, match=r"backward through some layers would read diffs.*share_memory=False"):
        net.backward(start="cat")
    with pytest.raises(NetError, match="backward through some layers would read diffs"):
        net.backward(end="cat")
    net.backward()
    with pytest.raises(NetError, match="a second backward would read data that is no longer there: run forward first"):
        net.backward()
    net.forward(end="cat")
    test = net_of(SMALL["branches joined"], "TEST", share_memory=True)
    test.forward()
    with pytest.raises(NetError, match="in the TEST phase backward would read data"):
        test.backward()


def test_a_net_keeps_every_blob_unless_asked():
    net = net_of(SMALL["residual sums"])
    assert net.memory is None
    net.forward()
    net.backward()
    diffs = {name: blob.diff.copy() for name, blob in net.blobs.items()}
    net.backward(end="sum")
    for name in ("fc", "sum2", "c"):
        np.testing.assert_array_equal(net.blobs[name].diff, diffs[name])


def test_the_rules_are_of_layers_that_there_are():
    assert set(_RULES) <= set(caffepy.layer_types())


def _type(case: Case) -> str:
    return parse_net(f"layer {{ {case.prototxt} }}")[0].layer[0].type


KNOWN = [pytest.param(case, id=f"{file}: {case.title}") for file, case in CASES if _type(case) in {*_RULES, "Eltwise"}]


@pytest.mark.parametrize("case", KNOWN)
def test_backward_reads_only_what_the_rules_say(case):
    """With NaN in what it should not read, and the bottom's diff where the top's is, backward gives the same bits."""

    def run(shared: bool) -> list[np.ndarray]:
        under = LayerUnderTest(case, get_backend("cpu", "float64", 2))
        bottom, top, propagate = under.bottom, under.top, list(under.propagate)
        under.forward()
        if case.gradient is not None:
            propagate = [i in case.gradient for i in range(len(bottom))]
        if shared:
            rule = _rule(Entry(under.layer, Lines.unknown(), bottom, top, propagate_down=propagate))
            for blob in (*([] if rule.bottom_data else bottom), *([] if rule.top_data else top)):
                blob.data[...] = np.nan
            if rule.over is not None and bottom[rule.over].count == top[0].count:
                bottom[rule.over].place(diff=top[0].diff.reshape(-1))
        if not any(propagate):
            return []
        diffs = under.backward(under.draw_top_diffs(), propagate)
        return [*(diff for diff, down in zip(diffs, propagate, strict=True) if down), *under.blob_diffs()]

    for kept, shared in zip(run(False), run(True), strict=True):
        np.testing.assert_array_equal(shared, kept)
        assert np.isfinite(kept).all()


def _trained(share: bool, **settings) -> tuple[Solver, np.ndarray]:
    param = caffe_pb2.SolverParameter(
        net_param=read_net(MODELS / "lenet" / "train_val.prototxt")[0], base_lr=0.01, lr_policy="fixed", momentum=0.9,
        random_seed=3, test_iter=[2], test_interval=2, iter_size=2, snapshot_after_train=False, **settings,
    )  # fmt: skip
    net = caffe_pb2.NetParameter.FromString(param.net_param.SerializeToString())
    net.ClearField("layer")
    net.layer.extend(parse_net(_model("lenet", 4))[0].layer[:1])
    net.layer.extend(layer for layer in param.net_param.layer if layer.type != "Data")
    param.net_param.CopyFrom(net)
    solver = get_solver(param, share_memory=share)
    solver.step(3)
    results = [param.blob.data.reshape(-1) for param in solver.net.learnable_params]
    tested = solver.test(0)
    return solver, np.concatenate([*results, [output.value for output in tested.outputs]])


def test_a_solver_computes_the_same_bits_with_its_test_nets():
    kept, shared = _trained(False), _trained(True)
    np.testing.assert_array_equal(shared[1], kept[1])
    assert [net.memory is None for net in (kept[0].net, *kept[0].test_nets)] == [True, True]
    assert [net.memory is None for net in (shared[0].net, *shared[0].test_nets)] == [False, False]


def test_debug_info_looks_at_every_blob():
    solver, _ = _trained(True, debug_info=True)
    assert solver.net.memory is None
    assert solver.test_nets[0].memory is None


def test_places_do_not_overlap_while_needed_and_are_filled_when_free():
    random = np.random.default_rng(0)
    for _ in range(50):
        begins, lengths, sizes = random.integers(0, 20, 30), random.integers(0, 9, 30), random.integers(0, 500, 30)
        pieces = [
            Piece(begin=int(begin), end=int(begin + length), size=int(size))
            for begin, length, size in zip(begins, lengths, sizes, strict=True)
        ]
        total = _place(pieces)
        for moment in range(30):
            used = np.zeros(total, int)
            for piece in pieces:
                if piece.begin <= moment <= piece.end:
                    used[piece.offset : piece.offset + piece.size] += 1
            assert used.max() <= 1
        assert total <= 1.5 * (_most(pieces) + 64 * 30)
    first, second = Piece(begin=0, end=1, size=640), Piece(begin=2, end=3, size=128)
    assert _place([first, second]) == 640
    assert first.offset == second.offset == 0


def test_only_what_grows_finds_a_new_place():
    net = net_of(RESHAPED, share_memory=True)
    memory = net.memory
    assert isinstance(memory, SharedMemory)
    net.forward()
    arena = memory.arena
    net.forward()
    assert memory.arena is arena
    sizes = [piece.size for piece in memory.pieces]
    net.blobs["data"].reshape(1, 4, 3, 3)
    net.blobs["label"].reshape(1)
    net.forward()
    net.forward()
    assert memory.arena is arena
    assert [piece.size for piece in memory.pieces] == sizes
