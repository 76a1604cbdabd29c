"""The training loop: patches in, checkpoints out (Section 4.2).

Apart from the random generator of the run nothing in the loop is random, and nothing depends on
the clock but the moments at which checkpoints are written. A run that is killed at any moment and
resumed therefore ends with the same bits as one that never stopped.
"""

import errno
import math
import time
import warnings
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

from minispiral import profiling
from minispiral.data.pairs import Pair, find_pairs
from minispiral.data.patches import PatchSampler
from minispiral.data.prefetch import Batch, prefetch
from minispiral.data.store import PhotoStore
from minispiral.detection.metrics import Summary
from minispiral.detection.running_metrics import RunningSums
from minispiral.distributed import world
from minispiral.distributed.gpu import sharers
from minispiral.distributed.sharing import sharing
from minispiral.errors import UserError
from minispiral.files import writing_error
from minispiral.runs.checkpoint import Checkpoint
from minispiral.runs.folder import check_own_files, checkpoint_to_resume, write_config
from minispiral.runs.lock import lock_run
from minispiral.runs.metrics_csv import MetricsFile
from minispiral.training.config import TrainConfig
from minispiral.training.final_pictures import draw_final_pictures
from minispiral.training.first_look import tell_of_patches, tell_of_photographs
from minispiral.training.interrupt import Interrupted, StopRequest, stop_requests
from minispiral.training.reporter import Reporter
from minispiral.training.schedule import Schedule
from minispiral.training.state import TrainingState
from minispiral.training.step import training_step
from minispiral.training.validation import validate

CHECKPOINT_SECONDS = 120.0  # between checkpoints, unless a number of steps is given
FETCH_SECONDS = 0.25  # between fetches of the sums from a GPU, which waits for them


def train(
    config: TrainConfig, run: Path | str, resume: bool = False, report: Reporter | None = None
) -> Checkpoint:
    """Train a network as ``config`` says, in the folder ``run``.

    Returns the last checkpoint, which is also ``run/last.safetensors``. ``run/best.safetensors``
    is the one with the highest validation F1, or the last one if no validation photograph has a
    crack. With ``resume`` the run in the folder goes on from its last checkpoint, or begins if
    there is none.

    The processes that mpiexec started train it together (`minispiral.distributed`), with the
    numbers of one process; the first of them reports and writes the files.

    Raises `Interrupted` after Ctrl-C, SIGTERM or SIGHUP. Raises `UserError` for options or
    photographs that do not fit, a folder that is in use or holds another run, a loss or weights
    that are not finite, and a full disk. The last good checkpoint is kept in all these cases.
    """
    run = Path(run)
    everyone = world()
    report = report if report and everyone.is_first else Reporter()
    state = TrainingState(config, run, resume, everyone)
    layout = config.mask_suffix, config.recursive, config.as_stored
    pairs = find_pairs(config.data, *layout)
    val_pairs = None if config.val is None else find_pairs(config.val, *layout)
    try:
        with ExitStack() as stack, warnings.catch_warnings():
            # NumPy warns of an overflow a step before the loop refuses it.
            warnings.simplefilter("ignore", RuntimeWarning)
            everyone.from_first(lambda: stack.enter_context(lock_run(run)))
            stack.enter_context(state.device.in_use())
            _begin(state, resume, report)
            photos = stack.enter_context(_decoded(pairs, run, report))
            val = None
            if val_pairs is not None:
                val = stack.enter_context(_decoded(val_pairs, run, report))
            if everyone.is_first:
                tell_of_photographs(config, photos, val, report)
            own = everyone.share(config.batch)
            recipe = config.crack_share, config.augment
            sampler = PatchSampler(photos, config.patch, config.batch, own, *recipe)
            if config.crack_share and everyone.is_first:
                tell_of_patches(sampler, report)
            state.check_photos(photos, val)
            checkpoint = Loop(state, sampler, val, report).run()
            if everyone.is_first:
                with profiling.span("drawing pictures", opaque=True):
                    shown = photos if val is None else val
                    draw_final_pictures(run, shown, state.device, report)
            return checkpoint
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise writing_error(run, error) from error
        raise


def _begin(state: TrainingState, resume: bool, report: Reporter) -> None:
    """Resume the run in the folder, or make sure that a new one may begin there."""

    def find() -> Path | None:
        path = checkpoint_to_resume(state.run)
        if path is None:
            check_own_files(state.run)
        elif not resume:
            raise UserError(f"{state.run} already holds a run; train in another folder", "resume")
        return path

    path = state.world.from_first(find)
    if path is not None:
        state.resume(path)
    elif resume:
        report.message(f"{state.run} holds no run yet: training begins.")
    if path is None and state.initial is not None:
        report.message(f"The run starts from the weights of {state.initial}.")


def _decoded(pairs: list[Pair], run: Path, report: Reporter) -> closing[PhotoStore]:
    with profiling.span("reading photographs", opaque=True):
        return closing(PhotoStore(pairs, run, report.prepared, world()))


