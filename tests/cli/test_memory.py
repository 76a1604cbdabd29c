"""Too little memory: the photograph is named, what helps is said, and the others go on."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minispiral.data.store import PhotoStore
from minispiral.detection import detect, search
from minispiral.errors import UserError
from minispiral.memory import NotEnoughMemory, is_memory_error, memory_for
from tests.small import ROOT, TABLES, TRAINING, command, make_dataset, make_photo, refusal

# What NumPy, the operating system, threads, shared libraries and Pillow's decoders raise.
GUISES: dict[str, Callable[[], BaseException]] = {
    "of Python": MemoryError,
    "of NumPy": lambda: np._core._exceptions._ArrayMemoryError((9, 9), np.dtype("f4")),
    "of the system": lambda: OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    "of a decoder": lambda: OSError("out of memory when reading image file"),
    "of a thread": lambda: RuntimeError("can't start new thread"),
    "of a library": lambda: ImportError("x.so: failed to map segment from shared object"),
}


@pytest.fixture
def photos(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A folder with the photographs a.png, b.jpg and c.png."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "b.jpg", "c.png"):
        Image.fromarray(make_photo(rng, 41, 57)[0]).save(folder / name)
    return folder


@pytest.mark.parametrize("guise", GUISES)
def test_every_guise_of_the_error_is_known(guise: str, tmp_path: Path) -> None:
    assert is_memory_error(GUISES[guise]())
    with pytest.raises(NotEnoughMemory, match=r"wall\.jpg"), memory_for(tmp_path / "wall.jpg"):
        raise GUISES[guise]()


@pytest.mark.parametrize(
    "other",
    [
        FileNotFoundError(errno.ENOENT, "No such file", "out of memory.png"),
        OSError("truncated file"),
        RuntimeError("a bug"),
        UserError("a photograph without a mask"),
    ],
)
def test_other_errors_are_left_alone(other: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(other)) as raised, memory_for(tmp_path):
        raise other
    assert raised.value is other


@pytest.mark.parametrize("guise", GUISES)
@pytest.mark.parametrize("where", ["read_photo", "find_cracks", "write_finding"])
def test_detect_names_the_photograph_and_goes_on(
    where: str,
    guise: str,
    trained: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = detect if where == "write_finding" else search
    true, calls = getattr(module, where), iter(range(9))

    def short_of_memory(*arguments: object, **named: object) -> object:
        if next(calls) == 1:
            raise GUISES[guise]()
        return true(*arguments, **named)

    monkeypatch.setattr(module, where, short_of_memory)
    out = tmp_path / "out"
    result = command("detect", trained / "run", photos, "--out", out, "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)["photos"]
    assert [photo["error"] is None for photo in told] == [True, False, True]
    assert str(photos / "b.jpg") in told[1]["error"]
    assert "memory" in told[1]["error"]
    assert told[1]["mask"] is None
    assert {path.name for path in out.iterdir()} > TABLES
    assert sorted(path.name[0] for path in out.glob("*.*.*")) == list("aaaccc")
    assert not any(option in result.stderr for option in ("--batch", "--width", "--patch"))
    assert result.stderr.splitlines()[-1].startswith("minispiral: 1 of 3 photographs")


def test_no_memory_inside_a_decoder_is_not_taken_for_damage(
    trained: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(self: object) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    result = command("detect", trained / "run", photos / "b.jpg", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "memory is not enough" in result.stderr
    assert "corrupt" not in result.stderr


@pytest.mark.parametrize("job", ["evaluate", "inspect", "train"])
def test_other_commands_name_the_photograph_too(
    job: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(self: object) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    run, data = trained / "run", trained / "data"
    first = sorted((data / "images").iterdir())[0]
    words = {
        "evaluate": ["evaluate", run, data],
        "inspect": ["inspect", run, first, "--out", tmp_path / "maps.png"],
        "train": ["train", data, "--out", tmp_path / "run", *TRAINING],
    }
    sentence = refusal(command(*words[job]))
    assert str(first) in sentence
    assert "smaller pictures" in sentence
    assert "--batch" not in sentence


def test_a_step_without_memory_names_the_options_that_help(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: object) -> None:
        raise MemoryError

    monkeypatch.setattr("minispiral.optim.Adam.step", full)
    words = ["train", trained / "data", "--out", tmp_path / "run", *TRAINING]
    sentence = refusal(command(*words))
    for option in ("--batch", "--patch", "--width"):
        assert option in sentence


def test_a_mapping_that_is_refused_is_no_full_disk(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from minispiral.data.pairs import find_pairs

    def no_room(*arguments: object, **named: object) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    data = make_dataset(tmp_path / "data", rng)
    monkeypatch.setattr(np, "memmap", no_room)
    with pytest.raises(UserError, match="ulimit") as refused:
        PhotoStore(find_pairs(data), tmp_path)
    assert "disk" not in str(refused.value)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on memory")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_large_photograph_under_a_real_limit(
    threads: int, trained: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a.png", "c.png"):
        Image.fromarray(make_photo(rng, 33, 47)[0]).save(photos / name)
    grey = tuple(rng.integers(60, 200, 3).tolist())
    Image.new("RGB", (20_011, 4_003), grey).save(photos / "b.png")
    limited = (
        "import resource, sys; from minispiral.cli import main; import minispiral.detection.detect;"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize();"
        "limit = used + 500_000_000;"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit)); main(sys.argv[1:])"
    )
    words = ["detect", trained / "run", photos, "--out", tmp_path / "out", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", limited, *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "MINISPIRAL_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    told = json.loads(done.stdout)["photos"]
    assert [photo["error"] is None for photo in told] == [True, False, True], told
    assert str(photos / "b.png") in told[1]["error"]
    assert sorted(path.name[0] for path in (tmp_path / "out").glob("*.*.*")) == list("aaaccc")
