"""Each convolution of a step, and the passes between them, against the GPU's ceilings."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from statistics import median
from typing import Any

import numpy as np
from rich.table import Table

from bench.common.layer import OPERATIONS, Layer, distinct_layers
from bench.cpu.network import network_of
from bench.common.task import CRACK, Task
from bench.common.text import ratio
from bench.gpu.ceilings import rate
from bench.gpu.choices import chosen
from bench.gpu.clock import Clock
from bench.gpu.session import Asked, Failed
from minispiral.kernels.cuda import adam, batchnorm, conv2d, launch, losses

PRECISIONS = ("tf32", "float32")
# What may be chosen where channels come in fours, as they do in all layers of Table 1.
TILINGS = {
    "tf32": [t for t in conv2d.TILINGS if not t.startswith("Narrow") and t != "Precise"],
    "float32": ["Precise"],
}
PARTS = (1, 2, 4, 8, 16, 32, 64)  # of long sums, tried where the kernels on tensor cores run
PRODUCTS = {"tf32": 1, "float32": 3}  # on the tensor cores for one of the result
NUMBER = 4  # bytes


def operations(layer: Layer, tf32: bool) -> dict[str, Callable[[], object]]:
    """The three operations of a layer on random numbers of the device."""
    device, rng = launch.gpu(), np.random.default_rng(0)
    big, small = (layer.co, layer.ci) if layer.transpose else (layer.ci, layer.co)
    x, gy, w = (
        device.put(rng.standard_normal(shape, np.float32))
        for shape in (
            (layer.n, layer.h, layer.h, layer.ci),
            (layer.n, layer.oh, layer.oh, layer.co),
            (layer.size, layer.size, big, small),
        )
    )
    hw, kernel_hw, stride = (layer.h, layer.h), (layer.size, layer.size), layer.stride
    out_hw = layer.oh, layer.oh
    if layer.transpose:
        return {
            "forward": lambda: conv2d.conv2d_input_grad(x, w, out_hw, stride, tf32=tf32),
            "input_grad": lambda: conv2d.conv2d(gy, w, stride, tf32=tf32),
            "weight_grad": lambda: conv2d.conv2d_weight_grad(gy, x, kernel_hw, stride, tf32=tf32),
        }
    return {
        "forward": lambda: conv2d.conv2d(x, w, stride, tf32=tf32),
        "input_grad": lambda: conv2d.conv2d_input_grad(gy, w, hw, stride, tf32=tf32),
        "weight_grad": lambda: conv2d.conv2d_weight_grad(x, gy, kernel_hw, stride, tf32=tf32),
    }


def passes(n: int, side: int, c: int) -> dict[str, tuple[Callable[[], object], int]]:
    """What batch norm does to an image, and the bytes it moves at least."""
    device, rng = launch.gpu(), np.random.default_rng(0)
    x, gy = (device.put(rng.standard_normal((n, side, side, c), np.float32)) for _ in range(2))
    mean, var, gamma, beta = (device.put(rng.random(c, np.float32) + 0.5) for _ in range(4))
    size = NUMBER * x.size
    return {
        "moments": (lambda: batchnorm.moments(x), size),
        "normalize_relu": (
            lambda: batchnorm.normalize_relu(x, mean, var, gamma, beta, 1e-5),
            2 * size,
        ),
        # x and gy are read for the sums and again for the result
        "normalize_relu_grad": (
            lambda: batchnorm.normalize_relu_grad(x, gy, mean, var, gamma, beta, 1e-5),
            5 * size,
        ),
    }


def endings(n: int, side: int, parameters: int) -> dict[str, tuple[Callable[[], object], int]]:
    """The loss on logits ``(n, side, side, 1)`` and Adam, and the bytes they move at least."""
    device, rng = launch.gpu(), np.random.default_rng(0)
    logits = device.put(rng.standard_normal((n, side, side, 1), np.float32))
    mask = device.put(rng.random(logits.shape) < CRACK)
    sums = losses.f1_sums(logits, mask)
    p, g, m, v = (device.put(rng.random(parameters, np.float32)) for _ in range(4))
    step, lr = device.put(np.array(3, np.int64)), device.put(np.array(1e-4))
    table = adam.table([p], [g], [m], [v])
    kept = [p, g, m, v]  # which a table does not keep

    def update() -> None:
        assert kept
        adam.adam_all(table, step, lr, 0.9, 0.999, 1e-8)

    return {
        "f1_sums": (lambda: losses.f1_sums(logits, mask), (NUMBER + 1) * logits.size),
        "pseudo_f1_grad": (
            lambda: losses.pseudo_f1_grad(logits, mask, sums),
            (2 * NUMBER + 1) * logits.size,
        ),
        "adam": (update, 7 * NUMBER * parameters),
    }


def worker(clock: Clock) -> Any:
    """Answers with the seconds of all that was asked for, the L2 cache cold."""
    kept = lru_cache(maxsize=2)(operations)  # for both precisions of a layer

    def work(request: dict[str, Any]) -> dict[str, Any]:
        repeats = request["repeats"]
        if "layer" in request:
            runs = kept(Layer(**request["layer"]), request["precision"] == "tf32")
            with chosen(request["tiling"], request["parts"]):
                return {
                    name: clock.seconds(runs[name], repeats, cold=True)
                    for name in request["operations"]
                }
        kind = passes if request["what"] == "passes" else endings
        return {
            name: {"seconds": clock.seconds(run, repeats, cold=True), "bytes": size}
            for name, (run, size) in kind(*request["sizes"]).items()
        }

    return work


def measure(
    asked: Asked,
    task: Task,
    repeats: int,
    ceilings: dict[str, Any] | None,
    theirs: Asked | None = None,
    alternatives: bool = True,
    report: Callable[[int, int], None] = lambda done, of: None,
) -> dict[str, Any]:
    """All distinct layers in both precisions, PyTorch beside them where ``theirs`` is given."""
    network = network_of(task, np.random.default_rng(0))
    counts = distinct_layers(network, task.batch, task.side)
    rows: list[dict[str, Any]] = []
    for i, (layer, count) in enumerate(counts.items()):
        for precision in PRECISIONS:
            row = time_layer(asked, layer, precision, repeats, alternatives)
            row["count"] = count
            if theirs is not None:
                row["torch"] = _torch(theirs, layer, precision, repeats)
            _hold_against(row, ceilings)
            rows.append(row)
        report(i + 1, len(counts))
    images = {(layer.n, layer.oh, layer.co) for layer in counts if layer.size > 1}
    parameters = sum(p.data.size for p in network.parameters())
    requests = [("passes", image) for image in sorted(images, reverse=True)]
    requests.append(("endings", (task.batch, task.side, parameters)))
    return {
        **vars(task),
        "layers": rows,
        "passes": [
            row
            for what, sizes in requests
            for row in _time_passes(asked, what, sizes, repeats, ceilings)
        ],
    }


def time_layer(
    asked: Asked, layer: Layer, precision: str, repeats: int, alternatives: bool
) -> dict[str, Any]:
    """Medians of the three operations: as the kernels choose, and as they could have chosen."""
    row: dict[str, Any] = {"layer": str(layer), "precision": precision, "gflop": layer.gflop}
    row["bytes"] = NUMBER * (
        layer.n * (layer.h**2 * layer.ci + layer.oh**2 * layer.co)
        + layer.size**2 * layer.ci * layer.co
    )
    request = {"layer": vars(layer), "precision": precision, "repeats": repeats}

    def ask(operations: Iterable[str], tiling: str | None, parts: int | None) -> dict[str, Any]:
        answer = asked.ask(**request, operations=list(operations), tiling=tiling, parts=parts)
        return {name: median(answer[name]) for name in operations}

    try:
        row |= {name: {"seconds": s} for name, s in ask(OPERATIONS, None, None).items()}
    except Failed as error:
        row["error"] = str(error)
        return row
    if not alternatives or layer.ci % 4 or layer.co % 4:
        return row
    for name in OPERATIONS:
        tried = row[name]["tried"] = {}
        for tiling in TILINGS[precision]:
            for parts in PARTS:
                try:
                    seconds = ask([name], tiling, parts)[name]
                except Failed:
                    break  # there is less to share
                tried[f"{tiling} {parts}"] = seconds
                best = min(tried.values())
                if seconds > 2 * best:
                    break  # more parts will be slower still
        if tried:
            row[name]["best"] = min(tried, key=lambda choice: tried[choice])
            row[name]["best_seconds"] = tried[row[name]["best"]]
    return row


def _torch(theirs: Asked, layer: Layer, precision: str, repeats: int) -> dict[str, float] | None:
    try:
        answer = theirs.ask(what="layer", layer=vars(layer), precision=precision, repeats=repeats)
    except Failed:
        return None
    return {name: median(answer[name]) for name in OPERATIONS}


def _hold_against(row: dict[str, Any], ceilings: dict[str, Any] | None) -> None:
    """Rates, and the share of the time that the ceilings would allow."""
    for name in OPERATIONS:
        if name not in row:
            continue
        found = row[name]
        found["tflops"] = row["gflop"] / 1e3 / found["seconds"]
        found["gbs"] = row["bytes"] / 1e9 / found["seconds"]
        memory, matrices = rate(ceilings, "copy"), rate(ceilings, "mma")
        found["share"] = None
        if memory and matrices:
            least = max(
                row["bytes"] / 1e9 / memory,
                PRODUCTS[row["precision"]] * row["gflop"] / 1e3 / matrices,
            )
            found["share"] = least / found["seconds"]


def _time_passes(
    asked: Asked,
    what: str,
    sizes: tuple[int, ...],
    repeats: int,
    ceilings: dict[str, Any] | None,
) -> list[dict[str, Any]]:
    where = "x".join(map(str, sizes))
    try:
        answer = asked.ask(what=what, sizes=sizes, repeats=repeats)
    except Failed as error:
        return [{"pass": what, "sizes": where, "error": str(error)}]
    rows = []
    for name, found in answer.items():
        seconds = median(found["seconds"])
        gbs = found["bytes"] / 1e9 / seconds
        memory = rate(ceilings, "copy")
        rows.append(
            {
                "pass": name,
                "sizes": where,
                "seconds": seconds,
                "gbs": gbs,
                "share": gbs / memory if memory else None,
            }
        )
    return rows


def sums(rows: Iterable[dict[str, Any]], precision: str, key: str = "seconds") -> float | None:
    """Seconds of all convolutions of a step; with ``best_seconds`` as they could be."""
    total = 0.0
    for row in rows:
        if row["precision"] != precision:
            continue
        if "error" in row:
            return None
        for name in OPERATIONS:
            total += row["count"][name] * row[name].get(key, row[name]["seconds"])
    return total


def tables(found: dict[str, Any]) -> Iterable[Table]:
    """The report for a person to read."""
    shown = Table(
        title=f"Convolutions, batch {found['batch']}: microseconds, TFLOP/s, share of what memory "
        "and tensor cores allow, time over PyTorch's, best other choice",
        caption="The L2 cache is cold before each.",
        caption_justify="left",
    )
    shown.add_column("layer", no_wrap=True)
    for operation in OPERATIONS:
        for column in (operation.removesuffix("_grad"), "TF/s", "share", "ratio", "better"):
            shown.add_column(column, justify="right", no_wrap=True)
    for row in found["layers"]:
        cells = [f"{row['layer']} {row['precision']}"]
        if "error" in row:
            shown.add_row(*cells, row["error"])
            continue
        theirs = row.get("torch") or {}
        for name in OPERATIONS:
            f = row[name]
            cells += [
                f"{1e6 * f['seconds']:.0f}",
                f"{f['tflops']:.1f}",
                "-" if f["share"] is None else f"{f['share']:.0%}",
                ratio(f["seconds"] / theirs[name] if name in theirs else None),
                _better(f),
            ]
        shown.add_row(*cells)
    shown.add_section()
    for precision in PRECISIONS:
        for key, words in (("seconds", "as chosen"), ("best_seconds", "best choices")):
            total = sums(found["layers"], precision, key)
            shown.add_row(
                f"all of a step, {precision}, {words}",
                "-" if total is None else f"{1e6 * total:.0f}",
            )
    yield shown
    shown = Table(title="Other passes")
    shown.add_column("pass", no_wrap=True)
    shown.add_column("sizes", no_wrap=True)
    for column in ("us", "GB/s", "share of copy"):
        shown.add_column(column, justify="right")
    for row in found["passes"]:
        if "error" in row:
            shown.add_row(row["pass"], row["sizes"], row["error"])
            continue
        share = "-" if row["share"] is None else f"{row['share']:.0%}"
        microseconds, gbs = f"{1e6 * row['seconds']:.0f}", f"{row['gbs']:.0f}"
        shown.add_row(row["pass"], row["sizes"], microseconds, gbs, share)
    yield shown


def _better(found: dict[str, Any]) -> str:
    """The best other choice, where it is more than 3 % quicker."""
    if found.get("best_seconds", found["seconds"]) > 0.97 * found["seconds"]:
        return ""
    return f"{found['best']} {1e6 * found['best_seconds']:.0f}"
