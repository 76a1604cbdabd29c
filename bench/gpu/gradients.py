"""The gradients of one full step against float64: shapes that no other check can afford.

PyTorch computes them in float64 on the GPU, and in float32 and TF32 too, so that what rounding
costs in this network is known. Without PyTorch, NumPy computes the operations of the largest
layers.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from bench.common import text
from bench.common.layer import OPERATIONS, Layer
from bench.common.network import distinct_layers, network_of
from bench.common.task import CRACK, Task
from bench.common.worker import Answer, Work
from bench.gpu.accuracy import PRECISIONS, layer_errors, relative
from bench.gpu.clock import DeviceClock
from bench.gpu.reporting import Report, quiet
from bench.gpu.session import RequestFailed, Session
from minispiral.device import Device
from minispiral.kernels import layout
from minispiral.losses import LOSSES
from minispiral.tensor import Tensor

# An error is wrong that is larger than this times PyTorch's in the same precision, and larger than
# an operation's on normal numbers may be: TF32 rounds numbers by up to 5e-4.
TIMES_THEIRS = 3.0
LIMITS = {"tf32": 2e-3, "float32": 1e-5}
LAYERS = 6  # that NumPy computes
WORST = 5  # parameters that are named


def worker(clock: DeviceClock) -> Work:
    """Writes the gradients, and what they are of, to files; or answers with errors of a layer."""

    def work(request: Answer) -> Answer:
        if "layer" in request:
            return layer_errors(Layer(**request["layer"]))
        return write_gradients(Task(**request["task"]), request["precision"], request)

    return work


def write_gradients(task: Task, precision: str, paths: dict[str, Any]) -> Answer:
    """Of all parameters, to ``paths["result"]``; parameters, pixels and mask to ``given``."""
    rng, device = np.random.default_rng(0), Device("cuda", precision)
    network = network_of(task, rng)
    shape = (task.batch, task.side, task.side)
    pixels = rng.integers(256, size=(*shape, 3), dtype=np.uint8)
    mask = rng.random((*shape, 1)) < CRACK
    mask[0, 0, 0] = True
    x = layout.scale_pixels(pixels, np.float32)
    parameters = network.parameters()
    own: dict[str, Any] = {f"p{i}": p.data for i, p in enumerate(parameters)}
    np.savez(paths["given"], x=x, mask=mask, **own)
    network.to(device).train()
    with device.in_use():
        logits = network(Tensor(device.put(x)))
        LOSSES["pseudo-f1"](logits, device.put(mask)).backward()
        found: dict[str, Any] = {f"p{i}": device.get(p.grad) for i, p in enumerate(parameters)}
    np.savez(paths["result"], **found)
    return {"names": [name for name, _ in network.named_parameters()]}


def measure(
    task: Task,
    open_ours: Callable[[], Session],
    theirs: Session | None,
    report: Report = quiet,
) -> dict[str, Any]:
    """The relative errors in each precision, by PyTorch's float64 if it answers, else NumPy's."""
    found: dict[str, Any] = {**vars(task)}
    if theirs is not None:
        try:
            with TemporaryDirectory() as folder:
                return _by_torch(found, task, open_ours, theirs, Path(folder), report)
        except RequestFailed as error:
            found["torch"] = error.as_dict()
            report({"torch": error.as_dict()}, found, 0)
    return _by_numpy(found, task, open_ours, report)


def _by_torch(
    found: dict[str, Any],
    task: Task,
    open_ours: Callable[[], Session],
    theirs: Session,
    folder: Path,
    report: Report,
) -> dict[str, Any]:
    given = str(folder / "given.npz")
    names: dict[str, Sequence[str]] = {}
    errors: dict[str, dict[str, Any]] = {}
    for precision in PRECISIONS:
        session = open_ours()
        paths = {"given": given, "result": str(folder / f"ours-{precision}.npz")}
        try:
            names[precision] = session.ask(task=vars(task), precision=precision, **paths)["names"]
        except RequestFailed as error:
            errors[precision] = error.as_dict()
        session.close()
    for name, dtype in {"exact": "float64", **dict.fromkeys(PRECISIONS, "float32")}.items():
        paths = {"given": given, "result": str(folder / f"theirs-{name}.npz")}
        request = {"task": vars(task), "precision": name, "dtype": dtype}
        theirs.ask(what="gradients", **request, **paths)
    found |= {"by": "PyTorch", "precisions": {}}
    exact = np.load(folder / "theirs-exact.npz")
    for i, precision in enumerate(PRECISIONS, 1):
        of = found["precisions"][precision] = errors.get(precision, {})
        if not of:
            ours, other = (np.load(folder / f"{who}-{precision}.npz") for who in ("ours", "theirs"))
            parts = {
                n: relative(ours[f"p{k}"], exact[f"p{k}"]) for k, n in enumerate(names[precision])
            }
            worst = sorted(parts, key=lambda name: -parts[name])[:WORST]
            of["ours"], of["theirs"] = (_error(files, exact) for files in (ours, other))
            of["worst"] = {name: parts[name] for name in worst}
            of["passed"] = of["ours"] <= max(TIMES_THEIRS * of["theirs"], LIMITS[precision])
        report({"precision": precision, **of}, found, i / len(PRECISIONS))
    return found


def _error(found: Any, exact: Any) -> float:
    """Of all gradients together."""
    squares: NDArray[Any] = np.zeros(2)
    for name in exact.files:
        squares += [np.sum((found[name] - exact[name]) ** 2), np.sum(exact[name] ** 2)]
    error = float(np.sqrt(squares[0] / squares[1]))
    return error if np.isfinite(error) else float("inf")


def _by_numpy(
    found: dict[str, Any], task: Task, open_ours: Callable[[], Session], report: Report
) -> dict[str, Any]:
    layers = distinct_layers(network_of(task, np.random.default_rng(0)), task.batch, task.side)
    largest = sorted(layers, key=lambda layer: -layer.gflop)[:LAYERS]
    found |= {"by": "NumPy", "layers": {}}
    session = open_ours()
    for i, layer in enumerate(largest, 1):
        try:
            answer = session.ask(layer=vars(layer))
            of: dict[str, Any] = {name: answer[name] for name in OPERATIONS}
            of["passed"] = all(
                of[name][precision] <= LIMITS[precision]
                for name in OPERATIONS
                for precision in PRECISIONS
            )
        except RequestFailed as error:
            of = error.as_dict()
        found["layers"][str(layer)] = of
        report({"layer": str(layer), **of}, found, i / len(largest))
    session.close()
    return found


def wrong(found: dict[str, Any] | None) -> float | None:
    """How many precisions or layers were wrong or failed; None if nothing was compared."""
    rows = (found or {}).get("precisions") or (found or {}).get("layers")
    return None if not rows else float(sum(not row.get("passed") for row in rows.values()))


def tables(found: dict[str, Any]) -> Iterable[Table]:
    """The report for a person to read."""
    title = f"Gradients of a step, batch {found['batch']}: relative error against float64"
    if found.get("by") == "PyTorch":
        shown = text.table(title, ["precision"], ["minispiral", "PyTorch"], prose=["worst"])
        for precision, of in found["precisions"].items():
            if "error" in of:
                shown.add_row(precision, of["error"], "", "")
                continue
            worst = ", ".join(f"{name} {error:.1e}" for name, error in of["worst"].items())
            shown.add_row(precision, worst, f"{of['ours']:.1e}", f"{of['theirs']:.1e}")
        return [shown]
    columns = [(precision, operation) for precision in PRECISIONS for operation in OPERATIONS]
    names = [f"{precision} {operation.replace('_', ' ')}" for precision, operation in columns]
    shown = text.table(f"{title}, by NumPy on random numbers", ["layer"], names)
    for name, of in found.get("layers", {}).items():
        if "error" in of:
            shown.add_row(name, of["error"])
        else:
            shown.add_row(name, *(f"{of[o][precision]:.1e}" for precision, o in columns))
    return [shown]
