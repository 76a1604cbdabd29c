"""``python -m bench measure``: widths and lengths against the truth, and what measuring costs."""

import json
import resource
import time
import tracemalloc
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from bench.common import options
from bench.common.machine import conditions
from bench.common.results import keep
from bench.measure.render import Case
from bench.measure.rows import ROWS, Row, case_of
from bench.measure.score import branch_errors, errors, gathered, rms, scores
from bench.measure.synthetic import synthetic
from minispiral.data.synth import make_sample
from minispiral.detection.find import find_cracks
from minispiral.detection.metrics import BEST
from minispiral.detection.threshold import choose_threshold
from minispiral.measurement import Measurement, Reading, Scale, Settings, measure
from minispiral.measurement.curves import length
from minispiral.runs.checkpoint import load_network

PARTS = ("rows", "lengths", "synth", "detected", "cost")
FILE = "measure.json"
CARD = 0.05  # mm, between the lines of a crack card
SCALE = Scale(0.2)  # mm per pixel, where a card is read
SYNTH_SIZE = (640, 480)  # px, of the photographs whose masks are measured ...
DETECTED_SIZE = (1024, 768)  # ... and of those that a network looks through

Found = dict[str, Any]


@click.command("measure")
@click.argument("parts", nargs=-1, type=click.Choice(PARTS), metavar="[PART]...")
@click.option("--photos", default=8, show_default=True, help="Photographs of each row and width.")
@click.option("--row", "chosen", multiple=True, type=click.Choice(list(ROWS)), help="Only this.")
@click.option("--seed", type=int, help="Of all that is drawn at random [default: fresh].")
@click.option(
    "--run", type=click.Path(path_type=Path), metavar="RUN", help="The network for `detected`."
)
@options.as_json
@options.out("measure.json goes")
def command(
    parts: tuple[str, ...],
    photos: int,
    chosen: tuple[str, ...],
    seed: int | None,
    run: Path | None,
    as_json: bool,
    out: Path,
) -> None:
    """Measure cracks whose width is known, and say how wrong the widths are.

    \b
    rows     rendered cracks: one row for each kind of photograph and each range of widths
    lengths  rendered cracks: straight ones at any angle, curved and rough ones
    synth    photographs of `minispiral synth`, their masks taken for probabilities
    detected photographs of `minispiral synth`, the cracks found by the network of --run
    cost     seconds and memory for a photograph of 20 megapixels

    Each time fresh cases are drawn. Beside the method stand what counting mask pixels (the distance
    transform) and the width at half depth give at the same places.
    """
    parts = parts or tuple(part for part in PARTS if part != "detected" or run)
    if "detected" in parts and not run:
        raise click.UsageError("detected needs a trained network: --run RUN")
    seed = int(np.random.SeedSequence().entropy % 2**32) if seed is None else seed  # type: ignore[operator]
    report: Found = {}
    for part in parts:
        rng = np.random.default_rng([seed, PARTS.index(part)])
        click.echo(f"measuring {part}, seed {seed}", err=True)
        found: Found = {"seed": seed, "photos": photos, "machine": conditions()}
        if part == "rows":
            found["rows"] = {}
            for name in chosen or tuple(ROWS):
                found["rows"][name] = rows(name, ROWS[name], photos, rng)
                if not chosen:
                    keep(out / FILE, {part: found})
        elif part == "lengths":
            found["lengths"] = lengths(photos, rng)
        elif part == "synth":
            found.update(synthetic(3 * photos, SYNTH_SIZE, rng))
        elif part == "detected" and run:
            found.update(detected(run, 3 * photos, rng))
        else:
            found.update(cost(rng))
        report[part] = found
        if not chosen:
            keep(out / FILE, {part: found})
        if not as_json:
            Console(width=160).print(table(part, found))
    if as_json:
        click.echo(json.dumps(report))


def rows(name: str, row: Row, photos: int, rng: np.random.Generator) -> Found:
    """The errors of a row, by range of widths."""
    found: Found = {}
    for low, high in row.bins:
        parts, settings = [], Settings()
        for _ in range(photos):
            case = case_of(row, low, high, rng)
            measured = measured_case(case, row, rng)
            parts.append(scores(case.photo, case.trace, case.cracks, measured, settings))
        of = gathered(parts)
        # A taper is counted where it is as wide as the range says, and a 4 px crack is no subject.
        limits = (0.0, np.inf) if name == "tapering" else (0.75 * low, 1.05 * high)
        if name == "beside 4 px":
            limits = (0.0, high)
        found[f"{low:g}-{high:g}"] = {**errors(of, *limits), **_branches(of)}
        click.echo(f"{name} {low:g}-{high:g} px", err=True)
    return found


def _branches(of: Any) -> Found:
    return _as_branches(branch_errors(of))


def _as_branches(found: Found) -> Found:
    return {f"branch_{name}": each for name, each in found.items()}


