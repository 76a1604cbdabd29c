"""Precision against recall, of the paper's networks and of ours."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.common.plot import save
from bench.paper.tables import Table

# The palette of Okabe and Ito, safe for colour-blind readers, without its pale yellow.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "black")
MARKERS = "osD^v<>"


def save_plot(table: Table, rows: Sequence[dict[str, Any]], picture: Path) -> bool:
    """A point for each row, the paper's on the left and ours on the right, with lines of equal F1.

    Rows that share their first label share a colour. Returns False, and draws nothing, where
    matplotlib is not installed.
    """
    return save(picture, (10.5, 4.3), lambda figure: _draw(figure, table, rows))


def _draw(figure: Any, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    places = {"left": 0.06, "right": 0.69, "bottom": 0.11, "top": 0.93, "wspace": 0.12}
    panels = figure.subplots(1, 2, sharey=True, gridspec_kw=places)
    for axes, title in zip(panels, ("the paper, on its photographs", "here"), strict=True):
        _draw_f1(axes)
        axes.set_title(title)
        axes.set_xlabel("recall in %")
    panels[0].set_ylabel("precision in %")
    groups = list(dict.fromkeys(row.labels[0] for row in table.rows))
    seen = dict.fromkeys(groups, 0)
    handles = []
    for row, result in zip(table.rows, rows, strict=True):
        group = row.labels[0]
        style: dict[str, Any] = {
            "color": COLOURS[groups.index(group) % len(COLOURS)],
            "marker": MARKERS[seen[group] % len(MARKERS)],
            "markersize": 7,
            "markeredgecolor": "white",
            "linestyle": "none",
            "clip_on": False,
        }
        seen[group] += 1
        paper, mean, spread = result["paper"], result["mean"], result["spread"]
        if paper.get("Recall") is not None:
            panels[0].plot(paper["Recall"], paper["Precision"], **style)
        if mean["recall"] is not None:
            bars = {"xerr": spread["recall"], "yerr": spread["precision"], "elinewidth": 1}
            panels[1].errorbar(mean["recall"], mean["precision"], **bars, **style)
        [handle] = panels[1].plot([], [], label=row.name, **style)
        handles.append(handle)
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.735, 0.97),
        frameon=False,
        fontsize=8,
        handletextpad=0.2,
    )


def _draw_f1(axes: Any) -> None:
    """Lines of equal F1 behind the points."""
    for f1 in range(10, 100, 10):
        least = 100 * f1 / (200 - f1)  # the recall at precision 100, and the reverse
        recall = np.geomspace(least, 100, 200)
        precision = f1 * recall / (2 * recall - f1)
        axes.plot(recall, precision, color="0.85", linewidth=1, zorder=0)
        axes.text(100, least, f" F1 {f1}", color="0.5", fontsize=7, va="center")
    axes.set_xlim(-2, 102)
    axes.set_ylim(-2, 102)
    axes.set_aspect("equal")
    axes.spines[["top", "right"]].set_visible(False)
