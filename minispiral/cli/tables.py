"""The tables that commands print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

from minispiral.cli.printable import escaped

if TYPE_CHECKING:
    from minispiral.data.check import CheckedSet
    from minispiral.detection.metrics import PhotoScores, Summary
    from minispiral.exercises import Exercise
    from minispiral.gradcheck import Report
    from minispiral.networks.describe import Description
    from minispiral.profiling import Profile

BEHAVIOUR = ("linear in gy", "values")  # rules that every function has
SHOWN_KINDS = 5  # columns of a profile by layer
LEAST_SHARE = 0.0005  # of the time; rarer kinds of work are added to the rest


def scores(summary: Summary) -> Table:
    """``evaluate``: photographs with cracks, their averages, photographs without any crack."""
    tolerant = summary.tolerance > 0 or summary.thin
    caption = "\n".join((_detected(summary), *_best(summary, tolerant)))
    table = Table(box=SIMPLE_HEAD, caption=caption, caption_justify="left")
    table.add_column("photograph", overflow="fold")
    for heading in ("crack pixels", "AP", "precision", "recall", "F1", "IoU", "best F1"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("false alarms", justify="right", overflow="fold")

    with_crack = [photo for photo in summary.photos if photo.crack_pixels > 0]
    without_crack = [photo for photo in summary.photos if photo.crack_pixels == 0]
    for photo in with_crack:
        table.add_row(*_photo_cells(photo))
    table.add_section()
    table.add_row(
        f"average of {summary.photos_with_crack}",
        "",
        _score(summary.average_precision),
        _score(summary.precision),
        _score(summary.recall),
        _score(summary.f1),
        _score(summary.iou),
        _score(summary.ois),
        "",
    )
    table.add_row(
        "pooled, pixels of all photographs",
        "",
        "" if tolerant else _score(summary.pooled_average_precision),
        _score(summary.pooled_precision),
        _score(summary.pooled_recall),
        _score(summary.pooled_f1),
        _score(summary.pooled_iou),
        _score(summary.ods),
        "",
    )
    if without_crack:
        table.add_section()
        for photo in without_crack:
            table.add_row(*_photo_cells(photo))
        table.add_section()
        table.add_row(
            f"average of {summary.photos_without_crack} without crack",
            *[""] * 7,
            _rate(summary.false_alarm_rate_without_crack),
        )
    return table


def checked(found: CheckedSet) -> Table:
    """``check``: the photographs of a dataset."""
    table = Table(box=SIMPLE_HEAD)
    table.add_column("photograph", overflow="fold")
    table.add_column("mode")
    for heading in ("size", "crack", "contrast", "sharpness"):
        table.add_column(heading, justify="right")
    table.add_column("mask", overflow="fold")
    for pair, look, photo, mask, values in found.rows():
        table.add_row(
            escaped(pair.name),
            photo.mode,
            f"{look.width} x {look.height}",
            f"{look.crack_share:.2%}",
            "-" if look.alignment is None else f"{look.alignment.contrast:.2f}",
            "-" if look.sharpness is None else f"{look.sharpness:.2f}",
            f"{mask.mode}: {_some(values)}",
        )
    return table


def comparison(summaries: dict[str, Summary]) -> Table:
    """``demo``: the average scores on the unseen photographs, a row for each loss."""
    from minispiral.training.demo import TITLES

    table = Table(box=SIMPLE_HEAD, title="unseen photographs", title_justify="left")
    table.add_column("trained with")
    for heading in ("precision", "recall", "F1", "AP"):
        table.add_column(heading, justify="right")
    for loss, title in TITLES.items():
        s = summaries[loss]
        table.add_row(title, *map(_score, (s.precision, s.recall, s.f1, s.average_precision)))
    return table


def layers(description: Description) -> Table:
    """``describe``: the layers, a section for each module, with the totals below."""
    side = description.side
    totals = (
        f"{description.parameters:,} parameters ({description.parameters / 2**20:.2f} x 2^20), "
        f"{description.macs / 1e9:.2f} GMAC per {side} x {side} picture\n"
        f"{description.sizes_caption}: {' '.join(map(str, description.sizes))}"
    )
    table = Table(box=SIMPLE_HEAD, caption=totals, caption_justify="left")
    table.add_column("layer", no_wrap=True)
    table.add_column("kind")
    for heading in ("input", "output", "parameters", "/ 2^20", "MMAC"):
        table.add_column(heading, justify="right", no_wrap=True)
    for module in description.modules:
        for layer in module.layers:
            table.add_row(
                layer.name,
                layer.kind,
                "x".join(map(str, layer.input)),
                "x".join(map(str, layer.output)),
                f"{layer.parameters:,}",
                f"{layer.parameters / 2**20:.3f}",
                f"{layer.macs / 1e6:.1f}",
            )
        table.add_section()
    return table


def checks(reports: Sequence[Report]) -> Table:
    """``gradcheck``: a row for each check, with the totals below."""
    failed = sum(not report.passed for report in reports)
    seconds = sum(report.seconds for report in reports)
    notes = [f"{len(reports) - failed} of {len(reports)} checks passed in {seconds:.0f} s"]
    notes += [
        f"{report.name}: {rule}: {size:.2g}"
        for report in reports
        for rule, size in report.rules.items()
        if rule not in BEHAVIOUR
    ]
    table = Table(box=SIMPLE_HEAD, caption="\n".join(notes), caption_justify="left")
    table.add_column("function", overflow="fold")
    for heading in ("gradient", "method"):
        table.add_column(heading, no_wrap=True)
    for heading in ("error", "tolerance", "kinks", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for report in reports:
        table.add_row(
            report.name,
            "exact" if report.exact else "pseudo",
            report.method,
            f"{report.error:.1e}",
            f"{report.tolerance:.0e}",
            str(report.kinks) if report.kinks else "",
            f"{report.seconds:.2f}",
            "ok" if report.passed else "FAILED",
        )
    return table


def exercises(listed: Iterable[Exercise]) -> Table:
    """``exercise``: the exercises with the functions they ask for."""
    table = Table("exercise", "what", "of 3", "your function")
    for exercise in listed:
        level = "*" * exercise.difficulty
        table.add_row(exercise.number, exercise.title, level, exercise.function)
    return table


def profile_by_kind(p: Profile) -> Table:
    """``train --profile``: a row for each kind of work that took a noticeable share of the time.

    The last column has the seconds that helper threads spent on it meanwhile, on top of the share.
    """
    from minispiral.profiling import REST

    table = Table(title=f"{p.seconds:.2f} s by kind of work", title_justify="left")
    table.add_column("kind")
    for heading in ("calls", "seconds", "share", "overlapped"):
        table.add_column(heading, justify="right")
    rest = 0.0
    for kind, spent in p.kinds().items():
        if kind == REST or spent.seconds + spent.overlapped < LEAST_SHARE * p.seconds:
            rest += spent.seconds
        else:
            share = f"{spent.seconds / p.seconds:.1%}"
            overlapped = f"{spent.overlapped:.3f}" if spent.overlapped else ""
            table.add_row(kind, str(spent.calls), f"{spent.seconds:.3f}", share, overlapped)
    table.add_row(REST, "", f"{rest:.3f}", f"{rest / p.seconds:.1%}")
    return table


def profile_by_layer(p: Profile) -> Table:
    """``train --profile``: milliseconds of each layer, in all and by the main kinds of work.

    The last column has those that helper threads spent on it meanwhile, on top of the share.
    """
    inside: dict[str, float] = {}
    for (layer, kind), spent in p.spent.items():
        if layer:
            inside[kind] = inside.get(kind, 0.0) + spent.seconds
    columns = sorted(inside, key=lambda kind: -inside[kind])[:SHOWN_KINDS]
    table = Table(title="Milliseconds by layer", title_justify="left")
    table.add_column("layer", no_wrap=True)
    for heading in (*columns, "others", "all", "share", "overlapped"):
        table.add_column(heading, justify="right")
    for layer, total in p.by_layer().items():
        if not layer:
            continue
        times = [
            p.spent[layer, kind].seconds if (layer, kind) in p.spent else 0.0 for kind in columns
        ]
        cells = [*times, total.seconds - sum(times), total.seconds]
        table.add_row(
            layer,
            *(f"{1e3 * seconds:.1f}" for seconds in cells),
            f"{total.seconds / p.seconds:.1%}",
            f"{1e3 * total.overlapped:.1f}" if total.overlapped else "",
        )
    return table


def _some(values: Sequence[object] | None, most: int = 4) -> str:
    """The first of the values found in a mask, and how many there are."""
    if values is None:
        return "more than 256 values"
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return " ".join(map(str, values[:most])) + more


def _photo_cells(photo: PhotoScores) -> list[str]:
    scores = (photo.average_precision, photo.precision, photo.recall, photo.f1, photo.iou)
    return [
        escaped(photo.name),
        str(photo.crack_pixels),
        *map(_score, (*scores, photo.best_f1)),
        _rate(photo.false_alarm_rate),
    ]


def _detected(summary: Summary) -> str:
    """What counts as detected, and as correct."""
    augmented, without = (
        (" with test-time augmentation", " without it") if summary.tta else ("", "")
    )
    best = f" (the best of the validation photographs{without})"
    detected = f"detected: probability{augmented} >= {summary.threshold:.9g}"
    if summary.threshold_from != "given":
        detected += best
    if not summary.tolerance and not summary.thin:
        return f"{detected}; zero tolerance"
    how = f"with a tolerance of {summary.tolerance} pixels"
    if summary.thin:
        how = f"of lines of one pixel, {how}"
    return f"{detected}; precision, recall and F1 {how}, AP and IoU with none"


def _best(summary: Summary, tolerant: bool) -> list[str]:
    """What the best F1 are, where there are any."""
    if summary.ods is None:
        return []
    lines = [
        f"best F1, at any threshold: averaged it is OIS, {summary.ois:.3f}; pooled, at the "
        f"threshold {summary.ods_threshold:.9g}, it is ODS, {summary.ods:.3f}"
    ]
    if tolerant:
        ap = summary.pooled_average_precision
        lines.append(f"pooled average precision, counted as precision and recall are: {ap:.3f}")
    return lines


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:.4%}"
