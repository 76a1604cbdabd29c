"""The one door to the GPU: which kernel there is, and how it is compiled, checked and launched.

The kernels' CUDA C lies in the ``.cu`` files beside this one; the functions in
`minispiral.kernels.cuda` say with which sizes they run. Everything they need of the GPU is a
`Device`: memory, and launches. CuPy's is made when it is first asked for, so that CuPy is needed
only there. ``using`` puts another in its place: the tests' own runs the same kernels on the CPU,
through the same functions, with the same grids, blocks and shared memory.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from . import streams

Array = Any  # of whichever device: like NumPy's in shape, dtype and flags

FOLDER = Path(__file__).resolve().parent
MOST_ELEMENTS = 2**30  # of one array: kernels count in 32 bits, and step beyond the end
MOST_BLOCKS = (2**31 - 1, 65535, 65535)
OPTIONS = ("-std=c++17",)

# How the kernels on tensor cores tile their results: rows and columns of a block's tile. One is
# chosen in `minispiral.kernels.cuda.conv2d`.
TILINGS = {
    "Large": (128, 128),
    "Medium": (128, 64),
    "Precise": (128, 64),
    "NarrowMedium": (128, 64),
    "NarrowPrecise": (128, 64),
}
TERMS = 16  # of the sums, that a step of a block takes
_STAGES = 4  # steps whose tiles are in shared memory

# Where the larger image of a convolution has few channels, other kernels are quicker.
FEW = 7
MOST_TERMS = 64  # places in the kernel times channels, that they can take

CTYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}


class Kernel(NamedTuple):
    """A kernel as it is compiled and launched."""

    file: str  # where its source is
    expression: str  # its name in C++, template arguments included
    threads: int  # of a block
    shared: int  # bytes of dynamic shared memory of a block
    registers: int  # a thread may use at most; tests hold the compiler to it


def _table() -> Iterator[Kernel]:
    part = 256 * 8  # bytes of one double for each thread of a reduction
    for t, few, most in (("float", 40, 48), ("double", 48, 64)):
        yield Kernel("adam.cu", f"adam<{t}>", 256, 0, most)
        for name in ("add", "multiply", "blend"):
            yield Kernel("arithmetic.cu", f"{name}<{t}>", 256, 0, few)
        yield Kernel("arithmetic.cu", f"convert<{t}, {t}>", 256, 0, few)
        yield Kernel("arithmetic.cu", f"block_row_sums<{t}>", 256, part, few)
        yield Kernel("arithmetic.cu", f"merge_row_sums<{t}>", 256, part, few)
        yield Kernel("batchnorm.cu", f"block_moments<{t}>", 256, 3 * part, most)
        yield Kernel("batchnorm.cu", f"merge_moments<{t}>", 256, 3 * part, most)
        yield Kernel("batchnorm.cu", f"merge_grad_sums<{t}>", 256, 2 * part, few)
        yield Kernel("batchnorm.cu", f"scale_shift<{t}>", 256, 0, few)
        for relu in ("false", "true"):
            yield Kernel("batchnorm.cu", f"normalize<{t}, {relu}>", 256, 0, few)
            yield Kernel("batchnorm.cu", f"block_grad_sums<{t}, {relu}>", 256, 2 * part, few)
            yield Kernel("batchnorm.cu", f"apply_grad<{t}, {relu}>", 256, 0, few)
        yield Kernel("conv2d.cu", f"conv2d<{t}>", 256, 0, few)
        yield Kernel("conv2d.cu", f"conv2d_input_grad<{t}>", 256, 0, few)
        yield Kernel("conv2d.cu", f"conv2d_weight_grad<{t}>", 256, 0, few)
        yield Kernel("conv2d.cu", f"sum_parts<{t}>", 256, 0, few)
        for name in ("scale_pixels", "copy_channels", "window", "edge_pad", "edge_pad_grad"):
            yield Kernel("layout.cu", f"{name}<{t}>", 256, 0, few)
        yield Kernel("losses.cu", f"sigmoid_of<{t}>", 256, 0, few)
        for loss in ("CrossEntropy", "Focal", "Linear", "F1"):
            yield Kernel("losses.cu", f"block_sums<{t}, {loss}>", 256, 3 * part, most)
        for loss in ("CrossEntropy", "Balanced", "Focal", "Linear", "F1", "PseudoF1"):
            yield Kernel("losses.cu", f"weighted_grad<{t}, {loss}>", 256, 0, most)
        yield Kernel("pooling.cu", f"max_pool2d<{t}>", 256, 0, few)
        yield Kernel("pooling.cu", f"max_pool2d_grad<{t}>", 256, 0, few)
        yield Kernel("statistics.cu", f"block_counts<{t}>", 256, 3 * part, most)
        yield Kernel("statistics.cu", f"add_batch<{t}>", 256, 3 * part, most)
    for pair in ("double, float", "float, double"):
        yield Kernel("arithmetic.cu", f"convert<{pair}>", 256, 0, 40)
    for t in ("unsigned char", "bool"):
        yield Kernel("layout.cu", f"flip<{t}>", 256, 0, 40)
    # Floats of all terms of 128 pixels and 64 channels; of 32 pixels with 64 terms and channels.
    yield Kernel("conv2d_few.cu", "conv2d_few", 256, 4 * MOST_TERMS * (128 + 64), 64)
    yield Kernel("conv2d_few.cu", "conv2d_weight_grad_few", 256, 4 * 32 * (MOST_TERMS + 64), 64)
    for big in range(1, FEW + 1):
        name = f"conv2d_input_grad_few<{big}>"
        yield Kernel("conv2d_few.cu", name, 256, 3 * part, 64 if big <= 4 else 80)
    yield Kernel("conv2d_mma.cu", "finish_parts", 256, 3 * part, 48)
    for tiling, (m, n) in TILINGS.items():
        # Floats of a step's two tiles, with what rows are padded by: see matrix_product.cuh.
        together, apart = TERMS + 4, 8
        for name, floats in (
            ("conv2d", m * together + TERMS * (n + apart)),
            ("conv2d_input_grad", (m + n) * together),
            ("conv2d_weight_grad", TERMS * (m + apart + n + apart)),
        ):
            shared = 4 * _STAGES * floats
            yield Kernel("conv2d_mma.cu", f"{name}_mma<{tiling}>", 256, shared, 128)
    yield Kernel("adam.cu", "adam_scales", 1, 0, 64)
    yield Kernel("adam.cu", "count_step", 1, 0, 40)
    yield Kernel("losses.cu", "merge_sums", 256, 3 * part, 40)
    yield Kernel("losses.cu", "f1_loss", 1, 0, 40)
    for loss in ("CrossEntropy", "Balanced", "Focal", "Linear"):
        yield Kernel("losses.cu", f"weighted_sum<{loss}>", 1, 0, 40)


KERNELS = {kernel.expression: kernel for kernel in _table()}


class Uploads(Protocol):
    """Arrays of the host on their way to ``targets``, which lie on the device, again and again."""

    targets: list[Array]

    def send(self, *values: NDArray[Any]) -> None:
        """Fill the targets, after all that was launched before; the host's arrays are free then."""


