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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, overload

from minispiral.errors import UserError
from minispiral.files import replacing_list
from minispiral.measurement.records import Measurement

NAME = "cracks.json"
VERSION = 1


@dataclass(frozen=True)
class ModelCard:
    """What found the cracks: for a person to read, except ``threshold``, a probability.

    ``network``: its kind and size, and that its maps were made with test-time augmentation, if they
    were; ``training``: the run, and on what it was trained, as far as is known; ``version``: of the
    program.
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
    photos: Sequence[PhotoResult]
    as_stored: bool = False


@contextmanager
def writing(
    folder: Path, card: ModelCard, as_stored: bool = False
) -> Iterator[Callable[[PhotoResult], None]]:
    """Write ``cracks.json`` into ``folder`` with a function that adds one photograph.

    As `writing_lines`, of which each is made by `line_of`.
    """
    with writing_lines(folder, card, as_stored) as add:
        yield lambda result: add(line_of(result, folder))


@contextmanager
def writing_lines(
    folder: Path, card: ModelCard, as_stored: bool = False
) -> Iterator[Callable[[str], None]]:
    """Write ``cracks.json`` into ``folder`` with a function that adds a line of `line_of`.

    Only one photograph is in memory at a time, and the file takes its place when all are written.
    Raises `UserError` when the disk is full or the folder is not writable.
    """
    head = {"version": VERSION, "as_stored": as_stored, "model": asdict(card)}
    with replacing_list(folder / NAME, head, "photos") as add:
        yield add


def line_of(result: PhotoResult, folder: Path) -> str:
    """The record of a photograph in ``folder / cracks.json``: JSON in one line."""
    return json.dumps(_record(result, folder), allow_nan=False)


class StoredPhotos(Sequence[PhotoResult]):
    """The photographs of a ``cracks.json``, each read from its line when it is asked for.

    ``starts``: where the lines begin in the file, and where the last one ends.
    """

    def __init__(self, path: Path, starts: list[int]) -> None:
        self.path, self.starts = path, starts

    def __len__(self) -> int:
        return len(self.starts) - 1

    @overload
    def __getitem__(self, index: int) -> PhotoResult: ...
    @overload
    def __getitem__(self, index: slice) -> list[PhotoResult]: ...
    def __getitem__(self, index: int | slice) -> PhotoResult | list[PhotoResult]:
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        k = range(len(self))[index]
        with self.path.open("rb") as file:
            file.seek(self.starts[k])
            line = file.read(self.starts[k + 1] - self.starts[k])
        return _result(json.loads(line.rstrip(b",\n")), self.path.parent)


def read(folder: Path) -> Results:
    """What `writing` wrote into ``folder``, its photographs as `StoredPhotos`.

    Raises `UserError` where there is no such file, or another one.
    """
    path = folder / NAME
    try:
        found = _read(path)
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
        photos = found["photos"]
        if isinstance(photos, StoredPhotos):
            for _ in photos:  # so that what is wrong with one is known at once
                pass
        else:
            photos = tuple(_result(record, folder) for record in photos)
        return Results(ModelCard(**found["model"]), photos, found["as_stored"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is not as detect wrote it ({type(error).__name__}: {error}); run detect again",
            "folder",
        ) from error


def _read(path: Path) -> Any:
    """The object in the file; its photographs are `StoredPhotos` if each has a line of its own."""
    with path.open("rb") as file:
        head = file.readline()
        if head.endswith(b'"photos": [\n'):
            starts = [file.tell()]
            for line in file:
                if line == b"]}\n":
                    found = json.loads(head + line)
                    return {**found, "photos": StoredPhotos(path, starts)}
                starts.append(starts[-1] + len(line))
    return json.loads(path.read_text(encoding="utf-8"))


def _record(result: PhotoResult, folder: Path) -> dict[str, Any]:
    return {
        "photo": relative(result.photo, folder),
        **{kind: relative(path, folder) for kind, path in result.files.items()},
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


def relative(path: Path, folder: Path) -> str:
    """``path`` as seen from ``folder``; absolute where they are on different drives."""
    real = Path(os.path.realpath(path.parent), path.name)  # `..` does not lead back over a link
    try:
        return Path(os.path.relpath(real, os.path.realpath(folder))).as_posix()
    except ValueError:
        return real.as_posix()
