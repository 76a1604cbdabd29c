"""Names of files as any terminal can show them."""

import os
import shlex
import sys
import unicodedata

# Controls, formatting such as the marks that turn the direction of writing, halves of surrogate
# pairs (bytes that are no UTF-8), line and paragraph separators, private and unassigned characters.
HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"}
JOINERS = "\u200c\u200d"  # format characters that belong to words and to emoji


def escaped(text: str) -> str:
    r"""``text`` with what a terminal would not show, or obey, written as in Python: ``\x1b``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c.encode("unicode_escape").decode()
        if unicodedata.category(c) in HIDDEN and c not in JOINERS
        else c
        for c in text
    )


def encodable(text: str, encoding: str | None) -> str:
    r"""``text`` with what ``encoding`` lacks written as in Python: ``\u6865``."""
    encoding = encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def shell_word(word: str) -> str:
    r"""``word`` as one types it in a shell, in plain ASCII where it could not be shown."""
    stream = sys.stderr.encoding if sys.stderr else None
    if encodable(escaped(word), stream) == word:
        return shlex.quote(word)
    shown = (
        chr(byte) if 32 <= byte < 127 and chr(byte) not in "'\\" else f"\\x{byte:02x}"
        for byte in os.fsencode(word)
    )
    return f"$'{''.join(shown)}'"


def never_fail() -> None:
    """Let the standard streams write what their encoding lacks as ``\\u6865``, not raise."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
