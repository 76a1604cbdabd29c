"""What keeps CuPy from running kernels, each in one sentence that says what to do about it.

The driver, CuPy, the compiler and its headers come from different places, and each pair of them can
be of versions that do not fit. ``cupy`` is CuPy's module throughout.
"""

import os
import re
from collections.abc import Sequence
from typing import Any

OLDEST = (14, 2)  # CuPy that keeps compiled templates on disk, and that the tests know

NO_CUPY = "CuPy is not installed"  # which is nothing wrong: the only reason that may go unsaid

PACKAGES = {"gpu": "cupy-cuda12x", "gpu13": "cupy-cuda13x"}  # by the extra that installs them
_EXTRAS = {12: "gpu", 13: "gpu13"}  # by the version of CUDA
_COMPILERS = {"gpu": "nvidia-cuda-nvrtc-cu12", "gpu13": "nvidia-cuda-nvrtc"}
_OTHERS = ("cupy", "cupy-cuda11x")  # CuPy too, which no extra installs

_OUT_OF_MEMORY, _INSUFFICIENT_DRIVER, _NO_DEVICE, _NO_KERNEL_IMAGE = 2, 35, 100, 209


def packages() -> list[str]:
    """CuPy's packages that are installed here. They all hold the same files."""
    return [name for name in (*PACKAGES.values(), *_OTHERS) if _is_installed(name)]


def install(extra: str = "gpu", again: bool = False) -> str:
    """The commands that install an extra's CuPy, with its headers, in place of any other.

    ``again`` where pip would find it there, though files of it are missing.
    """
    found = packages()
    if len(found) == 1 and not again:
        found = [name for name in found if name != PACKAGES[extra]]
    command = f"pip install -U 'minispiral[{extra}]'"
    return f"pip uninstall {' '.join(found)}, then {command}" if found else command


def of_import(error: ImportError) -> str:
    """CuPy cannot be imported."""
    found = packages()
    extra = "gpu13" if found == [PACKAGES["gpu13"]] else "gpu"
    if len(found) > 1:
        return str(of_packages())
    if error.name != "cupy":
        reason = first_line(error.__cause__ or error)
        return f"CuPy cannot be imported ({reason}); install it again ({install(extra, True)})"
    if found:
        return (
            f"{found[0]} is installed but its files are gone, which uninstalling another of CuPy's "
            f"packages does; install it again ({install(extra, True)})"
        )
    return f"{NO_CUPY}; install the extra `gpu` ({install()})"


def of_packages() -> str | None:
    """Several packages of CuPy, each of which has overwritten files of the others."""
    found = packages()
    if len(found) < 2:
        return None
    return (
        f"{' and '.join(found)} are installed together and have overwritten each other's files; "
        f"install one of them again ({install('gpu')}, or gpu13 where `nvidia-smi` shows CUDA 13)"
    )


def of_version(cupy: Any) -> str | None:
    """A CuPy that is too old."""
    if tuple(map(int, re.findall(r"\d+", cupy.__version__)[:2])) >= OLDEST:
        return None
    oldest = ".".join(map(str, OLDEST))
    return (
        f"CuPy {cupy.__version__} is installed, expected {oldest} or newer; upgrade it "
        f"({install(_extra(cupy))})"
    )


def of_driver(cupy: Any) -> str | None:
    """No driver, one that is too old, or one that shows no GPU."""
    runtime = cupy.cuda.runtime
    try:
        runtime.getDeviceCount()
        return None
    except runtime.CUDARuntimeError as error:
        status, reason = error.status, first_line(error)
    supported, needed = runtime.driverGetVersion(), runtime.runtimeGetVersion() // 1000
    if status == _INSUFFICIENT_DRIVER and supported == 0:
        return (
            "no driver for NVIDIA GPUs was found; if there is such a GPU, install its driver, "
            "after which `nvidia-smi` shows it"
        )
    if status == _INSUFFICIENT_DRIVER:
        found = (
            f"the driver supports CUDA up to {_version(supported)}, but CuPy is for CUDA {needed} "
            f"and needs a driver for {needed}.0 or newer; update the driver"
        )
        fitting = _EXTRAS.get(supported // 1000)
        return found if fitting is None else f"{found}, or CuPy to fit it ({install(fitting)})"
    if status == _NO_DEVICE and "CUDA_VISIBLE_DEVICES" in os.environ:
        return (
            f"CUDA_VISIBLE_DEVICES is '{os.environ['CUDA_VISIBLE_DEVICES']}', which hides all GPUs "
            "or names none; set it to the number of one that `nvidia-smi` lists"
        )
    if status == _NO_DEVICE:
        return "the driver finds no GPU; see `nvidia-smi`"
    return f"the driver does not work ({reason}); see `nvidia-smi`"


def of_error(cupy: Any, error: Exception, name: str) -> str:
    """Why the GPU of this ``name`` ran no kernel: ``error`` is of the driver, CuPy or NVRTC."""
    reason, status = first_line(error), getattr(error, "status", None)
    if (twice := of_packages()) is not None:
        return twice
    extra = _extra(cupy)
    if isinstance(error, MemoryError) or status == _OUT_OF_MEMORY:
        return (
            f"{name} has no memory left; end the programs that use it, which `nvidia-smi` lists, "
            "or choose another with CUDA_VISIBLE_DEVICES"
        )
    if "CUDA headers" in reason:
        return f"CuPy finds no CUDA headers to compile with; install them ({install(extra)})"
    if "libnvrtc" in reason:
        return f"CuPy finds no compiler, NVRTC; install it ({install(extra)})"
    capability = int(cupy.cuda.Device().compute_capability)
    known = cupy.cuda.nvrtc.getSupportedArchs()
    if capability not in known or status == _NO_KERNEL_IMAGE:
        return _of_capability(cupy, extra, name, capability, known)
    return f"{name} runs no kernels ({reason}); see `nvidia-smi`"


def _of_capability(cupy: Any, extra: str, name: str, capability: int, known: Sequence[int]) -> str:
    version = ".".join(map(str, cupy.cuda.nvrtc.getVersion()))
    found = f"{name} has compute capability {capability // 10}.{capability % 10}"
    if capability < min(known):
        advice = f"install that of CUDA 12 ({install('gpu')})"
        return f"{found}, for which the compiler of CUDA {version} makes no code; {advice}"
    if extra == "gpu":
        advice = f"install that of CUDA 13 ({install('gpu13')})"
    else:
        advice = f"upgrade it (pip install -U {PACKAGES[extra]} {_COMPILERS[extra]})"
    return f"{found}, which CuPy's compiler, of CUDA {version}, does not know yet; {advice}"


def first_line(error: BaseException) -> str:
    """The first line of what an error says that says anything."""
    lines = (line.strip(" =") for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)


def _extra(cupy: Any) -> str:
    """The extra that CuPy came with, or would have."""
    return _EXTRAS.get(cupy.cuda.runtime.runtimeGetVersion() // 1000, "gpu")


def _version(number: int) -> str:
    """As CUDA counts, 12040 for 12.4."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _is_installed(package: str) -> bool:
    from importlib.metadata import PackageNotFoundError, distribution  # slow to import

    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True
