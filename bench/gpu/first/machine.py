"""What GPU and what software this is. Each question is asked for itself."""

import importlib
import importlib.metadata
import os
import shutil
import subprocess
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.common.machine import conditions
from bench.gpu.first.log import Item, Put
from bench.gpu.first.setting import Setting, without
from bench.gpu.session import RequestFailed
from minispiral.device import choose

QUERY = (
    "name,driver_version,memory.total,memory.used,clocks.sm,clocks.max.sm,clocks.mem,"
    "power.draw,temperature.gpu,ecc.mode.current,mig.mode.current,compute_mode"
)
PACKAGES = ("cupy", "numpy", "torch", "nvidia", "cuda")  # the beginnings of their names
FOLDERS = (  # where NVIDIA's tools may be if they are not on the path
    "/usr/local/cuda/bin",
    "/usr/local/cuda/compute-sanitizer",
    "/opt/nvidia/nsight-compute",
)
VARIABLES = "CUDA_HOME", "CUDA_PATH", "CUDA_VISIBLE_DEVICES", "CUPY_"
TOOLS = ("nvidia-smi", "compute-sanitizer", "ncu", "nvcc", "cuobjdump")


def facts(setting: Setting, put: Put) -> None:
    """A stage: nothing here can make another question fail."""
    questions: dict[str, Callable[[], Item]] = {
        "machine": _machine,
        "nvidia-smi": _smi,
        "packages": _packages,
        "tools": lambda: {name: tool(name) for name in TOOLS},
        "cupy": lambda: _of_cupy(_cupy),
        "headers": lambda: _of_cupy(_headers),
        "nvrtc": lambda: _of_cupy(_nvrtc),
    }
    for what, ask in questions.items():
        try:
            put({"what": what, **ask()})
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            put({"what": what, "error": words, "traceback": traceback.format_exc()})
    for name in ("facts", "first.machine"):
        session = setting.open(name)
        try:
            put({"what": "gpu" if name == "facts" else "a small kernel", **session.ask()})
        except RequestFailed as error:
            put({"what": name, **error.as_dict()})
        session.close()


def worker(clock: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Answers with the device that the library chooses, which runs a kernel for that."""
    return lambda request: {"device": str(choose("cuda", "tf32"))}


def tool(name: str) -> str | None:
    """Where a program is; None if it is not found."""
    path = shutil.which(name)
    if path is None:
        for folder in map(Path, FOLDERS):
            found = [*folder.glob(name), *folder.glob(f"*/{name}")]
            if found:
                return str(found[0])
    return path


def _machine() -> dict[str, Any]:
    told = {name: value for name, value in os.environ.items() if name.startswith(VARIABLES)}
    return {**conditions(), "environment": told}


def _smi() -> dict[str, Any]:
    program = tool("nvidia-smi")
    if program is None:
        return {"skipped": "nvidia-smi is not found"}
    words = [program, f"--query-gpu={QUERY}", "--format=csv,noheader"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=15, check=False)
    values = [value.strip() for value in done.stdout.split(",")]
    if done.returncode != 0 or len(values) != len(QUERY.split(",")):
        return {"error": f"exit code {done.returncode}: {done.stdout} {done.stderr}".strip()}
    return dict(zip(QUERY.split(","), values, strict=True))


def _packages() -> dict[str, Any]:
    found = {d.metadata["Name"].lower(): d.version for d in importlib.metadata.distributions()}
    return {"versions": {n: v for n, v in sorted(found.items()) if n.startswith(PACKAGES)}}


def _of_cupy(ask: Callable[[], Item]) -> Item:
    missing = without("cupy")
    return ask() if missing is None else {"skipped": missing}


def _cupy() -> dict[str, Any]:
    """Which CuPy this is, and where it keeps what it has compiled."""
    cache = Path(os.environ.get("CUPY_CACHE_DIR", "~/.cupy/kernel_cache")).expanduser()
    kept = len(list(cache.iterdir())) if cache.exists() else 0
    return {
        "version": importlib.import_module("cupy").__version__,
        "cache": str(cache),
        "kept": kept,
    }


def _headers() -> dict[str, Any]:
    """Where CuPy finds the headers of CUDA."""
    folder = importlib.import_module("cupy._environment").get_cuda_path()
    found = folder is not None and (Path(folder) / "include").exists()
    return {"folder": str(folder), "exists": found}


def _nvrtc() -> dict[str, Any]:
    """The version of the compiler, and what it compiles for."""
    nvrtc = importlib.import_module("cupy").cuda.nvrtc
    return {"version": nvrtc.getVersion(), "archs": nvrtc.getSupportedArchs()}
