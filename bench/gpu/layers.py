"""Each convolution of a step, and the passes between them, against the GPU's ceilings."""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import product
from statistics import median
from typing import Any

import numpy as np
from rich.table import Table

from bench.common import text
from bench.common.convolution import operations, random_arrays
from bench.common.layer import OPERATIONS, Layer, Operations
from bench.common.network import distinct_layers, network_of, parameters
from bench.common.task import CRACK, Task
from bench.common.worker import Answer, Work
from bench.gpu.ceilings import rate
from bench.gpu.choices import chosen
from bench.gpu.clock import DeviceClock
from bench.gpu.reporting import Report, quiet
from bench.gpu.session import RequestFailed, Session
from minispiral.kernels import batchnorm, losses
from minispiral.kernels.adam import Update
from minispiral.kernels.cuda import conv2d_mma, launch
from minispiral.kernels.cuda.tf32 import tf32

PRECISIONS = ("tf32", "float32")
# The tilings for channels in multiples of four, which all layers of Table 1 have.
TILINGS = {
    "tf32": [t for t in conv2d_mma.TILINGS if not t.startswith("Narrow") and t != "Precise"],
    "float32": ["Precise"],
}
PARTS = (1, 2, 4, 8, 16, 32, 64)  # that long sums may be split into
PRODUCTS = {"tf32": 1, "float32": 3}  # products of TF32 numbers for one product
NUMBER = 4  # bytes of a number


def layer_operations(layer: Layer) -> Operations:
    """The three operations of a layer on random numbers on the GPU."""
    arrays = random_arrays(layer, np.random.default_rng(0))
    return operations(layer, *map(launch.gpu().put, arrays))


Pass = tuple[Callable[[], object], int]  # a call, and the bytes that it moves at least


def passes(n: int, side: int, c: int) -> dict[str, Pass]:
    """What batch norm does to an image."""
    put, rng = launch.gpu().put, np.random.default_rng(0)
    x, gy = (put(rng.standard_normal((n, side, side, c), np.float32)) for _ in range(2))
    mean, var, gamma, beta = (put(rng.random(c, np.float32) + 0.5) for _ in range(4))
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


def loss_and_adam(n: int, side: int, count: int) -> dict[str, Pass]:
    """The loss on logits ``(n, side, side, 1)``, and Adam on ``count`` parameters."""
    put, rng = launch.gpu().put, np.random.default_rng(0)
    logits = put(rng.standard_normal((n, side, side, 1), np.float32))
    mask = put(rng.random(logits.shape) < CRACK)
    loss = losses.LOSSES["pseudo-f1"]()
    sums = losses.sums(loss, logits, mask)
    kept = [put(rng.random(count, np.float32)) for _ in range(4)]
    adam = Update(kept[0], 1e-4, 0.9, 0.999, 1e-8)
    adam.locate(*([array] for array in kept))

    def update() -> None:
        assert kept  # the update does not keep its arrays alive
        adam.launch()

    return {
        "f1_sums": (lambda: losses.sums(loss, logits, mask), (NUMBER + 1) * logits.size),
        "pseudo_f1_grad": (
            lambda: losses.gradient(loss, logits, mask, sums),
            (2 * NUMBER + 1) * logits.size,
        ),
        "adam": (update, 7 * NUMBER * count),
    }


def worker(clock: DeviceClock) -> Work:
    """Answers with the seconds of what a request names, as a graph, the L2 cache cold.

    ``launched`` names what could not be recorded: its times hold the host's.
    """
    kept = lru_cache(maxsize=1)(layer_operations)  # for all requests about a layer

    def timed(runs: Mapping[str, Callable[[], object]], repeats: int) -> Answer:
        found: Answer = {"seconds": {}, "launched": []}
        for name, run in runs.items():
            graph, is_recorded = clock.recorded(run)
            found["seconds"][name] = clock.seconds(graph, repeats, cold=True)
            if not is_recorded:
                found["launched"].append(name)
        return found

    def work(request: Answer) -> Answer:
        repeats = request["repeats"]
        if "layer" in request:
            runs = kept(Layer(**request["layer"]))
            choice = chosen(request["tiling"], request["parts"])
            with choice, tf32(request["precision"] == "tf32"):
                return timed({name: runs[name] for name in request["operations"]}, repeats)
        kind = passes if request["what"] == "passes" else loss_and_adam
        made = kind(*request["sizes"])
        found = timed({name: run for name, (run, _) in made.items()}, repeats)
        return {**found, "bytes": {name: size for name, (_, size) in made.items()}}

    return work


