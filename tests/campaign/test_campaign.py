"""A short form of the campaign, and that it finds what it looks for."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from minispiral.data.photos import read_photo
from minispiral.errors import UserError
from tests.campaign import damage, pool
from tests.campaign.samples import SIDES, samples

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="memory is read from /proc"
)


def _quiet(line: str) -> None:
    pass


def test_damaged_files_are_read_or_refused(rng, tmp_path):
    from tests.campaign import mutations

    seed = int(rng.integers(10**6))
    found = mutations.run(0.005, _quiet, seed=seed, keep=tmp_path)
    assert found["failures"] == []
    assert found["pictures"]["tried"] == 50
    assert 0 < found["pictures"]["refused"] < 50
    assert found["run folders"]["tried"] == 10


def test_killed_commands(rng):
    from tests.campaign import kills

    assert kills.run(0.001, _quiet, seed=int(rng.integers(10**6)))["failures"] == []


@pytest.mark.usefixtures("mpiexec")
def test_a_process_killed_among_others(rng, monkeypatch):
    from tests.campaign import ranks

    monkeypatch.setattr(ranks, "STEPS", 8)
    found = ranks.run(0.05, _quiet, seed=int(rng.integers(10**6)))
    assert (found["failures"], found["killed"]) == ([], 1)


def test_a_short_long_run(rng):
    from tests.campaign import long_run

    assert long_run.run(0.01, _quiet, seed=int(rng.integers(10**6)))["failures"] == []


_kept: list[bytes] = []


def _scatter() -> None:
    """Fill ever more memory, and free all but a block in the middle."""
    blocks = [b"x" * 100_000 for _ in range(20 * (len(_kept) + 1))]
    _kept.append(blocks[len(blocks) // 2])


def _misbehave(job: str) -> bool:
    """What a damaged file might make a reader do."""
    match job:
        case "refuse":
            raise UserError("no")
        case "raise":
            raise ValueError("yes")
        case "warn":
            np.float32(1) / np.float32(0)
        case "hang":
            time.sleep(60)
        case "die":
            os.abort()
        case "bomb":
            np.ones(pool.ADDRESS_SPACE, np.uint8)
        case "leak":
            _kept.append(os.urandom(2**20))
        case "scatter":
            if not _kept:  # once it is freed, glibc keeps as much
                np.ones(30 * 2**20, np.uint8)
            thread = threading.Thread(target=_scatter)  # whose memory is apart
            thread.start()
            thread.join()
    return False


def test_the_pool_tells_what_went_wrong():
    jobs = ["read", "refuse", "raise", "warn", "hang", "read", "die", "bomb", "read"]
    workers = pool.Pool(_misbehave, processes=2, seconds=0.5)
    found = {outcome.job: outcome for outcome in workers.run(jobs)}
    assert [found[job].trouble for job in ("read", "refuse")] == [None, None]
    assert [job for job in found if found[job].refused] == ["refuse"]
    for job, sign in {
        "raise": "ValueError: yes",
        "warn": "RuntimeWarning",
        "hang": "took more than 0.5 s",
        "die": "the process died (-6)",
        "bomb": "MemoryError",
    }.items():
        assert sign in (found[job].trouble or ""), job


@pytest.mark.parametrize(("job", "least"), [("read", 0), ("scatter", 0), ("leak", 10 * pool.MB)])
def test_the_pool_measures_growth(job, least, monkeypatch):
    monkeypatch.setattr(pool, "WARM_UP", 10)
    workers = pool.Pool(_misbehave)
    assert len(list(workers.run([job] * 30))) == 30
    assert least - 4 * pool.MB <= workers.growth < least + 8 * pool.MB


def test_samples_of_every_format_are_sound(tmp_path):
    found = samples(np.random.default_rng())
    path = tmp_path / "photo"
    read = set()
    for name, content in found.items():
        path.write_bytes(content)
        try:
            height, width = read_photo(path).shape[:2]
        except UserError:
            continue
        read.add(name.split("-")[0])
        if name.split("-")[0] not in ("ICNS", "ICO"):
            assert (height, width) in (SIDES, SIDES[::-1]), name
    assert {"BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "TGA"} <= read


def test_damage_changes_what_it_names(rng):
    sound = samples(np.random.default_rng())
    for name in ("PNG-RGB", "JPEG-RGB", "TIFF-L", "BMP-RGB"):
        for kind, change in damage.DAMAGES.items():
            changed = [change(sound[name], rng) != sound[name] for _ in range(20)]
            assert any(changed), (name, kind)


def test_checksums_of_a_png_are_repaired(rng):
    sound = samples(np.random.default_rng())["PNG-RGB"]
    wrong = bytearray(sound)
    wrong[29] ^= 1  # the first byte of the checksum of the header
    assert damage.with_checksums(bytes(wrong)) == sound
