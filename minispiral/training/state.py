"""The state of a run: what its checkpoints hold, and how it starts, resumes and is saved.

A run has one random generator. It draws the batches, and its state after the last batch trained
on is part of every checkpoint. A child of it initialises the network, so that with the same seed
networks of any kind see the same batches.
"""

import hashlib
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from minispiral import networks, profiling
from minispiral.data.store import PhotoStore
from minispiral.detection.running_metrics import RunningSums
from minispiral.device import choose
from minispiral.distributed import World, agreed
from minispiral.errors import UserError
from minispiral.kernels.arrays import get
from minispiral.optim import Adam
from minispiral.runs.checkpoint import Checkpoint, load, load_config, restore, save
from minispiral.runs.folder import NotResumable, check_unchanged, checkpoint_to_resume
from minispiral.runs.typed import typed
from minispiral.training import initial
from minispiral.training.average import Average
from minispiral.training.config import FOUND, MAY_CHANGE, SHAPING, TrainConfig


@dataclass
class Progress:
    """How far a run has got, kept as JSON in its checkpoints."""

    recorded: int = 0  # the last step whose row, validation and checkpoints are done
    best_f1: float | None = None  # on the validation photographs
    threshold: float | None = None  # of ODS at the last validation: the best one for its pixels
    sums: RunningSums = field(default_factory=RunningSums)  # since the last row, as last fetched
    batches_without_crack: int = 0
    photos: dict[str, str | None] = field(default_factory=dict)  # fingerprints of the datasets
    digests: dict[str, list[str]] = field(default_factory=dict)  # of their photographs, in order
    seconds: float = 0.0  # spent before this process


