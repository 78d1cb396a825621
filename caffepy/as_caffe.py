"""``python -m caffepy.as_caffe script.py ...``: run a script written for Caffe, unchanged, on caffepy.

``python -m caffepy.as_caffe -m module ...`` runs a module.
"""

from __future__ import annotations

import os
import runpy
import sys

from caffepy.aliases import alias_caffe
from caffepy.pycaffe import mode
from caffepy.pycaffe.log import init_log

__all__ = ["install_as_caffe", "main"]

_USAGE = (
    "usage: python -m caffepy.as_caffe script.py [arguments]\n       python -m caffepy.as_caffe -m module [arguments]"
)


def install_as_caffe() -> None:
    """Let scripts that cannot be edited run on caffepy: ``import caffe`` is caffepy from now on.

    All that such scripts import is there: ``caffe.io``, ``from caffe.proto import caffe_pb2``, ``from caffe import
    layers as L``. Two things are then as in Caffe: nets run the Python layers that their prototxts name, so use
    prototxts that you trust; and a log is written to stderr, as the environment's GLOG_minloglevel says.

    Raises:
        CaffepyError: another ``caffe`` has been imported.
    """
    alias_caffe()
    mode.allow_python_layers = True
    init_log()


def main() -> None:
    """Run what the command line names, as Python would."""
    module = len(sys.argv) > 2 and sys.argv[1] == "-m"
    if not module and (len(sys.argv) < 2 or sys.argv[1].startswith("-")):
        sys.exit(_USAGE)
    install_as_caffe()
    if module:
        sys.argv = sys.argv[2:]
        sys.path[0] = os.getcwd()
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        return
    sys.argv = sys.argv[1:]
    if not os.path.isfile(sys.argv[0]):
        sys.exit(f"there is no script '{sys.argv[0]}' in {os.getcwd()}.")
    sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
