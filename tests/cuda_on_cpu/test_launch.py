"""The door to the GPU: its table of kernels, what it refuses, and what it asks of CuPy."""

import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from minispiral.kernels.cuda import arithmetic, batchnorm, launch, sources, table
from tests.cuda_on_cpu import CpuDevice, needs_compiler


def declared():
    """Every kernel in the sources: (file, name without template arguments) to threads."""
    pattern = r"__global__ void __launch_bounds__\((\d+)(?:, 2)?\)\s+(\w+)\("
    found = {}
    for path in sources.FOLDER.glob("*.cu*"):
        text = path.read_text(encoding="utf-8")
        kernels = re.findall(pattern, text)
        assert len(kernels) == text.count("__global__"), f"{path.name}: not as expected here"
        found |= {(path.name, name): int(threads) for threads, name in kernels}
    return found


def test_the_table_holds_every_kernel_of_the_sources_with_its_threads():
    threads = {
        (kernel.file, kernel.expression.split("<")[0]): kernel.threads
        for kernel in table.KERNELS.values()
    }
    assert threads == declared()


def test_sources_are_complete_in_themselves():
    for file in {kernel.file for kernel in table.KERNELS.values()}:
        text = sources.expand(file)
        assert "#include" not in text
        assert text.count("T *dynamic_shared()") <= 1
        own = (sources.FOLDER / file).read_text(encoding="utf-8")
        assert own.splitlines()[-1] == text.splitlines()[-1]


@pytest.fixture
def device():
    with launch.using(CpuDevice()) as device:
        yield device


SIGMOID = "sigmoid_of<float>"


@needs_compiler
def test_what_kernels_cannot_take_is_refused(device, monkeypatch):
    x = device.put(np.zeros((4, 6), np.float32))
    n = np.int32(24)
    with pytest.raises(ValueError, match="arrays of the GPU, got ndarray"):
        launch.launch(SIGMOID, (1,), np.zeros(24, np.float32), n, x)
    with pytest.raises(ValueError, match=r"contiguous arrays, got strides \(4, 24\)"):
        launch.launch(SIGMOID, (1,), x.T, n, x)
    with pytest.raises(ValueError, match=r"256 threads a block, got \(16, 8\)"):
        launch.launch(SIGMOID, (1,), x, n, x, block=(16, 8))
    with pytest.raises(ValueError, match=r"grid of \(1, 65536\) blocks"):
        launch.launch(SIGMOID, (1, 65536), x, n, x)
    monkeypatch.setattr(launch, "MOST_ELEMENTS", 23)
    with pytest.raises(ValueError, match=r"up to 23 elements, got shape \(4, 6\).* smaller batch"):
        launch.launch(SIGMOID, (1,), x, n, x)
    with pytest.raises(ValueError, match="float32 or float64, got float16"):
        launch.ctype(np.float16)
    assert device.launched == []


@needs_compiler
def test_a_grid_without_blocks_runs_nothing(device):
    empty = device.empty((0, 5, 5, 1), np.float32)
    assert arithmetic.sigmoid(empty).shape == (0, 5, 5, 1)
    assert device.launched == []


def test_using_a_device_ends_with_its_context(device):
    other = CpuDevice()
    with launch.using(other):
        assert launch.gpu() is other
    assert launch.gpu() is device


class FakeCupy(SimpleNamespace):
    """Takes CuPy's place and notes what it is asked for."""

    class ndarray(np.ndarray):
        pass

    def __init__(self):
        super().__init__(calls=[], functions={}, number=0)
        self.cuda = SimpleNamespace(Device=lambda: SimpleNamespace(id=self.number))

    def empty(self, shape, dtype):
        return np.empty(shape, dtype).view(self.ndarray)

    def asarray(self, values):
        return values.copy().view(self.ndarray)

    def RawModule(self, *, code, options, name_expressions):
        self.calls.append(("compile", self.number, options, tuple(name_expressions)))
        assert code == sources.expand(table.KERNELS[name_expressions[0]].file)
        return SimpleNamespace(get_function=self.get_function)

    def get_function(self, name):
        def function(grid, block, arguments, *, shared_mem):
            self.calls.append(("launch", name, grid, block, arguments, shared_mem))

        self.functions[name] = function
        return function


def test_what_is_asked_of_cupy(monkeypatch):
    """No GPU has run this: the calls are those of CuPy's documentation."""
    cupy = FakeCupy()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(launch, "_gpu", None)
    x = cupy.asarray(np.zeros((2, 5, 5, 40), np.float32))
    batchnorm.moments(x)
    (compiled, first, second) = cupy.calls
    assert compiled == ("compile", 0, ("-std=c++17",), tuple(table.expressions("batchnorm.cu")))
    assert first[:4] == ("launch", "block_moments<float>", (2, 1), (32, 8))
    array, *sizes, parts = first[4]
    assert array is x
    assert sizes == [50, 40]
    assert parts.shape == (1, 40, 3)
    assert first[5] == table.KERNELS["block_moments<float>"].shared
    assert second[:4] == ("launch", "merge_moments<float>", (1,), (256, 1))
    # Compiled once for each GPU.
    batchnorm.moments(x)
    assert len(cupy.calls) == 5
    cupy.number = 1
    batchnorm.moments(x)
    assert [call[:2] for call in cupy.calls if call[0] == "compile"] == [
        ("compile", 0),
        ("compile", 1),
    ]


def test_more_shared_memory_than_usual_is_asked_for(monkeypatch):
    cupy = FakeCupy()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(launch, "_gpu", None)
    large = table.KERNELS[SIGMOID]._replace(shared=100_000)
    monkeypatch.setitem(table.KERNELS, SIGMOID, large)
    arithmetic.sigmoid(cupy.asarray(np.zeros(3, np.float32)))
    asked = {
        name: vars(function).get("max_dynamic_shared_size_bytes")
        for name, function in cupy.functions.items()
    }
    assert asked.pop(SIGMOID) == 100_000
    assert not any(asked.values())


def test_what_moves_memory_goes_by_the_stream_in_use(monkeypatch):
    calls = []

    class Stream:
        def __enter__(self):
            calls.append("enter")

        def __exit__(self, *error):
            calls.append("exit")

        def synchronize(self):
            calls.append("synchronize")

    stream = Stream()
    cupy = FakeCupy()
    cupy.cuda.Stream = lambda non_blocking: stream
    cupy.cuda.get_current_stream = lambda: stream
    cupy.asnumpy = np.array
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(launch, "_gpu", None)
    gpu = launch.gpu()
    with gpu.in_use():
        number = gpu.put(np.array(1.0))
        number[...] = gpu.put(np.array(2.0))
        assert gpu.get(number) == 2
        calls.append("work")
    assert calls == ["synchronize", "enter", "work", "synchronize", "exit"]


def test_without_cupy_the_error_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr(launch, "_gpu", None)
    with pytest.raises(ImportError, match="cupy"):
        launch.gpu()