class TrainingState:
    """A run in the folder ``run``: network, optimiser, random generator and progress.

    All processes of ``world`` hold the same state; the first one reads and writes the files.

    ``initial`` says which weights a new run starts from, if any.

    Raises `UserError` for options that do not fit together and for weights to start from that
    cannot be used.
    """

    def __init__(
        self, config: TrainConfig, run: Path, resume: bool = False, world: World | None = None
    ) -> None:
        self.world = world or World()
        config, weights = self.world.from_first(lambda: _with_initial(config, run, resume))
        self.config = config
        self.run = run
        self.rng = np.random.default_rng(config.seed)
        self.network = _build(config, self.rng.spawn(1)[0])
        self.network.check_side(config.patch)
        if weights is not None:
            weights.copy_into(self.network)
        self.initial = None if weights is None else str(weights)
        self.device = choose(config.device, config.precision)
        self.network.to(self.device)
        self.adam = Adam(
            self.network.named_parameters(), lr=config.lr, beta1=config.beta1, clip=config.clip
        )
        self.average = None
        if config.average:
            averaged = _build(config, np.random.default_rng(0)).to(self.device)  # replaced at once
            self.average = Average(self.network, averaged, config.average_decay)
        self.random_state = self.rng.bit_generator.state
        self.step = 0
        self.progress = Progress()
        self.began = self.saved_at = time.monotonic()
        self.saved_step: int | None = None

    def resume(self, path: Path) -> None:
        """Go on from the checkpoint ``path`` of this run.

        Raises `UserError` for a damaged checkpoint and for options that must not change.
        """
        checkpoint = self.world.from_first(lambda: self._load(path))
        # Options that the checkpoint's version did not have count as their defaults.
        before = {**TrainConfig(data="").as_dict(), **checkpoint.config}
        may_change = MAY_CHANGE
        if self.config.schedule != "constant":  # it ends with the steps that the run began with
            may_change -= {"epochs", "steps"}
        check_unchanged(self.run, before, self.config.as_dict(), may_change, SHAPING)
        restore(path, self.network, checkpoint.part("network"))
        if self.average is not None:
            restore(path, self.average.network, checkpoint.part("average"))
        try:
            self.adam.load_state(checkpoint.part("adam"))
            self.rng.bit_generator.state = self.random_state = checkpoint.random_state
            self.step = self.saved_step = checkpoint.step
            sums = typed(RunningSums, checkpoint.progress["sums"])
            self.progress = typed(Progress, {**checkpoint.progress, "sums": sums})
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError(
                f"{path} does not hold the state of a run ({error}); restore it from a copy or "
                "train again"
            ) from error

    def _load(self, path: Path) -> Checkpoint:
        best = self.run / "best.safetensors"
        if best != path and best.exists():
            load(best)  # if it is damaged, fail now and not after the last step
        return load(path)

    def check_photos(self, photos: PhotoStore, val: PhotoStore | None) -> None:
        """Raise `UserError` if these are not the photographs and masks that the run began with.

        Their files may have other places, names and metadata; their pixels and their order count.
        """
        stores = {"data": photos} if val is None else {"data": photos, "val": val}
        found = {name: _fingerprint(store) for name, store in stores.items()}
        before, digests = self.progress.photos, self.progress.digests
        if before:
            check_unchanged(self.run, before, {"val": None, **found})
        for name, store in stores.items():
            if name in digests:  # as they are not in checkpoints of version 0.1
                self._check_digests(name, store, digests[name])
        self.progress.photos = {"val": None, **found}
        self.progress.digests = {name: store.digests for name, store in stores.items()}

    def _check_digests(self, name: str, store: PhotoStore, before: list[str]) -> None:
        """Raise `UserError` if the decoded pairs of ``store`` are not those of ``before``."""
        changed = [
            pair.photo
            for pair, old, new in zip(store.pairs, before, store.digests, strict=False)
            if old != new
        ]
        if not changed:
            return
        what = f"{changed[0]}" + (f" and {len(changed) - 1} more" if len(changed) > 1 else "")
        if sorted(before) == sorted(store.digests):
            how = f"the photographs are in another order ({what}); give them their old names"
        else:
            how = f"the photograph or the mask is another one ({what}); put the old ones back"
        raise NotResumable(
            f"The run in {self.run} cannot be resumed with other photographs: {how}",
            name,
        )

    @property
    def judged(self) -> networks.Network:
        """The network that is validated, and used once the run is done."""
        return self.network if self.average is None else self.average.network

    def seconds(self) -> float:
        """The time spent on the run, that before it was resumed included."""
        return self.progress.seconds + time.monotonic() - self.began

    def checkpoint(self) -> Checkpoint:
        """The state as it is now."""
        parts = {"network": self.network.state(), "adam": self.adam.state()}
        if self.average is not None:
            parts["average"] = self.average.network.state()
        tensors = {
            f"{part}.{name}": get(array)
            for part, arrays in parts.items()
            for name, array in arrays.items()
        }
        progress = asdict(replace(self.progress, seconds=self.seconds()))
        return Checkpoint(self.step, self.config.as_dict(), tensors, self.random_state, progress)

    def save(self, name: str) -> None:
        """Write the checkpoint ``name``; raises `UserError` rather than save NaN."""
        self.check_finite()
        with profiling.span("writing checkpoints"):
            checkpoint = self.checkpoint()
            self._check_agreement(checkpoint)
            if self.world.is_first:
                save(self.run / f"{name}.safetensors", checkpoint)
        self.saved_at = time.monotonic()
        self.saved_step = self.step

    def _check_agreement(self, checkpoint: Checkpoint) -> None:
        """Raise `UserError` unless all processes hold the same network, to the bit."""
        if self.world.size == 1:
            return
        digest = hashlib.blake2b()
        for tensor in checkpoint.tensors.values():
            digest.update(np.ascontiguousarray(tensor).data)
        agreed(
            self.world,
            "The network in training",
            digest.hexdigest(),
            "this MPI does not add up alike in all processes: have it use another algorithm for "
            "sums (Allreduce)",
        )

    def check_finite(self) -> None:
        """Raise `UserError` if a weight, statistic or moment is NaN or infinite."""
        for name, array in (*self.network.state().items(), *self.adam.state().items()):
            if not np.isfinite(get(array)).all():
                raise self.diverged(f"value of {name}")

    def diverged(self, what: str) -> UserError:
        """The error for a ``what`` that is NaN or infinite after the current step."""
        kept = (
            "no checkpoint had been written yet"
            if self.saved_step is None
            else f"the checkpoint of step {self.saved_step} in {self.run} is kept"
        )
        return UserError(
            f"The {what} is not a finite number at step {self.step} ({kept}): train in another "
            f"folder, with a learning rate below {self.config.lr:g}",
            "lr",
        )


def _build(config: TrainConfig, rng: np.random.Generator) -> networks.Network:
    return networks.build(
        config.network,
        depths=config.depths,
        connection=config.connection,
        width=config.width,
        pretrained=config.pretrained,
        rng=rng,
    )


def _with_initial(
    config: TrainConfig, run: Path, resume: bool
) -> tuple[TrainConfig, initial.Initial | None]:
    """``config`` with what is `FOUND`; and the weights of ``init``, if the run begins now.

    A resumed run has the weights in its checkpoint: the file may be gone, the option left out.
    """
    if resume and (path := checkpoint_to_resume(run)) is not None:
        before = load_config(path)
        found: dict[str, Any] = {name: before.get(name) for name in FOUND}
        return replace(config, init=config.init or before.get("init"), **found), None
    if config.init is None:
        return config, None
    weights = initial.read(config.init, config.network)
    kind = None if "pretrained" in networks.NETWORKS[config.network].inapplicable else weights.kind
    file, digest = str(weights.file), weights.digest
    return replace(config, pretrained=kind, init_file=file, init_digest=digest), weights


def _fingerprint(store: PhotoStore) -> str:
    """What tells datasets apart, wherever their folders are."""
    return (
        f"{len(store)} photographs of {store.pixels} pixels with {store.crack_pixels} crack pixels"
    )