def measure(
    session: Session,
    task: Task,
    repeats: int,
    ceilings: dict[str, Any] | None,
    theirs: Session | None = None,
    alternatives: bool = True,
    report: Report = quiet,
) -> dict[str, Any]:
    """All distinct layers in both precisions, also in PyTorch if ``theirs`` is given."""
    network = network_of(task, np.random.default_rng(0))
    counts = distinct_layers(network, task.batch, task.side)
    images = {(layer.n, layer.oh, layer.co) for layer in counts if layer.size > 1}
    requests = [("passes", image) for image in sorted(images, reverse=True)]
    requests.append(("loss_and_adam", (task.batch, task.side, parameters(network))))
    of = len(PRECISIONS) * len(counts) + len(requests)
    found: dict[str, Any] = {**vars(task), "layers": [], "passes": []}
    for done, ((layer, count), precision) in enumerate(product(counts.items(), PRECISIONS), 1):
        row = time_layer(session, layer, precision, repeats, alternatives)
        row["count"] = count
        if theirs is not None:
            row["torch"] = _torch(theirs, layer, precision, repeats)
        _hold_against(row, ceilings)
        found["layers"].append(row)
        report(row, found, done / of)
    for done, (what, sizes) in enumerate(requests, 1 + of - len(requests)):
        for row in _time_passes(session, what, sizes, repeats, ceilings):
            found["passes"].append(row)
            report(row, found, done / of)
    return found


def time_layer(
    session: Session, layer: Layer, precision: str, repeats: int, alternatives: bool
) -> dict[str, Any]:
    """Medians of the three operations, as the kernels choose and as they could have chosen."""
    row: dict[str, Any] = {"layer": str(layer), "precision": precision, "gflop": layer.gflop}
    row["bytes"] = NUMBER * (
        layer.n * (layer.h**2 * layer.ci + layer.oh**2 * layer.co)
        + layer.size**2 * layer.ci * layer.co
    )
    request = {"layer": vars(layer), "precision": precision, "repeats": repeats}

    def ask(operations: Iterable[str], tiling: str | None, parts: int | None) -> dict[str, Any]:
        answer = session.ask(**request, operations=list(operations), tiling=tiling, parts=parts)
        if answer["launched"]:
            row["launched"] = answer["launched"]
        return {name: median(answer["seconds"][name]) for name in operations}

    try:
        row |= {name: {"seconds": s} for name, s in ask(OPERATIONS, None, None).items()}
    except RequestFailed as error:
        return row | error.as_dict()
    if not alternatives or layer.ci % 4 or layer.co % 4:
        return row
    for name in OPERATIONS:
        tried = row[name]["tried"] = {}
        for tiling in TILINGS[precision]:
            for parts in PARTS:
                try:
                    seconds = ask([name], tiling, parts)[name]
                except RequestFailed:
                    break  # it cannot be split that far
                tried[f"{tiling} {parts}"] = seconds
                best = min(tried.values())
                if seconds > 2 * best:
                    break  # more parts will be slower still
        if tried:
            row[name]["best"] = min(tried, key=lambda choice: tried[choice])
            row[name]["best_seconds"] = tried[row[name]["best"]]
    return row


def _torch(theirs: Session, layer: Layer, precision: str, repeats: int) -> dict[str, float] | None:
    try:
        answer = theirs.ask(what="layer", layer=vars(layer), precision=precision, repeats=repeats)
    except RequestFailed:
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
    session: Session,
    what: str,
    sizes: tuple[int, ...],
    repeats: int,
    ceilings: dict[str, Any] | None,
) -> list[dict[str, Any]]:
    where = "x".join(map(str, sizes))
    try:
        answer = session.ask(what=what, sizes=sizes, repeats=repeats)
    except RequestFailed as error:
        return [{"pass": what, "sizes": where, **error.as_dict()}]
    rows = []
    for name, timed in answer["seconds"].items():
        seconds = median(timed)
        gbs = answer["bytes"][name] / 1e9 / seconds
        memory = rate(ceilings, "copy")
        rows.append(
            {
                "pass": name,
                "sizes": where,
                "seconds": seconds,
                "gbs": gbs,
                "share": gbs / memory if memory else None,
                "launched": name in answer["launched"],
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
    shown = text.table(
        f"Convolutions, batch {found['batch']}: microseconds, TFLOP/s, share of what memory "
        "and tensor cores allow, time over PyTorch's, best other choice",
        ["layer"],
        [
            column
            for operation in OPERATIONS
            for column in (operation.removesuffix("_grad"), "TF/s", "share", "ratio", "better")
        ],
        "Each is one graph; the L2 cache is cold before it.",
    )
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
                text.share(f["share"], 0),
                text.ratio(f["seconds"] / theirs[name] if name in theirs else None),
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
    shown = text.table("Other passes", ["pass", "sizes"], ["us", "GB/s", "share of copy"])
    for row in found["passes"]:
        if "error" in row:
            shown.add_row(row["pass"], row["sizes"], row["error"])
            continue
        microseconds, gbs = f"{1e6 * row['seconds']:.0f}", f"{row['gbs']:.0f}"
        shown.add_row(row["pass"], row["sizes"], microseconds, gbs, text.share(row["share"], 0))
    yield shown


def _better(found: dict[str, Any]) -> str:
    """The best other choice, where it is more than 3 % quicker."""
    if found.get("best_seconds", found["seconds"]) > 0.97 * found["seconds"]:
        return ""
    return f"{found['best']} {1e6 * found['best_seconds']:.0f}"
