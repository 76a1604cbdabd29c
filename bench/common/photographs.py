"""Synthetic photographs that a command makes once and finds when it is given again."""

import shutil
from pathlib import Path
from typing import Any

from minispiral.cli.progress import TerminalReporter
from minispiral.data.synth import write_dataset


def make_once(folder: Path, terminal: TerminalReporter, **dataset: Any) -> None:
    """`write_dataset` of these options, unless ``folder`` is there: it appears when complete."""
    if folder.exists():
        return

    def progress(done: int, total: int) -> None:
        terminal.show(f"making photographs of {folder.name}", done, total)

    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    write_dataset(part, progress=progress, **dataset)
    part.rename(folder)
