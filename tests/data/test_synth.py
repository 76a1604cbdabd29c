"""Synthetic concrete: what the labels promise, how hard the task is, and safe datasets."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import distance_transform_edt

from minispiral.data import synth
from minispiral.data.synth import make_sample, write_dataset
from minispiral.data.synthetic.painting import draw_stroke
from minispiral.data.transfer import light_of
from minispiral.errors import UserError
from tests.small import write_pair


def files_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def samples():
    seed = int(np.random.SeedSequence().entropy % 2**32)
    print(f"seed of the samples: {seed}")
    rng = np.random.default_rng(seed)
    return [make_sample(rng, 384, 512) for _ in range(32)]


def test_crack_pixels_are_as_rare_as_in_the_paper(samples):
    share = np.mean([sample.mask.mean() for sample in samples])
    assert 1 / 900 < share < 1 / 225


def test_grey_threshold_and_sobel_baselines_fail(samples, tmp_path, printed):
    for k, sample in enumerate(samples):
        write_pair(tmp_path, str(k), sample.photo, sample.mask)
    found = printed("bench", "baselines", tmp_path)
    assert 20 < found["photos_with_crack"] <= len(samples)
    assert found["darkness_f1"] < 0.3
    assert found["sobel_f1"] < 0.3


def test_cracks_are_darker_than_the_concrete_beside_them(samples):
    contrasts = []
    for sample in samples:
        grey = sample.photo @ np.array([0.299, 0.587, 0.114])
        rows, cols = np.nonzero(sample.mask & ~sample.joints)
        for shift in (-9, 9):
            beside_rows = np.clip(rows + shift, 0, grey.shape[0] - 1)
            contrasts.extend(grey[rows, cols] - grey[beside_rows, cols])
    assert np.mean(contrasts) < -5


def test_some_photographs_have_no_crack_and_no_mask(rng):
    photographs = [make_sample(rng, 64, 64) for _ in range(150)]
    uncracked = [sample for sample in photographs if not sample.cracks]
    assert 2 <= len(uncracked) <= 40  # 10 % expected
    assert not any(sample.mask.any() for sample in uncracked)


def test_most_photographs_show_joints_that_are_not_labelled_crack(samples):
    assert np.mean([sample.joints.any() for sample in samples]) > 0.4
    joints = sum(sample.joints.sum() for sample in samples)
    both = sum((sample.joints & sample.mask).sum() for sample in samples)
    assert both < 0.1 * joints


def test_mask_is_a_three_pixel_trace_of_the_true_cracks(samples):
    pixels, length = 0, 0.0
    for sample in samples:
        if not sample.cracks:
            continue
        points = np.concatenate([crack.points for crack in sample.cracks])
        rows, cols = np.nonzero(sample.mask)
        centres = np.stack([cols, rows], axis=1) + 0.5
        apart = np.hypot(*(centres[:, None] - points[None]).transpose(2, 0, 1))
        assert apart.min(axis=1).max() < 7, "labelled pixels far from any crack"
        assert np.mean(apart.min(axis=0) < 2) > 0.95, "cracks that are not labelled"
        widths = np.concatenate([crack.widths for crack in sample.cracks])
        assert widths.shape == (len(points),)
        assert widths.min() >= 0
        assert widths.max() < 4
        pixels += sample.mask.sum()
        length += sum(np.hypot(*np.diff(c.points[::4], axis=0).T).sum() for c in sample.cracks)
    assert 2.4 < pixels / length < 3.6


def test_varied_photographs_differ_in_light_grain_and_width_of_cracks(rng):
    varied = [make_sample(rng, 160, 224, kind="varied") for _ in range(24)]
    light = [sample.photo.mean() for sample in varied]
    assert np.std(light) > 12  # grey levels
    grain = [
        np.abs(np.diff(sample.photo[..., 1].astype(float), axis=1)).mean() for sample in varied
    ]
    assert np.quantile(grain, 0.9) > 2 * np.quantile(grain, 0.1)
    widths = np.concatenate([c.widths for sample in varied for c in sample.cracks])
    assert widths.max() > 3.2 > widths[widths > 0].min()  # wider than any hairline
    assert widths.max() <= 9


def test_labels_of_varied_photographs_cover_the_cracks(rng):
    for _ in range(6):
        sample = make_sample(rng, 160, 224, kind="varied")
        for crack in sample.cracks:
            cols, rows = np.floor(crack.points).astype(int).T
            apart = distance_transform_edt(~sample.mask)[rows, cols]
            assert np.mean(apart < 2) > 0.95
            wide = crack.widths > 5  # the floor of a wide crack is labelled, not its middle alone
            assert sample.mask[rows, cols][wide].mean() > 0.95 if wide.any() else True
        assert sample.mask.any() == bool(sample.cracks)


def test_srgb_stands_for_the_same_light(rng):
    seed = rng.integers(1 << 30)
    photos = [
        make_sample(np.random.default_rng(seed), 70, 90, transfer).photo / 255
        for transfer in ("linear", "srgb")
    ]
    assert photos[1].mean() > photos[0].mean() + 0.05
    light = light_of(photos[1], "srgb")
    assert np.abs(light - photos[0]).max() < 2.5 / 255  # both are rounded, the slope is up to 2.3


@pytest.mark.parametrize("kind", synth.KINDS)
def test_any_size_from_64_pixels(rng, kind):
    sizes = [(64, 64), (64, 331), (int(rng.integers(65, 400)), int(rng.integers(65, 400)))]
    for height, width in sizes:
        sample = make_sample(rng, height, width, kind=kind)
        assert sample.photo.shape == (height, width, 3)
        assert sample.photo.dtype == np.uint8
        assert sample.mask.shape == sample.joints.shape == (height, width)
        assert sample.mask.dtype == sample.joints.dtype == np.bool_
        for crack in sample.cracks:
            assert (crack.points >= 0).all()
            assert (crack.points < (width, height)).all()
    with pytest.raises(UserError, match=r"63x200.*64"):
        make_sample(rng, 200, 63)


def test_a_stroke_covers_as_much_as_it_is_wide(rng):
    for width in rng.uniform(0.1, 4, 5):
        canvas = np.zeros((40, 60), np.float32)
        y = rng.uniform(10, 30)
        draw_stroke(canvas, np.array([[-5.0, y], [70.0, y]]), np.array([width, width]))
        np.testing.assert_allclose(canvas.sum(axis=0), width, atol=0.1)
        assert canvas.max() <= 1


def test_dataset_holds_what_it_promises(tmp_path, rng):
    folder = tmp_path / "new" / "set"
    calls = []
    write_dataset(folder, 3, (161, 97), int(rng.integers(1000)), lambda *call: calls.append(call))
    assert calls == [(1, 3), (2, 3), (3, 3)]
    kinds = {"images": ".jpg", "masks": ".png", "joints": ".png", "cracks": ".json"}
    expected = {f"{kind}/000{k}{suffix}" for kind, suffix in kinds.items() for k in range(3)}
    assert {path.as_posix() for path in files_of(folder)} == expected
    for k in range(3):
        with Image.open(folder / f"images/000{k}.jpg") as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (161, 97))
            assert not image.getexif()
        for kind in ("masks", "joints"):
            with Image.open(folder / kind / f"000{k}.png") as image:
                assert (image.mode, image.size) == ("L", (161, 97))
                assert set(np.unique(image)) <= {0, 255}
        with Image.open(folder / f"masks/000{k}.png") as image:
            mask = np.asarray(image) > 0
        truth = json.loads((folder / f"cracks/000{k}.json").read_text())
        assert (truth["width"], truth["height"]) == (161, 97)
        assert bool(truth["cracks"]) == mask.any()
        away = distance_transform_edt(~mask)  # pixels to the nearest one labelled crack
        for crack in truth["cracks"]:
            assert len(crack["points"]) == len(crack["widths"])
            cols, rows = np.array(crack["points"], int).T
            distances = away[rows.clip(0, 96), cols.clip(0, 160)]
            # The trace cuts corners of 8 pixels and strays by half a pixel.
            assert distances.max() < 8
            assert distances.mean() < 2


def test_a_photograph_depends_on_seed_and_number_alone(tmp_path, rng):
    seed = int(rng.integers(1000))
    write_dataset(tmp_path / "few", 2, (96, 80), seed)
    write_dataset(tmp_path / "more", 3, (96, 80), seed)
    write_dataset(tmp_path / "other", 1, (96, 80), seed + 1)
    few, more = files_of(tmp_path / "few"), files_of(tmp_path / "more")
    assert {path: more[path] for path in few} == few
    images = [path.read_bytes() for path in (tmp_path / "more/images").iterdir()]
    images.append((tmp_path / "other/images/0000.jpg").read_bytes())
    assert len(set(images)) == 4


def test_a_dataset_is_never_overwritten(tmp_path):
    write_dataset(tmp_path, 1, (64, 64), 0)
    before = files_of(tmp_path)
    with pytest.raises(UserError, match="already holds a dataset"):
        write_dataset(tmp_path, 2, (64, 64), 1)
    assert files_of(tmp_path) == before


def test_of_two_that_begin_together_one_is_refused(tmp_path, monkeypatch):
    both, make_folders = threading.Barrier(2, timeout=60), synth._make_folders

    def make_folders_together(folder):
        make_folders(folder)
        both.wait()

    monkeypatch.setattr(synth, "_make_folders", make_folders_together)
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(write_dataset, tmp_path, 2, (64, 64), seed) for seed in (0, 1)]
    refused = [job.exception() for job in jobs]
    assert sum(error is None for error in refused) == 1
    assert "already holds a dataset" in str(refused[0] or refused[1])
    monkeypatch.undo()
    found = files_of(tmp_path)
    write_dataset(tmp_path / "alone", 2, (64, 64), refused.index(None))
    assert found == files_of(tmp_path / "alone")


def test_a_dataset_that_ends_before_its_first_photograph_leaves_no_file(tmp_path, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("minispiral.data.synth.make_sample", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path, 1, (64, 64), 0)
    assert not files_of(tmp_path)


@pytest.mark.parametrize(
    ("photos", "size", "seed", "message"),
    [
        (0, (64, 64), 0, "at least 1"),
        (1, (64, 63), 0, "64x63.*at least 64"),
        (1, (64, 64), -1, "negative"),
    ],
)
def test_impossible_requests_are_refused_before_anything_is_written(
    tmp_path, photos, size, seed, message
):
    with pytest.raises(UserError, match=message):
        write_dataset(tmp_path / "set", photos, size, seed)
    assert not (tmp_path / "set").exists()


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "set").write_text("not a folder")
    with pytest.raises(UserError, match="set cannot be made a folder"):
        write_dataset(tmp_path / "set", 1, (64, 64), 0)
