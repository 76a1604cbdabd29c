"""What is said where CuPy is there and runs no kernels: on machines of the double of CuPy."""

import re
import tomllib
import warnings

import pytest

from minispiral.kernels.cuda import launch, obstacles
from tests.cuda_on_cpu import needs_compiler
from tests.cuda_on_cpu.cupy_double import Machine, in_place_of_cupy
from tests.small import ROOT

PIP = "pip install -U"
CUDA_13 = {"runtime": 13020, "driver": 13000, "archs": (75, 80, 90, 110, 121)}
CASES = {
    "no driver": (
        {"status": 35, "driver": 0},
        "no driver for NVIDIA GPUs was found; if there is such a GPU, install its driver, after "
        "which `nvidia-smi` shows it",
    ),
    "a driver of CUDA 12 and CuPy of CUDA 13": (
        {**CUDA_13, "status": 35, "driver": 12040},
        "the driver supports CUDA up to 12.4, but CuPy is for CUDA 13 and needs a driver for 13.0 "
        f"or newer; update the driver, or CuPy to fit it (pip uninstall cupy-cuda13x, then {PIP} "
        "'minispiral[gpu]')",
    ),
    "a driver of CUDA 11": (
        {"status": 35, "driver": 11080},
        "the driver supports CUDA up to 11.8, but CuPy is for CUDA 12 and needs a driver for 12.0 "
        "or newer; update the driver",
    ),
    "no GPU": ({"status": 100}, "the driver finds no GPU; see `nvidia-smi`"),
    "a driver that was changed": (
        {"status": 803},
        "the driver does not work (cudaErrorSystemDriverMismatch: system has unsupported display "
        "driver / cuda driver); see `nvidia-smi`",
    ),
    "an old CuPy": (
        {"version": "13.6.0"},
        f"CuPy 13.6.0 is installed, expected 14.2 or newer; upgrade it ({PIP} 'minispiral[gpu]')",
    ),
    "an old CuPy of CUDA 13": (
        {**CUDA_13, "version": "14.1.1"},
        f"CuPy 14.1.1 is installed, expected 14.2 or newer; upgrade it ({PIP} 'minispiral[gpu13]')",
    ),
    "no headers": (
        {"headers": False},
        f"CuPy finds no CUDA headers to compile with; install them ({PIP} 'minispiral[gpu]')",
    ),
    "no compiler": (
        {**CUDA_13, "nvrtc": False},
        f"CuPy finds no compiler, NVRTC; install it ({PIP} 'minispiral[gpu13]')",
    ),
    "a GPU that CUDA 13 has dropped": (
        {**CUDA_13, "capabilities": ["70"]},
        "GPU 0 (Double 0) has compute capability 7.0, for which the compiler of CUDA 13.2 makes no "
        f"code; install that of CUDA 12 (pip uninstall cupy-cuda13x, then {PIP} "
        "'minispiral[gpu]')",
    ),
    "a GPU that CUDA 12 does not know": (
        {"capabilities": ["110"]},
        "GPU 0 (Double 0) has compute capability 11.0, which CuPy's compiler, of CUDA 12.9, does "
        f"not know yet; install that of CUDA 13 (pip uninstall cupy-cuda12x, then {PIP} "
        "'minispiral[gpu13]')",
    ),
    "a GPU that nobody knows": (
        {**CUDA_13, "capabilities": ["140"]},
        "GPU 0 (Double 0) has compute capability 14.0, which CuPy's compiler, of CUDA 13.2, does "
        f"not know yet; upgrade it ({PIP} cupy-cuda13x nvidia-cuda-nvrtc)",
    ),
    "no memory": (
        {"memory": 100},
        "GPU 0 (Double 0) has no memory left; end the programs that use it, which `nvidia-smi` "
        "lists, or choose another with CUDA_VISIBLE_DEVICES",
    ),
}


def test_what_is_recommended_is_what_the_extras_install():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    oldest = ".".join(map(str, obstacles.OLDEST))
    for extra, package in obstacles.PACKAGES.items():
        assert extras[extra] == [f"{package}[ctk]>={oldest}"]
    inside = re.findall(r"\w+", extras["all"][0])
    assert len(set(inside) & set(obstacles.PACKAGES)) == 1


def install(monkeypatch, *packages):
    monkeypatch.setattr(obstacles, "_is_installed", lambda package: package in packages)


@pytest.fixture(autouse=True)
def visible(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize("what", CASES)
def test_what_is_missing_is_said_in_a_sentence(what, monkeypatch):
    options, expected = CASES[what]
    machine = Machine(**options)
    install(monkeypatch, f"cupy-cuda{machine.runtime // 1000}x")
    with in_place_of_cupy(machine):
        assert launch.gpu().obstacle() == expected


@pytest.mark.parametrize("hidden", ["", "-1", "7"])
def test_gpus_that_a_variable_hides(hidden, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    with in_place_of_cupy(Machine(status=100)):
        assert launch.gpu().obstacle() == (
            f"CUDA_VISIBLE_DEVICES is '{hidden}', which hides all GPUs or names none; set it to "
            "the number of one that `nvidia-smi` lists"
        )


@needs_compiler
def test_two_packages_of_cupy_are_warned_of_and_blamed_for_what_fails(monkeypatch):
    install(monkeypatch, "cupy-cuda12x", "cupy-cuda13x")
    sentence = (
        "cupy-cuda12x and cupy-cuda13x are installed together and have overwritten each other's "
        "files; install one of them again (pip uninstall cupy-cuda12x cupy-cuda13x, then "
        f"{PIP} 'minispiral[gpu]', or gpu13 where `nvidia-smi` shows CUDA 13)"
    )
    warned = re.escape(f"Of CuPy's packages, {sentence}.")
    with in_place_of_cupy(), pytest.warns(UserWarning, match=warned):
        assert launch.gpu().obstacle() is None
    with in_place_of_cupy(Machine(headers=False)):
        with pytest.warns(UserWarning, match=warned):
            gpu = launch.gpu()
        assert gpu.obstacle() == sentence


@needs_compiler
def test_a_machine_that_lacks_nothing(monkeypatch):
    """Old GPUs too: CUDA 12 compiles for them."""
    install(monkeypatch, "cupy-cuda12x")
    for capability in ("70", "90"):
        with in_place_of_cupy(Machine(capabilities=[capability])), warnings.catch_warnings():
            warnings.simplefilter("error")
            gpu = launch.gpu()
            assert gpu.obstacle() is None
            assert gpu.has_tensor_cores() == (capability == "90")
