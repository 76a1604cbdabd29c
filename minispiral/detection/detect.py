"""Find cracks in photograph files and write what was found."""

import gc
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.data.metadata import jpeg_metadata
from minispiral.detection.augmented import predict_augmented
from minispiral.detection.find import Finding
from minispiral.detection.metrics import THRESHOLD, Best
from minispiral.detection.output import output_files, write_finding
from minispiral.detection.photographs import find_photos, search_roots
from minispiral.detection.search import Search, Work
from minispiral.detection.threshold import choose_threshold
from minispiral.detection.tiling import predict
from minispiral.detection.turns import take_turns
from minispiral.device import choose
from minispiral.distributed import World, world
from minispiral.errors import UserError
from minispiral.files import writing_error
from minispiral.kernels.cpu import parallel
from minispiral.memory import NotEnoughMemory, memory_for
from minispiral.networks import Network
from minispiral.runs.checkpoint import load_network

Cracks = list[dict[str, Any]]  # what is known of each crack, as JSON values
Measure = Callable[[Path, Mapping[str, Path], NDArray[np.uint8], Finding], Cracks]


@dataclass(frozen=True)
class Detection:
    """What was found in one photograph and the files that hold it.

    ``error`` says why the photograph could not be read, or that there was not enough memory for
    it; all other values are then None. ``cracks`` is what was measured, if anything was;
    ``unmeasured`` says why a measurement failed.
    """

    photo: Path
    error: str | None = None
    crack_pixels: int | None = None
    crack_share: float | None = None  # of all pixels
    seconds: float | None = None
    probability: Path | None = None
    mask: Path | None = None
    overlay: Path | None = None
    cracks: Cracks | None = None
    unmeasured: str | None = None

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
    threshold: float | Best = THRESHOLD,
    report: Callable[[Detection], None] | None = None,
    progress: Callable[[float, int], None] | None = None,
    device: str = "auto",
    precision: str = "float32",
    recursive: bool = False,
    as_stored: bool = False,
    measuring: Callable[[Sequence[Path], Network], Measure] | None = None,
    tta: bool = False,
) -> list[Detection]:
    """Write what the network of ``run`` finds in ``photos`` to ``out``.

    ``threshold`` is that of `choose_threshold`; ``photos`` and ``recursive`` are those of
    `find_photos`, and with ``recursive`` the results lie in subfolders as the photographs do. With
    ``as_stored`` they are read whatever EXIF says of their orientation. With ``tta`` the maps are
    those of `predict_augmented`: test-time augmentation, for eight times the time; ``"best"`` is a
    threshold that was chosen without.

    For NAME.jpg these are NAME.probability.png, NAME.mask.png and NAME.overlay.jpg (see
    `output_files` and `write_finding`). Existing files are replaced atomically.

    A photograph that cannot be read, or for which there is not enough memory, is reported with its
    ``error`` and the others go on.
    ``measuring`` is called with all photographs and the network before the first is searched, and
    may refuse them; the function that it returns measures the cracks of one, from the photograph,
    the files that were written for it, its pixels (h, w, 3) and what was found. Where that raises
    `UserError`, the photograph's files are kept.
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
    everyone = world()
    number, _ = everyone.from_first(lambda: choose_threshold(run, threshold))
    out = Path(out)
    found, outputs = everyone.from_first(lambda: _plan(list(photos), out, recursive))
    chosen = everyone.together(lambda: choose(device, precision))
    network = everyone.together(lambda: load_network(run, device=chosen))
    measure = everyone.together(lambda: measuring(found, network)) if measuring else None
    _make_folder(everyone, out)

    search = Search(network, chosen, number, as_stored, predict_augmented if tta else predict)
    with search.through([found[i] for i in everyone.turns(len(found))]) as searched:

        def work(i: int, tiles: Callable[[int, int], None] | None) -> Detection:
            search.listener = found[i], tiles
            return _write(next(searched), outputs[i], measure)

        return take_turns(everyone, len(found), work, progress, report)


def _write(work: Work, files: Mapping[str, Path], measure: Measure | None) -> Detection:
    """Write what was found, if anything was, and say so."""
    pixels, finding = work.pixels, work.finding
    cracks = unmeasured = None
    if pixels is not None and finding is not None:
        with work.stage(NotEnoughMemory):
            height, width = finding.crack.shape
            write_finding(files, pixels, finding, jpeg_metadata(work.photo, (width, height)))
        if measure is not None and work.error is None:
            start = time.perf_counter()
            try:
                with memory_for(work.photo):
                    cracks = measure(work.photo, files, pixels, finding)
            except UserError as error:
                unmeasured = str(error)
            work.seconds += time.perf_counter() - start
    work.release()
    if finding is None or work.error is not None:
        gc.collect()  # the frames of a failed attempt hold its arrays, in cycles
        parallel.trim()
        return Detection(work.photo, error=work.error)
    return Detection(
        work.photo,
        None,
        finding.crack_pixels,
        finding.crack_share,
        work.seconds,
        cracks=cracks,
        unmeasured=unmeasured,
        **files,
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
