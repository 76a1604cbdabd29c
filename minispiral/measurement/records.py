"""What is known of the cracks of a photograph once they are measured.

All lengths are in pixels of the photograph. Points are x, y from its top left corner; the centre of
its first pixel is 0.5, 0.5. A scale turns pixels into millimetres: see `Measurement.shown`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from math import hypot, isfinite, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.measurement.scale import Scale

Floats = NDArray[np.float64]


class Reason(StrEnum):
    """Why the width at a place counts, or does not."""

    COUNTED = "counted"
    JUNCTION = "junction"  # another line meets or crosses it here
    NEIGHBOUR = "too near another"  # another line runs within the profile
    BORDER = "border"  # the profile leaves the photograph
    GAP = "gap"  # bridged: nothing was detected here
    HOLE = "hole"  # far wider than the crack around it
    BAD_FIT = "bad fit"  # the profile across is not that of a crack


class Rest(StrEnum):
    """What the contrast of a photograph rests on, in order of trust."""

    CARD = "card"  # readings of a crack card
    WIDE = "wide places"  # cracks so wide that their floor is seen
    PRIOR = "prior"  # nothing in this photograph


@dataclass(frozen=True)
class Estimate:
    """A length or width and the interval that holds the truth with 95 %; NaN where unknown."""

    value: float = nan
    low: float = nan
    high: float = nan

    @property
    def known(self) -> bool:
        return isfinite(self.value)

    def scaled(self, scale: Scale | None) -> "Estimate":
        """In millimetres; the scale's error is added in quadrature. Unchanged without a scale."""
        if scale is None:
            return self
        mm, doubt = scale.mm_per_pixel, 1.96 * scale.relative_sd * self.value
        low = self.value - hypot(self.value - self.low, doubt)
        high = self.value + hypot(self.high - self.value, doubt)
        return Estimate(mm * self.value, 0.0 if low < 0 else mm * low, mm * high)

    def to_json(self) -> dict[str, float | None]:
        return {name: number(getattr(self, name), 4) for name in ("value", "low", "high")}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Estimate":
        return cls(*(_float(record[name]) for name in ("value", "low", "high")))


