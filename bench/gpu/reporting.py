"""How a part tells of its items as they are measured, so that what ends it costs one item."""

from typing import Any, Protocol


class Report(Protocol):
    """Is called after each item of a part."""

    def __call__(self, item: dict[str, Any], found: dict[str, Any], share: float) -> None:
        """``item`` is new, ``found`` all there is so far, ``share`` of the part is done."""


def quiet(item: dict[str, Any], found: dict[str, Any], share: float) -> None:
    """Tells nobody."""
