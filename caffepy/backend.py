"""What a device offers to layers and ops.

A backend has an array module (``xp``), a package of ops (``ops``), one dtype and memory. Layers reach arrays through
``xp`` and kernels through ``ops`` and so never ask where they run.

The op contract
---------------
An op is made once with its settings, ``Op(backend, ...)``, and then has

* ``plan(shapes...)``, which may allocate, tune and build, and returns at once when the shapes are unchanged, so that a
  net can call `Layer.reshape` before every forward pass, as Caffe does;
* ``forward(..., out)`` and ``backward*(..., out)``, which never allocate arrays: they write into ``out`` and use the
  memory that ``plan`` reserved.

Rules that every op keeps:

* **Diffs of parameters accumulate** into ``out`` (iter_size and shared parameters add up);
  **diffs of bottoms overwrite** ``out`` (the Split layer adds what several readers give).
* Arrays are C-contiguous, of the backend's dtype, and logically NCHW whatever an op does inside.
* What a pass must remember for its backward (argmax, mask) lives in the op, not in the layer.
* Whether ``out`` may be the very array that is read is said in the method's docstring.
* What only the values of an input can show to be wrong (a label that is no class), ``check`` raises, which a layer
  gives to `Backend.defer` after ``forward``: a device must not be waited for in the middle of a pass. Until then wrong
  values do no harm: they are passed over, and nothing outside the arrays is read or written.
* Random ops draw from a `caffepy.random.Stream` key and a `Counter`, never from global state.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from caffepy.errors import BackendError
from caffepy.random import Stream

__all__ = ["SMALLER", "Array", "Backend", "Budget", "Counter", "LossScale", "Recorder"]

#: What to do about a net that is too large.
SMALLER = "Make the batch, the images or num_output smaller, or use a larger machine."

# numpy.ndarray or cupy.ndarray: the two share no base class that a type checker knows.
Array: TypeAlias = Any


class Counter:
    """The pass that a net is in: the number that its random ops and data layers count by.

    A solver sets it to ``iter * iter_size + sub``; a net run by hand adds one after each forward pass. Ops keep the
    object, not the number, so that a device may mirror it.
    """

    __slots__ = ("__weakref__", "value")

    def __init__(self, value: int = 0) -> None:
        self.value = value


class Recorder(ABC):
    """Runs work that is the same each time; a device may record it, and then starts all of it by one call.

    The work reads and writes the same arrays each time, and what is done on the host beside starting ops is done only
    the first times. What changes from one time to the next comes from arrays, and from the `Counter` of its net.
    """

    @abstractmethod
    def run(self, name: str, steps: Sequence[Callable[[], None]], passes: int = 0) -> None:
        """Do the steps in their order.

        Args:
            name: the same for the same steps.
            steps: what to do.
            passes: how many passes of the net are among them; the counter counts up by as many when all are done.
        """

    @abstractmethod
    def reset(self) -> None:
        """Forget what was recorded: shapes, arrays or settings have changed."""


class LossScale(ABC):
    """The factor that keeps gradients within the range of float16: a loss's gradient begins with it, times its weight.

    It lives on the device, as it is to change without the host's waiting: halved where gradients overflowed, which
    leaves out that update, and doubled after many good ones (Micikevicius et al., "Mixed precision training", ICLR
    2018, arXiv:1710.03740).
    """

    @abstractmethod
    def seed(self, diff: Array, weight: float) -> None:
        """``diff = weight * scale``, of a loss."""

    @abstractmethod
    def unscale(self, diff: Array) -> None:
        """Divide the gradients of all learnable blobs by the scale, once before each update.

        Where one of them is not finite the update op leaves all its arrays as they are.
        """

    @abstractmethod
    def report(self) -> tuple[float, int]:
        """The scale, and how many updates were left out so far; waits for the device."""


class Backend(ABC):
    """One device: its arrays, its ops, its memory."""

    #: The array module, ``numpy`` or ``cupy``.
    xp: Any
    #: The package of ops, ``caffepy.cpu`` or ``caffepy.gpu``.
    ops: ModuleType
    #: "cpu" or "gpu:1".
    device: str
    #: Of all blobs: float32 to train, float64 to check gradients.
    dtype: np.dtype[Any]
    #: How many threads the ops of this backend use.
    threads: int
    #: After how many passes a number that the device computed is fetched: 1 where that costs nothing.
    fetch_every: int = 1
    #: In flat arrays of several blobs each begins at a multiple of so many elements.
    alignment: int = 1
    #: What layers run on that may keep their blobs in float16; None where all are of ``dtype``.
    half: Backend | None = None

    @property
    def full(self) -> Backend:
        """What keeps learnable blobs and sums: this one, but of a `half` the one that it is of."""
        return self

    def loss_scale(self) -> LossScale | None:
        """What a training run scales its losses by; None where gradients have the range of float32."""
        return None

    @abstractmethod
    def empty(self, shape: tuple[int, ...], dtype: Any = None) -> Array:
        """An uninitialised array of ``dtype`` (the backend's own unless given)."""

    @abstractmethod
    def zeros(self, shape: tuple[int, ...], dtype: Any = None) -> Array:
        """An array of zeros of ``dtype`` (the backend's own unless given)."""

    @abstractmethod
    def scratch(self, shape: tuple[int, ...], dtype: Any = None) -> Array:
        """Memory that is anybody's again at the next call: one arena, as large as the largest request so far.

        An op asks in ``plan``, where the arena may grow, and again for the same shape in each pass, where it does not.
        """

    @abstractmethod
    def available_memory(self) -> int:
        """Bytes that may still be taken on this device; the largest integer where that is not known."""

    @abstractmethod
    def available_host_memory(self) -> int:
        """The same of the host's memory, where batches are made ahead; on the CPU it is the same memory."""

    def budgets(self) -> tuple[Budget, Budget]:
        """What a net may take of the device's memory and of the host's: one and the same where that is one memory."""
        budget = Budget(self.available_memory())
        return budget, budget

    def host_empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        """An uninitialised array on the host, from where the ops ``Upload`` and ``Transform`` read best."""
        return np.empty(shape, dtype)

    @abstractmethod
    def asarray(self, host: np.ndarray[Any, Any], dtype: Any = None) -> Array:
        """``host`` on this device as ``dtype`` (the backend's own unless given)."""

    def stream(self, seed: int, *names: str | int) -> Stream:
        """Random numbers that are drawn on the host; a backend that has a faster way gives the same bits."""
        return Stream(seed, *names)

    @abstractmethod
    def to_host(self, array: Array) -> np.ndarray[Any, Any]:
        """``array`` as a NumPy array; waits for the device, and then makes the checks that were put off."""

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until everything asked of the device is done; then make the checks that were put off."""

    @abstractmethod
    def defer(self, check: Callable[[], None]) -> None:
        """Make ``check``, which reads values of the device, as soon as nothing need wait for it.

        On the CPU that is now. On a GPU it is at the next `to_host` or `synchronize`, which raise what it raises; until
        then the same check asked for again is made once.
        """

    def recorder(self, counter: Counter) -> Recorder | None:
        """What records the work of the net with this counter; None where starting ops costs next to nothing."""
        return None

    @abstractmethod
    def use(self) -> None:
        """Make this the device of the calling thread; a net does so before each pass."""


class Budget:
    """Memory that a net will need, added up as shapes become known and held against what there is.

    Memory that is asked for is not yet there: systems give it page by page as it is written, and end the process that
    writes too much. So a net that does not fit is refused while it is built, before the first large array.
    """

    def __init__(self, available: int) -> None:
        #: Bytes that there were when the net was begun.
        self.available = available
        #: Bytes that are needed so far.
        self.taken = 0

    def take(self, size: int, what: str, meanwhile: int = 0) -> None:
        """Count ``size`` bytes for ``what``, which needs ``meanwhile`` bytes more until it is ready.

        Raises:
            BackendError: more than there is.
        """
        if self.taken + size + meanwhile > self.available:
            raise BackendError(
                f"{what} needs {size + meanwhile:,} bytes, {self.taken:,} are needed by what comes before it, and "
                f"{self.available:,} are available: out of memory. {SMALLER}"
            )
        self.taken += size
