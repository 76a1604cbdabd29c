"""Where to compute: on the CPU, or on a GPU with CUDA.

gpu = choose("cuda", "tf32")
network.to(gpu)
with gpu.in_use():
    y = network(Tensor(gpu.put(x)))
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.errors import UserError
from minispiral.kernels import arrays
from minispiral.kernels.cuda import launch, obstacles
from minispiral.kernels.cuda.tf32 import tf32

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("float32", "tf32")

Array = Any  # NumPy's or the GPU's


@dataclass(frozen=True)
class Device:
    """The CPU or the GPU, and how exact its convolutions are; `choose` makes it."""

    name: str  # "cpu" or "cuda"
    precision: str = "float32"

    @property
    def is_gpu(self) -> bool:
        return self.name == "cuda"

    def __str__(self) -> str:
        return launch.gpu().describe() if self.is_gpu else "the CPU"

    def put(self, values: NDArray[Any]) -> Array:
        """A copy of an array on this device; on the CPU the array itself."""
        return launch.gpu().put(np.asarray(values)) if self.is_gpu else values

    def get(self, array: Array) -> NDArray[Any]:
        """A copy on the CPU of an array of the GPU; of one of the CPU the array itself."""
        return arrays.get(array)

    def synchronize(self) -> None:
        """Wait until everything begun so far is done."""
        if self.is_gpu:
            launch.gpu().synchronize()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Compute inside this context, with this precision. Leaving it waits for the GPU."""
        with tf32(self.precision == "tf32"):
            if not self.is_gpu:
                yield
                return
            with launch.gpu().in_use():
                yield


CPU = Device("cpu")


def choose(device: str = "auto", precision: str = "float32") -> Device:
    """The device of this name; ``auto`` is the GPU where one works, else the CPU.

    Raises `UserError` for ``cuda`` where CuPy or a GPU is missing, for a precision that the device
    does not have, and for unknown names.
    """
    check(device, precision)
    if device == "cpu":
        return CPU
    obstacle = _obstacle()
    if obstacle is None:
        if precision == "tf32" and not launch.gpu().has_tensor_cores():
            raise UserError(
                "precision tf32 was given, but only float32 is possible here: "
                f"{launch.gpu().describe()} has no tensor cores, which came with compute "
                "capability 8.0",
                "precision",
            )
        return Device("cuda", precision)
    if device == "cuda":
        raise UserError(
            f"device cuda was given, but only cpu is possible here: {obstacle}", "device"
        )
    if precision == "tf32":
        raise UserError(
            f"precision tf32 was given, but only float32 is possible here: {obstacle}", "precision"
        )
    return CPU


def check(device: str, precision: str) -> None:
    """Raise `UserError` for what no machine has."""
    for name, value, known in (
        ("device", device, DEVICES),
        ("precision", precision, PRECISIONS),
    ):
        if value not in known:
            raise UserError(f"{name} {value} was given, expected {' or '.join(known)}", name)
    if device == "cpu" and precision == "tf32":
        raise UserError(
            "precision tf32 was given with device cpu, but only a GPU has it; choose device cuda",
            "precision",
        )


def announcement(chosen: Device) -> str:
    """The device in one line and, if CuPy found no GPU that works, why it is the CPU."""
    if chosen.is_gpu:
        return f"computing on {chosen}, in {chosen.precision}"
    obstacle = _obstacle()
    if obstacle is None or obstacle.startswith(obstacles.NO_CUPY):
        return "computing on the CPU"
    return f"computing on the CPU: {obstacle}"


def _obstacle() -> str | None:
    """Why there is no GPU to compute on, and what to do about it; None where there is one."""
    try:
        return launch.gpu().obstacle()
    except ImportError as error:
        return obstacles.of_import(error)
