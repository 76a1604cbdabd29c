"""Which device is chosen, and what is said where there is none."""

import sys

import numpy as np
import pytest

from minispiral import device
from minispiral.errors import UserError
from minispiral.kernels.cuda import launch, obstacles
from minispiral.training.config import TrainConfig
from tests.cuda_on_cpu import CpuDevice
from tests.cuda_on_cpu.cupy_double import Machine, in_place_of_cupy
from tests.small import command, refusal


@pytest.fixture
def no_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr(launch, "_gpu", None)
    monkeypatch.setattr(obstacles, "_is_installed", lambda package: False)


def test_without_cupy_the_cpu_is_taken_and_a_gpu_refused(no_cupy):
    assert device.choose() == device.choose("cpu") == device.CPU
    assert device.announcement(device.CPU) == "computing on the CPU"
    with pytest.raises(UserError) as refused:
        device.choose("cuda")
    assert str(refused.value) == (
        "device cuda was given, but only cpu is possible here: CuPy is not installed; install the "
        "extra `gpu` (pip install -U 'minispiral[gpu]')"
    )
    assert refused.value.parameter == "device"
    with pytest.raises(UserError, match="but only float32 is possible here: CuPy") as refused:
        device.choose("auto", "tf32")
    assert refused.value.parameter == "precision"


@pytest.mark.parametrize(
    ("machine", "obstacle"),
    [
        (Machine(status=100), "the driver finds no GPU; see `nvidia-smi`"),
        (Machine(nvrtc=False), "CuPy finds no compiler, NVRTC; install it"),
    ],
)
def test_a_gpu_that_is_not_there_or_does_not_work(machine, obstacle, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with in_place_of_cupy(machine):
        assert device.choose() == device.CPU
        said = device.announcement(device.CPU)
        assert said.startswith(f"computing on the CPU: {obstacle}")
        with pytest.raises(UserError) as refused:
            device.choose("cuda")
        assert obstacle in str(refused.value)
        assert refused.value.parameter == "device"


def fail_to_import():
    """As CuPy does where a library is missing."""
    frame = "=" * 60
    try:
        raise ImportError("libcudart.so.12: cannot open shared object file")
    except ImportError as cause:
        raise ImportError(f"\n{frame}\nFailed to import CuPy.\n{frame}\n") from cause


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        (
            ["cupy-cuda12x"],
            "CuPy cannot be imported (libcudart.so.12: cannot open shared object file); install "
            "it again (pip uninstall cupy-cuda12x, then pip install -U 'minispiral[gpu]')",
        ),
        (["cupy-cuda12x", "cupy-cuda13x"], "cupy-cuda12x and cupy-cuda13x are installed together"),
    ],
)
def test_a_cupy_that_cannot_be_imported_says_why_in_a_line(monkeypatch, installed, expected):
    monkeypatch.setattr(obstacles, "_is_installed", installed.__contains__)
    monkeypatch.setattr(launch, "gpu", fail_to_import)
    said = device.announcement(device.CPU)
    assert said.startswith(f"computing on the CPU: {expected}")
    assert "\n" not in said


def test_a_cupy_whose_files_another_has_taken_along(monkeypatch, no_cupy):
    monkeypatch.setattr(obstacles, "_is_installed", ["cupy-cuda13x"].__contains__)
    assert device.announcement(device.CPU) == (
        "computing on the CPU: cupy-cuda13x is installed but its files are gone, which "
        "uninstalling another of CuPy's packages does; install it again (pip uninstall "
        "cupy-cuda13x, then pip install -U 'minispiral[gpu13]')"
    )


def test_a_gpu_that_works_is_taken():
    with launch.using(CpuDevice()) as gpu:
        assert device.choose() == device.Device("cuda", "float32")
        assert device.choose("cuda", "tf32") == device.Device("cuda", "tf32")
        chosen = device.choose("auto", "tf32")
        assert device.announcement(chosen) == "computing on CUDA on the CPU, in tf32"
        assert device.choose("cpu") == device.CPU
        gpu.has_tensor_cores = lambda: False
        with pytest.raises(UserError, match=r"only float32 is possible here: .* has no tensor"):
            device.choose("cuda", "tf32")


def test_arrays_go_to_the_device_and_back(rng):
    x = rng.standard_normal((3, 5))
    assert device.CPU.put(x) is x
    assert device.CPU.get(x) is x
    with launch.using(CpuDevice()) as gpu:
        there = device.choose("cuda").put(x)
        assert gpu.owns(there)
        np.testing.assert_array_equal(device.CPU.get(there), x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "tpu"}, "device tpu was given, expected auto or cpu or cuda"),
        ({"precision": "bf16"}, "precision bf16 was given, expected float32 or tf32"),
        ({"device": "cpu", "precision": "tf32"}, "only a GPU has it"),
    ],
)
def test_what_no_machine_has_is_refused_at_once(options, message):
    with pytest.raises(UserError, match=message):
        device.choose(**options)
    with pytest.raises(UserError, match=message):
        TrainConfig(data="data", **options)


@pytest.mark.parametrize(
    "words",
    [
        ["train", "DATA", "--out", "OUT"],
        ["evaluate", "RUN", "DATA"],
        ["detect", "RUN", "PHOTO", "--out", "OUT"],
        ["inspect", "RUN", "PHOTO"],
        ["demo", "--out", "OUT"],
        ["gradcheck", "log"],
    ],
    ids=lambda words: words[0],
)
def test_every_command_says_what_is_missing(words, trained, tmp_path, no_cupy):
    places = {
        "DATA": trained / "data",
        "RUN": trained / "run",
        "PHOTO": trained / "data" / "images" / "a.png",
        "OUT": tmp_path / "out",
    }
    words = [places.get(word, word) for word in words]
    sentence = refusal(command(*words, "--device", "cuda"))
    assert "CuPy is not installed" in sentence
    assert sentence.endswith("or change --device.")
    if words[0] != "gradcheck":
        sentence = refusal(command(*words, "--precision", "tf32"))
        assert "tf32 was given" in sentence
        assert sentence.endswith("or change --precision.")
    assert not (tmp_path / "out").exists()


def test_the_device_that_was_taken_is_named_unless_it_was_asked_for(trained, no_cupy):
    words = ["evaluate", trained / "run", trained / "data", "--json"]
    assert command(*words).stderr.startswith("computing on the CPU\n")
    assert "computing" not in command(*words, "--device", "cpu").stderr
