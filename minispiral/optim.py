"""Adam, the optimiser of Section 4.2."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral import profiling
from minispiral.errors import UserError
from minispiral.kernels.cpu.adam import adam
from minispiral.kernels.cuda import adam as cuda
from minispiral.kernels.dispatch import like, on_device, write
from minispiral.nn import Parameter

Array = NDArray[Any]


class Adam:
    """Adam (Kingma and Ba 2015) over named parameters.

    ``step()`` updates every parameter that has a gradient; see
    `minispiral.kernels.adam.adam` for the formula. The moments lie where the parameters lie, which
    must not be moved afterwards. On a GPU the step count and ``lr`` are there too, and all
    parameters are updated at once.
    """

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, Parameter]],
        lr: float = 1e-4,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
    ) -> None:
        self.parameters = dict(named_parameters)
        self.beta1, self.beta2, self.eps = beta1, beta2, eps
        self.steps = 0
        self.m = {name: _zeros_like(p) for name, p in self.parameters.items()}
        self.v = {name: _zeros_like(p) for name, p in self.parameters.items()}
        first = next(iter(self.parameters.values())).data
        self._gpu = _OnDevice(first, lr) if on_device(first) else None
        self._lr = lr

    @property
    def lr(self) -> float:
        """The learning rate; what is set here holds from the next step on."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = value
        if self._gpu is not None:
            write(self._gpu.lr, np.array(value, np.float64))

    def zero_grad(self) -> None:
        """Forget the gradients of the last backward pass."""
        for p in self.parameters.values():
            p.grad = None

    def step(self) -> None:
        """One update of every parameter from its gradient."""
        self.steps += 1
        with profiling.span("optimiser"):
            if self._gpu is not None:
                self.locate_gradients()
                self.launch()
                return
            for name, p in self.parameters.items():
                if p.grad is not None:
                    adam(
                        p.data,
                        p.grad,
                        self.m[name],
                        self.v[name],
                        self.steps,
                        self.lr,
                        self.beta1,
                        self.beta2,
                        self.eps,
                    )

    def locate_gradients(self) -> None:
        """Tell the GPU where the parameters' gradients lie now."""
        assert self._gpu is not None
        found = {name: p for name, p in self.parameters.items() if p.grad is not None}
        ps = [p.data for p in found.values()]
        if self._gpu.names != list(found):
            self._gpu.names, self._gpu.table = list(found), cuda.blank_table(ps)
        gs = [p.grad for p in found.values()]
        moments = ([of[name] for name in found] for of in (self.m, self.v))
        cuda.fill(self._gpu.table, ps, gs, *moments)

    def launch(self) -> None:
        """Launch an update on the GPU, from the gradients that `locate_gradients` found last.

        A graph holds these launches; ``steps`` is not counted here, but by whoever runs them.
        """
        gpu = self._gpu
        assert gpu is not None
        cuda.count_step(gpu.step)
        cuda.adam_all(gpu.table, gpu.step, gpu.lr, self.beta1, self.beta2, self.eps)

    def state(self) -> dict[str, Array]:
        """Step count and both moments, for a checkpoint: ``step``, ``m.<name>``, ``v.<name>``."""
        return {
            "step": np.array(self.steps, np.int64),
            **{f"m.{name}": m for name, m in self.m.items()},
            **{f"v.{name}": v for name, v in self.v.items()},
        }

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Copy in what `state` gave; raises `UserError` for what is missing or misshapen."""
        own = self.state()
        for name, array in own.items():
            if name not in state or state[name].shape != array.shape:
                found = state[name].shape if name in state else "nothing"
                raise UserError(
                    f"the optimiser state holds {found} for {name}, expected shape {array.shape}: "
                    f"it belongs to another network"
                )
        self.steps = int(state["step"])
        if self._gpu is not None:
            write(self._gpu.step, np.array(self.steps))
        for name in self.parameters:
            write(self.m[name], state[f"m.{name}"])
            write(self.v[name], state[f"v.{name}"])


class _OnDevice:
    """What an update on the GPU reads in its memory."""

    def __init__(self, place: Array, lr: float) -> None:
        self.step = like(np.zeros((), np.int64), place)
        self.lr = like(np.array(lr, np.float64), place)
        self.names: list[str] = []  # of the parameters with a gradient
        self.table: Any = None


def _zeros_like(p: Parameter) -> Array:
    zeros: Array = like(np.zeros(p.shape, p.dtype), p.data)
    return zeros