class Device(Protocol):
    """Where arrays lie and kernels run."""

    def obstacle(self) -> str | None:
        """Why nothing can be computed on it; None where it works."""

    def describe(self) -> str:
        """Which one this is, for the user."""

    def in_use(self) -> AbstractContextManager[Any]:
        """Where this thread launches kernels: on a stream of their own."""

    def has_tensor_cores(self) -> bool:
        """Whether kernels can multiply matrices of TF32 numbers."""

    def owns(self, array: Array) -> bool:
        """Whether kernels can reach this array."""

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """An uninitialised contiguous array."""

    def array(self, values: NDArray[Any]) -> Array:
        """A copy of an array of the host."""

    def to_host(self, array: Array) -> NDArray[Any]:
        """A copy on the host, once all that was launched is done."""

    def write(self, array: Array, values: NDArray[Any]) -> None:
        """Replace the numbers of a contiguous array by those of one of the host."""

    def address(self, array: Array) -> int:
        """Where its first element lies."""

    def synchronize(self) -> None:
        """Wait until all that was launched is done."""

    def launch(
        self, kernel: Kernel, grid: tuple[int, ...], block: tuple[int, ...], arguments: list[Any]
    ) -> None:
        """Run a kernel; arguments are arrays of this device and NumPy scalars."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """What ``work`` launches, as a function that launches it again; nothing runs meanwhile.

        The arrays that ``work`` makes stay where they are while the function lives.
        """

    def uploads(self, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[DTypeLike]) -> Uploads:
        """A way for arrays of these shapes from the host, beside what the device computes."""


_device: Device | None = None


def device() -> Device:
    """The device in use: the GPU through CuPy, unless `using` says otherwise.

    ImportError where CuPy is not installed. Whether a GPU works shows when it is first used.
    """
    global _device
    if _device is None:
        _device = _Gpu()
    return _device


@contextmanager
def using(other: Device) -> Iterator[Device]:
    """Inside this context kernels run on another device."""
    global _device
    before, _device = _device, other
    try:
        yield other
    finally:
        _device = before


def owns(value: Any) -> bool:
    """Whether this is an array of the device in use; False where none has been asked for."""
    return _device is not None and _device.owns(value)


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """An uninitialised array on the device."""
    return device().empty(shape, dtype)


def ctype(dtype: DTypeLike) -> str:
    """``float`` or ``double``; ValueError for any other dtype."""
    if np.dtype(dtype) not in CTYPES:
        raise ValueError(f"kernels compute in float32 or float64, got {np.dtype(dtype)}")
    return CTYPES[np.dtype(dtype)]


def blocks(size: int, per_block: int, most: int | None = None) -> int:
    """How many blocks cover ``size`` elements, where they may loop at most ``most``."""
    count = -(-size // per_block)
    return count if most is None else max(1, min(count, most))


def launch(
    expression: str, grid: tuple[int, ...], *arguments: Any, block: tuple[int, ...] | None = None
) -> None:
    """Run the kernel of this name on ``grid`` blocks, of ``block`` threads where that is 2-D.

    ``arguments`` are contiguous arrays of the device, and NumPy scalars of the very types of the
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
        device().launch(kernel, grid, block, list(arguments))


