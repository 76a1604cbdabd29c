"""Adam, the optimiser of Section 4.2."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral import profiling
from minispiral.errors import UserError
from minispiral.kernels import arithmetic
from minispiral.kernels.adam import Update
from minispiral.kernels.arrays import like
from minispiral.kernels.clip import Clip
from minispiral.nn import Parameter, once

Array = NDArray[Any]


class Adam:
    """Adam (Kingma and Ba 2015) over named parameters.

    ``step()`` updates every parameter that has a gradient; the formula is in
    `minispiral.kernels.adam`. The moments lie where the parameters lie, which must not be moved
    afterwards. With ``clip`` the gradients of a step, taken as one vector, are shortened to that
    length where they are longer (`minispiral.kernels.clip`); those of the parameters stay as they
    are.
    """

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, Parameter]],
        lr: float = 1e-4,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        clip: float | None = None,
    ) -> None:
        given = list(once(named_parameters))
        self.parameters = dict(given)
        if not given:
            raise ValueError("there are no parameters to train: give those of a module")
        if len(self.parameters) < len(given):
            names = [name for name, _ in given]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(
                f"two parameters are called {twice}: give those of two modules different names"
            )
        self.steps = 0
        self.m = {name: _zeros_like(p) for name, p in self.parameters.items()}
        self.v = {name: _zeros_like(p) for name, p in self.parameters.items()}
        self._lr = lr
        first = next(iter(self.parameters.values()))
        self._update = Update(first.data, lr, beta1, beta2, eps)
        self._one = like(np.ones(()), first.data)
        self._clip = None if clip is None else Clip(first.data, clip)
        self._clipped: dict[str, Array] = {}  # where clipped gradients go
        if clip is not None:
            self._clipped = {name: _zeros_like(p) for name, p in self.parameters.items()}

    @property
    def lr(self) -> float:
        """The learning rate; what is set here holds from the next step on."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = value
        # By a kernel: a GPU would be waited for if a copy came from the host.
        arithmetic.blend(self._update.lr, self._one, 0.0, value)

    def zero_grad(self) -> None:
        """Forget the gradients of the last backward pass."""
        for p in self.parameters.values():
            p.grad = None

    def step(self) -> None:
        """One update of every parameter from its gradient."""
        self.steps += 1
        with profiling.span("optimiser"):
            self.locate_gradients()
            self.launch()

    def locate_gradients(self) -> None:
        """Tell the kernel where the parameters' gradients lie now."""
        found = {name: p for name, p in self.parameters.items() if p.grad is not None}
        gradients: list[Any] = [p.grad for p in found.values()]
        if self._clip is not None:
            clipped = [self._clipped[name] for name in found]
            self._clip.locate(gradients, clipped)
            gradients = clipped
        self._update.locate(
            [p.data for p in found.values()],
            gradients,
            [self.m[name] for name in found],
            [self.v[name] for name in found],
        )

    def launch(self) -> None:
        """Update from the gradients that `locate_gradients` found last.

        A graph may hold these launches: ``steps`` is counted by whoever runs them.
        """
        if self._clip is not None:
            self._clip.launch()
        self._update.launch()
        for p in self.parameters.values():
            if p.grad is not None:
                p.changed()

    def state(self) -> dict[str, Array]:
        """Step count and both moments, for a checkpoint: ``step``, ``m.<name>``, ``v.<name>``."""
        return {
            "step": np.array(self.steps, np.int64),
            **{f"m.{name}": m for name, m in self.m.items()},
            **{f"v.{name}": v for name, v in self.v.items()},
        }

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Copy in what `state` gave; raises `UserError` for what is missing or misshapen."""
        for name, array in self.state().items():
            if name not in state or state[name].shape != array.shape:
                found = state[name].shape if name in state else "nothing"
                raise UserError(
                    f"the optimiser state holds {found} for {name}, expected shape {array.shape}: "
                    f"it belongs to another network"
                )
        self.steps = int(state["step"])
        _write(self._update.step, np.array(self.steps))
        for name in self.parameters:
            _write(self.m[name], state[f"m.{name}"])
            _write(self.v[name], state[f"v.{name}"])


def _zeros_like(p: Parameter) -> Array:
    zeros: Array = like(np.zeros(p.shape, p.dtype), p.data)
    return zeros


def _write(array: Array, values: Array) -> None:
    array[...] = like(values, array)
