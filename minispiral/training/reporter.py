"""What a training run tells the person who waits for it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minispiral.detection.metrics import Summary


class Reporter:
    """Hears how a run gets on and keeps silent; override what you want to hear.

    A subclass must not change the run: it is told of each step after it has been taken.
    """

    def message(self, text: str) -> None:
        """A sentence for the user."""

    def prepared(self, done: int, total: int) -> None:
        """``done`` of ``total`` photographs are decoded."""

    def started(self, step: int, total: int) -> None:
        """Training goes on from ``step`` of ``total``."""

    def stepped(self, step: int, loss: float | None, f1: float | None) -> None:
        """``step`` is done; running loss and F1, None where no batch held a crack yet."""

    def validating(self, done: int, total: int) -> None:
        """``done`` of ``total`` validation photographs are scored."""

    def validated(self, step: int, scores: "Summary") -> None:
        """The scores on the validation photographs after ``step``."""

    def drawing(self, done: int, total: int) -> None:
        """``done`` of ``total`` pictures of the finished run are drawn."""
