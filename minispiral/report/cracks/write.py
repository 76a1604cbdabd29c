"""Writes the page of cracks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minispiral.errors import UserError
from minispiral.files import replacing
from minispiral.measurement.results import ModelCard
from minispiral.report.cracks.photograph import Photograph
from minispiral.report.cracks.pictures import LEVELS, PAGE, SHARE
from minispiral.report.cracks.sections import Section, section
from minispiral.report.page import printable

if TYPE_CHECKING:
    from jinja2 import Template

SCRIPTS = ("numbers", "view", "chances", "gestures", "figures", "table", "photograph", "page")


def write_report(
    path: Path,
    photographs: Sequence[Photograph],
    card: ModelCard,
    threshold: float | None = None,
    unread: Sequence[tuple[str, str]] = (),
) -> list[tuple[str, str]]:
    """Write the page of ``photographs``: one file that needs no other and no network.

    Photographs are read one after the other, so that memory does not grow with their number.
    ``threshold``: where the slider stands when the page opens, a probability; without it all
    cracks are drawn. ``unread``: names of photographs that have no measurement, and why.

    Returns names of photographs whose picture could not be shown, and why. Raises `UserError` for a
    threshold outside 0 to 1, where Jinja2 is missing, and where the page cannot be written.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise UserError(f"A threshold of {threshold:g} was given, expected 0 to 1", "threshold")
    template = _template()
    levels = levels_with(card.threshold if threshold is None else threshold)
    failed: list[tuple[str, str]] = []

    def sections() -> Iterator[Section]:
        share = min(SHARE, PAGE // max(len(photographs), 1))
        for index, photograph in enumerate(photographs, 1):
            made = section(index, photograph, levels, share)
            if made.pictures is None:
                failed.append((made.name, made.notices[-1]))
            yield made

    pieces = template.generate(
        card=card,
        photographs=photographs,
        sections=sections(),
        unread=unread,
        levels=levels,
        start=_start(levels, photographs, card) if threshold is None else _level(levels, threshold),
    )
    with replacing(path) as file:
        for piece in pieces:
            file.write(piece.encode())
    return failed


def levels_with(threshold: float) -> list[float]:
    """The 15 probabilities at which levels begin: sixteenths, the nearest replaced by a threshold.

    So the slider tells exactly what lies above ``threshold`` and nearly what lies above others.
    """
    levels = np.arange(1, LEVELS) / LEVELS
    if 0 < threshold < 1:
        levels[np.abs(levels - threshold).argmin()] = threshold
    return [float(level) for level in levels]


def _level(levels: Sequence[float], threshold: float) -> int:
    """How many of ``levels`` are at most ``threshold``."""
    return int(np.searchsorted(levels, threshold, side="right"))


def _start(levels: Sequence[float], photographs: Sequence[Photograph], card: ModelCard) -> int:
    """The highest level up to the detection's threshold at which every crack is drawn."""
    chances = [crack.probability for photo in photographs for crack in photo.measurement.cracks]
    return _level(levels, min([card.threshold, *chances]))


def _template() -> Template:
    try:
        from jinja2 import Environment, FunctionLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise UserError(
            "Jinja2 is not installed here and the page is made with it; "
            "`pip install 'minispiral[measure]'`"
        ) from error

    folder = files(__package__)

    def read(name: str) -> str:
        return (folder / "page" / name).read_text(encoding="utf-8")

    environment = Environment(
        loader=FunctionLoader(read),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    shared: dict[str, Any] = {
        "style": Markup(read("style.css")),
        "script": Markup("\n".join(read(f"{name}.js") for name in SCRIPTS)),
    }
    environment.globals.update(shared)
    environment.filters["printable"] = printable
    return environment.get_template("page.html")
