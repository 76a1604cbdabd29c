"""Training as users see it: what a run leaves behind, and what it refuses."""

import csv
import dataclasses
import json
import math
import shutil
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minispiral.cli.progress import TerminalReporter
from minispiral.data.photos import read_mask, read_photo
from minispiral.detection.metrics import score_photo
from minispiral.detection.tiling import predict
from minispiral.errors import UserError
from minispiral.kernels.cpu import parallel
from minispiral.losses import LOSSES
from minispiral.runs.checkpoint import Checkpoint, load, load_network, save
from minispiral.runs.lock import lock_run
from minispiral.training.config import TrainConfig
from minispiral.training.loop import train
from minispiral.training.reporter import Reporter

pytestmark = pytest.mark.usefixtures("no_curves")


def write_photos(folder: Path, rng: np.random.Generator, photos: int, cracks: int) -> Path:
    """Noisy grey photographs, the first ``cracks`` of them with a dark line."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for i in range(photos):
        h, w = rng.integers(40, 60, size=2)
        mask = np.zeros((h, w), bool)
        if i < cracks:
            mask[:, 20 + i : 22 + i] = True
        grey = rng.normal(170, 8, (h, w)) - 110 * mask
        photo = np.repeat(np.uint8(np.clip(grey, 0, 255))[..., None], 3, axis=2)
        Image.fromarray(photo).save(folder / "images" / f"photo {i}.png")
        Image.fromarray(np.uint8(mask)).save(folder / "masks" / f"photo {i}.png")
    return folder


@pytest.fixture
def config(rng: np.random.Generator, tmp_path: Path) -> TrainConfig:
    """A small network on three photographs, one of them without a crack."""
    return TrainConfig(
        data=write_photos(tmp_path / "data", rng, photos=3, cracks=2),
        depths=(1, 2),
        width=0.05,
        patch=31,
        batch=4,
        patches_per_image=8,  # 6 steps are an epoch
        steps=14,
        lr=1e-2,
        seed=int(rng.integers(10**6)),
        log_every=4,
    )


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def differing(a: Checkpoint, b: Checkpoint) -> list[str]:
    """The names of the tensors that differ in any bit."""
    assert a.tensors.keys() == b.tensors.keys()
    return [name for name, x in a.tensors.items() if x.tobytes() != b.tensors[name].tobytes()]


def test_a_run_folder_holds_what_the_run_was_and_did(config, tmp_path):
    run = tmp_path / "some" / "run"
    config = dataclasses.replace(config, val=config.data)
    checkpoint = train(config, run)
    assert checkpoint.step == load(run / "last.safetensors").step == 14
    assert not differing(checkpoint, load(run / "last.safetensors"))

    saved = json.loads((run / "config.json").read_text())
    assert TrainConfig.from_dict(saved).as_dict() == config.as_dict()

    table = rows(run)
    assert [int(row["step"]) for row in table] == [4, 6, 8, 12, 14]
    assert [int(row["epoch"]) for row in table] == [1, 1, 2, 2, 3]
    assert [row["step"] for row in table if row["val_f1"]] == ["6", "12", "14"]
    seconds = [float(row["seconds"]) for row in table]
    assert seconds == sorted(seconds)

    pictures = sorted(path.name for path in (run / "samples").iterdir())
    assert pictures == ["photo 0.jpg", "photo 1.jpg", "photo 2.jpg"]
    for i in range(3):
        size = read_photo(config.data / "images" / f"photo {i}.png").shape
        assert read_photo(run / "samples" / f"photo {i}.jpg").shape == size
    assert not list(run.glob(".*.part"))


def test_a_run_learns_and_keeps_the_best_network(config, tmp_path):
    config = dataclasses.replace(
        config, val=config.data, width=0.2, lr=2e-2, steps=150, validate_every=30
    )
    train(config, tmp_path / "run")
    scores = {
        int(row["step"]): float(row["val_f1"]) for row in rows(tmp_path / "run") if row["val_f1"]
    }
    assert list(scores) == [30, 60, 90, 120, 150]
    assert max(scores.values()) > 0.4  # an untrained network stays below 0.1
    assert load(tmp_path / "run" / "best.safetensors").step == max(scores, key=scores.__getitem__)

    network = load_network(tmp_path / "run")
    found = []
    for i in range(2):  # photographs without a crack have no F1
        name = f"photo {i}.png"
        probability = predict(network, read_photo(config.data / "images" / name))
        found.append(score_photo(name, probability, read_mask(config.data / "masks" / name)).f1)
    assert np.mean(found) == pytest.approx(max(scores.values()), rel=1e-5)


def test_without_validation_the_last_network_is_the_best(config, tmp_path):
    last = train(config, tmp_path / "run")
    assert not differing(last, load(tmp_path / "run" / "best.safetensors"))
    assert {row["val_f1"] for row in rows(tmp_path / "run")} == {""}


def test_validation_photographs_without_crack_have_no_best(config, rng, tmp_path):
    val = write_photos(tmp_path / "val", rng, photos=1, cracks=0)
    last = train(dataclasses.replace(config, val=val), tmp_path / "run")
    assert not differing(last, load(tmp_path / "run" / "best.safetensors"))


def test_same_seed_same_bits_for_any_number_of_threads(config, tmp_path):
    checkpoints = []
    for n, seed in ((1, 0), (1, 0), (2, 0), (3, 0), (1, 1)):
        parallel.set_threads(n)
        try:
            run = tmp_path / str(len(checkpoints))
            changed = dataclasses.replace(config, seed=config.seed + seed)
            checkpoints.append(train(changed, run))
        finally:
            parallel.set_threads(None)
    first, *same, other = checkpoints
    for checkpoint in same:
        assert not differing(first, checkpoint)
        assert checkpoint.random_state == first.random_state
    assert differing(first, other)


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_batches_without_crack_are_counted_and_harmless(config, rng, tmp_path, loss):
    data = write_photos(tmp_path / "sparse", rng, photos=3, cracks=1)

    class Heard(Reporter):
        text = ""

        def message(self, text: str) -> None:
            self.text += text

    report = Heard()
    changed = dataclasses.replace(config, data=data, batch=1, steps=30, loss=loss)
    checkpoint = train(changed, tmp_path / "run", report=report)
    table = rows(tmp_path / "run")
    without = sum(int(row["batches_without_crack"]) for row in table)
    assert 0 < without < 30
    assert f"{without} of 30 batches held no crack pixel" in report.text
    assert all(np.isfinite(x).all() for x in checkpoint.tensors.values())
    assert all(math.isfinite(float(row["loss"])) for row in table if row["loss"])


def test_the_parameters_of_the_focal_loss_are_used(config, tmp_path):
    runs = {}
    for name, changes in {
        "default": {},
        "alpha": {"loss_options": {"focal_alpha": 0.5}},
        "gamma": {"loss_options": {"focal_gamma": 0.0}},
        "entropy": {"loss": "cross-entropy"},
    }.items():
        changed = dataclasses.replace(config, **{"loss": "focal", "steps": 1, **changes})
        train(changed, tmp_path / name)
        runs[name] = float(rows(tmp_path / name)[0]["loss"])
    assert len({*runs.values()}) == 4
    options = {"focal_alpha": 0.5, "focal_gamma": 0.0}
    half = dataclasses.replace(config, loss="focal", loss_options=options, steps=1)
    train(half, tmp_path / "half")
    assert float(rows(tmp_path / "half")[0]["loss"]) == pytest.approx(runs["entropy"] / 2, rel=1e-5)


def test_a_run_from_before_an_option_existed_goes_on(config, tmp_path):
    train(config, tmp_path / "run")
    path = tmp_path / "run" / "last.safetensors"
    checkpoint = load(path)
    del checkpoint.config["focal_alpha"]
    save(path, checkpoint)
    longer = dataclasses.replace(config, steps=config.steps + 1)
    assert train(longer, tmp_path / "run", resume=True).step == config.steps + 1


def test_a_loss_that_is_no_number_stops_the_run(config, tmp_path, monkeypatch):
    calls = 0
    true_loss = LOSSES["pseudo-f1"]

    def breaks_at_step_7(logits, mask):
        nonlocal calls
        calls += 1
        loss = true_loss(logits, mask)
        if calls == 7:
            loss.data = np.array(np.nan, loss.dtype)
        return loss

    monkeypatch.setitem(LOSSES, "pseudo-f1", breaks_at_step_7)
    config = dataclasses.replace(config, checkpoint_every=5)
    with pytest.raises(UserError, match=r"loss is not .* at step 7 \(the checkpoint of step 5"):
        train(config, tmp_path / "run")
    kept = load(tmp_path / "run" / "last.safetensors")
    assert kept.step == 5
    monkeypatch.undo()
    resumed = train(config, tmp_path / "run", resume=True)  # the good checkpoint is of use
    assert not differing(resumed, train(config, tmp_path / "undisturbed"))


@pytest.mark.parametrize("validate", [False, True])
@pytest.mark.parametrize("lr", [1e10, 1e38])
def test_a_learning_rate_far_too_large_saves_no_broken_weights(config, tmp_path, lr, validate):
    run = tmp_path / "run"
    config = dataclasses.replace(
        config,
        val=config.data if validate else None,
        lr=lr,
        checkpoint_every=1,
        validate_every=1,
        steps=200,
    )
    with pytest.raises(UserError, match=r"not a finite number at step \d+") as caught:
        train(config, run)
    assert caught.value.parameter == "lr"
    for path in run.glob("*.safetensors"):
        assert all(np.isfinite(x).all() for x in load(path).tensors.values())


def test_a_folder_that_holds_a_run_is_not_overwritten(config, tmp_path):
    run = tmp_path / "run"
    train(config, run)
    before = (run / "last.safetensors").read_bytes()
    with pytest.raises(UserError, match="already holds a run; train in another folder") as caught:
        train(config, run)
    assert caught.value.parameter == "resume"
    assert (run / "last.safetensors").read_bytes() == before


def test_two_runs_cannot_share_a_folder(config, tmp_path):
    with lock_run(tmp_path / "run"), pytest.raises(UserError, match="Another process"):
        train(config, tmp_path / "run")


def test_resuming_with_other_options_names_them(config, tmp_path):
    run = tmp_path / "run"
    train(config, run)
    before = (run / "last.safetensors").read_bytes()
    other = dataclasses.replace(config, depths=(2,), lr=0.5, steps=99)
    with pytest.raises(UserError, match=r"depths was 1,2 and is now 2, lr was 0.01") as caught:
        train(other, run, resume=True)
    assert "steps" not in str(caught.value)
    with pytest.raises(UserError, match="already done 14 steps, 9 were asked"):
        train(dataclasses.replace(config, steps=9), run, resume=True)
    assert (run / "last.safetensors").read_bytes() == before


def test_resuming_wants_the_same_photographs_wherever_they_are(config, rng, tmp_path):
    run = tmp_path / "run"
    train(config, run)
    moved = tmp_path / "moved"
    shutil.move(config.data, moved)
    train(dataclasses.replace(config, data=moved, steps=16), run, resume=True)
    write_photos(config.data, rng, photos=4, cracks=2)
    with pytest.raises(UserError, match=r"data was 3 photographs .* is now 4 photographs"):
        train(dataclasses.replace(config, steps=16), run, resume=True)


def test_a_finished_run_goes_on_when_asked_for_more(config, tmp_path):
    run = tmp_path / "run"
    first = train(config, run)
    again = train(config, run, resume=True)  # nothing left to do
    assert not differing(first, again)
    longer = dataclasses.replace(config, steps=21)
    assert not differing(train(longer, run, resume=True), train(longer, tmp_path / "at once"))
    steps = [int(row["step"]) for row in rows(run)]
    assert steps == [4, 8, 12, 14, 16, 20, 21]
    assert json.loads((run / "config.json").read_text())["steps"] == 21


def test_resume_begins_where_there_is_nothing_yet(config, tmp_path):
    resumed = train(config, tmp_path / "a", resume=True)
    assert not differing(resumed, train(config, tmp_path / "b"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04not ours", b"\xff" * 200])
def test_a_damaged_checkpoint_is_refused_and_left_alone(config, tmp_path, content):
    run = tmp_path / "run"
    run.mkdir()
    (run / "last.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"last\.safetensors"):
        train(config, run, resume=True)
    assert (run / "last.safetensors").read_bytes() == content


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("name", ["last.safetensors", "best.safetensors", "metrics.csv"])
def test_a_full_disk_keeps_the_last_good_checkpoint(config, tmp_path, name):
    run = tmp_path / "run"
    train(config, run)
    good = load(run / "last.safetensors")
    (run / f".{name}.part").symlink_to("/dev/full")
    with pytest.raises(UserError, match="disk is full"):
        train(dataclasses.replace(config, steps=17), run, resume=True)
    assert not differing(load(run / "last.safetensors"), good)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cpu", "precision": "tf32"}, "device cuda"),
        ({"device": "tpu"}, "device tpu was given, expected auto or cpu or cuda"),
        ({"batch": 0}, "batch 0 was given, expected at least 1"),
        ({"patches_per_image": 0}, "patches_per_image 0"),
        ({"steps": 0}, "steps 0"),
        ({"lr": 0.0}, "lr"),
        ({"lr": math.nan}, "lr"),
        ({"lr": math.inf}, "lr"),
        ({"beta1": 1.0}, "beta1"),
        ({"seed": -1}, "seed"),
        ({"loss": "hinge"}, "loss hinge"),
        ({"network": "resnet"}, "network resnet"),
        ({"patch": 32}, "31"),
        ({"patch": 1023}, "smaller than a patch"),
        ({"width": 0.0}, "width"),
        ({"depths": ()}, "depth"),
        ({"connection": "ring"}, "connection"),
        ({"data": Path("nowhere")}, "nowhere"),
        ({"val": Path("nowhere")}, "nowhere"),
    ],
)
def test_options_that_cannot_be_are_refused(config, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        train(dataclasses.replace(config, **options), tmp_path / "run")
    assert not list(tmp_path.glob("run/*.safetensors"))
    assert not list(tmp_path.glob("run/*.json"))


def test_a_reporter_hears_of_every_step(config, tmp_path):
    heard = []

    class Listener(Reporter):
        def started(self, step, total):
            heard.append(("started", step, total))

        def stepped(self, step, loss, f1):
            heard.append(("stepped", step))

        def validated(self, step, scores):
            heard.append(("validated", step, scores.photos_with_crack))

    train(dataclasses.replace(config, val=config.data), tmp_path / "run", report=Listener())
    expected = [("started", 0, 14)]
    for step in range(1, 15):
        expected.append(("stepped", step))
        if step in (6, 12, 14):
            expected.append(("validated", step, 2))
    assert heard == expected


def test_progress_is_printed_where_there_is_no_terminal(config, tmp_path, capsys):
    with TerminalReporter() as report:
        train(dataclasses.replace(config, val=config.data), tmp_path / "run", report=report)
    out, err = capsys.readouterr()
    assert out == ""
    assert "step 6: validation F1 0." in err
    assert "training 14/14" in err
    assert "steps/s" in err
    assert "\x1b" not in err


def test_training_works_in_a_thread_and_leaves_signals_alone(config, tmp_path):
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    steps = []
    thread = threading.Thread(target=lambda: steps.append(train(config, tmp_path / "a").step))
    thread.start()
    thread.join()
    steps.append(train(config, tmp_path / "b").step)
    assert steps == [14, 14]
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before
