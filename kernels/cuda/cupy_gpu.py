"""The current GPU of CuPy. The tests replace this file by a stand-in, so it is kept thin."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from . import nccl, obstacles, sources, streams
from .table import KERNELS, Kernel, expressions

Array = Any  # CuPy's

_STATIC_SHARED = 48 * 1024  # bytes of shared memory beyond which a kernel has to ask


class CupyGpu:
    """A `minispiral.kernels.cuda.launch.Gpu`; ImportError where CuPy is not installed."""

    def __init__(self) -> None:
        twice = obstacles.of_packages()
        with warnings.catch_warnings():
            if twice is not None:
                warnings.simplefilter("ignore")  # CuPy's, of a page
            import cupy
        if twice is not None:
            warnings.warn(f"Of CuPy's packages, {twice}.", stacklevel=2)

        self.cupy = cupy
        self.functions: dict[tuple[int, str], Any] = {}  # by number of the GPU and expression
        self.number: int | None = None  # the current one of CuPy, unless `turn_to` says otherwise
        self._stream: Any = None

    def obstacle(self) -> str | None:
        found = obstacles.of_version(self.cupy) or obstacles.of_driver(self.cupy)
        if found is not None:
            return found
        try:  # everything from the compiler to the answer, on the smallest kernel
            step = self.put(np.zeros((), np.int64))
            self.launch(KERNELS["count_step"], (1,), (1,), [step])
            self.get(step)
        except Exception as error:  # of many kinds: the driver's, NVRTC's, CuPy's own
            return obstacles.of_error(self.cupy, error, self.describe())
        return None

    def describe(self) -> str:
        number = self.cupy.cuda.Device().id
        name = self.cupy.cuda.runtime.getDeviceProperties(number)["name"]
        return f"GPU {number} ({name.decode()})"

    def name_on_machine(self) -> str:
        return str(self.cupy.cuda.Device().pci_bus_id)

    def turn_to(self, number: int) -> None:
        if self.cupy.cuda.is_available():
            self.number = number % self.cupy.cuda.runtime.getDeviceCount()
            self._stream = None
            self.cupy.cuda.Device(self.number).use()

    @property
    def stream(self) -> Any:
        if self._stream is None:
            self._stream = self.cupy.cuda.Stream(non_blocking=True)
        return self._stream

    @contextmanager
    def in_use(self) -> Iterator[None]:
        with self._chosen():
            self.synchronize()  # with what was begun on another stream
            with self.stream:
                try:
                    yield
                finally:
                    self.synchronize()

    def _chosen(self) -> AbstractContextManager[Any]:
        """The GPU that was turned to, in any thread: CUDA has a current one for each."""
        return nullcontext() if self.number is None else self.cupy.cuda.Device(self.number)

    def has_tensor_cores(self) -> bool:
        return int(self.cupy.cuda.Device().compute_capability) >= 80

    def owns(self, array: Array) -> bool:
        return isinstance(array, self.cupy.ndarray)

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        return self.cupy.empty(shape, dtype)

    def put(self, values: NDArray[Any]) -> Array:
        return self.cupy.asarray(values, order="C")

    def get(self, array: Array) -> NDArray[Any]:
        values: NDArray[Any] = self.cupy.asnumpy(array)
        return values

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

    def uploads(
        self, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[DTypeLike]
    ) -> streams.PinnedUploads:
        return streams.PinnedUploads(self.cupy, shapes, dtypes)

    def communicator_id(self) -> Any:
        return self._nccl().get_unique_id()

    def communicator(self, size: int, identity: Any, rank: int) -> nccl.NcclCommunicator:
        return nccl.NcclCommunicator(self.cupy, self._nccl(), size, identity, rank)

    def _nccl(self) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # CuPy's, of what is said below
            found = import_module("cupy.cuda.nccl")
        if not found.available:
            cuda = self.cupy.cuda.runtime.runtimeGetVersion() // 1000
            raise RuntimeError(f"CuPy finds no NCCL; install nvidia-nccl-cu{cuda}")
        return found

    def _compile(self, file: str, gpu: int) -> None:
        """All kernels of a file, for the architecture of the current GPU, which CuPy adds."""
        names = expressions(file)
        module = self.cupy.RawModule(
            code=sources.expand(file), options=sources.OPTIONS, name_expressions=names
        )
        for name in names:
            function = module.get_function(name)
            if KERNELS[name].shared > _STATIC_SHARED:
                function.max_dynamic_shared_size_bytes = KERNELS[name].shared
            self.functions[gpu, name] = function