def measured_case(case: Case, row: Row, rng: np.random.Generator) -> Measurement:
    """Measured, after one reading by card in the middle half of the crack where the row says so."""
    if not row.card:
        return measure(case.photo, case.trace)
    crack = case.cracks[0]
    at = int(rng.integers(len(crack.points) // 4, 3 * len(crack.points) // 4))
    read = CARD * max(1, round(float(crack.widths[at]) * SCALE.mm_per_pixel / CARD))
    x, y = crack.points[at].tolist()
    return measure(case.photo, case.trace, readings=[Reading(x, y, read)], scale=SCALE)


def lengths(photos: int, rng: np.random.Generator) -> Found:
    """Relative errors of the length of lines 1 to 3 px wide, by shape."""
    found = {}
    for name in ("alone", "curved", "rough"):
        parts = []
        for _ in range(3 * photos):
            case = case_of(ROWS[name], 1.0, 3.0, rng)
            measured = measure(case.photo, case.trace)
            parts.append(scores(case.photo, case.trace, case.cracks, measured, Settings()))
        measured_length, true, smooth = gathered(parts).length.T
        error = measured_length / true - 1
        found[name] = {
            "mean": float(error.mean()),
            "rms": rms(error),
            "worst": float(np.abs(error).max()),
            "of_smoothed_truth": float((measured_length / smooth - 1).mean()),
        }
    return found


def detected(run: Path, photos: int, rng: np.random.Generator) -> Found:
    """Errors where the network of ``run`` found the cracks, beside what it missed and invented.

    At the threshold that did best on the run's validation photographs, as ``detect`` is told by
    ``--threshold best``.
    """
    network, (threshold, _) = load_network(run), choose_threshold(run, BEST)
    found = synthetic(
        photos,
        DETECTED_SIZE,
        rng,
        lambda sample: find_cracks(network, sample.photo).probability,
        threshold,
    )
    return {**found, "threshold": threshold}


def cost(rng: np.random.Generator) -> Found:
    """Seconds (the best of three) and memory of one photograph of 20 megapixels."""
    sample = make_sample(rng, 3678, 5472)
    while sum(length(crack.points) for crack in sample.cracks) < 10_000:  # 15,000 is usual
        sample = make_sample(rng, 3678, 5472)
    probability = np.uint8(255) * sample.mask
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        measured = measure(sample.photo, probability)
        seconds.append(time.perf_counter() - start)
    tracemalloc.start()
    measure(sample.photo, probability)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {
        "seconds": min(seconds),
        "peak_megabytes": peak / 1e6,
        "process_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
        "cracks": len(measured.cracks),
        "length_px": sum(crack.length for crack in measured.cracks),
        "places": sum(len(crack.places.at) for crack in measured.cracks),
    }


def table(part: str, found: Found) -> Table:
    """A part's report for a person to read."""
    if part == "rows":
        return _widths("Widths, px", found["rows"])
    if part in ("synth", "detected"):
        title = (
            f"Widths in synthetic photographs, px; {found['length_found']:.0%} of the cracks' "
            f"length found, {found['false_length']:.0%} of the measured length on no crack"
        )
        widths = {"all": {**found["all"], **_as_branches(found["branches"])}, **found["widths"]}
        return _widths(title, {part: widths})
    shown = Table(title=part.capitalize())
    if part == "lengths":
        for heading in ("Shape", "Mean", "RMS", "Worst"):
            shown.add_column(heading)
        for name, of in found["lengths"].items():
            shown.add_row(name, f"{of['mean']:+.1%}", f"{of['rms']:.1%}", f"{of['worst']:.1%}")
        return shown
    for heading in ("What", "Value"):
        shown.add_column(heading)
    for name in ("seconds", "peak_megabytes", "length_px", "places"):
        shown.add_row(name.replace("_", " "), f"{found[name]:.1f}")
    return shown


def _widths(title: str, rows: dict[str, Found]) -> Table:
    shown = Table(title=title)
    for heading in (
        "Row",
        "Width",
        "Places",
        "Counted",
        "Bias",
        "RMSE",
        "Inside 95 %",
        "Interval +-",
        "Mean: RMSE",
        "inside",
        "Distance transform",
        "Half depth",
    ):
        shown.add_column(heading)
    for name, bins in rows.items():
        for width, of in bins.items():
            if not of["places"]:
                shown.add_row(name, width, "0")
                continue
            branch = of.get("branch_mean", {"rmse": float("nan"), "inside": float("nan")})
            shown.add_row(
                name,
                width,
                str(of["places"]),
                f"{of['counted']:.0%}",
                f"{of['bias']:+.2f}",
                f"{of['rmse']:.2f}",
                f"{of['inside']:.0%}",
                f"{of['half_interval']:.2f}",
                f"{branch['rmse']:.2f}",
                f"{branch['inside']:.0%}",
                f"{of['distance_transform_rmse']:.2f}",
                f"{of['half_depth_rmse']:.2f}",
            )
    return shown
