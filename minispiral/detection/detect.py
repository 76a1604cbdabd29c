"""Find cracks in photograph files and write what was found."""

import gc
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from minispiral.detection.find import check_threshold
from minispiral.detection.metrics import THRESHOLD
from minispiral.detection.output import output_files, write_finding
from minispiral.detection.photographs import find_photos, search_roots
from minispiral.detection.search import Search, Work
from minispiral.detection.turns import take_turns
from minispiral.device import choose
from minispiral.distributed import World, world
from minispiral.errors import UserError
from minispiral.files import writing_error
from minispiral.kernels.cpu import parallel
from minispiral.memory import NotEnoughMemory
from minispiral.runs.checkpoint import load_network


@dataclass(frozen=True)
class Detection:
    """What was found in one photograph and the files that hold it.

    ``error`` says why the photograph could not be read, or that there was not enough memory for
    it; all other values are then None.
    """

    photo: Path
    error: str | None = None
    crack_pixels: int | None = None
    crack_share: float | None = None  # of all pixels
    seconds: float | None = None
    probability: Path | None = None
    mask: Path | None = None
    overlay: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON values by field name."""
        return {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(self).items()
        }


def detect(
    run: Path | str,
    photos: Iterable[str],
    out: Path | str,
    threshold: float = THRESHOLD,
    report: Callable[[Detection], None] | None = None,
    progress: Callable[[float, int], None] | None = None,
    device: str = "auto",
    precision: str = "float32",
    recursive: bool = False,
    as_stored: bool = False,
) -> list[Detection]:
    """Write what the network of ``run`` finds in ``photos`` to ``out``.

    ``photos`` and ``recursive`` are those of `find_photos`; with ``recursive`` the results lie in
    subfolders as the photographs do. With ``as_stored`` they are read whatever EXIF says of their
    orientation.

    For NAME.jpg these are NAME.probability.png, NAME.mask.png and NAME.overlay.jpg (see
    `output_files` and `write_finding`). Existing files are replaced atomically.

    A photograph that cannot be read, or for which there is not enough memory, is reported with its
    ``error`` and the others go on.
    ``report`` is called with each result. ``progress(done, total)`` counts photographs, with the
    fraction of the current one. ``device`` and ``precision`` are those of
    `minispiral.device.choose`.

    The processes that mpiexec started take turns with the photographs, and each writes the results
    of its own: all machines must see ``out``. All get all results, and the first one calls
    ``report``, as results come, and ``progress``.

    Raises `UserError` when ``out`` cannot be written to; and before the first photograph if there
    are no photographs or no usable network, for a threshold outside 0 to 1 and for results that
    would overwrite each other.
    """
    check_threshold(threshold)
    everyone = world()
    out = Path(out)
    found, outputs = everyone.from_first(lambda: _plan(list(photos), out, recursive))
    chosen = everyone.together(lambda: choose(device, precision))
    network = everyone.together(lambda: load_network(run, device=chosen))
    _make_folder(everyone, out)

    search = Search(network, chosen, threshold, as_stored)
    with search.through([found[i] for i in everyone.turns(len(found))]) as searched:

        def work(i: int, tiles: Callable[[int, int], None] | None) -> Detection:
            search.listener = found[i], tiles
            return _write(next(searched), outputs[i])

        return take_turns(everyone, len(found), work, progress, report)


def _write(work: Work, files: Mapping[str, Path]) -> Detection:
    """Write what was found, if anything was, and say so."""
    pixels, finding = work.pixels, work.finding
    if pixels is not None and finding is not None:
        with work.stage(NotEnoughMemory):
            write_finding(files, pixels, finding)
    work.release()
    if finding is None or work.error is not None:
        gc.collect()  # the frames of a failed attempt hold its arrays, in cycles
        parallel.trim()
        return Detection(work.photo, error=work.error)
    return Detection(
        work.photo, None, finding.crack_pixels, finding.crack_share, work.seconds, **files
    )


def _plan(
    arguments: list[str], out: Path, recursive: bool
) -> tuple[list[Path], list[dict[str, Path]]]:
    """The photographs, and the files of the results of each."""
    found = find_photos(arguments, recursive)
    return found, output_files(found, out, search_roots(arguments) if recursive else ())


def _make_folder(everyone: World, out: Path) -> None:
    """Make the folder ``out``, which all processes must then see."""

    def make() -> None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise writing_error(out, error) from error

    def check() -> None:
        if not out.is_dir():
            raise UserError(
                f"The folder {out} is not seen on all machines; write to a disk that they share",
                "out",
            )

    everyone.from_first(make)
    everyone.together(check)
