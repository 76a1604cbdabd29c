"""The console that tables and progress are printed on."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from minispiral.cli.printable import encodable


class PlainConsole(Console):
    """A console that prints text as it is: no markup, no emoji codes, no highlighting.

    What its encoding lacks is escaped before tables are laid out, so that columns stay aligned.
    """

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(encodable(text, self.encoding), **options)


class QuietConsole(PlainConsole):
    """Falls silent when nobody reads standard error any more, where rich would exit."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
