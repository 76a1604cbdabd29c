"""Training: patches in, checkpoints out (Section 4.2 of the paper).

A run has one random generator. It draws the batches, and its state after the last batch trained on
is part of every checkpoint; a child of it initialises the network, so that with one seed networks
of any kind see the same batches. Nothing else in the loop is random and
nothing depends on the time that passes, so a run that is killed at any moment and resumed ends
with the same bits as one that never stopped.
"""

import errno
import math
import time
import warnings
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from minispiral import networks, profiling
from minispiral.data.pairs import Pair, find_pairs
from minispiral.data.patches import Batch, PatchSampler, prefetch
from minispiral.data.photos import write_picture
from minispiral.data.store import PhotoStore
from minispiral.detection import tiling
from minispiral.detection.metrics import RunningSums, Summary, score_photo, summarize
from minispiral.detection.pictures import overlay
from minispiral.device import Device, choose
from minispiral.errors import UserError
from minispiral.files import writing_error
from minispiral.kernels.cpu import parallel
from minispiral.kernels.dispatch import to_host
from minispiral.networks import pretrained
from minispiral.optim import Adam
from minispiral.runs.checkpoint import Checkpoint, load, load_network, restore, save
from minispiral.runs.folder import (
    check_own_files,
    check_unchanged,
    lock_run,
    resumable,
    write_config,
)
from minispiral.runs.metrics_csv import MetricsFile
from minispiral.training.config import MAY_CHANGE, TrainConfig
from minispiral.training.curves import save_curves
from minispiral.training.interrupt import Interrupted, StopRequest, stop_requests
from minispiral.training.reporter import Reporter
from minispiral.training.step import training_step

__all__ = ["Interrupted", "TrainConfig", "train"]

CHECKPOINT_SECONDS = 120.0  # between checkpoints where no number of steps is given
LOOK_SECONDS = 0.25  # between looks at what a GPU has summed up, for it waits meanwhile
SAMPLES = 4  # photographs drawn when a run has finished


def train(
    config: TrainConfig, run: Path | str, resume: bool = False, report: Reporter | None = None
) -> Checkpoint:
    """Train a network as ``config`` says and keep it in the folder ``run``.

    Returns the last checkpoint, which is also ``run/last.safetensors``;
    ``run/best.safetensors`` is the one with the highest validation F1 (where no validation
    photograph has a crack: the last). With ``resume`` the run in the folder goes on from its last
    checkpoint, or begins where there is none.

    Raises `Interrupted` after Ctrl-C, SIGTERM or SIGHUP, and `UserError` for options and
    photographs that do not fit, for a folder in use or holding another run, for a loss or weights
    that are no numbers and for a full disk. Every one of them leaves the last good checkpoint in
    place.
    """
    run = Path(run)
    report = report or Reporter()
    training = Training(config, run, report, resume)
    pairs = find_pairs(config.data)
    val_pairs = None if config.val is None else find_pairs(config.val)
    try:
        with lock_run(run), ExitStack() as stores, warnings.catch_warnings():
            # Values that overflow are looked for below; NumPy would warn of them a step earlier.
            warnings.simplefilter("ignore", RuntimeWarning)
            stores.enter_context(training.device.in_use())
            training.take_up(resume)
            photos = stores.enter_context(_decoded(pairs, run, report))
            val = None
            if val_pairs is not None:
                val = stores.enter_context(_decoded(val_pairs, run, report))
            sampler = PatchSampler(photos, config.patch, config.batch)
            training.check_photos(photos, val)
            checkpoint = training.loop(sampler, val)
            with profiling.whole("drawing pictures"):
                _draw(run, photos if val is None else val, report, training.device)
            return checkpoint
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise writing_error(run, error) from error
        raise


