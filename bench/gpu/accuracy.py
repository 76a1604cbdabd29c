"""How exact float32 and TF32 are on this GPU: against float64 on the CPU."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from bench.common import text
from bench.common.convolution import operations, random_arrays
from bench.common.layer import OPERATIONS, Layer
from bench.common.network import distinct_layers, network_of
from bench.common.task import CRACK, Task
from bench.common.worker import Answer, Work
from bench.gpu.clock import DeviceClock
from bench.gpu.reporting import Report, quiet
from bench.gpu.session import RequestFailed, Session
from minispiral.device import CPU, Device
from minispiral.kernels.cuda import launch
from minispiral.kernels.cuda.tf32 import tf32
from minispiral.losses import LOSSES
from minispiral.tensor import Tensor, no_grad

PRECISIONS = ("tf32", "float32")


def relative(result: NDArray[Any], exact: NDArray[Any]) -> float:
    """The relative error in the Euclidean norm; infinite if there is a NaN."""
    error = float(np.linalg.norm(result - exact) / np.linalg.norm(exact))
    return error if np.isfinite(error) else float("inf")


def layer_errors(layer: Layer) -> dict[str, dict[str, float]]:
    """Errors of the three operations in each precision, on standard normal numbers."""
    arrays = random_arrays(layer, np.random.default_rng())
    exact = operations(layer, *(a.astype(np.float64) for a in arrays))
    runs = operations(layer, *map(launch.gpu().put, arrays))
    found: dict[str, dict[str, float]] = {operation: {} for operation in OPERATIONS}
    for operation in OPERATIONS:
        expected = exact[operation]()
        for precision in PRECISIONS:
            with tf32(precision == "tf32"):
                result = launch.gpu().get(runs[operation]())
            found[operation][precision] = relative(result, expected)
    return found


def network_errors(task: Task) -> dict[str, dict[str, float]]:
    """Errors of the logits in training and in evaluation, of the loss and of all gradients."""
    rng = np.random.default_rng()
    shape = (task.batch, task.side, task.side)
    x = rng.uniform(-1, 1, (*shape, 3)).astype(np.float32)
    mask = rng.random((*shape, 1)) < CRACK
    mask[0, 0, 0] = True
    seed = int(rng.integers(1 << 31))

    def results(device: Device, dtype: type[np.floating[Any]]) -> dict[str, NDArray[Any]]:
        network = network_of(task, np.random.default_rng(seed)).astype(dtype).to(device)
        pixels = Tensor(device.put(x.astype(dtype)))
        with device.in_use():
            logits = network.train()(pixels)
            loss = LOSSES["pseudo-f1"](logits, device.put(mask))
            loss.backward()
            gradients = [device.get(p.grad).ravel() for p in network.parameters()]
            with no_grad():
                after = network.eval()(pixels)
            return {
                "logits, training": device.get(logits.data),
                "logits, evaluation": device.get(after.data),
                "loss": device.get(loss.data).reshape(1),
                "gradients": np.concatenate(gradients),
            }

    exact = results(CPU, np.float64)
    found: dict[str, dict[str, float]] = {name: {} for name in exact}
    for precision in PRECISIONS:
        for name, result in results(Device("cuda", precision), np.float32).items():
            found[name][precision] = relative(result, exact[name])
    return found


def worker(clock: DeviceClock) -> Work:
    """Answers with the errors of a layer or of a network."""

    def work(request: Answer) -> Answer:
        if "layer" in request:
            return layer_errors(Layer(**request["layer"]))
        return network_errors(Task(**request["task"]))

    return work


def measure(session: Session, task: Task, report: Report = quiet) -> dict[str, Any]:
    """Every distinct layer and the network; a small batch, since the CPU computes them too."""
    network = network_of(task, np.random.default_rng(0))
    layers = list(distinct_layers(network, task.batch, task.side))

    def ask(**request: Any) -> Answer:
        try:
            return session.ask(**request)
        except RequestFailed as error:
            return error.as_dict()

    found: dict[str, Any] = {**vars(task), "layers": {}}
    for i, layer in enumerate(layers):
        errors = found["layers"][str(layer)] = ask(layer=vars(layer))
        report({"layer": str(layer), **errors}, found, (i + 1) / (len(layers) + 1))
    found["network"] = ask(task=vars(task))
    report({"layer": "network", **found["network"]}, found, 1)
    return found


def tables(found: dict[str, Any]) -> Iterable[Table]:
    """The report for a person to read."""
    columns = [(precision, operation) for precision in PRECISIONS for operation in OPERATIONS]
    shown = text.table(
        f"Relative error against float64, batch {found['batch']}",
        ["of what"],
        [f"{precision} {operation.replace('_', ' ')}" for precision, operation in columns],
    )
    for name, errors in found["layers"].items():
        if "error" in errors:
            shown.add_row(name, errors["error"])
        else:
            shown.add_row(name, *(f"{errors[o][precision]:.1e}" for precision, o in columns))
    yield shown
    shown = text.table("The same of the whole network", ["of what"], PRECISIONS)
    if "error" in found["network"]:
        shown.add_row(found["network"]["error"])
    else:
        for name, errors in found["network"].items():
            shown.add_row(name, *(f"{errors[precision]:.1e}" for precision in PRECISIONS))
    yield shown
