"""The machine: what it is, how fast it multiplies matrices, how much memory is held."""

import importlib.metadata
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl

SGEMM_SIDE = 3072


def machine() -> dict[str, Any]:
    """The processor, its cores and the system."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    return {"processor": model, "cores": os.cpu_count(), "system": platform.system()}


def conditions() -> dict[str, Any]:
    """`machine`, the versions that compute, and the load average of the minute before."""
    blas = [lib for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"]
    return {
        **machine(),
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": " ".join(f"{lib['internal_api']} {lib['version']}" for lib in blas) or None,
        "torch": installed("torch"),
    }


def installed(package: str) -> str | None:
    """The version of a package; None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def sgemm_gflops() -> float:
    """The best of three float32 matrix products by NumPy's BLAS on all threads, in GFLOP/s."""
    rng = np.random.default_rng(0)
    a, b = rng.random((2, SGEMM_SIDE, SGEMM_SIDE), dtype=np.float32)
    product = np.empty_like(a)
    best = 0.0
    for _ in range(3):
        start = time.perf_counter()
        np.matmul(a, b, out=product)
        best = max(best, 2 * SGEMM_SIDE**3 / (time.perf_counter() - start) / 1e9)
    return best


def peak_mib() -> float:
    """The most memory this process has held so far, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the parent's memory from before exec
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
