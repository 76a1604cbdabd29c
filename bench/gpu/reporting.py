"""How a part tells of its items as they are measured, so that what ends it costs one item."""

from collections.abc import Callable
from typing import Any

# Called after each item of a part: with the item, with all that was found so far, and with the
# share of the part that is done.
Report = Callable[[dict[str, Any], dict[str, Any], float], None]


def quiet(item: dict[str, Any], found: dict[str, Any], share: float) -> None:
    """Tells nobody."""
