"""From CUDA C to the text of machine code, on any machine: NVRTC and nvdisasm need no GPU."""

import ctypes
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from minispiral.errors import UserError
from minispiral.kernels.cuda import sources

NVRTC, NVDISASM = "nvidia-cuda-nvrtc-cu12", "nvidia-cuda-nvdisasm"  # on the package index


class Binary(NamedTuple):
    """A kernel's machine code, and what a thread or block of it takes."""

    text: str  # of its file, as nvdisasm prints it
    symbol: str  # the kernel's name there
    registers: int  # of a thread
    spills: int  # bytes of a thread stored and loaded for want of registers
    stack: int  # bytes of a thread's local memory
    static_shared: int  # bytes of a block


def missing() -> str | None:
    """Why machine code cannot be made or read here, and what to install; None where it can."""
    needed = [package for package, found in ((NVRTC, nvrtc()), (NVDISASM, nvdisasm())) if not found]
    if not needed:
        return None
    return (
        "machine code is made by NVRTC and read by nvdisasm, but here is no "
        f"{' and no '.join(needed)}: pip install {' '.join(needed)}"
    )


@cache
def nvrtc() -> ctypes.CDLL | None:
    """The compiler from one of NVIDIA's wheels."""
    for folder in map(Path, sys.path):
        for inside in ("cuda_nvrtc", "cu13"):
            found = sorted((folder / "nvidia" / inside / "lib").glob("libnvrtc.so.*"))
            if found:
                # It opens a second library by its mere name, which must be loaded by then.
                for builtins in found[0].parent.glob("libnvrtc-builtins.so.*"):
                    ctypes.CDLL(str(builtins), ctypes.RTLD_GLOBAL)
                return ctypes.CDLL(str(found[0]))
    return None


@cache
def nvdisasm() -> str | None:
    """The disassembler: a wheel's, else the one on the path."""
    for folder in map(Path, sys.path):
        for program in sorted((folder / "nvidia").glob("*/bin/nvdisasm")):
            return str(program)
    return shutil.which("nvdisasm")


@cache
def versions() -> dict[str, str]:
    """Of the compiler and the disassembler; UserError where one is missing."""
    problem, compiler, disassembler = missing(), nvrtc(), nvdisasm()
    if problem is not None or compiler is None or disassembler is None:
        raise UserError(problem or "")
    major, minor = ctypes.c_int(), ctypes.c_int()
    compiler.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    said = subprocess.run([disassembler, "--version"], capture_output=True, text=True, check=True)
    number = re.search(r"release \S+ V(\S+)", said.stdout)
    return {
        "nvrtc": f"{major.value}.{minor.value}",
        "nvdisasm": number[1] if number else said.stdout.strip(),
    }


def compiled(arch: str, source: str, expressions: Sequence[str]) -> dict[str, Binary]:
    """The kernels of a source for an architecture such as ``sm_90``, by expression.

    What was compiled before is read from a folder for temporary files.
    """
    key = json.dumps([arch, source, *expressions, versions()])
    kept = Path(tempfile.gettempdir()) / "minispiral-machine-code"
    file = kept / f"{hashlib.sha256(key.encode()).hexdigest()}.json"
    if file.exists():
        text, rows = json.loads(file.read_text(encoding="utf-8"))
    else:
        code, rows = _compile(arch, source, expressions)
        text = _disassemble(code)
        kept.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=kept, delete=False, encoding="utf-8") as new:
            json.dump((text, rows), new)
        Path(new.name).replace(file)
    return {expression: Binary(text, *row) for expression, row in rows.items()}


def _compile(
    arch: str, source: str, expressions: Sequence[str]
) -> tuple[bytes, dict[str, tuple[str, int, int, int, int]]]:
    """The cubin; and of each kernel its symbol, registers, spills, stack and static shared."""
    library = nvrtc()
    assert library is not None
    program = ctypes.c_void_p()
    library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None)
    for expression in expressions:
        library.nvrtcAddNameExpression(program, expression.encode())
    # As CuPy does it, and with a report.
    options = [f"-arch={arch}", *sources.OPTIONS, "-ftz=true", "--ptxas-options=-v"]
    options.append("--device-as-default-execution-space")
    given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    status = library.nvrtcCompileProgram(program, len(options), given)
    log = _bytes(library, "ProgramLog", program).decode().rstrip("\0")
    if status != 0:
        raise UserError(f"NVRTC refused a source for {arch}: {log}")
    usage = _usage(log)
    lowered = ctypes.c_char_p()
    rows = {}
    for expression in expressions:
        library.nvrtcGetLoweredName(program, expression.encode(), ctypes.byref(lowered))
        assert lowered.value is not None
        symbol = lowered.value.decode()
        rows[expression] = symbol, *usage[symbol]
    code = _bytes(library, "CUBIN", program)
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return code, rows


def _bytes(library: ctypes.CDLL, what: str, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    library[f"nvrtcGet{what}Size"](program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    library[f"nvrtcGet{what}"](program, buffer)
    return buffer.raw


def _usage(log: str) -> dict[str, tuple[int, int, int, int]]:
    """The assembler's report on each kernel, by its symbol."""
    pattern = (
        r"Function properties for (\S+)\n"
        r".*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads\n"
        r".*Used (\d+) registers(.*)"
    )
    found = {}
    for name, stack, stores, loads, registers, rest in re.findall(pattern, log):
        shared = re.search(r"(\d+) bytes smem", rest)
        spills = int(stores) + int(loads)
        found[name] = int(registers), spills, int(stack), int(shared[1]) if shared else 0
    return found


def _disassemble(code: bytes) -> str:
    program = nvdisasm()
    assert program is not None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(code)
        done = subprocess.run(
            [program, "-c", str(file)], capture_output=True, text=True, check=False
        )
    if done.returncode != 0:
        raise UserError(f"nvdisasm refused the machine code: {done.stderr.strip()}")
    return done.stdout
