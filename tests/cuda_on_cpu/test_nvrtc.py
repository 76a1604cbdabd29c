"""Every CUDA kernel compiles for the GPUs it is meant for, and fits into their registers."""

import json

import pytest

from minispiral.kernels.cuda import sources, table
from tests.cuda_on_cpu import nvrtc
from tests.small import ROOT

pytestmark = pytest.mark.skipif(nvrtc.library() is None, reason=nvrtc.WHERE)

FILES = sorted({kernel.file for kernel in table.KERNELS.values()})


@pytest.fixture(scope="module")
def recorded():
    """What `python -m bench gpu model` found: for each architecture, the kernels by expression."""
    results = json.loads((ROOT / "bench/results/gpu-model.json").read_text(encoding="utf-8"))
    return {
        arch: {
            name: nvrtc.Usage(code["registers"], code["stack_bytes"], code["spilled_bytes"])
            for name, code in kernels.items()
        }
        for arch, kernels in results["code"].items()
    }


@pytest.mark.parametrize("file", FILES)
def test_kernels_compile_without_spills_and_within_their_registers(file, recorded):
    """A minute for each architecture: what is recorded for sm_80 counts if it is of these sources.

    It is if sm_90, for which they are compiled, takes what is recorded.
    """
    names = table.expressions(file)
    source = sources.expand(file)
    found = nvrtc.compile_for("sm_90", source, names)
    older = {name: recorded["sm_80"].get(name) for name in names}
    if any(recorded["sm_90"].get(name) != used for name, used in found.items()):
        older = nvrtc.compile_for("sm_80", source, names)
    for usage in (found, older):
        for expression, used in usage.items():
            assert used.spills == 0, expression
            assert used.stack == 0, expression
            assert used.registers <= table.KERNELS[expression].registers, (expression, used)


def test_the_report_shows_registers_and_spills():
    """64 numbers alive at once in 32 registers: a gate nobody has seen close is no gate."""
    source = """
    __global__ void __launch_bounds__(1024, 2) crowd(float *x) {
      float a[64];
      for (int i = 0; i < 64; i++) a[i] = x[i];
      for (int round = 0; round < 9; round++)
        #pragma unroll
        for (int i = 0; i < 64; i++) a[i] = a[i] * a[(i + 1) % 64] + a[(i + 7) % 64];
      for (int i = 0; i < 64; i++) x[i] = a[i];
    }
    """
    used = nvrtc.compile_for("sm_90", source, ["crowd"])["crowd"]
    assert used.registers == 32
    assert used.spills > 0


def test_a_mistake_is_reported_in_the_line_of_its_file():
    right, wrong = "const T e = exp(-fabs(x));", "const T e = exq(x);"
    lines = (sources.FOLDER / "logistic.cuh").read_text(encoding="utf-8").splitlines()
    (number,) = (i for i, line in enumerate(lines, 1) if right in line)
    source = sources.expand("arithmetic.cu").replace(right, wrong)
    with pytest.raises(nvrtc.NvrtcError, match=rf"logistic\.cuh\({number}\): error: .*exq"):
        nvrtc.compile_for("sm_90", source, ["sigmoid_of<float>"])