def _is_struct(argument: Any) -> bool:
    return isinstance(argument, np.ndarray) and argument.ndim == 0 and argument.dtype.kind == "V"


def _check_array(expression: str, array: Array) -> None:
    if not device().owns(array):
        raise ValueError(f"{expression} takes arrays of the device, got {type(array).__name__}")
    if not array.flags.c_contiguous:
        raise ValueError(f"{expression} takes contiguous arrays, got strides {array.strides}")
    if array.size > MOST_ELEMENTS:
        raise ValueError(
            f"{expression} takes arrays of up to {MOST_ELEMENTS} elements, got shape {array.shape}:"
            " use a smaller batch or smaller tiles"
        )


def source(file: str) -> str:
    """The text of a ``.cu`` file with the ``.cuh`` files it includes in their places.

    So the text is all there is: a cache that knows it by its text does not miss a change.
    """
    included: set[str] = set()

    def expand(name: str) -> str:
        if name in included:
            return ""
        included.add(name)
        lines = []
        for number, line in enumerate((FOLDER / name).read_text(encoding="utf-8").splitlines(), 1):
            found = re.fullmatch(r'#include "([\w.]+)"', line)
            lines += [expand(found[1]), f'#line {number + 1} "{name}"'] if found else [line]
        return "\n".join([f'#line 1 "{name}"', *lines])

    return expand(file) + "\n"


def expressions(file: str) -> Sequence[str]:
    """The kernels of one file."""
    return [kernel.expression for kernel in KERNELS.values() if kernel.file == file]


class _Gpu:
    """The current GPU of CuPy. Nothing in here has a twin on the CPU: it is kept thin."""

    def __init__(self) -> None:
        import cupy

        self.cupy = cupy
        self.functions: dict[tuple[int, str], Any] = {}  # by number of the GPU and expression
        self._stream: Any = None

    def obstacle(self) -> str | None:
        if not self.cupy.cuda.is_available():
            return "no GPU with a driver for CUDA was found"
        try:  # everything from the compiler to the answer, on the smallest kernel
            step = self.array(np.zeros((), np.int64))
            self.launch(KERNELS["count_step"], (1,), (1,), [step])
            self.to_host(step)
        except Exception as error:  # of many kinds: of the driver, of NVRTC, of CuPy's own
            return f"the GPU runs no kernels ({str(error).partition(chr(10))[0]})"
        return None

    def describe(self) -> str:
        number = self.cupy.cuda.Device().id
        name = self.cupy.cuda.runtime.getDeviceProperties(number)["name"]
        return f"GPU {number} ({name.decode()})"

    @property
    def stream(self) -> Any:
        if self._stream is None:
            self._stream = self.cupy.cuda.Stream(non_blocking=True)
        return self._stream

    @contextmanager
    def in_use(self) -> Iterator[None]:
        self.synchronize()  # what was begun on another stream
        with self.stream:
            try:
                yield
            finally:
                self.synchronize()

    def has_tensor_cores(self) -> bool:
        return int(self.cupy.cuda.Device().compute_capability) >= 80

    def owns(self, array: Array) -> bool:
        return isinstance(array, self.cupy.ndarray)

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        return self.cupy.empty(shape, dtype)

    def array(self, values: NDArray[Any]) -> Array:
        return self.cupy.asarray(values)

    def to_host(self, array: Array) -> NDArray[Any]:
        values: NDArray[Any] = self.cupy.asnumpy(array)
        return values

    def write(self, array: Array, values: NDArray[Any]) -> None:
        stream = self.cupy.cuda.get_current_stream()
        array.set(np.asarray(values, array.dtype, order="C"), stream=stream)

    def address(self, array: Array) -> int:
        return int(array.data.ptr)

    def synchronize(self) -> None:
        self.cupy.cuda.get_current_stream().synchronize()

    def launch(
        self, kernel: Kernel, grid: tuple[int, ...], block: tuple[int, ...], arguments: list[Any]
    ) -> None:
        key = (self.cupy.cuda.Device().id, kernel.expression)
        if key not in self.functions:
            self._compile(kernel.file, key[0])
        self.functions[key](grid, block, tuple(arguments), shared_mem=kernel.shared)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        return streams.Recording(self.cupy, self.stream, work).launch

    def uploads(self, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[DTypeLike]) -> Uploads:
        return streams.PinnedUploads(self.cupy, shapes, dtypes)

    def _compile(self, file: str, gpu: int) -> None:
        """All kernels of a file, for the architecture of the current GPU, which CuPy adds."""
        names = expressions(file)
        module = self.cupy.RawModule(
            code=source(file), options=OPTIONS, name_expressions=list(names)
        )
        for name in names:
            function = module.get_function(name)
            if KERNELS[name].shared > 48 * 1024:  # beyond which a kernel has to ask
                function.max_dynamic_shared_size_bytes = KERNELS[name].shared
            self.functions[gpu, name] = function
