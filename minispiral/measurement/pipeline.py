"""The whole: from a photograph and a probability map to its measured cracks."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from minispiral.errors import UserError
from minispiral.measurement import curves
from minispiral.measurement.beside import dirt, dirt_covariance, notes_beside
from minispiral.measurement.caveats import HALO, allowance, caveats, halo, quantisation
from minispiral.measurement.centre import refined
from minispiral.measurement.contrast import Reading
from minispiral.measurement.curves import Floats
from minispiral.measurement.learning import Learnt, Widths, learn, widths_of
from minispiral.measurement.light import Light
from minispiral.measurement.lines import detected
from minispiral.measurement.lines import lines as strokes_of
from minispiral.measurement.places import Reasons, by_position, holes
from minispiral.measurement.profiles import (
    LEAST,
    Profiles,
    empty_profiles,
    offsets_of,
    profiles_along,
    texture_covariance,
)
from minispiral.measurement.records import MeasuredCrack, Measurement, Places, Reason
from minispiral.measurement.scale import Scale
from minispiral.measurement.settings import Settings
from minispiral.measurement.strokes import Stroke
from minispiral.measurement.summary import summary
from minispiral.measurement.wide import half_depth, wide_widths

EXTRA = "pip install 'minispiral[measure]'"
WIDE_SD = 0.15  # px, of a width by half depth
DEFAULTS = Settings()


def measure(
    photo: NDArray[np.uint8],
    probability: NDArray[np.generic],
    settings: Settings = DEFAULTS,
    transfer: str = "srgb",
    readings: Sequence[Reading] = (),
    scale: Scale | None = None,
) -> Measurement:
    """All cracks of a ``photo`` (h, w) or (h, w, 3) with their lengths and widths.

    ``probability`` (h, w): the network's map, 0 to 1 or 0 to 255 in bytes, or a boolean mask.
    ``transfer``: how pixel values stand for light: ``srgb`` as cameras write, or ``linear``.
    ``readings``: widths read from a crack card at places of the photograph, which fix its contrast;
    they need a ``scale``. See `Measurement` for what is returned; lengths are in pixels there.

    Raises `UserError` for arrays that do not fit each other, a reading without a scale or away from
    any crack, and where SciPy is missing.
    """
    require_scipy()
    light = Light(photo, transfer)
    if probability.shape != photo.shape[:2]:
        raise UserError(
            f"A photograph of {photo.shape[:2]} pixels and a probability map of "
            f"{probability.shape} were given, expected the same height and width",
            "probability",
        )
    if readings and scale is None:
        raise UserError(
            "Readings in millimetres were given without a scale, expected the millimetres of a "
            "pixel with them",
            "scale",
        )
    found = detected(probability, settings)
    strokes = strokes_of(found, settings)
    lines = [refined(light, stroke.points, settings) for stroke in strokes]
    profiles = profiles_along(light, lines, settings)
    reasons = by_position(profiles, lines, strokes, settings)
    empty = empty_profiles(light, lines, found.shown, settings)
    offsets = offsets_of(settings)
    dirty = dirt(profiles.part(reasons.counted), empty, offsets)
    covariance = texture_covariance(empty) + dirt_covariance(dirty, offsets)
    step = quantisation(photo)
    sharpening, doubt = halo(profiles.part(reasons.counted), empty, offsets)
    allowed = allowance(settings, step, sharpening)
    learnt = learn(profiles, reasons.counted, covariance, allowed, readings, scale)
    widths = widths_of(profiles.values, learnt, settings)
    widths = _with_wide(light, lines, profiles, widths, settings)
    beside = [
        notes_beside(profiles.part(reasons.counted & (profiles.line == k)), empty, offsets)
        for k in range(len(lines))
    ]
    reasons.add(~(widths.misfit < settings.bad_fit), Reason.BAD_FIT)
    reasons.add(holes(profiles, widths.value), Reason.HOLE)
    limit = _limit(empty, learnt)
    return Measurement(
        width=light.width,
        height=light.height,
        cracks=_cracks(
            strokes, lines, profiles, widths, reasons, beside, limit, probability, settings
        ),
        contrast=learnt.contrast,
        blur=learnt.blur,
        sharpening=sharpening,
        limit=limit,
        caveats=caveats(step, sharpening > max(HALO, 2 * doubt), dirty > 0, light, lines),
        transfer=transfer,
        scale=scale,
    )


def require_scipy() -> None:
    """Raises `UserError` that says what to install where SciPy is missing."""
    try:
        import scipy  # noqa: F401
    except ImportError as error:
        raise UserError(f"Cracks are measured with SciPy, which is missing; {EXTRA}") from error


def _with_wide(
    light: Light, lines: list[Floats], profiles: Profiles, widths: Widths, settings: Settings
) -> Widths:
    """Widths beyond the model's are replaced by those at half depth; misfit is NaN without one."""
    beyond = half_depth(profiles.values, offsets_of(settings)) > settings.halfway
    if not beyond.any():
        return widths
    wide = wide_widths(light, lines, profiles.part(beyond), settings)
    error = 1.96 * np.hypot(WIDE_SD, settings.model_share * wide)
    changed = {name: getattr(widths, name).copy() for name in widths.__dataclass_fields__}
    changed["misfit"][beyond] = np.where(np.isfinite(wide), 0.0, np.nan)
    there = np.flatnonzero(beyond)[np.isfinite(wide)]
    error, wide = error[np.isfinite(wide)], wide[np.isfinite(wide)]
    changed["value"][there] = wide
    changed["low"][there], changed["high"][there] = wide - error, wide + error
    changed["means"][there] = wide[:, None]
    changed["variances"][there] = (error[:, None] / 1.96) ** 2
    return replace(widths, **changed)


