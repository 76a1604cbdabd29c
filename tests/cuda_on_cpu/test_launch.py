"""The door to the GPU: its table of kernels, and what it refuses."""

import re
import sys

import numpy as np
import pytest

from minispiral.kernels.cuda import arithmetic, launch, sources, table
from tests.cuda_on_cpu import CpuDevice, needs_compiler


def declared():
    """Every kernel in the sources: (file, name without template arguments) to threads.

    None where they depend on the template argument, which then also decides who does what.
    """
    pattern = r"__global__ void __launch_bounds__\((\d+|T::threads)(?:,[^;{]*?)?\)\s+(\w+)\("
    found = {}
    for path in sources.FOLDER.glob("*.cu*"):
        text = path.read_text(encoding="utf-8")
        kernels = re.findall(pattern, text)
        assert len(kernels) == text.count("__global__"), f"{path.name}: not as expected here"
        found |= {
            (path.name, name): int(threads) if threads.isdecimal() else None
            for threads, name in kernels
        }
    return found


def test_the_table_holds_every_kernel_of_the_sources_with_its_threads():
    expected = declared()
    found = {}
    for kernel in table.KERNELS.values():
        name = kernel.file, kernel.expression.split("<")[0]
        found[name] = None if expected.get(name, 0) is None else kernel.threads
    assert found == expected


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


def test_without_cupy_the_error_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr(launch, "_gpu", None)
    with pytest.raises(ImportError, match="cupy"):
        launch.gpu()
