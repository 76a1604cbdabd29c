"""What the CuPy of this interpreter offers, without a GPU: JSON in, JSON out.

It runs in an interpreter that has CuPy and nothing of this project; see `check_double`.
"""

import inspect
import json
import os
import sys
from importlib import import_module
from typing import Any

sys.setdlopenflags(os.RTLD_LAZY)  # of NCCL there is a library without functions


def find(name: str) -> Any:
    """The object of a dotted name, the first part of which is a module."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            found = getattr(found, part)
        return found
    raise AttributeError(name)


def describe(name: str) -> dict[str, str | None] | None:
    """The signature of an object, where Python knows it, and its docstring; None where it is not.

    What an instance is given when it is made, such as ``ptr``, does not show.
    """
    try:
        found = find(name)
    except AttributeError:
        return None
    try:
        signature = str(inspect.signature(found))
    except (TypeError, ValueError):
        signature = None
    return {"signature": signature, "doc": inspect.getdoc(found) or ""}


def compile_for(arch: str, sources: list[dict[str, Any]]) -> list[str]:
    """Compile as `cupy.RawModule` does, but for a GPU that is not there; what was compiled."""
    from cupy._core import core
    from cupy.cuda import compiler

    compiler._get_arch_for_options_for_nvrtc = lambda arch: (f"-arch=sm_{arch}", "cubin")
    for source in sources:
        options = core.assemble_cupy_compiler_options(tuple(source["options"]))
        code, lowered = compiler._compile_using_nvrtc_no_warning(
            source["code"], options, arch, "kernels.cu", tuple(source["names"])
        )
        assert code.startswith(b"\x7fELF")
        assert set(lowered) == set(source["names"])
    return [source["file"] for source in sources]


def main() -> None:
    asked = json.load(sys.stdin)
    import cupy
    from cupy.cuda import memory, nvrtc, runtime

    facts = {
        "no memory is a MemoryError": issubclass(memory.OutOfMemoryError, MemoryError),
        "errors of the driver have a status": runtime.CUDARuntimeError(35).status == 35,
        "a compute capability is a string": "string" in cupy.cuda.Device.compute_capability.__doc__,
        "a stream has an address": "Stream.ptr" in cupy.cuda.Stream.__doc__,
        "CUDA counts versions as 12090": 12000 <= runtime.runtimeGetVersion() < 20000,
        "NVRTC lists numbers": all(type(arch) is int for arch in nvrtc.getSupportedArchs()),
    }
    answer = {
        "version": cupy.__version__,
        "cuda": runtime.runtimeGetVersion(),
        "nvrtc": nvrtc.getVersion(),
        "names": {name: describe(name) for name in asked["names"]},
        "facts": facts,
        "compiled": compile_for(asked["arch"], asked["sources"]),
    }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
