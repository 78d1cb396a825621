"""Settings of a SolverParameter that are refused before anything is built."""

from __future__ import annotations

import logging
import math

from caffepy.errors import SolverError, prefix
from caffepy.proto import caffe_pb2
from caffepy.proto.ignored import ignored_note
from caffepy.proto.text import Lines
from caffepy.solver.lr_policy import check_policy

__all__ = ["check_settings", "refuse_momentum", "refused"]

_log = logging.getLogger("caffepy")


def refused(lines: Lines, name: str, text: str) -> SolverError:
    """The error for the field ``name``, with its place in the file."""
    return SolverError(f"{prefix(lines.at(name).where())}{text}")


def check_settings(param: caffe_pb2.SolverParameter, lines: Lines) -> None:
    """Refuse what Caffe refuses for any type of solver, or would trip over later; name in the log what has no effect.

    Raises:
        SolverError: names file and line, the field and its value.
    """
    _log_ignored(param, lines)
    try:
        check_policy(param)
    except SolverError as error:
        raise refused(lines, "lr_policy", str(error)) from None
    if param.average_loss < 1:
        raise refused(
            lines, "average_loss", f"average_loss should be non-negative and at least 1; got {param.average_loss}."
        )
    if param.iter_size < 1:
        raise refused(lines, "iter_size", f"iter_size must be at least 1; got {param.iter_size}.")
    # Without weight decay Caffe never looks at it.
    if param.weight_decay and param.regularization_type not in ("L1", "L2"):
        raise refused(
            lines,
            "regularization_type",
            f"Unknown regularization type: {param.regularization_type}. regularization_type is L1 or L2.",
        )
    for name in ("base_lr", "gamma", "power", "momentum", "momentum2", "delta", "weight_decay"):
        if not math.isfinite(getattr(param, name)):
            raise refused(lines, name, f"{name} must be a finite number; got {getattr(param, name)}.")
    if math.isnan(param.clip_gradients):
        raise refused(lines, "clip_gradients", "clip_gradients must be a number; got nan. Take it out to clip nothing.")
    if not param.HasField("max_iter"):
        _log.warning("max_iter is not given and so is 0: solve makes no update.")
    if param.test_interval > 0 and not param.test_iter:
        _log.warning("test_interval: %d without test_iter tests nothing; test_iter: 100 is 100 batches a test.",
                     param.test_interval)  # fmt: skip
    for name in ("display", "snapshot"):
        every = getattr(param, name)
        if every < 0:
            _log.warning("%s: %d counts as %d, as in Caffe; 0 means never.", name, every, -every)


def _log_ignored(param: caffe_pb2.SolverParameter, lines: Lines) -> None:
    own = caffe_pb2.SolverParameter()
    own.CopyFrom(param)
    # A net names its own when it is built.
    for net in ("net_param", "train_net_param", "test_net_param"):
        own.ClearField(net)
    if note := ignored_note(own, lines):
        _log.info("%s", note)


def refuse_momentum(param: caffe_pb2.SolverParameter, lines: Lines) -> None:
    """For rules that have no momentum.

    Raises:
        SolverError: it is given, and not 0.
    """
    if param.momentum != 0:
        raise refused(
            lines,
            "momentum",
            f"Momentum cannot be used with {param.type}. (Check failed: 0 == momentum, which is {param.momentum:g}.) "
            "Take momentum out, or choose another type.",
        )
