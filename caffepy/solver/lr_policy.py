"""The learning rate of an iteration (Caffe's SGDSolver::GetLearningRate).

========== =====================================================================
fixed      base_lr
step       base_lr * gamma ^ floor(iter / stepsize)
exp        base_lr * gamma ^ iter
inv        base_lr * (1 + gamma * iter) ^ -power
multistep  base_lr * gamma ^ (how many of ``stepvalue`` are at most iter)
poly       base_lr * (1 - iter / max_iter) ^ power, 0 beyond max_iter
sigmoid    base_lr / (1 + exp(-gamma * (iter - stepsize)))
========== =====================================================================
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from caffepy.errors import SolverError, did_you_mean
from caffepy.proto import caffe_pb2

__all__ = ["POLICIES", "check_policy", "current_step", "learning_rate"]


def _sigmoid(param: caffe_pb2.SolverParameter, iteration: int) -> float:
    exponent = -param.gamma * (iteration - param.stepsize)
    # exp overflows a double beyond 709; the rate is zero long before.
    return 0.0 if exponent > 700 else param.base_lr / (1 + math.exp(exponent))


_log = logging.getLogger("caffepy")

POLICIES: dict[str, Callable[[caffe_pb2.SolverParameter, int], float]] = {
    "fixed": lambda p, i: p.base_lr,
    "step": lambda p, i: p.base_lr * p.gamma ** (i // p.stepsize),
    "exp": lambda p, i: p.base_lr * p.gamma**i,
    "inv": lambda p, i: p.base_lr * (1 + p.gamma * i) ** -p.power,
    "multistep": lambda p, i: p.base_lr * p.gamma ** current_step(p, i),
    "poly": lambda p, i: p.base_lr * max(1 - i / p.max_iter, 0.0) ** p.power,
    "sigmoid": _sigmoid,
}

_NEEDS = {
    "step": ("gamma", "stepsize"),
    "exp": ("gamma",),
    "inv": ("gamma", "power"),
    "multistep": ("gamma",),
    "poly": ("power",),
    "sigmoid": ("gamma", "stepsize"),
}


def learning_rate(param: caffe_pb2.SolverParameter, iteration: int) -> float:
    """The rate of ``iteration`` (from 0), before any ``lr_mult``."""
    try:
        return POLICIES[param.lr_policy](param, iteration)
    except (OverflowError, ZeroDivisionError):
        return math.inf


def current_step(param: caffe_pb2.SolverParameter, iteration: int) -> int:
    """How many times the rate has been lowered, which Caffe keeps in a solver state."""
    if param.lr_policy == "multistep":
        # As Caffe walks them: in order, one an iteration. A value out of order holds back those behind it.
        passed, at = 0, -1
        for value in param.stepvalue:
            at = max(value, at + 1)
            passed += iteration >= at
        return passed
    return iteration // param.stepsize if param.lr_policy == "step" else 0


def check_policy(param: caffe_pb2.SolverParameter) -> None:
    """Refuse a policy that does not exist or that lacks its settings.

    Raises:
        SolverError: names the field.
    """
    if param.lr_policy not in POLICIES:
        if not param.lr_policy:
            raise SolverError(
                "Unknown learning rate policy: '': lr_policy is not given. "
                f'Add lr_policy: "fixed", or another of {", ".join(POLICIES)}.'
            )
        hint = did_you_mean(param.lr_policy, list(POLICIES))
        raise SolverError(
            f"Unknown learning rate policy: '{param.lr_policy}'.{hint} lr_policy is one of {', '.join(POLICIES)}."
        )
    # Caffe takes what is missing as 0 and trains on, to no effect; whoever wrote the file should know.
    for name in ("base_lr", *_NEEDS.get(param.lr_policy, ())):
        if not param.HasField(name):
            _log.warning(
                "lr_policy: \"%s\" uses the field '%s', which is not given and so is 0.", param.lr_policy, name
            )
    if param.lr_policy in ("step", "sigmoid") and param.stepsize <= 0:
        raise SolverError(
            f'lr_policy: "{param.lr_policy}" needs stepsize > 0 (Check failed: stepsize > 0); got {param.stepsize}.'
        )
    if param.lr_policy not in ("fixed", "poly") and param.gamma < 0:
        raise SolverError(
            f'lr_policy: "{param.lr_policy}" needs gamma >= 0 (Check failed: gamma >= 0); got {param.gamma:g}.'
        )
    if param.lr_policy == "poly" and param.max_iter <= 0:
        raise SolverError(f'lr_policy: "poly" needs max_iter > 0; got {param.max_iter}.')
