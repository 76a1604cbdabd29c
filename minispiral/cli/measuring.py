"""The cracks of the photographs that ``detect`` searches: measured one by one, written at the end.

Detection and measurement know nothing of each other; here they meet. Each process keeps the records
of its photographs in a file without a name, which vanishes with the process, so that memory does
not grow with the number of photographs. The first one writes the tables and the page.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from os import SEEK_END
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minispiral.cli.terminal import say
from minispiral.errors import UserError
from minispiral.measurement import results
from minispiral.measurement.pipeline import EXTRA
from minispiral.memory import is_memory_error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from minispiral.data.georeference import Georeference
    from minispiral.detection.detect import Cracks, Detection, Measure
    from minispiral.detection.find import Finding
    from minispiral.distributed import World
    from minispiral.measurement.contrast import Reading
    from minispiral.measurement.records import Estimate, MeasuredCrack, Measurement
    from minispiral.measurement.scale import Scale
    from minispiral.measurement.scales import Known
    from minispiral.networks import Network

MOST_LINES = 5  # of one kind on the terminal
LEAST_THRESHOLD = 0.02  # below, a line would be anything


@dataclass(frozen=True)
class Wishes:
    """What the command line says of the measurement; `scales_of` and `readings_of` explain it."""

    known: Known
    readings: tuple[tuple[float, float, float], ...] = ()
    readings_table: Path | None = None
    transfer: str = "srgb"
    dxf: bool = False


class Measuring(AbstractContextManager["Measuring"]):
    """The measurement of one call of ``detect`` into the folder ``out``."""

    def __init__(
        self, run: Path, out: Path, threshold: float, as_stored: bool, tta: bool, wishes: Wishes
    ) -> None:
        self.run, self.out, self.threshold = run, out, threshold
        self.as_stored, self.tta, self.wishes = as_stored, tta, wishes
        self.card = results.ModelCard("", "", threshold, "")
        self.scales: dict[Path, Scale | None] = {}
        self.readings: dict[Path, tuple[Reading, ...]] = {}
        self.places: list[Georeference | None] = []
        self.dxf = wishes.dxf
        self.lines = tempfile.TemporaryFile()  # noqa: SIM115
        self.starts: dict[Path, int] = {}

    def __exit__(self, *exception: object) -> None:
        self.lines.close()

    def begin(self, photos: Sequence[Path], network: Network) -> Measure:
        """Find out and say what is known of the photographs; raises `UserError` as it refuses."""
        from minispiral.measurement.readings import readings_of
        from minispiral.measurement.scales import against_places, scales_of

        wishes = self.wishes
        self.card = model_card(self.run, network, self.threshold, self.tta)
        scales, doubts = scales_of(photos, wishes.known, self.as_stored)
        readings, more = readings_of(
            photos, scales, wishes.readings, wishes.readings_table, self.as_stored
        )
        self.scales = dict(zip(photos, scales, strict=True))
        self.readings = dict(zip(photos, readings, strict=True))
        self.places, unclear = _places(photos, self.as_stored)
        if not any(scales):
            say("no scale was given: lengths and widths are in pixels; see --scale", err=True)
        doubts += against_places(scales, self.places)
        _say(f"scale: {doubt}" for doubt in doubts)
        _say(f"readings: {doubt}" for doubt in more)
        _say(f"warning: {doubt}" for doubt in unclear)
        self._check_extras()
        return self.measure

    def _check_extras(self) -> None:
        from minispiral.measurement import dxf

        if find_spec("jinja2") is None:
            say(f"report.html is not written: Jinja2 is missing; {EXTRA}", err=True)
        if self.dxf:
            try:
                dxf.require_ezdxf()
            except UserError as error:
                say(f"{dxf.NAME} is not written: {error}", err=True)
                self.dxf = False

    def measure(
        self,
        photo: Path,
        files: Mapping[str, Path],
        pixels: NDArray[np.uint8],
        finding: Finding,
    ) -> Cracks:
        """Measure a photograph and keep its record; raises `UserError` where it fails."""
        from minispiral.measurement import Settings, measure

        threshold = max(self.threshold, LEAST_THRESHOLD)
        settings = Settings(threshold=threshold, low=threshold / 2)
        error = measured = None
        try:
            measured = measure(
                pixels,
                finding.probability,
                settings,
                self.wishes.transfer,
                self.readings[photo],
                self.scales[photo],
            )
        except UserError as refused:
            error = refused
        except Exception as failed:  # of one photograph, which must not cost the others
            if is_memory_error(failed):
                raise
            error = UserError(f"{type(failed).__name__}: {failed}")
        why = None if error is None else str(error)
        self._keep(results.PhotoResult(photo, files, measured, why))
        if measured is None:
            raise UserError(why or "")
        return [summary(measured, crack) for crack in measured.cracks]

    def _keep(self, result: results.PhotoResult) -> None:
        self.starts[result.photo] = self.lines.seek(0, SEEK_END)
        self.lines.write(results.line_of(result, self.out).encode() + b"\n")

    def finish(self, everyone: World, detections: Sequence[Detection]) -> None:
        """Write tables and page, in the first process; all take part.

        Raises `UserError` where a file cannot be written.
        """

        def work() -> None:
            lines = self._all_lines(everyone, detections)
            try:
                if everyone.is_first:
                    self._write(lines)
            finally:
                for _ in lines:  # what the others still have to tell
                    pass

        everyone.together(work)

    def _all_lines(self, everyone: World, detections: Sequence[Detection]) -> Iterator[str]:
        """The records of all photographs, in their order, one of each process at a time."""
        for start in range(0, len(detections), everyone.size):
            i = start + everyone.rank
            own = self._line(detections[i]) if i < len(detections) else None
            yield from (line for line in everyone.exchange(own) if line is not None)

    def _line(self, found: Detection) -> str:
        if found.photo in self.starts:
            self.lines.seek(self.starts[found.photo])
            return self.lines.readline().decode().rstrip("\n")
        why = found.error or found.unmeasured
        return results.line_of(results.PhotoResult(found.photo, error=why), self.out)

    def _write(self, lines: Iterable[str]) -> None:
        from minispiral.measurement import dxf, tables

        with results.writing_lines(self.out, self.card, self.as_stored) as add:
            for line in lines:
                add(line)
        found = results.read(self.out)
        unread = sum(photo.error is not None for photo in found.photos)
        written = [self.out / results.NAME, *tables.write_tables(self.out, found, self.places)]
        if self.dxf:
            rows = tables.crack_rows(self.out, found, self.places)
            scaled = all(self.scales.values())
            written.append(dxf.write_dxf(self.out, rows, scaled, self.places))
        say(f"cracks: {', '.join(path.name for path in written)}", err=True)
        if find_spec("jinja2") is not None:
            self._write_page(found, unread)
            written.append(self.out / "report.html")
        for left in (self.out / dxf.NAME, self.out / "report.html"):
            if left not in written and left.exists():
                say(f"{left} is that of an earlier detection", err=True)

    def _write_page(self, found: results.Results, unread: int) -> None:
        from minispiral.report.cracks.folder import report_folder

        page, missing, moved = report_folder(self.out, found=found)
        for name, why in missing[unread:] + moved:  # the others were told of before
            say(f"warning: {name}: {why}", err=True)
        say(f"report: {page} ({page.stat().st_size / 1e6:.1f} MB)", err=True)


def summary(measured: Measurement, crack: MeasuredCrack) -> dict[str, Any]:
    """A crack as ``detect --json`` tells it; lengths and widths in ``unit``."""
    from minispiral.measurement.classes import classes_of
    from minispiral.measurement.columns import class_label
    from minispiral.measurement.records import number

    def width(name: str, estimate: Estimate) -> dict[str, float | list[float] | None]:
        shown = measured.shown(estimate)
        interval = [round(shown.low, 4), round(shown.high, 4)] if shown.known else None
        return {f"width_{name}": number(shown.value, 4), f"width_{name}_interval": interval}

    classes = classes_of(measured)
    return {
        "number": crack.number,
        "unit": measured.unit,
        "length": number(crack.length * measured.unit_per_pixel, 2),
        **width("mean", crack.mean),
        **width("p95", crack.p95),
        **width("max", crack.maximum),
        "class": class_label(classes, classes.of_crack(measured, crack)),
    }


def model_card(run: Path, network: Network, threshold: float, tta: bool) -> results.ModelCard:
    """What the page says of the network of ``run``."""
    from minispiral import __version__
    from minispiral.runs.folder import read_config

    config = read_config(run) if run.is_dir() else {}
    shape = [str(config["network"])] if "network" in config else []
    if shape == ["spiral"]:
        shape.append(f"depths {', '.join(map(str, config.get('depths', ())))}")
    parameters = sum(parameter.data.size for parameter in network.parameters())
    shape.append(f"{parameters:,} parameters")
    if tta:
        shape.append("test-time augmentation")
    training = f"run {run.name}"
    if "data" in config:
        training += f", trained on {config['data']}"
    return results.ModelCard(", ".join(shape), training, threshold, __version__)


def _places(photos: Sequence[Path], as_stored: bool) -> tuple[list[Georeference | None], list[str]]:
    """Where the photographs lie in the world, and what is doubtful about it."""
    from minispiral.data.georeference import georeference

    places: list[Georeference | None] = []
    doubts = []
    for photo in photos:
        try:
            places.append(georeference(photo, as_stored))
        except UserError as error:
            places.append(None)
            doubts.append(f"{photo.name} is taken as not georeferenced: {error}")
    there = sum(place is not None for place in places)
    if 0 < there < len(places):
        doubts.append(
            f"{there} of {len(places)} photographs are georeferenced: cracks.geojson holds "
            "coordinates of the world for these, and pixels for the others"
        )
    return places, doubts


def _say(lines: Iterable[str]) -> None:
    """Print lines, of many the first."""
    every = list(lines)
    for line in every[:MOST_LINES]:
        say(line, err=True)
    if len(every) > MOST_LINES:
        say(f"... and {len(every) - MOST_LINES} more", err=True)
