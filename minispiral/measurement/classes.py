"""Classes of crack width: those that decide about repair, in millimetres, and their like in pixels.

Without a scale the bounds are those widths, in pixels, between which the method can tell.
"""

from bisect import bisect_right
from dataclasses import dataclass

from minispiral.measurement.records import MeasuredCrack, Measurement


@dataclass(frozen=True)
class WidthClasses:
    """``bounds``: ascending, in ``unit``; a width equal to a bound is in the class above it.

    Class 0 lies below the first bound, class ``len(bounds)`` from the last one on.
    """

    bounds: tuple[float, ...]
    unit: str

    def of(self, width: float) -> int:
        """The class of a width in `unit`."""
        return bisect_right(self.bounds, width)

    def of_crack(self, measurement: Measurement, crack: MeasuredCrack) -> int | None:
        """The class of a crack's p95 width: its widest place may be a broken edge.

        `None` where its width is unknown.
        """
        width = measurement.shown(crack.p95)
        return self.of(width.value) if width.known else None

    def ends(self, index: int) -> tuple[float | None, float | None]:
        """From where to where a class goes; `None` where it has no end."""
        ends = (None, *self.bounds, None)
        return ends[index], ends[index + 1]

    def label(self, index: int) -> str:
        """``< 0.05``, ``0.05-0.1`` or ``>= 0.3``, in `unit`."""
        low, high = self.ends(index)
        if low is None:
            return f"< {high:g}"
        return f">= {low:g}" if high is None else f"{low:g}-{high:g}"

    def __len__(self) -> int:
        return len(self.bounds) + 1


MILLIMETRES = WidthClasses((0.05, 0.1, 0.2, 0.3), "mm")
PIXELS = WidthClasses((0.5, 1.0, 2.0, 3.0), "px")


def classes_of(measurement: Measurement) -> WidthClasses:
    """The classes in the unit of a measurement."""
    return PIXELS if measurement.scale is None else MILLIMETRES
