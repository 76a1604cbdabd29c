"""The curves of a run: loss and scores against the training step."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.errors import UserError


def save_curves(metrics: Path, picture: Path) -> bool:
    """Plot the loss and the scores in a run's ``metrics.csv`` against the training step.

    Returns False, and draws nothing, if matplotlib is not installed (the extra ``plots``) or the
    table is empty.

    Raises `UserError` for a file that is missing or has no column ``step``.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    from minispiral.data.photos import write_picture

    curves = _read_columns(metrics)
    if "step" not in curves:
        raise UserError(f"{metrics} has no column called step, expected the metrics.csv of a run")
    if not curves["step"].size:
        return False
    figure = Figure(figsize=(8, 7), dpi=120, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    loss, scores = figure.subplots(2, 1, sharex=True, height_ratios=(2, 3))
    none = np.full(curves["step"].shape, np.nan)

    def draw(axes: Any, column: str, label: str, colour: str, **style: Any) -> None:
        values = curves.get(column, none)
        measured = np.isfinite(values)
        if measured.any():
            axes.plot(
                curves["step"][measured], values[measured], color=colour, label=label, **style
            )

    training = {"marker": ".", "markersize": 4}  # with a marker a single value shows too
    validation = {"linestyle": "--", "marker": "o", "markersize": 4}
    draw(loss, "loss", "training, running mean", "black", **training)
    for name, label, colour in (
        ("f1", "F1", "#0072B2"),
        ("precision", "precision", "#D55E00"),
        ("recall", "recall", "#009E73"),
        ("average_precision", "average precision", "black"),
    ):
        draw(scores, name, f"{label}, training", colour, alpha=0.5, **training)
        draw(scores, f"val_{name}", f"{label}, validation", colour, **validation)
    loss.set_ylabel("loss per mini-batch")
    scores.set_ylabel("score (0 to 1)")
    scores.set_xlabel("training step (mini-batches)")
    scores.set_ylim(-0.02, 1.02)
    for axes in (loss, scores):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.lines:
            axes.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    canvas.draw()
    write_picture(picture, np.asarray(canvas.buffer_rgba())[..., :3].copy())
    return True


def _read_columns(path: Path) -> dict[str, NDArray[np.float64]]:
    """The columns of a CSV file by name; cells that are not numbers become NaN."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}), expected the metrics.csv of a run"
        ) from error
    names = reader.fieldnames or ()
    return {name: np.array([_number(row[name]) for row in rows], np.float64) for name in names}


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")
