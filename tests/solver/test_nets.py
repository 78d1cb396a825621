"""Which nets a solver makes of net, net_param, train_net, test_net and their kin, and what it refuses."""

from __future__ import annotations

import pytest

from caffepy import TEST, TRAIN
from caffepy.errors import NetError, ParseError, SolverError
from caffepy.proto.read import parse_solver
from caffepy.solver import get_solver

LAYERS = """
    layer { name: "x" type: "DummyData" top: "x" top: "t"
      dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
    layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 4 } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "t" top: "loss" }
    layer { name: "only_test" type: "Accuracy" bottom: "ip" bottom: "t" top: "only_test" include { phase: TEST } }
    layer { name: "only_a" type: "Power" bottom: "x" top: "only_a" include { stage: "a" } }
    layer { name: "level_2" type: "Power" bottom: "x" top: "level_2" include { min_level: 2 } }
"""


@pytest.fixture
def solver(tmp_path):
    """Makes a solver of settings; ``FILE`` and ``OTHER`` stand for paths of nets, ``NET`` for a net written out."""
    made = []
    for name in ("file", "other"):
        (tmp_path / f"{name}.prototxt").write_text(f'name: "{name}" {LAYERS}')

    def make(settings: str):
        text = settings
        for word in ("FILE", "OTHER"):
            text = text.replace(word, f'"{tmp_path}/{word.lower()}.prototxt"')
        text = text.replace("NET(", '{ name: "').replace(")NET", f'" {LAYERS} }}')
        param, lines = parse_solver(text + ' base_lr: 0.1 lr_policy: "fixed"', "solver.prototxt")
        made.append(get_solver((param, lines)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def _names(solver):
    return solver.net.name, [net.name for net in solver.test_nets]


@pytest.mark.parametrize(
    ("settings", "train", "tests"),
    [
        ("net: FILE", "file", []),
        ("net: FILE test_iter: 1 test_interval: 5", "file", ["file"]),
        ("net: FILE test_iter: 1 test_iter: 2 test_interval: 5", "file", ["file", "file"]),
        ("net_param NET(in)NET test_iter: 1 test_interval: 5", "in", ["in"]),
        ("train_net: FILE", "file", []),
        ("train_net: FILE test_net: OTHER test_iter: 1 test_interval: 5", "file", ["other"]),
        ("train_net_param NET(in)NET test_net: OTHER test_net: FILE test_iter: 1 test_iter: 1 test_interval: 5", "in",
         ["other", "file"]),
        ("train_net: FILE test_net: OTHER test_net_param NET(in)NET test_iter: 1 test_iter: 1 test_interval: 5", "file",
         ["in", "other"]),
        ("net: FILE test_net: OTHER test_net_param NET(in)NET test_iter: 1 test_iter: 2 test_iter: 3 test_interval: 5",
         "file", ["in", "other", "file"]),
        ("net: FILE test_net: OTHER test_iter: 1 test_interval: 5", "file", ["other"]),
    ],
)  # fmt: skip
def test_nets(solver, settings, train, tests):
    made = solver(settings)
    assert _names(made) == (train, tests)
    assert made.net.phase == TRAIN
    assert "only_test" not in made.net.layer_dict
    for net in made.test_nets:
        assert net.phase == TEST
        assert "only_test" in net.layer_dict
    result = [made.test(i) for i in range(len(tests))]
    assert [event.net for event in result] == list(range(len(tests)))


NO_NET = (
    "SolverParameter must specify a train net using one of these fields: net, net_param, train_net, train_net_param"
)
TWO = "SolverParameter must not contain more than one of these fields specifying a train_net"
EACH = "test_iter must be specified for each test network"


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ("", NO_NET),
        ("test_net: FILE test_iter: 1 test_interval: 5", NO_NET),
        ("net: FILE train_net: FILE", f"{TWO}: .*; got train_net and net"),
        ("net: FILE net_param NET(in)NET", f"{TWO}: .*; got net_param and net"),
        ("train_net: FILE train_net_param NET(in)NET", f"{TWO}: .*; got train_net_param and train_net"),
        ("train_net: FILE test_net: OTHER test_interval: 5", f"{EACH}: 1 test nets, 0 test_iter"),
        ("train_net: FILE test_iter: 1 test_interval: 5", f"{EACH}: 0 test nets, 1 test_iter. Name the test net"),
        ("train_net: FILE test_net: OTHER test_iter: 1 test_iter: 1 test_interval: 5", f"{EACH}: 1 test nets, 2"),
        ("net: FILE test_net: OTHER test_net: FILE test_iter: 1 test_interval: 5", f"{EACH}: 2 test nets, 1 test_iter"),
        ("net: FILE test_iter: 1", r"test_interval must be positive .*\(Check failed: test_interval > 0\); got 0"),
        (
            "net: FILE test_iter: 1 test_iter: 1 test_interval: 5 test_state { stage: 'a' }",
            "test_state must be unspecified or specified once per test net: 2 test nets, 1 test_state",
        ),
        (
            "net: FILE test_state { stage: 'a' }",
            "test_state must be unspecified or specified once per test net: 0 test nets, 1 test_state",
        ),
    ],
)
def test_nets_that_do_not_fit(solver, settings, match):
    with pytest.raises(SolverError, match=f"^solver.prototxt:1: {match}"):
        solver(settings)


