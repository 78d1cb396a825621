"""A solver's outside, for observers to watch: what they read of it, and a run told event by event."""

from __future__ import annotations

from types import SimpleNamespace

from caffepy.proto import caffe_pb2
from caffepy.solver.observer import Display, End, Iteration, Output, Snapshot, TestResult


def entry(type_name, tops, bottom=(), shapes=(), weights=()):
    """A layer in its net."""
    blobs = [SimpleNamespace(shape=shape) for shape in shapes]
    return SimpleNamespace(
        layer=SimpleNamespace(type=type_name),
        top_names=list(tops),
        bottom=list(bottom),
        top=blobs,
        loss_weights=list(weights),
    )


def solver(iteration=0, test_nets=1, **param):
    """A solver of max_iter 300 that displays each 100 and tests each 100."""
    settings = {"max_iter": 300, "display": 100, "test_interval": 100, "lr_policy": "step", "snapshot_prefix": "x/net"}
    test = SimpleNamespace(entries=[entry("Accuracy", ["accuracy"]), entry("SoftmaxWithLoss", ["loss"])])
    data = entry("Data", ["data", "label"], shapes=[(64, 1, 28, 28), (64,)])
    return SimpleNamespace(
        param=caffe_pb2.SolverParameter(**{**settings, **param}),
        iter=iteration,
        seed=7,
        type="SGD",
        rate=0.01,
        net=SimpleNamespace(name="LeNet", entries=[data], wait_seconds=0.0),
        test_nets=[test] * test_nets,
        backend=SimpleNamespace(device="cpu", threads=2),
    )


def loss_at(iteration):
    return 2.0 / (1 + iteration / 100)


def tell(observer, watched, stop=None):
    """The events of a run from ``watched.iter`` to ``stop`` (max_iter unless given), as `Solver` orders them."""
    first, last = watched.iter, watched.param.max_iter
    observer.on_begin(watched)
    for iteration in range(first, last if stop is None else stop):
        if iteration % 100 == 0:
            tell_test(observer, iteration)
            loss = loss_at(iteration)
            since = 100 if iteration > first else 0
            observer.on_display(
                Display(iteration, loss, 0.01, [Output("loss", loss, 1.0)], since / 25, since, 0.004 if since else 0.5)
            )
        watched.iter = iteration + 1
        observer.on_iteration(Iteration(iteration, loss_at(iteration)))
    if stop is None:
        observer.on_snapshot(Snapshot(last, f"x/net_iter_{last}.caffemodel", f"x/net_iter_{last}.solverstate"))
        observer.on_last_loss(Iteration(last, loss_at(last)))
        tell_test(observer, last)
        observer.on_end(End(last, False))


def tell_test(observer, iteration, loss=None):
    observer.on_test_begin(iteration, 0)
    outputs = [Output("accuracy", 0.97), Output("loss", 2 * loss_at(iteration), 1.0)]
    observer.on_test(TestResult(iteration, 0, outputs, loss, 1.5))
