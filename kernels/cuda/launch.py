"""The one door to the GPU: its memory, and kernels checked and launched.

What the modules of `minispiral.kernels.cuda` need of the GPU is a `Gpu`. CuPy's is made when it is
first asked for, so that CuPy is needed only there. `using` puts another in its place: the tests'
own runs the same kernels on the CPU, through the same functions, with the same grids, blocks and
shared memory.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .cupy_gpu import CupyGpu
from .table import KERNELS, Kernel

Array = Any  # of whichever GPU: like NumPy's in shape, dtype and flags

MOST_ELEMENTS = 2**30  # of one array: kernels count in 32 bits, and step beyond the end
MOST_BLOCKS = (2**31 - 1, 65535, 65535)
CTYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}


class Uploads(Protocol):
    """Copies arrays of the host to the same ``targets`` on the GPU, batch after batch."""

    targets: list[Array]

    def send(self, *values: NDArray[Any]) -> None:
        """Fill the targets after all that was launched before; then the host's arrays are free."""


class Communicator(Protocol):
    """The GPUs of several processes, of which each has one.

    All processes call the functions in the same order. What they do is queued like a launch, and
    can be recorded.
    """

    def gather(self, values: Array, gathered: Array) -> None:
        """Fill ``gathered (processes, *values.shape)``, in the order of the processes' ranks."""

    def add(self, values: Array) -> None:
        """Replace ``values`` by their sum over the processes, the same bits in all of them."""


class Gpu(Protocol):
    """Where arrays lie and kernels run."""

    def obstacle(self) -> str | None:
        """Why nothing can be computed on it; None where it works."""

    def describe(self) -> str:
        """Which one this is, for the user."""

    def name_on_machine(self) -> str:
        """What tells it from the other GPUs of its machine, whichever of them a process sees."""

    def turn_to(self, number: int) -> None:
        """Compute on this one of the GPUs that the process sees, counted round and round."""

    def in_use(self) -> AbstractContextManager[Any]:
        """A context in which this thread launches kernels on a stream of their own."""

    def has_tensor_cores(self) -> bool:
        """Whether kernels can multiply matrices of TF32 numbers."""

    def owns(self, array: Array) -> bool:
        """Whether kernels can reach this array."""

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """An uninitialised contiguous array."""

    def put(self, values: NDArray[Any]) -> Array:
        """A copy of an array of the host."""

    def get(self, array: Array) -> NDArray[Any]:
        """A copy on the host, once all that was launched is done."""

    def address(self, array: Array) -> int:
        """Where its first element lies."""

    def synchronize(self) -> None:
        """Wait until all that was launched is done."""

    def launch(
        self, kernel: Kernel, grid: tuple[int, ...], block: tuple[int, ...], arguments: list[Any]
    ) -> None:
        """Run a kernel; arguments are arrays of this GPU and NumPy scalars."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """What ``work`` launches, as a function that launches it again; nothing runs meanwhile.

        The arrays that ``work`` makes stay where they are while the function lives.
        """

    def uploads(self, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[DTypeLike]) -> Uploads:
        """Copies of arrays of these shapes from the host, made while the GPU computes."""

    def communicator_id(self) -> Any:
        """What the processes of a communicator-to-be have in common; one makes it for all.

        RuntimeError where GPUs cannot speak to each other, and why.
        """

    def communicator(self, size: int, identity: Any, rank: int) -> Communicator:
        """Joins ``size`` processes, which all call this; RuntimeError where that fails."""


_gpu: Gpu | None = None
_number: int | None = None  # of the GPU to turn to, where processes share out a machine's


def gpu() -> Gpu:
    """The GPU in use: CuPy's, unless `using` says otherwise.

    ImportError where CuPy is not installed. Whether a GPU works shows when it is first used.
    """
    global _gpu
    if _gpu is None:
        made = CupyGpu()
        if _number is not None:
            made.turn_to(_number)
        _gpu = made
    return _gpu


def choose(number: int) -> None:
    """Compute on this one of the GPUs, as `Gpu.turn_to` counts them, from now on."""
    global _number
    _number = number
    if _gpu is not None:
        _gpu.turn_to(number)


@contextmanager
def using(other: Gpu) -> Iterator[Gpu]:
    """Inside this context kernels run on another GPU."""
    global _gpu
    before, _gpu = _gpu, other
    try:
        yield other
    finally:
        _gpu = before


def on_gpu(value: Any) -> bool:
    """Whether this is an array of the GPU in use; False where none has been asked for."""
    return _gpu is not None and _gpu.owns(value)


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """An uninitialised array on the GPU."""
    return gpu().empty(shape, dtype)


def ctype(dtype: DTypeLike) -> str:
    """``float`` or ``double``; ValueError for any other dtype."""
    if np.dtype(dtype) not in CTYPES:
        raise ValueError(f"kernels compute in float32 or float64, got {np.dtype(dtype)}")
    return CTYPES[np.dtype(dtype)]


def blocks(size: int, per_block: int, most: int | None = None) -> int:
    """How many blocks cover ``size`` elements; at most ``most``, where blocks may loop."""
    count = -(-size // per_block)
    return count if most is None else max(1, min(count, most))


def launch(
    expression: str, grid: tuple[int, ...], *arguments: Any, block: tuple[int, ...] | None = None
) -> None:
    """Run the kernel of this name on ``grid`` blocks, of ``block`` threads where that is 2-D.

    ``arguments`` are contiguous arrays of the GPU, and NumPy scalars of the very types of the
    kernel's parameters (for a struct, a structured array without axes). A grid without blocks
    runs nothing. ValueError for what a kernel could not take.
    """
    kernel = KERNELS[expression]
    block = block or (kernel.threads,)
    if math.prod(block) != kernel.threads:
        raise ValueError(f"{expression} runs {kernel.threads} threads a block, got {block}")
    if any(count > most for count, most in zip(grid, MOST_BLOCKS, strict=False)):
        raise ValueError(f"{expression}: a grid of {grid} blocks is beyond {MOST_BLOCKS}")
    for argument in arguments:
        if not (isinstance(argument, np.generic) or _is_struct(argument)):
            _check_array(expression, argument)
    if all(grid):
        gpu().launch(kernel, grid, block, list(arguments))


def _is_struct(argument: Any) -> bool:
    return isinstance(argument, np.ndarray) and argument.ndim == 0 and argument.dtype.kind == "V"


def _check_array(expression: str, array: Array) -> None:
    if not gpu().owns(array):
        raise ValueError(f"{expression} takes arrays of the GPU, got {type(array).__name__}")
    if not array.flags.c_contiguous:
        raise ValueError(f"{expression} takes contiguous arrays, got strides {array.strides}")
    if array.size > MOST_ELEMENTS:
        raise ValueError(
            f"{expression} takes arrays of up to {MOST_ELEMENTS} elements, got shape {array.shape}:"
            " use a smaller batch or smaller tiles"
        )