def _pretrained(
    config: TrainConfig, run: Path, resume: bool
) -> tuple[TrainConfig, pretrained.Weights | None]:
    """``config`` with the kind of weights that ``init`` gives, and these where the run begins.

    A run that goes on has them in its checkpoint: the file may be gone, and the option left out.
    """
    if config.network != "hed":
        return config, None
    if resume and (path := resumable(run)) is not None:
        before = load(path).config
        init, kind = config.init or before.get("init"), before.get("pretrained")
        return replace(config, init=init, pretrained=kind), None
    if config.init is None:
        return config, None
    weights = pretrained.read(config.init)
    return replace(config, pretrained=weights.name), weights


def _decoded(pairs: list[Pair], run: Path, report: Reporter) -> closing[PhotoStore]:
    with profiling.whole("reading photographs"):
        return closing(PhotoStore(pairs, scratch=run, progress=report.prepared))


class Training:
    """One run: its network, optimiser and generator, and where it stands."""

    def __init__(
        self, config: TrainConfig, run: Path, report: Reporter, resume: bool = False
    ) -> None:
        config, weights = _pretrained(config, run, resume)
        self.config = config
        self.run = run
        self.report = report
        self.rng = np.random.default_rng(config.seed)
        self.network = networks.build(
            config.network,
            depths=config.depths,
            connection=config.connection,
            width=config.width,
            pretrained=config.pretrained,
            rng=self.rng.spawn(1)[0],
        )
        self.network.check_side(config.patch)
        if weights is not None:
            pretrained.copy_into(self.network, weights)
        self.device = choose(config.device, config.precision)
        self.network.to(self.device)
        self.adam = Adam(self.network.named_parameters(), lr=config.lr, beta1=config.beta1)
        self.take_step = training_step(
            self.device, self.network, self.adam, config.loss, config.loss_parameters
        )
        self.random_state = self.rng.bit_generator.state
        self.step = 0
        self.recorded = 0  # the last step whose row, validation and checkpoints are done
        self.best_f1: float | None = None  # on the validation photographs
        self.sums = RunningSums()  # since the last row, as they were when last looked at
        self.looked = 0.0
        self.batches_without_crack = 0
        self.photos: dict[str, Any] = {}  # what the photographs are told apart by
        self.earlier_seconds = 0.0
        self.began = self.saved = time.monotonic()
        self.saved_step: int | None = None

    def take_up(self, resume: bool) -> None:
        """Go on with the run in the folder, if there is one and that was asked for."""
        path = resumable(self.run)
        if path is None:
            check_own_files(self.run)
            if resume:
                self.report.message(f"{self.run} holds no run yet: training begins.")
            return
        if not resume:
            raise UserError(
                f"{self.run} already holds a run; continue it with --resume or give another "
                "--out folder."
            )
        checkpoint = load(path)
        best = self.run / "best.safetensors"
        if best != path and best.exists():
            load(best)  # a damaged one shows now, not after the last step
        # an option that an earlier version of minispiral had not counts as its default
        before = {**TrainConfig(data="").as_dict(), **checkpoint.config}
        check_unchanged(self.run, before, self.config.as_dict(), MAY_CHANGE)
        restore(path, self.network, checkpoint)
        self.adam.load_state(checkpoint.part("adam"))
        self.rng.bit_generator.state = self.random_state = checkpoint.random_state
        self.step = self.saved_step = checkpoint.step
        progress = checkpoint.progress
        self.recorded = progress["recorded"]
        self.best_f1 = progress["best_f1"]
        self.sums = RunningSums(**progress["sums"])
        self.take_step.reset(self.sums)
        self.batches_without_crack = progress["batches_without_crack"]
        self.photos = progress["photos"]
        self.earlier_seconds = progress["seconds"]

    def check_photos(self, photos: PhotoStore, val: PhotoStore | None) -> None:
        """Raise `UserError` when these are not the photographs the run began with."""
        found = {
            "data": _fingerprint(photos),
            "val": None if val is None else _fingerprint(val),
        }
        if self.photos:
            check_unchanged(self.run, self.photos, found, frozenset())
        self.photos = found

    def loop(self, sampler: PatchSampler, val: PhotoStore | None) -> Checkpoint:
        """Train up to the last step and return its checkpoint."""
        config = self.config
        an_epoch = math.ceil(config.patches_per_image * len(sampler.store) / config.batch)
        total = config.steps or config.epochs * an_epoch
        if self.step > total:
            raise UserError(
                f"The run in {self.run} has already done {self.step} steps, {total} were asked "
                "for; ask for more to go on."
            )
        self.metrics = MetricsFile(self.run / "metrics.csv", self.step)
        write_config(self.run, config.as_dict())
        self.report.started(self.step, total)
        flipped = not self.device.is_gpu  # which flips patches itself
        with (
            stop_requests() as stop,
            closing(prefetch(sampler, self.rng, total - self.step, flipped)) as batches,
        ):
            while True:
                if self.recorded < self.step:
                    self._record(an_epoch, total, val, stop)
                if stop.signum is not None:
                    self._look()
                    self._save("last")
                    raise Interrupted(self.run, self.step, stop.signum)
                if self.step == total:
                    break
                with profiling.span("reading patches"):
                    batch = next(batches)
                self._train(batch)
        if self.batches_without_crack:
            self.report.message(
                f"{self.batches_without_crack} of {total} batches held no crack pixel: they were "
                "trained on, but have no F1."
            )
        return self._checkpoint()

    def _train(self, batch: Batch) -> None:
        """One step: forward, loss, backward, Adam."""
        self.take_step(batch.pixels, batch.mask, batch.flips)
        self.step += 1
        self.random_state = batch.random_state
        self.batches_without_crack += not batch.mask.any()
        if not self.device.is_gpu or time.monotonic() - self.looked > LOOK_SECONDS:
            self._look()
        self.report.stepped(self.step, self.sums.loss, self.sums.f1)

    def _look(self) -> None:
        """Fetch the sums since the last row, which waits for a GPU; a loss must be a number."""
        self.sums, self.looked = self.take_step.sums(), time.monotonic()
        if self.sums.nan_losses:
            raise self._diverged("loss", self.step)

    def _record(self, an_epoch: int, total: int, val: PhotoStore | None, stop: StopRequest) -> None:
        """After a step: validate, add a row, save the best and then the last checkpoint, if due.

        In this order a run that is killed in between repeats the step and all that follows it.
        """
        config, step = self.config, self.step
        end = step == total
        validate = val is not None and (end or step % (config.validate_every or an_epoch) == 0)
        log = validate or end or step % config.log_every == 0
        if config.checkpoint_every is not None:
            checkpoint = validate or end or step % config.checkpoint_every == 0
        else:
            checkpoint = validate or end or time.monotonic() - self.saved > CHECKPOINT_SECONDS
        scores = None
        if log or checkpoint:
            self._look()
        if val is not None and validate:
            self._check_finite()
            with profiling.whole("validation"):
                scores = self._validate(val, stop)
            if scores is None:  # stopped: recorded when the run is resumed
                return
        if log:
            self.metrics.append(self._row(an_epoch, scores))
            self.sums = RunningSums()
            self.take_step.reset(self.sums)
        self.recorded = step
        f1 = None if scores is None else scores.f1
        better = f1 is not None and (self.best_f1 is None or f1 > self.best_f1)
        if better:
            self.best_f1 = f1
        if better or (end and self.best_f1 is None):
            self._save("best")
        if checkpoint:
            self._save("last")

    def _validate(self, val: PhotoStore, stop: StopRequest) -> Summary | None:
        """The scores on the validation photographs; None when a stop was asked for."""

        def tile_done(done: int, tiles: int) -> None:
            if stop.signum is not None:
                raise _Stopped

        photos = []
        try:
            for i, pair in enumerate(val.pairs):
                self.report.validating(i, len(val))
                probability = tiling.predict(self.network, val.photo(i), progress=tile_done)
                if np.isnan(probability).any():  # finite weights can overflow all the same
                    raise self._diverged("probability of crack", self.step)
                photos.append(score_photo(pair.name, probability, val.mask(i)))
        except _Stopped:
            return None
        finally:
            parallel.trim()  # buffers of the tiles' sizes are of no use to the patches
        scores = summarize(photos)
        self.report.validated(self.step, scores)
        return scores

    def _row(self, an_epoch: int, scores: Summary | None) -> dict[str, float | int | None]:
        """A row of ``metrics.csv`` for the step just done."""
        row: dict[str, float | int | None] = {
            "step": self.step,
            "epoch": math.ceil(self.step / an_epoch),
            "seconds": self._seconds(),
            "loss": self.sums.loss,
            "precision": self.sums.precision,
            "recall": self.sums.recall,
            "f1": self.sums.f1,
            "batches_without_crack": self.sums.batches_without_crack,
        }
        if scores is not None:
            row |= {
                "val_average_precision": scores.average_precision,
                "val_precision": scores.precision,
                "val_recall": scores.recall,
                "val_f1": scores.f1,
            }
        return row

    def _seconds(self) -> float:
        """Spent on the run so far, its earlier sittings included."""
        return self.earlier_seconds + time.monotonic() - self.began

    def _checkpoint(self) -> Checkpoint:
        network, adam = self.network.state(), self.adam.state()
        progress = {
            "recorded": self.recorded,
            "best_f1": self.best_f1,
            "sums": asdict(self.sums),
            "batches_without_crack": self.batches_without_crack,
            "photos": self.photos,
            "seconds": self._seconds(),
        }
        tensors = {f"network.{name}": to_host(data) for name, data in network.items()}
        tensors |= {f"adam.{name}": to_host(data) for name, data in adam.items()}
        return Checkpoint(self.step, self.config.as_dict(), tensors, self.random_state, progress)

    def _save(self, name: str) -> None:
        """Write the checkpoint ``name``, unless that would put NaN in place of numbers."""
        self._check_finite()
        with profiling.span("writing checkpoints"):
            save(self.run / f"{name}.safetensors", self._checkpoint())
        self.saved = time.monotonic()
        self.saved_step = self.step

    def _check_finite(self) -> None:
        for name, data in (*self.network.state().items(), *self.adam.state().items()):
            if not np.isfinite(to_host(data)).all():
                raise self._diverged(f"value of {name}", self.step)

    def _diverged(self, what: str, step: int) -> UserError:
        kept = (
            "no checkpoint had been written yet"
            if self.saved_step is None
            else f"the checkpoint of step {self.saved_step} in {self.run} is kept"
        )
        return UserError(
            f"The {what} is not a finite number at step {step}; {kept}: train in another --out "
            f"folder with an --lr below {self.config.lr:g}."
        )


def _fingerprint(store: PhotoStore) -> str:
    """What tells one set of photographs from another, wherever its folder is."""
    return (
        f"{len(store)} photographs of {store.pixels} pixels with {store.crack_pixels} crack pixels"
    )


def _draw(run: Path, store: PhotoStore, report: Reporter, device: Device) -> None:
    """Curves of the scores, and the best network's detections in a few photographs."""
    if not save_curves(run / "metrics.csv", run / "curves.png"):
        report.message("curves.png was not drawn: it needs matplotlib (the extra `plots`).")
    network = load_network(run, device=device)
    samples = run / "samples"
    samples.mkdir(exist_ok=True)
    total = min(len(store), SAMPLES)
    for i, pair in enumerate(store.pairs[:total]):
        report.drawing(i, total)
        photo = store.photo(i)
        picture = overlay(photo, tiling.predict(network, photo), truth=store.mask(i))
        write_picture(samples / f"{pair.name}.jpg", picture)
    report.drawing(total, total)


class _Stopped(Exception):
    """Leaves a validation that a signal cuts short."""