def _limit(empty: Floats, learnt: Learnt) -> float:
    """The width that the wall's texture alone reaches in one of 40 windows, px; NaN if unknown.

    Twice the robust standard deviation of k w / contrast, the width that the model finds where no
    crack is, with w = 0.5 px.
    """
    if len(empty) < LEAST:
        return float("nan")
    model = learnt.models[int(learnt.weights.sum(axis=1).argmax())]
    narrow = int(np.searchsorted(model.widths, 0.5))
    widths = model.fit(empty).k[:, narrow] * model.widths[narrow] / learnt.contrast.value
    low, high = np.quantile(widths, [0.16, 0.84])
    return float(high - low)


def _cracks(
    strokes: list[Stroke],
    lines: list[Floats],
    profiles: Profiles,
    widths: Widths,
    reasons: Reasons,
    beside: list[tuple[str, ...]],
    limit: float,
    probability: NDArray[np.generic],
    settings: Settings,
) -> tuple[MeasuredCrack, ...]:
    """The records, longest crack first, its longest line first."""
    lengths = [curves.length(points) for points in lines]
    total: dict[int, float] = {}
    for stroke, length in zip(strokes, lengths, strict=True):
        total[stroke.crack] = total.get(stroke.crack, 0.0) + length
    numbers = {crack: n for n, crack in enumerate(sorted(total, key=lambda c: -total[c]), start=1)}
    order = sorted(range(len(lines)), key=lambda k: (numbers[strokes[k].crack], -lengths[k]))
    branches: dict[int, int] = {}
    counts = reasons.counted
    records = []
    for k in order:
        crack = numbers[strokes[k].crack]
        branch = branches[crack] = branches.get(crack, -1) + 1
        here = np.flatnonzero(profiles.line == k)
        counted = here[counts[here]]
        told = summary(widths, counted, settings)
        x, y = profiles.points[told.place] if told.place >= 0 else (np.nan, np.nan)
        records.append(
            MeasuredCrack(
                crack=crack,
                branch=branch,
                points=lines[k],
                length=lengths[k],
                bridged=strokes[k].bridged,
                mean=told.mean,
                p95=told.p95,
                maximum=told.maximum,
                maximum_at=(float(x), float(y)),
                orientation=curves.orientation(lines[k]),
                probability=_mean_probability(probability, lines[k]),
                places=Places(
                    profiles.at[here],
                    profiles.points[here],
                    widths.value[here],
                    widths.low[here],
                    widths.high[here],
                    tuple(reasons.found[i] for i in here),
                ),
                notes=_notes(told.mean.value, len(counted), len(here), limit) + beside[k],
            )
        )
    return tuple(records)


def _mean_probability(probability: NDArray[np.generic], points: Floats) -> float:
    height, width = probability.shape
    cols, rows = np.floor(points).astype(int).T
    values = probability[np.clip(rows, 0, height - 1), np.clip(cols, 0, width - 1)]
    return float(values.astype(np.float64).mean()) / (255 if probability.dtype == np.uint8 else 1)


def _notes(mean: float, counted: int, windows: int, limit: float) -> tuple[str, ...]:
    notes = []
    if not counted:
        return ("no width",)
    if mean < limit:
        notes.append("narrower than what the wall's texture looks like")
    elif mean < 1 / 3:
        notes.append("narrower than a third of a pixel")
    if counted < windows / 2:
        notes.append("less than half of it measured")
    return tuple(notes)
