"""One training step: forward, loss, backward and Adam, on the CPU or on a GPU.

Patches arrive as they were cut. The step flips and scales them on the device it runs on.

On a GPU nothing inside a step is read back: the totals that a run reports are summed there and
fetched on demand. Two steps are launched kernel by kernel and the third is captured as a CUDA
graph; from then on a step is an upload and one launch of that graph. Every step is launched where
processes share a batch and speak through their processors, which no graph can hold, and where
capturing fails.
"""

import math
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from minispiral.data.patches import Flips, Mask, Pixels
from minispiral.detection.running_metrics import RunningSums
from minispiral.device import Device
from minispiral.kernels import collective, layout, statistics
from minispiral.kernels.arrays import get, like
from minispiral.kernels.cuda import launch
from minispiral.kernels.cuda.obstacles import first_line
from minispiral.kernels.cuda.sum_parts import late_sums
from minispiral.losses import LOSSES
from minispiral.networks import Network
from minispiral.optim import Adam
from minispiral.tensor import Tensor

LAUNCHED = 2  # steps before the captured one: they compile kernels and upload constants


class TrainingStep:
    """Trains a network with one loss, a batch per call, on the CPU.

    ``pixels`` are (n, h, w, 3) uint8, ``mask`` (n, h, w, 1) is True on crack, and ``flips`` (n, 2)
    says of each patch whether its rows and whether its columns are to be reversed (default: not).
    A batch whose loss is NaN changes nothing but the totals. ``shared`` is what
    `minispiral.distributed.sharing` returned, if other processes have the other patches of a batch.
    ``say`` is told in a line what makes the steps slower than they could be.
    """

    def __init__(
        self,
        network: Network,
        adam: Adam,
        loss: str = "pseudo-f1",
        loss_parameters: Mapping[str, float] | None = None,
        shared: Callable[[], AbstractContextManager[None]] = nullcontext,
        say: Callable[[str], None] = warnings.warn,
    ) -> None:
        self.network, self.adam = network, adam
        self.shared, self.say = shared, say
        self.loss, self.loss_parameters = LOSSES[loss], loss_parameters or {}
        weights = network.parameters()[0].data
        self.dtype = weights.dtype
        self.totals = like(np.zeros(len(statistics.TOTALS)), weights)

    def __call__(self, pixels: Pixels, mask: Mask, flips: Flips | None = None) -> None:
        """Update the network from one batch."""
        with self.shared():
            loss = self._forward(pixels, mask, _none(pixels) if flips is None else flips)
            if not math.isnan(loss.data.item()):
                self.adam.zero_grad()
                loss.backward()
                self.adam.step()

    def _forward(self, pixels: Any, mask: Any, flips: Any) -> Tensor:
        """The loss, summed over the network's outputs; the last output counts for the totals."""
        pixels, mask = layout.flip(pixels, flips), layout.flip(mask, flips)
        outputs = self.network.outputs(Tensor(layout.scale_pixels(pixels, self.dtype)))
        losses = [self.loss(logits, mask, **self.loss_parameters) for logits in outputs]
        loss = sum(losses[1:], start=losses[0])
        statistics.add_batch(self.totals, loss.data, outputs[-1].data, mask)
        return loss

    def sums(self) -> RunningSums:
        """The totals of all batches since `reset`; this waits for the GPU."""
        return RunningSums.from_totals(get(self.totals))

    def reset(self, sums: RunningSums) -> None:
        """Count on from ``sums``."""
        self.totals[...] = like(sums.as_totals(), self.totals)


class GpuTrainingStep(TrainingStep):
    """The same on the GPU that holds the network, whose optimiser was made there.

    A call returns once the step is queued. A NaN loss shows in the totals only. Nothing else may
    step the optimiser.
    """

    shape: tuple[int, ...] | None = None  # of the batches that the graph is for
    uploads: launch.Uploads
    launched = 0
    graph: Callable[[], None] | None = None
    failed = False  # to capture one

    def __call__(self, pixels: Pixels, mask: Mask, flips: Flips | None = None) -> None:
        if flips is None:
            flips = _none(pixels)
        if pixels.shape != self.shape:
            self.shape, self.launched, self.graph = pixels.shape, 0, None
            shapes = pixels.shape, mask.shape, flips.shape
            self.uploads = launch.gpu().uploads(shapes, (np.uint8, np.bool_, np.bool_))
        self.uploads.send(pixels, mask, flips)
        self.adam.steps += 1
        with self.shared():
            if self.graph is None and self.launched >= LAUNCHED and not self.failed:
                self._capture()
            if self.graph is None:
                self._launch(self.adam.locate_gradients)
                self.launched += 1
            else:
                self.graph()

    def _capture(self) -> None:
        """Make ``graph``, or say why there is none: a launched step gives the same numbers."""
        if not collective.is_recordable():
            return
        self.adam.zero_grad()  # before the graph's memory is taken: theirs is free for it
        try:
            self.graph = launch.gpu().record(self._launch)
        except Exception as error:  # of many kinds: the driver's, CuPy's own, no memory for it
            self.failed = True
            self.say(
                "No step can be captured as a CUDA graph, so every kernel is launched by itself, "
                f"which takes longer: {first_line(error)}"
            )
        else:
            self.adam.locate_gradients()  # which are there at every launch of the graph

    def _launch(self, before_adam: Callable[[], None] = lambda: None) -> None:
        """Launch all kernels of a step."""
        self.adam.zero_grad()
        with late_sums():
            self._forward(*self.uploads.targets).backward()
        before_adam()
        self.adam.launch()


def training_step(
    device: Device,
    network: Network,
    adam: Adam,
    loss: str = "pseudo-f1",
    loss_parameters: Mapping[str, float] | None = None,
    shared: Callable[[], AbstractContextManager[None]] = nullcontext,
    say: Callable[[str], None] = warnings.warn,
) -> TrainingStep:
    """The training step for a network on ``device``; to be called inside ``device.in_use()``."""
    kind = GpuTrainingStep if device.is_gpu else TrainingStep
    return kind(network, adam, loss, loss_parameters, shared, say)


def _none(pixels: Pixels) -> Flips:
    """No flips."""
    return np.zeros((len(pixels), 2), np.bool_)
