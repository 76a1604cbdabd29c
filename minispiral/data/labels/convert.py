"""From label files to the masks of a dataset: planned first, so that a refusal costs nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from minispiral.data.labels import yolo
from minispiral.data.labels.outcome import Drawn, Job
from minispiral.data.labels.photographs import Folder
from minispiral.data.labels.plan import Planner
from minispiral.data.labels.raster import draw, reach
from minispiral.data.labels.read import label_files, read_labels
from minispiral.data.labels.shapes import Area, LabelFile, Line, Runs, Shape, Size
from minispiral.data.photos import write_picture
from minispiral.errors import UserError
from minispiral.files import writing_error
from minispiral.memory import memory_for

OUTSIDE = "outside the picture"
NOTHING = "too thin to cover the centre of a pixel"
KINDS = {Area: "areas", Line: "lines", Runs: "bitmaps"}


def draw_masks(
    files: Iterable[Path],
    out: Path,
    images: Path | None = None,
    classes: Sequence[str] = (),
    line_width: float = 3.0,
    empty: bool = False,
    overwrite: bool = False,
    recursive: bool = False,
    as_stored: bool = False,
    failed: Callable[[UserError], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Drawn:
    """Draw the labels in ``files`` (see `label_files`) as masks 0 or 255 into the folder ``out``.

    The photographs are those in ``images``, or in the folder of that name beside ``out`` if there
    is one; they give the sizes that label files lack, must have those that these tell, and give
    the masks their names, with ``recursive`` in the same subfolders. ``as_stored``: the labels were
    drawn on pixels that EXIF does not turn. Without photographs names and sizes are those of the
    files.

    ``classes`` are the names that are crack; none are needed if the labels have only one. Areas
    are filled where the centre of a pixel lies inside, lines drawn with a round brush of
    ``line_width`` pixels. A photograph in which nothing is labelled gets an empty mask only if
    ``empty`` is set, all files could be read, and it has no mask yet.

    ``failed`` is called with what is wrong with a file or with the labels of a photograph, while
    the others go on; ``progress(done, total)`` counts photographs. Masks take their places when
    they are whole.

    Raises `UserError` before anything is written for classes that no label has, for several
    classes and no choice, for masks that are there unless told to ``overwrite``, and for two masks
    of one name.
    """
    if not 1 <= line_width <= 1000:
        raise UserError(
            f"a line width of {line_width:g} pixels was given, expected 1 to 1000", "line_width"
        )
    yolo.class_names.cache_clear()  # the files may be others than in an earlier call
    drawn = Drawn(out, failed)
    read: list[LabelFile] = []
    for path in label_files(files):
        try:
            read.append(read_labels(path))
        except UserError as error:
            drawn.fail(error)
    drawn.files = [(file.path, file.format) for file in read]
    drawn.notes = [f"{file.path}: {note}" for file in read for note in file.notes]
    _choose_classes(drawn, read, classes)
    if images is None and (beside := out.parent / "images").is_dir():
        images = beside
    planner = Planner(drawn, None if images is None else Folder(images, recursive), as_stored)
    planner.plan(read)
    todo = [job for job in drawn.jobs if job.shapes or (empty and planner.surely_empty(job))]
    planner.refuse_clashes(todo, overwrite)
    for number, job in enumerate(todo, 1):
        with memory_for(Path(job.name)):
            _draw(job, line_width)
        if progress:
            progress(number, len(todo))
    for job in drawn.jobs:
        if not job.unlabelled and not job.written:
            drawn.undrawn.append(job.name)
        elif not job.written and not planner.masks_of(job):
            drawn.unlabelled.append(job.name)
    return drawn


def _choose_classes(drawn: Drawn, read: Sequence[LabelFile], wanted: Sequence[str]) -> None:
    """Which classes are crack; raises `UserError` if that is not certain."""
    counts = Counter(
        one.label for file in read for labels in file.labels for one in labels.annotations
    )
    drawn.classes = dict(counts)
    listed = ", ".join(f"{name} ({count})" for name, count in counts.most_common())
    known = {*counts, *(name for file in read for name in file.classes)}
    unknown = [name for name in wanted if name not in known]
    if unknown and known:  # without any label a class may be any
        unused = ", ".join(sorted(known - set(counts)))
        raise UserError(
            f"No label has the class {', '.join(unknown)}, expected some of {listed or unused}",
            "classes",
        )
    if not wanted and len(counts) > 1:
        raise UserError(f"The labels have the classes {listed}; say which are crack", "classes")
    drawn.taken = list(wanted) or list(counts)


def _draw(job: Job, line_width: float) -> None:
    """Draw and write a mask; none is written of labels that leave no pixel."""
    canvas = np.zeros(job.size[::-1], bool)
    for labelled in job.shapes:
        shape = _scaled(labelled, job.size) if job.relative else labelled
        low, high = reach(shape)
        margin = line_width / 2 if isinstance(shape, Line) else 0
        if draw(shape, canvas, line_width):
            job.drawn[KINDS[type(shape)]] += 1
            job.cut += bool((low < -1).any() or (high > np.add(job.size, 1)).any())
        elif (high < -margin).any() or (low > np.add(job.size, margin)).any():
            job.skipped[OUTSIDE] += 1
        else:
            job.skipped[NOTHING] += 1
    if job.shapes and not job.drawn:
        return
    job.crack_pixels = int(np.count_nonzero(canvas))
    try:
        job.mask.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise writing_error(job.mask.parent, error) from error
    write_picture(job.mask, canvas * np.uint8(255))
    job.written = True


def _scaled(shape: Shape, size: Size) -> Shape:
    """Fractions of width and height in pixels."""
    if isinstance(shape, Area):
        return Area([[ring * size for ring in rings] for rings in shape.polygons])
    return shape
