"""Progress of long jobs on standard error: a bar in a terminal, a line now and then elsewhere."""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from minispiral.cli.printable import escaped
from minispiral.training.reporter import Reporter

if TYPE_CHECKING:
    from rich.progress import TaskID

    from minispiral.detection.metrics import Summary

LINE_SECONDS = 15.0  # between two lines, where there is no bar


class TerminalReporter(Reporter):
    """A context manager that shows on standard error what training reports.

    >>> with TerminalReporter() as report:                                  # doctest: +SKIP
    ...     train(config, Path("run"), report=report)
    """

    def __init__(self) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
        )

        from minispiral.cli.console import QuietConsole

        self.console = QuietConsole(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.task: TaskID | None = None
        self.description = ""
        self.began = self.printed = time.monotonic()
        self.first_step = 0
        self.total_steps = 0

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def message(self, text: str) -> None:
        try:
            self.console.print(escaped(text), soft_wrap=True)
        except OSError:  # a run must not end because its progress cannot be shown
            self.console.quiet = True

    def prepared(self, done: int, total: int) -> None:
        self.show("reading photographs", done, total)

    def started(self, step: int, total: int) -> None:
        self.began = time.monotonic()
        self.first_step, self.total_steps = step, total
        self.show("training", step, total)

    def stepped(self, step: int, loss: float | None, f1: float | None) -> None:
        elapsed = max(time.monotonic() - self.began, 1e-9)
        rate = (step - self.first_step) / elapsed
        left = (self.total_steps - step) / rate if rate else 0.0
        scores = f"loss {_number(loss, '.4g')}  F1 {_number(f1, '.3f')}"
        note = f"{_rate(rate)}  {_clock(left)} left  {scores}"
        self.show("training", step, self.total_steps, note)

    def validating(self, done: int, total: int) -> None:
        self.show("validating", done, total)

    def validated(self, step: int, scores: "Summary") -> None:
        named = {
            "F1": scores.f1,
            "precision": scores.precision,
            "recall": scores.recall,
            "average precision": scores.average_precision,
        }
        listed = ", ".join(f"{name} {_number(score, '.3f')}" for name, score in named.items())
        self.message(f"step {step}: validation {listed}")

    def drawing(self, done: int, total: int) -> None:
        self.show("drawing pictures", done, total)

    def show(self, description: str, done: int, total: int, note: str = "") -> None:
        """Redraw the bar, or print a line where there is none."""
        new = description != self.description
        self.description = description
        if not self.bar.disable:
            if new and self.task is not None:
                self.bar.remove_task(self.task)
                self.task = None
            if self.task is None:
                self.task = self.bar.add_task(description, total=total, completed=done, note=note)
            else:
                self.bar.update(self.task, completed=done, total=total, note=note)
            return
        now = time.monotonic()
        if now - self.printed >= LINE_SECONDS or done == total:
            self.printed = now
            self.message(f"{description} {done}/{total}  {note}".rstrip())


def _number(value: float | None, spec: str) -> str:
    return "-" if value is None else format(value, spec)


def _rate(steps_per_second: float) -> str:
    """Steps per second, or seconds per step where that number is larger."""
    if steps_per_second >= 1 or not steps_per_second:
        return f"{steps_per_second:.1f} steps/s"
    return f"{1 / steps_per_second:.1f} s/step"


def _clock(seconds: float) -> str:
    """``h:mm:ss``."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
