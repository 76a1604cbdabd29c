"""What a training run reports while it goes on."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minispiral.detection.metrics import Summary


class Reporter:
    """Receives the events of a run and ignores them; override the methods of interest.

    A subclass must not change the run.
    """

    def message(self, text: str) -> None:
        """A sentence for the user."""

    def prepared(self, done: int, total: int) -> None:
        """``done`` of ``total`` photographs are decoded."""

    def started(self, step: int, total: int) -> None:
        """Training begins or resumes after ``step`` of ``total``."""

    def stepped(self, step: int, loss: float | None, f1: float | None) -> None:
        """``step`` is done; ``loss`` and ``f1`` are running values, None without a crack so far."""

    def validating(self, done: int, total: int) -> None:
        """``done`` of ``total`` validation photographs are scored."""

    def validated(self, step: int, scores: "Summary") -> None:
        """The validation after ``step`` is done."""

    def drawing(self, done: int, total: int) -> None:
        """``done`` of ``total`` pictures of the finished run are drawn."""
