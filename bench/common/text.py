"""What the tables share."""

from typing import Any

BUSY = 0.5  # load average of the minute before, above which others disturb the measurement


def share(value: float) -> str:
    return f"{value:.1%}"


def milliseconds(seconds: float | None, digits: int) -> str:
    return "-" if seconds is None else f"{1e3 * seconds:.{digits}f}"


def ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def busy(*reports: dict[str, Any]) -> list[str]:
    """A warning where the machine did not measure alone."""
    load = max(report["machine"]["load_before"] or 0.0 for report in reports)
    if load <= BUSY:
        return []
    return [
        f"The machine was busy (load {load:.1f}), from which PyTorch, whose threads wait for each "
        "other, suffers most: measure again."
    ]
