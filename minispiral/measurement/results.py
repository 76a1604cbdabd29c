"""The file ``cracks.json``: all that was measured in a folder of photographs, to be read again.

It is one JSON object; paths are relative to its folder, with forward slashes::

    {"version": 1,
     "as_stored": false,                     # photographs read whatever EXIF says of their turn
     "model": {"network", "training", "threshold", "version"},
     "photos": [
       {"photo": "../photos/wall.jpg",       # each on a line of its own
        "probability": "wall.probability.png", "mask": ..., "overlay": ...,
        "error": null,                       # or why there is no measurement, which is then null
        "measurement": {...}},               # `Measurement.to_json`
       ...]}
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from minispiral.errors import UserError
from minispiral.files import replacing
from minispiral.measurement.records import Measurement

NAME = "cracks.json"
VERSION = 1


@dataclass(frozen=True)
class ModelCard:
    """What found the cracks: for a person to read, except ``threshold``, a probability.

    ``network``: its kind and size; ``training``: the run, and on what it was trained, as far as is
    known; ``version``: of the program.
    """

    network: str
    training: str
    threshold: float
    version: str


@dataclass(frozen=True)
class PhotoResult:
    """A photograph, the files that were written for it, and what was measured in it.

    ``files``: by kind, ``probability``, ``mask`` and ``overlay``. ``error``: why there is no
    measurement.
    """

    photo: Path
    files: Mapping[str, Path] = field(default_factory=dict)
    measurement: Measurement | None = None
    error: str | None = None


@dataclass(frozen=True)
class Results:
    """What ``cracks.json`` holds."""

    card: ModelCard
    photos: tuple[PhotoResult, ...]
    as_stored: bool = False


@contextmanager
def writing(
    folder: Path, card: ModelCard, as_stored: bool = False
) -> Iterator[Callable[[PhotoResult], None]]:
    """Write ``cracks.json`` into ``folder`` with a function that adds one photograph.

    Only one photograph is in memory at a time, and the file takes its place when all are written.
    Raises `UserError` when the disk is full or the folder is not writable.
    """
    head = {"version": VERSION, "as_stored": as_stored, "model": asdict(card)}
    with replacing(folder / NAME) as file:
        file.write(json.dumps(head)[:-1].encode() + b', "photos": [')
        before = b"\n"

        def add(result: PhotoResult) -> None:
            nonlocal before
            file.write(before + json.dumps(_record(result, folder), allow_nan=False).encode())
            before = b",\n"

        yield add
        file.write(b"\n]}\n")


def read(folder: Path) -> Results:
    """What `writing` wrote into ``folder``; raises `UserError` where there is no such file."""
    path = folder / NAME
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(
            f"{folder} has no {NAME}, expected a folder that detect wrote", "folder"
        ) from error
    except OSError as error:
        raise UserError(f"{path} could not be read ({error.strerror})", "folder") from error
    except ValueError as error:
        raise UserError(f"{path} is no JSON ({error}); run detect again", "folder") from error
    version = found.get("version") if isinstance(found, dict) else None
    if version != VERSION:
        raise UserError(
            f"{path} is of version {version}, expected {VERSION}; run detect again", "folder"
        )
    try:
        photos = tuple(_result(record, folder) for record in found["photos"])
        return Results(ModelCard(**found["model"]), photos, found["as_stored"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is not as detect wrote it ({type(error).__name__}: {error}); run detect again",
            "folder",
        ) from error


def _record(result: PhotoResult, folder: Path) -> dict[str, Any]:
    return {
        "photo": _relative(result.photo, folder),
        **{kind: _relative(path, folder) for kind, path in result.files.items()},
        "error": result.error,
        "measurement": None if result.measurement is None else result.measurement.to_json(),
    }


def _result(record: Mapping[str, Any], folder: Path) -> PhotoResult:
    rest = ("photo", "error", "measurement")
    measured = record["measurement"]
    return PhotoResult(
        folder / record["photo"],
        {kind: folder / path for kind, path in record.items() if kind not in rest},
        None if measured is None else Measurement.from_json(measured),
        record["error"],
    )


def _relative(path: Path, folder: Path) -> str:
    """``path`` as seen from ``folder``; absolute where they are on different drives."""
    real = Path(os.path.realpath(path.parent), path.name)  # `..` does not lead back over a link
    try:
        return Path(os.path.relpath(real, os.path.realpath(folder))).as_posix()
    except ValueError:
        return real.as_posix()
