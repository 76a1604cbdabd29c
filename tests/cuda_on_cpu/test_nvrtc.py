"""Every CUDA kernel compiles for the GPUs it is meant for, and fits into their registers."""

import pytest

from minispiral.kernels.cuda import sources, table
from tests.cuda_on_cpu import nvrtc

pytestmark = pytest.mark.skipif(nvrtc.library() is None, reason=nvrtc.WHERE)

FILES = sorted({kernel.file for kernel in table.KERNELS.values()})


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
@pytest.mark.parametrize("file", FILES)
def test_kernels_compile_without_spills_and_within_their_registers(file, arch):
    usage = nvrtc.compile_for(arch, sources.expand(file), table.expressions(file))
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
