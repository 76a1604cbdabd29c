"""Every CUDA kernel compiles for the GPUs it is meant for, and fits into their registers."""

import json

import pytest

from minispiral.kernels.cuda import sources, table
from tests.cuda_on_cpu import nvrtc
from tests.small import ROOT

pytestmark = pytest.mark.skipif(nvrtc.library() is None, reason=nvrtc.WHERE)

FILES = sorted({kernel.file for kernel in table.KERNELS.values()})


@pytest.fixture(scope="module")
def model():
    """What `python -m bench gpu model` found."""
    return json.loads((ROOT / "bench/results/gpu-model.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def recorded(model):
    """For each architecture, what the kernels take by expression."""
    return {
        arch: {
            name: nvrtc.Usage(code["registers"], code["stack_bytes"], code["spilled_bytes"])
            for name, code in kernels.items()
        }
        for arch, kernels in model["code"].items()
    }


def of_these_sources(model, recorded, file):
    """Whether a file was recorded as it is today, all of its kernels, by this very compiler."""
    return (
        model["compilers"]["nvrtc"] == nvrtc.version()
        and model["sources"].get(file) == sources.digest(file)
        and all(
            name in kernels for name in table.expressions(file) for kernels in recorded.values()
        )
    )


@pytest.mark.parametrize("file", FILES)
def test_kernels_compile_without_spills_and_within_their_registers(file, model, recorded, rng):
    """A minute for each architecture: what is recorded counts if it is of these sources.

    One kernel, drawn anew, is compiled even then, and if it differs from the record, all are. Of
    other sources all are compiled for sm_90; what is recorded for sm_80 counts if nothing differs.
    """
    names = table.expressions(file)
    known = of_these_sources(model, recorded, file)
    source = sources.expand(file)
    found = nvrtc.compile_for("sm_90", source, [str(rng.choice(names))] if known else names)
    usages = [{name: kernels.get(name) for name in names} for kernels in recorded.values()]
    if any(recorded["sm_90"].get(name) != used for name, used in found.items()):
        newer = nvrtc.compile_for("sm_90", source, names) if known else found
        usages = [newer, nvrtc.compile_for("sm_80", source, names)]
    for usage in usages:
        for expression, used in usage.items():
            assert used.spills == 0, expression
            assert used.stack == 0, expression
            assert used.registers <= table.KERNELS[expression].registers, (expression, used)


def test_a_change_in_a_header_is_of_other_sources(model, recorded, monkeypatch):
    (file,) = {
        kernel.file for kernel in table.KERNELS.values() if kernel.expression == "merge_counts"
    }
    monkeypatch.setitem(model["sources"], file, sources.digest(file))
    monkeypatch.setitem(model["compilers"], "nvrtc", nvrtc.version())
    assert of_these_sources(model, recorded, file)
    expanded = sources.expand(file)
    monkeypatch.setattr(sources, "expand", lambda file: expanded.replace("+", "-", 1))
    assert not of_these_sources(model, recorded, file)


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
