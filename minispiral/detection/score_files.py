"""The files of an evaluation: a table with a row for each photograph, and a picture of the curves.

The table is UTF-8 with a byte order mark, without which Excel takes names for Latin-1, and its
lines end as RFC 4180 wants.
"""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minispiral.data.photos import write_picture
from minispiral.detection.counts import Counts
from minispiral.detection.metrics import Summary
from minispiral.errors import UserError
from minispiral.files import check_place, replacing, table_text

PICTURES = (".png", ".jpg", ".jpeg")
COLOURS = ("#0072B2", "#D55E00")  # of the marks, which mean ODS and the threshold in use
TICKS = (1e-5, 1e-3, 0.02, 0.1, 0.5, 0.9, 0.98, 1 - 1e-3, 1 - 1e-5)
F1_LINES = (0.2, 0.4, 0.6, 0.8)  # along which precision and recall give that F1


def check_files(table: Path | None, picture: Path | None) -> None:
    """Raise `UserError` for files that `write_table` and `draw_curves` could not write.

    A picture needs matplotlib, the extra ``plots``.
    """
    for path, parameter in ((table, "table"), (picture, "picture")):
        if path is not None:
            check_place(path, parameter)
    if picture is None:
        return
    if table is not None and os.path.realpath(table) == os.path.realpath(picture):
        raise UserError(f"{picture} was given for the table and for the curves", "picture")
    if picture.suffix.lower() not in PICTURES:
        raise UserError(
            f"Curves are drawn as {' or '.join(PICTURES[:2])}, not as {picture.name}", "picture"
        )
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise UserError(
            "Curves are drawn by matplotlib, which is not installed; pip install "
            "'minispiral[plots]'",
            "picture",
        ) from error


def write_table(path: Path, summary: Summary) -> None:
    """Write the scores of each photograph as CSV, in columns named as in `PhotoScores`, then `tta`.

    A score that a photograph does not have is an empty cell. Raises `UserError` if the file cannot
    be written.
    """
    rows = [photo.as_dict() | {"tta": summary.tta} for photo in summary.photos]
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, list(rows[0]))
    table.writeheader()
    for row in rows:
        table.writerow(row | {"name": table_text(row["name"])})
    with replacing(path) as file:
        file.write(text.getvalue().encode("utf-8-sig"))


def draw_curves(path: Path, summary: Summary) -> None:
    """Draw the pooled precision against recall, and both and F1 against the threshold.

    Raises `UserError` if no photograph has a crack and if the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if summary.ods is None:
        raise UserError(
            f"{path} was not drawn: no photograph has a crack, so there is no recall; evaluate "
            "photographs with cracks"
        )
    figure = Figure(figsize=(11, 4.8), dpi=120, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    counts = summary.counts
    ods, chosen = counts.best(), _nearest(counts, summary.threshold)
    marks = [(ods, "o", f"ODS {summary.ods:.3f}, threshold {counts.thresholds[ods]:.3g}")]
    marks.append((chosen, "s", f"F1 {counts.f1[chosen]:.3f}, threshold {summary.threshold:.3g}"))
    _draw_precision_recall(left, summary, marks)
    _draw_thresholds(right, counts, marks)
    figure.suptitle(_title(summary), fontsize="medium")
    canvas.draw()
    write_picture(path, np.asarray(canvas.buffer_rgba())[..., :3].copy())


def _draw_precision_recall(
    axes: Any, summary: Summary, marks: Sequence[tuple[int, str, str]]
) -> None:
    counts = summary.counts
    recall, precision = counts.recall, counts.precision
    for f1 in F1_LINES:
        p = np.geomspace(1, f1 / (2 - f1), 100)
        r = f1 * p / (2 * p - f1)
        axes.plot(r, p, color="0.8", linewidth=0.8, zorder=0)
        axes.annotate(f"F1 {f1:g}", (1, p[-1]), color="0.5", fontsize="x-small", ha="right")
    some = counts.detected > 0
    axes.plot(recall[some], precision[some], color="black")
    for (index, marker, label), colour in zip(marks, COLOURS, strict=True):
        point = recall[index], precision[index]
        axes.plot(*point, marker, color=colour, label=label, markersize=8, linestyle="none")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.set_title(f"average precision {summary.pooled_average_precision:.3f}", fontsize="small")
    axes.legend(frameon=False, fontsize="small", loc="lower left")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_thresholds(axes: Any, counts: Counts, marks: Sequence[tuple[int, str, str]]) -> None:
    for name, colour, style in (
        ("precision", "#D55E00", "--"),
        ("recall", "#009E73", "-."),
        ("f1", "#0072B2", "-"),
    ):
        label = "F1" if name == "f1" else name
        axes.plot(counts.thresholds, getattr(counts, name), style, color=colour, label=label)
    for (index, marker, _), colour in zip(marks, COLOURS, strict=True):
        at = counts.thresholds[index], counts.f1[index]
        axes.plot(*at, marker, color=colour, markersize=8, linestyle="none")
    # As logits are: what happens close to 0 and 1 takes its room.
    axes.set_xscale("logit")
    low, high = counts.thresholds[counts.thresholds > 0][0], counts.thresholds[-1]
    ticks = [tick for tick in TICKS if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:.5f}".rstrip("0") for tick in ticks], fontsize="small")
    axes.set_xticks([], minor=True)
    axes.set(xlabel="threshold (logit scale)", ylabel="score", ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)


def _nearest(counts: Counts, threshold: float) -> int:
    return int(np.argmin(np.abs(counts.thresholds - np.float32(threshold))))


def _title(summary: Summary) -> str:
    """What was counted."""
    how = "zero tolerance" if not summary.tolerance else f"tolerance {summary.tolerance} px"
    photos = len(summary.photos)
    lines = ", lines of one pixel" if summary.thin else ""
    tta = ", test-time augmentation" if summary.tta else ""
    return f"pixels of {photos} photograph{'s' * (photos != 1)}, {how}{lines}{tta}"
