"""Tables for a person to read, and the numbers in them."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

BUSY = 0.5  # load average of the minute before, above which others disturb the measurement


def table(
    title: str,
    names: Iterable[str],
    numbers: Iterable[str],
    *notes: str,
    prose: Iterable[str] = (),
    **style: Any,
) -> Table:
    """An empty table: columns of names, of prose, which wraps, and of numbers; notes below."""
    shown = Table(title=title, caption="\n".join(notes), caption_justify="left", **style)
    for heading in names:
        shown.add_column(heading, no_wrap=True)
    for heading in prose:
        shown.add_column(heading, overflow="fold")
    for heading in numbers:
        shown.add_column(heading, justify="right", no_wrap=True)
    return shown


def share(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}%}"


def milliseconds(seconds: float | None, digits: int) -> str:
    return "-" if seconds is None else f"{1e3 * seconds:.{digits}f}"


def ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def busy(
    *reports: Mapping[str, Any],
    effect: str = "PyTorch suffers most from this, since its threads wait for each other",
) -> list[str]:
    """A warning if others used the machine too."""
    load = max(report["machine"]["load_before"] or 0.0 for report in reports)
    if load <= BUSY:
        return []
    return [f"The machine was busy (load {load:.1f}). {effect}: measure again."]
