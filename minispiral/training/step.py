"""One step of training, forward, loss, backward and Adam, on the CPU or on a GPU.

On the CPU a step is what it says. On a GPU nothing in it is read back: the sums that a run reports
are gathered there and fetched when they are asked for. After two steps launched kernel by kernel
the third is captured as one CUDA graph, and from then on a step is an upload and the launch of that
graph.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.detection.metrics import RunningSums
from minispiral.device import Device
from minispiral.kernels.cuda import launch, statistics
from minispiral.kernels.dispatch import layout, to_host, write
from minispiral.losses import LOSSES
from minispiral.networks import Network
from minispiral.optim import Adam
from minispiral.tensor import Tensor

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Flips = NDArray[np.bool_]

LAUNCHED = 2  # steps before one is captured: they compile the kernels and keep constants


class TrainingStep:
    """Steps of one network under one loss, on the CPU; call it with pixels and their mask.

    ``pixels`` are (n, h, w, 3) uint8, ``mask`` (n, h, w, 1), True on crack. ``flips`` (n, 2), if
    given, say whose rows and whose columns are reversed first, in both. A batch whose loss is not a
    number changes nothing but the sums.
    """

    def __init__(
        self,
        network: Network,
        adam: Adam,
        loss: str = "pseudo-f1",
        loss_parameters: Mapping[str, float] | None = None,
    ) -> None:
        self.network, self.adam = network, adam
        self.loss, self.loss_parameters = LOSSES[loss], loss_parameters or {}
        self.dtype = network.parameters()[0].dtype
        self._sums = RunningSums()

    def __call__(self, pixels: Pixels, mask: Mask, flips: Flips | None = None) -> None:
        """Update the network from one batch."""
        if flips is not None:
            pixels, mask = layout.flip(pixels, flips), layout.flip(mask, flips)
        loss, logits = self._forward(pixels, mask)
        value = loss.data.item()
        self._sums.add(value, logits, mask)
        if not math.isnan(value):
            self.adam.zero_grad()
            loss.backward()
            self.adam.step()

    def _forward(self, pixels: Any, mask: Any) -> tuple[Tensor, Any]:
        """The loss, summed over the network's outputs, and the logits of the last of these."""
        outputs = self.network.outputs(Tensor(layout.scale_pixels(pixels, self.dtype)))
        losses = [self.loss(logits, mask, **self.loss_parameters) for logits in outputs]
        return sum(losses[1:], start=losses[0]), outputs[-1].data

    def sums(self) -> RunningSums:
        """The losses and F1 counts of all batches since `reset`; on a GPU this waits for it."""
        return self._sums

    def reset(self, sums: RunningSums) -> None:
        """Go on counting from these."""
        self._sums = sums


class GpuTrainingStep(TrainingStep):
    """The same on a GPU, where the network lies and its optimiser was made.

    It returns once the step is on its way. A batch whose loss is not a number shows in the sums
    alone. Nobody else may step the optimiser meanwhile.
    """

    def __init__(
        self,
        network: Network,
        adam: Adam,
        loss: str = "pseudo-f1",
        loss_parameters: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(network, adam, loss, loss_parameters)
        self.gpu = launch.gpu()
        self.totals = self.gpu.put(np.zeros(len(statistics.TOTALS)))
        self.shape: tuple[int, ...] | None = None  # of the batches the graph is for
        self.uploads: launch.Uploads
        self.launched = 0
        self.graph: Callable[[], None] | None = None

    def __call__(self, pixels: Pixels, mask: Mask, flips: Flips | None = None) -> None:
        if flips is None:
            flips = np.zeros((len(pixels), 2), np.bool_)
        if pixels.shape != self.shape:
            self.shape, self.launched, self.graph = pixels.shape, 0, None
            shapes = pixels.shape, mask.shape, flips.shape
            self.uploads = self.gpu.uploads(shapes, (np.uint8, np.bool_, np.bool_))
        self.uploads.send(pixels, mask, flips)
        self.adam.steps += 1
        if self.graph is None and self.launched < LAUNCHED:
            self._launch(self.adam.locate_gradients)
            self.launched += 1
            return
        if self.graph is None:
            self.graph = self.gpu.record(self._launch)
            self.adam.locate_gradients()  # which lie there at every launch of the graph
        self.graph()

    def _launch(self, between: Callable[[], None] = lambda: None) -> None:
        """Launch all kernels of a step; ``between`` comes before Adam's."""
        pixels, mask, flips = self.uploads.targets
        mask = layout.flip(mask, flips)
        self.adam.zero_grad()
        loss, logits = self._forward(layout.flip(pixels, flips), mask)
        loss.backward()
        between()
        self.adam.launch()
        statistics.add_batch(self.totals, loss.data, logits, mask)

    def sums(self) -> RunningSums:
        values = dict(zip(statistics.TOTALS, to_host(self.totals).tolist(), strict=True))
        loss_sum = values.pop("loss_sum")
        return RunningSums(loss_sum, **{name: int(value) for name, value in values.items()})

    def reset(self, sums: RunningSums) -> None:
        write(self.totals, np.array([getattr(sums, name) for name in statistics.TOTALS], float))


def training_step(
    device: Device,
    network: Network,
    adam: Adam,
    loss: str = "pseudo-f1",
    loss_parameters: Mapping[str, float] | None = None,
) -> TrainingStep:
    """The training step for a network on this device; it runs inside ``device.in_use()``."""
    kind = GpuTrainingStep if device.is_gpu else TrainingStep
    return kind(network, adam, loss, loss_parameters)
