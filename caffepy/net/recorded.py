"""A training pass whose larger part the device repeats by itself: a pass over the net that can be left out.

A pass forward and backward starts some hundred ops. Where their shapes stay the same the backend may record them once
(a CUDA graph) and start them all at once. What the host does anew in each pass stays outside: layers that bring data.
"""

from __future__ import annotations

from caffepy.backend import Recorder
from caffepy.net.build import Entry
from caffepy.net.net import Net

__all__ = ["RecordedPass"]

#: Built-in layers whose forward pass is the host's work, or takes its shapes from values.
_ON_HOST = frozenset(
    ["Data", "DummyData", "Filter", "HDF5Data", "HDF5Output", "ImageData", "MemoryData", "Python", "WindowData"]
)


def _on_host(entry: Entry) -> bool:
    # A user's own layer may count, draw or look at values, all of which a recording would freeze.
    built_in = type(entry.layer).__module__.startswith(("caffepy.layers.", "caffepy.net."))
    return entry.layer.type in _ON_HOST or not built_in


class RecordedPass:
    """`Net.forward` and `Net.backward` through all layers of a training net: `begin`, and two steps for a `Recorder`.

    Args:
        net: built, with none of its layers run backward that are the host's work; see `why_not`.
        recorder: of its backend.
    """

    def __init__(self, net: Net, recorder: Recorder) -> None:
        self._net, self._recorder = net, recorder
        hosted = [i for i, entry in enumerate(net.entries) if _on_host(entry)]
        #: How many layers, from the first on, run outside the recording.
        self.outside = hosted[-1] + 1 if hosted else 0
        self._shapes: list[tuple[int, ...]] = []

    @staticmethod
    def why_not(net: Net) -> str:
        """Why a net's passes cannot be recorded; empty where they can be."""
        for entry in net.entries:
            if _on_host(entry) and entry.need_backward:
                return f"layer '{entry.layer.name}' ({entry.layer.type}) runs on the host, backward too"
        return ""

    def begin(self) -> None:
        """The host's part; what was recorded for other shapes is forgotten."""
        net = self._net
        net.backend.use()
        if net.memory is not None:
            net.memory.before_forward(0)
            net.memory.before_backward(whole=True)
        self._forward(0, self.outside)
        shapes = [blob.shape for entry in net.entries for blob in entry.top if not entry.bottom]
        if shapes != self._shapes:
            self._recorder.reset()
            self._shapes = shapes

    def forward(self) -> None:
        """All layers that are no part of `begin`."""
        self._forward(self.outside, len(self._net.entries))
        self._net.seed_losses()

    def _forward(self, begin: int, end: int) -> None:
        net = self._net
        try:
            skipped = net.fusion.begin(begin, end - 1)
            for i, entry in enumerate(net.entries[begin:end], begin):
                entry.layer.reshape(entry.bottom, entry.top)
                if i not in skipped:
                    entry.layer.forward(entry.bottom, entry.top)
        finally:
            net.fusion.end()

    def backward(self) -> None:
        """All layers."""
        for entry in reversed(self._net.entries):
            if entry.need_backward:
                entry.layer.backward(entry.top, entry.propagate_down, entry.bottom)
