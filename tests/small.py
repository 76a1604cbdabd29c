"""Small datasets and runs for tests of the commands."""

from pathlib import Path

import numpy as np
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image

from minispiral.cli import main
from minispiral.training.demo import Settings

ROOT = Path(__file__).resolve().parents[1]

# What detect writes once per call, besides three files for each photograph.
TABLES = {"cracks.csv", "totals.csv", "cracks.json", "cracks.geojson", "report.html"}

# A network, patches and steps that train in a second; sides are 4 * k - 1.
NETWORK = ["--depths", "1-2", "--width", "0.06"]
TRAINING = [*NETWORK, "--patch", "31", "--batch", "4", "--steps", "6", "--lr", "0.01"]

TINY_DEMO = Settings(
    photos=3,
    val_photos=1,
    unseen_photos=3,
    side=96,
    depths=(1, 2),
    width=0.06,
    patch=63,
    batch=2,
    steps=4,
    rows=2,
)


def command(*words: object) -> Result:
    """Run ``minispiral words...`` in this process; what is no error of the user is raised."""
    result = CliRunner().invoke(main, [str(word) for word in words], prog_name="minispiral")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def make_photo(
    rng: np.random.Generator, height: int, width: int, crack: bool = True
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A bright rough surface with a dark line across it, and the mask of the line."""
    photo = rng.normal(170, 12, (height, width, 3))
    mask = np.zeros((height, width), bool)
    if crack:
        columns = np.arange(width)
        walk = rng.integers(height) + np.cumsum(rng.integers(-1, 2, width))
        period = 2 * (height - 3)  # thrown back by the borders: held there, it would be straight
        rows = 1 + np.minimum(walk % period, -walk % period)
        for dy in (-1, 0, 1):
            mask[rows + dy, columns] = True
        photo[mask] -= 80
    return np.clip(photo, 0, 255).astype(np.uint8), mask


def write_pair(
    folder: Path, name: str, photo: NDArray[np.uint8], mask: NDArray[np.bool_], suffix: str = ".png"
) -> None:
    """Add a photograph and its mask to the dataset in ``folder``."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo).save(folder / "images" / (name + suffix))
    Image.fromarray(mask * np.uint8(255)).save(folder / "masks" / f"{name}.png")


def make_dataset(
    folder: Path,
    rng: np.random.Generator,
    photos: int = 3,
    without_crack: int = 0,
    size: tuple[int, int] = (45, 70),
) -> Path:
    """A dataset of photographs ``a``, ``b``, ...; the last ones have no crack."""
    for k in range(photos + without_crack):
        write_pair(folder, chr(ord("a") + k), *make_photo(rng, *size, crack=k < photos))
    return folder


def make_trained(folder: Path, photos: int = 3, without_crack: int = 0) -> Path:
    """A dataset in ``folder / "data"`` and a run trained on it in ``folder / "run"``."""
    make_dataset(folder / "data", np.random.default_rng(), photos, without_crack)
    assert command("train", folder / "data", "--out", folder / "run", *TRAINING).exit_code == 0
    return folder


def refusal(result: Result, exit_code: int = 1) -> str:
    """The one sentence by which the command refused; fails unless there is exactly one."""
    assert result.exit_code == exit_code, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line.startswith("minispiral: ")]
    assert lines == result.stderr.splitlines()[-1:], result.stderr
    assert "Traceback" not in result.stderr
    return lines[0].removeprefix("minispiral: ")


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file under ``folder`` with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
