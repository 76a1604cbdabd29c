"""How exact float32 and TF32 are on this GPU: against float64 on the CPU."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from bench.common.layer import OPERATIONS, Layer, distinct_layers
from bench.cpu.network import network_of
from bench.common.task import CRACK, Task
from bench.gpu.clock import Clock
from bench.gpu.session import Asked, Failed
from minispiral.device import Device
from minispiral.kernels.cpu import conv2d as numpy_conv2d
from minispiral.kernels.cuda import conv2d, launch
from minispiral.kernels.dispatch import tf32, to_host
from minispiral.losses import LOSSES
from minispiral.tensor import Tensor, no_grad

PRECISIONS = ("tf32", "float32")


def relative(result: NDArray[Any], exact: NDArray[Any]) -> float:
    """The norm of the error over the norm; infinite where there is NaN."""
    error = float(np.linalg.norm(result - exact) / np.linalg.norm(exact))
    return error if np.isfinite(error) else float("inf")


def layer_errors(layer: Layer) -> dict[str, dict[str, float]]:
    """Of the three operations in each precision, on standard normal numbers."""
    device, rng = launch.gpu(), np.random.default_rng()
    big, small = (layer.co, layer.ci) if layer.transpose else (layer.ci, layer.co)
    large, little = (layer.oh, layer.h) if layer.transpose else (layer.h, layer.oh)
    kernel_hw = layer.size, layer.size
    x, gy, w = (
        rng.standard_normal(shape, np.float32)
        for shape in (
            (layer.n, large, large, big),
            (layer.n, little, little, small),
            (*kernel_hw, big, small),
        )
    )
    calls: dict[str, tuple[Any, ...]] = {
        "conv2d": (x, w),
        "conv2d_input_grad": (gy, w, (large, large)),
        "conv2d_weight_grad": (x, gy, kernel_hw),
    }
    # Which of the three is the forward pass depends on the direction.
    names = list(calls) if not layer.transpose else [list(calls)[i] for i in (1, 0, 2)]
    found: dict[str, dict[str, float]] = {}
    for operation, name in zip(OPERATIONS, names, strict=True):
        arrays = calls[name]
        is_array = [isinstance(a, np.ndarray) for a in arrays]
        exact = getattr(numpy_conv2d, name)(
            *(a.astype(float) if of else a for a, of in zip(arrays, is_array, strict=True)),
            stride=layer.stride,
        )
        given = [device.put(a) if of else a for a, of in zip(arrays, is_array, strict=True)]
        found[operation] = {}
        for precision in PRECISIONS:
            result = getattr(conv2d, name)(*given, stride=layer.stride, tf32=precision == "tf32")
            found[operation][precision] = relative(device.get(result), exact)
    return found


def network_errors(task: Task) -> dict[str, dict[str, float]]:
    """Of the logits in training and in evaluation, the loss and all weight gradients."""
    rng = np.random.default_rng()
    x = rng.uniform(-1, 1, (task.batch, task.side, task.side, 3)).astype(np.float32)
    mask = rng.random((task.batch, task.side, task.side, 1)) < CRACK
    mask[0, 0, 0] = True
    seed = int(rng.integers(1 << 31))

    def results(precision: str | None) -> dict[str, NDArray[Any]]:
        network = network_of(task, np.random.default_rng(seed))
        if precision is None:
            network.astype(np.float64)
        else:
            network.to(Device("cuda"))
        own = x.astype(np.float64) if precision is None else x
        with tf32(precision == "tf32"):
            logits = network.train()(Tensor(network.place(own)))
            loss = LOSSES["pseudo-f1"](logits, network.place(mask))
            loss.backward()
            gradients = [to_host(p.grad).ravel() for p in network.parameters()]
            with no_grad():
                after = network.eval()(Tensor(network.place(own)))
        return {
            "logits, training": to_host(logits.data),
            "logits, evaluation": to_host(after.data),
            "loss": to_host(loss.data).reshape(1),
            "gradients": np.concatenate(gradients),
        }

    exact = results(None)
    found: dict[str, dict[str, float]] = {name: {} for name in exact}
    for precision in PRECISIONS:
        for name, result in results(precision).items():
            found[name][precision] = relative(result, exact[name])
    return found


def worker(clock: Clock) -> Any:
    """Answers with the errors of a layer or of a network."""

    def work(request: dict[str, Any]) -> dict[str, Any]:
        if "layer" in request:
            return layer_errors(Layer(**request["layer"]))
        return network_errors(Task(**request["task"]))

    return work


def measure(
    asked: Asked,
    task: Task,
    report: Callable[[int, int], None] = lambda done, of: None,
) -> dict[str, Any]:
    """Every distinct layer and the whole network, for small batches: the CPU computes them too."""
    network = network_of(task, np.random.default_rng(0))
    layers = list(distinct_layers(network, task.batch, task.side))
    found: dict[str, Any] = {**vars(task), "layers": {}}
    for i, layer in enumerate(layers):
        try:
            found["layers"][str(layer)] = asked.ask(layer=vars(layer))
        except Failed as error:
            found["layers"][str(layer)] = {"error": str(error)}
        report(i + 1, len(layers) + 1)
    try:
        found["network"] = asked.ask(task=vars(task))
    except Failed as error:
        found["network"] = {"error": str(error)}
    report(len(layers) + 1, len(layers) + 1)
    return found


def tables(found: dict[str, Any]) -> Iterable[Table]:
    """The report for a person to read."""
    shown = Table(title=f"Relative error against float64, batch {found['batch']}")
    shown.add_column("of what", no_wrap=True)
    for precision in PRECISIONS:
        for column in OPERATIONS:
            shown.add_column(f"{precision} {column.replace('_', ' ')}", justify="right")
    for name, errors in found["layers"].items():
        if "error" in errors:
            shown.add_row(name, errors["error"])
            continue
        shown.add_row(
            name, *(f"{errors[o][precision]:.1e}" for precision in PRECISIONS for o in OPERATIONS)
        )
    yield shown
    shown = Table(title="The same of the whole network")
    shown.add_column("of what", no_wrap=True)
    for precision in PRECISIONS:
        shown.add_column(precision, justify="right")
    if "error" in found["network"]:
        shown.add_row(found["network"]["error"])
    else:
        for name, errors in found["network"].items():
            shown.add_row(name, *(f"{errors[precision]:.1e}" for precision in PRECISIONS))
    yield shown
