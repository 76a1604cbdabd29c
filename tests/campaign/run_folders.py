"""Run folders whose files are damaged, and everything that reads them."""

import copy
import json
import struct
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minispiral.data.synth import write_dataset
from minispiral.detection.evaluate import evaluate
from minispiral.errors import UserError
from minispiral.runs.checkpoint import KEY, load_network
from minispiral.training import final_pictures
from minispiral.training.config import TrainConfig
from minispiral.training.loop import train
from minispiral.training.resume import resumed_config
from tests.campaign.damage import damaged

STEPS = 6
NETWORKS: list[dict[str, Any]] = [
    {"network": "spiral", "depths": (1, 2)},
    {"network": "unet", "depths": (1,)},
]
FILES = ("last.safetensors", "last.safetensors", "best.safetensors", "config.json", "metrics.csv")

_DEEP = "nested a thousand times"
JUNK: list[Any] = [
    None, True, False, 0, -1, 1, 3, 1e308, -0.5, float("nan"), float("inf"), 10**30, 10**400,
    "", "x", "a\0b", "\ud800", "/", "1", [], [1], [[]], {}, {"x": 1}, _DEEP, "y" * 300,
]  # fmt: skip
CELLS = ["", "x", "-1", "1e400", "nan", "9" * 5000, "\u0661", '"', "z" * 200_000, "\0", "1.5"]

Rng = np.random.Generator


def make_runs(folder: Path, seed: int) -> list[Path]:
    """Runs of a few steps of each network in ``folder``, beside their photographs ``data``."""
    data = folder / "data"
    write_dataset(data, photos=6, size=(96, 72), seed=seed)
    runs = []
    for options in NETWORKS:
        runs.append(folder / options["network"])
        config = TrainConfig(
            data=data, val=data, width=0.05, patch=31, batch=2, steps=STEPS, log_every=1, **options
        )
        train(config, runs[-1])
    return runs


def use_run(name: str) -> bool:
    """Load, evaluate and resume the run in the folder ``name``; whether any of it was refused."""
    run = Path(name)
    data = run.parent / "sound" / "data"
    refused = False
    warnings.simplefilter("ignore", RuntimeWarning)  # of weights that are damaged
    for use in (
        lambda: load_network(run, "best"),
        lambda: load_network(run, "last"),
        lambda: evaluate(run, data),
        lambda: resumed_config(run, {}),
        lambda: _resume(run, data),
    ):
        try:
            use()
        except UserError:
            refused = True
    return refused


_save_curves = final_pictures.save_curves


def _resume(run: Path, data: Path) -> None:
    # Curves take most of the time, and read metrics.csv alone.
    final_pictures.save_curves = _save_curves if "metrics" in run.name else lambda *_: False
    train(resumed_config(run, {"data": data, "val": data, "steps": STEPS + 2}), run, resume=True)


def damage_run(run: Path, rng: Rng) -> str:
    """Damage a file of the run; the name of the damage and of the file."""
    file = str(rng.choice(FILES))
    path = run / file
    content = path.read_bytes()
    if rng.random() < 0.06:
        return f"{_misplaced(path, rng)}-{file}"
    if file == "metrics.csv":
        ways: list[Callable[[bytes, Rng], bytes]] = [_cells, _bytes]
    elif file == "config.json":
        ways = [_json, _bytes]
    else:
        ways = [_outer, _inner, _inner, _values, _bytes]
    way = ways[rng.integers(len(ways))]
    path.write_bytes(way(content, rng))
    return f"{way.__name__.strip('_')}-{file}"


def _misplaced(path: Path, rng: Rng) -> str:
    """Another thing in the place of the file, or nothing."""
    path.unlink()
    match rng.integers(5):
        case 0:
            return "missing"
        case 1:
            path.mkdir()
            return "folder"
        case 2:
            path.write_bytes(b"")
            return "empty"
        case 3:
            path.symlink_to(path.name)
            return "loop"
        case _:
            path.write_bytes(rng.bytes(1000))
            return "random"


def _bytes(data: bytes, rng: Rng) -> bytes:
    return damaged(data, rng)[0]


def _cells(data: bytes, rng: Rng) -> bytes:
    """Change cells, lines and columns of a table."""
    lines = [line.split(",") for line in data.decode().splitlines()]
    for _ in range(int(rng.integers(1, 4))):
        i = int(rng.integers(len(lines)))
        match rng.integers(4):
            case 0:
                lines.insert(i, lines[rng.integers(len(lines))])
            case 1:
                lines[i] = lines[i][: rng.integers(len(lines[i]) + 1)]
            case _:
                if lines[i]:
                    column = 0 if rng.random() < 0.4 else int(rng.integers(len(lines[i])))
                    lines[i] = [*lines[i]]
                    lines[i][column] = CELLS[rng.integers(len(CELLS))]
    return "".join(",".join(line) + "\n" for line in lines).encode()


def _json(data: bytes, rng: Rng) -> bytes:
    return _text(_changed(json.loads(data), rng)).encode("utf-8", "surrogatepass")


def _outer(data: bytes, rng: Rng) -> bytes:
    """Change the header of a safetensors file: names, dtypes, shapes, offsets."""
    header, rest = _split(data)
    return _joined(_text(_changed(header, rng)), rest)


def _inner(data: bytes, rng: Rng) -> bytes:
    """Change our own entry in the header: step, configuration, random state, progress."""
    header, rest = _split(data)
    entry = _changed(json.loads(header["__metadata__"][KEY]), rng)
    header["__metadata__"][KEY] = _text(entry)
    return _joined(_text(header), rest)


def _values(data: bytes, rng: Rng) -> bytes:
    """Change numbers of the tensors, some to NaN and infinity."""
    header, rest = _split(data)
    values = bytearray(rest)
    for _ in range(int(rng.integers(1, 50))):
        at = int(rng.integers(len(values) // 4)) * 4
        number = rng.choice([np.nan, np.inf, 3e38, -1.0, 1e-45])
        struct.pack_into("<f", values, at, number)
    return _joined(_text(header), bytes(values))


def _split(data: bytes) -> tuple[dict[str, Any], bytes]:
    (length,) = struct.unpack_from("<Q", data)
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def _joined(header: str, rest: bytes) -> bytes:
    encoded = header.encode("utf-8", "surrogatepass")
    encoded += b" " * (-len(encoded) % 8)
    return struct.pack("<Q", len(encoded)) + encoded + rest


def _text(value: Any) -> str:
    nested = "[" * 1000 + "]" * 1000
    return json.dumps(value).replace(json.dumps(_DEEP), nested)


def _changed(value: Any, rng: Rng) -> Any:
    """A copy of a JSON value in which one or two entries are junk, missing or renamed."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice([1, 1, 2])):
        places = list(_places(value))
        if not places:
            break
        parent, key = places[rng.integers(len(places))]
        match rng.integers(5):
            case 0:
                del parent[key]
            case 1 if isinstance(parent, dict):
                parent[f"{key}x"] = parent.pop(key)
            case 2 if isinstance(parent[key], (int, float)):
                parent[key] = parent[key] * int(rng.choice([-1, 0, 2, 1000]))
            case _:
                parent[key] = copy.deepcopy(JUNK[rng.integers(len(JUNK))])
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every entry of every object and list in ``value``: its parent and its key."""
    entries: Any = ()
    if isinstance(value, dict):
        entries = list(value.items())
    elif isinstance(value, list):
        entries = list(enumerate(value))
    for key, entry in entries:
        yield value, key
        yield from _places(entry)