@dataclass(frozen=True)
class Places:
    """The width at ``m`` places along a crack, each the mean over a window of its length.

    ``at`` (m,): distance along the centre line, px. ``points`` (m, 2): x, y, px. ``width``, ``low``
    and ``high`` (m,): px, the interval of 95 %. ``reasons`` (m,): whether each counts, and if not,
    why.
    """

    at: Floats
    points: Floats
    width: Floats
    low: Floats
    high: Floats
    reasons: tuple[Reason, ...]

    @property
    def counted(self) -> NDArray[np.bool_]:
        return np.array([reason is Reason.COUNTED for reason in self.reasons], bool)

    def to_json(self) -> dict[str, Any]:
        return {
            "at": _list(self.at, 1),
            "points": _list(self.points, 2),
            "width": _list(self.width, 3),
            "low": _list(self.low, 3),
            "high": _list(self.high, 3),
            "reasons": [str(reason) for reason in self.reasons],
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Places":
        at, width, low, high = (_array(record[k]) for k in ("at", "width", "low", "high"))
        reasons = tuple(Reason(name) for name in record["reasons"])
        return cls(at, _array(record["points"]).reshape(-1, 2), width, low, high, reasons)


@dataclass(frozen=True)
class MeasuredCrack:
    """One unbranched line of a crack.

    Lines that hang together have the same ``crack``, 1 for the longest; ``branch`` is 0 for the
    longest line of it. ``points`` (n, 2): the centre line, about 1 px apart. ``length``: along it,
    px; ``bridged``: the part of it where nothing was detected, px. ``mean``, ``p95`` and
    ``maximum``: of the places that count, px; ``maximum_at``: x, y of the widest place.
    ``orientation``: degrees from the x axis, counter-clockwise, 0 up to 180. ``probability``: mean
    of the network's map along the line, 0 to 1. ``notes``: caveats for a person to read.
    """

    crack: int
    branch: int
    points: Floats
    length: float
    bridged: float
    mean: Estimate
    p95: Estimate
    maximum: Estimate
    maximum_at: tuple[float, float]
    orientation: float
    probability: float
    places: Places
    notes: tuple[str, ...] = ()

    @property
    def number(self) -> str:
        """``7`` for the longest line of crack 7, ``7.1`` for its first branch."""
        return f"{self.crack}.{self.branch}" if self.branch else f"{self.crack}"

    def to_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "crack": self.crack,
            "branch": self.branch,
            "length": number(self.length, 2),
            "bridged": number(self.bridged, 2),
            "mean": self.mean.to_json(),
            "p95": self.p95.to_json(),
            "maximum": self.maximum.to_json(),
            "maximum_at": [number(value, 2) for value in self.maximum_at],
            "orientation": number(self.orientation, 1),
            "probability": number(self.probability, 3),
            "notes": list(self.notes),
            "points": _list(self.points, 2),
            "places": self.places.to_json(),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "MeasuredCrack":
        x, y = (_float(value) for value in record["maximum_at"])
        return cls(
            crack=record["crack"],
            branch=record["branch"],
            points=_array(record["points"]).reshape(-1, 2),
            length=_float(record["length"]),
            bridged=_float(record["bridged"]),
            mean=Estimate.from_json(record["mean"]),
            p95=Estimate.from_json(record["p95"]),
            maximum=Estimate.from_json(record["maximum"]),
            maximum_at=(x, y),
            orientation=_float(record["orientation"]),
            probability=_float(record["probability"]),
            places=Places.from_json(record["places"]),
            notes=tuple(record["notes"]),
        )


@dataclass(frozen=True)
class Contrast:
    """The share of the light that an open crack swallows in this photograph.

    ``value``: 0 to 1; ``low``, ``high``: interval of 95 %; ``rests``: what it rests on.
    """

    value: float
    low: float
    high: float
    rests: Rest


@dataclass(frozen=True)
class Caveat:
    """Something about the photograph that the method cannot hold against.

    ``kind``: one word or two ("sharpened"); ``text``: a sentence that says what it does to widths.
    """

    kind: str
    text: str


@dataclass(frozen=True)
class Measurement:
    """The cracks of one photograph of ``width`` x ``height`` pixels.

    ``cracks``: all lines, crack by crack, longest first. ``blur``: standard deviation of the
    camera's blur as learnt, px, the pixel itself not counted. ``sharpening``: how much brighter
    than the wall the light beside the cracks is, as a share of their depth, 0 to 1: the halo of
    an unsharp mask. ``limit``: width below which a crack's light cannot be told from the
    wall's texture, px. ``caveats``: see `Caveat`. ``transfer``: how pixel values were taken to
    stand for light. ``scale``: `None` where unknown, then everything is in pixels.
    """

    width: int
    height: int
    cracks: tuple[MeasuredCrack, ...]
    contrast: Contrast
    blur: float
    sharpening: float
    limit: float
    caveats: tuple[Caveat, ...]
    transfer: str
    scale: Scale | None = None

    @property
    def unit(self) -> str:
        return "px" if self.scale is None else "mm"

    @property
    def unit_per_pixel(self) -> float:
        return 1.0 if self.scale is None else self.scale.mm_per_pixel

    def shown(self, estimate: Estimate) -> Estimate:
        """A length or width in `unit`, the scale's error in its interval."""
        return estimate.scaled(self.scale)

    def with_scale(self, scale: Scale | None) -> "Measurement":
        """The same cracks under another scale: nothing is measured again."""
        return replace(self, scale=scale)

    def to_json(self) -> dict[str, Any]:
        """All of it, lengths in pixels: what `from_json` reads; NaN becomes null."""
        return {
            "width": self.width,
            "height": self.height,
            "unit": "px",
            "transfer": self.transfer,
            "scale": None
            if self.scale is None
            else {
                "mm_per_pixel": self.scale.mm_per_pixel,
                "relative_sd": self.scale.relative_sd,
                "source": self.scale.source,
            },
            "contrast": {
                "value": number(self.contrast.value, 4),
                "low": number(self.contrast.low, 4),
                "high": number(self.contrast.high, 4),
                "rests": str(self.contrast.rests),
            },
            "blur": number(self.blur, 3),
            "sharpening": number(self.sharpening, 2),
            "limit": number(self.limit, 3),
            "caveats": [{"kind": caveat.kind, "text": caveat.text} for caveat in self.caveats],
            "cracks": [crack.to_json() for crack in self.cracks],
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Measurement":
        contrast, scale = record["contrast"], record["scale"]
        return cls(
            width=record["width"],
            height=record["height"],
            cracks=tuple(MeasuredCrack.from_json(crack) for crack in record["cracks"]),
            contrast=Contrast(
                _float(contrast["value"]),
                _float(contrast["low"]),
                _float(contrast["high"]),
                Rest(contrast["rests"]),
            ),
            blur=_float(record["blur"]),
            sharpening=_float(record["sharpening"]),
            limit=_float(record["limit"]),
            caveats=tuple(Caveat(each["kind"], each["text"]) for each in record["caveats"]),
            transfer=record["transfer"],
            scale=None if scale is None else Scale(**scale),
        )


def number(value: float, digits: int) -> float | None:
    """Rounded; `None` for what is unknown."""
    return round(float(value), digits) if isfinite(value) else None


def _float(value: float | None) -> float:
    return nan if value is None else float(value)


def _list(values: Floats, digits: int) -> list[Any]:
    """Nested lists; NaN, which JSON has not, becomes None."""
    rounded = values.round(digits)
    if np.isfinite(rounded).all():
        return list(rounded.tolist())
    whole = rounded.astype(object)
    whole[~np.isfinite(rounded)] = None
    return list(whole.tolist())


def _array(values: list[Any]) -> Floats:
    return np.array(values, np.float64)