class Loop:
    """Steps a run through its batches; validates, logs and saves it when that is due."""

    def __init__(
        self,
        state: TrainingState,
        sampler: PatchSampler,
        val: PhotoStore | None,
        report: Reporter,
    ) -> None:
        self.state, self.sampler, self.val, self.report = state, sampler, val, report
        config = state.config
        patches = config.patches_per_image * len(sampler.store)
        self.steps_per_epoch = math.ceil(patches / config.batch)
        self.total_steps = config.steps or config.epochs * self.steps_per_epoch
        if state.step > self.total_steps:
            raise UserError(
                f"The run in {state.run} has already done {state.step} steps, {self.total_steps} "
                "were asked for",
                "steps" if config.steps else "epochs",
            )
        self.schedule = Schedule(config, self.total_steps)
        self.train_on = training_step(
            state.device,
            state.network,
            state.adam,
            config.loss,
            config.loss_parameters,
            sharing(sharers(state.world, state.device.is_gpu, report.message), config.batch),
            report.message,
        )
        self.train_on.reset(state.progress.sums)
        self.fetched_at = 0.0
        self.stop = StopRequest()
        self.signum: int | None = None  # of a signal that any process was sent
        self.fetch_due = self.checkpoint_due = False
        self.metrics = None
        if state.world.is_first:
            self.metrics = MetricsFile(state.run / "metrics.csv", state.step)

    def run(self) -> Checkpoint:
        """Train up to the last step and return its checkpoint."""
        state, total = self.state, self.total_steps
        if state.world.is_first:
            write_config(state.run, state.config.as_dict())
        self.report.started(state.step, total)
        with (
            stop_requests(state.world.size > 1) as self.stop,
            closing(prefetch(self.sampler, state.rng, total - state.step)) as batches,
        ):
            while True:
                self._agree()
                if state.progress.recorded < state.step:
                    self._record()
                if self.signum is not None:
                    self._fetch_sums()
                    state.save("last")
                    raise Interrupted(state.run, state.step, self.signum)
                if state.step == total:
                    break
                with profiling.span("reading patches"):
                    batch = next(batches)
                self._step(batch)
        if state.progress.batches_without_crack:
            self.report.message(
                f"{state.progress.batches_without_crack} of {total} batches held no crack pixel: "
                "they were trained on, but have no F1."
            )
        return state.checkpoint()

    def _step(self, batch: Batch) -> None:
        state, progress = self.state, self.state.progress
        if not self.schedule.is_constant:
            state.adam.lr = self.schedule.rate(state.step)
        self.train_on(batch.pixels, batch.mask, batch.flips)
        state.step += 1
        if state.average is not None:
            with profiling.span("averaging weights"):
                state.average.update(state.step)
        state.random_state = batch.random_state
        if self.fetch_due:
            self._fetch_sums()
        self.report.stepped(state.step, progress.sums.loss, progress.sums.f1)

    def _agree(self) -> None:
        """Decide, alike in all processes, what depends on signals and on the clock."""
        now, state = time.monotonic(), self.state
        every = state.config.checkpoint_every
        flags = (
            self.stop.signum or 0,
            not state.device.is_gpu or now - self.fetched_at > FETCH_SECONDS,
            state.step % every == 0 if every else now - state.saved_at > CHECKPOINT_SECONDS,
        )
        found = state.world.gather(np.array(flags, np.int64))
        self.signum = int(found[:, 0].max()) or None
        self.fetch_due, self.checkpoint_due = map(bool, found[0, 1:])

    def _fetch_sums(self) -> None:
        """Fetch the sums since the last row; raises `UserError` if a loss was NaN."""
        progress, sums = self.state.progress, self.train_on.sums()
        new = sums.batches_without_crack - progress.sums.batches_without_crack
        progress.batches_without_crack += new
        progress.sums = sums
        self.fetched_at = time.monotonic()
        if sums.nan_losses:
            raise self.state.diverged("loss")

    def _record(self) -> None:
        """Validate, add a row, save the best and the last checkpoint, as due after this step.

        They come in this order so that a run killed between them repeats the step and all of them.
        """
        state, config, progress = self.state, self.state.config, self.state.progress
        step, end = state.step, state.step == self.total_steps
        validation_due = self.val is not None and (
            end or step % (config.validate_every or self.steps_per_epoch) == 0
        )
        row_due = validation_due or end or step % config.log_every == 0
        checkpoint_due = validation_due or end or self.checkpoint_due
        if row_due or checkpoint_due:
            self._fetch_sums()
        scores = None
        if self.val is not None and validation_due:
            state.check_finite()
            with profiling.span("validation", opaque=True):
                scores = validate(state, self.val, self.stop, self.report)
            if scores is None:  # stopped: the step is recorded when the run is resumed
                self._agree()
                return
            self.report.validated(step, scores)
        if row_due:
            if self.metrics is not None:
                self.metrics.append(self._row(scores))
            progress.sums = RunningSums()
            self.train_on.reset(progress.sums)
        progress.recorded = step
        if scores is not None:
            progress.threshold = scores.ods_threshold
        f1 = None if scores is None else scores.f1
        better = f1 is not None and (progress.best_f1 is None or f1 > progress.best_f1)
        if better:
            progress.best_f1 = f1
        if better or (end and progress.best_f1 is None):
            state.save("best")
        if checkpoint_due:
            state.save("last")

    def _row(self, scores: Summary | None) -> dict[str, float | int | None]:
        """The row of ``metrics.csv`` for this step."""
        sums = self.state.progress.sums
        row: dict[str, float | int | None] = {
            "step": self.state.step,
            "epoch": math.ceil(self.state.step / self.steps_per_epoch),
            "seconds": self.state.seconds(),
            "loss": sums.loss,
            "precision": sums.precision,
            "recall": sums.recall,
            "f1": sums.f1,
            "batches_without_crack": sums.batches_without_crack,
        }
        if scores is not None:
            row |= {
                "val_average_precision": scores.average_precision,
                "val_precision": scores.precision,
                "val_recall": scores.recall,
                "val_f1": scores.f1,
            }
        return row
