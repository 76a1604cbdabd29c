"""The pictures that a finished run leaves: its curves and a few sample detections."""

from pathlib import Path

from minispiral.data.photos import write_picture
from minispiral.data.store import PhotoStore
from minispiral.detection.find import find_cracks
from minispiral.detection.pictures import overlay
from minispiral.device import Device
from minispiral.files import longest_name, name_length
from minispiral.memory import memory_for
from minispiral.runs.checkpoint import load_network
from minispiral.training.curves import save_curves
from minispiral.training.reporter import Reporter

SAMPLES = 4  # photographs


def draw_final_pictures(run: Path, photos: PhotoStore, device: Device, report: Reporter) -> None:
    """Draw ``curves.png``, and what the best network finds in the first photographs."""
    if not save_curves(run / "metrics.csv", run / "curves.png"):
        report.message("curves.png was not drawn: it needs matplotlib (the extra `plots`).")
    network = load_network(run, device=device)
    samples = run / "samples"
    total = min(len(photos), SAMPLES)
    for i, pair in enumerate(photos.pairs[:total]):
        report.drawing(i, total)
        photo = photos.photo(i)
        with memory_for(pair.photo):
            picture = overlay(photo, find_cracks(network, photo).crack, truth=photos.mask(i))
        path = samples / f"{pair.name}.jpg"
        if name_length(path) > longest_name(samples):
            path = path.with_name(f"photograph {i + 1}.jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(path, picture)
    report.drawing(total, total)
