"""NVIDIA's run-time compiler, which needs no GPU: from CUDA C to machine code, and its report."""

import ctypes
import re
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from minispiral.kernels.cuda import sources

WHERE = "no NVRTC is installed: pip install nvidia-cuda-nvrtc-cu12"


class Usage(NamedTuple):
    """What a thread of a kernel takes of the GPU, as the assembler reports it."""

    registers: int
    stack: int  # bytes of local memory
    spills: int  # bytes stored to and loaded from it for want of registers


class NvrtcError(Exception):
    """The compiler refused a source; its log."""


@cache
def library() -> ctypes.CDLL | None:
    """NVRTC of a wheel, or None."""
    for folder in map(Path, sys.path):
        for inside in ("cuda_nvrtc", "cu13"):
            found = sorted((folder / "nvidia" / inside / "lib").glob("libnvrtc.so.*"))
            if found:
                # It opens a second library by its mere name, which must be loaded by then.
                for builtins in found[0].parent.glob("libnvrtc-builtins.so.*"):
                    ctypes.CDLL(str(builtins), ctypes.RTLD_GLOBAL)
                return ctypes.CDLL(str(found[0]))
    return None


def version() -> str:
    """Of the compiler, such as ``12.9``."""
    nvrtc = library()
    assert nvrtc is not None
    major, minor = ctypes.c_int(), ctypes.c_int()
    nvrtc.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return f"{major.value}.{minor.value}"


def compile_for(arch: str, source: str, expressions: Sequence[str]) -> dict[str, Usage]:
    """Compile to machine code for e.g. ``sm_90``; what each of the kernels takes."""
    nvrtc = library()
    assert nvrtc is not None
    program = ctypes.c_void_p()
    text = source.encode()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, b"kernel.cu", 0, None, None)
    for expression in expressions:
        nvrtc.nvrtcAddNameExpression(program, expression.encode())
    # As CuPy does it, and with a report.
    options = [f"-arch={arch}", *sources.OPTIONS, "-ftz=true", "--ptxas-options=-v"]
    options.append("--device-as-default-execution-space")
    given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    status = nvrtc.nvrtcCompileProgram(program, len(options), given)
    log = _text(nvrtc, "ProgramLog", program)
    if status != 0:
        raise NvrtcError(log)
    usage = _usage(log)
    lowered = ctypes.c_char_p()
    found = {}
    for expression in expressions:
        nvrtc.nvrtcGetLoweredName(program, expression.encode(), ctypes.byref(lowered))
        found[expression] = usage[str(lowered.value, "ascii")]
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return found


def _text(nvrtc: ctypes.CDLL, what: str, program: ctypes.c_void_p) -> str:
    size = ctypes.c_size_t()
    nvrtc[f"nvrtcGet{what}Size"](program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    nvrtc[f"nvrtcGet{what}"](program, buffer)
    return buffer.value.decode()


def _usage(log: str) -> dict[str, Usage]:
    """The report of each kernel by its name in the machine code."""
    pattern = (
        r"Function properties for (\S+)\n"
        r".*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads\n"
        r".*Used (\d+) registers"
    )
    return {
        name: Usage(int(registers), int(stack), int(stores) + int(loads))
        for name, stack, stores, loads, registers in re.findall(pattern, log)
    }