def test_a_net_that_is_not_there_or_does_not_build(solver, tmp_path):
    with pytest.raises(ParseError, match=r"Could not open file .*none\.prototxt"):
        solver('net: "none.prototxt"')
    match = r"^solver.prototxt:2: Unknown bottom blob 'zzz' \(layer 'a', bottom index 0\)"
    with pytest.raises(NetError, match=match):
        solver('net_param {\n layer { name: "a" type: "ReLU" bottom: "zzz" top: "b" } }')


def test_states_are_merged_solver_defaults_then_net_then_solver(solver):
    made = solver(
        """net_param { state { stage: "a" level: 1 } """
        + LAYERS
        + """ }
        test_iter: 1 test_iter: 1 test_interval: 5 train_state { level: 2 stage: "b" }
        test_state { } test_state { level: 3 stage: "c" }"""
    )
    states = [(net.state.phase, net.state.level, sorted(set(net.state.stage))) for net in (made.net, *made.test_nets)]
    assert states == [(TRAIN, 2, ["a", "b"]), (TEST, 1, ["a"]), (TEST, 3, ["a", "c"])]
    has = [[name in net.layer_dict for name in ("only_a", "level_2")] for net in (made.net, *made.test_nets)]
    assert has == [[True, True], [True, False], [True, True]]


def test_the_nets_own_phase_takes_the_place_of_the_solvers(solver):
    made = solver("net_param { state { phase: TEST } " + LAYERS + " }")
    assert made.net.phase == TEST
    assert "only_test" in made.net.layer_dict
    assert made.net.layer_dict["ip"].phase == TEST
    made = solver("net: FILE train_state { phase: TEST }")
    assert made.net.phase == TEST


def test_old_nets_inside_a_solver_are_upgraded(solver):
    made = solver(
        """train_net_param { name: "old"
        layers { name: "x" type: DUMMY_DATA top: "x" top: "t" dummy_data_param { num: 2 channels: 3 height: 1 width: 1
          num: 2 channels: 1 height: 1 width: 1 } }
        layers { name: "ip" type: INNER_PRODUCT bottom: "x" top: "ip" blobs_lr: 1 blobs_lr: 2 weight_decay: 1
          weight_decay: 0 inner_product_param { num_output: 4 } }
        layers { name: "loss" type: SOFTMAX_LOSS bottom: "ip" bottom: "t" top: "loss" } }"""
    )
    assert [layer.type for layer in made.net.layers] == ["DummyData", "InnerProduct", "SoftmaxWithLoss"]
    assert made._bounds() == [(0, 12, 1, 1), (12, 16, 2, 0)]


def test_a_missing_net_names_the_line_of_the_solver(tmp_path):
    (tmp_path / "s.prototxt").write_text('base_lr: 0.1 lr_policy: "fixed"\nnet: "nowhere.prototxt"\nmax_iter: 1\n')
    with pytest.raises(ParseError, match=r"s\.prototxt:2: .*nowhere\.prototxt"):
        get_solver(tmp_path / "s.prototxt")


def test_more_test_nets_than_any_solver_has(solver):
    solver("net: FILE test_interval: 1" + " test_iter: 1" * 2)
    with pytest.raises(SolverError, match=r"^solver.prototxt:1: 0 test nets and 101 test_iter: there are at most 100"):
        solver("net: FILE test_interval: 1" + " test_iter: 1" * 101)
    with pytest.raises(SolverError, match=r"101 test nets and 0 test_iter: there are at most 100"):
        solver("train_net: FILE" + " test_net: FILE" * 101)
