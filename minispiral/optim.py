"""Adam, the optimiser of Section 4.2."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral import profiling
from minispiral.errors import UserError
from minispiral.kernels.adam import adam
from minispiral.nn import Parameter

Array = NDArray[Any]


class Adam:
    """Adam (Kingma and Ba 2015) over named parameters.

    ``step()`` updates every parameter that has a gradient; see
    `minispiral.kernels.adam.adam` for the formula.
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
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
        self.steps = 0
        self.m = {name: np.zeros_like(p.data) for name, p in self.parameters.items()}
        self.v = {name: np.zeros_like(p.data) for name, p in self.parameters.items()}

    def zero_grad(self) -> None:
        """Forget the gradients of the last backward pass."""
        for p in self.parameters.values():
            p.grad = None

    def step(self) -> None:
        """One update of every parameter from its gradient."""
        self.steps += 1
        with profiling.span("optimiser"):
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
        for name in self.parameters:
            np.copyto(self.m[name], state[f"m.{name}"])
            np.copyto(self.v[name], state[f"v.{name}"])
