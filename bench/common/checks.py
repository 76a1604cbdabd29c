"""Targets: numbers and the bounds they have to keep."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Check:
    """A number and its bound; None where it could not be measured."""

    what: str
    value: float | None
    limit: float
    at_least: bool = False

    @property
    def passed(self) -> bool | None:
        if self.value is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """What, the number, the bound and the verdict, for a table."""
        value = "-" if self.value is None else f"{self.value:.3g}"
        bound = f"{'>=' if self.at_least else '<='} {self.limit:g}"
        verdict = {None: "not measured", True: "pass", False: "[red]fail"}[self.passed]
        return self.what, value, bound, verdict

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "passed": self.passed}

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> "Check":
        """The inverse of `as_dict`."""
        return cls(**{name: value for name, value in found.items() if name != "passed"})
